"""Point sources of a chip with good positions: background, matched filter, effective PSF fit, flags.

The finder looks for local maxima of the image filtered with a Gaussian of the stars' width; the
positions come from a fit of an effective PSF made from the chip's own stars, done again with the light
of the neighbours taken away, so that the bright stars of a crowded field keep good centroids.
Everything suspicious is kept and flagged. Pixels are 0-based.
"""

from dataclasses import dataclass, fields, replace
from enum import IntFlag

import numpy as np
from hapctl.processing.astrometry import effective_psf, peak_finding
from hapctl.processing.astrometry.effective_psf import ChipPixels, EffectivePsf, Neighbours, StarFits
from hapctl.processing.astrometry.peak_finding import DetectionSettings
from hapctl.processing.astrometry.psf_building import chip_psf, noise_slope
from hapctl.processing.astrometry.trailing import image_elongation
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

PASSES = 3
"""How often stars with neighbours are fitted again without the neighbours' light."""
STAR_STRUCTURE = 0.14
"""Structure (see `structure`) that stars stay below and cosmic rays exceed."""
LEAST_STEPS = 25
"""A star of a quantised image with a lower peak than so many steps has lost its wings to rounding."""
LONGEST_CORE = 8
"""A column of more saturated pixels than this is no star's core but bleeding."""


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
    BLEEDING = 256


