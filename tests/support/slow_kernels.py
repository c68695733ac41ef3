"""The kernels of pixel centres written slowly and plainly, and as the drizzle package samples them."""

import math
from collections.abc import Callable

import numpy as np
from hapctl.processing.imaging.grid import OutputGrid, map_to_grid, native_scale
from numpy.typing import NDArray

FWHM = 2.3548  # of a Gaussian in sigmas, as the task ``drizzle`` has it
PEER_STEP = 0.003  # of the drizzle package's table of the lanczos kernels, measured

Share = Callable[[float, float], float]
Sampled = Callable[[float], float]


def exactly(t: float) -> float:
    return t


def as_the_peer_samples(t: float) -> float:
    """The place of its table that the drizzle package reads for t."""
    return math.floor(abs(t) / PEER_STEP + 0.5) * PEER_STEP


def lanczos(order: int, t: float) -> float:
    """sinc(t) sinc(t / order) within order."""
    return float(np.sinc(t) * np.sinc(t / order)) if abs(t) < order else 0.0


def overlap(centre: float, half: float) -> float:
    """Length that centre - half to centre + half shares with the pixel about 0."""
    return max(0.0, min(centre + half, 0.5) - max(centre - half, -0.5))


def nearest(offset: float) -> bool:
    """Whether a position this far from a pixel is nearest to it; of two the higher."""
    return -0.5 <= offset < 0.5


def share_of(kernel: str, pixfrac: float, scale: float, sampled: Sampled = exactly) -> tuple[float, Share]:
    """Half side of the footprint in output pixels, and the share at distances x, y from an output pixel."""
    half = 0.5 * pixfrac / scale
    if kernel == "point":
        return 0.5, lambda x, y: float(nearest(x) and nearest(y))
    if kernel == "turbo":
        return half + 0.5, lambda x, y: overlap(x, half) * overlap(y, half) / (2 * half) ** 2
    if kernel == "tophat":
        return half, lambda x, y: float(x * x + y * y <= half * half)
    if kernel == "gaussian":
        factor = (FWHM * scale / pixfrac) ** 2 / 2
        radius = max(2.5 * pixfrac / FWHM, 1.2) / scale + 0.5
        return radius, lambda x, y: factor / math.pi * math.exp(-factor * (x * x + y * y))
    order = int(kernel[-1])
    return order / scale, lambda x, y: lanczos(order, sampled(x * scale)) * lanczos(order, sampled(y * scale))


def footprint(
    kernel: str,
    at: tuple[float, float],
    shape: tuple[int, int],
    pixfrac: float,
    scale: float,
    sampled: Sampled = exactly,
) -> NDArray[np.float64]:
    """What an input pixel mapped to at = (x, y) gives each pixel of an output of that shape."""
    reach, share = share_of(kernel, pixfrac, scale, sampled)
    shares = np.zeros(shape)
    for row in range(max(0, math.ceil(at[1] - reach)), min(shape[0] - 1, math.floor(at[1] + reach)) + 1):
        for column in range(
            max(0, math.ceil(at[0] - reach)), min(shape[1] - 1, math.floor(at[0] + reach)) + 1
        ):
            shares[row, column] = share(at[0] - column, at[1] - row)
    return shares


def slow_sums(
    kernel: str,
    chip: object,
    values: np.ndarray,
    weights: np.ndarray,
    grid: OutputGrid,
    pixfrac: float,
    sampled: Sampled = exactly,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of weight * value (scaled) and of weight, pixel after pixel."""
    scale = grid.scale_arcsec / native_scale(chip)
    y, x = np.mgrid[0 : values.shape[0], 0 : values.shape[1]].astype(float)
    out_x, out_y = map_to_grid(chip, grid, x, y)
    flux, weight = np.zeros(grid.shape), np.zeros(grid.shape)
    for place, value in np.ndenumerate(values):
        good = np.isfinite(value) and np.isfinite(weights[place]) and weights[place] > 0
        if good and np.isfinite(out_x[place]) and np.isfinite(out_y[place]):
            given = float(weights[place]) * footprint(
                kernel, (out_x[place], out_y[place]), grid.shape, pixfrac, scale, sampled
            )
            flux += given * (float(value) * scale**2)
            weight += given
    return flux, weight
