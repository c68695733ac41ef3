"""How well a joint solution and its catalog agree, star by star."""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.joint_model import JointProblem, JointSolution
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_FLOOR = 0.0005


@dataclass(frozen=True)
class TieFigures:
    """Agreement of the catalog's stars with what was measured.

    Attributes
    ----------
    stars : int
        Of the catalog, in use.
    confirmed : int
        Of those, seen in two exposures or more.
    rms : ndarray, shape (2,)
        Of measured minus catalog position, arcsec.
    chi_squared : float
        Of the same, by the errors of both and with robust weights.
    log10_chance : float
        Decimal logarithm of the chance of one as large.
    improvement : float
        Chi-squared of the same stars under the starting solutions, less `chi_squared`.
    """

    stars: int
    confirmed: int
    rms: Array
    chi_squared: float
    log10_chance: float
    improvement: float


def tie_figures(problem: JointProblem, solution: JointSolution) -> TieFigures:
    """Compare measured positions with the catalog's, each star once.

    Parameters
    ----------
    problem : JointProblem
    solution : JointSolution
    """
    sources = problem.sources
    used = (solution.weights > 0) & (solution.catalog_weights[sources.star] > 0)
    used &= problem.stars.in_catalog[sources.star]
    star, weight = sources.star[used], 1.0 / (sources.errors[used] ** 2 + _FLOOR**2)
    seen, inverse = np.unique(star, return_inverse=True)
    if len(seen) == 0:
        return TieFigures(0, 0, np.full(2, np.nan), 0.0, 0.0, 0.0)
    total: Array = np.bincount(inverse, weights=weight).astype(np.float64)
    now: Array = solution.catalog_residuals[seen] + _means(solution.residuals[used], weight, inverse, total)
    moved = _moved(problem, solution)[used]
    before = now - _means(moved, weight, inverse, total)
    covariance = _catalog_covariance(problem.stars.precision[seen])
    covariance += np.eye(2) / total[:, None, None]
    covariance *= solution.rescaling**2
    trust = _trust(solution.weights[used], solution.catalog_weights[seen], weight, inverse, total)
    chi = _chi_squared(now, covariance, trust)
    freedom = max(2.0 * float(trust.sum()) - 2.0, 1.0)
    return TieFigures(
        stars=len(seen),
        confirmed=int(np.count_nonzero(np.bincount(inverse) > 1)),
        rms=np.sqrt(np.mean(now**2, axis=0)),
        chi_squared=chi,
        log10_chance=_log10_chance(chi, freedom),
        improvement=_chi_squared(before, covariance, trust) - chi,
    )


def _moved(problem: JointProblem, solution: JointSolution) -> Array:
    """How far the solution moved each source, arcsec."""
    moved = np.zeros_like(problem.sources.points)
    for place, fit in enumerate(solution.fits):
        mine = problem.sources.exposure == place
        moved[mine] = fit(problem.sources.points[mine]) - problem.sources.points[mine]
    return moved


def _means(values: Array, weight: Array, inverse: Indices, total: Array) -> Array:
    columns = [np.bincount(inverse, weights=weight * column) / total for column in values.T]
    means: Array = np.column_stack(columns)
    return means


def _catalog_covariance(precision: Array) -> Array:
    """Of the position alone, shape (n, 2, 2); parallax and motion that nothing is known of count as known."""
    covariance = np.linalg.pinv(precision, hermitian=True)[:, :2, :2]
    return covariance.astype(np.float64)


def _trust(weights: Array, catalog_weights: Array, weight: Array, inverse: Indices, total: Array) -> Array:
    """Robust weight of each star: the smaller of what its sources and its row have in the solution."""
    of_sources = np.bincount(inverse, weights=weight * weights) / total
    smaller: Array = np.minimum(of_sources, catalog_weights)
    return smaller


def _chi_squared(offsets: Array, covariance: Array, trust: Array) -> float:
    scaled = np.linalg.solve(covariance, offsets[:, :, None])[:, :, 0]
    return float(np.sum(trust[:, None] * offsets * scaled))


def _log10_chance(chi_squared: float, freedom: float) -> float:
    from scipy.stats import chi2

    return float(chi2.logsf(chi_squared, freedom) / np.log(10.0))
