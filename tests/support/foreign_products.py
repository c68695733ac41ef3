"""Small drizzled products as other pipelines write them, with the real layout of keywords and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits


@dataclass(frozen=True)
class Input:
    """A chip that went in."""

    file: str
    rootname: str
    extver: int
    wcsname: str
    seconds: float


def write_association(
    path: Path,
    inputs: Sequence[Input],
    *,
    grid: fits.Header,
    science: np.ndarray[Any, Any],
    table: bool = True,
    swapped: bool = False,
    **primary: Any,
) -> Path:
    """Write PRIMARY, SCI, WHT, CTX and HDRTAB as AstroDrizzle (``build=True``) does.

    ``swapped`` writes the numbers of the table with their bytes swapped, as delivered files have them.
    """
    top = fits.Header()
    top.update({"TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "WFC", "FILENAME": path.name})
    top.update({"ROOTNAME": path.name.removesuffix(".fits"), "FILTER1": "F606W", "FILTER2": "CLEAR2L"})
    top.update({"NDRIZIM": len(inputs), "PROD_VER": "DrizzlePac 3.11.0", "EXPTIME": 1000.0})
    for number, one in enumerate(inputs, 1):
        stem = f"D{number:03d}"
        top[f"{stem}VER"] = "Callable C-based DRIZZLE Version 0.8 (20th May 2009)"
        top[f"{stem}DATA"] = f"{one.file}[sci,{one.extver}]"
        top[f"{stem}DEXP"] = one.seconds
        top.update({f"{stem}KERN": "square", f"{stem}PIXF": 1.0, f"{stem}OUUN": "cps"})
        top.update({f"{stem}FVAL": "INDEF", f"{stem}WKEY": "", f"{stem}SCAL": 0.05})
    for key, value in primary.items():
        top[key] = value
    image = grid.copy()
    image["WCSNAME"], image["VAFACTOR"], image["CCDCHIP"] = inputs[0].wcsname, 1.0, -999
    weight = np.where(np.isfinite(science), 1000.0, 0.0).astype(np.float32)
    hdus = fits.HDUList([fits.PrimaryHDU(header=top)])
    hdus.append(fits.ImageHDU(science.astype(np.float32), image, name="SCI"))
    hdus.append(fits.ImageHDU(weight, grid, name="WHT"))
    hdus.append(fits.ImageHDU(np.ones(science.shape, np.int32), grid, name="CTX"))
    if table:
        hdus.append(_table(inputs, swapped))
    hdus.writeto(path)
    return path


def _table(inputs: Sequence[Input], swapped: bool) -> fits.BinTableHDU:
    extver, seconds = np.array([one.extver for one in inputs]), np.array([one.seconds for one in inputs])
    if swapped:
        extver, seconds = extver.byteswap(), seconds.byteswap()
    columns = [
        fits.Column("ROOTNAME", "9A", array=[one.rootname for one in inputs]),
        fits.Column("EXTNAME", "3A", array=["SCI"] * len(inputs)),
        fits.Column("EXTVER", "K", array=extver),
        fits.Column("EXPTIME", "D", array=seconds),
        fits.Column("FILENAME", "18A", array=[one.file for one in inputs]),
        fits.Column("WCSNAME", "40A", array=[one.wcsname for one in inputs]),
    ]
    return fits.BinTableHDU.from_columns(columns, name="HDRTAB")
