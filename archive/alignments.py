"""Alignments as rows: groups of exposures fitted together, members, every attempt, every matched star."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from hapctl.archive.runs import canonical_json
from hapctl.archive.statements import execute
from sqlalchemy import Connection

Method = Literal["relative", "absolute", "joint"]
Outcome = Literal["accepted", "refused", "unchanged"]
Scope = Literal["visit", "tile", "exposures"]


@dataclass(frozen=True)
class NewGroup:
    """A group to be recorded; the names are those of the table ``alignment_group``."""

    scope: Scope
    scope_name: str
    visit: str | None
    detector: str | None
    catalog: str | None
    inputs_sha256: str
    part: int
    policy_id: int
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class GroupRow:
    """A group that was accepted from the same inputs before."""

    alignment_group_id: int
    kind: Literal["relative", "absolute"]
    catalog: str | None
    run_id: int


@dataclass(frozen=True)
class NewMember:
    """An exposure of a joint solution; the names are those of the table ``alignment_member``."""

    exposure_id: int
    solution_id: int
    guide_star_set: int
    prior: Mapping[str, Any]
    centre: Sequence[float]
    correction: Sequence[float]
    covariance: Sequence[float]
    predicted_error_mas: float
    common_floor_mas: float


@dataclass(frozen=True)
class GroupMember:
    """A solution of a group; ``path`` is that of its headerlet file.

    ``in_force`` tells whether it is now; ``active_origin`` and ``active_wcsname`` describe what is.
    """

    exposure_id: int
    rootname: str
    solution_id: int
    wcsname: str
    transformation_sha256: str
    nmatches: int | None
    rms_ra_mas: float | None
    rms_dec_mas: float | None
    headerlet: bytes | None
    path: str | None
    predicted_error_mas: float | None
    in_force: bool | None
    active_origin: str | None
    active_wcsname: str | None


@dataclass(frozen=True)
class StarMatches:
    """Matched stars of an attempt as columns; each a list with one value for a star.

    The names are those of the table ``star_match``; x and y count from 1.
    """

    extver: Sequence[int]
    x: Sequence[float]
    y: Sequence[float]
    ra: Sequence[float]
    dec: Sequence[float]
    source_id: Sequence[str | None]
    reference_ra: Sequence[float]
    reference_dec: Sequence[float]
    residual_ra_mas: Sequence[float]
    residual_dec_mas: Sequence[float]
    error_mas: Sequence[float]
    weight: Sequence[float]
    used: Sequence[bool]
    magnitude: Sequence[float | None]
    snr: Sequence[float]
    group_star: Sequence[int | None]
    catalog_ra: Sequence[float | None]
    catalog_dec: Sequence[float | None]
    catalog_residual_ra_mas: Sequence[float | None]
    catalog_residual_dec_mas: Sequence[float | None]
    catalog_weight: Sequence[float | None]
    instrumental_magnitude: Sequence[float | None]


@dataclass(frozen=True)
class NewAttempt:
    """An attempt to fit an exposure; the names are those of the table ``alignment_attempt``."""

    visit: str
    exposure_id: int
    alignment_group_id: int | None
    method: Method
    catalog: str | None
    geometry: str
    outcome: Outcome
    code: str
    reason: str
    policy_id: int
    epoch: datetime | None
    n_detected: int
    n_reference: int
    from_solution_id: int
    nmatches: int = 0
    rms_ra_mas: float | None = None
    rms_dec_mas: float | None = None
    shift_ra_mas: float | None = None
    shift_dec_mas: float | None = None
    rotation_deg: float | None = None
    scale_ratio: float | None = None
    score: float | None = None
    best_decoy_score: float | None = None
    covered_fraction: float | None = None
    solution_id: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    ladder_policy_id: int | None = None
    ladder_step: int | None = None
    inputs_sha256: str | None = None


@dataclass(frozen=True)
class RepeatedAttempt:
    """An attempt recorded once more, since nothing had changed."""

    attempt_id: int
    exposure_id: int
    method: Method
    outcome: Outcome
    code: str
    reason: str
    nmatches: int
    rms_ra_mas: float | None
    rms_dec_mas: float | None
    solution_id: int | None
    alignment_group_id: int | None


@dataclass(frozen=True)
class PointingFacts:
    """What the catalog knows of how an exposure was pointed.

    Attributes
    ----------
    fgs_lock : str or None
        FGSLOCK.
    header : mapping
        The primary header of its file in force.
    """

    fgs_lock: str | None
    header: Mapping[str, Any]


def pointing_facts(connection: Connection, exposure_ids: Sequence[int]) -> dict[int, PointingFacts]:
    """Return what is known of the pointing of exposures."""
    rows = execute(connection, "pointing_facts", {"exposure_ids": list(exposure_ids)})
    return {row.exposure_id: PointingFacts(row.fgs_lock, row.primary_header) for row in rows}


def groups_from(connection: Connection, inputs_sha256: str) -> list[GroupRow]:
    """Return the groups that were made from some inputs, the main one first."""
    rows = execute(connection, "find_alignment_groups", {"inputs_sha256": inputs_sha256})
    return [GroupRow(**row) for row in rows.mappings()]


def insert_group(
    connection: Connection, run_id: int, group: NewGroup, members: Sequence[NewMember] = ()
) -> int:
    """Record a group (absolute with a catalog, relative without) with its members; return its number."""
    row = asdict(group) | {
        "kind": "relative" if group.catalog is None else "absolute",
        "figures": canonical_json(group.figures),
        "run_id": run_id,
    }
    number = int(execute(connection, "insert_alignment_group", row).scalar_one())
    insert_members(connection, run_id, number, members)
    return number


def insert_members(
    connection: Connection, run_id: int, alignment_group_id: int, members: Sequence[NewMember]
) -> None:
    """Record the members of a group."""
    names = {"alignment_group_id": alignment_group_id, "run_id": run_id}
    rows = [{**asdict(member), "prior": canonical_json(member.prior), **names} for member in members]
    if rows:
        execute(connection, "insert_alignment_member", rows)


def group_members(connection: Connection, alignment_group_id: int) -> list[GroupMember]:
    """Return the solutions of a group, by rootname."""
    rows = execute(connection, "alignment_group_members", {"alignment_group_id": alignment_group_id})
    return [
        GroupMember(**{**row, "headerlet": None if row["headerlet"] is None else bytes(row["headerlet"])})
        for row in rows.mappings()
    ]


def insert_attempt(
    connection: Connection,
    run_id: int,
    attempt: NewAttempt,
    matches: StarMatches | None = None,
    reference_query_ids: Sequence[int] = (),
) -> int:
    """Record an attempt with its matched stars and the catalog answers it used; return its number."""
    row = {**asdict(attempt), "metrics": canonical_json(attempt.metrics), "run_id": run_id}
    attempt_id = int(execute(connection, "insert_alignment_attempt", row).scalar_one())
    if reference_query_ids:
        rows = [{"attempt_id": attempt_id, "reference_query_id": query} for query in reference_query_ids]
        execute(connection, "insert_attempt_query", rows)
    if matches is not None and len(matches.x):
        columns = {name: list(values) for name, values in vars(matches).items()}
        numbers = {"attempt_id": attempt_id, "star": list(range(1, len(matches.x) + 1))}
        execute(connection, "insert_star_matches", {**columns, **numbers})
    return attempt_id


def was_tried(connection: Connection, inputs_sha256: str) -> int | None:
    """Return the first run that tried an alignment with these inputs to its end, if there is one."""
    found = execute(connection, "run_of_inputs", {"inputs_sha256": inputs_sha256}).scalar_one_or_none()
    return None if found is None else int(found)


def wider_alignment(connection: Connection, visit: str) -> tuple[str, ...]:
    """Return the alignments of tiles and lists that hold all exposures of a visit on a catalog's frame.

    Nothing where any exposure that may be mosaicked has another solution in force, or a newer file.
    """
    rows = execute(connection, "wider_alignment", {"visit": visit}).all()
    found = [row.alignment for row in rows]
    return tuple(dict.fromkeys(found)) if found and all(found) else ()


def repeat_attempts(
    connection: Connection, run_id: int, first_run_id: int, inputs_sha256: str
) -> list[RepeatedAttempt]:
    """Record the attempts of a run with some inputs once more, as unchanged; return them."""
    names = {"run_id": run_id, "first_run_id": first_run_id, "inputs_sha256": inputs_sha256}
    return [RepeatedAttempt(**row) for row in execute(connection, "repeat_attempts", names).mappings()]
