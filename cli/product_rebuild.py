"""``hapctl product rebuild``: a product made again as it was, proven by the checksum of its pixels."""

from typing import TYPE_CHECKING

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.product_names import as_known

if TYPE_CHECKING:
    from hapctl.processing.pipeline.rebuild import RebuildReport


@click.command("rebuild")
@click.argument("name", metavar="NAME|ID", callback=as_known)
@click.option("--output", type=click.Path(file_okay=False), help="Folder to write to.")
@click.option(
    "--replace", is_flag=True, help="Put it back into its place, where its file is gone or damaged."
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads at work; the pixels are the same.")
@click.option("--max-memory", metavar="SIZE", help="Refuse work predicted to need more, such as 2GB.")
@json_option
@click.pass_context
def rebuild(
    ctx: click.Context,
    name: str,
    output: str | None,
    replace: bool,
    threads: int | None,
    max_memory: str | None,
    as_json: bool,
) -> None:
    """Make a product again as it was, and prove it by the SHA-256 of its pixels.

    NAME is a file name or path of a product in force, ID the number of any product, also of the past. Used
    are the file contents, WCS solutions, masks and parameters that were recorded with it, whatever is in
    force now. Without --output and --replace it goes into the folder 'rebuilt' beside the product. It is
    refused where an input is gone or damaged, or where this software would make other pixels.

    \b
    hapctl product rebuild hst_9019_09_acs_hrc_total_j8bt09_drz.fits
    hapctl product rebuild 17 --output /data/check
    hapctl product rebuild 17 --replace
    """
    import sys
    from pathlib import Path

    from hapctl.cli.mosaic import mosaic_options
    from hapctl.cli.progress import shown_progress
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.rebuild import as_document, rebuild_product

    settings, catalog = open_from(ctx, threads=threads, memory_limit=max_memory)
    with shown_progress() as observer:
        report = rebuild_product(
            catalog,
            name,
            mosaic_options(settings),
            output=Path(output).absolute() if output else None,
            replace_file=replace,
            arguments=sys.argv[1:],
            observer=observer,
        )
    if as_json:
        print_json(as_document(report))
        return
    click.echo(f"{report.status}  {report.path}")
    click.echo(f"pixels    sha256 {report.pixels_sha256}: as recorded of product {report.product_id}")
    if report.masks_made:
        say(f"hapctl: masks made again: {', '.join(report.masks_made)}")
    _say_what_it_means(report)


def _say_what_it_means(report: "RebuildReport") -> None:
    if report.status == "intact":
        say("hapctl: its files lie in their places unharmed; nothing was done")
    elif report.new_product_id is not None:
        say(f"hapctl: it is in force again, as product {report.new_product_id}")
