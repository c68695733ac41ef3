"""Which source is which star: the offset between two lists, then mutual nearest neighbours.

The offset is where most pairs of a source and a reference star agree: a two-dimensional histogram
of their separations, without bins (each pair counts its neighbours within the tolerance), tried at a
range of rolls. How much a peak means is judged by the chance that unrelated lists of the same
density would show one as high anywhere in the search, whatever the number of sources.
Positions are tangent-plane coordinates in arcsec, shape (n, 2).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_MOST_PAIRS = 200_000


@dataclass(frozen=True)
class OffsetPeak:
    """The best offset between two lists.

    Attributes
    ----------
    fit : PlaneFit
        Takes the sources to the reference stars, roughly.
    count : int
        Pairs within the tolerance of it.
    expected : float
        Chance pairs expected there.
    log10_chance : float
        Decimal logarithm of the chance of so high a peak anywhere in the search (0: certain).
    """

    fit: PlaneFit
    count: int
    expected: float
    log10_chance: float


def find_offset(
    sources: Array,
    reference: Array,
    *,
    radius: float,
    tolerance: float,
    roll_deg: float = 0.0,
    about: Array | None = None,
) -> OffsetPeak | None:
    """Find the shift, and the roll, at which most sources fall on reference stars.

    Parameters
    ----------
    sources, reference : ndarray, shape (n, 2) and (m, 2)
        Arcsec in one plane.
    radius : float
        Largest shift tried, arcsec.
    tolerance : float
        Pairs agree within this, arcsec.
    roll_deg : float
        Rolls from minus to plus this are tried, in steps that move the outermost source by one tolerance.
    about : ndarray, shape (2,), optional
        Centre of the roll; the mean of the sources by default.

    Returns
    -------
    OffsetPeak or None
        None where no pair lies within the radius.
    """
    if len(sources) == 0 or len(reference) == 0:
        return None
    centre = sources.mean(axis=0) if about is None else about
    offsets = sources - centre
    rolls = _rolls(offsets, roll_deg, tolerance)
    mine, theirs = _pairs_within(sources, reference, radius + _sweep(offsets, rolls))
    best: tuple[int, float, Array, int] | None = None
    for roll in rolls:
        turned = PlaneFit.similarity(centre, roll)(offsets)
        differences = reference[theirs] - turned[mine]
        differences = differences[np.sum(differences**2, axis=1) <= radius**2]
        if len(differences) == 0:
            continue
        count, shift = _densest(differences, tolerance)
        if best is None or count > best[0]:
            best = (count, roll, shift, len(differences))
    if best is None:
        return None
    count, roll, shift, pairs = best
    expected = pairs * (tolerance / radius) ** 2
    trials = len(rolls) * (radius / tolerance) ** 2
    turn = PlaneFit.similarity(np.zeros(2), roll)
    fit = PlaneFit(centre - turn(centre[None, :])[0] + shift, turn.matrix)
    return OffsetPeak(fit, count, expected, log10_chance(count, expected, trials))


def _pairs_within(sources: Array, reference: Array, radius: float) -> tuple[Indices, Indices]:
    from scipy.spatial import cKDTree

    pairs = cKDTree(sources).sparse_distance_matrix(cKDTree(reference), radius, output_type="coo_matrix")
    if pairs.nnz <= _MOST_PAIRS:
        return pairs.row, pairs.col
    brightest = np.argsort(pairs.row + pairs.col, kind="stable")[:_MOST_PAIRS]  # lists come brightest first
    return pairs.row[brightest], pairs.col[brightest]


def _sweep(offsets: Array, rolls: Array) -> float:
    """How far the outermost source moves within the rolls."""
    reach = float(np.max(np.hypot(offsets[:, 0], offsets[:, 1])))
    return reach * float(np.radians(np.max(np.abs(rolls))))


def log10_chance(count: int, expected: float, trials: float) -> float:
    """Decimal logarithm of the chance of a Poisson count this high in any of so many trials, at most 0."""
    from scipy.special import gammainc, gammaln

    if expected <= 0 or count <= 0:
        return 0.0
    tail = float(gammainc(count, expected))
    if tail > 1e-280:
        return min(0.0, float(np.log10(tail)) + float(np.log10(trials)))
    leading = (count * np.log(expected) - expected - gammaln(count + 1.0)) / np.log(10.0)
    return min(0.0, float(leading) + float(np.log10(trials)))


def match_mutual(sources: Array, reference: Array, tolerance: float | Array) -> tuple[Indices, Indices]:
    """Pairs that are each other's nearest neighbour within the tolerance.

    Parameters
    ----------
    sources, reference : ndarray, shape (n, 2) and (m, 2)
        Arcsec in one plane; rows that are not finite match nothing.
    tolerance : float or ndarray, shape (n,)
        Largest separation, arcsec; for each source where an array.

    Returns
    -------
    source, reference : ndarray of int
        Indices of the pairs, in order of the sources.
    """
    mine = np.nonzero(np.isfinite(sources).all(axis=1))[0]
    if len(mine) == 0:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    theirs = within_reach(reference, sources[mine], float(np.max(tolerance)))
    if len(theirs) == 0:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    limits = np.broadcast_to(tolerance, len(sources))[mine]
    reach = 1.001 * float(limits.max())  # what lies farther need not be looked for
    distance, forward = quick_tree(reference[theirs]).query(sources[mine], distance_upper_bound=reach)
    near = np.nonzero(distance <= limits)[0]
    _, back = quick_tree(sources[mine]).query(reference[theirs[forward[near]]], distance_upper_bound=reach)
    mutual = near[back == near]
    return mine[mutual], theirs[forward[mutual]]


def quick_tree(points: Array) -> "cKDTree":
    """A tree that is asked once: made in half the time of a balanced one."""
    from scipy.spatial import cKDTree

    return cKDTree(points, balanced_tree=False, compact_nodes=False)


def within_reach(points: Array, others: Array, reach: float) -> Indices:
    """Indices of the points that lie in the box round other points, or out of it by no more than `reach`.

    A list of a whole tile is cut down to an exposure before trees are made of it; rows that are not finite
    are left out.
    """
    low, high = others.min(axis=0) - reach, others.max(axis=0) + reach
    return np.nonzero(((points >= low) & (points <= high)).all(axis=1))[0]


def _rolls(offsets: Array, roll_deg: float, tolerance: float) -> Array:
    reach = float(np.max(np.hypot(offsets[:, 0], offsets[:, 1])))
    if roll_deg <= 0 or reach <= tolerance:
        return np.zeros(1)
    step = np.degrees(tolerance / reach)
    count = min(int(np.ceil(roll_deg / step)), 200)
    rolls = np.linspace(-roll_deg, roll_deg, 2 * count + 1)
    ordered: Array = rolls[np.argsort(np.abs(rolls), kind="stable")]  # equal counts: the least roll wins
    return ordered


def _densest(differences: Array, tolerance: float) -> tuple[int, Array]:
    """The difference with most others within the tolerance: their number, and their mean."""
    count = _near_counts(differences, tolerance)
    candidates = np.argsort(-count, kind="stable")[:6]
    best, shift = 0, differences[candidates[0]]
    for place in differences[candidates]:
        near = _within(differences, place, tolerance)
        place = near.mean(axis=0)
        near = _within(differences, place, tolerance)
        if len(near) > best:
            best, shift = len(near), near.mean(axis=0)
    return best, shift


def _within(differences: Array, place: Array, tolerance: float) -> Array:
    return differences[np.sum((differences - place) ** 2, axis=1) <= tolerance**2]


def _near_counts(differences: Array, tolerance: float) -> Indices:
    """Pairs in a square of 1.8 tolerances round each difference: a fast stand-in for the disc."""
    cell = np.floor(differences / (0.6 * tolerance)).astype(np.int64)
    cell -= cell.min(axis=0) - 1
    rows, columns = cell.max(axis=0) + 2
    flat = cell[:, 0] * columns + cell[:, 1]
    histogram = np.bincount(flat, minlength=rows * columns).reshape(rows, columns)
    wide = histogram.copy()
    wide[1:] += histogram[:-1]
    wide[:-1] += histogram[1:]
    both = wide.copy()
    both[:, 1:] += wide[:, :-1]
    both[:, :-1] += wide[:, 1:]
    counts: Indices = both.ravel()[flat]
    return counts
