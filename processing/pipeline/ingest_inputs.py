"""What an ingest is asked to take: files, folders, globs and @lists, made into requests."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from hapctl.archive.roots import root_of, roots_covering
from hapctl.processing.astrometry.fits_structure import primary_header, text
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.pipeline.ingest_files import IngestRequest
from sqlalchemy import Connection

_GLOB_CHARACTERS = frozenset("*?[")


def expand_inputs(names: Iterable[str], *, recursive: bool = False) -> tuple[list[str], list[str]]:
    """Find the files that names stand for.

    Parameters
    ----------
    names : iterable of str
        Files; folders (all files in them but hidden ones); patterns with ``*``, ``?``, ``[...]`` or ``**``;
        ``@list`` files with one name a line, ``#`` begins a comment.
    recursive : bool
        Also take the folders within folders.

    Returns
    -------
    found, missing : list of str
        Absolute paths, sorted, each once; and the names that stand for nothing.

    Raises
    ------
    UsageProblemError
        A list can't be read.
    """
    found: set[str] = set()
    missing: list[str] = []
    for name in names:
        paths = _paths_of(name, recursive)
        found.update(os.path.abspath(path) for path in paths)
        if not paths and not os.path.isdir(name):
            missing.append(name)
    return sorted(found), missing


def _paths_of(name: str, recursive: bool) -> list[str]:
    if os.path.isfile(name):
        return [name]
    if os.path.isdir(name):
        return _files_in(name, recursive)
    if name.startswith("@"):
        return [path for line in _lines(name[1:]) for path in _paths_of(line, recursive)]
    if _GLOB_CHARACTERS.intersection(name):
        matches = sorted(glob.glob(name, recursive=True))
        return [path for match in matches for path in _paths_of(match, recursive)]
    return []


def _lines(name: str) -> list[str]:
    try:
        content = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblemError(
            f"the list {name} can't be read: {error}", "give @FILE, one name a line"
        ) from error
    stripped = (line.split("#", 1)[0].strip() for line in content.splitlines())
    return [line for line in stripped if line]


def _files_in(folder: str, recursive: bool) -> list[str]:
    files: list[str] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        files += [os.path.join(parent, name) for name in names if not name.startswith(".")]
    return [path for path in files if os.path.isfile(path)]


def requests_for(
    connection: Connection, run_id: int, names: Sequence[str], files: Sequence[str]
) -> list[IngestRequest]:
    """Give every file its archive root.

    A folder that was named is a root, and so is the folder of a file that lies in none; a root that is known
    already and holds the file is used.
    """
    named = [os.path.abspath(name) for name in names if os.path.isdir(name)]
    own = dict.fromkeys(os.path.dirname(path) for path in files)
    covered = dict.fromkeys(named, 0)
    alone = [folder for folder in own if root_of(folder, covered) is None]
    roots = roots_covering(connection, run_id, [*named, *alone] if files else [])
    places = [(path, root_of(path, roots)) for path in files]
    return [IngestRequest(path, *place) for path, place in places if place is not None]


def grouped(requests: Iterable[IngestRequest]) -> list[list[IngestRequest]]:
    """Put the files of one exposure together, in order: they must not overtake each other."""
    groups: dict[str, list[IngestRequest]] = {}
    for request in requests:
        groups.setdefault(_rootname(request.path), []).append(request)
    return list(groups.values())


def _rootname(path: str) -> str:
    """Return the exposure a file belongs to, or its path where it tells none."""
    try:
        return text(primary_header(Path(path)), "ROOTNAME").lower() or path
    except (OSError, UnusableFileError):
        return path
