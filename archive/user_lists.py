"""Lists of stars that users bring as a reference: columns and units of many kinds, understood or refused.

Positions are degrees unless the column says otherwise (sexagesimal hours and degrees are read too). Errors
and motions need a unit, except in columns named as the Gaia archive names them (mas, mas per year): 0.05 may
be anything. What a list does not say is filled in and told.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hapctl.archive.errors import NotInCatalogError, RefusedByCatalogError
from hapctl.archive.gaia_columns import UNITS, BadTableError, column_numbers, read_table, stars_from_table
from hapctl.processing.astrometry.reference_stars import CORRELATION_NAMES, ReferenceStars
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.table import Column, Table

Floats = NDArray[np.float64]

UNKNOWN_ERROR_MAS = 10.0
"""Error of a position without one, per coordinate: what a careful list from images usually has."""
FIRST_MJD = 10_000.0
"""An epoch beyond it is a date (MJD), not a year."""

SPELLINGS = {
    "source_id": ("source_id", "id", "name", "objid", "object", "number", "star", "designation"),
    "ra": (
        "ra",
        "raj2000",
        "_raj2000",
        "ra_icrs",
        "ra_deg",
        "radeg",
        "alpha",
        "alpha_j2000",
        "x_world",
        "ramean",
    ),
    "dec": (
        "dec",
        "de",
        "dej2000",
        "_dej2000",
        "de_icrs",
        "dec_icrs",
        "dec_deg",
        "dedeg",
        "delta",
        "delta_j2000",
        "y_world",
        "decmean",
    ),
    "ra_error": ("ra_error", "e_ra", "ra_err", "e_raj2000", "e_ra_icrs", "raerr", "sigma_ra", "ra_std"),
    "dec_error": (
        "dec_error",
        "e_dec",
        "dec_err",
        "e_de",
        "e_dej2000",
        "e_de_icrs",
        "decerr",
        "sigma_dec",
        "dec_std",
    ),
    "parallax": ("parallax", "plx"),
    "parallax_error": ("parallax_error", "e_plx", "plx_error", "parallax_err"),
    "pmra": ("pmra", "pm_ra", "pm_ra_cosdec", "mu_ra"),
    "pmra_error": ("pmra_error", "e_pmra", "pm_ra_error", "pmra_err"),
    "pmdec": ("pmdec", "pmde", "pm_dec", "mu_dec"),
    "pmdec_error": ("pmdec_error", "e_pmdec", "e_pmde", "pm_dec_error", "pmdec_err"),
    "ref_epoch": ("ref_epoch", "epoch", "epochmean", "mjd"),
    "phot_g_mean_mag": (
        "phot_g_mean_mag",
        "gmag",
        "mag",
        "magnitude",
        "vmag",
        "rmag",
        "imag",
        "jmag",
        "mag_auto",
    ),
    "ruwe": ("ruwe",),
    "bp_rp": ("bp_rp",),
}
"""Names of columns, in any case of letters, the first one found counts."""
NEED_A_UNIT = (
    "ra_error",
    "dec_error",
    "parallax",
    "parallax_error",
    "pmra",
    "pmra_error",
    "pmdec",
    "pmdec_error",
)
REMEDY = (
    "columns ra and dec (degrees), and ra_error, dec_error, pmra, pmdec (mas), ref_epoch, mag where known"
)
_SEXAGESIMAL = re.compile(r"\s*[+-]?\d+[\s:hd]")


@dataclass(frozen=True)
class UserList:
    """The stars of a user's list.

    Attributes
    ----------
    path : Path
    stars : ReferenceStars
    dropped : int
        Rows without a position.
    notes : tuple of str
        What was filled in or left out, in words.
    """

    path: Path
    stars: ReferenceStars
    dropped: int
    notes: tuple[str, ...]


def read_user_list(path: Path, epoch: float) -> UserList:
    """Read a list of stars: ECSV, FITS, VOTable, Parquet or CSV.

    Parameters
    ----------
    path : Path
    epoch : float
        Julian year of the positions where the list says none: that of the images it is for.

    Raises
    ------
    NotInCatalogError
        There is no such file.
    RefusedByCatalogError
        It is no list of stars, or a column can't be what its name says; the message says which.
    """
    try:
        return _made(path, read_table(path), epoch)
    except FileNotFoundError:
        raise NotInCatalogError(f"there is no file {path}", "check the path") from None
    except BadTableError as error:
        raise RefusedByCatalogError(f"{path} is refused: {error}", REMEDY) from error


def _made(path: Path, table: "Table", epoch: float) -> UserList:
    from astropy.table import Table

    known = {name.lower(): table[name] for name in table.colnames}
    found = {
        ours: spelt
        for ours, names in SPELLINGS.items()
        if (spelt := next((n for n in names if n in known), ""))
    }
    if missing := [name for name in ("ra", "dec") if name not in found]:
        raise BadTableError(
            f"it has no column {' and none '.join(missing)}; it has {', '.join(table.colnames)}"
        )
    values: dict[str, Any] = {
        name: _numbers(name, known[spelt], spelt) for name, spelt in found.items() if name != "source_id"
    }
    values |= {name: known[name] for name in (*CORRELATION_NAMES, *_FLAGS) if name in known}
    notes = _filled(values, len(table), epoch)
    placed = np.isfinite(values["ra"]) & np.isfinite(values["dec"])
    dropped = int(np.count_nonzero(~placed))
    if dropped == len(table):
        raise BadTableError(f"none of its {len(table)} rows has a position")
    if dropped:
        notes.append(f"{dropped} of {len(table)} rows have no position and are left out")
    values["source_id"] = _identifiers(known.get(found.get("source_id", "")), placed)
    rows = Table({name: np.ma.asarray(column) for name, column in values.items()}, masked=True)[placed]
    return UserList(path, stars_from_table(rows, epoch), dropped, tuple(notes))


_FLAGS = ("astrometric_params_solved", "duplicated_source")


def _numbers(name: str, column: "Column", spelt: str) -> Floats:
    """A column in the unit of the Gaia archive."""
    if name in ("ra", "dec") and (sexagesimal := _from_sexagesimal(name, column)) is not None:
        return sexagesimal
    if name == "ref_epoch":
        return _epochs(column, spelt)
    if name in NEED_A_UNIT and not column.unit and spelt != name:
        raise BadTableError(
            f"column {spelt} has no unit: give it one (ECSV, FITS and VOTable hold units), or name it {name} "
            f"if it is in {UNITS[name]}"
        )
    return column_numbers(spelt, column, UNITS[name])


def _from_sexagesimal(name: str, column: "Column") -> Floats | None:
    """Degrees of a column such as ``05:40:45.5`` (hours for ra); None where it is of numbers."""
    words = np.ma.asarray(column)
    if words.dtype.kind not in "SUO" or not len(words):
        return None
    texts = [word.decode() if isinstance(word, bytes) else str(word) for word in words.tolist()]
    if not any(_SEXAGESIMAL.match(text) for text in texts):
        return None
    from astropy.coordinates import Angle

    try:
        return np.asarray(Angle(texts, unit="hourangle" if name == "ra" else "deg").degree, dtype=np.float64)
    except ValueError as error:
        raise BadTableError(
            f"column {name} can't be read as {'hours' if name == 'ra' else 'degrees'}: {error}"
        ) from error


def _epochs(column: "Column", spelt: str) -> Floats:
    """Julian years of a column of years or of dates (MJD)."""
    in_days = str(column.unit or "") in ("d", "day", "MJD") or spelt == "mjd"
    values = column_numbers(
        spelt, column, "d" if in_days and column.unit == "d" else "yr" if not in_days else ""
    )
    dates = in_days | (values > FIRST_MJD)
    return np.where(dates, 2000.0 + (values - 51544.5) / 365.25, values)


def _filled(values: dict[str, Any], rows: int, epoch: float) -> list[str]:
    """Fill in what the list does not say; return what was, in words."""
    notes = []
    for name in ("ra_error", "dec_error"):
        errors = values.get(name, np.full(rows, np.nan))
        unknown = ~(errors > 0)
        values[name] = np.where(unknown, UNKNOWN_ERROR_MAS, errors)
        if unknown.any():
            count = int(np.count_nonzero(unknown))
            notes.append(
                f"{name} of {count} of {rows} rows is unknown and taken as {UNKNOWN_ERROR_MAS:g} mas"
            )
    if "ref_epoch" not in values:
        notes.append(f"it has no epoch: its positions are taken as those of {epoch:.2f}")
    if "pmra" not in values:
        notes.append("it has no motions: its stars are where they were, with an error that grows with time")
    return notes


def _identifiers(column: Any, placed: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Identifiers of the rows; their numbers where the list has none, or one of them twice."""
    numbers = np.arange(1, len(placed) + 1).astype(str)
    if column is None or np.ma.asarray(column).dtype.kind == "f":
        return numbers
    words = [
        word.decode() if isinstance(word, bytes) else str(word) for word in np.ma.asarray(column).tolist()
    ]
    texts = np.array([word.strip() for word in words], dtype=np.str_)
    kept = texts[placed]
    return texts if len(np.unique(kept)) == len(kept) and (kept != "").all() else numbers
