"""What an ingest is asked to take: files, folders, globs and @lists, made into requests."""

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hapctl.archive.roots import root_of, roots_covering
from hapctl.processing.astrometry.fits_structure import primary_header, text
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.pipeline.ingest_files import IngestRequest
from sqlalchemy import Connection

_GLOB_CHARACTERS = frozenset("*?[")
_ANY_DEPTH = re.compile(r"(^|/)\*\*(/|$)")
_PRODUCT = re.compile(r"_dr[cz](_sci)?\.fits(\.gz)?$")
_COMMENT = re.compile(r"(^|\s)#.*")

_Found = tuple[str, str]
"""A path, and why it can't be taken (empty where it can)."""


def expand_inputs(names: Iterable[str], *, recursive: bool = False) -> tuple[list[str], dict[str, str]]:
    """Find the files that names stand for.

    Parameters
    ----------
    names : iterable of str
        Files; folders (all files in them but hidden ones); patterns with ``*``, ``?``, ``[...]`` or ``**``;
        ``@list`` files with one name a line, ``#`` before a name or after a blank begins a comment. ``~`` is
        the home folder; relative names count from the working folder, in lists too.
    recursive : bool
        Also take the folders within folders; links to folders are not followed.

    Returns
    -------
    found : list of str
        Absolute paths, sorted, each once.
    problems : dict of str to str
        What can't be taken, with the reason: names that stand for nothing, folders that can't be opened,
        pipes and devices, names that are not UTF-8.

    Raises
    ------
    UsageProblemError
        A list can't be read, or names itself.
    """
    found: set[str] = set()
    problems: dict[str, str] = {}
    for name in names:
        for path, reason in _paths_of(name, recursive):
            problem = reason or _problem_of(path)
            if problem:
                problems[printable(path)] = problem
            else:
                found.add(os.path.abspath(path))
    return sorted(found), problems


def printable(path: str) -> str:
    """Return a path as text that can be shown and stored, whatever its bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _problem_of(path: str) -> str:
    """Return why a path can't be ingested as it is, or an empty string."""
    if printable(path) != path:
        return "its name is not UTF-8"
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.strerror or str(error)
    return "" if stat.S_ISREG(mode) else "not a regular file"


def _paths_of(name: str, recursive: bool, lists: tuple[str, ...] = ()) -> Iterator[_Found]:
    """Find what a name stands for: paths, and reasons where something can't be taken."""
    given, name = name, name if os.path.lexists(name) else os.path.expanduser(name)
    if os.path.isdir(name):
        yield from _files_in(name, recursive)
    elif os.path.lexists(name):
        yield name, ""
    elif name.startswith("@"):
        yield from _files_of_list(name[1:], recursive, lists)
    else:
        matches = sorted(set(_matches(name))) if _GLOB_CHARACTERS.intersection(name) else []
        for match in matches:
            yield from _paths_of(match, recursive, lists)
        if not matches:
            yield given, "no such file or folder"


def _matches(pattern: str) -> Iterator[str]:
    """Find what a pattern matches; ``**`` stands for folders at any depth, and follows no links (loops)."""
    deep = _ANY_DEPTH.search(pattern)
    if deep is None:
        yield from glob.glob(pattern)
        return
    rest = pattern[deep.end() :]
    for start in glob.glob(pattern[: deep.start()] + deep[1]) if deep.start() else [deep[1] or "."]:
        for parent, folders, names in os.walk(start):
            folders[:] = [name for name in folders if not name.startswith(".")]
            if rest:
                yield from _matches(os.path.join(glob.escape(parent), rest))
            else:
                yield from (os.path.join(parent, name) for name in names if not name.startswith("."))


def _files_of_list(name: str, recursive: bool, lists: tuple[str, ...]) -> Iterator[_Found]:
    place = os.path.realpath(os.path.expanduser(name))
    if place in lists:
        raise UsageProblemError(f"the list {name} names itself", "take that line out of it")
    for line in _lines(os.path.expanduser(name)):
        yield from _paths_of(line, recursive, (*lists, place))


def _lines(name: str) -> list[str]:
    try:
        content = Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageProblemError(
            f"the list {printable(name)} can't be read: {error}", "give @FILE, one name a line"
        ) from error
    stripped = (_COMMENT.sub("", line).strip() for line in content.splitlines())
    return [line for line in stripped if line]


def _files_in(folder: str, recursive: bool) -> Iterator[_Found]:
    closed: list[_Found] = []

    def note(error: OSError) -> None:
        closed.append((str(error.filename), error.strerror or str(error)))

    for parent, folders, names in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        yield from ((os.path.join(parent, name), "") for name in names if not name.startswith("."))
    yield from closed


def requests_for(
    connection: Connection, run_id: int, names: Sequence[str], files: Sequence[str]
) -> list[IngestRequest]:
    """Give every file its archive root; drizzled products come last.

    A folder that was named is a root, and so is the folder of a file that lies in none; a root that is known
    already and holds the file is used.
    """
    named = [os.path.abspath(name) for name in names if os.path.isdir(name)]
    own = dict.fromkeys(os.path.dirname(path) for path in files)
    covered = dict.fromkeys(named, 0)
    alone = [folder for folder in own if root_of(folder, covered) is None]
    roots = roots_covering(connection, run_id, [*named, *alone] if files else [])
    # products after exposures, so that what they claim went in is known already
    ordered = sorted(files, key=lambda path: _PRODUCT.search(path.lower()) is not None)
    places = [(path, root_of(path, roots)) for path in ordered]
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
