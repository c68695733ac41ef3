"""A FITS file whose images are tile-compressed (FITS 4.0, section 10), a row a tile, written band by band.

``gzip`` keeps every bit (GZIP_2; at level 1, for higher ones gain nothing on noise). ``rice`` rounds SCI to a
sixteenth of the noise of each row (RICE_1 with subtractive dither of a fixed seed; zeros and NaN stay) and
keeps every bit of the other images; rows whose noise can't be told stay as they are. Rounded rows are
compressed by astropy, all others here; rows of one value, which most of a whole tile are, only once. What
comes out lies in unlinked scratch files until the headers are known, so memory does not depend on the size of
the images. The checksum of the pixels is that of what a reader gets. The same pixels and description give
the same bytes.
"""

import io
import tempfile
import zlib
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from astropy.io import fits
from hapctl.ext.writing import big_endian
from hapctl.processing.astrometry.fits_sums import sum32, with_sums
from hapctl.processing.imaging.fits_parts import BLOCK, FilePart, PartsFile
from numpy.typing import NDArray

Compression = Literal["rice", "gzip"]

NOISE_STEPS = 16
"""Steps of the rounding of ``rice`` in one sigma: its noise is 1/55 of that of the image."""
_GZIP_STREAM = 31  # zlib's number for the largest window and a header of gzip
_ROWS_AT_ONCE = 64
_COPIED_AT_ONCE = 1 << 20
_SEEDS = 10_000  # random numbers of the dither, which the convention takes in turn
_SUBTRACTIVE_DITHER_2 = 2
_LARGEST_P = (1 << 31) - 1
_OF_IMAGES = ("XTENSION", "BITPIX", "PCOUNT", "GCOUNT", "CHECKSUM", "DATASUM")
_DTYPE = {"P": ">i4", "Q": ">i8", "D": ">f8", "J": ">i4"}


