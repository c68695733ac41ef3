"""Robust weighted fits of plane transformations to pairs of stars.

The loss is Tukey's biweight, which forgets outliers entirely; it starts from the median, so that it
does not settle on them. Fits are of increments, applied exactly and repeated to convergence: nothing is
linearised in the result. Positions are tangent-plane coordinates in arcsec.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Geometry = Literal["shift", "rshift", "rscale", "general"]
PARAMETERS: dict[str, int] = {"shift": 2, "rshift": 3, "rscale": 4, "general": 6}
_TUKEY = 8.0  # in units of the robust scatter, as the length of a residual: stars beyond weigh nothing
_ARMS = (
    np.array([[0.0, -1.0], [1.0, 0.0]]),  # roll
    np.eye(2),  # scale
    np.diag([1.0, -1.0]),  # the two parts of a skew
    np.array([[0.0, 1.0], [1.0, 0.0]]),
)


@dataclass(frozen=True)
class ListFit:
    """A transformation fitted to pairs.

    Attributes
    ----------
    fit : PlaneFit
    geometry : str
    residuals : ndarray, shape (n, 2)
        Reference minus transformed source, arcsec, of all pairs.
    weights : ndarray, shape (n,)
        Robust weights, 0 for a rejected pair, 1 for a perfect one.
    covariance : ndarray, shape (p, p)
        Of (shift xi, shift eta, roll, scale, ...) about `centre`, from the stated errors, and scaled
        up where the scatter is larger; arcsec and radians.
    centre : ndarray, shape (2,)
        Weighted mean of the sources used.
    """

    fit: PlaneFit
    geometry: Geometry
    residuals: Array
    weights: Array
    covariance: Array
    centre: Array

    @property
    def used(self) -> NDArray[np.bool_]:
        """Pairs that took part."""
        return self.weights > 0

    def rms(self) -> Array:
        """Root mean square of the used residuals in xi and eta, arcsec, shape (2,)."""
        return root_mean_square(self.residuals[self.used])


def root_mean_square(residuals: Array) -> Array:
    """Of each column; NaN without rows."""
    if len(residuals) == 0:
        return np.full(2, np.nan)
    rms: Array = np.sqrt(np.mean(residuals**2, axis=0))
    return rms


def fit_pairs(
    sources: Array,
    reference: Array,
    errors: Array,
    geometry: Geometry,
    *,
    start: PlaneFit | None = None,
    robust: bool = True,
) -> ListFit:
    """Fit a transformation that takes the sources to their reference stars.

    Parameters
    ----------
    sources, reference : ndarray, shape (n, 2)
        Paired positions, arcsec.
    errors : ndarray, shape (n,)
        Standard error of each pair and coordinate, arcsec, all parts added in quadrature.
    geometry : {"shift", "rshift", "rscale", "general"}
    start : PlaneFit, optional
        Where to begin; the median shift by default.
    robust : bool
        Leave out outliers.

    Returns
    -------
    ListFit

    Raises
    ------
    ValueError
        Fewer than two pairs, or fewer equations than parameters.
    """
    count = len(sources)
    if 2 * count < PARAMETERS[geometry] or count < 2:
        raise ValueError(f"{count} pairs are too few for a {geometry} fit")
    fit = start or PlaneFit(np.median(reference - sources, axis=0), np.eye(2))
    weights = np.ones(count)
    for _ in range(30):
        residuals = reference - fit(sources)
        if robust:
            weights = robust_weights(residuals, errors)
        if _rank_short(weights, geometry):
            break
        centre, change, normal = _step(fit(sources), residuals, weights / errors**2, geometry)
        step = increment(change, centre)
        fit = step.after(fit)
        if np.max(np.abs(step(sources) - sources)) < 1e-9:
            break
    residuals = reference - fit(sources)
    centre, _, normal = _step(fit(sources), residuals, np.maximum(weights, 1e-9) / errors**2, geometry)
    covariance = np.linalg.pinv(normal).astype(np.float64) * _excess(
        residuals, errors, weights, PARAMETERS[geometry]
    )
    return ListFit(fit, geometry, residuals, weights, covariance, centre)


def robust_weights(residuals: Array, errors: Array) -> Array:
    """Tukey's biweight of residuals over errors, with the scatter from the median; shape (n,)."""
    size = np.hypot(residuals[:, 0], residuals[:, 1]) / errors
    scatter = max(float(np.median(size)) / 1.1774100225154747, 0.3)  # median of a Rayleigh distribution
    part = np.clip(1.0 - (size / (_TUKEY * scatter)) ** 2, 0.0, None)
    weights: Array = part**2
    return weights


def _excess(residuals: Array, errors: Array, weights: Array, parameters: int) -> float:
    """Chi-squared over its degrees of freedom, at least 1, and 1 with fewer than 20 of them."""
    freedom = 2.0 * np.count_nonzero(weights) - parameters
    if freedom < 20:
        return 1.0
    chi = np.sum(weights[:, None] * (residuals / errors[:, None]) ** 2)
    return max(1.0, float(chi) / freedom)


def _rank_short(weights: Array, geometry: Geometry) -> bool:
    return bool(2 * np.count_nonzero(weights) < PARAMETERS[geometry])


def design_matrix(offsets: Array, geometry: Geometry) -> Array:
    """Change of each coordinate with each parameter, shape (n, 2, p)."""
    arms = _ARMS[: PARAMETERS[geometry] - 2]
    columns = [np.broadcast_to(np.eye(2), (len(offsets), 2, 2))]
    columns += [(offsets @ arm.T)[:, :, None] for arm in arms]
    return np.concatenate(columns, axis=2)


def _step(points: Array, residuals: Array, weights: Array, geometry: Geometry) -> tuple[Array, Array, Array]:
    """Centre, parameter changes and normal matrix of one least-squares step."""
    centre = np.average(points, axis=0, weights=weights)
    design = design_matrix(points - centre, geometry)
    weighted = design * weights[:, None, None]
    normal = np.einsum("ncp,ncq->pq", weighted, design)
    right = np.einsum("ncp,nc->p", weighted, residuals)
    change: Array = np.linalg.lstsq(normal, right, rcond=1e-14)[0]
    return centre, change, normal


def increment(change: Array, centre: Array) -> PlaneFit:
    """The transformation of parameter changes about a centre; a roll is a rotation exactly."""
    roll, scale, skew, cross = np.concatenate([change[2:], np.zeros(6 - len(change))])
    turn = PlaneFit.similarity(np.zeros(2), float(np.degrees(roll)), 1.0 + float(scale)).matrix
    matrix = turn @ (np.eye(2) + skew * _ARMS[2] + cross * _ARMS[3])
    return PlaneFit(centre + change[:2] - matrix @ centre, matrix)
