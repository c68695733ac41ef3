"""Lists of sources as files: ECSV, CSV, plain columns, FITS tables and DS9 regions in; ECSV and regions out.

Where the pixels of a list begin: what the caller says, else what the file says (``pixel_origin``, which our
own ECSV has), else 0 for the columns of photutils and 1, as FITS, DS9, IRAF and SExtractor count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from hapctl.processing.astrometry.ds9_regions import degrees_of, parse_regions
from hapctl.processing.astrometry.source_catalog import FLOAT_COLUMNS, SourceCatalog
from hapctl.processing.errors import MissingFileError, UnusableFileError, UsageProblemError
from hapctl.processing.whole_files import write_new
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.table import Table

Array = NDArray[np.float64]
Column = str | int
"""Name of a column, or its number counted from 1."""

_NAMES = {
    "x": ("x", "x_centroid", "xcentroid", "x_image", "xwin_image", "xcenter", "x_fit"),
    "y": ("y", "y_centroid", "ycentroid", "y_image", "ywin_image", "ycenter", "y_fit"),
    "ra": ("ra", "raj2000", "ra_icrs", "_ra", "alpha_j2000", "right_ascension", "sourcera"),
    "dec": ("dec", "dej2000", "decj2000", "de_icrs", "_de", "delta_j2000", "declination", "sourcedec"),
    "flux": ("flux", "flux_auto", "flux_fit", "flux_best", "phot_g_mean_flux"),
    "magnitude": ("magnitude", "mag", "mag_auto", "phot_g_mean_mag", "gmag", "mag_best"),
}
_COUNTED_FROM_ZERO = ("x_centroid", "xcentroid", "x_fit", "xcenter")
_UNITS = {"x": "pixel", "y": "pixel", "x_err": "pixel", "y_err": "pixel", "ra": "deg", "dec": "deg"}
_DIGITS = {"ra": 10, "dec": 10}
_REGION_COLOURS = {True: "green", False: "red"}


@dataclass(frozen=True)
class ListColumns:
    """Which columns of a list are what; None: by their names, or in plain columns the first two.

    Attributes
    ----------
    x, y : str, int or None
        Pixels, or right ascension and declination where `units` is not pixels (TweakReg's xcol, ycol).
    flux, magnitude : str, int or None
        TweakReg's fluxcol, by its fluxunits.
    units : {"pixels", "degrees"} or None
        TweakReg's xyunits; positions on the sky may be sexagesimal (hours and degrees). None: pixels, unless
        the file has columns named as right ascension and declination and none named as x and y.
    first_pixel : float or None
        What the list calls the centre of the first pixel (0 or 1); None: as the module's text says.
    """

    x: Column | None = None
    y: Column | None = None
    flux: Column | None = None
    magnitude: Column | None = None
    units: Literal["pixels", "degrees"] | None = None
    first_pixel: float | None = None


def read_catalog(
    path: Path | str, columns: ListColumns | None = None, *, extver: int | None = None
) -> SourceCatalog:
    """Read a user's list of sources.

    Parameters
    ----------
    path : path
        ECSV, CSV (a line of names first), a FITS table, a DS9 region file (points, and the centres of
        circles), or plain columns; by the ending of the name, anything else is plain columns.
    columns : ListColumns, optional
    extver : int, optional
        The chip of all sources; else the column extver of the list, else 0.

    Returns
    -------
    SourceCatalog
        In the order of the list; rows without a finite position are left out.

    Raises
    ------
    MissingFileError, UnusableFileError
        The file is not there, or is no list.
    UsageProblemError
        A column is not there, holds no numbers, or what should be degrees are none; no row is left.
    """
    path, chosen = Path(path), columns or ListColumns()
    if path.suffix.lower() == ".reg":
        catalog = _from_regions(path)
    else:
        catalog = _from_table(_read_table(path), chosen, str(path))
    finite = np.isfinite(catalog.x) if not np.isnan(catalog.x).all() else np.isfinite(catalog.ra)
    catalog = catalog.chosen(finite)
    if len(catalog) == 0:
        raise UsageProblemError(f"{path} has no row with a position", "name its columns and units")
    if extver is None:
        return catalog
    return SourceCatalog(**{**vars(catalog), "extver": np.full(len(catalog), extver, dtype=np.int64)})


def _read_table(path: Path) -> "Table":
    from astropy.table import Table

    formats = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits", ".fit": "fits"}
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file", "give a list of sources")
    try:
        if suffix.lower() in formats:
            return Table.read(path, format=formats[suffix.lower()])
        return _plain_columns(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, IndexError) as error:  # Unicode and format errors are ValueErrors
        reason = " ".join(str(error).split())[:200]
        raise UnusableFileError(
            f"{path}: is no list of sources: {reason}", "see 'hapctl help find'"
        ) from error


def _plain_columns(text: str) -> "Table":
    """Columns between blanks or commas; what follows a # is a comment."""
    from astropy.table import Table

    rows = [line.split("#")[0].replace(",", " ").split() for line in text.splitlines()]
    rows = [row for row in rows if row]
    if not rows or len({len(row) for row in rows}) > 1:
        raise ValueError("its lines have different numbers of columns" if rows else "it is empty")
    return Table(rows=rows, names=[f"col{number + 1}" for number in range(len(rows[0]))])


def _from_table(table: "Table", columns: ListColumns, name: str) -> SourceCatalog:
    by_name = {str(key).lower(): str(key) for key in table.colnames}
    known = {key: _first_of(by_name, _NAMES[key]) for key in _NAMES}
    on_sky = columns.units == "degrees"
    if columns.units is None and columns.x is None:
        on_sky = known["x"] is None and known["ra"] is not None
    pair = ("ra", "dec") if on_sky else ("x", "y")
    places = {
        pair[0]: columns.x or known[pair[0]] or (1 if "col1" in by_name else None),
        pair[1]: columns.y or known[pair[1]] or (2 if "col2" in by_name else None),
        "flux": columns.flux or known["flux"],
        "magnitude": columns.magnitude or known["magnitude"],
    }
    for key in FLOAT_COLUMNS:
        places.setdefault(key, by_name.get(key) or known.get(key))
    other = ("x", "y") if on_sky else ("ra", "dec")
    if None in (places[other[0]], places[other[1]]):  # half a position is none
        places |= dict.fromkeys(other)
    taken: dict[str, Any] = {
        key: _values(table, place, key, name) for key, place in places.items() if place is not None
    }
    if pair[0] not in taken or pair[1] not in taken:
        raise UsageProblemError(f"{name}: no columns {pair[0]} and {pair[1]}", _has(table))
    _check_sky(taken, name)
    if "x" in taken:
        first = _first_pixel(table, columns, str(places["x"]))
        taken["x"], taken["y"] = taken["x"] - first, taken["y"] - first
    taken |= {key: np.asarray(table[by_name[key]]) for key in ("extver", "flags") if key in by_name}
    return SourceCatalog.from_columns(**taken, name=name)


def _first_of(by_name: dict[str, str], names: Sequence[str]) -> str | None:
    return next((by_name[name] for name in names if name in by_name), None)


def _values(table: "Table", place: Column, key: str, name: str) -> Array:
    if isinstance(place, str) and place.isdecimal() and place not in table.colnames:
        place = int(place)
    if isinstance(place, int):
        if not 1 <= place <= len(table.colnames):
            raise UsageProblemError(f"{name}: no column {place}", _has(table))
        place = str(table.colnames[place - 1])
    if place not in table.colnames:
        raise UsageProblemError(f"{name}: no column {place!r}", _has(table))
    column = table[place]
    filled = column.filled(np.nan) if hasattr(column, "filled") and column.dtype.kind == "f" else column
    if filled.dtype.kind in "USO":
        return _numbers(filled, key, f"{name}: column {place}")
    return np.asarray(filled, dtype=np.float64)


def _numbers(words: Sequence[object], key: str, where: str) -> Array:
    """Numbers written as text; sexagesimal in ra and dec."""
    units = {"ra": 15.0, "dec": 1.0}
    try:
        if key in units:
            return np.array([degrees_of(str(word), units[key]) for word in words])
        return np.array([float(str(word)) for word in words])
    except ValueError as error:
        raise UsageProblemError(
            f"{where} holds no numbers: {error}", "name the columns of the list"
        ) from error


def _has(table: "Table") -> str:
    return f"it has {', '.join(map(str, table.colnames[:12]))}"


def _check_sky(taken: dict[str, Array], name: str) -> None:
    ra, dec = taken.get("ra", np.zeros(0)), taken.get("dec", np.zeros(0))
    if (np.abs(dec[np.isfinite(dec)]) > 90.0).any() or (np.abs(ra[np.isfinite(ra)]) > 360.0).any():
        raise UsageProblemError(f"{name}: ra and dec are no degrees", "pixels, or the wrong columns?")


def _first_pixel(table: "Table", columns: ListColumns, x_name: str) -> float:
    if columns.first_pixel is not None:
        return columns.first_pixel
    if "pixel_origin" in table.meta:
        return float(table.meta["pixel_origin"])
    return 0.0 if x_name.lower() in _COUNTED_FROM_ZERO else 1.0


def _from_regions(path: Path) -> SourceCatalog:
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file", "give a list of sources")
    try:
        regions = parse_regions(path.read_text(encoding="utf-8"), str(path), points=True).regions
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableFileError(
            f"{path}: can't be read as text: {error}", "give a DS9 region file"
        ) from error
    places = [region for region in regions if region.shape in ("point", "circle") and not region.excluded]
    frames = {region.on_sky for region in places}
    if len(frames) != 1:
        raise UsageProblemError(
            f"{path}: {'mixes pixels and sky' if frames else 'no points or circles'}", "one frame, points"
        )
    points = np.array([region.points[0] for region in places])
    if frames == {True}:
        return SourceCatalog.from_columns(ra=points[:, 0], dec=points[:, 1], name=str(path))
    return SourceCatalog.from_columns(x=points[:, 0], y=points[:, 1], name=str(path))


def write_catalog(path: Path | str, catalog: SourceCatalog, *, overwrite: bool = False) -> Path:
    """Save a catalog: DS9 regions where the name ends in ``.reg``, ECSV otherwise.

    Raises
    ------
    RefusedError
        The file exists and ``overwrite`` is not set, or can't be written.
    """
    path = Path(path)
    text = regions_text(catalog) if path.suffix.lower() == ".reg" else ecsv_text(catalog)
    return write_new(path, text, overwrite=overwrite)


def ecsv_text(catalog: SourceCatalog) -> str:
    """The catalog as ECSV, columns without any value left out; pixels are 0-based and say so."""
    from astropy.table import Table

    table = Table(meta={"name": Path(catalog.name).name, "pixel_origin": 0})
    table["extver"], flags = catalog.extver, catalog.flags
    for key in FLOAT_COLUMNS:
        values = getattr(catalog, key)
        if np.isfinite(values).any() or len(catalog) == 0:
            table[key] = np.round(values, _DIGITS.get(key, 5))
            table[key].unit = _UNITS.get(key)
    table["flags"] = flags
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()


def regions_text(
    catalog: SourceCatalog, *, radius: float = 5.0, frame: Literal["image", "icrs"] | None = None
) -> str:
    """The catalog as DS9 circles: green what a fit may use, red what it may not.

    Parameters
    ----------
    catalog : SourceCatalog
    radius : float
        Pixels; on the sky a tenth as many arcsec.
    frame : {"image", "icrs"}, optional
        Pixels (1-based, of one chip) or the sky; the sky where there are several chips and a WCS, or no
        pixels.

    Raises
    ------
    UsageProblemError
        The catalog lacks what the frame needs.
    """
    several = len(np.unique(catalog.extver)) > 1
    if frame is None:
        on_sky = several or not catalog.has_pixels or (len(catalog.shapes) > 1 and catalog.has_sky)
        frame = "icrs" if on_sky else "image"
    if frame == "image" and several:
        raise UsageProblemError(f"{catalog.name}: regions in pixels are of one chip", "choose a chip")
    if not (catalog.has_sky if frame == "icrs" else catalog.has_pixels):
        raise UsageProblemError(
            f"{catalog.name}: no positions in frame {frame}", "give the catalog a WCS, or choose a chip"
        )
    lines = ["# Region file format: DS9", f"# {Path(catalog.name).name}", "global color=green width=1", frame]
    lines += _circles(catalog, frame, radius)
    return "\n".join(lines) + "\n"


def _circles(catalog: SourceCatalog, frame: str, radius: float) -> list[str]:
    chips = [f" tag={{SCI,{extver}}}" for extver in catalog.extver]
    marks = [
        f" # color={_REGION_COLOURS[bool(usable)]}{chip}"
        for usable, chip in zip(catalog.usable, chips, strict=True)
    ]
    if frame == "icrs":
        places = [
            f'{ra:.8f},{dec:.8f},{radius / 10:.2f}"' for ra, dec in zip(catalog.ra, catalog.dec, strict=True)
        ]
    else:
        places = [f"{x + 1:.3f},{y + 1:.3f},{radius:g}" for x, y in zip(catalog.x, catalog.y, strict=True)]
    return [f"circle({place}){mark}" for place, mark in zip(places, marks, strict=True)]
