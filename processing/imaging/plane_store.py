"""Where the combined plane is kept: in memory, or, where it is large, in an unlinked scratch file.

A scratch file is mapped into memory; the system writes its pages out as it needs room, so that they do
not count as memory of the process (RssAnon + RssShmem). Its space is taken before the work begins.
"""

import errno
import mmap
import os
import tempfile
from pathlib import Path

import numpy as np
from hapctl.processing.errors import TooLargeError
from hapctl.processing.imaging.grid import OutputGrid
from numpy.typing import NDArray

IN_MEMORY_BYTES = 400_000_000
"""A larger plane goes into a scratch file."""


def plane_bytes(grid: OutputGrid) -> int:
    """Bytes of a float32 plane."""
    return 4 * grid.shape[0] * grid.shape[1]


def new_plane(
    grid: OutputGrid, *, in_memory_bytes: int = IN_MEMORY_BYTES, folder: Path | None = None
) -> NDArray[np.float32]:
    """Return an array for a plane, shape of the grid, float32, holding zeros.

    Parameters
    ----------
    grid : OutputGrid
    in_memory_bytes : int
        A plane of more bytes lies in a scratch file, which is gone when the array is.
    folder : Path, optional
        Of the scratch file; the system's folder for temporary files by default.

    Raises
    ------
    TooLargeError
        If the disk has no room for the scratch file.
    """
    size = plane_bytes(grid)
    if size <= in_memory_bytes:
        return np.zeros(grid.shape, dtype=np.float32)
    with tempfile.TemporaryFile(prefix="hapctl-", dir=folder) as file:
        try:
            _reserve(file.fileno(), size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise TooLargeError(
                    f"no room for a scratch file of {size / 1e6:.0f} MB in {folder or tempfile.gettempdir()}",
                    "free space, or set TMPDIR to a folder with more of it",
                ) from error
            raise
        mapped = mmap.mmap(file.fileno(), size)  # holds the file until the array is gone
    return np.frombuffer(mapped, dtype=np.float32).reshape(grid.shape)


def _reserve(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):  # a full disk met while a mapped page is written would kill us
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)
