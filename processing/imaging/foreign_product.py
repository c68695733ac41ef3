"""Drizzled products that other pipelines made, read: what they are, where they lie, what they claim went in.

Names are HAP's or the archive's (hap_reference 3.3, 4.5); inputs come from ``D001DATA`` and its like
(hap_reference 1.6) and, with the names of their WCS solutions, from the table HDRTAB.

[BUG] Numbers in the HDRTAB of delivered products are written with their bytes swapped (EXTVER 1 reads as
2**56), so numbers are taken from the keywords, and from the table only where they make sense.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hapctl.processing.astrometry.exposure import filter_elements
from hapctl.processing.astrometry.fits_structure import (
    Extension,
    Header,
    number,
    read_fits,
    text,
    whole_number,
)
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.files_description import detector_of
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.image_planes import FileBytes, ImagePlane, image_plane
from numpy.typing import NDArray

_LAYERS = ("SCI", "WHT", "CTX", "VAR")
_BAND_ROWS = 512
_PARTS = re.compile(r"_(sci|wht|ctx)\.fits(\.gz)?$")
_CAMERA = r"(?P<instrument>acs|wfc3|wfpc2|stis)_(?P<detector>[a-z0-9]+)"
_LAYER = re.compile(rf"^hst_(?P<tile>skycell-p\d{{4}}x\d\dy\d\d)_{_CAMERA}_(?P<filter>[a-z0-9-]+)_")
_FIELD = re.compile(rf"^hst_skycell-p\d{{4}}-ra.*?_{_CAMERA}_(?P<filter>[a-z0-9-]+)_")
_VISIT = re.compile(
    rf"^hst_\d+_[a-z0-9]{{2}}_{_CAMERA}_(?P<filter>[a-z0-9-]+)_(?P<root>[a-z0-9]{{6}}([a-z0-9]{{2}})?)(_|\.)"
)
_DATA = re.compile(r"^(?P<file>[^\[]+)(\[sci,(?P<extver>\d+)\])?$", re.IGNORECASE)
_ROOT = re.compile(r"(?:^|[-_/])([ijlnou][a-z0-9]{7,8})_[a-z0-9]{3}\.fits", re.IGNORECASE)
_FORMAT = re.compile(r"^(\d*)([A-Z])")
_WIDTH = {"A": 1, "L": 1, "B": 1, "I": 2, "J": 4, "E": 4, "K": 8, "D": 8}
_HOW = ("VER", "GEOM", "WTSC", "KERN", "PIXF", "COEF", "OUUN", "FVAL", "WKEY", "SCAL", "ISCL")
_LARGEST_EXTVER = 1000


@dataclass(frozen=True)
class ClaimedInput:
    """A chip that a product says went into it; what it does not tell is empty or None.

    ``rootname`` has nine letters, or eight where the product's own names are cut so.
    """

    file_name: str
    rootname: str
    extver: int | None
    wcsname: str
    exposure_time: float | None


@dataclass(frozen=True)
class ForeignProduct:
    """A product that another pipeline made.

    Attributes
    ----------
    kind : str
        exposure, filter, total, layer, mosaic or association.
    name : str
        File name.
    visit, tile : str or None
    instrument, detector, filter : str
        As the catalog writes them; the filter of a total is ``detection``.
    grid : OutputGrid
    s_region : str
        From the header, else the outline of the whole image.
    parameters : mapping
        How it says it was drizzled, by the names of AstroDrizzle's keywords, and by what software.
    pixels_sha256 : str
        Of SCI, WHT, CTX and VAR, as of products made here.
    inputs : tuple of ClaimedInput
    """

    kind: str
    name: str
    visit: str | None
    tile: str | None
    instrument: str
    detector: str
    filter: str
    grid: OutputGrid
    s_region: str
    parameters: Mapping[str, Any]
    pixels_sha256: str
    inputs: tuple[ClaimedInput, ...]


def read_foreign_product(path: Path) -> ForeignProduct:
    """Read a drizzled product: one file with SCI, WHT ..., or the ``_sci`` file of several.

    Parameters
    ----------
    path : path
        FITS, plain or gzipped.

    Raises
    ------
    UnusableFileError
        It has no science image on a plane (TAN), or is the weight or context of another file.
    """
    part = _PARTS.search(path.name.lower())
    if part and part[1] != "sci":
        raise UnusableFileError(
            f"{path.name}: the {part[1]} image of a product in several files", "ingest its _sci file"
        )
    extensions = read_fits(path, lambda header: text(header, "EXTNAME").upper() == "HDRTAB")
    top, science = extensions[0].header, _science(extensions, path)
    named = _named(text(top, "FILENAME").lower()) or _named(path.name.lower()) or {"kind": "association"}
    grid = _grid(science, path)
    instrument = text(top, "INSTRUME").upper() or named.get("instrument", "").upper()
    return ForeignProduct(
        kind=named["kind"],
        name=path.name,
        visit=named.get("visit"),
        tile=named.get("tile"),
        instrument=instrument or "unknown",
        detector=(detector_of(top) or named.get("detector", "")).upper() or "unknown",
        filter=_filter(named, top),
        grid=grid,
        s_region=_region(top, science, grid),
        parameters=_parameters(top),
        pixels_sha256=pixels_sha256(path),
        inputs=_inputs(extensions),
    )


def _science(extensions: Sequence[Extension], path: Path) -> Header:
    for extension in extensions:
        if extension.name == "SCI" or (extension.index == 0 and whole_number(extension.header, "NAXIS") == 2):
            return extension.header
    raise UnusableFileError(f"{path.name}: no science image (SCI)", "fetch it again")


def _named(name: str) -> dict[str, str]:
    """Return what a name of HAP's tells; empty for another."""
    if match := _LAYER.match(name):
        return {"kind": "layer", **match.groupdict()}
    if match := _FIELD.match(name):
        return {"kind": "mosaic", **match.groupdict()}
    if match := _VISIT.match(name):
        root, filter_name = match["root"], match["filter"]
        kind = "exposure" if len(root) > 6 else "total" if filter_name == "total" else "filter"
        return {**match.groupdict(), "kind": kind, "visit": root[:6]}
    return {}


