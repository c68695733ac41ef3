"""Complete headers of an exposure, filled with the simulator's own values."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from hapctl.processing.simulation.camera import Camera, ChipOptics, FilterFacts
from hapctl.processing.simulation.distortion import camera_frame
from hapctl.processing.simulation.exposure_pixels import ChipPixels
from hapctl.processing.simulation.pointing import Pointing

if TYPE_CHECKING:
    from astropy.io.fits import Header

SERIOUS_FLAGS = 31743
LIGHT_ANGSTROM = 2.99792458e18
CARDS = {
    "WFC": ("header_cards.toml", ""),
    "UVIS": ("header_cards_wfc3.toml", "uvis_"),
    "IR": ("header_cards_wfc3.toml", "ir_"),
}
PROPOSAL = 90001


@dataclass(frozen=True)
class ExposureFacts:
    """What the headers of one exposure say.

    Attributes
    ----------
    rootname : str
        ipppssoot.
    camera : Camera
        What takes it.
    facts : FilterFacts
        The filter.
    pointing : Pointing
        What the header claims.
    target : tuple of float
        RA and Dec of the target, degrees.
    postarg : tuple of float
        Dither, arcsec.
    start, exposure_time : float
        MJD (UTC) and seconds.
    va_factor : float
        VAFACTOR.
    step, steps : int
        Which point of the dither pattern, from 1, and of how many.
    flux_corrected : bool
        Whether the calibration brought chip 2 to chip 1 (FLUXCORR); of WFC3/UVIS.
    """

    rootname: str
    camera: Camera
    facts: FilterFacts
    pointing: Pointing
    target: tuple[float, float]
    postarg: tuple[float, float]
    start: float
    exposure_time: float
    va_factor: float
    step: int
    steps: int
    flux_corrected: bool = True

    @property
    def end(self) -> float:
        """MJD of the end of the exposure."""
        return self.start + self.exposure_time / 86400.0

    @property
    def middle(self) -> float:
        """MJD of the middle of the exposure."""
        return self.start + self.exposure_time / 172800.0

    def flux_factor(self, chip: ChipOptics) -> float:
        """What the calibration multiplied the chip by: PHTRATIO for chip 2 of WFC3/UVIS, if at all."""
        return self.sensitivity_ratio(chip) if self.flux_corrected else 1.0

    def sensitivity_ratio(self, chip: ChipOptics) -> float:
        """PHOTFLAM of a chip over chip 1's: how much less sensitive it is."""
        return self.facts.chip_ratio if chip.chip == 2 else 1.0

    @property
    def filename(self) -> str:
        """Name of its file."""
        return f"{self.rootname}_{self.camera.suffix}.fits"


@cache
def _cards(detector: str, section: str) -> tuple[Any, ...]:
    file, prefix = CARDS[detector]
    text = files("hapctl.processing.simulation").joinpath(file).read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)[prefix + section])


def _filled(detector: str, section: str, values: dict[str, Any]) -> "Header":
    from astropy.io.fits import Header

    header = Header()
    for card in _cards(detector, section):
        if isinstance(card, str):
            for text in ("", f"      / {card}", ""):
                header.append(("", text), end=True)
            continue
        keyword, value, comment = card
        if isinstance(value, str) and value.startswith("{"):
            value = values[value.strip("{}")]
        header.append((keyword, value, comment), end=True)
    return header


def primary_header(exposure: ExposureFacts, wcs_cards: dict[str, str], extensions: int) -> "Header":
    """The primary header; `wcs_cards` are those of `DistortedWcs.primary_cards`."""
    from astropy.time import Time

    start = Time(exposure.start, format="mjd", scale="utc", precision=0)
    date, time = start.isot.split("T")
    values: dict[str, Any] = {
        "filename": exposure.filename,
        "rootname": exposure.rootname,
        "target": "SIMULATED-FIELD",
        "ra_target": exposure.target[0],
        "dec_target": exposure.target[1],
        "proposal": PROPOSAL,
        "line": f"{exposure.rootname[4:6]}.001",
        "date_obs": date,
        "time_obs": time,
        "start": exposure.start,
        "end": exposure.end,
        "exposure_time": exposure.exposure_time,
        "dark_time": exposure.exposure_time + 4.1,
        "pa_v3": exposure.pointing.pa_v3,
        "postarg1": exposure.postarg[0],
        "postarg2": exposure.postarg[1],
        "processed": exposure.end + 1.0,
        "filter1": exposure.facts.wheel_names[0],
        "filter2": exposure.facts.wheel_names[1],
        "pattern_points": exposure.steps,
        "pattern_step": exposure.step,
    }
    for name, amplifier in exposure.camera.amplifiers.items():
        values[f"gain_{name.lower()}"] = amplifier.gain
        values[f"read_noise_{name.lower()}"] = amplifier.read_noise
        values[f"bias_{name.lower()}"] = amplifier.bias_level
    values |= _wfc3_values(exposure) if exposure.camera.instrument == "WFC3" else {}
    header = _filled(exposure.camera.detector, "primary", {**values, **wcs_cards})
    for keyword, value in wcs_cards.items():
        header[keyword] = value
    header.insert(0, ("NEXTEND", extensions, "number of standard extensions"))
    header.insert(1, ("DATE", file_date(exposure), "date this file was written"))
    header["HISTORY"] = "Simulated by hapctl simulate: no photon of this file came from the sky."
    return header


