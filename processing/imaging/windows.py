"""What of a grid an exposure may touch, and how a grid is cut for work."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.imaging.grid import OutputGrid, chip_edges, map_to_grid, native_scale

KERNEL_REACH = 4
"""Detector pixels beyond its centre that no kernel exceeds (lanczos3: 3)."""


@dataclass(frozen=True)
class Window:
    """Rows y0 to y1 and columns x0 to x1 of a grid, the last ones excluded."""

    y0: int
    y1: int
    x0: int
    x1: int

    def touches(self, other: "Window") -> bool:
        """Whether they have a pixel in common."""
        return self.y0 < other.y1 and other.y0 < self.y1 and self.x0 < other.x1 and other.x0 < self.x1

    def widened(self, by: int, shape: tuple[int, int]) -> "Window":
        """The window with so many pixels more on every side, within an image of a shape (ny, nx)."""
        return Window(
            max(self.y0 - by, 0),
            min(self.y1 + by, shape[0]),
            max(self.x0 - by, 0),
            min(self.x1 + by, shape[1]),
        )

    def cut(self, grid: OutputGrid) -> OutputGrid:
        """The part of a grid in the window."""
        return grid.cut(self.y0, self.y1, self.x0, self.x1)


def touched_window(grid: OutputGrid, chips: Iterable[ChipWcs], origin: LookupOrigin) -> Window:
    """Return what of a grid the kernels of chips may touch; everything where a position is not finite."""
    found = [_chip_window(grid, chip, origin) for chip in chips]
    low_y, high_y, low_x, high_x = zip(*found, strict=True)
    ny, nx = grid.shape
    return Window(max(min(low_y), 0), min(max(high_y), ny), max(min(low_x), 0), min(max(high_x), nx))


def _chip_window(grid: OutputGrid, chip: ChipWcs, origin: LookupOrigin) -> tuple[int, int, int, int]:
    x, y = map_to_grid(chip, grid, *chip_edges(chip), origin)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return (0, grid.shape[0], 0, grid.shape[1])
    reach = math.ceil(KERNEL_REACH * native_scale(chip) / grid.scale_arcsec) + 2
    return (
        math.floor(y.min()) - reach,
        math.ceil(y.max()) + reach + 1,
        math.floor(x.min()) - reach,
        math.ceil(x.max()) + reach + 1,
    )


def strips(width: int, widest: int) -> list[tuple[int, int]]:
    """Cut columns into equal strips no wider than ``widest``; a function of the width alone."""
    count = max(1, -(-width // widest))
    edges = [width * number // count for number in range(count + 1)]
    return list(pairwise(edges))


def bands(height: int, rows: int) -> list[tuple[int, int]]:
    """Cut rows into bands of so many."""
    return [(first, min(first + rows, height)) for first in range(0, height, rows)]
