"""The reference of `hapctl tweak`: a list, an image's sources, or a catalog that a service is asked for.

No database is needed: what a service answers is used and forgotten.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hapctl.archive.gaia_columns import BadTableError, read_table, stars_from_table
from hapctl.archive.reference_catalogs import ReferenceServices, find_catalog
from hapctl.archive.sky_region import regions_around
from hapctl.processing.astrometry.catalog_files import ListColumns, read_catalog
from hapctl.processing.astrometry.detection import detect_sources
from hapctl.processing.astrometry.fits_structure import number, read_fits
from hapctl.processing.astrometry.footprint import solution_polygons
from hapctl.processing.astrometry.gaia_cleaning import clean_stars
from hapctl.processing.astrometry.reading import solutions_in
from hapctl.processing.astrometry.reference_stars import ReferenceStars, reference_stars
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.source_list import SourceList, source_list
from hapctl.processing.astrometry.tweak_choices import finder_settings
from hapctl.processing.astrometry.tweak_parameters import ReferenceParameters, TweakParameters
from hapctl.processing.errors import MissingFileError, UnusableFileError, UsageProblemError
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.pipeline.tweak_inputs import TweakImage, column_of
from numpy.typing import NDArray

Array = NDArray[np.float64]
DAYS, EPOCH_MJD = 365.25, 51544.5


@dataclass(frozen=True)
class Reference:
    """What images are aligned to.

    Attributes
    ----------
    stars : ReferenceStars or None
        None: the images are brought onto each other.
    name : str
        The file, or the catalog's name, for people and files.
    catalog : str
        As WCSNAME and CATALOG spell it; empty for files.
    notes : tuple of str
        What was filled in or left out, in words.
    """

    stars: ReferenceStars | None
    name: str
    catalog: str = ""
    notes: tuple[str, ...] = ()


def reference_for(
    images: Sequence[TweakImage],
    parameters: TweakParameters,
    radius: float,
    services: ReferenceServices | None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Reference:
    """Find the reference that the parameters name.

    Parameters
    ----------
    images : sequence of TweakImage
    parameters : TweakParameters
    radius : float
        How far the offset is searched, arcsec: the margin of what is asked for.
    services : ReferenceServices or None
        None: no service is asked.
    on_progress : callable

    Raises
    ------
    UsageProblemError, MissingFileError, UnusableFileError
        The list or the image will not do.
    ServiceUnavailableError, CatalogUsageError
        The catalog is not known, or its service failed.
    """
    named, refimage = parameters.reference.refcat, parameters.images.refimage
    epoch = parameters.reference.refepoch or _mean_epoch(images)
    if not named:
        if not refimage:
            return Reference(None, "the images themselves")
        on_progress(f"finding sources of {refimage}")
        return Reference(image_stars(refimage, parameters, epoch), Path(refimage.partition("[")[0]).name)
    path = Path(named.removeprefix("file:")).expanduser()
    if path.is_file() or named.startswith("file:"):
        return _told(listed_reference(path, parameters, epoch), on_progress)
    return _told(_asked(images, named, parameters.reference, radius, services, on_progress), on_progress)


def _told(reference: Reference, on_progress: Callable[[str], None]) -> Reference:
    for note in reference.notes:
        on_progress(note)
    return reference


def _mean_epoch(images: Sequence[TweakImage]) -> float:
    return 2000.0 + (float(np.mean([image.facts.mjd for image in images])) - EPOCH_MJD) / DAYS


def _asked(
    images: Sequence[TweakImage],
    named: str,
    parameters: ReferenceParameters,
    radius: float,
    services: ReferenceServices | None,
    on_progress: Callable[[str], None],
) -> Reference:
    catalog = find_catalog(named)
    if services is None:
        raise UsageProblemError(f"{catalog.name} is asked for by network", "give a file with --refcat")
    outlines = [np.concatenate(solution_polygons(image.start)) for image in images]
    parts = []
    for region in regions_around(outlines, radius):
        on_progress(f"asking for {catalog.name} in {region}")
        parts.append(catalog.asked_at(services)(region.circle).stars)
    cleaned = clean_stars(joined_stars(parts), catalog.release)
    counts = ", ".join(f"{number} {code}" for code, number in cleaned.counts().items() if number)
    notes = (f"stars of {catalog.name} left out: {counts}",) if counts else ()
    return Reference(brightest_stars(cleaned.stars, parameters), catalog.name, catalog.name, notes)


def joined_stars(parts: Sequence[ReferenceStars]) -> ReferenceStars:
    """Stars of several answers, each once."""
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    joined = ReferenceStars(**columns)
    return joined[np.sort(np.unique(joined.source_id, return_index=True)[1])]


def listed_reference(path: Path, parameters: TweakParameters, epoch: float) -> Reference:
    """The stars of a list as a reference; errors it does not have are `referror`, and that is noted."""
    chosen = parameters.reference
    stars = _listed_stars(path, parameters, epoch)
    unknown = int(np.count_nonzero(~((stars.ra_error > 0) & (stars.dec_error > 0))))
    notes: tuple[str, ...] = ()
    if unknown:
        words = (
            f"the errors of {unknown} of {len(stars)} stars are unknown and taken as {chosen.referror:g} mas"
        )
        notes = (f"{path.name}: {words} (reference.referror)",)
    stars = brightest_stars(_with_errors(stars, chosen.referror), chosen)
    return Reference(stars, path.name, notes=notes)


def _listed_stars(path: Path, parameters: TweakParameters, epoch: float) -> ReferenceStars:
    """The stars of a list: with errors and motions where its columns have the names of the Gaia archive.

    Parameters
    ----------
    path : Path
    parameters : TweakParameters
    epoch : float
        Julian year of the positions where the list has none.
    """
    chosen = parameters.reference
    if path.suffix.lower() not in ("", ".cat", ".txt", ".coo", ".dat", ".reg", ".lis") and not chosen.refxcol:
        stars = _gaia_like(path, epoch)
        if stars is not None:
            return stars
    flux = column_of(chosen.rfluxcol)
    columns = ListColumns(
        x=column_of(chosen.refxcol),
        y=column_of(chosen.refycol),
        flux=flux if chosen.rfluxunits == "counts" else None,
        magnitude=flux if chosen.rfluxunits == "mag" else None,
        units=chosen.refxyunits,
    )
    listed = read_catalog(path, columns)
    if chosen.refxyunits == "pixels":
        if not parameters.images.refimage:
            raise UsageProblemError(
                f"{path} holds pixels (refxyunits)", "say of which image: images.refimage, or give degrees"
            )
        listed = listed.with_sky(_solution(parameters.images.refimage)[1], parameters.lookup_origin)
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitudes = listed.magnitude if chosen.rfluxunits == "mag" else -2.5 * np.log10(listed.flux)
    return reference_stars(listed.ra, listed.dec, ref_epoch=epoch, phot_g_mean_mag=magnitudes)


def _gaia_like(path: Path, epoch: float) -> ReferenceStars | None:
    """The stars of a table with columns of the Gaia archive; None where it has no source_id."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file", "check --refcat")
    try:
        table = read_table(path)
        if "source_id" not in [name.lower() for name in table.colnames]:
            return None
        return stars_from_table(table, epoch)
    except BadTableError as error:
        raise UnusableFileError(f"{path}: {error}", "correct the list") from error


