"""``hapctl product``: what products there are, what they were made from, what is stale."""

from collections.abc import Mapping
from typing import Any

import click
from hapctl.cli.output import json_option, print_json
from hapctl.cli.product_rebuild import rebuild
from hapctl.cli.product_recall import recall
from hapctl.cli.product_trailer import trailer


@click.group()
def product() -> None:
    """List and show products and what they were made from."""


product.add_command(rebuild)
product.add_command(recall)
product.add_command(trailer)


@product.command("list")
@click.option("--visit", metavar="IPPPSS", help="Of this visit only.")
@click.option("--tile", metavar="NAME", help="Layers of this sky tile only.")
@click.option("--stale", is_flag=True, help="Only products that are not what would be made now.")
@json_option
@click.pass_context
def list_command(ctx: click.Context, visit: str | None, tile: str | None, stale: bool, as_json: bool) -> None:
    """List the products in force.

    \b
    hapctl product list --visit j8bt09
    hapctl product list --stale
    """
    from hapctl.archive.product_reports import list_products
    from hapctl.archive.sky_cells import sky_cell
    from hapctl.cli.settings import open_from

    cell = sky_cell(tile).name if tile else None
    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        rows = list_products(connection, visit=visit.lower() if visit else None, tile=cell, stale_only=stale)
    if as_json:
        print_json({"products": rows})
        return
    for row in rows:
        state = "stale  " if row["stale"] else "current"
        click.echo(f"{state}  {row['kind']:8}  {row['path']}")
        for reason in row["reasons"]:
            click.echo(f"         {reason}")


@product.command("show")
@click.argument("name")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show a product: files, grid, inputs, what was left out, parameters. NAME is a file name or path.

    \b
    hapctl product show hst_9019_09_acs_hrc_total_j8bt09_drz.fits
    """
    from hapctl.archive.product_reports import show_product
    from hapctl.cli.settings import open_from

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        found = show_product(connection, name)
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


@product.command("lineage")
@click.argument("name")
@json_option
@click.pass_context
def lineage(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show what a product was made from, down to file checksums, fits and Gaia queries.

    \b
    hapctl product lineage hst_9019_09_acs_hrc_total_j8bt09_drz.fits
    """
    from hapctl.archive.product_reports import product_lineage
    from hapctl.cli.settings import open_from

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        rows = product_lineage(connection, name)
    if as_json:
        print_json({"product": name, "inputs": rows})
        return
    for row in rows:
        click.echo("\n".join(_lineage_lines(row)))


def _lineage_lines(row: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{row['rootname']}_{row['suffix']}  sha256 {row['file_sha256']}",
        f"  solution {row['wcsname']} in {row['frame']}, of run {row['solution_run_id']}",
    ]
    if row["attempt_id"] is not None:
        lines.append(
            f"  fit: {row['nmatches']} stars, rms {row['rms_ra_mas']:.2f} and {row['rms_dec_mas']:.2f} mas"
        )
    if row["reference_query_id"] is not None:
        lines.append(f"  {row['release']} query {row['reference_query_id']}: {row['question']}")
    if row["mask_id"] is not None:
        lines.append(f"  mask sha256 {row['mask_sha256']}, of run {row['mask_run_id']}")
    return lines
