"""The catalog's rows in a joint solution: how far measurements depart from them, and what their errors are.

A catalog may state errors that are too small, in a crowded cluster above all. Its rows then get a factor of
their own, so that the measurements are not thought worse for the catalog's sake.
"""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.joint_layout import Layout
from hapctl.processing.astrometry.joint_losses import significant
from hapctl.processing.astrometry.joint_model import Array
from hapctl.processing.astrometry.joint_stars import placed

_OF_FIELD = 4
"""Shift, roll and scale, which the catalog gives to the field as a whole."""
_MOST = 5.0
"""Largest factor: what is still left is for the judge, to whom a wrong match shows by it."""


@dataclass(frozen=True)
class Departures:
    """Mean measured position of each catalog star minus the catalog's, at the mean epoch of its sources.

    Attributes
    ----------
    offsets : ndarray, shape (c, 2)
        Arcsec.
    known : ndarray, shape (c, 2, 2)
        Covariance of the catalog's position.
    measured : ndarray, shape (c,)
        Variance of a coordinate of the measured one, all sources of the star believed.
    """

    offsets: Array
    known: Array
    measured: Array

    def sizes(self) -> Array:
        """Lengths in standard errors, shape (c,)."""
        covariance = self.known + self.measured[:, None, None] * np.eye(2)
        turned = np.linalg.solve(covariance, self.offsets[:, :, None])[:, :, 0]
        sizes: Array = np.sqrt(np.sum(self.offsets * turned, axis=1))
        return sizes


def departures(
    catalog: Layout, covariance: Array, weights: Array, residuals: Array, stars: Array, motion: Array
) -> Departures:
    """Compare measured positions with the catalog's.

    Parameters
    ----------
    catalog : Layout
        Of the stars of the catalog, c of them with n sources.
    covariance : ndarray, shape (c, 5, 5)
        Of the catalog's rows.
    weights : ndarray, shape (n,)
        Of the sources, robust weights included.
    residuals : ndarray, shape (n, 2)
    stars : ndarray, shape (c, 5)
        By the solution.
    motion : ndarray, shape (0,) or (2,)
        Of the field beyond its prior mean.
    """
    mean = catalog.mean
    if catalog.common and catalog.field is not None:
        mean = mean + catalog.field.response @ motion
    apart = residuals + placed(catalog, stars - mean)
    columns = np.column_stack([apart, catalog.row_factors, catalog.row_years])
    averages = (catalog.by_star @ (weights[:, None] * columns)) / (catalog.by_star @ weights)[:, None]
    seen = np.zeros((len(averages), 2, 5))
    seen[:, 0, 0] = seen[:, 1, 1] = 1.0
    seen[:, :, 2] = averages[:, 2:4]
    seen[:, 0, 3] = seen[:, 1, 4] = averages[:, 4]
    known = seen @ covariance @ seen.transpose(0, 2, 1)
    return Departures(averages[:, :2], known, 1.0 / (catalog.by_star @ catalog.weights))


def error_factor(found: Departures, trust: Array, of_sources: float, least: int) -> float:
    """The factor of the catalog's errors that its departures ask for.

    Parameters
    ----------
    found : Departures
    trust : ndarray, shape (c,)
        Robust weights.
    of_sources : float
        Factor of the errors of the sources.
    least : int
        Fewest degrees of freedom on which a factor is taken.

    Returns
    -------
    float
        1 where chi-squared is no larger than chance explains.
    """
    freedom = round(2.0 * float(np.sum(trust)) - _OF_FIELD)
    values, axes = np.linalg.eigh(found.known)
    squares = trust[:, None] * np.einsum("mji,mj->mi", axes, found.offsets) ** 2
    measured = of_sources**2 * found.measured[:, None]

    def chi_squared(factor: float) -> float:
        return float(np.sum(squares / (factor**2 * values + measured)))

    if freedom < least or not significant(chi_squared(1.0), freedom):
        return 1.0
    low, high = 1.0, _MOST
    for _ in range(40):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if chi_squared(middle) > freedom else (low, middle)
    return low
