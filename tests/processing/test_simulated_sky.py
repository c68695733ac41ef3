"""The simulated sky and telescope against formulas and real headers that know nothing of them."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.coordinates import SkyCoord, get_body_barycentric
from astropy.io import fits
from astropy.time import Time
from hapctl.processing.simulation.acs_wfc import ACS_WFC, CHIPS, FILTERS
from hapctl.processing.simulation.distortion import linear_wcs, own_distorted_wcs
from hapctl.processing.simulation.gaia_extract import GaiaExtract, make_extract
from hapctl.processing.simulation.pointing import (
    LinearWcs,
    Pointing,
    chip_wcs,
    meridian_convergence,
    offset_position,
    repointed,
    velocity_aberration,
)
from hapctl.processing.simulation.sky_sources import Stars, make_stars, positions_at
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data import data_file

CIRCLE = (150.0, 2.2, 0.05)
STARS = make_stars(3, *CIRCLE, 20_000)


@pytest.fixture(scope="module")
def extract() -> GaiaExtract:
    return make_extract(STARS, *CIRCLE, 3)


def test_positions_follow_the_textbook_formula_of_motion_and_parallax() -> None:
    """Tangent-plane formula with parallax factors; its neglected terms are below 0.01 mas here."""
    stars = STARS.chosen(np.arange(200))
    mjd = 55993.21
    years = (Time(mjd, format="mjd", scale="utc").tcb.jyear) - 2016.0
    x, y, z = get_body_barycentric("earth", Time(mjd, format="mjd")).xyz.to_value("AU")
    a, d = np.radians(stars.ra), np.radians(stars.dec)
    east = stars.pmra * years + stars.parallax * (x * np.sin(a) - y * np.cos(a))
    north = stars.pmdec * years + stars.parallax * (
        x * np.cos(a) * np.sin(d) + y * np.sin(a) * np.sin(d) - z * np.cos(d)
    )
    ra, dec = positions_at(stars, mjd)
    assert np.abs((ra - stars.ra) * np.cos(d) * 3.6e6 - east).max() < 0.01
    assert np.abs((dec - stars.dec) * 3.6e6 - north).max() < 0.01
    assert np.abs(east).max() > 20


def test_no_stars_are_no_trouble() -> None:
    none = STARS.chosen(np.zeros(len(STARS), dtype=bool))
    assert [len(values) for values in positions_at(none, 55993.2)] == [0, 0]


def test_the_field_is_filled_evenly_to_its_edge() -> None:
    east = (STARS.ra - CIRCLE[0]) * np.cos(np.radians(CIRCLE[1]))
    distance = np.hypot(east, STARS.dec - CIRCLE[1]) / CIRCLE[2]
    assert distance.max() <= 1.0 + 1e-6
    assert np.mean(distance < 0.5) == pytest.approx(0.25, abs=0.02)


def test_gaias_errors_are_what_they_claim(extract: GaiaExtract) -> None:
    table, index = extract.table, extract.star_index
    real = index >= 0
    calm = real & (np.asarray(table["ruwe"].filled(9.0)) < 1.3)
    star = STARS.chosen(index[calm])
    deviations = {
        "ra": (table["ra"][calm] - star.ra) * np.cos(np.radians(star.dec)) * 3.6e6,
        "dec": (table["dec"][calm] - star.dec) * 3.6e6,
        "pmra": table["pmra"][calm] - star.pmra,
        "pmdec": table["pmdec"][calm] - star.pmdec,
        "parallax": table["parallax"][calm] - star.parallax,
    }
    scaled = {name: np.asarray(value / table[f"{name}_error"][calm]) for name, value in deviations.items()}
    for values in scaled.values():
        assert np.std(values) == pytest.approx(1.0, abs=0.06)
    product = scaled["ra"] * scaled["dec"] - np.asarray(table["ra_dec_corr"][calm])
    assert np.mean(product) == pytest.approx(0.0, abs=0.06)
    assert np.std(table["ra_dec_corr"]) > 0.1


def test_faint_stars_are_measured_worse(extract: GaiaExtract) -> None:
    g, error = extract.table["phot_g_mean_mag"], extract.table["ra_error"]
    assert np.median(error[g < 17]) < 0.1
    assert np.median(error[g > 20.2]) > 0.4


def test_the_extract_has_gaias_faults(extract: GaiaExtract) -> None:
    table = extract.table
    without_motion = table["pmra"].mask
    assert 0.05 < without_motion.mean() < 0.4
    assert (table["astrometric_params_solved"][without_motion] == 3).all()
    assert table["parallax_error"].mask[without_motion].all()
    assert not table["ra_error"].mask.any() if hasattr(table["ra_error"], "mask") else True
    interlopers = extract.star_index < 0
    assert 0.02 < interlopers.mean() < 0.05
    listed = np.isin(np.arange(len(STARS)), extract.star_index)
    bright = STARS.g < 18.0
    assert 0.9 < listed[bright].mean() < 0.99
    assert (table["ruwe"].filled(1.0) > 1.4).mean() > 0.02
    assert not listed[STARS.g > 20.9].any()


def test_a_hole_holds_no_source(extract: GaiaExtract) -> None:
    """Among bright stars alone (96 % complete) a circle of an eighth of the field's radius is empty."""
    bright = (STARS.g < 20.5) & ~np.isin(np.arange(len(STARS)), extract.star_index)
    missing = np.array([(STARS.ra - CIRCLE[0]) * np.cos(np.radians(CIRCLE[1])), STARS.dec - CIRCLE[1]])[
        :, bright
    ]
    step = 0.08 * CIRCLE[2]
    crowding = [np.sum(np.hypot(*(missing - place[:, None])) < step) for place in missing.T]
    assert max(crowding) > 5 * np.median(crowding)


