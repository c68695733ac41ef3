"""Images in FITS files, read by rows: plain and gzipped files, constant arrays, scaled integers.

A plain file stays open from its first read on (a few hundred of them; beyond, each is opened for every read,
so that thousands of exposures are no more files than a process may have); a gzipped one is unpacked once into
an unlinked scratch file. Reads may come from several threads at once, and take only the columns asked for.
"""

import gzip
import os
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import IO, Any

import numpy as np
from astropy.io import fits
from hapctl.ext.files import read_rows
from hapctl.processing.errors import UnusableFileError
from numpy.typing import NDArray

_ALL_COLUMNS = slice(None)
_HIGHEST_DESCRIPTOR = 512
"""Files with higher descriptors are closed after every read; most systems allow 1024."""


class FileBytes:
    """Random access to the bytes of a plain or gzipped file, and of files that belong to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._scratch: IO[bytes] | None = None
        self._beside: list[FileBytes] = []
        self._compressed: fits.HDUList | None = None
        self._reading = Lock()
        self._lock = Lock()
        self._descriptor: int | None = None
        self._finish: weakref.finalize | None = None
        if path.suffix == ".gz":
            self._scratch = tempfile.TemporaryFile(prefix="hapctl-")  # noqa: SIM115 - closed by close()
            try:
                with gzip.open(path) as packed:
                    shutil.copyfileobj(packed, self._scratch, 1 << 20)
                self._scratch.flush()
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                self._scratch.close()
                raise UnusableFileError(f"{path}: damaged gzip file: {error}") from error

    def open_fits(self) -> fits.HDUList:
        if self._scratch is None:
            return fits.open(self.path, memmap=False, lazy_load_hdus=True)
        self._scratch.seek(0)
        readable = os.fdopen(os.dup(self._scratch.fileno()), "rb")  # astropy closes what it is given
        return fits.open(readable, memmap=False, lazy_load_hdus=True)

    def read_block(self, offset: int, stride: int, rows: int, count: int) -> NDArray[np.uint8] | None:
        """Return ``count`` bytes of each of so many rows; None where the file ends before.

        Parameters
        ----------
        offset : int
            Of the first byte.
        stride : int
            Bytes from one row to the next.
        """
        block = np.empty((rows, count), dtype=np.uint8)
        if self._descriptor is not None:
            return block if read_rows(self._descriptor, offset, stride, block) else None
        with self._opened() as descriptor:
            return block if read_rows(descriptor, offset, stride, block) else None

    @contextmanager
    def _opened(self) -> Iterator[int]:
        if self._scratch is not None:
            yield self._scratch.fileno()
            return
        descriptor = self._kept_open()
        if descriptor is not None:
            yield descriptor
            return
        once = os.open(self.path, os.O_RDONLY)
        try:
            yield once
        finally:
            os.close(once)

    def _kept_open(self) -> int | None:
        with self._lock:
            if self._finish is None:
                descriptor = os.open(self.path, os.O_RDONLY)
                if descriptor > _HIGHEST_DESCRIPTOR:
                    os.close(descriptor)
                    return None
                self._descriptor = descriptor
                self._finish = weakref.finalize(self, os.close, descriptor)
            return self._descriptor

    def section(self, key: tuple[str, int], index: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return part of a tile-compressed image, of which only the tiles that are needed are read.

        Parameters
        ----------
        key : (str, int)
            EXTNAME and EXTVER.
        index : tuple of int or slice
        """
        with self._reading:
            if self._compressed is None:
                self._compressed = self.open_fits()
            return np.asarray(self._compressed[key].section[index])

    def beside(self, path: Path) -> "FileBytes":
        """Open a file that is read together with this one, and closed with it."""
        self._beside.append(FileBytes(path))
        return self._beside[-1]

    def close(self) -> None:
        for other in self._beside:
            other.close()
        with self._reading:
            if self._compressed is not None:
                self._compressed.close()
                self._compressed = None
        with self._lock:
            if self._finish is not None:
                self._finish()
                self._finish = self._descriptor = None
        if self._scratch is not None:
            self._scratch.close()


