"""One flux scale for the chips of a detector: what electrons are multiplied by, and the zero point.

The two chips of WFC3/UVIS differ in sensitivity; since 2016 calwf3 scales chip 2 to chip 1 (FLUXCORR =
COMPLETE: SCI and ERR times PHTRATIO = PHTFLAM2 / PHTFLAM1, both chips with chip 1's PHOTFLAM). Where a file
does not say so it is done here, so that a set may hold both kinds and is never scaled twice. The four chips
of WFPC2 are brought to chip 3 (WF3), which is what the archive's pipeline does with photeq. The chips of
other detectors have one PHOTFLAM.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from astropy.io import fits
from hapctl.processing.errors import RefusedError
from hapctl.processing.imaging.detector_units import chip_number, gain, in_counts

Equalised = Literal["not needed", "in the file", "here", "unknown"]

PHOTOMETRY_KEYWORDS = ("PHOTMODE", "PHOTFLAM", "PHOTZPT", "PHOTPLAM", "PHOTBW")
WFPC2_REFERENCE, UVIS_REFERENCE = 3, 1


@dataclass(frozen=True)
class FluxScale:
    """How the chips of one exposure come to one flux scale.

    Attributes
    ----------
    factors : tuple of float
        What the electrons of each chip are multiplied by, in the order of the headers.
    equalised : str
        ``not needed``: one sensitivity; ``in the file``: FLUXCORR says so; ``here``: by `factors`;
        ``unknown``: the headers do not tell, the factors are 1.
    photometry : mapping
        PHOTMODE, PHOTFLAM, PHOTZPT, PHOTPLAM, PHOTBW as they hold for all chips after the factors, PHOTFLAM
        for electrons per second (of files in counts: divided by the gain); absent ones are left out.
    """

    factors: tuple[float, ...]
    equalised: Equalised
    photometry: Mapping[str, str | float] = field(default_factory=dict)


def flux_scale(primary: fits.Header, headers: Sequence[fits.Header]) -> FluxScale:
    """Return how the chips of an exposure come to one flux scale.

    Parameters
    ----------
    primary : fits.Header
    headers : sequence of fits.Header
        Of its SCI extensions; several imsets of a chip are fine.
    """
    if primary.get("DETECTOR") == "UVIS":
        return _of_uvis(primary, headers)
    if primary.get("INSTRUME") == "WFPC2":
        return _of_wfpc2(primary, headers)
    return FluxScale((1.0,) * len(headers), "not needed", _photometry(primary, headers[0]))


def flux_factors(primary: fits.Header, headers: Sequence[fits.Header]) -> tuple[float, ...]:
    """Return what the electrons of each chip are multiplied by; see `flux_scale`."""
    return flux_scale(primary, headers).factors


def check_one_scale(scales: Mapping[str, FluxScale]) -> None:
    """Refuse a set in which some exposures are on a common scale and others on one that isn't known.

    Parameters
    ----------
    scales : mapping of str to FluxScale
        By name of the file.

    Raises
    ------
    RefusedError
        Names an exposure whose headers don't tell.
    """
    unknown = [name for name, scale in scales.items() if scale.equalised == "unknown"]
    if unknown and len(unknown) < len(scales):
        raise RefusedError(
            f"{unknown[0]}: its chips can't be brought to the flux scale of the other exposures: "
            "no PHOTFLAM of both chips, no PHTRATIO, and FLUXCORR is not COMPLETE",
            "leave it out, or retrieve it as the present pipeline calibrates it",
        )


def _of_uvis(primary: fits.Header, headers: Sequence[fits.Header]) -> FluxScale:
    first = [header for header in headers if chip_number(header) == UVIS_REFERENCE]
    photometry = _photometry(primary, first[0] if first else headers[0])
    if str(primary.get("FLUXCORR", "")).strip().upper() == "COMPLETE":
        return FluxScale((1.0,) * len(headers), "in the file", photometry)
    if len(first) == len(headers):
        return FluxScale((1.0,) * len(headers), "not needed", photometry)
    reference = _uvis_reference(primary, headers, first)
    factors = [_uvis_factor(primary, header, reference) for header in headers]
    if not all(map(math.isfinite, factors)):
        return FluxScale((1.0,) * len(headers), "unknown", photometry)
    if not first:  # chip 2 alone: its electrons are brought to chip 1's scale, and so is its zero point
        photometry["PHOTFLAM"] = _positive("PHOTFLAM", primary, headers[0]) / factors[0]
    return FluxScale(tuple(factors), "here", photometry)


def _uvis_reference(
    primary: fits.Header, headers: Sequence[fits.Header], first: Sequence[fits.Header]
) -> float:
    """PHOTFLAM of chip 1: its own, or what chip 2's header says of it; NaN where there is none."""
    if first:
        return _positive("PHOTFLAM", primary, first[0])
    return _positive("PHTFLAM1", primary, headers[0])


def _uvis_factor(primary: fits.Header, header: fits.Header, reference: float) -> float:
    """Chip 2 over chip 1 in PHOTFLAM, from PHTRATIO (what calwf3 would apply) where there is one."""
    if chip_number(header) == UVIS_REFERENCE:
        return 1.0
    ratio = _positive("PHTRATIO", primary, header)
    return ratio if math.isfinite(ratio) else _positive("PHOTFLAM", primary, header) / reference


def _of_wfpc2(primary: fits.Header, headers: Sequence[fits.Header]) -> FluxScale:
    reference = next((h for h in headers if chip_number(h) == WFPC2_REFERENCE), headers[0])
    photometry = _photometry(primary, reference)
    sensitivities = [_per_electron(primary, header) for header in headers]
    factors = tuple(value / _per_electron(primary, reference) for value in sensitivities)
    if not all(map(math.isfinite, factors)) or chip_number(reference) != WFPC2_REFERENCE:
        return FluxScale((1.0,) * len(headers), "unknown", photometry)
    return FluxScale(factors, "here", photometry)


def _photometry(primary: fits.Header, header: fits.Header) -> dict[str, str | float]:
    found = {key: header.get(key, primary.get(key)) for key in PHOTOMETRY_KEYWORDS}
    photometry = {key: value for key, value in found.items() if isinstance(value, str | int | float)}
    if math.isfinite(flux := _per_electron(primary, header)):
        photometry["PHOTFLAM"] = flux
    return photometry


def _per_electron(primary: fits.Header, header: fits.Header) -> float:
    """PHOTFLAM of one electron per second: the header's is one of counts where SCI is in counts."""
    flux = _positive("PHOTFLAM", primary, header)
    return flux / gain(primary, header) if in_counts(primary, header) else flux


def _positive(keyword: str, primary: fits.Header, header: fits.Header) -> float:
    value = header.get(keyword)
    value = primary.get(keyword) if value is None else value
    usable = isinstance(value, int | float) and math.isfinite(value) and value > 0
    return float(value) if usable else math.nan
