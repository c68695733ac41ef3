"""Make the effective PSF of a chip from its own bright stars (Anderson & King 2000, PASP 112, 1360).

It begins as the telescope-and-pixel shape that fits best (`psf_shapes`). Then stars and model are improved
in turn: positions and fluxes with the model of the moment, the model at each of its nodes by what the
pixels near it ask for. With many stars a node's value is a polynomial of the place on the chip; a quadratic
smoothing keeps the model quiet between the phases that happen to be sampled. A chip with too few stars
takes another's model, if one is given, or a Gaussian.
"""

from dataclasses import replace

import numpy as np
from hapctl.ext import star_fitting
from hapctl.processing.astrometry.effective_psf import (
    FIT_RADIUS,
    HALF,
    MODEL_RADIUS,
    OVERSAMPLING,
    ChipPixels,
    Domain,
    EffectivePsf,
    StarFits,
    fit_stars,
    gaussian_psf,
    grid,
    light_within,
    normalised,
    spline_coefficients,
    width,
)
from hapctl.processing.astrometry.psf_shapes import PsfShape, ShapeSampler
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

LEAST_STARS, CORRECTING_STARS = 8, 60
"""Fewer stars than these leave a Gaussian, or a shape uncorrected."""
ROUGH_STARS, SHAPE_STARS, FIRST_STARS, MOST_STARS = 25, 100, 200, 500
"""Stars of a first look at the shapes, of the shape to begin with, of a constant and of the final model."""
ROUNDS = 2
"""How often stars and model are fitted in turn; more rounds follow the noise, and warp both together."""
SHAPES = (
    *(PsfShape(False, part) for part in (0.0, 0.15, 0.3)),
    *(PsfShape(True, part) for part in (0.1, 0.2, 0.3, 0.45, 0.6)),
)
CLOSE_SHAPES = 3
NARROWEST = 1.08
"""Full width at half maximum that no telescope beats with whole pixels (they alone have 1)."""
STARLIKE = 0.4
"""Light that a star may have beside a model of guessed width, of its own; cosmic rays have 0.6 and more."""
WIDTHS = (0.6, 0.75, 0.9, 1.05, 1.25, 1.5)
"""First guesses of the width are tried times these."""
STARS_OF_TERMS = ((1, 0), (3, 120), (6, 300))
"""How many stars a model of so many terms needs."""
SKY_SHARE = 0.01
"""Noise of the sky in the fit of a bright star, as a share of its peak's."""
PRIOR_SHARE = 0.15
"""How much the PSF is expected to vary over a chip, as a share of its value."""


def noise_slope(
    image: NDArray[np.float32], variance: NDArray[np.float32], column: Indices, row: Indices
) -> float:
    """Variance that a unit of light brings, from the brightest of some peaks; 0 where errors ignore light."""
    signal, noise = image[row, column], variance[row, column]
    usual = variance[::16, ::16]
    usual = usual[np.isfinite(usual)]
    good = np.nonzero(np.isfinite(noise) & (signal > 0))[0]
    if len(good) == 0 or len(usual) == 0:
        return 0.0
    best = good[np.argsort(-signal[good], kind="stable")[:200]]
    return max(0.0, float(np.median((noise[best] - np.median(usual)) / signal[best])))


def chip_psf(
    pixels: ChipPixels,
    column: Indices,
    row: Indices,
    brightness: NDArray[np.floating],
    saturated: NDArray[np.bool_],
    fwhm: float,
    other: EffectivePsf | None = None,
) -> EffectivePsf:
    """The effective PSF of a chip from its bright stars without a rival within reach.

    Parameters
    ----------
    pixels : ChipPixels
    column, row : ndarray of int, shape (n,)
        Peaks, brightest first, at least MODEL_RADIUS + 1 from the edges.
    brightness : ndarray, shape (n,)
        Of the peaks, in any unit.
    saturated : ndarray of bool, shape (n,)
        Peaks that are not to be used: those with a saturated pixel within MODEL_RADIUS.
    fwhm : float
        First guess, pixels.
    other : EffectivePsf, optional
        Taken where the chip has too few stars for its own: that of another chip or exposure of the same
        detector and filter. Without it a Gaussian is.
    """
    best = model_stars(column, row, brightness, saturated)
    best = best[_starlike(pixels, column[best], row[best], fwhm)]
    psf = build_psf(pixels, column[best], row[best], fwhm)
    # Made from galaxies, trails, cosmic rays or clipped pixels, a model has an impossible width.
    if psf.stars > 0 and max(NARROWEST, 0.65 * fwhm) < psf.fwhm < 1.8 * fwhm:
        return psf
    return gaussian_psf(fwhm) if other is None else other


