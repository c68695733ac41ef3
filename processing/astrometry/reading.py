"""The WCS solutions an HST file holds: primary, alternates A-Z, HDRLET extensions.

Read as delivered, nothing corrected. What a solution must not be trusted for is said in
``WcsSolution.problem``: chips of different names or not beside each other as the distortion model has
them (``inconsistent``; three real headerlets are so), a chip missing, numbers that are not finite, a lookup
table that ends before the chip does.

SIP coefficients and lookup tables have no alternate versions in HST's files: an alternate whose
CTYPE ends in ``-SIP`` shares those of the file (cards such as ``A_0_2O`` are left-overs and are
ignored), one whose CTYPE is plain TAN (OPUS) has neither, as the OPUS headerlets show.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from hapctl.processing.astrometry.chip_consistency import consistent
from hapctl.processing.astrometry.fits_structure import (
    Extension,
    Header,
    number,
    read_fits,
    read_fits_bytes,
    text,
    whole_number,
)
from hapctl.processing.astrometry.lookup_reading import (
    TableStore,
    absent_table,
    detector_tables,
    polynomial_tables,
)
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.astrometry.solution_problems import defect_of, problem_of, repeated_chip
from hapctl.processing.astrometry.waiver import waiver_chips
from hapctl.processing.astrometry.wcsname import parse_wcsname
from hapctl.processing.errors import UnusableFileError
from numpy.typing import NDArray

ChipShapes = Mapping[int, tuple[int, tuple[int, int]]]
"""SCI extension version -> (chip, (ny, nx)): what a headerlet does not carry itself."""

LARGEST_SIP_ORDER = 9
_ALTERNATE = re.compile(r"CRVAL1([A-Z])")
_CHIP_KEYWORDS = [
    "RMS_RA",
    "RMS_DEC",
    "CRDER1",
    "CRDER2",
    "NMATCHES",
    "FITGEOM",
    "RELGEOM",
    "RELMATCH",
    "RELRMS_D",
    "RELRMS_R",
    "RELREFIM",
    "HDRNAME",
    "WCSTYPE",
]
_EXTENSION_KEYWORDS = ["VAFACTOR", "RADESYS"]
_PRIMARY_KEYWORDS = ["IDCTAB", "NPOLFILE", "D2IMFILE", "SIPNAME", "DISTNAME", "UPWCSVER", "PYWCSVER"]
_HEADERLET_KEYWORDS = [
    "HDRNAME",
    "DATE",
    "CATALOG",
    "FITMETH",
    "FIT_RMS",
    "AUTHOR",
    "DESCRIP",
    "RMS_RA",
    "RMS_DEC",
]


@dataclass(frozen=True)
class WcsLocation:
    """Where in a file a solution stands.

    Attributes
    ----------
    kind : str
        primary, alternate or headerlet.
    key : str
        The alternate's letter, the EXTVER of the HDRLET, or empty.
    """

    kind: Literal["primary", "alternate", "headerlet"]
    key: str = ""

    def __str__(self) -> str:
        return {"primary": "primary", "alternate": f"key {self.key}", "headerlet": f"HDRLET {self.key}"}[
            self.kind
        ]


@dataclass(frozen=True)
class FoundSolution:
    """A solution, where it was found, and its bytes if it was a headerlet."""

    solution: WcsSolution
    location: WcsLocation
    headerlet_bytes: bytes | None = None


def read_solutions(path: Path | str) -> list[FoundSolution]:
    """Read every WCS solution of an HST file.

    Parameters
    ----------
    path : Path or str
        flt, flc, c0m or c0f file, plain or gzipped.

    Returns
    -------
    list of FoundSolution
        The primary first, then alternates by letter, then headerlets in file order. The primary is
        left out when its numbers are unusable; see :func:`solutions_in`.

    Raises
    ------
    UnusableFileError
        Not FITS, truncated, no science extension, or a primary WCS that is not finite.
    """
    return solutions_in(read_fits(Path(path)), str(path))


def solutions_in(extensions: list[Extension], name: str) -> list[FoundSolution]:
    """Read every WCS solution of a file whose structure was read before (``name`` is for messages)."""
    rootname = text(extensions[0].header, "ROOTNAME").lower()
    if waiver := waiver_chips(extensions):
        return [FoundSolution(_checked(WcsSolution(rootname, "OPUS", waiver), name), WcsLocation("primary"))]
    science = [extension for extension in extensions if extension.name == "SCI"]
    if not science:
        raise UnusableFileError(f"{name}: no SCI extension", "")
    tables = TableStore(extensions)
    primary = _checked(_header_solution(rootname, extensions[0].header, science, tables, ""), name)
    found = [FoundSolution(primary, WcsLocation("primary"))]
    for key in _alternate_keys(science):
        solution = _header_solution(rootname, extensions[0].header, science, tables, key)
        solution = _same_model(solution, primary)
        found.append(FoundSolution(solution, WcsLocation("alternate", key)))
    shapes = {chip.extver: (chip.chip, chip.shape) for chip in primary.chips}
    found += [
        _headerlet_in(extension, shapes, f"{name}[HDRLET,{extension.version}]")
        for extension in extensions
        if text(extension.header, "XTENSION").upper() == "HDRLET" and extension.data
    ]
    judged = consistent([entry.solution for entry in found])
    return [replace(entry, solution=solution) for entry, solution in zip(found, judged, strict=True)]


def _checked(primary: WcsSolution, name: str) -> WcsSolution:
    """Return the primary solution; a file whose own WCS has no usable numbers is refused as a whole."""
    for chip in primary.chips:
        if defect := defect_of(chip):
            raise UnusableFileError(f"{name}: the WCS of SCI,{chip.extver} is {defect}", "fetch it again")
    if repeated := repeated_chip(primary.chips):
        raise UnusableFileError(f"{name}: two extensions SCI,{repeated}", "fetch it again")
    return primary


def _alternate_keys(science: list[Extension]) -> list[str]:
    return sorted({m[1] for extension in science for k in extension.header if (m := _ALTERNATE.fullmatch(k))})


def _header_solution(
    rootname: str, primary: Header, science: list[Extension], tables: TableStore, key: str
) -> WcsSolution:
    """Return the solution with one key (empty: primary) of all SCI extensions."""
    chips = tuple(
        chip_wcs(ext.header, tables, key, ext.version, chip_number(ext.header), image_shape(ext.header))
        for ext in science
    )
    names = [text(ext.header, f"WCSNAME{key}", "OPUS") for ext in science]
    keywords = _keywords(science[0].header, key, primary)
    distorted = [ext.header for ext in science if _is_distorted(ext.header, key)]
    problem = problem_of(names[0], names, chips) or _absent_of(distorted, tables)
    return WcsSolution(rootname, names[0], chips, keywords, problem)


def _keywords(header: Header, key: str, primary: Header) -> dict[str, str | float | int | bool]:
    found = {name: header.get(f"{name}{key}") for name in _CHIP_KEYWORDS}
    found |= {name: header.get(name) for name in _EXTENSION_KEYWORDS}
    found |= {name: primary.get(name) for name in _PRIMARY_KEYWORDS}
    return {name: value for name, value in found.items() if value not in (None, "")}


def _is_distorted(header: Header, key: str) -> bool:
    return not key or text(header, f"CTYPE1{key}").endswith("-SIP")


def _absent_of(headers: list[Header], tables: TableStore) -> str:
    absent = next((name for header in headers if (name := absent_table(header, tables))), "")
    return f"its lookup table {absent} is not in the file" if absent else ""


def _same_model(alternate: WcsSolution, primary: WcsSolution) -> WcsSolution:
    """Mark an alternate that names another distortion table than the coefficients in the file belong to."""
    root, own = parse_wcsname(alternate.name).idc_root, parse_wcsname(primary.name).idc_root
    if alternate.problem or root is None or own is None or root == own:
        return alternate
    return replace(
        alternate, problem=f"its distortion model {root} is no longer in the file, which holds {own}"
    )


def chip_number(header: Header) -> int:
    """Return the chip of a SCI header: CCDCHIP, WFPC2's DETECTOR, else 1."""
    for keyword in ("CCDCHIP", "DETECTOR"):
        if math.isfinite(number(header, keyword)):
            return whole_number(header, keyword)
    return 1


