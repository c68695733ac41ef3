"""A group of exposures brought onto a catalog, epoch by epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Evidence, Verdict, refused
from hapctl.processing.astrometry.exposure_joining import match_evidence
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.match_judging import judge_match
from hapctl.processing.astrometry.plane import PlaneFit
from hapctl.processing.astrometry.star_gathering import GrowingList, usable
from hapctl.processing.astrometry.star_matching import Search, match_lists
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_ONE_EPOCH = 1.0  # year: exposures within it are brought onto the catalog together
_TRIALS = 12  # two methods, two lists, three depths


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


def join_catalog(
    fits: Mapping[int, PlaneFit],
    lists: Sequence[StarList],
    epochs: Sequence[float],
    catalogs: Sequence[StarList],
    rule: AcceptanceRule,
) -> tuple[CatalogMatch, dict[int, PlaneFit]]:
    """Bring a group onto the catalog.

    Parameters
    ----------
    fits : dict
        Exposure number to what takes it to the group.
    lists, epochs, catalogs
        Of all exposures; lists without rows that are not finite.
    rule : AcceptanceRule

    Returns
    -------
    match : CatalogMatch
        Of the epoch with the strongest evidence.
    fits : dict
        Exposure number to what takes it to the catalog; empty where no epoch was accepted.
    """
    tries = [(part, *_one_epoch(part, fits, lists, epochs, catalogs, rule)) for part in _parts(fits, epochs)]
    tries.sort(key=lambda found: _strength(found[1]))
    match = tries[0][1]
    if not match.verdict.accepted:
        return match, {}
    onto: dict[int, PlaneFit] = {}
    for part, own, fit in reversed(tries):
        if own.verdict.accepted and fit is not None:
            onto |= dict.fromkeys(part, fit)
    best = tries[0][2]
    return match, {n: onto.get(n, best).after(fits[n]) for n in fits if best is not None}


def _strength(match: CatalogMatch) -> tuple[bool, float]:
    expected = None if match.evidence is None else match.evidence.log10_expected
    return not match.verdict.accepted, 0.0 if expected is None else expected


def _parts(fits: Mapping[int, PlaneFit], epochs: Sequence[float]) -> list[tuple[int, ...]]:
    """Members by epoch, none of a part more than a year from its first."""
    parts: list[list[int]] = []
    for number in sorted(fits, key=lambda n: (epochs[n], n)):
        if not parts or epochs[number] - epochs[parts[-1][0]] > _ONE_EPOCH:
            parts.append([])
        parts[-1].append(number)
    return [tuple(part) for part in parts]


def _one_epoch(
    part: Sequence[int],
    fits: Mapping[int, PlaneFit],
    lists: Sequence[StarList],
    epochs: Sequence[float],
    catalogs: Sequence[StarList],
    rule: AcceptanceRule,
) -> tuple[CatalogMatch, PlaneFit | None]:
    growing = _merged(part, fits, lists, epochs, rule)
    middle = float(np.mean([epochs[n] for n in part]))
    nearest = min(part, key=lambda n: (abs(epochs[n] - middle), n))
    known = reachable(catalogs[nearest], growing.points, rule.search_radius_arcsec)
    if len(known) < rule.least_confirmed_stars:
        return _refused("too-few-reference-stars", f"{len(known)} reference stars in reach", rule), None
    if len(growing) < rule.least_confirmed_stars:
        return _refused("too-few-sources", f"{len(growing)} usable sources", rule), None
    best: tuple[CatalogMatch, PlaneFit | None] | None = None
    for how in catalog_searches(rule):
        for keep in _choices(growing, len(part)):
            found = _attempt(growing, keep, known, how, rule)
            if found is None:
                continue
            if found[0].verdict.accepted:
                return found
            if best is None or _strength(found[0]) < _strength(best[0]):
                best = found
    if best is not None:
        return best
    text = f"no offset within {rule.search_radius_arcsec:g} arcsec brings the stars onto the catalog"
    return CatalogMatch(refused("no-match", text), None), None


def _refused(code: str, text: str, rule: AcceptanceRule) -> CatalogMatch:
    return CatalogMatch(refused(code, f"{text}, {rule.least_confirmed_stars} are needed"), None)


def _merged(
    part: Sequence[int],
    fits: Mapping[int, PlaneFit],
    lists: Sequence[StarList],
    epochs: Sequence[float],
    rule: AcceptanceRule,
) -> GrowingList:
    growing = GrowingList()
    for n in sorted(part, key=lambda n: (-len(lists[n]), n)):
        tolerance = rule.relative_match_arcsec
        growing.add(lists[n], fits[n](lists[n].points), epochs[n], tolerance, rule.motion_mas_per_year / 1e3)
    return growing


def reachable(catalog: StarList, points: Array, radius: float) -> StarList:
    """The catalog's stars that some source could be, finite, each place once, brightest first."""
    from scipy.spatial import cKDTree

    keep = usable(catalog)
    if len(points):
        low, high = points.min(axis=0) - radius, points.max(axis=0) + radius
        keep &= np.all((catalog.points >= low) & (catalog.points <= high), axis=1)
    numbers = np.nonzero(keep)[0]
    magnitudes = np.nan_to_num(catalog.magnitudes[numbers], nan=99.0)
    stars = catalog.chosen(numbers[np.argsort(magnitudes, kind="stable")])
    if len(stars) < 2:
        return stars
    twins = cKDTree(stars.points).query_pairs(_TWINS, output_type="ndarray")
    fresh = np.ones(len(stars), dtype=np.bool_)
    fresh[twins.max(axis=1)] = False
    return stars.chosen(fresh)


_TWINS = 0.005
"""Arcsec: rows of a catalog closer than this are one star twice."""


def catalog_searches(rule: AcceptanceRule) -> list[Search]:
    """Positions as they are, within a small radius; then the histogram of offsets."""
    settings = rule.absolute_settings()
    near = replace(settings, radius=rule.direct_radius_arcsec, roll_deg=rule.direct_roll_deg)
    return [
        Search("direct", near, roll_sigma_deg=0.005, scale_sigma=1e-4),
        Search("histogram", settings, roll_sigma_deg=0.05, scale_sigma=1e-4),
    ]


def _choices(growing: GrowingList, exposures: int) -> list[NDArray[np.bool_]]:
    """Stars seen twice, which are no cosmic rays; then all."""
    every = np.ones(len(growing), dtype=np.bool_)
    return [growing.seen > 1, every] if exposures > 1 and np.any(growing.seen > 1) else [every]


def _attempt(
    growing: GrowingList, keep: NDArray[np.bool_], known: StarList, how: Search, rule: AcceptanceRule
) -> tuple[CatalogMatch, PlaneFit] | None:
    stars, numbers = growing.stars(keep)
    stars, numbers = stars.chosen(slice(None, rule.most_stars)), numbers[: rule.most_stars]
    match = match_lists(stars, known, how)
    if match is None:
        return None
    confirmed = int(np.count_nonzero(growing.seen[numbers[match.source[match.used]]] > 1))
    evidence = match_evidence(stars, known, match, how, rule, trials=_TRIALS, confirmed=confirmed)
    return CatalogMatch(judge_match(evidence, rule), evidence), match.fit
