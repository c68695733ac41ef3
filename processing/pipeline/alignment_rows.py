"""The outcome of an alignment as rows: solutions, attempts, matched stars, what is put in force."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from hapctl.archive.alignments import (
    Method,
    NewAttempt,
    NewGroup,
    StarMatches,
    groups_from,
    insert_attempt,
    insert_group,
)
from hapctl.archive.gaia import GaiaSources
from hapctl.archive.products import EligibleExposure
from hapctl.archive.solutions import Registered, activate
from hapctl.processing.astrometry.acceptance import Evidence, Verdict
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.exposure import mjd_to_utc
from hapctl.processing.astrometry.headerlet import headerlet_bytes, headerlet_name
from hapctl.processing.astrometry.plane import PlaneFit
from hapctl.processing.astrometry.relative_alignment import member_rms
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.pipeline.alignment_inputs import AlignmentSet
from hapctl.processing.pipeline.alignment_matches import catalog_matches_of, relative_matches_of
from hapctl.processing.pipeline.set_alignment import (
    AlignedGroup,
    SetAlignment,
    absolute_figures,
    relative_matches,
)
from hapctl.processing.pipeline.solution_store import (
    NewSolution,
    record_headerlet_place,
    record_solutions,
)
from sqlalchemy import Connection

REFERENCE = Verdict(True, "reference", "the others were brought to this exposure")
ALONE = Verdict(False, "alone", "a relative alignment needs two exposures")
NO_COMPANION = Verdict(False, "no-companion", "no other exposure was accepted as a companion")


@dataclass(frozen=True)
class Occasion:
    """What all rows of a visit's alignment have in common.

    Attributes
    ----------
    connection : Connection
        In the one transaction of the visit.
    run_id, policy_id : int
    visit : str
    catalog : str or None
        As it is spelt in WCSNAME.
    frame : str or None
        Frame of the catalog.
    sources : GaiaSources or None
    origin : {"hst", "fits"}
    """

    connection: Connection
    run_id: int
    policy_id: int
    visit: str
    catalog: str | None
    frame: str | None
    sources: GaiaSources | None
    origin: LookupOrigin


@dataclass(frozen=True)
class HeaderletFile:
    """A headerlet to be written: path relative to the home, and bytes."""

    path: str
    content: bytes


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


@dataclass(frozen=True)
class Recorded:
    """What a set left in the catalog, and the headerlets still to be written."""

    exposures: tuple[ExposureResult, ...]
    headerlets: tuple[HeaderletFile, ...]


def headerlet_path(solution: WcsSolution, suffix: str) -> str:
    """Where a solution's headerlet lies, relative to the home; the same solution, the same path."""
    short = transformation_sha256(solution)[:8]
    return f"headerlets/{solution.rootname[:6]}/{short}/{headerlet_name(solution, suffix)}"


def record_set(occasion: Occasion, done: SetAlignment, inputs_sha256: str) -> Recorded:
    """Write everything about a set, and put its new solutions in force."""
    results: dict[int, ExposureResult] = {}
    headerlets: list[HeaderletFile] = []
    for aligned in done.groups:
        found, files = _record_group(occasion, done, aligned, inputs_sha256)
        results |= found
        headerlets += files
    return Recorded(tuple(results[number] for number in sorted(results)), tuple(headerlets))


def _record_group(
    occasion: Occasion, done: SetAlignment, aligned: AlignedGroup, inputs: str
) -> tuple[dict[int, ExposureResult], list[HeaderletFile]]:
    group_id: int | None = None
    registered: dict[int, Registered] = {}
    headerlets: list[HeaderletFile] = []
    if aligned.solutions:
        group_id = _group_row(occasion, done, aligned, inputs)
        registered, headerlets = _register(occasion, done, aligned, group_id)
    results = {}
    for number in aligned.group.members:
        new = registered.get(number)
        results[number] = _record_exposure(occasion, done, aligned, number, group_id, new, inputs)
    if registered:
        exposures = [done.part.exposures[number] for number in registered]
        kept = [] if aligned.is_absolute else kept_in_force(occasion, exposures)
        if kept:
            return {number: _kept(result, kept) for number, result in results.items()}, headerlets
        chosen = {
            done.part.exposures[number].exposure_id: new.solution_id for number, new in registered.items()
        }
        activate(occasion.connection, occasion.run_id, chosen, _activation_reason(aligned), "align")
    return results, headerlets


