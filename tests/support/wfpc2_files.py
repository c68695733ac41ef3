"""WFPC2 files in extensions (c0m, c1m), made of the real waiver files (c0f, c1f)."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from support.data import data_file

STRUCTURE = ("SIMPLE", "BITPIX", "EXTEND", "BSCALE", "BZERO", "COMMENT", "HISTORY", "")
Images = Callable[[int, NDArray[np.float32]], NDArray[np.float32]]


def science_and_flags(
    folder: Path, names: Sequence[str] = ("SCI", "SCI"), images: Images | None = None
) -> Path:
    """Write u40x010hm_c0m.fits and u40x010hm_c1m.fits; return the first.

    `names` are the EXTNAMEs of both, `images` makes the pixels of a chip (1 to 4) from the real ones.
    """
    _write(folder, "0", names[0], images)
    _write(folder, "1", names[1], None)
    return folder / "u40x010hm_c0m.fits"


def _write(folder: Path, part: str, name: str, images: Images | None) -> None:
    source, target = data_file(f"wfpc2_omegacen/u40x010hm_c{part}f.fits"), f"u40x010hm_c{part}m.fits"
    with fits.open(source) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = hdus[1].data
        made = fits.HDUList([fits.PrimaryHDU(header=_primary(hdus[0].header, rows.names, target))])
        for number, image in enumerate(hdus[0].data, start=1):
            header = fits.Header()
            for keyword in rows.names:
                value = rows[keyword][number - 1]
                header[keyword] = value.strip() if isinstance(value, str) else value.item()
            header["BUNIT"] = "COUNTS"
            pixels = image if images is None else images(number, image)
            made.append(fits.ImageHDU(pixels, header, name=name, ver=number))
        made.writeto(folder / target)


def _primary(header: fits.Header, of_groups: Sequence[str], name: str) -> fits.Header:
    kept = [
        card.keyword
        for card in header.cards
        if not card.keyword.startswith(("NAXIS", "CD")) and card.keyword not in (*STRUCTURE, *of_groups)
    ]
    primary = fits.Header({keyword: header[keyword] for keyword in kept})
    primary.update({"FILENAME": name, "NEXTEND": 4, "DGEOFILE": "N/A"})
    for keyword, file in (("IDCTAB", "sad1946fu_idc.fits"), ("OFFTAB", "s9518396u_off.fits")):
        primary[keyword] = str(data_file(f"wfpc2_omegacen/{file}"))
    return primary


def update_wcs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stwcs make the distorted solution, offline."""
    monkeypatch.setenv("ASTROMETRY_STEP_CONTROL", "OFF")
    monkeypatch.chdir(os.path.dirname(path))
    from stwcs.updatewcs import updatewcs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        updatewcs(path.name, use_db=False)
