"""Every limit of the rule refuses, with its code and its numbers; the rule is data."""

from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Evidence, ExposureResidual, judge
from hapctl.processing.errors import UsageProblemError

RULE = AcceptanceRule()
GOOD = Evidence(
    geometry="rscale",
    stars=30,
    decoy_score=6,
    log10_chance=-40.0,
    rotation_deg=0.01,
    scale=1.0001,
    shift_arcsec=1.7,
    rms_mas=8.0,
    exposures=(ExposureResidual("j8bt09jcq", 30, 0.5, 0.4),),
)


def test_good_evidence_is_accepted_with_its_numbers() -> None:
    verdict = judge(GOOD, RULE)
    assert verdict.accepted
    assert verdict.code == "accepted"
    for number in ("30 stars", "8.0 mas", "200", "6"):
        assert number in verdict.reason


@pytest.mark.parametrize(
    ("code", "change", "words"),
    [
        ("too-few-stars", {"stars": 7, "decoy_score": 0}, ["7 stars", "needs 8"]),
        ("too-few-stars", {"stars": 5, "decoy_score": 0, "geometry": "rshift"}, ["5 stars", "needs 6"]),
        ("too-few-stars", {"stars": 3, "decoy_score": 0, "geometry": "shift"}, ["3 stars", "needs 4"]),
        ("decoy-scores-as-high", {"decoy_score": 30}, ["200 decoys", "30"]),
        ("chance-limit", {"log10_chance": -4.9}, ["10^-4.9", "10^-5"]),
        ("rotation-limit", {"rotation_deg": -0.21}, ["0.21 degree", "0.2 degree"]),
        ("scale-limit", {"scale": 1.0011}, ["1100 x 1e-6", "1000 x 1e-6"]),
        ("scale-limit", {"scale": 0.9989}, ["1100 x 1e-6", "1000 x 1e-6"]),
        ("shift-limit", {"shift_arcsec": 6.5}, ["6.5 arcsec", "6 arcsec"]),
        ("rms-limit", {"rms_mas": 101.0}, ["101 mas", "100 mas"]),
        ("rms-limit", {"rms_mas": float("nan")}, ["nan"]),
        (
            "worst-exposure",
            {"exposures": (ExposureResidual("a" * 9, 20, 0.3, 0.4), ExposureResidual("b" * 9, 9, 5.1, 1.0))},
            ["bbbbbbbbb", "5.1 mas", "5.0 mas"],
        ),
    ],
)
def test_every_limit_refuses(code: str, change: dict[str, object], words: list[str]) -> None:
    verdict = judge(replace(GOOD, **change), RULE)  # type: ignore[arg-type]
    assert not verdict.accepted
    assert verdict.code == code
    for word in words:
        assert word in verdict.reason


def test_the_limit_itself_is_allowed() -> None:
    edge = replace(GOOD, stars=8, decoy_score=7, log10_chance=-5.0, rotation_deg=0.2, shift_arcsec=6.0)
    assert judge(edge, RULE).accepted
    near = ExposureResidual("c" * 9, 4, 2.9, 0.1)  # far beyond its error, but within the floor
    assert judge(replace(GOOD, exposures=(near,)), RULE).accepted


def test_all_broken_limits_are_told() -> None:
    verdict = judge(replace(GOOD, rotation_deg=1.0, shift_arcsec=9.0), RULE)
    assert verdict.code == "rotation-limit"
    assert "shift 9 arcsec" in verdict.reason


def test_the_rule_is_data() -> None:
    own = AcceptanceRule.from_content("mine", 3, {**RULE.content(), "most_rotation_deg": 0.005})
    assert (own.name, own.version) == ("mine", 3)
    assert judge(GOOD, own).code == "rotation-limit"
    assert AcceptanceRule.from_content(RULE.name, RULE.version, RULE.content()) == RULE
    with pytest.raises(UsageProblemError, match="most_wonderful"):
        AcceptanceRule.from_content("mine", 4, {"most_wonderful": 1})


def test_settings_follow_the_rule() -> None:
    settings = replace(RULE, search_radius_arcsec=7.0, error_floor_mas=2.0).absolute_settings()
    assert settings.radius == 7.0
    assert settings.floor == pytest.approx(0.002)
    assert [settings.geometry_for(n) for n in (3, 4, 6, 8, 50)] == [
        "shift", "shift", "rshift", "rscale", "rscale",
    ]  # fmt: skip
    assert np.isclose(RULE.relative_settings().tolerance, RULE.relative_tolerance_arcsec)
