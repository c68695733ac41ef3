"""The outline of a solution on the sky, as polygons, DALI text and HEALPix ranges.

A chip's outline follows its distorted edges: an edge is divided until straight (great-circle) pieces
stay within 0.1 pixel of it. Everything is done in the tangent plane of the chip, so that RA 0 and
the poles are nothing special. Rings are counter-clockwise as seen from inside the sphere (east to the
left of north), as DALI asks, and not closed: the last vertex joins the first.
"""

import math
from collections.abc import Sequence

import numpy as np
from hapctl.processing.astrometry.mapping import pixel_to_plane, plane_to_sky, sky_to_plane
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin, WcsSolution
from numpy.typing import NDArray

Ring = NDArray[np.float64]
"""Vertices, shape (n, 2): RA, Dec in degrees."""

EDGE_TOLERANCE = 0.1
"""How far a straight piece may lie from the distorted edge, pixels."""

HEALPIX_ORDER = 14
"""Depth of footprint cells (13 arcsec); ranges are given in the integers of order 29."""

FARTHEST = 10.0
"""Degrees in the tangent plane from CRVAL; HST's chips lie within 0.1."""

LARGEST_DISTORTION = 2.0
"""Of the area of a chip on the sky against that of its pixels; HST's distortions change it by 0.1."""

LARGEST_GAP = 0.05
"""Two chips get one outline if the gap between them is at most this part of their area."""

_DIVISIONS = (1, 2, 4, 8, 16, 32, 64)


def chip_polygon(chip: ChipWcs, origin: LookupOrigin = "hst") -> Ring:
    """Return the outline of a chip's pixels, from the outer edges of its corner pixels.

    Parameters
    ----------
    chip : ChipWcs
        With a shape of at least one pixel.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    ndarray, shape (n, 2)
        RA, Dec in degrees; counter-clockwise seen from inside the sphere, not closed.
    """
    x, y = _around(chip)
    points = np.column_stack(pixel_to_plane(chip, x, y, origin)).reshape(4, -1, 2)
    tolerance = EDGE_TOLERANCE * math.sqrt(abs(chip.cd[0] * chip.cd[3] - chip.cd[1] * chip.cd[2]))
    plane = np.concatenate([_thinned(edge, tolerance)[:-1] for edge in points])
    ring = np.column_stack(plane_to_sky(chip.crval, plane[:, 0], plane[:, 1]))
    return ring if _signed_area(plane) < 0.0 else ring[::-1]


def _around(chip: ChipWcs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points (0-based pixels) along the four edges of a chip, corner to corner."""
    t = np.linspace(0.0, 1.0, _DIVISIONS[-1] + 1)
    low, width, height = np.zeros_like(t), chip.shape[1], chip.shape[0]
    x = np.concatenate([t * width, low + width, (1.0 - t) * width, low])
    y = np.concatenate([low, t * height, low + height, (1.0 - t) * height])
    return x - 0.5, y - 0.5


def _thinned(points: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Return the fewest evenly spaced points of an edge that follow it within the tolerance."""
    for pieces in _DIVISIONS[:-1]:
        step = _DIVISIONS[-1] // pieces
        nodes = points[::step]
        along = np.arange(step)[:, np.newaxis] / step
        chords = nodes[:-1, np.newaxis] + along * (nodes[1:] - nodes[:-1])[:, np.newaxis]
        if np.abs(points[:-1].reshape(chords.shape) - chords).max() <= tolerance:
            return nodes
    return points


def _signed_area(plane: NDArray[np.float64]) -> float:
    """Return twice the shoelace area; negative is counter-clockwise on the sky (east is left of north)."""
    x, y = plane[:, 0], plane[:, 1]
    open_ring = np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:])
    return float(open_ring + x[-1] * y[0] - y[-1] * x[0])


def solution_polygons(solution: WcsSolution, origin: LookupOrigin = "hst") -> list[Ring]:
    """Return the outline of every chip of a solution, in the order of its chips.

    Parameters
    ----------
    solution : WcsSolution
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    list of ndarray, shape (n, 2)
        RA, Dec in degrees; see :func:`chip_polygon`.
    """
    return [chip_polygon(chip, origin) for chip in solution.chips]


def is_plausible(chip: ChipWcs, ring: Ring) -> bool:
    """Say whether an outline may be that of a chip: near its CRVAL, with about the area of its pixels.

    What is not must not be turned into HEALPix cells: coefficients gone wild can cover the sky.
    """
    plane = np.column_stack(sky_to_plane(chip.crval, ring[:, 0], ring[:, 1]))
    if not np.isfinite(plane).all() or np.abs(plane).max() > FARTHEST:
        return False
    pixel = abs(chip.cd[0] * chip.cd[3] - chip.cd[1] * chip.cd[2])
    area = 0.5 * abs(_signed_area(plane)) / (chip.shape[0] * chip.shape[1] * pixel)
    return 1.0 / LARGEST_DISTORTION < area < LARGEST_DISTORTION


