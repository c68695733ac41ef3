"""The equations of a joint solution: stars eliminated exactly, a few unknowns of each exposure left.

Every star has five unknowns of its own, so that their normal matrix falls into blocks of 5 x 5; with the
Cholesky factor of a block the star's part in the exposures' equations is a matrix product (Schur complement;
as in bundle adjustment, Triggs et al. 2000, LNCS 1883, section 6.1). Neighbours on the sky share exposures,
so stars are taken a few hundred neighbours at a time, as dense matrices over the exposures they touch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hapctl.processing.astrometry.joint_corrections import matrices, slopes_at
from hapctl.processing.astrometry.joint_model import (
    Array,
    FieldPrior,
    Indices,
    JointExposure,
    JointProblem,
    JointSources,
)
from numpy.typing import NDArray

WEAK = np.array([0.0, 0.0, 1.0, 1.0, 1.0])
"""Precision of parallax (1 arcsec) and motion (1 arcsec per year) where nothing is known."""
_AT_ONCE = 256  # stars of a dense matrix: small enough to touch few exposures, large enough to be fast


@dataclass(frozen=True)
class Layout:
    """What does not change while a problem is solved; n sources of m stars that tell something, by star.

    Attributes
    ----------
    exposure, star : ndarray of int, shape (n,)
        `star` counts the stars kept, in their order here.
    rows : ndarray of int, shape (n,)
        Places of the sources in the problem.
    stars : ndarray of int, shape (m,)
        Numbers of the stars in the problem.
    offsets : ndarray, shape (n, 2)
        Positions from the centre of the exposure, arcsec.
    weights : ndarray, shape (n,)
        One over the squared error, floor included.
    centres, parallax_factors : ndarray, shape (k, 2)
    years : ndarray, shape (k,)
        Since the reference epoch.
    mean : ndarray, shape (m, 5)
        Prior of the stars; zero where there is none.
    precision : ndarray, shape (m, 5, 5)
    in_catalog : ndarray of bool, shape (m,)
    field : FieldPrior or None
        With the response of the stars kept.
    by_star, by_exposure : sparse matrix, shapes (m, n) and (k, n)
        Sum over the sources of a star, of an exposure.
    chunks : tuple of (slice, slice)
        Sources and stars that are taken at once.
    skewed : ndarray of bool, shape (k,)
        Whether skew is an unknown of the exposure.
    """

    exposure: Indices
    star: Indices
    rows: Indices
    stars: Indices
    offsets: Array
    weights: Array
    centres: Array
    parallax_factors: Array
    years: Array
    mean: Array
    precision: Array
    in_catalog: NDArray[np.bool_]
    field: FieldPrior | None
    by_star: Any
    by_exposure: Any
    chunks: tuple[tuple[slice, slice], ...]
    skewed: NDArray[np.bool_]

    @property
    def width(self) -> int:
        """Unknowns of an exposure: shift, roll and scale, and skew where any exposure has it."""
        return 6 if self.skewed.any() else 4

    @property
    def common(self) -> int:
        """Number of unknowns that all stars share: the field's mean motion, where it is uncertain."""
        return 2 if self.field is not None and self.field.motion_error > 0 else 0


