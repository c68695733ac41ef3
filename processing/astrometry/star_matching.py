"""One list of stars matched with another, from hundreds of common stars down to three.

The search finds the shift and roll where most pairs agree; where they are few, every two of them
propose a place, so that a wrong star among four does not bend the fit; then the match is repeated under fits
whose roll and scale are held by priors, not chosen by counting stars. What a match means is said by
the number of such matches that chance would give. Positions are tangent-plane coordinates in arcsec; lists
come brightest first.
"""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.chance import SearchFigures, local_density
from hapctl.processing.astrometry.decoys import decoy_lists
from hapctl.processing.astrometry.few_stars import MOST_FEW, MOST_PAIRS, SIGMAS, best_place, pairs_in_reach
from hapctl.processing.astrometry.fitting import held_fit, robust_weights
from hapctl.processing.astrometry.list_alignment import MatchSettings, StarList, search
from hapctl.processing.astrometry.matching import match_mutual
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Search:
    """How two lists are to be matched.

    Attributes
    ----------
    method : str
        ``direct``, ``histogram`` or ``relative``, for the record.
    settings : MatchSettings
        Reach, tolerances, floor, magnitude limit.
    roll_sigma_deg, scale_sigma : float
        Standard deviations of the priors of the fit.
    """

    method: str
    settings: MatchSettings
    roll_sigma_deg: float = 0.05
    scale_sigma: float = 1e-4


@dataclass(frozen=True)
class ListMatch:
    """Two lists matched.

    Attributes
    ----------
    fit : PlaneFit
        Takes the sources to the reference stars.
    source, reference : ndarray of int, shape (n,)
        The pairs, as indices of the two lists.
    residuals : ndarray, shape (n, 2)
        Transformed source minus reference star, arcsec.
    used : ndarray of bool, shape (n,)
        Pairs that took part in the fit.
    peak_log10_chance : float
        Of the search's peak.
    """

    fit: PlaneFit
    source: Indices
    reference: Indices
    residuals: Array
    used: NDArray[np.bool_]
    peak_log10_chance: float

    @property
    def count(self) -> int:
        """Pairs that took part in the fit."""
        return int(np.count_nonzero(self.used))

    def rms_mas(self) -> float:
        """Root mean square of the used residuals, the larger of the two coordinates."""
        if not self.used.any():
            return float("nan")
        return float(1e3 * np.sqrt(np.mean(self.residuals[self.used] ** 2, axis=0)).max())


def match_lists(sources: StarList, reference: StarList, how: Search, *, least: int = 2) -> ListMatch | None:
    """Find the place of one list on another.

    Parameters
    ----------
    sources, reference : StarList
        Finite positions and errors.
    how : Search
    least : int
        A place where fewer pairs come together at first is not followed.

    Returns
    -------
    ListMatch or None
        None where not so many pairs agree, or not two.
    """
    if len(sources) < 2 or len(reference) < 2:
        return None
    if len(reference) <= MOST_FEW:
        pairs = pairs_in_reach(sources.points, reference.points, how.settings)
        if len(pairs[0]) <= MOST_PAIRS:
            place = best_place(sources, reference, pairs, how.settings)
            return None if place is None else settle(sources, reference, place, how, tight=True, least=least)
    peak = search(sources, reference, how.settings)
    if peak is None or peak.count < 2:
        return None
    return settle(sources, reference, peak.fit, how, least=least, log10_chance=peak.log10_chance)


def settle(
    sources: StarList,
    reference: StarList,
    start: PlaneFit,
    how: Search,
    *,
    tight: bool = False,
    least: int = 2,
    log10_chance: float = 0.0,
) -> ListMatch | None:
    """Match and fit in turn, from a rough place to the tight tolerance.

    Parameters
    ----------
    sources, reference : StarList
    start : PlaneFit
        Good to the tolerance of the search.
    how : Search
    tight : bool
        The start is good to the tightest tolerance.
    least : int
        With fewer pairs at first, no more is tried.
    log10_chance : float
        Of the search's peak, for the record.

    Returns
    -------
    ListMatch or None
        None where fewer than two pairs are left.
    """
    settings = how.settings
    bright = sources.chosen(slice(None, 3 * settings.search_stars))
    about = bright.points.mean(axis=0)
    tolerance, fit = settings.least_tolerance if tight else 1.5 * settings.tolerance, start
    last: tuple[Indices, Indices] | None = None
    for turn in range(12):
        final = tolerance <= settings.least_tolerance
        mine = sources if final else bright
        pairs = _paired(mine, reference, fit, tolerance, settings)
        if len(pairs[0]) < (max(least, 2) if turn == 0 and len(mine) == len(sources) else 2):
            return None
        fit, residuals, weights = _fitted(mine, reference, pairs, about, fit, how)
        if final and last is not None and all(map(np.array_equal, pairs, last)):
            break
        last = pairs if final else None
        scatter = 1.4826 * float(np.median(np.abs(residuals[weights > 0]))) if np.any(weights > 0) else 0.0
        last_tolerance = settings.least_tolerance
        tolerance = max(last_tolerance, min(0.7 * tolerance, 8.0 * scatter)) if turn < 8 else last_tolerance
    return ListMatch(fit, *pairs, residuals, weights > 0, log10_chance)