class CompressedPart(FilePart):
    """One image: a row of its table for each row of each of its planes, and its heap."""

    def __init__(self, header: fits.Header, planes: int, shape: tuple[int, int], lossy: bool) -> None:
        super().__init__(header, 0, planes, shape)
        self.shape = shape
        self.lossy = lossy
        self.table_header: fits.Header | None = None
        self.table: NDArray[Any] = np.empty(0)
        self.heap: IO[bytes] | None = None
        self.heap_size = 0
        self.tiles = planes * shape[0]
        self._known: dict[tuple[int, int], bytes] = {}  # by number of rows, and the word in all of them

    def compressed(self, rows: NDArray[np.generic], first: int) -> bytes:
        """Return a small FITS file of rows, of which the first is tile number ``first``."""
        settings: dict[str, Any] = {"compression_type": "GZIP_2", "quantize_level": 0.0}
        if self.lossy:
            settings = {
                "compression_type": "RICE_1",
                "quantize_level": float(NOISE_STEPS),
                "quantize_method": _SUBTRACTIVE_DITHER_2,
                "dither_seed": first % _SEEDS + 1,
            }
        hdu = fits.CompImageHDU(rows, tile_shape=(1, rows.shape[1]), **settings)
        stream = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream)
        return stream.getvalue()

    def put_rows(self, rows: NDArray[np.generic], first: int) -> NDArray[np.generic]:
        """Compress rows, of which the first is tile number ``first``; return them as a reader gets them."""
        if not self.lossy:
            self._keep_exactly(rows, first)
            return rows
        words = rows.view(np.uint32)
        if not (words == words[0, 0]).all():
            small = self.compressed(rows, first)
            self._keep(small, first)
            return _as_read(small)
        key = len(rows), int(words[0, 0])
        if key not in self._known:
            self._known[key] = self.compressed(rows, first)
        self._keep(self._known[key], first)
        return rows  # without noise they are not rounded

    def _keep_exactly(self, rows: NDArray[np.generic], first: int) -> None:
        """Compress rows as GZIP_2 does: the first bytes of all pixels, then the second ..."""
        assert self.heap is not None
        if self.table_header is None:
            self._begin(_table_of(self.compressed(rows[:1], first))[0])
        for number, words in enumerate(rows.view(np.uint32), first):
            stream = self._stream(words)
            self.table["COMPRESSED_DATA"][number] = len(stream), self.heap_size
            self.heap.write(stream)
            self.heap_size += len(stream)

    def _stream(self, words: NDArray[np.uint32]) -> bytes:
        if not (words == words[0]).all():
            return _gzip(words)
        key = 1, int(words[0])
        if key not in self._known:
            self._known[key] = _gzip(words, zlib.Z_BEST_COMPRESSION)
        return self._known[key]

    def _begin(self, header: fits.Header) -> None:
        self.table_header = header
        self.table = np.zeros(self.tiles, dtype=_wide(_table_dtype(header)))

    def _keep(self, small: bytes, first: int) -> None:
        """Take table and heap out of a small file."""
        assert self.heap is not None
        header, place = _table_of(small)
        dtype = _table_dtype(header)
        table = np.frombuffer(small, dtype=dtype, count=header["NAXIS2"], offset=place).copy()
        heap = bytearray(small[place + table.nbytes :][: header["PCOUNT"]])
        if self.table_header is None:
            self._begin(header)
        elif "ZBLANK" in header:
            self.table_header["ZBLANK"] = header["ZBLANK"]
        _forget_times(heap, table)
        rows = self.table[first : first + len(table)]
        for name in dtype.names or ():
            rows[name] = table[name]
            if rows[name].ndim == 2:
                rows[name][:, 1] += np.where(rows[name][:, 0] > 0, self.heap_size, 0)
        self.heap.write(heap)
        self.heap_size += len(heap)

    def final_table(self) -> NDArray[Any]:
        """Return the table, with descriptors as narrow as the heap allows."""
        wide = self.table.dtype
        if self.heap_size > _LARGEST_P:
            return self.table
        narrow = [
            (name, ">i4" if wide[name].base == ">i8" else wide[name].base, wide[name].shape)
            for name in wide.names or ()
        ]
        return self.table.astype(narrow)

    def final_header(self, table: NDArray[Any]) -> fits.Header:
        """Return the header of the table: its own cards, then those of the image."""
        assert self.table_header is not None
        header = self.table_header
        for keyword in ("EXTNAME", "CHECKSUM", "DATASUM", "ZDITHER0"):
            header.remove(keyword, ignore_missing=True)
        image = self.header
        header["NAXIS1"], header["NAXIS2"] = table.dtype.itemsize, len(table)
        header["PCOUNT"] = self.heap_size
        for number, name in enumerate(table.dtype.names or (), 1):
            if table.dtype[name].shape:
                longest = int(table[name][:, 0].max(initial=0))
                letter = "Q" if table.dtype[name].base == ">i8" else "P"
                header[f"TFORM{number}"] = f"1{letter}B({longest})"
        axes = int(image["NAXIS"])
        header["ZNAXIS"] = axes
        for axis in range(1, axes + 1):
            header[f"ZNAXIS{axis}"] = image[f"NAXIS{axis}"]
            header[f"ZTILE{axis}"] = image["NAXIS1"] if axis == 1 else 1
        header["ZQUANTIZ"] = "SUBTRACTIVE_DITHER_2" if self.lossy else "NO_DITHER"
        if self.lossy:
            header["ZDITHER0"] = 1
        for card in image.cards:
            if card.keyword not in _OF_IMAGES and not card.keyword.startswith("NAXIS"):
                header.append(card, end=True)
        return header


