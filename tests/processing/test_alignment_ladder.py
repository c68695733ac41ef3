"""Ladders and preferences: what their rungs and patterns mean."""

from dataclasses import replace

import numpy as np
import pytest
from hapctl.archive.preferences import Candidate, Preference, preferred
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_model import ExposurePrior
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.pipeline.alignment_ladder import Ladder, Rung

PRIOR = ExposurePrior(3, 0.3, covariance=np.eye(4))


def test_the_default_ladder_climbs_from_gaia_to_none() -> None:
    rungs = Ladder.default().rungs
    assert [rung.number for rung in rungs] == list(range(1, len(rungs) + 1))
    assert list(dict.fromkeys(rung.catalog for rung in rungs)) == ["GAIA", "GSC242", "2MASS", "NONE"]
    assert Ladder.from_content("again", Ladder.default().content()).rungs == rungs


def test_one_exposure_is_tried_once_with_each_catalog() -> None:
    alone = Ladder.default().for_exposures(1)
    assert [rung.catalog for rung in alone] == ["GAIA", "GSC242", "2MASS"]
    assert Ladder.of_catalog("NONE").for_exposures(1) == []
    assert len(Ladder.of_catalog("2MASS").for_exposures(2)) == 3


def test_geometries_hold_and_free_what_their_names_say() -> None:
    shift, rshift, rscale, general = (
        Rung(1, "GAIA", geometry=name).prior_for(PRIOR) for name in ("shift", "rshift", "rscale", "general")
    )
    assert shift.roll_deg < 1e-6 < rshift.roll_deg
    assert shift.relative_roll_deg < 1e-6
    assert rshift.scale < 1e-8 < rscale.scale
    assert rscale.skew == 0.0 < general.skew
    assert {prior.guide_star_set for prior in (shift, rshift, rscale, general)} == {3}
    assert general.covariance is None
    assert Rung(1, "GAIA").prior_for(PRIOR) is PRIOR


def test_a_rung_changes_the_rule_it_is_judged_by() -> None:
    rule = AcceptanceRule()
    direct = Rung(1, "GAIA", method="direct").rule_for(rule)
    assert direct.search_radius_arcsec == rule.direct_radius_arcsec < rule.search_radius_arcsec
    assert Rung(1, "GAIA", rule={"most_rms_mas": 7.0}).rule_for(rule) == replace(rule, most_rms_mas=7.0)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        "GAIA",
        [{"catalogue": "GAIA"}],
        [{"catalog": "GAIA", "methods": []}],
        [{"catalog": "GAIA", "methods": "relative"}],
        [{"catalog": "GAIA", "geometries": ["affine"]}],
        [{"catalog": "GAIA", "rule": {"nix": 1}}],
    ],
)
def test_a_ladder_that_is_none_is_refused(steps: object) -> None:
    with pytest.raises(UsageProblemError):
        Ladder.from_content("bad", {"steps": steps})


def test_preference_takes_the_first_pattern_then_the_newest() -> None:
    known = [
        Candidate(4, "IDC_a-GSC240", False),
        Candidate(3, "IDC_a", True),
        Candidate(2, "IDC_a-FIT_REL_GAIAeDR3", False),
        Candidate(1, "IDC_b-GSC240", False),
    ]
    assert preferred(known, ["primary"]) == known[1]
    assert preferred(known, ["*-HSC30", "*-GSC240"]) == known[0]
    assert preferred(known, [order for order in Preference().in_force if order != "primary"]) == known[2]
    assert preferred(known, ["TWEAK*"]) is None
