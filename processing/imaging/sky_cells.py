"""Brightness of exposures in coarse cells of the sky: what skies are matched by.

Good pixels of a lattice are mapped exactly; each falls into one cell. Cells are clipped all at once, in one
sorted array, and no pixel is kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.imaging.chip_sample import ChipSample, sample_step
from hapctl.processing.imaging.grid import OutputGrid, map_to_grid, native_scale, north_up_grid
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.sky_statistics import Clipping, running_sums
from numpy.typing import NDArray

CELL = 13
"""Side of a cell in steps of the lattice: 169 pixels of a chip fall into one."""
_MAPPED_AT_ONCE = 1 << 16
_REACH = 3.0
_ONE_SIGMA = 0.15866  # of a Gaussian lies below -1 sigma


@dataclass(frozen=True)
class CellValues:
    """Brightness in cells of the sky.

    Attributes
    ----------
    cells : ndarray, shape (n,), int64
        Numbers of the cells, rising.
    values, variances : ndarray, shape (n,), float64
        Mean brightness of the clipped pixels, electrons per second and square arcsecond, and its variance.
    cover : ndarray, shape (n,), float64
        Good pixels over pixels of a cell that is wholly seen.
    """

    cells: NDArray[np.int64] = field(repr=False)
    values: NDArray[np.float64] = field(repr=False)
    variances: NDArray[np.float64] = field(repr=False)
    cover: NDArray[np.float64] = field(repr=False)


def cell_grid(exposures: Sequence[Sequence[PreparedChip]], origin: LookupOrigin = "hst") -> OutputGrid:
    """Return the grid whose pixels are the cells, for all exposures together."""
    chips = [chip for exposure in exposures for chip in exposure]
    scale = max(CELL * sample_step(chip.shape) * native_scale(chip.wcs) for chip in chips)
    return north_up_grid([chip.wcs for chip in chips], scale, origin)


def clipping_reaches(noises: Sequence[float]) -> list[float]:
    """Return the half width of the final clipping in each exposure.

    Stars too faint to be clipped lift a cell, the more of them the wider the limits are. Limits in the noise
    of each exposure leave more stars to a short exposure than to a long one; one limit for all leaves more
    cosmic rays to the long one. The geometric mean of both is taken. On simulated fields of 6,000 stars and
    100 to 1,200 s the skies agree to 0.006 sigma then, with the former to 0.03, with the latter to 0.06.

    Parameters
    ----------
    noises : sequence of float
        Scatter of the sky pixels of each exposure, brightness.
    """
    widest = max(noises, default=0.0)
    return [_REACH * math.sqrt(noise * widest) for noise in noises]


def chip_cells(
    chip: PreparedChip,
    sample: ChipSample,
    grid: OutputGrid,
    clipping: Clipping | None = None,
    reach: float | None = None,
    origin: LookupOrigin = "hst",
) -> CellValues:
    """Bin the pixels of a chip into cells.

    Parameters
    ----------
    chip : PreparedChip
    sample : ChipSample
        Of this chip.
    grid : OutputGrid
        Whose pixels are the cells (`cell_grid`).
    clipping : Clipping, optional
        In each cell, about its median; the scatter is the distance of median and 16th percentile, which
        stars and cosmic rays hardly touch.
    reach : float, optional
        Half width of the final clipping, brightness (`clipping_reaches`).
    origin : {"hst", "fits"}

    Returns
    -------
    CellValues
        Of cells with at least one pixel.
    """
    unit = native_scale(chip.wcs) ** 2 * chip.exposure_time
    numbers = _cell_numbers(chip, sample, grid, origin)
    cells, values, variances, counts = clipped_means(
        numbers, sample.values, clipping or Clipping(), None if reach is None else reach * unit
    )
    whole = (grid.scale_arcsec / (sample.step * native_scale(chip.wcs))) ** 2
    return CellValues(cells, values / unit, variances / unit**2, counts / whole)


def _cell_numbers(
    chip: PreparedChip, sample: ChipSample, grid: OutputGrid, origin: LookupOrigin
) -> NDArray[np.int64]:
    """Return the cell of each pixel, mapped by blocks: what is needed on the way is several times as much."""
    numbers = np.empty(sample.values.size, dtype=np.int64)
    for first in range(0, numbers.size, _MAPPED_AT_ONCE):
        part = slice(first, first + _MAPPED_AT_ONCE)
        x, y = map_to_grid(chip.wcs, grid, *sample.positions(part), origin)
        columns, rows = (np.floor(along + 0.5).astype(np.int64) for along in (x, y))
        numbers[part] = rows * grid.shape[1] + columns
    return numbers


def clipped_means(
    numbers: NDArray[np.int64],
    values: NDArray[np.float32],
    clipping: Clipping,
    half_width: float | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Return the clipped mean of values in groups, all groups at once.

    Parameters
    ----------
    numbers : ndarray, shape (n,), int64
        Group of each value.
    values : ndarray, shape (n,), float32
        Finite.
    clipping : Clipping
    half_width : float, optional
        About the median of the clipped values; all values within are taken in the end.

    A group whose 16th percentile is its median (photon counters) is not clipped.

    Returns
    -------
    cells : ndarray, shape (m,), int64
        The groups, rising.
    means, variances : ndarray, shape (m,), float64
        Of the clipped values; the variance is that of the mean.
    counts : ndarray, shape (m,), int
        Values in the group before clipping.
    """
    if values.size == 0:
        nothing = np.zeros(0)
        return np.zeros(0, np.int64), nothing, nothing.copy(), np.zeros(0, np.intp)
    lowest = int(numbers.min())
    groups = _Groups.of(numbers - lowest, values)
    first, last = groups.starts, groups.ends
    for _ in range(clipping.rounds):
        middle, scatter = groups.middle(first, last)
        limits = middle - clipping.lower * scatter, middle + clipping.upper * scatter
        first, last = groups.cut(scatter > 0.0, *limits, first, last)
    if half_width is not None:
        middle, scatter = groups.middle(first, last)
        first, last = groups.cut(scatter > 0.0, middle - half_width, middle + half_width, first, last)
    means, variances = groups.moments(first, last)
    return groups.numbers + lowest, means, variances, groups.ends - groups.starts


