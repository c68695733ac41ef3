"""The square kernel written slowly and plainly: polygons clipped with half planes, pixel by pixel."""

import numpy as np
from hapctl.processing.imaging.grid import OutputGrid, map_to_grid, native_scale

Point = tuple[float, float]


def polygon_area(points: np.ndarray | list[Point]) -> float:
    """Signed area (shoelace)."""
    ring = [(float(x), float(y)) for x, y in points]
    pairs = zip(ring, [*ring[1:], *ring[:1]], strict=True)
    return 0.5 * sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)


def clip(points: list[Point], axis: int, limit: float, sign: float) -> list[Point]:
    """What of a polygon has ``sign * coordinate >= sign * limit`` (Sutherland & Hodgman 1974)."""
    kept: list[Point] = []
    for here, there in zip(points, [*points[1:], *points[:1]], strict=True):
        inside, next_inside = sign * here[axis] >= sign * limit, sign * there[axis] >= sign * limit
        if inside:
            kept.append(here)
        if inside != next_inside:
            part = (limit - here[axis]) / (there[axis] - here[axis])
            kept.append((here[0] + part * (there[0] - here[0]), here[1] + part * (there[1] - here[1])))
    return kept


def clipped_area(corners: np.ndarray, column: int, row: int) -> float:
    """Signed area of a convex polygon inside one pixel (centres are integers)."""
    points = [(float(x), float(y)) for x, y in corners]
    for axis, centre in ((0, column), (1, row)):
        points = clip(points, axis, centre - 0.5, 1.0)
        points = clip(points, axis, centre + 0.5, -1.0) if points else points
    return polygon_area(points) if points else 0.0


def slow_drizzle(
    inputs: list[tuple], grid: OutputGrid, pixfrac: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drizzle (chip, values, weights) pixel after pixel: sci, wht (float64) and the first context plane."""
    flux, weight = np.zeros(grid.shape), np.zeros(grid.shape)
    context = np.zeros(grid.shape, dtype=np.int32)
    half = 0.5 * pixfrac
    for number, (chip, values, weights) in enumerate(inputs):
        scale = (grid.scale_arcsec / native_scale(chip)) ** 2
        for (y, x), value in np.ndenumerate(values):
            corner_x, corner_y = map_to_grid(
                chip, grid, x + half * np.array([-1, 1, 1, -1]), y + half * np.array([-1, -1, 1, 1])
            )
            corners = np.stack([corner_x, corner_y], axis=1)
            if not (np.isfinite(value) and np.isfinite(weights[y, x]) and weights[y, x] > 0):
                continue
            area = polygon_area(corners)
            columns = np.arange(np.floor(corner_x.min() + 0.5), np.floor(corner_x.max() + 0.5) + 1, dtype=int)
            rows = np.arange(np.floor(corner_y.min() + 0.5), np.floor(corner_y.max() + 0.5) + 1, dtype=int)
            for row in rows[(rows >= 0) & (rows < grid.shape[0])]:
                for column in columns[(columns >= 0) & (columns < grid.shape[1])]:
                    given = clipped_area(corners, column, row) / area * weights[y, x]
                    if given > 1e-9:
                        flux[row, column] += given * value * scale
                        weight[row, column] += given
                        context[row, column] |= 1 << number
    with np.errstate(invalid="ignore"):
        return np.where(weight > 0, flux / weight, np.nan), weight, context
