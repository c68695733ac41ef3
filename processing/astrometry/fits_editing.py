"""FITS files edited header by header: what is not touched keeps its bytes.

A file is a list of parts (HDUs), each a header and a stretch of data. Headers may change, parts may come
and go; the data of all others are copied as they lie in the file, and so is a header that did not change.
The result is written aside, synced and renamed: a full disk or a kill leaves the old file as it was.
What an edit took away makes a record of a few kilobytes, from which the old file is rebuilt to the byte.
"""

import gzip
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from hapctl.processing.astrometry.fits_structure import (
    BLOCK,
    data_size,
    parse_header,
    read_header_block,
)
from hapctl.processing.astrometry.writing_aside import compressed, written_aside
from hapctl.processing.errors import MissingFileError, RefusedError, UnusableFileError

if TYPE_CHECKING:
    from astropy.io import fits

_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(eq=False)
class FitsPart:
    """One HDU.

    Attributes
    ----------
    header : astropy.io.fits.Header
        May be changed in place; its structural cards must go with the data.
    data : bytes or None
        New data, without padding; None where they are those of the file.
    offset, span : int
        Where the data lie in the file, padding included.
    original : bytes
        The header as the file has it; empty for a new part.
    loaded : str
        What astropy made of the original: it mends cards that break the standard.
    """

    header: "fits.Header"
    data: bytes | None = None
    offset: int = 0
    span: int = 0
    original: bytes = b""
    loaded: str = ""

    @property
    def name(self) -> str:
        """EXTNAME, or the kind of the extension (HDRLET) where it has none."""
        name = str(self.header.get("EXTNAME") or self.header.get("XTENSION") or "")
        return name.strip().upper()

    @property
    def version(self) -> int:
        """EXTVER, 1 where it is missing."""
        return int(self.header.get("EXTVER", 1))

    @property
    def kind(self) -> str:
        """XTENSION; empty for the primary HDU."""
        return str(self.header.get("XTENSION", "")).strip().upper()


@dataclass
class EditedFile:
    """A FITS file open for editing.

    Attributes
    ----------
    path : Path
        The file it was read from.
    parts : list of FitsPart
        To be changed in place; the primary HDU first.
    """

    path: Path
    parts: list[FitsPart]
    _stream: BinaryIO = field(repr=False)
    _end: int = 0
    _size: int = 0
    _before: tuple[FitsPart, ...] = ()

    @property
    def primary(self) -> "fits.Header":
        """The primary header."""
        return self.parts[0].header

    @property
    def changed(self) -> bool:
        """Whether any part differs from that of the file, came or went."""
        return len(self.parts) != len(self._before) or any(
            part.data is not None or _header_bytes(part) != part.original for part in self.parts
        )

    def named(self, name: str) -> list[FitsPart]:
        """Return the parts of a name, in order of the file."""
        return [part for part in self.parts if part.name == name]

    def data_of(self, part: FitsPart) -> bytes:
        """Return the data of a part, padding included for those of the file."""
        if part.data is not None:
            return part.data
        self._stream.seek(part.offset)
        return self._stream.read(part.span)

    def content_sha256(self) -> str:
        """Return the SHA-256 of the file as it was read, decompressed."""
        self._stream.seek(0)
        return file_digest(self._stream, "sha256").hexdigest()  # type: ignore[arg-type]

    def save(self, path: Path, on_written: Callable[[str], None] = lambda _: None) -> str:
        """Write the file, aside and then renamed; gzipped where the name ends in ``.gz``.

        Parameters
        ----------
        path : Path
            The same as that of the file changes it in place.
        on_written : callable
            Told the SHA-256 of the content when it is written aside, before it gets its name.

        Returns
        -------
        str
            SHA-256 of the content, decompressed.

        Raises
        ------
        TooLargeError
            The disk is full; an older file is as it was.
        RefusedError
            The folder or file can't be written.
        """
        self._finish()
        with written_aside(path) as raw, compressed(raw, path) as stream:
            digest = sha256()
            for piece in self._pieces():
                digest.update(piece)
                stream.write(piece)
            on_written(digest.hexdigest())
        return digest.hexdigest()

    def record(self) -> bytes:
        """Return what :func:`rebuilt` needs to make the old file out of the new one."""
        self._finish()
        kept = {(p.offset, p.span): n for n, p in enumerate(self.parts) if p.data is None and p.span}
        blobs: list[bytes] = []
        steps: list[dict[str, int]] = []
        for part in self._before:
            blobs.append(part.original)
            step = {"header": len(part.original)}
            if (number := kept.get((part.offset, part.span))) is not None:
                step["part"], step["span"] = number, part.span
            else:
                self._stream.seek(part.offset)
                blobs.append(self._stream.read(part.span))
                step["data"] = part.span
            steps.append(step)
        self._stream.seek(self._end)
        blobs.append(self._stream.read(self._size - self._end))
        head = json.dumps({"parts": steps, "rest": self._size - self._end}).encode()
        return zlib.compress(b"\n".join([head, b"".join(blobs)]), 9)

    def _finish(self) -> None:
        """Bring NEXTEND up to date, and the checksums of parts that carry them."""
        if len(self.parts) != len(self._before) and "NEXTEND" in self.primary:
            self.primary["NEXTEND"] = len(self.parts) - 1
        for part in self.parts:
            changed = part.data is not None or _header_bytes(part) != part.original
            if changed and {"CHECKSUM", "DATASUM"} & set(part.header):
                self._sum(part)

    def _sum(self, part: FitsPart) -> None:

        from astropy.io import fits
        from hapctl.processing.astrometry.fits_sums import sum32, with_sums

        total = 0
        for piece in self._data(part):
            total = sum32(piece, total)
        part.header = fits.Header.fromstring(with_sums(part.header, total))

    def _pieces(self) -> Iterator[bytes]:
        for part in self.parts:
            yield _header_bytes(part)
            yield from self._data(part)
        yield from self._stretch(self._end, self._size - self._end)

    def _data(self, part: FitsPart) -> Iterator[bytes]:
        if part.data is not None:
            yield part.data + b"\0" * (-len(part.data) % BLOCK)
        else:
            yield from self._stretch(part.offset, part.span)
            yield b"\0" * (-part.span % BLOCK)

    def _stretch(self, offset: int, size: int) -> Iterator[bytes]:
        self._stream.seek(offset)
        while size > 0:
            piece = self._stream.read(min(size, _CHUNK))
            if not piece:
                raise UnusableFileError(f"{self.path}: it became shorter while it was read", "try it again")
            size -= len(piece)
            yield piece


