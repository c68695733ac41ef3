"""The sky tiles of the Hubble Advanced Products: names, grids, and which of them hold a position.

The tessellation is that of drizzlepac's ``allsky_cells.fits``: 46 declination bands of projection
cells (TAN planes about their centres), each cut into 21 x 21 sky cells of 21954 pixels of 0.04 arcsec
that overlap by 512. A position belongs to every sky cell of every projection cell whose pixel grid
holds it, by geometry alone: no declination limits, RA 0 and the poles are nothing special.
"""

import functools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.archive.errors import CatalogUsageError, NotInCatalogError
from numpy.typing import ArrayLike, NDArray

PIXEL_DEGREES = 0.04 / 3600.0
CELLS_PER_SIDE = 21
PITCH = 21442
SIZE = 21954
CENTRE = 225144.0
"""CRPIX of a projection cell: (450287 pixels) / 2 + 0.5."""

POLE = 89.999999999997
BANDS: tuple[tuple[float, int], ...] = (
    # Declination of the band's centres, number of projection cells; ids count on from 0.
    *((-POLE, 1), (-86.0, 9), (-82.0, 15), (-78.0, 21), (-74.0, 27), (-70.0, 33), (-66.0, 39)),
    *((-62.0, 45), (-58.0, 50), (-54.0, 55), (-50.0, 60), (-46.0, 64), (-42.0, 68), (-38.0, 72)),
    *((-34.0, 76), (-30.0, 79), (-26.0, 82), (-22.0, 84), (-18.0, 86), (-14.0, 88), (-10.0, 89)),
    *((-6.0, 89), (-2.0, 90), (2.0, 90), (6.0, 89), (10.0, 89), (14.0, 88), (18.0, 86), (22.0, 84)),
    *((26.0, 82), (30.0, 79), (34.0, 76), (38.0, 72), (42.0, 68), (46.0, 64), (50.0, 60), (54.0, 55)),
    *((58.0, 50), (62.0, 45), (66.0, 39), (70.0, 33), (74.0, 27), (78.0, 21), (82.0, 15), (86.0, 9)),
    (POLE, 1),
)

_REACH_ANGLE = math.radians(3.6)  # the corner of a projection cell's last sky cell is 3.55 degrees out
_NAME = re.compile(r"(?:skycell-)?p(\d{4})x(\d{2})y(\d{2})")


@dataclass(frozen=True)
class ProjectionCell:
    """A tangent plane of the tessellation: its number and its centre in degrees."""

    number: int
    ra: float
    dec: float


@dataclass(frozen=True)
class SkyCell:
    """A sky tile with its full grid.

    Attributes
    ----------
    name : str
        ``skycell-pPPPPxXXyYY``.
    projection_cell : ProjectionCell
        The plane it lies in.
    x, y : int
        1 to 21; (1, 1) has the lowest declination and the largest RA.
    """

    projection_cell: ProjectionCell
    x: int
    y: int

    @property
    def name(self) -> str:
        """The tile's name."""
        return f"skycell-p{self.projection_cell.number:04d}x{self.x:02d}y{self.y:02d}"

    @property
    def cell_id(self) -> int:
        """A number of its own: 441 x projection cell + 21 (y - 1) + x - 1."""
        in_cell = CELLS_PER_SIDE * (self.y - 1) + self.x - 1
        return CELLS_PER_SIDE**2 * self.projection_cell.number + in_cell

    @property
    def crval(self) -> tuple[float, float]:
        """Tangent point, degrees."""
        return self.projection_cell.ra, self.projection_cell.dec

    @property
    def crpix(self) -> tuple[float, float]:
        """Pixel of the tangent point, 1-based."""
        return CENTRE - (self.x - 1) * PITCH, CENTRE - (self.y - 1) * PITCH

    @property
    def cd(self) -> tuple[float, float, float, float]:
        """CD matrix, degrees per pixel; north is up, east to the left."""
        return -PIXEL_DEGREES, 0.0, 0.0, PIXEL_DEGREES

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return SIZE, SIZE

    @property
    def centre(self) -> tuple[float, float]:
        """Position of the tile's centre, degrees."""
        return _deproject(self.projection_cell, *(0.5 * (SIZE + 1) - c for c in self.crpix))

    @property
    def corners(self) -> list[tuple[float, float]]:
        """Positions of the outer corners, degrees, counter-clockwise seen from inside the sphere."""
        low, high = 0.5, SIZE + 0.5
        pixels = [(low, low), (low, high), (high, high), (high, low)][::-1]
        return [_deproject(self.projection_cell, x - self.crpix[0], y - self.crpix[1]) for x, y in pixels]


