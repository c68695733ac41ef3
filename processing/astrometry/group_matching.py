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
from hapctl.processing.astrometry.catalog_joining import CatalogMatch, join_catalog
from hapctl.processing.astrometry.exposure_joining import Joining, join_exposures
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.plane import PlaneFit
from hapctl.processing.astrometry.star_gathering import Identities, gather, usable
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
__all__ = ["Association", "CatalogMatch", "Identities", "associate", "gather"]


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
    numbers = range(len(lists))
    clean = [sources.chosen(usable(sources)) for sources in lists]
    joinings = join_exposures(clean, epochs, sets or [0] * len(lists), rule)
    fits = {n: fit for group in joinings for n, fit in group.fits.items()}
    groups: list[tuple[tuple[int, ...], CatalogMatch | None]] = []
    for group in joinings:
        match = None
        if catalogs is not None:
            match, onto = join_catalog(group.fits, clean, epochs, catalogs, rule)
            fits |= onto
        groups.append((tuple(sorted(group.fits)), match))
    groups = _united(groups, clean)
    all_fits = tuple(fits[n] for n in numbers)
    tolerance = max(rule.absolute_match_arcsec, rule.relative_match_arcsec)
    motion = rule.motion_mas_per_year / 1e3
    identities = _together(
        [
            gather(
                lists,
                all_fits,
                epochs,
                catalogs if match is not None and match.verdict.accepted else None,
                tolerance,
                members=members,
                motion=motion,
            )
            for members, match in groups
        ]
    )
    relative, verdicts = _first_words(joinings)
    return Association(
        tuple(members for members, _ in groups),
        all_fits,
        identities,
        relative,
        verdicts,
        tuple(match for _, match in groups),
    )


def _united(
    groups: Sequence[tuple[tuple[int, ...], CatalogMatch | None]], lists: Sequence[StarList]
) -> list[tuple[tuple[int, ...], CatalogMatch | None]]:
    """Groups on the catalog are one, under the strongest evidence; that with most sources comes first."""
    on = [found for found in groups if found[1] is not None and found[1].verdict.accepted]
    result = [found for found in groups if found not in on]
    if on:
        members = tuple(sorted(n for group, _ in on for n in group))
        result.append((members, min((match for _, match in on), key=_chance)))
    return sorted(result, key=lambda found: (-sum(len(lists[n]) for n in found[0]), found[0]))


def _chance(match: CatalogMatch | None) -> float:
    if match is None or match.evidence is None or match.evidence.log10_expected is None:
        return 0.0
    return match.evidence.log10_expected


def _together(parts: Sequence[Identities]) -> Identities:
    """Identities of groups without common exposures, numbered on."""
    star = [own.copy() for own in parts[0].star]
    reference = parts[0].reference
    for part in parts[1:]:
        for own, more in zip(star, part.star, strict=True):
            own[more >= 0] = more[more >= 0] + len(reference)
        reference = np.concatenate([reference, part.reference])
    return Identities(tuple(star), reference)


def _first_words(joinings: Sequence[Joining]) -> tuple[dict[int, Evidence], dict[int, Verdict]]:
    """Of each exposure the evidence and the verdict on its joining; acceptance before refusals."""
    evidence: dict[int, Evidence] = {}
    verdicts: dict[int, Verdict] = {}
    for group in joinings:
        for number, verdict in group.verdicts.items():
            if verdict.accepted or number not in verdicts:
                verdicts[number] = verdict
                if number in group.evidence:
                    evidence[number] = group.evidence[number]
    for group in joinings:
        begun = next(iter(group.fits))
        if len(group.fits) > 1:
            verdicts.pop(begun, None)
            evidence.pop(begun, None)
    return evidence, verdicts
