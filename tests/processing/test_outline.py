"""Outlines of products: closed, simple, counter-clockwise, and where the chips are."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from hapctl.processing.astrometry.footprint import s_region
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.imaging.grid import chip_edges, map_to_grid, north_up_grid
from hapctl.processing.imaging.outline import (
    closed,
    is_simple,
    outline_polygons,
    simplified,
    traced,
    without_pinches,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mocpy import MOC
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


def vectors(text: str) -> list[np.ndarray]:
    """The rings of an S_REGION as unit vectors, read as a DALI service would."""
    rings = []
    for ring in text.split("POLYGON ICRS ")[1:]:
        ra, dec = np.radians(np.array(ring.split(), dtype=float).reshape(-1, 2).T)
        rings.append(np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1))
    return rings


def spherical_area(ring: np.ndarray) -> float:
    """Steradians, above 0 counter-clockwise seen from the origin (van Oosterom and Strackee 1983)."""
    a, b, c = ring[0], ring[1:-1], ring[2:]
    volume = np.einsum("i,ji->j", a, np.cross(b, c))
    depth = 1.0 + b @ a + c @ a + np.einsum("ij,ij->i", b, c)
    return float(-2.0 * np.arctan2(volume, depth).sum())


def great_circles_cross(ring: np.ndarray) -> bool:
    """Whether two sides that are no neighbours cross on the sphere."""
    after = np.roll(ring, -1, axis=0)
    normals = np.cross(ring, after)
    count = len(ring)
    for i in range(count):
        for j in range(i + 2, count - (i == 0)):
            apart = (normals[i] @ ring[j]) * (normals[i] @ after[j]) < 0
            if apart and (normals[j] @ ring[i]) * (normals[j] @ after[i]) < 0:
                return True
    return False


@pytest.mark.parametrize(
    "crval", [(150.0, 2.0), (0.0, -30.0), (359.9999, 60.0), (40.0, 90.0), (7.0, -89.999)]
)
def test_a_written_region_is_what_dali_and_pgsphere_ask_for(crval: tuple[float, float]) -> None:
    """Vertices not repeated, counter-clockwise seen from inside, no crossing; area as the chip's."""
    chip = distorted_chip((300, 400), crval=crval)
    far = replace(chip, crval=(crval[0], crval[1] - 0.05))
    grid = north_up_grid([chip, far], 0.05)
    text = s_region(outline_polygons([chip, far], grid))
    assert text.count("POLYGON ICRS ") == 2
    expected = 300 * 400 * np.radians(0.05 / 3600.0) ** 2
    for ring in vectors(text):
        assert len(ring) >= 3
        assert np.ptp(ring, axis=0).max() > 0
        closing = np.linalg.norm(ring - np.roll(ring, -1, axis=0), axis=1)
        assert closing.min() > 1e-9  # no vertex twice, the first and last included
        assert not great_circles_cross(ring)
        assert spherical_area(ring) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("crval", [(0.0, -30.0), (40.0, 90.0)])
def test_a_written_region_covers_its_chip_as_mocpy_reads_it(crval: tuple[float, float]) -> None:
    chip = distorted_chip((300, 400), crval=crval)
    grid = north_up_grid([chip], 0.05)
    (polygon,) = outline_polygons([chip], grid)
    moc = MOC.from_polygon(*(u.Quantity(side, u.deg) for side in polygon.T), max_depth=19)
    assert moc.sky_fraction * 4 * np.pi == pytest.approx(300 * 400 * np.radians(0.05 / 3600.0) ** 2, rel=0.15)
    ra, dec = pixel_to_sky(chip, [20.0, 200.0, 380.0], [20.0, 150.0, 280.0])
    assert moc.contains_lonlat(u.Quantity(ra, u.deg), u.Quantity(dec, u.deg)).all()