@functools.cache
def projection_cells() -> tuple[ProjectionCell, ...]:
    """Return the 2644 projection cells in order of their numbers."""
    centres = [(k * 360.0 / count, dec) for dec, count in BANDS for k in range(count)]
    return tuple(ProjectionCell(number, ra, dec) for number, (ra, dec) in enumerate(centres))


@functools.cache
def _axes() -> NDArray[np.float64]:
    """Return east, north and radial unit vectors of every projection cell, shape (3, 2644, 3)."""
    ra, dec = np.radians([(cell.ra, cell.dec) for cell in projection_cells()]).T
    zero = np.zeros_like(ra)
    east = np.column_stack([-np.sin(ra), np.cos(ra), zero])
    north = np.column_stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    radial = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    return np.stack([east, north, radial])


def _unit_vectors(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
    ra, dec = np.radians(np.asarray(ra, dtype=float)), np.radians(np.asarray(dec, dtype=float))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _project(number: int, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return pixels (1-based, of the projection cell) of unit vectors, shape (n, 2); TAN."""
    east, north, radial = _axes()[:, number]
    depth = vectors @ radial
    per_radian = 180.0 / math.pi / PIXEL_DEGREES
    return np.stack(
        [CENTRE - vectors @ east / depth * per_radian, CENTRE + vectors @ north / depth * per_radian], -1
    )


def _deproject(cell: ProjectionCell, x: float, y: float) -> tuple[float, float]:
    """Return the position (degrees) of pixel offsets from the tangent point of a projection cell."""
    east, north, radial = _axes()[:, cell.number]
    vector = radial - math.radians(x * PIXEL_DEGREES) * east + math.radians(y * PIXEL_DEGREES) * north
    ra, dec = math.atan2(vector[1], vector[0]), math.atan2(vector[2], math.hypot(vector[0], vector[1]))
    return math.degrees(ra) % 360.0, math.degrees(dec)


def _columns(low: float, high: float) -> range:
    """Return which of the 21 columns (or rows) hold some of the pixels from ``low`` to ``high``."""
    first = math.floor((low - SIZE - 0.5) / PITCH) + 1  # the smallest c with low < SIZE + 0.5 + c PITCH
    last = math.floor((high - 0.5) / PITCH)
    return range(max(first, 0) + 1, min(last, CELLS_PER_SIDE - 1) + 2)


def cells_containing(ra: float, dec: float) -> list[SkyCell]:
    """Return every sky cell whose pixel grid holds a position.

    Parameters
    ----------
    ra, dec : float
        Degrees, ICRS; any RA is taken modulo 360.

    Returns
    -------
    list of SkyCell
        In order of name, at least one: 0.5 <= pixel < 21954.5 in both axes.

    Raises
    ------
    CatalogUsageError
        Where the position is not finite or the declination beyond the poles.
    """
    if not (math.isfinite(ra) and math.isfinite(dec) and -90.0 <= dec <= 90.0):
        raise CatalogUsageError(
            f"no position: RA {ra}, Dec {dec}", "give degrees, declination from -90 to 90"
        )
    vector = _unit_vectors(ra, dec)
    found: list[SkyCell] = []
    for number in np.flatnonzero(_axes()[2] @ vector >= math.cos(_REACH_ANGLE)).tolist():
        x, y = _project(number, vector).tolist()
        cell = projection_cells()[number]
        found += [SkyCell(cell, cx, cy) for cy in _columns(y, y) for cx in _columns(x, x)]
    return sorted(found, key=lambda cell: cell.cell_id)


def nearest_cell(ra: float, dec: float) -> SkyCell:
    """Return, of the sky cells that hold a position (degrees), the one whose centre is nearest to it.

    Raises
    ------
    CatalogUsageError
        It is no position.
    """
    place = _unit_vectors(ra, dec)
    return max(
        cells_containing(ra, dec),
        key=lambda cell: (float(_unit_vectors(*cell.centre) @ place), -cell.cell_id),
    )


def sky_cell(name: str) -> SkyCell:
    """Return the sky cell of that name (``skycell-`` may be left out).

    Raises
    ------
    NotInCatalogError
        No such tile in the tessellation.
    """
    match = _NAME.fullmatch(name.strip().lower())
    if match is not None:
        number, x, y = (int(part) for part in match.groups())
        if number < len(projection_cells()) and 1 <= x <= CELLS_PER_SIDE and 1 <= y <= CELLS_PER_SIDE:
            return SkyCell(projection_cells()[number], x, y)
    raise NotInCatalogError(
        f"no sky tile {name!r}", "names are like skycell-p0046x03y19; see 'hapctl tile find RA DEC'"
    )


def sky_cell_of_id(cell_id: int) -> SkyCell:
    """Return the sky cell of a ``sky_cell_id``."""
    number, rest = divmod(cell_id, CELLS_PER_SIDE**2)
    y, x = divmod(rest, CELLS_PER_SIDE)
    return SkyCell(projection_cells()[number], x + 1, y + 1)


def cells_overlapping(polygons: Sequence[ArrayLike]) -> list[tuple[SkyCell, float]]:
    """Return the sky cells that polygons touch, with the part of their area in each.

    Parameters
    ----------
    polygons : sequence of array_like, shape (n, 2)
        Vertices RA, Dec in degrees, joined by great circles; small against a projection cell; either
        orientation, closed or not.

    Returns
    -------
    list of (SkyCell, float)
        In order of name; only cells with some area in common. The fraction is exact (a great circle is a
        straight line in a tangent plane) and refers to the whole area of all polygons; cells overlap, so
        that the fractions may add up to more than 1.
    """
    vectors = [_unit_vectors(*np.asarray(polygon, dtype=float).T) for polygon in polygons]
    if not vectors:
        return []
    found: list[tuple[SkyCell, float]] = []
    for number in _planes_near(np.concatenate(vectors)):
        found += _overlaps_in(number, [_project(number, corners).tolist() for corners in vectors])
    return sorted(found, key=lambda pair: pair[0].cell_id)


def _planes_near(vectors: NDArray[np.float64]) -> list[int]:
    """Return the projection cells whose grids some of the positions may reach."""
    centre = vectors.mean(axis=0)
    centre /= np.linalg.norm(centre)
    radius = math.acos(max(-1.0, min(1.0, float((vectors @ centre).min()))))
    near: list[int] = np.flatnonzero(_axes()[2] @ centre >= math.cos(_REACH_ANGLE + radius)).tolist()
    return near


_Points = list[tuple[float, float]]


def _overlaps_in(number: int, polygons: Iterable[_Points]) -> list[tuple[SkyCell, float]]:
    """Return overlaps with the sky cells of one projection cell; polygons in its pixels."""
    areas: dict[tuple[int, int], float] = {}
    total = 0.0
    for polygon in polygons:
        total += abs(_area(polygon))
        xs, ys = [p[0] for p in polygon], [p[1] for p in polygon]
        for cy in _columns(min(ys), max(ys)):
            row = _clip(
                _clip(polygon, 1, 1.0, 0.5 + (cy - 1) * PITCH), 1, -1.0, SIZE + 0.5 + (cy - 1) * PITCH
            )
            for cx in _columns(min(xs), max(xs)):
                part = _clip(
                    _clip(row, 0, 1.0, 0.5 + (cx - 1) * PITCH), 0, -1.0, SIZE + 0.5 + (cx - 1) * PITCH
                )
                areas[cx, cy] = areas.get((cx, cy), 0.0) + abs(_area(part))
    cell = projection_cells()[number]
    return [
        (SkyCell(cell, x, y), min(area / total, 1.0)) for (x, y), area in areas.items() if area > 1e-9 * total
    ]


def _clip(polygon: _Points, axis: int, sign: float, limit: float) -> _Points:
    """Clip a polygon to ``sign * (coordinate - limit) >= 0`` (Sutherland & Hodgman 1974)."""
    depths = [sign * (point[axis] - limit) for point in polygon]
    if not depths or min(depths) >= 0.0:
        return polygon
    kept: _Points = []
    for index, (point, depth) in enumerate(zip(polygon, depths, strict=True)):
        before, depth_before = polygon[index - 1], depths[index - 1]
        if (depth >= 0.0) != (depth_before >= 0.0):
            t = depth_before / (depth_before - depth)
            kept.append((before[0] + t * (point[0] - before[0]), before[1] + t * (point[1] - before[1])))
        if depth >= 0.0:
            kept.append(point)
    return kept


def _area(polygon: _Points) -> float:
    if not polygon:
        return 0.0
    x0, y0 = polygon[0]  # differences from a vertex: the digits of large pixel numbers would be lost
    shifted = [(x - x0, y - y0) for x, y in polygon]
    return 0.5 * sum(
        a[0] * b[1] - b[0] * a[1] for a, b in zip(shifted, shifted[1:] + shifted[:1], strict=True)
    )
