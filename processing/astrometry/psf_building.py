"""Make the effective PSF of a chip from its own bright stars (Anderson & King 2000, PASP 112, 1360).

Stars and model are improved in turn: positions and fluxes with the model of the moment, then the model
at each of its nodes by what the pixels near it ask for. With many stars a node's value is a polynomial of
the place on the chip; a quadratic smoothing keeps the model quiet between the phases that happen to be
sampled. A chip with too few stars takes another's model, if one is given, or a Gaussian.
"""

from dataclasses import replace

import numpy as np
from hapctl.ext import star_fitting
from hapctl.processing.astrometry.effective_psf import (
    MODEL_RADIUS,
    ChipPixels,
    Domain,
    EffectivePsf,
    StarFits,
    fit_stars,
    gaussian_psf,
    gaussian_samples,
    light_within,
    normalised,
    psf_from_samples,
)
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

LEAST_STARS = 10
FIRST_STARS, MOST_STARS = 80, 600
"""Stars of the first, constant model, and of the final one."""
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
        The Gaussian of the guessed width where fewer than 10 stars are given or survive.
    """
    samples = gaussian_samples(fwhm)[None]
    psf = gaussian_psf(fwhm)
    if len(column) < LEAST_STARS:
        return psf
    for most, rounds, terms in ((FIRST_STARS, 4, 1), (MOST_STARS, 4, None)):
        some_column, some_row = column[:most], row[:most]
        wanted = terms or max(n for n, stars in STARS_OF_TERMS if len(some_column) >= stars)
        domain = _domain(some_column, some_row)
        samples = np.concatenate([samples, np.zeros((wanted - len(samples), *samples.shape[1:]))])
        psf = psf_from_samples(samples, psf.stars, psf.error, domain)
        for _ in range(rounds):
            improved = _improved(psf, samples, pixels, some_column, some_row)
            if improved is None:
                return gaussian_psf(fwhm)
            psf, samples = improved
    return psf


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


def _improved(
    psf: EffectivePsf, samples: Array, pixels: ChipPixels, column: Indices, row: Indices
) -> tuple[EffectivePsf, Array] | None:
    """One round: stars by the model, the model by the stars; None where too few stars are left."""
    exact = replace(psf, error=0.0)
    fits = fit_stars(psf, pixels, column.astype(np.float64), row.astype(np.float64), column, row)
    good = fits.converged(column, row) & (np.hypot(fits.x - column, fits.y - row) < 1.2)
    if good.sum() < LEAST_STARS:
        return None
    good &= fits.misfit < 3.0 * np.median(fits.misfit[good])
    if good.sum() < LEAST_STARS:
        return None
    used, places = fits.chosen(good), np.column_stack([column[good], row[good]])
    correction = star_fitting.node_corrections(
        exact.coefficients, samples, psf.basis(used.x, used.y), pixels.image, pixels.variance,
        np.column_stack([used.x, used.y, used.flux]), places, MODEL_RADIUS, pixels.slope, PRIOR_SHARE,
    )  # fmt: skip
    new = _tidied(samples + np.stack([_smooth(term) for term in correction]))
    better = psf_from_samples(new, int(good.sum()), psf.error, psf.domain)
    return replace(better, error=_model_error(better, pixels, used, places)), new


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


def _model_error(psf: EffectivePsf, pixels: ChipPixels, fits: StarFits, places: Indices) -> float:
    """The error of the PSF, as a share of its peak, that explains the residuals of bright stars."""
    again = fit_stars(
        replace(psf, error=0.0), pixels, fits.x, fits.y, np.ascontiguousarray(places[:, 0]),
        np.ascontiguousarray(places[:, 1]), steps=4,
    )  # fmt: skip
    bright = np.argsort(-again.sensitivity, kind="stable")[: max(LEAST_STARS, len(places) // 3)]
    excess = (again.chi_squared - again.freedom)[bright] / np.maximum(again.sensitivity[bright], 1e-300)
    squared = float(np.median(excess)) / psf.peak
    return float(np.sqrt(np.clip(squared, 1e-6, 0.04)))
