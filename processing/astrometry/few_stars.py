"""The place of a few stars on a list: every two of them propose one, and that with most agreement wins.

A histogram of offsets needs a coarse tolerance, for a roll moves the stars; here the tolerance is that of
the final match, so that three true stars stand out where a histogram shows noise, and one wrong star among
four bends nothing. Positions are tangent-plane coordinates in arcsec.
"""

import numpy as np
from hapctl.processing.astrometry.list_alignment import MatchSettings, StarList
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
MOST_FEW = 60
"""Reference stars among which every two propose a place."""
MOST_PAIRS = 1500
"""Pairs of a source and a reference star within reach, for the same."""
SIGMAS = 3.0
"""Standard errors of a pair that are added in quadrature to the tolerance."""
_MOST_PROPOSALS = 20_000


def pairs_in_reach(sources: Array, reference: Array, settings: MatchSettings) -> tuple[Indices, Indices]:
    """Every source and reference star that a shift and roll of the search may bring together."""
    from scipy.spatial import cKDTree

    reach = settings.radius + _sweep(sources, settings.roll_deg)
    found = cKDTree(reference).query_ball_tree(cKDTree(sources), reach)
    theirs = np.repeat(np.arange(len(reference)), [len(own) for own in found])
    mine = np.array([source for own in found for source in sorted(own)], dtype=np.intp)
    return mine, theirs


def _sweep(points: Array, roll_deg: float) -> float:
    arm = points - points.mean(axis=0)
    return float(np.radians(roll_deg) * np.hypot(arm[:, 0], arm[:, 1]).max())


def best_place(
    sources: StarList, reference: StarList, pairs: tuple[Indices, Indices], settings: MatchSettings
) -> PlaneFit | None:
    """The shift and roll with which most reference stars have a source within the tightest tolerance.

    Parameters
    ----------
    sources, reference : StarList
    pairs : tuple of ndarray of int
        As from `pairs_in_reach`.
    settings : MatchSettings

    Returns
    -------
    PlaneFit or None
        None where no two pairs agree.
    """
    mine, theirs = pairs
    points, stars = sources.points[mine], reference.points[theirs]
    errors = np.hypot(sources.errors[mine], reference.errors[theirs])
    allowed = np.sqrt(settings.least_tolerance**2 + (SIGMAS * errors) ** 2)
    centre = sources.points.mean(axis=0)
    first, second = _agreeing_twos(mine, theirs, points, stars, allowed, settings.roll_deg)
    if len(first) == 0:
        return None
    rolls = _rolls(points[second] - points[first], stars[second] - stars[first])
    anchors = 0.5 * (points[first] + points[second])
    targets = 0.5 * (stars[first] + stars[second])
    c, s = np.cos(rolls), np.sin(rolls)
    arm = centre - anchors
    shift = targets + np.column_stack([c * arm[:, 0] - s * arm[:, 1], s * arm[:, 0] + c * arm[:, 1]]) - centre
    reached = np.hypot(shift[:, 0], shift[:, 1]) <= settings.radius + allowed[first]
    if not reached.any():
        return None
    score = _support(points, stars, allowed, theirs, rolls[reached], shift[reached], centre)
    best = np.nonzero(reached)[0][int(np.argmax(score))]
    turn = PlaneFit.similarity(np.zeros(2), float(np.degrees(rolls[best])))
    return PlaneFit(centre + shift[best] - turn(centre[None, :])[0], turn.matrix)


def _rolls(mine: Array, theirs: Array) -> Array:
    """Angle from each vector to its counterpart, radian."""
    cross = mine[:, 0] * theirs[:, 1] - mine[:, 1] * theirs[:, 0]
    angle: Array = np.arctan2(cross, np.sum(mine * theirs, axis=1))
    return angle


def _agreeing_twos(
    mine: Indices, theirs: Indices, points: Array, stars: Array, allowed: Array, roll_deg: float
) -> tuple[Indices, Indices]:
    """Two pairs of different sources and stars as far apart here as there, and turned within the search."""
    first, second = np.triu_indices(len(mine), 1)
    different = (mine[first] != mine[second]) & (theirs[first] != theirs[second])
    first, second = first[different], second[different]
    here, there = points[second] - points[first], stars[second] - stars[first]
    apart = np.hypot(there[:, 0], there[:, 1])
    both = allowed[first] + allowed[second]
    good = np.abs(np.hypot(here[:, 0], here[:, 1]) - apart) <= both
    good &= np.abs(_rolls(here, there)) * apart <= np.radians(roll_deg) * apart + both
    first, second, apart = first[good], second[good], apart[good]
    widest = np.argsort(-apart, kind="stable")[:_MOST_PROPOSALS]  # they know the roll best
    return first[widest], second[widest]


def _support(
    points: Array, stars: Array, allowed: Array, theirs: Indices, rolls: Array, shift: Array, centre: Array
) -> Array:
    """For each proposal the number of stars that agree, and less than one more for how closely they do."""
    arm = points - centre
    score = np.zeros(len(rolls))
    order = np.argsort(theirs, kind="stable")
    starts = np.nonzero(np.diff(theirs[order], prepend=-1))[0]
    for low in range(0, len(rolls), 2000):
        part = slice(low, low + 2000)
        c, s = np.cos(rolls[part])[:, None], np.sin(rolls[part])[:, None]
        x = centre[0] + shift[part, 0, None] + c * arm[:, 0] - s * arm[:, 1] - stars[:, 0]
        y = centre[1] + shift[part, 1, None] + s * arm[:, 0] + c * arm[:, 1] - stars[:, 1]
        closeness = np.clip(1.0 - (x**2 + y**2) / allowed**2, 0.0, None)
        best = np.maximum.reduceat(closeness[:, order], starts, axis=1)
        score[part] = np.sum(best > 0, axis=1) + best.mean(axis=1)
    return score
