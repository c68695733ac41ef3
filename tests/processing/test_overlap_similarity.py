"""Exposures that lie on each other, or do not: figures of their overlap."""

from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, moved_chip, sky_matrix
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.drizzle_data import DrizzleInput
from hapctl.processing.imaging.overlap_similarity import (
    OverlapFigures,
    clearly_worse,
    moved,
    overlap_figures,
    overlap_grid,
)
from numpy.typing import NDArray
from support.synthetic_chips import plain_chip

SIZE = 500
PLANE = TangentPlane(150.0, 2.0)


def shifted(chip: ChipWcs, arcsec: float) -> ChipWcs:
    return moved_chip(chip, sky_matrix(PlaneFit.similarity(np.array([arcsec, 0.3 * arcsec])), PLANE))


def input_of(chip: ChipWcs, pixels: NDArray[np.float32]) -> DrizzleInput:
    weights = np.ones_like(pixels)
    return DrizzleInput(chip, lambda first, stop: (pixels[first:stop], weights[first:stop]))


def visit(seed: int, exposures: int = 3, stars: int = 60) -> list[list[DrizzleInput]]:
    """Exposures of one sky, dithered by whole pixels, with noise and cosmic rays."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(-40, SIZE + 40, (2, stars))
    flux = 10 ** random.uniform(2.5, 4, stars)
    chip = plain_chip((SIZE, SIZE), (PLANE.ra, PLANE.dec), 0.05)
    result = []
    for number in range(exposures):
        dither = np.array([11.0, -7.0]) * number
        image = random.normal(0, 5, (SIZE, SIZE))
        v, u = np.indices((25, 25)) - 12
        for a, b, f in zip(x + dither[0], y + dither[1], flux, strict=True):
            column, row = round(a), round(b)
            if 12 <= column < SIZE - 13 and 12 <= row < SIZE - 13:
                spot = np.exp(-0.5 * ((u - a + column) ** 2 + (v - b + row) ** 2))
                image[row - 12 : row + 13, column - 12 : column + 13] += f * spot / 6.283
        image[tuple(random.integers(0, SIZE, (2, 40)))] += random.uniform(100, 2000, 40)
        own = replace(chip, crpix=(chip.crpix[0] + dither[0], chip.crpix[1] + dither[1]))
        result.append([input_of(own, image.astype(np.float32))])
    return result


def figures(exposures: list[list[DrizzleInput]], errors: list[float]) -> OverlapFigures:
    chips = [[source.chip for source in exposure] for exposure in exposures]
    grid = overlap_grid(chips, side=400)
    assert grid is not None
    wrong = [[shifted(chip, error) for chip in own] for own, error in zip(chips, errors, strict=True)]
    found = overlap_figures(moved(exposures, wrong), grid)
    assert found is not None
    return found


def test_misplaced_exposures_correlate_less_and_share_fewer_sources() -> None:
    exposures = visit(1)
    right = figures(exposures, [0.0, 0.0, 0.0])
    assert right.pairs == 3
    assert right.focus > 0.6
    by_error = [figures(exposures, [0.0, error, 0.0]) for error in (0.05, 0.1, 0.5)]
    assert right.focus > by_error[0].focus > by_error[1].focus > by_error[2].focus
    assert right.difference < by_error[1].difference < by_error[2].difference
    assert by_error[2].worst_difference > 0.9
    assert by_error[2].focus < 0.6 * right.focus  # one pair of three is still good


def test_worse_is_said_with_figures_and_better_is_not() -> None:
    exposures = visit(2)
    right, wrong = figures(exposures, [0.0, 0.0, 0.0]), figures(exposures, [0.0, 0.2, -0.2])
    words = clearly_worse(right, wrong, 0.85)
    assert words is not None
    assert f"{right.focus:.3f} before, {wrong.focus:.3f} after" in words
    assert clearly_worse(wrong, right, 0.85) is None
    assert clearly_worse(right, right, 0.85) is None


def test_exposures_apart_are_not_compared() -> None:
    chip = plain_chip((SIZE, SIZE), (PLANE.ra, PLANE.dec), 0.05)
    assert overlap_grid([[chip], [shifted(chip, 60.0)]]) is None
    exposures = visit(3, exposures=2)
    grid = overlap_grid([[source.chip for source in exposure] for exposure in exposures], side=400)
    assert grid is not None
    far = [[exposures[0][0].chip], [shifted(exposures[1][0].chip, 60.0)]]
    assert overlap_figures(moved(exposures, far), grid) is None
    with pytest.raises(UsageProblemError, match="no exposures"):
        overlap_grid([])


def test_bad_pixels_do_not_count() -> None:
    exposures = visit(4, exposures=2)
    values, weights = exposures[1][0].read_rows(0, SIZE)
    spoilt, left = values.copy(), weights.copy()
    spoilt[100:300:7, :] = 1e6
    left[100:300:7, :] = 0.0
    masked = DrizzleInput(exposures[1][0].chip, lambda first, stop: (spoilt[first:stop], left[first:stop]))
    grid = overlap_grid([[source.chip for source in exposure] for exposure in exposures], side=400)
    assert grid is not None
    plain = overlap_figures(exposures, grid)
    found = overlap_figures([exposures[0], [masked]], grid)
    assert plain is not None
    assert found is not None
    assert abs(found.focus - plain.focus) < 0.15
