"""The equations of a joint solution: stars eliminated exactly, a few unknowns of each exposure left.

Every star has five unknowns of its own, so that their normal matrix falls into blocks of 5 x 5; with the
Cholesky factor of a block the star's part in the exposures' equations is a matrix product (Schur complement;
as in bundle adjustment, Triggs et al. 2000, LNCS 1883, section 6.1). Neighbours on the sky share exposures,
so stars are taken a few hundred neighbours at a time, as dense matrices over the exposures they touch.
"""

from collections.abc import Iterator

import numpy as np
from hapctl.processing.astrometry.joint_corrections import matrices, slopes_at
from hapctl.processing.astrometry.joint_layout import Layout
from hapctl.processing.astrometry.joint_model import Array, Indices
from hapctl.processing.astrometry.joint_stars import StarBlocks

_PIECE = 200_000  # multiplications: OpenBLAS starts threads beyond 2**18


def corrected(layout: Layout, corrections: Array) -> Array:
    """Positions of the sources in the frame of the solution, shape (n, 2), arcsec."""
    shifts, turns = layout.centres + corrections[:, :2], matrices(corrections)
    moved: Array = shifts[layout.exposure]
    for axis in range(2):
        moved += turns[:, :, axis][layout.exposure] * layout.offsets[:, axis : axis + 1]
    return moved


def _arms(layout: Layout, corrections: Array) -> Array:
    """Change of places with the unknowns, linear in the offset from the centre, shape (k, 2, 3, w).

    The third axis multiplies 1 and the two coordinates of the offset.
    """
    size, width = len(corrections), layout.width
    turns = matrices(corrections)
    arms = np.zeros((size, 2, 3, width))
    arms[:, 0, 0, 0] = arms[:, 1, 0, 1] = 1.0
    for axis in range(2):
        unit = np.broadcast_to(np.eye(2)[axis], (size, 2))
        arms[:, :, 1 + axis, 2:] = slopes_at(unit, corrections, turns)[:, :, 2:width]
    arms[~layout.skewed, :, :, 4:] = 0.0
    return arms


def source_gradient(layout: Layout, corrections: Array, weights: Array, residuals: Array) -> Array:
    """Sum over the sources of derivative times weighted residual, shape (w k,).

    The derivative is that at the star's place, not at the source's. A source's error is a part of both its
    place and its residual, and their product would always ask for a smaller scale, in which all residuals
    are smaller: where no catalog holds it, a field of thousands of stars shrinks by parts in a thousand.
    """
    each = np.empty((len(residuals), 6))
    np.multiply(weights[:, None], residuals, out=each[:, :2])
    for axis in range(2):
        start = 2 + 2 * axis
        np.multiply(each[:, :2], layout.offsets[:, axis : axis + 1], out=each[:, start : start + 2])
    sums = (layout.by_exposure @ each).reshape(-1, 3, 2)
    gradient: Array = np.einsum("kdc,kcdp->kp", sums, _arms(layout, corrections))
    squares = layout.by_exposure @ np.sum(each[:, :2] * residuals, axis=1)
    gradient[:, 3] -= squares / (1.0 + corrections[:, 3])
    return gradient.ravel()


def exposure_blocks(layout: Layout, corrections: Array, weights: Array) -> Array:
    """Normal matrix of the exposures before the stars are eliminated, shape (w k, w k)."""
    size, width = len(layout.centres), layout.width
    offsets = np.column_stack([np.ones(len(weights)), layout.offsets])
    moments = offsets[:, :, None] * (weights[:, None] * offsets)[:, None, :]
    sums = (layout.by_exposure @ moments.reshape(-1, 9)).reshape(size, 3, 3)
    arms = _arms(layout, corrections)
    blocks = (arms.transpose(0, 1, 3, 2) @ (sums[:, None] @ arms)).sum(axis=1)
    normal = np.zeros((size, width, size, width))
    normal[np.arange(size), :, np.arange(size), :] = blocks
    return normal.reshape(width * size, width * size)


def couplings(
    layout: Layout, corrections: Array, blocks: StarBlocks
) -> Iterator[tuple[slice, Indices, Array]]:
    """The stars' part in the exposures' equations, a few hundred stars at a time.

    Yields
    ------
    stars : slice
    columns : ndarray of int
        Unknowns (w of each exposure, then the common ones) that these stars touch.
    matrix : ndarray, shape (5 stars, columns)
        Inverse Cholesky factor times the block of the normal matrix between star and unknowns.
    """
    width, turns, factors = layout.width, matrices(corrections), blocks.factors
    common = width * len(layout.centres) + np.arange(layout.common)
    shared = blocks.shared.transpose(2, 0, 1)
    for chunk in layout.chunks:
        number, touched = chunk.stars.stop - chunk.stars.start, len(chunk.columns) // width
        own = layout.exposure[chunk.rows]
        slopes = slopes_at(layout.offsets[chunk.rows], corrections[own], turns[own])[:, :, :width]
        slopes[~layout.skewed[own], :, 4:] = 0.0
        slopes *= blocks.weights[chunk.rows, None, None]
        each = np.empty((len(own), 5, width))
        each[:, :2] = slopes
        each[:, 2] = np.einsum("nc,ncp->np", layout.row_factors[chunk.rows], slopes)
        each[:, 3:] = slopes * layout.row_years[chunk.rows, None, None]
        dense = np.zeros((number, 5, touched, width))
        dense[chunk.star, :, chunk.place, :] = each
        seen = dense.reshape(number, 5, width * touched)
        columns = chunk.columns
        if layout.common:
            seen = np.concatenate([seen, shared[chunk.stars]], axis=2)
            columns = np.concatenate([columns, common])
        yield chunk.stars, columns, (factors[chunk.stars] @ seen).reshape(5 * number, len(columns))


def gram(part: Array) -> Array:
    """``part.T @ part``, in pieces for which the linear algebra starts no threads.

    Threads that wait for pieces of a millisecond cost more processor time than all else.
    """
    width = part.shape[1]
    rows = max(_PIECE // width**2, 8)
    whole = rows * (len(part) // rows)
    pieces, rest = part[:whole].reshape(-1, rows, width), part[whole:]
    product: Array = (pieces.transpose(0, 2, 1) @ pieces).sum(axis=0) + rest.T @ rest
    return product


def common_block(layout: Layout, catalog_weights: Array) -> Array:
    """Normal matrix of the field's mean motion before the stars are eliminated, shape (2, 2) or (0, 0)."""
    field = layout.field
    if field is None or not layout.common:
        return np.zeros((0, 0))
    own = np.einsum("jpm,mjq->pq", catalog_weights * layout.prior.shared, field.response)
    instead = float(np.sum(1.0 - catalog_weights)) * field.precision[1:, 1:]
    block: Array = own + instead + np.eye(2) / field.motion_error**2
    return block


def common_gradient(layout: Layout, catalog_weights: Array, stars: Array, motion: Array) -> Array:
    """How the stars pull the field's mean motion, shape (2,) or (0,)."""
    field = layout.field
    if field is None or not layout.common:
        return np.zeros(0)
    apart = stars - layout.mean - field.response @ motion
    own = np.einsum("jpm,jm->p", layout.prior.shared, catalog_weights * apart.T)
    unlike = stars[:, 2:] - field.mean - np.concatenate([[0.0], motion])
    instead = field.precision[1:] @ ((1.0 - catalog_weights) @ unlike)
    gradient: Array = own + instead - motion / field.motion_error**2
    return gradient
