"""What goes into a drizzle and what comes out: chips with their readers, bands, whole images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs
from numpy.typing import NDArray

Pixels = tuple[NDArray[np.float32], NDArray[np.float32]]
ReadRows = Callable[[int, int], Pixels]
ReadBlock = Callable[[int, int, int, int], Pixels]
ReadVariance = Callable[[int, int, int, int], NDArray[np.float32]]


@dataclass(frozen=True)
class DrizzleInput:
    """One chip to drizzle.

    Attributes
    ----------
    chip : ChipWcs
        Its WCS; IDCSCALE must be known.
    read_rows : callable
        ``read_rows(y0, y1)`` gives values and weights of detector rows y0 to y1 (the last excluded), each
        (y1 - y0, nx) float32. It is called from several threads at once, and again for every band.
    exposure_time : float
        Seconds, for the lists of a product; weights are taken as ``read_rows`` gives them.
    context_bit : int or None
        Running number of the chip in the context image, from 0; its place in the list by default.
    read_block : callable or None
        ``read_block(y0, y1, x0, x1)``: the same, of columns x0 to x1 only, shape (y1 - y0, x1 - x0). A band
        of a turned chip needs a few columns of many rows.
    read_variance : callable or None
        ``read_variance(y0, y1, x0, x1)`` gives the variance of the values, float32, in units of values
        squared; asked for only where VAR is made.
    """

    chip: ChipWcs
    read_rows: ReadRows
    exposure_time: float = 1.0
    context_bit: int | None = None
    read_block: ReadBlock | None = None
    read_variance: ReadVariance | None = None

    def pixels(self, y0: int, y1: int, x0: int, x1: int) -> Pixels:
        """Rows y0 to y1, whole, float32; outside columns x0 to x1 they may hold anything."""
        if self.read_block is None:
            values, weights = self.read_rows(y0, y1)
            return np.ascontiguousarray(values, np.float32), np.ascontiguousarray(weights, np.float32)
        rows = np.empty((2, y1 - y0, self.chip.shape[1]), dtype=np.float32)
        rows[0, :, x0:x1], rows[1, :, x0:x1] = self.read_block(y0, y1, x0, x1)
        return rows[0], rows[1]

    def variance(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.float32]:
        """Like ``pixels``, the variance of the values; NaN where nothing tells it."""
        rows = np.empty((y1 - y0, self.chip.shape[1]), dtype=np.float32)
        rows[:, x0:x1] = np.nan if self.read_variance is None else self.read_variance(y0, y1, x0, x1)
        return rows


@dataclass(frozen=True)
class Band:
    """Rows y0 to y0 + n of an output.

    Attributes
    ----------
    y0 : int
        First output row, 0-based.
    sci, wht : ndarray, shape (n, nx), float32
    ctx : ndarray, shape (planes, n, nx), int32
        Chip k is bit k % 32 of plane k // 32; no planes where context was not asked for.
    var : ndarray, shape (n, nx), float32, or None
        Variance of SCI, pixel by pixel; NaN where WHT is 0. None where it was not asked for.
    """

    y0: int
    sci: NDArray[np.float32]
    wht: NDArray[np.float32]
    ctx: NDArray[np.int32]
    var: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class DrizzledImage:
    """A whole output: sci, wht and var (ny, nx) float32, ctx (planes, ny, nx) int32; as in ``Band``."""

    sci: NDArray[np.float32]
    wht: NDArray[np.float32]
    ctx: NDArray[np.int32]
    var: NDArray[np.float32] | None = None