def lay_out(problem: JointProblem, floor: float) -> Layout:
    """Put a problem in order.

    Raises
    ------
    ValueError
        Two sources of one exposure belong to one star.
    """
    sources, priors = problem.sources, problem.stars
    count, size = len(priors), len(problem.exposures)
    seen = np.bincount(sources.star, minlength=count)
    telling = (seen > 1) | (priors.in_catalog & (seen > 0))
    rows, stars = _in_order(sources, telling)
    place = np.full(count, -1, dtype=np.intp)
    place[stars] = np.arange(len(stars))
    star, exposure = place[sources.star[rows]], sources.exposure[rows]
    if len(np.unique(star * size + exposure)) < len(rows):
        raise ValueError("two sources of one exposure belong to one star")
    centres = _array([e.centre for e in problem.exposures], 2)
    return Layout(
        exposure=exposure,
        star=star,
        rows=rows,
        stars=stars,
        offsets=sources.points[rows] - centres[exposure],
        weights=1.0 / (sources.errors[rows] ** 2 + floor**2),
        centres=centres,
        parallax_factors=_array([e.parallax_factors for e in problem.exposures], 2),
        years=_years(problem.exposures, problem.reference_epoch),
        mean=np.nan_to_num(priors.mean[stars]),
        precision=priors.precision[stars],
        in_catalog=priors.in_catalog[stars],
        field=_field_of(priors.field, stars),
        by_star=_summing(star, len(stars)),
        by_exposure=_summing(exposure, size),
        chunks=tuple(_chunks(star, len(stars))),
        skewed=np.array([exposure.prior.skew > 0 for exposure in problem.exposures]),
    )


def _array(rows: Sequence[Array], width: int) -> Array:
    return np.array(rows, dtype=np.float64).reshape(-1, width)


def _years(exposures: Sequence[JointExposure], reference_epoch: float) -> Array:
    return np.array([exposure.epoch for exposure in exposures]) - reference_epoch


def _field_of(field: FieldPrior | None, stars: Indices) -> FieldPrior | None:
    if field is None:
        return None
    return FieldPrior(field.mean, field.precision, field.motion_error, field.response[stars])