def kept_in_force(occasion: Occasion, exposures: Sequence[EligibleExposure]) -> list[EligibleExposure]:
    """Exposures whose solution in force is on a catalog, and better than a merely relative one.

    None of them where only a relative alignment was asked for: then it is wanted.
    """
    if occasion.catalog is None:
        return []
    return [exposure for exposure in exposures if exposure.absolute]


def kept_words(kept: Sequence[EligibleExposure]) -> str:
    """Say which solutions stay, in place of a relative one."""
    names = dict.fromkeys(f"{exposure.wcsname} ({exposure.frame})" for exposure in kept)
    rootnames = ", ".join(exposure.rootname for exposure in kept)
    return f"a relative fit was recorded, but {' and '.join(names)} of {rootnames} stays in force"


def _kept(result: ExposureResult, kept: Sequence[EligibleExposure]) -> ExposureResult:
    """The result of an exposure whose new relative solution is not put in force."""
    refusal = result.reason[result.reason.index("absolute fit refused") :]
    return ExposureResult(
        result.rootname, "refused", f"{refusal}; {kept_words(kept)}", "absolute", "relative-kept-out"
    )


def separate_inputs_sha256(inputs_sha256: str, rootname: str) -> str:
    """Content address of the inputs of a group beside the main one, by its reference exposure."""
    return sha256(f"{inputs_sha256} {rootname}".encode()).hexdigest()


def _group_row(occasion: Occasion, done: SetAlignment, aligned: AlignedGroup, inputs: str) -> int:
    """The group's row; the main group of a set has the hash of its inputs, others one of their own."""
    if aligned is not done.groups[0]:
        inputs = separate_inputs_sha256(inputs, done.part.rootnames[aligned.group.reference])
    known = groups_from(occasion.connection, inputs)
    if known:
        return known[0].alignment_group_id
    group = NewGroup(
        scope="visit",
        scope_name=occasion.visit,
        visit=occasion.visit,
        detector=done.part.detector,
        catalog=occasion.catalog if aligned.is_absolute else None,
        inputs_sha256=inputs,
        part=0,
        policy_id=occasion.policy_id,
        figures={},
    )
    return insert_group(occasion.connection, occasion.run_id, group)


def _register(
    occasion: Occasion, done: SetAlignment, aligned: AlignedGroup, group_id: int
) -> tuple[dict[int, Registered], list[HeaderletFile]]:
    frame = occasion.frame if aligned.is_absolute else f"alignment group {group_id}"
    registered, headerlets = {}, []
    for number in sorted(aligned.solutions):
        solution = aligned.solutions[number]
        content = headerlet_bytes(solution, suffix=done.part.suffix)
        new = NewSolution(solution, content, frame, group_id)
        [registered[number]] = record_solutions(
            occasion.connection, occasion.run_id, solution.rootname, [new]
        )
        path = headerlet_path(solution, done.part.suffix)
        record_headerlet_place(occasion.connection, occasion.run_id, registered[number].solution_id, path)
        headerlets.append(HeaderletFile(path, content))
    return registered, headerlets


def _activation_reason(aligned: AlignedGroup) -> str:
    if aligned.is_absolute and aligned.absolute is not None:
        return f"aligned: {aligned.absolute.verdict.reason}"
    if aligned.absolute is None:
        return "aligned to each other only: no reference catalog was asked for"
    return f"aligned to each other only; absolute fit refused: {aligned.absolute.verdict.reason}"