def test_source_ids_are_unique_and_hold_their_healpix_cell(extract: GaiaExtract) -> None:
    from astropy import units as u
    from astropy_healpix import HEALPix

    ids = np.asarray(extract.table["source_id"])
    assert len(np.unique(ids)) == len(ids)
    ra, dec = extract.table["ra"] * 1.0, extract.table["dec"] * 1.0
    cells = HEALPix(4096, "nested").lonlat_to_healpix(np.asarray(ra) * u.deg, np.asarray(dec) * u.deg)
    assert (ids >> 35 == cells).all()


pointings = st.builds(
    Pointing, st.floats(0, 359.99), st.floats(-89.5, 89.5), st.floats(0, 359.99), st.floats(0.999, 1.001)
)


@settings(max_examples=60, deadline=None)
@given(old=pointings, new=pointings)
def test_carrying_a_wcs_equals_building_it_there(old: Pointing, new: Pointing) -> None:
    chip = CHIPS[1]
    there = chip_wcs(new, (2.1, 52.0), chip.linear_matrix, 1.00004)
    carried = repointed(chip_wcs(old, (2.1, 52.0), chip.linear_matrix, 1.00004), old, new)
    assert corner_distance_mas(carried, there) < 0.002


def corner_distance_mas(first: LinearWcs, second: LinearWcs) -> float:
    """Distance of the places that two linear WCSs give the corner of a chip."""
    places = []
    for wcs in (first, second):
        xi, eta = wcs.cd @ np.array([2048.0, 1024.0])
        places.append(offset_position(*wcs.crval, np.degrees(np.arctan2(xi, eta)), np.hypot(xi, eta)))
    (ra1, dec1), (ra2, dec2) = np.radians(places)
    sine = np.sqrt(
        np.sin((dec2 - dec1) / 2) ** 2 + np.cos(dec1) * np.cos(dec2) * np.sin((ra2 - ra1) / 2) ** 2
    )
    return float(np.degrees(2 * np.arcsin(sine)) * 3.6e6)