def _header_bytes(part: FitsPart) -> bytes:
    """Return a header as it goes into the file: its old bytes where no card changed."""
    text = part.header.tostring()
    if part.original and text == part.loaded:
        return part.original
    return bytes(text.encode("ascii", "replace"))


@contextmanager
def editing(path: Path | str) -> Iterator[EditedFile]:
    """Open a FITS file for editing; gzipped ones are decompressed into a temporary file.

    Raises
    ------
    MissingFileError
        No such file.
    UnusableFileError
        Empty, not FITS, or cut.
    """
    from astropy.io import fits

    path = Path(path)
    with _opened(path) as stream:
        stream.seek(0, os.SEEK_END)
        size = stream.tell()
        stream.seek(0)
        parts: list[FitsPart] = []
        while (block := read_header_block(path.name, stream, first=not parts)) is not None:
            header = parse_header(block)
            offset = stream.tell()
            # The last padding may be missing: it is written where something follows.
            span = min(-(-data_size(header) // BLOCK) * BLOCK, size - offset)
            if offset + data_size(header) > size:
                reason = f"{path.name}: truncated: the file ends before its data do"
                raise UnusableFileError(reason, "fetch it again")
            cards = fits.Header.fromstring(block)
            parts.append(FitsPart(cards, None, offset, span, block, cards.tostring()))
            stream.seek(offset + span)
        end = parts[-1].offset + parts[-1].span
        yield EditedFile(path, parts, stream, end, size, tuple(_frozen(part) for part in parts))


def _frozen(part: FitsPart) -> FitsPart:
    return FitsPart(part.header, None, part.offset, part.span, part.original)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            magic = file.read(2)
            file.seek(0)
            if not magic:
                raise UnusableFileError(f"{path}: empty file", "fetch it again")
            if magic != _GZIP_MAGIC:
                yield file
                return
            with tempfile.TemporaryFile() as whole:
                _decompress(path, file, whole)
                whole.seek(0)
                yield cast("BinaryIO", whole)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: no such file", "check the name") from error


def _decompress(path: Path, file: IO[bytes], target: IO[bytes]) -> None:
    try:
        with gzip.GzipFile(fileobj=file) as source:
            shutil.copyfileobj(source, target, _CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnusableFileError(f"{path}: truncated or damaged gzip file", "fetch it again") from error


def rebuilt(path: Path, record: bytes, before_sha256: str, after_sha256: str) -> None:
    """Put the old content of a file back in place.

    Parameters
    ----------
    path : Path
        The file as the edit left it.
    record : bytes
        As from :meth:`EditedFile.record`.
    before_sha256, after_sha256 : str
        SHA-256 of the old content, which is proven before anything is replaced, and of the edited one.

    Raises
    ------
    RefusedError
        The file was changed since; nothing was done.
    """
    head, _, blobs = zlib.decompress(record).partition(b"\n")
    plan = json.loads(head)
    with editing(path) as edited:
        if edited.content_sha256() != after_sha256:
            raise RefusedError(
                f"{path} was changed after that run", "undo the later changes first, or restore it by hand"
            )
        with written_aside(path) as raw:
            digest = sha256()
            with compressed(raw, path) as stream:
                for piece in _old_pieces(edited, plan, blobs):
                    digest.update(piece)
                    stream.write(piece)
            if digest.hexdigest() != before_sha256:
                raise RefusedError(f"{path}: the record of its old state does not fit", "restore it by hand")


def _old_pieces(edited: EditedFile, plan: dict[str, list[dict[str, int]]], blobs: bytes) -> Iterator[bytes]:
    at = 0
    for step in plan["parts"]:
        yield blobs[at : at + step["header"]]
        at += step["header"]
        if "part" in step:
            yield from edited._stretch(edited.parts[step["part"]].offset, step["span"])
        else:
            yield blobs[at : at + step["data"]]
            at += step["data"]
    yield blobs[at:]
