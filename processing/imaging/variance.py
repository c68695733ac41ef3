"""The variance of each pixel, and how far the pixels of a product are correlated.

A pixel's variance is ERR squared where ERR is usable (finite, above 0), else the model: read noise squared
plus electrons (Poisson), those of the blotted clean plane and the sky where a plane is given. It enters
VAR only, never a weight. Without a plane (a single exposure, or the comparison was not run) the
pixel's own electrons stand in: their mean over pixels is right, which is what sums over apertures need,
but a pixel that fluctuated up has a larger variance than one that fluctuated down, and a cosmic ray left in
has the noise of its own electrons.

VAR = s^4 sum((w a)^2 v) / (sum w a)^2 is the variance of each output pixel by itself (w weight, a share, v
variance). Neighbours share input pixels, so that the variance of a sum over many of them is R^2 times the sum
of VAR (Casertano et al. 2000, AJ 120, 2747, appendix; Fruchter & Hook 2002, PASP 114, 144).
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from hapctl.ext.pixels import variances_of_errors
from hapctl.processing.imaging.parameters import Kernel
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hapctl.processing.astrometry.solution import LookupOrigin
    from hapctl.processing.imaging.grid import OutputGrid
    from hapctl.processing.imaging.prepared import PreparedChip

VarianceReader = Callable[[int, int, int, int], NDArray[np.float32]]
"""``read(y0, y1, x0, x1)``: variance of a block of the values that are drizzled, (electrons/s)^2."""
_GAUSSIAN_WIDTH = 2.0 * math.sqrt(2.0 * math.log(2.0))  # full width at half maximum over sigma
_NODES = 96


def variance_blocks(chip: "PreparedChip") -> VarianceReader:
    """Return a reader of the variance of what the chip gives to the drizzle.

    Parameters
    ----------
    chip : PreparedChip
        Its ``clean`` plane is asked for only where ERR is not usable; where that is NaN the pixel's own
        electrons stand in.

    Returns
    -------
    callable
        ``read(y0, y1, x0, x1)``: float32, (electrons per second)^2 per chip pixel, without s^4. NaN where the
        pixel is NaN and nothing else is known; zeros for a chip that was not exposed.
    """

    def read(first: int, last: int, left: int, right: int) -> NDArray[np.float32]:
        if not chip.exposure_time > 0:
            return np.zeros((last - first, right - left), dtype=np.float32)
        factor = np.float32((chip.flux_factor / chip.exposure_time) ** 2)
        stored = chip.pixels.stored_error(first, last, left, right) if sys.byteorder == "little" else None
        if stored is None:
            return _electrons_squared(chip, first, last, slice(left, right)) * factor
        variance = np.empty(stored.shape, dtype=np.float32)
        if not variances_of_errors(stored, chip.pixels.electrons_per_unit, float(factor), variance):
            model = _model(chip, first, last, slice(left, right)) * factor
            np.copyto(variance, model, where=np.isnan(variance))
        return variance

    return read


def _electrons_squared(chip: "PreparedChip", first: int, last: int, columns: slice) -> NDArray[np.float32]:
    """Variance in electrons of the detector, before ``flux_factor``."""
    error = chip.pixels.error(first, last, columns)
    if error is None:
        return _model(chip, first, last, columns)
    usable = (error > 0) & (error < np.inf)
    error *= error
    if not usable.all():
        np.copyto(error, _model(chip, first, last, columns), where=~usable)
    return error


def _model(chip: "PreparedChip", first: int, last: int, columns: slice) -> NDArray[np.float32]:
    """Read noise squared and the electrons of source and sky, electrons squared.

    A clean plane lacks exactly the sky that was subtracted from the chips it was made of, whatever part of
    the whole that was; the pixels of the file hold all of it but what was taken off before.
    """
    electrons = chip.pixels.science(first, last, columns)
    electrons += np.float32(chip.sky_before / chip.flux_factor)
    if chip.clean is not None:
        clean = chip.clean(first, last)[:, columns]
        plane = (clean + np.float32(chip.sky_taken)) / np.float32(chip.flux_factor)
        electrons = np.where(np.isfinite(plane), plane, electrons)
    return np.float32(chip.read_noise**2) + np.maximum(electrons, np.float32(0.0))


def noise_correlation(kernel: Kernel, pixfrac: float, scale_ratio: float, angle_deg: float = 0.0) -> float:
    """Return R, the ratio of the noise of a wide aperture to that of independent pixels.

    ``R^2 = (integral of a)^2 / integral of a^2`` over all offsets of an input pixel from an output pixel, a
    being the share it gives. For the square kernel without rotation, with r = pixfrac / scale_ratio, that is
    ``r / (1 - 1 / (3 r))`` for r >= 1 and ``1 / (1 - r / 3)`` below (Casertano et al. 2000, appendix;
    Fruchter & Hook 2002). Assumed: dithers fill all phases evenly and weights are
    even. Of few dithers, where pixfrac leaves gaps, output pixels differ, and R holds for their average only;
    of a single exposure without rotation at one phase there need be no correlation at all. For an aperture of
    m x m pixels R is too large by about r / (3 m).

    Parameters
    ----------
    kernel : str
    pixfrac : float
    scale_ratio : float
        Output scale over detector scale.
    angle_deg : float
        Rotation between the rows of both (square only).

    Returns
    -------
    float
        At least 1: a kernel narrower than an output pixel gives to one alone.
    """
    cosine, sine = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    matrix = np.array([[cosine, -sine], [sine, cosine]]) / scale_ratio
    return _kernel_ratio(kernel, pixfrac, scale_ratio, matrix)


def product_noise_correlation(
    chips: Sequence["PreparedChip"],
    grid: "OutputGrid",
    kernel: Kernel,
    pixfrac: float,
    origin: "LookupOrigin" = "hst",
) -> float:
    """Return R of a product: the mean by exposure time over its chips, each mapped at its centre.

    See `noise_correlation` for what is assumed.
    """
    ratios = [
        _kernel_ratio(kernel, pixfrac, chip.scale_ratio(grid), _central_matrix(chip, grid, origin))
        for chip in chips
    ]
    times = [chip.exposure_time for chip in chips]
    return float(np.average(ratios, weights=times if sum(times) > 0 else None))


def _central_matrix(chip: "PreparedChip", grid: "OutputGrid", origin: "LookupOrigin") -> NDArray[np.float64]:
    """Derivatives of output by chip pixels at the centre of the chip, [[dx/di, dx/dj], [dy/di, dy/dj]]."""
    from hapctl.processing.imaging.grid import map_to_grid

    y, x = (0.5 * (size - 1) for size in chip.shape)
    to_x, to_y = map_to_grid(
        chip.wcs, grid, x + np.array([0.5, -0.5, 0.0, 0.0]), y + np.array([0.0, 0.0, 0.5, -0.5]), origin
    )
    return np.array([[to_x[0] - to_x[1], to_x[2] - to_x[3]], [to_y[0] - to_y[1], to_y[2] - to_y[3]]])


def _kernel_ratio(kernel: Kernel, pixfrac: float, scale_ratio: float, matrix: NDArray[np.float64]) -> float:
    drop = pixfrac / scale_ratio
    if kernel == "square":
        return _square_ratio(matrix, pixfrac)
    if kernel == "turbo":
        return _square_ratio(np.eye(2) * drop, 1.0)
    if kernel == "gaussian":
        return max(1.0, math.sqrt(4.0 * math.pi) * drop / _GAUSSIAN_WIDTH)
    if kernel in ("lanczos2", "lanczos3"):
        return max(1.0, _lanczos_ratio(int(kernel[-1])) / scale_ratio)  # pixfrac changes nothing there
    if kernel == "tophat":
        return max(1.0, math.sqrt(math.pi) * 0.5 * drop)
    return 1.0  # point: a pixel gives to one alone


def _square_ratio(matrix: NDArray[np.float64], pixfrac: float) -> float:
    """R of a parallelogram over square pixels.

    The integral of a^2 is that of the product of both shapes' autocorrelations: four triangles. It is taken
    over the smaller shape's, by Gauss's rule on either side of the triangles' tops.
    """
    drop = matrix * pixfrac
    area = abs(float(np.linalg.det(drop)))
    if not (area > 0 and math.isfinite(area)):
        return 1.0
    other, factor = (drop, 1.0) if area < 1.0 else (np.linalg.inv(drop), 1.0 / area)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES // 2)
    half, part = 0.5 * (nodes + 1.0), 0.5 * weights
    place, weight = np.concatenate([-half[::-1], half]), np.concatenate([part[::-1], part])
    x, y = np.meshgrid(place, place)
    reached = _triangle(other[0, 0] * x + other[0, 1] * y) * _triangle(other[1, 0] * x + other[1, 1] * y)
    shares = factor * (weight * _triangle(place)) @ reached @ (weight * _triangle(place))
    return 1.0 / math.sqrt(float(shares))


def _triangle(offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Overlap of two unit intervals so far apart."""
    return np.maximum(1.0 - np.abs(offset), 0.0)


def _lanczos_ratio(order: int) -> float:
    """(Integral of L)^2 / integral of L^2 of the Lanczos function, R per unit of its scale."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    values = np.sinc(order * nodes) * np.sinc(nodes)
    return float(order * (weights @ values) ** 2 / (weights @ values**2))
