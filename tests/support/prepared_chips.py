"""Prepared chips out of arrays, for tests of weights, variance and bad pixels."""

from pathlib import Path
from typing import Any

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hapctl.processing.imaging.prepared import PreparedChip
from support.image_files import write_exposure
from support.synthetic_chips import plain_chip

READ_NOISE = 5.0


def prepared_chip(
    folder: Path,
    science: np.ndarray,
    *,
    name: str = "exposure",
    time: float = 100.0,
    error: np.ndarray | None = None,
    quality: np.ndarray | None = None,
    read_noise: float = READ_NOISE,
    wcs: ChipWcs | None = None,
    unit: str = "ELECTRONS",
    **fields: Any,
) -> PreparedChip:
    """A chip of 0.05 arcsec pixels, north up unless ``wcs`` says otherwise."""
    arrays = {"sci": science}
    if error is not None:
        arrays["err"] = error
    arrays["dq"] = np.zeros(science.shape) if quality is None else quality
    primary = {"READNSEA": read_noise, "CCDAMP": "A", "EXPTIME": time}
    path = write_exposure(folder / f"{name}_flt.fits", [arrays], primary, {"BUNIT": unit})
    pixels = ExposureImage(path).chips[0]
    return PreparedChip(pixels, wcs or plain_chip(science.shape), **fields)


def grid_for(chip: PreparedChip, ratio: float = 1.0) -> OutputGrid:
    """A grid of that output over input scale about the chip."""
    return north_up_grid([chip.wcs], ratio * 0.05)
