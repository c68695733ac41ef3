"""The corrections of exposures as numbers, and as transformations of the plane."""

from collections.abc import Sequence

import numpy as np
from hapctl.processing.astrometry.joint_model import Array, JointSolution
from hapctl.processing.astrometry.plane import PlaneFit


def matrices(corrections: Array) -> Array:
    """The matrix of each exposure's correction about its centre, shape (k, 2, 2)."""
    roll, scale, cross, plus = corrections[:, 2:].T
    cosine, sine = np.cos(roll), np.sin(roll)
    turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], axis=1)
    skew = np.stack([np.stack([1.0 + plus, cross], -1), np.stack([cross, 1.0 - plus], -1)], axis=1)
    return (1.0 + scale)[:, None, None] * turn @ skew


def slopes_at(offsets: Array, corrections: Array, matrix: Array) -> Array:
    """Change of positions with the parameters, shape (n, 2, 6), at offsets from the centre, shape (n, 2)."""
    turned = np.einsum("nij,nj->ni", matrix, offsets)
    x, y = offsets[:, 0], offsets[:, 1]
    cosine, sine = np.cos(corrections[:, 2]), np.sin(corrections[:, 2])
    scale = 1.0 + corrections[:, 3]
    result = np.zeros((len(offsets), 2, 6))
    result[:, 0, 0] = result[:, 1, 1] = 1.0
    result[:, 0, 2], result[:, 1, 2] = -turned[:, 1], turned[:, 0]
    result[:, :, 3] = turned / scale[:, None]
    result[:, 0, 4], result[:, 1, 4] = scale * (cosine * y - sine * x), scale * (sine * y + cosine * x)
    result[:, 0, 5], result[:, 1, 5] = scale * (cosine * x + sine * y), scale * (sine * x - cosine * y)
    return result


def corrections_of(fits: Sequence[PlaneFit], centres: Array) -> Array:
    """Parameters, shape (k, 6), of transformations about given centres, shape (k, 2)."""
    corrections = np.zeros((len(fits), 6))
    for row, fit, centre in zip(corrections, fits, centres, strict=True):
        (a, b), (c, d) = fit.matrix
        scale, roll = 0.5 * np.hypot(a + d, c - b), np.arctan2(c - b, a + d)
        cosine, sine = np.cos(roll), np.sin(roll)
        skew = np.array([[cosine, sine], [-sine, cosine]]) @ fit.matrix / scale
        row[:2] = fit(centre) - centre
        row[2:] = roll, scale - 1.0, skew[0, 1], 0.5 * (skew[0, 0] - skew[1, 1])
    return corrections


def plane_fits(corrections: Array, centres: Array) -> tuple[PlaneFit, ...]:
    """Transformations of the plane from parameters about centres."""
    turned = matrices(corrections)
    shifts = centres + corrections[:, :2] - np.einsum("kij,kj->ki", turned, centres)
    return tuple(PlaneFit(shift, matrix) for shift, matrix in zip(shifts, turned, strict=True))


def predicted_error(solution: JointSolution, number: int, points: Array, *, floor: bool = True) -> Array:
    """Standard errors of corrected positions, by the covariance of the solution.

    Parameters
    ----------
    solution : JointSolution
    number : int
        Of the exposure.
    points : ndarray, shape (n, 2)
        By the starting WCS, arcsec in the plane.
    floor : bool
        Add the error of the catalog's frame.

    Returns
    -------
    ndarray, shape (n, 2)
        Arcsec, in xi and eta.
    """
    count = len(points)
    own = np.broadcast_to(solution.corrections[number], (count, 6))
    matrix = np.broadcast_to(solution.fits[number].matrix, (count, 2, 2))
    slopes = slopes_at(points - solution.centres[number], own, matrix)
    block = solution.covariance[6 * number : 6 * number + 6, 6 * number : 6 * number + 6]
    variance = np.einsum("ncp,pq,ncq->nc", slopes, block, slopes, optimize=True)
    common = solution.common_floor[number] if floor else 0.0
    errors: Array = np.sqrt(variance + common**2)
    return errors
