"""Large files written whole or not at all: aside, synced, then renamed; gzipped where the name says so."""

import fcntl
import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, ENOSPC
from glob import escape
from pathlib import Path
from typing import IO, cast

from hapctl.processing.errors import RefusedError, TooLargeError

_GZIP_LEVEL = 6


@contextmanager
def written_aside(path: Path) -> Iterator[IO[bytes]]:
    """Give a stream to write a file to; it is synced and renamed at the end, or nothing is left of it.

    Raises
    ------
    TooLargeError
        The disk is full.
    RefusedError
        The folder can't be written.
    """
    path = path.resolve()  # a link stays a link: what it leads to is replaced
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _remove_leftovers(path)
        with open(partial, "wb") as stream:
            with suppress(OSError):  # some disks know no locks: then no leftover is removed there
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if path.exists():
            shutil.copymode(path, partial)
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (ENOSPC, EDQUOT, EFBIG):
            raise TooLargeError(f"{path}: {reason}", "free space, or write to another disk") from error
        raise RefusedError(f"{path} can't be written: {reason}", "write to another folder") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove what writers of this file left that were killed: their locks went with them."""
    for leftover in path.parent.glob(f".{escape(path.name)}.*.partial"):
        with suppress(OSError), leftover.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def compressed(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    """Give the stream itself, or a gzip stream without name and time: the same content, the same bytes."""
    if path.suffix.lower() != ".gz":
        yield raw
        return
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as stream:
        yield cast("IO[bytes]", stream)