def _filter(named: Mapping[str, str], top: Header) -> str:
    if named["kind"] == "total":
        return "detection"
    if "filter" in named:
        return named["filter"]
    elements = [element.lower() for element in filter_elements(top)]
    shown = [element for element in elements if not element.startswith("clear") and element != "n/a"]
    return "-".join(sorted(shown)) or "unknown"


def _grid(header: Header, path: Path) -> OutputGrid:
    kinds = [text(header, f"CTYPE{axis}") for axis in (1, 2)]
    if not (kinds[0].startswith("RA---TAN") and kinds[1].startswith("DEC--TAN")):
        raise UnusableFileError(
            f"{path.name}: its image is not on a tangent plane (CTYPE {kinds[0] or 'none'})",
            "products of north-up or rotated TAN images are understood",
        )
    values = [number(header, name) for name in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")]
    cd = _cd(header)
    shape = (whole_number(header, "NAXIS2"), whole_number(header, "NAXIS1"))
    if not all(map(math.isfinite, (*values, *cd))) or cd[0] * cd[3] == cd[1] * cd[2] or min(shape) < 1:
        raise UnusableFileError(f"{path.name}: no complete WCS in its science image", "fetch it again")
    return OutputGrid(crval=(values[0], values[1]), crpix=(values[2], values[3]), cd=cd, shape=shape)


def _cd(header: Header) -> tuple[float, float, float, float]:
    names = ("1_1", "1_2", "2_1", "2_2")
    if any(f"CD{name}" in header for name in names):
        a, b, c, d = (number(header, f"CD{name}", 0.0) for name in names)
        return a, b, c, d
    usual = {"1_1": 1.0, "2_2": 1.0}
    steps = {axis: number(header, f"CDELT{axis}") for axis in "12"}
    a, b, c, d = (number(header, f"PC{name}", usual.get(name, 0.0)) * steps[name[0]] for name in names)
    return a, b, c, d


def _region(top: Header, science: Header, grid: OutputGrid) -> str:
    told = text(science, "S_REGION") or text(top, "S_REGION")
    if told:
        return told
    height, width = grid.shape
    corners = np.array([(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)])
    ra, dec = grid.pixel_to_sky(corners[:, 0], corners[:, 1])
    return "POLYGON ICRS " + " ".join(f"{value:.9f}" for pair in zip(ra, dec, strict=True) for value in pair)


def _parameters(top: Header) -> dict[str, Any]:
    """Return how the first input was drizzled, and the software; of what the header tells."""
    found: dict[str, Any] = {name: top[f"D001{name}"] for name in _HOW if f"D001{name}" in top}
    told: dict[str, Any] = {
        key: top[key] for key in ("PROD_VER", "NDRIZIM", "HAPLEVEL", "EXPTIME") if key in top
    }
    return {"drizzle": found, **told}


def _inputs(extensions: Sequence[Extension]) -> tuple[ClaimedInput, ...]:
    top = extensions[0].header
    table = next((one for one in extensions if one.name == "HDRTAB" and one.data is not None), None)
    rows = _table(table) if table is not None else []
    keyed = _keyed(top)
    if not keyed:
        return tuple(_from_table(row) for row in rows)
    if len(rows) != len(keyed):
        return tuple(keyed)
    return tuple(_joined(one, row) for one, row in zip(keyed, rows, strict=True))


def _keyed(top: Header) -> list[ClaimedInput]:
    """Return the inputs of the keywords D001DATA, D002DATA ..., in order."""
    found: list[ClaimedInput] = []
    while (data := text(top, f"D{len(found) + 1:03d}DATA")) and (match := _DATA.match(data)):
        time = number(top, f"D{len(found) + 1:03d}DEXP")
        extver = int(match["extver"]) if match["extver"] else None
        found.append(
            ClaimedInput(match["file"], _rootname(match["file"]), extver, "", time if time >= 0 else None)
        )
    return found


def _rootname(file_name: str) -> str:
    match = _ROOT.search(file_name)
    return match[1].lower() if match else ""


def _joined(one: ClaimedInput, row: Mapping[str, Any]) -> ClaimedInput:
    """Return an input of the keywords with what only the table tells: its full rootname, its WCSNAME."""
    rootname = str(row.get("ROOTNAME", "")).lower() or one.rootname
    wcsname = str(row.get("WCSNAME", ""))
    return ClaimedInput(one.file_name, rootname, one.extver, wcsname, one.exposure_time)


def _from_table(row: Mapping[str, Any]) -> ClaimedInput:
    rootname = str(row.get("ROOTNAME", "")).lower()
    extver, time = row.get("EXTVER"), row.get("EXPTIME")
    return ClaimedInput(
        str(row.get("FILENAME", "")) or rootname or "unknown",
        rootname,
        int(extver) if extver is not None and 0 < extver < _LARGEST_EXTVER else None,
        str(row.get("WCSNAME", "")),
        float(time) if time is not None and (time == 0 or 1e-3 < time < 1e6) else None,
    )


def _table(extension: Extension) -> list[dict[str, Any]]:
    """Return the rows of HDRTAB, of the columns that are needed; empty where it is not to be read."""
    header = extension.header
    row_bytes, count = whole_number(header, "NAXIS1"), whole_number(header, "NAXIS2")
    columns: dict[str, tuple[int, int, str]] = {}
    offset = 0
    for field in range(1, whole_number(header, "TFIELDS") + 1):
        match = _FORMAT.match(text(header, f"TFORM{field}").upper())
        if match is None or match[2] not in _WIDTH:
            return []
        size = int(match[1] or 1) * _WIDTH[match[2]]
        columns[text(header, f"TTYPE{field}").upper()] = (offset, size, match[2])
        offset += size
    data = extension.data or b""
    if offset != row_bytes or len(data) < row_bytes * count:
        return []
    wanted = {name: columns[name] for name in _WANTED if name in columns}
    return [
        {name: _cell(data, first * row_bytes + at, size, kind) for name, (at, size, kind) in wanted.items()}
        for first in range(count)
    ]


_WANTED = ("ROOTNAME", "FILENAME", "EXTVER", "WCSNAME", "EXPTIME")


def _cell(data: bytes, offset: int, size: int, kind: str) -> Any:
    raw = data[offset : offset + size]
    if kind == "A":
        return raw.split(b"\0")[0].decode("ascii", "replace").strip()
    codes = {"I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
    return np.frombuffer(raw, codes[kind], count=1)[0].item() if kind in codes else None


def pixels_sha256(path: Path) -> str:
    """Return the SHA-256 of the pixels of a product, as `ProductWriter` tells it of those made here.

    SHA-256 of each plane of SCI, WHT, CTX and VAR (those there are), big-endian; then of all of these.
    """
    with closing(FileBytes(path)) as source:
        digests = [_digest(plane) for plane in _planes(source)]
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _planes(source: FileBytes) -> list[ImagePlane]:
    found: dict[str, list[ImagePlane]] = {}
    with source.open_fits() as hdus:
        for place, hdu in enumerate(hdus):
            name = "SCI" if place == 0 else hdu.name
            axes = int(hdu.header.get("NAXIS", 0))
            if name not in _LAYERS or name in found or axes not in (2, 3):
                continue
            first = image_plane(source, hdu, hdu.name, axes)
            size = first.shape[0] * first.shape[1] * first.dtype.itemsize
            count = int(hdu.header["NAXIS3"]) if axes == 3 else 1
            found[name] = [first.moved(hdu.name, size * number) for number in range(count)]
    return [plane for name in _LAYERS for plane in found.get(name, ())]


def _digest(plane: ImagePlane) -> bytes:
    digest = hashlib.sha256()
    height, width = plane.shape
    for first in range(0, height, _BAND_ROWS):
        rows: NDArray[Any] = plane.stored(first, min(first + _BAND_ROWS, height), 0, width)
        digest.update(np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder(">")).tobytes())
    return digest.digest()
