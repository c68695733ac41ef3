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
    HALF,
    MODEL_RADIUS,
    OVERSAMPLING,
    ChipPixels,
    Domain,
    EffectivePsf,
    StarFits,
    fit_stars,
    gaussian_psf,
    light_within,
    normalised,
    spline_coefficients,
    width,
)
from hapctl.processing.astrometry.psf_shapes import PsfShape, ShapeSampler
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

LEAST_STARS, CORRECTING_STARS = 8, 40
"""Fewer stars than these leave a Gaussian, or a shape uncorrected."""
SHAPE_STARS, FIRST_STARS, MOST_STARS = 40, 300, 600
"""Stars of the shape to begin with, of the first, constant model, and of the final one."""
ROUNDS = 2
"""How often stars and model are fitted in turn; more rounds follow the noise, and warp both together."""
SHAPES = (
    *(PsfShape(False, part) for part in (0.0, 0.15, 0.3)),
    *(PsfShape(True, part) for part in (0.1, 0.2, 0.3, 0.45, 0.6)),
)
WIDTHS = (0.6, 0.75, 0.9, 1.05, 1.25, 1.5)
"""First guesses of the width are tried times these."""
STARS_OF_TERMS = ((1, 0), (3, 100), (6, 300))
"""How many stars a model of so many terms needs."""
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
        Peaks with a saturated pixel within MODEL_RADIUS.
    fwhm : float
        First guess, pixels.
    other : EffectivePsf, optional
        Taken where the chip has too few stars for its own: that of another chip or exposure of the same
        detector and filter. Without it a Gaussian is.
    """
    best = model_stars(column, row, brightness, saturated)
    psf = build_psf(pixels, column[best], row[best], fwhm)
    # Made from galaxies, clipped or quantised pixels, a model has an impossible width.
    if psf.stars > 0 and 0.65 * fwhm < psf.fwhm < 1.8 * fwhm:
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
    psf = EffectivePsf(spline_coefficients(samples), fwhm, 0, 0.02)
    for most, wanted in ((FIRST_STARS, 1), (MOST_STARS, terms_for(len(column[:MOST_STARS])))):
        some_column, some_row = column[:most], row[:most]
        samples = np.concatenate([samples, np.zeros((wanted - len(samples), *samples.shape[1:]))])
        psf = replace(psf, coefficients=spline_coefficients(samples), domain=_domain(some_column, some_row))
        for _ in range(ROUNDS if len(column) >= CORRECTING_STARS else 0):
            psf, samples = _improved(psf, samples, pixels, some_column, some_row)
    return _finished(psf, samples[0], pixels, column[:MOST_STARS], row[:MOST_STARS])


def terms_for(stars: int) -> int:
    """How many terms a model made from so many stars has."""
    return max(terms for terms, least in STARS_OF_TERMS if stars >= least)


def fitted_shape(pixels: ChipPixels, column: Indices, row: Indices, fwhm: float) -> Array:
    """Samples of the telescope-and-pixel shape that fits some stars best."""
    trial = _ShapeTrial(pixels, column, row)
    widths = [(trial.misfit(SHAPES[0], SHAPES[0].size_of(fwhm * factor)), fwhm * factor) for factor in WIDTHS]
    best_width = min(widths)[1]
    trial.begin_at(SHAPES[0], SHAPES[0].size_of(best_width))
    shapes = sorted(
        (trial.best_size(shape, shape.size_of(best_width), 0.12), n) for n, shape in enumerate(SHAPES)
    )
    (_, size), number = shapes[0]
    return trial.samples(SHAPES[number], trial.best_size(SHAPES[number], size, 0.03)[1])


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
        return float(np.median(self._fits(shape, size).misfit))

    def begin_at(self, shape: PsfShape, size: float) -> None:
        """Let all further fits begin at the places that this shape gives."""
        fits = self._fits(shape, size)
        good = fits.converged(self._column, self._row)
        self._x, self._y = np.where(good, fits.x, self._x), np.where(good, fits.y, self._y)

    def best_size(self, shape: PsfShape, size: float, step: float) -> tuple[float, float]:
        """The least misfit near a size, and the size there: by a parabola through three, in its logarithm."""
        sizes = size * np.exp(step * np.array([-1.0, 0.0, 1.0]))
        misfits = [self.misfit(shape, one) for one in sizes]
        bend = misfits[0] - 2.0 * misfits[1] + misfits[2]
        slope = 0.5 * (misfits[2] - misfits[0])
        move = float(np.clip(-slope / bend, -2.0, 2.0)) if bend > 0 else -2.0 * float(np.sign(slope))
        vertex = size * float(np.exp(step * move))
        tried = [(self.misfit(shape, vertex), vertex), *zip(misfits, sizes.tolist(), strict=True)]
        return min(tried)

    def _fits(self, shape: PsfShape, size: float) -> StarFits:
        coefficients = spline_coefficients(self.samples(shape, size)[None])
        psf = EffectivePsf(coefficients, 1.0, 0, 0.02)
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


def _domain(column: Indices, row: Indices) -> Domain:
    return float(column.min()), float(column.max()), float(row.min()), float(row.max())


def _good_fits(
    psf: EffectivePsf, pixels: ChipPixels, column: Indices, row: Indices
) -> tuple[StarFits, Indices]:
    """Fits of the stars that look like the model, and their middle pixels (n, 2)."""
    fits = fit_stars(psf, pixels, column.astype(np.float64), row.astype(np.float64), column, row)
    good = fits.converged(column, row) & (np.hypot(fits.x - column, fits.y - row) < 1.2)
    good &= fits.misfit < 3.0 * np.median(fits.misfit[good]) if good.any() else good
    return fits.chosen(good), np.column_stack([column[good], row[good]])


def _improved(
    psf: EffectivePsf, samples: Array, pixels: ChipPixels, column: Indices, row: Indices
) -> tuple[EffectivePsf, Array]:
    """One round: stars by the model, the model by the stars."""
    used, places = _good_fits(psf, pixels, column, row)
    correction = star_fitting.node_corrections(
        psf.coefficients, samples, psf.basis(used.x, used.y), pixels.image, pixels.variance,
        np.column_stack([used.x, used.y, used.flux]), places, MODEL_RADIUS, pixels.slope, PRIOR_SHARE,
    )  # fmt: skip
    new = _tidied(samples + np.stack([_smooth(term) for term in correction]))
    return replace(psf, coefficients=spline_coefficients(new)), new


def _finished(
    psf: EffectivePsf, mean: Array, pixels: ChipPixels, column: Indices, row: Indices
) -> EffectivePsf:
    """The model with its width, its stars and its error, which the residuals of the bright ones tell."""
    fits, places = _good_fits(replace(psf, error=0.005), pixels, column, row)
    if len(fits) < LEAST_STARS:
        return gaussian_psf(psf.fwhm)
    exact = replace(psf, error=0.0)
    again = fit_stars(
        exact, pixels, fits.x, fits.y, np.ascontiguousarray(places[:, 0]), np.ascontiguousarray(places[:, 1])
    )
    bright = np.argsort(-again.sensitivity, kind="stable")[: max(LEAST_STARS, len(places) // 3)]
    excess = (again.chi_squared - again.freedom)[bright] / np.maximum(again.sensitivity[bright], 1e-300)
    error = float(np.sqrt(np.clip(np.median(excess) / psf.peak, 1e-6, 0.04)))
    return replace(psf, fwhm=width(mean), stars=len(fits), error=error)


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
    slope_y, slope_x = np.gradient(0.5 * (mean + mean[::-1, ::-1]))
    slopes = np.stack([slope_y.ravel(), slope_x.ravel()])
    terms = [mean]
    for term in samples[1:]:
        odd = 0.5 * (term - term[::-1, ::-1]).ravel()
        shifted = np.linalg.solve(slopes @ slopes.T, slopes @ odd) @ slopes
        still = term - shifted.reshape(term.shape)
        terms.append(still - mean * light_within(still))
    return np.stack(terms)


def _centred(samples: Array) -> Array:
    """Shift the model to where it is most nearly the same when turned by 180 degrees.

    The odd part of the model is taken for a small shift of its even part and fitted with the slopes
    of that, which weighs the nodes as a fit of a star's position does.
    """
    from scipy.ndimage import shift

    turned = samples[::-1, ::-1]
    slope_y, slope_x = np.gradient(0.5 * (samples + turned))
    slopes = np.stack([slope_y.ravel(), slope_x.ravel()])
    move = np.linalg.solve(slopes @ slopes.T, slopes @ (0.5 * (samples - turned)).ravel())
    centred: Array = shift(samples, np.clip(move, -2.0, 2.0), order=3, mode="nearest")
    return centred
