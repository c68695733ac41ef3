"""The chance that a wrong star or roll hides in a solution of few stars: is it what happens?"""

from dataclasses import replace

import numpy as np
from hapctl.processing.astrometry.hidden_errors import MOST_STARS, ErrorModel, log10_hidden_error
from hapctl.processing.astrometry.joint_model import (
    ExposurePrior,
    JointExposure,
    JointProblem,
    JointSettings,
    JointSolution,
    JointSources,
    StarPriors,
)
from hapctl.processing.astrometry.joint_solution import predicted_error, solve_joint
from hapctl.processing.astrometry.tie_figures import star_ties
from numpy.typing import NDArray

Array = NDArray[np.float64]
MODEL = ErrorModel(0.05, 0.1, 0.02, 0.03, 5.0, 5.0)
EPOCH = 2016.0
CORNERS = 95.0 * np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
WIDE = np.array([[-80.0, -70.0], [75.0, -60.0], [60.0, 80.0], [-70.0, 65.0], [5.0, 10.0]])
ERROR = 0.002


def problem(places: Array, offsets: Array, prior: ExposurePrior) -> JointProblem:
    """One exposure of catalog stars measured so far from where they are; corners that no catalog knows."""
    points = np.concatenate([places + offsets, CORNERS])
    count, known = len(points), len(places)
    tied = np.arange(count) < known
    mean, precision = np.zeros((count, 5)), np.zeros((count, 5, 5))
    mean[:, :2] = np.where(tied[:, None], points, np.nan)
    mean[:known, :2] = places
    precision[:, 2:, 2:] = 1e12 * np.eye(3)
    precision[tied, :2, :2] = np.eye(2) / ERROR**2
    sources = JointSources(np.zeros(count, dtype=np.intp), np.arange(count), points, np.full(count, 0.0005))
    exposure = JointExposure("jhidden1q", EPOCH, np.zeros(2), np.zeros(2), prior)
    return JointProblem([exposure], sources, StarPriors(mean, precision, tied), EPOCH)


def solved(
    places: Array, offsets: Array, model: ErrorModel = MODEL, prior: ExposurePrior | None = None
) -> tuple[float | None, JointSolution]:
    asked = problem(places, offsets, prior or ExposurePrior(0, pointing=1.0))
    solution = solve_joint(asked, JointSettings())
    return log10_hidden_error(asked, solution, star_ties(asked, solution), model), solution


def chance(
    places: Array, offsets: Array, model: ErrorModel = MODEL, prior: ExposurePrior | None = None
) -> float:
    found, _ = solved(places, offsets, model, prior)
    assert found is not None
    return 10.0**found


def turned(places: Array, roll_deg: float) -> Array:
    return np.radians(roll_deg) * np.column_stack([-places[:, 1], places[:, 0]])


def test_the_chance_is_how_often_it_happens() -> None:
    allowed = 1.5
    model = replace(MODEL, wrong_star=0.15, wrong_roll=0.2, allowed_sigma=allowed, allowed_mas=2.0)
    random = np.random.default_rng(7)
    stated, happened = [], []
    for _ in range(250):
        count = int(random.integers(3, 6))
        places = random.uniform(-90, 90, (count, 2))
        wrong = random.random(count) < model.wrong_star
        offsets = random.normal(0, 1, (count, 2)) * np.hypot(ERROR, model.star_arcsec * wrong)[:, None]
        roll = random.normal(0, model.roll_deg if random.random() < model.wrong_roll else 0.003)
        shift, scale = random.normal(0, 0.1, 2), random.normal(0, 3e-5)
        offsets += shift + turned(places, roll) + scale * places
        found, solution = solved(places, offsets, model)
        assert found is not None
        grid = np.concatenate([CORNERS, np.zeros((1, 2))])
        moved = grid + shift + turned(grid, roll) + scale * grid
        error = np.sqrt(np.mean(np.sum((solution.fits[0](moved) - grid) ** 2, axis=1)))
        predicted = np.sqrt(np.mean(np.sum(predicted_error(solution, 0, grid) ** 2, axis=1)))
        stated.append(10.0**found)
        happened.append(error > allowed * predicted + 0.002)
    surplus = sum(happened) - sum(stated)
    assert sum(happened) > 20
    assert surplus < 3.0 * np.sqrt(sum(stated))
    assert sum(happened) > 0.4 * sum(stated)  # the direction known worst stands for all: never too small
    likely = np.array(stated) > np.median(stated)
    assert np.mean(np.array(happened)[likely]) > 4.0 * np.mean(np.array(happened)[~likely])


def test_more_good_stars_leave_less_room() -> None:
    found = [chance(WIDE[:count], np.zeros((count, 2))) for count in (3, 4, 5)]
    assert found[0] > 10 * found[1] > 100 * found[2]
    assert found[2] < 1e-5


def test_two_that_contradict_each_other_are_told() -> None:
    offsets = np.zeros((3, 2))
    offsets[2] = [0.012, 0.0]
    assert chance(WIDE[:3], offsets) > 30 * chance(WIDE[:3], np.zeros((3, 2)))


def test_a_roll_that_is_held_is_never_wrong() -> None:
    knot = WIDE[0] + np.array([[0.0, 0.0], [9.0, 2.0], [1.0, 8.0], [6.0, 7.0]])
    free = chance(knot, np.zeros((4, 2)))
    held = ExposurePrior(0, pointing=1.0, roll_deg=1e-7, scale=1e-9)
    assert chance(knot, np.zeros((4, 2)), prior=held) < 0.01 * free
    firm = ExposurePrior(0, pointing=1.0, firm=True)
    assert chance(knot, np.zeros((4, 2)), prior=firm) < free


def test_the_fit_from_which_an_exposure_started_is_known() -> None:
    fitted = ExposurePrior(0, pointing=1.0, covariance=np.diag([1e-6, 1e-6, 1e-14, 1e-14]))
    assert chance(WIDE[:3], np.zeros((3, 2)), prior=fitted) < 0.01 * chance(WIDE[:3], np.zeros((3, 2)))


def test_many_stars_are_not_asked() -> None:
    places = np.random.default_rng(1).uniform(-90, 90, (MOST_STARS + 1, 2))
    assert solved(places, np.zeros((len(places), 2)))[0] is None
