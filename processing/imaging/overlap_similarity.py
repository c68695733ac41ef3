"""How well exposures agree where they overlap: the same sources at the same places, or smeared ones.

A window of the overlap is drizzled for each exposure alone. The Laplacian of a Gaussian picks sources; where
masks of two exposures differ, or their filtered images do not correlate, they do not lie on each other.
Cosmic rays lower both figures before and after an alignment alike: it is their change that tells.
Memory is bounded by the window, never by the exposures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.drizzle import drizzle_image
from hapctl.processing.imaging.drizzle_data import DrizzleInput
from hapctl.processing.imaging.grid import OutputGrid, map_to_grid, native_scale, north_up_grid
from numpy.typing import NDArray

Exposures = Sequence[Sequence[DrizzleInput]]
Image = NDArray[np.float64]
WINDOW = 800
"""Pixels along a side of the window."""
_CELL = 32
"""Pixels of a window's cell, in the search of the overlap."""
_LEAST_PIXELS = 2000
"""Common pixels below which two exposures are not compared."""
_BRIGHTEST = 50.0
"""Filtered values beyond so many noises count as that: one bright star is not the field."""


@dataclass(frozen=True)
class OverlapFigures:
    """Agreement of exposures in a window of their overlap.

    Attributes
    ----------
    pairs : int
        Pairs of exposures that were compared.
    difference : float
        Part of the source pixels of two exposures that only one of them has, 0 to 1, mean over the pairs
        weighted with the common pixels.
    worst_difference : float
        Of the worst pair.
    focus : float
        Correlation of the filtered images, 1 for the same image twice, mean over the pairs as above.
    pixels : int
        Common pixels of all pairs.
    """

    pairs: int
    difference: float
    worst_difference: float
    focus: float
    pixels: int


def overlap_grid(
    exposures: Sequence[Sequence[ChipWcs]], *, side: int = WINDOW, origin: LookupOrigin = "hst"
) -> OutputGrid | None:
    """The window, at the detector's scale and north up, in which most exposures overlap.

    Parameters
    ----------
    exposures : sequence of sequences of ChipWcs
        The chips of each exposure.
    side : int
        Pixels along a side, at most.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    OutputGrid or None
        None where no two exposures overlap.

    Raises
    ------
    UsageProblemError
        No exposure.
    """
    if not exposures:
        raise UsageProblemError("no exposures to compare", "name at least two")
    chips = [chip for exposure in exposures for chip in exposure]
    scale = native_scale(chips[0])
    coarse = north_up_grid(chips, scale * _CELL, origin)
    count = np.zeros(coarse.shape)
    for exposure in exposures:
        count += _covered(exposure, coarse, origin)
    if not np.any(count > 1):
        return None
    return _window(count, coarse, side)


def _covered(chips: Sequence[ChipWcs], coarse: OutputGrid, origin: LookupOrigin) -> NDArray[np.bool_]:
    """Cells that an exposure touches."""
    covered = np.zeros(coarse.shape, dtype=np.bool_)
    for chip in chips:
        ny, nx = chip.shape
        y, x = np.meshgrid(np.arange(0, ny, _CELL / 2), np.arange(0, nx, _CELL / 2), indexing="ij")
        u, v = (np.rint(part).astype(int) for part in map_to_grid(chip, coarse, x, y, origin))
        inside = (u >= 0) & (u < coarse.shape[1]) & (v >= 0) & (v < coarse.shape[0])
        covered[v[inside], u[inside]] = True
    return covered


