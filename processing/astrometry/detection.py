"""Point sources of a chip with good positions: background, matched filter, effective PSF fit, flags.

The finder looks for local maxima of the image filtered with a Gaussian of the stars' width; the
positions come from a fit of an effective PSF made from the chip's own stars, done twice, the second
time with the light of the neighbours taken away, so that the bright stars of a crowded field keep
good centroids. Everything suspicious is kept and flagged. Pixels are 0-based.
"""

from dataclasses import dataclass, fields, replace
from enum import IntFlag

import numpy as np
from hapctl.processing.astrometry import effective_psf, peak_finding
from hapctl.processing.astrometry.effective_psf import EffectivePsf, StarFits
from hapctl.processing.astrometry.peak_finding import DetectionSettings
from numpy.typing import NDArray

Array = NDArray[np.float64]


class SourceFlag(IntFlag):
    """What may be wrong with a source; 0 is a clean star."""

    SATURATED = 1
    EDGE = 2
    COSMIC_RAY = 4
    BLENDED = 8
    HOT_PIXEL = 16
    NEAR_SATURATED = 32
    EXTENDED = 64
    POOR_FIT = 128


UNFIT = (
    SourceFlag.SATURATED
    | SourceFlag.EDGE
    | SourceFlag.COSMIC_RAY
    | SourceFlag.HOT_PIXEL
    | SourceFlag.EXTENDED
    | SourceFlag.POOR_FIT
)
"""A source with one of these is not used in a fit."""


