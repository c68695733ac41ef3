"""Every limit of the rule refuses, with its code and its numbers; the rule is data."""

from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Departure, Evidence, ExposureResidual
from hapctl.processing.astrometry.chance import SearchFigures, local_density
from hapctl.processing.astrometry.match_judging import judge_match
from hapctl.processing.astrometry.star_matching import Search, match_lists
from hapctl.processing.errors import UsageProblemError
from support.star_field import star_list

RULE = AcceptanceRule()
GOOD = Evidence(
    stars=5,
    decoy_score=2,
    log10_chance=0.0,
    rotation_deg=0.01,
    scale=1.0001,
    shift_arcsec=1.7,
    rms_mas=2.0,
    exposures=(ExposureResidual("j8bt09jcq", 5, 0.5, 0.4),),
    log10_expected=-9.0,
    confirmed=3,
    decoys=200,
    departures=(Departure("roll of guide-star set 0", "roll-prior", 1.2),),
    chi_log10_chance=-0.4,
    roll_freedom=0.3,
    single_star_mas=3.0,
    predicted_mas=1.5,
    log10_hidden=-6.0,
    improvement=5000.0,
)


def test_good_evidence_is_accepted_with_its_numbers() -> None:
    verdict = judge_match(GOOD, RULE)
    assert verdict.accepted
    assert verdict.code == "accepted"
    for number in ("5 stars", "2.0 mas", "200", "10^-9.0", "histogram"):
        assert number in verdict.reason


@pytest.mark.parametrize(
    ("code", "change", "words"),
    [
        ("too-few-stars", {"stars": 3, "confirmed": 2}, ["3 stars", "4 are needed", "2 are"]),
        ("too-few-stars", {"stars": 2, "confirmed": 2, "decoy_score": 0}, ["2 stars", "3 are needed"]),
        ("chance-limit", {"log10_expected": -4.9}, ["10^-4.9", "10^-5"]),
        ("chance-limit", {"log10_expected": None}, ["unknown"]),
        ("decoy-scores-as-high", {"decoy_score": 5}, ["200 decoys", "5"]),
        ("rotation-limit", {"rotation_deg": -0.21}, ["0.21 degree", "0.2 degree"]),
        ("scale-limit", {"scale": 1.0011}, ["1100 x 1e-6", "1000 x 1e-6"]),
        ("shift-limit", {"shift_arcsec": 6.5}, ["6.5 arcsec", "6 arcsec"]),
        ("rms-limit", {"rms_mas": 101.0}, ["101 mas", "100 mas"]),
        ("rms-limit", {"rms_mas": float("nan")}, ["nan"]),
        (
            "roll-prior",
            {"departures": (Departure("roll of guide-star set 3", "roll-prior", 5.5),)},
            ["guide-star set 3", "5.5 standard deviations", "5 are allowed"],
        ),
        (
            "worst-exposure",
            {"exposures": (ExposureResidual("a" * 9, 20, 0.3, 0.4), ExposureResidual("b" * 9, 9, 5.1, 1.0))},
            ["bbbbbbbbb", "5.1 mas", "5.0 mas"],
        ),
        ("residual-limit", {"chi_log10_chance": -6.1}, ["10^-6.1", "10^-6"]),
        ("roll-unknown", {"roll_freedom": 1.4}, ["1.4 times worse"]),
        ("single-star", {"single_star_mas": 5.8}, ["5.8 mas", "5.8 mas are allowed"]),
        ("hidden-error", {"log10_hidden": -3.9}, ["10^-3.9", "10^-4", "5 stars", "5 predicted errors"]),
        ("no-improvement", {"improvement": -0.1}, ["-0.1"]),
    ],
)
def test_every_limit_refuses(code: str, change: dict[str, object], words: list[str]) -> None:
    verdict = judge_match(replace(GOOD, **change), RULE)  # type: ignore[arg-type]
    assert not verdict.accepted
    assert verdict.code == code
    for word in words:
        assert word in verdict.reason


def test_the_limit_itself_is_allowed() -> None:
    edge = replace(
        GOOD, log10_expected=-5.0, decoy_score=4, rotation_deg=0.2, shift_arcsec=6.0, improvement=0.0
    )
    assert judge_match(edge, RULE).accepted
    assert judge_match(replace(GOOD, stars=3, confirmed=3), RULE).accepted
    near = ExposureResidual("c" * 9, 4, 2.9, 0.1)  # far beyond its error, but within the floor
    assert judge_match(replace(GOOD, exposures=(near,)), RULE).accepted


def test_strong_evidence_may_contradict_a_prior_but_no_limit() -> None:
    against = replace(GOOD, departures=(Departure("roll", "roll-prior", 15.0),), log10_expected=-30.0)
    assert judge_match(against, RULE).accepted
    assert judge_match(replace(against, rotation_deg=0.3), RULE).code == "rotation-limit"


def test_all_broken_limits_are_told() -> None:
    verdict = judge_match(replace(GOOD, rotation_deg=1.0, shift_arcsec=9.0), RULE)
    assert verdict.code == "rotation-limit"
    assert "shift 9 arcsec" in verdict.reason


def test_the_rule_is_data() -> None:
    own = AcceptanceRule.from_content("mine", 3, {**RULE.content(), "most_rotation_deg": 0.005})
    assert (own.name, own.version) == ("mine", 3)
    assert judge_match(GOOD, own).code == "rotation-limit"
    assert AcceptanceRule.from_content(RULE.name, RULE.version, RULE.content()) == RULE
    with pytest.raises(UsageProblemError, match="most_wonderful"):
        AcceptanceRule.from_content("mine", 4, {"most_wonderful": 1})


