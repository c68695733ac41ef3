"""Statistics of a product, gathered band by band: depth, exposure time and weight of its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.ext.writing import gather
from numpy.typing import NDArray

_PIXELS_AT_ONCE = 1 << 17
"""Many exposures are looked for in so many pixels at once: 50 bytes for each."""
_BINS = 1 << 16
_WEIGHT_SHIFT = 11
_WEIGHT_BINS = 1 << (32 - 1 - _WEIGHT_SHIFT)
"""Bins for weights of any kind and size: the bits of a positive float32, in order as its values are, without
the last eleven, so that a bin is 2^-12 of its value wide at most."""
_EXACT_EXPOSURES = 16
"""Up to this many exposures the combinations are counted and the medians are exact."""


@dataclass(frozen=True)
class ProductStatistics:
    """Of the pixels with data (some bit of CTX); zeros where there are none.

    Medians of exposure time are exact for up to 16 exposures, beyond to 1/65536 of the total; the median of
    the weight is good to one part in 8000. Without a context image pixels with data are those with weight,
    and depth and time are not known: zeros.
    """

    covered_pixels: int = 0
    mean_exposure_time: float = 0.0
    median_exposure_time: float = 0.0
    mean_exposures: float = 0.0
    median_exposures: float = 0.0
    mean_weight: float = 0.0
    median_weight: float = 0.0


class StatisticsGatherer:
    """Adds up the statistics of a product over its bands.

    Parameters
    ----------
    exposures : sequence of sequences of int
        The context bits of each exposure.
    exposure_times : sequence of float
        Seconds, of each exposure.
    """

    def __init__(self, exposures: Sequence[Sequence[int]], exposure_times: Sequence[float]) -> None:
        self._bits = [_plane_masks(bits) for bits in exposures]
        self._times = np.asarray(exposure_times, dtype=np.float64)
        self._weights = np.zeros(_WEIGHT_BINS, dtype=np.int64)
        self._weight_sum = 0.0
        exact = len(exposures) <= _EXACT_EXPOSURES
        self._combinations = np.zeros(1 << len(exposures), dtype=np.int64) if exact else None
        self._depths = np.zeros(len(exposures) + 1, dtype=np.int64)
        self._seconds = np.zeros(_BINS, dtype=np.int64)
        self._seen_by = np.zeros(len(exposures), dtype=np.int64)

    def add(self, weight: NDArray[np.float32], context: NDArray[np.int32]) -> None:
        """Count a band: weight, shape (rows, nx), and context, shape (planes, rows, nx); planes may be 0."""
        planes, combinations = len(context), self._combinations
        exact = combinations is not None and planes > 0
        sums = np.zeros(weight.shape[0])
        gather(
            np.ascontiguousarray(weight, dtype=np.float32),
            np.ascontiguousarray(context, dtype=np.int32),
            self._masks(planes) if exact else np.zeros((0, planes), dtype=np.int32),
            _WEIGHT_SHIFT,
            self._weights,
            np.zeros(1, dtype=np.int64) if combinations is None else combinations,
            sums,
        )
        # row by row, so that the sum does not depend on the height of the bands
        for row in sums.tolist():
            self._weight_sum += row
        if planes and not exact:
            pixels = context.reshape(planes, -1)
            for first in range(0, pixels.shape[1], _PIXELS_AT_ONCE):
                some = pixels[:, first : first + _PIXELS_AT_ONCE]
                if (seen := some.any(axis=0)).any():
                    self._add_depths(some[:, seen])

    def _masks(self, planes: int) -> NDArray[np.int32]:
        """Bits of each exposure in each plane."""
        masks = np.zeros((len(self._bits), planes), dtype=np.int32)
        for exposure, bits in enumerate(self._bits):
            for plane in range(planes):
                masks[exposure, plane] = bits.get(plane, 0)
        return masks

    def _add_depths(self, bits: NDArray[np.int32]) -> None:
        depth = np.zeros(bits.shape[1], dtype=np.int32)
        seconds = np.zeros(bits.shape[1], dtype=np.float64)
        for number, (planes, time) in enumerate(zip(self._bits, self._times, strict=True)):
            seen = _has(bits, planes)
            depth += seen
            seconds += time * seen
            self._seen_by[number] += np.count_nonzero(seen)
        self._depths += np.bincount(depth, minlength=self._depths.size)
        self._seconds += _histogram(seconds, float(self._times.sum()))

    def result(self) -> ProductStatistics:
        """Return the statistics of all bands so far."""
        count = int(self._weights.sum())
        if count == 0:
            return ProductStatistics()
        middle = _median_weight(self._weights)
        if not (self._depths.any() or (self._combinations is not None and self._combinations.any())):
            return ProductStatistics(count, mean_weight=self._weight_sum / count, median_weight=middle)
        if self._combinations is not None:
            depths, seconds = self._of_combinations()
        else:
            depths = _moments(np.arange(self._depths.size), self._depths)
            centres = (np.arange(_BINS) + 0.5) * float(self._times.sum()) / _BINS
            seconds = (float(self._times @ self._seen_by) / count, _moments(centres, self._seconds)[1])
        return ProductStatistics(
            count,
            seconds[0],
            seconds[1],
            depths[0],
            depths[1],
            self._weight_sum / count,
            middle,
        )

    def _of_combinations(self) -> tuple[tuple[float, float], tuple[float, float]]:
        assert self._combinations is not None
        codes = np.flatnonzero(self._combinations)
        members = (codes[:, None] >> np.arange(self._times.size)) & 1
        counts = self._combinations[codes]
        return _moments(members.sum(axis=1), counts), _moments(members @ self._times, counts)


def _plane_masks(bits: Sequence[int]) -> dict[int, np.int32]:
    masks: dict[int, int] = {}
    for bit in bits:
        masks[bit // 32] = masks.get(bit // 32, 0) | 1 << (bit % 32)
    return {plane: np.uint32(mask).astype(np.int32) for plane, mask in masks.items()}


def _has(bits: NDArray[np.int32], planes: dict[int, np.int32]) -> NDArray[np.bool_]:
    seen = np.zeros(bits.shape[1], dtype=np.bool_)
    for plane, mask in planes.items():
        seen |= (bits[plane] & mask) != 0
    return seen


def _median_weight(counts: NDArray[np.int64]) -> float:
    filled = np.flatnonzero(counts)
    middles = (filled.astype(np.uint32) << np.uint32(_WEIGHT_SHIFT)) + np.uint32(1 << (_WEIGHT_SHIFT - 1))
    return _moments(middles.view(np.float32).astype(np.float64), counts[filled])[1]


def _histogram(values: NDArray[np.floating], largest: float) -> NDArray[np.int64]:
    index = np.clip(values * (_BINS / largest), 0, _BINS - 1).astype(np.int64)
    return np.bincount(index, minlength=_BINS)


def _moments(values: NDArray[np.generic], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean and median of values that occur ``counts`` times."""
    order = np.argsort(values, kind="stable")
    values, counts = values[order], counts[order]
    below = np.cumsum(counts)
    total = int(below[-1])
    low = values[np.searchsorted(below, (total - 1) // 2, side="right")]
    high = values[np.searchsorted(below, total // 2, side="right")]
    return float(np.dot(values, counts) / total), 0.5 * (float(low) + float(high))
