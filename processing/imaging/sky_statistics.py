"""Statistics of the sky: clipping as in AstroDrizzle, and a mode that crowded fields leave in place.

Everything is looked up in the sorted pixels and their running sums, so that a round of clipping or a
histogram costs no pass over the data.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Statistic = Literal["mode", "median", "mean"]

_WINDOW = 1.0
"""Half width of the part of the histogram that the parabola is fitted to, in sigma."""
_FEW_VALUES = 40
"""Data that take fewer values near the peak are whole steps, each of which is a bin."""


@dataclass(frozen=True)
class SkyLevel:
    """The sky of one chip.

    Attributes
    ----------
    level : float
        Electrons per pixel.
    sigma : float
        Scatter of the sky pixels, electrons.
    pixels : int
        How many pixels were used.
    """

    level: float
    sigma: float
    pixels: int


NO_LEVEL = SkyLevel(0.0, 0.0, 0)


@dataclass(frozen=True)
class Clipping:
    """Rounds of clipping and the limits below and above the mean, in standard deviations."""

    rounds: int = 5
    lower: float = 4.0
    upper: float = 4.0

    @property
    def limits(self) -> tuple[float, float]:
        """Both limits, positive."""
        return self.lower, self.upper


@dataclass(frozen=True)
class SortedPixels:
    """Pixels in rising order.

    Attributes
    ----------
    values : ndarray, shape (n,), float32
        Finite, n at least 1.
    centre : float
        What the sums are taken about: the median.
    sums, squares : ndarray, shape (n + 1,), float64
        Running sums of the values less ``centre`` and of their squares, from 0.
    """

    values: NDArray[np.float32]
    centre: float
    sums: NDArray[np.float64] = field(repr=False)
    squares: NDArray[np.float64] = field(repr=False)

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "SortedPixels":
        """Sort finite values, in any order and at least one of them."""
        ordered = np.sort(values, axis=None)
        centre = float(ordered[ordered.size // 2])
        offsets = ordered.astype(np.float64) - centre
        return cls(ordered, centre, running_sums(offsets), running_sums(offsets * offsets))

    def within(self, low: float, high: float) -> "SortedPixels":
        """Return the part with ``low <= value <= high``; it shares the arrays."""
        first, last = self._range(low, high)
        return SortedPixels(
            self.values[first:last],
            self.centre,
            self.sums[first : last + 1],
            self.squares[first : last + 1],
        )

    def _range(self, low: float, high: float) -> tuple[int, int]:
        first = int(np.searchsorted(self.values, np.float64(low), side="left"))
        return first, int(np.searchsorted(self.values, np.float64(high), side="right"))

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.values.size

    @property
    def mean(self) -> float:
        """Mean value."""
        return self.centre + float(self.sums[-1] - self.sums[0]) / self.size

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        offset = self.mean - self.centre
        variance = float(self.squares[-1] - self.squares[0]) / self.size - offset * offset
        return float(np.sqrt(max(variance, 0.0)))

    @property
    def median(self) -> float:
        """Median value, the mean of the middle two where there are two."""
        middle = self.values[(self.size - 1) // 2 : self.size // 2 + 1]
        return float(middle.mean(dtype=np.float64))

    @property
    def spread(self) -> float:
        """Robust scatter: 0.7413 of the distance of the quartiles; the standard deviation where that is 0."""
        low, high = self.values[self.size // 4], self.values[(3 * self.size) // 4]
        return 0.7413 * (float(high) - float(low)) or self.deviation

    @property
    def step(self) -> float:
        """Distance from the median to the next higher value where the quartiles are equal, else 0."""
        middle = self.values[self.size // 2]
        if self.values[self.size // 4] != self.values[(3 * self.size) // 4]:
            return 0.0
        above = int(np.searchsorted(self.values, middle, side="right"))
        return float(self.values[above]) - float(middle) if above < self.size else 0.0

    def counts(self, edges: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return how many values lie between rising edges."""
        return np.diff(np.searchsorted(self.values, edges))


