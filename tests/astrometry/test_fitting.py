"""Fits held by priors are exact where stars decide, and stay with the priors where they do not."""

import numpy as np
import pytest
from hapctl.processing.astrometry.fitting import held_fit, robust_weights, root_mean_square
from hapctl.processing.astrometry.plane import PlaneFit
from hypothesis import given, settings
from hypothesis import strategies as st

CENTRE = np.zeros(2)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shift=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    roll=st.floats(-0.1, 0.1),
    scale=st.floats(0.9999, 1.0001),
)
def test_many_stars_overrule_the_priors(
    seed: int, shift: tuple[float, float], roll: float, scale: float
) -> None:
    points = np.random.default_rng(seed).uniform(-100, 100, (200, 2))
    truth = PlaneFit.similarity(np.array(shift), roll, scale)
    fit = held_fit(points, truth(points), np.full(200, 1e12), CENTRE, 0.05, 1e-4)
    assert np.max(np.abs(fit(points) - truth(points))) < 1e-6
    assert fit.roll_deg == pytest.approx(roll, abs=1e-6)


def test_two_stars_close_together_leave_roll_and_scale_to_the_priors() -> None:
    points = np.array([[0.0, 0.0], [0.5, 0.0]])
    stars = points + np.array([[1.0, 2.0], [1.0, 2.01]])
    fit = held_fit(points, stars, np.full(2, 1e4), CENTRE, 0.003, 3e-5)
    assert abs(fit.roll_deg) < 1e-4
    assert abs(fit.scale - 1.0) < 1e-7
    assert np.allclose(fit.shift, [1.0, 2.005], atol=1e-4)


def test_the_fit_is_that_of_weighted_least_squares() -> None:
    random = np.random.default_rng(5)
    points = random.uniform(-80, 80, (9, 2))
    stars = points + random.normal(0, 0.01, points.shape) + 0.3
    weights = random.uniform(1e3, 1e5, 9)
    fit = held_fit(points, stars, weights, CENTRE, 0.01, 1e-4)

    def cost(change: np.ndarray) -> float:
        dx, dy, grow, turn = change
        moved = points @ np.array([[1 + grow, -turn], [turn, 1 + grow]]).T + [dx, dy]
        prior = (grow / 1e-4) ** 2 + (turn / np.radians(0.01)) ** 2
        return float(np.sum(weights[:, None] * (stars - moved) ** 2)) + prior

    best = np.array([*fit.shift, fit.matrix[0, 0] - 1, fit.matrix[1, 0]])
    least = cost(best)
    for step in (1e-4, 1e-4, 1e-6, 1e-6) * np.eye(4):
        assert cost(best + step) > least
        assert cost(best - step) > least


def test_outliers_weigh_nothing() -> None:
    random = np.random.default_rng(6)
    residuals = random.normal(0, 0.002, (50, 2))
    residuals[:5] += 0.1
    weights = robust_weights(residuals, np.full(50, 0.002))
    assert np.all(weights[:5] == 0)
    assert np.all(weights[5:] > 0.5)
    assert np.all(np.isnan(root_mean_square(np.zeros((0, 2)))))
