"""Synthetic star fields: images with undersampled stars, and lists of stars as exposures see them."""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.list_alignment import StarList
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StarField:
    """An image with its errors and flags, and the truth (0-based pixels, flux in electrons)."""

    science: NDArray[np.float32]
    error: NDArray[np.float32]
    quality: NDArray[np.int16]
    x: Array
    y: Array
    flux: Array


def star_field(
    *,
    shape: tuple[int, int] = (700, 800),
    stars: int = 400,
    sigma: float = 0.8,
    flux: tuple[float, float] = (2e3, 2e5),
    cosmic_rays: int = 0,
    sky: float = 40.0,
    saturation: float = 60000.0,
    seed: int = 1,
) -> StarField:
    """Gaussian stars integrated over the pixels, Poisson and read noise, saturation, cosmic rays."""
    random = np.random.default_rng(seed)
    ny, nx = shape
    x, y = random.uniform(8, nx - 9, stars), random.uniform(8, ny - 9, stars)
    brightness = 10 ** random.uniform(*np.log10(flux), stars)
    image = np.full(shape, sky)
    for a, b, f in zip(x, y, brightness, strict=True):
        rows = slice(max(round(b) - 6, 0), round(b) + 7)
        columns = slice(max(round(a) - 6, 0), round(a) + 7)
        profile_y = _integrated(np.arange(ny)[rows] - b, sigma)
        image[rows, columns] += f * np.outer(profile_y, _integrated(np.arange(nx)[columns] - a, sigma))
    image = random.poisson(image) + random.normal(0, 4, shape)
    _add_cosmic_rays(image, random, cosmic_rays)
    quality = np.where(image > saturation, 256, 0).astype(np.int16)
    image = np.minimum(image, saturation)
    error = np.sqrt(np.maximum(image, 0) + 16)
    return StarField(image.astype(np.float32), error.astype(np.float32), quality, x, y, brightness)


def _integrated(offset: Array, sigma: float) -> Array:
    profile: Array = 0.5 * (
        erf((offset + 0.5) / (sigma * np.sqrt(2))) - erf((offset - 0.5) / (sigma * np.sqrt(2)))
    )
    return profile


def _add_cosmic_rays(image: Array, random: np.random.Generator, count: int) -> None:
    ny, nx = image.shape
    for _ in range(count):
        x, y = random.integers(8, nx - 16), random.integers(8, ny - 16)
        angle, energy = random.uniform(0, np.pi), 10 ** random.uniform(2.7, 4.0)
        for step in range(random.integers(1, 6)):
            image[int(y + step * np.sin(angle)), int(x + step * np.cos(angle))] += energy


def nearest(field: StarField, x: Array, y: Array) -> tuple[NDArray[np.intp], Array]:
    """The true star nearest to each position, and its distance in pixels."""
    from scipy.spatial import cKDTree

    distance, star = cKDTree(np.column_stack([field.x, field.y])).query(np.column_stack([x, y]))
    return star, distance


def star_list(points: Array, error: float, random: np.random.Generator | None = None) -> StarList:
    """A list with one error for all stars, brightest first, without magnitudes unless drawn at random."""
    magnitudes = np.full(len(points), np.nan)
    if random is not None:
        magnitudes = np.sort(random.uniform(15, 21, len(points)))
    return StarList(points, np.full(len(points), error), magnitudes)
