"""Exposures of one detector and visit brought onto each other by their common stars.

The exposure with most sources stays; the others join it one by one, each judged on its own, and then
all are fitted at once. One that the rule refuses is left out and told why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.astrometry.acceptance import (
    AcceptanceRule,
    Evidence,
    ExposureResidual,
    Verdict,
    judge,
    refused,
)
from hapctl.processing.astrometry.decoys import best_decoy_score
from hapctl.processing.astrometry.fitting import Geometry, root_mean_square
from hapctl.processing.astrometry.joint_fitting import JointFit, Observations, fit_exposures
from hapctl.processing.astrometry.list_alignment import ListAlignment, MatchSettings, StarList, align_lists
from hapctl.processing.astrometry.matching import match_mutual
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Member:
    """One exposure of a group.

    Attributes
    ----------
    fit : PlaneFit
        Takes its positions to those of the group.
    star : ndarray of int, shape (n,)
        The group's star of each of its sources; -1 where a source belongs to none.
    residuals : ndarray, shape (n, 2)
        Its position after the fit minus the star's, arcsec; NaN where seen in this exposure alone.
    weights : ndarray, shape (n,)
        Robust weights; 0 for sources that took no part.
    evidence : Evidence or None
        None for the reference exposure.
    """

    fit: PlaneFit
    star: Indices
    residuals: Array
    weights: Array
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Group:
    """Exposures that lie on each other.

    Attributes
    ----------
    reference : int
        Number of the exposure that did not move.
    members : dict
        Exposure number to Member.
    stars : StarList
        All stars of the group, brightest first, with mean positions.
    seen : ndarray of int, shape (m,)
        In how many exposures each star was seen.
    verdicts : dict
        For every exposure but the reference: why it is a member or is not.
    """

    reference: int
    members: Mapping[int, Member]
    stars: StarList
    seen: Indices
    verdicts: Mapping[int, Verdict]


def align_exposures(
    exposures: Sequence[StarList], rule: AcceptanceRule, among: Sequence[int] | None = None
) -> Group:
    """Bring exposures onto each other.

    Parameters
    ----------
    exposures : sequence of StarList
        Sources of each exposure by its starting WCS, in one plane.
    rule : AcceptanceRule
    among : sequence of int, optional
        Numbers of the exposures that take part; all by default.

    Returns
    -------
    Group
        With the reference exposure alone where no other was accepted.
    """
    settings = rule.relative_settings()
    numbers = range(len(exposures)) if among is None else among
    reference = max(numbers, key=lambda number: (len(exposures[number]), -number))
    verdicts: dict[int, Verdict] = {}
    evidence: dict[int, Evidence] = {}
    fits = {reference: PlaneFit.identity()}
    tolerance = settings.least_tolerance
    for number in sorted(set(numbers) - {reference}, key=lambda n: -len(exposures[n])):
        master = _gathered(exposures, fits, tolerance, settings)[0]
        result = align_lists(exposures[number], master, settings)
        if result is None:
            text = f"no offset within {settings.radius:g} arcsec brings its stars onto the others'"
            verdicts[number] = refused("no-match", text)
            continue
        evidence[number] = _evidence(exposures[number], master, result, rule, settings)
        verdicts[number] = judge(evidence[number], rule)
        if verdicts[number].accepted:
            fits[number] = result.fit.fit
            tolerance = max(tolerance, result.tolerance)
    return _settled(exposures, fits, reference, verdicts, evidence, tolerance, rule)


def _settled(
    exposures: Sequence[StarList],
    fits: dict[int, PlaneFit],
    reference: int,
    verdicts: dict[int, Verdict],
    evidence: Mapping[int, Evidence],
    tolerance: float,
    rule: AcceptanceRule,
) -> Group:
    """Fit all members at once; put out any that keeps too few common stars, and fit again."""
    while True:
        group = _joined(exposures, fits, reference, verdicts, evidence, tolerance, rule.relative_settings())
        lost = {
            number: stars
            for number, member in group.members.items()
            if number != reference
            and (stars := int(np.count_nonzero(member.weights))) < min(rule.minimum_stars.values())
        }
        if not lost:
            return group
        for number, stars in lost.items():
            text = f"{stars} stars are left in the fit of all exposures together"
            verdicts[number] = refused("too-few-stars", text)
        fits = {number: fit for number, fit in fits.items() if number not in lost}


def align_in_groups(
    exposures: Sequence[StarList], rule: AcceptanceRule
) -> tuple[list[Group], dict[int, Verdict]]:
    """Bring exposures onto each other; those that do not join, as of another pointing, among themselves.

    Parameters
    ----------
    exposures : sequence of StarList
    rule : AcceptanceRule

    Returns
    -------
    groups : list of Group
        Each exposure is in one of them, the first has that with most sources; some may be of one exposure.
    verdicts : dict
        For every exposure but the references of groups of several: why it is a member, or in none.
    """
    groups: list[Group] = []
    verdicts: dict[int, Verdict] = {}
    rest = list(range(len(exposures)))
    while rest:
        group = align_exposures(exposures, rule, rest)
        groups.append(group)
        for number, verdict in group.verdicts.items():
            if verdict.accepted or number not in verdicts:
                verdicts[number] = verdict
        if len(group.members) > 1:
            verdicts.pop(group.reference, None)
        rest = [number for number in rest if number not in group.members]
    return groups, verdicts


def lone_group(exposures: Sequence[StarList], number: int, rule: AcceptanceRule) -> Group:
    """A group of one exposure, which stays where it is."""
    fits = {number: PlaneFit.identity()}
    return _joined(exposures, fits, number, {}, {}, 0.0, rule.relative_settings())


def _evidence(
    sources: StarList, master: StarList, result: ListAlignment, rule: AcceptanceRule, settings: MatchSettings
) -> Evidence:
    score = best_decoy_score(
        sources, master, settings, count=rule.decoys, tolerance=result.tolerance, least=result.count
    )
    centre = sources.points[result.source[result.fit.used]].mean(axis=0)
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
        figures=result.figures(),
    )


def _joined(
    exposures: Sequence[StarList],
    fits: dict[int, PlaneFit],
    reference: int,
    verdicts: Mapping[int, Verdict],
    evidence: Mapping[int, Evidence],
    tolerance: float,
    settings: MatchSettings,
) -> Group:
    """Fit all accepted exposures at once, match again, and once more."""
    numbers = sorted(fits)
    joint: JointFit | None = None
    order: list[Indices] = []
    for _ in range(3 if len(numbers) > 1 else 0):
        _, star = _gathered(exposures, fits, tolerance, settings)
        observations, order = _observations(exposures, star, numbers, settings)
        if len(observations.star) == 0:
            break
        geometries: list[Geometry] = [settings.geometry_for(len(common)) for common in order]
        start = [fits[n] for n in numbers]
        joint = fit_exposures(observations, geometries, reference=numbers.index(reference), start=start)
        fits = dict(zip(numbers, joint.fits, strict=True))
    stars, star = _gathered(exposures, fits, tolerance, settings)
    members = {}
    for place, number in enumerate(numbers):
        size = len(exposures[number])
        residuals, weights = np.full((size, 2), np.nan), np.zeros(size)
        if joint is not None:
            mine = observations.exposure == place
            residuals[order[place]] = -joint.residuals[mine]
            weights[order[place]] = joint.weights[mine]
        own = evidence.get(number)
        if own is not None and joint is not None:
            own = replace(own, geometry=geometries[place])
        members[number] = Member(fits[number], star[number], residuals, weights, own)
    seen = np.bincount(np.concatenate([star[n] for n in numbers]), minlength=len(stars))
    return Group(reference, members, stars, seen, verdicts)


def _gathered(
    exposures: Sequence[StarList],
    fits: Mapping[int, PlaneFit],
    tolerance: float,
    settings: MatchSettings,
) -> tuple[StarList, dict[int, Indices]]:
    """All stars of the exposures fitted so far, brightest first, and which star each source is.

    Positions are means weighted with the errors; magnitudes are brought to the first exposure's.
    """
    sums, weight, magnitude = np.zeros((0, 2)), np.zeros(0), np.zeros(0)
    star: dict[int, Indices] = {}
    for number in fits:
        sources = exposures[number]
        points = fits[number](sources.points)
        mine, theirs = match_mutual(points, sums / weight[:, None], tolerance)
        offset = _zero_point(sources.magnitudes[mine], magnitude[theirs])
        member = np.full(len(sources), -1, dtype=np.intp)
        member[mine] = theirs
        fresh = np.nonzero(member < 0)[0]
        member[fresh] = len(weight) + np.arange(len(fresh))
        star[number] = member
        gain = 1.0 / (sources.errors**2 + settings.floor**2)
        weight = np.concatenate([weight, np.zeros(len(fresh))])
        sums = np.concatenate([sums, np.zeros((len(fresh), 2))])
        weight[member] += gain
        sums[member] += gain[:, None] * points
        magnitude = np.concatenate([magnitude, sources.magnitudes[fresh] + offset])
    order = np.argsort(magnitude, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    points = sums[order] / weight[order, None]
    stars = StarList(points, 1.0 / np.sqrt(weight[order]), magnitude[order])
    return stars, {number: place[member] for number, member in star.items()}


def _zero_point(magnitudes: Array, reference: Array) -> float:
    return float(np.median(reference - magnitudes)) if len(magnitudes) else 0.0


def _observations(
    exposures: Sequence[StarList],
    star: Mapping[int, Indices],
    numbers: Sequence[int],
    settings: MatchSettings,
) -> tuple[Observations, list[Indices]]:
    """The sources whose star is seen in two exposures or more, and their places in each exposure."""
    seen = np.bincount(np.concatenate([star[n] for n in numbers]))
    order = [np.nonzero(seen[star[n]] > 1)[0] for n in numbers]
    label = np.cumsum(seen > 1) - 1
    pairs = list(zip(numbers, order, strict=True))
    observations = Observations(
        exposure=np.concatenate([np.full(len(o), k, dtype=np.intp) for k, o in enumerate(order)]),
        star=np.concatenate([label[star[n][o]] for n, o in pairs]),
        points=np.concatenate([exposures[n].points[o] for n, o in pairs]),
        errors=np.concatenate([np.hypot(exposures[n].errors[o], settings.floor) for n, o in pairs]),
    )
    return observations, order


def member_rms(group: Group, number: int) -> Array:
    """Scatter of an exposure's common stars about their mean positions, arcsec, shape (2,).

    Corrected for the exposure's own part in the mean; NaN for an exposure without common stars.
    """
    member = group.members[number]
    used = member.weights > 0
    seen = group.seen[member.star[used]]
    return root_mean_square(member.residuals[used] * np.sqrt(seen / np.maximum(seen - 1, 1))[:, None])


def exposure_residual(rootname: str, residuals: Array, errors: Array) -> ExposureResidual:
    """Weighted mean residual of an exposure's stars and its error.

    Parameters
    ----------
    rootname : str
    residuals : ndarray, shape (n, 2)
        Arcsec.
    errors : ndarray, shape (n,)
        Arcsec.
    """
    if len(errors) == 0:
        return ExposureResidual(rootname, 0, 0.0, 0.0)
    mean = np.average(residuals, axis=0, weights=1.0 / errors**2)
    error = 1.0 / np.sqrt(np.sum(1.0 / errors**2))
    return ExposureResidual(rootname, len(errors), float(1e3 * np.hypot(*mean)), float(1e3 * error))
