"""Regions of the sky that are asked of a reference catalog, and HEALPix coverage of what was answered.

A region is the convex hull of some corners widened by a margin, so a circle is one corner with its
radius as margin. Coverage is counted in nested HEALPix cells, as ranges of order 29; what is claimed as
covered is always inside what was asked (inner cells only).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from astropy import units as u
from astropy_healpix.core import boundaries_lonlat, healpix_to_lonlat, lonlat_to_healpix
from hapctl.archive.errors import CatalogUsageError
from mocpy import MOC
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ranges = list[tuple[int, int]]

RANGE_ORDER = 29
FINEST_ORDER = 22
CELLS_ACROSS_RADIUS = 50
CELLS_ACROSS_SEARCH = 5
LARGEST_RADIUS_DEG = 10.0
REGION_REMEDY = 'write it as "circle RA DEC RADIUS", all in degrees'
TOLERANCE_DEG = 1e-9
JOINED_AREA = 4.0


@dataclass(frozen=True)
class Circle:
    """A circle on the sky: centre and radius in degrees, ICRS."""

    ra: float
    dec: float
    radius: float

    def __str__(self) -> str:
        return f"circle {self.ra!r} {self.dec!r} {self.radius!r}"

    def widened(self, arcsec: float) -> "Circle":
        """The circle with a larger radius, rounded to 1e-7 degrees."""
        return Circle(self.ra, self.dec, round(self.radius + arcsec / 3600.0, 7))

    @property
    def adql(self) -> str:
        """The circle as an ADQL geometry."""
        return f"CIRCLE('ICRS', {self.ra!r}, {self.dec!r}, {self.radius!r})"

    def contains(self, ra: Floats, dec: Floats) -> NDArray[np.bool_]:
        """Whether positions (degrees, shape (n,)) lie inside or on the circle."""
        return separation_deg(ra, dec, self.ra, self.dec) <= self.radius + TOLERANCE_DEG

    def inner_ranges(self) -> Ranges:
        """Order-29 ranges of the HEALPix cells that lie completely inside."""
        order = _order_for(self.radius)
        cells = _cells_near(self, order)
        lon, lat = boundaries_lonlat(cells, 2, 2**order, order="nested")
        inside = self.contains(lon.to_value(u.deg), lat.to_value(u.deg)).all(axis=1)
        return ranges_of_cells(cells[inside], order)


@dataclass(frozen=True)
class Region:
    """The convex hull of corners, widened.

    Attributes
    ----------
    corners : tuple of (float, float)
        Right ascension and declination, degrees, ICRS; within a few degrees of each other.
    margin : float
        Degrees added on all sides.
    """

    corners: tuple[tuple[float, float], ...]
    margin: float

    def __str__(self) -> str:
        return str(self.circle)

    @cached_property
    def circle(self) -> Circle:
        """A circle around the region, its radius rounded up to 0.1 arcsec unless it is given."""
        points = np.array(self.corners)
        if len(points) == 1:
            return Circle(float(points[0, 0]), float(points[0, 1]), self.margin)
        ra, dec = _centre(points)
        reach = self.reach_from(ra, dec)
        return Circle(ra, dec, math.ceil(reach * 36000.0 + 1e-6) / 36000.0)

    def reach_from(self, ra: float, dec: float) -> float:
        """Distance in degrees from a point to the farthest part of the region."""
        points = np.array(self.corners)
        return float(separation_deg(points[:, 0], points[:, 1], ra, dec).max()) + self.margin

    def lies_in(self, circle: Circle) -> bool:
        """Whether the whole region lies in a circle."""
        return self.reach_from(circle.ra, circle.dec) <= circle.radius + TOLERANCE_DEG

    def contains(self, ra: Floats, dec: Floats) -> NDArray[np.bool_]:
        """Whether positions (degrees, shape (n,)) lie in the region."""
        near = self.circle
        points = np.array(self.corners)
        if len(points) == 1:
            return near.contains(ra, dec)
        x, y = _project(ra, dec, near.ra, near.dec)
        hull = _hull(np.stack(_project(points[:, 0], points[:, 1], near.ra, near.dec), axis=1))
        return near.contains(ra, dec) & (_distance_to_hull(x, y, hull) <= self.margin)

    @cached_property
    def cells(self) -> tuple[NDArray[np.int64], int]:
        """HEALPix cells (nested) whose centres lie in the region, and their order."""
        order = _order_for(self.circle.radius)
        cells = _cells_near(self.circle, order)
        lon, lat = healpix_to_lonlat(cells, 2**order, order="nested")
        return cells[self.contains(lon.to_value(u.deg), lat.to_value(u.deg))], order

    @property
    def area(self) -> float:
        """Area of the region in square degrees."""
        cells, order = self.cells
        return len(cells) * 41252.96 / (12 * 4**order)

    def touched_ranges(self) -> Ranges:
        """A few order-29 ranges that hold every position of the region, and some around it."""
        order = _order_for(self.circle.radius, CELLS_ACROSS_SEARCH)
        return ranges_of_cells(_cells_near(self.circle, order), order)

    def covered_fraction(self, ranges: Ranges) -> float:
        """Part of the region's area inside order-29 ranges (sorted and disjoint)."""
        cells, order = self.cells
        if not len(cells) or not ranges:
            return 0.0
        starts, stops = np.array(ranges, dtype=np.int64).T
        first = cells << 2 * (RANGE_ORDER - order)
        last = first + (1 << 2 * (RANGE_ORDER - order))
        at = np.searchsorted(starts, first, side="right") - 1
        return float(np.mean((at >= 0) & (last <= stops[np.maximum(at, 0)])))


