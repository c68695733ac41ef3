"""Small files written whole or not at all: aside, synced, then renamed."""

import os
from contextlib import suppress
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

from hapctl.processing.errors import RefusedError, TooLargeError


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file so that no reader and no crash ever meets half of it; an older one is replaced.

    Parameters
    ----------
    path : Path
        Its folder must exist.
    content : bytes or str
        Text is written as UTF-8.

    Raises
    ------
    OSError
        The folder can't be written, or the disk is full; nothing half-written stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    data = content.encode() if isinstance(content, str) else content
    try:
        with open(partial, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_new(path: Path, content: bytes | str, *, overwrite: bool = False) -> Path:
    """Write a file that no older one is to be lost to; makes its folder.

    Raises
    ------
    RefusedError
        There is one already and `overwrite` is not set, or it can't be written.
    TooLargeError
        The disk is full.
    """
    if path.exists() and not overwrite:
        raise RefusedError(f"{path} is there already", "write elsewhere, or give --overwrite")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        problem = f"{path} can't be written: {error.strerror or error}"
        if error.errno in (ENOSPC, EDQUOT, EFBIG):
            raise TooLargeError(problem, "free space, or write to another disk") from error
        raise RefusedError(problem, "write to another folder") from error
    return path
