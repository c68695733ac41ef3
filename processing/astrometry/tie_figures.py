"""How well a joint solution and its catalog agree, star by star."""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.joint_model import JointProblem, JointSolution
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_FLOOR = 0.0005


@dataclass(frozen=True)
class StarTies:
    """Measured against catalog positions, a row for each star of the catalog in use.

    Attributes
    ----------
    points : ndarray, shape (n, 2)
        Measured, corrected, mean over the exposures, arcsec.
    offsets, before : ndarray, shape (n, 2)
        Measured minus catalog under the solution, and under the starting solutions, arcsec.
    covariance : ndarray, shape (n, 2, 2)
        Of the offsets, by the stated errors, multiplied as the solution's are.
    trust : ndarray, shape (n,)
        Robust weights.
    exposures : ndarray of int, shape (n,)
        In how many each star is in use.
    """

    points: Array
    offsets: Array
    before: Array
    covariance: Array
    trust: Array
    exposures: Indices

    def __len__(self) -> int:
        return len(self.points)

    @property
    def confirmed(self) -> int:
        """Stars seen in two exposures or more."""
        return int(np.count_nonzero(self.exposures > 1))

    @property
    def rms(self) -> Array:
        """Of the offsets, arcsec, shape (2,)."""
        rms: Array = np.sqrt(np.mean(self.offsets**2, axis=0))
        return rms

    @property
    def chi_squared(self) -> float:
        """Of the offsets, with robust weights."""
        return self._chi_squared(self.offsets)

    @property
    def improvement(self) -> float:
        """Chi-squared under the starting solutions, less that under the new one."""
        return self._chi_squared(self.before) - self.chi_squared

    @property
    def log10_chance(self) -> float:
        """Decimal logarithm of the chance of a chi-squared as large."""
        from scipy.special import gammaincc

        freedom = max(2.0 * float(self.trust.sum()) - 2.0, 1.0)
        return float(np.log10(max(gammaincc(0.5 * freedom, 0.5 * self.chi_squared), 1e-300)))

    def _chi_squared(self, offsets: Array) -> float:
        scaled = np.linalg.solve(self.covariance, offsets[:, :, None])[:, :, 0]
        return float(np.sum(self.trust[:, None] * offsets * scaled))


def star_ties(problem: JointProblem, solution: JointSolution) -> StarTies:
    """Compare measured positions with the catalog's, each star once.

    Parameters
    ----------
    problem : JointProblem
    solution : JointSolution
    """
    sources = problem.sources
    used = (solution.weights > 0) & (solution.catalog_weights[sources.star] > 0)
    used &= problem.stars.in_catalog[sources.star]
    weight = 1.0 / (sources.errors[used] ** 2 + _FLOOR**2)
    seen, places = np.unique(sources.star[used], return_inverse=True)
    places = places.astype(np.intp)
    placed = _placed(problem, solution)[used]
    offsets: Array = solution.catalog_residuals[seen] + _means(solution.residuals[used], weight, places)
    total = np.bincount(places, weights=weight, minlength=len(seen))
    covariance = solution.catalog_factor**2 * _catalog_covariance(problem.stars.precision[seen])
    covariance += np.eye(2) / total[:, None, None]
    of_sources = _means(solution.weights[used][:, None], weight, places)[:, 0]
    return StarTies(
        points=_means(placed, weight, places),
        offsets=offsets,
        before=offsets - _means(placed - sources.points[used], weight, places),
        covariance=covariance * solution.rescaling**2,
        trust=np.minimum(of_sources, solution.catalog_weights[seen]),
        exposures=np.bincount(places, minlength=len(seen)),
    )


def _placed(problem: JointProblem, solution: JointSolution) -> Array:
    """Where the solution puts each source, arcsec."""
    placed = np.zeros_like(problem.sources.points)
    for place, fit in enumerate(solution.fits):
        mine = problem.sources.exposure == place
        placed[mine] = fit(problem.sources.points[mine])
    return placed


def _means(values: Array, weight: Array, places: Indices) -> Array:
    """Weighted means of rows of the same place, shape (n, columns)."""
    count = int(places.max(initial=-1)) + 1
    total = np.bincount(places, weights=weight, minlength=count)
    columns = [np.bincount(places, weights=weight * own, minlength=count) / total for own in values.T]
    means: Array = np.column_stack(columns)
    return means


def _catalog_covariance(precision: Array) -> Array:
    """Of the position alone, shape (n, 2, 2); parallax and motion that nothing is known of count as known."""
    covariance = np.linalg.pinv(precision, hermitian=True)[:, :2, :2]
    return covariance.astype(np.float64)
