"""The aperture cards (RA_APER, DEC_APER, PA_APER), moved with the WCS.

They say where the aperture's reference point was commanded to be, and belong to the pointing that was
commanded (OPUS, IDC): HST's pipeline never moves them, whatever solution it makes primary. A file that
hapctl wrote says in APERWCS which WCS they were moved with. PA_V3 is telemetry, and stays.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.astrometry.fits_cards import set_card
from hapctl.processing.astrometry.mapping import pixel_to_sky, tangent_basis
from hapctl.processing.astrometry.solution import ChipWcs
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io import fits

Array = NDArray[np.float64]

MOVED_WITH = "APERWCS"
_POSITION = ("RA_APER", "DEC_APER")


def directions_moved(old: ChipWcs, new: ChipWcs) -> Array:
    """Return the matrix, shape (3, 3), that carries directions from one WCS of a chip to another.

    The same pixel offsets have plane coordinates CD u in either; the lengths of the vectors are left free.
    """
    new = _at_pixel(new, old.crpix)
    inner = np.eye(3)
    inner[:2, :2] = new.cd_matrix @ np.linalg.inv(old.cd_matrix)
    return tangent_basis(*new.crval).T @ inner @ tangent_basis(*old.crval)


def _at_pixel(chip: ChipWcs, crpix: tuple[float, float]) -> ChipWcs:
    """Return a chip's WCS with its reference point at another pixel (1-based), for directions only."""
    if chip.crpix == crpix:
        return chip
    ra, dec = pixel_to_sky(chip, crpix[0] - 1.0, crpix[1] - 1.0)
    return replace(chip, crval=(float(ra), float(dec)))


def move_aperture(header: "fits.Header", old: ChipWcs, new: ChipWcs, name: str = "") -> None:
    """Move the aperture cards of a header, those that are there.

    Parameters
    ----------
    header : astropy.io.fits.Header
    old : ChipWcs
        The WCS the cards belong to.
    new : ChipWcs
        The WCS they are moved to.
    name : str
        Its WCSNAME, noted in APERWCS; empty for extensions that say it nowhere.
    """
    position = [header.get(keyword) for keyword in _POSITION]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in position):
        position = list(old.crval)
        named: tuple[str, ...] = ()
    else:
        named = _POSITION
    matrix = directions_moved(old, new)
    angle = header.get("PA_APER")
    ra, dec, turned = _moved(matrix, float(position[0]), float(position[1]), _number(angle))
    for keyword, value in zip(named, (ra, dec), strict=False):
        set_card(header, keyword, value)
    if isinstance(angle, int | float):
        # Kept within half a turn of what it was: HST writes -180 to 180 as well as 0 to 360.
        set_card(header, "PA_APER", angle + math.remainder(turned - angle, 360.0))
    if name and (named or isinstance(angle, int | float)):
        set_card(header, MOVED_WITH, name)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _moved(matrix: Array, ra: float, dec: float, angle: float) -> tuple[float, float, float]:
    """Return a position and a position angle at it (degrees) after a transformation of directions."""
    before = tangent_basis(ra, dec)
    image = matrix @ before[2]
    new_ra = math.degrees(math.atan2(image[1], image[0])) % 360.0
    new_dec = math.degrees(math.atan2(image[2], math.hypot(image[0], image[1])))
    along = math.sin(math.radians(angle)) * before[0] + math.cos(math.radians(angle)) * before[1]
    east, north, _ = tangent_basis(new_ra, new_dec) @ (matrix @ along)
    return new_ra, new_dec, math.degrees(math.atan2(east, north))
