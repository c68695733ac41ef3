"""Gaia made fit to align to: what goes, what grows, and the spin of the bright frame."""

import numpy as np
import pytest
from astropy.table import Table
from hapctl.archive.gaia_columns import stars_from_table
from hapctl.processing.astrometry.gaia_cleaning import (
    LARGEST_FACTOR,
    SPIN_DR2,
    SPIN_EDR3,
    clean_stars,
    crowding_factor,
    error_factor,
    magnitude_factor,
    without_spin,
)
from hapctl.processing.astrometry.reference_stars import reference_stars
from hypothesis import given
from hypothesis import strategies as st
from support.data import data_file


def sparse(number=5, **columns):
    """Stars a degree apart."""
    given = {"ra_error": 0.1, "dec_error": 0.1, "phot_g_mean_mag": 19.0, "pmra": 1.0, "pmdec": -1.0}
    return reference_stars(100.0 + np.arange(number), np.full(number, 20.0), **(given | columns))


def test_bad_solutions_go_and_unknown_ones_stay():
    stars = sparse(ruwe=[1.0, 1.39, 1.4, np.nan, 8.0], duplicated_source=[True, False, False, False, False])
    cleaned = clean_stars(stars, "gaiadr3")
    assert list(cleaned.stars.source_id) == ["1", "3"]
    assert [(star.source_id, star.code) for star in cleaned.removed] == [
        ("0", "duplicated"),
        ("2", "ruwe"),
        ("4", "ruwe"),
    ]
    assert cleaned.removed[2].reason == "RUWE 8.00, not below 1.4"
    assert cleaned.counts() == {"ruwe": 2, "duplicated": 1, "same-place": 0}


def test_of_two_rows_at_one_place_the_more_certain_stays():
    step = np.array([0.0, 0.1, 0.3, 200.0]) / 3600.0
    stars = reference_stars(
        np.full(4, 10.0), step, source_id=["a", "b", "c", "d"], ra_error=[0.5, 0.1, 0.2, 0.1], dec_error=0.1
    )
    cleaned = clean_stars(stars, "2mass")
    assert list(cleaned.stars.source_id) == ["b", "c", "d"]
    assert cleaned.removed[0].reason == "the same place as b, which is more certain"
    assert (cleaned.inflation == 1.0).all()
    assert (cleaned.stars.ra_error == [0.1, 0.2, 0.1]).all()


def test_nothing_is_nothing():
    cleaned = clean_stars(sparse(3)[:0], "gaiadr3")
    assert (len(cleaned.stars), cleaned.removed, len(cleaned.inflation)) == (0, (), 0)


# -- errors


@pytest.mark.parametrize(
    ("magnitude", "factor"), [(9.0, 1.127), (12.65, 1.30), (14.0, 1.10), (17.0, 1.03), (20.5, 1.0)]
)
def test_errors_by_magnitude(magnitude, factor):
    """The values of the published curve."""
    assert magnitude_factor(np.array([magnitude]))[0] == pytest.approx(factor, abs=0.011)


def test_all_errors_of_a_star_grow_alike():
    stars = sparse(2, phot_g_mean_mag=[12.65, np.nan], parallax_error=0.2, pmra_error=0.3, pmdec_error=np.nan)
    cleaned = clean_stars(stars, "gaiadr3")
    factor = cleaned.inflation
    assert factor[0] == pytest.approx(1.31, abs=0.01)
    assert factor[1] == pytest.approx(1.03, abs=0.01)
    for name, stated in (("ra_error", 0.1), ("parallax_error", 0.2), ("pmra_error", 0.3)):
        np.testing.assert_allclose(getattr(cleaned.stars, name), stated * factor)
    assert np.isnan(cleaned.stars.pmdec_error).all()


def test_a_lone_star_is_not_crowded():
    assert crowding_factor(np.array([10.0]), np.array([5.0]), np.array([18.0]))[0] == 1.0


def test_neighbours_count_by_nearness_and_brightness():
    """An equal star 1" away, one 2.5 magnitudes fainter, one beyond the window."""
    ra = np.array([10.0, 10.0, 20.0, 20.0, 30.0, 30.0])
    dec = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 2.5]) / 3600.0
    magnitude = np.array([18.0, 18.0, 15.0, 17.5, 18.0, 18.0])
    pair = (1.0 + (1.0 / (np.pi * 0.25)) / 10.0) ** 0.04  # the density one neighbour makes
    expected = np.array([1.5, 1.5, 1.05, 1.5, 1.0, 1.0]) * pair
    np.testing.assert_allclose(crowding_factor(ra, dec, magnitude), expected, rtol=1e-6)


