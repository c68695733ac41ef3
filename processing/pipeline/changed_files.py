"""Files changed in place, by runs, and undone: the catalog is told before a file gets its new content.

A kill between the two leaves the old file and a change that was never made; one after it leaves the new
file and what brings the old one back. A file the catalog knows is ingested again, before and after.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hapctl.archive.database import Catalog
from hapctl.archive.exposures import lock_exposure
from hapctl.archive.file_changes import FileChange, changes_to_undo, record_file_change, record_undone
from hapctl.archive.locks import advisory_lock
from hapctl.archive.roots import list_roots, root_of
from hapctl.archive.runs import Run
from hapctl.archive.solutions import activate
from hapctl.archive.statements import execute
from hapctl.processing.astrometry.fits_editing import editing, rebuilt
from hapctl.processing.errors import RefusedError
from hapctl.processing.pipeline.ingest_files import IngestRequest, IngestResult, ingest_file
from sqlalchemy import Connection

_UNDONE = re.compile(r"^(run \d+ was undone: )+")


@dataclass(frozen=True)
class UndoneChange:
    """A change that was undone; ``outcome`` is restored, or never_made where the file had its old content."""

    path: str
    description: str
    outcome: Literal["restored", "never_made"]
    rootname: str | None


def note_change(
    catalog: Catalog, run_id: int, path: Path, description: str, before: str, after: str, undo: bytes
) -> None:
    """Record, and commit, what brings the old content of a file back; before it gets the new one."""
    with catalog.begin() as connection:
        record_file_change(connection, run_id, str(path.absolute()), description, before, after, undo)


def ingested_again(catalog: Catalog, run_id: int, path: Path) -> IngestResult | None:
    """Ingest a file that lies under a root of the catalog and is known there; None for another.

    What it holds now is in force, whatever its DATE: two changes may be of one second.

    Raises
    ------
    RefusedError
        The catalog does not take what the file holds now.
    """
    request = _known_place(catalog, path)
    if request is None:
        return None
    result = ingest_file(catalog, run_id, request, verify=True, restored=True)
    if result.status == "rejected":
        problem = f"{path} has its new content, which the catalog refuses: {result.reason}"
        raise RefusedError(problem, "run: hapctl undo")
    return result


def _known_place(catalog: Catalog, path: Path) -> IngestRequest | None:
    """Where the catalog knows a file: under its name, or under that of what a link leads to."""
    with catalog.begin() as connection:
        roots = {root.path: root.root_id for root in list_roots(connection)}
        for place in dict.fromkeys((str(path.absolute()), str(path.resolve()))):
            found = root_of(place, roots)
            if found is not None and _is_known(connection, *found):
                return IngestRequest(place, *found)
    return None


def _is_known(connection: Connection, root_id: int, path: str) -> bool:
    return execute(connection, "known_file", {"root_id": root_id, "path": path}).one_or_none() is not None


def undo_changes(
    catalog: Catalog,
    run: Run,
    undone_run: int | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> list[UndoneChange]:
    """Bring back the files that a run changed in place, the last one first.

    Parameters
    ----------
    catalog : Catalog
    run : Run
        The run that does it.
    undone_run : int, optional
        The run to undo; by default the last one with a change that was not undone.
    on_progress : callable
        Told in words what is being done.

    Raises
    ------
    NotInCatalogError, RefusedByCatalogError
        There is nothing to undo.
    RefusedError
        A file was changed since; those done before stay undone.
    """
    with catalog.begin() as connection:
        changes = changes_to_undo(connection, undone_run)
    done = []
    for change in changes:
        with advisory_lock(run, "file", str(Path(change.path).resolve()), on_wait=on_progress):
            done.append(_undone(catalog, run.id, change, on_progress))
    return done


def _undone(
    catalog: Catalog, run_id: int, change: FileChange, on_progress: Callable[[str], None]
) -> UndoneChange:
    path = Path(change.path)
    on_progress(f"restoring {path}")
    with editing(path) as edited:
        content = edited.content_sha256()
    outcome: Literal["restored", "never_made"] = "never_made"
    if content != change.before_sha256:
        rebuilt(path, change.undo, change.before_sha256, change.after_sha256)
        outcome = "restored"
    with catalog.begin() as connection:
        record_undone(connection, run_id, change, outcome)
    known = ingested_again(catalog, run_id, path)
    if known is not None and known.rootname:
        _put_back(catalog, run_id, known.rootname, change.run_id)
    return UndoneChange(change.path, change.description, outcome, None if known is None else known.rootname)


def _put_back(catalog: Catalog, run_id: int, rootname: str, undone_run: int) -> None:
    """Put the solution in force again that was, where the undone run (by its ingest) changed that."""
    with catalog.begin() as connection:
        exposure_id = lock_exposure(connection, rootname)
        names = {"exposure_id": exposure_id, "run_id": undone_run}
        row = execute(connection, "solution_before_run", names).one_or_none()
        if row is not None:
            reason = f"run {undone_run} was undone: {_UNDONE.sub('', row.reason)}"
            activate(connection, run_id, {exposure_id: row.solution_id}, reason, row.origin)
