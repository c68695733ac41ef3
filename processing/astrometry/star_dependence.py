"""Whether a solution hangs on a single star of the catalog.

With three or four stars one that is a little wrong, by a faint neighbour or a bad motion, can turn the field
and leave no residual to tell of it. So each star is left out in turn: the shift, roll and scale that the
others and the priors give are compared with the solution at the corners of every exposure.
"""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.joint_model import JointProblem, JointSolution
from hapctl.processing.astrometry.joint_restraints import TRUSTED
from hapctl.processing.astrometry.joint_solution import predicted_error
from hapctl.processing.astrometry.tie_figures import StarTies
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StarDependence:
    """The exposure that moves most when a star is left out.

    Attributes
    ----------
    change_mas : float
        Root mean square over corners and centre, for the star that changes it most.
    predicted_mas : float
        Predicted error at the same places.
    """

    change_mas: float
    predicted_mas: float


def star_dependence(
    problem: JointProblem, solution: JointSolution, ties: StarTies, sigmas: float, floor_mas: float
) -> StarDependence:
    """Leave out each star of the catalog in turn.

    Parameters
    ----------
    problem : JointProblem
    solution : JointSolution
    ties : StarTies
        Measured minus catalog positions.
    sigmas, floor_mas : float
        What is allowed: so many predicted errors and a floor; the exposure that exceeds it most, or comes
        nearest, is reported.
    """
    centre = ties.points.mean(axis=0)
    changes = _changes(ties, _held(problem, solution), centre)
    worst, excess = StarDependence(0.0, 0.0), -np.inf
    for place in range(len(problem.exposures)):
        mine = problem.sources.points[problem.sources.exposure == place]
        if len(mine) == 0:
            continue
        corners = field_corners(mine)
        predicted = 1e3 * root_mean_square(predicted_error(solution, place, corners))
        arms = displacement_arms(solution.fits[place](corners) - centre)
        moved = np.einsum("ncp,sp->snc", arms, changes)
        change = 1e3 * float(np.sqrt(np.max(np.mean(np.sum(moved**2, axis=2), axis=1))))
        if change - sigmas * predicted - floor_mas > excess:
            excess = change - sigmas * predicted - floor_mas
            worst = StarDependence(change, predicted)
    return worst


def root_mean_square(vectors: Array) -> float:
    return float(np.sqrt(np.mean(np.sum(vectors**2, axis=1))))


def field_corners(points: Array) -> Array:
    low, high = points.min(axis=0), points.max(axis=0)
    grid = np.array([[low[0], low[1]], [high[0], low[1]], [low[0], high[1]], [high[0], high[1]]])
    return np.concatenate([grid, 0.5 * (low + high)[None, :]])


def displacement_arms(offsets: Array) -> Array:
    """Change of each coordinate with shift, roll and scale, shape (n, 2, 4)."""
    arms = np.zeros((len(offsets), 2, 4))
    arms[:, 0, 0] = arms[:, 1, 1] = 1.0
    arms[:, 0, 2], arms[:, 1, 2] = -offsets[:, 1], offsets[:, 0]
    arms[:, :, 3] = offsets
    return arms


def _held(problem: JointProblem, solution: JointSolution) -> Array:
    """Precision of shift, roll and scale of the group by its priors, shape (4, 4), released as they are."""
    total = np.zeros((4, 4))
    seen: dict[int, int] = {}
    for place, exposure in enumerate(problem.exposures):
        prior = exposure.prior
        if prior.covariance is not None:
            total += np.linalg.inv(prior.covariance)
        else:
            seen.setdefault(prior.guide_star_set, place)
            total[3, 3] += 1.0 / prior.scale**2
    for place in seen.values():
        prior, own = problem.exposures[place].prior, solution.corrections[place]
        roll = np.radians(prior.roll_deg) * max(
            1.0, abs(float(own[2])) / np.radians(prior.roll_deg) / TRUSTED
        )
        shift = prior.pointing * max(1.0, float(np.hypot(own[0], own[1])) / prior.pointing / TRUSTED)
        total += np.diag([1.0 / shift**2, 1.0 / shift**2, 1.0 / roll**2, 0.0])
    return total


def _changes(ties: StarTies, held: Array, centre: Array) -> Array:
    """Shift, roll and scale by which the solution changes without each star, shape (s, 4).

    In the solution the pulls of all stars and of the priors cancel; without a star, its pull is missing.
    """
    arms = displacement_arms(ties.points - centre)
    precision = ties.trust[:, None, None] * np.linalg.inv(ties.covariance)
    blocks = np.einsum("ncp,ncd,ndq->npq", arms, precision, arms)
    pulls = np.einsum("ncp,ncd,nd->np", arms, precision, ties.offsets)
    whole = blocks.sum(axis=0) + held
    scale = 1.0 / np.sqrt(np.diag(whole))
    without = scale[:, None] * (whole - blocks) * scale
    changes: Array = scale * np.linalg.solve(without, (scale * pulls)[:, :, None])[:, :, 0]
    return changes