class CompressedFile(PartsFile):
    """The file: as a `PartsFile`, its images compressed.

    Parameters
    ----------
    path : path
        An older file there is overwritten by `open`.
    table : BinTableHDU, optional
        The last HDU.
    compress : {"rice", "gzip"}
    """

    def __init__(self, path: Path, table: fits.BinTableHDU | None, compress: Compression) -> None:
        super().__init__(path, table)
        self._compress = compress

    def add(self, header: fits.Header, planes: int = 0, shape: tuple[int, int] = (0, 0)) -> None:
        """Add a part; one without planes is a header alone."""
        if not planes:
            super().add(header)
            return
        lossy = self._compress == "rice" and header["EXTNAME"] == "SCI"
        self.parts.append(CompressedPart(header, planes, shape, lossy))

    def _reserve(self) -> None:
        """Open the scratch files; how large the file will be nobody knows."""
        for part in self.parts:
            if isinstance(part, CompressedPart):
                part.heap = tempfile.TemporaryFile(dir=self.path.parent, prefix=".hapctl-")  # noqa: SIM115 - closed by abandon

    def put(self, part: FilePart, number: int, row: int, rows: NDArray[np.generic]) -> None:
        """Compress rows of a plane; they must come in order."""
        assert isinstance(part, CompressedPart)
        rows = np.ascontiguousarray(rows)
        with self._told_when_full():
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                some = rows[start : start + _ROWS_AT_ONCE]
                first = number * part.shape[0] + row + start
                _count(part, number, part.put_rows(some, first))

    def finish(self) -> None:
        """Put the file together and sync it to disk."""
        with self._told_when_full():
            offset = 0
            for part in self.parts:
                if isinstance(part, CompressedPart):
                    offset = self._write_part(part, offset)
                else:
                    raw = with_sums(part.header, 0)
                    self._write(raw, offset)
                    offset += len(raw)
            self._write(self._table, offset)
            self._sync()
        self._let_go()

    def _write_part(self, part: CompressedPart, offset: int) -> int:
        """Write header, table and heap; return where the next part begins."""
        assert part.heap is not None
        table = part.final_table()
        header = part.final_header(table)
        start = offset + len(with_sums(header, 0))
        part.heap.seek(0)
        body = _Joined(table.tobytes(), part.heap)
        at, total = start, 0
        while block := body.read(_COPIED_AT_ONCE):
            block += bytes(-len(block) % BLOCK)
            total = sum32(block, total)
            self._write(block, at)
            at += len(block)
        self._write(with_sums(header, total), offset)
        return at

    def abandon(self) -> None:
        """Let go of the file and its scratch files; remove it unless it is finished."""
        self._let_go()
        super().abandon()

    def _let_go(self) -> None:
        for part in self.parts:
            if isinstance(part, CompressedPart) and part.heap is not None:
                part.heap.close()
                part.heap = None


class _Joined:
    """Bytes, then those of a file, read in blocks of a whole number of FITS blocks until the last."""

    def __init__(self, head: bytes, tail: IO[bytes]) -> None:
        self._head = io.BytesIO(head)
        self._tail = tail

    def read(self, size: int) -> bytes:
        size -= size % BLOCK
        found = self._head.read(size)
        return found + self._tail.read(size - len(found))


def _count(part: FilePart, number: int, rows: NDArray[np.generic]) -> None:
    """Add rows to the checksum of a plane, as an uncompressed file would have them."""
    words = np.ascontiguousarray(rows).view(np.uint32)
    turned = np.empty(words.shape, dtype=np.uint32)
    total = big_endian(words, turned)
    part.seen(number, turned.data.cast("B"), total)


def _gzip(words: NDArray[np.uint32], level: int = zlib.Z_BEST_SPEED) -> bytes:
    """Compress a row by GZIP_2: the first bytes of all pixels, then the second ...; no time is kept."""
    packer = zlib.compressobj(level, zlib.DEFLATED, _GZIP_STREAM)
    turned = words.astype(">u4").view(np.uint8).reshape(-1, 4).T
    return packer.compress(turned.tobytes()) + packer.flush()


def _table_of(small: bytes) -> tuple[fits.Header, int]:
    """Return the header of the table of a small file, and where the table lies."""
    with fits.open(io.BytesIO(small), disable_image_compression=True) as hdus:
        return hdus[1].header.copy(), int(hdus[1].fileinfo()["datLoc"])


def _as_read(small: bytes) -> NDArray[np.float32]:
    with fits.open(io.BytesIO(small)) as hdus:
        return np.asarray(hdus[1].data, dtype=np.float32)


def _table_dtype(header: fits.Header) -> np.dtype[Any]:
    """The columns of a compressed image: descriptors (length, offset) and numbers."""
    fields: list[Any] = []
    for number in range(1, header["TFIELDS"] + 1):
        letter = header[f"TFORM{number}"].lstrip("1")[0]
        shape = (2,) if letter in "PQ" else ()
        fields.append((header[f"TTYPE{number}"], _DTYPE[letter], shape))
    return np.dtype(fields)


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same with 64-bit descriptors."""
    return np.dtype(
        [(name, ">i8" if dtype[name].shape else dtype[name], dtype[name].shape) for name in dtype.names or ()]
    )


def _forget_times(heap: bytearray, table: NDArray[Any]) -> None:
    """Clear the time that each gzip stream was made at."""
    if "GZIP_COMPRESSED_DATA" in (table.dtype.names or ()):
        for length, offset in table["GZIP_COMPRESSED_DATA"].tolist():
            if length:
                heap[offset + 4 : offset + 8] = bytes(4)
