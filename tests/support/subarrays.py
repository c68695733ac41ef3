"""Subarrays cut out of full frames, as the archive delivers them: one chip, read by one amplifier."""

from pathlib import Path

import numpy as np
from astropy.io import fits

Corner = tuple[int, int]
TABLES = ("D2IMARR", "WCSDVARR")


def cut_subarray(
    full: Path, target: Path, extver: int, corner: Corner, shape: tuple[int, int], amplifier: str
) -> Path:
    """Write ``shape`` (ny, nx) pixels of a chip from ``corner`` (x0, y0, 0-based) as a file of its own.

    The lookup tables stay whole, under their numbers, and move with the pixels: CRVAL = LTV.
    """
    (x0, y0), (ny, nx) = corner, shape
    with fits.open(full) as hdus:
        primary = hdus[0].copy()
        primary.header.update({"SUBARRAY": True, "CCDAMP": amplifier})
        made = fits.HDUList([primary])
        for name in ("SCI", "ERR", "DQ"):
            source = hdus[name, extver]
            header = source.header.copy()
            header["EXTVER"] = 1
            for axis, offset in ((1, x0), (2, y0)):
                header[f"CRPIX{axis}"] -= offset
                if f"CRPIX{axis}O" in header:
                    header[f"CRPIX{axis}O"] -= offset
            if name == "SCI":
                header.update({"LTV1": -float(x0), "LTV2": -float(y0), "SIZAXIS1": nx, "SIZAXIS2": ny})
                header["CENTERA1"] += x0 + nx // 2 - source.data.shape[1] // 2
                header["CENTERA2"] += y0 + ny // 2 - source.data.shape[0] // 2
            made.append(fits.ImageHDU(np.array(source.data[y0 : y0 + ny, x0 : x0 + nx]), header))
        for hdu in hdus:
            if hdu.name in TABLES and hdu.ver in (2 * extver - 1, 2 * extver):
                table = hdu.copy()
                table.header.update({"CRVAL1": -float(x0), "CRVAL2": -float(y0)})
                made.append(table)
        made[0].header["NEXTEND"] = len(made) - 1
        made.writeto(target, output_verify="silentfix")
    return target
