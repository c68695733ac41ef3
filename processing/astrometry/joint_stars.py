"""The stars' own equations in a joint solution: five unknowns each, solved exactly for given exposures.

Small matrices of many stars are held entry by entry, the stars along the last axis, so that each step of
their factorisation is one operation on all stars; thousands of separate small factorisations take ten times
as long.
"""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.joint_layout import WEAK, Layout
from hapctl.processing.astrometry.joint_model import Array

_ENTRIES = ((0, 0), (1, 1), (0, 2), (1, 2), (2, 2), (0, 3), (1, 4), (3, 3), (4, 4), (2, 3), (2, 4))
_TERMS = (0, 0, 1, 2, 3, 4, 4, 5, 5, 6, 7)
"""Places in the normal matrix of a star, and which of `Layout.moments` adds to each."""


@dataclass(frozen=True)
class StarBlocks:
    """What the stars' equations are under given weights.

    Attributes
    ----------
    weights : ndarray, shape (n,)
        Of the sources, robust weights included.
    inverse : ndarray, shape (5, 5, m)
        Inverses of the lower Cholesky factors of the normal matrices.
    pull : ndarray, shape (5, m)
        Precision times mean of the prior.
    shared : ndarray, shape (5, 2, m)
        Change of `pull` with the field's mean motion.
    """

    weights: Array
    inverse: Array
    pull: Array
    shared: Array

    @property
    def factors(self) -> Array:
        """The inverse factors star by star, shape (m, 5, 5)."""
        return np.ascontiguousarray(self.inverse.transpose(2, 0, 1))


def star_blocks(layout: Layout, weights: Array, catalog_weights: Array) -> StarBlocks:
    """Equations of all stars.

    Parameters
    ----------
    layout : Layout
    weights : ndarray, shape (n,)
        Of the sources, robust weights included.
    catalog_weights : ndarray, shape (m,)
        Robust weights of the catalog rows, 1 for stars of none. A row that is not believed gives way to what
        is known of the field.
    """
    prior = layout.prior
    normal, pull, shared = prior.normal.copy(), prior.pull, prior.shared
    doubted = np.nonzero(catalog_weights < 1.0)[0]
    if len(doubted):
        pull, shared = pull.copy(), shared.copy()
        own, field = catalog_weights[doubted], layout.field
        normal[:, :, doubted] = own * (normal[:, :, doubted] - _WEAK_DIAGONAL) + _WEAK_DIAGONAL
        pull[:, doubted] *= own
        shared[:, :, doubted] *= own
        if field is not None:
            lost = 1.0 - own
            normal[2:, 2:, doubted] += lost * field.precision[:, :, None]
            pull[2:, doubted] += lost * (field.precision @ field.mean)[:, None]
            if layout.common:
                shared[2:, :, doubted] += lost * field.precision[:, 1:, None]
    sums = (layout.by_star @ (weights[:, None] * layout.moments)).T
    for (row, column), term in zip(_ENTRIES, _TERMS, strict=True):
        normal[row, column] += sums[term]
        if row != column:
            normal[column, row] += sums[term]
    return StarBlocks(weights, inverse_factors(normal), pull, shared)


_WEAK_DIAGONAL = np.diag(WEAK)[:, :, None]


def inverse_factors(normal: Array) -> Array:
    """Inverses of the lower Cholesky factors of many matrices, entry by entry, shape (p, p, m).

    Row by row: with ``normal = lower @ lower.T`` and the inverse W known for the first rows, the next row of
    the factor is ``W @ normal[:row, row]``.
    """
    size = len(normal)
    inverse = np.zeros_like(normal)
    for row in range(size):
        known = inverse[:row, :row]
        lower = np.sum(known * normal[:row, row], axis=1)
        scale = 1.0 / np.sqrt(normal[row, row] - np.sum(lower**2, axis=0))
        inverse[row, row] = scale
        inverse[row, :row] = -scale * np.sum(lower[:, None] * known, axis=0)
    return inverse


def best_stars(layout: Layout, blocks: StarBlocks, positions: Array, motion: Array) -> Array:
    """The stars' best parameters for given positions of the sources, shape (m, 5).

    `motion` (length 0 or 2) is the field's mean motion beyond its prior mean.
    """
    factors, years = layout.row_factors, layout.row_years
    pulled = np.empty((len(positions), 5))
    np.multiply(positions, blocks.weights[:, None], out=pulled[:, :2])
    pulled[:, 2] = pulled[:, 0] * factors[:, 0] + pulled[:, 1] * factors[:, 1]
    np.multiply(pulled[:, :2], years[:, None], out=pulled[:, 3:])
    right = blocks.pull + (layout.by_star @ pulled).T
    for axis in range(layout.common):
        right += blocks.shared[:, axis] * motion[axis]
    half = np.einsum("ijm,jm->im", blocks.inverse, right)
    return np.ascontiguousarray(np.einsum("jim,jm->im", blocks.inverse, half).T)


def placed(layout: Layout, stars: Array) -> Array:
    """Where the star of each source is at the source's epoch, shape (n, 2), arcsec."""
    own = stars[layout.star]
    places: Array = own[:, 3:] * layout.row_years[:, None]
    places += own[:, :2]
    places += own[:, 2:3] * layout.row_factors
    return places


def own_part(layout: Layout, blocks: StarBlocks) -> Array:
    """The part of a source's variance that is its own doing, by its weight in its star, shape (n,)."""
    c = np.einsum("kim,kjm->ijm", blocks.inverse, blocks.inverse)
    terms = [c[0, 0] + c[1, 1], 2 * c[0, 2], 2 * c[1, 2], c[2, 2], 2 * (c[0, 3] + c[1, 4])]
    terms += [c[3, 3] + c[4, 4], 2 * c[2, 3], 2 * c[2, 4]]
    variance = np.einsum("nt,nt->n", layout.moments, np.stack(terms, axis=1)[layout.star])
    lever: Array = 0.5 * blocks.weights * variance
    return lever