@dataclass(frozen=True)
class ImagePlane:
    """Where the pixels of one image extension lie; ``constant`` stands for an array that is not stored."""

    source: FileBytes
    name: str
    shape: tuple[int, int]
    offset: int
    dtype: np.dtype[np.generic]
    scale: float = 1.0
    zero: float = 0.0
    constant: float | None = None

    def read(
        self, first: int, last: int, dtype: type[np.generic], columns: slice = _ALL_COLUMNS, step: int = 1
    ) -> NDArray[np.generic]:
        width = self.shape[1]
        if self.constant is not None:
            return np.full((len(range(first, last, step)), width), self.constant, dtype=dtype)[:, columns]
        if columns.step in (None, 1):
            left, right, _ = columns.indices(width)
            pixels = self.stored(first, last, left, right, step)
        else:
            pixels = self.stored(first, last, 0, width, step)[:, columns]
        if self.scale != 1.0 or self.zero != 0.0:
            return (pixels * self.scale + self.zero).astype(dtype)
        return pixels.astype(dtype)

    def stored(self, first: int, last: int, left: int, right: int, step: int = 1) -> NDArray[Any]:
        """Return every ``step``-th row, and columns, as they lie in the file: big-endian, without BSCALE."""
        row, size = self.shape[1] * self.dtype.itemsize, self.dtype.itemsize
        start, count = self.offset + first * row + left * size, len(range(first, last, step))
        block = self.source.read_block(start, step * row, count, max(right - left, 0) * size)
        if block is None:
            raise UnusableFileError(
                f"{self.source.path}[{self.name}]: the file ends inside the pixels", "retrieve the file again"
            )
        return block.view(self.dtype)

    def plain(self, kind: str) -> bool:
        """Say whether the pixels lie in the file as they are, of a dtype such as ``>f4``."""
        return self.constant is None and (self.scale, self.zero) == (1.0, 0.0) and self.dtype == kind

    def moved(self, name: str, by: int) -> "ImagePlane":
        """Return the image that lies so many bytes further on (the groups of a cube)."""
        return replace(self, name=name, offset=self.offset + by)


@dataclass(frozen=True)
class CompressedPlane(ImagePlane):
    """The same of a tile-compressed image: ``offset`` counts as in the image that is not compressed."""

    key: tuple[str, int] = ("", 1)
    axes: int = 2

    def stored(self, first: int, last: int, left: int, right: int, step: int = 1) -> NDArray[Any]:
        """Return every ``step``-th row, and columns, as they are after decompression."""
        number = self.offset // (self.shape[0] * self.shape[1] * self.dtype.itemsize)
        if first >= last or left >= right:
            return np.empty((len(range(first, last, step)), max(right - left, 0)), dtype=self.dtype)
        inside = (slice(first, last), slice(left, right))
        return self.source.section(self.key, inside if self.axes == 2 else (number, *inside))[::step]

    def plain(self, kind: str) -> bool:
        """Say that the pixels do not lie in the file as they are."""
        return False


_DTYPE = {8: "u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}


def image_plane(source: FileBytes, hdu: fits.hdu.base._BaseHDU, name: str, axes: int = 2) -> ImagePlane:
    """Return where the pixels of an image lie; of a cube (``axes`` 3) those of its first plane.

    Raises
    ------
    UnusableFileError
        It is no image of so many axes.
    """
    header = hdu.header
    if header.get("NAXIS", 0) == 0 and "PIXVALUE" in header:  # HST's way to write a constant array
        shape = (int(header["NPIX2"]), int(header["NPIX1"]))
        return ImagePlane(source, name, shape, 0, np.dtype("u1"), constant=float(header["PIXVALUE"]))
    if header.get("NAXIS") != axes or header.get("BITPIX") not in _DTYPE:
        raise UnusableFileError(f"{source.path}[{name}]: no image of {axes} dimensions")
    if isinstance(hdu, fits.CompImageHDU):
        # astropy scales what it decompresses
        return CompressedPlane(
            source,
            name,
            (int(header["NAXIS2"]), int(header["NAXIS1"])),
            0,
            np.dtype(_DTYPE[header["BITPIX"]]),
            key=(hdu.name, hdu.ver),
            axes=axes,
        )
    # astropy hides BZERO of unsigned integers behind the dtype of the data it would return
    return ImagePlane(
        source,
        name,
        (int(header["NAXIS2"]), int(header["NAXIS1"])),
        int(hdu.fileinfo()["datLoc"]),
        np.dtype(_DTYPE[header["BITPIX"]]),
        float(header.get("BSCALE", 1.0)),
        float(header.get("BZERO", 0.0)),
    )


class ImageRows:
    """The rows of one image extension, read as they are asked for.

    Parameters
    ----------
    path : path
    name : str, int or (str, int)
        EXTNAME (the first of that name), number, or EXTNAME and EXTVER: ``("IVM", 2)``.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | int | tuple[str, int]) -> None:
        self._bytes = FileBytes(Path(path))
        with self._bytes.open_fits() as hdus:
            self._plane = image_plane(self._bytes, hdus[name], str(name))

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self._plane.shape

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows ``first:last``, float32."""
        return self._plane.read(first, last, np.float32).astype(np.float32, copy=False)

    def __enter__(self) -> "ImageRows":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bytes.close()