def _in_order(sources: JointSources, telling: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Rows of the sources that tell something, and their stars: neighbours on the sky side by side."""
    star, count = sources.star, len(telling)
    seen = np.maximum(np.bincount(star, minlength=count), 1)
    x, y = (np.bincount(star, weights=sources.points[:, k], minlength=count) / seen for k in (0, 1))
    kept = np.nonzero(telling)[0]
    cell = _cell_size(x[kept], y[kept])
    band = np.floor(y[kept] / cell).astype(np.int64)
    stars = kept[np.lexsort((np.where(band % 2 == 0, x[kept], -x[kept]), band))]
    rank = np.full(count, -1, dtype=np.intp)
    rank[stars] = np.arange(len(stars))
    rows = np.argsort(rank[star], kind="stable")
    return rows[np.count_nonzero(rank[star] < 0) :], stars


def _cell_size(x: Array, y: Array) -> float:
    """Side of a square with as many stars as are taken at once, arcsec."""
    if len(x) == 0:
        return 1.0
    area = max(float(np.ptp(x) * np.ptp(y)), 1e-6)
    return float(np.sqrt(area * _AT_ONCE / len(x)))


def _summing(group: Indices, count: int) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(group)), (group, np.arange(len(group)))), shape=(count, len(group)))


def _chunks(star: Indices, count: int) -> Iterator[tuple[slice, slice]]:
    """Sources and stars that are taken at once."""
    edges = np.searchsorted(star, np.arange(0, count + _AT_ONCE, _AT_ONCE))
    for number in range(len(edges) - 1):
        rows = slice(int(edges[number]), int(edges[number + 1]))
        yield rows, slice(number * _AT_ONCE, min((number + 1) * _AT_ONCE, count))


def corrected(layout: Layout, corrections: Array) -> Array:
    """Positions of the sources in the frame of the solution, shape (n, 2), arcsec."""
    turned = np.einsum("nij,nj->ni", matrices(corrections)[layout.exposure], layout.offsets)
    moved: Array = (layout.centres + corrections[:, :2])[layout.exposure] + turned
    return moved


def derivatives(layout: Layout, corrections: Array) -> Array:
    """Change of each source's position with its exposure's unknowns, shape (n, 2, w)."""
    own = layout.exposure
    slopes = slopes_at(layout.offsets, corrections[own], matrices(corrections)[own])
    slopes[~layout.skewed[own], :, 4:] = 0.0
    return np.ascontiguousarray(slopes[:, :, : layout.width])


def placed(layout: Layout, stars: Array) -> Array:
    """Where the star of each source is at the source's epoch, shape (n, 2), arcsec."""
    own = stars[layout.star]
    factors, years = layout.parallax_factors[layout.exposure], layout.years[layout.exposure]
    places: Array = own[:, :2] + own[:, 2:3] * factors + own[:, 3:] * years[:, None]
    return places


@dataclass(frozen=True)
class StarBlocks:
    """Normal matrices of the stars, and what their priors are under given weights.

    Attributes
    ----------
    normal : ndarray, shape (m, 5, 5)
    pull : ndarray, shape (m, 5)
        Precision times mean of the prior.
    shared : ndarray, shape (m, 5, 2)
        Change of `pull` with the field's mean motion.
    """

    normal: Array
    pull: Array
    shared: Array


def star_blocks(layout: Layout, weights: Array, catalog_weights: Array) -> StarBlocks:
    """Normal matrices of all stars.

    Parameters
    ----------
    layout : Layout
    weights : ndarray, shape (n,)
        Of the sources, robust weights included.
    catalog_weights : ndarray, shape (m,)
        Robust weights of the catalog rows, 1 for stars of none. A row that is not believed gives way to what
        is known of the field.
    """
    own = catalog_weights[:, None, None] * layout.precision
    pull = np.einsum("mij,mj->mi", own, layout.mean)
    width = layout.common
    shared = np.zeros((len(own), 5, width))
    field = layout.field
    if field is not None:
        instead = (1.0 - catalog_weights)[:, None, None] * field.precision
        pull[:, 2:] += instead @ field.mean
        own[:, 2:, 2:] += instead
        if width:
            shared = own_response(layout, catalog_weights)
    own += np.diag(WEAK)
    return StarBlocks(own + _source_blocks(layout, weights), pull, shared)


def own_response(layout: Layout, catalog_weights: Array) -> Array:
    """Change of precision times prior mean with the field's mean motion, shape (m, 5, 2)."""
    field = layout.field
    assert field is not None
    response = catalog_weights[:, None, None] * (layout.precision @ field.response)
    response[:, 2:] += (1.0 - catalog_weights)[:, None, None] * field.precision[:, 1:]
    return response


def _source_blocks(layout: Layout, weights: Array) -> Array:
    """The sources' part in the stars' normal matrices, shape (m, 5, 5)."""
    factor, years = layout.parallax_factors[layout.exposure], layout.years[layout.exposure]
    x, y = factor[:, 0], factor[:, 1]
    terms = np.stack([np.ones_like(x), x, y, x * x + y * y, years, years**2, years * x, years * y], axis=1)
    one, by_x, by_y, by_both, time, time_squared, time_x, time_y = (
        layout.by_star @ (weights[:, None] * terms)
    ).T
    blocks = np.zeros((len(layout.stars), 5, 5))
    entries = [
        (0, 0, one),
        (1, 1, one),
        (0, 2, by_x),
        (1, 2, by_y),
        (2, 2, by_both),
        (0, 3, time),
        (1, 4, time),
        (3, 3, time_squared),
        (4, 4, time_squared),
        (2, 3, time_x),
        (2, 4, time_y),
    ]
    for row, column, values in entries:
        blocks[:, row, column] = blocks[:, column, row] = values
    return blocks


def best_stars(layout: Layout, blocks: StarBlocks, weights: Array, positions: Array, motion: Array) -> Array:
    """The stars' best parameters for given positions of the sources, shape (m, 5).

    `motion` (length 0 or 2) is the field's mean motion beyond its prior mean.
    """
    factors, years = layout.parallax_factors[layout.exposure], layout.years[layout.exposure]
    pulled = np.column_stack([positions, np.sum(positions * factors, axis=1), positions * years[:, None]])
    right = blocks.pull + blocks.shared @ motion + layout.by_star @ (weights[:, None] * pulled)
    solved: Array = np.linalg.solve(blocks.normal, right[:, :, None])[:, :, 0]
    return solved


def source_gradient(layout: Layout, slopes: Array, weights: Array, residuals: Array) -> Array:
    """Sum over the sources of derivative times weighted residual, shape (w k,)."""
    each = np.einsum("ncp,nc->np", slopes, weights[:, None] * residuals)
    gradient: Array = (layout.by_exposure @ each).ravel()
    return gradient


def exposure_blocks(layout: Layout, slopes: Array, weights: Array) -> Array:
    """Normal matrix of the exposures before the stars are eliminated, shape (w k, w k)."""
    size, width = len(layout.centres), layout.width
    each = slopes.transpose(0, 2, 1) @ (weights[:, None, None] * slopes)
    blocks = (layout.by_exposure @ each.reshape(-1, width * width)).reshape(size, width, width)
    normal = np.zeros((size, width, size, width))
    normal[np.arange(size), :, np.arange(size), :] = blocks
    return normal.reshape(width * size, width * size)


def inverse_factors(normal: Array) -> Array:
    """Inverses of the lower Cholesky factors, shape (m, 5, 5)."""
    inverse: Array = np.linalg.inv(np.linalg.cholesky(normal))
    return inverse


def seen_factors(layout: Layout, factors: Array, rows: slice = slice(None)) -> Array:
    """Inverse factors of the stars times the change of each source's place with its star, shape (n, 5, 2)."""
    own, exposure = factors[layout.star[rows]], layout.exposure[rows]
    by_parallax = own[:, :, 2:3] * layout.parallax_factors[exposure][:, None, :]
    seen: Array = own[:, :, :2] + by_parallax + own[:, :, 3:] * layout.years[exposure][:, None, None]
    return seen


def couplings(
    layout: Layout, slopes: Array, weights: Array, blocks: StarBlocks, factors: Array
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
    width = layout.width
    common = width * len(layout.centres) + np.arange(layout.common)
    for rows, stars in layout.chunks:
        touched, place = np.unique(layout.exposure[rows], return_inverse=True)
        number = stars.stop - stars.start
        dense = np.zeros((number, 5, len(touched), width))
        seen = weights[rows, None, None] * seen_factors(layout, factors, rows)
        dense[layout.star[rows] - stars.start, :, place, :] = seen @ slopes[rows]
        matrix = dense.reshape(5 * number, width * len(touched))
        columns = (width * touched[:, None] + np.arange(width)).ravel()
        if layout.common:
            shared = (factors[stars] @ blocks.shared[stars]).reshape(5 * number, layout.common)
            matrix = np.concatenate([matrix, shared], axis=1)
            columns = np.concatenate([columns, common])
        yield stars, columns, matrix


def common_block(layout: Layout, catalog_weights: Array) -> Array:
    """Normal matrix of the field's mean motion before the stars are eliminated, shape (2, 2) or (0, 0)."""
    field = layout.field
    if field is None or not layout.common:
        return np.zeros((0, 0))
    response = field.response
    own = np.einsum("m,mip,mij,mjq->pq", catalog_weights, response, layout.precision, response, optimize=True)
    instead = float(np.sum(1.0 - catalog_weights)) * field.precision[1:, 1:]
    block: Array = own + instead + np.eye(2) / field.motion_error**2
    return block


def common_gradient(layout: Layout, catalog_weights: Array, stars: Array, motion: Array) -> Array:
    """How the stars pull the field's mean motion, shape (2,) or (0,)."""
    field = layout.field
    if field is None or not layout.common:
        return np.zeros(0)
    apart = stars - layout.mean - field.response @ motion
    held = (layout.precision @ apart[:, :, None])[:, :, 0]
    own = np.einsum("m,mip,mi->p", catalog_weights, field.response, held, optimize=True)
    unlike = stars[:, 2:] - field.mean - np.concatenate([[0.0], motion])
    instead = field.precision[1:] @ ((1.0 - catalog_weights) @ unlike)
    gradient: Array = own + instead - motion / field.motion_error**2
    return gradient
