"""An effective PSF measured from the exposure itself, and stars fitted with it.

The effective PSF is the response of a pixel to a star as a function of the star's offset from the
pixel's centre (Anderson & King 2000, PASP 112, 1360): the pixel's own size is in it, so that an
undersampled image is fitted without integrating anything, and without a bias that depends on where
in its pixel a star falls. It is kept as a cubic spline on a grid four times finer than the pixels,
each coefficient a low-order polynomial of the place on the chip. Pixels are 0-based.
"""

from dataclasses import dataclass, fields

import numpy as np
from hapctl.ext import star_fitting
from numpy.typing import NDArray

OVERSAMPLING = star_fitting.OVERSAMPLING
FIT_RADIUS = 2
MODEL_RADIUS = 5
_MARGIN = 8  # nodes beyond the model radius, so that a star may move by two pixels from its start
HALF = MODEL_RADIUS * OVERSAMPLING + _MARGIN
STEPS = 12
Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Domain = tuple[float, float, float, float]


@dataclass(frozen=True)
class ChipPixels:
    """What stars are fitted to.

    Attributes
    ----------
    image : ndarray, shape (ny, nx), float32
        Background-subtracted.
    variance : ndarray, shape (ny, nx), float32
        Of each pixel; infinite where a pixel is not to be used.
    slope : float
        Variance that a unit of light brings: 1 for electrons, 1 / exposure time for electrons per second.
    """

    image: NDArray[np.float32]
    variance: NDArray[np.float32]
    slope: float


@dataclass(frozen=True)
class EffectivePsf:
    """The effective PSF of one chip.

    Attributes
    ----------
    coefficients : ndarray, shape (terms, n, n), float64
        Cubic B-spline coefficients on the oversampled grid, centre at the middle node; each term is
        multiplied by a polynomial of the place on the chip (`basis`).
    fwhm : float
        Full width at half maximum of the mean effective PSF, pixels.
    stars : int
        How many stars it was made from; 0 for a Gaussian.
    error : float
        Its error as a fraction of its peak: variances are larger by error^2 flux^2 peak value.
    odd_error : float
        The same for its part that changes sign through the middle, which alone moves a star.
    domain : tuple of 4 float
        Least and largest x and y of the stars it was made from, pixels: beyond, it stays as at the border.
    """

    coefficients: Array
    fwhm: float
    stars: int = 0
    error: float = 0.02
    odd_error: float = 0.02
    domain: Domain = (0.0, 1.0, 0.0, 1.0)

    @property
    def peak(self) -> float:
        """Share of the light in the central pixel of a star that falls on its centre."""
        middle = self.coefficients[0, HALF - 1 : HALF + 2, HALF - 1 : HALF + 2]
        weights = np.array([1.0, 4.0, 1.0]) / 6.0
        return float(weights @ middle @ weights)

    @property
    def phase_error(self) -> float:
        """What positions may be warped by with the phase of the pixel, pixels.

        It goes with what the PSF lets pass of a wave one pixel long: without any, all phases look alike to
        the model. The factor is measured on images of undersampled PSFs (bench_positions).
        """
        return float(0.2 * np.exp(-2.0 * (np.pi * self.fwhm / 2.3548200450309493) ** 2))

    def basis(self, x: Array, y: Array) -> Array:
        """Factors of the terms at places on the chip, shape (n, terms)."""
        return polynomials(x, y, self.domain, len(self.coefficients))


@dataclass(frozen=True)
class StarFits:
    """What a fit of the effective PSF gave for each star; all arrays have shape (n,).

    Attributes
    ----------
    x, y, flux, background : ndarray
        Position (0-based pixels), flux within the model radius and local level, image units.
    x_err, y_err, flux_err : ndarray
        Standard errors from the noise of the pixels and the error of the PSF.
    misfit : ndarray
        Sum of absolute residuals over the fitted pixels, divided by the flux (0 is perfect).
    chi_squared, freedom : ndarray
        Weighted sum of squared residuals, and how many pixels it has beyond the four unknowns.
    sensitivity : ndarray
        Sum over the fitted pixels of flux^2 times the PSF's value over the pixel's variance.
    sharpness, sharpness_err : ndarray
        Peak pixel less the mean of its eight neighbours, over the same of the model; its error from noise.
    contamination : ndarray
        Light of the neighbours in the fitted pixels over the star's own.
    moved : ndarray
        Length of the last step, pixels.
    odd_chi_squared, odd_freedom, odd_sensitivity : ndarray
        As those above, of the residuals' part that changes sign through the middle of the square.
    """

    x: Array
    y: Array
    flux: Array
    background: Array
    x_err: Array
    y_err: Array
    flux_err: Array
    misfit: Array
    chi_squared: Array
    freedom: Array
    sensitivity: Array
    sharpness: Array
    sharpness_err: Array
    contamination: Array
    moved: Array
    odd_chi_squared: Array
    odd_freedom: Array
    odd_sensitivity: Array

    def __len__(self) -> int:
        return len(self.x)

    def chosen(self, keep: Indices | NDArray[np.bool_]) -> "StarFits":
        """The stars of these indices, or of a mask."""
        return StarFits(*(getattr(self, f.name)[keep] for f in fields(self)))

    def replaced(self, places: Indices, others: "StarFits") -> "StarFits":
        """These fits with those of `others` at the indices `places`."""
        columns = [getattr(self, f.name).copy() for f in fields(self)]
        for column, f in zip(columns, fields(self), strict=True):
            column[places] = getattr(others, f.name)
        return StarFits(*columns)

    def converged(self, column: Indices, row: Indices) -> NDArray[np.bool_]:
        """Whether the fit came to rest near its start, on enough pixels, with positive flux."""
        near = (np.abs(self.x - column) < 1.5) & (np.abs(self.y - row) < 1.5)
        enough = self.freedom >= (2 * FIT_RADIUS + 1) ** 2 // 2 - 3
        return near & enough & (self.moved < 0.01) & (self.flux > 0) & np.isfinite(self.x_err)


