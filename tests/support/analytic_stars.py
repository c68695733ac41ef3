"""Star fields of analytic PSFs integrated over the pixels, and the least error any measurement can have.

Nothing here is hapctl's own model: a profile is a function of the offset from the star, its value in a pixel
a Gauss-Legendre sum over the pixel (or exact, for Gaussians). The field varies as its parameters do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, j1

Array = NDArray[np.float64]
PixelProfile = Callable[[Array, Array, float, float], Array]
"""(dx [k], dy [k], u, v) -> shares of the light [k, k] (rows dy) at a place, u and v from -1 to 1."""
RADIUS = 12


@dataclass(frozen=True)
class Detector:
    """Sky (electrons a pixel), read noise (electrons), and by what the pixels are divided (seconds, or 1)."""

    sky: float
    read_noise: float
    divisor: float = 1.0


@dataclass(frozen=True)
class AnalyticField:
    """An image with its errors and flags, and the truth; arrays of n stars.

    ``bound`` (n, 2) is the Cramer-Rao bound of x and y, ``snr`` that of the flux with known background.
    """

    science: NDArray[np.float32]
    error: NDArray[np.float32]
    quality: NDArray[np.int16]
    x: Array
    y: Array
    flux: Array
    bound: Array
    snr: Array


def gaussians(components: tuple[tuple[float, float], ...], variation: float = 0.05) -> PixelProfile:
    """A sum of (share, sigma) Gaussians whose widths change over the chip, exact."""

    def profile(dx: Array, dy: Array, u: float, v: float) -> Array:
        wide_x, wide_y = 1 + variation * (u * u + 0.6 * v), 1 + variation * (0.8 * v * v - 0.6 * u)
        return np.sum(
            [
                share * np.outer(_integrated(dy, sigma * wide_y), _integrated(dx, sigma * wide_x))
                for share, sigma in components
            ],
            axis=0,
        )

    return profile


def _integrated(offset: Array, sigma: float) -> Array:
    scale = sigma * np.sqrt(2)
    shares: Array = 0.5 * (erf((offset + 0.5) / scale) - erf((offset - 0.5) / scale))
    return shares


def moffat(alpha: float, beta: float, variation: float = 0.05) -> PixelProfile:
    """A Moffat profile, elliptical by a varying amount."""
    norm = (beta - 1) / (np.pi * alpha**2)

    def point(x: Array, y: Array, u: float, v: float) -> Array:
        long = 1 + variation * (u + v * v)
        values: Array = norm * (1 + ((x / long) ** 2 + (y * long) ** 2) / alpha**2) ** -beta
        return values

    return _over_pixels(point, 5)


def airy(scale: float, spread: float = 0.3, variation: float = 0.06) -> PixelProfile:
    """The pattern of an obstructed aperture (a third, as Hubble's), smeared a little by charge diffusion.

    ``scale`` is lambda / (pi D) in pixels; below 2 / pi the image is undersampled.
    """
    obstruction = 0.33
    row = ((-spread, 0.25), (0.0, 0.5), (spread, 0.25))
    smear = [(x, y, share_x * share_y) for x, share_x in row for y, share_y in row]

    def amplitude(r: Array) -> Array:
        z = np.maximum(r / scale, 1e-9)
        values: Array = 2 * (j1(z) - obstruction * j1(obstruction * z)) / z / (1 - obstruction**2)
        return values

    def point(x: Array, y: Array, u: float, v: float) -> Array:
        along, across = 1 + variation * u * v, 1 - variation * (0.7 * u + v * v)
        total = np.zeros(np.broadcast(x, y).shape)
        for step_x, step_y, weight in smear:
            turned_x, turned_y = (x - step_x + 0.1 * v * (y - step_y)) * along, (y - step_y) * across
            total += weight * amplitude(np.hypot(turned_x, turned_y)) ** 2
        values: Array = total * (1 - obstruction**2) / (4 * np.pi * scale**2) * along * across
        return values

    return _over_pixels(point, 3)


def trailed(profile: PixelProfile, length: float, angle: float) -> PixelProfile:
    """A profile drawn out evenly over so many pixels, in a direction (degrees from x to y)."""
    steps = np.linspace(-0.5, 0.5, max(2, round(4 * length))) * length
    along_x, along_y = np.cos(np.radians(angle)), np.sin(np.radians(angle))

    def drawn(dx: Array, dy: Array, u: float, v: float) -> Array:
        values: Array = np.mean([profile(dx - s * along_x, dy - s * along_y, u, v) for s in steps], axis=0)
        return values

    return drawn


def _over_pixels(point: Callable[[Array, Array, float, float], Array], order: int) -> PixelProfile:
    """Integrate a profile over pixels by a Gauss-Legendre sum."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    nodes, weights = nodes / 2, weights / 2

    def profile(dx: Array, dy: Array, u: float, v: float) -> Array:
        fine_x = (dx[:, None] + nodes).ravel()
        fine_y = (dy[:, None] + nodes).ravel()
        values = point(fine_x[None, :], fine_y[:, None], u, v).reshape(len(dy), order, len(dx), order)
        shares: Array = np.einsum("jaib,a,b->ji", values, weights, weights)
        return shares

    return profile


def analytic_field(
    profile: PixelProfile,
    detector: Detector,
    *,
    shape: tuple[int, int] = (1024, 1024),
    stars: int = 500,
    snr: tuple[float, float] = (10.0, 1000.0),
    seed: int = 1,
) -> AnalyticField:
    """Draw stars at random places and phases, evenly in log S/N, with Poisson and read noise."""
    random = np.random.default_rng(seed)
    ny, nx = shape
    x, y = random.uniform(14, nx - 15, stars), random.uniform(14, ny - 15, stars)
    wanted = 10 ** random.uniform(*np.log10(snr), stars)
    light = np.full(shape, float(detector.sky))
    flux, bound, real = np.zeros(stars), np.zeros((stars, 2)), np.zeros(stars)
    steps = np.arange(-RADIUS, RADIUS + 1)
    for n in range(stars):
        column, row = round(x[n]), round(y[n])
        place = (2 * x[n] / nx - 1, 2 * y[n] / ny - 1)
        dx, dy = column + steps - x[n], row + steps - y[n]
        value = profile(dx, dy, *place)
        flux[n] = _flux_of(wanted[n], value, detector)
        errors = _least_errors(flux[n], profile, dx, dy, place, detector)
        bound[n], real[n] = errors[:2], flux[n] / errors[2]
        rows, columns = row + steps, column + steps
        inside_y, inside_x = (rows >= 0) & (rows < ny), (columns >= 0) & (columns < nx)
        light[np.ix_(rows[inside_y], columns[inside_x])] += flux[n] * value[np.ix_(inside_y, inside_x)]
    image = random.poisson(light) + random.normal(0, detector.read_noise, shape)
    error = np.sqrt(np.maximum(image, 0) + detector.read_noise**2)
    science = (image / detector.divisor).astype(np.float32)
    return AnalyticField(
        science, (error / detector.divisor).astype(np.float32), np.zeros(shape, np.int16),
        x, y, flux / detector.divisor, bound, real,
    )  # fmt: skip


def _flux_of(snr: float, value: Array, detector: Detector) -> float:
    """Electrons of a star whose PSF-fitted flux has this ratio to its error (background known)."""
    floor = detector.sky + detector.read_noise**2
    flux = snr**2
    for _ in range(60):
        flux = snr / np.sqrt(np.sum(value**2 / (floor + flux * value)))
    return float(flux)


def _least_errors(
    flux: float, profile: PixelProfile, dx: Array, dy: Array, place: tuple[float, float], detector: Detector
) -> Array:
    """Cramer-Rao bounds of x, y and flux; with the background known, which costs a position nothing."""
    h, near_x, near_y = 1e-3, dx[abs(dx) < 5.6], dy[abs(dy) < 5.6]
    value = profile(near_x, near_y, *place)
    by_x = (profile(near_x - h, near_y, *place) - profile(near_x + h, near_y, *place)) / (2 * h)
    by_y = (profile(near_x, near_y - h, *place) - profile(near_x, near_y + h, *place)) / (2 * h)
    variance = detector.sky + detector.read_noise**2 + flux * value
    columns = np.stack([flux * by_x, flux * by_y, value]).reshape(3, -1)
    fisher = (columns / variance.ravel()) @ columns.T
    bounds: Array = np.sqrt(np.diag(np.linalg.inv(fisher)))
    return bounds
