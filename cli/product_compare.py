"""``hapctl product compare``: two products against each other, such as an archive's and ours."""

from typing import TYPE_CHECKING

import click
from hapctl.cli.output import json_option, print_json

if TYPE_CHECKING:
    from hapctl.processing.imaging.product_comparison import PixelDifference, SourceDifference


@click.command("compare")
@click.argument("first")
@click.argument("second")
@click.option("--threads", type=click.IntRange(min=1), help="Threads that find sources.")
@click.option("--max-memory", metavar="SIZE", help="Refuse work predicted to need more, such as 2GB.")
@json_option
@click.pass_context
def compare(
    ctx: click.Context,
    first: str,
    second: str,
    threads: int | None,
    max_memory: str | None,
    as_json: bool,
) -> None:
    """Compare two products: FIRST and SECOND are numbers, names or paths of products, or other files.

    On a common lattice the science images are compared pixel by pixel where both have data. On different
    ones nothing is resampled: positions and fluxes of the sources found in both are compared.

    \b
    hapctl product compare hst_9019_09_acs_hrc_total_j8bt09_drz.fits archive/j8bt09010_drz.fits
    hapctl product compare 17 products/rebuilt/hst_9019_09_acs_hrc_total_j8bt09_drz.fits --json
    """
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.compare_products import as_document, compare_products

    settings, catalog = open_from(ctx, threads=threads, memory_limit=max_memory)
    found = compare_products(
        catalog, first, second, threads=settings.threads, memory_limit=settings.memory_limit
    )
    if as_json:
        print_json(as_document(found))
        return
    if found.same_pixels:
        click.echo(f"all pixels are the same: sha256 {found.first.pixels_sha256}")
    if found.pixels is not None:
        click.echo("\n".join(_pixel_lines(found.pixels)))
    if found.sources is not None:
        click.echo("\n".join(_source_lines(found.sources)))


def _pixel_lines(found: "PixelDifference") -> list[str]:
    height, width = found.shape
    lines = [
        f"lattice     the same; {width} x {height} pixels in common",
        f"with data   {found.pixels} in both, {found.only_first} in the first only, "
        f"{found.only_second} in the second only",
    ]
    if found.pixels:
        lines += [
            f"equal       {found.equal} of {found.pixels}, to the last bit",
            f"difference  median {found.median:.3g}, scatter {found.scatter:.3g}, "
            f"largest {found.largest:.3g} ({_units(found.units)})",
            f"ratio       {found.ratio:.6g} of the sums",
        ]
    return lines


def _source_lines(found: "SourceDifference") -> list[str]:
    lines = [
        "lattice     different: sources are compared",
        f"sources     {found.first} and {found.second}, {found.matched} in both",
    ]
    if found.matched:
        lines += [
            f"position    {found.ra_mas:+.2f} mas in RA (scatter {found.scatter_ra_mas:.2f}), "
            f"{found.dec_mas:+.2f} mas in Dec (scatter {found.scatter_dec_mas:.2f})",
            f"flux        ratio {found.flux_ratio:.5f} (scatter {found.flux_scatter:.5f}; "
            f"{_units(found.units)})",
        ]
    return lines


def _units(units: tuple[str, str]) -> str:
    first, second = (unit or "no unit" for unit in units)
    return first if first == second else f"{first} and {second}"