@dataclass(frozen=True)
class Neighbours:
    """Which sources shine into the squares of which stars.

    Attributes
    ----------
    first : ndarray of int, shape (n + 1,)
    other : ndarray of int
        The neighbours of star i are rows ``other[first[i]:first[i + 1]]`` of `sources`.
    sources : ndarray, shape (m, 3)
        x, y, flux.
    """

    first: Indices
    other: Indices
    sources: Array


def polynomials(x: Array, y: Array, domain: Domain, terms: int) -> Array:
    """The first `terms` polynomials of the place (by order: 1, 3, 6 or 10), shape (n, terms).

    Each axis runs from -1 to 1 over the domain, and stays there beyond it.
    """
    least_x, largest_x, least_y, largest_y = domain
    u = np.clip(2.0 * (x - least_x) / max(largest_x - least_x, 1.0) - 1.0, -1.0, 1.0)
    v = np.clip(2.0 * (y - least_y) / max(largest_y - least_y, 1.0) - 1.0, -1.0, 1.0)
    u2, v2 = u * u - 1.0 / 3.0, v * v - 1.0 / 3.0
    columns = (np.ones_like(u), u, v, u2, u * v, v2, u * (u * u - 0.6), u2 * v, u * v2, v * (v * v - 0.6))
    return np.ascontiguousarray(np.stack(columns[:terms], axis=1))


def fit_stars(
    psf: EffectivePsf,
    pixels: ChipPixels,
    x: Array,
    y: Array,
    column: Indices,
    row: Indices,
    *,
    neighbours: Neighbours | None = None,
    steps: int = STEPS,
) -> StarFits:
    """Fit position, flux and local level of each star by weighted least squares (Gauss-Newton).

    Parameters
    ----------
    psf : EffectivePsf
    pixels : ChipPixels
    x, y : ndarray, shape (n,)
        Start positions, 0-based pixels.
    column, row : ndarray of int, shape (n,)
        Middle pixel of each fitted square, at least FIT_RADIUS from the edges.
    neighbours : Neighbours, optional
        Their light is taken away first.
    steps : int
        Most Gauss-Newton steps.

    Returns
    -------
    StarFits
        The variance of a pixel is that of its background, of the photons that the *model* puts there (the
        data's own would make bright pixels seem too certain or too uncertain by their noise), and of the PSF.
    """
    near = neighbours or Neighbours(
        np.zeros(len(x) + 1, dtype=np.intp), np.zeros(0, np.intp), np.zeros((0, 3))
    )
    columns = star_fitting.fit_stars(
        psf.coefficients, psf.basis(x, y), pixels.image, pixels.variance, np.column_stack([x, y]),
        np.column_stack([column, row]), near.first, near.other, near.sources,
        FIT_RADIUS, steps, pixels.slope, psf.error**2 * psf.peak, psf.odd_error**2 * psf.peak, True,
    )  # fmt: skip
    for error in (4, 5):
        columns[:, error] = np.hypot(columns[:, error], psf.phase_error)
    return StarFits(*np.ascontiguousarray(columns.T))


def grid() -> Array:
    """Offsets of the nodes from the star, pixels, shape (2 * HALF + 1,)."""
    return (np.arange(2 * HALF + 1) - HALF) / OVERSAMPLING


def gaussian_psf(fwhm: float) -> EffectivePsf:
    """A Gaussian effective PSF, as a start or where a chip has too few stars.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum, pixels.
    """
    profile = np.exp(-0.5 * (grid() * 2.3548200450309493 / fwhm) ** 2)
    samples = normalised(profile[:, None] * profile[None, :])
    return EffectivePsf(spline_coefficients(samples[None]), fwhm, stars=0, error=0.05, odd_error=0.05)


def normalised(samples: Array) -> Array:
    """Samples whose sum over the pixels within the model radius is 1, for any phase on average."""
    return samples / light_within(samples)


def light_within(samples: Array) -> float:
    """Sum over the pixels within the model radius, the average over the phases."""
    x, y = np.meshgrid(grid(), grid())
    return float(samples[np.hypot(x, y) <= MODEL_RADIUS].sum() / OVERSAMPLING**2)


def spline_coefficients(samples: Array) -> Array:
    """Coefficients of the cubic splines with the given values at the nodes, shape (terms, n, n)."""
    from scipy.ndimage import spline_filter1d

    rows = spline_filter1d(samples, order=3, axis=1, mode="mirror")
    return np.ascontiguousarray(spline_filter1d(rows, order=3, axis=2, mode="mirror"))


def width(samples: Array) -> float:
    """FWHM from the area above half the maximum: pi (fwhm / 2) squared."""
    from scipy.ndimage import zoom

    middle = samples[HALF - 16 : HALF + 17, HALF - 16 : HALF + 17]
    fine = zoom(middle, 4, order=3)
    area = np.count_nonzero(fine > 0.5 * fine.max()) * (8.0 / (fine.shape[0] - 1)) ** 2
    return float(2.0 * np.sqrt(area / np.pi))
