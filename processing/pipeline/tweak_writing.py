"""What `hapctl tweak` writes: catalogs, match and shift files, plots, headerlets, and images if asked for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.astrometry.alignment_plots import (
    offset_histogram,
    offsets_between,
    residual_vectors,
    residuals_against,
    transfer_map,
)
from hapctl.processing.astrometry.figure_style import figure_bytes
from hapctl.processing.astrometry.fits_structure import read_fits
from hapctl.processing.astrometry.headerlet import headerlet_bytes
from hapctl.processing.astrometry.match_files import (
    catfile_text,
    chip_catalog_text,
    match_ecsv,
    match_text,
    pixel_catalog_text,
    sky_catalog_text,
)
from hapctl.processing.astrometry.reading import solutions_in
from hapctl.processing.astrometry.shift_file import frame_bytes, shift_text
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.tweak_parameters import TweakParameters
from hapctl.processing.astrometry.wcs_writing import apply_solution
from hapctl.processing.errors import RefusedError, UsageProblemError
from hapctl.processing.imaging.input_files import same_file
from hapctl.processing.pipeline.tweak_blink import blink
from hapctl.processing.pipeline.tweak_inputs import TweakImage
from hapctl.processing.pipeline.tweak_run import Tweaked, TweakedImage
from hapctl.processing.whole_files import write_new
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
_HISTORY_WIDTH = 72
_BRIGHTEST = 1000
Content = bytes | str


@dataclass(frozen=True)
class TweakPlaces:
    """Where things go.

    Attributes
    ----------
    folder : Path
        Of all new files.
    in_place : bool
        Headers are updated in the images themselves, not in copies.
    overwrite : bool
        Older files are replaced.
    """

    folder: Path
    in_place: bool = False
    overwrite: bool = False


@dataclass
class Written:
    """The files that were written, and the image of each that got a new header."""

    files: list[Path] = field(default_factory=list)
    headers: dict[str, Path] = field(default_factory=dict)


def check_header_update(
    images: Sequence[TweakImage], parameters: TweakParameters, places: TweakPlaces
) -> None:
    """Refuse what could not be written in the end, before the work.

    Raises
    ------
    RefusedError
        A WCS of the new name is in a file already, or the copy would be the file itself or an older file.
    UsageProblemError
        A headerlet is named for several images.
    """
    check_names(parameters, len(images))
    if not parameters.header.updatehdr:
        return
    for image in images:
        check_free_name(image.path, parameters.header.wcsname, reuse=parameters.header.reusename)
        if places.in_place:
            continue
        target = places.folder / image.path.name
        if same_file(image.path, target):
            raise RefusedError(
                f"{target} is the image itself", "write copies to another folder, or give --in-place"
            )
        if target.exists() and not places.overwrite:
            raise RefusedError(f"{target} is there already", "write elsewhere, or give --overwrite")


def check_names(parameters: TweakParameters, images: int) -> None:
    """Refuse names that can't serve so many images."""
    given = parameters.headerlet
    if images > 1 and (given.hdrfile or given.hdrname):
        name = "hdrfile" if given.hdrfile else "hdrname"
        raise UsageProblemError(
            f"headerlet.{name} is one name for {images} images", "leave it empty: each gets its own"
        )
    if not parameters.header.wcsname.strip():
        raise UsageProblemError("header.wcsname is empty", "name the new WCS, such as TWEAK")


def check_free_name(path: Path, name: str, *, reuse: bool) -> None:
    """Refuse a name that a WCS of the file has.

    Raises
    ------
    RefusedError
        One has it, and `reuse` is not set.
    """
    names = {one.solution.name.upper() for one in solutions_in(read_fits(path), str(path))}
    if name.upper() in names and not reuse:
        raise RefusedError(
            f"{path} has a WCS {name} already",
            "choose another name (wcsname), or allow its reuse (reusename)",
        )