def build_psf(pixels: ChipPixels, column: Indices, row: Indices, fwhm: float) -> EffectivePsf:
    """Make the effective PSF of a chip from bright, isolated stars, brightest first.

    Parameters
    ----------
    pixels : ChipPixels
    column, row : ndarray of int, shape (n,)
        Their brightest pixels, at least MODEL_RADIUS + 1 from the edges.
    fwhm : float
        First guess of the full width at half maximum, pixels.

    Returns
    -------
    EffectivePsf
        The Gaussian of the guessed width where fewer than 8 stars are given; the best of the shapes of
        `psf_shapes` where they are too few to correct it.
    """
    if len(column) < LEAST_STARS:
        return gaussian_psf(fwhm)
    samples = fitted_shape(pixels, column[:SHAPE_STARS], row[:SHAPE_STARS], fwhm)[None]
    psf = EffectivePsf(spline_coefficients(samples), fwhm)
    for most, wanted in ((FIRST_STARS, 1), (MOST_STARS, terms_for(len(column[:MOST_STARS])))):
        some_column, some_row = column[:most], row[:most]
        samples = np.concatenate([samples, np.zeros((wanted - len(samples), *samples.shape[1:]))])
        psf = replace(psf, coefficients=spline_coefficients(samples), domain=_domain(some_column, some_row))
        near = some_column.astype(np.float64), some_row.astype(np.float64)
        for _ in range(ROUNDS if len(column) >= CORRECTING_STARS else 0):
            psf, samples, near = _improved(psf, samples, pixels, some_column, some_row, near)
    return _finished(psf, samples[0], pixels, column[:MOST_STARS], row[:MOST_STARS])


def terms_for(stars: int) -> int:
    """How many terms a model made from so many stars has."""
    return max(terms for terms, least in STARS_OF_TERMS if stars >= least)


def fitted_shape(pixels: ChipPixels, column: Indices, row: Indices, fwhm: float) -> Array:
    """Samples of the telescope-and-pixel shape that fits some stars best, brightest first.

    A few stars tell which shapes are worth a closer look; that takes more of them, and varies also the part.
    """
    rough = _ShapeTrial(pixels, column[:ROUGH_STARS], row[:ROUGH_STARS])
    simple = SHAPES[0]
    wide = min((rough.misfit(simple, simple.size_of(fwhm * factor)), fwhm * factor) for factor in WIDTHS)[1]
    rough.begin_at(simple, simple.size_of(wide))
    sized = [(shape, *rough.best_size(shape, shape.size_of(wide), 0.12)) for shape in SHAPES]
    close = _ShapeTrial(pixels, column, row)
    close.begin_at(simple, simple.size_of(wide))
    few = sorted(sized, key=lambda one: one[1])[:CLOSE_SHAPES]
    best = min((close.seen(shape, size, 0.05) for shape, _, size in few), key=lambda one: one[0])
    for factor in (0.85, 1.18):
        other = replace(best[1], part=best[1].part * factor)
        best = min(best, close.seen(other, best[2], 0.05), key=lambda one: one[0])
    return close.samples(best[1], best[2])