def test_rows_of_version_1_still_load() -> None:
    content = {
        "minimum_stars": {"shift": 4, "rshift": 6, "rscale": 8},
        "most_log10_chance": -5.0,
        "search_radius_arcsec": 7.0,
        "decoys": 50,
    }
    rule = AcceptanceRule.from_content("align-default", 1, content)
    assert (rule.version, rule.search_radius_arcsec, rule.decoys) == (1, 7.0, 50)
    assert rule.most_log10_expected == RULE.most_log10_expected


def test_settings_follow_the_rule() -> None:
    settings = replace(RULE, search_radius_arcsec=7.0, error_floor_mas=2.0).absolute_settings()
    assert settings.radius == 7.0
    assert settings.floor == pytest.approx(0.002)
    assert np.isclose(RULE.relative_settings().tolerance, RULE.relative_tolerance_arcsec)


@pytest.mark.parametrize(("stars", "factor"), [(3, 1.2), (4, 1.0), (5, 0.75)])
def test_expected_chance_matches_agree_with_random_patterns(stars: int, factor: float) -> None:
    """Volume of all sources' places that match, by Monte Carlo, against the expression without its 1.2."""
    random, draws = np.random.default_rng(stars), 300_000
    radius, roll, tolerance, reach = 1.0, np.radians(0.05), 0.03, 4.0
    reference = random.uniform(-100, 100, (draws, stars, 2))
    apart = np.linalg.norm(reference[:, :, None] - reference[:, None], axis=-1).reshape(draws, -1)
    ends = np.array([apart.argmax(axis=1) // stars, apart.argmax(axis=1) % stars]).T
    rank = np.where(np.arange(stars) == ends[:, :1], 0, np.where(np.arange(stars) == ends[:, 1:], 1, 2))
    reference = np.take_along_axis(reference, np.argsort(rank, axis=1, kind="stable")[:, :, None], axis=1)
    arm = reference - reference[:, :1]
    widest = np.linalg.norm(arm[:, 1], axis=1)
    turn = random.uniform(-roll, roll, draws)[:, None, None] * np.stack([-arm[..., 1], arm[..., 0]], -1)
    places = reference + random.uniform(-radius, radius, (draws, 1, 2)) + turn
    along = random.uniform(-2 * tolerance, 2 * tolerance, draws)
    places[:, 1] += arm[:, 1] * (along / widest)[:, None]
    places[:, 2:] += random.uniform(-reach * tolerance, reach * tolerance, (draws, stars - 2, 2))
    volume = (
        (2 * radius) ** 2 * 2 * roll * widest * 4 * tolerance * (2 * reach * tolerance) ** (2 * stars - 4)
    )
    exact = float(np.mean(volume * _matching(reference, places, tolerance, radius)))
    separation = apart.sum(axis=1).mean() / (stars * (stars - 1))
    search = SearchFigures(stars, 1e-3, radius, np.degrees(roll), separation, tolerance)
    stated = 10 ** search.log10_expected(stars) / 1.2 / (1 + tolerance / radius) ** 2 / 1e-3**stars
    assert exact / stated == pytest.approx(factor, rel=0.2)


def _matching(reference: np.ndarray, places: np.ndarray, tolerance: float, radius: float) -> np.ndarray:
    arm = reference - reference.mean(axis=1, keepdims=True)
    moved = places - reference
    shift = moved.mean(axis=1, keepdims=True)
    turned = np.stack([-arm[..., 1], arm[..., 0]], -1)
    roll = np.sum(turned * (moved - shift), axis=(1, 2)) / np.sum(turned**2, axis=(1, 2))
    left = np.linalg.norm(moved - shift - roll[:, None, None] * turned, axis=-1).max(axis=1)
    return (left <= tolerance) & (np.linalg.norm(shift[:, 0], axis=1) <= radius)


def test_unrelated_lists_match_as_often_as_expected() -> None:
    random, fields = np.random.default_rng(9), 250
    settings = replace(RULE.absolute_settings(), radius=5.0, roll_deg=0.1, tolerance=0.5, least_tolerance=0.2)
    how = Search("histogram", settings, roll_sigma_deg=0.1)
    matched, expected = 0, 0.0
    for _ in range(fields):
        sources = star_list(random.uniform(-30, 30, (400, 2)), 1e-4)
        reference = star_list(random.uniform(-25, 25, (6, 2)), 1e-4)
        match = match_lists(sources, reference, how)
        matched += match is not None and len(match.source) >= 3
        spread = reference.points - reference.points.mean(axis=0)
        apart = float(np.sqrt(2.0 * np.mean(np.sum(spread**2, axis=1))))
        expected += 1.0 - np.exp(
            -(10 ** SearchFigures(6, 400 / 3600, 5.0, 0.1, apart, 0.2).log10_expected(3))
        )
    assert expected > 50
    assert 0.6 < matched / expected < 1.15


def test_local_density_sees_a_cluster() -> None:
    random = np.random.default_rng(1)
    field = random.uniform(-100, 100, (400, 2))
    cluster = random.normal(0, 2, (400, 2))
    sources = np.concatenate([field, cluster])
    assert local_density(np.zeros((3, 2)), sources) > 5 * local_density(np.full((3, 2), 80.0), sources)
    assert local_density(np.full((1, 2), 80.0), sources) >= 800 / np.prod(np.ptp(sources, axis=0))
