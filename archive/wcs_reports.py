"""What the catalog knows of the WCS of an exposure: its solutions, what was tried, what is in force."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hapctl.archive.errors import CatalogUsageError, NotInCatalogError
from hapctl.sql import read_sql
from sqlalchemy import Connection, text


@dataclass(frozen=True)
class ExposureLine:
    """An exposure in a line."""

    exposure_id: int
    rootname: str
    visit: str
    instrument: str
    detector: str
    filter: str
    exclusion_reason: str | None


@dataclass(frozen=True)
class SolutionLine:
    """A solution of an exposure; ``full_name`` (NAME@run) tells it from others of its name.

    ``since``, ``origin`` and ``reason`` are those of its being in force, if it is.
    """

    solution_id: int
    wcsname: str
    full_name: str
    run_id: int
    kind: str
    base: str | None
    mode: str | None
    catalog: str | None
    frame: str
    alignment_group_id: int | None
    nmatches: int | None
    rms_ra_mas: float | None
    rms_dec_mas: float | None
    fit_geometry: str | None
    problem: str | None
    transformation_sha256: str
    headerlet_sha256: str | None
    s_region: str
    keywords: dict[str, Any]
    in_force: bool
    since: datetime | None
    origin: str | None
    reason: str | None
    places: list[str]


@dataclass(frozen=True)
class AttemptLine:
    """An attempt to fit an exposure; the names are those of ``alignment_attempt``."""

    attempt_id: int
    run_id: int
    started: datetime
    method: str
    catalog: str | None
    geometry: str
    outcome: str
    code: str
    reason: str
    n_detected: int
    n_reference: int
    nmatches: int
    rms_ra_mas: float | None
    rms_dec_mas: float | None
    shift_ra_mas: float | None
    shift_dec_mas: float | None
    rotation_deg: float | None
    scale_ratio: float | None
    score: float | None
    best_decoy_score: float | None
    covered_fraction: float | None
    solution_id: int | None
    from_wcsname: str
    wcsname: str | None
    policy: str
    metrics: dict[str, Any]
    ladder: str | None
    ladder_step: int | None


@dataclass(frozen=True)
class MembershipLine:
    """What the joint solution that made a solution says of the exposure; see ``alignment_member``.

    ``members`` are the other exposures of the group, ``set_members`` those of its guide-star set.
    """

    alignment_group_id: int
    run_id: int
    scope: str
    scope_name: str
    kind: str
    catalog: str | None
    figures: dict[str, Any]
    guide_star_set: int
    prior: dict[str, Any]
    correction: list[float]
    predicted_error_mas: float
    common_floor_mas: float
    members: list[str]
    set_members: list[str]


def _execute(connection: Connection, statement: str, parameters: Any) -> Any:
    return connection.execute(text(read_sql(f"statements/{statement}.sql")), parameters)


def exposure_line(connection: Connection, rootname: str) -> ExposureLine:
    """Return an exposure.

    Raises
    ------
    NotInCatalogError
        No exposure of that name.
    """
    row = _execute(connection, "wcs_exposure", {"rootname": rootname.lower()}).one_or_none()
    if row is None:
        raise NotInCatalogError(
            f"no exposure {rootname} in the catalog", "ingest its file first: hapctl ingest"
        )
    return ExposureLine(*row)


def solutions_of(connection: Connection, rootname: str) -> list[SolutionLine]:
    """Return all solutions of an exposure, in the order they were recorded."""
    rows = _execute(connection, "wcs_list", {"rootname": rootname.lower()})
    return [SolutionLine(**row) for row in rows.mappings()]


def attempts_on(connection: Connection, rootname: str) -> list[AttemptLine]:
    """Return all attempts to fit an exposure, newest first."""
    rows = _execute(connection, "wcs_attempts", {"rootname": rootname.lower()})
    return [AttemptLine(**row) for row in rows.mappings()]


def membership_of(connection: Connection, solution_id: int) -> MembershipLine | None:
    """Return what the joint solution that made a solution says of it; None of any other solution."""
    row = _execute(connection, "wcs_membership", {"solution_id": solution_id}).mappings().one_or_none()
    return None if row is None else MembershipLine(**row)


def chips_of(connection: Connection, solution_id: int) -> list[dict[str, Any]]:
    """Return the transformation of each chip of a solution, as columns of ``wcs_chip``."""
    rows = _execute(connection, "wcs_chips", {"solution_id": solution_id})
    return [dict(row) for row in rows.mappings()]


def companions_of(connection: Connection, exposure: ExposureLine, solution: SolutionLine) -> list[str]:
    """Return the other exposures in force with solutions of the same alignment group."""
    if solution.alignment_group_id is None:
        return []
    names = {"alignment_group_id": solution.alignment_group_id, "exposure_id": exposure.exposure_id}
    return list(_execute(connection, "wcs_group_of", names).scalars())


def find_solution(solutions: list[SolutionLine], rootname: str, name: str) -> SolutionLine:
    """Return the solution of a name (the newest), or of ``NAME@run``.

    Raises
    ------
    NotInCatalogError
        The exposure has none of that name; the remedy lists those it has.
    CatalogUsageError
        What follows the ``@`` is no number.
    """
    wanted, at, run = name.partition("@")
    if at and not run.isdecimal():
        raise CatalogUsageError(f"'{name}': after @ stands the number of a run", "such as NAME@12")
    found = [s for s in solutions if s.wcsname == wanted and (not at or s.run_id == int(run))]
    if not found:
        known = ", ".join(dict.fromkeys(s.full_name for s in solutions)) or "none"
        raise NotInCatalogError(f"{rootname} has no solution {name}", f"it has {known}")
    return found[-1]
