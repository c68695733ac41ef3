"""Names and contents that survive a crash."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

from hapctl.processing.errors import RefusedError, TooLargeError, UnusableFileError


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def told_where(folder: Path) -> Iterator[None]:
    """Say of an operating system's refusal which file it is about, and what to do.

    Raises
    ------
    TooLargeError
        The disk is full.
    RefusedError
        A file in ``folder`` can't be written.
    UnusableFileError
        Another file can't be read.
    """
    try:
        yield
    except OSError as error:
        name, reason = str(error.filename or folder), error.strerror or str(error)
        if error.errno in (ENOSPC, EDQUOT, EFBIG):
            raise TooLargeError(f"{name}: {reason}", "free space, or write to another disk") from error
        if Path(name).absolute().is_relative_to(folder.absolute()):
            raise RefusedError(f"{name} can't be written: {reason}", "write to another folder") from error
        raise UnusableFileError(f"{name} can't be read: {reason}", "check the file") from error
