"""Cosmic rays of a filter's exposures, found by comparing each with the others.

Every exposure is drizzled singly onto the common grid; the planes are combined by ``minmed``; the
combined plane is blotted back to each chip and compared with it. The steps and thresholds are those
of AstroDrizzle (hap_reference 1.3, items 3 to 6), with its defects put right: the derivative at the
edges of a chip uses the neighbours that exist, and ``grow`` is a radius. Pixels that only one exposure
saw are not tested.

The combined plane is kept in memory (float32, the shape of the grid), all else is done by bands of
output rows and blocks of chip pixels, each a pure function of its inputs, so that the masks are the
same for any number of threads.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.imaging.chip_data import Bits
from hapctl.processing.imaging.drizzle import drizzle_square, map_to_grid
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.prepared import PreparedChip
from numpy.typing import NDArray
from scipy import ndimage

Plane = NDArray[np.float32]

_BAND_ROWS = 256
_BLOCK = 256
_SPLINE_HALO = 12
"""A cubic spline forgets a pixel at 0.268 per pixel of distance: 1e-7 at this one."""
_TEST_HALO = 2


@dataclass(frozen=True)
class CosmicRayParameters:
    """Parameters of the test.

    Attributes
    ----------
    bits : Bits
        DQ flags taken as good in the single drizzles.
    snr : tuple of float
        Thresholds of the two passes in sigma; the second applies next to pixels that failed the first.
    scale : tuple of float
        How much of the local derivative is allowed, in the two passes.
    grow : int
        Radius in pixels by which hits are grown.
    least_weight : float
        Single drizzles count where their weight is at least this fraction of full coverage.
    combine_sigma : tuple of float
        Where the minimum replaces the median: thresholds of ``minmed`` in its two passes.
    """

    bits: Bits = 0
    snr: tuple[float, float] = (3.5, 3.0)
    scale: tuple[float, float] = (1.5, 1.2)
    grow: int = 0
    least_weight: float = 0.3
    combine_sigma: tuple[float, float] = (4.0, 3.0)


def cosmic_ray_masks(
    exposures: Sequence[Sequence[PreparedChip]],
    grid: OutputGrid,
    parameters: CosmicRayParameters,
    *,
    threads: int = 1,
    origin: LookupOrigin = "hst",
) -> list[list[NDArray[np.bool_]]]:
    """Find the pixels of each chip that the other exposures do not confirm.

    Parameters
    ----------
    exposures : sequence of sequences of PreparedChip
        The chips of each exposure; two exposures at least.
    grid : OutputGrid
        Covers all of them.
    parameters : CosmicRayParameters
    threads : int
        Threads at work; the result does not depend on it.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    list of lists of ndarray, bool
        For each exposure and chip, True where hit, in the shape of the chip.
    """
    combined = combined_plane(exposures, grid, parameters, threads=threads, origin=origin)
    chips = [chip for exposure in exposures for chip in exposure]

    def find(chip: PreparedChip) -> NDArray[np.bool_]:
        return find_hits(chip, blot(combined, grid, chip, origin=origin), parameters)

    with ThreadPoolExecutor(threads) as pool:
        masks = iter(list(pool.map(find, chips)))
    return [[next(masks) for _ in exposure] for exposure in exposures]


def combined_plane(
    exposures: Sequence[Sequence[PreparedChip]],
    grid: OutputGrid,
    parameters: CosmicRayParameters,
    *,
    threads: int = 1,
    origin: LookupOrigin = "hst",
) -> Plane:
    """Combine the single drizzles by ``minmed``.

    Returns
    -------
    ndarray, shape of the grid, float32
        Electrons per second and output pixel without sky; NaN where fewer than two exposures see.
    """
    height, width = grid.shape
    combined = np.full(grid.shape, np.nan, dtype=np.float32)

    def fill(first: int) -> None:
        last = min(first + _BAND_ROWS, height)
        low, high = max(first - 1, 0), min(last + 1, height)  # minmed looks one row around
        band = grid.cut(low, high, 0, width)
        singles = [_single(exposure, band, parameters, origin) for exposure in exposures]
        rows = _minmed(singles, exposures, parameters.combine_sigma)
        combined[first:last] = rows[first - low : last - low]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(0, height, _BAND_ROWS)))
    return combined


def _single(
    chips: Sequence[PreparedChip], band: OutputGrid, parameters: CosmicRayParameters, origin: LookupOrigin
) -> Plane:
    """Drizzle one exposure; NaN where its weight is below the limit."""
    inputs = [chip.drizzle_input(parameters.bits) for chip in chips]
    image = drizzle_square(inputs, band, origin=origin, context=False)
    full = min(chip.exposure_time * chip.scale_ratio(band) ** 2 for chip in chips)
    return np.where(image.wht >= parameters.least_weight * full, image.sci, np.float32(np.nan))


def _minmed(
    singles: Sequence[Plane],
    exposures: Sequence[Sequence[PreparedChip]],
    combine_sigma: tuple[float, float],
) -> Plane:
    """Two values: mean; more: median without the highest; the minimum where that is far too high.

    Too high is judged by the noise of one exposure (of half the difference, where there are two), not of
    the sum of all as in AstroDrizzle: else the minimum of plain noise is taken ever more often the more
    exposures there are, and noise peaks are called cosmic rays.
    """
    stack = np.sort(np.stack(singles), axis=0)  # NaN goes last
    valid = np.isfinite(stack).sum(axis=0)
    middle = _median_without_highest(stack, valid)
    lowest = stack[0]
    time = float(np.mean([chips[0].exposure_time for chips in exposures]))
    floor = float(np.mean([chips[0].sky + chips[0].read_noise ** 2 for chips in exposures]))
    sigma = np.sqrt(np.maximum(middle * time, 0.0) + floor) * np.where(valid == 2, np.sqrt(0.5), 1.0)
    excess = (middle - lowest) * time
    with np.errstate(invalid="ignore"):
        first = excess > combine_sigma[0] * sigma
        near = ndimage.binary_dilation(first, structure=np.ones((3, 3), dtype=bool))
        use_lowest = first | (near & (excess > combine_sigma[1] * sigma))
    return np.where(use_lowest, lowest, middle).astype(np.float32)


def _median_without_highest(stack: Plane, valid: NDArray[np.intp]) -> Plane:
    kept = np.where(valid > 2, valid - 1, valid)
    low = np.take_along_axis(stack, np.maximum((kept - 1) // 2, 0)[None], axis=0)[0]
    high = np.take_along_axis(stack, np.minimum(kept // 2, len(stack) - 1)[None], axis=0)[0]
    return np.where(valid >= 2, 0.5 * (low + high), np.nan).astype(np.float32)


def blot(plane: Plane, grid: OutputGrid, chip: PreparedChip, *, origin: LookupOrigin = "hst") -> Plane:
    """Look at a plane through a chip: its value at each pixel centre, by cubic spline.

    Parameters
    ----------
    plane : ndarray, shape of the grid, float32
        Electrons per second and output pixel; NaN where unknown.
    grid : OutputGrid
    chip : PreparedChip

    Returns
    -------
    ndarray, shape of the chip, float32
        Electrons per chip pixel of this exposure, without sky; NaN where the plane is unknown.
    """
    seen = np.full(chip.shape, np.nan, dtype=np.float32)
    per_pixel = np.float32(chip.exposure_time / chip.scale_ratio(grid) ** 2)
    starts = product(range(0, chip.shape[0], _BLOCK), range(0, chip.shape[1], _BLOCK))
    for top, left in starts:
        bottom, right = min(top + _BLOCK, chip.shape[0]), min(left + _BLOCK, chip.shape[1])
        y, x = np.mgrid[top:bottom, left:right].astype(np.float64)
        out_x, out_y = map_to_grid(chip.wcs, grid, x, y, origin)
        seen[top:bottom, left:right] = per_pixel * _interpolate(plane, out_x, out_y)
    return seen


def _interpolate(plane: Plane, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = _reach(y, plane.shape[0]), _reach(x, plane.shape[1])
    box = plane[rows, columns]
    known = np.isfinite(box)
    if not known.any():
        return np.full(x.shape, np.nan)
    at = np.stack([y - rows.start, x - columns.start])
    # sky is subtracted: unknown pixels are sky for the spline, and no result is taken next to them
    spline = ndimage.spline_filter(np.where(known, box, 0.0), order=3, output=np.float64)
    values = ndimage.map_coordinates(spline, at, order=3, prefilter=False)
    whole = ndimage.map_coordinates(known.astype(np.float32), at, order=1, cval=0.0)
    return np.where(whole > 0.999, values, np.nan)


def _reach(coordinate: NDArray[np.float64], size: int) -> slice:
    low = int(np.floor(np.nanmin(coordinate))) - _SPLINE_HALO
    high = int(np.ceil(np.nanmax(coordinate))) + _SPLINE_HALO + 1
    return slice(min(max(low, 0), size), max(min(high, size), 0))


def find_hits(chip: PreparedChip, blotted: Plane, parameters: CosmicRayParameters) -> NDArray[np.bool_]:
    """Compare a chip with the blotted plane; both passes, then growth.

    Returns
    -------
    ndarray, shape of the chip, bool
        True where hit; False where the plane is unknown.
    """
    height = chip.shape[0]
    hits = np.zeros(chip.shape, dtype=np.bool_)
    for first in range(0, height, _BLOCK):
        last = min(first + _BLOCK, height)
        low, high = max(first - _TEST_HALO, 0), min(last + _TEST_HALO, height)
        science = chip.pixels.science(low, high) - np.float32(chip.sky)
        found = _two_passes(science, blotted[low:high], chip, parameters)
        hits[first:last] = found[first - low : last - low]
    if parameters.grow > 0:
        hits = ndimage.binary_dilation(hits, structure=_square(parameters.grow))
    return hits


def _two_passes(
    science: Plane, blotted: Plane, chip: PreparedChip, parameters: CosmicRayParameters
) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        difference = np.abs(science - blotted)
        slope = derivative(blotted)
        noise = np.sqrt(np.abs(blotted + np.float32(chip.sky)) + np.float32(chip.read_noise**2))

        def fails(step: int) -> NDArray[np.bool_]:
            result: NDArray[np.bool_] = difference > (
                parameters.scale[step] * slope + parameters.snr[step] * noise
            )
            return result

        near = ndimage.binary_dilation(fails(0), structure=_square(1))
        return near & fails(1)


def derivative(image: Plane) -> Plane:
    """Return the largest absolute difference of each pixel to the neighbours it has (up to four).

    Unknown neighbours (NaN) do not count.
    """
    slope = np.zeros_like(image)
    for axis in (0, 1):
        step = np.abs(np.diff(image, axis=axis))
        before: list[slice] = [slice(None), slice(None)]
        after: list[slice] = [slice(None), slice(None)]
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        for side in (tuple(before), tuple(after)):
            slope[side] = np.fmax(slope[side], step)
    return slope


def _square(radius: int) -> NDArray[np.bool_]:
    return np.ones((2 * radius + 1, 2 * radius + 1), dtype=np.bool_)
