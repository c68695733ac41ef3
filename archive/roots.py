"""Archive roots: the folders under which files lie. A root may move; paths are relative to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from hapctl.archive.errors import NotInCatalogError, RefusedByCatalogError
from hapctl.archive.statements import execute
from sqlalchemy import Connection


@dataclass(frozen=True)
class ArchiveRoot:
    """A root, its path now, and how many files lie under it."""

    root_id: int
    path: str
    files: int


def list_roots(connection: Connection) -> list[ArchiveRoot]:
    """Return all roots in order of their paths."""
    return [ArchiveRoot(**row) for row in execute(connection, "list_roots").mappings()]


def roots_covering(connection: Connection, run_id: int, folders: Iterable[str]) -> dict[str, int]:
    """Return the open roots by path, after making one for each folder that lies in none.

    Parameters
    ----------
    folders : iterable of str
        Absolute paths of folders in which files lie.
    """
    # Two ingests at once must not both make the same root.
    execute(connection, "lock_roots")
    known = {root.path: root.root_id for root in list_roots(connection)}
    for folder in sorted(set(folders), key=lambda path: (len(PurePosixPath(path).parts), path)):
        if root_of(folder, known) is None:
            known[folder] = _new_root(connection, run_id, folder)
    return known


def root_of(path: str, roots: dict[str, int]) -> tuple[int, str] | None:
    """Return root_id and relative path of a path: under the innermost root that holds it, or None."""
    pure = PurePosixPath(path)
    for folder in (pure, *pure.parents):
        if str(folder) in roots:
            return roots[str(folder)], str(pure.relative_to(folder))
    return None


def _new_root(connection: Connection, run_id: int, path: str) -> int:
    found = execute(connection, "insert_root", {"run_id": run_id, "path": path})
    return int(found.scalar_one())


def relative_paths(connection: Connection, root_id: int) -> list[str]:
    """Return the relative paths of the files that lie under a root."""
    return list(execute(connection, "paths_under_root", {"root_id": root_id}).scalars())


def find_root(connection: Connection, path: str) -> ArchiveRoot:
    """Return the root at a path.

    Raises
    ------
    NotInCatalogError
        No root is there.
    """
    for root in list_roots(connection):
        if root.path == path:
            return root
    raise NotInCatalogError(f"no archive root {path}", "see 'hapctl root list'")


def move_root(connection: Connection, run_id: int, root: ArchiveRoot, new_path: str) -> None:
    """Say that a root lies elsewhere now.

    Raises
    ------
    RefusedByCatalogError
        Another root is at the new path.
    """
    if any(other.path == new_path for other in list_roots(connection)):
        raise RefusedByCatalogError(f"{new_path} is a root already", "see 'hapctl root list'")
    names = {"run_id": run_id, "root_id": root.root_id, "path": new_path}
    execute(connection, "close_root_path", names)
    execute(connection, "insert_root_path", names)
