"""How likely a solution is wrong although its residuals are small: a few stars can't outvote one that errs.

Every star of the catalog in use may be wrong (a blend, a bad motion, another object) with a probability
known beforehand, and so may the roll of the guide stars. Each such hypothesis, up to two stars and the
roll, has a solution, an error and a posterior probability of its own by the measured offsets (a mixture
of normal distributions; Bayes' theorem). What they say together is the chance that the solution lies
further from the truth than its predicted error allows.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from hapctl.processing.astrometry.joint_model import ExposurePrior, JointProblem, JointSolution
from hapctl.processing.astrometry.joint_solution import predicted_error
from hapctl.processing.astrometry.star_dependence import displacement_arms, field_corners, root_mean_square
from hapctl.processing.astrometry.tie_figures import StarTies
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
HELD_ROLL = 2e-6
"""Radian: with a prior as narrow, someone wants the roll held, and the stars are not asked about it."""
MOST_STARS = 60
"""More stars outvote any two, and are not asked."""


@dataclass(frozen=True)
class ErrorModel:
    """What may be wrong, and what is allowed.

    Attributes
    ----------
    wrong_star, wrong_roll : float
        Probability beforehand that a star, and that the roll of the guide stars, is not as stated.
    star_arcsec, roll_deg : float
        Standard deviation of a coordinate of a wrong star, and of a wrong roll.
    allowed_sigma, allowed_mas : float
        An error of so many predicted ones and so much is allowed.
    """

    wrong_star: float
    wrong_roll: float
    star_arcsec: float
    roll_deg: float
    allowed_sigma: float
    allowed_mas: float


@dataclass(frozen=True)
class _Form:
    """Quadratic forms in (xi, eta, roll, scale): ``x @ precision @ x + 2 pull @ x + least``, log of the norm.

    Arrays have a row for each form: precision (n, 4, 4), pull (n, 4), least and norm (n,).
    """

    precision: Array
    pull: Array
    least: Array
    norm: Array


def log10_hidden_error(
    problem: JointProblem, solution: JointSolution, ties: StarTies, model: ErrorModel
) -> float | None:
    """Decimal logarithm of the chance that some exposure is further off than is allowed.

    Parameters
    ----------
    problem : JointProblem
    solution : JointSolution
    ties : StarTies
        Measured minus catalog positions.
    model : ErrorModel

    Returns
    -------
    float or None
        None where there are more than `MOST_STARS` stars.
    """
    if len(ties) > MOST_STARS:
        return None
    centre = ties.points.mean(axis=0)
    wrong, roll = _hypotheses(len(ties))
    total = _totals(
        ties, _roll_forms(problem, solution, model), _known(problem, solution), wrong, roll, model
    )
    covariance, change = _solved(total)
    prior = np.log(model.wrong_star) * wrong.sum(axis=1) + np.log1p(-model.wrong_star) * (~wrong).sum(axis=1)
    prior = prior + np.where(roll, np.log(model.wrong_roll), np.log1p(-model.wrong_roll))
    least = total.least + np.einsum("hp,hp->h", total.pull, change)
    evidence = prior + total.norm - 0.5 * least + 0.5 * np.linalg.slogdet(covariance)[1]
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    chance = max(
        float(weight @ _beyond(problem, solution, place, centre, covariance, change, model))
        for place in range(len(problem.exposures))
    )
    return float(np.log10(max(chance, 1e-300)))


def _hypotheses(stars: int) -> tuple[Mask, Mask]:
    """Which stars are wrong, shape (h, stars), and whether the roll is, shape (h,)."""
    sets = [own for size in (0, 1, 2) for own in combinations(range(stars), size)]
    wrong = np.zeros((len(sets), stars), dtype=np.bool_)
    for row, own in zip(wrong, sets, strict=True):
        row[list(own)] = True
    return np.concatenate([wrong, wrong]), np.repeat([False, True], len(sets))


def _totals(
    ties: StarTies, rolls: tuple[_Form, _Form], known: _Form, wrong: Mask, roll: Mask, model: ErrorModel
) -> _Form:
    """The sum of all forms under each hypothesis."""
    wide = ties.covariance + model.star_arcsec**2 * np.eye(2)
    right, broad = _star_forms(ties, ties.covariance), _star_forms(ties, wide)
    kinds = (right, broad, rolls[0], rolls[1], known)
    shares = (~wrong, wrong, ~roll[:, None], roll[:, None], np.ones((len(roll), 1), dtype=np.bool_))
    sums = {}
    for name in ("precision", "pull", "least", "norm"):
        parts = [
            np.tensordot(share.astype(np.float64), getattr(kind, name), axes=1)
            for share, kind in zip(shares, kinds, strict=True)
        ]
        sums[name] = np.sum(parts, axis=0)
    return _Form(**sums)


def _star_forms(ties: StarTies, covariance: Array) -> _Form:
    arms = displacement_arms(ties.points - ties.points.mean(axis=0))
    precision = np.linalg.inv(covariance)
    pulled = np.einsum("ncd,nd->nc", precision, ties.offsets)
    return _Form(
        np.einsum("ncp,ncd,ndq->npq", arms, precision, arms),
        np.einsum("ncp,nc->np", arms, pulled),
        np.einsum("nc,nc->n", ties.offsets, pulled),
        -0.5 * np.linalg.slogdet(covariance)[1],
    )


def _sets(problem: JointProblem) -> list[tuple[int, ExposurePrior]]:
    """The first exposure of each guide-star set, without those whose start is a fit."""
    seen: dict[int, tuple[int, ExposurePrior]] = {}
    for place, exposure in enumerate(problem.exposures):
        if exposure.prior.covariance is None:
            seen.setdefault(exposure.prior.guide_star_set, (place, exposure.prior))
    return list(seen.values())


def _roll_forms(problem: JointProblem, solution: JointSolution, model: ErrorModel) -> tuple[_Form, _Form]:
    """Of the rolls of all sets, if they are as stated and if they are not; one that is held always is."""
    sets = _sets(problem)
    values = np.array([solution.corrections[place, 2] for place, _ in sets])
    stated = np.radians([prior.roll_deg for _, prior in sets])
    held = np.array(
        [prior.firm or np.radians(prior.roll_deg) <= HELD_ROLL for _, prior in sets], dtype=np.bool_
    )
    wide = np.where(held, stated, np.maximum(stated, np.radians(model.roll_deg)))
    return _roll_form(values, stated), _roll_form(values, wide)


def _roll_form(values: Array, errors: Array) -> _Form:
    precision, pull = np.zeros((1, 4, 4)), np.zeros((1, 4))
    precision[0, 2, 2] = np.sum(1.0 / errors**2)
    pull[0, 2] = np.sum(values / errors**2)
    least, norm = np.sum((values / errors) ** 2), -np.sum(np.log(errors))
    return _Form(precision, pull, np.array([least]), np.array([norm]))


def _known(problem: JointProblem, solution: JointSolution) -> _Form:
    """Pointing, scale and fits from which exposures started: the same under all hypotheses."""
    precision, pull = np.zeros((1, 4, 4)), np.zeros((1, 4))
    for _, prior in _sets(problem):
        precision[0, [0, 1], [0, 1]] += 1.0 / prior.pointing**2
    for exposure, own in zip(problem.exposures, solution.corrections, strict=True):
        prior = exposure.prior
        if prior.covariance is None:
            precision[0, 3, 3] += 1.0 / prior.scale**2
            pull[0, 3] += own[3] / prior.scale**2
        else:
            inverse = np.linalg.inv(prior.covariance)
            precision[0] += inverse
            pull[0] += inverse @ own[:4]
    return _Form(precision, pull, np.zeros(1), np.zeros(1))


def _solved(total: _Form) -> tuple[Array, Array]:
    """Covariance (h, 4, 4) and place (h, 4) of the least value."""
    unit = 1.0 / np.sqrt(np.diagonal(total.precision, axis1=1, axis2=2))
    scaled = np.linalg.inv(unit[:, :, None] * total.precision * unit[:, None, :])
    covariance: Array = unit[:, :, None] * scaled * unit[:, None, :]
    change: Array = -np.einsum("hpq,hq->hp", covariance, total.pull)
    return covariance, change


def _beyond(
    problem: JointProblem,
    solution: JointSolution,
    place: int,
    centre: Array,
    covariance: Array,
    change: Array,
    model: ErrorModel,
) -> Array:
    """Chance under each hypothesis that an exposure is further off than allowed, shape (h,).

    Its error in root mean square over the field is taken along the direction that is known worst.
    """
    mine = problem.sources.points[problem.sources.exposure == place]
    if len(mine) == 0:
        return np.zeros(len(change))
    corners = field_corners(mine)
    allowed = 1e-3 * model.allowed_mas
    allowed += model.allowed_sigma * root_mean_square(predicted_error(solution, place, corners))
    arms = displacement_arms(solution.fits[place](corners) - centre).reshape(-1, 4) / np.sqrt(len(corners))
    moved = np.linalg.norm(change @ arms.T, axis=1)
    spread = np.linalg.eigvalsh(arms @ covariance @ arms.T)[:, -1]
    chance: Array = np.exp(-0.5 * np.maximum(allowed - moved, 0.0) ** 2 / spread)
    return chance
