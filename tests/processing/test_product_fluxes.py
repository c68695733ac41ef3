"""Stars and sky of known flux come out of the chain of mask, sky and drizzle as they went in."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.imaging.grid import north_up_grid
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.passes import compare_exposures, drizzle_exposures, measure_exposures
from hapctl.processing.imaging.product_seed import drizzle_defaults
from scipy import ndimage
from support.image_files import Stars, rayed_exposures

RADIUS = 7


def isolated_stars() -> Stars:
    """A lattice of bright stars, 1.9 arcsec apart."""
    steps = np.arange(-2, 3) * 1.9 / 3600.0
    ra, dec = (axis.ravel() for axis in np.meshgrid(150.0 + steps, 2.0 + steps))
    return Stars(ra, dec, np.linspace(100.0, 900.0, ra.size))


@pytest.mark.parametrize("scale", [0.05, 0.04])
def test_fluxes_and_sky(tmp_path: Path, scale: float) -> None:
    stars = isolated_stars()
    field = rayed_exposures(tmp_path, 3, stars=stars, rays=80, sky=40.0)
    chosen = drizzle_defaults("WFC", 57000.0, "filter", 3)
    parameters = replace(chosen, sky=replace(chosen.sky, method="localmin", statistic="mode"))
    measured = measure_exposures(field.exposures, parameters)
    assert [chip.sky for (chip,) in measured] == pytest.approx([40.0] * 3, abs=0.5)
    compared = compare_exposures(measured, parameters)
    grid = north_up_grid([chip.wcs for (chip,) in measured], scale)
    (image,) = drizzle_exposures(compared.exposures, grid, parameters, band_rows=10_000)
    x, y = grid.sky_to_pixel(stars.ra, stars.dec)
    yy, xx = np.indices(grid.shape)
    ratios, offsets = [], []
    for star_x, star_y, flux in zip(x, y, stars.flux, strict=True):
        near = np.hypot(xx - star_x, yy - star_y) < RADIUS * 0.05 / scale
        if np.isnan(image.sci[near]).any() or (image.ctx[0][near] == 0).any():
            continue
        found = image.sci[near].astype(float)
        ratios.append(found.sum() / flux)
        centre = (found * np.stack([xx[near], yy[near]])).sum(axis=1) / found.sum()
        offsets.append(centre - (star_x, star_y))
    assert len(ratios) > 15
    assert np.median(ratios) == pytest.approx(1.0, abs=0.004)
    assert np.abs(np.median(offsets, axis=0)).max() < 0.03
    nearest = np.min([np.hypot(xx - a, yy - b) for a, b in zip(x, y, strict=True)], axis=0)
    inside = ndimage.binary_erosion(np.bitwise_count(image.ctx[0]) == 3, iterations=3)
    empty = inside & (nearest > 10 * 0.05 / scale)  # seen by all three, away from their edges
    assert abs(np.median(image.sci[empty])) < 0.01  # electrons per second; the sky was 0.4
    assert image.sci[empty].max() < 2.0  # rays had 3 to 100


def test_a_mask_takes_pixels_out(tmp_path: Path) -> None:
    field = rayed_exposures(tmp_path, 1, rays=0)
    (chip,) = field.exposures[0]
    mask = np.zeros(chip.shape, dtype=np.bool_)
    mask[100:110, 100:120] = True
    values, weights = replace(chip, hits=PackedMask.of(mask)).rows(0)(95, 115)
    assert not weights[5:15, 100:120].any()
    assert not values[5:15, 100:120].any()
    assert (weights[:5] == 100.0).all()
