"""Propagation of reference stars, against independent computations."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Distance, SkyCoord, SphericalRepresentation, get_body_barycentric
from astropy.table import Table
from astropy.time import Time
from hapctl.processing.astrometry import propagation
from hapctl.processing.astrometry.propagation import (
    complete_astrometry,
    epoch_and_earth,
    mean_motion,
    propagate,
)
from hapctl.processing.astrometry.reference_stars import ReferenceStars, reference_stars
from support.data import data_file

MJD_2002 = 52377.2  # the night of the 47 Tuc exposures


def separations_mas(ra1, dec1, ra2, dec2):
    return SkyCoord(ra1, dec1, unit="deg").separation(SkyCoord(ra2, dec2, unit="deg")).mas


def moving_stars(number=50, seed=4, **changes):
    random = np.random.default_rng(seed)
    columns = {
        "ra": random.uniform(0, 360, number),
        "dec": np.degrees(np.arcsin(random.uniform(-0.999, 0.999, number))),
        "ref_epoch": 2016.0,
        "parallax": random.uniform(0.5, 400, number),
        "pmra": random.normal(0, 2000, number),
        "pmdec": random.normal(0, 2000, number),
        "ra_error": 0.1,
        "dec_error": 0.2,
        "parallax_error": 0.15,
        "pmra_error": 0.3,
        "pmdec_error": 0.25,
    } | changes
    return reference_stars(**columns)


def test_motion_agrees_with_astropy_space_motion():
    stars = moving_stars()
    velocity = np.random.default_rng(5).normal(0, 100, len(stars))
    moved = propagate(stars, MJD_2002, radial_velocity=velocity)
    at_start = SkyCoord(
        stars.ra * u.deg,
        stars.dec * u.deg,
        pm_ra_cosdec=stars.pmra * u.mas / u.yr,
        pm_dec=stars.pmdec * u.mas / u.yr,
        distance=Distance(parallax=stars.parallax * u.mas),
        radial_velocity=velocity * u.km / u.s,
        obstime=Time(2016.0, format="jyear", scale="tdb"),
    )
    then = at_start.apply_space_motion(new_obstime=Time(MJD_2002, format="mjd", scale="utc"))
    earth = get_body_barycentric("earth", Time(MJD_2002, format="mjd"), ephemeris="builtin")
    seen = (then.cartesian.without_differentials() - earth).represent_as(SphericalRepresentation)
    assert separations_mas(moved.ra, moved.dec, seen.lon.deg, seen.lat.deg).max() < 0.01


def test_motion_reaches_across_the_pole_and_ra_zero():
    stars = reference_stars([0.00001, 359.99999], [89.99999, 10.0], pmra=[0.0, 5000.0], pmdec=[-5000.0, 0.0])
    moved = propagate(stars, 51544.5)
    assert moved.epoch == pytest.approx(2000.0, abs=1e-5)
    # 80 arcsec towards the pole from 0.036 arcsec away ends 79.96 arcsec beyond it
    assert moved.dec[0] == pytest.approx(90 - (80 - 0.036) / 3600, abs=1e-7)
    assert moved.ra[0] == pytest.approx(180.00001, abs=1e-4)
    assert moved.ra[1] == pytest.approx(359.99999 - 80 / 3600 / np.cos(np.radians(10)), abs=1e-6)


def test_reference_epoch_of_each_star_counts():
    stars = reference_stars([10.0, 10.0], [0.0, 0.0], pmra=100.0, pmdec=0.0, ref_epoch=[2015.5, 2016.0])
    moved = propagate(stars, MJD_2002)
    assert (moved.ra[1] - moved.ra[0]) * 3.6e6 == pytest.approx(-50.0, abs=1e-3)


def test_parallax_is_that_of_the_almanac():
    """Against the low-precision Sun of the Astronomical Almanac (0.01 au with the barycentre)."""
    stars = reference_stars([50.0, 200.0], [20.0, -60.0], parallax=100.0, pmra=0.0, pmdec=0.0)
    for mjd in (51544.5, 51640.0, 51740.0, 51830.0):
        days = mjd - 51544.5
        mean = np.radians(357.528 + 0.9856003 * days)
        longitude = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(mean) + 0.020 * np.sin(2 * mean))
        tilt = np.radians(23.439)
        distance = 1.00014 - 0.01671 * np.cos(mean) - 0.00014 * np.cos(2 * mean)
        x, y, z = distance * np.array(
            [np.cos(longitude), np.cos(tilt) * np.sin(longitude), np.sin(tilt) * np.sin(longitude)]
        )
        ra, dec = np.radians(stars.ra), np.radians(stars.dec)
        east = 100.0 * (y * np.cos(ra) - x * np.sin(ra))  # explanatory supplement, eq. 3.28-5
        north = 100.0 * (z * np.cos(dec) - x * np.cos(ra) * np.sin(dec) - y * np.sin(ra) * np.sin(dec))
        seen = propagate(stars, mjd)
        assert (seen.ra - stars.ra) * np.cos(dec) * 3.6e6 == pytest.approx(east, abs=1.2)
        assert (seen.dec - stars.dec) * 3.6e6 == pytest.approx(north, abs=1.2)


def test_earth_agrees_with_astropy():
    epoch, earth = epoch_and_earth(MJD_2002)
    time = Time(MJD_2002, format="mjd", scale="utc")
    assert epoch == pytest.approx(time.tdb.jyear, abs=1e-9)
    expected = get_body_barycentric("earth", time, ephemeris="builtin").xyz.to_value(u.au)
    assert earth == pytest.approx(expected, abs=1e-9)


def random_correlations(number, seed):
    random = np.random.default_rng(seed)
    factors = random.normal(size=(number, 5, 9))
    covariance = factors @ factors.transpose(0, 2, 1)
    scale = np.sqrt(np.einsum("nii->ni", covariance))
    full = covariance / scale[:, :, None] / scale[:, None, :]
    return full[:, *np.triu_indices(5, k=1)], full


def test_covariance_agrees_with_monte_carlo():
    correlations, full = random_correlations(4, 6)
    stars = moving_stars(4, dec=[-72.0, 0.0, 45.0, 88.0], correlations=correlations)
    random = np.random.default_rng(7)
    moved = propagate(stars, MJD_2002, radial_velocity=300.0)
    names = ("ra_error", "dec_error", "parallax_error", "pmra_error", "pmdec_error")
    for star in range(4):
        errors = np.array([getattr(stars, name)[star] for name in names])
        draws = random.multivariate_normal(np.zeros(5), full[star] * np.outer(errors, errors), 60_000)
        cos_dec = np.cos(np.radians(stars.dec[star]))
        drawn = reference_stars(
            stars.ra[star] + draws[:, 0] / 3.6e6 / cos_dec,
            stars.dec[star] + draws[:, 1] / 3.6e6,
            parallax=stars.parallax[star] + draws[:, 2],
            pmra=stars.pmra[star] + draws[:, 3],
            pmdec=stars.pmdec[star] + draws[:, 4],
        )
        there = propagate(drawn, MJD_2002, radial_velocity=300.0)
        east = (there.ra - moved.ra[star]) * 3.6e6 * np.cos(np.radians(moved.dec[star]))
        found = np.cov(east, (there.dec - moved.dec[star]) * 3.6e6)
        size = np.sqrt(np.outer(np.diag(found), np.diag(found)))
        assert np.abs(moved.covariance[star] - found).max() / size.max() < 0.02


def test_radial_velocity_puts_the_parallax_into_the_covariance():
    """With a perspective of 1 mas per mas of parallax the analytic term must match a difference."""
    star = {"pmra": 50_000.0, "pmdec": -20_000.0, "parallax": 500.0, "pmra_error": 0.0, "pmdec_error": 0.0}
    star |= {"ra_error": 0.0, "dec_error": 0.0, "parallax_error": 1.0}
    at = propagate(reference_stars([30.0], [10.0], **star), 36934.0, radial_velocity=500.0)
    up = propagate(
        reference_stars([30.0], [10.0], **star | {"parallax": 501.0}), 36934.0, radial_velocity=500.0
    )
    east = (up.ra - at.ra)[0] * 3.6e6 * np.cos(np.radians(at.dec[0]))
    north = (up.dec - at.dec)[0] * 3.6e6
    expected = np.array([[east**2, east * north], [east * north, north**2]])
    assert abs(east) > 0.5
    assert at.covariance[0] == pytest.approx(expected, rel=5e-3)


def cluster(number, without, seed=8):
    random = np.random.default_rng(seed)
    pmra, pmdec = random.normal(5.25, 0.5, number), random.normal(-2.55, 0.4, number)
    pmra[:without] = np.nan
    pmdec[:without] = np.nan
    dec = random.uniform(-72.09, -72.07, number)
    return reference_stars(
        random.uniform(6, 6.05, number), dec, pmra=pmra, pmdec=pmdec, ra_error=0.1, dec_error=0.1
    )


def test_stars_without_motion_move_with_the_field():
    stars = cluster(400, 100)
    moved = propagate(stars, MJD_2002)
    field = moved.field_motion
    assert field.stars > 280
    assert (field.pmra, field.pmdec) == pytest.approx((5.25, -2.55), abs=0.1)
    assert (field.dispersion_ra, field.dispersion_dec) == pytest.approx((0.5, 0.4), rel=0.15)
    assert list(moved.motion_origin[[0, 99, 100]]) == ["field", "field", "own"]
    years = 2016.0 - moved.epoch
    shift = (stars.dec[:100] - moved.dec[:100]) * 3.6e6
    assert shift == pytest.approx(field.pmdec * years, abs=1e-4)
    expected = np.sqrt(0.1**2 + (field.dispersion_dec * years) ** 2)
    assert moved.dec_error[:100] == pytest.approx(expected, rel=0.03)  # the parallax adds a little


def test_the_mean_motion_is_not_moved_by_interlopers():
    stars = cluster(60, 0)
    motions = stars.pmra.copy()
    motions[:8] = [90, -300, 45, 60, -80, 20, 30, 500]
    spoiled = ReferenceStars(**{**stars.__dict__, "pmra": motions})
    assert mean_motion(spoiled).pmra == pytest.approx(mean_motion(stars[8:]).pmra, abs=0.1)
    assert mean_motion(spoiled).dispersion_ra < 0.8


def test_four_motions_are_too_few_for_a_mean():
    few = cluster(10, 6)
    assert mean_motion(few) is None
    assert mean_motion(cluster(10, 5)).stars == 5
    moved = propagate(few, MJD_2002)
    assert list(moved.motion_origin[:6]) == ["none"] * 6
    assert moved.dec[:6] == pytest.approx(few.dec[:6], abs=1e-12)
    years = 2016.0 - moved.epoch
    assert moved.ra_error[:6] == pytest.approx(propagation.UNKNOWN_MOTION_MAS_YEAR * years, rel=0.01)


def test_a_given_field_motion_is_used():
    given = propagation.FieldMotion(1.0, 2.0, 0.1, 0.1, 30)
    moved = propagate(cluster(10, 6), MJD_2002, field_motion=given)
    assert moved.field_motion is given
    assert list(moved.motion_origin[:6]) == ["field"] * 6


def test_unknown_errors_take_the_stated_defaults():
    star = reference_stars([30.0], [-40.0], pmra=1.0, pmdec=1.0, parallax=0.0)
    years = 2016.0 - propagate(star, MJD_2002).epoch
    position = propagation.POSITION_ERROR_MAS
    motion = propagation.ERROR_RATIO * position * years
    assert propagate(star, MJD_2002).ra_error[0] == pytest.approx(np.hypot(position, motion), rel=0.01)
    known = reference_stars([30.0], [-40.0], pmra=1.0, pmdec=1.0, parallax=0.0, ra_error=0.04, dec_error=0.04)
    assert propagate(known, MJD_2002).dec_error[0] == pytest.approx(0.04 * np.hypot(1, 1.3 * years), rel=0.01)


def test_real_cluster_motion():
    table = Table.read(data_file("hrc_47tuc/gaia_dr3_47tuc_core.ecsv"), format="ascii.ecsv")
    motions = {name: np.ma.filled(table[name], np.nan) for name in ("pmra", "pmdec")}
    stars = reference_stars(np.array(table["ra"]), np.array(table["dec"]), **motions)
    moved = propagate(stars, MJD_2002)
    assert np.isfinite(stars.pmra).sum() == 49
    assert (moved.field_motion.pmra, moved.field_motion.pmdec) == pytest.approx((5.25, -2.55), abs=0.4)
    assert np.count_nonzero(moved.motion_origin == "field") == 63
    assert np.isfinite(moved.covariance).all()


def test_unknown_columns_are_a_programming_error():
    with pytest.raises(TypeError, match="pm_ra"):
        reference_stars([1.0], [1.0], pm_ra=3.0)


@pytest.mark.filterwarnings("ignore:ERFA function:erfa.ErfaWarning")
def test_five_parameters_at_an_epoch_agree_with_astropy():
    """Near a pole east and north turn on the way, and the motions with them."""
    stars = moving_stars(pmra=1500.0, pmdec=-2500.0, dec=np.linspace(89.9, -89.9, 50))
    moved = complete_astrometry(stars, 1995.5)
    at_start = SkyCoord(
        stars.ra * u.deg,
        stars.dec * u.deg,
        pm_ra_cosdec=stars.pmra * u.mas / u.yr,
        pm_dec=stars.pmdec * u.mas / u.yr,
        distance=np.full(50, 1000.0) * u.pc,  # so far that the light time changes nothing
        radial_velocity=np.zeros(50) * u.km / u.s,
        obstime=Time(2016.0, format="jyear", scale="tdb"),
    )
    then = at_start.apply_space_motion(new_obstime=Time(1995.5, format="jyear", scale="tdb"))
    assert separations_mas(moved.ra, moved.dec, then.ra.deg, then.dec.deg).max() < 0.02
    np.testing.assert_allclose(moved.pmra, then.pm_ra_cosdec.to_value(u.mas / u.yr), atol=0.02)
    np.testing.assert_allclose(moved.pmdec, then.pm_dec.to_value(u.mas / u.yr), atol=0.02)


def test_full_covariance_at_an_epoch_agrees_with_monte_carlo():
    random = np.random.default_rng(12)
    correlations = random.uniform(-0.3, 0.3, 10)
    one = {"ra": [40.0], "dec": [80.0], "parallax": [3.0], "pmra": [2000.0], "pmdec": [-900.0]}
    errors = {name: 0.1 * (1 + k) for k, name in enumerate(("ra", "dec", "parallax", "pmra", "pmdec"))}
    star = reference_stars(
        **one, **{f"{name}_error": value for name, value in errors.items()}, correlations=[correlations]
    )
    start = complete_astrometry(star).covariance[0]
    assert np.sqrt(np.diag(start)) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert start[0, 1] == pytest.approx(correlations[0] * 0.02)
    draws = random.multivariate_normal(np.zeros(5), start, 20000)
    cos_dec = np.cos(np.radians(80.0))
    many = reference_stars(
        40.0 + draws[:, 0] / 3.6e6 / cos_dec,
        80.0 + draws[:, 1] / 3.6e6,
        parallax=3.0 + draws[:, 2],
        pmra=2000.0 + draws[:, 3],
        pmdec=-900.0 + draws[:, 4],
    )
    mean, moved = complete_astrometry(star, 2031.0), complete_astrometry(many, 2031.0)
    offsets = np.stack(
        [
            (moved.ra - mean.ra) * 3.6e6 * np.cos(np.radians(mean.dec)),
            (moved.dec - mean.dec) * 3.6e6,
            moved.parallax - mean.parallax,
            moved.pmra - mean.pmra,
            moved.pmdec - mean.pmdec,
        ]
    )
    found = np.cov(offsets)
    scale = np.sqrt(np.outer(np.diag(found), np.diag(found)))
    assert np.abs((mean.covariance[0] - found) / scale).max() < 0.03


def test_at_their_own_epochs_the_stars_stay_where_they_are():
    stars = moving_stars(ref_epoch=np.linspace(1998, 2016, 50))
    complete = complete_astrometry(stars)
    assert np.array_equal(complete.epoch, stars.ref_epoch)
    np.testing.assert_allclose(complete.ra, stars.ra, atol=1e-12)
    np.testing.assert_allclose(complete.dec, stars.dec, atol=1e-12)
    assert np.array_equal(complete.pmra, stars.pmra)


def test_complete_astrometry_and_propagation_agree_where_there_is_no_parallax():
    stars = moving_stars(parallax=0.0, parallax_error=0.0)
    moved = propagate(stars, MJD_2002)
    complete = complete_astrometry(stars, moved.epoch)
    assert separations_mas(moved.ra, moved.dec, complete.ra, complete.dec).max() < 1e-4
    np.testing.assert_allclose(complete.covariance[:, :2, :2], moved.covariance, rtol=1e-9)
