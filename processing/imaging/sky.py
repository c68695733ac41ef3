"""The sky of an exposure: robust in crowded fields, the same brightness on all its chips.

The level of a chip is the mode of its good pixels: stars of a crowded field push a median up, but
leave the peak of the histogram where it is. A level is compared between chips as brightness
(electrons per square arcsecond, by IDCSCALE squared), and the faintest chip gives the sky of the
exposure (AstroDrizzle's ``localmin``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Statistic = Literal["mode", "median", "mean"]

_BIN = 0.1
"""Width of a histogram bin, in sigma."""
_WINDOW = 1.0
"""Half width of the part of the histogram that the parabola is fitted to, in sigma."""
_MOST_PIXELS = 1_000_000
"""Pixels used of a chip; more do not help: the mode is then known to about 0.003 sigma."""


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


def clipped(
    values: NDArray[np.float32], n_sigma: float = 4.0, rounds: int = 5
) -> tuple[NDArray[np.float32], float, float]:
    """Return the values within ``n_sigma`` of their median, that median, and their scatter.

    The scatter is 1.4826 times the median absolute deviation in every round; where that is 0 (more
    than half of the values equal) it is the standard deviation.
    """
    for _ in range(rounds):
        middle = float(np.median(values))
        sigma = 1.4826 * float(np.median(np.abs(values - middle))) or float(values.std(dtype=np.float64))
        keep = np.abs(values - middle) <= n_sigma * sigma
        if keep.all():
            break
        values = values[keep]
    return values, middle, sigma


def sky_level(
    science: NDArray[np.float32], good: NDArray[np.bool_], statistic: Statistic = "mode"
) -> SkyLevel:
    """Measure the sky of one chip.

    Parameters
    ----------
    science : ndarray, shape (ny, nx), float32
        Electrons.
    good : ndarray, shape (ny, nx), bool
        Pixels to use.
    statistic : {"mode", "median", "mean"}
        Of the pixels left by five rounds of clipping at 4 sigma. ``mode`` is the top of a parabola
        fitted to the logarithm of the histogram near its peak, exact for Gaussian noise; in whole
        steps of the data where these are coarse. Where fewer than five values are left (photon
        counters), it is the mean.

    Returns
    -------
    SkyLevel
        Level 0 where there is no good pixel.
    """
    values = science[good & np.isfinite(science)]
    if values.size == 0:
        return SkyLevel(0.0, 0.0, 0)
    step = -(-values.size // _MOST_PIXELS)
    kept, middle, sigma = clipped(values[::step])
    if statistic == "median":
        return SkyLevel(middle, sigma, kept.size)
    found = _mode(kept, middle, sigma) if statistic == "mode" and sigma > 0.0 else None
    if found is None:
        return SkyLevel(float(kept.mean(dtype=np.float64)), sigma, kept.size)
    return SkyLevel(*found, kept.size)


def _mode(values: NDArray[np.float32], middle: float, sigma: float) -> tuple[float, float] | None:
    """Refine the peak of the histogram: three rounds, each in bins of the sigma of the one before."""
    near = values[np.abs(values - middle) <= 2.0 * sigma]
    steps, counts = np.unique(near, return_counts=True)
    if steps.size < 40:
        return _mode_of_steps(steps, counts, sigma)
    peak, scatter = _highest_bin(values, middle, sigma), sigma
    for _ in range(3):
        fitted = _parabola(values, peak, scatter)
        if fitted is None:
            break
        peak, scatter = fitted
    return peak, scatter


def _mode_of_steps(
    steps: NDArray[np.float32], counts: NDArray[np.int64], sigma: float
) -> tuple[float, float] | None:
    """The same parabola where the data take few values, each of which is a bin."""
    highest = float(steps[np.argmax(counts)])
    near = np.abs(steps - highest) <= 1.5 * sigma
    top = _top_of_parabola((steps[near] - highest) / sigma, counts[near])
    return None if top is None else (highest + sigma * top[0], sigma * top[1])


def _highest_bin(values: NDArray[np.float32], middle: float, sigma: float) -> float:
    edges = middle + sigma * np.arange(-4.0, 4.0 + _BIN / 2, _BIN)
    counts, _ = np.histogram(values, bins=edges)
    smooth = np.convolve(counts, np.ones(7), mode="same")
    best = int(np.argmax(smooth))
    return float(edges[best] + 0.5 * _BIN * sigma)


def _parabola(values: NDArray[np.float32], peak: float, sigma: float) -> tuple[float, float] | None:
    """Fit ln(counts) = a + b t + c t^2 around the peak; return the top and the width, or None."""
    half = round(_WINDOW / _BIN)
    steps = np.arange(-half - 0.5, half + 1.0) * _BIN
    counts, _ = np.histogram(values, bins=peak + sigma * steps)
    top = _top_of_parabola(0.5 * (steps[:-1] + steps[1:]), counts)
    return None if top is None else (peak + sigma * top[0], sigma * top[1])


def _top_of_parabola(t: NDArray[np.floating], counts: NDArray[np.int64]) -> tuple[float, float] | None:
    filled = counts > 0
    if filled.sum() < 5:
        return None
    weight = np.sqrt(counts[filled])  # the error of ln(n) is 1/sqrt(n)
    c, b, _ = np.polyfit(t[filled], np.log(counts[filled]), 2, w=weight)
    if c >= 0:
        return None
    return float(np.clip(-b / (2 * c), -_WINDOW, _WINDOW)), float(np.clip(np.sqrt(-0.5 / c), 0.5, 2.0))


def exposure_sky(levels: Sequence[SkyLevel], scales_arcsec: Sequence[float]) -> tuple[float, ...]:
    """Return the sky to subtract from each chip, electrons per pixel.

    Parameters
    ----------
    levels : sequence of SkyLevel
        One a chip.
    scales_arcsec : sequence of float
        IDCSCALE of each chip.

    Returns
    -------
    tuple of float
        The lowest brightness of all chips with pixels, scaled to the pixel area of each chip.
    """
    areas = [scale * scale for scale in scales_arcsec]
    brightness = [level.level / area for level, area in zip(levels, areas, strict=True) if level.pixels > 0]
    faintest = min(brightness, default=0.0)
    return tuple(faintest * area for area in areas)
