"""What a joint solution must show: residuals, stars it does not hang on, priors, the set it belongs to."""

from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.group_matching import associate
from hapctl.processing.astrometry.joint_model import (
    ExposurePrior,
    JointExposure,
    JointProblem,
    JointSettings,
    JointSolution,
    JointSources,
    StarPriors,
)
from hapctl.processing.astrometry.joint_solution import solve_joint
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.plane import PlaneFit
from hapctl.processing.astrometry.solution_judging import GroupJudgement, judge_group
from hapctl.processing.astrometry.star_dependence import star_dependence
from hapctl.processing.astrometry.tie_figures import star_ties
from numpy.typing import NDArray

Array = NDArray[np.float64]
RULE = AcceptanceRule()
HALF = 100.0
EPOCH = 2016.0


class SmallField:
    """Two or more exposures of 60 stars, of which the first are in a catalog; all errors 0.5 and 1 mas."""

    def __init__(self, places: Array, seed: int = 1, exposures: int = 2, roll_deg: float = 0.002) -> None:
        self.random = np.random.default_rng(seed)
        self.known = len(places)
        others = self.random.uniform(-HALF, HALF, (60, 2))
        self.stars = np.concatenate([places, others])
        self.pointing = [
            PlaneFit.similarity(np.array([0.3, -0.2]) + self.random.normal(0, 0.002, 2), roll_deg)
            for _ in range(exposures)
        ]
        self.catalog = StarList(
            places + self.random.normal(0, 0.001, places.shape),
            np.full(self.known, 0.001),
            18.0 + 0.1 * np.arange(self.known),
        )
        self.prior = ExposurePrior(0, pointing=0.5)

    def lists(self) -> list[StarList]:
        found = []
        for fit in self.pointing:
            measured = self.stars + self.random.normal(0, 0.0005, self.stars.shape)
            started = (measured - fit.shift) @ np.linalg.inv(fit.matrix).T
            magnitudes = -7.0 + 0.1 * np.arange(len(started))
            found.append(StarList(started, np.full(len(started), 0.0005), magnitudes))
        return found

    def problem(self, lists: list[StarList], without: int | None = None) -> JointProblem:
        exposures = [
            JointExposure(f"jsmall{n:02d}q", EPOCH, np.zeros(2), np.zeros(2), self.prior)
            for n in range(len(lists))
        ]
        count = len(self.stars)
        star = np.tile(np.arange(count), len(lists))
        mean, precision = np.zeros((count, 5)), np.zeros((count, 5, 5))
        mean[:, :2] = np.nan
        precision[:, 2:, 2:] = 1e12 * np.eye(3)
        tied = np.arange(count) < self.known
        if without is not None:
            tied[without] = False
        mean[tied, :2] = self.catalog.points[tied[: self.known]]
        precision[tied, :2, :2] = 1e6 * np.eye(2)
        sources = JointSources(
            np.repeat(np.arange(len(lists)), count),
            star,
            np.concatenate([own.points for own in lists]),
            np.concatenate([own.errors for own in lists]),
        )
        return JointProblem(exposures, sources, StarPriors(mean, precision, tied), EPOCH)


def judged(field: SmallField, rule: AcceptanceRule = RULE) -> tuple[GroupJudgement, JointSolution]:
    lists = field.lists()
    found = associate(lists, [EPOCH] * len(lists), [field.catalog] * len(lists), rule)
    problem = field.problem(lists)
    solution = solve_joint(problem, JointSettings(), found.fits)
    return judge_group(found, list(range(len(lists))), problem, solution, rule), solution


WIDE = np.array([[-80.0, -70.0], [75.0, -60.0], [60.0, 80.0], [-70.0, 65.0], [5.0, 10.0]])


def test_five_good_stars_are_accepted_and_say_why() -> None:
    judgement, solution = judged(SmallField(WIDE))
    assert solution.frame == "catalog"
    assert judgement.verdict.accepted, judgement.verdict.reason
    assert judgement.outcasts == ()
    assert judgement.evidence is not None
    assert judgement.evidence.stars == 5
    assert judgement.evidence.confirmed == 5
    for name in ("single_star_mas", "roll_freedom", "catalog_chi_squared", "improvement_chi_squared"):
        assert name in judgement.evidence.figures
    for own in judgement.exposures.values():
        assert own.verdict.accepted
        assert own.relative is not None
        assert own.relative.accepted


