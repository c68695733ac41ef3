"""Regions and their HEALPix coverage, against mocpy and astropy."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Angle, Latitude, Longitude, SkyCoord
from hapctl.archive.errors import CatalogUsageError
from hapctl.archive.sky_region import (
    Region,
    healpix_indices,
    parse_region,
    ranges_of_cells,
    regions_around,
    separation_deg,
    union_of_ranges,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

PIXEL_AREA = 4 * np.pi / 12 / 4**29
centres = st.tuples(st.floats(0, 359.999), st.floats(-90, 90))
radii = st.floats(0.001, 2.0)


def positions_near(ra, dec, radius, number=500, seed=1):
    """Points within a radius of a place, and as many beyond it."""
    random = np.random.default_rng(seed)
    centre = SkyCoord(ra, dec, unit="deg")
    there = centre.directional_offset_by(
        random.uniform(0, 360, number) * u.deg, 1.5 * radius * np.sqrt(random.random(number)) * u.deg
    )
    return there.ra.deg, there.dec.deg


@given(centres, radii)
@settings(max_examples=40, deadline=None)
def test_inner_coverage_claims_nothing_outside_the_circle(centre, radius):
    circle = Region((centre,), radius).circle
    ranges = circle.inner_ranges()
    assert ranges == union_of_ranges([ranges])  # sorted and disjoint
    ra, dec = positions_near(*centre, radius)
    index = healpix_indices(ra, dec)
    starts, stops = np.array(ranges).T
    at = np.searchsorted(starts, index, side="right") - 1
    claimed = (at >= 0) & (index < stops[np.maximum(at, 0)])
    distance = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(*centre, unit="deg")).deg
    assert (distance[claimed] <= radius).all()
    assert claimed[distance < 0.93 * radius].all()
    area = sum(stop - start for start, stop in ranges) * PIXEL_AREA
    full = 2 * np.pi * (1 - np.cos(np.radians(radius)))
    assert 0.93 * full < area < full


@given(centres, radii)
@settings(max_examples=10, deadline=None)
def test_inner_coverage_lies_in_the_moc_of_mocpy(centre, radius):
    inner = MOC.from_depth29_ranges(
        29, np.array(Region((centre,), radius).circle.inner_ranges(), dtype=np.uint64)
    )
    lon, lat, angle = Longitude(centre[0] * u.deg), Latitude(centre[1] * u.deg), Angle(radius * u.deg)
    outer = MOC.from_cone(lon=lon, lat=lat, radius=angle, max_depth=16)
    assert inner.difference(outer).empty()


@given(centres, st.floats(0.0, 359.0), st.floats(0.001, 0.3), st.floats(0.0005, 0.01))
@settings(max_examples=30, deadline=None)
def test_a_hull_is_widened_on_all_sides(centre, turn, size, margin):
    """A square and its margin: against distances to the great circles of its sides."""
    middle = SkyCoord(*centre, unit="deg")
    corners = middle.directional_offset_by((turn + np.arange(0, 360, 90)) * u.deg, size * u.deg)
    inner = middle.directional_offset_by((turn + np.arange(45, 405, 90)) * u.deg, 0.1 * size * u.deg)
    both = np.concatenate([[corners.ra.deg, corners.dec.deg], [inner.ra.deg, inner.dec.deg]], axis=1).T
    (region,) = regions_around([both], margin * 3600)
    assert len(region.corners) == 4
    assert region.circle.radius == pytest.approx(size + margin, rel=0.03)
    assert (
        corners.separation(SkyCoord(region.circle.ra, region.circle.dec, unit="deg")).deg + margin
        <= region.circle.radius
    ).all()
    ra, dec = positions_near(*centre, size + margin)
    side = turn + 45 + np.arange(0, 360, 90)
    angle = middle.position_angle(SkyCoord(ra, dec, unit="deg")).deg
    distance = middle.separation(SkyCoord(ra, dec, unit="deg")).deg
    beyond = distance[:, None] * np.cos(np.radians(angle[:, None] - side)) - size / np.sqrt(2)
    inside = region.contains(ra, dec)
    assert inside[(beyond < 0.98 * margin).all(axis=1) & (beyond.max(axis=1) < 0)].all()
    assert not inside[(beyond > 1.02 * margin + 1e-5).any(axis=1)].any()


def test_fraction_of_a_region_that_is_covered():
    region = parse_region("circle 150 2 0.1")
    half = MOC.from_polygon_skycoord(SkyCoord([150, 151, 151, 150], [1, 1, 3, 3], unit="deg"), max_depth=16)
    ranges = [(int(a), int(b)) for a, b in half.to_depth29_ranges]
    assert region.covered_fraction(ranges) == pytest.approx(0.5, abs=0.01)
    assert region.covered_fraction([(0, 12 * 4**29)]) == 1.0
    assert region.covered_fraction([]) == 0.0
    inner = region.circle.inner_ranges()
    assert 0.95 < region.covered_fraction(inner) < 1.0


def test_searched_ranges_hold_every_position_of_the_region():
    for centre in ((150.0, 2.0), (0.0, 89.99), (45.0, 0.0)):
        region = Region((centre,), 0.05)
        ranges = region.touched_ranges()
        assert len(ranges) < 80
        index = healpix_indices(*positions_near(*centre, 0.05))
        starts, stops = np.array(ranges).T
        at = np.searchsorted(starts, index, side="right") - 1
        found = (at >= 0) & (index < stops[np.maximum(at, 0)])
        assert found[region.contains(*positions_near(*centre, 0.05))].all()
        assert region.area == pytest.approx(np.pi * 0.05**2, rel=0.01)


def test_regions_lie_in_circles():
    region = Region(((10.0, 0.0), (10.2, 0.0)), 0.01)
    assert region.lies_in(parse_region("circle 10.1 0 0.1101").circle)
    assert not region.lies_in(parse_region("circle 10.1 0 0.1099").circle)
    assert region.lies_in(region.circle)


def test_exposures_of_one_place_share_a_region_and_parallels_do_not():
    square = np.array([[150, 2], [150.05, 2], [150.05, 2.05], [150, 2.05]])

    def north(step):
        return square + np.array([0.0, step])

    dithered = [square, square + 0.003, square - 0.002]
    (region,) = regions_around(dithered, 5.0)
    assert all(region.contains(*corners.T).all() for corners in dithered)
    apart = regions_around([*dithered, north(0.5)], 5.0)
    assert len(apart) == 2
    row = [north(step) for step in (0, 0.3, 0.1, 0.2)]
    assert len(regions_around(row, 5.0)) == 1


def test_a_region_across_ra_zero_and_at_the_pole():
    (region,) = regions_around([np.array([[359.99, 0], [0.01, 0], [0.01, 0.02], [359.99, 0.02]])], 5.0)
    assert region.circle.radius == pytest.approx(np.hypot(0.01, 0.01) + 5 / 3600, rel=0.02)
    (polar,) = regions_around([np.array([[0, 89.9], [90, 89.9], [180, 89.9], [270, 89.9]])], 5.0)
    assert polar.contains(np.array([10.0]), np.array([89.99])).all()


@pytest.mark.parametrize(
    "text",
    ["", "circle", "circle 1 2", "box 1 2 3", "circle a b c", "circle 1 2 3 4", "circle nan 0 1",
     "circle 400 0 1", "circle 0 -91 1", "circle 0 0 -1", "circle 0 0 11"],
)  # fmt: skip
def test_other_texts_are_refused(text):
    with pytest.raises(CatalogUsageError):
        parse_region(text)


def test_a_circle_is_written_as_it_is_read():
    circle = parse_region("Circle 6.0236, -72.0813, 0.008333333333333333").circle
    assert str(circle) == "circle 6.0236 -72.0813 0.008333333333333333"
    assert parse_region(str(circle)).circle == circle
    assert circle.adql == "CIRCLE('ICRS', 6.0236, -72.0813, 0.008333333333333333)"


def test_separations_agree_with_astropy():
    random = np.random.default_rng(3)
    ra, dec = random.uniform(0, 360, 200), random.uniform(-90, 90, 200)
    expected = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(12.0, -89.0, unit="deg")).deg
    assert separation_deg(ra, dec, 12.0, -89.0) == pytest.approx(expected, abs=1e-12)


def test_neighbouring_cells_become_one_range():
    assert ranges_of_cells(np.array([7, 5, 6, 9]), 28) == [(20, 32), (36, 40)]
    assert union_of_ranges([[(5, 7), (1, 2)], [(6, 9)], [(2, 3)]]) == [(1, 3), (5, 9)]