def search_figures(
    sources: StarList, reference: StarList, match: ListMatch, how: Search, trials: int = 1
) -> SearchFigures:
    """What the chance of a match depends on.

    Parameters
    ----------
    sources, reference : StarList
        The lists that were searched.
    match : ListMatch
    how : Search
    trials : int
        Searches of which this is the best.
    """
    pair_errors = np.hypot(sources.errors[match.source], reference.errors[match.reference])
    tolerance = np.sqrt(how.settings.least_tolerance**2 + SIGMAS**2 * np.mean(pair_errors**2))
    placed = match.fit(sources.points)
    spread = reference.points - reference.points.mean(axis=0)
    return SearchFigures(
        reference=len(reference),
        density=local_density(reference.points, placed),
        radius=how.settings.radius,
        roll_deg=how.settings.roll_deg,
        separation=float(np.sqrt(2.0 * np.mean(np.sum(spread**2, axis=1)))),
        tolerance=float(tolerance),
        trials=trials,
    )


def _paired(
    sources: StarList, reference: StarList, fit: PlaneFit, tolerance: float, settings: MatchSettings
) -> tuple[Indices, Indices]:
    """Mutual neighbours within the tolerance and their errors, of the usual difference in magnitude."""
    widest = float(np.quantile(reference.errors, 0.95))
    reach = np.sqrt(tolerance**2 + SIGMAS**2 * (sources.errors**2 + widest**2))
    placed = fit(sources.points)
    mine, theirs = match_mutual(placed, reference.points, reach)
    allowed = tolerance**2 + SIGMAS**2 * (sources.errors[mine] ** 2 + reference.errors[theirs] ** 2)
    good = np.sum((placed[mine] - reference.points[theirs]) ** 2, axis=1) <= allowed
    good &= _usual(sources.magnitudes[mine] - reference.magnitudes[theirs], settings.magnitude_limit)
    return mine[good], theirs[good]


def _usual(difference: Array, limit: float) -> NDArray[np.bool_]:
    known = np.isfinite(difference)
    if np.count_nonzero(known) < 3:
        return np.ones(len(difference), dtype=np.bool_)
    return ~known | (np.abs(difference - np.median(difference[known])) <= limit)


def _fitted(
    sources: StarList,
    reference: StarList,
    pairs: tuple[Indices, Indices],
    about: Array,
    start: PlaneFit,
    how: Search,
) -> tuple[PlaneFit, Array, Array]:
    mine, theirs = pairs
    points, stars = sources.points[mine], reference.points[theirs]
    errors = np.sqrt(sources.errors[mine] ** 2 + reference.errors[theirs] ** 2 + how.settings.floor**2)
    fit = start
    for _ in range(4):
        weights = robust_weights(fit(points) - stars, errors)
        fit = held_fit(points, stars, weights / errors**2, about, how.roll_sigma_deg, how.scale_sigma)
    residuals = fit(points) - stars
    return fit, residuals, robust_weights(residuals, errors)


def decoy_score(sources: StarList, reference: StarList, how: Search, *, count: int, least: int) -> int:
    """The most stars that any decoy of the reference list matches, found and fitted as the true list was.

    Parameters
    ----------
    sources, reference : StarList
    how : Search
    count : int
        Number of decoys.
    least : int
        What the true list matched; a decoy of which fewer stars have any source in reach cannot score as
        high and is not searched.

    Returns
    -------
    int
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(sources.points)
    both = np.concatenate([sources.points, reference.points])
    box = both.min(axis=0), both.max(axis=0)
    sweep = 0.5 * float(np.hypot(*(box[1] - box[0]))) * np.radians(how.settings.roll_deg)
    best = 0
    for decoy in decoy_lists(reference, how.settings.radius, count, box=box):
        distance, _ = tree.query(decoy.points, distance_upper_bound=how.settings.radius + sweep)
        in_reach = int(np.count_nonzero(np.isfinite(distance)))
        match = match_lists(sources, decoy, how, least=least) if in_reach >= least else None
        best = max(best, 0 if match is None else match.count)
    return best
