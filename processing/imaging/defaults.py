"""How each detector is drizzled: DQ flags, thresholds and scales, by the number of exposures.

The values are those of HAP's parameter files (hap_reference 3.5 to 3.7 and 4.6). Set right here: the
total of a detector accepts the flags its filter products accept (HAP: 96 against 64 on HRC, 96
against 352 on UVIS before 2012-11-08), and sky is subtracted from single exposures too.
"""

from dataclasses import asdict, dataclass, replace
from typing import Literal

from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.chip_data import Bits
from hapctl.processing.imaging.cosmic_rays import CosmicRayParameters
from hapctl.processing.imaging.sky import Statistic

Level = Literal["exposure", "filter", "total", "layer"]

NATIVE_SCALE_ARCSEC = {
    "WFC": 0.05,
    "HRC": 0.025,
    "SBC": 0.025,
    "UVIS": 0.04,
    "IR": 0.128,
    "PC": 0.0996,
}
"""Arcsec per pixel of a detector's north-up products (all of WFPC2 as PC)."""

UVIS_CHANGE_MJD = 56239.124479
"""2012-11-08T02:59:15: UVIS is post-flashed from here on, and flag 16 lost its old meaning."""

_ALL = 65535


@dataclass(frozen=True)
class SkyParameters:
    """Whether and how sky is subtracted: statistic and the DQ flags taken as good."""

    subtract: bool
    statistic: Statistic
    bits: Bits


@dataclass(frozen=True)
class DetectorDefaults:
    """Parameters of one detector; the flags are those taken as good."""

    sky: SkyParameters
    single_bits: Bits
    filter_bits: Bits
    layer_bits: Bits
    cosmic_rays: CosmicRayParameters | None


_CCD = CosmicRayParameters(bits=336, snr=(3.5, 3.0), scale=(1.5, 1.2))

_DETECTORS: dict[str, DetectorDefaults] = {
    "WFC": DetectorDefaults(SkyParameters(True, "mode", 80), _ALL, 336, 80, _CCD),
    "HRC": DetectorDefaults(SkyParameters(True, "mode", 64), _ALL, 64, 80, replace(_CCD, bits=64)),
    "SBC": DetectorDefaults(SkyParameters(False, "mean", 0), 0, 0, 0, None),
    "UVIS": DetectorDefaults(SkyParameters(True, "mode", 80), _ALL, 336, 80, _CCD),
    "IR": DetectorDefaults(
        SkyParameters(True, "mode", 16),
        528,
        528,
        528,
        CosmicRayParameters(bits=_ALL, snr=(5.0, 4.0), scale=(3.0, 2.4)),
    ),
    "PC": DetectorDefaults(
        SkyParameters(True, "mode", 1024),
        65533,
        61437,
        "2,8,1024",
        CosmicRayParameters(bits=1024, snr=(5.5, 3.5), scale=(2.0, 1.5)),
    ),
}


def detector_defaults(detector: str, start_mjd: float, exposures: int) -> DetectorDefaults:
    """Return how a detector is drizzled.

    Parameters
    ----------
    detector : str
        WFC, HRC, SBC, UVIS, IR or PC (all of WFPC2).
    start_mjd : float
        Start of the first exposure; UVIS changes on 2012-11-08.
    exposures : int
        How many there are of the filter; the cosmic-ray test is sharper from 6 on (IR: 4).
    """
    if detector not in _DETECTORS:
        raise UsageProblemError(f"no drizzle parameters for detector {detector}")
    found = _DETECTORS[detector]
    if detector == "UVIS" and start_mjd < UVIS_CHANGE_MJD:
        found = replace(found, sky=replace(found.sky, bits=96), filter_bits=352)
        found = replace(found, cosmic_rays=replace(_CCD, bits=352))
    if found.cosmic_rays is None:
        return found
    return replace(found, cosmic_rays=_by_number(detector, found.cosmic_rays, exposures))


def _by_number(detector: str, chosen: CosmicRayParameters, exposures: int) -> CosmicRayParameters:
    if detector == "IR":
        return replace(chosen, bits=528) if exposures >= 4 else chosen
    if detector == "PC" or exposures < 6:
        return chosen
    return replace(chosen, scale=(1.2, 0.7))


def good_bits(defaults: DetectorDefaults, level: Level, exposures: int) -> Bits:
    """Return the DQ flags taken as good in a product made of that many exposures of a filter.

    A single exposure keeps its flagged pixels (HAP's 65535): there is nothing to put in their place.
    """
    if level == "exposure" or exposures < 2:
        return defaults.single_bits
    return defaults.layer_bits if level == "layer" else defaults.filter_bits


def as_parameters(defaults: DetectorDefaults) -> dict[str, object]:
    """Return the values as plain data, for the parameters of a run."""
    return asdict(defaults)
