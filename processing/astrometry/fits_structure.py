"""The structure of a FITS file: headers as plain dicts, where the data lie, whether they are whole.

Headers of HST files are read by the hundred thousand; this reader parses only what it is asked to
keep. Of pixels it reads those of a SCI image up to the first that is not zero, which mostly is the first.
Plain and gzipped files; one pass, forward only.
"""

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from hapctl.processing.errors import UnusableFileError

BLOCK = 2880
CARD = 80

HeaderValue = str | int | float | bool | None
Header = dict[str, HeaderValue]
"""Keyword -> value, first occurrence; record-valued cards as ``DP1.EXTVER``; COMMENT and HISTORY as
one string with line breaks."""

_RECORD_VALUED = re.compile(r"(DP|DQ|D2IM)[12]")
_GZIP_MAGIC = b"\x1f\x8b"
_TABLES = frozenset({"HDRLET", "WCSDVARR", "D2IMARR"})
_LARGEST_KEPT = 1 << 27
_LARGEST_HEADER = 1 << 24
_LARGEST_DATA = 1 << 50
_LARGEST_NUMBER = (1 << 31) - 1
_MOST_AXES = 999
_WATCHED = 16 * BLOCK


@dataclass(frozen=True)
class Extension:
    """One HDU: its header, its data where they were kept; of a SCI image whether it is zero throughout."""

    index: int
    header: Header
    data_size: int
    data: bytes | None = field(default=None, repr=False)
    blank: bool = False

    @property
    def name(self) -> str:
        """EXTNAME, or the kind of the extension (HDRLET) where it has none."""
        return text(self.header, "EXTNAME").upper() or text(self.header, "XTENSION").upper()

    @property
    def version(self) -> int:
        """EXTVER, 1 where it is missing."""
        return whole_number(self.header, "EXTVER", 1)


def text(header: Header, keyword: str, default: str = "") -> str:
    """Return a keyword as stripped text; ``default`` where it is missing or blank."""
    value = header.get(keyword)
    return default if value is None else (str(value).strip() or default)


def number(header: Header, keyword: str, default: float = float("nan")) -> float:
    """Return a keyword as a float; ``default`` where it is missing or no number."""
    value = header.get(keyword)
    if value is None or isinstance(value, bool):
        return default
    try:
        return float(value)
    except ValueError:
        return default


def whole_number(header: Header, keyword: str, default: int = 0, largest: int = _LARGEST_NUMBER) -> int:
    """Return a keyword as an int; ``default`` where it is missing or no number.

    Raises
    ------
    UnusableFileError
        Not finite, or larger than ``largest``: a damaged card, whose number must not be counted to.
    """
    value = number(header, keyword, default)
    if not abs(value) <= largest:
        raise UnusableFileError(f"{keyword} is {value:g}, which no HST file has", "fetch it again")
    return int(value)


def parse_value(field_text: str) -> HeaderValue:
    """Parse the value field of a card (columns 11 to 80), comment included."""
    body = field_text.lstrip()
    if body.startswith("'"):
        return _string(body)
    token = body.split("/", 1)[0].strip()
    if token in ("T", "F"):
        return token == "T"
    if not token:
        return None
    try:
        return int(token) if token.lstrip("+-").isdigit() else float(token.upper().replace("D", "E"))
    except ValueError:
        return token


def _string(body: str) -> str:
    end = body.find("'", 1)
    while 0 < end < len(body) - 1 and body[end + 1] == "'":
        end = body.find("'", end + 2)
    return body[1 : end if end > 0 else None].replace("''", "'").rstrip()


def parse_header(block: bytes) -> Header:
    """Parse the cards of a header, up to END, into a dict."""
    header: Header = {}
    cards = block.decode("latin-1")
    last = ""
    for start in range(0, len(cards), CARD):
        card = cards[start : start + CARD]
        keyword = card[:8].rstrip()
        if card[8:10] == "= ":
            last = _add(header, keyword, parse_value(card[10:]))
        elif keyword == "CONTINUE":
            _continue(header, last, parse_value(card[8:]))
        elif keyword == "HIERARCH" and "=" in card:
            name, _, rest = card[9:].partition("=")
            last = _add(header, name.strip(), parse_value(rest))
        elif keyword in ("COMMENT", "HISTORY"):
            line = card[8:].rstrip()
            header[keyword] = f"{header[keyword]}\n{line}" if keyword in header else line
        elif keyword == "END":
            break
    return header


def _add(header: Header, keyword: str, value: HeaderValue) -> str:
    """Add a card and return the name it went under: a record-valued card has a name of its own."""
    if isinstance(value, str) and ": " in value and _RECORD_VALUED.fullmatch(keyword):
        field_name, _, number_text = value.partition(": ")
        record = parse_value(number_text)
        if isinstance(record, int | float) and " " not in field_name:
            keyword, value = f"{keyword}.{field_name}", record
    header.setdefault(keyword, value)
    return keyword


def _continue(header: Header, keyword: str, value: HeaderValue) -> None:
    before = header.get(keyword)
    if isinstance(before, str) and before.endswith("&"):
        header[keyword] = before[:-1] + str(value if value is not None else "")


def data_size(header: Header) -> int:
    """Return the size of the data of an HDU in bytes, without padding.

    Raises
    ------
    UnusableFileError
        NAXIS, NAXISn, PCOUNT or GCOUNT is negative or beyond any file.
    """
    axes = _count(header, "NAXIS", 0, _MOST_AXES)
    if axes == 0:
        return 0
    elements = 1
    for axis in range(1, axes + 1):
        elements *= _count(header, f"NAXIS{axis}", 0, _LARGEST_DATA)
    elements += _count(header, "PCOUNT", 0, _LARGEST_DATA)
    return abs(whole_number(header, "BITPIX", 8)) // 8 * _count(header, "GCOUNT", 1) * elements


