"""The images of `hapctl tweak`: where each begins, its sources, and lists of a user's beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.processing.astrometry.catalog_files import ListColumns, read_catalog
from hapctl.processing.astrometry.detection import Detections, detect_sources
from hapctl.processing.astrometry.ds9_regions import read_regions
from hapctl.processing.astrometry.exposure import exposure_facts
from hapctl.processing.astrometry.file_kinds import file_suffix, rejected_kind
from hapctl.processing.astrometry.fits_structure import number, primary_header, read_fits, text
from hapctl.processing.astrometry.joint_priors import guide_stars
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.peak_finding import roundness_of
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin, WcsSolution
from hapctl.processing.astrometry.source_list import SourceList, source_list
from hapctl.processing.astrometry.trailing import is_trailed
from hapctl.processing.astrometry.tweak_choices import finder_settings, joined_sources, separated
from hapctl.processing.astrometry.tweak_parameters import FindParameters, SourceParameters, TweakParameters
from hapctl.processing.errors import MissingFileError, UnusableFileError, UsageProblemError
from hapctl.processing.imaging.chip_data import ChipPixels, ExposureImage
from hapctl.processing.imaging.input_files import PRODUCT, LeftOut, find_inputs, read_inputs
from hapctl.processing.parameter_values import NO_VALUE
from numpy.typing import NDArray

USUAL_MOST = 2000
_TRAILED = "its sources are drawn out in one direction: guiding failed, or it combines images not aligned"
ListedFiles = Mapping[str, Sequence[str]]
"""File name of an image -> a file (or None) for each of its chips."""


@dataclass(frozen=True)
class ImageFacts:
    """What is needed of an image's headers.

    Attributes
    ----------
    name : str
        Rootname of an exposure; of a product the beginning of its file name.
    visit, detector, suffix : str
        A product counts as a visit of its own.
    exposure_time : float
        Seconds.
    start_mjd, mjd : float
        Begin and middle, UTC; NaN where unknown.
    fgs_lock : str
        FGSLOCK; empty where unknown, and for products.
    guide_stars : tuple of str
        As an engineering file (spt) beside the exposure names them; empty without one.
    """

    name: str
    visit: str
    detector: str
    suffix: str
    exposure_time: float
    start_mjd: float
    mjd: float
    fgs_lock: str = ""
    guide_stars: tuple[str, ...] = ()


def image_facts(path: Path) -> ImageFacts:
    """Read the facts of an exposure or of a drizzled product.

    Raises
    ------
    UnusableFileError
        An exposure lacks what it must have.
    """
    extensions = read_fits(path)
    top = extensions[0].header
    if rejected_kind(extensions, path.name) == PRODUCT:
        start, end = number(top, "EXPSTART"), number(top, "EXPEND")
        stem, suffix = path.name.split(".")[0], file_suffix(top, path.name) or "drz"
        detector = text(top, "DETECTOR").upper()
        return ImageFacts(stem, stem, detector, suffix, number(top, "EXPTIME"), start, 0.5 * (start + end))
    facts = exposure_facts(extensions, str(path))
    start = float("nan") if facts.mjd_start is None else facts.mjd_start
    end = float("nan") if facts.mjd_end is None else facts.mjd_end
    return ImageFacts(
        name=facts.rootname,
        visit=facts.visit,
        detector=facts.detector,
        suffix=facts.suffix,
        exposure_time=facts.exposure_time or 1.0,
        start_mjd=start,
        mjd=0.5 * (start + end),
        fgs_lock=facts.fgs_lock or "",
        guide_stars=_guide_stars(path.with_name(f"{facts.rootname}_spt.fits")),
    )


def _guide_stars(path: Path) -> tuple[str, ...]:
    return guide_stars(primary_header(path)) if path.is_file() else ()


@dataclass(frozen=True)
class TweakImage:
    """An image to be aligned.

    Attributes
    ----------
    path : Path
    start : WcsSolution
        Its primary WCS.
    facts : ImageFacts
    sources : SourceList
    """

    path: Path
    start: WcsSolution
    facts: ImageFacts
    sources: SourceList

    @property
    def root(self) -> str:
        """The file name without ``.fits`` and ``.gz``: what files about it begin with."""
        return self.path.name.removesuffix(".gz").removesuffix(".fits")


def read_images(
    names: Sequence[str], parameters: TweakParameters, on_progress: Callable[[str], None] = lambda _: None
) -> tuple[list[TweakImage], list[LeftOut]]:
    """Read the images that names stand for, and find or read their sources.

    Parameters
    ----------
    names : sequence of str
        As `input_files.find_inputs` takes them.
    parameters : TweakParameters
    on_progress : callable
        Told in words what is being done.

    Returns
    -------
    images : list of TweakImage
    left_out : list of LeftOut
        Files of another kind, trailed images, images whose time is unknown.

    Raises
    ------
    UsageProblemError, MissingFileError, UnusableFileError, NoViableDataError
        Of the names, the files, or the lists beside them.
    """
    exposures, left_out = read_inputs(find_inputs(names), products=True)
    lists = read_listed(parameters.sources.catfile)
    exclusions = read_listed(parameters.images.exclusions)
    images = []
    for one in exposures:
        path = one.file.path
        facts = image_facts(path)
        on_progress(f"finding sources of {path.name}")
        found, trailed = _sources_of(path, one.solution, facts, parameters, lists, exclusions)
        if trailed:
            left_out.append(LeftOut(str(path), _TRAILED))
        elif not np.isfinite(facts.mjd):
            left_out.append(LeftOut(str(path), "its time is unknown (EXPSTART, EXPEND)"))
        else:
            images.append(TweakImage(path, one.solution, facts, found))
    return images, left_out


def _sources_of(
    path: Path,
    start: WcsSolution,
    facts: ImageFacts,
    parameters: TweakParameters,
    lists: ListedFiles,
    exclusions: ListedFiles,
) -> tuple[SourceList, bool]:
    regions = exclusions.get(path.name, ())
    most = parameters.sources.nbright or USUAL_MOST
    if path.name in lists:
        sources = listed_sources(start, lists[path.name], parameters, regions)
        return separated(joined_sources([sources], most), parameters.match.separation), False
    found = []
    with ExposureImage(path) as image:
        for place, (chip, pixels) in enumerate(_chips(start, image)):
            excluded = regions[place] if place < len(regions) else "None"
            found.append(_found(chip, pixels, facts.detector, parameters, excluded))
    sources = source_list(start, found, facts.exposure_time, most=most, origin=parameters.lookup_origin)
    return separated(sources, parameters.match.separation), is_trailed(found)


def _chips(start: WcsSolution, image: ExposureImage) -> list[tuple[ChipWcs, ChipPixels]]:
    pixels = {chip.extver: chip for chip in image.chips}
    missing = [chip.extver for chip in start.chips if chip.extver not in pixels]
    if missing:
        raise UnusableFileError(f"{image.path}: no pixels of SCI,{missing[0]}", "fetch the file again")
    return [(chip, pixels[chip.extver]) for chip in start.chips]


def _found(
    chip: ChipWcs, pixels: ChipPixels, detector: str, parameters: TweakParameters, excluded: str
) -> Detections:
    science, error = pixels.science(), pixels.error()
    noise = np.zeros_like(science) if error is None else error
    settings = finder_settings(parameters.find, detector)
    found = detect_sources(science, noise, pixels.quality(), settings)
    keep = _within_limits(found, science, parameters.find)
    if not _is_none(excluded):
        keep &= allowed_by(excluded, chip, found.x, found.y, parameters.lookup_origin)
    return found.chosen(keep)


def _within_limits(
    found: Detections, science: NDArray[np.float32], find: FindParameters
) -> NDArray[np.bool_]:
    keep = np.ones(len(found), dtype=np.bool_)
    for limit, sign in ((find.fluxmin, 1.0), (find.fluxmax, -1.0)):
        if limit is not None:
            keep &= sign * (found.flux - limit) >= 0
    if find.use_sharp_round and len(found):
        roundness = roundness_of(science, found.x, found.y)
        keep &= (found.sharpness >= find.sharplo) & (found.sharpness <= find.sharphi)
        keep &= (roundness >= find.roundlo) & (roundness <= find.roundhi)
    return keep


def allowed_by(
    file: str,
    chip: ChipWcs,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    origin: LookupOrigin = "hst",
) -> NDArray[np.bool_]:
    """Which places of a chip (0-based pixels) an exclusions file leaves.

    Of DS9 regions what lies in them stays, without those marked ``-``; where all are marked so, everything
    else stays. Of a mask (FITS image of the chip's shape) the pixels that are not 0 stay.
    """
    if Path(file).suffix.lower() in (".fits", ".fit", ".gz"):
        mask = _mask(Path(file), chip.shape)
        rows, columns = np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)
        return mask[np.clip(rows, 0, chip.shape[0] - 1), np.clip(columns, 0, chip.shape[1] - 1)]
    regions = read_regions(file)
    ra, dec = pixel_to_sky(chip, x, y, origin) if regions.on_sky else (np.zeros_like(x), np.zeros_like(x))
    return regions.included(x, y, ra, dec)


def _mask(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        with fits.open(path, memmap=False) as hdus:
            images = [hdu.data for hdu in hdus if getattr(hdu.data, "shape", None) == shape]
    except OSError as error:
        raise UnusableFileError(f"{path}: no FITS file: {error}", "give a mask or a region file") from error
    if not images:
        raise UsageProblemError(
            f"{path} has no image of {shape[1]} x {shape[0]} pixels", "give one of the chip"
        )
    return np.asarray(images[0] != 0, dtype=np.bool_)


def listed_sources(
    start: WcsSolution, files: Sequence[str], parameters: TweakParameters, regions: Sequence[str] = ()
) -> SourceList:
    """The sources of a user's lists, one for each chip; None leaves a chip without sources."""
    if len(files) > len(start.chips):
        raise UsageProblemError(
            f"{start.rootname} has {len(start.chips)} chips, and {len(files)} lists of sources",
            "give one for each chip, or None",
        )
    origin, chosen = parameters.lookup_origin, parameters.sources
    parts = []
    for place, (chip, file) in enumerate(zip(start.chips, files, strict=False)):
        if _is_none(file):
            continue
        listed = read_catalog(Path(file), list_columns(chosen), extver=chip.extver)
        if chosen.xyunits == "degrees":
            listed = listed.with_pixels(chip, origin)
        column = "flux" if chosen.fluxunits == "counts" else "magnitude"
        if (chosen.minflux, chosen.maxflux) != (None, None):
            listed = listed.filtered(**{column: (chosen.minflux, chosen.maxflux)})  # type: ignore[arg-type]
        if place < len(regions) and not _is_none(regions[place]):
            listed = listed.chosen(allowed_by(regions[place], chip, listed.x, listed.y, origin))
        parts.append(listed.source_list(start, origin=origin))
    if not parts:
        raise UsageProblemError(f"{start.rootname}: no list of sources", "give one for a chip at least")
    return joined_sources(parts, sum(map(len, parts)))


def list_columns(chosen: SourceParameters) -> ListColumns:
    """The columns of a user's lists, by the parameters."""
    flux = column_of(chosen.fluxcol)
    return ListColumns(
        x=column_of(chosen.xcol),
        y=column_of(chosen.ycol),
        flux=flux if chosen.fluxunits == "counts" else None,
        magnitude=flux if chosen.fluxunits == "mag" else None,
        units=chosen.xyunits,
    )


def column_of(text: str) -> str | int | None:
    """The name or number of a column; None where the parameter is empty."""
    word = text.strip()
    return (int(word) if word.isdecimal() else word) or None


def read_listed(file: str) -> dict[str, list[str]]:
    """Read a file with a line for each image: its name, then a file for each chip; empty without a file.

    Names of files count from the folder of the file that names them.

    Raises
    ------
    MissingFileError, UsageProblemError
        It is not there, or is no text.
    """
    if not file:
        return {}
    path = Path(file).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MissingFileError(f"{file} can't be read: {error.strerror}", "check the name") from error
    except UnicodeDecodeError as error:
        raise UsageProblemError(f"{file} is no text: {error.reason}", "write an image a line") from error
    rows = [words for line in lines if (words := line.split("#")[0].split())]
    return {Path(first).name: [_beside(path, name) for name in others] for first, *others in rows}


def _beside(path: Path, name: str) -> str:
    return name if _is_none(name) else str(path.parent / Path(name).expanduser())


def _is_none(name: str) -> bool:
    return name.lower() in NO_VALUE
