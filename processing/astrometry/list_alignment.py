"""Bring one list of stars onto another: search the offset, match, fit, tighten, until nothing changes.

The same function serves the relative alignment of exposures, the absolute one to a catalog, and the
decoys that judge them, so that a decoy has every chance a real list has. Positions are
tangent-plane coordinates in arcsec; lists come brightest first.
"""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.fitting import PARAMETERS, Geometry, ListFit, fit_pairs
from hapctl.processing.astrometry.matching import OffsetPeak, find_offset, match_mutual
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
FIRST_MATCH = 1.5
"""Tolerance of the first match, in units of that of the search."""
GEOMETRIES: tuple[Geometry, ...] = ("rscale", "rshift", "shift")


@dataclass(frozen=True)
class StarList:
    """Positions in one plane, brightest first.

    Attributes
    ----------
    points : ndarray, shape (n, 2)
        Arcsec.
    errors : ndarray, shape (n,)
        Standard error of a coordinate, arcsec.
    magnitudes : ndarray, shape (n,)
        Any zero point; NaN where unknown.
    """

    points: Array
    errors: Array
    magnitudes: Array

    def __len__(self) -> int:
        return len(self.points)

    def chosen(self, keep: Indices | NDArray[np.bool_] | slice) -> "StarList":
        """The stars that `keep` selects."""
        return StarList(self.points[keep], self.errors[keep], self.magnitudes[keep])


@dataclass(frozen=True)
class MatchSettings:
    """The numbers of search and match.

    Attributes
    ----------
    radius : float
        Largest shift searched, arcsec.
    roll_deg : float
        Largest roll searched, degrees.
    tolerance : float
        Agreement of pairs in the search, arcsec.
    floor : float
        Error added in quadrature to every pair, arcsec.
    least_tolerance : float
        The match never becomes tighter than this, arcsec.
    minimum : tuple of (str, int)
        Least number of stars for each geometry.
    magnitude_limit : float
        Pairs whose magnitude differs from the usual by more are left out.
    search_stars : int
        The brightest so many of each list are searched.
    """

    radius: float = 5.0
    roll_deg: float = 0.1
    tolerance: float = 0.1
    floor: float = 0.001
    least_tolerance: float = 0.01
    minimum: tuple[tuple[str, int], ...] = (("rscale", 8), ("rshift", 6), ("shift", 4))
    magnitude_limit: float = 3.0
    search_stars: int = 400

    def geometry_for(self, count: int) -> Geometry:
        """The richest geometry that so many stars support; a shift where none does."""
        least = dict(self.minimum)
        for geometry in GEOMETRIES:
            if geometry in least and count >= least[geometry]:
                return geometry
        return "shift"


@dataclass(frozen=True)
class ListAlignment:
    """One list brought onto another.

    Attributes
    ----------
    fit : ListFit
        Residuals and weights are in order of the pairs.
    source, reference : ndarray of int, shape (n,)
        The pairs, as indices of the two lists.
    peak : OffsetPeak
        What the search found.
    tolerance : float
        That of the last match, arcsec.
    """

    fit: ListFit
    source: Indices
    reference: Indices
    peak: OffsetPeak
    tolerance: float

    @property
    def count(self) -> int:
        """Pairs that took part in the fit."""
        return int(np.count_nonzero(self.fit.used))

    def figures(self) -> dict[str, float]:
        """What the search found, as plain numbers."""
        return {
            "peak_pairs": self.peak.count,
            "peak_expected_by_chance": self.peak.expected,
            "peak_log10_chance": self.peak.log10_chance,
            "matched_pairs": len(self.source),
            "match_tolerance_mas": 1e3 * self.tolerance,
        }


def align_lists(
    sources: StarList,
    reference: StarList,
    settings: MatchSettings,
    *,
    last_tolerance: float | None = None,
    peak: OffsetPeak | None = None,
) -> ListAlignment | None:
    """Find the transformation that takes the sources onto the reference stars.

    Parameters
    ----------
    sources, reference : StarList
    settings : MatchSettings
    last_tolerance : float, optional
        End with this tolerance (arcsec), not with one made from the scatter: for decoys, which are
        to be judged as the real list was.
    peak : OffsetPeak, optional
        What the search has found already.

    Returns
    -------
    ListAlignment or None
        None where fewer than two pairs agree.
    """
    peak = peak or search(sources, reference, settings)
    if peak is None or peak.count < 2:
        return None
    fit, tolerance = peak.fit, FIRST_MATCH * settings.tolerance
    best: ListAlignment | None = None
    pairs: tuple[Indices, Indices] | None = None
    bright = slice(None, 4 * settings.search_stars)
    for turn in range(12):
        mine = sources.chosen(bright) if turn < 2 else sources
        found = _matched(mine, reference, fit, tolerance, settings)
        if len(found[0]) < 2:
            return best
        result = _fitted(mine, reference, found, settings, fit)
        best = ListAlignment(result, *found, peak, tolerance)
        if pairs is not None and turn > 4 and all(map(np.array_equal, pairs, found)):
            break
        fit, pairs = result.fit, found
        tolerance = _tightened(result, tolerance, settings, last_tolerance)
    return best


