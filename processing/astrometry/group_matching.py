"""Which sources of which exposure are the same star, and which star is which row of a catalog.

Exposures join one by one by their common stars: first within a guide-star set, with a small search, then
across sets, filters, visits and epochs. A group is then brought onto the catalog; two groups on the catalog
are one. What is kept is identities, rough places and the evidence for both: the precise places are
the joint solution's. Positions are tangent-plane coordinates in arcsec; lists come brightest first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Evidence, Verdict
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


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


@dataclass(frozen=True)
class CatalogMatch:
    """A group on the catalog, or the try of it.

    Attributes
    ----------
    verdict : Verdict
        On the match alone; the joint solution is judged again.
    evidence : Evidence or None
        None where nothing matched; `Evidence.method` says how it was found.
    """

    verdict: Verdict
    evidence: Evidence | None


@dataclass(frozen=True)
class Association:
    """What belongs together.

    Attributes
    ----------
    groups : tuple of tuple of int
        Exposure numbers, the group with most sources first; every exposure is in exactly one, some groups
        are of one exposure.
    fits : tuple of PlaneFit
        For each exposure: takes its positions to those of its group, to a few mas; to the catalog's where
        the group is on it.
    identities : Identities
        A star belongs to one group.
    relative : dict
        Exposure number to the evidence by which it joined, or failed to join, others; not of the exposure
        that a group began with.
    relative_verdicts : dict
        The same exposures and those without any match, with the verdict.
    absolute : tuple of CatalogMatch or None
        For each group; None without catalogs.
    """

    groups: tuple[tuple[int, ...], ...]
    fits: tuple[PlaneFit, ...]
    identities: Identities
    relative: Mapping[int, Evidence]
    relative_verdicts: Mapping[int, Verdict]
    absolute: tuple[CatalogMatch | None, ...]


def associate(
    lists: Sequence[StarList],
    epochs: Sequence[float],
    catalogs: Sequence[StarList] | None,
    rule: AcceptanceRule,
    *,
    sets: Sequence[int] | None = None,
) -> Association:
    """Find out which sources are the same star, and which star is which row of a catalog.

    Parameters
    ----------
    lists : sequence of StarList
        Sources of each exposure by its starting WCS, all in one plane, brightest first.
    epochs : sequence of float
        Julian years.
    catalogs : sequence of StarList or None
        For each exposure the same rows of one catalog, at its epoch and in the same plane; None for a
        relative association only.
    rule : AcceptanceRule
    sets : sequence of int, optional
        Guide-star set of each exposure (`ExposurePrior.guide_star_set`); all in one by default.

    Returns
    -------
    Association
        The same for the same input, bit by bit.
    """
    raise NotImplementedError


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
        epoch.

    Returns
    -------
    Identities
        One source of an exposure per star; sources with another candidate nearly as close are left out.
    """
    raise NotImplementedError
