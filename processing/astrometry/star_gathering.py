"""Stars collected from exposures whose places are known: a list that grows, and identities made anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.matching import match_mutual, quick_tree, within_reach
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_SIGMAS = 4.0
_FLOOR = 0.001
"""Arcsec, in quadrature to the errors that weigh positions and motions."""


@dataclass(frozen=True)
class Identities:
    """Which source is which star, over a number of exposures.

    Attributes
    ----------
    star : tuple of ndarray of int
        For each exposure, the star of each of its sources; -1 for a source that is left out: seen in no other
        exposure and of no catalog row, not finite, or with a neighbour it could be confused with.
    reference : ndarray of int, shape (m,)
        Row of the catalog of each star; -1 for a star of no catalog. Every star without a row is seen in two
        exposures or more; one with a row in at least one.
    """

    star: tuple[Indices, ...]
    reference: Indices

    def __len__(self) -> int:
        return len(self.reference)

    def seen(self) -> Indices:
        """In how many exposures each star is seen, shape (m,)."""
        numbers = np.concatenate([own[own >= 0] for own in self.star]) if self.star else np.zeros(0, np.intp)
        return np.bincount(numbers, minlength=len(self.reference))


class GrowingList:
    """Stars of the exposures placed so far, with mean positions, mean epochs and magnitudes."""

    def __init__(self) -> None:
        self.weight = np.zeros(0)
        self._position = np.zeros((0, 2))
        self._epoch = np.zeros(0)
        self._epoch_squared = np.zeros(0)
        self._moment = np.zeros((0, 2))
        self.magnitude = np.zeros(0)
        self.seen = np.zeros(0, dtype=np.intp)

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def points(self) -> Array:
        """Mean positions, arcsec."""
        mean: Array = self._position / self.weight[:, None]
        return mean

    @property
    def epochs(self) -> Array:
        """Mean epochs, years from 2000."""
        mean: Array = self._epoch / self.weight
        return mean

    def motions(self, sigma: float) -> Array:
        """Motions held near none by a prior of this standard deviation, arcsec per year."""
        mean = self.epochs
        arm = self._epoch_squared - self.weight * mean**2
        moment = self._moment - self.weight[:, None] * mean[:, None] * self.points
        slopes: Array = moment / (np.maximum(arm, 0.0) + 1.0 / sigma**2)[:, None]
        return slopes

    def add(self, sources: StarList, points: Array, epoch: float, tolerance: float, motion: float) -> Indices:
        """Take in an exposure: its sources become known stars or new ones; returns the star of each."""
        years = epoch - 2000.0
        star = np.full(len(sources), -1, dtype=np.intp)
        if len(self):
            growth = motion * np.abs(years - self.epochs)
            mine, theirs = match_mutual(points, self.points, tolerance + float(growth.max()))
            gap = np.hypot(*(points[mine] - self.points[theirs]).T)
            near = gap <= tolerance + growth[theirs]
            star[mine[near]] = theirs[near]
        fresh = np.nonzero(star < 0)[0]
        shift = _usual_difference(self.magnitude[star[star >= 0]] - sources.magnitudes[star >= 0])
        star[fresh] = len(self) + np.arange(len(fresh))
        self._extend(sources.magnitudes[fresh] + shift)
        gain = 1.0 / (sources.errors**2 + _FLOOR**2)
        self.weight[star] += gain
        self._position[star] += gain[:, None] * points
        self._epoch[star] += gain * years
        self._epoch_squared[star] += gain * years**2
        self._moment[star] += (gain * years)[:, None] * points
        self.seen[star] += 1
        return star

    def _extend(self, magnitudes: Array) -> None:
        count = len(magnitudes)
        self.weight = np.concatenate([self.weight, np.zeros(count)])
        self._position = np.concatenate([self._position, np.zeros((count, 2))])
        self._epoch = np.concatenate([self._epoch, np.zeros(count)])
        self._epoch_squared = np.concatenate([self._epoch_squared, np.zeros(count)])
        self._moment = np.concatenate([self._moment, np.zeros((count, 2))])
        self.magnitude = np.concatenate([self.magnitude, magnitudes])
        self.seen = np.concatenate([self.seen, np.zeros(count, dtype=np.intp)])

    def stars(self, keep: NDArray[np.bool_]) -> tuple[StarList, Indices]:
        """The stars that `keep` selects, brightest first, and their numbers."""
        numbers = np.nonzero(keep)[0]
        numbers = numbers[np.argsort(self.magnitude[numbers], kind="stable")]
        errors = 1.0 / np.sqrt(self.weight[numbers])
        return StarList(self.points[numbers], errors, self.magnitude[numbers]), numbers


def _usual_difference(differences: Array) -> float:
    known = differences[np.isfinite(differences)]
    return float(np.median(known)) if len(known) else 0.0


def gather(
    lists: Sequence[StarList],
    fits: Sequence[PlaneFit],
    epochs: Sequence[float],
    catalogs: Sequence[StarList] | None,
    tolerances: float | Sequence[float],
    *,
    members: Sequence[int] | None = None,
    motion: float = 0.005,
) -> Identities:
    """Say again which source is which star, now that places are known.

    Parameters
    ----------
    lists, epochs, catalogs
        As given to `associate`.
    fits : sequence of PlaneFit
        Of each exposure, into one frame; into the catalog's where catalogs are given.
    tolerances : float or sequence of float
        Largest separation of a source from its star, arcsec, for each exposure; four standard errors of
        source and star are added in quadrature.
    members : sequence of int, optional
        Only these exposures take part; all by default.
    motion : float
        Arcsec per year by which the tolerance of a star of no catalog grows with the years from its mean
        epoch, where its motion is not yet known.

    Returns
    -------
    Identities
        One source of an exposure per star; sources with another candidate nearly as close are left out.
    """
    numbers = list(range(len(lists))) if members is None else list(members)
    limits = np.broadcast_to(np.asarray(tolerances, dtype=np.float64), len(lists))
    placed = {n: fits[n](lists[n].points) for n in numbers}
    rows = {n: np.full(len(lists[n]), -1, dtype=np.intp) for n in numbers}
    free = {n: usable(lists[n]) for n in numbers}
    if catalogs is not None:
        for n in numbers:
            rows[n], near = _of_catalog(lists[n], placed[n], catalogs[n], float(limits[n]))
            free[n] &= ~near
    others, count = _of_each_other(lists, placed, free, epochs, limits, motion)
    return _numbered(len(lists), lists, rows, others, count)


def usable(sources: StarList) -> NDArray[np.bool_]:
    """Rows with finite positions and positive finite errors."""
    known = np.isfinite(sources.points).all(axis=1) & np.isfinite(sources.errors)
    good: NDArray[np.bool_] = known & (sources.errors > 0)
    return good


def _of_catalog(
    sources: StarList, points: Array, catalog: StarList, tolerance: float
) -> tuple[Indices, NDArray[np.bool_]]:
    """Row of each source, -1 where none, and which sources lie too near a row to be a star of their own."""
    row = np.full(len(sources), -1, dtype=np.intp)
    mine, theirs = np.nonzero(usable(sources))[0], np.nonzero(usable(catalog))[0]
    if len(mine) == 0 or len(theirs) == 0:
        return row, np.zeros(len(sources), dtype=np.bool_)
    pairs = _clear_pairs(
        points[mine], sources.errors[mine], catalog.points[theirs], catalog.errors[theirs], tolerance
    )
    row[mine[pairs[0]]] = theirs[pairs[1]]
    near = np.zeros(len(sources), dtype=np.bool_)
    near[mine] = pairs[2] <= 2.0
    return row, near


def _clear_pairs(
    points: Array, errors: Array, stars: Array, star_errors: Array, tolerance: float
) -> tuple[Indices, Indices, Array]:
    """Pairs without a rival on either side; and each point's distance from its star, in tolerances."""
    reach = 3.0 * np.sqrt(tolerance**2 + _SIGMAS**2 * (errors.max() ** 2 + star_errors.max() ** 2))
    close = within_reach(stars, points, reach)
    if len(close) == 0:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.full(len(points), np.inf)
    stars, star_errors = stars[close], star_errors[close]
    distance, star = quick_tree(stars).query(points, k=2, distance_upper_bound=reach)
    nearest = star[:, 0].clip(0, len(stars) - 1)
    allowed = np.sqrt(tolerance**2 + _SIGMAS**2 * (errors**2 + star_errors[nearest] ** 2))
    clear = (distance[:, 0] <= allowed) & (distance[:, 1] > distance[:, 0] + allowed)
    mine = np.nonzero(clear)[0]
    back_distance, back = quick_tree(points).query(stars[nearest[mine]], k=2, distance_upper_bound=reach)
    clear = (back[:, 0] == mine) & (back_distance[:, 1] > back_distance[:, 0] + allowed[mine])
    mine = mine[clear]
    return mine, close[nearest[mine]], distance[:, 0] / allowed


