"""The outline of a product on the sky: simple, counter-clockwise polygons that close by themselves (DALI).

The chips are drawn, with their distortion, on a coarse copy of the output grid (at most 1024 bins a
side); gaps between chips are closed, the borders of what is covered are traced and simplified. The
outline is therefore good to about three bins, and never crosses itself.
"""

import math
from collections.abc import Sequence

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.imaging.grid import OutputGrid, chip_edges, map_to_grid
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_BINS = 1024
_CLOSED_GAP_ARCSEC = 4.0
"""Gaps up to this are closed; the widest between chips of one detector are 2.5 (WFC) and 1.4 (UVIS)."""
_TOLERANCE_BINS = 2.0

Polygon = NDArray[np.float64]
"""Vertices (x, y), shape (n, 2), not closed."""


def outline_polygons(
    chips: Sequence[ChipWcs], grid: OutputGrid, *, origin: LookupOrigin = "hst"
) -> list[Polygon]:
    """Return what the chips cover on the grid.

    Returns
    -------
    list of ndarray, shape (n, 2), float64
        RA and Dec (degrees) of the vertices, counter-clockwise as seen from inside the sphere (east
        to the left of north), not closed; the largest region first. Empty where the chips miss the
        grid.
    """
    factor = outline_factor(grid)
    return covered_polygons(_drawn(chips, grid, factor, origin), factor, grid)


def outline_factor(grid: OutputGrid) -> int:
    """Return the side, in pixels, of the bins that an outline on a grid is made of."""
    return max(1, math.ceil(max(grid.shape) / _BINS))


def covered_polygons(covered: NDArray[np.bool_], factor: int, grid: OutputGrid) -> list[Polygon]:
    """Return the outlines, as `outline_polygons`, of bins of ``factor`` pixels that are covered."""
    gap = math.ceil(0.5 * _CLOSED_GAP_ARCSEC / (grid.scale_arcsec * factor))
    borders = traced(without_pinches(covered | closed(covered, gap)))
    regions: list[Polygon] = []
    for border in sorted(borders, key=signed_area, reverse=True):
        # What lies in a hole of another region is inside that one's outline.
        if signed_area(border) > 0 and not any(_surrounds(region, border) for region in regions):
            regions.append(border)
    return [_on_sky(simplified(region) * factor - 0.5, grid) for region in regions]


def _on_sky(vertices: Polygon, grid: OutputGrid) -> Polygon:
    return np.column_stack(grid.pixel_to_sky(vertices[:, 0], vertices[:, 1]))


def _drawn(
    chips: Sequence[ChipWcs], grid: OutputGrid, factor: int, origin: LookupOrigin
) -> NDArray[np.bool_]:
    height, width = (-(-size // factor) for size in grid.shape)
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    for chip in chips:
        border = (np.column_stack(map_to_grid(chip, grid, *chip_edges(chip), origin)) + 0.5) / factor - 0.5
        draw.polygon(border.ravel().tolist(), fill=1, outline=1)
    return np.asarray(canvas, dtype=np.bool_)


def closed(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Widen a mask by so many steps to its four sides, and narrow it again: smaller gaps are closed."""
    wide = np.pad(mask, by + 1)
    for _ in range(by):
        wide = _widened(wide)
    for _ in range(by):
        wide = ~_widened(~wide)
    return wide[by + 1 : -by - 1, by + 1 : -by - 1]


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = mask.copy()
    wide[1:] |= mask[:-1]
    wide[:-1] |= mask[1:]
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    return wide


def without_pinches(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill the bins at which two regions touch by a corner alone, so that every border is simple."""
    filled = mask.copy()
    while True:
        a, b, c, d = filled[:-1, :-1], filled[:-1, 1:], filled[1:, :-1], filled[1:, 1:]
        falling, rising = a & d & ~b & ~c, b & c & ~a & ~d
        if not (falling.any() or rising.any()):
            return filled
        filled[:-1, 1:] |= falling
        filled[:-1, :-1] |= rising


def traced(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Follow all borders of a mask without pinches: counter-clockwise outside, clockwise around holes.

    Returns
    -------
    list of ndarray, shape (n, 2), float64
        Corners (x, y) in bins, the leftmost first; bin (0, 0) spans 0 to 1.
    """
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    steps: dict[tuple[int, int], tuple[int, int]] = {}
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # below is empty: walk east along the lower edge
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    )
    for neighbour, start, end in sides:
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            steps[(x + start[0], y + start[1])] = (x + end[0], y + end[1])
    borders = []
    for first in sorted(steps):
        if first in steps:
            path = [first]
            while (at := steps.pop(path[-1])) != first:
                path.append(at)
            borders.append(np.array(path, dtype=np.float64))
    return borders


def signed_area(polygon: Polygon) -> float:
    """Return the area of a polygon, above 0 where it runs counter-clockwise."""
    x, y = polygon.T
    return float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _surrounds(outer: Polygon, inner: Polygon) -> bool:
    """Whether the bin at the first corner of one traced border lies inside another."""
    x, y = inner[0]
    low = np.minimum(outer[:, 1], np.roll(outer[:, 1], -1))
    upright = outer[:, 1] != np.roll(outer[:, 1], -1)
    return bool(np.count_nonzero(upright & (low == y) & (outer[:, 0] > x)) % 2)


def simplified(polygon: Polygon, tolerance: float = _TOLERANCE_BINS) -> Polygon:
    """Drop vertices within ``tolerance`` of the line (Douglas and Peucker 1973), if it stays simple."""
    far = int(np.argmax(np.sum((polygon - polygon[0]) ** 2, axis=1)))
    ring = np.vstack([polygon, polygon[:1]])
    kept = [*_kept(ring[: far + 1], tolerance)[:-1], *(far + i for i in _kept(ring[far:], tolerance))]
    shorter = ring[kept[:-1]]
    return shorter if len(shorter) >= 3 and is_simple(shorter) else polygon


def _kept(line: Polygon, tolerance: float) -> list[int]:
    keep = {0, len(line) - 1}
    spans = [(0, len(line) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        chord = line[last] - line[first]
        offset = line[first + 1 : last] - line[first]
        distance = np.abs(offset[:, 0] * chord[1] - offset[:, 1] * chord[0]) / np.hypot(*chord)
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance:
            split = first + 1 + worst
            keep.add(split)
            spans += [(first, split), (split, last)]
    return sorted(keep)


def is_simple(polygon: Polygon) -> bool:
    """Return whether no two sides of the polygon cross or touch, but neighbours at their corner."""
    count = len(polygon)
    a, b = polygon, np.roll(polygon, -1, axis=0)
    i, j = np.triu_indices(count, k=2)
    apart = ~((i == 0) & (j == count - 1))  # the last side is a neighbour of the first
    i, j = i[apart], j[apart]
    straddles = _side(a[i], b[i], a[j]) * _side(a[i], b[i], b[j]) <= 0
    straddled = _side(a[j], b[j], a[i]) * _side(a[j], b[j], b[i]) <= 0
    low, high = np.minimum(a, b), np.maximum(a, b)
    boxes = np.all((low[i] <= high[j]) & (low[j] <= high[i]), axis=1)
    return not bool(np.any(straddles & straddled & boxes))


def _side(start: Polygon, end: Polygon, point: Polygon) -> NDArray[np.float64]:
    return np.sign(
        (end[:, 0] - start[:, 0]) * (point[:, 1] - start[:, 1])
        - (end[:, 1] - start[:, 1]) * (point[:, 0] - start[:, 0])
    )
