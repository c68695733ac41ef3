"""Differences of the sky between exposures, where they overlap.

All exposures are binned into the cells of one coarse grid on the sky, good pixels only (`sky_cells`).
Exposures that see a cell see the same stars in it: what differs is the sky. The skies are the solution of

    value(exposure, cell) = sky(exposure) + scene(cell)

by least squares with weights that outliers lose (Tukey's biweight), which uses each overlap, of two
exposures or of twenty, once. In each connected group of exposures the lowest sky is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.imaging.sky_cells import CellValues, sums_by
from numpy.typing import NDArray

_LEAST_COVER = 0.6
"""Of a cell; two exposures that cover more than half of it each must overlap there."""
_LEAST_CELLS = 4
"""Cells that an exposure must share with others."""
_ROUNDS_HUBER, _ROUNDS_TUKEY = 12, 12
_HUBER, _TUKEY = 1.345, 4.685  # 95 % efficiency for Gaussian errors (Holland & Welsch 1977)


@dataclass(frozen=True)
class MatchedSkies:
    """Differences of sky.

    Attributes
    ----------
    differences : ndarray, shape (exposures,), float64
        Brightness above the lowest of the group; 0 for an exposure without overlap.
    groups : ndarray, shape (exposures,), int
        Number of the group of exposures connected by overlaps.
    cells : ndarray, shape (exposures,), int
        Cells shared with other exposures; 0: no overlap.
    """

    differences: NDArray[np.float64]
    groups: NDArray[np.intp]
    cells: NDArray[np.intp]


@dataclass(frozen=True)
class _Overlaps:
    """All values in cells that two exposures or more see."""

    exposure: NDArray[np.intp]
    cell: NDArray[np.intp]
    value: NDArray[np.float64]
    weight: NDArray[np.float64]
    exposures: int
    cells: int

    def sums(self, what: NDArray[np.float64]) -> NDArray[np.float64]:
        return sums_by(self.cell, what, self.cells)

    def totals(self, what: NDArray[np.float64]) -> NDArray[np.float64]:
        return sums_by(self.exposure, what, self.exposures)


def match_skies(exposures: Sequence[CellValues]) -> MatchedSkies:
    """Solve for the differences of sky.

    Parameters
    ----------
    exposures : sequence of CellValues
        Cells of each exposure (`merged_cells`).

    Returns
    -------
    MatchedSkies
    """
    overlaps = _overlaps(exposures)
    counts = np.bincount(overlaps.exposure, minlength=len(exposures))
    groups = _groups(overlaps)
    differences = np.zeros(len(exposures))
    if overlaps.value.size:
        differences = _solved(overlaps, groups)
        lowest = np.full(groups.max() + 1, np.inf)
        np.minimum.at(lowest, groups, differences)
        differences -= lowest[groups]
    return MatchedSkies(differences, groups, counts)


def _overlaps(exposures: Sequence[CellValues]) -> _Overlaps:
    """Collect shared cells; an exposure that shares hardly any is left out, and what it alone shared."""
    exposure = np.concatenate([np.full(one.cells.size, i) for i, one in enumerate(exposures)])
    number, value, variance, cover = (
        np.concatenate([getattr(one, name) for one in exposures])
        for name in ("cells", "values", "variances", "cover")
    )
    kept = cover >= _LEAST_COVER
    for _ in range(len(exposures)):
        _, cell, seen = np.unique(number[kept], return_inverse=True, return_counts=True)
        shared = seen[cell] >= 2
        shared &= (
            np.bincount(exposure[kept][shared], minlength=len(exposures))[exposure[kept]] >= _LEAST_CELLS
        )
        if shared.all():
            break
        kept[np.flatnonzero(kept)[~shared]] = False
    numbers, cell = np.unique(number[kept], return_inverse=True)
    weight = _weights(variance[kept], exposure[kept], len(exposures))
    return _Overlaps(exposure[kept], cell, value[kept], weight, len(exposures), numbers.size)


def _weights(
    variance: NDArray[np.float64], exposure: NDArray[np.intp], exposures: int
) -> NDArray[np.float64]:
    """Inverse variances, but alike for all cells that hold little but sky.

    There the scatter of the variances is chance, and with photons it goes with the value: faint cells would
    count for more.
    """
    typical = np.ones(exposures)
    for i in range(exposures):
        own = variance[exposure == i]
        if (positive := own[own > 0.0]).size:
            typical[i] = np.median(positive)
    weight: NDArray[np.float64] = 1.0 / np.maximum(variance, 2.0 * typical[exposure])
    return weight


def _groups(overlaps: _Overlaps) -> NDArray[np.intp]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    shape = (overlaps.exposures + overlaps.cells,) * 2
    links = coo_array(
        (np.ones(overlaps.cell.size), (overlaps.exposure, overlaps.exposures + overlaps.cell)), shape=shape
    )
    _, labels = connected_components(links, directed=False)
    return np.asarray(labels[: overlaps.exposures], dtype=np.intp)


def _solved(overlaps: _Overlaps, groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Least squares, first with Huber's weights (one minimum only), then with Tukey's."""
    trust = np.ones(overlaps.value.size)
    skies = np.zeros(overlaps.exposures)
    for turn in range(_ROUNDS_HUBER + _ROUNDS_TUKEY):
        skies, residuals = _least_squares(overlaps, groups, trust * overlaps.weight)
        scaled = np.abs(residuals) / max(1.4826 * float(np.median(np.abs(residuals))), 1e-300)
        if turn < _ROUNDS_HUBER:
            trust = _HUBER / np.maximum(scaled, _HUBER)
        else:
            # never quite 0: a group must not fall apart
            trust = np.maximum(np.clip(1.0 - (scaled / _TUKEY) ** 2, 0.0, 1.0) ** 2, 1e-9)
    return skies


def _least_squares(
    overlaps: _Overlaps, groups: NDArray[np.intp], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Skies with mean 0 in each group, and residuals in standard deviations.

    The scene is eliminated: what is left are as many equations as exposures.
    """
    from scipy.sparse import coo_array

    in_cell = overlaps.sums(weight)
    shares = coo_array(
        (weight / np.sqrt(in_cell)[overlaps.cell], (overlaps.cell, overlaps.exposure)),
        shape=(overlaps.cells, overlaps.exposures),
    ).tocsr()
    matrix = np.diag(overlaps.totals(weight)) - (shares.T @ shares).toarray()
    scene = overlaps.sums(weight * overlaps.value) / in_cell
    right = overlaps.totals(weight * (overlaps.value - scene[overlaps.cell]))
    size = float(np.trace(matrix)) / overlaps.exposures or 1.0
    matrix += size * (groups[:, None] == groups[None, :])  # the mean of a group is free: make it 0
    skies = np.linalg.solve(matrix / size, right / size)
    without = overlaps.value - skies[overlaps.exposure]
    scene = overlaps.sums(weight * without) / in_cell
    leverage = np.minimum(weight / in_cell[overlaps.cell], 0.999)
    residuals = (without - scene[overlaps.cell]) * np.sqrt(overlaps.weight / (1.0 - leverage))
    return skies, residuals
