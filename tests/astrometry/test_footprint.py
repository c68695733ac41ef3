"""Outlines: along distorted edges, the right way round, simple, at RA 0 and at the poles."""

import itertools

import numpy as np
import pytest
from hapctl.processing.astrometry.footprint import (
    Ring,
    chip_polygon,
    healpix_ranges,
    outline,
    s_region,
    solution_polygons,
)
from hapctl.processing.astrometry.mapping import pixel_to_sky, sky_to_pixel
from hapctl.processing.astrometry.reading import read_solutions
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data import data_file
from support.exposure_files import two_chip_solution

POSITIONS = st.tuples(st.floats(0, 359.999), st.floats(-90, 90))


def _vectors(ring: Ring) -> np.ndarray:
    ra, dec = np.radians(ring).T
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def _turns_counter_clockwise_from_inside(ring: Ring) -> bool:
    """From inside, a turn to the left about the centre; from outside (along -centre) it is to the right."""
    vectors = _vectors(ring)
    area = 0.5 * np.cross(vectors, np.roll(vectors, -1, axis=0)).sum(axis=0)
    return bool(area @ vectors.mean(axis=0) < 0)


@settings(max_examples=40, deadline=None)
@given(POSITIONS, st.floats(0, 360))
def test_orientation_anywhere_on_the_sky(position: tuple[float, float], angle: float) -> None:
    rings = solution_polygons(two_chip_solution("jtest0001", position, angle=angle))
    drawn = outline(rings)
    assert len(drawn) == 1
    assert all(map(_turns_counter_clockwise_from_inside, [*rings, *drawn]))
    assert all(((ring >= [0, -90]) & (ring < [360, 90.0000001])).all() for ring in rings)


def test_orientation_is_what_a_plain_square_says() -> None:
    north, east, south, west = (0.1, 10.1), (0.2, 10.0), (0.1, 9.9), (0.0, 10.0)
    assert _turns_counter_clockwise_from_inside(np.array([north, east, south, west]))


@pytest.mark.parametrize(
    "position", [(150.0, 2.2), (0.0, 0.0), (359.9999, -45.0), (12.0, 90.0), (80.0, -89.99)]
)
def test_the_outline_follows_the_distorted_edge(position: tuple[float, float]) -> None:
    chip = two_chip_solution("jtest0001", position).chips[0]
    ring = chip_polygon(chip)
    starts, ends = _vectors(ring), _vectors(np.roll(ring, -1, axis=0))
    for t in (0.25, 0.5, 0.75):
        middle = starts * (1 - t) + ends * t
        ra = np.degrees(np.arctan2(middle[:, 1], middle[:, 0]))
        dec = np.degrees(np.arctan2(middle[:, 2], np.hypot(middle[:, 0], middle[:, 1])))
        x, y = sky_to_pixel(chip, ra, dec)
        ny, nx = chip.shape
        off_edge = np.min(np.abs([x + 0.5, x - nx + 0.5, y + 0.5, y - ny + 0.5]), axis=0)
        assert off_edge.max() < 0.12
    assert len(ring) > 8  # a straight-edged outline would be off by pixels
    corner = pixel_to_sky(chip, -0.5, -0.5)
    assert np.hypot(*(ring - np.ravel(corner)).T).min() < 1e-9 or abs(position[1]) > 89


def test_two_chips_across_a_gap_get_one_outline_without_crossings() -> None:
    rings = solution_polygons(two_chip_solution("jtest0001", (359.999, 88.0)))
    (joined,) = outline(rings)
    assert len(joined) < sum(map(len, rings))
    parts, whole = sum(map(_area, rings)), _area(joined)
    assert parts < whole < 1.05 * parts
    assert s_region([joined]).startswith("POLYGON ICRS ")
    assert len(s_region([joined]).split()) == 2 + 2 * len(joined)


def _area(ring: Ring) -> float:
    vectors = _vectors(ring)
    centre = vectors.mean(axis=0)
    centre /= np.linalg.norm(centre)
    return float(-0.5 * np.cross(vectors, np.roll(vectors, -1, axis=0)).sum(axis=0) @ centre)


def test_imsets_of_one_pointing_are_drawn_once() -> None:
    solution = read_solutions(data_file("stis_m33/o4k19a010_flt.fits.gz"))[0].solution
    rings = solution_polygons(solution)
    assert (len(rings), len(outline(rings))) == (2, 1)


def test_chips_that_lie_otherwise_stay_apart() -> None:
    solution = read_solutions(data_file("wfpc2_omegacen/u40x010hm_c0f.fits"))[0].solution
    assert len(outline(solution_polygons(solution))) == 4


@settings(max_examples=15, deadline=None)
@given(POSITIONS)
def test_healpix_ranges_hold_every_pixel(position: tuple[float, float]) -> None:
    from astropy import units as u
    from astropy_healpix import lonlat_to_healpix

    solution = two_chip_solution("jtest0001", position)
    ranges = healpix_ranges(solution_polygons(solution))
    assert ranges == sorted(ranges)
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(ranges))
    starts, stops = np.array(ranges).T
    for chip in solution.chips:
        ny, nx = chip.shape
        x, y = (
            axis.ravel()
            for axis in np.meshgrid(np.linspace(-0.5, nx - 0.5, 40), np.linspace(-0.5, ny - 0.5, 20))
        )
        ra, dec = pixel_to_sky(chip, x, y)
        cells = lonlat_to_healpix(ra * u.deg, dec * u.deg, 2**29, order="nested")
        at = np.searchsorted(starts, cells, side="right") - 1
        assert ((at >= 0) & (cells < stops[at])).all()
    sphere = 12 * 4**29
    covered = int((stops - starts).sum()) / sphere * 4 * np.pi
    assert covered < 2.5 * sum(map(_area, solution_polygons(solution)))


def test_no_rings_no_ranges() -> None:
    assert healpix_ranges([]) == []
    assert s_region([]) == ""
