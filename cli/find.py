"""``hapctl find``: the sources of one file, without a catalog of exposures."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from hapctl.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from hapctl.processing.astrometry.solution import LookupOrigin
    from hapctl.processing.astrometry.source_catalog import Range, SourceCatalog
    from hapctl.processing.imaging.image_sources import ImageSources

_PATH = click.Path(dir_okay=False, path_type=Path)
_SHOWN = 10
_RANGES = ("flux", "snr", "magnitude", "peak", "sharpness", "roundness")


@click.command()
@click.argument("file", type=_PATH, metavar="FILE")
@click.option("--chip", "chips", type=int, multiple=True, metavar="EXTVER", help="This SCI only; repeatable.")
@click.option("--threshold", type=click.FloatRange(min=0, min_open=True), help="Least S/N.  [usually: 7]")
@click.option("--fwhm", type=click.FloatRange(1.0, 12.0), help="Width of the stars to begin with, pixels.")
@click.option("--nbright", type=click.IntRange(min=1), metavar="N", help="Keep the N brightest of each chip.")
@click.option("--stars", is_flag=True, help="Keep what a fit would use: no galaxies, no cosmic rays.")
@click.option("--without", multiple=True, metavar="FLAG", help="Leave out sources so flagged; repeatable.")
@click.option("--flux", metavar="MIN:MAX", help="Keep this range; either end may be left out.")
@click.option("--snr", metavar="MIN:MAX", help="The same for the signal-to-noise ratio.")
@click.option("--magnitude", metavar="MIN:MAX", help="The same for -2.5 log of flux per second.")
@click.option("--peak", metavar="MIN:MAX", help="The same for the brightest pixel, background and all.")
@click.option(
    "--sharpness", metavar="MIN:MAX", help="The same: a star has 1, cosmic rays more, galaxies less."
)
@click.option("--roundness", metavar="MIN:MAX", help="The same: a star has 0, a trail up to 2 or down to -2.")
@click.option("--box", metavar="X0:X1,Y0:Y1", help="Keep what lies there; FITS pixels, from 1.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="[EXTVER:]REG",
    help="DS9 regions: leave out what lies in any shape; repeatable.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="[EXTVER:]REG",
    help="DS9 regions: keep what lies in a shape, and not in one marked '-'; repeatable.",
)
@click.option("--output", type=_PATH, metavar="PATH", help="Save as ECSV, or DS9 regions if it ends in .reg.")
@click.option(
    "--regions", is_flag=False, flag_value="", metavar="[PATH]", help="Save DS9 regions.  [FILE_sources.reg]"
)
@click.option(
    "--plot",
    is_flag=False,
    flag_value="",
    metavar="[PATH]",
    help="Draw as PNG, PDF or SVG.  [FILE_sources.png]",
)
@click.option("--overwrite", is_flag=True, help="Replace older files.")
@click.option("--threads", type=click.IntRange(min=1), help="Chips at once; the sources are the same.")
@click.option("--max-memory", metavar="SIZE", help="Refuse work predicted to need more, such as 2GB.")
@json_option
@click.pass_context
def find(ctx: click.Context, file: Path, **options: Any) -> int:
    """Find and measure the sources of FILE: an exposure (all chips) or a drizzled product.

    Positions are fits of an effective PSF made from the chip's own stars; everything suspicious is kept and
    flagged. Nothing but the files asked for is written.

    \b
    hapctl find j8bt06nyq_flt.fits                        how many, how wide, the brightest
    hapctl find j8bt06nyq_flt.fits --plot --regions       a picture, and regions for DS9
    hapctl find j8bt06nyq_flt.fits --stars --output stars.ecsv
    hapctl find m31_drc.fits --snr 20: --nbright 500 --output m31.ecsv
    hapctl find jbt101abq_flc.fits --chip 2 --exclude 2:ghost.reg --exclude dragon.reg
    hapctl find m31_drc.fits --magnitude :-2 --box 1:2000,1:2000 --json

    FILE comes before options that may stand without a value (--plot, --regions). Pixels on the screen and in
    regions count from 1, as in DS9; in ECSV from 0, and the file says so.
    """
    from hapctl.cli.settings import settings_from
    from hapctl.processing.imaging.image_sources import SettingsChange, find_sources

    settings = settings_from(ctx, threads=options["threads"], memory_limit=options["max_memory"])
    limits = _limits(options)
    places = _places(file, options)
    change = SettingsChange(options["fwhm"], options["threshold"])
    found = find_sources(
        file,
        change,
        extvers=options["chips"],
        threads=settings.threads,
        memory_limit=settings.memory_limit,
        origin=cast("LookupOrigin", settings.lookup_origin),
    )
    kept = _narrowed(found, limits, options)
    written = _written(file, kept, places, options["overwrite"])
    document = _document(file, found, kept, written)
    if options["as_json"]:
        print_json(document)
    else:
        _tell(document)
    return 0


def _limits(options: dict[str, Any]) -> "dict[str, Any]":
    limits: dict[str, Any] = {name: _range(options[name], name) for name in _RANGES if options[name]}
    if options["stars"] or options["without"]:
        limits["without"] = _flags(options["without"], options["stars"])
    if options["box"]:
        across, _, up = options["box"].partition(",")
        (x0, x1), (y0, y1) = _range(across, "box"), _range(up or ":", "box")
        ends = (x0, y0, x1, y1)
        open_ends = (1.0, 1.0, 1e9, 1e9)
        limits["box"] = tuple(
            (far if end is None else end) - 1.0 for end, far in zip(ends, open_ends, strict=True)
        )
    return limits


def _flags(names: tuple[str, ...], unfit: bool) -> int:
    from hapctl.processing.astrometry.detection import UNFIT, SourceFlag
    from hapctl.processing.errors import UsageProblemError

    known = {str(flag.name).lower(): flag for flag in SourceFlag}
    without = int(UNFIT) if unfit else 0
    for name in names:
        if name.lower().replace("-", "_") not in known:
            raise UsageProblemError(f"--without {name} is no flag", f"the flags are {', '.join(known)}")
        without |= int(known[name.lower().replace("-", "_")])
    return without


def _range(text: str, name: str) -> "Range":
    from hapctl.processing.errors import UsageProblemError

    least, colon, greatest = text.partition(":")
    try:
        ends = (float(least) if least else None, float(greatest) if greatest else None)
    except ValueError:
        colon = ""
    if not colon:
        raise UsageProblemError(f"--{name} {text} is no range", "write MIN:MAX, such as 20: or :-2.5")
    return ends


def _places(file: Path, options: dict[str, Any]) -> dict[str, Path]:
    """What is to be written where, by kind; refused before any work is done."""
    from hapctl.processing.errors import RefusedError, UsageProblemError

    stem = re.sub(r"\.(fits|fit)(\.gz)?$", "", file.name)
    places = {}
    if options["output"] is not None:
        places["catalog"] = options["output"]
    for kind, ends in (("regions", (".reg",)), ("plot", (".png", ".pdf", ".svg"))):
        if options[kind] is None:
            continue
        place = Path(options[kind] or f"{stem}_sources{ends[0]}")
        if place.suffix.lower() not in ends:
            raise UsageProblemError(
                f"--{kind} {place}: the name does not end in {' or '.join(ends)}",
                f"put FILE before --{kind}, or give another name",
            )
        places[kind] = place
    for place in places.values():
        if place.exists() and not options["overwrite"]:
            raise RefusedError(f"{place} is there already", "write elsewhere, or give --overwrite")
    return places


def _narrowed(found: "ImageSources", limits: dict[str, Any], options: dict[str, Any]) -> "SourceCatalog":
    from hapctl.processing.astrometry.source_catalog import SourceCatalog

    parts = []
    for extver, part in found.catalog.filtered(**limits).by_chip():
        for option in ("include", "exclude"):
            for text in options[option]:
                part = _by_regions(part, option, text, extver, found)
        parts.append(part if options["nbright"] is None else part.brightest(options["nbright"]))
    if not parts:
        return found.catalog.chosen(slice(0))
    from dataclasses import replace

    return replace(SourceCatalog.joined(parts), shapes=found.catalog.shapes)


def _by_regions(
    part: "SourceCatalog", option: str, text: str, extver: int, found: "ImageSources"
) -> "SourceCatalog":
    from hapctl.processing.astrometry.ds9_regions import read_regions

    match = re.fullmatch(r"(?:(\d+):)?(.+)", text)
    assert match is not None
    if match[1] is not None and int(match[1]) != extver:
        return part
    regions = read_regions(match[2], found.physical[extver])
    return part.included(regions) if option == "include" else part.excluded(regions)


def _written(file: Path, kept: "SourceCatalog", places: dict[str, Path], overwrite: bool) -> dict[str, str]:
    for kind in ("catalog", "regions"):
        if kind in places:
            kept.save(places[kind], overwrite=overwrite)
    if "plot" in places:
        from hapctl.processing.imaging.image_sources import images_of

        kept.plot(places["plot"], images_of(file, list(kept.shapes)))
    return {kind: str(place) for kind, place in places.items()}


def _document(
    file: Path, found: "ImageSources", kept: "SourceCatalog", written: dict[str, str]
) -> dict[str, Any]:
    from hapctl.processing.astrometry.trailing import is_trailed

    return {
        "file": str(file),
        "kind": found.kind,
        "trailed": is_trailed(list(found.detections.values())),
        "wcs": found.wcs or None,
        "threshold": found.settings.threshold,
        "chips": [_chip(found, kept, extver) for extver in found.detections],
        "found": len(found.catalog),
        "kept": len(kept),
        "usable": int(kept.usable.sum()),
        "brightest": [_source(kept, number) for number in _brightest(kept)],
        "files": written,
    }


def _chip(found: "ImageSources", kept: "SourceCatalog", extver: int) -> dict[str, Any]:
    detections, part = found.detections[extver], kept.chosen(kept.extver == extver)
    return {
        "extver": extver,
        "shape": list(found.catalog.shapes[extver]),
        "found": len(detections),
        "kept": len(part),
        "usable": int(part.usable.sum()),
        "fwhm": round(detections.fwhm, 3),
        "psf_stars": detections.psf_stars,
        "elongation": round(detections.elongation, 3),
    }


def _brightest(kept: "SourceCatalog") -> list[int]:
    import numpy as np

    return [int(number) for number in np.argsort(-kept.flux, kind="stable")[:_SHOWN]]


def _source(kept: "SourceCatalog", number: int) -> dict[str, Any]:
    from hapctl.processing.astrometry.detection import SourceFlag

    flags = SourceFlag(int(kept.flags[number]))
    return {
        "extver": int(kept.extver[number]),
        "x_fits": _rounded(kept.x[number] + 1.0, 3),
        "y_fits": _rounded(kept.y[number] + 1.0, 3),
        "ra": _rounded(kept.ra[number], 8),
        "dec": _rounded(kept.dec[number], 8),
        "magnitude": _rounded(kept.magnitude[number], 3),
        "snr": _rounded(kept.snr[number], 1),
        "sharpness": _rounded(kept.sharpness[number], 2),
        "flags": [str(flag.name).lower() for flag in flags],
    }


def _rounded(value: float, digits: int) -> float | None:
    """None stands for what is not known: JSON has no NaN."""
    return round(float(value), digits) if value == value else None


def _tell(document: dict[str, Any]) -> None:
    from hapctl.cli.tables import print_answer

    for chip in document["chips"]:
        psf = (
            f"PSF of {chip['psf_stars']} stars"
            if chip["psf_stars"]
            else "too few stars for a PSF: a Gaussian"
        )
        click.echo(
            f"SCI,{chip['extver']}  {chip['found']} found, {chip['kept']} kept, {chip['usable']} fit for "
            f"alignment; FWHM {chip['fwhm']:.2f} pixel, {psf}"
        )
    if document["trailed"]:
        say("hapctl: the sources are long in one direction on every chip: the telescope moved")
    if not document["wcs"]:
        say("hapctl: the file has no usable WCS: pixels only")
    if document["brightest"]:
        click.echo(f"\nThe brightest, of {document['kept']}:")
        rows = [[_cell(value) for value in row.values()] for row in document["brightest"]]
        print_answer(list(document["brightest"][0]), rows, "table")
    for kind, path in document["files"].items():
        click.echo(f"{kind}: {path}")


def _cell(value: Any) -> Any:
    return " ".join(value) if isinstance(value, list) else value