class _ShapeTrial:
    """Some stars, fitted with one shape after another."""

    def __init__(self, pixels: ChipPixels, column: Indices, row: Indices) -> None:
        self._pixels, self._column, self._row = pixels, column, row
        self._x, self._y = column.astype(np.float64), row.astype(np.float64)
        self._sampler = ShapeSampler(OVERSAMPLING, HALF)

    def samples(self, shape: PsfShape, size: float) -> Array:
        """Of a shape of unit light."""
        return normalised(self._sampler.samples(shape, size))

    def misfit(self, shape: PsfShape, size: float) -> float:
        """Median share of their light that the stars have beside the shape."""
        return float(np.median(self.fits(shape, size).misfit))

    def begin_at(self, shape: PsfShape, size: float) -> None:
        """Let all further fits begin at the places that this shape gives."""
        fits = self.fits(shape, size)
        good = fits.converged(self._column, self._row)
        self._x, self._y = np.where(good, fits.x, self._x), np.where(good, fits.y, self._y)

    def best_size(self, shape: PsfShape, size: float, step: float) -> tuple[float, float]:
        """The least misfit near a size, and the size there: of a parabola through three, in its logarithm."""
        low, middle, high = (self.misfit(shape, size * float(np.exp(n * step))) for n in (-1, 0, 1))
        bend, slope = low - 2.0 * middle + high, 0.5 * (high - low)
        if bend <= 0.5 * abs(slope):  # the minimum lies outside
            return min(low, high), size * float(np.exp(-2.0 * step * np.sign(slope)))
        return middle - 0.5 * slope**2 / bend, size * float(np.exp(-step * slope / bend))

    def seen(self, shape: PsfShape, size: float, step: float) -> tuple[float, PsfShape, float]:
        """Misfit, shape and size of a shape at its best size near one given."""
        _, better = self.best_size(shape, size, step)
        return self.misfit(shape, better), shape, better

    def fits(self, shape: PsfShape, size: float) -> StarFits:
        """Of the stars with a shape."""
        coefficients = spline_coefficients(self.samples(shape, size)[None])
        psf = EffectivePsf(coefficients, 1.0)
        return fit_stars(psf, self._pixels, self._x, self._y, self._column, self._row, steps=5)


def model_stars(
    column: Indices, row: Indices, brightness: NDArray[np.floating], saturated: NDArray[np.bool_]
) -> Indices:
    """Indices of stars fit to make a PSF from: no saturated pixel, no neighbour of a tenth within reach."""
    from scipy.spatial import cKDTree

    tree = cKDTree(np.column_stack([column, row]))
    pairs = tree.query_pairs(1.8 * MODEL_RADIUS, output_type="ndarray")
    rivalled = np.zeros(len(column), dtype=bool)
    for star, other in ((0, 1), (1, 0)):
        rival = brightness[pairs[:, other]] > 0.1 * brightness[pairs[:, star]]
        rivalled[pairs[rival, star]] = True
    return np.nonzero(~saturated & ~rivalled)[0]


def _starlike(pixels: ChipPixels, column: Indices, row: Indices, fwhm: float) -> NDArray[np.bool_]:
    """Which peaks have the shape of a star of about the guessed width: cosmic rays are far from it."""
    fits = _ShapeTrial(pixels, column, row).fits(SHAPES[0], SHAPES[0].size_of(fwhm))
    starlike: NDArray[np.bool_] = fits.converged(column, row) & (fits.misfit < STARLIKE)
    return starlike


def _domain(column: Indices, row: Indices) -> Domain:
    return float(column.min()), float(column.max()), float(row.min()), float(row.max())


def _good_fits(
    psf: EffectivePsf, pixels: ChipPixels, column: Indices, row: Indices, near: tuple[Array, Array]
) -> tuple[StarFits, NDArray[np.bool_]]:
    """Fits of the stars, begun near the places given, and which of them look like the model."""
    fits = fit_stars(psf, pixels, *near, column, row)
    good = fits.converged(column, row) & (np.hypot(fits.x - column, fits.y - row) < 1.2)
    good &= fits.misfit < 3.0 * np.median(fits.misfit[good]) if good.any() else good
    return fits, good


def _improved(
    psf: EffectivePsf,
    samples: Array,
    pixels: ChipPixels,
    column: Indices,
    row: Indices,
    near: tuple[Array, Array],
) -> tuple[EffectivePsf, Array, tuple[Array, Array]]:
    """One round: stars by the model, the model by the stars; also the places where the good stars were."""
    fits, good = _good_fits(psf, pixels, column, row, near)
    used, places = fits.chosen(good), np.column_stack([column[good], row[good]])
    correction = star_fitting.node_corrections(
        psf.coefficients, samples, psf.basis(used.x, used.y), pixels.image, pixels.variance,
        np.column_stack([used.x, used.y, used.flux]), places, MODEL_RADIUS, pixels.slope, PRIOR_SHARE,
    )  # fmt: skip
    new = _tidied(samples + np.stack([_smooth(term) for term in correction]))
    moved = np.where(good, fits.x, column), np.where(good, fits.y, row)
    return replace(psf, coefficients=spline_coefficients(new)), new, moved


