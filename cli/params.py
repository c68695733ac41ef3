"""``hapctl params``: the rules by which products are drizzled, what they choose, why; changing them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from hapctl.archive.database import Catalog
    from hapctl.archive.policies import PolicyRow
    from hapctl.processing.imaging.product_rules import ProductRules
    from hapctl.processing.parameter_file import Change
    from hapctl.processing.pipeline.product_changes import NewRules

_NAME = "a word of letters, digits, - and _"


@click.group()
def params() -> None:
    """Show, explain and change how products are drizzled.

    Parameters follow ordered rules: by detector, level, number of exposures, epoch, filter, visit. Those of
    HAP hold (policy 'hap') until others are put in force; every change is a new version.

    \b
    hapctl params show --visit j8bt06 --why
    hapctl params set --detector WFC --level filter final.pixfrac=0.6
    hapctl params activate hap
    """


@params.command()
@click.option("--visit", metavar="IPPPSS", help="The products of a visit.")
@click.option("--tile", metavar="NAME", help="The layers of a sky tile.")
@click.option("--product", metavar="NAME", help="Only products of this name, or like this pattern.")
@click.option("--why", is_flag=True, help="With the rule that set each value, and what it overrides.")
@click.option("--every", is_flag=True, help="With the values that no rule sets.")
@json_option
@click.pass_context
def show(ctx: click.Context, visit: str | None, tile: str | None, as_json: bool, **options: Any) -> None:
    """Show the parameters of the products of a visit or tile; a setting of --why tells what set it.

    Nothing is made. A filter's parameters tell how the masks of its exposures are made, too.

    \b
    hapctl params show --visit j8bt06
    hapctl params show --visit j8bt06 --why --product '*_total_*'
    hapctl params show --tile skycell-p0046x03y19 --json
    """
    from hapctl.cli.params_report import print_parameters, products_document
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.planned import MosaicOptions
    from hapctl.processing.pipeline.product_parameters import parameters_of_tile, parameters_of_visit

    if (visit is None) == (tile is None):
        raise click.UsageError("give either --visit or --tile", ctx)
    settings, catalog = open_from(ctx)
    chosen = MosaicOptions(settings.home, settings.output, "any")
    if visit is not None:
        report = parameters_of_visit(catalog, visit, chosen)
    else:
        report = parameters_of_tile(catalog, str(tile), chosen)
    report = report.of_products(options["product"] or "*")
    if as_json:
        print_json(products_document(report))
    else:
        print_parameters(report, why=options["why"], every=options["every"])


@params.command(name="list")
@json_option
@click.pass_context
def list_all(ctx: click.Context, as_json: bool) -> None:
    """List the policies of products, and the one in force.

    \b
    hapctl params list
    """
    from hapctl.archive.policies import list_policies
    from hapctl.cli.settings import open_from

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        lines = list_policies(connection, "products")
    if as_json:
        print_json({"policies": [vars(line) for line in lines]})
        return
    for line in lines:
        since = f"in force since {line.since:%Y-%m-%d %H:%M:%S} UTC" if line.since else ""
        click.echo(f"{line.name}@{line.version}  run {line.run_id}  {since}".rstrip())
    if not lines:
        click.echo("none is recorded yet: those of HAP hold (hap)")


@params.command()
@click.argument("name", required=False)
@json_option
@click.pass_context
def export(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Print rules as TOML: NAME or NAME@VERSION, by default those in force; for `import`.

    \b
    hapctl params export > rules.toml
    hapctl params export hap@1
    """
    from hapctl.cli.settings import open_from
    from hapctl.processing.imaging.product_rules_file import rules_toml

    _, catalog = open_from(ctx)
    row, rules = _named(catalog, name)
    if as_json:
        print_json({"name": row.name, "version": row.version, "rules": rules.content()})
        return
    click.echo(rules_toml(row.name, rules), nl=False)


@params.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", metavar="NAME", help="Name of the policy; by default the one in the file.")
@click.option("--activate", "put_in_force", is_flag=True, help="Put it in force as well.")
@json_option
@click.pass_context
def import_rules(ctx: click.Context, file: Path, name: str | None, put_in_force: bool, as_json: bool) -> None:
    """Record rules from a TOML file (or the JSON of `export --json`) as a new version of a policy.

    \b
    hapctl params import rules.toml --name deep
    hapctl params import rules.toml --name deep --activate
    """
    from hapctl.processing.imaging.product_rules_file import read_rules

    read = read_rules(file)
    chosen = _checked_name(name or read.name)
    parameters = {"name": chosen, "rules": read.rules.content(), "activate": put_in_force}
    new = _changed(ctx, "params import", parameters, chosen, read.rules, put_in_force)
    _say_new(new, as_json)