def _with_errors(stars: ReferenceStars, error: float) -> ReferenceStars:
    """The stars, with an error (mas) where they have none."""
    known = {name: getattr(stars, name) for name in ("ra_error", "dec_error")}
    filled = {name: np.where(values > 0, values, error) for name, values in known.items()}
    return replace(stars, **filled)


def brightest_stars(stars: ReferenceStars, chosen: ReferenceParameters) -> ReferenceStars:
    """The stars within the limits of flux, the brightest so many, brightest first."""
    magnitudes = stars.phot_g_mean_mag
    low, high = chosen.rminflux, chosen.rmaxflux
    if chosen.rfluxunits == "counts":
        low, high = (None if v is None or v <= 0 else -2.5 * np.log10(v) for v in (high, low))
    keep = np.ones(len(stars), dtype=np.bool_)
    keep &= True if low is None else magnitudes >= low
    keep &= True if high is None else magnitudes <= high
    order = np.argsort(np.where(np.isfinite(magnitudes), magnitudes, np.inf), kind="stable")
    return stars[order[keep[order]][: chosen.refnbright]]


def image_stars(name: str, parameters: TweakParameters, epoch: float) -> ReferenceStars:
    """The sources of a reference image as reference stars, in the frame of its WCS.

    Parameters
    ----------
    name : str
        A file; ``file[...]`` names an extension, which is one of its science images anyhow.
    parameters : TweakParameters
    epoch : float
        Where the image has none.
    """
    path, solution = _solution(name)
    sources, found_epoch = _image_sources(path, solution, parameters)
    errors = 1e3 * sources.errors
    stars = reference_stars(
        sources.ra,
        sources.dec,
        ref_epoch=found_epoch or epoch,
        ra_error=errors,
        dec_error=errors,
        phot_g_mean_mag=sources.magnitudes,
    )
    return brightest_stars(stars, parameters.reference)


def _solution(name: str) -> tuple[Path, WcsSolution]:
    path = Path(name.partition("[")[0]).expanduser()
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file", "check images.refimage")
    return path, solutions_in(read_fits(path), str(path))[0].solution


def _image_sources(
    path: Path, solution: WcsSolution, parameters: TweakParameters
) -> tuple[SourceList, float | None]:
    extensions = read_fits(path)
    start, end = (number(extensions[0].header, key) for key in ("EXPSTART", "EXPEND"))
    epoch = 2000.0 + (0.5 * (start + end) - EPOCH_MJD) / DAYS if np.isfinite(start + end) else None
    detector = str(extensions[0].header.get("DETECTOR", ""))
    found = []
    with ExposureImage(path) as image:
        chips = {chip.extver: chip for chip in image.chips}
        for chip in solution.chips:
            pixels = chips[chip.extver]
            science, error = pixels.science(), pixels.error()
            noise = np.zeros_like(science) if error is None else error
            settings = finder_settings(parameters.find, detector)
            found.append(detect_sources(science, noise, pixels.quality(), settings))
        time = image.exposure_time
    most = parameters.reference.refnbright or sum(map(len, found))
    return source_list(solution, found, time or 1.0, most=most, origin=parameters.lookup_origin), epoch
