"""A small visit for `hapctl drizzle`: dithered two-chip exposures with stars, noise and cosmic rays."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.processing.astrometry.mapping import sky_to_pixel
from hapctl.processing.astrometry.solution import WcsSolution
from support.exposure_files import exposure_file, two_chip_solution

POSITION = (150.0, 2.2)
STARS = ((150.004, 2.203), (149.998, 2.196), (150.010, 2.199))
SKY = 40.0


def solution_of(number: int, binning: int = 32) -> WcsSolution:
    """A solution of the visit; exposures are shifted by a few pixels."""
    solution = two_chip_solution(f"jdrz01a{number}q", POSITION, binning=binning, tables=False)
    chips = tuple(
        replace(chip, crpix=(chip.crpix[0] + 2.3 * number, chip.crpix[1] - 1.7 * number))
        for chip in solution.chips
    )
    return replace(solution, chips=chips)


def write_visit(folder: Path, count: int = 3) -> list[Path]:
    """Write the exposures of a visit; same bytes every time."""
    return [write_member(folder, number) for number in range(count)]


def write_member(folder: Path, number: int, **primary: object) -> Path:
    """Write one exposure: sky of 40 electrons, three stars, 20 cosmic rays a chip, ERR and DQ."""
    solution = solution_of(number)
    path = folder / f"{solution.rootname}_flc.fits"
    path.write_bytes(exposure_file(solution, primary={"READNSEA": 4.0, "CCDAMP": "A", **primary}))
    rng = np.random.default_rng(number)
    with fits.open(path, mode="update") as hdus:
        for chip in solution.chips:
            image = rng.normal(SKY, 7.5, chip.shape)
            y, x = np.mgrid[: chip.shape[0], : chip.shape[1]]
            for star in STARS:
                star_x, star_y = sky_to_pixel(chip, *star)
                if np.isfinite(star_x) and np.isfinite(star_y):
                    image += 900.0 * np.exp(-((x - star_x) ** 2 + (y - star_y) ** 2) / 4.0)
            image[rng.integers(0, chip.shape[0], 20), rng.integers(0, chip.shape[1], 20)] += 3000.0
            hdus["SCI", chip.extver].data = image.astype(np.float32)
            for name, plane in (("ERR", np.full(chip.shape, 7.5, "f4")), ("DQ", np.zeros(chip.shape, "i2"))):
                hdus.append(fits.ImageHDU(plane, name=name, ver=chip.extver))
    return path