def _ordered(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Integers of 32 bits that sort as the values do."""
    bits = values.view(np.int32)
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)
    ordered += 1 << 31
    return ordered


def _unordered(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    bits = (keys & 0xFFFFFFFF).astype(np.uint32)
    bits ^= np.uint32(1 << 31)
    bits = bits.view(np.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)


@dataclass(frozen=True)
class _Groups:
    """Values sorted by group and in each group by value, with running sums about a central value."""

    keys: NDArray[np.int64]
    values: NDArray[np.float32]
    numbers: NDArray[np.int64]
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    centre: float
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, numbers: NDArray[np.int64], values: NDArray[np.float32]) -> "_Groups":
        keys = numbers << 32
        keys |= _ordered(values)
        keys.sort()
        ordered = _unordered(keys)
        starts = np.flatnonzero(np.concatenate([[True], (keys[1:] ^ keys[:-1]) >> 32 != 0]))
        ends = np.append(starts[1:], keys.size)
        centre = float(ordered[ordered.size // 2])
        offsets = ordered.astype(np.float64)
        offsets -= centre
        sums = running_sums(offsets)
        np.square(offsets, out=offsets)
        return cls(keys, ordered, keys[starts] >> 32, starts, ends, centre, sums, running_sums(offsets))

    def cut(
        self,
        chosen: NDArray[np.bool_],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
        first: NDArray[np.intp],
        last: NDArray[np.intp],
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Take the values between limits in the chosen groups, else (or where none is) the old ranges."""
        base = self.numbers << 32
        lower = np.searchsorted(self.keys, base | _ordered(low.astype(np.float32)), side="left")
        upper = np.searchsorted(self.keys, base | _ordered(high.astype(np.float32)), side="right")
        taken = chosen & (lower < upper)
        return np.where(taken, lower, first), np.where(taken, upper, last)

    def middle(
        self, first: NDArray[np.intp], last: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Median and one-sided scatter; 0 where many values are equal (photon counters)."""
        count = last - first
        low = self.values[first + (count - 1) // 2].astype(np.float64)
        middle = 0.5 * (low + self.values[first + count // 2])
        return middle, middle - self.values[first + (_ONE_SIGMA * count).astype(np.intp)]

    def moments(
        self, first: NDArray[np.intp], last: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean of each range and its variance."""
        count = last - first
        mean = (self.sums[last] - self.sums[first]) / count
        variance = np.maximum((self.squares[last] - self.squares[first]) / count - mean * mean, 0.0)
        return mean + self.centre, variance / count


def merged_cells(chips: Sequence[CellValues]) -> CellValues:
    """Put the cells of the chips of an exposure together; a cell on two chips is their mean by pixels."""
    cells, place = np.unique(np.concatenate([chip.cells for chip in chips]), return_inverse=True)
    cover, values, variances = (
        np.concatenate([getattr(chip, name) for chip in chips]) for name in ("cover", "values", "variances")
    )
    total = sums_by(place, cover, cells.size)
    share = cover / total[place]
    merged = sums_by(place, share * values, cells.size)
    return CellValues(cells, merged, sums_by(place, share * share * variances, cells.size), total)


def sums_by(place: NDArray[np.intp], what: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the sum of values at each of ``size`` places."""
    return np.asarray(np.bincount(place, what, size), dtype=np.float64)