def write_tweaked(
    tweaked: Tweaked,
    parameters: TweakParameters,
    places: TweakPlaces,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Written:
    """Write all files that the parameters ask for; of refused images only catalogs and plots.

    Raises
    ------
    RefusedError, TooLargeError
        A file is there already, or can't be written.
    """
    written = Written()
    for name, content in _files(tweaked, parameters):
        written.files.append(write_new(places.folder / name, content, overwrite=places.overwrite))
    for result in tweaked.images:
        if result.solution is not None:
            _write_solution(result, result.solution, parameters, places, written, on_progress)
    return written


def _files(tweaked: Tweaked, parameters: TweakParameters) -> Iterator[tuple[str, Content]]:
    output = parameters.output
    if output.shiftfile:
        rows = [one.row for one in tweaked.images if one.row is not None]
        yield output.outshifts, shift_text(rows, output.outwcs)
        yield output.outwcs, frame_bytes(tweaked.frame)
    if output.writecat:
        yield from _catalogs(tweaked)
    for result in tweaked.images:
        yield from _match_files(result, tweaked, output.matches)
        yield from _plots(result, tweaked, parameters)
    if output.blink and (content := blink(tweaked, parameters.lookup_origin)) is not None:
        yield "blink.png", content


def _catalogs(tweaked: Tweaked) -> Iterator[tuple[str, Content]]:
    plane = tweaked.frame.plane
    names = []
    for result in tweaked.images:
        image, sources = result.image, result.image.sources
        chips = [chip.extver for chip in image.start.chips]
        files = [f"{image.root}_sci{extver}_xy_catalog.coo" for extver in chips]
        for extver, name in zip(chips, files, strict=True):
            yield name, chip_catalog_text(image.path.name, sources, extver)
        yield f"{image.root}_sky_catalog.coo", sky_catalog_text(image.path.name, sources.ra, sources.dec)
        pixels = tweaked.frame.pixels(plane.project_sky(sources.ra, sources.dec))
        yield f"{image.root}_refxy_catalog.coo", pixel_catalog_text(image.path.name, pixels)
        names.append((image.path.name, files))
    yield "xy_catfile.list", catfile_text(names)
    if tweaked.reference.stars is not None:
        stars = tweaked.reference.stars
        yield "refcat_sky_catalog.coo", sky_catalog_text(tweaked.reference.name, stars.ra, stars.dec)


def _match_files(result: TweakedImage, tweaked: Tweaked, kind: str) -> Iterator[tuple[str, Content]]:
    name, root, frame = result.image.path.name, result.image.root, tweaked.frame
    if kind in ("columns", "both") and result.row is not None:
        text = match_text(name, result.matches, frame, result.row, tweaked.reference.name)
        yield f"{root}_catalog_fit.match", text
    if kind in ("ecsv", "both"):
        yield f"{root}_matches.ecsv", match_ecsv(name, result.matches, frame, tweaked.reference.name)


def _plots(
    result: TweakedImage, tweaked: Tweaked, parameters: TweakParameters
) -> Iterator[tuple[str, Content]]:
    output, root = parameters.output, result.image.root
    title = f"{result.image.path.name} against {result.frame}"
    limit = None if output.ylimit is None else 1000.0 * output.ylimit * tweaked.frame.scale
    stars = result.residuals
    if output.residplot in ("both", "vector"):
        yield f"residuals_{root}_vector.png", figure_bytes(residual_vectors(stars, title=title))
    if output.residplot in ("both", "residuals"):
        yield f"residuals_{root}.png", figure_bytes(residuals_against(stars, title=title, limit=limit))
        transfer = transfer_map(stars.y, stars.magnitudes, stars.along_y, used=stars.used, title=title)
        yield f"residuals_{root}_cte.png", figure_bytes(transfer)
    if output.see2dplot and parameters.match.use2dhist:
        yield f"hist2d_{root}.png", figure_bytes(_histogram(result, tweaked, title))


def _histogram(result: TweakedImage, tweaked: Tweaked, title: str) -> "Figure":
    plane = tweaked.frame.plane
    sources = result.image.sources
    mine = plane.project_sky(sources.ra[:_BRIGHTEST], sources.dec[:_BRIGHTEST])
    offsets = offsets_between(mine, _others(result, tweaked), tweaked.radius)
    peak = (result.fit(mine) - mine).mean(axis=0) if result.accepted and len(mine) else None
    return offset_histogram(offsets, radius=tweaked.radius, peak=peak, title=title)


def _others(result: TweakedImage, tweaked: Tweaked) -> Array:
    """What an image is matched with, in the plane: the reference, else the sources of the other images."""
    plane, stars = tweaked.frame.plane, tweaked.reference.stars
    if stars is not None:
        return plane.project_sky(stars.ra, stars.dec)
    others = [one.image.sources for one in tweaked.images if one is not result]
    return np.concatenate([plane.project_sky(s.ra[:_BRIGHTEST], s.dec[:_BRIGHTEST]) for s in others])


def _write_solution(
    result: TweakedImage,
    solution: WcsSolution,
    parameters: TweakParameters,
    places: TweakPlaces,
    written: Written,
    on_progress: Callable[[str], None],
) -> None:
    image, given = result.image, parameters.headerlet
    if given.headerlet:
        content = headerlet_bytes(
            solution, suffix=image.facts.suffix, history=_history(given.history, result)
        )
        name = given.hdrfile or f"{image.root}_{solution.name}_hlet.fits"
        overwrite = given.clobber or places.overwrite
        written.files.append(write_new(places.folder / name, content, overwrite=overwrite))
    if parameters.header.updatehdr:
        target = image.path if places.in_place else places.folder / image.path.name
        on_progress(f"writing the WCS {solution.name} to {target}")
        places.folder.mkdir(parents=True, exist_ok=True)
        attach = given.headerlet and given.attach
        applied = apply_solution(image.path, target, solution, attach=attach)
        written.headers[image.path.name] = applied.path


def _history(file: str, result: TweakedImage) -> list[str]:
    """HISTORY of a headerlet: the lines of the user's file, then how the image was moved."""
    lines = []
    if file:
        try:
            lines = Path(file).read_text(encoding="ascii", errors="replace").splitlines()
        except OSError as error:
            raise UsageProblemError(
                f"{file} can't be read: {error.strerror}", "check headerlet.history"
            ) from error
    if result.row is not None:
        row = result.row
        lines.append(f"x_shift {row.dx:.6f} y_shift {row.dy:.6f} pixels of the shift file's frame")
        lines.append(f"rotation {row.rotation:.6f} scale {row.scale:.8f}")
    return [line[:_HISTORY_WIDTH] for line in lines]
