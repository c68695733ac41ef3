"""Small product files with stars at known places, for pictures and surveys."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.processing.imaging.grid import OutputGrid

SCALE = 0.4 / 3600.0
"""Degrees; coarse, so that a field of some arcminutes has few tiles."""
FIELD = OutputGrid((150.0, 2.2), (150.0, 150.0), (-SCALE, 0.0, 0.0, SCALE), (300, 300))
STARS = ((150.0, 2.2), (150.012, 2.208), (149.991, 2.1935))
"""RA, Dec in degrees."""


def starry(grid: OutputGrid, flux: float = 500.0, seed: int = 1, width: float = 1.5) -> np.ndarray:
    """Return noise of 1 with a Gaussian star at each place, float32; the corner of the field is unknown."""
    image = np.random.default_rng(seed).normal(0.0, 1.0, grid.shape)
    y, x = np.mgrid[0 : grid.shape[0], 0 : grid.shape[1]]
    for ra, dec in STARS:
        column, row = grid.sky_to_pixel(ra, dec)
        image += flux * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * width**2))
    return image.astype(np.float32)


def layer_file(path: Path, image: np.ndarray, grid: OutputGrid, filter_name: str, photplam: float) -> Path:
    """Write a product of one image with what pictures read of its headers."""
    primary = fits.PrimaryHDU()
    facts = {"FILENAME": path.name, "INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER": filter_name, "HAPRUN": 7}
    primary.header.update(
        {**facts, "TARGNAME": "FIELD", "EXPTIME": 120.0, "EXPSTART": 55000.0, "EXPEND": 55001.0}
    )
    science = fits.ImageHDU(image.astype(np.float32), name="SCI")
    science.header.update(grid.header())
    science.header.update({"PHOTFLAM": 1e-19 * 6000.0 / photplam, "PHOTPLAM": photplam})
    fits.HDUList([primary, science]).writeto(path)
    return path


def windows(grid: OutputGrid, cuts: Sequence[tuple[int, int, int, int]]) -> list[OutputGrid]:
    """Return parts of a grid: rows y0 to y1 and columns x0 to x1."""
    return [grid.cut(*cut) for cut in cuts]
