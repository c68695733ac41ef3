"""Priors of stars against the propagation of the catalog, exposure by exposure."""

import numpy as np
import pytest
from hapctl.processing.astrometry.joint_model import ExposurePrior
from hapctl.processing.astrometry.joint_problem import catalogs_at, exposure_in_plane, star_priors
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, sky_matrix_about
from hapctl.processing.astrometry.propagation import propagate
from hapctl.processing.astrometry.reference_stars import ReferenceStars, reference_stars

PLANE = TangentPlane(6.02, -72.08)
PRIOR = ExposurePrior(0, 0.3)


def moving_stars(count: int = 30) -> ReferenceStars:
    """Stars within 300 arcsec of the plane's tangent point, of which the last ten have no motion."""
    random = np.random.default_rng(2)
    ra = PLANE.ra + random.uniform(-300, 300, count) / 3600 / np.cos(np.radians(PLANE.dec))
    dec = PLANE.dec + random.uniform(-300, 300, count) / 3600
    motion = random.normal(0, 30.0, (2, count))
    motion[:, -10:] = np.nan
    return reference_stars(
        ra,
        dec,
        ra_error=0.3,
        dec_error=0.2,
        parallax=random.uniform(0, 5, count),
        parallax_error=0.1,
        pmra=motion[0],
        pmdec=motion[1],
        pmra_error=0.2,
        pmdec_error=0.3,
        correlations=np.tile(np.linspace(-0.3, 0.3, 10), (count, 1)),
        phot_g_mean_mag=np.linspace(14, 20, count),
    )


@pytest.mark.parametrize("mjd", [52377.0, 55000.0, 59900.0])
def test_stars_of_a_problem_are_where_and_as_well_known_as_the_propagation_says(mjd: float) -> None:
    """Five linear parameters at a common epoch, against the motion in space of each star to each date."""
    stars = moving_stars()
    priors = star_priors(stars, np.arange(len(stars)), 2008.3, PLANE)
    exposure = exposure_in_plane("jabc01aaq", mjd, np.array([50.0, -80.0]), PRIOR, PLANE)
    change = np.zeros((2, 5))
    change[:, :2], change[:, 2] = np.eye(2), exposure.parallax_factors
    change[:, 3:] = (exposure.epoch - 2008.3) * np.eye(2)
    catalog = catalogs_at(stars, [mjd], PLANE)[0]
    np.testing.assert_allclose(priors.mean @ change.T, catalog.points, atol=2e-5)
    covariance = change @ np.linalg.inv(priors.precision) @ change.T
    size = np.sqrt(np.trace(covariance, axis1=1, axis2=2) / 2.0)
    np.testing.assert_allclose(size[:20], catalog.errors[:20], rtol=2e-3)
    expected = propagate(stars, mjd)
    assert np.median(size[20:]) == pytest.approx(1e-3 * np.median(expected.ra_error[20:]), rel=0.5)


def test_stars_without_a_motion_of_their_own_answer_to_the_field() -> None:
    stars = moving_stars()
    rows = np.array([0, 25, -1])
    priors = star_priors(stars, rows, 2006.0, PLANE)
    assert priors.field is not None
    assert priors.in_catalog.tolist() == [True, True, False]
    assert np.isnan(priors.mean[2, :2]).all()
    response = priors.field.response
    assert (response[0] == 0).all()
    np.testing.assert_allclose(response[1], [[-10, 0], [0, -10], [0, 0], [1, 0], [0, 1]])
    np.testing.assert_allclose(response[2], [[0, 0], [0, 0], [0, 0], [1, 0], [0, 1]])
    assert priors.field.motion_error > 0


def test_without_a_catalog_the_mean_of_the_stars_defines_rest() -> None:
    priors = star_priors(None, np.full(4, -1), 2006.0, PLANE)
    assert priors.field is not None
    assert priors.field.motion_error == 0
    assert not priors.in_catalog.any()


@pytest.mark.parametrize("centre", [(0.0, 0.0), (600.0, -300.0), (-400.0, 450.0)])
@pytest.mark.parametrize(("shift", "roll"), [((3.0, -4.0), 0.05), ((0.3, 0.2), 0.003)])
def test_a_rigid_move_of_the_sky_is_the_fit_to_a_hundredth_of_a_milliarcsecond(
    centre: tuple[float, float], shift: tuple[float, float], roll: float
) -> None:
    middle = np.array(centre)
    turn = PlaneFit.similarity(np.zeros(2), roll, 1.0001).matrix
    fit = PlaneFit(middle + np.array(shift) - turn @ middle, turn)
    matrix = sky_matrix_about(fit, middle, PLANE)
    points = middle + np.random.default_rng(1).uniform(-110, 110, (200, 2))
    moved = PLANE.project(PLANE.deproject(points) @ matrix.T)
    assert np.abs(moved - fit(points)).max() < 1e-5
