"""`hapctl hips`: the layers of sky tiles as a HiPS, to be looked at in Aladin."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from hapctl.processing.pipeline.hips_tiles import HipsReport


@click.command()
@click.argument("tiles", nargs=-1, required=True, metavar="TILE...")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the page and of each HiPS.",
)
@click.option("--filter", "filters", multiple=True, metavar="NAME", help="Only this filter; repeatable.")
@click.option(
    "--aladin",
    metavar="ADDRESS",
    help="Where the page finds Aladin Lite's script: a URL, or a path seen from the page.  [default: its "
    "public address, aladin.cds.unistra.fr]",
)
@json_option
@click.pass_context
def hips(
    ctx: click.Context,
    tiles: tuple[str, ...],
    output: Path,
    filters: tuple[str, ...],
    aladin: str | None,
    as_json: bool,
) -> int:
    """Make a HiPS of the layers of sky tiles: one for each filter, and one in colour.

    Each is a folder with FITS and PNG tiles (colour: PNG), properties, and the coverage (Moc.fits), ready to
    be served. index.html shows them in Aladin Lite, which the reader's browser loads from its public address;
    look at it through a server: python -m http.server -d FOLDER. Several tiles become one HiPS. A HiPS that
    shows the layers in force stays as it is. Needs the package reproject: pip install 'hapctl[hips]'.

    \b
    hapctl hips skycell-p0046x03y19 --output survey
    hapctl hips skycell-p0046x03y19 skycell-p0046x04y19 --filter F606W --output survey
    hapctl hips skycell-p0046x03y19 --output survey --aladin aladin.js     with a copy of the script beside
    """
    import sys

    from hapctl.cli.progress import shown_progress
    from hapctl.cli.settings import open_from
    from hapctl.processing.imaging.hips_page import ALADIN
    from hapctl.processing.pipeline.hips_tiles import hips_of_tiles

    _, catalog = open_from(ctx)
    with shown_progress() as observer:
        report = hips_of_tiles(
            catalog,
            tiles,
            output.absolute(),
            filters=filters,
            script=aladin or ALADIN,
            arguments=sys.argv[1:],
            observer=observer,
        )
    if as_json:
        print_json(_document(report))
    else:
        _print(report)
    return 0


def _document(report: "HipsReport") -> dict[str, Any]:
    return {
        "run": report.run,
        "page": str(report.page),
        "surveys": [vars(survey) for survey in report.surveys],
        "stale_layers": list(report.stale),
    }


def _print(report: "HipsReport") -> None:
    for survey in report.surveys:
        click.echo(f"{survey.status:9}  {survey.path}  order {survey.order}, {survey.tiles} tiles")
    for name in report.stale:
        say(f"hapctl: {name} is stale: hapctl mosaic --stale --all, then this again, shows it as it would be")
    click.echo(f"page       {report.page}")
    click.echo(f"to look at it: python -m http.server -d {report.page.parent}, then http://localhost:8000")
