"""The WCS of a chip as cards: SCI with all that a fit says, ERR and DQ with the linear part.

Only what the WCS says is written: distortion cards by :mod:`wcs_distortion`, alternates by
:mod:`wcs_alternates`, the aperture by :mod:`aperture`.
"""

from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.astrometry.fits_cards import remove_cards, set_card
from hapctl.processing.astrometry.fits_structure import HeaderValue
from hapctl.processing.astrometry.footprint import s_region
from hapctl.processing.astrometry.headerlet import orientation
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.astrometry.wcsname import wcstype_text
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io import fits

Cards = dict[str, HeaderValue]

FIT_KEYWORDS = (
    *("RMS_RA", "RMS_DEC", "CRDER1", "CRDER2", "NMATCHES", "FITGEOM"),
    *("RELGEOM", "RELMATCH", "RELRMS_D", "RELRMS_R", "RELREFIM", "HDRNAME"),
)
"""What a fit says of itself in a SCI header; cards of an older fit are removed."""

MAS_PER_DEGREE = 3.6e6


def linear_cards(chip: ChipWcs, key: str = "", *, distorted: bool = True) -> Cards:
    """Return the cards of the linear WCS, with the letter of an alternate or none."""
    ctype = chip.ctype if distorted else tuple(name[:8] for name in chip.ctype)
    cards: Cards = {f"WCSAXES{key}": 2}
    cards |= {f"CRPIX{axis}{key}": chip.crpix[axis - 1] for axis in (1, 2)}
    cards |= {f"CUNIT{axis}{key}": "deg" for axis in (1, 2)}
    cards |= {f"CTYPE{axis}{key}": ctype[axis - 1] for axis in (1, 2)}
    cards |= {f"CRVAL{axis}{key}": chip.crval[axis - 1] for axis in (1, 2)}
    names = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
    return cards | {f"{name}{key}": value for name, value in zip(names, chip.cd, strict=True)}


def fit_cards(solution: WcsSolution, hdrname: str) -> Cards:
    """Return what the fit says of itself; CRDER in degrees as the standard wants it, or none."""
    cards = {name: solution.keywords.get(name) for name in FIT_KEYWORDS}
    for axis, rms in (("1", "RMS_RA"), ("2", "RMS_DEC")):
        value = cards[rms]
        # HST's headerlets carry CRDER in mas at times: the rms of the fit is what they mean.
        if isinstance(value, int | float) and not isinstance(value, bool):
            # An rms of 0 is that of a solution without stars: its random error is unknown.
            cards[f"CRDER{axis}"] = value / MAS_PER_DEGREE if value > 0 else None
    cards["HDRNAME"] = hdrname
    return {name: value for name, value in cards.items() if value is not None}


def _number_axes(header: "fits.Header") -> None:
    """Put WCSAXES where the standard wants it: before all other cards of the WCS."""
    if "WCSAXES" not in header:
        places = [header.index(keyword) for keyword in linear_keywords() if keyword in header]
        header.insert(min(places, default=len(header)), ("WCSAXES", 2, "number of axes of the WCS"))


def linear_keywords() -> tuple[str, ...]:
    """Return the keywords of a linear WCS, without a letter."""
    pairs = [(f"CRPIX{axis}", f"CUNIT{axis}", f"CTYPE{axis}", f"CRVAL{axis}") for axis in (1, 2)]
    return (*pairs[0], *pairs[1], "CD1_1", "CD1_2", "CD2_1", "CD2_2")


def write_science(header: "fits.Header", chip: ChipWcs, solution: WcsSolution, hdrname: str) -> None:
    """Write the primary WCS of a chip into its SCI header: all but distortion, aperture and alternates."""
    fit = fit_cards(solution, hdrname)
    remove_cards(header, *(name for name in FIT_KEYWORDS if name not in fit))
    remove_cards(header, "PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2")
    _number_axes(header)
    cards = linear_cards(chip)
    cards |= {"ORIENTAT": orientation(chip), "RADESYS": solution.keywords.get("RADESYS", "ICRS")}
    cards["WCSNAME"] = solution.name
    cards["WCSTYPE"] = str(solution.keywords.get("WCSTYPE") or wcstype_text(solution.name))
    for keyword, value in (cards | fit).items():
        set_card(header, keyword, value)
    if min(chip.shape) > 0:
        set_card(header, "S_REGION", s_region([corners(chip)]))


def corners(chip: ChipWcs) -> NDArray[np.float64]:
    """Return the outer corners of a chip on the sky, shape (4, 2): what HST's S_REGION holds."""
    ny, nx = chip.shape
    x, y = np.array([0.0, nx, nx, 0.0]) - 0.5, np.array([0.0, 0.0, ny, ny]) - 0.5
    ring = np.column_stack(pixel_to_sky(chip, x, y))
    return ring if np.linalg.det(chip.cd_matrix) < 0.0 else ring[::-1]


def write_companion(header: "fits.Header", chip: ChipWcs, solution: WcsSolution) -> None:
    """Write the linear WCS into the header of an ERR or DQ extension, which has no distortion of its own."""
    remove_cards(header, "PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2")
    _number_axes(header)
    cards = linear_cards(chip, distorted=False) | {"WCSNAME": solution.name}
    if "RADESYS" in header:
        cards["RADESYS"] = solution.keywords.get("RADESYS", "ICRS")
    if "ORIENTAT" in header:
        cards["ORIENTAT"] = orientation(chip)
    for keyword, value in cards.items():
        set_card(header, keyword, value)
