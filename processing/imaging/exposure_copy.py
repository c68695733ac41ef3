"""The calibrated file of an exposure as a product: under HAP's name, with a solution as its primary WCS.

Pixels keep their bytes, and DATE stays that of the file: the same file, solution and cards give the same
bytes. The old primary WCS stays in the file under a letter and as a HDRLET, and the new one is one too.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hapctl.processing.astrometry.fits_cards import set_card
from hapctl.processing.astrometry.fits_editing import EditedFile, editing
from hapctl.processing.astrometry.fits_structure import data_size, parse_header
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.wcs_writing import put_solution

_PIXELS = ("SCI", "ERR", "DQ")


@dataclass(frozen=True)
class ExposureCopy:
    """A copy as written.

    Attributes
    ----------
    path : Path
    pixels_sha256 : str
        Of the data of all SCI, ERR and DQ extensions, in order of the file, without padding.
    """

    path: Path
    pixels_sha256: str


def write_exposure_copy(
    source: Path, target: Path, solution: WcsSolution, cards: Mapping[str, str | int | float | bool]
) -> ExposureCopy:
    """Write a calibrated file with a solution, CHECKSUM and DATASUM in every HDU, and cards of the product.

    Parameters
    ----------
    source : path
        Calibrated file (flt, flc), plain or gzipped.
    target : path
        Plain, whatever the source is; written aside, synced and renamed.
    solution : WcsSolution
        Of the same exposure; its distortion replaces that of the file where they differ.
    cards : mapping
        Of the primary header.

    Raises
    ------
    RefusedError
        The solution does not fit the file, or the folder can't be written.
    TooLargeError
        The disk is full.
    UnusableFileError, MissingFileError
        The source.
    """
    with editing(source) as edited:
        put_solution(edited, solution, attach=True, force=True)
        for keyword, value in cards.items():
            set_card(edited.primary, keyword, value)
        for part in edited.parts:
            for keyword in ("CHECKSUM", "DATASUM"):
                set_card(part.header, keyword, "0")  # the sums themselves come when the file is saved
        pixels = _pixels_sha256(edited)
        edited.save(target)
    return ExposureCopy(target, pixels)


def _pixels_sha256(edited: EditedFile) -> str:
    digest = hashlib.sha256()
    for part in edited.parts:
        if part.name in _PIXELS:
            size = data_size(parse_header(part.header.tostring().encode("ascii", "replace")))
            digest.update(edited.data_of(part)[:size])
    return digest.hexdigest()
