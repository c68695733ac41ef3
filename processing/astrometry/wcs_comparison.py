"""Two WCS solutions of the same chips compared: how far the same pixel lies apart on the sky."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.astrometry.footprint import chip_polygon
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import TangentPlane
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin, WcsSolution
from hapctl.processing.errors import UsageProblemError
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

PLACES = ("lower left", "lower right", "centre", "upper left", "upper right")
GRID = 9
"""Arrows along each side of a chip in the plot; also what rms and largest difference are taken over."""


@dataclass(frozen=True)
class PointDifference:
    """The difference at one pixel of a chip.

    Attributes
    ----------
    extver, chip : int
    place : str
        One of ``PLACES``.
    x, y : float
        0-based pixel.
    east_mas, north_mas : float
        Second minus first, along east (x cos Dec) and north.
    """

    extver: int
    chip: int
    place: str
    x: float
    y: float
    east_mas: float
    north_mas: float

    @property
    def distance_mas(self) -> float:
        """The distance on the sky."""
        return float(np.hypot(self.east_mas, self.north_mas))


@dataclass(frozen=True)
class ChipDifference:
    """The difference over a grid on one chip, all in mas; roll in degrees east of north, scale as a ratio."""

    extver: int
    chip: int
    east_mas: float
    north_mas: float
    rms_mas: float
    largest_mas: float
    roll_deg: float
    scale: float


@dataclass(frozen=True)
class SolutionDifference:
    """How two solutions differ: at corners and centre of every chip, and over each chip."""

    first: str
    second: str
    points: tuple[PointDifference, ...]
    chips: tuple[ChipDifference, ...]

    @property
    def largest_mas(self) -> float:
        """The largest difference found."""
        return max(chip.largest_mas for chip in self.chips)


def compare_solutions(
    first: WcsSolution, second: WcsSolution, origin: LookupOrigin = "hst"
) -> SolutionDifference:
    """Compare two solutions pixel by pixel.

    Parameters
    ----------
    first, second : WcsSolution
        Chips are paired by SCI version; the shapes are those of the first.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Raises
    ------
    UsageProblemError
        They have no chip in common, or its size is unknown.
    """
    points: list[PointDifference] = []
    chips: list[ChipDifference] = []
    for one, other in _pairs(first, second):
        x, y = _places(one)
        east, north = sky_difference_mas(one, other, x, y, origin)
        rows = zip(PLACES, x, y, east, north, strict=True)
        points += [
            PointDifference(one.extver, one.chip, p, *map(float, (a, b, e, n))) for p, a, b, e, n in rows
        ]
        chips.append(_over_chip(one, other, origin))
    return SolutionDifference(first.name, second.name, tuple(points), tuple(chips))


def _pairs(first: WcsSolution, second: WcsSolution) -> list[tuple[ChipWcs, ChipWcs]]:
    others: Mapping[int, ChipWcs] = {chip.extver: chip for chip in second.chips}
    pairs = [(chip, others[chip.extver]) for chip in first.chips if chip.extver in others]
    if not pairs or any(min(one.shape) < 1 for one, _ in pairs):
        raise UsageProblemError(
            f"{first.name} and {second.name} have no chip of known size in common",
            "compare solutions of the same exposure, or two files",
        )
    return pairs


def _places(chip: ChipWcs) -> tuple[Array, Array]:
    right, top = chip.shape[1] - 1.0, chip.shape[0] - 1.0
    x = np.array([0.0, right, 0.5 * right, 0.0, right])
    return x, np.array([0.0, 0.0, 0.5 * top, top, top])


def sky_difference_mas(
    first: ChipWcs, second: ChipWcs, x: Array, y: Array, origin: LookupOrigin = "hst"
) -> tuple[Array, Array]:
    """Return how far the second WCS puts pixels from where the first does, east and north, mas.

    Parameters
    ----------
    first, second : ChipWcs
    x, y : ndarray of float64, shape (n,)
        0-based pixels.
    origin : {"hst", "fits"}
    """
    ra, dec = pixel_to_sky(first, x, y, origin)
    other_ra, other_dec = pixel_to_sky(second, x, y, origin)
    plane = TangentPlane(*first.crval)
    # In one tangent plane; its stretch, (distance from the tangent point) squared, is 1e-6 over a chip.
    moved = plane.project_sky(other_ra, other_dec) - plane.project_sky(ra, dec)
    return 1e3 * moved[:, 0], 1e3 * moved[:, 1]


def _grid(chip: ChipWcs) -> tuple[Array, Array]:
    x = np.linspace(0.0, chip.shape[1] - 1.0, GRID)
    y = np.linspace(0.0, chip.shape[0] - 1.0, GRID)
    return np.tile(x, GRID), np.repeat(y, GRID)


def _over_chip(first: ChipWcs, second: ChipWcs, origin: LookupOrigin) -> ChipDifference:
    x, y = _grid(first)
    east, north = sky_difference_mas(first, second, x, y, origin)
    square = east**2 + north**2
    plane = TangentPlane(*first.crval)
    before = plane.project_sky(*pixel_to_sky(first, x, y, origin))
    after = before + 1e-3 * np.column_stack([east, north])
    design = np.column_stack([before - before.mean(axis=0), np.ones(len(before))])
    (a, b), (c, d) = np.linalg.lstsq(design, after, rcond=None)[0][:2]
    # Rows of the fit are d(xi, eta)/d xi and d(xi, eta)/d eta; roll counts from north through east.
    roll = -np.degrees(np.arctan2(b - c, a + d))
    return ChipDifference(
        first.extver,
        first.chip,
        east_mas=float(east.mean()),
        north_mas=float(north.mean()),
        rms_mas=float(np.sqrt(square.mean())),
        largest_mas=float(np.sqrt(square.max())),
        roll_deg=float(roll),
        scale=float(np.hypot(b - c, a + d) / 2.0),
    )


def difference_figure(
    first: WcsSolution, second: WcsSolution, origin: LookupOrigin = "hst", title: str = ""
) -> "Figure":
    """Draw the difference as arrows over the chips.

    Parameters
    ----------
    first, second : WcsSolution
    origin : {"hst", "fits"}
    title : str
    """
    from hapctl.processing.astrometry.alignment_plots import wcs_difference

    pairs = _pairs(first, second)
    plane = TangentPlane(*pairs[0][0].crval)
    points, vectors, outlines = [], [], []
    for one, other in pairs:
        x, y = _grid(one)
        points.append(plane.project_sky(*pixel_to_sky(one, x, y, origin)))
        vectors.append(np.column_stack(sky_difference_mas(one, other, x, y, origin)))
        ring = chip_polygon(one, origin)
        outlines.append(plane.project_sky(ring[:, 0], ring[:, 1]))
    words = title or f"{second.name} minus {first.name}"
    return wcs_difference(np.concatenate(points), np.concatenate(vectors), outlines=outlines, title=words)
