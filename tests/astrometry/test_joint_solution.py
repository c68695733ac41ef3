"""Joint solutions of many exposures: their errors are what they say, whatever is wrong with some stars."""

import numpy as np
import pytest
from hapctl.processing.astrometry.joint_model import ExposurePrior, JointSettings
from hapctl.processing.astrometry.joint_solution import solve_joint
from support.joint_field import JointField, normalised_square

SETTINGS = JointSettings()


@pytest.mark.parametrize("catalog", [15, 8, 4, 3, 2, 0])
def test_predicted_errors_are_true(catalog: int) -> None:
    """Reduced chi-squared of the corrections with their full covariance, over 200 fields."""
    squares = []
    for seed in range(200):
        problem, true = JointField(catalog=catalog).draw(seed)
        squares.append(normalised_square(solve_joint(problem, SETTINGS), true))
    assert 0.95 < np.mean(squares) < 1.05


@pytest.mark.parametrize(
    "prior",
    [
        ExposurePrior(0, 0.3, relative_pointing=None),
        ExposurePrior(0, 1.0, scale=1e-3, relative_roll_deg=0.003),
        ExposurePrior(0, 0.3, skew=1e-5),
    ],
    ids=["gyros", "old", "skew"],
)
def test_predicted_errors_are_true_for_other_priors(prior: ExposurePrior) -> None:
    squares = []
    for seed in range(100):
        problem, true = JointField(catalog=5, prior=prior, years=(-14.0, -13.9, 4.0)).draw(seed)
        squares.append(normalised_square(solve_joint(problem, SETTINGS), true))
    assert 0.93 < np.mean(squares) < 1.07
