"""What ``hapctl params`` tells."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hapctl.processing.imaging.product_rules import ChosenRules, Reason
    from hapctl.processing.pipeline.product_changes import RulesDifference
    from hapctl.processing.pipeline.product_parameters import ParametersReport, ProductParameters


def products_document(report: "ParametersReport") -> dict[str, Any]:
    """Return the parameters of products, with their reasons, for JSON."""
    return {
        "policy": report.policy.name,
        "version": report.policy.version,
        "products": [_product(one) for one in report.products],
    }


def _product(one: "ProductParameters") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": one.name,
        "kind": one.kind,
        "case": {**asdict(one.case), "filter_kind": one.case.filter_kind},
        "rules": list(one.chosen.rules),
        "drizzle": asdict(one.chosen.drizzle),
        "why": [_reason(reason) for reason in one.chosen.why],
    }


def _reason(reason: "Reason") -> dict[str, Any]:
    overridden = [{"rule": rule, "value": value} for rule, value in reason.overridden]
    return {
        "parameter": reason.parameter,
        "value": reason.value,
        "rule": reason.rule,
        "overrides": overridden,
    }


def print_parameters(report: "ParametersReport", *, why: bool, every: bool) -> None:
    """Print the parameters of products; those that have the same for the same reasons together."""
    policy = report.policy
    recorded = f"@{policy.version}" if policy.version else ", to be recorded by the next run"
    click.echo(f"rules in force: {policy.name}{recorded}")
    groups: dict[ChosenRules, list[ProductParameters]] = {}
    for one in report.products:
        groups.setdefault(one.chosen, []).append(one)
    for chosen, products in groups.items():
        click.echo()
        for one in products:
            click.echo(f"{one.kind:9}{one.name}  ({_case(one)})")
        for line in _lines(chosen, why, every):
            click.echo(f"    {line}")


def _case(one: "ProductParameters") -> str:
    case = one.case
    count = "1 exposure" if case.exposures == 1 else f"{case.exposures} exposures"
    kind = "" if case.filter_kind == "plain" else f", {case.filter_kind}"
    return f"{case.detector}, {case.level}, {count}{kind}, MJD {case.start_mjd:.2f}"


def _lines(chosen: "ChosenRules", why: bool, every: bool) -> Iterator[str]:
    from hapctl.processing.imaging.parameters import DRIZZLE
    from hapctl.processing.parameter_file import toml_value

    reasons = {one.parameter: one for one in chosen.why}
    for parameter in DRIZZLE.all:
        reason = reasons.get(parameter.full_name)
        if reason is None and not (every and parameter.step):
            continue
        text = f"{parameter.full_name} = {toml_value(parameter.value_in(chosen.drizzle))}"
        yield f"{text:38} {_words(reason)}".rstrip() if why else text


def _words(reason: "Reason | None") -> str:
    from hapctl.processing.parameter_file import toml_value

    if reason is None:
        return "no rule: AstroDrizzle's default"
    before = [f"{toml_value(value)} of {rule!r}" for rule, value in reversed(reason.overridden)]
    return f"{reason.rule!r}" + (f", over {', '.join(before)}" if before else "")


def print_difference(found: "RulesDifference") -> None:
    """Print how rules differ; nothing where they do not."""
    for name, rule in found.removed.items():
        click.echo(f"- {name}: {_entries(rule)}")
    for name, rule in found.added.items():
        click.echo(f"+ {name}: {_entries(rule)}")
    for name, entries in found.changed.items():
        for key, (before, after) in entries.items():
            click.echo(f"~ {name}: {key}: {_plain(before)} -> {_plain(after)}")
    if found.reordered:
        click.echo("~ rules stand in another order")


def _entries(rule: "Mapping[str, Any]") -> str:
    conditions = {key: value for key, value in rule.items() if key not in ("name", "set")}
    parts = [f"{key} = {_plain(value)}" for key, value in {**conditions, **rule["set"]}.items()]
    return "; ".join(parts)


def _plain(value: Any) -> str:
    if value is None:
        return "not given"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
