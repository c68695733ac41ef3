"""The judge of a joint solution: what every exposure and the whole group must show to be accepted.

The evidence of the association (how little chance explains the matches) is joined by what the solution
shows: stars left in it, scatter, corrections in units of what the priors allow, agreement within
a guide-star set and between exposures, and whether it improves on the solution in force.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.astrometry.acceptance import (
    AcceptanceRule,
    Departure,
    Evidence,
    ExposureResidual,
    Verdict,
    disagrees,
    refused,
)
from hapctl.processing.astrometry.chance import SearchFigures
from hapctl.processing.astrometry.group_matching import Association, CatalogMatch
from hapctl.processing.astrometry.hidden_errors import HELD_ROLL, ErrorModel, log10_hidden_error
from hapctl.processing.astrometry.joint_model import ExposurePrior, JointProblem, JointSolution
from hapctl.processing.astrometry.joint_restraints import TRUSTED
from hapctl.processing.astrometry.match_judging import judge_match
from hapctl.processing.astrometry.star_dependence import star_dependence
from hapctl.processing.astrometry.tie_figures import StarTies, star_ties
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ExposureJudgement:
    """What the judge says of one exposure of a group.

    Attributes
    ----------
    verdict : Verdict
        On the exposure in its group and on the group in the catalog: the first refusal, or acceptance.
    relative : Verdict or None
        Among the other exposures alone; None where it has no companion.
    evidence : Evidence or None
        What the verdict rests on: that of the group in the catalog, or of the exposure among the others where
        that refuses it or no catalog was matched; None where it was never matched to anything.
    """

    verdict: Verdict
    relative: Verdict | None
    evidence: Evidence | None


@dataclass(frozen=True)
class GroupJudgement:
    """What the judge says of a group.

    Attributes
    ----------
    verdict : Verdict
        On the group in the catalog; of a group without catalog, why it is only relative.
    evidence : Evidence or None
        Of the group in the catalog.
    exposures : dict
        Exposure number to ExposureJudgement.
    outcasts : tuple of int
        Exposures to be taken out of the group, whose solution is then to be made and judged again; empty
        when the judgement is final.
    """

    verdict: Verdict
    evidence: Evidence | None
    exposures: Mapping[int, ExposureJudgement]
    outcasts: tuple[int, ...] = ()


def judge_group(
    association: Association,
    members: Sequence[int],
    problem: JointProblem,
    solution: JointSolution,
    rule: AcceptanceRule,
) -> GroupJudgement:
    """Judge a joint solution of a group.

    Parameters
    ----------
    association : Association
        That gave the group.
    members : sequence of int
        Exposure numbers of the association, in the order of `problem.exposures`.
    problem : JointProblem
        The stars in any order; `problem.stars.in_catalog` says which tie the field to the catalog.
    solution : JointSolution
    rule : AcceptanceRule

    Returns
    -------
    GroupJudgement
    """
    on_catalog, verdict = _catalog_words(association, members, problem, solution, rule)
    used = _used_common(problem, solution)
    exposures = {}
    for place, number in enumerate(members):
        relative = _relative_evidence(association, members, place, problem, solution, used)
        words = None if relative is None else judge_match(relative, rule)
        if relative is None and number in association.relative_verdicts and not verdict.accepted:
            words = association.relative_verdicts[number]
        alone = words is not None and not words.accepted
        evidence = relative if alone or on_catalog is None else on_catalog
        exposures[number] = ExposureJudgement(words if alone and words else verdict, words, evidence)
    outcasts = _outcasts(exposures) or _disagreeing(members, problem, on_catalog, verdict, rule)
    return GroupJudgement(verdict, on_catalog, exposures, outcasts)


def _outcasts(exposures: Mapping[int, ExposureJudgement]) -> tuple[int, ...]:
    """Members refused among the others, unless all are."""
    out = tuple(n for n, own in exposures.items() if own.relative is not None and not own.relative.accepted)
    return out if len(out) < len(exposures) else ()


def _disagreeing(
    members: Sequence[int],
    problem: JointProblem,
    evidence: Evidence | None,
    verdict: Verdict,
    rule: AcceptanceRule,
) -> tuple[int, ...]:
    """Members that lie elsewhere on the catalog than the others, where that alone refuses the group."""
    if evidence is None or verdict.code != "worst-exposure":
        return ()
    names = {own.rootname for own in evidence.exposures if disagrees(own, rule)}
    pairs = zip(members, problem.exposures, strict=True)
    out = tuple(number for number, exposure in pairs if exposure.rootname in names)
    return out if len(out) < len(members) else ()


def _catalog_words(
    association: Association,
    members: Sequence[int],
    problem: JointProblem,
    solution: JointSolution,
    rule: AcceptanceRule,
) -> tuple[Evidence | None, Verdict]:
    match = _match_of(association, members)
    if match is None:
        return None, refused("no-catalog", "no catalog was asked for")
    if match.evidence is None or not match.verdict.accepted:
        return match.evidence, match.verdict
    ties = star_ties(problem, solution)
    if solution.frame != "catalog" or len(ties) == 0:
        text = "no star of the catalog is left in the solution of all exposures"
        return match.evidence, refused("too-few-stars", text)
    single = star_dependence(problem, solution, ties, rule.most_single_star_sigma, rule.single_star_floor_mas)
    evidence = replace(
        match.evidence,
        stars=len(ties),
        confirmed=ties.confirmed,
        log10_expected=_expected(match.evidence, len(ties)),
        rms_mas=1e3 * float(ties.rms.max()),
        exposures=_mean_residuals(problem, solution),
        departures=_set_departures(problem, solution),
        chi_log10_chance=ties.log10_chance,
        single_star_mas=single.change_mas,
        predicted_mas=single.predicted_mas,
        log10_hidden=log10_hidden_error(problem, solution, ties, _error_model(rule)),
        roll_freedom=_roll_freedom(problem, solution, ties, rule),
        improvement=ties.improvement,
    )
    evidence = replace(evidence, figures=_figures(evidence, ties, solution))
    return evidence, judge_match(evidence, rule)


def _error_model(rule: AcceptanceRule) -> ErrorModel:
    return ErrorModel(
        wrong_star=rule.wrong_star,
        wrong_roll=rule.wrong_roll,
        star_arcsec=rule.wrong_star_arcsec,
        roll_deg=rule.wrong_roll_deg,
        allowed_sigma=rule.hidden_sigma,
        allowed_mas=rule.hidden_floor_mas,
    )


def _match_of(association: Association, members: Sequence[int]) -> CatalogMatch | None:
    for group, match in zip(association.groups, association.absolute, strict=True):
        if members[0] in group:
            return match
    return None


def _expected(evidence: Evidence, stars: int) -> float | None:
    """Chance matches expected of the stars that are left, never less than of those that were matched."""
    if evidence.log10_expected is None:
        return None
    left = min(stars, evidence.stars)
    return max(evidence.log10_expected, SearchFigures.from_figures(evidence.figures).log10_expected(left))


def _figures(evidence: Evidence, ties: StarTies, solution: JointSolution) -> dict[str, float]:
    """Plain numbers for the record, those of the search among them."""
    judged = {
        "roll_freedom": evidence.roll_freedom,
        "single_star_mas": evidence.single_star_mas,
        "predicted_mas": evidence.predicted_mas,
        "log10_hidden": evidence.log10_hidden,
        "catalog_log10_chance": evidence.chi_log10_chance,
    }
    known = {name: float(value) for name, value in judged.items() if value is not None}
    departures = {f"{own.what} sigma": float(own.sigma) for own in evidence.departures}
    return {
        **evidence.figures,
        **known,
        **departures,
        "rescaling": solution.rescaling,
        "catalog_error_factor": solution.catalog_factor,
        "catalog_stars": len(ties),
        "catalog_stars_seen_twice": ties.confirmed,
        "catalog_chi_squared": ties.chi_squared,
        "improvement_chi_squared": ties.improvement,
    }


def _mean_residuals(problem: JointProblem, solution: JointSolution) -> tuple[ExposureResidual, ...]:
    """Of each exposure against the stars of the catalog, in its own measurements."""
    sources, floor = problem.sources, 0.0005
    tied = problem.stars.in_catalog[sources.star] & (solution.catalog_weights[sources.star] > 0)
    tied &= solution.weights > 0
    residuals = []
    for place, exposure in enumerate(problem.exposures):
        mine = tied & (sources.exposure == place)
        errors = solution.rescaling * np.hypot(sources.errors[mine], floor)
        residuals.append(_exposure_residual(exposure.rootname, solution.residuals[mine], errors))
    return tuple(residuals)


def _exposure_residual(rootname: str, residuals: Array, errors: Array) -> ExposureResidual:
    """Weighted mean residual of an exposure's stars and its error; arrays in arcsec."""
    if len(errors) == 0:
        return ExposureResidual(rootname, 0, 0.0, 0.0)
    mean = np.average(residuals, axis=0, weights=1.0 / errors**2)
    error = 1.0 / np.sqrt(np.sum(1.0 / errors**2))
    return ExposureResidual(rootname, len(errors), float(1e3 * np.hypot(*mean)), float(1e3 * error))


