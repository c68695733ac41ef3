"""From the table of a service or a file to checked reference stars: names, units, NULLs, ranges.

Columns have the names of the Gaia archive in any case of letters. A unit is honoured; a column without
one is taken in the archive's own. Columns that are absent, or values that are, become NaN (NULL in the
catalog); what then stands for them is decided where the stars are propagated.
"""

import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hapctl.processing.astrometry.reference_stars import CORRELATION_NAMES, ReferenceStars, reference_stars
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.table import Column, Table

UNITS = {
    "ra": "deg",
    "dec": "deg",
    "ref_epoch": "yr",
    "ra_error": "mas",
    "dec_error": "mas",
    "parallax": "mas",
    "parallax_error": "mas",
    "pmra": "mas / yr",
    "pmra_error": "mas / yr",
    "pmdec": "mas / yr",
    "pmdec_error": "mas / yr",
    "phot_g_mean_mag": "mag",
    "bp_rp": "mag",
    "ruwe": "",
}
"""Columns of numbers and their units at the Gaia archive."""
RANGES = {
    "ra": (0.0, 360.0),
    "dec": (-90.0, 90.0),
    "ref_epoch": (1900.0, 2100.0),
    "ra_error": (0.0, 10_000.0),
    "dec_error": (0.0, 10_000.0),
    "parallax": (-1000.0, 2000.0),
    "parallax_error": (0.0, 10_000.0),
    "pmra": (-20_000.0, 20_000.0),
    "pmra_error": (0.0, 10_000.0),
    "pmdec": (-20_000.0, 20_000.0),
    "pmdec_error": (0.0, 10_000.0),
    "phot_g_mean_mag": (-30.0, 40.0),  # a list of one's own may have instrumental magnitudes
}
"""What no star exceeds, in the units above: beyond it the column or its unit is not what it is taken for."""
NEEDED = ("source_id", "ra", "dec")
NULL_WORDS = ("", "null", "NULL", "nan", "NaN", "None", "--")
EXAMPLES = 3


class BadTableError(Exception):
    """The table can't be what it is taken for; the message says why."""


def stars_from_table(table: "Table", epoch: float) -> ReferenceStars:
    """Check a table and return its stars, in order of source_id.

    Parameters
    ----------
    table : Table
        At least source_id, ra and dec.
    epoch : float
        Julian year of the positions where the table has no ref_epoch; NaN where it must have one.

    Raises
    ------
    BadTableError
        A column is missing, a unit is wrong or unknown, a position is not a number, a value is beyond what a
        star can have, or a source_id comes twice.
    """
    columns = {name.lower(): table[name] for name in table.colnames}
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise BadTableError(f"it has no column {', '.join(missing)}")
    values: dict[str, Any] = {
        name: column_numbers(name, columns[name], unit) for name, unit in UNITS.items() if name in columns
    }
    identifiers = _identifiers(columns["source_id"])
    for name in ("ra", "dec"):
        _refuse(~np.isfinite(values[name]), identifiers, f"{name} is not a number")
    for name, limits in RANGES.items():
        if name in values:
            wrong = (values[name] < limits[0]) | (values[name] > limits[1])
            _refuse(wrong, identifiers, f"{name} is not in {limits[0]:g} to {limits[1]:g} {UNITS[name]}")
    values["ref_epoch"] = _known(values.get("ref_epoch", np.full(len(table), np.nan)), epoch)
    _refuse(np.isnan(values["ref_epoch"]), identifiers, "there is no ref_epoch")
    _refuse_duplicates(identifiers)
    values |= _motions(values) | _flags(columns)
    values["correlations"] = _correlations(columns, len(table), identifiers)
    values["ra"] = values["ra"] % 360.0
    stars = reference_stars(source_id=identifiers, **values)
    return stars[np.argsort(identifiers, kind="stable")]


