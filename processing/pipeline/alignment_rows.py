"""The outcome of an alignment as rows: groups, members, solutions, attempts, stars, what is put in force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from hapctl.archive.alignments import (
    Method,
    NewAttempt,
    NewGroup,
    NewMember,
    StarMatches,
    groups_from,
    insert_attempt,
    insert_group,
    insert_members,
)
from hapctl.archive.products import EligibleExposure
from hapctl.archive.reference_answers import ReferenceSources
from hapctl.archive.solutions import Registered, activate
from hapctl.processing.astrometry.exposure import mjd_to_utc
from hapctl.processing.astrometry.headerlet import headerlet_bytes
from hapctl.processing.astrometry.joint_alignment import ExposureOutcome
from hapctl.processing.astrometry.plane import sky_positions
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.pipeline.alignment_figures import group_figures, metrics_of, movement
from hapctl.processing.pipeline.alignment_inputs import AlignmentSet, prior_document
from hapctl.processing.pipeline.alignment_ladder import Rung
from hapctl.processing.pipeline.alignment_matches import placed, star_matches, worth_keeping
from hapctl.processing.pipeline.alignment_targets import Target
from hapctl.processing.pipeline.dispersed_exposures import DispersedExposure, carried_solution, direct_image
from hapctl.processing.pipeline.headerlet_files import HeaderletFile, headerlet_path
from hapctl.processing.pipeline.set_alignment import SetAlignment, SolvedGroup, fit_figures, verdict_on
from hapctl.processing.pipeline.solution_store import (
    NewSolution,
    record_headerlet_place,
    record_solutions,
)
from sqlalchemy import Connection

Asked = Literal["catalog", "relative", "ladder"]


@dataclass(frozen=True)
class Occasion:
    """What all rows of a rung have in common.

    Attributes
    ----------
    connection : Connection
        In the one transaction of the alignment.
    run_id, policy_id, ladder_policy_id : int
    target : Target
    rung : Rung
    catalog : str or None
        As it is spelt in WCSNAME.
    frame : str or None
        Frame of the catalog.
    sources : ReferenceSources or None
    origin : {"hst", "fits"}
    asked : {"catalog", "relative", "ladder"}
        What the user named: what is accepted of that is wanted, whatever is in force.
    """

    connection: Connection
    run_id: int
    policy_id: int
    ladder_policy_id: int
    target: Target
    rung: Rung
    catalog: str | None
    frame: str | None
    sources: ReferenceSources | None
    origin: LookupOrigin
    asked: Asked

    @property
    def query_ids(self) -> tuple[int, ...]:
        """The catalog answers that were used."""
        return () if self.sources is None else self.sources.query_ids


@dataclass(frozen=True)
class ExposureResult:
    """What became of an exposure; ``outcome`` is accepted, refused, unchanged or excluded."""

    rootname: str
    outcome: str
    reason: str
    method: Method | None = None
    code: str = ""
    wcsname: str | None = None
    nmatches: int | None = None
    rms_ra_mas: float | None = None
    rms_dec_mas: float | None = None
    predicted_error_mas: float | None = None


@dataclass(frozen=True)
class Recorded:
    """What a rung left in the catalog, and the headerlets still to be written."""

    exposures: tuple[ExposureResult, ...]
    headerlets: tuple[HeaderletFile, ...] = field(default_factory=tuple)


def record_set(occasion: Occasion, done: SetAlignment, inputs_sha256: str) -> Recorded:
    """Write everything about a set on a rung, and put its new solutions in force, group by group."""
    results: dict[str, ExposureResult] = {}
    headerlets: list[HeaderletFile] = []
    for group in done.groups:
        found, files = _record_group(occasion, done, group, inputs_sha256)
        results |= found
        headerlets += files
    for number in range(len(done.part)):
        if done.group_of(number) is None:
            attempt = _attempt(occasion, done, number, None, None, inputs_sha256)
            matches = _matches(occasion, done, number, None)
            insert_attempt(occasion.connection, occasion.run_id, attempt, matches, occasion.query_ids)
            results[done.part.rootnames[number]] = _result(done.part.rootnames[number], attempt, None)
    return Recorded(tuple(results[name] for name in sorted(results)), tuple(headerlets))


def _record_group(
    occasion: Occasion, done: SetAlignment, group: SolvedGroup, inputs: str
) -> tuple[dict[str, ExposureResult], list[HeaderletFile]]:
    group_id = _group_row(occasion, done, group, inputs)
    frame = occasion.frame if group.is_absolute else f"alignment group {group_id}"
    registered: dict[int, Registered] = {}
    headerlets: list[HeaderletFile] = []
    results: dict[str, ExposureResult] = {}
    chosen: dict[int, int] = {}
    for number, solution in sorted(group.solutions.items()):
        exposure = done.part.exposures[number]
        registered[number], file = _register(occasion, solution, exposure.suffix, frame, group_id)
        headerlets.append(file)
        chosen[exposure.exposure_id] = registered[number].solution_id
        attempt = _attempt(occasion, done, number, group_id, registered[number], inputs)
        matches = _matches(occasion, done, number, solution)
        insert_attempt(occasion.connection, occasion.run_id, attempt, matches, occasion.query_ids)
        results[exposure.rootname] = _result(exposure.rootname, attempt, solution, group.outcome(number))
    for one in done.part.dispersed:
        carried = _record_dispersed(occasion, done, group, one, group_id, frame, inputs)
        if carried is not None:
            results[one.rootname], file, chosen[one.exposure_id] = carried
            headerlets.append(file)
    _record_members(occasion, done, group, group_id, registered)
    kept = kept_in_force(occasion, [done.part.exposures[n] for n in group.solutions], group.is_absolute)
    if kept:
        return {name: _kept(result, kept) for name, result in results.items()}, headerlets
    activate(occasion.connection, occasion.run_id, chosen, _activation_reason(occasion, group), "align")
    return results, headerlets


def _group_row(occasion: Occasion, done: SetAlignment, group: SolvedGroup, inputs: str) -> int:
    new = NewGroup(
        scope=occasion.target.scope,
        scope_name=occasion.target.name,
        visit=occasion.target.visit,
        detector=done.part.detector,
        catalog=occasion.catalog if group.is_absolute else None,
        inputs_sha256=inputs,
        part=len(groups_from(occasion.connection, inputs)),
        policy_id=occasion.policy_id,
        figures=group_figures(group),
    )
    return insert_group(occasion.connection, occasion.run_id, new)


def _register(
    occasion: Occasion, solution: WcsSolution, suffix: str, frame: str | None, group_id: int
) -> tuple[Registered, HeaderletFile]:
    content = headerlet_bytes(solution, suffix=suffix)
    new = NewSolution(solution, content, frame, group_id)
    [registered] = record_solutions(occasion.connection, occasion.run_id, solution.rootname, [new])
    path = headerlet_path(solution, suffix)
    record_headerlet_place(occasion.connection, occasion.run_id, registered.solution_id, path)
    return registered, HeaderletFile(path, content)


def _record_members(
    occasion: Occasion,
    done: SetAlignment,
    group: SolvedGroup,
    group_id: int,
    registered: Mapping[int, Registered],
) -> None:
    solution = group.group.solution
    members = []
    for number, new in registered.items():
        k, outcome, known = group.position(number), group.outcome(number), done.part.priors[number]
        prior = occasion.rung.prior_for(known.prior)
        ra, dec = sky_positions(group.alignment.plane.deproject(solution.centres[k : k + 1]))
        own = solution.covariance[6 * k : 6 * k + 6, 6 * k : 6 * k + 6]
        members.append(
            NewMember(
                exposure_id=done.part.exposures[number].exposure_id,
                solution_id=new.solution_id,
                guide_star_set=prior.guide_star_set,
                prior={**prior_document(prior), "why": known.why},
                centre=[float(ra[0]), float(dec[0])],
                correction=solution.corrections[k].tolist(),
                covariance=own.ravel().tolist(),
                predicted_error_mas=float(outcome.predicted_error_mas),
                common_floor_mas=1e3 * float(solution.common_floor[k]),
            )
        )
    insert_members(occasion.connection, occasion.run_id, group_id, members)


def kept_in_force(
    occasion: Occasion, exposures: Sequence[EligibleExposure], is_absolute: bool
) -> list[EligibleExposure]:
    """Exposures whose solution in force is on Gaia, and better than a new one that is not.

    None of them where the user asked for just that: a relative alignment, or the catalog by its name.
    """
    wanted = occasion.asked == ("catalog" if is_absolute else "relative")
    on_gaia = is_absolute and occasion.frame is not None and occasion.frame.startswith("GAIA-")
    if wanted or on_gaia:
        return []
    return [exposure for exposure in exposures if exposure.absolute]


def kept_words(kept: Sequence[EligibleExposure]) -> str:
    """Say which solutions stay, in place of a new one in a lesser frame."""
    names = dict.fromkeys(f"{exposure.wcsname} ({exposure.frame})" for exposure in kept)
    rootnames = ", ".join(exposure.rootname for exposure in kept)
    return f"the new fit was recorded, but {' and '.join(names)} of {rootnames} stays in force"


def _kept(result: ExposureResult, kept: Sequence[EligibleExposure]) -> ExposureResult:
    """The result of an exposure whose new solution is not put in force."""
    reason = f"{result.reason}; {kept_words(kept)}"
    return ExposureResult(result.rootname, "refused", reason, result.method, "kept-out")


def _activation_reason(occasion: Occasion, group: SolvedGroup) -> str:
    words = group.group.verdict.reason
    if group.is_absolute:
        return f"aligned: {words}"
    if occasion.rung.is_relative_only and occasion.asked != "relative":
        words = "no catalog was accepted"
    return f"aligned to each other only: {words}"


def _result(
    rootname: str, attempt: NewAttempt, solution: WcsSolution | None, outcome: ExposureOutcome | None = None
) -> ExposureResult:
    if solution is None:
        return ExposureResult(rootname, "refused", attempt.reason, attempt.method, attempt.code)
    return ExposureResult(
        rootname,
        attempt.outcome,
        attempt.reason,
        attempt.method,
        attempt.code,
        solution.name,
        attempt.nmatches,
        attempt.rms_ra_mas,
        attempt.rms_dec_mas,
        None if outcome is None else finite(outcome.predicted_error_mas),
    )


def _outcome(registered: Registered | None, code: str) -> dict[str, Any]:
    if registered is None:
        return {"outcome": "refused", "code": code, "solution_id": None}
    if not registered.is_new:
        return {"outcome": "unchanged", "code": "unchanged", "solution_id": registered.solution_id}
    return {"outcome": "accepted", "code": "accepted", "solution_id": registered.solution_id}


def _attempt(
    occasion: Occasion,
    done: SetAlignment,
    number: int,
    group_id: int | None,
    registered: Registered | None,
    inputs: str,
) -> NewAttempt:
    outcome, group = done.outcomes.get(number), done.group_of(number)
    verdict = verdict_on(done, number)
    attempt = replace(
        bare_attempt(occasion, done.part, number, inputs),
        **_outcome(registered, verdict.code),
        alignment_group_id=group_id,
        reason=verdict.reason,
        n_detected=done.measured[number].sources.detected,
    )
    if outcome is None:
        return attempt
    evidence = outcome.evidence
    nmatches, rms = fit_figures(outcome, None if group is None else group.group)
    return replace(
        attempt,
        geometry="none" if outcome.fit is None else done.geometry_of(number),
        nmatches=nmatches,
        rms_ra_mas=finite(rms[0]),
        rms_dec_mas=finite(rms[1]),
        score=None if evidence is None else float(evidence.stars),
        best_decoy_score=float(evidence.decoy_score) if evidence is not None and evidence.decoys else None,
        metrics=metrics_of(done, number, outcome, group),
        **movement(outcome.fit, done.measured[number].sources, done.alignments[number].plane),
    )


def bare_attempt(occasion: Occasion, part: AlignmentSet, number: int, inputs: str | None) -> NewAttempt:
    """An attempt on an exposure before anything came of it: refused."""
    sources, exposure = occasion.sources, part.exposures[number]
    return NewAttempt(
        visit=exposure.visit,
        exposure_id=exposure.exposure_id,
        alignment_group_id=None,
        method="joint",
        catalog=occasion.catalog,
        geometry="none",
        outcome="refused",
        code="refused",
        reason="refused",
        policy_id=occasion.policy_id,
        epoch=mjd_to_utc(part.middle_mjd(number)),
        n_detected=0,
        n_reference=0 if sources is None else len(sources.stars),
        from_solution_id=part.start_ids[number],
        covered_fraction=None if sources is None else sources.covered_fraction,
        ladder_policy_id=occasion.ladder_policy_id,
        ladder_step=occasion.rung.number,
        inputs_sha256=inputs,
    )


def record_refusal(occasion: Occasion, part: AlignmentSet, code: str, reason: str) -> None:
    """Record for each exposure of a set that a rung could not be tried: its catalog is not at hand."""
    for number in range(len(part)):
        attempt = replace(bare_attempt(occasion, part, number, None), code=code, reason=reason)
        insert_attempt(occasion.connection, occasion.run_id, attempt)


def _matches(
    occasion: Occasion, done: SetAlignment, number: int, solution: WcsSolution | None
) -> StarMatches | None:
    outcome = done.outcomes.get(number)
    if outcome is None:
        return None
    matches = worth_keeping(outcome.matches, catalog_only=solution is None)
    sources, plane = done.measured[number].sources, done.alignments[number].plane
    place = placed(sources, matches.source, solution, outcome.fit, plane, occasion.origin)
    return star_matches(matches, sources, place, done.reference, numbered=solution is not None)


def _record_dispersed(
    occasion: Occasion,
    done: SetAlignment,
    group: SolvedGroup,
    one: DispersedExposure,
    group_id: int,
    frame: str | None,
    inputs: str,
) -> tuple[ExposureResult, HeaderletFile, int] | None:
    """Give a grism exposure the correction of its direct image, where that is in this group."""
    direct = direct_image(one, done.part)
    if direct is None or direct not in group.solutions:
        return None
    outcome = group.outcome(direct)
    solution = carried_solution(one, group.solutions[direct], group.matrix(direct))
    registered, file = _register(occasion, solution, one.suffix, frame, group_id)
    rootname = done.part.rootnames[direct]
    attempt = replace(
        bare_attempt(occasion, done.part, direct, inputs),
        **_outcome(registered, "carried"),
        exposure_id=one.exposure_id,
        visit=one.visit,
        alignment_group_id=group_id,
        reason=f"a dispersed image is not fitted: it takes the correction of {rootname}, its direct image",
        from_solution_id=one.start_id,
        epoch=mjd_to_utc(one.mjd),
        metrics={"direct_image": rootname, "predicted_error_mas": finite(outcome.predicted_error_mas)},
    )
    insert_attempt(occasion.connection, occasion.run_id, attempt)
    return _result(one.rootname, attempt, solution, outcome), file, registered.solution_id


def finite(value: float) -> float | None:
    """The value as a row has it: NULL where there is none."""
    return float(value) if np.isfinite(value) else None
