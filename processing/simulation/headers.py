"""Complete headers of an ACS/WFC exposure, filled with the simulator's own values."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from hapctl.processing.simulation.acs_wfc import AMPLIFIERS, ChipOptics, FilterFacts
from hapctl.processing.simulation.exposure_pixels import ChipPixels
from hapctl.processing.simulation.pointing import Pointing

if TYPE_CHECKING:
    from astropy.io.fits import Header

SERIOUS_FLAGS = 31743
PROPOSAL = 90001


@dataclass(frozen=True)
class ExposureFacts:
    """What the headers of one exposure say.

    Attributes
    ----------
    rootname : str
        ipppssoot.
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
    """

    rootname: str
    facts: FilterFacts
    pointing: Pointing
    target: tuple[float, float]
    postarg: tuple[float, float]
    start: float
    exposure_time: float
    va_factor: float
    step: int
    steps: int

    @property
    def end(self) -> float:
        """MJD of the end of the exposure."""
        return self.start + self.exposure_time / 86400.0

    @property
    def middle(self) -> float:
        """MJD of the middle of the exposure."""
        return self.start + self.exposure_time / 172800.0

    @property
    def filename(self) -> str:
        """Name of its file."""
        return f"{self.rootname}_flc.fits"


@cache
def _cards(section: str) -> tuple[Any, ...]:
    text = files("hapctl.processing.simulation").joinpath("header_cards.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)[section])


def _filled(section: str, values: dict[str, Any]) -> "Header":
    from astropy.io.fits import Header

    header = Header()
    for card in _cards(section):
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
    for name, amplifier in AMPLIFIERS.items():
        values[f"gain_{name.lower()}"] = amplifier.gain
        values[f"read_noise_{name.lower()}"] = amplifier.read_noise
        values[f"bias_{name.lower()}"] = amplifier.bias_level
    header = _filled("primary", {**values, **wcs_cards})
    for keyword, value in wcs_cards.items():
        header[keyword] = value
    header.insert(0, ("NEXTEND", extensions, "number of standard extensions"))
    header.insert(1, ("DATE", file_date(exposure), "date this file was written"))
    header["HISTORY"] = "Simulated by hapctl simulate: no photon of this file came from the sky."
    return header


def file_date(exposure: ExposureFacts) -> str:
    """DATE of the file: the day after the exposure, not the clock, so that a seed gives the same bytes."""
    from astropy.time import Time

    return str(Time(exposure.end + 1.0, format="mjd", scale="utc", precision=0).isot)


def science_header(
    exposure: ExposureFacts, chip: ChipOptics, pixels: ChipPixels, wcs_cards: "Header"
) -> "Header":
    """The header of a SCI extension: its own cards, then the WCS cards as they are."""
    rows, columns = pixels.sci.shape
    facts = exposure.facts
    values: dict[str, Any] = {
        "rootname": exposure.rootname,
        "chip": chip.chip,
        "ra_aperture": exposure.pointing.ra,
        "dec_aperture": exposure.pointing.dec,
        "pa_aperture": exposure.pointing.frame_angle,
        "va_factor": exposure.va_factor,
        "centre1": columns // 2 + 24,
        "centre2": rows // 2 + 10,
        "columns": columns,
        "rows": rows,
        "photmode": f"ACS WFC1 {facts.name} MJD#{exposure.start:.4f}",
        "photflam": facts.photflam,
        "photplam": facts.photplam,
        "photbw": facts.photbw,
        "bias_level": float(np.mean([AMPLIFIERS[name].bias_level for name in chip.amplifiers])),
        **_statistics(pixels),
    }
    header = _filled("science", values)
    for keyword in ("EXTVER", "EXTNAME"):
        header.insert(0, (keyword, chip.extver if keyword == "EXTVER" else "SCI"))
    header.insert(2, ("INHERIT", True, "inherit the primary header"))
    header.extend(wcs_cards.cards, end=True)
    return header


def plane_header(exposure: ExposureFacts, extname: str, chip: ChipOptics, wcs_cards: "Header") -> "Header":
    """The header of an ERR or DQ extension: the linear WCS only, as the archive has it."""
    from astropy.io.fits import Header

    header = Header()
    header["EXTNAME"], header["EXTVER"] = extname, chip.extver
    header["INHERIT"] = (True, "inherit the primary header")
    header["ROOTNAME"] = (exposure.rootname, "rootname of the observation set")
    header["EXPNAME"] = (exposure.rootname, "exposure identifier")
    header["BUNIT"] = ("ELECTRONS" if extname == "ERR" else "UNITLESS", "brightness units")
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
