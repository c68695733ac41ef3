"""The file of a product: PRIMARY, SCI, WHT, CTX and HDRTAB, written band by band.

The places of all parts are known before the first band, so a band goes straight to disk and nothing
is held. The headers, with the statistics and checksums, are written last. Same pixels and same
description give the same bytes.
"""

import errno
import hashlib
import io
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from astropy.io import fits
from hapctl.processing.errors import TooLargeError
from hapctl.processing.imaging.fits_sums import sum32, with_sums
from hapctl.processing.imaging.product_header import (
    ProductDescription,
    context_header,
    context_planes,
    input_table,
    primary_header,
    science_header,
    weight_header,
)
from hapctl.processing.imaging.product_statistics import ProductStatistics, StatisticsGatherer
from numpy.typing import NDArray

_BLOCK = 2880


@dataclass(frozen=True)
class WrittenProduct:
    """A product file as written.

    Attributes
    ----------
    path : Path
    pixels_sha256 : str
        Of the pixels of SCI, WHT and CTX, whatever the headers say.
    statistics : ProductStatistics
    """

    path: Path
    pixels_sha256: str
    statistics: ProductStatistics


class _Part:
    """One HDU in the file: where it lies, and the sums over what was written of it."""

    def __init__(self, header: fits.Header, offset: int, planes: int, plane_bytes: int) -> None:
        self.header = header
        self.offset = offset
        self.plane_bytes = plane_bytes
        self.data_offset = offset + len(with_sums(header, 0))
        self.end = self.data_offset + _padded(planes * plane_bytes)
        self.data_sum = 0
        self.hashes = [hashlib.sha256() for _ in range(planes)]

    def digest(self) -> bytes:
        return b"".join(plane.digest() for plane in self.hashes)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _layout(product: ProductDescription) -> tuple[list[_Part], fits.BinTableHDU, int]:
    height, width = product.grid.shape
    plane = 4 * height * width
    planes = context_planes(len(product.inputs))
    primary = _Part(primary_header(product, ProductStatistics()), 0, 0, 0)
    parts = [primary]
    for header, count in (
        (science_header(product), 1),
        (weight_header(product), 1),
        (context_header(product), planes),
    ):
        parts.append(_Part(header, parts[-1].end, count, plane))
    table = input_table(product.inputs)
    size = parts[-1].end + len(with_sums(table.header, 0)) + _padded(table.data.nbytes)
    return parts, table, size


class ProductWriter:
    """Writes a product file; use as a context manager, so that a failure leaves nothing behind.

    Parameters
    ----------
    path : path
        Where to write; an older file there (of a killed run) is overwritten.
    product : ProductDescription
    area_ratio : float
        Largest s squared of the chips (`PreparedChip.scale_ratio`).

    Raises
    ------
    TooLargeError
        The disk has no room for the file.
    """

    def __init__(self, path: Path, product: ProductDescription, area_ratio: float = 1.0) -> None:
        self.path = path
        self.product = product
        self._parts, self._table, size = _layout(product)
        self._statistics = _gatherer(product, area_ratio)
        self._row = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            self._reserve(size)
        except OSError as error:
            self._abandon()
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise TooLargeError(
                    f"{path}: no room for {size / 1e6:.1f} MB", "free space or give another --output"
                ) from error
            raise

    def _reserve(self, size: int) -> None:
        if hasattr(os, "posix_fallocate"):  # a full disk is met before the work, not after it
            os.posix_fallocate(self._file, 0, size)
        os.ftruncate(self._file, size)

    def write(
        self, science: NDArray[np.float32], weight: NDArray[np.float32], context: NDArray[np.int32]
    ) -> None:
        """Write the next band.

        Parameters
        ----------
        science, weight : ndarray, shape (rows, nx), float32
        context : ndarray, shape (planes, rows, nx), int32
        """
        self._statistics.add(weight, context)
        for part, data in zip(self._parts[1:], (science[None], weight[None], context), strict=True):
            for number, plane in enumerate(data):
                self._put(part, number, plane)
        self._row += science.shape[0]

    def _put(self, part: _Part, number: int, plane: NDArray[np.generic]) -> None:
        raw = plane.astype(plane.dtype.newbyteorder(">")).tobytes()
        width = 4 * self.product.grid.shape[1]
        _write_all(self._file, raw, part.data_offset + number * part.plane_bytes + self._row * width)
        part.data_sum = sum32(raw, part.data_sum)
        part.hashes[number].update(raw)

    def finish(self) -> WrittenProduct:
        """Write headers and table, and sync the file to disk."""
        if self._row != self.product.grid.shape[0]:
            raise ValueError(f"{self._row} of {self.product.grid.shape[0]} rows were written")
        statistics = self._statistics.result()
        primary = self._parts[0]
        primary.header = primary_header(self.product, statistics)
        for part in self._parts:
            raw = with_sums(part.header, part.data_sum)
            if len(raw) != part.data_offset - part.offset:
                raise ValueError(
                    f"the header of part {part.header.get('EXTNAME', 'PRIMARY')} changed its length"
                )
            _write_all(self._file, raw, part.offset)
        _write_all(self._file, _table_bytes(self._table), self._parts[-1].end)
        os.fsync(self._file)
        os.close(self._file)
        self._file = -1
        pixels = hashlib.sha256(b"".join(part.digest() for part in self._parts[1:])).hexdigest()
        return WrittenProduct(self.path, pixels, statistics)

    def _abandon(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            with suppress(FileNotFoundError):
                self.path.unlink()

    def __enter__(self) -> "ProductWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._abandon()


def _gatherer(product: ProductDescription, area_ratio: float) -> StatisticsGatherer:
    bits: dict[str, list[int]] = {}
    times: dict[str, float] = {}
    for chip in product.inputs:
        bits.setdefault(chip.rootname, []).append(chip.context_bit)
        times[chip.rootname] = chip.exposure_time
    return StatisticsGatherer(list(bits.values()), list(times.values()), area_ratio)


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _table_bytes(table: fits.BinTableHDU) -> bytes:
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(stream)
    start = len(stream.getvalue()) - _padded(table.data.nbytes)
    data = stream.getvalue()[start:]
    return with_sums(table.header, sum32(data)) + data


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks of 1 MiB."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
