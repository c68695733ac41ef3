"""Headerlets of new solutions as files beside the catalog: where they lie, and how they come there."""

from dataclasses import dataclass
from pathlib import Path

from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.headerlet import headerlet_name
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.whole_files import write_whole


@dataclass(frozen=True)
class HeaderletFile:
    """A headerlet to be written: path relative to the home, and bytes."""

    path: str
    content: bytes


def headerlet_path(solution: WcsSolution, suffix: str) -> str:
    """Where a solution's headerlet lies, relative to the home; the same solution, the same path."""
    short = transformation_sha256(solution)[:8]
    return f"headerlets/{solution.rootname[:6]}/{short}/{headerlet_name(solution, suffix)}"


def write_headerlet(home: Path, file: HeaderletFile) -> None:
    """Write a headerlet where it is missing or differs: aside, synced, then renamed.

    Raises
    ------
    UnusableFileError
        The folder can't be written, or the disk is full; nothing half-written stays.
    """
    path = home / file.path
    try:
        if path.is_file() and path.read_bytes() == file.content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, file.content)
    except OSError as error:
        raise UnusableFileError(
            f"{path}: the headerlet can't be written: {error.strerror}; the alignment itself is recorded",
            "make the folder writable or make room, and run the same command again",
        ) from error
