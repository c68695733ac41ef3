"""``hapctl product``: what products there are, what they were made from, what is stale."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json
from hapctl.cli.product_compare import compare
from hapctl.cli.product_lineage import lineage
from hapctl.cli.product_names import as_known
from hapctl.cli.product_rebuild import rebuild
from hapctl.cli.product_recall import recall
from hapctl.cli.product_trailer import trailer
from hapctl.cli.product_verify import verify
from hapctl.cli.targets import OPTIONS, chosen_visits, target_options, visit_choice

if TYPE_CHECKING:
    from datetime import datetime

KINDS = ("exposure", "filter", "total", "grism", "layer", "mosaic", "association")


class Moment(click.ParamType):
    """A date (ISO 8601, UTC), or how many days ago: ``30d``."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "datetime":
        """Return a moment with its time zone."""
        from datetime import UTC, datetime, timedelta

        try:
            if str(value).endswith("d"):
                return datetime.now(UTC) - timedelta(days=float(str(value)[:-1]))
            found = datetime.fromisoformat(str(value))
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no moment: give a date such as 2026-01-31, or days as in 30d", param, ctx
            )
        return found if found.tzinfo else found.replace(tzinfo=UTC)


@click.group()
def product() -> None:
    """List and show products and what they were made from."""


product.add_command(compare)
product.add_command(rebuild)
product.add_command(recall)
product.add_command(trailer)
product.add_command(lineage)
product.add_command(verify)


@product.command("list")
@target_options
@click.option("--tile", metavar="NAME", help="Layers of this sky tile only.")
@click.option(
    "--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Of this kind; may be repeated."
)
@click.option("--stale", is_flag=True, help="Only products that are not what would be made now.")
@click.option("--run", type=int, metavar="ID", help="Made by this run.")
@click.option(
    "--older-than", "before", type=Moment(), metavar="DATE|DAYSd", help="In force since before, such as 30d."
)
@json_option
@click.pass_context
def list_command(
    ctx: click.Context,
    tile: str | None,
    kinds: tuple[str, ...],
    stale: bool,
    run: int | None,
    before: "datetime | None",
    as_json: bool,
    **options: Any,
) -> None:
    """List the products in force.

    
    hapctl product list --visit 'j8bt*' --kind total
    hapctl product list --stale
    hapctl product list --older-than 2026-01-01
    """
    from hapctl.archive.product_reports import list_products
    from hapctl.archive.sky_cells import sky_cell
    from hapctl.cli.settings import open_from

    choice = visit_choice(*(options[name] for name in OPTIONS))
    cell = sky_cell(tile).name if tile else None
    settings, catalog = open_from(ctx)
    named = choice and not choice.every
    visits = chosen_visits(catalog, settings, choice, must_exist=True) if named else None
    with catalog.begin() as connection:
        rows = list_products(
            connection, visits=visits, tile=cell, kinds=kinds, run=run, before=before, stale_only=stale
        )
    if as_json:
        print_json({"products": rows})
        return
    for row in rows:
        state = "stale  " if row["stale"] else "current"
        click.echo(f"{state}  {row['kind']:8}  {row['path']}")
        for reason in row["reasons"]:
            click.echo(f"         {reason}")


@product.command("show")
@click.argument("name", callback=as_known)
@click.option("--history", is_flag=True, help="Also all products that were at its place before, with times.")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, history: bool, as_json: bool) -> None:
    """Show a product: files, grid, inputs, what was left out, parameters. NAME is a file name or path.

    \b
    hapctl product show hst_9019_09_acs_hrc_total_j8bt09_drz.fits
    hapctl product show hst_9019_09_acs_hrc_total_j8bt09_drz.fits --history
    """
    from hapctl.archive.product_reports import product_history, show_product
    from hapctl.cli.settings import open_from

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        found = show_product(connection, name)
        if history:
            found["history"] = product_history(connection, found["product_id"])
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        _echo(key, value)


def _echo(key: str, value: Any) -> None:
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        click.echo(f"{key}:")
        for item in value:
            click.echo("  " + "  ".join(f"{name}={part}" for name, part in item.items()))
    else:
        click.echo(f"{key:18} {value}")
