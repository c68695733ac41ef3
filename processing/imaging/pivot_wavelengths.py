"""Where in the spectrum a filter of HST lies: PHOTPLAM of a product, or else the handbooks' table.

The digits of a name won't do: F110W of WFC3/IR lies at 1153 nm, F115LP of ACS/SBC at 141 nm, and the
long-pass and extremely wide filters far from their numbers.
"""

import re
from collections.abc import Mapping

_ANGSTROM_PER_NM = 10.0

# Pivot wavelengths in nm, rounded; ACS, WFC3 and WFPC2 Instrument Handbooks, tables of filters.
_IR: Mapping[str, float] = {
    **{"F098M": 986, "F105W": 1055, "F110W": 1153, "F125W": 1249, "F126N": 1258, "F127M": 1274},
    **{"F128N": 1283, "F130N": 1301, "F132N": 1319, "F139M": 1384, "F140W": 1392, "F153M": 1532},
    **{"F160W": 1537, "F164N": 1640, "F167N": 1664},
}
_SBC: Mapping[str, float] = {
    **{"F115LP": 141, "F122M": 127, "F125LP": 144, "F140LP": 153, "F150LP": 161, "F165LP": 176},
}
_UVIS: Mapping[str, float] = {
    **{"F200LP": 497, "F218W": 223, "F225W": 237, "F275W": 271, "F280N": 283, "F300X": 282, "F336W": 335},
    **{"F350LP": 587, "F390M": 390, "F390W": 392, "F438W": 433, "F475W": 477, "F475X": 494, "F547M": 545},
    **{"F555W": 531, "F600LP": 747, "F606W": 589, "F621M": 622, "F625W": 624, "F763M": 761, "F775W": 765},
    **{"F814W": 804, "F845M": 844, "F850LP": 918},
}
_ACS: Mapping[str, float] = {
    **{"F220W": 226, "F250W": 272, "F330W": 336, "F344N": 343, "F435W": 433, "F475W": 475, "F550M": 558},
    **{"F555W": 536, "F606W": 592, "F625W": 631, "F775W": 769, "F814W": 806, "F850LP": 903},
}
_WFPC2: Mapping[str, float] = {
    **{"F300W": 299, "F336W": 334, "F439W": 431, "F450W": 456, "F555W": 544, "F606W": 600, "F675W": 672},
    **{"F702W": 692, "F814W": 801, "F850LP": 911},
}
_BY_DETECTOR = {
    **{"IR": _IR, "SBC": _SBC, "UVIS": _UVIS, "WFC": _ACS, "HRC": _ACS},
    **dict.fromkeys(("PC", "PC1", "WF", "WF2", "WF3", "WF4", "WFPC2"), _WFPC2),
}


def pivot_nm(filter_name: str, detector: str, photplam: float | None = None) -> float:
    """Return the pivot wavelength of a filter, nm.

    Parameters
    ----------
    filter_name : str
        ``F606W``, in any case; of combined filters (``F606W;POL0V``) the first that has a number counts.
    detector : str
        DETECTOR of the headers.
    photplam : float, optional
        PHOTPLAM in Angstrom, where a header says it: it goes before the table.

    Returns
    -------
    float
        For a filter that is not in the table the number in its name (times ten for WFC3/IR); 0 without one.

    Examples
    --------
    >>> pivot_nm("f160w", "IR")
    1537.0
    """
    if photplam is not None and photplam > 0:
        return photplam / _ANGSTROM_PER_NM
    table = _BY_DETECTOR.get(detector.upper(), {})
    numbered = re.search(r"F(\d{3})[A-Z]*", filter_name.upper())
    if numbered is None:
        return 0.0
    nominal = float(numbered.group(1)) * (10.0 if detector.upper() == "IR" else 1.0)
    return float(table.get(numbered.group(0), nominal))


def spectral_band(nanometres: float) -> str:
    """Return the AVM name of a part of the spectrum: Ultraviolet, Optical or Infrared."""
    if nanometres < 380.0:
        return "Ultraviolet"
    return "Optical" if nanometres < 750.0 else "Infrared"