def _wfc3_values(exposure: ExposureFacts) -> dict[str, Any]:
    camera, spacing = exposure.camera, exposure.camera.dither_arcsec
    return {
        **_photometry(exposure, camera.chips[-1]),
        "detector": camera.detector,
        "filter": exposure.facts.name,
        "flux_corrected": "COMPLETE" if exposure.flux_corrected else "OMIT",
        "commanded_gain": 2.5 if camera.is_infrared else 1.5,
        "pattern": f"WFC3-{camera.detector}-DITHER-LINE",
        "pattern_spacing": round(float(np.hypot(*spacing)), 3),
        "pattern_angle": round(float(np.degrees(np.arctan2(spacing[1], spacing[0]))), 2),
    }


def _photometry(exposure: ExposureFacts, chip: ChipOptics) -> dict[str, Any]:
    """The photometric keywords of a chip: after FLUXCORR both chips have chip 1's PHOTFLAM."""
    facts, camera = exposure.facts, exposure.camera
    ratio = exposure.sensitivity_ratio(chip)
    mode = {
        "WFC": f"ACS WFC1 {facts.name} MJD#{exposure.start:.4f}",
        "UVIS": f"WFC3 UVIS{chip.chip} {facts.name} MJD#{exposure.start:.4f}",
        "IR": f"WFC3 IR {facts.name}",
    }[camera.detector]
    photflam = facts.photflam * ratio / exposure.flux_factor(chip)
    return {
        "photmode": mode,
        "photflam": photflam,
        "phtflam1": facts.photflam,
        "phtflam2": facts.photflam * facts.chip_ratio,
        "phtratio": ratio if exposure.flux_corrected and chip.chip == 2 else 0.0,
        "photfnu": 1e23 * photflam * facts.photplam**2 / LIGHT_ANGSTROM,
        "photplam": facts.photplam,
        "photbw": facts.photbw,
    }


def file_date(exposure: ExposureFacts) -> str:
    """DATE of the file: the day after the exposure, not the clock, so that a seed gives the same bytes."""
    from astropy.time import Time

    return str(Time(exposure.end + 1.0, format="mjd", scale="utc", precision=0).isot)


def science_header(
    exposure: ExposureFacts, chip: ChipOptics, pixels: ChipPixels, wcs_cards: "Header"
) -> "Header":
    """The header of a SCI extension: its own cards, then the WCS cards as they are."""
    rows, columns = pixels.sci.shape
    camera, border = exposure.camera, exposure.camera.reference_pixels
    values: dict[str, Any] = {
        "rootname": exposure.rootname,
        "chip": chip.chip,
        "ra_aperture": exposure.pointing.ra,
        "dec_aperture": exposure.pointing.dec,
        "pa_aperture": camera_frame(camera, exposure.pointing).frame_angle,
        "va_factor": exposure.va_factor,
        "centre1": columns // 2 + camera.centre_offset[0],
        "centre2": rows // 2 + camera.centre_offset[1],
        "columns": columns + border,
        "rows": rows + border,
        "bias_level": float(np.mean([camera.amplifiers[name].bias_level for name in chip.amplifiers])),
        "unit": _unit(camera),
        "exposure_time": exposure.exposure_time,
        "end": exposure.end,
        **_photometry(exposure, chip),
        **_statistics(pixels),
    }
    header = _filled(camera.detector, "science", values)
    for keyword in ("EXTVER", "EXTNAME"):
        header.insert(0, (keyword, chip.extver if keyword == "EXTVER" else "SCI"))
    header.insert(2, ("INHERIT", True, "inherit the primary header"))
    header.extend(wcs_cards.cards, end=True)
    return header


def _unit(camera: Camera) -> str:
    return "ELECTRONS/S" if camera.is_infrared else "ELECTRONS"


UNITS = {"DQ": "UNITLESS", "SAMP": "SAMPLES", "TIME": "SECONDS"}


def plane_header(exposure: ExposureFacts, extname: str, chip: ChipOptics, wcs_cards: "Header") -> "Header":
    """The header of an ERR, DQ, SAMP or TIME extension: the linear WCS only, as the archive has it."""
    from astropy.io.fits import Header

    header = Header()
    header["EXTNAME"], header["EXTVER"] = extname, chip.extver
    header["INHERIT"] = (True, "inherit the primary header")
    header["ROOTNAME"] = (exposure.rootname, "rootname of the observation set")
    header["EXPNAME"] = (exposure.rootname, "exposure identifier")
    header["BUNIT"] = (UNITS.get(extname, _unit(exposure.camera)), "brightness units")
    if not exposure.camera.is_infrared:
        header["CCDCHIP"] = (chip.chip, "CCD chip (1 or 2)")
    for keyword in ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        header[keyword] = wcs_cards[keyword]
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    return header


def _statistics(pixels: ChipPixels) -> dict[str, float | int]:
    good = (pixels.dq & SERIOUS_FLAGS) == 0
    sci = pixels.sci[good]
    ratio = sci / pixels.err[good]
    return {
        "good_pixels": int(good.sum()),
        "good_min": float(sci.min()),
        "good_max": float(sci.max()),
        "good_mean": float(sci.mean(dtype=np.float64)),
        "snr_min": float(ratio.min()),
        "snr_max": float(ratio.max()),
        "snr_mean": float(ratio.mean(dtype=np.float64)),
    }
