"""Cosmic rays in synthetic exposures: found, with few false alarms, the same for any number of threads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.imaging.cosmic_rays import (
    CosmicRayParameters,
    blot,
    combined_plane,
    cosmic_ray_masks,
    derivative,
    find_hits,
)
from hapctl.processing.imaging.drizzle import drizzle_square
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from scipy import ndimage
from support.image_files import RayedExposures, Stars, random_stars, rayed_exposures

PARAMETERS = CosmicRayParameters(bits=0)


def grid_of(field: RayedExposures) -> OutputGrid:
    return north_up_grid([chip.wcs for exposure in field.exposures for chip in exposure], 0.05)


def seen_by_two(field: RayedExposures) -> list[np.ndarray]:
    """Pixels that at least two exposures see: those whose blot is known."""
    grid = grid_of(field)
    plane = combined_plane(field.exposures, grid, PARAMETERS)
    return [np.isfinite(blot(plane, grid, exposure[0])) for exposure in field.exposures]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_rays_are_found_with_few_false_alarms(tmp_path: Path, count: int) -> None:
    field = rayed_exposures(tmp_path, count)
    masks = cosmic_ray_masks(field.exposures, grid_of(field), PARAMETERS)
    known = seen_by_two(field)
    for (mask,), rays, truth, seen in zip(masks, field.rays, field.truth, known, strict=True):
        faint = truth < 200.0  # a ray on the core of a bright star cannot be told from it
        caught = (mask & rays & seen & faint).sum() / (rays & seen & faint).sum()
        away = seen & ~ndimage.binary_dilation(rays, iterations=2)
        assert caught > 0.97
        assert (mask & away).sum() / away.sum() < 1e-3
        assert not mask[~seen].any()


def test_star_cores_stand(tmp_path: Path) -> None:
    field = rayed_exposures(tmp_path, 3, rays=0, stars=random_stars(150, 9, brightest=2000.0))
    masks = cosmic_ray_masks(field.exposures, grid_of(field), PARAMETERS)
    cores = [truth > 40.0 + 30.0 * np.sqrt(40.0 + 25.0) for truth in field.truth]
    flagged = sum(int((mask & core).sum()) for (mask,), core in zip(masks, cores, strict=True))
    assert flagged / sum(int(core.sum()) for core in cores) < 0.01


def test_threads_do_not_matter(tmp_path: Path) -> None:
    field = rayed_exposures(tmp_path, 3)
    one, four = (
        cosmic_ray_masks(field.exposures, grid_of(field), PARAMETERS, threads=threads) for threads in (1, 4)
    )
    for (first,), (second,) in zip(one, four, strict=True):
        assert np.array_equal(first, second)


def test_grow_is_a_radius(tmp_path: Path) -> None:
    field = rayed_exposures(tmp_path, 2)
    grid = grid_of(field)
    chip = field.exposures[0][0]
    seen = blot(combined_plane(field.exposures, grid, PARAMETERS), grid, chip)
    plain = find_hits(chip, seen, PARAMETERS)
    grown = find_hits(chip, seen, replace(PARAMETERS, grow=1))
    assert np.array_equal(grown, ndimage.binary_dilation(plain, np.ones((3, 3))))


def test_combined_plane_is_the_sky_where_it_is_flat(tmp_path: Path) -> None:
    field = rayed_exposures(tmp_path, 4, rays=200, stars=Stars(*np.zeros((3, 0))))
    plane = combined_plane(field.exposures, grid_of(field), PARAMETERS)
    known = np.isfinite(plane)
    assert known.mean() > 0.5
    assert abs(np.median(plane[known])) < 0.02  # the sky is subtracted
    assert plane[known].max() < 1.0  # no ray of 3 to 100 electrons per second is left


def test_blot_gives_back_the_stars(tmp_path: Path) -> None:
    field = rayed_exposures(tmp_path, 5, rays=0, read_noise=0.1, sky=0.5)
    grid = grid_of(field)
    chips = [chip.drizzle_input(0) for exposure in field.exposures for chip in exposure]
    plane = drizzle_square(chips, grid).sci
    chip, truth = field.exposures[0][0], field.truth[0] - 0.5
    seen = blot(plane, grid, chip)
    known = np.isfinite(seen)
    # drizzling with pixfrac 1 smooths: flux stays, peaks sink
    assert seen[known].sum() == pytest.approx(truth[known].sum(), rel=0.01)
    assert np.corrcoef(seen[known], truth[known])[0, 1] > 0.98


def test_derivative_uses_the_neighbours_there_are() -> None:
    flat = np.full((5, 6), 10.0, dtype=np.float32)
    assert not derivative(flat).any()
    step = flat.copy()
    step[:, 3:] = 14.0
    expected = np.zeros((5, 6))
    expected[:, 2:4] = 4.0
    assert np.array_equal(derivative(step), expected)
    hole = flat.copy()
    hole[2, 2] = np.nan
    assert np.nanmax(derivative(hole)) == 0.0