def _finished(
    psf: EffectivePsf, mean: Array, pixels: ChipPixels, column: Indices, row: Indices
) -> EffectivePsf:
    """The model with its width, its stars and its error, which the residuals of the bright ones tell."""
    near = column.astype(np.float64), row.astype(np.float64)
    fits, good = _good_fits(replace(psf, error=0.0), pixels, column, row, near)
    again = fits.chosen(good)
    if len(again) < LEAST_STARS:
        return gaussian_psf(psf.fwhm)
    bright = again.chosen(np.argsort(-again.sensitivity, kind="stable")[: max(LEAST_STARS, len(again) // 3)])
    error = _explaining(bright.chi_squared - bright.freedom, bright.sensitivity * psf.peak)
    odd = _explaining(bright.odd_chi_squared - bright.odd_freedom, bright.odd_sensitivity * psf.peak)
    return replace(psf, fwhm=width(mean), stars=len(again), error=error, odd_error=min(odd, error))


def _explaining(excess: Array, sensitivity: Array) -> float:
    """The error of the PSF that explains the stars' chi squared beyond its expectation."""
    squared = float(np.median(excess / np.maximum(sensitivity, 1e-300)))
    return float(np.sqrt(np.clip(squared, 1e-6, 0.04)))


def _smooth(correction: Array) -> Array:
    """A quadratic fitted over 5 x 5 nodes, as in Anderson & King: keeps the peak, removes the noise."""
    from scipy.ndimage import convolve

    steps = np.arange(-2, 3, dtype=np.float64)
    x, y = np.meshgrid(steps, steps)
    basis = np.stack([np.ones(25), x.ravel(), y.ravel(), x.ravel() ** 2, y.ravel() ** 2, (x * y).ravel()])
    kernel = np.linalg.pinv(basis.T)[0].reshape(5, 5)
    smoothed: Array = convolve(correction, kernel, mode="constant")
    return smoothed


def _tidied(samples: Array) -> Array:
    """Give the mean model unit light and its centroid to zero; other terms keep neither light nor shift."""
    mean = normalised(_centred(samples[0]))
    slopes, weights = _star_slopes(0.5 * (mean + mean[::-1, ::-1]))
    terms = [mean]
    for term in samples[1:]:
        odd = 0.5 * (term - term[::-1, ::-1]).ravel()
        still = term - (_shift_in(odd, slopes, weights) @ slopes).reshape(term.shape)
        terms.append(still - mean * light_within(still))
    return np.stack(terms)


def _centred(samples: Array) -> Array:
    """Shift the model to where it is most nearly the same when turned by 180 degrees.

    The odd part of the model is taken for a small shift of its even part and fitted with the slopes of that,
    as the position of a bright star is: noise of the model then moves no star.
    """
    from scipy.ndimage import shift

    turned = samples[::-1, ::-1]
    slopes, weights = _star_slopes(0.5 * (samples + turned))
    move = _shift_in(0.5 * (samples - turned).ravel(), slopes, weights)
    centred: Array = shift(samples, np.clip(move, -2.0, 2.0), order=3, mode="nearest")
    return centred


def _star_slopes(even: Array) -> tuple[Array, Array]:
    """Slopes of a model along y and x, shape (2, nodes), and the nodes' weights for a bright star."""
    offsets = np.abs(grid())
    inside = np.maximum(offsets[:, None], offsets[None, :]) <= FIT_RADIUS + 0.5
    weights = inside / (np.maximum(even, 0.0) + SKY_SHARE * even.max())
    return np.stack([slope.ravel() for slope in np.gradient(even)]), weights.ravel()


def _shift_in(odd: Array, slopes: Array, weights: Array) -> Array:
    """The shift (y, x), in nodes, that is in a model's odd part."""
    weighted = slopes * weights
    return np.asarray(np.linalg.solve(weighted @ slopes.T, weighted @ odd), dtype=np.float64)