def _record_exposure(
    occasion: Occasion,
    done: SetAlignment,
    aligned: AlignedGroup,
    number: int,
    group_id: int | None,
    registered: Registered | None,
    inputs: str,
) -> ExposureResult:
    """Write the attempts on an exposure and say what came of it."""
    relative = _relative_attempt(occasion, done, aligned, number, group_id, registered)
    if relative is not None:
        relative = (replace(relative[0], inputs_sha256=inputs), relative[1])
        insert_attempt(occasion.connection, occasion.run_id, *relative)
    absolute = _absolute_attempt(occasion, done, aligned, number, group_id, registered)
    if absolute is not None:
        queries = occasion.sources.query_ids if occasion.sources is not None else ()
        absolute = (replace(absolute[0], inputs_sha256=inputs), absolute[1])
        insert_attempt(occasion.connection, occasion.run_id, *absolute, queries)
    return _result(done, aligned, number, registered, [a[0] for a in (absolute, relative) if a is not None])


def _result(
    done: SetAlignment,
    aligned: AlignedGroup,
    number: int,
    registered: Registered | None,
    attempts: Sequence[NewAttempt],
) -> ExposureResult:
    rootname = done.part.exposures[number].rootname
    refusals = [f"{a.method} fit refused: {a.reason}" for a in attempts if a.outcome == "refused"]
    if registered is None:
        first = next((a for a in attempts if a.outcome == "refused"), None)
        code = first.code if first is not None else ""
        return ExposureResult(rootname, "refused", "; ".join(refusals), first.method if first else None, code)
    best = next(attempt for attempt in attempts if attempt.outcome != "refused")
    solution = aligned.solutions[number]
    return ExposureResult(
        rootname,
        best.outcome,
        "; ".join([best.reason, *refusals]),
        best.method,
        best.code,
        solution.name,
        best.nmatches,
        best.rms_ra_mas,
        best.rms_dec_mas,
    )


def _outcome(verdict: Verdict, registered: Registered | None) -> dict[str, Any]:
    if not verdict.accepted or registered is None:
        return {"outcome": "refused", "code": verdict.code, "solution_id": None}
    if not registered.is_new:
        return {"outcome": "unchanged", "code": "unchanged", "solution_id": registered.solution_id}
    return {"outcome": "accepted", "code": verdict.code, "solution_id": registered.solution_id}


def _relative_attempt(
    occasion: Occasion,
    done: SetAlignment,
    aligned: AlignedGroup,
    number: int,
    group_id: int | None,
    registered: Registered | None,
) -> tuple[NewAttempt, StarMatches | None] | None:
    """The attempt to bring an exposure onto the others; None of the only one, where a catalog is tried."""
    if len(done.part.exposures) < 2 and aligned.absolute is not None:
        return None
    group, member = aligned.group, aligned.group.members[number]
    verdict = done.relative.get(number, REFERENCE)
    if verdict is REFERENCE and len(group.members) < 2:
        verdict = ALONE if len(done.part.exposures) < 2 else NO_COMPANION
    evidence = member.evidence
    rms = 1e3 * member_rms(group, number) if len(group.members) > 1 else np.full(2, np.nan)
    attempt = NewAttempt(
        **_common(occasion, done, number, evidence, group_id if verdict.accepted else None),
        **_outcome(verdict, registered),
        **_movement(done, number, member.fit if evidence is not None else None),
        method="relative",
        catalog=None,
        geometry=evidence.geometry if evidence is not None else "none",
        reason=verdict.reason,
        n_reference=int(np.count_nonzero(group.seen > 0)),
        nmatches=relative_matches(group, number),
        rms_ra_mas=_figure(rms[0]),
        rms_dec_mas=_figure(rms[1]),
        covered_fraction=None,
    )
    return attempt, relative_matches_of(done, aligned, number, occasion.origin) if verdict.accepted else None


