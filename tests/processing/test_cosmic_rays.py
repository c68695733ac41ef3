"""Cosmic rays in synthetic exposures, by the parameters of a detector: found, with few false alarms."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.imaging.passes import Comparison, compare_exposures, measure_exposures
from hapctl.processing.imaging.product_seed import drizzle_defaults
from scipy import ndimage
from support.image_files import RayedExposures, random_stars, rayed_exposures


def compared(field: RayedExposures) -> Comparison:
    parameters = drizzle_defaults("WFC", 57000.0, "filter", len(field.exposures))
    measured = measure_exposures(field.exposures, parameters)
    assert [chip.sky for (chip,) in measured] == pytest.approx([0.0] * len(measured), abs=0.5)  # one sky
    return compare_exposures(measured, parameters)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_rays_are_found_with_few_false_alarms(tmp_path: Path, count: int) -> None:
    field = rayed_exposures(tmp_path, count)
    found = compared(field)
    for (hits,), (untested,), rays, truth in zip(
        found.hits, found.untested, field.rays, field.truth, strict=True
    ):
        mask, seen = hits.rows(0, 240), ~untested.rows(0, 240)
        faint = truth < 200.0  # a ray on the core of a bright star cannot be told from it
        caught = (mask & rays & seen & faint).sum() / (rays & seen & faint).sum()
        away = seen & ~ndimage.binary_dilation(rays, iterations=2)
        assert caught > 0.95
        assert (mask & away).sum() / away.sum() < 1e-3
        assert not mask[~seen].any()


def test_star_cores_stand(tmp_path: Path) -> None:
    field = rayed_exposures(tmp_path, 3, rays=0, stars=random_stars(150, 9, brightest=2000.0))
    cores = [truth > 40.0 + 30.0 * np.sqrt(40.0 + 25.0) for truth in field.truth]
    found = compared(field)
    flagged = sum(
        int((hits.rows(0, 240) & core).sum()) for (hits,), core in zip(found.hits, cores, strict=True)
    )
    assert flagged / sum(int(core.sum()) for core in cores) < 0.01


def test_a_ray_in_all_exposures_stands(tmp_path: Path) -> None:
    """What every exposure shows at one place of the sky is a source."""
    field = rayed_exposures(tmp_path, 1, rays=0)
    (chip,) = field.exposures[0]
    twin = replace(chip, context_bit=1)
    parameters = drizzle_defaults("WFC", 57000.0, "filter", 2)
    found = compare_exposures([[chip], [twin]], parameters)
    assert [hits.count() for (hits,) in found.hits] == [0, 0]
