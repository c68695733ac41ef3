"""Sources of a file: every chip of an exposure, or a drizzled product, found, measured and on the sky.

Exposures bring their errors and flags. Of a product the weight map says what has no data and how the noise
of the sky varies; the light of the sources adds its own noise where the exposure time is known. A product's
noise is correlated between neighbouring pixels, which its errors here do not know.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hapctl.processing.astrometry.background import background_mesh
from hapctl.processing.astrometry.detection import Detections, detect_sources
from hapctl.processing.astrometry.fits_structure import Extension, Header, number, read_fits, text
from hapctl.processing.astrometry.lookup_reading import TableStore
from hapctl.processing.astrometry.peak_finding import DetectionSettings
from hapctl.processing.astrometry.reading import chip_wcs, image_shape, read_solutions
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.solution_problems import defect_of
from hapctl.processing.astrometry.source_catalog import SourceCatalog
from hapctl.processing.astrometry.source_list import detection_settings
from hapctl.processing.astrometry.waiver import is_waiver
from hapctl.processing.errors import MissingFileError, TooLargeError, UnusableFileError, UsageProblemError
from hapctl.processing.imaging.chip_data import ChipPixels, ExposureImage
from hapctl.processing.imaging.image_planes import ImageRows
from hapctl.processing.imaging.parallel import do_parts
from numpy.typing import NDArray

Image = NDArray[np.float32]
Physical = tuple[float, float, float, float]

_NATIVE_SCALES = {"WFC": 0.05, "HRC": 0.026, "SBC": 0.032, "UVIS": 0.04, "IR": 0.13, "PC": 0.1, "CCD": 0.05}
"""Arcsec per pixel of the detectors, to tell how wide stars are in a product."""
_BAD = 1
_ALL_FLAGS = 0xFFFF
_BASE_BYTES, _PIXEL_BYTES = 150_000_000, 40
"""Memory of the libraries, and for each pixel of a chip in work."""


@dataclass(frozen=True)
class SettingsChange:
    """What a user asks of the finder; None keeps what suits the detector.

    Attributes
    ----------
    fwhm : float or None
        Pixels.
    threshold : float or None
        Least signal-to-noise ratio.
    max_sources : int or None
        The brightest so many peaks of a chip are measured.
    """

    fwhm: float | None = None
    threshold: float | None = None
    max_sources: int | None = None

    def applied(self, settings: DetectionSettings) -> DetectionSettings:
        """The settings with the changes."""
        changes = {key: value for key, value in vars(self).items() if value is not None}
        return replace(settings, **changes)


@dataclass(frozen=True)
class ImageSources:
    """What was found in a file.

    Attributes
    ----------
    catalog : SourceCatalog
        All chips one after another, brightest first within each; on the sky if the file has a WCS.
    detections : mapping of int to Detections
        By extver.
    settings : DetectionSettings
    kind : str
        exposure or product.
    wcs : str
        Name of the WCS by which the sources are on the sky; empty without one.
    physical : mapping of int to tuple
        (LTV1, LTM1_1, LTV2, LTM2_2) of each chip, for regions in physical pixels.
    """

    catalog: SourceCatalog
    detections: Mapping[int, Detections]
    settings: DetectionSettings
    kind: str
    wcs: str
    physical: Mapping[int, Physical]


def chip_detections(chip: ChipPixels, settings: DetectionSettings) -> Detections:
    """Find and measure the sources of one chip of an exposure.

    The pixels are taken as they lie in the file where they may be. Chips without ERR take the scatter of
    their background for errors.
    """
    return detect_sources(*_pixels(chip), settings)


def _pixels(chip: ChipPixels) -> tuple[Image, Image, NDArray[np.integer]]:
    """SCI, ERR and DQ; big-endian, unconverted, where the file holds electrons in plain arrays."""
    rows, columns = chip.shape
    if chip.electrons_per_unit == 1.0 and chip.reset_bits == 0:
        block = chip.stored_block(_ALL_FLAGS, 0, rows, 0, columns)
        error = chip.stored_error(0, rows, 0, columns)
        if block is not None and block[1].size and error is not None:
            return block[0].view(">f4"), error.view(">f4"), block[1].view(">u2")
    science, noise = chip.science(), chip.error()
    return science, np.zeros_like(science) if noise is None else noise, chip.quality()


def find_sources(
    path: Path | str,
    change: SettingsChange | None = None,
    *,
    extvers: Collection[int] = (),
    threads: int = 1,
    memory_limit: int | None = None,
    origin: LookupOrigin = "hst",
) -> ImageSources:
    """Find the sources of an exposure or a drizzled product.

    Parameters
    ----------
    path : path
        flt, flc, c0m, c0f ... with SCI extensions; a product (SCI with WHT), or a FITS image.
    change : SettingsChange, optional
    extvers : collection of int, optional
        Only these chips.
    threads : int
        Chips found at once.
    memory_limit : int, optional
        Bytes; work that needs more is refused before it begins.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Raises
    ------
    MissingFileError, UnusableFileError
        The file is not there, or holds no image.
    UsageProblemError
        A chip asked for is not in the file.
    TooLargeError
        The work would need more than `memory_limit`.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file", "name an exposure or a drizzled product")
    wanted = change or SettingsChange()
    headers = read_fits(path)
    names = [extension.name for extension in headers]
    exposure = is_waiver(headers) or ("SCI" in names[1:] and "WHT" not in names)
    if memory_limit is not None:
        _check_memory(path, headers, threads if exposure else 1, memory_limit)
    if exposure:
        return _of_exposure(path, wanted, extvers, threads, origin)
    if set(extvers) - {1}:
        raise UsageProblemError(f"{path} is a product: it has one image, SCI,1", "leave --chip out")
    return _of_product(path, wanted, origin)


