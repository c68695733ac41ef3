"""Headerlets: one WCS solution as a FITS file, in the form HST's archive and stwcs use.

The same solution and keywords give the same bytes on every machine: no clock, no version of anything
is written unless it is among the keywords. Numbers are written with all their digits (free format), so
that reading them back gives the same floats.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from hapctl.processing.astrometry.fits_cards import card_text
from hapctl.processing.astrometry.fits_structure import BLOCK, CARD, HeaderValue
from hapctl.processing.astrometry.reading import ChipShapes, headerlet_solution
from hapctl.processing.astrometry.solution import ChipWcs, LookupTable, WcsSolution
from hapctl.processing.astrometry.wcsname import parse_wcsname, wcstype_text
from numpy.typing import NDArray

Cards = list[tuple[str, HeaderValue]]

# stwcs reads a headerlet only with all of these, whatever they say.
_REQUIRED = {
    **{"NPOLFILE": "N/A", "D2IMFILE": "N/A", "IDCTAB": "N/A"},
    **{"AUTHOR": "", "DESCRIP": "", "UPWCSVER": "", "PYWCSVER": ""},
}
_PRIMARY_LATER = ("FITMETH", "FIT_RMS")
_CHIP_ORDER = (
    *("RMS_RA", "RMS_DEC", "CRDER1", "CRDER2", "NMATCHES", "FITGEOM"),
    *("RELGEOM", "RELMATCH", "RELRMS_D", "RELRMS_R", "RELREFIM", "VAFACTOR"),
)


def headerlet_name(solution: WcsSolution, suffix: str = "flt") -> str:
    """Return HDRNAME of a solution: ``ipppssoot_flt_WCSNAME-hlet.fits``."""
    return f"{solution.rootname}_{suffix}_{solution.name}-hlet.fits"


def headerlet_bytes(
    solution: WcsSolution, *, suffix: str = "flt", date: str | None = None, history: Sequence[str] = ()
) -> bytes:
    """Write a solution as a headerlet.

    Parameters
    ----------
    solution : WcsSolution
        Its ``keywords`` (IDCTAB, RMS_RA, NMATCHES, CATALOG ...) go where HST's headerlets have them.
    suffix : str
        flt or flc; part of HDRNAME where the keywords have none.
    date : str, optional
        DATE keyword; by default that among the keywords, else blank: the bytes depend on the solution alone.
    history : sequence of str
        HISTORY cards of the primary header, at most 72 characters each.

    Returns
    -------
    bytes
        A complete FITS file; the same arguments give the same bytes.
    """
    parts = [_header(_primary_cards(solution, suffix, date), history)]
    version = {"WCSDVARR": 0, "D2IMARR": 0}
    for index, chip in enumerate(solution.chips, start=1):
        cards, tables = table_cards(chip, version)
        parts.append(_header(_chip_cards(solution, chip, index) + cards))
        parts += [_table(name, extver, table) for name, extver, table in tables]
    return b"".join(parts)


def read_headerlet(source: bytes | Path | str, shapes: ChipShapes | None = None) -> WcsSolution:
    """Read the solution of a headerlet.

    Parameters
    ----------
    source : bytes, Path or str
        The headerlet, or its path.
    shapes : mapping, optional
        SCI extension version -> (chip, (ny, nx)) of the file it goes with; HST's headerlets do not say.

    Raises
    ------
    UnusableFileError
        Not a FITS file, truncated, or without SIPWCS extension.
    """
    if isinstance(source, bytes):
        return headerlet_solution(source, "headerlet", shapes)
    return headerlet_solution(Path(source).read_bytes(), str(source), shapes)


def _primary_cards(solution: WcsSolution, suffix: str, date: str | None) -> Cards:
    keywords = solution.keywords
    catalog = parse_wcsname(solution.name).reference
    cards: Cards = [("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)]
    cards += [
        ("DESTIM", solution.rootname),
        ("HDRNAME", keywords.get("HDRNAME", headerlet_name(solution, suffix))),
    ]
    # stwcs attaches a headerlet only if it has a DATE, and takes a blank one.
    cards += [("DATE", keywords.get("DATE", "") if date is None else date)]
    cards += [("WCSNAME", solution.name), ("DISTNAME", keywords.get("DISTNAME", distortion_name(solution)))]
    cards += [("SIPNAME", keywords.get("SIPNAME", sip_name(solution)))]
    cards += [(name, keywords.get(name, default)) for name, default in _REQUIRED.items()]
    cards += [(name, keywords.get(name)) for name in ("RMS_RA", "RMS_DEC")]
    cards += [("NMATCH", keywords.get("NMATCHES")), ("CATALOG", keywords.get("CATALOG", catalog))]
    cards += [(name, keywords.get(name)) for name in _PRIMARY_LATER]
    return _present(cards)


def _present(cards: Cards) -> Cards:
    return [(name, value) for name, value in cards if value is not None]


def distortion_name(solution: WcsSolution) -> str:
    """Return DISTNAME as stwcs builds it: SIPNAME-npol-d2im, by the roots of the reference files."""
    keywords = solution.keywords
    sip = str(keywords.get("SIPNAME", sip_name(solution)))
    return f"{sip}-{reference_root(keywords.get('NPOLFILE'))}-{reference_root(keywords.get('D2IMFILE'))}"


def sip_name(solution: WcsSolution) -> str:
    """Return SIPNAME as stwcs builds it: rootname and root of the IDCTAB."""
    root = reference_root(solution.keywords.get("IDCTAB"))
    return root if root == "NOMODEL" else f"{solution.rootname}_{root}"


def reference_root(file: HeaderValue) -> str:
    """Return the root of a reference file (``iref$y7b1516qi_npl.fits``: y7b1516qi); NOMODEL for none."""
    name = str(file or "").strip()
    if name in ("", "N/A"):
        return "NOMODEL"
    return name.rsplit("$", 1)[-1].rsplit("/", 1)[-1].split(".fits")[0].split("_")[0]


def _chip_cards(solution: WcsSolution, chip: ChipWcs, index: int) -> Cards:
    cards: Cards = [("XTENSION", "IMAGE"), ("BITPIX", 8), ("NAXIS", 0), ("PCOUNT", 0), ("GCOUNT", 1)]
    cards += [("EXTNAME", "SIPWCS"), ("EXTVER", index), ("WCSAXES", 2)]
    cards += [(f"CRPIX{axis}", chip.crpix[axis - 1]) for axis in (1, 2)]
    cards += [("CUNIT1", "deg"), ("CUNIT2", "deg"), ("CTYPE1", chip.ctype[0]), ("CTYPE2", chip.ctype[1])]
    cards += [(f"CRVAL{axis}", chip.crval[axis - 1]) for axis in (1, 2)]
    cards += [
        (name, value) for name, value in zip(("CD1_1", "CD1_2", "CD2_1", "CD2_2"), chip.cd, strict=True)
    ]
    cards += [
        ("WCSNAME", solution.name),
        ("WCSTYPE", solution.keywords.get("WCSTYPE", wcstype_text(solution.name))),
    ]
    cards += [("RADESYS", solution.keywords.get("RADESYS", "ICRS")), ("ORIENTAT", orientation(chip))]
    cards += [("TG_ENAME", "SCI"), ("TG_EVER", chip.extver), ("TG_CHIP", chip.chip)]
    cards += [("TG_NAX1", chip.shape[1]), ("TG_NAX2", chip.shape[0]), ("IDCSCALE", chip.idcscale)]
    cards += [(name, solution.keywords.get(name)) for name in _CHIP_ORDER]
    return _present(cards + sip_cards("A", chip.sip_a) + sip_cards("B", chip.sip_b))


def orientation(chip: ChipWcs) -> float:
    """Return ORIENTAT: position angle of the y axis, degrees east of north."""
    return math.degrees(math.atan2(chip.cd[1], chip.cd[3]))


def sip_cards(axis: str, coefficients: NDArray[np.float64] | None) -> Cards:
    """Return the SIP cards of an axis, A or B: the order and the coefficients that are not 0."""
    if coefficients is None:
        return []
    order = len(coefficients) - 1
    pairs = [(p, q) for p in range(order + 1) for q in range(order + 1 - p)]
    values: Cards = [
        (f"{axis}_{p}_{q}", float(coefficients[p, q])) for p, q in pairs if coefficients[p, q] != 0.0
    ]
    return [(f"{axis}_ORDER", order), *values]


def table_cards(chip: ChipWcs, version: dict[str, int]) -> tuple[Cards, list[tuple[str, int, LookupTable]]]:
    """Return the cards that refer to a chip's tables, and the tables with the versions they get."""
    cards: Cards = []
    tables: list[tuple[str, int, LookupTable]] = []
    for pair, name, kind, record, error in (
        (chip.d2im, "D2IMARR", "D2IMDIS", "D2IM", "D2IMERR"),
        (chip.npol, "WCSDVARR", "CPDIS", "DP", "CPERR"),
    ):
        for axis, table in ((axis, table) for axis, table in enumerate(pair, start=1) if table is not None):
            version[name] += 1
            tables.append((name, version[name], table))
            cards.append((f"{kind}{axis}", "LOOKUP"))
            fields = (f"EXTVER: {version[name]}", "NAXES: 2", "AXIS.1: 1", "AXIS.2: 2")
            cards += [(f"{record}{axis}", field) for field in fields]
            cards.append((f"{error}{axis}", float(np.abs(table.values).max())))
    return cards, tables