def parse_region(text: str) -> Region:
    """Read ``circle RA DEC RADIUS`` (degrees, ICRS).

    Raises
    ------
    CatalogUsageError
        If it is something else, or out of range.
    """
    words = text.replace(",", " ").split()
    try:
        kind, ra, dec, radius = words[0].lower(), *(float(word) for word in words[1:])
    except (ValueError, IndexError):
        raise CatalogUsageError(f"region '{text}' is not understood", REGION_REMEDY) from None
    if kind != "circle" or not all(map(math.isfinite, (ra, dec, radius))):
        raise CatalogUsageError(f"region '{text}' is not understood", REGION_REMEDY)
    if not (0 <= ra <= 360 and -90 <= dec <= 90 and 0 < radius <= LARGEST_RADIUS_DEG):
        limits = f"RA 0 to 360, DEC -90 to 90, RADIUS up to {LARGEST_RADIUS_DEG:g} degrees"
        raise CatalogUsageError(f"region '{text}' is out of range", limits)
    return Region(((ra % 360.0, dec),), radius)


def regions_around(groups: Iterable[Floats], margin_arcsec: float) -> tuple[Region, ...]:
    """Make as few regions as sensible around groups of corners (one group per exposure).

    Groups are joined while the circle around both has at most `JOINED_AREA` times the area of the two, so
    that pointings far apart get regions of their own.

    Parameters
    ----------
    groups : iterable of ndarray, shape (n, 2)
        Right ascension and declination in degrees.
    margin_arcsec : float
        Added on all sides.
    """
    margin = margin_arcsec / 3600.0
    regions: list[Region] = []
    for corners in groups:
        region = _region(np.asarray(corners, dtype=np.float64), margin)
        joined = True
        while joined:
            joined = False
            for other in regions:
                both = _region(np.array(other.corners + region.corners), margin)
                area = other.circle.radius**2 + region.circle.radius**2
                if both.circle.radius**2 <= JOINED_AREA * area:
                    regions.remove(other)
                    region, joined = both, True
                    break
        regions.append(region)
    return tuple(regions)


def separation_deg(ra: Floats, dec: Floats, ra0: float, dec0: float) -> Floats:
    """Angle between positions and a point, all in degrees (Vincenty's formula, good at all distances)."""
    across = np.radians(np.asarray(ra) - ra0)
    dec, dec0 = np.radians(dec), math.radians(dec0)
    x = np.cos(dec) * np.sin(across)
    y = math.cos(dec0) * np.sin(dec) - math.sin(dec0) * np.cos(dec) * np.cos(across)
    z = math.sin(dec0) * np.sin(dec) + math.cos(dec0) * np.cos(dec) * np.cos(across)
    angle: Floats = np.degrees(np.arctan2(np.hypot(x, y), z))
    return angle


def healpix_indices(ra: Floats, dec: Floats) -> NDArray[np.int64]:
    """Nested HEALPix index of order 29 of positions in degrees."""
    cells = lonlat_to_healpix(np.asarray(ra) * u.deg, np.asarray(dec) * u.deg, 2**RANGE_ORDER, order="nested")
    return np.asarray(cells, dtype=np.int64)


