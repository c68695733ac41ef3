"""Drizzling conserves what its definition says: flux, surface brightness, places of stars."""

import numpy as np
import pytest
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.drizzle import DrizzleInput, drizzle_image, map_to_grid
from hapctl.processing.imaging.grid import north_up_grid
from hapctl.processing.imaging.parameters import KERNELS
from scipy.special import erf
from support.synthetic_chips import distorted_chip

SHAPE = (440, 860)
STEP, RADIUS = 40, 7
SIGMA = 0.85


def source_of(chip: ChipWcs, values: np.ndarray, weights: np.ndarray) -> DrizzleInput:
    return DrizzleInput(chip, lambda first, stop: (values[first:stop], weights[first:stop]))


def star(x: float, y: float) -> np.ndarray:
    """A star of flux 1 integrated over the pixels of a box of 2 RADIUS + 1 about (round(x), round(y))."""

    def along(place: float) -> np.ndarray:
        edges = np.arange(-RADIUS, RADIUS + 2) - 0.5 + round(place) - place
        return np.diff(erf(edges / (SIGMA * np.sqrt(2.0)))) / 2.0

    return np.outer(along(y), along(x))


def pixel_areas(chip: ChipWcs) -> np.ndarray:
    """Area of every pixel on the sky over IDCSCALE^2, from the directions of its corners."""
    y, x = np.mgrid[0 : chip.shape[0] + 1, 0 : chip.shape[1] + 1] - 0.5
    ra, dec = (np.radians(angle) for angle in pixel_to_sky(chip, x, y))
    corners = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
    across = corners[1:, 1:] - corners[:-1, :-1]
    other = corners[1:, :-1] - corners[:-1, 1:]
    areas = np.linalg.norm(np.cross(across, other), axis=-1) / 2.0
    return areas / np.radians(chip.idcscale / 3600.0) ** 2


@pytest.mark.parametrize("ratio", [1.0, 0.8])
def test_stars_keep_their_flux_and_place(ratio: float) -> None:
    """Mean of 200 stars at random phases: sum(d PAM) to 1e-4, where the solution says to 1e-3 pixel."""
    rng = np.random.default_rng(5)
    chip = distorted_chip(SHAPE, angle_deg=33.0)
    rows, columns = (np.arange(STEP // 2, size, STEP) for size in SHAPE)
    y, x = (axis.ravel() + rng.uniform(-0.5, 0.5, axis.size) for axis in np.meshgrid(rows, columns))
    values = np.zeros(SHAPE, dtype=np.float32)
    boxes = [
        tuple(slice(round(c) - RADIUS, round(c) + RADIUS + 1) for c in at) for at in zip(y, x, strict=True)
    ]
    for box, at_x, at_y in zip(boxes, x, y, strict=True):
        values[box] = 1e4 * star(at_x, at_y)
    grid = north_up_grid([chip], ratio * chip.idcscale)
    image = drizzle_image([source_of(chip, values, np.ones_like(values))], grid)
    assert len(boxes) >= 200
    areas, reach = pixel_areas(chip), round((RADIUS + 4) / ratio)
    fluxes, offsets = [], []
    for box, at_x, at_y in zip(boxes, *map_to_grid(chip, grid, x, y), strict=True):
        at = round(at_y), round(at_x)
        found = image.sci[tuple(slice(c - reach, c + reach + 1) for c in at)].astype(float)
        fluxes.append(found.sum() / (values[box].astype(float) * areas[box]).sum())
        down, over = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        centre = (found * down).sum() / found.sum() + at[0], (found * over).sum() / found.sum() + at[1]
        offsets.append((centre[0] - at_y, centre[1] - at_x))
    assert np.mean(fluxes) == pytest.approx(1.0, abs=1e-4)
    assert np.abs(np.mean(offsets, axis=0)).max() < 1e-3


@pytest.mark.parametrize("kernel", ["square", "point", "turbo"])
@pytest.mark.parametrize(("ratio", "pixfrac"), [(1.0, 1.0), (0.7, 0.8), (1.4, 0.6)])
def test_all_flux_arrives(kernel: str, ratio: float, pixfrac: float) -> None:
    """sum(SCI WHT) = s^2 sum(d w) for an input that lies wholly inside."""
    rng = np.random.default_rng(6)
    chip = distorted_chip((120, 160))
    values = rng.normal(20.0, 30.0, chip.shape).astype(np.float32)
    weights = rng.uniform(0.0, 500.0, chip.shape).astype(np.float32)
    weights[rng.random(chip.shape) < 0.1] = 0.0
    grid = north_up_grid([chip], ratio * chip.idcscale)
    image = drizzle_image([source_of(chip, values, weights)], grid, kernel=kernel, pixfrac=pixfrac)
    arrived = np.nansum(image.sci.astype(float) * image.wht)
    assert arrived == pytest.approx(ratio**2 * np.sum(values.astype(float) * weights), rel=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("ratio", [1.0, 0.7])
def test_a_constant_stays_constant(kernel: str, ratio: float) -> None:
    """A constant c comes out as s^2 c wherever there is weight, whatever the weights are."""
    rng = np.random.default_rng(7)
    chip = distorted_chip((90, 110))
    weights = rng.uniform(1.0, 500.0, chip.shape).astype(np.float32)
    constant = np.full(chip.shape, 7.25, dtype=np.float32)
    grid = north_up_grid([chip], ratio * chip.idcscale)
    image = drizzle_image([source_of(chip, constant, weights)], grid, kernel=kernel, pixfrac=0.8)
    seen = image.wht > 0
    assert seen.sum() > 4500
    np.testing.assert_allclose(image.sci[seen], ratio**2 * 7.25, rtol=1e-6)