def _used_common(problem: JointProblem, solution: JointSolution) -> NDArray[np.bool_]:
    """Sources in use whose star is in use in another exposure too."""
    used = solution.weights > 0
    seen = np.bincount(problem.sources.star[used], minlength=len(problem.stars))
    common: NDArray[np.bool_] = used & (seen[problem.sources.star] > 1)
    return common


def _relative_evidence(
    association: Association,
    members: Sequence[int],
    place: int,
    problem: JointProblem,
    solution: JointSolution,
    used: NDArray[np.bool_],
) -> Evidence | None:
    """How an exposure hangs together with the others; None where it does by the catalog or not at all."""
    joined = [association.relative[n] for n in members if n in association.relative]
    joined = [own for own in joined if own.log10_expected is not None]
    mine = used & (problem.sources.exposure == place)
    count = int(np.count_nonzero(mine))
    begun = members[place] not in association.relative_verdicts
    if not joined or (count == 0 and begun):
        return None
    own = association.relative.get(members[place]) or min(joined, key=_chance)
    if not begun and not association.relative_verdicts[members[place]].accepted:
        return None
    fit = solution.fits[place]
    residuals = solution.residuals[mine]
    rms = float(np.sqrt(np.mean(residuals**2, axis=0)).max()) if count else float("nan")
    return replace(
        own,
        stars=count,
        confirmed=count,
        log10_expected=_expected(own, count),
        rotation_deg=fit.roll_deg,
        scale=fit.scale,
        rms_mas=1e3 * rms,
        departures=_own_departures(problem, solution, place),
    )