def _window(count: Image, coarse: OutputGrid, side: int) -> OutputGrid:
    """The fine grid round the place with most pairs of exposures."""
    from scipy.ndimage import uniform_filter

    pairs = 0.5 * count * (count - 1)
    near = uniform_filter(pairs, max(side // _CELL, 1), mode="constant")
    v, u = np.unravel_index(int(np.argmax(near)), near.shape)
    fine = 1.0 / _CELL
    cd11, cd12, cd21, cd22 = coarse.cd
    middle = (side + 1) / 2.0
    crpix = (
        middle + (coarse.crpix[0] - 1.0 - float(u)) * _CELL,
        middle + (coarse.crpix[1] - 1.0 - float(v)) * _CELL,
    )
    cd = (cd11 * fine, cd12 * fine, cd21 * fine, cd22 * fine)
    return OutputGrid(coarse.crval, crpix, cd, (side, side))


def overlap_figures(
    exposures: Exposures,
    grid: OutputGrid,
    *,
    sigma: float = 1.5,
    threshold: float = 4.0,
    origin: LookupOrigin = "hst",
) -> OverlapFigures | None:
    """Compare exposures in a window.

    Parameters
    ----------
    exposures : sequence of sequences of DrizzleInput
        The chips of each exposure; pixels of weight 0 (bad ones, cosmic rays that are known) do not count.
    grid : OutputGrid
        As from `overlap_grid`; the same before and after an alignment.
    sigma : float
        Of the Gaussian, pixels (HAP: 1.5 for CCDs, 2 for IR).
    threshold : float
        Of a source, in noises of the filtered image.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    OverlapFigures or None
        None where no two exposures have enough pixels in common in the window.
    """
    filtered = [_filtered(exposure, grid, sigma, origin) for exposure in exposures]
    differences, correlations, sizes = [], [], []
    for (one, one_good), (two, two_good) in combinations(filtered, 2):
        common = one_good & two_good
        size = int(np.count_nonzero(common))
        if size < _LEAST_PIXELS:
            continue
        differences.append(_difference(one[common] > threshold, two[common] > threshold))
        correlations.append(_correlation(one[common], two[common]))
        sizes.append(size)
    if not sizes:
        return None
    return OverlapFigures(
        pairs=len(sizes),
        difference=float(np.average(differences, weights=sizes)),
        worst_difference=float(np.max(differences)),
        focus=float(np.average(correlations, weights=sizes)),
        pixels=sum(sizes),
    )


def moved(exposures: Exposures, chips: Sequence[Sequence[ChipWcs]]) -> list[list[DrizzleInput]]:
    """The same pixels under other solutions, chip by chip."""
    return [
        [replace(source, chip=chip) for source, chip in zip(exposure, own, strict=True)]
        for exposure, own in zip(exposures, chips, strict=True)
    ]


def clearly_worse(before: OverlapFigures, after: OverlapFigures, least_ratio: float) -> str | None:
    """Why an alignment made the overlap clearly worse, or None.

    Parameters
    ----------
    before, after : OverlapFigures
        In the same window.
    least_ratio : float
        Focus after over focus before below this, with more source pixels seen once, is worse.

    Returns
    -------
    str or None
        Words with figures.
    """
    if after.focus >= least_ratio * before.focus or after.difference <= before.difference:
        return None
    return (
        f"exposures lie worse on each other: correlation {before.focus:.3f} before, {after.focus:.3f} after; "
        f"source pixels seen once {before.difference:.2f} before, {after.difference:.2f} after"
    )


def _filtered(
    chips: Sequence[DrizzleInput], grid: OutputGrid, sigma: float, origin: LookupOrigin
) -> tuple[Image, NDArray[np.bool_]]:
    """Minus the Laplacian of the smoothed image, in noises; and which pixels of it are good."""
    from scipy.ndimage import binary_erosion, gaussian_laplace

    image = drizzle_image(chips, grid, kernel="turbo", pixfrac=1.0, origin=origin, context=False)
    seen = (image.wht > 0) & np.isfinite(image.sci)
    if not seen.any():
        return np.zeros(grid.shape), seen
    plain = np.where(seen, image.sci, np.float32(np.median(image.sci[seen])))
    curvature = -gaussian_laplace(plain, sigma, output=np.float64)
    holes = int(np.ceil(2 * sigma))
    good = binary_erosion(seen, iterations=holes)
    values = curvature[good] if good.any() else curvature
    noise = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return curvature / max(noise, 1e-30), good


def _difference(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> float:
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(two))
    return float(np.count_nonzero(one != two)) / total if total else 0.0


def _correlation(one: Image, two: Image) -> float:
    """Of what stands out of the noise, bright stars cut."""
    a, b = (np.clip(image - 2.0, 0.0, _BRIGHTEST) for image in (one, two))
    scale = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    return float(np.sum(a * b)) / scale if scale > 0 else 0.0
