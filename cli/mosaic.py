"""``hapctl mosaic``: the products of visits and the layers of sky tiles."""

from typing import TYPE_CHECKING, Any, cast

import click
from hapctl.cli.output import json_option, print_json

if TYPE_CHECKING:
    from hapctl.cli.settings import Settings
    from hapctl.processing.astrometry.solution import LookupOrigin
    from hapctl.processing.pipeline.mosaic_run import MosaicReport
    from hapctl.processing.pipeline.planned import MosaicOptions
    from hapctl.processing.pipeline.wcs_policy import WcsPolicy

_CHOICES = ("pixfrac",)
"""Options of the command that are fields of MosaicOptions under the same name."""


@click.command()
@click.option("--visit", metavar="IPPPSS", help="Make the exposure, filter and total products of a visit.")
@click.option("--tile", metavar="NAME", help="Make the layers of a sky tile (skycell-pPPPPxXXyYY).")
@click.option(
    "--wcs-policy",
    type=click.Choice(["strict", "absolute", "any"]),
    help="strict: one frame and one IDCTAB, or nothing is made; absolute: leave out what has no absolute "
    "frame; any: mix.",
)
@click.option("--output", type=click.Path(file_okay=False), help="Folder of the products.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads at work; the pixels are the same.")
@click.option(
    "--pixfrac",
    type=click.FloatRange(0.01, 1.0),
    help="Side of the shrunken input pixel; by default that of HAP for detector and number of exposures.",
)
@click.option("--max-memory", metavar="SIZE", help="Refuse work predicted to need more, such as 2GB.")
@click.option(
    "--lookup-origin", type=click.Choice(["hst", "fits"]), help="Where distortion lookup tables begin."
)
@click.option("--dry-run", is_flag=True, help="Show what would be made, from what, why, and how large.")
@json_option
@click.pass_context
def mosaic(ctx: click.Context, visit: str | None, tile: str | None, **options: Any) -> int:
    """Make the products of a visit or a sky tile, or find them current.

    \b
    hapctl mosaic --visit j8bt06                      all products of a visit
    hapctl mosaic --tile skycell-p0046x03y19          the layers of a tile
    hapctl mosaic --visit j8bt06 --dry-run            what would be made, and why
    """
    from hapctl.cli.mosaic_report import mosaic_document, print_mosaic
    from hapctl.cli.settings import open_from

    if (visit is None) == (tile is None):
        raise click.UsageError("give either --visit or --tile", ctx)
    settings, catalog = open_from(
        ctx,
        wcs_policy=options["wcs_policy"],
        output=options["output"],
        threads=options["threads"],
        memory_limit=options["max_memory"],
        lookup_origin=options["lookup_origin"],
    )
    chosen = mosaic_options(settings, **{name: options[name] for name in _CHOICES})
    report = _run(catalog, visit, tile, chosen, options["dry_run"])
    if options["as_json"]:
        print_json(mosaic_document(report, options["dry_run"]))
    else:
        print_mosaic(report, options["dry_run"])
    return 0


def mosaic_options(settings: "Settings", **choices: Any) -> "MosaicOptions":
    """Return the options of products: what the settings say, and what this command chose besides."""
    from hapctl.processing.pipeline.planned import MosaicOptions

    return MosaicOptions(
        home=settings.home,
        output=settings.output,
        wcs_policy=cast("WcsPolicy", settings.wcs_policy),  # the settings allow no other
        origin=cast("LookupOrigin", settings.lookup_origin),
        threads=settings.threads,
        memory_limit=settings.memory_limit,
        **choices,
    )


def _run(
    catalog: Any, visit: str | None, tile: str | None, options: "MosaicOptions", dry_run: bool
) -> "MosaicReport":
    import sys

    from hapctl.cli.progress import shown_progress

    with shown_progress() as observer:
        if visit is not None:
            from hapctl.processing.pipeline.mosaic_visit import mosaic_visit

            return mosaic_visit(
                catalog, visit, options, dry_run=dry_run, arguments=sys.argv[1:], observer=observer
            )
        from hapctl.processing.pipeline.mosaic_tile import mosaic_tile

        return mosaic_tile(
            catalog, str(tile), options, dry_run=dry_run, arguments=sys.argv[1:], observer=observer
        )