def search(sources: StarList, reference: StarList, settings: MatchSettings) -> OffsetPeak | None:
    """The most significant offset, over several depths of the source list."""
    stars = reference.chosen(slice(None, settings.search_stars))
    best: OffsetPeak | None = None
    for depth in _depths(len(sources), len(stars), settings.search_stars):
        peak = find_offset(
            sources.points[:depth],
            stars.points,
            radius=settings.radius,
            tolerance=settings.tolerance,
            roll_deg=settings.roll_deg,
        )
        if peak is not None and (best is None or peak.log10_chance < best.log10_chance):
            best = peak
    return best


def _depths(sources: int, stars: int, most: int) -> list[int]:
    """How many of the brightest sources to try: a few times the number of stars, then more."""
    depths = {min(sources, most, max(20, factor * stars)) for factor in (1, 3, 10)}
    return sorted(depths)


def _matched(
    sources: StarList, reference: StarList, fit: PlaneFit, tolerance: float, settings: MatchSettings
) -> tuple[Indices, Indices]:
    mine, theirs = match_mutual(fit(sources.points), reference.points, tolerance)
    difference = sources.magnitudes[mine] - reference.magnitudes[theirs]
    if np.count_nonzero(np.isfinite(difference)) < 3:
        return mine, theirs
    usual = np.nanmedian(difference)
    odd = np.abs(difference - usual) > settings.magnitude_limit
    return mine[~odd], theirs[~odd]


def _fitted(
    sources: StarList,
    reference: StarList,
    pairs: tuple[Indices, Indices],
    settings: MatchSettings,
    start: PlaneFit,
) -> ListFit:
    mine, theirs = pairs
    points, stars = sources.points[mine], reference.points[theirs]
    errors = np.sqrt(sources.errors[mine] ** 2 + reference.errors[theirs] ** 2 + settings.floor**2)
    errors = np.hypot(errors, extra_scatter(stars - start(points), errors))
    geometry = settings.geometry_for(len(mine))
    result = fit_pairs(points, stars, errors, geometry, start=_rigid(start, geometry))
    supported = settings.geometry_for(int(np.count_nonzero(result.used)))
    if PARAMETERS[supported] < PARAMETERS[geometry]:
        result = fit_pairs(points, stars, errors, supported, start=_rigid(start, supported))
    return result


def extra_scatter(residuals: Array, errors: Array) -> float:
    """The error common to all pairs, added in quadrature, that brings three quarters of them to normal.

    The upper quartile, not the median: a catalog in a crowded field states errors that are too small for
    many of its stars, not for all.

    Parameters
    ----------
    residuals : ndarray, shape (n, 2)
        Arcsec; their median is taken away first.
    errors : ndarray, shape (n,)
        Stated standard errors, arcsec.

    Returns
    -------
    float
        Arcsec; 0 where the stated errors suffice, or with fewer than four pairs.
    """
    if len(errors) < 4:
        return 0.0
    size = np.sum((residuals - np.median(residuals, axis=0)) ** 2, axis=1)
    usual = 4.0 * np.log(2.0)  # the upper quartile of chi-squared with two degrees of freedom
    low, high = 0.0, float(np.sqrt(np.quantile(size, 0.75)))
    if np.quantile(size / errors**2, 0.75) <= usual:
        return 0.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        too_small = np.quantile(size / (errors**2 + middle**2), 0.75) > usual
        low, high = (middle, high) if too_small else (low, middle)
    return high


def _rigid(start: PlaneFit, geometry: Geometry) -> PlaneFit | None:
    """A start that the geometry can hold: a shift must not inherit a roll, nor a roll a scale."""
    if geometry in ("rscale", "general"):
        return start
    if geometry == "rshift":
        return PlaneFit.similarity(start.shift, start.roll_deg, 1.0)
    return None


def _tightened(
    result: ListFit, tolerance: float, settings: MatchSettings, last_tolerance: float | None
) -> float:
    if last_tolerance is not None:
        return max(last_tolerance, 0.6 * tolerance)
    used = result.residuals[result.used]
    scatter = 1.4826 * float(np.median(np.abs(used))) if len(used) else tolerance
    return max(settings.least_tolerance, min(tolerance, max(12.0 * scatter, 0.5 * tolerance)))
