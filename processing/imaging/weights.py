"""Weights of the pixels: exposure time, the ERR extension, or an inverse variance map.

An EXP weight knows only the exposure: its time (``exptime``), the square of that (``expsq``) or 1
(``number``), in seconds, seconds squared and exposures per input pixel. (AstroDrizzle's ``expsq`` gives the
same as its ``exptime``.)

ERR and IVM weights are inverse variances of the count rate, divided by s to the fourth power, s being the
output scale over IDCSCALE of the chip: ``t^2 / (variance in electrons^2) / s^4``. The kernel multiplies
rates by s^2 and hands each pixel's weight on in shares that sum to 1. So WHT of a point-kernel drizzle is
the inverse variance of SCI, (electrons per second per output pixel)^-2; and that of any kernel is the
inverse of the variance a pixel would have without the correlation with its neighbours: the variance of the
sum over n pixels of an aperture much wider than the kernel is n / WHT (Casertano et al. 2000). Exposures of
different length, and chips of different scale, combine with the least variance.

IVM weights leave the source out, hence depend on no pixel's own value: a weight that did would favour
pixels that fluctuated down and bias the mean. ERR weights do depend on it; they are what was asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.image_planes import ImageRows
from hapctl.processing.imaging.parameters import FinalParameters, WeightScale
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

    from hapctl.processing.imaging.grid import OutputGrid
    from hapctl.processing.imaging.prepared import PreparedChip, WeightMaker

Rows = Callable[[int, int], NDArray[np.float32]]
"""``rows(y0, y1)``: rows y0 to y1 of an image of the chip, (y1 - y0, nx) float32."""
_REMEDY = "weight by exposure time (EXP), or give a map (IVM file)"


@dataclass(frozen=True)
class ExposureWeight:
    """The same weight for all pixels of an exposure (EXP).

    Attributes
    ----------
    scale : {"exptime", "expsq", "number"}
        Seconds, seconds squared, or 1.
    """

    scale: WeightScale = "exptime"

    def __call__(
        self, chip: "PreparedChip", first: int, last: int, left: int, right: int
    ) -> NDArray[np.float32]:
        """Return the weights of a block, float32."""
        power = {"number": 0, "exptime": 1, "expsq": 2}[self.scale]
        return np.full((last - first, right - left), chip.exposure_time**power, dtype=np.float32)


@dataclass(frozen=True)
class ErrorWeight:
    """The inverse square of the ERR extension (ERR); ERR of 0, below, NaN or infinite is no weight.

    Attributes
    ----------
    grid : OutputGrid
        What is drizzled onto.
    """

    grid: "OutputGrid"

    def __call__(
        self, chip: "PreparedChip", first: int, last: int, left: int, right: int
    ) -> NDArray[np.float32]:
        """Return the weights of a block, float32."""
        error = chip.pixels.error(first, last, slice(left, right))
        if error is None:
            raise no_error(chip)
        usable = np.isfinite(error) & (error > 0)
        variance = np.where(usable, error, 1.0).astype(np.float64) ** 2
        return np.where(usable, _rate_factor(chip, self.grid) / variance, 0.0).astype(np.float32)


def no_error(chip: "PreparedChip") -> UnusableFileError:
    """Return what is wrong with a chip that has no ERR to weight by."""
    pixels = chip.pixels
    return UnusableFileError(f"{pixels.path}: SCI,{pixels.extver} has no ERR extension to weight by", _REMEDY)


@dataclass(frozen=True)
class ModelWeight:
    """The inverse variance of an empty pixel (IVM): read noise, whole sky, dark.

    The variance, in electrons squared, is ``(dark + sky * flat + read_noise^2) / flat^2``. Calibrated files
    come without their flat field and dark; without them the flat is 1, that is a pixel's weight does not
    know its sensitivity, and the dark is ``dark_rate`` times the exposure time.

    Attributes
    ----------
    grid : OutputGrid
        What is drizzled onto.
    flat : callable or None
        ``flat(y0, y1)``: sensitivity of the pixels, 1 on average (the inverse of the file the pipeline
        multiplies by); 0, below and NaN are no weight.
    dark_rate : float
        Electrons per second per pixel.
    """

    grid: "OutputGrid"
    flat: Rows | None = field(default=None, repr=False)
    dark_rate: float = 0.0

    def __call__(
        self, chip: "PreparedChip", first: int, last: int, left: int, right: int
    ) -> NDArray[np.float32]:
        """Return the weights of a block, float32."""
        sky = sky_electrons(chip)
        fixed = chip.read_noise**2 + self.dark_rate * chip.exposure_time
        if not fixed + sky > 0:
            raise UnusableFileError(
                f"SCI,{chip.pixels.extver}: neither read noise nor sky is known, so there is no IVM weight",
                _REMEDY,
            )
        factor = _rate_factor(chip, self.grid)
        if self.flat is None:
            return np.full((last - first, right - left), factor / (fixed + sky), dtype=np.float32)
        flat = self.flat(first, last)[:, left:right].astype(np.float64)
        usable = np.isfinite(flat) & (flat > 0)
        flat = np.where(usable, flat, 1.0)
        return np.where(usable, factor * flat**2 / (fixed + sky * flat), 0.0).astype(np.float32)


@dataclass(frozen=True)
class MapWeight:
    """A map of the user's (IVM): inverse variance of the chip's pixels, electrons^-2.

    Electrons of the calibrated exposure, also where its pixels are counts or per second, as AstroDrizzle
    takes it. 0, below, NaN and infinite are no weight.

    Attributes
    ----------
    grid : OutputGrid
        What is drizzled onto.
    rows : callable
        ``rows(y0, y1)`` of the map.
    """

    grid: "OutputGrid"
    rows: Rows = field(repr=False)

    def __call__(
        self, chip: "PreparedChip", first: int, last: int, left: int, right: int
    ) -> NDArray[np.float32]:
        """Return the weights of a block, float32."""
        inverse = self.rows(first, last)[:, left:right].astype(np.float64)
        return (inverse * _rate_factor(chip, self.grid)).astype(np.float32)


def sky_electrons(chip: "PreparedChip") -> float:
    """Return the sky that makes noise: the larger of both, at least 0, detector electrons per pixel."""
    return max(chip.sky_total, chip.sky, 0.0) / chip.flux_factor


def _rate_factor(chip: "PreparedChip", grid: "OutputGrid") -> float:
    """What takes electrons^-2 of the detector to the weight: t^2 / flux_factor^2 / s^4."""
    ratio = chip.scale_ratio(grid)
    return float((chip.exposure_time / (chip.flux_factor * ratio * ratio)) ** 2)


def weight_maker(final: FinalParameters, grid: "OutputGrid", map_rows: Rows | None = None) -> "WeightMaker":
    """Return what makes the weights that the parameters ask for.

    Parameters
    ----------
    final : FinalParameters
        ``weight`` and ``weight_scale`` count.
    grid : OutputGrid
        What is drizzled onto.
    map_rows : callable, optional
        Rows of the user's inverse variance map (`open_map`), for IVM; without it the weight is a model.
    """
    if final.weight == "EXP":
        return ExposureWeight(final.weight_scale)
    if final.weight == "ERR":
        return ErrorWeight(grid)
    return ModelWeight(grid) if map_rows is None else MapWeight(grid, map_rows)


def weighted(
    chip: "PreparedChip", final: FinalParameters, grid: "OutputGrid", map_rows: Rows | None = None
) -> "PreparedChip":
    """Return the chip with the weights that the parameters ask for (see `weight_maker`)."""
    return replace(chip, weights=weight_maker(final, grid, map_rows))


def open_map(path: "Path", extver: int, shape: tuple[int, int], chips: int = 1) -> Rows:
    """Open an inverse variance map of the user's.

    Parameters
    ----------
    path : path
        A file with an extension ``IVM,extver`` for each chip; or, for an exposure of one chip, any first
        image.
    extver : int
        Of the SCI extension the map is for.
    shape : tuple of int
        (ny, nx) of the chip.
    chips : int
        Chips of the exposure.

    Returns
    -------
    callable
        Rows of the map, electrons^-2.

    Raises
    ------
    UnusableFileError
        No such image, or another shape.
    """
    place = _map_place(path, extver, chips)
    image = ImageRows(path, place)
    if image.shape != shape:
        raise UnusableFileError(
            f"{path}[{place}]: {image.shape[::-1]} pixels, SCI,{extver} has {shape[::-1]}",
            "give a map of the chip's own pixels",
        )
    return image.read


def _map_place(path: "Path", extver: int, chips: int) -> tuple[str, int] | int:
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as hdus:
            if ("IVM", extver) in hdus:
                return "IVM", extver
            images = [number for number, hdu in enumerate(hdus) if hdu.header.get("NAXIS") == 2]
    except OSError as error:
        raise UnusableFileError(f"{path}: cannot be read as a map: {error}") from error
    if chips == 1 and images:
        return images[0]
    raise UnusableFileError(
        f"{path}: no extension IVM,{extver}", "give a file with an extension IVM,1 and so on, one a chip"
    )
