"""Single drizzles combined into one clean plane (AstroDrizzle's step 4).

Contract: a pixel is combined from the single drizzles whose weight there is at least ``maskpt`` of full
coverage (exposure time times s^2: a number, not the mean of an image) and whose value lies within the
thresholds, which apply once, in electrons (AstroDrizzle multiplies them again for every exposure). With
``i...`` types, a pixel that no exposure covers so well takes all that have any weight there.

``minmed``: of a set of two exposures the mean; of three or more the median without the highest (without
``nhigh``, if more), which where two of them count is the lower; one alone is taken as it is. In its place
comes the lowest where that is ``sigma[0]`` below, or within ``grow`` pixels of such a place ``sigma[1]``:
there, more exposures than one were hit. Sigma is the noise of the exposure with the lowest value (of half
the difference, where two or three count): the electrons of the middle, sky and read noise. On stars,
exposures differ by where they fall on the pixels: the slope of the lowest values, as far as it is more than
noise, is allowed too (all of it, next to such a place half).
AstroDrizzle takes the noise of the sum of all exposures and no slope: the more exposures there are, the
smaller a deviation replaces the median, until the lowest value of plain noise does.

The lowest and highest are left out of what counts in a pixel; at least one value stays, low ones are kept
last. ``sum`` is of electrons, all others are of rates and give each exposure the same weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hapctl.ext import compare as kernel
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.parameters import MedianParameters
from hapctl.processing.imaging.prepared import PreparedChip
from numpy.typing import NDArray

Rows = NDArray[np.float32]

_NUMBER = {"median": 0, "mean": 1, "sum": 2, "minmed": 3}
_MINMED = 3
_SLOPES = (1.0, 0.5)
"""How much of the slope of the lowest values is allowed, by the first and second threshold."""
_STEEP = 6.0
"""Sigma up to which a slope may be noise, or a cosmic ray in a neighbour's lowest value."""


@dataclass(frozen=True)
class Single:
    """The single drizzle of one exposure in some rows.

    Attributes
    ----------
    exposure : int
        Its place among the exposures.
    sci, wht : ndarray, shape (rows, nx), float32
        Electrons per second and output pixel without sky; seconds.
    """

    exposure: int
    sci: Rows = field(repr=False)
    wht: Rows = field(repr=False)


@dataclass(frozen=True)
class ExposureNoise:
    """What is known of one exposure beside its pixels.

    Attributes
    ----------
    time : float
        Seconds.
    full_weight : float
        Weight where the exposure covers a pixel fully.
    per_rate, floor : float
        Variance of a rate: ``per_rate`` times the rate, plus ``floor`` (sky and read noise).
    """

    time: float
    full_weight: float
    per_rate: float
    floor: float

    @classmethod
    def of(cls, chips: Sequence[PreparedChip], grid: OutputGrid) -> "ExposureNoise":
        """Describe the single drizzle of an exposure.

        An output pixel averages the noise of the s^2 pixels it covers; a finer one than the detector's
        shows that of one pixel, scaled by s^2.
        """
        time = chips[0].exposure_time
        area = float(np.mean([chip.scale_ratio(grid) ** 2 for chip in chips]))
        floor = float(np.mean([chip.sky_taken + chip.read_noise**2 for chip in chips]))
        share = min(area, 1.0)
        full = min(chip.exposure_time * chip.scale_ratio(grid) ** 2 for chip in chips)
        return cls(time, full, share / time, share * area * floor / time**2)


def combine_halo(parameters: MedianParameters) -> int:
    """Return how many rows and columns around a pixel its combination looks at."""
    return parameters.grow + 1 if parameters.type.endswith("minmed") else 0


def combine_rows(
    singles: Sequence[Single],
    exposures: Sequence[Sequence[PreparedChip]],
    grid: OutputGrid,
    parameters: MedianParameters,
) -> tuple[Rows, NDArray[np.uint16]]:
    """Combine the same rows of single drizzles.

    Parameters
    ----------
    singles : sequence of Single
        In the order of the exposures; with `combine_halo` rows and columns more than are used.
    exposures : sequence of sequences of PreparedChip
        All exposures, by their place.
    grid : OutputGrid
        Of the single drizzles (its scale counts, its bounds do not).
    parameters : MedianParameters

    Returns
    -------
    combined : ndarray, shape (rows, nx), float32
        Electrons per second and output pixel (``sum``: electrons); NaN where no exposure counts.
    depth : ndarray, shape (rows, nx), uint16
        How many exposures count.
    """
    noises = [ExposureNoise.of(exposures[single.exposure], grid) for single in singles]
    return combine_arrays(
        [one.sci for one in singles], [one.wht for one in singles], noises, parameters, len(exposures)
    )


def combine_arrays(
    values: Sequence[Rows],
    weights: Sequence[Rows],
    noises: Sequence[ExposureNoise],
    parameters: MedianParameters,
    exposures: int | None = None,
) -> tuple[Rows, NDArray[np.uint16]]:
    """Combine arrays of one shape; parameters and results as ``combine_rows``.

    ``exposures``: how many there are in all, some of which may lie elsewhere; those given by default.
    """
    shape = values[0].shape
    combined, depth = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.uint16)
    kind = _NUMBER[parameters.type.removeprefix("i")]
    lowest, sigma = np.empty((2, *(shape if kind == _MINMED else (0, 0))), dtype=np.float32)
    kernel.combine(
        [np.ascontiguousarray(one, dtype=np.float32) for one in values],
        [np.ascontiguousarray(one, dtype=np.float32) for one in weights],
        _terms(noises, parameters),
        kind,
        parameters.nlow,
        parameters.nhigh,
        3 if (exposures or len(values)) == 2 else 2,
        parameters.type.startswith("i"),
        combined,
        depth,
        lowest,
        sigma,
    )
    if kind == _MINMED:
        kernel.take_lowest(combined, lowest, sigma, depth, parameters.sigma, _SLOPES, _STEEP, parameters.grow)
    return combined, depth


def _terms(noises: Sequence[ExposureNoise], parameters: MedianParameters) -> Rows:
    """The numbers of each exposure as the kernel takes them."""
    lower = -np.inf if parameters.lower is None else parameters.lower
    upper = np.inf if parameters.upper is None else parameters.upper
    return np.array(
        [
            (
                parameters.maskpt * one.full_weight,
                lower / one.time,
                upper / one.time,
                one.time,
                one.per_rate,
                one.floor,
            )
            for one in noises
        ],
        dtype=np.float32,
    )
