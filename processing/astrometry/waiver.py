"""WFPC2 as the archive first delivered it: waiver FITS, four groups in one cube.

The header keywords that differ from group to group stand in an ASCII table after the cube, one row
a group.
"""

import re

from hapctl.processing.astrometry.fits_structure import (
    Extension,
    Header,
    number,
    parse_value,
    text,
    whole_number,
)
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.errors import UnusableFileError

_MOST_COLUMNS = 999
_FORM = re.compile(r"[AIFED](\d{1,5})")


def is_waiver(extensions: list[Extension]) -> bool:
    """Say whether a file is in waiver form: a cube of groups and one ASCII table."""
    top = extensions[0].header
    return (
        whole_number(top, "NAXIS") == 3
        and len(extensions) == 2
        and text(extensions[1].header, "XTENSION") == "TABLE"
        and text(top, "INSTRUME") == "WFPC2"
    )


def group_rows(table: Extension) -> list[Header]:
    """Return the rows of an ASCII table, each as keyword -> value."""
    header, data = table.header, table.data or b""
    width, count = whole_number(header, "NAXIS1"), whole_number(header, "NAXIS2")
    columns = [
        (text(header, f"TTYPE{i}"), whole_number(header, f"TBCOL{i}", 1) - 1, text(header, f"TFORM{i}"))
        for i in range(1, whole_number(header, "TFIELDS", 0, _MOST_COLUMNS) + 1)
    ]
    lines = [data[row * width : (row + 1) * width].decode("latin-1") for row in range(count)]
    return [{name: _cell(line, start, form) for name, start, form in columns} for line in lines]


def _cell(line: str, start: int, form: str) -> str | int | float | bool | None:
    match = _FORM.match(form)
    if match is None:
        raise UnusableFileError(f"a column of its table has the format {form!r}", "fetch it again")
    size = int(match[1])
    cell = line[start : start + size].strip()
    return cell if form.startswith("A") else parse_value(cell)


def waiver_chips(extensions: list[Extension]) -> tuple[ChipWcs, ...]:
    """Return the chips of a waiver file, in order of group; none where it is not one."""
    if not is_waiver(extensions):
        return ()
    top = extensions[0].header
    shape = whole_number(top, "NAXIS2"), whole_number(top, "NAXIS1")
    rows = group_rows(extensions[1])
    return tuple(_chip(row, group, shape) for group, row in enumerate(rows, start=1))


def _chip(row: Header, group: int, shape: tuple[int, int]) -> ChipWcs:
    return ChipWcs(
        extver=group,
        chip=whole_number(row, "DETECTOR", group),
        shape=shape,
        crpix=(number(row, "CRPIX1"), number(row, "CRPIX2")),
        crval=(number(row, "CRVAL1"), number(row, "CRVAL2")),
        cd=(number(row, "CD1_1"), number(row, "CD1_2"), number(row, "CD2_1"), number(row, "CD2_2")),
        ctype=(text(row, "CTYPE1", "RA---TAN"), text(row, "CTYPE2", "DEC--TAN")),
    )
