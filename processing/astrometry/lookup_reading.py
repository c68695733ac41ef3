"""The lookup tables (NPOL, D2IM) that a header refers to, as HST writes them.

Conventions: ``CPDISi``/``DPi`` name WCSDVARR extensions, ``D2IMDISi``/``D2IMi`` name D2IMARR
extensions; ``AXISCORR`` (the 1-D table of 2010 to 2014) overrides D2IMDIS; ``DPi.AXIS.i`` other than
i means the table is stored transposed; a negative CPERRi or D2IMERRi means the table is not used.
"""

import numpy as np
from hapctl.processing.astrometry.fits_structure import Extension, Header, number, text, whole_number
from hapctl.processing.astrometry.solution import LookupTable
from hapctl.processing.errors import UnusableFileError
from numpy.typing import NDArray

TablePair = tuple[LookupTable | None, LookupTable | None]
_Names = tuple[str, str, str, str]

_NPOL: _Names = ("CPDIS", "DP", "CPERR", "WCSDVARR")
_D2IM: _Names = ("D2IMDIS", "D2IM", "D2IMERR", "D2IMARR")

_TYPES = {-32: ">f4", -64: ">f8", 8: "u1", 16: ">i2", 32: ">i4"}


class TableStore:
    """The WCSDVARR and D2IMARR extensions of one file; each is decoded once."""

    def __init__(self, extensions: list[Extension]) -> None:
        self._extensions = {(e.name, e.version): e for e in extensions if e.data is not None}
        self._tables: dict[tuple[str, int, bool], LookupTable | None] = {}

    def table(self, name: str, version: int, *, transposed: bool = False) -> LookupTable | None:
        """Return a lookup table; None where the file does not hold it."""
        key = (name, version, transposed)
        if key not in self._tables:
            extension = self._extensions.get((name, version))
            self._tables[key] = None if extension is None else _decode(extension, transposed)
        return self._tables[key]


def _decode(extension: Extension, transposed: bool) -> LookupTable:
    header = extension.header
    shape = whole_number(header, "NAXIS2", 1), whole_number(header, "NAXIS1", 1)
    kind = _TYPES.get(whole_number(header, "BITPIX", 8))
    data = extension.data or b""
    if kind is None or min(shape) < 1 or len(data) != shape[0] * shape[1] * np.dtype(kind).itemsize:
        raise _damaged(extension, "it is no image of two axes")
    values: NDArray[np.float32] = np.frombuffer(data, dtype=kind).reshape(shape).astype(np.float32)
    table = LookupTable(
        values=np.ascontiguousarray(values.T) if transposed else values,
        crpix=(number(header, "CRPIX1", 0.0), number(header, "CRPIX2", 0.0)),
        crval=(number(header, "CRVAL1", 0.0), number(header, "CRVAL2", 0.0)),
        cdelt=(number(header, "CDELT1", 1.0), number(header, "CDELT2", 1.0)),
    )
    if not np.isfinite(values).all() or not np.isfinite([table.crpix, table.crval, table.cdelt]).all():
        raise _damaged(extension, "its numbers are not finite")
    if 0.0 in table.cdelt:
        raise _damaged(extension, "its CDELT is 0")
    return table


def _damaged(extension: Extension, reason: str) -> UnusableFileError:
    name = f"{extension.name},{extension.version}"
    return UnusableFileError(f"lookup table {name} is damaged: {reason}", "fetch it again")


def polynomial_tables(header: Header, tables: TableStore) -> TablePair:
    """Return the NPOL tables (x, y) of a SCI or SIPWCS header."""
    return _pair(header, tables, _NPOL)


def detector_tables(header: Header, tables: TableStore) -> TablePair:
    """Return the D2IM tables (x, y) of a SCI or SIPWCS header."""
    axis = whole_number(header, "AXISCORR")
    if "AXISCORR" in header:
        table = tables.table("D2IMARR", 1)
        return (table if axis == 1 else None, table if axis == 2 else None)
    return _pair(header, tables, _D2IM)


def absent_table(header: Header, tables: TableStore) -> str:
    """Name a lookup table the header asks for and the file does not hold, or return an empty string."""
    old_form = "AXISCORR" in header
    if old_form and tables.table("D2IMARR", 1) is None:
        return "D2IMARR,1"
    for names in (_NPOL,) if old_form else (_NPOL, _D2IM):
        for axis in (1, 2):
            version = _version(header, axis, names)
            if version is not None and tables.table(names[3], version) is None:
                return f"{names[3]},{version}"
    return ""


def _pair(header: Header, tables: TableStore, names: _Names) -> TablePair:
    return _one(header, tables, 1, names), _one(header, tables, 2, names)


def _version(header: Header, axis: int, names: _Names) -> int | None:
    """Return which table corrects an axis; None where none does."""
    kind, record, error, _ = names
    if text(header, f"{kind}{axis}").lower() != "lookup" or number(header, f"{error}{axis}", 0.0) < 0.0:
        return None
    return whole_number(header, f"{record}{axis}.EXTVER", 1)


def _one(header: Header, tables: TableStore, axis: int, names: _Names) -> LookupTable | None:
    version = _version(header, axis, names)
    if version is None:
        return None
    transposed = whole_number(header, f"{names[1]}{axis}.AXIS.{axis}", axis) != axis
    return tables.table(names[3], version, transposed=transposed)