def read_table(path: Path) -> "Table":
    """Read a file of sources: ECSV, FITS, VOTable, Parquet or CSV, by its ending (also gzipped).

    Raises
    ------
    BadTableError
        The ending is another one, or the file is not what its ending says.
    """
    ending = "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]).removesuffix(".gz")
    if ending.lower() not in READERS:
        raise BadTableError(f"its ending is none of {', '.join(sorted(READERS))}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return READERS[ending.lower()](path)
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, OSError, EOFError, LookupError) as error:
        raise BadTableError(f"it can't be read as {ending}: {' '.join(str(error).split())[:200]}") from error


def _read_astropy(kind: str) -> Callable[[Path], "Table"]:
    def read(path: Path) -> "Table":
        from astropy.table import Table

        return Table.read(path, format=kind)

    return read


def _read_csv(path: Path) -> "Table":
    from astropy.table import Table

    nulls = [(word, "0") for word in NULL_WORDS]
    return Table.read(path, format="ascii.csv", fill_values=nulls, converters={"source_id": str})


def _read_votable(path: Path) -> "Table":
    from xml.parsers.expat import ExpatError

    from astropy.io.votable import parse_single_table

    try:
        return parse_single_table(path, verify="ignore").to_table(use_names_over_ids=True)
    except ExpatError as error:
        raise ValueError(str(error)) from error


def _read_parquet(path: Path) -> "Table":
    import pyarrow.parquet
    from astropy.table import MaskedColumn, Table

    table = Table(masked=True)
    content = pyarrow.parquet.read_table(path)
    for name in content.column_names:
        column = content.column(name)
        mask = column.is_null().to_numpy(zero_copy_only=False)
        filled = column.fill_null(_nothing(column.type)) if mask.any() else column
        unit = (content.schema.field(name).metadata or {}).get(b"unit")
        data = filled.to_numpy(zero_copy_only=False)
        table[name] = MaskedColumn(data, mask=mask, unit=unit.decode() if unit else None)
    return table


def _nothing(kind: Any) -> Any:
    import pyarrow

    if pyarrow.types.is_boolean(kind):
        return False
    return "" if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) else 0


READERS: dict[str, Callable[[Path], "Table"]] = {
    ".ecsv": _read_astropy("ascii.ecsv"),
    ".fits": _read_astropy("fits"),
    ".fit": _read_astropy("fits"),
    ".vot": _read_votable,
    ".votable": _read_votable,
    ".xml": _read_votable,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
}


def column_numbers(name: str, column: "Column", unit: str) -> NDArray[np.float64]:
    """Return a column as float64 in the given unit, NaN for NULL.

    Raises
    ------
    BadTableError
        It holds no numbers, or its own unit is another or unknown.
    """
    values = np.ma.asarray(column)
    if values.dtype.kind in "SUO":
        values = _parsed(name, values)
    if values.dtype.kind not in "fiub":
        raise BadTableError(f"column {name} holds no numbers")
    if values.ndim != 1:
        raise BadTableError(f"column {name} holds arrays")
    numbers = np.ma.filled(values.astype(np.float64), np.nan)
    numbers[np.isinf(numbers)] = np.nan
    return _converted(name, numbers, column.unit, unit)


def _parsed(name: str, values: Any) -> Any:
    words = [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]
    try:
        numbers = [np.nan if word is None or word in NULL_WORDS else float(word) for word in words]
    except (TypeError, ValueError):
        raise BadTableError(f"column {name} holds no numbers") from None
    return np.ma.masked_invalid(np.array(numbers, dtype=np.float64))


def _converted(name: str, numbers: NDArray[np.float64], found: Any, wanted: str) -> NDArray[np.float64]:
    from astropy import units

    if found is None or str(found) in ("", wanted):
        return numbers
    found = _understood(name, found)
    target = units.Unit(wanted) if wanted else units.dimensionless_unscaled
    same_as = {"yr": ("Julian year", "yr"), "mag": ("mag", "mag(AB)", "mag(VEGA)")}.get(wanted, ())
    if str(found) in same_as:
        return numbers
    try:
        return np.asarray(numbers * found.to(target), dtype=np.float64)
    except (units.UnitConversionError, AttributeError):
        raise BadTableError(
            f"the unit '{found}' of column {name} is no unit of {wanted or 'a ratio'}"
        ) from None


