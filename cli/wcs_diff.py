"""``hapctl wcs diff``: how far two solutions lie apart, as a table and as a plot."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from hapctl.cli.output import json_option, print_json
from hapctl.cli.settings import open_from, settings_from

if TYPE_CHECKING:
    from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
    from hapctl.processing.astrometry.wcs_comparison import SolutionDifference


@click.command()
@click.argument("first")
@click.argument("second")
@click.argument("third", required=False)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw arrows: PNG, PDF or SVG.")
@click.option(
    "--lookup-origin", type=click.Choice(["hst", "fits"]), help="Where distortion lookup tables begin."
)
@json_option
@click.pass_context
def diff(
    ctx: click.Context,
    first: str,
    second: str,
    third: str | None,
    plot: Path | None,
    lookup_origin: str | None,
    as_json: bool,
) -> None:
    """Compare two solutions: of an exposure (the one in force and NAME, or two names), or of files.

    mas east and north (second minus first) at the corners and the centre of every chip, and over each chip.
    FILE[PLACE] names a solution of a file: a WCSNAME, 'key O' or 'HDRLET 3'; without, its primary WCS.

    \b
    hapctl wcs diff j8bt09jcq OPUS
    hapctl wcs diff j8bt09jcq OPUS IDC_n721640fj --plot shift.png
    hapctl wcs diff j8bt09jcq_flt.fits aligned/j8bt09jcq_flt.fits
    hapctl wcs diff "j8bt09jcq_flt.fits[key O]" j8bt09jcq_hlet.fits
    """
    from hapctl.processing.astrometry.wcs_comparison import compare_solutions, difference_figure

    origin = cast("LookupOrigin", settings_from(ctx, lookup_origin=lookup_origin).lookup_origin)
    one, other = _chosen(ctx, first, second, third)
    difference = compare_solutions(one, other, origin)
    if plot is not None:
        from hapctl.processing.astrometry.figure_style import save

        save(difference_figure(one, other, origin), plot)
    document = {
        "first": difference.first,
        "second": difference.second,
        "rootname": one.rootname,
        "points": [{**vars(point), "distance_mas": point.distance_mas} for point in difference.points],
        "chips": [vars(chip) for chip in difference.chips],
        "plot": None if plot is None else str(plot),
    }
    if as_json:
        print_json(document)
        return
    _print(difference)
    if plot is not None:
        click.echo(str(plot))


def _chosen(
    ctx: click.Context, first: str, second: str, third: str | None
) -> "tuple[WcsSolution, WcsSolution]":
    if third is None and _is_file(first):
        one = _of_file(first)
        other = _of_file(second) if _is_file(second) else _of_file(f"{first}[{second}]")
        return _with_shapes(one, other)
    if _is_file(first):
        return _of_file(f"{first}[{second}]"), _of_file(f"{first}[{third}]")
    return _of_catalog(ctx, first, None if third is None else second, second if third is None else third)


def _is_file(name: str) -> bool:
    return Path(name.partition("[")[0]).suffix.lower() in (".fits", ".gz") or Path(name).is_file()


def _of_file(name: str) -> "WcsSolution":
    from hapctl.processing.astrometry.fits_structure import read_fits
    from hapctl.processing.astrometry.headerlet import read_headerlet
    from hapctl.processing.astrometry.wcs_writing import solution_in_file
    from hapctl.processing.errors import MissingFileError

    file, bracket, place = name.partition("[")
    path = Path(file)
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file", "check the name")
    if any(extension.name == "SIPWCS" for extension in read_fits(path)):
        return read_headerlet(path)
    return solution_in_file(path, place.rstrip("]") if bracket else None)


def _with_shapes(one: "WcsSolution", other: "WcsSolution") -> "tuple[WcsSolution, WcsSolution]":
    """Give the chips of a headerlet, which tells no shapes, those of the other solution."""
    from dataclasses import replace

    if any(min(chip.shape) < 1 for chip in one.chips):
        shapes = {chip.extver: chip.shape for chip in other.chips}
        chips = [replace(chip, shape=shapes.get(chip.extver, chip.shape)) for chip in one.chips]
        one = replace(one, chips=tuple(chips))
    return one, other


def _of_catalog(
    ctx: click.Context, rootname: str, first: str | None, second: str
) -> "tuple[WcsSolution, WcsSolution]":
    from hapctl.processing.pipeline.solution_store import solution_from_catalog
    from hapctl.processing.pipeline.wcs_exchange import chosen_line

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        ids = [chosen_line(connection, rootname, name).solution_id for name in (first, second)]
        one, other = (solution_from_catalog(connection, number) for number in ids)
    return one, other


def _print(difference: "SolutionDifference") -> None:
    from hapctl.cli.tables import print_answer

    click.echo(f"{difference.second} minus {difference.first}, mas")
    rows: list[list[Any]] = [
        [f"SCI,{p.extver}", p.place, f"{p.east_mas:+.3f}", f"{p.north_mas:+.3f}", f"{p.distance_mas:.3f}"]
        for p in difference.points
    ]
    print_answer(["chip", "place", "east", "north", "distance"], rows, "table")
    for chip in difference.chips:
        mean = f"mean {chip.east_mas:+.3f} east {chip.north_mas:+.3f} north"
        sizes = f"rms {chip.rms_mas:.3f}, largest {chip.largest_mas:.3f} mas"
        turned = f"roll {chip.roll_deg:+.6f} degree, scale {chip.scale:.8f}"
        click.echo(f"SCI,{chip.extver}: {mean}, {sizes}; {turned}")
