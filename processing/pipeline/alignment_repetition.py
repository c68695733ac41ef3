"""An alignment that was tried before with the same inputs: recorded again, its headerlets completed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hapctl.archive.alignments import (
    GroupMember,
    GroupRow,
    RepeatedAttempt,
    group_members,
    groups_from,
    repeat_attempts,
)
from hapctl.archive.solutions import activate
from hapctl.processing.pipeline.alignment_inputs import AlignmentSet
from hapctl.processing.pipeline.alignment_rows import (
    ExposureResult,
    Occasion,
    Recorded,
    kept_in_force,
    kept_words,
)
from hapctl.processing.pipeline.headerlet_files import HeaderletFile

SAME = "aligned before from the same inputs"


@dataclass(frozen=True)
class TriedBefore:
    """A set that an earlier run tried on this rung, with the same inputs.

    Attributes
    ----------
    part : AlignmentSet
    run_id : int
        The first run that did.
    groups : tuple of GroupRow
        What was accepted; empty where nothing was.
    """

    part: AlignmentSet
    run_id: int
    groups: tuple[GroupRow, ...]

    @property
    def accepted(self) -> bool:
        """Whether the rung ended the climb."""
        return bool(self.groups)


def record_unchanged(occasion: Occasion, before: TriedBefore, inputs_sha256: str) -> Recorded:
    """Record the attempts on a set again, and put its groups in force again where nothing speaks against it.

    A solution put in force by hand stays, and so does one on Gaia where the group is in a lesser frame.
    """
    attempts = repeat_attempts(occasion.connection, occasion.run_id, before.run_id, inputs_sha256)
    by_exposure = {attempt.exposure_id: attempt for attempt in attempts}
    results: dict[int, ExposureResult] = {}
    files: list[HeaderletFile] = []
    for group in groups_from(occasion.connection, inputs_sha256):
        members = group_members(occasion.connection, group.alignment_group_id)
        results |= _group_results(occasion, before.part, group, members, by_exposure)
        files += [HeaderletFile(m.path, m.headerlet) for m in members if m.path and m.headerlet]
    for exposure in before.part.exposures:
        attempt = by_exposure.get(exposure.exposure_id)
        if exposure.exposure_id not in results and attempt is not None:
            results[exposure.exposure_id] = ExposureResult(
                exposure.rootname, "refused", attempt.reason, attempt.method, attempt.code
            )
    return Recorded(tuple(sorted(results.values(), key=lambda r: r.rootname)), tuple(files))


def _group_results(
    occasion: Occasion,
    part: AlignmentSet,
    group: GroupRow,
    members: Sequence[GroupMember],
    attempts: Mapping[int, RepeatedAttempt],
) -> dict[int, ExposureResult]:
    own = {member.exposure_id for member in members}
    exposures = [exposure for exposure in part.exposures if exposure.exposure_id in own]
    by_hand = {m.exposure_id for m in members if not m.in_force and m.active_origin == "manual"}
    kept = [] if by_hand else kept_in_force(occasion, exposures, group.kind == "absolute")
    if not by_hand and not kept:
        chosen = {m.exposure_id: m.solution_id for m in members}
        activate(occasion.connection, occasion.run_id, chosen, SAME, "align")
    results = {}
    for member in members:
        attempt = attempts[member.exposure_id]
        if kept:
            reason = f"{attempt.reason}; {kept_words(kept)}"
            results[member.exposure_id] = ExposureResult(
                member.rootname, "refused", reason, attempt.method, "kept-out"
            )
        elif member.exposure_id in by_hand:
            reason = f"{SAME}; {member.active_wcsname} was put in force by hand and stays"
            results[member.exposure_id] = ExposureResult(
                member.rootname, "unchanged", reason, attempt.method, "by-hand", member.active_wcsname
            )
        elif by_hand and not member.in_force:
            names = ", ".join(m.rootname for m in members if m.exposure_id in by_hand)
            reason = f"{SAME}; {member.active_wcsname} stays: of its group, {names} was put in force by hand"
            results[member.exposure_id] = ExposureResult(
                member.rootname, "unchanged", reason, attempt.method, "by-hand", member.active_wcsname
            )
        else:
            results[member.exposure_id] = _unchanged(member, attempt)
    return results


def _unchanged(member: GroupMember, attempt: RepeatedAttempt) -> ExposureResult:
    return ExposureResult(
        member.rootname,
        "unchanged",
        SAME,
        attempt.method,
        "unchanged",
        member.wcsname,
        attempt.nmatches,
        attempt.rms_ra_mas,
        attempt.rms_dec_mas,
        member.predicted_error_mas,
    )