def test_three_good_stars_are_enough_where_two_exposures_saw_them() -> None:
    judgement, _ = judged(SmallField(WIDE[:3]))
    assert judgement.verdict.accepted, judgement.verdict.reason


@pytest.mark.parametrize("seed", range(4))
def test_one_star_of_three_that_is_wrong_is_not_followed(seed: int) -> None:
    field = SmallField(WIDE[:3], seed)
    turn = field.random.uniform(0, 2 * np.pi)
    wrong = field.catalog.points.copy()
    wrong[1] += 0.018 * np.array([np.cos(turn), np.sin(turn)])
    field.catalog = replace(field.catalog, points=wrong)
    judgement, _ = judged(field)
    assert not judgement.verdict.accepted
    assert judgement.verdict.code in (
        "residual-limit",
        "single-star",
        "hidden-error",
        "too-few-stars",
        "roll-prior",
        "chance-limit",
    )


def test_a_knot_of_stars_does_not_know_the_roll() -> None:
    knot = np.array([[-80.0, -70.0], [-79.0, -71.0], [-78.5, -69.0], [-80.5, -69.5]])
    field = SmallField(knot, roll_deg=0.02)
    judgement, _ = judged(field)
    assert judgement.verdict.code == "roll-unknown"
    field.prior = replace(field.prior, roll_deg=1e-7)  # held by someone's choice
    assert judged(field)[0].verdict.code != "roll-unknown"


def test_where_a_wrong_roll_does_no_harm_the_stars_need_not_know_it() -> None:
    knot = np.array([[-80.0, -70.0], [-79.0, -71.0], [-78.5, -69.0], [-80.5, -69.5]])
    harmless = replace(RULE, harmless_roll_mas=200.0)  # as it is on a detector of some 15 arcsec
    judgement, _ = judged(SmallField(knot, roll_deg=0.001), harmless)
    assert judgement.verdict.code != "roll-unknown"
    assert judgement.evidence is not None
    assert judgement.evidence.roll_freedom is None


def test_a_roll_against_the_prior_needs_strong_evidence() -> None:
    few = judged(SmallField(WIDE[:3], roll_deg=0.04))[0]
    assert few.verdict.code == "roll-prior"
    assert "standard deviations" in few.verdict.reason
    many = judged(SmallField(np.random.default_rng(3).uniform(-90, 90, (14, 2)), roll_deg=0.04))[0]
    assert many.verdict.accepted, many.verdict.reason


def test_leaving_out_a_star_agrees_with_solving_again_without_it() -> None:
    field = SmallField(WIDE, seed=4)
    lists = field.lists()
    problem = field.problem(lists)
    whole = solve_joint(problem, JointSettings())
    found = star_dependence(problem, whole, star_ties(problem, whole), 0.0, 0.0)
    changes = []
    for without in range(field.known):
        less = solve_joint(field.problem(lists, without), JointSettings())
        corners = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
        low, high = lists[0].points.min(axis=0), lists[0].points.max(axis=0)
        places = 0.5 * (low + high) + 0.5 * corners * (high - low)
        moved = less.fits[0](places) - whole.fits[0](places)
        changes.append(1e3 * float(np.sqrt(np.mean(np.sum(moved**2, axis=1)))))
    assert found.change_mas == pytest.approx(max(changes), rel=0.15)


def test_a_group_without_catalog_is_relative_and_says_so() -> None:
    field = SmallField(WIDE)
    lists = field.lists()
    found = associate(lists, [EPOCH] * 2, None, RULE)
    problem = replace(field.problem(lists))
    problem = replace(
        problem, stars=replace(problem.stars, in_catalog=np.zeros(len(problem.stars), dtype=bool))
    )
    judgement = judge_group(found, [0, 1], problem, solve_joint(problem, JointSettings(), found.fits), RULE)
    assert judgement.verdict.code == "no-catalog"
    assert all(own.relative is not None and own.relative.accepted for own in judgement.exposures.values())
    assert not any(own.verdict.accepted for own in judgement.exposures.values())