@pytest.mark.parametrize(("density", "factor"), [(20, 1.045), (150, 1.117), (400, 2.32)])
def test_dense_fields_have_larger_errors(density, factor):
    """Stars on a lattice, so that there are no close neighbours; stated per square arcmin."""
    line = np.arange(-1.0, 1.0, 1.0 / np.sqrt(density)) / 60.0
    x, y = np.meshgrid(line, line)
    ra, dec = x.ravel() + 50.0, y.ravel()
    magnitude = np.full(ra.size, 20.0)
    magnitude[np.hypot(ra - 50.0, dec) > 0] = 30.0  # no neighbour matters
    middle = np.argmin(np.hypot(ra - 50.0, dec))
    magnitude[middle] = 10.0
    assert crowding_factor(ra, dec, magnitude)[middle] == pytest.approx(factor, abs=0.03)


@given(
    st.lists(st.tuples(st.floats(0, 0.003), st.floats(0, 0.003), st.floats(5, 22)), min_size=1, max_size=40)
)
def test_the_factor_keeps_its_limits(rows):
    ra, dec, magnitude = np.array(rows).T
    factor = error_factor(reference_stars(ra, dec, phot_g_mean_mag=magnitude))
    assert (factor >= 1.0).all()
    assert (factor <= LARGEST_FACTOR).all()


def test_the_core_of_47_tuc():
    """The real extract: RUWE beyond the limit goes, errors grow by half on average, none by more than 4."""
    table = Table.read(data_file("hrc_47tuc/gaia_dr3_47tuc_core.ecsv"), format="ascii.ecsv")
    stars = stars_from_table(table, 2016.0)
    cleaned = clean_stars(stars, "gaiadr3")
    bad = np.count_nonzero((stars.ruwe >= 1.4) | stars.duplicated_source)
    assert len(cleaned.stars) + len(cleaned.removed) == len(stars)
    assert bad <= len(cleaned.removed) <= bad + 2
    assert 1.1 < np.median(cleaned.inflation) < 1.6
    assert cleaned.inflation.max() <= 4.0


# -- spin


def published_motion(pmra, pmdec, ra, dec, spin):
    """Cantat-Gaudin & Brandt 2021, written out for one star by the cross product: v = omega x r."""
    ra, dec = np.radians(ra), np.radians(dec)
    outward = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    velocity = np.cross(np.array(spin) / 1000.0, outward)
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    return pmra - velocity @ east, pmdec - velocity @ north


@pytest.mark.parametrize(
    ("magnitude", "spin"),
    [
        (3.0, SPIN_EDR3[0]),
        (8.999, SPIN_EDR3[0]),
        (9.0, SPIN_EDR3[1]),
        (11.6, SPIN_EDR3[6]),
        (12.99, SPIN_EDR3[-1]),
    ],
)
def test_the_spin_of_dr3_is_that_of_the_table(magnitude, spin):
    ra, dec = np.array([10.0, 123.0, 300.0]), np.array([-80.0, 5.0, 60.0])
    stars = reference_stars(ra, dec, pmra=[1.0, 2.0, 3.0], pmdec=[-4.0, 5.0, 6.0], phot_g_mean_mag=magnitude)
    corrected, bright = without_spin(stars, "gaiadr3")
    assert bright.all()
    for row in range(3):
        expected = published_motion(stars.pmra[row], stars.pmdec[row], ra[row], dec[row], spin)
        assert (corrected.pmra[row], corrected.pmdec[row]) == pytest.approx(expected, abs=1e-12)


def test_faint_stars_and_other_catalogs_do_not_spin():
    stars = sparse(4, phot_g_mean_mag=[13.0, 20.0, np.nan, 10.0], pmra=[1.0, 1.0, 1.0, np.nan], pmdec=np.nan)
    corrected, bright = without_spin(stars, "gaiadr3")
    assert not bright.any()
    assert np.array_equal(corrected.pmra, stars.pmra, equal_nan=True)
    bright_ones = sparse(2, phot_g_mean_mag=8.0)
    assert not without_spin(bright_ones, "gsc242")[1].any()
    assert without_spin(bright_ones, "gaiaedr3")[1].all()


def test_the_spin_of_dr2_ends_at_thirteen():
    stars = sparse(4, phot_g_mean_mag=[9.0, 11.0, 12.0, 13.0])
    corrected, bright = without_spin(stars, "gaiadr2")
    assert list(bright) == [True, True, True, False]
    full = published_motion(1.0, -1.0, stars.ra[1], stars.dec[1], SPIN_DR2)
    assert (corrected.pmra[1], corrected.pmdec[1]) == pytest.approx(full)
    half = published_motion(1.0, -1.0, stars.ra[2], stars.dec[2], np.array(SPIN_DR2) / 2)
    assert (corrected.pmra[2], corrected.pmdec[2]) == pytest.approx(half)
    assert np.hypot(*np.array(full) - [1.0, -1.0]) == pytest.approx(0.12, abs=0.03)