def _absolute_attempt(
    occasion: Occasion,
    done: SetAlignment,
    aligned: AlignedGroup,
    number: int,
    group_id: int | None,
    registered: Registered | None,
) -> tuple[NewAttempt, StarMatches | None] | None:
    fitted = aligned.absolute
    if fitted is None or done.known is None:
        return None
    evidence = fitted.evidence
    matches, rms = absolute_figures(fitted, number)
    total = aligned.total_fit(number) if fitted.fit is not None else None
    accepted = fitted.verdict.accepted
    attempt = NewAttempt(
        **_common(occasion, done, number, evidence, group_id if accepted else None),
        **_outcome(fitted.verdict, registered),
        **_movement(done, number, total),
        method="absolute",
        catalog=occasion.catalog,
        geometry=evidence.geometry if evidence is not None else "none",
        reason=fitted.verdict.reason,
        n_reference=len(done.known.places),
        nmatches=matches,
        rms_ra_mas=_figure(rms[0]),
        rms_dec_mas=_figure(rms[1]),
        covered_fraction=None if occasion.sources is None else occasion.sources.covered_fraction,
    )
    pairs = fitted.pairs.get(number)
    return attempt, None if pairs is None else catalog_matches_of(
        done, aligned, number, pairs, occasion.origin
    )


def _common(
    occasion: Occasion, done: SetAlignment, number: int, evidence: Evidence | None, group_id: int | None
) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    if evidence is not None:
        metrics = {**evidence.figures, "group_stars": evidence.stars}
        metrics |= {f"mean_residual_mas {e.rootname}": round(e.mean_mas, 3) for e in evidence.exposures}
    return {
        "visit": occasion.visit,
        "exposure_id": done.part.exposures[number].exposure_id,
        "alignment_group_id": group_id,
        "policy_id": occasion.policy_id,
        "epoch": mjd_to_utc(done.part.middle_mjd(number)),
        "n_detected": done.sources[number].detected,
        "score": None if evidence is None else float(evidence.stars),
        "best_decoy_score": None if evidence is None else float(evidence.decoy_score),
        "from_solution_id": done.part.start_ids[number],
        "metrics": metrics,
    }


def _movement(done: SetAlignment, number: int, fit: PlaneFit | None) -> dict[str, Any]:
    """Shift at the middle of the exposure's sources, rotation east of north, scale."""
    names = ("shift_ra_mas", "shift_dec_mas", "rotation_deg", "scale_ratio")
    if fit is None or len(done.sources[number]) == 0:
        return dict.fromkeys(names)
    middle = done.sources[number].in_plane(done.plane).points.mean(axis=0)
    shift = 1e3 * (fit(middle[None, :])[0] - middle)
    # the plane's roll turns from east to north, a position angle the other way
    values = (float(shift[0]), float(shift[1]), -fit.roll_deg, fit.scale)
    return dict(zip(names, values, strict=True))


def _figure(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def record_uncovered(occasion: Occasion, part: AlignmentSet, reason: str) -> None:
    """Record for each exposure of a set that the reference catalog covers too little of the field."""
    sources = occasion.sources
    for number, exposure in enumerate(part.exposures):
        attempt = NewAttempt(
            visit=occasion.visit,
            exposure_id=exposure.exposure_id,
            alignment_group_id=None,
            method="absolute",
            catalog=occasion.catalog,
            geometry="none",
            outcome="refused",
            code="too-little-coverage",
            reason=reason,
            policy_id=occasion.policy_id,
            epoch=mjd_to_utc(part.middle_mjd(number)),
            n_detected=0,
            n_reference=0 if sources is None else len(sources.stars),
            covered_fraction=None if sources is None else sources.covered_fraction,
            from_solution_id=part.start_ids[number],
        )
        insert_attempt(occasion.connection, occasion.run_id, attempt)