def image_shape(header: Header) -> tuple[int, int]:
    """Return (ny, nx); of an image stored as a constant (NAXIS 0) its NPIX keywords."""
    ny, nx = (whole_number(header, f"NAXIS{i}", whole_number(header, f"NPIX{i}")) for i in (2, 1))
    return ny, nx


def chip_wcs(
    header: Header, tables: TableStore, key: str, extver: int, chip: int, shape: tuple[int, int]
) -> ChipWcs:
    """Read the WCS of one SCI or SIPWCS header.

    Parameters
    ----------
    header : dict
        The extension's header.
    tables : TableStore
        Lookup tables of the file the header stands in.
    key : str
        Letter of an alternate WCS, empty for the primary.
    extver, chip, shape
        What goes into the result; ``shape`` is (ny, nx).

    Returns
    -------
    ChipWcs
        Missing numbers are NaN.
    """
    ctype = (text(header, f"CTYPE1{key}", "RA---TAN"), text(header, f"CTYPE2{key}", "DEC--TAN"))
    distorted = _is_distorted(header, key)
    sip_a, sip_b = _sip(header) if distorted else (None, None)
    scale = number(header, "IDCSCALE")
    return ChipWcs(
        extver=extver,
        chip=chip,
        shape=shape,
        crpix=(number(header, f"CRPIX1{key}"), number(header, f"CRPIX2{key}")),
        crval=(number(header, f"CRVAL1{key}"), number(header, f"CRVAL2{key}")),
        cd=_cd(header, key),
        ctype=ctype,
        sip_a=sip_a,
        sip_b=sip_b,
        npol=polynomial_tables(header, tables) if distorted else (None, None),
        d2im=detector_tables(header, tables) if distorted else (None, None),
        idcscale=scale if 0.0 < scale < math.inf and distorted else None,
    )


