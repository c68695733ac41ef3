"""Changing the policy of products: new rules, recorded and put in force; how two sets of rules differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hapctl.archive.policies import PolicyRow, named_policy, policy_numbered, record_policy
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.parameters import DRIZZLE
from hapctl.processing.imaging.product_rules import ProductRule, ProductRules, rules_from_content
from hapctl.processing.imaging.product_seed import hap_rules
from hapctl.processing.parameter_file import Change, parse_setting
from hapctl.processing.pipeline.policy_effects import policy_effect
from hapctl.processing.pipeline.product_policies import (
    OWN_NAME,
    policy_content,
    put_rules_in_force,
    rules_in_force,
    rules_of,
)
from sqlalchemy import Connection


@dataclass(frozen=True)
class NewRules:
    """Rules that were recorded, and what they change.

    Attributes
    ----------
    name : str
    version : int
    in_force : bool
    products_same, products_other : int
        Products in force that were made under other rules: those that stay what they are, and those that
        are to be made again (or would be, were the rules put in force).
    """

    name: str
    version: int
    in_force: bool
    products_same: int
    products_other: int

    def figures(self) -> dict[str, int]:
        """Return what they change, for a run's summary."""
        return {"products_same": self.products_same, "products_other": self.products_other}


@dataclass(frozen=True)
class RulesDifference:
    """How rules differ: rules by name; of changed ones what each has of its own, as plain data."""

    added: Mapping[str, Mapping[str, Any]]
    removed: Mapping[str, Mapping[str, Any]]
    changed: Mapping[str, Mapping[str, tuple[Any, Any]]]
    reordered: bool


def own_name(name: str) -> bool:
    """Tell whether a policy of this name is this software's own."""
    return name.partition("@")[0] == OWN_NAME


def rule_of(
    settings: Sequence[str],
    conditions: Mapping[str, Any],
    name: str | None = None,
    before: Sequence[Change] = (),
) -> ProductRule:
    """Return a rule from ``step.name=value`` texts and conditions.

    Parameters
    ----------
    settings : sequence of str
    conditions : mapping
        By the names of `Condition`.
    name : str, optional
        By default made of conditions and settings.
    before : sequence of Change
        Values from a file; the settings come after them.

    Raises
    ------
    UsageProblemError
        Something in it will not do.
    """
    changes = [*before, *(parse_setting(DRIZZLE, text) for text in settings)]
    given = {key: list(value) if isinstance(value, tuple) else value for key, value in conditions.items()}
    words = [f"{key} {_words(value)}" for key, value in given.items()]
    document = {
        "name": name or f"{', '.join(words) or 'all'}: {', '.join(settings) or 'values of a file'}",
        **given,
        "set": {one.parameter.full_name: "none" if one.value is None else one.value for one in changes},
    }
    return rules_from_content([document], lambda _number, entry: entry or "the rule").rules[0]


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def named_rules(connection: Connection, name: str | None) -> tuple[PolicyRow, ProductRules]:
    """Return a policy of products and its rules: ``NAME`` or ``NAME@version``, or the one in force.

    ``hap`` is this software's own whether recorded yet or not.

    Raises
    ------
    NotInCatalogError
        There is none of that name.
    """
    if name is None:
        active = rules_in_force(connection)
        row = PolicyRow(active.policy_id, active.name, active.version, policy_content(active.rules))
        return row, active.rules
    if name == OWN_NAME:
        return PolicyRow(0, OWN_NAME, 0, policy_content(hap_rules())), hap_rules()
    row = named_policy(connection, "products", name)
    return row, rules_of(row)


def record_rules(
    connection: Connection, run_id: int, name: str, rules: ProductRules, *, put_in_force: bool
) -> NewRules:
    """Record rules as a new version of a policy, unless they are the newest, and maybe put them in force."""
    policy_id = record_policy(connection, run_id, "products", name, policy_content(rules))
    return _new(connection, run_id, policy_id, put_in_force)


def activate_rules(connection: Connection, run_id: int, name: str) -> NewRules:
    """Put recorded rules in force, or this software's own.

    Raises
    ------
    NotInCatalogError
        There is no policy of that name.
    UsageProblemError
        An older version of this software's own: the next run would replace it.
    """
    if own_name(name) and name != OWN_NAME:
        raise UsageProblemError(
            f"{name}: this software's own rules are always those of its newest version",
            f"hapctl params export {name} > rules.toml; hapctl params import rules.toml --name NAME",
        )
    row, rules = named_rules(connection, name)
    if not own_name(name):
        rules_of(row)
        return _new(connection, run_id, row.policy_id, True)
    policy_id = record_policy(connection, run_id, "products", OWN_NAME, policy_content(rules))
    return _new(connection, run_id, policy_id, True)


def _new(connection: Connection, run_id: int, policy_id: int, put_in_force: bool) -> NewRules:
    row = policy_numbered(connection, "products", policy_id)
    if put_in_force:
        effect = put_rules_in_force(connection, run_id, policy_id)
    else:
        effect = policy_effect(connection, rules_of(row), policy_id)
    return NewRules(row.name, row.version, put_in_force, len(effect.same), len(effect.other))


def rules_difference(before: ProductRules, after: ProductRules) -> RulesDifference:
    """Return how rules differ from those before them, by the names of the rules."""
    first, second = ({rule.name: rule.content() for rule in one.rules} for one in (before, after))
    shared = [name for name in second if name in first]
    return RulesDifference(
        added={name: rule for name, rule in second.items() if name not in first},
        removed={name: rule for name, rule in first.items() if name not in second},
        changed={name: _entries(first[name], second[name]) for name in shared if first[name] != second[name]},
        reordered=[name for name in first if name in second] != shared,
    )


def _entries(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    flat = [{**{k: v for k, v in one.items() if k != "set"}, **one["set"]} for one in (first, second)]
    names = dict.fromkeys([*flat[0], *flat[1]])
    return {
        name: (flat[0].get(name), flat[1].get(name))
        for name in names
        if flat[0].get(name) != flat[1].get(name)
    }
