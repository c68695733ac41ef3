"""A joint problem put in order: sources by star, stars by neighbourhood, and all that does not change."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
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
class Chunk:
    """Neighbouring stars that are taken at once, and their sources.

    Attributes
    ----------
    rows, stars : slice
        Of the layout.
    star, place : ndarray of int
        For each source, its star and its exposure, as counted here.
    columns : ndarray of int
        Unknowns of the exposures that see these stars.
    """

    rows: slice
    stars: slice
    star: Indices
    place: Indices
    columns: Indices


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
    row_factors : ndarray, shape (n, 2)
    row_years : ndarray, shape (n,)
        Parallax factors and years of each source.
    moments : ndarray, shape (n, 8)
        Products of them that enter the normal matrices of the stars: 1, x, y, x**2 + y**2, t, t**2, t x, t y.
    chunks : tuple of Chunk
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
    row_factors: Array
    row_years: Array
    moments: Array
    chunks: tuple[Chunk, ...]
    skewed: NDArray[np.bool_]

    @property
    def width(self) -> int:
        """Unknowns of an exposure: shift, roll and scale, and skew where any exposure has it."""
        return 6 if self.skewed.any() else 4

    @property
    def common(self) -> int:
        """Number of unknowns that all stars share: the field's mean motion, where it is uncertain."""
        return 2 if self.field is not None and self.field.motion_error > 0 else 0

    @cached_property
    def prior(self) -> "PriorBlocks":
        """What the priors say of all stars, every catalog row believed."""
        pull = (self.precision @ self.mean[:, :, None])[:, :, 0]
        shared = np.zeros((5, 0, len(self.stars)))
        if self.common and self.field is not None:
            shared = np.ascontiguousarray((self.precision @ self.field.response).transpose(1, 2, 0))
        normal = np.ascontiguousarray((self.precision + np.diag(WEAK)).transpose(1, 2, 0))
        return PriorBlocks(normal, np.ascontiguousarray(pull.T), shared)

    def part(self, chosen: NDArray[np.bool_]) -> "Layout":
        """The stars that are chosen, shape (m,), and their sources, as a layout of their own.

        For the equations of the stars alone; `rows` and `stars` are places in this layout.
        """
        kept, rows = np.nonzero(chosen)[0], np.nonzero(chosen[self.star])[0]
        place = np.cumsum(chosen) - 1
        star = place[self.star[rows]]
        return replace(
            self,
            exposure=self.exposure[rows],
            star=star,
            rows=rows,
            stars=kept,
            offsets=self.offsets[rows],
            weights=self.weights[rows],
            mean=self.mean[kept],
            precision=self.precision[kept],
            in_catalog=self.in_catalog[kept],
            chunks=(),
            field=_field_of(self.field, kept),
            by_star=_summing(star, len(kept)),
            row_factors=self.row_factors[rows],
            row_years=self.row_years[rows],
            moments=self.moments[rows],
        )


@dataclass(frozen=True)
class PriorBlocks:
    """Priors of m stars, the stars along the last axis.

    Attributes
    ----------
    normal : ndarray, shape (5, 5, m)
        Precision, `WEAK` included.
    pull : ndarray, shape (5, m)
        Precision times mean.
    shared : ndarray, shape (5, 2, m)
        Change of `pull` with the field's mean motion.
    """

    normal: Array
    pull: Array
    shared: Array


def lay_out(problem: JointProblem, floor: float, catalog_factor: float = 1.0) -> Layout:
    """Put a problem in order; the errors of the catalog's rows multiplied by a factor.

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
    precision = priors.precision[stars]
    precision[priors.in_catalog[stars]] /= catalog_factor**2
    centres = _array([e.centre for e in problem.exposures], 2)
    factors = _array([e.parallax_factors for e in problem.exposures], 2)
    years = _years(problem.exposures, problem.reference_epoch)
    skewed = np.array([exposure.prior.skew > 0 for exposure in problem.exposures], dtype=np.bool_)
    return Layout(
        exposure=exposure,
        star=star,
        rows=rows,
        stars=stars,
        offsets=sources.points[rows] - centres[exposure],
        weights=1.0 / (sources.errors[rows] ** 2 + floor**2),
        centres=centres,
        parallax_factors=factors,
        years=years,
        mean=np.nan_to_num(priors.mean[stars]),
        precision=precision,
        in_catalog=priors.in_catalog[stars],
        field=_field_of(priors.field, stars),
        by_star=_summing(star, len(stars)),
        by_exposure=_summing(exposure, size),
        row_factors=factors[exposure],
        row_years=years[exposure],
        moments=_moments(factors, years)[exposure],
        chunks=tuple(_chunks(exposure, star, len(stars), 6 if skewed.any() else 4)),
        skewed=skewed,
    )


def _array(rows: Sequence[Array], width: int) -> Array:
    return np.array(rows, dtype=np.float64).reshape(-1, width)


def _years(exposures: Sequence[JointExposure], reference_epoch: float) -> Array:
    return np.array([exposure.epoch for exposure in exposures]) - reference_epoch


def _moments(factors: Array, years: Array) -> Array:
    x, y = factors.T
    terms = [np.ones_like(x), x, y, x * x + y * y, years, years**2, years * x, years * y]
    return np.stack(terms, axis=1)


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


def _chunks(exposure: Indices, star: Indices, count: int, width: int) -> Iterator[Chunk]:
    edges = np.searchsorted(star, np.arange(0, count + _AT_ONCE, _AT_ONCE))
    for number in range(len(edges) - 1):
        rows = slice(int(edges[number]), int(edges[number + 1]))
        first = number * _AT_ONCE
        touched, place = np.unique(exposure[rows], return_inverse=True)
        columns = (width * touched[:, None] + np.arange(width)).ravel()
        stars = slice(first, min(first + _AT_ONCE, count))
        yield Chunk(rows, stars, star[rows] - first, place, columns)