def _cd(header: Header, key: str) -> tuple[float, float, float, float]:
    """Return CD1_1, CD1_2, CD2_1, CD2_2: absent ones are 0 where any is present, else PC and CDELT."""
    names = ("1_1", "1_2", "2_1", "2_2")
    if any(f"CD{name}{key}" in header for name in names):
        return tuple(number(header, f"CD{name}{key}", 0.0) for name in names)  # type: ignore[return-value]
    identity = (1.0, 0.0, 0.0, 1.0)
    steps = (number(header, f"CDELT1{key}"),) * 2 + (number(header, f"CDELT2{key}"),) * 2
    parts = zip(names, identity, steps, strict=True)
    return tuple(number(header, f"PC{name}{key}", unit) * step for name, unit, step in parts)  # type: ignore[return-value]


def _sip(header: Header) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return the SIP coefficients, both in arrays of the higher order; none below second order."""
    orders = whole_number(header, "A_ORDER"), whole_number(header, "B_ORDER")
    if min(orders) < 2:
        return None, None
    if max(orders) > LARGEST_SIP_ORDER:
        raise UnusableFileError(f"a SIP polynomial of order {max(orders)}", "fetch it again")
    size = max(orders) + 1
    return _polynomial(header, "A", orders[0], size), _polynomial(header, "B", orders[1], size)


def _polynomial(header: Header, axis: str, order: int, size: int) -> NDArray[np.float64]:
    coefficients = np.zeros((size, size))
    for p in range(order + 1):
        for q in range(order + 1 - p):
            if (keyword := f"{axis}_{p}_{q}") in header:
                coefficients[p, q] = number(header, keyword)
    return coefficients


def _headerlet_in(extension: Extension, shapes: ChipShapes, name: str) -> FoundSolution:
    content = extension.data or b""
    location = WcsLocation("headerlet", str(extension.version))
    try:
        solution = headerlet_solution(content, name, shapes)
    except UnusableFileError as error:
        wcsname = text(extension.header, "WCSNAME", "unreadable headerlet")
        solution = WcsSolution("", wcsname, (), problem=error.message)
    return FoundSolution(solution, location, content)


def headerlet_solution(content: bytes, name: str, shapes: ChipShapes | None = None) -> WcsSolution:
    """Read the solution of a headerlet, from its bytes.

    Parameters
    ----------
    content : bytes
        The whole headerlet as a FITS file (gzipped or not).
    name : str
        For messages.
    shapes : mapping, optional
        Chip and shape of each SCI extension it goes with; without it they come from the
        headerlet's own TG_CHIP, TG_NAXn cards (hapctl writes them), else chip 1, shape (0, 0).

    Raises
    ------
    UnusableFileError
        Not a FITS file, or no SIPWCS extension in it.
    """
    extensions = read_fits_bytes(content, name)
    parts = [extension for extension in extensions if extension.name == "SIPWCS"]
    if not parts:
        raise UnusableFileError(f"{name}: no SIPWCS extension", "")
    tables, top = TableStore(extensions), extensions[0].header
    targets = [whole_number(part.header, "TG_EVER", part.version) for part in parts]
    chips = tuple(
        chip_wcs(part.header, tables, "", target, *_target(part.header, target, shapes))
        for part, target in zip(parts, targets, strict=True)
    )
    names = [text(part.header, "WCSNAME", "OPUS") for part in parts]
    wcsname = text(top, "WCSNAME", names[0])
    missing = sorted(set(shapes or {}) - set(targets))
    foreign = sorted(set(targets) - set(shapes)) if shapes else []
    problem = (
        problem_of(wcsname, names, chips)
        or _absent_of([part.header for part in parts], tables)
        or (f"it has no WCS for SCI,{missing[0]}" if missing else "")
        or (f"it has a WCS for SCI,{foreign[0]}, which is not in the file" if foreign else "")
    )
    keywords = _headerlet_keywords(top, parts[0].header)
    return WcsSolution(text(top, "DESTIM").lower(), wcsname, chips, keywords, problem)


def _target(header: Header, extver: int, shapes: ChipShapes | None) -> tuple[int, tuple[int, int]]:
    own = (
        whole_number(header, "TG_CHIP", 1),
        (whole_number(header, "TG_NAX2"), whole_number(header, "TG_NAX1")),
    )
    return (shapes or {}).get(extver, own)


def _headerlet_keywords(top: Header, first: Header) -> dict[str, str | float | int | bool]:
    keywords = _keywords(first, "", top)
    keywords |= {name: value for name in _HEADERLET_KEYWORDS if (value := top.get(name)) not in (None, "")}
    matches = top.get("NMATCH")
    if matches is not None and "NMATCHES" not in keywords:
        keywords["NMATCHES"] = matches
    return keywords
