"""Similarities of the plane held by priors, robust weights, scatter; coordinates are arcsec in a plane."""

import numpy as np
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
_TUKEY = 8.0  # in units of the robust scatter, as the length of a residual: stars beyond weigh nothing


def held_fit(
    points: Array, stars: Array, weights: Array, about: Array, roll_sigma_deg: float, scale_sigma: float
) -> PlaneFit:
    """The similarity that takes points to stars, its roll and scale held near none by Gaussian priors.

    Parameters
    ----------
    points, stars : ndarray, shape (n, 2)
        Arcsec.
    weights : ndarray, shape (n,)
        Inverse variances of a coordinate, per arcsec squared.
    about : ndarray, shape (2,)
        Centre of roll and scale.
    roll_sigma_deg, scale_sigma : float
        Standard deviations of the priors.
    """
    arm = points - about
    difference = stars - points
    ones, zeros = np.ones(len(points)), np.zeros(len(points))
    design = np.concatenate(
        [
            np.column_stack([ones, zeros, arm[:, 0], -arm[:, 1]]),
            np.column_stack([zeros, ones, arm[:, 1], arm[:, 0]]),
        ]
    )
    both = np.concatenate([weights, weights])
    normal = (design * both[:, None]).T @ design
    normal[2, 2] += 1.0 / scale_sigma**2
    normal[3, 3] += 1.0 / np.radians(roll_sigma_deg) ** 2
    right = (design * both[:, None]).T @ np.concatenate([difference[:, 0], difference[:, 1]])
    dx, dy, grow, turn = np.linalg.lstsq(normal, right, rcond=1e-14)[0]
    matrix = np.array([[1.0 + grow, -turn], [turn, 1.0 + grow]])
    return PlaneFit(about + np.array([dx, dy]) - matrix @ about, matrix)


def root_mean_square(residuals: Array) -> Array:
    """Of each column; NaN without rows."""
    if len(residuals) == 0:
        return np.full(2, np.nan)
    rms: Array = np.sqrt(np.mean(residuals**2, axis=0))
    return rms


def robust_weights(residuals: Array, errors: Array) -> Array:
    """Tukey's biweight of residuals over errors, with the scatter from the median; shape (n,)."""
    size = np.hypot(residuals[:, 0], residuals[:, 1]) / errors
    scatter = max(float(np.median(size)) / 1.1774100225154747, 0.3)  # median of a Rayleigh distribution
    part = np.clip(1.0 - (size / (_TUKEY * scatter)) ** 2, 0.0, None)
    weights: Array = part**2
    return weights