def running_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of the first 0, 1, ... n values."""
    sums = np.zeros(values.size + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def clipped(pixels: SortedPixels, clipping: Clipping) -> SortedPixels:
    """Leave out pixels too far from the mean, in rounds, as AstroDrizzle does.

    Each round begins with all pixels again and takes the limits from the mean and standard deviation of
    the round before (so in stsci.imagestats). Where more than half of the pixels are equal (photon counters),
    limits are those of a Poisson distribution, (S^2 + 2) / 3 counts wider (after Gehrels 1986, eq. 9): there
    AstroDrizzle takes single photons for outliers, and the sky is 0.
    """
    left, step = pixels, pixels.step
    for _ in range(clipping.rounds):
        mean, deviation = left.mean, left.deviation
        # the sums round: a constant image must not lose its pixels
        slack = 1e-6 * abs(mean)
        below, above = (s * deviation + slack + step * (s * s + 2.0) / 3.0 for s in clipping.limits)
        kept = pixels.within(mean - below, mean + above)
        if kept.size == left.size or kept.size == 0:
            break
        left = kept
    return left


def level_of(
    values: NDArray[np.float32],
    statistic: Statistic = "mode",
    clipping: Clipping | None = None,
    bin_width: float = 0.1,
) -> SkyLevel:
    """Measure the sky level of pixels.

    Parameters
    ----------
    values : ndarray of float32
        Electrons, finite.
    statistic : {"mode", "median", "mean"}
        Of the clipped pixels. ``mode`` is the top of a parabola fitted to the logarithm of the histogram
        within one sigma of its peak, exact for Gaussian noise; in whole steps of the data where these are
        coarse. AstroDrizzle's, the peak through three bins, scatters by a tenth of a sigma. Where fewer than
        five values occur near the peak (photon counters), it is the mean.
    clipping : Clipping, optional
        Five rounds at 4 sigma by default.
    bin_width : float
        Of the histogram, in sigma.

    Returns
    -------
    SkyLevel
        `NO_LEVEL` where there are no pixels.
    """
    if values.size == 0:
        return NO_LEVEL
    left = clipped(SortedPixels.of(values), clipping or Clipping())
    if statistic == "median":
        return SkyLevel(left.median, left.spread, left.size)
    found = mode_of(left, bin_width) if statistic == "mode" else None
    return SkyLevel(*(found or (left.mean, left.spread)), left.size)


def mode_of(pixels: SortedPixels, bin_width: float = 0.1) -> tuple[float, float] | None:
    """Return mode and width of the peak, None where the histogram has no peak to fit.

    Three rounds, each in bins of the sigma of the one before.
    """
    sigma = pixels.spread
    if not sigma > 0.0:
        return None
    middle = pixels.median
    near = pixels.within(middle - 2.0 * sigma, middle + 2.0 * sigma).values
    if 1 + np.count_nonzero(near[1:] != near[:-1]) < _FEW_VALUES:
        return _mode_of_steps(near, sigma)
    peak, scatter = _highest_bin(pixels, middle, sigma, bin_width), sigma
    for _ in range(3):
        fitted = _parabola(pixels, peak, scatter, bin_width)
        if fitted is None:
            break
        peak, scatter = fitted
    return peak, scatter


def _mode_of_steps(near: NDArray[np.float32], sigma: float) -> tuple[float, float] | None:
    """The same parabola where the data take few values, each of which is a bin."""
    steps, counts = np.unique(near, return_counts=True)
    highest = float(steps[np.argmax(counts)])
    around = np.abs(steps - highest) <= 1.5 * sigma
    top = _top_of_parabola((steps[around] - highest) / sigma, counts[around])
    return None if top is None else (highest + sigma * top[0], sigma * top[1])


def _highest_bin(pixels: SortedPixels, middle: float, sigma: float, bin_width: float) -> float:
    edges = middle + sigma * np.arange(-4.0, 4.0 + bin_width / 2, bin_width)
    smooth = np.convolve(pixels.counts(edges), np.ones(max(round(0.7 / bin_width), 1)), mode="same")
    return float(edges[int(np.argmax(smooth))] + 0.5 * bin_width * sigma)


def _parabola(
    pixels: SortedPixels, peak: float, sigma: float, bin_width: float
) -> tuple[float, float] | None:
    """Fit ln(counts) = a + b t + c t^2 around the peak; return the top and the width, or None."""
    half = max(round(_WINDOW / bin_width), 2)
    steps = np.arange(-half - 0.5, half + 1.0) * bin_width
    top = _top_of_parabola(0.5 * (steps[:-1] + steps[1:]), pixels.counts(peak + sigma * steps))
    return None if top is None else (peak + sigma * top[0], sigma * top[1])


def _top_of_parabola(t: NDArray[np.floating], counts: NDArray[np.intp]) -> tuple[float, float] | None:
    filled = counts > 0
    if filled.sum() < 5:
        return None
    weight = np.sqrt(counts[filled])  # the error of ln(n) is 1/sqrt(n)
    c, b, _ = np.polyfit(t[filled], np.log(counts[filled]), 2, w=weight)
    if c >= 0:
        return None
    return float(np.clip(-b / (2 * c), -_WINDOW, _WINDOW)), float(np.clip(np.sqrt(-0.5 / c), 0.5, 2.0))
