"""``hapctl product trailer``: the log of a product, from the records."""

from typing import Any

import click
from hapctl.cli.output import json_option, print_json
from hapctl.cli.product_names import as_known


@click.command()
@click.argument("name", callback=as_known)
@click.option("--write", is_flag=True, help="Write it beside the product, too.")
@json_option
@click.pass_context
def trailer(ctx: click.Context, name: str, write: bool, as_json: bool) -> None:
    """Show the trailer log of a product: what was decided, why, by whom, from what.

    It is made from the catalog's records: the same rows give the same text. 'hapctl mosaic' writes it beside
    each product (*_trl.txt), with a manifest of the visit or tile. NAME is a file name or path.

    \b
    hapctl product trailer hst_9019_09_acs_hrc_total_j8bt09_drz.fits
    hapctl product trailer hst_9019_09_acs_hrc_total_j8bt09_drz.fits --write
    """
    from hapctl.archive.product_reports import show_product
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.trailers import trailer_text, write_trailer

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        product_id = show_product(connection, name)["product_id"]
    document: dict[str, Any] = {"product_id": product_id, "text": trailer_text(catalog, product_id)}
    if write:
        document["path"] = write_trailer(catalog, product_id)
    if as_json:
        print_json(document)
    else:
        click.echo(document["text"], nl=False)
