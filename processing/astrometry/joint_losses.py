"""What a residual weighs in a joint solution, and when errors are rescaled."""

import numpy as np
from hapctl.processing.astrometry.joint_model import Array

CORE, EDGE = 4.5, 7.0
"""Lengths of a residual in standard errors of a coordinate: full weight within, none beyond."""
SIGNIFICANT = 2.5
"""Standard deviations by which chi-squared must exceed its expectation before errors are rescaled."""
ABSOLUTE = 1.5
"""Length of a residual at which the starting loss turns from squares to absolute values."""
ENOUGH = 10
"""Fewest residuals that have a scatter of their own."""
_RAYLEIGH = 1.1774100225154747  # median of a Rayleigh distribution


def absolute(size: Array) -> Array:
    """Weights of least absolute deviations, for lengths of residuals in standard errors."""
    weights: Array = ABSOLUTE / np.maximum(size, ABSOLUTE)
    return weights


def fading(size: Array) -> Array:
    """Weights that never vanish, a quarter at two standard errors (Geman & McClure 1985)."""
    weights: Array = 1.0 / (1.0 + 0.25 * size**2) ** 2
    return weights


def redescending(size: Array) -> Array:
    """Weights: 1 up to `CORE`, 0 from `EDGE`, a smooth step between."""
    part = np.clip((EDGE - size) / (EDGE - CORE), 0.0, 1.0)
    weights: Array = part * part * (3.0 - 2.0 * part)
    return weights


def robust_scatter(sizes: Array) -> float:
    """Scatter of residuals from the median of their lengths, at least 1."""
    if len(sizes) < ENOUGH:
        return 1.0
    return max(1.0, float(np.median(sizes)) / _RAYLEIGH)


def rescaling(chi_squared: float, freedom: int, least: int) -> float:
    """The factor of all errors: 1 unless chi-squared is larger than chance explains.

    A factor that followed every upward fluctuation, and no downward one, would make errors of small fields
    too large on average: by a tenth of the variance at twenty degrees of freedom.
    """
    if freedom < least or not significant(chi_squared, freedom):
        return 1.0
    return float(np.sqrt(chi_squared / freedom))


def significant(chi_squared: float, freedom: int) -> bool:
    """Whether chi-squared is larger than chance explains."""
    return bool(chi_squared > freedom + SIGNIFICANT * np.sqrt(2.0 * freedom))
