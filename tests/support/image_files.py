"""Exposure files with pixels: stars at known positions, sky, noise, cosmic rays, and their truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from hapctl.processing.astrometry.mapping import sky_to_pixel
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.prepared import PreparedChip
from numpy.typing import NDArray
from scipy.special import erf
from support.synthetic_chips import plain_chip

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stars:
    """Positions (degrees) and fluxes (electrons per second)."""

    ra: Array
    dec: Array
    flux: Array


def write_exposure(
    path: Path,
    chips: Sequence[Mapping[str, Any]],
    primary: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
) -> Path:
    """Write SCI, ERR and DQ of each chip (keys ``sci``, and optionally ``err``, ``dq``)."""
    hdus = fits.HDUList([fits.PrimaryHDU(header=fits.Header({"EXPTIME": 100.0, **(primary or {})}))])
    for extver, chip in enumerate(chips, 1):
        cards = {"CCDCHIP": extver, "BUNIT": "ELECTRONS", **(headers or {})}
        for name, kind in (("sci", np.float32), ("err", np.float32), ("dq", np.int16)):
            if name not in chip:
                continue
            header = fits.Header({**(cards if name == "sci" else {}), "EXTNAME": name.upper()})
            header["EXTVER"] = extver
            hdus.append(fits.ImageHDU(np.asarray(chip[name], dtype=kind), header))
    hdus.writeto(path, overwrite=True)
    return path


def star_image(chip: ChipWcs, stars: Stars, sigma: float = 0.9) -> Array:
    """Electrons per second of Gaussian stars, integrated over the pixels."""
    image = np.zeros(chip.shape)
    x, y = sky_to_pixel(chip, stars.ra, stars.dec)
    reach = int(np.ceil(7 * sigma))
    for star_x, star_y, flux in zip(x, y, stars.flux, strict=True):
        if not (-9 < star_x < chip.shape[1] + 9 and -9 < star_y < chip.shape[0] + 9):
            continue
        rows = np.arange(max(round(star_y) - reach, 0), min(round(star_y) + reach + 1, chip.shape[0]))
        columns = np.arange(max(round(star_x) - reach, 0), min(round(star_x) + reach + 1, chip.shape[1]))
        image[np.ix_(rows, columns)] += flux * np.outer(
            integrated(rows - star_y, sigma), integrated(columns - star_x, sigma)
        )
    return image


def integrated(offset: Array, sigma: float) -> Array:
    """Fraction of a Gaussian line that falls into pixels at these offsets."""
    scaled = sigma * np.sqrt(2.0)
    result: Array = 0.5 * (erf((offset + 0.5) / scaled) - erf((offset - 0.5) / scaled))
    return result


def random_stars(count: int, seed: int, radius_arcsec: float = 6.0, brightest: float = 400.0) -> Stars:
    """Stars about (150, 2)."""
    rng = np.random.default_rng(seed)
    reach = radius_arcsec / 3600.0
    return Stars(
        150.0 + rng.uniform(-reach, reach, count),
        2.0 + rng.uniform(-reach, reach, count),
        10 ** rng.uniform(0.5, np.log10(brightest), count),
    )


def dithered_chips(count: int, shape: tuple[int, int] = (240, 260)) -> list[ChipWcs]:
    """Chips of a small dither pattern, slightly rolled, as the exposures of one filter."""
    chip = plain_chip(shape, crval=(150.0, 2.0), angle_deg=25.0)
    steps = np.array([(0.0, 0.0), (3.3, 2.7), (-2.4, 4.1), (5.2, -3.6), (1.6, 6.3), (-4.7, -1.2)])
    return [
        replace(chip, crpix=(chip.crpix[0] + dx, chip.crpix[1] + dy)) for dx, dy in steps[:count].tolist()
    ]


@dataclass(frozen=True)
class RayedExposures:
    """Prepared exposures of one chip each, where cosmic rays hit, and the noiseless electrons."""

    exposures: list[list[PreparedChip]]
    rays: list[NDArray[np.bool_]]
    truth: list[Array]


def rayed_exposures(
    folder: Path,
    count: int,
    *,
    seed: int = 5,
    rays: int = 60,
    sky: float = 40.0,
    read_noise: float = 5.0,
    stars: Stars | None = None,
) -> RayedExposures:
    """Exposures of 100 s of one field, each with its own noise and cosmic rays."""
    rng = np.random.default_rng(seed)
    field = stars or random_stars(150, seed)
    exposures, hits, truths = [], [], []
    for number, chip in enumerate(dithered_chips(count)):
        truth = 100.0 * star_image(chip, field) + sky
        image = rng.poisson(truth) + rng.normal(0, read_noise, chip.shape)
        energy = ray_energy(chip.shape, rays, rng)
        path = write_exposure(
            folder / f"exposure{number}_flt.fits",
            [{"sci": image + energy, "dq": np.zeros(chip.shape)}],
            {"READNSEA": read_noise, "CCDAMP": "A"},
        )
        pixels = ExposureImage(path).chips[0]
        exposures.append([PreparedChip(pixels, chip, sky, number)])
        hits.append(energy > 0)
        truths.append(truth)
    return RayedExposures(exposures, hits, truths)


def ray_energy(shape: tuple[int, int], count: int, rng: np.random.Generator) -> Array:
    """Electrons of straight tracks of one to eight pixels."""
    energy = np.zeros(shape)
    for _ in range(count):
        x, y, angle = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), rng.uniform(0, np.pi)
        along = np.arange(rng.integers(1, 9))
        rows = np.clip((y + along * np.sin(angle)).astype(int), 0, shape[0] - 1)
        columns = np.clip((x + along * np.cos(angle)).astype(int), 0, shape[1] - 1)
        energy[rows, columns] = 10 ** rng.uniform(2.5, 4.0)
    return energy
