"""The table of inputs of a cut-out: rows of the inputs that touch it, context bits numbered anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

_BIT, _FLUX = "CTXBIT", "FLUXFACT"


@dataclass(frozen=True)
class CutInputs:
    """What goes into a cut-out.

    Attributes
    ----------
    table : BinTableHDU or None
        None where no product has one.
    codes : tuple of mapping of int to int
        For each product, the new bit of CTX for each old one.
    rootnames : tuple of str
        Sorted; empty where the tables do not say.
    rows : int
        Of the table.
    """

    table: fits.BinTableHDU | None
    codes: tuple[Mapping[int, int], ...]
    rootnames: tuple[str, ...]
    rows: int

    @property
    def planes(self) -> int:
        """Planes of CTX that the new bits need."""
        bits = [bit for code in self.codes for bit in code.values()]
        return max(bits, default=0) // 32 + 1


def joined_inputs(
    parts: Sequence[tuple[fits.BinTableHDU | None, frozenset[int]]], factors: Sequence[float]
) -> CutInputs:
    """Choose the rows whose bits are in use, each input once, in the order of the products.

    Parameters
    ----------
    parts : sequence of (BinTableHDU or None, frozenset of int)
        Of each product its table and the bits of CTX in use. Without any bit (a product without CTX) all
        rows stay; a table without the column CTXBIT has a row for each bit.
    factors : sequence of float
        What SCI of each product is multiplied by; the column FLUXFACT is, too.
    """
    tables = [table for table, _ in parts if table is not None]
    if len(tables) < len(parts):
        return CutInputs(None, tuple({bit: bit for bit in bits} for _, bits in parts), (), 0)
    new: dict[tuple[object, ...], int] = {}
    codes, chosen = [], []
    for number, (table, (_, bits)) in enumerate(zip(tables, parts, strict=True)):
        code: dict[int, int] = {}
        for row, bit in enumerate(_rows(table.data)):
            if bits and bit not in bits:
                continue
            key = _key(table.data, row, number)
            if key not in new:
                new[key] = len(new)
                chosen.append((number, row))
            code[bit] = new[key]
        codes.append(code)
    joined = _table([table.data for table in tables], chosen, tables[0], factors)
    return CutInputs(joined, tuple(codes), _rootnames(joined), len(chosen))


def recoded(context: NDArray[np.int32], code: Mapping[int, int], planes: int) -> NDArray[np.int32]:
    """Return context planes, shape (planes, rows, nx), with bits moved to their new places."""
    old = context.view(np.uint32)
    new = np.zeros((planes, *context.shape[1:]), dtype=np.uint32)
    for bit, to in code.items():
        if bit // 32 < len(old):
            set_here = old[bit // 32] >> np.uint32(bit % 32) & np.uint32(1)
            new[to // 32] |= set_here << np.uint32(to % 32)
    return new.view(np.int32)


def _rows(data: fits.FITS_rec) -> list[int]:
    """The bit of each row."""
    return data[_BIT].tolist() if _BIT in data.names else list(range(len(data)))


def _key(data: fits.FITS_rec, row: int, number: int) -> tuple[object, ...]:
    """What tells an input: the same chip of the same exposure, in whatever product."""
    if {"ROOTNAME", "EXTVER"} <= set(data.names):
        return str(data["ROOTNAME"][row]), int(data["EXTVER"][row])
    return number, row


def _rootnames(table: fits.BinTableHDU) -> tuple[str, ...]:
    if "ROOTNAME" not in table.data.names:
        return ()
    return tuple(sorted({str(name).strip() for name in table.data["ROOTNAME"]}))


def _table(
    tables: Sequence[fits.FITS_rec],
    chosen: Sequence[tuple[int, int]],
    first: fits.BinTableHDU,
    factors: Sequence[float],
) -> fits.BinTableHDU:
    columns = []
    for column in first.columns:
        if not all(column.name in data.names for data in tables):
            continue
        values = np.array([tables[number][column.name][row] for number, row in chosen])
        if column.name == _BIT:
            values = np.arange(len(chosen))
        if column.name == _FLUX:
            values = values * np.array([factors[number] for number, _ in chosen])
        code = f"{max(1, values.dtype.itemsize // 4)}A" if values.dtype.kind == "U" else column.format
        columns.append(fits.Column(name=column.name, format=code, unit=column.unit, array=values))
    table = fits.BinTableHDU(name=first.name)
    table.data = fits.FITS_rec.from_columns(fits.ColDefs(columns))
    table.header["EXTVER"] = (1, "extension version number")
    return table
