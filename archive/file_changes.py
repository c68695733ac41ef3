"""Changes of files in place as rows: what brings the old content back, and what was undone."""

from dataclasses import dataclass
from typing import Literal

from hapctl.archive.errors import NotInCatalogError, RefusedByCatalogError
from hapctl.archive.statements import execute
from sqlalchemy import Connection


@dataclass(frozen=True)
class FileChange:
    """A change of a file.

    Attributes
    ----------
    file_change_id, run_id : int
    path : str
        Absolute.
    description : str
        What was done.
    before_sha256, after_sha256 : str
        Of the content, decompressed.
    undo : bytes
        What the old content is rebuilt from.
    """

    file_change_id: int
    path: str
    description: str
    before_sha256: str
    after_sha256: str
    undo: bytes
    run_id: int


def record_file_change(
    connection: Connection,
    run_id: int,
    path: str,
    description: str,
    before_sha256: str,
    after_sha256: str,
    undo: bytes,
) -> None:
    """Record a change before the file gets its new content: commit it at once."""
    values = {"path": path, "description": description, "undo": undo, "run_id": run_id}
    sums = {"before_sha256": before_sha256, "after_sha256": after_sha256}
    execute(connection, "insert_file_change", {**values, **sums})


def changes_to_undo(connection: Connection, run_id: int | None = None) -> list[FileChange]:
    """Return the changes of a run that nobody has undone, the last one first.

    Parameters
    ----------
    connection : Connection
    run_id : int, optional
        By default the last run with any.

    Raises
    ------
    NotInCatalogError
        No such run, or no run has changed a file.
    RefusedByCatalogError
        That run changed no file, or all its changes are undone.
    """
    if run_id is None:
        run_id = execute(connection, "last_changing_run").scalar_one()
        if run_id is None:
            raise NotInCatalogError("no change of a file is left to undo", "see 'hapctl status'")
    known = execute(connection, "changes_of_run", {"run_id": run_id}).one_or_none()
    if known is None:
        raise NotInCatalogError(f"there is no run {run_id}", "see 'hapctl status'")
    rows = execute(connection, "file_changes_of_run", {"run_id": run_id}).mappings()
    changes = [FileChange(**{**row, "undo": bytes(row["undo"])}) for row in rows]
    if not changes:
        why = "all its changes are undone" if known.changes else "it changed no file in place"
        raise RefusedByCatalogError(f"run {run_id} can't be undone: {why}", "name another run")
    return changes


def record_undone(
    connection: Connection, run_id: int, change: FileChange, outcome: Literal["restored", "never_made"]
) -> None:
    """Record that a change was undone, or was never made."""
    values = {"file_change_id": change.file_change_id, "outcome": outcome, "run_id": run_id}
    execute(connection, "insert_file_change_undone", values)
