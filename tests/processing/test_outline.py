"""Outlines of products: closed, simple, counter-clockwise, and where the chips are."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.imaging.grid import chip_edges, map_to_grid, north_up_grid
from hapctl.processing.imaging.outline import (
    closed,
    is_simple,
    outline_polygons,
    s_region,
    simplified,
    traced,
    without_pinches,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from support.synthetic_chips import distorted_chip, plain_chip


def signed_area(x: np.ndarray, y: np.ndarray) -> float:
    return float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))))
def test_borders_of_any_region_are_simple(mask: np.ndarray) -> None:
    filled = without_pinches(mask)
    labels, count = ndimage.label(filled)
    areas = [ndimage.binary_fill_holes(labels == label).sum() for label in range(1, count + 1)]
    borders = [border for border in traced(filled) if signed_area(*border.T) > 0]
    assert sorted(signed_area(*border.T) for border in borders) == sorted(areas)
    assert sum(signed_area(*border.T) for border in traced(filled)) == filled.sum()
    for border in borders:
        assert is_simple(simplified(border)) or len(simplified(border)) == len(border)


@settings(max_examples=30, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))), st.integers(1, 4))
def test_gaps_are_closed_as_by_scipy(mask: np.ndarray, by: int) -> None:
    wide = np.pad(mask, by + 1)
    inner = slice(by + 1, -by - 1)
    assert np.array_equal(closed(mask, by), ndimage.binary_closing(wide, iterations=by)[inner, inner])


def test_crossing_sides_are_seen() -> None:
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    assert is_simple(square)
    assert not is_simple(square[[0, 2, 1, 3]])
    assert not is_simple(np.vstack([square, [[2.0, 0.0]]]))  # comes back to touch the first side


@pytest.mark.parametrize("crval", [(150.0, 2.0), (0.0001, -30.0), (359.9999, 60.0), (12.0, 89.9995)])
def test_outline_follows_the_chip(crval: tuple[float, float]) -> None:
    chip = distorted_chip((300, 400), crval=crval)
    grid = north_up_grid([chip], 0.05)
    (polygon,) = outline_polygons([chip], grid)
    x, y = grid.sky_to_pixel(polygon[:, 0], polygon[:, 1])
    edge_x, edge_y = map_to_grid(chip, grid, *chip_edges(chip))
    assert is_simple(np.column_stack([x, y]))
    assert signed_area(x, y) > 0  # counter-clockwise with east to the left: as seen from inside
    assert signed_area(x, y) == pytest.approx(abs(signed_area(edge_x, edge_y)), rel=0.02)
    for a, b in zip(x, y, strict=True):
        assert np.hypot(edge_x - a, edge_y - b).min() < 4.0


def test_gap_between_chips_is_closed_and_far_fields_are_not() -> None:
    below = plain_chip((100, 400))
    above = replace(below, crpix=(below.crpix[0], below.crpix[1] - 150))  # a gap of 50 pixels, 2.5 arcsec
    far = replace(below, crpix=(below.crpix[0], below.crpix[1] + 600))
    grid = north_up_grid([below, above, far], 0.05)
    polygons = outline_polygons([below, above, far], grid)
    assert len(polygons) == 2
    areas = [signed_area(*grid.sky_to_pixel(*polygon.T)) for polygon in polygons]
    assert areas == [pytest.approx(250 * 400, rel=0.03), pytest.approx(100 * 400, rel=0.03)]


def test_what_lies_in_a_hole_is_inside_the_outline() -> None:
    ring = [plain_chip((100, 700)), plain_chip((700, 100))]
    middle = (350.5, 350.5)
    chips = [
        replace(ring[0], crpix=middle),
        replace(ring[0], crpix=(middle[0], middle[1] - 600)),
        replace(ring[1], crpix=middle),
        replace(ring[1], crpix=(middle[0] - 600, middle[1])),
        replace(plain_chip((100, 100)), crpix=(middle[0] - 300, middle[1] - 300)),
    ]
    grid = north_up_grid(chips, 0.05)
    (polygon,) = outline_polygons(chips, grid)
    assert signed_area(*grid.sky_to_pixel(*polygon.T)) == pytest.approx(700 * 700, rel=0.03)


def test_chips_off_the_grid_have_no_outline() -> None:
    chip = plain_chip((50, 50))
    grid = north_up_grid([plain_chip((50, 50), crval=(150.1, 2.1))], 0.05)
    assert outline_polygons([chip], grid) == []


def test_written_rings_are_closed() -> None:
    chip = distorted_chip((300, 400))
    polygons = outline_polygons([chip, chip], north_up_grid([chip], 0.05))
    text = s_region([*polygons, *polygons])
    rings = text.split("POLYGON ICRS ")[1:]
    assert len(rings) == 2
    for ring in rings:
        numbers = np.array(re.findall(r"-?\d+\.\d{10}", ring), dtype=float).reshape(-1, 2)
        assert np.array_equal(numbers[0], numbers[-1])
        assert np.allclose(numbers[:-1], polygons[0], atol=1e-10)
