"""The background of a chip: clipped levels on a coarse mesh, and a smooth surface through them.

A cell's level is Pearson's mode, 2.5 median - 1.5 mean, as in SExtractor (Bertin & Arnouts 1996, A&AS 117,
393), but with the difference of mean and median averaged over 3 x 3 cells, so that a quarter of the pixels
is enough: 1024 samples give 4 % of the noise of one pixel, and the median of 3 x 3 cells makes that less. The
surface is a Catmull-Rom spline through the middles of the cells, continued in straight lines beyond the
outermost.
"""

from dataclasses import dataclass

import numpy as np
from hapctl.ext import finding
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BackgroundMesh:
    """Background levels at the middles of a mesh of cells.

    Attributes
    ----------
    level : ndarray, shape (my, mx)
        Image units.
    scatter : float
        Median of the cells' noise per pixel; 0 where nothing is known.
    shape : tuple of int
        (ny, nx) of the chip.
    """

    level: Array
    scatter: float
    shape: tuple[int, int]

    def nodes(self) -> NDArray[np.float32]:
        """Levels with two more rows and columns at each side, in straight lines; float32."""
        return _continued(_continued(self.level).T).T.astype(np.float32, order="C")

    def values(self) -> Array:
        """The surface at every pixel, shape (ny, nx); slow: the kernel makes it row by row."""
        first_row, row_weights = spline_places(self.shape[0], self.level.shape[0])
        first_column, column_weights = spline_places(self.shape[1], self.level.shape[1])
        nodes = self.nodes().astype(np.float64)
        steps = np.arange(4)
        rows = np.einsum("yk,ykj->yj", row_weights, nodes[first_row[:, None] + steps])
        values: Array = np.einsum("xk,yxk->yx", column_weights, rows[:, first_column[:, None] + steps])
        return values


def background_mesh(
    science: NDArray[np.float32], quality: NDArray[np.integer], masked: int, mesh: int
) -> BackgroundMesh:
    """Measure the background of a chip.

    Parameters
    ----------
    science : ndarray, shape (ny, nx), float32
    quality : ndarray, shape (ny, nx), 16-bit integers of the same byte order
    masked : int
        Flags of pixels left out; what is not finite is left out as well.
    mesh : int
        Side of the cells, pixels, within a half of which they fill the chip.

    Returns
    -------
    BackgroundMesh
        A cell with less than a sixteenth of its pixels takes the median of its neighbours.
    """
    ny, nx = science.shape
    row_edges, column_edges = _edges(ny, mesh), _edges(nx, mesh)
    my, mx = len(row_edges) - 1, len(column_edges) - 1
    height, width = np.diff(row_edges).max(), np.diff(column_edges).max()
    most = int(height // 2 + 1) * int(width // 2 + 1)
    samples = np.empty((my * mx, most), dtype=np.float32)
    swapped = not science.dtype.isnative
    finding.mesh_samples(
        science.view(np.uint32), quality.view(np.uint16), swapped, masked, row_edges, column_edges, samples
    )
    samples.sort(axis=1)
    median, excess, scatter = np.empty((3, my, mx))
    finding.mesh_levels(samples, max(1, most // 4), median.ravel(), excess.ravel(), scatter.ravel())
    known = scatter[np.isfinite(scatter)]
    level = _smoothed(_filled(_modes(median, excess, scatter)))
    return BackgroundMesh(level, float(np.median(known)) if len(known) else 0.0, (ny, nx))


def _modes(median: Array, excess: Array, scatter: Array) -> Array:
    """Pearson's mode; the median where it and the mean are 0.3 sigma apart, which no faint stars explain."""
    from scipy.ndimage import uniform_filter

    with np.errstate(invalid="ignore"):
        believed = np.abs(excess) < 0.3 * scatter
    share = uniform_filter(believed.astype(np.float64), size=3, mode="nearest")
    mean = uniform_filter(np.where(believed, excess, 0.0), size=3, mode="nearest") / np.maximum(share, 0.1)
    return median - np.where(believed, 1.5 * mean, 0.0)


def _edges(length: int, mesh: int) -> NDArray[np.int32]:
    cells = max(1, round(length / mesh))
    return (np.arange(cells + 1) * length // cells).astype(np.int32)


def _filled(level: Array) -> Array:
    """Give cells without level the median of their neighbours, from the rim inwards; 0 if there is none."""
    level = level.copy()
    while np.isnan(level).any():
        if np.isnan(level).all():
            return np.zeros_like(level)
        wide = np.pad(level, 1, constant_values=np.nan)
        around = np.stack(
            [wide[i : i + level.shape[0], j : j + level.shape[1]] for i in range(3) for j in range(3)]
        )
        reached = np.isnan(level) & np.isfinite(around).any(axis=0)
        level[reached] = np.nanmedian(around[:, reached], axis=0)
    return level


def _smoothed(level: Array) -> Array:
    from scipy.ndimage import median_filter

    smooth: Array = median_filter(level, size=3, mode="nearest")
    return smooth


def _continued(level: Array) -> Array:
    """Two more rows at each end, in straight lines."""
    if len(level) == 1:
        return np.repeat(level, 5, axis=0)
    first, last = level[0] - level[1], level[-1] - level[-2]
    before, after = [level[0] + 2 * first, level[0] + first], [level[-1] + last, level[-1] + 2 * last]
    return np.concatenate([np.stack(before), level, np.stack(after)])


def spline_places(length: int, cells: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """For each pixel of an axis the first of its four nodes and what they count (Catmull & Rom 1974).

    Returns
    -------
    first : ndarray of int32, shape (length,)
        Ascending.
    weights : ndarray of float32, shape (length, 4)
    """
    place = (np.arange(length) + 0.5) * cells / length - 0.5
    first = np.floor(place)
    t = place - first
    weights = 0.5 * np.stack(
        [
            -t + 2 * t**2 - t**3,
            2 - 5 * t**2 + 3 * t**3,
            t + 4 * t**2 - 3 * t**3,
            -(t**2) + t**3,
        ],
        axis=1,
    )  # fmt: skip
    return first.astype(np.int32) + 1, weights.astype(np.float32)


def segment_starts(first: NDArray[np.int32], segments: int) -> NDArray[np.int32]:
    """Where on an axis the pixels begin whose first node is 0, 1, ... segments - 1; and the axis' end."""
    starts = np.searchsorted(first, np.arange(segments), side="left")
    return np.append(starts, len(first)).astype(np.int32)
