"""The grid of a picture: the pixels of one product or several, binned by whole pixels.

Colours line up only where products share the points of the sky they sample: one tangent point, one
orientation, pixels whose edges fall on each other (0.12 arcsec on 0.04). Anything else is refused, never
resampled for a picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.grid import OutputGrid
from numpy.typing import NDArray

MOST_PIXELS = 1024
_SAME_SKY = 1e-9  # degrees: 4 microarcseconds
_SAME_EDGE = 1e-3  # of a pixel


@dataclass(frozen=True)
class PictureGrid:
    """A binned grid that products share.

    Attributes
    ----------
    grid : OutputGrid
        Of the picture, y upward as in FITS.
    bins : tuple of (ndarray, ndarray)
        For each product the picture's row of each of its rows and the column of each of its columns, int64.
    """

    grid: OutputGrid
    bins: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]


def share_points(first: OutputGrid, second: OutputGrid) -> bool:
    """Tell whether the pixel edges of the coarser of two grids are edges of the finer one."""
    fine, coarse = sorted((first, second), key=lambda grid: grid.scale_arcsec)
    ratio = round(coarse.scale_arcsec / fine.scale_arcsec)
    turn = abs(first.crval[0] - second.crval[0]) % 360.0
    near = min(turn, 360.0 - turn) < _SAME_SKY and abs(first.crval[1] - second.crval[1]) < _SAME_SKY
    tolerance = 1e-9 * fine.scale_arcsec / 3600.0
    same_axes = np.allclose(np.divide(coarse.cd, ratio), fine.cd, rtol=1e-9, atol=tolerance)
    apart = [a - b for a, b in zip(_first_edges(coarse, ratio), _first_edges(fine, 1), strict=True)]
    return bool(near and same_axes and all(abs(value - round(value)) < _SAME_EDGE for value in apart))


def picture_grid(grids: Sequence[OutputGrid], most_pixels: int = MOST_PIXELS) -> PictureGrid:
    """Return the grid that covers all of some grids with at most ``most_pixels`` a side, binned.

    Raises
    ------
    UsageProblemError
        The grids do not share the points of the sky they sample.
    """
    fine = min(grids, key=lambda grid: grid.scale_arcsec)
    if not all(share_points(fine, grid) for grid in grids):
        raise UsageProblemError(
            "products of different grids can't be shown in one picture",
            "make them on common points of the sky: --grid nested, or the layers of one tile",
        )
    ratios = [round(grid.scale_arcsec / fine.scale_arcsec) for grid in grids]
    unit = math.lcm(*ratios)
    coarse = max(range(len(grids)), key=lambda index: ratios[index])
    starts, ends, anchors = [], [], []
    for axis in (0, 1):
        edges = [_first_edges(grid, ratio)[axis] for grid, ratio in zip(grids, ratios, strict=True)]
        sizes = [grid.shape[1 - axis] * ratio for grid, ratio in zip(grids, ratios, strict=True)]
        before = math.ceil((edges[coarse] - min(edges)) / unit - _SAME_EDGE)
        starts.append(edges[coarse] - unit * before)
        ends.append(max(edge + size for edge, size in zip(edges, sizes, strict=True)))
        anchors.append(edges)
    extent = max(end - start for start, end in zip(starts, ends, strict=True))
    factor = unit * max(1, math.ceil(extent / (most_pixels * unit) - _SAME_EDGE))
    columns, rows = (
        math.ceil((end - start) / factor - _SAME_EDGE) for start, end in zip(starts, ends, strict=True)
    )
    grid = OutputGrid(
        crval=fine.crval,
        crpix=(0.5 - starts[0] / factor, 0.5 - starts[1] / factor),
        cd=(fine.cd[0] * factor, fine.cd[1] * factor, fine.cd[2] * factor, fine.cd[3] * factor),
        shape=(rows, columns),
    )
    bins = tuple(
        (
            _bins(anchors[1][index] - starts[1], one.shape[0], ratios[index], factor),
            _bins(anchors[0][index] - starts[0], one.shape[1], ratios[index], factor),
        )
        for index, one in enumerate(grids)
    )
    return PictureGrid(grid, bins)


def _first_edges(grid: OutputGrid, ratio: int) -> tuple[float, float]:
    """Return the left and lower edge of a grid from its tangent point, in pixels of the finest."""
    return (0.5 - grid.crpix[0]) * ratio, (0.5 - grid.crpix[1]) * ratio


def _bins(offset: float, size: int, ratio: int, factor: int) -> NDArray[np.int64]:
    return (round(offset) + ratio * np.arange(size, dtype=np.int64)) // factor
