"""Exposures for tests of sky and static masks: plain noise, or a crowded field with cosmic rays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.prepared import PreparedChip
from numpy.typing import NDArray
from support.image_files import Stars, star_image, write_exposure
from support.synthetic_chips import distorted_chip, plain_chip

Array = NDArray[Any]
READ_NOISE = 4.5


def open_exposure(
    path: Path,
    images: Sequence[Array],
    chips: Sequence[ChipWcs] | None = None,
    *,
    flags: Sequence[Array] | None = None,
    primary: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
) -> list[PreparedChip]:
    """Write an exposure of given pixels and open it."""
    planes = [
        {"sci": image, "dq": np.zeros(image.shape) if flags is None else flags[i]}
        for i, image in enumerate(images)
    ]
    cards = {"INSTRUME": "ACS", "DETECTOR": "WFC", **(primary or {})}
    opened = ExposureImage(write_exposure(path, planes, cards, headers))
    places = chips or [plain_chip(image.shape) for image in images]
    return [PreparedChip(pixels, wcs) for pixels, wcs in zip(opened.chips, places, strict=True)]


@dataclass(frozen=True)
class SkyField:
    """Exposures of one field; true skies and noises per second and pixel."""

    exposures: list[list[PreparedChip]]
    skies: NDArray[np.float64]
    noises: NDArray[np.float64]


def sky_field(
    folder: Path, times: Sequence[float], *, stars: int = 6000, rays: float = 0.02, seed: int = 0
) -> SkyField:
    """Dithered and rotated exposures of a crowded field, each with a sky of its own.

    ``rays`` is the fraction of pixels hit by cosmic rays in 500 s; 1 % of the pixels are flagged.
    """
    rng = np.random.default_rng(seed)
    shape, half, dither = (700, 800), 32.0, 8.0
    field = Stars(
        150.0 + rng.uniform(-half, half, stars) / 3600.0,
        2.0 + rng.uniform(-half, half, stars) / 3600.0,
        np.minimum(0.3 * (rng.pareto(0.9, stars) + 1.0), 3000.0),
    )
    skies = rng.uniform(0.05, 0.12, len(times))
    exposures = []
    for i, (time, sky) in enumerate(zip(times, skies, strict=True)):
        centre = (150.0 + rng.uniform(-dither, dither) / 3600.0, 2.0 + rng.uniform(-dither, dither) / 3600.0)
        chip = distorted_chip(shape, centre, 0.05, 33.0 + rng.uniform(-20.0, 20.0))
        image = rng.poisson((star_image(chip, field) + sky) * time) + rng.normal(0.0, READ_NOISE, shape)
        hit = rng.random(shape) < rays * time / 500.0
        image[hit] += 10.0 ** rng.uniform(1.5, 4.0, int(hit.sum()))
        flagged = np.where(rng.random(shape) < 0.01, 16, 0)
        image[flagged > 0] = 1e5
        exposures.append(
            open_exposure(
                folder / f"e{i}_flc.fits", [image], [chip], flags=[flagged], primary={"EXPTIME": time}
            )
        )
    seconds = np.array(times)
    return SkyField(exposures, skies, np.sqrt(skies * seconds + READ_NOISE**2) / seconds)