def _check_memory(path: Path, headers: Sequence[Extension], threads: int, limit: int) -> None:
    sizes = sorted((math.prod(image_shape(extension.header)) for extension in headers), reverse=True)
    needed = _BASE_BYTES + _PIXEL_BYTES * sum(sizes[:threads])
    if needed > limit:
        raise TooLargeError(
            f"{path} would need {needed / 1e6:.0f} MB of memory, {limit / 1e6:.0f} MB are allowed",
            "give a larger --max-memory, fewer --threads, or a part of the image",
        )


def images_of(path: Path | str, extvers: Collection[int]) -> dict[int, Image]:
    """The pixels of chips of a file that `find_sources` read, by extver, for pictures."""
    path = Path(path)
    headers = read_fits(path)
    names = [extension.name for extension in headers]
    if is_waiver(headers) or ("SCI" in names[1:] and "WHT" not in names):
        with ExposureImage(path) as image:
            return {chip.extver: chip.science() for chip in image.chips if chip.extver in extvers}
    return {1: _plane(path, names.index("SCI") if "SCI" in names else 0)}


def _of_exposure(
    path: Path, change: SettingsChange, extvers: Collection[int], threads: int, origin: LookupOrigin
) -> ImageSources:
    with ExposureImage(path) as image:
        unknown = set(extvers) - {chip.extver for chip in image.chips}
        if unknown:
            have = ", ".join(str(chip.extver) for chip in image.chips)
            raise UsageProblemError(f"{path} has no chip SCI,{min(unknown)}", f"it has SCI {have}")
        chips = [chip for chip in image.chips if not extvers or chip.extver in extvers]
        settings = change.applied(detection_settings(_detector(dict(image.header))))
        parts = do_parts(lambda chip: _chip_sources(chip, settings, str(path)), chips, threads)
        physical = {chip.extver: _physical(dict(chip.header)) for chip in chips}
    catalog = SourceCatalog.joined([catalog for catalog, _ in parts], str(path))
    detections = {chip.extver: found for chip, (_, found) in zip(chips, parts, strict=True)}
    catalog, wcs = _on_sky(catalog, path, origin)
    return ImageSources(catalog, detections, settings, "exposure", wcs, physical)


def _chip_sources(
    chip: ChipPixels, settings: DetectionSettings, name: str
) -> tuple[SourceCatalog, Detections]:
    science, error, quality = _pixels(chip)
    found = detect_sources(science, error, quality, settings)
    catalog = SourceCatalog.from_detections(
        found,
        extver=chip.extver,
        exposure_time=chip.exposure_time,
        image=science,
        name=name,
    )
    return catalog, found


def _detector(header: Header) -> str:
    if text(header, "INSTRUME").upper() == "WFPC2":
        return "PC"  # as in the catalog; its DETECTOR keyword counts the chips
    return text(header, "DETECTOR").upper()


