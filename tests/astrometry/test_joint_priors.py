"""Guide-star sets and priors from the facts of headers."""

from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.joint_priors import (
    PointingFacts,
    exposure_priors,
    facts_of,
    guide_star_sets,
    guide_stars,
)
from hapctl.processing.astrometry.solution import WcsSolution

PLAIN = PointingFacts("jabc01aaq", "jabc01", "WFC", 54000.0, "FINE", "IDC_0461802ej", updated=True)
MINUTES = 1.0 / 1440.0


def after(minutes: float, **changes: object) -> PointingFacts:
    """The plain exposure, later and otherwise changed."""
    later = replace(PLAIN, start_mjd=PLAIN.start_mjd + minutes * MINUTES)
    return replace(later, **changes)  # type: ignore[arg-type]


def test_sets_end_with_the_lock_or_an_hour_and_are_of_one_visit_and_detector() -> None:
    facts = [
        after(0),
        after(50),
        after(105),
        after(170),
        after(180, fgs_lock="FINE/GYRO"),
        after(20, detector="HRC"),
        after(30, visit="jabc02"),
    ]
    assert guide_star_sets(facts) == (0, 0, 0, 3, 4, 1, 2)


def test_order_does_not_matter() -> None:
    facts = [after(minutes) for minutes in (100, 0, 50, 300)]
    assert guide_star_sets(facts) == (0, 0, 0, 1)


def test_known_guide_stars_decide_instead_of_the_clock() -> None:
    pair, other = ("N0T4000123", "N0T4000456"), ("N0T4000123", "N0T4000789")
    facts = [after(0, guide_stars=pair), after(200, guide_stars=pair), after(210, guide_stars=other)]
    assert guide_star_sets(facts) == (0, 0, 1)


def test_guide_stars_are_read_from_either_kind_of_engineering_header() -> None:
    assert guide_stars({"DGESTAR": "N0T4000123F1 ", "SGESTAR": "N0T4000456F2"}) == (
        "N0T4000123F1",
        "N0T4000456F2",
    )
    assert guide_stars({"GSD_ID": "0412900312", "GSR_ID": "N/A"}) == ("0412900312",)
    assert guide_stars({"DGESTAR": "N/A"}) == ()


@pytest.mark.parametrize(
    ("changes", "pointing", "scale"),
    [
        ({}, 1.0, 3e-5),
        ({"wcsname": "OPUS"}, 1.0, 3e-5),
        ({"start_mjd": 58100.0}, 0.3, 3e-5),
        ({"wcsname": "IDC_0461802ej-GSC240"}, 0.3, 3e-5),
        ({"wcsname": "IDC_0461802ej-HSC30"}, 0.3, 3e-5),
        ({"wcsname": "IDC_0461802ej-FIT_SVM_NONE"}, 1.0, 3e-5),
        ({"updated": False}, 1.0, 1e-3),
    ],
)
def test_what_a_header_rests_on_decides_how_far_it_is_trusted(
    changes: dict[str, object], pointing: float, scale: float
) -> None:
    prior = exposure_priors([after(0, **changes)])[0].prior
    assert (prior.pointing, prior.scale, prior.relative_pointing) == (pointing, scale, 0.005)
    assert (prior.skew > 0) == (scale == 1e-3)
    assert prior.covariance is None


@pytest.mark.parametrize("lock", ["FINE/GYRO", "GY", "COARSE", ""])
def test_without_guide_stars_an_exposure_points_on_its_own(lock: str) -> None:
    prior = exposure_priors([after(0, fgs_lock=lock)])[0].prior
    assert prior.relative_pointing is None


def test_a_fit_to_gaia_brings_its_covariance() -> None:
    name = "IDC_0461802ej-FIT_REL_GAIAeDR3"
    solution = WcsSolution("jabc01aaq", name, (), {"RMS_RA": 6.0, "RMS_DEC": 8.0, "NMATCHES": 25})
    facts = facts_of(solution, visit="jabc01", detector="WFC", start_mjd=54000.0, fgs_lock=None)
    stated = exposure_priors([facts])[0]
    covariance = stated.prior.covariance
    assert covariance is not None
    assert np.sqrt(covariance[0, 0]) == pytest.approx(np.hypot(0.005, 0.0014142), rel=1e-3)
    assert "fit to Gaia" in stated.why
    own = np.diag([1e-6, 1e-6, 1e-12, 1e-10])
    assert exposure_priors([replace(facts, covariance=own)])[0].prior.covariance is own


def test_a_fit_that_failed_says_nothing() -> None:
    name = "IDC_0461802ej-FIT_REL_GAIAeDR3"
    solution = WcsSolution("jabc01aaq", name, (), {"RMS_RA": -1.0, "RMS_DEC": -1.0, "NMATCHES": 0})
    facts = facts_of(solution, visit="jabc01", detector="WFC", start_mjd=54000.0, fgs_lock="FINE")
    prior = exposure_priors([facts])[0].prior
    assert prior.covariance is None
    assert prior.pointing == 0.3