def _of_each_other(
    lists: Sequence[StarList],
    placed: Mapping[int, Array],
    free: Mapping[int, NDArray[np.bool_]],
    epochs: Sequence[float],
    limits: Array,
    motion: float,
) -> tuple[dict[int, Indices], int]:
    """Number of the common star of each free source, -1 where none; and how many there are."""
    growing = GrowingList()
    rows = {n: np.nonzero(free[n])[0] for n in placed}
    for n in sorted(rows, key=lambda n: (-len(rows[n]), n)):
        growing.add(lists[n].chosen(rows[n]), placed[n][rows[n]], epochs[n], float(limits[n]), motion)
    common = np.nonzero(growing.seen > 1)[0]
    result = {n: np.full(len(lists[n]), -1, dtype=np.intp) for n in placed}
    if len(common) == 0:
        return result, 0
    mean, slopes = growing.points[common], growing.motions(motion)[common]
    mean_epochs, errors = growing.epochs[common], 1.0 / np.sqrt(growing.weight[common])
    for n, own in rows.items():
        if len(own) == 0:
            continue
        stars = mean + slopes * (epochs[n] - 2000.0 - mean_epochs)[:, None]
        mine, theirs, _ = _clear_pairs(placed[n][own], lists[n].errors[own], stars, errors, float(limits[n]))
        result[n][own[mine]] = theirs
    return result, len(common)


def _numbered(
    exposures: int,
    lists: Sequence[StarList],
    rows: Mapping[int, Indices],
    others: Mapping[int, Indices],
    count: int,
) -> Identities:
    """Stars of the catalog first, in order of its rows, then those seen in two exposures or more."""
    every = np.concatenate([*rows.values(), np.zeros(0, dtype=np.intp)])
    used, _ = np.unique(every[every >= 0], return_counts=True)
    every = np.concatenate([*others.values(), np.zeros(0, dtype=np.intp)])
    seen = np.bincount(every[every >= 0], minlength=count)
    label = np.where(seen > 1, len(used) + np.cumsum(seen > 1) - 1, -1)
    star = []
    for n in range(exposures):
        own = np.full(len(lists[n]), -1, dtype=np.intp)
        if n in rows:
            of_catalog, free = rows[n] >= 0, others[n] >= 0
            own[free] = label[others[n][free]]
            own[of_catalog] = np.searchsorted(used, rows[n][of_catalog])
        star.append(own)
    reference = np.concatenate([used, np.full(int(np.count_nonzero(seen > 1)), -1)]).astype(np.intp)
    return Identities(tuple(star), reference)