@params.command(name="set")
@click.argument("settings", metavar="STEP.NAME=VALUE...", nargs=-1)
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Values from HAP's JSON for AstroDrizzle, a .cfg, or TOML; single ones come after them.",
)
@click.option("--detector", "detectors", metavar="NAME", multiple=True, help="WFC, HRC, SBC, UVIS, IR or PC.")
@click.option("--level", "levels", metavar="LEVEL", multiple=True, help="exposure, filter, total or layer.")
@click.option("--filter", "filters", metavar="NAME", multiple=True, help="A filter, or a pattern (f6*).")
@click.option(
    "--kind", "kinds", metavar="KIND", multiple=True, help="plain, polariser, grism, ramp or quad filters."
)
@click.option("--visit", "visits", metavar="IPPPSS", multiple=True, help="A visit, or a pattern (j8bt*).")
@click.option("--min-exposures", "exposures_min", type=int, help="From so many exposures of a filter on.")
@click.option("--max-exposures", "exposures_max", type=int, help="Up to so many.")
@click.option("--from-mjd", "mjd_from", type=float, help="First exposure at or after.")
@click.option("--before-mjd", "mjd_before", type=float, help="First exposure before.")
@click.option("--rule", metavar="NAME", help="Name of the rule; by default its conditions and values.")
@click.option("--name", metavar="NAME", help="Name of the policy; by default that in force (of hap: custom).")
@click.option("--no-activate", is_flag=True, help="Record it only.")
@json_option
@click.pass_context
def set_rule(
    ctx: click.Context,
    settings: tuple[str, ...],
    file: Path | None,
    rule: str | None,
    name: str | None,
    no_activate: bool,
    as_json: bool,
    **conditions: Any,
) -> None:
    """Add a rule after those in force, as a new version of their policy, and put it in force.

    Without conditions it is for all products. The steps that find cosmic rays are those of masks, which all
    products of a visit and its tiles share: they follow the level filter.

    \b
    hapctl params set --detector WFC --level filter final.pixfrac=0.6
    hapctl params set --visit j8bt06 cosmic_rays.snr="5 4" cosmic_rays.grow=1
    hapctl params set --detector IR final.bits=16 --no-activate --name no-blobs
    hapctl params set --detector WFC --level filter --from acs_wfc_astrodrizzle_any_n2.json
    """
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.product_changes import own_name, rule_of

    if not settings and file is None:
        raise click.UsageError("say what to set: STEP.NAME=VALUE, or --from FILE", ctx)
    given = {key: value for key, value in conditions.items() if value not in (None, ())}
    new_rule = rule_of(settings, given, rule, _values(file))
    _, catalog = open_from(ctx)
    row, rules = _named(catalog, None)
    chosen = _checked_name(name or ("custom" if own_name(row.name) else row.name))
    parameters = {"name": chosen, "rule": new_rule.content(), "activate": not no_activate}
    new = _changed(ctx, "params set", parameters, chosen, rules.followed_by(new_rule), not no_activate)
    _say_new(new, as_json)


@params.command()
@click.argument("name")
@json_option
@click.pass_context
def activate(ctx: click.Context, name: str, as_json: bool) -> None:
    """Put recorded rules in force: NAME or NAME@VERSION; `hap`: the newest of this software's own.

    \b
    hapctl params activate custom@2
    hapctl params activate hap
    """
    from hapctl.archive.runs import recorded_run
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.product_changes import activate_rules

    _, catalog = open_from(ctx)
    with (
        recorded_run(catalog, "params activate", {"name": name}, sys.argv[1:]) as run,
        catalog.begin() as connection,
    ):
        new = activate_rules(connection, run.id, name)
        run.summary |= new.figures()
    _say_new(new, as_json)


@params.command()
@click.argument("first")
@click.argument("second", required=False)
@json_option
@click.pass_context
def diff(ctx: click.Context, first: str, second: str | None, as_json: bool) -> None:
    """Tell what SECOND (by default: the rules in force) has else than FIRST, rule by rule.

    \b
    hapctl params diff hap
    hapctl params diff custom@1 custom@2 --json
    """
    from hapctl.cli.params_report import print_difference
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.product_changes import rules_difference

    _, catalog = open_from(ctx)
    (_, before), (_, after) = _named(catalog, first), _named(catalog, second)
    found = rules_difference(before, after)
    if as_json:
        print_json({"added": found.added, "removed": found.removed, "changed": found.changed})
    else:
        print_difference(found)


def _values(file: Path | None) -> "tuple[Change, ...]":
    """The values of a file; what of it is left out is told."""
    if file is None:
        return ()
    from hapctl.processing.imaging.product_rules_import import import_values

    found = import_values(file)
    for note in found.notes:
        say(f"hapctl: {note}")
    return found.changes


def _named(catalog: "Catalog", name: str | None) -> "tuple[PolicyRow, ProductRules]":
    from hapctl.processing.pipeline.product_changes import named_rules

    with catalog.begin() as connection:
        return named_rules(connection, name)


def _checked_name(name: str) -> str:
    import re

    from hapctl.processing.pipeline.product_changes import own_name

    if not re.fullmatch(r"[\w-]+", name):
        raise click.UsageError(f"{name!r} is no name of a policy: --name, {_NAME}")
    if own_name(name):
        raise click.UsageError(f"{name} is the name of this software's own rules: choose another (--name)")
    return name


def _changed(
    ctx: click.Context,
    command: str,
    parameters: dict[str, Any],
    name: str,
    rules: "ProductRules",
    put_in_force: bool,
) -> "NewRules":
    from hapctl.archive.runs import recorded_run
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.product_changes import record_rules

    _, catalog = open_from(ctx)
    with (
        recorded_run(catalog, command, parameters, sys.argv[1:]) as run,
        catalog.begin() as connection,
    ):
        new = record_rules(connection, run.id, name, rules, put_in_force=put_in_force)
        run.summary |= new.figures()
    return new


def _say_new(new: "NewRules", as_json: bool) -> None:
    if as_json:
        print_json({"name": new.name, "version": new.version, "in_force": new.in_force, **new.figures()})
        return
    click.echo(f"{new.name}@{new.version} is {'in force' if new.in_force else 'recorded'}")
    if new.products_other or new.products_same:
        changes = "would change" if not new.in_force else "changes"
        click.echo(f"it {changes} {new.products_other} products; {new.products_same} stay what they are")
    if new.in_force and new.products_other:
        click.echo("make them again: hapctl mosaic --stale")
