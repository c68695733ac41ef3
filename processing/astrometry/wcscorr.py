"""The WCSCORR table: the history of a file's WCSs that stwcs keeps. Rows are added, none is changed."""

import re
from typing import Any

import numpy as np
from hapctl.processing.astrometry.fits_editing import EditedFile, FitsPart
from hapctl.processing.astrometry.headerlet import orientation, reference_root
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.errors import UnusableFileError
from numpy.typing import NDArray

_FORM = re.compile(r"(\d*)([AIJDEL])")
_TYPES = {"I": ">i2", "J": ">i4", "E": ">f4", "D": ">f8"}


def add_rows(edited: EditedFile, solution: WcsSolution, hdrname: str) -> int:
    """Add a row for each chip of the WCS that became primary, where a file has the table.

    Blank rows of the table are filled first. What is the last row of its chip already is not added again.

    Returns
    -------
    int
        Rows added.

    Raises
    ------
    UnusableFileError
        The table is damaged.
    """
    parts = edited.named("WCSCORR")
    if not parts:
        return 0
    part = parts[0]
    rows = _read(edited, part)
    used = int(np.flatnonzero(rows["EXTVER"] > 0).max(initial=-1)) + 1
    new = [_row(rows.dtype, edited, solution, chip, hdrname) for chip in solution.chips]
    last = {int(row["EXTVER"]): row for row in rows[:used] if not row["WCS_key"].strip()}
    if all(_repeats(row, last.get(int(row["EXTVER"]))) for row in new):
        return 0
    # Filled, not concatenated: numpy would bring the columns to the byte order of the machine.
    grown = np.zeros(max(len(rows), used + len(new)), dtype=rows.dtype)
    grown[: len(rows)] = rows
    grown[used : used + len(new)] = new
    part.data = grown.tobytes()
    part.header["NAXIS2"] = len(grown)
    if "TROWS" in part.header:
        part.header["TROWS"] = used + len(new)
    return len(new)


def _read(edited: EditedFile, part: FitsPart) -> NDArray[Any]:
    header = part.header
    try:
        columns = [str(header[f"TTYPE{n}"]).strip() for n in range(1, int(header["TFIELDS"]) + 1)]
        forms = [str(header[f"TFORM{n}"]).strip() for n in range(1, int(header["TFIELDS"]) + 1)]
        dtype = np.dtype([(name, _type(form)) for name, form in zip(columns, forms, strict=True)])
        count = int(header["NAXIS2"])
        if dtype.itemsize != header["NAXIS1"]:
            raise ValueError("NAXIS1")
        return np.frombuffer(edited.data_of(part), dtype=dtype, count=count)
    except (KeyError, ValueError) as error:
        raise UnusableFileError(f"{edited.path.name}: its WCSCORR table is damaged ({error})", "") from error


def _type(form: str) -> str:
    found = _FORM.fullmatch(form)
    if found is None:
        raise ValueError(f"format {form}")
    return f"S{found[1] or 1}" if found[2] == "A" else _TYPES[found[2]]


def _row(
    dtype: np.dtype[Any], edited: EditedFile, solution: WcsSolution, chip: ChipWcs, hdrname: str
) -> NDArray[Any]:
    """Return one row; texts are cut to what the columns hold, as stwcs does."""
    keywords = solution.keywords
    values: dict[str, Any] = {
        **{"WCS_ID": solution.name, "EXTVER": chip.extver, "HDRNAME": hdrname},
        **{"SIPNAME": keywords.get("SIPNAME", ""), "NPOLNAME": _root(keywords.get("NPOLFILE"))},
        **{"D2IMNAME": _root(keywords.get("D2IMFILE")), "CTYPE1": chip.ctype[0], "CTYPE2": chip.ctype[1]},
        **{"CRVAL1": chip.crval[0], "CRVAL2": chip.crval[1], "CRPIX1": chip.crpix[0]},
        **{"CRPIX2": chip.crpix[1], "ORIENTAT": orientation(chip), "PA_V3": edited.primary.get("PA_V3", 0.0)},
        **{"RMS_RA": keywords.get("RMS_RA", 0.0), "RMS_Dec": keywords.get("RMS_DEC", 0.0)},
        **{"NMatch": keywords.get("NMATCHES", 0), "Catalog": keywords.get("CATALOG", "")},
        "DESCRIP": keywords.get("DESCRIP", ""),
    }
    values |= dict(zip(("CD1_1", "CD1_2", "CD2_1", "CD2_2"), chip.cd, strict=True))
    row = np.zeros((), dtype=dtype)
    for name in row.dtype.names or ():
        if name in values:
            value = values[name]
            row[name] = value.encode("ascii", "replace") if isinstance(value, str) else value
    return row


def _root(file: Any) -> str:
    root = reference_root(file)
    return "" if root == "NOMODEL" else root


def _repeats(row: NDArray[Any], last: NDArray[Any] | None) -> bool:
    names = ("WCS_ID", "CRVAL1", "CRVAL2", "CD1_1", "CD2_2")
    return last is not None and all(row[name] == last[name] for name in names)