def healpix_ranges(rings: Sequence[Ring], order: int = HEALPIX_ORDER) -> list[tuple[int, int]]:
    """Return the HEALPix cells that polygons touch, as nested ranges of order 29.

    Parameters
    ----------
    rings : sequence of ndarray, shape (n, 2)
        RA, Dec in degrees.
    order : int
        Depth of the cells; the answer is conservative to one cell of it.

    Returns
    -------
    list of (int, int)
        Half-open ranges, sorted, disjoint, not adjacent.
    """
    from astropy.units import deg
    from mocpy import MOC

    if not rings:
        return []
    parts = [MOC.from_polygon(ring[:, 0] * deg, ring[:, 1] * deg, max_depth=order) for ring in rings]
    whole = parts[0].union(*parts[1:]) if len(parts) > 1 else parts[0]
    return [(int(low), int(high)) for low, high in whole.to_depth29_ranges]


def outline(rings: Sequence[Ring]) -> list[Ring]:
    """Return the rings that draw a solution: one where its chips allow it.

    Imsets of one pointing lie on each other and become one ring; two chips that face each other across
    a gap become one ring that spans the gap. Others stay as they are.
    """
    distinct: list[Ring] = []
    for ring in rings:
        if not any(_same(ring, other) for other in distinct):
            distinct.append(ring)
    if len(distinct) != 2:
        return distinct
    bridged = _bridge(*distinct)
    return distinct if bridged is None else [bridged]


def _same(ring: Ring, other: Ring) -> bool:
    return ring.shape == other.shape and bool(np.allclose(ring, other, rtol=0.0, atol=1e-9))


def _bridge(first: Ring, second: Ring) -> Ring | None:
    """Join two rings by leaving out their facing edges; None where the result would not be simple."""
    centre = _centre(first)
    planes = [np.column_stack(sky_to_plane(centre, ring[:, 0], ring[:, 1])) for ring in (first, second)]
    if not all(np.isfinite(plane).all() for plane in planes):
        return None
    runs = [_far_side(planes[0], planes[1]), _far_side(planes[1], planes[0])]
    joined = np.concatenate(runs)
    growth = _signed_area(joined) / sum(_signed_area(plane) for plane in planes)
    if not 1.0 <= growth <= 1.0 + LARGEST_GAP or not _is_simple(joined):
        return None
    return np.column_stack(plane_to_sky(centre, joined[:, 0], joined[:, 1]))


def _centre(ring: Ring) -> tuple[float, float]:
    ra, dec = np.radians(ring[:, 0]), np.radians(ring[:, 1])
    x, y, z = (np.cos(dec) * np.cos(ra)).mean(), (np.cos(dec) * np.sin(ra)).mean(), np.sin(dec).mean()
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def _far_side(plane: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a ring's vertices from one end of the edge that faces another ring, round to its other end."""
    towards = other.mean(axis=0) - plane.mean(axis=0)
    corners = _corners(plane)
    heights = [
        float((plane[a] + plane[b]) @ towards) for a, b in zip(corners, np.roll(corners, -1), strict=True)
    ]
    facing = int(np.argmax(heights))
    start, end = corners[(facing + 1) % 4], corners[facing]
    count = (end - start) % len(plane) + 1
    return plane[(start + np.arange(count)) % len(plane)]


def _corners(plane: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the indices of the four sharpest turns of a ring, in its order."""
    before, after = plane - np.roll(plane, 1, axis=0), np.roll(plane, -1, axis=0) - plane
    turn = np.abs(
        np.arctan2(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], (before * after).sum(axis=1))
    )
    return np.sort(np.argsort(turn)[-4:])


def _is_simple(plane: NDArray[np.float64]) -> bool:
    """Say whether no two edges of a ring cross."""
    start, end = plane, np.roll(plane, -1, axis=0)
    first, second = np.triu_indices(len(plane), k=1)
    apart = (second - first > 1) & (second - first < len(plane) - 1)
    first, second = first[apart], second[apart]

    def side(a: NDArray[np.float64], b: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
        return (b[:, 0] - a[:, 0]) * (p[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (p[:, 0] - a[:, 0])

    a, b, c, d = start[first], end[first], start[second], end[second]
    crossing = (side(a, b, c) * side(a, b, d) <= 0.0) & (side(c, d, a) * side(c, d, b) <= 0.0)
    return not bool(crossing.any())


def s_region(rings: Sequence[Ring]) -> str:
    """Return polygons as an S_REGION text: ``POLYGON ICRS ra dec ra dec ...``, one after the other.

    Parameters
    ----------
    rings : sequence of ndarray, shape (n, 2)
        RA, Dec in degrees, not closed (DALI closes a polygon itself).
    """
    return " ".join(
        "POLYGON ICRS " + " ".join(f"{ra:.10f} {dec:.10f}" for ra, dec in ring.tolist()) for ring in rings
    )
