"""Ingest: one file is one unit of work and one transaction.

The unit reads headers (and the bytes, for the checksum), and writes everything the file says in one
transaction: a killed ingest leaves whole files or nothing of them, and the next one goes on. Run again it
changes nothing. What cannot be registered is a result with a reason, not an error.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.exposures import (
    ChipRow,
    ExposureRow,
    FileRow,
    FileState,
    KnownFile,
    Place,
    close_places,
    commit_with_the_run,
    file_state,
    known_file,
    other_places,
    record_file,
    record_place,
    register_exposure,
    reopen_file,
    update_exposure,
    withdrawal_of,
)
from hapctl.archive.preferences import Candidate, preference_in_force, preferred
from hapctl.archive.recalls import recalled_content, recalled_solutions
from hapctl.archive.solutions import SolutionPlace, activate, record_solution_places, register_solutions
from hapctl.processing.astrometry.exposure import ExposureFacts, exposure_facts
from hapctl.processing.astrometry.file_kinds import DRIZZLED, rejected_kind
from hapctl.processing.astrometry.fits_structure import Header, read_fits
from hapctl.processing.astrometry.reading import FoundSolution, solutions_in
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.pipeline.execution import run_units
from hapctl.processing.pipeline.import_products import import_product
from hapctl.processing.pipeline.solution_store import NewSolution, solution_rows
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

Status = Literal["new", "unchanged", "updated", "rejected"]

_PLACES = {"primary": "primary", "alternate": "alternate", "headerlet": "hdrlet"}
_TRIES = 4
_DEADLOCK = "40P01"


@dataclass(frozen=True)
class IngestRequest:
    """A file to ingest: its path, its archive root, and its path relative to that."""

    path: str
    root_id: int
    relative_path: str


@dataclass(frozen=True)
class IngestResult:
    """What became of a file.

    Attributes
    ----------
    path : str
        As it was found.
    rootname : str or None
        The exposure; None where the file is none (a product: the reason names it).
    status : str
        new, unchanged, updated or rejected.
    reason : str
        Why it was rejected, why its exposure will not be mosaicked, or why no solution was put in force;
        empty if there is nothing to say.
    headerlets, solutions : int
        HDRLET extensions and WCS solutions found in the file.
    """

    path: str
    rootname: str | None
    status: Status
    reason: str = ""
    headerlets: int = 0
    solutions: int = 0


@dataclass(frozen=True)
class _Content:
    """All that a file says, ready to be written."""

    facts: ExposureFacts
    found: Sequence[FoundSolution]
    sha256: str
    place: Place
    known: KnownFile | None


def ingest_groups(
    catalog: Catalog,
    run_id: int,
    groups: Sequence[Sequence[IngestRequest]],
    *,
    workers: int = 1,
    verify: bool = False,
) -> Iterator[IngestResult]:
    """Ingest groups of files, on several processes if asked; the files of a group stay in order.

    Parameters
    ----------
    catalog : Catalog
    run_id : int
    groups : sequence of sequence of IngestRequest
        The files of one exposure belong into one group.
    workers : int
        Processes; 1 works in this one.
    verify : bool
        As for :func:`ingest_file`.

    Yields
    ------
    IngestResult
        Of every file, in order of the groups.
    """
    if workers <= 1:
        units = (request for group in groups for request in group)
        yield from (ingest_file(catalog, run_id, request, verify=verify) for request in units)
        return
    work = partial(_ingest_apart, catalog.url, run_id, verify)
    for results in run_units(work, groups, workers):
        yield from results


def _ingest_apart(url: str, run_id: int, verify: bool, group: Sequence[IngestRequest]) -> list[IngestResult]:
    catalog = _catalog_of_process(url)
    return [ingest_file(catalog, run_id, request, verify=verify) for request in group]


@cache
def _catalog_of_process(url: str) -> Catalog:
    """Return the catalog of a worker process, opened at its first unit."""
    return open_catalog(url)


def ingest_file(
    catalog: Catalog, run_id: int, request: IngestRequest, *, verify: bool = False, restored: bool = False
) -> IngestResult:
    """Ingest one file.

    Parameters
    ----------
    catalog : Catalog
    run_id : int
        The run that names itself in every row.
    request : IngestRequest
    verify : bool
        Hash the file again also where size and modification time are those known.
    restored : bool
        The content is the one to be in force, older though it may be: an undo brought it back.

    Returns
    -------
    IngestResult
        Also for a file that is no exposure, damaged, or gone.
    """
    try:
        return _ingest(catalog, run_id, request, verify, restored)
    except UnusableFileError as error:
        return IngestResult(request.path, None, "rejected", _without_path(error.message, request.path))
    except OSError as error:
        return IngestResult(request.path, None, "rejected", error.strerror or str(error))
    except (IntegrityError, DataError) as error:
        line = str(error.orig).splitlines()[0]
        return IngestResult(request.path, None, "rejected", f"a rule of the catalog refuses it: {line}")


def _without_path(message: str, path: str) -> str:
    for prefix in (path, Path(path).name):
        message = message.removeprefix(f"{prefix}: ")
    return message


def _ingest(
    catalog: Catalog, run_id: int, request: IngestRequest, verify: bool, restored: bool
) -> IngestResult:
    """Ingest one file in one transaction; again, where that was the victim of a deadlock."""
    for attempt in range(1, _TRIES + 1):
        try:
            with catalog.begin() as connection:
                commit_with_the_run(connection)
                return _ingest_in(connection, run_id, request, verify, restored)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _DEADLOCK or attempt == _TRIES:
                raise
    raise AssertionError("the loop returns or raises")


def _ingest_in(
    connection: Connection, run_id: int, request: IngestRequest, verify: bool, restored: bool
) -> IngestResult:
    status = os.stat(request.path)
    if not stat.S_ISREG(status.st_mode):
        raise UnusableFileError("not a regular file", "")
    place = Place(request.root_id, request.relative_path, status.st_size, status.st_mtime_ns)
    known = known_file(connection, place.root_id, place.path)
    same = known and (known.size_bytes, known.mtime_ns) == (place.size_bytes, place.mtime_ns)
    if known and same and not (verify or known.wanted):
        counts = known.headerlets, known.solutions
        why = _out_of_use(known.recalled, known.withdrawn)
        return IngestResult(request.path, known.rootname, "unchanged", why, *counts)
    path = Path(request.path)
    extensions = read_fits(path)
    kind = rejected_kind(extensions, path.name)
    if kind == DRIZZLED:
        return IngestResult(request.path, None, *import_product(connection, run_id, path))
    if kind:
        return IngestResult(request.path, None, "rejected", kind)
    facts = exposure_facts(extensions, path.name)
    content = _Content(facts, solutions_in(extensions, path.name), _sha256(path), place, known)
    _check_unchanged(path, status)
    outcome, reason = _record(connection, run_id, content, restored)
    return IngestResult(request.path, facts.rootname, outcome, reason, facts.headerlets, len(content.found))


def _check_unchanged(path: Path, before: os.stat_result) -> None:
    """Refuse a file that was written while it was read: its headers and its checksum may not agree."""
    now = os.stat(path)
    if (now.st_size, now.st_mtime_ns, now.st_ino) != (before.st_size, before.st_mtime_ns, before.st_ino):
        raise UnusableFileError("it was changed while it was read", "ingest it again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(connection: Connection, run_id: int, content: _Content, restored: bool) -> tuple[Status, str]:
    facts = content.facts
    row = _exposure_row(facts)
    exposure_id, is_new = register_exposure(connection, run_id, row)
    state = file_state(connection, exposure_id, facts.suffix, content.sha256)
    if state.file_id is not None:
        return _record_known(connection, run_id, exposure_id, content, state, restored)
    if content.known:  # whatever follows, that content is no longer at this place
        close_places(connection, run_id, [content.known.location_id])
    if refusal := "" if restored or state.recalled else _not_newer(facts, state):
        return "rejected", refusal
    file, chips = _file_row(content), _chip_rows(facts)
    file_id = record_file(
        connection, run_id, exposure_id, file, chips, content.place, replaces=state.current_file_id
    )
    if not is_new and state.is_best(facts.suffix):
        update_exposure(connection, run_id, row)
    reason = _record_solutions(connection, run_id, exposure_id, file_id, content, state)
    outcome: Status = "new" if state.current_file_id is None else "updated"
    return outcome, facts.rejection_reason or reason or facts.warning


def _record_known(
    connection: Connection, run_id: int, exposure_id: int, content: _Content, state: FileState, restored: bool
) -> tuple[Status, str]:
    """Record a content that the catalog knows; an older one may be in force again."""
    assert state.file_id is not None
    _record_place(connection, run_id, state.file_id, content)
    recalled, withdrawn = recalled_content(connection, state.file_id), withdrawal_of(connection, exposure_id)
    if recalled or state.file_id == state.current_file_id:
        return "unchanged", _out_of_use(recalled, withdrawn)
    gone = not _lies_somewhere(connection, state.current_file_id, content.place)
    if not (restored or gone or state.recalled):
        return "unchanged", "an older content, no longer in force"
    reopen_file(connection, run_id, exposure_id, content.facts.suffix, state.file_id)
    why = "is gone" if gone else "was recalled"
    return "updated", "" if restored else f"an older content, in force again: the newer one {why}"


def _out_of_use(recalled: str | None, withdrawn: str | None) -> str:
    """Say why a known file is in no use, and how it comes back; or return an empty string."""
    words = [f"its content is recalled: {recalled}; ingest a good one"] if recalled else []
    if withdrawn:
        words.append(f"its exposure is withdrawn: {withdrawn}; 'hapctl exposure restore' brings it back")
    return "; ".join(words)


def _not_newer(facts: ExposureFacts, state: FileState) -> str:
    """Say why a content does not replace the one in force, or return an empty string."""
    if state.current_file_id is None:
        return ""
    if facts.fits_date is None:
        return "other content than the file in force, and no DATE that shows it to be newer"
    if state.current_date is None or facts.fits_date > state.current_date:
        return ""
    dates = f"{facts.fits_date.isoformat()} is not after {state.current_date.isoformat()}"
    return f"other content than the file in force, and not newer: DATE {dates}"


def _record_place(connection: Connection, run_id: int, file_id: int, content: _Content) -> None:
    """Record where a known content lies; close its other places from which it is gone (it moved)."""
    known, place = content.known, content.place
    gone = [number for number, root, path in other_places(connection, file_id, place) if _is_gone(root, path)]
    now = (file_id, place.size_bytes, place.mtime_ns)
    same = known is not None and (known.file_id, known.size_bytes, known.mtime_ns) == now
    if known is not None and not same:
        gone.append(known.location_id)
    close_places(connection, run_id, gone)
    if not same:
        record_place(connection, run_id, file_id, place)


def _lies_somewhere(connection: Connection, file_id: int | None, but: Place) -> bool:
    """Say whether a content is known at another place than this one, from which it is not gone."""
    if file_id is None:
        return False
    return any(not _is_gone(root, path) for _, root, path in other_places(connection, file_id, but))


def _is_gone(root: str, path: str) -> bool:
    """Say whether a file is no longer under its root; of a root that is not mounted nothing is known."""
    return os.path.isdir(root) and not os.path.exists(f"{root}/{path}")


def _record_solutions(
    connection: Connection, run_id: int, exposure_id: int, file_id: int, content: _Content, state: FileState
) -> str:
    """Record the solutions of a file and put the preferred one in force where that is due.

    Returns
    -------
    str
        Why its primary one was not put in force, if its own problem forbids it.
    """
    new = [NewSolution(found.solution, found.headerlet_bytes) for found in content.found]
    rows, shared = solution_rows(content.facts.rootname, new)
    registered = register_solutions(connection, run_id, exposure_id, rows, shared)
    places = [
        SolutionPlace(entry.solution_id, file_id, _PLACES[found.location.kind], found.location.key)
        for entry, found in zip(registered, content.found, strict=True)
    ]
    record_solution_places(connection, run_id, places)
    if state.active_origin not in (None, "ingest") or not state.is_best(content.facts.suffix):
        return ""
    recalled = recalled_solutions(connection, exposure_id)
    candidates = [
        Candidate(entry.solution_id, row.wcsname, number == 0)
        for number, (entry, row) in enumerate(zip(registered, rows, strict=True))
        if not row.problem and entry.solution_id not in recalled
    ]
    preference = preference_in_force(connection)
    chosen = preferred(candidates, preference.in_force)
    if chosen is not None:
        what = "primary WCS" if chosen.is_primary else f"{chosen.wcsname}, by {preference.name},"
        reason = f"{what} of {content.facts.rootname}_{content.facts.suffix}"
        activate(connection, run_id, {exposure_id: chosen.solution_id}, reason, origin="ingest")
    if not rows[0].problem:
        return ""
    instead = "" if chosen is None else f"; {chosen.wcsname} is"
    return f"its primary WCS is not put in force: {rows[0].problem}{instead}"


def _exposure_row(facts: ExposureFacts) -> ExposureRow:
    columns: dict[str, Any] = {field.name: getattr(facts, field.name, None) for field in fields(ExposureRow)}
    columns["filter_elements"] = list(facts.filter_elements)
    if facts.rejection:
        columns["exclusion_code"], columns["exclusion_reason"] = facts.rejection.code, facts.rejection.reason
    return ExposureRow(**columns)


def _file_row(content: _Content) -> FileRow:
    facts = content.facts
    return FileRow(
        suffix=facts.suffix,
        sha256=content.sha256,
        size_bytes=content.place.size_bytes,
        fits_date=facts.fits_date,
        headerlets=facts.headerlets,
        primary_header=header_json(facts.primary_header),
    )


def _chip_rows(facts: ExposureFacts) -> list[ChipRow]:
    return [ChipRow(**vars(chip)) for chip in facts.chips]


def header_json(header: Header) -> str:
    """Return a header as JSON text that PostgreSQL can hold: no NaN, no NUL."""
    return json.dumps({key: _json_value(value) for key, value in header.items()})


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.replace("\0", "") if isinstance(value, str) else value
