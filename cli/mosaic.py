"""``hapctl mosaic``: the products of visits and the layers of sky tiles."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import click
from hapctl.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hapctl.cli.settings import Settings
    from hapctl.processing.astrometry.solution import LookupOrigin
    from hapctl.processing.pipeline.build_product import ProductResult
    from hapctl.processing.pipeline.mosaic_run import MosaicReport
    from hapctl.processing.pipeline.planned import MosaicOptions
    from hapctl.processing.pipeline.wcs_policy import WcsPolicy


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
    chosen = _mosaic_options(settings, options["pixfrac"])
    report = _run(catalog, visit, tile, chosen, options["dry_run"])
    if options["as_json"]:
        print_json(_document(report, options["dry_run"]))
    else:
        _print(report, options["dry_run"])
    return 0


def _mosaic_options(settings: "Settings", pixfrac: float | None) -> "MosaicOptions":
    from hapctl.processing.pipeline.planned import MosaicOptions

    return MosaicOptions(
        home=settings.home,
        output=settings.output,
        wcs_policy=cast("WcsPolicy", settings.wcs_policy),  # the settings allow no other
        origin=cast("LookupOrigin", settings.lookup_origin),
        threads=settings.threads,
        pixfrac=pixfrac,
        memory_limit=settings.memory_limit,
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


def _document(report: "MosaicReport", dry_run: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "run": report.run,
        "products": [_product(product, dry_run) for product in report.products],
        "finished": list(report.settled.finished),
        "undone": list(report.settled.undone),
    }
    if dry_run:
        return {**document, "masks_to_make": list(report.masks_to_make)}
    return {**document, "profile": {step: asdict(seconds) for step, seconds in report.seconds.items()}}


def _product(product: "ProductResult", dry_run: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": product.kind,
        "name": product.name,
        "path": str(product.path),
        "preview": str(product.preview),
        "status": product.status,
        "why": list(product.why),
        "detector": product.detector,
        "filter": product.filter,
        "nx": product.shape[1],
        "ny": product.shape[0],
        "exposures": list(product.exposures),
        "left_out": [{"code": code, "reason": reason} for code, reason in product.left_out],
        "product_id": product.product_id,
    }
    if dry_run:
        sizes = {name: getattr(product, name) for name in ("bytes", "memory_bytes", "scratch_bytes")}
        return {**row, **sizes, "drizzle": product.drizzle}
    return {**row, "pixels_sha256": product.pixels_sha256}


def _print(report: "MosaicReport", dry_run: bool) -> None:
    for name in report.settled.finished:
        say(f"hapctl: finished {name}, left pending by a run that was killed")
    for name in report.settled.undone:
        say(f"hapctl: undid {name}, left pending by a run that was killed")
    for product in report.products:
        click.echo(_line(product, dry_run))
    if report.seconds:
        steps = ", ".join(
            f"{step.replace('_', ' ')} {seconds.processor:.2f}" for step, seconds in report.seconds.items()
        )
        click.echo(f"processor seconds by step: {steps}")
    if report.masks_to_make:
        click.echo(f"masks to make: {', '.join(report.masks_to_make)}")


def _line(product: "ProductResult", dry_run: bool) -> str:
    text = f"{product.status:9}  {product.kind:8}  {product.path}"
    if product.status in ("retired", "to retire"):
        words = f"made no more, its files stay; because: {'; '.join(product.why)}"
        return f"{text}\n           {words}"
    details = [f"from {', '.join(product.exposures)}"] if dry_run else []
    if product.why:
        details.append("because: " + "; ".join(product.why))
    if dry_run:
        disk, memory = (product.bytes or 0) / 1e6, (product.memory_bytes or 0) / 1e6
        details.append(f"{disk:.1f} MB on disk, {memory:.0f} MB of memory")
        details.append(_parameters(product.drizzle))
    details += [f"left out ({code}): {reason}" for code, reason in product.left_out]
    return "\n".join([text, *(f"           {detail}" for detail in details)])


def _parameters(drizzle: "Mapping[str, Any]") -> str:
    """The parameters that differ most; all of them are in the JSON."""
    final, rays, median = drizzle["final"], drizzle["cosmic_rays"], drizzle["median"]
    text = f"{final['kernel']}, pixfrac {final['pixfrac']:g}, {final['weight']}, good bits {final['bits']}"
    if not rays["enabled"]:
        return text
    snr, scale = (" ".join(f"{value:g}" for value in rays[name]) for name in ("snr", "scale"))
    return f"{text}; cosmic rays by {median['type']}, snr {snr}, scale {scale}"