@dataclass(frozen=True)
class Detections:
    """The sources of one chip, brightest first; all arrays have shape (n,).

    Attributes
    ----------
    x, y : ndarray, float64
        Position, 0-based pixels.
    x_err, y_err : ndarray, float64
        Standard errors, pixels.
    flux, snr : ndarray, float64
        PSF flux (image units) and its ratio to its error.
    sharpness : ndarray, float64
        Curvature of the image at the peak over that of the PSF: 1 for a star, more for a cosmic ray,
        less for a galaxy or a blend.
    misfit : ndarray, float64
        Sum of absolute residuals over the flux.
    contamination : ndarray, float64
        Light of the neighbours in the fitted pixels over the star's own.
    flags : ndarray, int32
        `SourceFlag` bits.
    fwhm : float
        Width of the chip's effective PSF, pixels.
    psf_stars : int
        How many stars that PSF was made from (0: a Gaussian).
    """

    x: Array
    y: Array
    x_err: Array
    y_err: Array
    flux: Array
    snr: Array
    sharpness: Array
    misfit: Array
    contamination: Array
    flags: NDArray[np.int32]
    fwhm: float
    psf_stars: int

    def __len__(self) -> int:
        return len(self.x)

    def chosen(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> "Detections":
        """The sources that `keep` (mask or indices) selects."""
        columns = {f.name: getattr(self, f.name)[keep] for f in fields(self) if f.name not in _SCALARS}
        return replace(self, **columns)

    @property
    def alignable(self) -> NDArray[np.bool_]:
        """The usable ones, and galaxies: where stars are few, these are what exposures have in common."""
        spoilt = int(UNFIT & ~(SourceFlag.EXTENDED | SourceFlag.POOR_FIT))
        galaxies = (self.flags & int(SourceFlag.EXTENDED)) != 0
        return self.usable | (galaxies & ((self.flags & spoilt) == 0))

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which sources may enter a fit."""
        return (self.flags & int(UNFIT)) == 0


_SCALARS = ("fwhm", "psf_stars")


def detect_sources(
    science: NDArray[np.float32],
    error: NDArray[np.float32],
    quality: NDArray[np.integer],
    settings: DetectionSettings | None = None,
) -> Detections:
    """Find and measure the point sources of one chip.

    Parameters
    ----------
    science, error : ndarray, shape (ny, nx)
        Image and its standard error, same units; an error that is zero, negative or not finite is
        replaced by the scatter of the background.
    quality : ndarray of int, shape (ny, nx)
        DQ array.
    settings : DetectionSettings, optional

    Returns
    -------
    Detections
        Empty where the chip has no source above the threshold.
    """
    chosen = settings or DetectionSettings()
    image, variance, saturated = peak_finding.prepared(science, error, quality, chosen)
    filtered = peak_finding.filtered(image, chosen.fwhm)
    column, row = peak_finding.peaks(filtered, image, variance, chosen)
    if len(column) == 0:
        return _empty(chosen.fwhm)
    psf = peak_finding.chip_psf(image, variance, filtered, saturated, column, row, chosen)
    fits, neighbours = _fitted(psf, image, variance, column, row)
    return _described(psf, fits, neighbours, image, saturated, quality, column, row, chosen)


def _fitted(
    psf: EffectivePsf,
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    column: NDArray[np.intp],
    row: NDArray[np.intp],
) -> tuple[StarFits, Array]:
    """Fit all stars, then those with neighbours twice more without their light; also that light's share."""
    x, y = column.astype(np.float64), row.astype(np.float64)
    fits = effective_psf.fit_stars(psf, image, variance, x, y, steps=7)
    share = np.zeros(len(x))
    close = _with_neighbours(column, row)
    if len(close) == 0:
        return fits, share
    mine, lines = column[close], row[close]
    noise = effective_psf.stamps(variance, mine, lines, effective_psf.FIT_RADIUS)
    squares = effective_psf.stamps(image, mine, lines, effective_psf.FIT_RADIUS)
    near = fits.chosen(close)
    for _ in range(2):
        light = _neighbour_light(psf, near, image.shape, mine, lines)
        near = effective_psf.fit_stamps(psf, squares - light, noise, mine, lines, near.x, near.y, steps=4)
        share[close] = light.sum(axis=(1, 2)) / np.maximum(near.flux, 1e-30)
    return fits.replaced(close, near), share


def _with_neighbours(column: NDArray[np.intp], row: NDArray[np.intp]) -> NDArray[np.intp]:
    """Indices of stars with another whose model reaches their fitted pixels."""
    from scipy.spatial import cKDTree

    reach = effective_psf.MODEL_RADIUS + effective_psf.FIT_RADIUS + 1
    pairs = cKDTree(np.column_stack([column, row])).query_pairs(reach, p=np.inf, output_type="ndarray")
    return np.unique(pairs.ravel())


def _neighbour_light(
    psf: EffectivePsf,
    fits: StarFits,
    shape: tuple[int, ...],
    column: NDArray[np.intp],
    row: NDArray[np.intp],
) -> Array:
    """What all other stars' models put on the fitted square of each star."""
    radius, wide = effective_psf.FIT_RADIUS, effective_psf.MODEL_RADIUS
    believable = np.where(fits.converged & (fits.misfit < 1.0), fits.flux, 0.0)
    value = effective_psf.model_values(psf, fits.x, fits.y, column, row, wide)
    value *= believable[:, None, None]
    steps = np.arange(-wide, wide + 1)
    flat = (row[:, None, None] + steps[None, :, None]) * shape[1] + column[:, None, None] + steps
    total = np.bincount(flat.ravel(), weights=value.ravel(), minlength=shape[0] * shape[1])
    here = slice(wide - radius, wide + radius + 1)
    return total[flat[:, here, here]] - value[:, here, here]


def _described(
    psf: EffectivePsf,
    fits: StarFits,
    neighbours: Array,
    image: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    quality: NDArray[np.integer],
    column: NDArray[np.intp],
    row: NDArray[np.intp],
    settings: DetectionSettings,
) -> Detections:
    sharpness = _sharpness(psf, fits, image, column, row)
    snr = fits.flux / np.maximum(fits.flux_err, 1e-30)
    flags = np.zeros(len(column), dtype=np.int32)

    def mark(where: NDArray[np.bool_], flag: SourceFlag) -> None:
        flags[where] |= int(flag)

    mark(_touched(saturated, column, row, 1), SourceFlag.SATURATED)
    mark(_touched(saturated, column, row, 5), SourceFlag.NEAR_SATURATED)
    hot = (quality & settings.hot_bits) != 0
    mark(hot[row, column] & (sharpness > 1.3), SourceFlag.HOT_PIXEL)
    mark((sharpness > 1.6) | ((sharpness > 1.3) & (fits.misfit > 0.25)), SourceFlag.COSMIC_RAY)
    mark(sharpness < 0.5, SourceFlag.EXTENDED)
    mark(neighbours > 0.5, SourceFlag.BLENDED)
    mark(~fits.converged | (fits.misfit > _misfit_limit(fits.misfit, snr)), SourceFlag.POOR_FIT)
    ny, nx = image.shape
    margin = effective_psf.MODEL_RADIUS + 2
    outside = np.minimum.reduce([column, row, nx - 1 - column, ny - 1 - row]) < margin
    mark(outside, SourceFlag.EDGE)
    found = Detections(
        fits.x, fits.y, fits.x_err, fits.y_err, fits.flux, snr, sharpness, fits.misfit, neighbours,
        flags, psf.fwhm, psf.stars,
    )  # fmt: skip
    return _tidied(found, settings)


def _tidied(found: Detections, settings: DetectionSettings) -> Detections:
    """Leave out what is too faint or was found twice; brightest first."""
    found = found.chosen((found.snr > settings.threshold) & (found.flux > 0) & np.isfinite(found.x))
    found = found.chosen(np.argsort(-found.flux, kind="stable"))
    return found.chosen(_first_of_twins(found.x, found.y))


def _first_of_twins(x: Array, y: Array) -> NDArray[np.bool_]:
    from scipy.spatial import cKDTree

    first = np.ones(len(x), dtype=bool)
    if len(x) > 1:
        pairs = cKDTree(np.column_stack([x, y])).query_pairs(0.7, output_type="ndarray")
        first[pairs.max(axis=1)] = False
    return first


def _misfit_limit(misfit: Array, snr: Array) -> Array:
    """Bright stars are held to the chip's own quality of fit; faint ones are allowed their noise."""
    bright = misfit[(snr > 50) & np.isfinite(misfit)]
    usual = float(np.median(bright)) if len(bright) >= 10 else 0.1
    return np.maximum(0.15, 4.0 * usual) + 12.0 / np.maximum(snr, 1.0)


def _sharpness(
    psf: EffectivePsf,
    fits: StarFits,
    image: NDArray[np.float32],
    column: NDArray[np.intp],
    row: NDArray[np.intp],
) -> Array:
    """Peak pixel less the mean of its eight neighbours, over the same of the model."""
    centre_x, centre_y = np.rint(fits.x).astype(np.intp), np.rint(fits.y).astype(np.intp)
    ny, nx = image.shape
    centre_x, centre_y = np.clip(centre_x, 1, nx - 2), np.clip(centre_y, 1, ny - 2)
    model = effective_psf.model_values(psf, fits.x, fits.y, centre_x, centre_y, 1)
    data = effective_psf.stamps(image, centre_x, centre_y, 1)
    expected = _curvature(model) * fits.flux
    return _curvature(data) / np.where(expected > 0, expected, np.inf)


def _curvature(squares: Array) -> Array:
    centre = squares[:, 1, 1]
    return centre - (squares.sum(axis=(1, 2)) - centre) / 8.0


def _touched(
    mask: NDArray[np.bool_], column: NDArray[np.intp], row: NDArray[np.intp], radius: int
) -> NDArray[np.bool_]:
    """Whether the square round each source holds a pixel of the mask."""
    steps = np.arange(-radius, radius + 1)
    squares = mask[row[:, None, None] + steps[:, None], column[:, None, None] + steps]
    touched: NDArray[np.bool_] = squares.any(axis=(1, 2))
    return touched


def _empty(fwhm: float) -> Detections:
    a = np.zeros(0)
    return Detections(a, a, a, a, a, a, a, a, a, np.zeros(0, dtype=np.int32), fwhm, 0)
