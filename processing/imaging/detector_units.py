"""Units and noise of HST's detectors: seconds, electrons per SCI value, read noise of a chip.

ACS (WFC, HRC, SBC), WFC3 (UVIS, IR), WFPC2 (MEF) and STIS, from what their headers say. What a header must
say and doesn't is an `UnusableFileError` of one line; nothing is guessed but what the instrument fixes:
photon counters (SBC, MAMAs) have gain 1 and no read noise, WFPC2 and STIS without BUNIT are in counts.
"""

import math
from collections.abc import Mapping

from astropy.io import fits
from hapctl.processing.errors import UnusableFileError

WFPC2_GAIN: Mapping[int, Mapping[int, float]] = {
    1: {7: 7.12, 15: 13.99},
    2: {7: 7.12, 15: 14.50},
    3: {7: 6.90, 15: 13.95},
    4: {7: 7.10, 15: 13.95},
}
"""Electrons per count by chip and ATODGAIN (hap_reference 1.7)."""

WFPC2_READ_NOISE: Mapping[int, Mapping[int, float]] = {
    1: {7: 5.24, 15: 7.02},
    2: {7: 5.51, 15: 7.84},
    3: {7: 5.22, 15: 6.99},
    4: {7: 5.19, 15: 8.32},
}
"""Electrons by chip and ATODGAIN (hap_reference 1.7)."""

_AMPLIFIERS = "ABCD"
_CHIP_AMPLIFIERS = {("ACS", "WFC"): {1: "AB", 2: "CD"}, ("WFC3", "UVIS"): {1: "AB", 2: "CD"}}
_PHOTON_COUNTERS = ("SBC", "NUV-MAMA", "FUV-MAMA")
_IN_COUNTS = ("WFPC2", "STIS")
_UNITS = {"ELECTRON": "electrons", "COUNT": "counts", "DN": "counts"}


def exposure_seconds(primary: fits.Header, header: fits.Header) -> float:
    """Return the exposure time of an imset, seconds: EXPTIME of its SCI header, else of the primary one.

    Raises
    ------
    UnusableFileError
        Neither header has one that is finite and above zero.
    """
    found = [source["EXPTIME"] for source in (header, primary) if source.get("EXPTIME") is not None]
    for value in found:
        seconds = _number(value)
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    said = f"EXPTIME is {found[0]}" if found else "there is no EXPTIME"
    raise UnusableFileError(f"{said}: electrons and counts per second can't be told", "fetch the file again")


def electrons_per_unit(primary: fits.Header, header: fits.Header, exposure_time: float) -> float:
    """Return what a SCI value is multiplied by to give electrons, from BUNIT, EXPTIME and the gain.

    Rates (``/S``, as in WFC3/IR) are multiplied by the exposure time, also where a pixel's own time (the TIME
    extension) is shorter: a rate is a rate, and a ramp cut short is noisier, which ERR tells.

    Raises
    ------
    UnusableFileError
        BUNIT is none of electrons and counts, with or without ``/S``, or counts have no gain.
    """
    unit = _unit(primary, header)
    per_second = unit.endswith(("/S", "/SEC"))
    kind = _UNITS.get(unit.split("/")[0].rstrip("S"))
    factor = exposure_time if per_second else 1.0
    if kind == "electrons":
        return factor
    if kind == "counts":
        return factor * gain(primary, header)
    if not unit:
        raise UnusableFileError("there is no BUNIT to tell electrons from electrons per second")
    raise UnusableFileError(f"BUNIT {header.get('BUNIT')!r} is neither electrons nor counts")


def _unit(primary: fits.Header, header: fits.Header) -> str:
    default = "COUNTS" if primary.get("INSTRUME") in _IN_COUNTS else "ELECTRONS"
    if primary.get("DETECTOR") == "IR":  # per second or not: only BUNIT tells
        default = ""
    return str(header.get("BUNIT") or default).upper().replace(" ", "")


def in_counts(primary: fits.Header, header: fits.Header) -> bool:
    """Say whether SCI values are counts (or counts per second), so that PHOTFLAM is one of counts."""
    return _UNITS.get(_unit(primary, header).split("/")[0].rstrip("S")) == "counts"