def _on_sky(catalog: SourceCatalog, path: Path, origin: LookupOrigin) -> tuple[SourceCatalog, str]:
    try:
        solution = read_solutions(path)[0].solution
        return catalog.with_sky(solution, origin), solution.name
    except UnusableFileError:
        return catalog, ""  # without a usable WCS sources still have pixels


def _of_product(path: Path, change: SettingsChange, origin: LookupOrigin) -> ImageSources:
    extensions = read_fits(path)
    names = [extension.name for extension in extensions]
    place = names.index("SCI") if "SCI" in names else 0
    header = {**extensions[0].header, **extensions[place].header}
    science = _plane(path, place)
    weight = _plane(path, names.index("WHT")) if "WHT" in names else None
    solution = _solution_of_image(header, path)
    settings = change.applied(_product_settings(header, solution))
    quality = np.where(np.isfinite(science), 0, _BAD).astype(np.uint16)
    if weight is not None:
        quality[~(weight > 0)] = _BAD
    time = number(header, "EXPTIME")
    rate = _is_rate(header) or not time > 0
    light_noise = 1.0 / time if _is_rate(header) and time > 0 else 1.0 if time > 0 else 0.0
    error = _product_error(science, weight, quality, light_noise, settings.mesh)
    found = detect_sources(science, error, quality, settings)
    catalog = SourceCatalog.from_detections(
        found,
        exposure_time=1.0 if rate else time,
        image=science,
        name=str(path),
    )
    if solution is not None:
        catalog = catalog.with_sky(solution, origin)
    wcs = solution.name if solution else ""
    return ImageSources(catalog, {1: found}, settings, "product", wcs, {1: _physical(header)})


def _physical(header: Header) -> Physical:
    return (
        number(header, "LTV1", 0.0),
        number(header, "LTM1_1", 1.0),
        number(header, "LTV2", 0.0),
        number(header, "LTM2_2", 1.0),
    )


def _plane(path: Path, number: int) -> Image:
    try:
        with ImageRows(path, number) as rows:
            return rows.read(0, rows.shape[0])
    except (OSError, KeyError, ValueError) as error:
        raise UnusableFileError(f"{path}[{number}]: can't be read: {error}", "fetch it again") from error


def _solution_of_image(header: Header, path: Path) -> WcsSolution | None:
    """The WCS of one header; None where it has none."""
    if "CRVAL1" not in header:
        return None
    chip = chip_wcs(header, TableStore([]), "", 1, 1, image_shape(header))
    if defect_of(chip) or chip.ctype[0][:8] != "RA---TAN":
        return None
    return WcsSolution(text(header, "ROOTNAME") or path.stem, text(header, "WCSNAME", "header"), (chip,))


def _product_settings(header: Header, solution: WcsSolution | None) -> DetectionSettings:
    """Those of the detector, with the stars as wide as they are in the product's pixels."""
    detector = _detector(header)
    settings = detection_settings(detector)
    scale = 0.0
    if solution is not None:
        scale = 3600.0 * float(np.sqrt(abs(np.linalg.det(solution.chips[0].cd_matrix))))
    native = _NATIVE_SCALES.get(detector)
    wider = native / scale if native and scale > 0 else 1.0
    return replace(
        settings,
        fwhm=float(np.clip(settings.fwhm * wider, 1.4, 6.0)),
        bad_bits=_BAD,
        saturated_bits=0,
        hot_bits=0,
    )


def _is_rate(header: Header) -> bool:
    return text(header, "BUNIT").upper().endswith(("/S", "S-1"))


def _product_error(
    science: Image, weight: Image | None, quality: NDArray[np.uint16], light_noise: float, mesh: int
) -> Image:
    """Noise of the sky, and variance of `light_noise` per unit of light (Poisson), both by the weight."""
    background = background_mesh(science, quality, _BAD, mesh)
    good = quality == 0
    light = np.where(good, science, 0) - np.float32(np.median(background.level))
    variance = np.float32(background.scatter**2) + np.float32(light_noise) * np.maximum(light, np.float32(0))
    if weight is not None and good.any():
        usual = np.float32(np.median(weight[good]))
        variance /= np.where(good, weight, usual) / usual
    return np.sqrt(variance)