def ranges_of_cells(cells: NDArray[np.int64], order: int) -> Ranges:
    """Order-29 ranges [start, stop) of nested cells, neighbours joined."""
    if not len(cells):
        return []
    cells = np.sort(cells)
    breaks = np.flatnonzero(np.diff(cells) != 1)
    first = np.concatenate([[0], breaks + 1])
    last = np.concatenate([breaks, [len(cells) - 1]])
    shift = 2 * (RANGE_ORDER - order)
    starts, stops = cells[first] << shift, (cells[last] + 1) << shift
    return [(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]


def ranges_of_coverage(coverage: Iterable[Any]) -> Ranges:
    """Ranges [start, stop) of a multirange as the database driver gives it."""
    return [(int(part.lower), int(part.upper)) for part in coverage]


def union_of_ranges(parts: Sequence[Ranges]) -> Ranges:
    """Sort and join ranges that touch or overlap."""
    union: Ranges = []
    for start, stop in sorted(pair for part in parts for pair in part):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(stop, union[-1][1]))
        else:
            union.append((start, stop))
    return union


def _region(corners: Floats, margin: float) -> Region:
    """A region around corners, keeping only those of the hull."""
    ra, dec = _centre(corners)
    x, y = _project(corners[:, 0], corners[:, 1], ra, dec)
    kept = _hull_indices(np.stack([x, y], axis=1))
    return Region(tuple((float(corners[i, 0]), float(corners[i, 1])) for i in kept), margin)


def _order_for(radius: float, across: int = CELLS_ACROSS_RADIUS) -> int:
    """Order at which a radius spans about so many cells (a cell of order 0 is 58.6 degrees wide)."""
    return min(FINEST_ORDER, max(4, math.ceil(math.log2(58.6 * across / max(radius, 1e-9)))))


def _cells_near(circle: Circle, order: int) -> NDArray[np.int64]:
    """All cells that touch a circle."""
    ra, dec, radius = (value * u.deg for value in (circle.ra, circle.dec, circle.radius))
    cone = MOC.from_cone(lon=ra, lat=dec, radius=radius, max_depth=order, delta_depth=2)
    return np.sort(cone.flatten()).astype(np.int64)


def _centre(points: Floats) -> tuple[float, float]:
    """Centre of a nearly smallest circle around points (Badoiu & Clarkson 2003: step to the farthest)."""
    ra, dec = np.radians(points[:, 0]), np.radians(points[:, 1])
    vectors = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    centre = vectors.mean(axis=0)
    for step in range(1, 101):
        farthest = vectors[np.argmin(vectors @ centre / np.linalg.norm(centre))]
        centre = centre + (farthest - centre) / (step + 1)
    centre /= np.linalg.norm(centre)
    ra0, dec0 = math.degrees(math.atan2(centre[1], centre[0])) % 360.0, math.degrees(math.asin(centre[2]))
    return round(ra0, 7) % 360.0, round(dec0, 7)


def _project(ra: Floats, dec: Floats, ra0: float, dec0: float) -> tuple[Floats, Floats]:
    """Zenithal equidistant projection about a point: degrees east and north; all of the sky has a place."""
    across = np.radians(np.asarray(ra) - ra0)
    dec, dec0 = np.radians(dec), math.radians(dec0)
    x = np.cos(dec) * np.sin(across)
    y = math.cos(dec0) * np.sin(dec) - math.sin(dec0) * np.cos(dec) * np.cos(across)
    z = math.sin(dec0) * np.sin(dec) + math.cos(dec0) * np.cos(dec) * np.cos(across)
    sine = np.hypot(x, y)
    scale = np.degrees(np.arctan2(sine, z)) / np.maximum(sine, 1e-300)
    return x * scale, y * scale


def _hull_indices(points: Floats) -> list[int]:
    """Indices of the corners of the convex hull, counter-clockwise (Andrew's monotone chain)."""
    order = np.lexsort((points[:, 1], points[:, 0])).tolist()
    halves = []
    for sequence in (order, order[::-1]):
        half: list[int] = []
        for index in sequence:
            while len(half) > 1 and _turn(points[half[-2]], points[half[-1]], points[index]) <= 0:
                half.pop()
            half.append(index)
        halves.append(half[:-1])
    return halves[0] + halves[1] or order[:1]


def _hull(points: Floats) -> Floats:
    return points[_hull_indices(points)]


def _turn(a: Floats, b: Floats, c: Floats) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _distance_to_hull(x: Floats, y: Floats, hull: Floats) -> Floats:
    """Distance of points to a convex polygon (counter-clockwise), zero inside."""
    inside = np.ones(x.shape, dtype=bool)
    nearest = np.full(x.shape, np.inf)
    for (ax, ay), (bx, by) in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        dx, dy = bx - ax, by - ay
        inside &= dx * (y - ay) - dy * (x - ax) >= 0
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / max(dx * dx + dy * dy, 1e-300), 0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(x - ax - along * dx, y - ay - along * dy))
    return np.where(inside & (len(hull) > 2), 0.0, nearest)
