"""Which pixels of a chip can touch which rows of an output grid, without mapping every pixel.

Contract: cells of ``CELL`` x ``CELL`` detector pixels get an interval of output x and y that is proven to
hold all their corners: the interval of the exact positions of the cell's four corners, widened by a
bound of what the map can do between them. Cells that cannot be bounded reach everywhere.

The bound. For bilinear interpolation over a cell of h x h, |g - I g| <= (|g_xx| + |g_yy|) h^2 / 8; the
derivatives of the SIP polynomial are bounded by sums of its absolute terms over the chip, the lookup
tables by their largest values, the homography by its derivatives at the least denominator.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from hapctl.ext.mapping import ChipDistortion
from hapctl.processing.astrometry.solution import ChipWcs, LookupTable
from numpy.typing import NDArray

CELL = 32
ROUNDING = 0.01  # output pixels, far above what float64 loses


@dataclass(frozen=True)
class Reach:
    """Intervals of output pixels per cell.

    Attributes
    ----------
    low_x, high_x, low_y, high_y : ndarray, shape (cell rows, cell columns), float64
        0-based output positions; -inf and inf where unknown.
    shape : tuple of int
        (ny, nx) of the chip.
    """

    low_x: NDArray[np.float64]
    high_x: NDArray[np.float64]
    low_y: NDArray[np.float64]
    high_y: NDArray[np.float64]
    shape: tuple[int, int]

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Least and greatest x and y of all cells."""
        return (
            float(self.low_x.min()),
            float(self.high_x.max()),
            float(self.low_y.min()),
            float(self.high_y.max()),
        )

    def blocks(
        self, first: int, stop: int, width: int, beyond: float = 0.0
    ) -> list[tuple[int, int, int, int]]:
        """Detector blocks (row, row after, column, column after) that may touch output rows first to stop.

        ``beyond`` is how far (output pixels) a pixel gives something outside its own corners.
        """
        margin = 0.5 + beyond
        low_x, high_x, low_y, high_y = self.box
        if high_y < first - margin or low_y > stop - 1.0 + margin:
            return []
        if high_x < -margin or low_x > width - 1.0 + margin:
            return []
        touched = (self.high_y >= first - margin) & (self.low_y <= stop - 1.0 + margin)
        touched &= (self.high_x >= -margin) & (self.low_x <= width - 1.0 + margin)
        ny, nx = self.shape
        found = []
        for row in np.flatnonzero(touched.any(axis=1)):
            columns = np.flatnonzero(touched[row])
            rows = int(row) * CELL, min((int(row) + 1) * CELL, ny)
            found.append((*rows, int(columns[0]) * CELL, min((int(columns[-1]) + 1) * CELL, nx)))
        return found


def reach_of(chip: ChipWcs, kernel: ChipDistortion, matrix: NDArray[np.float64]) -> Reach:
    """The reach of a chip under its distortion kernel and the homography (3, 3) to the output."""
    ny, nx = chip.shape
    x, y = np.meshgrid(nodes(nx), nodes(ny))
    out_x, out_y = kernel.project(matrix, x, y)
    margin = deviation(chip, matrix, *kernel.distort(x, y))
    low_x, high_x = over_cells(out_x, margin)
    low_y, high_y = over_cells(out_y, margin)
    return Reach(low_x, high_x, low_y, high_y, chip.shape)


def nodes(size: int) -> NDArray[np.float64]:
    """Pixel edges every CELL pixels, the last edge included."""
    return np.append(np.arange(0, size, CELL), size) - 0.5


def over_cells(values: NDArray[np.float64], margin: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interval of each cell from its four corners, widened; everything where a corner is NaN."""
    corners = np.stack([values[:-1, :-1], values[:-1, 1:], values[1:, :-1], values[1:, 1:]])
    low, high = corners.min(axis=0), corners.max(axis=0)
    if margin == -math.inf:
        return np.full(low.shape, np.inf), np.full(high.shape, -np.inf)
    known = np.isfinite(corners).all(axis=0) & math.isfinite(margin)
    return np.where(known, low - margin, -np.inf), np.where(known, high + margin, np.inf)


def deviation(
    chip: ChipWcs, matrix: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]
) -> float:
    """Bound (output pixels) on how far positions inside a cell leave the interval of its corners.

    Infinite where there is none; minus infinity where the whole chip is behind the output's plane.
    """
    detector, focal = largest(chip.d2im), largest(chip.npol)
    slope, curvature = polynomial_bounds(chip, detector)
    between = (slope * detector + focal) * 2.0 + curvature * CELL**2 / 8.0
    tilt = math.hypot(matrix[2, 0], matrix[2, 1])
    denominator = matrix[2, 0] * u + matrix[2, 1] * v + matrix[2, 2]
    # Between the nodes the offsets leave their convex hull by ``between`` at most.
    if float(denominator.max()) + tilt * between <= 0.0:
        return -math.inf
    least = float(denominator.min()) - tilt * between
    if not least > 0.0:
        return math.inf
    far = max(float(np.hypot(u, v).max()) + between, 1.0)
    steepest = steepest_projection(matrix, tilt, least, far)
    bend = 2.0 * tilt * steepest / least
    return steepest * between + bend * (slope * CELL) ** 2 / 4.0 + ROUNDING


def largest(tables: tuple[LookupTable | None, LookupTable | None]) -> float:
    """Largest shift that a pair of tables can give, pixels."""
    return math.hypot(*(0.0 if table is None else float(np.abs(table.values).max()) for table in tables))


def polynomial_bounds(chip: ChipWcs, shift: float) -> tuple[float, float]:
    """Bounds on the first derivatives and on |g_xx| + |g_yy| of offset plus SIP over the chip."""
    ny, nx = chip.shape
    u = max(abs(-0.5 - (chip.crpix[0] - 1.0)), abs(nx - 0.5 - (chip.crpix[0] - 1.0))) + shift
    v = max(abs(-0.5 - (chip.crpix[1] - 1.0)), abs(ny - 0.5 - (chip.crpix[1] - 1.0))) + shift
    slopes, curvatures = [], []
    for coefficients in (chip.sip_a, chip.sip_b):
        size = np.zeros((1, 1)) if coefficients is None else np.abs(coefficients)
        p, q = np.arange(size.shape[0])[:, None], np.arange(size.shape[1])[None, :]
        du = size * p * u ** np.maximum(p - 1, 0) * v**q
        dv = size * q * u**p * v ** np.maximum(q - 1, 0)
        duu = size * p * (p - 1) * u ** np.maximum(p - 2, 0) * v**q
        dvv = size * q * (q - 1) * u**p * v ** np.maximum(q - 2, 0)
        slopes.append(du.sum() + dv.sum())
        curvatures.append(duu.sum() + dvv.sum())
    return 1.0 + math.hypot(*slopes), math.hypot(*curvatures)


def steepest_projection(matrix: NDArray[np.float64], tilt: float, least: float, far: float) -> float:
    """Bound on the first derivatives of the homography, for offsets up to ``far``."""
    rows = matrix[:2]
    lengths = np.hypot(rows[:, 0], rows[:, 1])
    numerators = lengths * far + np.abs(rows[:, 2])
    return float((lengths / least + numerators * tilt / least**2).max())
