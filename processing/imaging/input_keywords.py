"""Which header keywords of its inputs a product keeps, as columns of its table of inputs.

AstroDrizzle's HDRTAB has some 280 columns, a third of them distortion coefficients that WCSNAME and IDCTAB
stand for. Kept here are those that tell exposures apart: pointing, aperture, read-out, calibration files,
photometry and the figures of the WCS fit.
"""

import math
from collections.abc import Mapping

import numpy as np
from astropy.io import fits

Value = str | int | float | bool

KEPT: dict[str, str] = {
    # keyword: A text, D number (NaN where an input has none); in the order of the table
    **dict.fromkeys(("TARGNAME", "DATE-OBS", "TIME-OBS", "APERTURE", "FGSLOCK"), "A"),
    **dict.fromkeys(("PROPOSID", "RA_TARG", "DEC_TARG", "PA_V3", "SUNANGLE", "SUN_ALT"), "D"),
    **dict.fromkeys(("CCDAMP", "SAMP_SEQ", "SUBARRAY"), "A"),
    **dict.fromkeys(("CCDGAIN", "NSAMP", "CRSPLIT", "FLASHDUR", "MEANDARK"), "D"),
    **dict.fromkeys(("BUNIT", "CAL_VER", "CTEIMAGE", "PCTECORR", "FLSHCORR"), "A"),
    **dict.fromkeys(("IDCTAB", "NPOLFILE", "D2IMFILE", "PFLTFILE", "LFLTFILE", "DARKFILE", "BPIXTAB"), "A"),
    **dict.fromkeys(("PHOTMODE",), "A"),
    **dict.fromkeys(("PHOTFLAM", "PHOTPLAM", "PHOTZPT", "PHOTBW"), "D"),
    **dict.fromkeys(("NMATCHES", "RMS_RA", "RMS_DEC"), "D"),
    **dict.fromkeys(("HDRNAME",), "A"),
}
_OF_SOLUTION = ("NMATCHES", "RMS_RA", "RMS_DEC", "HDRNAME", "IDCTAB", "NPOLFILE", "D2IMFILE")


def kept_keywords(
    primary: fits.Header | Mapping[str, object], science: fits.Header, solution: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the keywords of a chip that its product keeps.

    Parameters
    ----------
    primary, science : Header
        Of the file; a keyword of the SCI extension goes before that of the primary header.
    solution : mapping
        Keywords of the solution in use: those of the fit come from here alone.
    """
    found: dict[str, Value] = {}
    for keyword, code in KEPT.items():
        value = solution.get(keyword)
        if value is None and keyword not in _OF_SOLUTION[:4]:
            value = science.get(keyword, primary.get(keyword))
        if (plain := _plain(value, code)) is not None:
            found[keyword] = plain
    return found


def _plain(value: object, code: str) -> Value | None:
    """Return a text or a number as the column holds it, or None."""
    if code == "A":
        words = "T" if value is True else "F" if value is False else value
        return words.strip() or None if isinstance(words, str) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def keyword_columns(chips: list[Mapping[str, Value]]) -> list[fits.Column]:
    """Return a column for each kept keyword that some chip has; blank or NaN where another has none."""
    columns = []
    for keyword, code in KEPT.items():
        if not any(keyword in chip for chip in chips):
            continue
        values = [chip.get(keyword, "" if code == "A" else math.nan) for chip in chips]
        width = f"{max(len(str(value)) for value in values)}A" if code == "A" else "D"
        columns.append(fits.Column(name=keyword, format=width, array=np.array(values)))
    return columns
