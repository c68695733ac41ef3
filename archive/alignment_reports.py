"""What the catalog holds of an alignment, as a report tells it: run, attempts, groups, answers, stars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np
from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.gaia_rows import sources_within
from hapctl.archive.sky_region import parse_region
from hapctl.archive.statements import execute
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from numpy.typing import NDArray
from sqlalchemy import Connection

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """What a report is about: the attempts of a run, all or those on a visit or on the members of a group.

    Attributes
    ----------
    name : str
        For titles and names of files.
    run_id : int
    visit : str or None
    alignment_group_id : int or None
    """

    name: str
    run_id: int
    visit: str | None = None
    alignment_group_id: int | None = None


@dataclass(frozen=True)
class ReportedRun:
    """A run; see the tables ``run`` and ``run_end``. Without an end it is still at work, or was killed."""

    run_id: int
    command: str
    arguments: Sequence[str]
    parameters: Mapping[str, Any]
    hapctl_version: str
    host: str
    operator: str
    started: datetime
    ended: datetime | None
    outcome: str | None
    message: str | None


@dataclass(frozen=True)
class ReportedAttempt:
    """An attempt with its exposure and what is in force for it now; see the table ``alignment_attempt``.

    ``evidence_id`` is the attempt that holds its stars: itself, or the first with the same inputs.
    """

    attempt_id: int
    evidence_id: int
    run_id: int
    exposure_id: int
    rootname: str
    visit: str
    instrument: str
    detector: str
    filter: str
    exposure_time: float | None
    alignment_group_id: int | None
    method: str
    catalog: str | None
    geometry: str
    outcome: str
    code: str
    reason: str
    epoch: datetime | None
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
    from_solution_id: int
    solution_id: int | None
    from_wcsname: str
    wcsname: str | None
    frame: str | None
    policy: str
    rule: Mapping[str, Any]
    ladder: str | None
    ladder_step: int | None
    metrics: Mapping[str, Any]
    active_solution_id: int | None
    active_wcsname: str | None
    active_frame: str | None

    @property
    def accepted(self) -> bool:
        """Whether it gave a solution, now or when it was tried first."""
        return self.outcome != "refused"


@dataclass(frozen=True)
class ReportedGroup:
    """Exposures that were fitted together; see the table ``alignment_group``."""

    alignment_group_id: int
    scope: str
    scope_name: str
    detector: str | None
    kind: str
    catalog: str | None
    figures: Mapping[str, Any]
    run_id: int


@dataclass(frozen=True)
class ReportedMember:
    """An exposure of a group; see the table ``alignment_member``."""

    alignment_group_id: int
    exposure_id: int
    rootname: str
    solution_id: int
    guide_star_set: int
    prior: Mapping[str, Any]
    correction: Sequence[float]
    covariance: Sequence[float]
    predicted_error_mas: float
    common_floor_mas: float


@dataclass(frozen=True)
class ReportedAnswer:
    """An answer of a reference catalog; see the table ``reference_query``."""

    reference_query_id: int
    release: str
    source: str
    service: str
    region: str
    n_rows: int
    answer_sha256: str
    fetched: datetime
    run_id: int


@dataclass(frozen=True)
class OtherRun:
    """Another run on the same exposures: its solutions, and how many of its attempts were refused."""

    run_id: int
    started: datetime
    rootnames: Sequence[str]
    wcsnames: Sequence[str] | None
    refused: int


@dataclass(frozen=True)
class StarRows:
    """Matched stars as columns of n values; NaN where a row has NULL.

    The names are those of the table ``star_match``, but x and y count from 0, and ``weight`` is 0 of a star
    that was not used, and ``group_star`` -1 of one without a number.
    """

    attempt_id: NDArray[np.int64]
    extver: NDArray[np.int64]
    x: Array
    y: Array
    ra: Array
    dec: Array
    source_id: NDArray[np.str_]
    reference_ra: Array
    reference_dec: Array
    residual_ra_mas: Array
    residual_dec_mas: Array
    catalog_ra: Array
    catalog_dec: Array
    catalog_residual_ra_mas: Array
    catalog_residual_dec_mas: Array
    error_mas: Array
    weight: Array
    magnitude: Array
    instrumental_magnitude: Array
    group_star: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> "StarRows":
        return StarRows(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


def subject_of_visit(connection: Connection, visit: str) -> Subject:
    """The newest run that tried to align a visit.

    Raises
    ------
    NotInCatalogError
        None has.
    """
    run_id = execute(connection, "report_newest_run", {"visit": visit.lower()}).scalar_one()
    if run_id is None:
        raise NotInCatalogError(
            f"no alignment of visit {visit} is in the catalog",
            f"align it first: hapctl align --visit {visit}",
        )
    return Subject(visit.lower(), int(run_id), visit=visit.lower())


def subject_of_group(connection: Connection, alignment_group_id: int) -> Subject:
    """The run that fitted a group.

    Raises
    ------
    NotInCatalogError
        There is no such group.
    """
    found = groups_of(connection, [alignment_group_id])
    if not found:
        raise NotInCatalogError(
            f"no alignment group {alignment_group_id} in the catalog",
            "'hapctl wcs why ROOTNAME --json' tells the group of an exposure",
        )
    [group] = found
    return Subject(f"group{alignment_group_id}", group.run_id, alignment_group_id=alignment_group_id)


def reported_run(connection: Connection, run_id: int) -> ReportedRun:
    """Return a run.

    Raises
    ------
    NotInCatalogError
        There is none of that number.
    """
    row = execute(connection, "report_run", {"run_id": run_id}).mappings().one_or_none()
    if row is None:
        raise NotInCatalogError(f"no run {run_id} in the catalog", "'hapctl status' lists the last runs")
    return ReportedRun(**row)


def attempts_of(connection: Connection, subject: Subject) -> list[ReportedAttempt]:
    """Return the attempts a report is about, in the order they were made.

    Raises
    ------
    NotInCatalogError
        The run made none.
    """
    names = {
        "run_id": subject.run_id,
        "visit": subject.visit,
        "alignment_group_id": subject.alignment_group_id,
    }
    rows = execute(connection, "report_attempts", names).mappings()
    found = [ReportedAttempt(**row) for row in rows]
    if not found:
        raise NotInCatalogError(
            f"run {subject.run_id} aligned nothing", "'hapctl status' lists the last runs"
        )
    return found


def groups_of(connection: Connection, alignment_group_ids: Sequence[int]) -> list[ReportedGroup]:
    """Return groups by their numbers; those that are not there are left out."""
    rows = execute(connection, "report_groups", {"alignment_group_ids": list(alignment_group_ids)})
    return [ReportedGroup(**row) for row in rows.mappings()]


def members_of(connection: Connection, alignment_group_ids: Sequence[int]) -> list[ReportedMember]:
    """Return the members of groups."""
    rows = execute(connection, "report_members", {"alignment_group_ids": list(alignment_group_ids)})
    return [ReportedMember(**row) for row in rows.mappings()]


def answers_of(connection: Connection, attempt_ids: Sequence[int]) -> list[ReportedAnswer]:
    """Return the answers of reference catalogs that attempts used."""
    rows = execute(connection, "report_answers", {"attempt_ids": list(attempt_ids)})
    return [ReportedAnswer(**row) for row in rows.mappings()]


def stars_of_answer(connection: Connection, answer: ReportedAnswer) -> ReferenceStars:
    """Return all stars of an answer, before any cleaning."""
    return sources_within(connection, (answer.reference_query_id,), parse_region(answer.region))


def other_runs(connection: Connection, exposure_ids: Sequence[int], run_id: int) -> list[OtherRun]:
    """Return the other runs that tried to fit some exposures, newest first."""
    names = {"exposure_ids": list(exposure_ids), "run_id": run_id}
    return [OtherRun(**row) for row in execute(connection, "report_other_runs", names).mappings()]


def matched_stars(connection: Connection, attempt_ids: Sequence[int]) -> StarRows:
    """Return the matched stars of attempts."""
    rows = execute(connection, "report_stars", {"attempt_ids": list(attempt_ids)}).all()
    columns = list(zip(*rows, strict=True)) or [()] * len(fields(StarRows))
    return StarRows(
        **{one.name: _column(one.name, c) for one, c in zip(fields(StarRows), columns, strict=True)}
    )


def _column(name: str, values: Sequence[Any]) -> NDArray[Any]:
    if name in ("attempt_id", "extver", "group_star"):
        return np.array(values, dtype=np.int64)
    if name == "source_id":
        return np.array([value or "" for value in values], dtype=np.str_)
    return np.array(values, dtype=np.float64)  # None becomes NaN