def _chance(evidence: Evidence) -> float:
    return 0.0 if evidence.log10_expected is None else evidence.log10_expected


def _set_members(problem: JointProblem, number: int) -> list[int]:
    return [
        place
        for place, exposure in enumerate(problem.exposures)
        if exposure.prior.guide_star_set == number and exposure.prior.covariance is None
    ]


def _set_departures(problem: JointProblem, solution: JointSolution) -> tuple[Departure, ...]:
    """Pointing and roll of each guide-star set, and each correction of a start that is a fit itself."""
    departures = []
    for number in sorted({exposure.prior.guide_star_set for exposure in problem.exposures}):
        places = _set_members(problem, number)
        if not places:
            continue
        middle = np.median(solution.corrections[places], axis=0)
        prior = problem.exposures[places[0]].prior
        shift = float(np.hypot(middle[0], middle[1])) / prior.pointing / np.sqrt(2.0)
        roll = abs(float(np.degrees(middle[2]))) / prior.roll_deg
        departures.append(Departure(f"pointing of guide-star set {number}", "pointing-prior", shift))
        departures.append(Departure(f"roll of guide-star set {number}", "roll-prior", roll))
    for place, exposure in enumerate(problem.exposures):
        if exposure.prior.covariance is not None:
            sigma = _fitted_sigma(solution.corrections[place, :4], exposure.prior.covariance)
            departures.append(Departure(f"{exposure.rootname} from its own fit", "fit-prior", sigma))
    return tuple(departures)


def _roll_freedom(
    problem: JointProblem, solution: JointSolution, ties: StarTies, rule: AcceptanceRule
) -> float | None:
    """How well the stars alone know the roll of the worst guide-star set, in units of its prior.

    The solution's error is that of stars and prior together; a prior departed from by more than
    `TRUSTED` standard deviations has been given less weight. None where a roll as wrong as the rule lets
    pass would do no harm: in the field of a small detector.
    """
    worst: list[float] = []
    reach = float(np.linalg.norm(problem.sources.points - ties.points.mean(axis=0), axis=1).max())
    for number in {exposure.prior.guide_star_set for exposure in problem.exposures}:
        places = _set_members(problem, number)
        if not places:
            continue
        prior = np.radians(problem.exposures[places[0]].prior.roll_deg)
        harm_mas = 1e3 * rule.most_prior_sigma * prior * reach
        if prior <= HELD_ROLL or harm_mas <= rule.harmless_roll_mas:
            continue
        departed = abs(float(np.median(solution.corrections[places, 2]))) / prior
        of_prior = 1.0 / (prior * max(1.0, departed / TRUSTED)) ** 2
        error = min(float(solution.covariance[6 * place + 2, 6 * place + 2]) for place in places)
        of_stars = solution.rescaling**2 / error - of_prior
        worst.append(1.0 / (prior * np.sqrt(of_stars)) if of_stars > 0 else np.inf)
    return max(worst, default=None)


def _fitted_sigma(correction: Array, covariance: Array) -> float:
    return float(np.sqrt(correction @ np.linalg.solve(covariance, correction) / 4.0))


def _own_departures(problem: JointProblem, solution: JointSolution, place: int) -> tuple[Departure, ...]:
    """Scale of an exposure, and its shift and roll against the rest of its guide-star set."""
    prior: ExposurePrior = problem.exposures[place].prior
    if prior.covariance is not None:
        return ()
    own = solution.corrections[place]
    departures = [Departure("scale", "scale-prior", abs(float(own[3])) / prior.scale)]
    others = [n for n in _set_members(problem, prior.guide_star_set) if n != place]
    if not others:
        return tuple(departures)
    apart = own - np.median(solution.corrections[others], axis=0)
    roll = abs(float(np.degrees(apart[2]))) / np.sqrt(2.0) / prior.relative_roll_deg
    departures.append(Departure("roll within the guide-star set", "set-prior", roll))
    if prior.relative_pointing is not None:
        shift = float(np.hypot(apart[0], apart[1])) / 2.0 / prior.relative_pointing
        departures.append(Departure("shift within the guide-star set", "set-prior", shift))
    return tuple(departures)
