"""Where the combined plane and the masks are kept: in memory, or, where large, in unlinked scratch files.

A scratch file is mapped into memory; the system writes its pages out as it needs room, so that they do
not count as memory of the process (RssAnon + RssShmem). Its space is taken before it is filled.
"""

import errno
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hapctl.processing.errors import TooLargeError
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.mask_file import PackedMask
from numpy.typing import NDArray

IN_MEMORY_BYTES = 400_000_000
"""A larger plane goes into a scratch file."""
MASKS_IN_MEMORY_BYTES = 128_000_000
"""Masks that take more together go into one."""

Shape = tuple[int, int]


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
    return _room(size, in_memory_bytes, folder).view(np.float32).reshape(grid.shape)


def masks_bytes(shapes: Sequence[Shape]) -> int:
    """Bytes of a packed mask of each of some chips."""
    return sum(ny * -(-nx // 8) for ny, nx in shapes)


def new_masks(
    shapes: Sequence[Shape], *, in_memory_bytes: int = MASKS_IN_MEMORY_BYTES, folder: Path | None = None
) -> list[PackedMask]:
    """Return a mask of each of some chips, False everywhere, to be filled.

    Parameters
    ----------
    shapes : sequence of (ny, nx)
    in_memory_bytes : int
        Masks of more bytes together lie in one scratch file, which is gone when the last of them is.
    folder : Path, optional
        Of the scratch file; the system's folder for temporary files by default.

    Raises
    ------
    TooLargeError
        If the disk has no room for the scratch file.
    """
    room = _room(masks_bytes(shapes), in_memory_bytes, folder)
    masks, start = [], 0
    for ny, nx in shapes:
        stop = start + masks_bytes([(ny, nx)])
        masks.append(PackedMask(room[start:stop].reshape(ny, -(-nx // 8)), nx))
        start = stop
    return masks


def _room(size: int, in_memory_bytes: int, folder: Path | None) -> NDArray[np.uint8]:
    """So many zero bytes, in memory or in a scratch file."""
    if size <= in_memory_bytes:
        return np.zeros(size, dtype=np.uint8)
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
    return np.frombuffer(mapped, dtype=np.uint8)


def _reserve(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):  # a full disk met while a mapped page is written would kill us
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)