def gain(primary: fits.Header, header: fits.Header) -> float:
    """Return electrons per count of a chip.

    The calibrated gain: of WFPC2 by chip and ATODGAIN, else ATODGAIN, else the mean ATODGNx of the amplifiers
    that read the chip, else CCDGAIN; 1 for photon counters.

    Raises
    ------
    UnusableFileError
        The header has none that is finite and above zero, or WFPC2's is neither 7 nor 15.
    """
    if primary.get("DETECTOR") in _PHOTON_COUNTERS:
        return 1.0
    if primary.get("INSTRUME") == "WFPC2":
        return _of_wfpc2(WFPC2_GAIN, primary, header)
    by_amplifier = _of_amplifiers("ATODGN", primary, header)
    mean = sum(by_amplifier) / len(by_amplifier) if by_amplifier else math.nan
    for value in (_keyword("ATODGAIN", primary, header), mean, _keyword("CCDGAIN", primary, header)):
        if math.isfinite(value) and value > 0:
            return value
    raise UnusableFileError(
        "SCI is in counts and the header has no gain (ATODGAIN, ATODGNx or CCDGAIN)", "fetch the file again"
    )


def read_noise(primary: fits.Header, header: fits.Header) -> float:
    """Return the read noise of a chip, electrons; 0 where the header has none, and for photon counters.

    The root mean square over the amplifiers that read this chip, so that the variance summed over the chip
    is right: A and B read chip 1 of ACS/WFC and WFC3/UVIS, C and D chip 2 (drizzlepac: the mean of all four).
    """
    if primary.get("DETECTOR") in _PHOTON_COUNTERS:
        return 0.0
    if primary.get("INSTRUME") == "WFPC2":
        return _of_wfpc2(WFPC2_READ_NOISE, primary, header)
    values = _of_amplifiers("READNSE", primary, header)
    if values:
        return values[0] if len(values) == 1 else math.sqrt(sum(v * v for v in values) / len(values))
    single = _keyword("READNSE", primary, header)
    return single if math.isfinite(single) and single > 0 else 0.0


def chip_number(header: fits.Header) -> int:
    """Return CCDCHIP, or of WFPC2 the DETECTOR (1 is the PC), 1 where the header has neither."""
    detector = header.get("DETECTOR")
    return int(header.get("CCDCHIP") or (detector if isinstance(detector, int) else 1))


def amplifiers(primary: fits.Header, header: fits.Header) -> str:
    """Return the amplifiers that read a chip, of those that were in use (CCDAMP)."""
    said = str(primary.get("CCDAMP") or "").strip()
    used = said if said and set(said) <= set(_AMPLIFIERS) else _AMPLIFIERS
    camera = (str(primary.get("INSTRUME")), str(primary.get("DETECTOR")))
    of_chip = _CHIP_AMPLIFIERS.get(camera, {}).get(chip_number(header), _AMPLIFIERS)
    # A subarray may have been read through an amplifier of the other chip's name: then CCDAMP knows better.
    return "".join(amp for amp in used if amp in of_chip) or used


def _of_amplifiers(keyword: str, primary: fits.Header, header: fits.Header) -> list[float]:
    values = [_keyword(keyword + amp, primary, header) for amp in amplifiers(primary, header)]
    return [value for value in values if math.isfinite(value) and value > 0]


def _of_wfpc2(table: Mapping[int, Mapping[int, float]], primary: fits.Header, header: fits.Header) -> float:
    nominal, chip = _keyword("ATODGAIN", primary, header), chip_number(header)
    if nominal not in (7.0, 15.0) or chip not in table:
        raise UnusableFileError(
            f"WFPC2 chip {chip} with ATODGAIN {primary.get('ATODGAIN')}: gains are known for 7 and 15",
            "fetch the file again",
        )
    return table[chip][int(nominal)]


def _keyword(name: str, primary: fits.Header, header: fits.Header) -> float:
    value = header.get(name)
    return _number(primary.get(name) if value is None else value)


def _number(value: object) -> float:
    """Return a card as a number; NaN where it is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
