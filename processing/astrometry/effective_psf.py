"""An effective PSF measured from the exposure itself, and stars fitted with it.

The effective PSF is the response of a pixel to a star as a function of the star's offset from the
pixel's centre (Anderson & King 2000, PASP 112, 1360): the pixel's own size is in it, so that an
undersampled image is fitted without integrating anything, and without a bias that depends on where
in its pixel a star falls. It is kept as a cubic spline on a grid four times finer than the pixels.
Everything here is vectorised over the stars of a chip. Pixels are 0-based.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

OVERSAMPLING = 4
FIT_RADIUS = 2
MODEL_RADIUS = 5
_MARGIN = 8  # nodes beyond the model radius, so that a star may move by two pixels from its start
HALF = MODEL_RADIUS * OVERSAMPLING + _MARGIN
Array = NDArray[np.float64]


@dataclass(frozen=True)
class EffectivePsf:
    """A constant effective PSF of one chip.

    Attributes
    ----------
    coefficients : ndarray, shape (n, n), float64
        Cubic B-spline coefficients on the oversampled grid, centre at the middle node.
    fwhm : float
        Full width at half maximum of the effective PSF, pixels.
    stars : int
        How many stars it was made from; 0 for a Gaussian.
    error : float
        Scatter of single pixels of bright stars about the model, as a fraction of the model's value.
    """

    coefficients: Array
    fwhm: float
    stars: int = 0
    error: float = 0.02


@dataclass(frozen=True)
class StarFits:
    """What a fit of the effective PSF gave for each star.

    Attributes
    ----------
    x, y, flux, background : ndarray, shape (n,)
        Position (0-based pixels), flux within the model radius and local level, image units.
    x_err, y_err, flux_err : ndarray, shape (n,)
        Standard errors from the noise of the pixels.
    misfit : ndarray, shape (n,)
        Sum of absolute residuals over the fitted pixels, divided by the flux (0 is perfect).
    converged : ndarray, shape (n,), bool
        The last step was below 0.01 pixel and the position stayed within 1.5 pixels of its start.
    """

    x: Array
    y: Array
    flux: Array
    background: Array
    x_err: Array
    y_err: Array
    flux_err: Array
    misfit: Array
    converged: NDArray[np.bool_]

    def chosen(self, keep: NDArray[np.intp]) -> "StarFits":
        """The stars of these indices."""
        return StarFits(*(getattr(self, f.name)[keep] for f in fields(self)))

    def replaced(self, places: NDArray[np.intp], others: "StarFits") -> "StarFits":
        """These fits with those of `others` at the indices `places`."""
        columns = [getattr(self, f.name).copy() for f in fields(self)]
        for column, f in zip(columns, fields(self), strict=True):
            column[places] = getattr(others, f.name)
        return StarFits(*columns)


def gaussian_psf(fwhm: float) -> EffectivePsf:
    """A Gaussian effective PSF, as a start or where a chip has too few stars.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum, pixels.
    """
    return psf_from_samples(gaussian_samples(fwhm), stars=0, error=0.05)


def evaluate(
    psf: EffectivePsf, x: Array, y: Array, column: NDArray[np.intp], row: NDArray[np.intp], radius: int
) -> tuple[Array, Array, Array]:
    """Value and slopes of the model on a square of pixels round each star.

    Parameters
    ----------
    psf : EffectivePsf
    x, y : ndarray, shape (n,)
        Positions of the stars, 0-based pixels.
    column, row : ndarray of int, shape (n,)
        The central pixel of each square.
    radius : int
        The square has ``2 * radius + 1`` pixels a side.

    Returns
    -------
    value, by_x, by_y : ndarray, shape (n, k, k)
        The fraction of the flux in each pixel [row, column], and its change with the star's x and y.
    """
    patches, (weight_x, slope_x), (weight_y, slope_y) = _surroundings(psf, x, y, column, row, radius)
    weights = np.stack(
        [
            _outer(weight_y, weight_x),
            -OVERSAMPLING * _outer(weight_y, slope_x),
            -OVERSAMPLING * _outer(slope_y, weight_x),
        ],
        axis=2,
    )
    side = 2 * radius + 1
    result = (patches @ weights).reshape(len(x), side, side, 3)
    return result[..., 0], result[..., 1], result[..., 2]


def model_values(
    psf: EffectivePsf, x: Array, y: Array, column: NDArray[np.intp], row: NDArray[np.intp], radius: int
) -> Array:
    """The value alone, as from `evaluate`, shape (n, k, k)."""
    patches, (weight_x, _), (weight_y, _) = _surroundings(psf, x, y, column, row, radius)
    side = 2 * radius + 1
    values: Array = (patches @ _outer(weight_y, weight_x)[:, :, None]).reshape(len(x), side, side)
    return values


def _surroundings(
    psf: EffectivePsf, x: Array, y: Array, column: NDArray[np.intp], row: NDArray[np.intp], radius: int
) -> tuple[Array, tuple[Array, Array], tuple[Array, Array]]:
    """The 4 x 4 spline coefficients round each pixel, shape (n, k * k, 16), and the weights of x and y."""
    first_x, part_x = _nodes(column - x, radius)
    first_y, part_y = _nodes(row - y, radius)
    steps = (OVERSAMPLING * np.arange(2 * radius + 1))[:, None] + np.arange(4)
    columns = first_x[:, None, None] + steps
    rows = (first_y[:, None, None] + steps) * psf.coefficients.shape[1]
    flat = rows[:, :, None, :, None] + columns[:, None, :, None, :]
    patches = psf.coefficients.ravel()[flat].reshape(len(x), len(steps) ** 2, 16)
    return patches, _spline_weights(part_x), _spline_weights(part_y)


def fit_stars(
    psf: EffectivePsf,
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    x: Array,
    y: Array,
    *,
    radius: int = FIT_RADIUS,
    steps: int = 8,
    background: bool = True,
) -> StarFits:
    """Fit position, flux and local level of each star by weighted least squares (Gauss-Newton).

    Parameters
    ----------
    psf : EffectivePsf
    image, variance : ndarray, shape (ny, nx)
        Background-subtracted image and its variance; an infinite variance leaves a pixel out.
    x, y : ndarray, shape (n,)
        Start positions, 0-based pixels, at least `radius` from the edges.
    radius : int
        Half the side of the fitted square.
    steps : int
        Number of Gauss-Newton steps.
    background : bool
        Fit a constant level under each star.

    Returns
    -------
    StarFits
        The variance of a pixel is that of the noise plus (psf.error times the model) squared.
    """
    column, row = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    data, noise = stamps(image, column, row, radius), stamps(variance, column, row, radius)
    return fit_stamps(psf, data, noise, column, row, x, y, steps=steps, background=background)


def fit_stamps(
    psf: EffectivePsf,
    data: Array,
    noise: Array,
    column: NDArray[np.intp],
    row: NDArray[np.intp],
    x: Array,
    y: Array,
    *,
    steps: int = 8,
    background: bool = True,
) -> StarFits:
    """As `fit_stars`, on squares already cut out (shape (n, k, k)), e.g. with the neighbours taken away."""
    radius = data.shape[1] // 2
    here_x, here_y = x.astype(np.float64), y.astype(np.float64)
    flux = np.zeros(len(x))
    level = np.zeros(len(x))
    inverse = np.where(np.isfinite(noise), 1.0 / np.maximum(noise, 1e-30), 0.0)
    moved = np.full(len(x), np.inf)
    normal = np.zeros((len(x), 4, 4))
    for step in range(steps):
        value, by_x, by_y = evaluate(psf, here_x, here_y, column, row, radius)
        if step == 0:
            flux, level = _start(data, inverse, value, background)
        weight = inverse / (1.0 + inverse * (psf.error * flux[:, None, None] * value) ** 2)
        residual = data - flux[:, None, None] * value - level[:, None, None]
        slopes = np.stack(
            [value, np.full_like(value, float(background)), flux[:, None, None] * by_x,
             flux[:, None, None] * by_y], axis=3,
        ).reshape(len(x), -1, 4)  # fmt: skip
        weighted = slopes * weight.reshape(len(x), -1, 1)
        normal = np.swapaxes(weighted, 1, 2) @ slopes
        right = np.swapaxes(weighted, 1, 2) @ residual.reshape(len(x), -1, 1)
        change = np.linalg.solve(_regular(normal), right)[:, :, 0]
        shift = np.clip(change[:, 2:], -0.5, 0.5)
        flux, level = flux + change[:, 0], level + change[:, 1]
        here_x, here_y = _kept_near(here_x + shift[:, 0], column), _kept_near(here_y + shift[:, 1], row)
        moved = np.hypot(shift[:, 0], shift[:, 1])
    value = model_values(psf, here_x, here_y, column, row, radius)
    residual = data - flux[:, None, None] * value - level[:, None, None]
    used = inverse > 0
    misfit = np.sum(np.abs(residual) * used, axis=(1, 2)) / np.maximum(np.abs(flux), 1e-30)
    variances = np.diagonal(np.linalg.inv(_regular(normal)), axis1=1, axis2=2)
    errors = np.sqrt(np.maximum(variances, 0.0))
    near = (np.abs(here_x - column) < 1.5) & (np.abs(here_y - row) < 1.5)
    converged = (moved < 0.01) & near & (flux > 0) & (used.sum(axis=(1, 2)) > data.shape[1] ** 2 // 2)
    return StarFits(here_x, here_y, flux, level, errors[:, 2], errors[:, 3], errors[:, 0], misfit, converged)


def stamps(image: NDArray[np.float32], column: NDArray[np.intp], row: NDArray[np.intp], radius: int) -> Array:
    """Squares of ``2 * radius + 1`` pixels round each (row, column), shape (n, k, k), float64."""
    steps = np.arange(-radius, radius + 1)
    rows = row[:, None, None] + steps[None, :, None]
    columns = column[:, None, None] + steps[None, None, :]
    return image[rows, columns].astype(np.float64)


def _nodes(offset: Array, radius: int) -> tuple[NDArray[np.intp], Array]:
    place = (offset - radius) * OVERSAMPLING + HALF
    node = np.floor(place).astype(np.intp)
    last = 2 * HALF - 2 - 2 * radius * OVERSAMPLING
    return np.clip(node - 1, 0, last - 1), place - node


def _spline_weights(part: Array) -> tuple[Array, Array]:
    rest = 1.0 - part
    weights = np.stack(
        [rest**3, 3 * part**3 - 6 * part**2 + 4, 3 * rest**3 - 6 * rest**2 + 4, part**3], axis=1
    )
    slopes = np.stack([-(rest**2), 3 * part**2 - 4 * part, -3 * rest**2 + 4 * rest, part**2], axis=1)
    return weights / 6.0, slopes / 2.0


def _outer(rows: Array, columns: Array) -> Array:
    return (rows[:, :, None] * columns[:, None, :]).reshape(len(rows), 16)


def _start(data: Array, inverse: Array, value: Array, background: bool) -> tuple[Array, Array]:
    level = np.median(data, axis=(1, 2)) * 0.5 if background else np.zeros(len(data))
    weighted = inverse * value
    flux = np.sum(weighted * (data - level[:, None, None]), axis=(1, 2))
    return flux / np.maximum(np.sum(weighted * value, axis=(1, 2)), 1e-30), level


def _regular(normal: Array) -> Array:
    """Keep the equations solvable where a star has too few pixels or a parameter is not fitted."""
    scale = np.diagonal(normal, axis1=1, axis2=2)
    return normal + np.eye(4) * np.where(scale > 0, scale * 1e-9, 1.0)[:, :, None]


def _kept_near(position: Array, pixel: NDArray[np.intp]) -> Array:
    return np.clip(position, pixel - 1.9, pixel + 1.9)


def grid() -> Array:
    """Offsets of the nodes from the star, pixels, shape (2 * HALF + 1,)."""
    return (np.arange(2 * HALF + 1) - HALF) / OVERSAMPLING


def gaussian_samples(fwhm: float) -> Array:
    """A Gaussian at the nodes."""
    sigma = fwhm / 2.3548200450309493
    profile = np.exp(-0.5 * (grid() / sigma) ** 2)
    return normalised(profile[:, None] * profile[None, :])


def normalised(samples: Array) -> Array:
    """Samples whose sum over the pixels within the model radius is 1, for any phase on average."""
    x, y = np.meshgrid(grid(), grid())
    inside = np.hypot(x, y) <= MODEL_RADIUS
    return samples / (samples[inside].sum() / OVERSAMPLING**2)


def psf_from_samples(samples: Array, stars: int, error: float) -> EffectivePsf:
    """The model whose values at the nodes are given."""
    from scipy.ndimage import spline_filter

    coefficients = spline_filter(samples, order=3, mode="mirror")
    return EffectivePsf(coefficients, _width(samples), stars, error)


def _width(samples: Array) -> float:
    """FWHM from the area above half the maximum: pi (fwhm / 2) squared."""
    from scipy.ndimage import zoom

    middle = samples[HALF - 16 : HALF + 17, HALF - 16 : HALF + 17]
    fine = zoom(middle, 4, order=3)
    area = np.count_nonzero(fine > 0.5 * fine.max()) * (8.0 / (fine.shape[0] - 1)) ** 2
    return float(2.0 * np.sqrt(area / np.pi))
