"""Real reference files in place of the simulator's distortion: stwcs makes the WCS, offline."""

import contextlib
import io
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.simulation.acs_wfc import ACS_WFC, CHIPS
from hapctl.processing.simulation.distortion import (
    DistortedWcs,
    chip_centres,
    linear_cards,
    linear_wcs,
    orientation,
)
from hapctl.processing.simulation.headers import ExposureFacts
from hapctl.processing.simulation.pointing import chip_wcs

if TYPE_CHECKING:
    from astropy.io.fits import Header, ImageHDU

FULL_SHAPE = ACS_WFC.full_shape
PRIMARY_KEYWORDS = ("IDCTAB", "NPOLFILE", "D2IMFILE", "SIPNAME", "DISTNAME")
STRUCTURAL = (
    *("XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "EXTNAME", "EXTVER", "CCDCHIP"),
    *("LTV", "LTM", "VAFACTOR", "NGOODPIX", "RA_APER", "DEC_APER", "PA_APER"),
)


@dataclass(frozen=True)
class ReferenceFiles:
    """The reference files of a folder that fit ACS/WFC.

    Attributes
    ----------
    idctab : Path
        Distortion coefficients.
    d2imfile : Path
        Two-dimensional column correction.
    npolfiles : dict of str to Path
        Per filter.
    """

    idctab: Path
    d2imfile: Path
    npolfiles: dict[str, Path]

    def npolfile(self, filter_name: str) -> Path:
        """The NPOL file of a filter.

        Raises
        ------
        UsageProblemError
            If the folder has none.
        """
        if filter_name not in self.npolfiles:
            raise UsageProblemError(
                f"no NPOLFILE for {filter_name} among the reference files",
                f"there are files for {', '.join(sorted(self.npolfiles)) or 'no filter'}",
            )
        return self.npolfiles[filter_name]


def find_reference_files(folder: str | Path, filters: tuple[str, ...]) -> ReferenceFiles:
    """Find the newest IDCTAB, two-dimensional D2IMFILE and NPOLFILE of each filter in a folder.

    Parameters
    ----------
    folder : path
        With files named ``*_idc.fits``, ``*_npl.fits``, ``*_d2i.fits``.
    filters : tuple of str
        Filters that are needed.

    Raises
    ------
    UsageProblemError
        If a file of some kind is missing.
    """
    from astropy.io import fits

    folder = Path(folder)
    found: dict[str, tuple[float, Path]] = {}
    for path in sorted(folder.glob("*_???.fits")):
        if path.stem[-3:] not in ("idc", "npl", "d2i"):
            continue
        with fits.open(path) as hdus:
            header = hdus[0].header
            if header.get("INSTRUME", "").strip() != "ACS" or header.get("DETECTOR", "").strip() != "WFC":
                continue
            for kind in _kinds(path, header, hdus[1].header.get("NAXIS2", 1)):
                found[kind] = max(found.get(kind, (0.0, path)), (_written(header), path))
    for kind in ("idc", "d2i"):
        if kind not in found:
            raise UsageProblemError(
                f"no ACS/WFC *_{kind}.fits in {folder}", "give the folder of the reference files"
            )
    npol = {kind: path for kind, (_, path) in found.items() if kind not in ("idc", "d2i")}
    reference = ReferenceFiles(found["idc"][1], found["d2i"][1], npol)
    for name in filters:
        reference.npolfile(name)
    return reference


def _kinds(path: Path, header: "Header", rows: int) -> list[str]:
    kind = path.stem[-3:]
    if kind == "d2i":
        return ["d2i"] if rows > 1 else []
    if kind == "idc":
        return ["idc"]
    names = (str(header.get(key, "")).strip() for key in ("FILTER1", "FILTER2"))
    return [name for name in names if name and not name.startswith("CLEAR")]


def _written(header: "Header") -> float:
    """When a reference file was written, as a number to sort by; two spellings of DATE occur."""
    from datetime import datetime

    text = str(header.get("DATE", ""))
    for form in ("%Y-%m-%dT%H:%M:%S", "%a %b %d %H:%M:%S %Y", "%Y-%m-%d"):
        with contextlib.suppress(ValueError):
            return (datetime.strptime(text, form) - datetime(1990, 1, 1)).total_seconds()
    return 0.0


def copy_reference_files(reference: ReferenceFiles, filters: tuple[str, ...], folder: Path) -> list[Path]:
    """Copy the files that a visit names beside it, as other tools expect them; return the copies."""
    sources = [reference.idctab, reference.d2imfile, *(reference.npolfile(name) for name in filters)]
    copies = []
    for source in sources:
        target = folder / source.name
        if source.resolve() != target.resolve():
            shutil.copyfile(source, target)
        copies.append(target)
    return copies


def updated_wcs(
    reference: ReferenceFiles, exposure: ExposureFacts, chip_shape: tuple[int, int]
) -> DistortedWcs:
    """The WCS of an exposure as ``stwcs.updatewcs`` makes it from the reference files, without network.

    Raises
    ------
    UsageProblemError
        If the chips are not full frames: reference tables describe those.
    """
    from astropy.io import fits

    if chip_shape != FULL_SHAPE:
        raise UsageProblemError("reference files describe full chips", "leave the chip shape at 2048 x 4096")
    npolfile = reference.npolfile(exposure.facts.name).name
    names = {"IDCTAB": reference.idctab.name, "NPOLEXT": npolfile, "D2IMEXT": reference.d2imfile.name}
    with tempfile.TemporaryDirectory(prefix="hapctl-updatewcs-") as scratch:
        folder = Path(scratch)
        path = folder / exposure.filename
        _write_bare_file(path, reference, exposure)
        _run_updatewcs(path)
        with fits.open(path) as hdus:
            headers = tuple(_wcs_cards(hdus["SCI", chip.extver].header, names) for chip in CHIPS)
            tables = tuple(
                fits.ImageHDU(hdu.data.copy(), hdu.header.copy())
                for hdu in hdus
                if hdu.name in ("D2IMARR", "WCSDVARR")
            )
            primary = {key: Path(str(hdus[0].header[key])).name for key in PRIMARY_KEYWORDS}
    primary["UPWCSVER"] = version("stwcs")
    return DistortedWcs(headers, tables, primary)


def _write_bare_file(path: Path, reference: ReferenceFiles, exposure: ExposureFacts) -> None:
    """The least that updatewcs needs: a linear WCS per chip and the names of the tables."""
    from astropy.io import fits

    primary = fits.Header()
    for keyword, value in (
        ("TELESCOP", "HST"),
        ("INSTRUME", "ACS"),
        ("DETECTOR", "WFC"),
        ("ROOTNAME", exposure.rootname),
        ("FILTER1", exposure.facts.wheel_names[0]),
        ("FILTER2", exposure.facts.wheel_names[1]),
        ("EXPSTART", exposure.start),
        ("EXPTIME", exposure.exposure_time),
        ("PA_V3", exposure.pointing.pa_v3),
        ("TDDCORR", "PERFORM"),
        ("REFFRAME", "ICRS"),
        ("IDCTAB", str(reference.idctab.resolve())),
        ("NPOLFILE", str(reference.npolfile(exposure.facts.name).resolve())),
        ("D2IMFILE", str(reference.d2imfile.resolve())),
    ):
        primary[keyword] = value
    primary["DATE-OBS"] = _date_of(exposure.start)
    chips = [_bare_chip(number, exposure) for number in range(len(CHIPS))]
    fits.HDUList([fits.PrimaryHDU(header=primary), *chips]).writeto(path)


def _bare_chip(number: int, exposure: ExposureFacts) -> "ImageHDU":
    from astropy.io import fits

    chip = CHIPS[number]
    header = fits.Header()
    header["EXTNAME"], header["EXTVER"], header["CCDCHIP"] = "SCI", chip.extver, chip.chip
    header["LTV1"], header["LTV2"], header["LTM1_1"], header["LTM2_2"] = 0.0, 0.0, 1.0, 1.0
    header["VAFACTOR"], header["NGOODPIX"] = exposure.va_factor, FULL_SHAPE[0] * FULL_SHAPE[1]
    header["WCSAXES"] = 2
    opus = chip_wcs(exposure.pointing, chip_centres(ACS_WFC, FULL_SHAPE)[number], chip.linear_matrix, 1.0)
    linear_cards(header, "", (FULL_SHAPE[1] / 2.0, FULL_SHAPE[0] / 2.0), opus, "")
    header["RA_APER"], header["DEC_APER"] = exposure.pointing.ra, exposure.pointing.dec
    header["PA_APER"] = exposure.pointing.frame_angle
    return fits.ImageHDU(np.zeros(FULL_SHAPE, dtype=np.uint8), header)


def _date_of(mjd: float) -> str:
    from astropy.time import Time

    return str(Time(mjd, format="mjd", scale="utc").iso)[:10]


def _run_updatewcs(path: Path) -> None:
    """Run stwcs without its astrometry database; it prints, also through a log handler of its own."""
    before = os.environ.get("ASTROMETRY_STEP_CONTROL")
    os.environ["ASTROMETRY_STEP_CONTROL"] = "OFF"
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from stwcs.updatewcs import updatewcs

            updatewcs(str(path), use_db=False)
    finally:
        if before is None:
            del os.environ["ASTROMETRY_STEP_CONTROL"]
        else:
            os.environ["ASTROMETRY_STEP_CONTROL"] = before


def _wcs_cards(header: "Header", names: dict[str, str]) -> "Header":
    """What updatewcs made of a bare header, with both chips naming the tables as in an archive file."""
    cards = header.copy()
    for keyword in list(cards):
        if keyword.startswith(STRUCTURAL) or not keyword:
            cards.remove(keyword, ignore_missing=True, remove_all=True)
    for keyword, name in names.items():
        cards[keyword] = name
    cards["ORIENTAT"] = orientation(linear_wcs(cards).cd)
    return cards