@settings(max_examples=60, deadline=None)
@given(start=pointings, angle=st.floats(0, 360), distance=st.floats(1e-3, 1.0))
def test_convergence_is_the_growth_of_the_position_angle(
    start: Pointing, angle: float, distance: float
) -> None:
    here = SkyCoord(start.ra, start.dec, unit="deg")
    there = SkyCoord(*offset_position(start.ra, start.dec, angle, distance), unit="deg")
    out, back = here.position_angle(there).deg, there.position_angle(here).deg
    ours = meridian_convergence(start.ra, start.dec, there.ra.deg, there.dec.deg)
    assert abs((back + 180 - out - ours + 180) % 360 - 180) < 1e-7
    assert here.separation(there).deg == pytest.approx(distance, abs=1e-10)


@settings(max_examples=60, deadline=None)
@given(start=pointings, east=st.floats(-50, 50), north=st.floats(-50, 50), roll=st.floats(-1, 1))
def test_moving_there_and_back_is_no_move(start: Pointing, east: float, north: float, roll: float) -> None:
    there = start.moved(east, north, roll)
    turn = np.radians(meridian_convergence(start.ra, start.dec, there.ra, there.dec))
    distance, home = np.hypot(east, north), np.arctan2(-east, -north) + turn
    back = there.moved(distance * np.sin(home), distance * np.cos(home), -roll)
    assert position_distance_mas(start, back) < 1e-3
    assert abs((back.pa_v3 - start.pa_v3 + 180) % 360 - 180) < 1e-6


def position_distance_mas(a: Pointing, b: Pointing) -> float:
    one, other = (LinearWcs((p.ra, p.dec), np.zeros((2, 2))) for p in (a, b))
    return corner_distance_mas(one, other)


@pytest.mark.parametrize(
    "name", ["headers/sample_svm_flc.fits", "headers/2chipA_old.fits.gz", "hrc_47tuc/j8bt06nyq_flt.fits"]
)
def test_velocity_aberration_agrees_with_real_headers(name: str) -> None:
    """To 2.6e-5: the orbit's 7.6 km/s, whose phase we do not know."""
    with fits.open(data_file(name)) as hdus:
        primary, science = hdus[0].header, hdus["SCI", 1].header
        middle = (primary["EXPSTART"] + primary["EXPEND"]) / 2
        ours = velocity_aberration(primary["RA_TARG"], primary["DEC_TARG"], middle)
        assert ours == pytest.approx(science["VAFACTOR"], abs=2.6e-5)
        assert abs(ours - 1.0) > 1e-6


def test_aberration_scales_pixels_and_the_distance_of_the_chips() -> None:
    pointing = Pointing(10.0, 20.0, 30.0)
    plain, aberrated = (
        own_distorted_wcs(ACS_WFC, "jhap01a0q", pointing, v, (2048, 4096), "F606W") for v in (1.0, 1.0001)
    )
    for before, after in zip(plain.chip_headers, aberrated.chip_headers, strict=True):
        assert linear_wcs(after).cd == pytest.approx(linear_wcs(before).cd * 1.0001, rel=1e-6)
    apart = [
        np.hypot(*np.subtract(linear_wcs(w.chip_headers[1]).crval, linear_wcs(w.chip_headers[0]).crval))
        for w in (plain, aberrated)
    ]
    assert apart[1] / apart[0] == pytest.approx(1.0001, rel=1e-6)


def test_zeropoints_are_the_cameras_to_a_few_hundredths() -> None:
    published = {"F435W": 25.66, "F606W": 26.49, "F814W": 25.94}
    for name, zeropoint in published.items():
        assert FILTERS[name].ab_zeropoint == pytest.approx(zeropoint, abs=0.04)


def test_a_chosen_star_is_that_star() -> None:
    one = STARS.chosen(np.array([17]))
    assert one == replace(one)
    assert isinstance(one, Stars)
    assert (one.ra[0], one.g[0]) == (STARS.ra[17], STARS.g[17])
