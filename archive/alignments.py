"""Alignments as rows: groups of exposures fitted together, every attempt, every matched star."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from hapctl.archive.runs import canonical_json
from hapctl.sql import read_sql
from sqlalchemy import Connection, text

Method = Literal["relative", "absolute"]
Outcome = Literal["accepted", "refused", "unchanged"]


@dataclass(frozen=True)
class PolicyRow:
    """A policy in force."""

    policy_id: int
    name: str
    version: int
    content: Mapping[str, Any]


@dataclass(frozen=True)
class GroupRow:
    """A group that was accepted from the same inputs before."""

    alignment_group_id: int
    kind: Literal["relative", "absolute"]
    catalog: str | None
    run_id: int


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


def _execute(connection: Connection, statement: str, parameters: Any = None) -> Any:
    return connection.execute(text(read_sql(f"statements/{statement}.sql")), parameters)


def acceptance_policy(connection: Connection) -> PolicyRow | None:
    """Return the rule of acceptance in force, if there is one."""
    row = _execute(connection, "policy_in_force", {"kind": "acceptance"}).one_or_none()
    return None if row is None else PolicyRow(*row)


def starting_solutions(connection: Connection, exposure_ids: Sequence[int]) -> dict[int, int]:
    """Return the solution an alignment of each exposure begins with, never a fit if it can be helped."""
    rows = _execute(connection, "starting_solutions", {"exposure_ids": list(exposure_ids)})
    return {row.exposure_id: row.solution_id for row in rows}


def find_group(connection: Connection, visit: str, detector: str, inputs_sha256: str) -> GroupRow | None:
    """Return the group that was made from these inputs, if any."""
    names = {"visit": visit, "detector": detector, "inputs_sha256": inputs_sha256}
    row = _execute(connection, "find_alignment_group", names).one_or_none()
    return None if row is None else GroupRow(*row)


def insert_group(
    connection: Connection,
    run_id: int,
    *,
    visit: str,
    detector: str,
    catalog: str | None,
    inputs_sha256: str,
    policy_id: int,
) -> int:
    """Record a group (absolute with a catalog, relative without); return its number, also of an old one."""
    known = find_group(connection, visit, detector, inputs_sha256)
    if known is not None:
        return known.alignment_group_id
    row = {
        "visit": visit,
        "detector": detector,
        "kind": "relative" if catalog is None else "absolute",
        "catalog": catalog,
        "inputs_sha256": inputs_sha256,
        "policy_id": policy_id,
        "run_id": run_id,
    }
    return int(_execute(connection, "insert_alignment_group", row).scalar_one())


def group_members(connection: Connection, alignment_group_id: int) -> list[GroupMember]:
    """Return the solutions of a group, by rootname."""
    rows = _execute(connection, "alignment_group_members", {"alignment_group_id": alignment_group_id})
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
    attempt_id = int(_execute(connection, "insert_alignment_attempt", row).scalar_one())
    if reference_query_ids:
        rows = [{"attempt_id": attempt_id, "reference_query_id": query} for query in reference_query_ids]
        _execute(connection, "insert_attempt_query", rows)
    if matches is not None and len(matches.x):
        columns = {name: list(values) for name, values in vars(matches).items()}
        numbers = {"attempt_id": attempt_id, "star": list(range(1, len(matches.x) + 1))}
        _execute(connection, "insert_star_matches", {**columns, **numbers})
    return attempt_id


def repeat_attempts(
    connection: Connection, run_id: int, group: GroupRow, exposure_ids: Sequence[int]
) -> list[RepeatedAttempt]:
    """Record the attempts of a group's run on some exposures once more, as unchanged; return them."""
    names = {"run_id": run_id, "first_run_id": group.run_id, "exposure_ids": list(exposure_ids)}
    rows = _execute(connection, "repeat_attempts", names)
    return [RepeatedAttempt(**row) for row in rows.mappings()]