UNFIT = (
    SourceFlag.SATURATED
    | SourceFlag.EDGE
    | SourceFlag.COSMIC_RAY
    | SourceFlag.HOT_PIXEL
    | SourceFlag.EXTENDED
    | SourceFlag.POOR_FIT
    | SourceFlag.BLEEDING
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
        Standard errors, pixels: of the noise and of the PSF, larger where the fit is worse than these allow.
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
    elongation : float
        Long over short axis that the chip's sources have in common; 1 where there are too few to tell.
    elongation_angle : float
        Direction of the long axis, degrees from x towards y, -90 to 90.
    psf : EffectivePsf or None
        The model the sources were fitted with; None where nothing was found.
    chi_squared : ndarray, float64
        Reduced, of the fit.
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
    elongation: float
    elongation_angle: float
    psf: EffectivePsf | None
    chi_squared: Array

    def __len__(self) -> int:
        return len(self.x)

    def chosen(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> "Detections":
        """The sources that `keep` (mask or indices) selects."""
        columns = {f.name: getattr(self, f.name)[keep] for f in fields(self) if f.name not in _SCALARS}
        return replace(self, **columns)

    @property
    def alignable(self) -> NDArray[np.bool_]:
        """The usable ones, and galaxies: where stars are few, these are what exposures have in common.

        In the light of a saturated star an extended source is a ring or a spike of that.
        """
        spoilt = int(UNFIT & ~(SourceFlag.EXTENDED | SourceFlag.POOR_FIT) | SourceFlag.NEAR_SATURATED)
        galaxies = (self.flags & int(SourceFlag.EXTENDED)) != 0
        return self.usable | (galaxies & ((self.flags & spoilt) == 0))

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which sources may enter a fit."""
        return (self.flags & int(UNFIT)) == 0


_SCALARS = ("fwhm", "psf_stars", "elongation", "elongation_angle", "psf")


def detect_sources(
    science: NDArray[np.float32],
    error: NDArray[np.float32],
    quality: NDArray[np.integer],
    settings: DetectionSettings | None = None,
    *,
    psf: EffectivePsf | None = None,
) -> Detections:
    """Find and measure the point sources of one chip.

    Parameters
    ----------
    science, error : ndarray, shape (ny, nx)
        Image and its standard error, same units; an error that is zero, negative or not finite is
        replaced by the scatter of the background. Where all are missing (WFPC2), the image is in electrons.
    quality : ndarray of int, shape (ny, nx)
        DQ array.
    settings : DetectionSettings, optional
    psf : EffectivePsf, optional
        Taken where the chip has too few stars to make its own, in place of a Gaussian: the `Detections.psf`
        of another exposure of the same detector and filter, close in time.

    Returns
    -------
    Detections
        Empty where the chip has no source above the threshold.
    """
    chosen = settings or DetectionSettings()
    chip = peak_finding.search_chip(science, error, quality, chosen)
    image, variance, saturated = chip.image, chip.variance, chip.saturated
    column, row = chip.column, chip.row
    if len(column) == 0:
        return _empty(chosen.fwhm)
    if not np.any(error > 0):
        variance = variance + np.maximum(image, 0)
    coarse = quantum(science)
    if coarse > 0:
        variance = variance + np.float32(coarse**2 / 12.0)
    pixels = ChipPixels(image, variance, noise_slope(image, variance, column, row))
    spoilt = _touched(saturated, column, row, effective_psf.MODEL_RADIUS)
    spoilt |= image[row, column] < LEAST_STEPS * coarse
    model = chip_psf(pixels, column, row, chip.brightness, spoilt, chosen.fwhm, psf)
    fits = _fitted(model, pixels, column, row)
    flags = _flags(fits, model, image.shape, saturated, quality, column, row, chosen)
    return _tidied(_described(model, fits, flags, image), chosen)


def quantum(science: NDArray[np.float32]) -> float:
    """The step in which an image was quantised, 0 if it was not: rounding is noise that ERR leaves out."""
    sample = science[::7, ::11]
    values = np.unique(sample[np.isfinite(sample) & (sample != 0)])
    if len(values) < 2 or len(values) > 0.02 * sample.size:
        return 0.0
    step = float(np.min(np.diff(values[: len(values) // 2 + 2])))
    away = np.abs(values / step - np.rint(values / step))
    return step if np.mean(away < 0.02) > 0.95 else 0.0


def _fitted(psf: EffectivePsf, pixels: ChipPixels, column: Indices, row: Indices) -> StarFits:
    """Fit all stars, then those with neighbours again without the neighbours' light."""
    x, y = column.astype(np.float64), row.astype(np.float64)
    fits = effective_psf.fit_stars(psf, pixels, x, y, column, row)
    pairs = _pairs(column, row)
    close = np.unique(pairs)
    for _ in range(PASSES if len(close) else 0):
        near = _neighbours(pairs, close, fits, column, row)
        again = effective_psf.fit_stars(
            psf, pixels, fits.x[close], fits.y[close], column[close], row[close], neighbours=near
        )
        fits = fits.replaced(close, again)
    return fits


def _pairs(column: Indices, row: Indices) -> Indices:
    """Pairs of stars of which the model of one may reach the fitted pixels of the other, shape (n, 2)."""
    from scipy.spatial import cKDTree

    reach = effective_psf.MODEL_RADIUS + effective_psf.FIT_RADIUS + 1
    pairs: Indices = cKDTree(np.column_stack([column, row])).query_pairs(
        reach, p=np.inf, output_type="ndarray"
    )
    return pairs


def _neighbours(pairs: Indices, close: Indices, fits: StarFits, column: Indices, row: Indices) -> Neighbours:
    """The neighbours of the stars `close`; what is no believable star has no light."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    believable = fits.converged(column, row) & (fits.misfit < 1.0)
    both = both[believable[both[:, 1]]]
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    first = np.searchsorted(both[:, 0], np.append(close, len(fits)))
    sources = np.column_stack([fits.x, fits.y, fits.flux])
    return Neighbours(first.astype(np.intp), np.ascontiguousarray(both[:, 1]), sources)


def _flags(
    fits: StarFits,
    psf: EffectivePsf,
    shape: tuple[int, ...],
    saturated: Mask,
    quality: NDArray[np.integer],
    column: Indices,
    row: Indices,
    settings: DetectionSettings,
) -> NDArray[np.int32]:
    flags = np.zeros(len(fits), dtype=np.int32)

    def mark(where: Mask, flag: SourceFlag) -> None:
        flags[where] |= int(flag)

    mark(_touched(saturated, column, row, 1), SourceFlag.SATURATED)
    mark(_near_saturated(saturated, column, row), SourceFlag.NEAR_SATURATED)
    mark(_touched(_bleeding(saturated), column, row, 2), SourceFlag.BLEEDING)
    poor, extended = _poor(fits, psf), _extended(fits)
    hot = (quality[row, column] & settings.hot_bits) != 0
    mark(hot & (fits.sharpness > 1.3), SourceFlag.HOT_PIXEL)
    mark(_too_sharp(fits) | (poor & (fits.sharpness > 1.2) & ~extended), SourceFlag.COSMIC_RAY)
    mark(extended, SourceFlag.EXTENDED)
    mark(fits.contamination > 0.5, SourceFlag.BLENDED)
    mark(~fits.converged(column, row) | poor, SourceFlag.POOR_FIT)
    mark(_at_edge(column, row, shape), SourceFlag.EDGE)
    return flags


def structure(fits: StarFits, psf: EffectivePsf) -> tuple[Array, Array]:
    """What a source's pixels show beside the model, as a share of its light, and the noise of that.

    The error that the PSF would need to explain the residuals: a few hundredths for a star, a fifth and more
    for a cosmic ray, a galaxy or an unseen companion. Unlike a sum of residuals it does not grow with noise.
    """
    light = np.maximum(fits.sensitivity * psf.peak, 1e-30)
    excess = np.sqrt(np.maximum(fits.chi_squared - fits.freedom, 0.0) / light)
    return excess, np.sqrt(np.sqrt(2.0 * np.maximum(fits.freedom, 1.0)) / light)


def _poor(fits: StarFits, psf: EffectivePsf) -> Mask:
    """Sources with more structure than a star has."""
    beside, doubt = structure(fits, psf)
    poor: Mask = beside > np.hypot(STAR_STRUCTURE, 1.7 * doubt)
    return poor


def _too_sharp(fits: StarFits) -> Mask:
    """Narrower than the PSF beyond doubt."""
    beyond = fits.sharpness - 1.0
    return (beyond > 0.6) | (beyond > 4.0 * np.maximum(fits.sharpness_err, 0.06))


def _extended(fits: StarFits) -> Mask:
    """Less sharp than the PSF, on a bed of light of its own: galaxies; a cosmic ray has no bed."""
    bed = fits.background * (2 * effective_psf.FIT_RADIUS + 1) ** 2
    return (bed > 0.8 * fits.flux) & (bed > 5.0 * fits.flux_err) & (fits.sharpness < 0.8)


def _bleeding(saturated: Mask) -> Mask:
    """Saturated pixels of columns that are too long for a star's core."""
    bleeding = np.zeros_like(saturated)
    row, column = np.divmod(np.flatnonzero(saturated), saturated.shape[1])
    if len(column) == 0:
        return bleeding
    by_column = np.lexsort((row, column))
    row, column = row[by_column], column[by_column]
    starts = np.flatnonzero((np.diff(column, prepend=-1) != 0) | (np.diff(row, prepend=-2) != 1))
    lengths = np.diff(np.append(starts, len(column)))
    long = np.repeat(lengths > LONGEST_CORE, lengths)
    bleeding[row[long], column[long]] = True
    return bleeding


def _near_saturated(saturated: Mask, column: Indices, row: Indices) -> Mask:
    """Sources in the light of a saturated star, which reaches the farther the more of its pixels are full."""
    from scipy.spatial import cKDTree

    radius = effective_psf.MODEL_RADIUS
    steps = np.arange(-radius, radius + 1)
    full = saturated[row[:, None, None] + steps[:, None], column[:, None, None] + steps].sum(axis=(1, 2))
    near: Mask = full > 0
    cores = np.flatnonzero(_touched(saturated, column, row, 1))
    places = np.column_stack([column, row])
    reach = radius + 2.5 * np.sqrt(full[cores])
    for inside in cKDTree(places).query_ball_point(places[cores], reach):
        near[inside] = True
    return near


def _at_edge(column: Indices, row: Indices, shape: tuple[int, ...]) -> Mask:
    ny, nx = shape
    margin = effective_psf.MODEL_RADIUS + 2
    outside: Mask = np.minimum.reduce([column, row, nx - 1 - column, ny - 1 - row]) < margin
    return outside


def _described(
    psf: EffectivePsf, fits: StarFits, flags: NDArray[np.int32], image: NDArray[np.float32]
) -> Detections:
    snr = fits.flux / np.maximum(fits.flux_err, 1e-30)
    reduced = fits.chi_squared / np.maximum(fits.freedom, 1.0)
    # What the model does not explain, an unseen neighbour most often, moves the star too.
    doubt = np.sqrt(np.maximum(reduced - 1.0, 1.0))
    whole = (flags & int(UNFIT & ~(SourceFlag.POOR_FIT | SourceFlag.EXTENDED))) == 0
    elongation, angle = image_elongation(image, fits.x[whole], fits.y[whole], fits.flux[whole])
    return Detections(
        fits.x, fits.y, doubt * fits.x_err, doubt * fits.y_err, fits.flux, snr, fits.sharpness, fits.misfit,
        fits.contamination, flags, psf.fwhm, psf.stars, elongation, angle, psf,
        reduced,
    )  # fmt: skip


def _tidied(found: Detections, settings: DetectionSettings) -> Detections:
    """Leave out what is too faint or was found twice; brightest first."""
    found = found.chosen((found.snr > settings.threshold) & (found.flux > 0) & np.isfinite(found.x))
    found = found.chosen(np.argsort(-found.flux, kind="stable"))
    return found.chosen(_first_of_twins(found.x, found.y))


def _first_of_twins(x: Array, y: Array) -> Mask:
    from scipy.spatial import cKDTree

    first = np.ones(len(x), dtype=bool)
    if len(x) > 1:
        pairs = cKDTree(np.column_stack([x, y])).query_pairs(0.7, output_type="ndarray")
        first[pairs.max(axis=1)] = False
    return first


def _touched(mask: Mask, column: Indices, row: Indices, radius: int) -> Mask:
    """Whether the square round each source holds a pixel of the mask."""
    steps = np.arange(-radius, radius + 1)
    squares = mask[row[:, None, None] + steps[:, None], column[:, None, None] + steps]
    touched: Mask = squares.any(axis=(1, 2))
    return touched


def _empty(fwhm: float) -> Detections:
    a = np.zeros(0)
    return Detections(a, a, a, a, a, a, a, a, a, np.zeros(0, dtype=np.int32), fwhm, 0, 1.0, 0.0, None, a)
