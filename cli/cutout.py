"""``hapctl cutout``: a field cut out of products, all their images with WCS and inputs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from hapctl.cli.fields import region_options
from hapctl.cli.output import json_option, print_json

if TYPE_CHECKING:
    from hapctl.processing.imaging.cutout import Cutout


@click.command()
@click.argument("products", nargs=-1, metavar="[PRODUCT|TILE]...")
@click.option("--visit", metavar="IPPPSS", help="All drizzled products of a visit.")
@region_options
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the cut-outs [default: cutouts in that of the products].",
)
@click.option(
    "--compress",
    type=click.Choice(["gzip", "rice"]),
    help="Tile-compressed FITS. gzip: lossless; rice: smaller, SCI rounded to a sixteenth of its noise.",
)
@json_option
@click.pass_context
def cutout(
    ctx: click.Context,
    products: tuple[str, ...],
    visit: str | None,
    center: tuple[float, float] | None,
    size: tuple[float, float] | None,
    output: Path | None,
    compress: Literal["gzip", "rice"] | None,
    as_json: bool,
) -> int:
    """Cut a field out of products: of files, tiles or a visit, or of all layers that hold it.

    Each cut-out has all images of its product (SCI, WHT, CTX, VAR), copied to the bit, their WCS, and the
    inputs that touch it. Where the field lies on the edge of tiles their layers are put together. Beyond the
    product SCI and VAR are NaN, WHT and CTX 0; without any data there is no cut-out (exit code 65).

    \b
    hapctl cutout --center 5.67 -72.07 --size 30arcsec              of all layers there
    hapctl cutout skycell-p0046x03y19 --center 5.67 -72.07 --size 1x0.5
    hapctl cutout --visit j8bt06 --center 5.67 -72.07 --size 10arcsec
    hapctl cutout my_drz.fits --center 00:22:40 -72:04:12 --size 1 --output here
    """
    import sys

    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.cut_products import CutRequest, cut_products

    if center is None or size is None:
        raise click.UsageError("say where: --center RA DEC and --size W[xH]", ctx)
    settings, catalog = open_from(ctx)
    folder = output or settings.output / "cutouts"
    request = CutRequest(center, size, folder, products, visit.lower() if visit else None, compress)
    report = cut_products(catalog, request, sys.argv[1:])
    if as_json:
        cutouts = [_document(one) for one in report.cutouts]
        print_json({"run": report.run, "cutouts": cutouts, "empty": report.empty})
        return 0
    for one in report.cutouts:
        height, width = one.shape
        share = 100.0 * one.covered_pixels / (height * width)
        click.echo(f"{one.path}  {width} x {height}, {share:.0f} % with data, {len(one.inputs)} exposures")
    for reason in report.empty.values():
        click.echo(f"left out: {reason}")
    return 0


def _document(one: "Cutout") -> dict[str, Any]:
    return {
        "path": str(one.path),
        "sha256": one.sha256,
        "bytes": one.bytes,
        "nx": one.shape[1],
        "ny": one.shape[0],
        "covered_pixels": one.covered_pixels,
        "products": list(one.products),
        "inputs": list(one.inputs),
    }
