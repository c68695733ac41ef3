"""A group of exposures brought onto a reference catalog by one transformation for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Evidence, Verdict, judge, refused
from hapctl.processing.astrometry.decoys import best_decoy_score
from hapctl.processing.astrometry.list_alignment import ListAlignment, StarList, align_lists, extra_scatter
from hapctl.processing.astrometry.plane import PlaneFit
from hapctl.processing.astrometry.relative_alignment import Group, exposure_residual
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class CatalogPairs:
    """The stars of one exposure that have a counterpart in the catalog.

    Attributes
    ----------
    source, reference : ndarray of int, shape (n,)
        Of the exposure's source list and of the catalog's list.
    residuals : ndarray, shape (n, 2)
        Measured minus reference after the fit, arcsec.
    errors : ndarray, shape (n,)
        Expected error of a coordinate of that, arcsec.
    weights : ndarray, shape (n,)
        In the fit: the robust weight over the squared error, largest 1.
    used : ndarray of bool, shape (n,)
    """

    source: Indices
    reference: Indices
    residuals: Array
    errors: Array
    weights: Array
    used: NDArray[np.bool_]


@dataclass(frozen=True)
class AbsoluteFit:
    """A group on a catalog, or the try of it.

    Attributes
    ----------
    verdict : Verdict
    fit : PlaneFit or None
        Takes the group's positions to the catalog's; None where nothing matched.
    evidence : Evidence or None
    pairs : dict
        Exposure number to CatalogPairs.
    """

    verdict: Verdict
    fit: PlaneFit | None
    evidence: Evidence | None
    pairs: Mapping[int, CatalogPairs]


def align_group(
    group: Group,
    exposures: Sequence[StarList],
    rootnames: Sequence[str],
    catalog: StarList,
    rule: AcceptanceRule,
) -> AbsoluteFit:
    """Bring a group of exposures onto a reference catalog.

    Parameters
    ----------
    group : Group
    exposures : sequence of StarList
        As given to `align_exposures`.
    rootnames : sequence of str
        Of all exposures, for the words of the verdict.
    catalog : StarList
        Reference stars at the epoch, in the same plane, brightest first.
    rule : AcceptanceRule

    Returns
    -------
    AbsoluteFit
    """
    settings = rule.absolute_settings()
    least = min(rule.minimum_stars.values())
    if len(catalog) < least:
        text = f"{len(catalog)} reference stars in reach, {least} are needed"
        return AbsoluteFit(refused("too-few-reference-stars", text), None, None, {})
    if len(group.stars) < least:
        text = f"{len(group.stars)} usable sources, {least} are needed"
        return AbsoluteFit(refused("too-few-sources", text), None, None, {})
    stars = group.stars.chosen(slice(None, rule.most_stars))
    result = align_lists(stars, catalog, settings)
    if result is None:
        text = f"no offset within {settings.radius:g} arcsec brings the stars onto the catalog"
        return AbsoluteFit(refused("no-match", text), None, None, {})
    floor = _floor(stars, catalog, result, settings.floor)
    pairs = {
        number: _exposure_pairs(number, group, exposures, catalog, result, floor) for number in group.members
    }
    score = best_decoy_score(
        stars, catalog, settings, count=rule.decoys, tolerance=result.tolerance, least=result.count
    )
    evidence = _evidence(stars, result, score, pairs, rootnames, floor)
    return AbsoluteFit(judge(evidence, rule), result.fit.fit, evidence, pairs)


def _floor(stars: StarList, catalog: StarList, result: ListAlignment, stated: float) -> float:
    """The error common to all pairs, arcsec."""
    errors = np.sqrt(stars.errors[result.source] ** 2 + catalog.errors[result.reference] ** 2 + stated**2)
    return float(np.hypot(stated, extra_scatter(result.fit.residuals, errors)))


def _exposure_pairs(
    number: int,
    group: Group,
    exposures: Sequence[StarList],
    catalog: StarList,
    result: ListAlignment,
    floor: float,
) -> CatalogPairs:
    member, sources = group.members[number], exposures[number]
    pair_of = np.full(len(group.stars), -1, dtype=np.intp)
    pair_of[result.source] = np.arange(len(result.source))
    mine = np.nonzero(pair_of[member.star] >= 0)[0]
    pair = pair_of[member.star[mine]]
    theirs = result.reference[pair]
    placed = result.fit.fit(member.fit(sources.points[mine]))
    errors = np.sqrt(sources.errors[mine] ** 2 + catalog.errors[theirs] ** 2 + floor**2)
    robust = result.fit.weights[pair]
    weights = robust / errors**2
    largest = float(weights.max()) if len(weights) and weights.max() > 0 else 1.0
    residuals = placed - catalog.points[theirs]
    return CatalogPairs(mine, theirs, residuals, errors, weights / largest, robust > 0)


def _evidence(
    stars: StarList,
    result: ListAlignment,
    score: int,
    pairs: Mapping[int, CatalogPairs],
    rootnames: Sequence[str],
    floor: float,
) -> Evidence:
    centre = stars.points[result.source[result.fit.used]].mean(axis=0)
    shift = result.fit.fit(centre[None, :])[0] - centre
    return Evidence(
        geometry=result.fit.geometry,
        stars=result.count,
        decoy_score=score,
        log10_chance=result.peak.log10_chance,
        rotation_deg=result.fit.fit.roll_deg,
        scale=result.fit.fit.scale,
        shift_arcsec=float(np.hypot(*shift)),
        rms_mas=float(1e3 * result.fit.rms().max()),
        exposures=tuple(
            exposure_residual(rootnames[number], own.residuals[own.used], own.errors[own.used])
            for number, own in pairs.items()
        ),
        figures={**result.figures(), "error_floor_mas": 1e3 * floor},
    )
