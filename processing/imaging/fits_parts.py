"""A FITS file of parts whose places are known before their pixels: images row by row, a table last."""

import errno
import fcntl
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.ext.writing import big_endian
from hapctl.processing.astrometry.fits_sums import folded, sum32, with_sums
from hapctl.processing.errors import RefusedError, TooLargeError
from numpy.typing import NDArray

BLOCK = 2880
_BYTES_AT_ONCE = 1 << 18
"""Turned, written and summed up while they are in the processor's cache."""


class FilePart:
    """One image in the file: where it lies, and the sums over what was written of it."""

    def __init__(self, header: fits.Header, offset: int, planes: int, shape: tuple[int, int]) -> None:
        self.header = header
        self.offset = offset
        self.row_bytes = 4 * shape[1]
        self.plane_bytes = shape[0] * self.row_bytes
        self.data_offset = offset + len(with_sums(header, 0))
        self.end = self.data_offset + _padded(planes * self.plane_bytes)
        self.data_sum = 0
        self._hashes = [hashlib.sha256() for _ in range(planes)]

    def digest(self) -> bytes:
        """SHA-256 of each plane, one after another."""
        return b"".join(plane.digest() for plane in self._hashes)

    def seen(self, number: int, raw: memoryview, total: int) -> None:
        """Add what was written of a plane, and the sum of its words, to the sums."""
        self.data_sum = folded(self.data_sum + total)
        self._hashes[number].update(raw)


class PartsFile:
    """The file: add its parts, open it, put rows, finish; or abandon it.

    Parameters
    ----------
    path : path
        An older file there is overwritten by `open`.
    table : BinTableHDU, optional
        The last HDU.
    """

    def __init__(self, path: Path, table: fits.BinTableHDU | None = None) -> None:
        self.path = path
        self.parts: list[FilePart] = []
        self._table = _table_bytes(table) if table is not None else b""
        self._descriptor = -1
        self._finished = False

    @property
    def size(self) -> int:
        """Bytes of the complete file."""
        return self._end + len(self._table)

    @property
    def _end(self) -> int:
        return self.parts[-1].end if self.parts else 0

    def add(self, header: fits.Header, planes: int = 0, shape: tuple[int, int] = (0, 0)) -> None:
        """Add a part of 4-byte pixels; its header may change later, but not in length."""
        self.parts.append(FilePart(header, self._end, planes, shape))

    def open(self) -> None:
        """Make the file and reserve its room; a full disk is met before the work, not after it.

        The file is this run's until it is abandoned: also when it is finished, while it gets its name.

        Raises
        ------
        TooLargeError
            There is no room.
        RefusedError
            Another run is writing it.
        """
        with self._told_when_full():
            self._descriptor = self._own()
            os.ftruncate(self._descriptor, 0)
            self._reserve()

    def _reserve(self) -> None:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._descriptor, 0, self.size)
        os.ftruncate(self._descriptor, self.size)

    def _own(self) -> int:
        """Open the file for this run alone; one left by a run that was killed belongs to nobody."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            with _going_on_after(errno.ENOLCK, errno.EOPNOTSUPP):  # a disk without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                return descriptor
        except (BlockingIOError, FileNotFoundError):  # held by the other, or it has just got its name
            pass
        os.close(descriptor)
        raise RefusedError(f"another run is writing {self.path}", "wait for it, or give another name")

    def put(self, part: FilePart, number: int, row: int, rows: NDArray[np.generic]) -> None:
        """Write rows of a plane; they must come in order."""
        words = np.ascontiguousarray(rows).view(np.uint32)
        place = part.data_offset + number * part.plane_bytes + row * part.row_bytes
        height = max(1, _BYTES_AT_ONCE // part.row_bytes)
        room = np.empty((min(height, len(words)), words.shape[1]), dtype=np.uint32)
        for first in range(0, len(words), height):
            piece = words[first : first + height]
            turned = room[: len(piece)]
            total = big_endian(piece, turned)
            raw = turned.data.cast("B")
            with self._told_when_full():
                self._write(raw, place + first * part.row_bytes)
            part.seen(number, raw, total)

    def finish(self) -> None:
        """Write headers and table, and sync the file to disk."""
        with self._told_when_full():
            for part in self.parts:
                raw = with_sums(part.header, part.data_sum)
                if len(raw) != part.data_offset - part.offset:
                    name = part.header.get("EXTNAME", "PRIMARY")
                    raise ValueError(f"the header of part {name} changed its length")
                self._write(raw, part.offset)
            self._write(self._table, self._end)
            self._sync()

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        self._finished = True

    def abandon(self) -> None:
        """Let go of the file, and remove it unless it is finished."""
        if self._descriptor < 0:
            return
        if not self._finished:
            with suppress(FileNotFoundError):
                self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1

    def _write(self, data: bytes | memoryview, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written

    @contextmanager
    def _told_when_full(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                self.abandon()
                raise TooLargeError(
                    f"{self.path}: no room for {self.size / 1e6:.1f} MB",
                    "free space or give another --output",
                ) from error
            raise


@contextmanager
def _going_on_after(*numbers: int) -> Iterator[None]:
    """Go on after errors of the operating system of these numbers."""
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _table_bytes(table: fits.BinTableHDU) -> bytes:
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(stream)
    start = len(stream.getvalue()) - _padded(table.data.nbytes)
    data = stream.getvalue()[start:]
    return with_sums(table.header, sum32(data)) + data
