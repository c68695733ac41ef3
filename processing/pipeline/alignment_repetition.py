"""An alignment that was made before from the same inputs: recorded again, its headerlets completed."""

from hapctl.archive.alignments import (
    GroupMember,
    GroupRow,
    RepeatedAttempt,
    group_members,
    groups_from,
    repeat_attempts,
)
from hapctl.archive.products import EligibleExposure
from hapctl.archive.solutions import activate
from hapctl.processing.pipeline.alignment_inputs import AlignmentSet
from hapctl.processing.pipeline.alignment_rows import (
    ExposureResult,
    HeaderletFile,
    Occasion,
    Recorded,
    kept_in_force,
    kept_words,
    separate_inputs_sha256,
)

SAME = "aligned before from the same inputs"


def record_unchanged(occasion: Occasion, part: AlignmentSet, group: GroupRow, inputs_sha256: str) -> Recorded:
    """Record the attempts on a set again, and put its groups in force again where nothing speaks against it.

    A solution put in force by hand stays, and so does one on a catalog where the group is only relative
    because the catalog asked for was refused.

    Parameters
    ----------
    occasion : Occasion
    part : AlignmentSet
    group : GroupRow
        The main group of the set.
    inputs_sha256 : str
        Content address of the set's inputs.
    """
    attempts = repeat_attempts(occasion.connection, occasion.run_id, group.run_id, inputs_sha256)
    results: dict[int, ExposureResult] = {}
    files: list[HeaderletFile] = []
    for one in [group, *_separate_groups(occasion, part, inputs_sha256)]:
        members = group_members(occasion.connection, one.alignment_group_id)
        results |= _group_results(occasion, part, one, members, attempts)
        files += [HeaderletFile(m.path, m.headerlet) for m in members if m.path and m.headerlet]
    for exposure in part.exposures:
        if exposure.exposure_id not in results:
            refusals = "; ".join(_refusals(attempts, exposure.exposure_id))
            results[exposure.exposure_id] = ExposureResult(exposure.rootname, "refused", refusals)
    return Recorded(tuple(results[exposure.exposure_id] for exposure in part.exposures), tuple(files))


def _separate_groups(occasion: Occasion, part: AlignmentSet, inputs_sha256: str) -> list[GroupRow]:
    """The groups of exposures that did not join the main one, made from the same inputs."""
    return [
        group
        for rootname in part.rootnames
        for group in groups_from(occasion.connection, separate_inputs_sha256(inputs_sha256, rootname))
    ]


def _group_results(
    occasion: Occasion,
    part: AlignmentSet,
    group: GroupRow,
    members: list[GroupMember],
    attempts: list[RepeatedAttempt],
) -> dict[int, ExposureResult]:
    own = {member.exposure_id: member for member in members}
    exposures = [exposure for exposure in part.exposures if exposure.exposure_id in own]
    by_hand = {m.exposure_id for m in members if not m.in_force and m.active_origin == "manual"}
    kept: list[EligibleExposure] = []
    if group.kind == "relative" and not by_hand:
        kept = kept_in_force(occasion, exposures)
    if not by_hand and not kept:
        chosen = {m.exposure_id: m.solution_id for m in members}
        activate(occasion.connection, occasion.run_id, chosen, SAME, "align")
    results = {}
    for exposure in exposures:
        member, refusals = own[exposure.exposure_id], _refusals(attempts, exposure.exposure_id)
        if kept:
            reason = "; ".join([*refusals, kept_words(kept)])
            results[exposure.exposure_id] = ExposureResult(
                exposure.rootname, "refused", reason, "absolute", "relative-kept-out"
            )
            continue
        if exposure.exposure_id in by_hand:
            reason = f"{SAME}; {member.active_wcsname} was put in force by hand and stays"
            results[exposure.exposure_id] = ExposureResult(
                exposure.rootname, "unchanged", reason, group.kind, "by-hand", member.active_wcsname
            )
            continue
        results[exposure.exposure_id] = ExposureResult(
            exposure.rootname,
            "unchanged",
            "; ".join([SAME, *refusals]),
            group.kind,
            "unchanged",
            member.wcsname,
            member.nmatches,
            member.rms_ra_mas,
            member.rms_dec_mas,
        )
    return results


def _refusals(attempts: list[RepeatedAttempt], exposure_id: int) -> list[str]:
    own = [a for a in attempts if a.exposure_id == exposure_id and a.outcome == "refused"]
    return [f"{a.method} fit refused: {a.reason}" for a in own]
