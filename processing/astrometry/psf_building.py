"""Make the effective PSF of a chip from its own bright stars (Anderson & King 2000, PASP 112, 1360).

Stars and model are improved in turn: positions and fluxes with the model of the moment, then the
model by the median excess of all pixels of all stars near each of its nodes. A quadratic smoothing
keeps it quiet between the phases that happen to be sampled.
"""

import numpy as np
from hapctl.processing.astrometry.effective_psf import (
    HALF,
    MODEL_RADIUS,
    OVERSAMPLING,
    EffectivePsf,
    fit_stars,
    gaussian_psf,
    gaussian_samples,
    model_values,
    normalised,
    psf_from_samples,
    stamps,
)
from numpy.typing import NDArray

Array = NDArray[np.float64]


def build_psf(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    x: Array,
    y: Array,
    fwhm: float,
    *,
    rounds: int = 4,
) -> EffectivePsf:
    """Make the effective PSF of a chip from bright, isolated stars.

    Parameters
    ----------
    image, variance : ndarray, shape (ny, nx)
        Background-subtracted image and its variance; an infinite variance leaves a pixel out.
    x, y : ndarray, shape (n,)
        Positions of the stars, 0-based pixels, at least MODEL_RADIUS from the edges.
    fwhm : float
        First guess of the full width at half maximum, pixels.
    rounds : int
        How often stars and model are fitted in turn.

    Returns
    -------
    EffectivePsf
        The Gaussian of the guessed width where fewer than 10 stars are given.
    """
    psf = gaussian_psf(fwhm)
    if len(x) < 10:
        return psf
    column, row = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    data = stamps(image, column, row, MODEL_RADIUS)
    bad = ~np.isfinite(stamps(variance, column, row, MODEL_RADIUS))
    samples = gaussian_samples(fwhm)
    for _ in range(rounds):
        fits = fit_stars(psf, image, variance, x, y, steps=5)
        good = fits.converged & (fits.misfit < 3.0 * np.median(fits.misfit))
        if good.sum() < 10:
            return psf
        model = model_values(psf, fits.x, fits.y, column, row, MODEL_RADIUS)
        sky = np.median(data - fits.flux[:, None, None] * model, axis=(1, 2))
        excess = (data - sky[:, None, None]) / fits.flux[:, None, None] - model
        excess[bad] = np.nan
        samples = _corrected(samples, excess[good], column[good] - fits.x[good], row[good] - fits.y[good])
        noise = stamps(variance, column, row, MODEL_RADIUS) / fits.flux[:, None, None] ** 2
        psf = psf_from_samples(samples, int(good.sum()), _model_error(excess[good], model[good], noise[good]))
    return psf


def _corrected(samples: Array, excess: Array, offset_x: Array, offset_y: Array) -> Array:
    """Add the median excess over the model near each node; smooth; put the centroid back to zero."""
    steps = np.arange(-MODEL_RADIUS, MODEL_RADIUS + 1)
    place_x = np.broadcast_to((offset_x[:, None, None] + steps[None, None, :]), excess.shape)
    place_y = np.broadcast_to((offset_y[:, None, None] + steps[None, :, None]), excess.shape)
    correction = _node_medians(place_x.ravel(), place_y.ravel(), excess.ravel())
    return normalised(_centred(samples + _smooth(correction)))


def _node_medians(x: Array, y: Array, values: Array) -> Array:
    size = 2 * HALF + 1
    column = np.rint(x * OVERSAMPLING).astype(np.intp) + HALF
    row = np.rint(y * OVERSAMPLING).astype(np.intp) + HALF
    keep = np.isfinite(values) & (column >= 0) & (column < size) & (row >= 0) & (row < size)
    node, value = (row * size + column)[keep], values[keep]
    order = np.lexsort((value, node))
    node, value = node[order], value[order]
    filled, first, count = np.unique(node, return_index=True, return_counts=True)
    medians = 0.5 * (value[first + (count - 1) // 2] + value[first + count // 2])
    result = np.zeros(size * size)
    result[filled] = medians
    return result.reshape(size, size)


def _smooth(correction: Array) -> Array:
    """A quadratic fitted over 5 x 5 nodes, as in Anderson & King: keeps the peak, removes the noise."""
    from scipy.ndimage import convolve

    steps = np.arange(-2, 3, dtype=np.float64)
    x, y = np.meshgrid(steps, steps)
    basis = np.stack([np.ones(25), x.ravel(), y.ravel(), x.ravel() ** 2, y.ravel() ** 2, (x * y).ravel()])
    kernel = np.linalg.pinv(basis.T)[0].reshape(5, 5)
    smoothed: Array = convolve(correction, kernel, mode="constant")
    return smoothed


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


def _model_error(excess: Array, model: Array, noise: Array) -> float:
    """Robust scatter of the bright pixels about the model beyond their noise, as a fraction of the model."""
    bright = (model > 0.3 * model.max()) & np.isfinite(excess)
    scatter = (1.4826 * np.median(np.abs(excess[bright]) / model[bright])) ** 2
    return float(np.sqrt(np.clip(scatter - np.median(noise[bright] / model[bright] ** 2), 2.5e-5, 0.01)))