def _understood(name: str, unit: Any) -> Any:
    """A unit, whichever standard it is written in (services mix them: ``mas.yr**-1`` in a VOTable 1.3)."""
    from astropy import units

    for standard in ("vounit", "cds", "fits", "generic"):
        if isinstance(unit, units.UnitBase) and not isinstance(unit, units.UnrecognizedUnit):
            return unit
        with suppress(ValueError, TypeError):
            unit = units.Unit(str(unit), format=standard)
    raise BadTableError(f"the unit '{unit}' of column {name} is not known")


def _identifiers(column: "Column") -> NDArray[np.str_]:
    """source_id as text; floating-point numbers are refused, for they have lost digits."""
    values = np.ma.asarray(column)
    if np.ma.getmaskarray(values).any():
        raise BadTableError("source_id is missing in some rows")
    if values.dtype.kind == "f":
        raise BadTableError("source_id is a floating-point number and has lost digits")
    words = [
        value.decode() if isinstance(value, bytes) else str(value) for value in np.asarray(values).tolist()
    ]
    identifiers = np.array([word.strip() for word in words], dtype=np.str_)
    if (identifiers == "").any():
        raise BadTableError("source_id is missing in some rows")
    return identifiers


def _refuse(wrong: NDArray[np.bool_], identifiers: NDArray[np.str_], what: str) -> None:
    if wrong.any():
        some = ", ".join(identifiers[wrong][:EXAMPLES])
        raise BadTableError(f"{what} in {np.count_nonzero(wrong)} of {len(wrong)} rows (source_id {some})")


def _refuse_duplicates(identifiers: NDArray[np.str_]) -> None:
    found, counts = np.unique(identifiers, return_counts=True)
    if (counts > 1).any():
        some = ", ".join(found[counts > 1][:EXAMPLES])
        raise BadTableError(f"{np.count_nonzero(counts > 1)} source_id come more than once ({some})")


def _known(values: NDArray[np.float64], otherwise: float) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, otherwise)


def _motions(values: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Half a motion is none; an error without its value is none either."""
    pmra, pmdec = values.get("pmra"), values.get("pmdec")
    if (pmra is None) != (pmdec is None):
        raise BadTableError("it has only one of pmra and pmdec")
    if pmra is None or pmdec is None:
        return {}
    whole = np.isfinite(pmra) & np.isfinite(pmdec)
    return {"pmra": np.where(whole, pmra, np.nan), "pmdec": np.where(whole, pmdec, np.nan)}


def _flags(columns: dict[str, "Column"]) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    if "astrometric_params_solved" in columns:
        solved = column_numbers("astrometric_params_solved", columns["astrometric_params_solved"], "")
        flags["params_solved"] = np.where(np.isfinite(solved), solved, -1).astype(np.int16)
    if "duplicated_source" in columns:
        flags["duplicated_source"] = _truths(np.ma.asarray(columns["duplicated_source"]))
    return flags


def _truths(values: Any) -> NDArray[np.bool_]:
    if values.dtype.kind in "SUO":
        words = [
            (value.decode() if isinstance(value, bytes) else str(value)).lower() for value in values.tolist()
        ]
        return np.array([word in ("true", "t", "1") for word in words], dtype=bool)
    return np.ma.filled(values.astype(bool), False)


def _correlations(
    columns: dict[str, "Column"], number: int, identifiers: NDArray[np.str_]
) -> NDArray[np.float64]:
    matrix = np.full((number, len(CORRELATION_NAMES)), np.nan)
    for index, name in enumerate(CORRELATION_NAMES):
        if name in columns:
            matrix[:, index] = column_numbers(name, columns[name], "")
            _refuse(np.abs(matrix[:, index]) > 1.0001, identifiers, f"{name} is not in -1 to 1")
    return np.clip(matrix, -1.0, 1.0)