def _table(name: str, version: int, table: LookupTable) -> bytes:
    return _header(table_header(name, version, table)) + _pad(table_values(table), b"\0")


def table_values(table: LookupTable) -> bytes:
    """Return the nodes of a lookup table as FITS stores them."""
    return bytes(table.values.astype(">f4").tobytes())


def table_header(name: str, version: int, table: LookupTable) -> Cards:
    """Return the cards of the extension of a lookup table."""
    ny, nx = table.values.shape
    cards: Cards = [("XTENSION", "IMAGE"), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", nx), ("NAXIS2", ny)]
    cards += [("PCOUNT", 0), ("GCOUNT", 1), ("EXTNAME", name), ("EXTVER", version)]
    for keyword, pair in (("CRPIX", table.crpix), ("CRVAL", table.crval), ("CDELT", table.cdelt)):
        cards += [(f"{keyword}{axis}", pair[axis - 1]) for axis in (1, 2)]
    return cards


def _header(cards: Cards, history: Iterable[str] = ()) -> bytes:
    lines = [card_text(keyword, value) for keyword, value in cards]
    lines += [f"HISTORY {line}"[:CARD] for line in history]
    return _pad("".join(line.ljust(CARD) for line in [*lines, "END"]).encode("ascii", "replace"), b" ")


def _pad(content: bytes, fill: bytes) -> bytes:
    return content + fill * (-len(content) % BLOCK)