def _count(header: Header, keyword: str, default: int, largest: int = _LARGEST_NUMBER) -> int:
    value = whole_number(header, keyword, default, largest)
    if value < 0:
        raise UnusableFileError(f"{keyword} is {value}, which no HST file has", "fetch it again")
    return value


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def keep_tables(header: Header) -> bool:
    """Say whether an HDU's data are needed to read WCS solutions: headerlets, lookup and ASCII tables."""
    kind = text(header, "XTENSION").upper()
    return kind in ("HDRLET", "TABLE") or text(header, "EXTNAME").upper() in _TABLES


def read_fits(path: Path, keep: Callable[[Header], bool] = keep_tables) -> list[Extension]:
    """Read the headers of a FITS file, and the data of the HDUs asked for.

    Parameters
    ----------
    path : Path
        A FITS file, plain or gzipped.
    keep : callable
        Says of a header whether its data are kept; the default keeps headerlets and lookup tables.

    Returns
    -------
    list of Extension
        The primary HDU first.

    Raises
    ------
    UnusableFileError
        Where the file is empty, not FITS, or ends before its data do.
    """
    with _opened(path) as stream:
        return _read_all(path.name, stream, keep)


def primary_header(path: Path) -> Header:
    """Read the primary header of a FITS file, plain or gzipped; errors as in :func:`read_fits`."""
    with _opened(path) as stream:
        block = read_header_block(path.name, stream, first=True)
    return parse_header(block or b"")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, decompressed where it is gzipped; damage met while reading is said in our words."""
    with path.open("rb") as file, _decompressed(path.name, file) as stream:
        yield stream


@contextmanager
def _decompressed(name: str, file: BinaryIO) -> Iterator[BinaryIO]:
    try:
        magic = file.read(2)
        file.seek(0)
        if not magic:
            raise UnusableFileError(f"{name}: empty file", "fetch it again")
        if magic != _GZIP_MAGIC:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as stream:
            yield cast(BinaryIO, stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnusableFileError(f"{name}: truncated or damaged gzip file", "fetch it again") from error


def read_fits_bytes(
    content: bytes, name: str, keep: Callable[[Header], bool] = keep_tables
) -> list[Extension]:
    """Read a FITS file held in memory (a headerlet); ``name`` is used in error messages."""
    with _decompressed(name, io.BytesIO(content)) as stream:
        return _read_all(name, stream, keep)


def _read_all(name: str, stream: BinaryIO, keep: Callable[[Header], bool]) -> list[Extension]:
    extensions: list[Extension] = []
    while (block := read_header_block(name, stream, first=not extensions)) is not None:
        header = parse_header(block)
        size = data_size(header)
        data, blank = None, False
        if 0 < size <= _LARGEST_KEPT and keep(header):
            data = _read_data(name, stream, size)
        else:
            blank = _skip_data(name, stream, size, watched=text(header, "EXTNAME").upper() == "SCI")
        extensions.append(Extension(len(extensions), header, size, data, blank))
    return extensions


def read_header_block(name: str, stream: BinaryIO, *, first: bool) -> bytes | None:
    """Read the blocks of one header; None at the end of the file or at bytes that are no header."""
    block = stream.read(BLOCK)
    if first and not block.startswith(b"SIMPLE  ="):
        raise UnusableFileError(f"{name}: not a FITS file", "")
    if not first and not block.startswith(b"XTENSION"):
        if block and b"XTENSION".startswith(block):
            raise UnusableFileError(f"{name}: truncated inside a header", "fetch it again")
        return None  # the standard allows special records after the last HDU
    blocks = [block]
    while not _ends(block):
        if len(blocks) * BLOCK > _LARGEST_HEADER:
            raise UnusableFileError(f"{name}: a header without END", "fetch it again")
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            raise UnusableFileError(f"{name}: truncated inside a header", "fetch it again")
        blocks.append(block)
    return b"".join(blocks)


def _ends(block: bytes) -> bool:
    found = block.find(b"END     ")
    while found >= 0 and (found % CARD or block[found : found + CARD].strip() != b"END"):
        found = block.find(b"END     ", found + 1)
    return found >= 0


def _read_data(name: str, stream: BinaryIO, size: int) -> bytes:
    data = stream.read(_padded(size))[:size]
    if len(data) < size:
        raise _truncated(name)
    return data


def _skip_data(name: str, stream: BinaryIO, size: int, *, watched: bool) -> bool:
    """Move to the next header; one byte is read at the end to prove that the data are there.

    Returns whether data that are watched are zero throughout; of others nothing else is read.
    """
    if size == 0:
        return False
    if size > _LARGEST_DATA:
        raise _truncated(name)
    start = stream.tell()
    zero = watched and _all_zero(stream, size - 1)
    stream.seek(start + size - 1)
    last = stream.read(1) if stream.tell() == start + size - 1 else b""
    if not last:
        raise _truncated(name)
    stream.seek(start + _padded(size))
    return zero and last == b"\0"


def _all_zero(stream: BinaryIO, size: int) -> bool:
    """Read until a byte is not zero."""
    while size > 0:
        block = stream.read(min(size, _WATCHED))
        if not block or block.count(0) < len(block):
            return False
        size -= len(block)
    return True


def _truncated(name: str) -> UnusableFileError:
    return UnusableFileError(f"{name}: truncated: the file ends before its data do", "fetch it again")
