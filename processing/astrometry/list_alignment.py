"""Lists of stars in a plane, the numbers of a search, and the search itself at several depths.

Positions are tangent-plane coordinates in arcsec; lists come brightest first.
"""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.matching import OffsetPeak, find_offset
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


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
    magnitude_limit: float = 3.0
    search_stars: int = 400


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
