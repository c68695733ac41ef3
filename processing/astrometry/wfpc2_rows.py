"""WFPC2's 34th-row correction: the old residual table (DGEOFILE) as D2IM tables of the four chips.

Every 34th row of WFPC2's detectors is narrower, so that rows lie up to 0.015 pixel off. stwcs makes a table
of the file whose values run along x, and for chip 1 alone [BUG]; they belong along y, on all four chips.
"""

from pathlib import Path

import numpy as np
from hapctl.processing.astrometry.fits_cards import card_text
from hapctl.processing.astrometry.fits_editing import FitsPart
from hapctl.processing.astrometry.headerlet import table_cards, table_header, table_values
from hapctl.processing.astrometry.solution import ChipWcs, LookupTable
from hapctl.processing.errors import UnusableFileError
from numpy.typing import NDArray

_ORIGIN = (0.0, 0.0)
_STEP = (1.0, 1.0)


def row_tables(dgeofile: Path, detectors: list[int]) -> list[tuple[LookupTable | None, LookupTable | None]]:
    """Read the corrections of chips as lookup tables with a node on every pixel.

    Parameters
    ----------
    dgeofile : Path
        With extensions DX and DY for each chip (EXTVER is the DETECTOR).
    detectors : list of int

    Returns
    -------
    list of pair of LookupTable or None
        For x and y of each chip; an axis along which nothing varies has one node, no correction is None.

    Raises
    ------
    UnusableFileError
        The file has no such extensions.
    """
    from astropy.io import fits

    try:
        with fits.open(dgeofile) as hdus:
            pairs = [(hdus["DX", number].data, hdus["DY", number].data) for number in detectors]
    except (OSError, KeyError) as error:
        raise UnusableFileError(
            f"{dgeofile.name}: no residual table of WFPC2: {error}", "fetch it again"
        ) from error
    return [(_table(dx), _table(dy)) for dx, dy in pairs]


def _table(values: NDArray[np.float32]) -> LookupTable | None:
    if not np.any(values):
        return None
    if np.all(values == values[:, :1]):
        values = values[:, :1]
    if np.all(values == values[:1, :]):
        values = values[:1, :]
    return LookupTable(np.ascontiguousarray(values, dtype=np.float32), _ORIGIN, _ORIGIN, _STEP)


def add_tables(part: FitsPart, chip: ChipWcs, version: dict[str, int], name: str) -> list[FitsPart]:
    """Refer to the D2IM tables of a chip in its SCI header; return their extensions.

    Parameters
    ----------
    part : FitsPart
        The SCI extension.
    chip : ChipWcs
        With the tables, and no others.
    version : dict
        The last EXTVER of ``D2IMARR`` and ``WCSDVARR``, counted on.
    name : str
        The file they come from.
    """
    from astropy.io import fits

    cards, tables = table_cards(chip, version)
    if tables:
        cards.append(("D2IMEXT", name))
    for keyword, value in cards:
        part.header.append(fits.Card.fromstring(card_text(keyword, value)), bottom=True)
    made = []
    for kind, extver, table in tables:
        lines = [card_text(keyword, value) for keyword, value in table_header(kind, extver, table)]
        header = fits.Header([fits.Card.fromstring(line) for line in lines])
        made.append(FitsPart(header, table_values(table)))
    return made
