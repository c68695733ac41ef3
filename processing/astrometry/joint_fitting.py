"""Exposures fitted to each other at once, the positions of their common stars unknown.

The stars are eliminated from the normal equations, so that only the few parameters of each
exposure are solved for; the equations are sparse and serve two exposures or many.
Positions are tangent-plane coordinates in arcsec.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from hapctl.processing.astrometry.fitting import (
    PARAMETERS,
    Geometry,
    design_matrix,
    increment,
    robust_weights,
)
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Observations:
    """Sources of several exposures with the star each belongs to; all arrays have n rows.

    Attributes
    ----------
    exposure, star : ndarray of int, shape (n,)
        Numbers from 0 without gaps.
    points : ndarray, shape (n, 2)
        Arcsec in the group's plane.
    errors : ndarray, shape (n,)
        Standard error of a coordinate, arcsec.
    """

    exposure: Indices
    star: Indices
    points: Array
    errors: Array


@dataclass(frozen=True)
class JointFit:
    """Exposures fitted to each other.

    Attributes
    ----------
    fits : tuple of PlaneFit
        For each exposure; the reference exposure's is the identity.
    stars : ndarray, shape (m, 2)
        Weighted mean positions, arcsec; NaN for a star whose sources were all rejected.
    star_errors : ndarray, shape (m,)
        Standard errors of those, arcsec.
    residuals : ndarray, shape (n, 2)
        Star minus transformed source, arcsec.
    weights : ndarray, shape (n,)
        Robust weights.
    """

    fits: tuple[PlaneFit, ...]
    stars: Array
    star_errors: Array
    residuals: Array
    weights: Array


def fit_exposures(
    observations: Observations,
    geometries: Sequence[Geometry],
    *,
    reference: int = 0,
    start: Sequence[PlaneFit] | None = None,
) -> JointFit:
    """Fit all exposures of a group to each other at once, with the stars' positions unknown.

    The stars are eliminated from the normal equations, which leaves a few unknowns for each exposure.

    Parameters
    ----------
    observations : Observations
        Stars seen once tell nothing and weigh nothing.
    geometries : sequence of str
        For each exposure; the one of the reference exposure is not used.
    reference : int
        The exposure that does not move.
    start : sequence of PlaneFit, optional
        Identities by default.

    Returns
    -------
    JointFit
    """
    fits = list(start) if start is not None else [PlaneFit.identity() for _ in geometries]
    weights = np.ones(len(observations.star))
    for _ in range(40):
        points = _transformed(observations, fits)
        stars, _ = _star_means(observations, points, weights)
        residuals = stars[observations.star] - points
        weights = _joint_weights(residuals, observations)
        changes = _joint_step(observations, points, weights, geometries, reference)
        fits = [change.after(fit) for change, fit in zip(changes, fits, strict=True)]
        moved = max(float(np.max(np.abs(c(points) - points))) for c in changes)
        if moved < 1e-9:
            break
    points = _transformed(observations, fits)
    stars, star_errors = _star_means(observations, points, weights)
    return JointFit(tuple(fits), stars, star_errors, stars[observations.star] - points, weights)


def _transformed(observations: Observations, fits: Sequence[PlaneFit]) -> Array:
    points = np.empty_like(observations.points)
    for number, fit in enumerate(fits):
        mine = observations.exposure == number
        points[mine] = fit(observations.points[mine])
    return points


def _star_means(observations: Observations, points: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted mean position of each star and its standard error; NaN where nothing is left."""
    weight = weights / observations.errors**2
    count = int(observations.star.max()) + 1 if len(points) else 0
    total = np.bincount(observations.star, weights=weight, minlength=count)
    sums = [np.bincount(observations.star, weights=weight * points[:, k], minlength=count) for k in (0, 1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.column_stack(sums) / total[:, None], 1.0 / np.sqrt(total)


def _joint_weights(residuals: Array, observations: Observations) -> Array:
    """Robust weights; a residual from a mean of n sources is sqrt((n - 1) / n) of the error."""
    seen = np.bincount(observations.star)[observations.star]
    weights = np.zeros(len(residuals))
    several = (seen > 1) & np.isfinite(residuals).all(axis=1)
    if several.any():
        shrunk = observations.errors * np.sqrt(np.maximum(seen - 1, 1) / seen)
        weights[several] = robust_weights(residuals[several], shrunk[several])
    weights[seen == 1] = 1.0
    return weights


def _joint_step(
    observations: Observations,
    points: Array,
    weights: Array,
    geometries: Sequence[Geometry],
    reference: int,
) -> list[PlaneFit]:
    """One least-squares step for all exposures, the stars eliminated."""
    centre = points.mean(axis=0)
    sizes = [0 if number == reference else PARAMETERS[g] for number, g in enumerate(geometries)]
    first = np.concatenate([[0], np.cumsum(sizes)])
    if first[-1] == 0:
        return [PlaneFit.identity() for _ in geometries]
    design = _sparse_design(observations, points - centre, geometries, first)
    normal, right = _reduced_equations(design, points, observations, weights)
    solved = np.linalg.lstsq(normal, right, rcond=1e-13)[0].astype(np.float64)
    parts = [solved[start:end] for start, end in pairwise(first.tolist())]
    return [increment(part, centre) if len(part) else PlaneFit.identity() for part in parts]


def _sparse_design(
    observations: Observations, offsets: Array, geometries: Sequence[Geometry], first: Indices
) -> Any:
    """Change of every coordinate with every exposure's parameters, sparse, shape (2 n, unknowns)."""
    from scipy.sparse import csr_matrix

    rows, columns, values = [], [], []
    for number, geometry in enumerate(geometries):
        size = int(first[number + 1] - first[number])
        if size == 0:
            continue
        mine = np.nonzero(observations.exposure == number)[0]
        block = design_matrix(offsets[mine], geometry).reshape(-1, size)
        rows.append(np.repeat((2 * mine[:, None] + np.arange(2)).ravel(), size))
        columns.append(np.tile(np.arange(first[number], first[number + 1]), 2 * len(mine)))
        values.append(block.ravel())
    where = (np.concatenate(rows), np.concatenate(columns))
    return csr_matrix((np.concatenate(values), where), shape=(offsets.size, int(first[-1])))


def _reduced_equations(
    design: Any, points: Array, observations: Observations, weights: Array
) -> tuple[Array, Array]:
    """Normal equations of the exposures' parameters, after the stars' best positions are put in."""
    from scipy.sparse import csr_matrix, diags

    weight = np.repeat(weights / observations.errors**2, 2)
    rows = np.arange(points.size)
    star = (2 * observations.star[:, None] + np.arange(2)).ravel()
    by_star = csr_matrix((weight, (star, rows)))
    total = np.asarray(by_star.sum(axis=1)).ravel()
    inverse = diags(np.divide(1.0, total, out=np.zeros_like(total), where=total > 0))
    shared = by_star @ design
    normal = (design.T @ diags(weight) @ design - shared.T @ inverse @ shared).toarray()
    right = shared.T @ (inverse @ (by_star @ points.ravel())) - design.T @ (weight * points.ravel())
    return normal, right
