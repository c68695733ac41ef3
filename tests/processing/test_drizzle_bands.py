"""Bands of a drizzle: pure functions of their rows, variances, odd sizes, deep stacks, memory."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.drizzle import (
    Band,
    DrizzleInput,
    drizzle_bands,
    drizzle_image,
    predict_memory,
    prepare_drizzle,
)
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from support.slow_drizzle import slow_drizzle
from support.synthetic_chips import distorted_chip, plain_chip

Block = Callable[[int, int, int, int], np.ndarray]


def blocks_of(image: np.ndarray) -> Block:
    return lambda y0, y1, x0, x1: image[y0:y1, x0:x1]


def noisy_input(chip: ChipWcs, seed: int = 0) -> tuple[DrizzleInput, np.ndarray, np.ndarray, np.ndarray]:
    """An input with weights of all sizes, and its values, weights and variances."""
    rng = np.random.default_rng(seed)
    values = rng.normal(5.0, 2.0, chip.shape).astype(np.float32)
    weights = rng.uniform(0.5, 2.0, chip.shape).astype(np.float32)
    variances = rng.uniform(0.2, 3.0, chip.shape).astype(np.float32)
    made = DrizzleInput(
        chip, lambda y0, y1: (values[y0:y1], weights[y0:y1]), read_variance=blocks_of(variances)
    )
    return made, values, weights, variances


def same(one: Band, other: Band) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in ("sci", "wht", "ctx", "var")
    )


def test_bands_of_any_rows_in_any_order_from_many_threads() -> None:
    chips = [distorted_chip((60, 310), angle_deg=70.0), distorted_chip((40, 90), angle_deg=190.0)]
    grid = north_up_grid(chips)
    inputs = [noisy_input(chip, seed)[0] for seed, chip in enumerate(chips)]
    drizzle = prepare_drizzle(inputs, grid, pixfrac=0.8, variance=True)
    whole = drizzle.band(0, grid.shape[0])
    rows = [
        (y0, min(y0 + height, grid.shape[0]))
        for height in (1, 7, 64)
        for y0 in range(0, grid.shape[0], height)
    ]
    np.random.default_rng(1).shuffle(rows)
    with ThreadPoolExecutor(4) as pool:
        for band in pool.map(lambda limits: drizzle.band(*limits), rows):
            y0, y1 = band.y0, band.y0 + band.sci.shape[0]
            part = Band(y0, whole.sci[y0:y1], whole.wht[y0:y1], whole.ctx[:, y0:y1], whole.var[y0:y1])
            assert same(band, part)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(-30, 60), st.integers(-30, 60), st.floats(0, 360))
def test_outputs_of_any_width_are_cuts_of_the_whole(
    width: int, height: int, left: int, bottom: int, angle: float
) -> None:
    chip = plain_chip((24, 30), angle_deg=angle)
    made = noisy_input(chip)[0]
    grid = OutputGrid(chip.crval, (40.0, 40.0), (-0.05 / 3600, 0.0, 0.0, 0.05 / 3600), (80, 80))
    whole = drizzle_image([made], grid, pixfrac=0.9, variance=True)
    moved = replace(grid, crpix=(40.0 - left, 40.0 - bottom), shape=(height, width))
    part = drizzle_image([made], moved, pixfrac=0.9, variance=True, band_rows=5)
    y, x = np.mgrid[bottom : bottom + height, left : left + width]
    inside = (y >= 0) & (y < 80) & (x >= 0) & (x < 80)
    expected = whole.wht[y[inside], x[inside]]
    np.testing.assert_allclose(part.wht[inside], expected, rtol=2e-6, atol=1e-9)
    deep = expected > 1e-3
    np.testing.assert_allclose(part.var[inside][deep], whole.var[y[inside], x[inside]][deep], rtol=2e-5)
    assert not part.wht[~inside].any()


@pytest.mark.parametrize("pixfrac", [1.0, 0.7])
def test_variance_is_that_of_the_weighted_mean(pixfrac: float) -> None:
    chips = [distorted_chip((20, 26)), distorted_chip((20, 26), angle_deg=160.0)]
    grid = north_up_grid(chips, 0.04)
    made = [noisy_input(chip, seed) for seed, chip in enumerate(chips)]
    image = drizzle_image([one for one, *_ in made], grid, pixfrac=pixfrac, variance=True)
    # Sums of (w a)^2 v: drizzle each pixel alone and add up its squared shares.
    squares, total = np.zeros(grid.shape), np.zeros(grid.shape)
    for chip, (_, _, weights, variances) in zip(chips, made, strict=True):
        for y, x in np.ndindex(chip.shape):
            alone = np.zeros(chip.shape, dtype=np.float32)
            alone[y, x] = weights[y, x]
            given = share_of(chip, alone, grid, pixfrac)
            squares += given**2 * variances[y, x] * (0.04 / 0.05) ** 4
            total += given
    covered = total > 1e-3
    np.testing.assert_allclose(image.var[covered], (squares[covered] / total[covered] ** 2), rtol=1e-5)
    assert np.isnan(image.var[image.wht == 0.0]).all()


def share_of(chip: ChipWcs, weights: np.ndarray, grid: OutputGrid, pixfrac: float) -> np.ndarray:
    """What a single pixel gives, by the kernel itself (whose shares other tests prove)."""
    one = DrizzleInput(chip, lambda y0, y1: (np.ones_like(weights[y0:y1]), weights[y0:y1]))
    return drizzle_image([one], grid, pixfrac=pixfrac, context=False).wht.astype(float)


def test_shares_of_single_pixels_are_those_of_the_slow_reference() -> None:
    chip = distorted_chip((6, 7))
    grid = north_up_grid([chip], 0.04)
    weights = np.zeros(chip.shape, dtype=np.float32)
    weights[2, 3] = 1.0
    _, expected, _ = slow_drizzle([(chip, np.ones_like(weights), weights)], grid, 0.7)
    np.testing.assert_allclose(share_of(chip, weights, grid, 0.7), expected, rtol=1e-6, atol=1e-9)


def test_odd_variances_spoil_what_their_pixel_touches_and_no_more() -> None:
    chip = plain_chip((20, 20))
    made, _, weights, variances = noisy_input(chip)
    clean = drizzle_image([made], north_up_grid([chip]), variance=True)
    variances[5, 6], variances[15, 4], variances[10, 10] = np.nan, -1.0, np.inf
    spoilt = drizzle_image([made], north_up_grid([chip]), variance=True)
    assert spoilt.sci.tobytes() == clean.sci.tobytes()
    lost = np.isnan(spoilt.var) & np.isfinite(clean.var)
    assert 3 <= lost.sum() <= 12
    weights[5, 6] = weights[15, 4] = weights[10, 10] = 0.0
    masked = drizzle_image([made], north_up_grid([chip]), variance=True)
    assert np.isfinite(masked.var[masked.wht > 0]).all()


def test_without_a_reader_of_variances_they_are_unknown() -> None:
    chip = plain_chip((8, 8))
    made = replace(noisy_input(chip)[0], read_variance=None)
    image = drizzle_image([made], north_up_grid([chip]), variance=True)
    assert np.isnan(image.var).all()
    assert np.isfinite(image.sci).any()
    assert drizzle_image([made], north_up_grid([chip])).var is None


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 360), st.floats(0.03, 0.1), st.floats(0.1, 1.0), st.floats(0.01, 100))
def test_a_constant_image_stays_constant(angle: float, scale: float, pixfrac: float, constant: float) -> None:
    chip = distorted_chip((25, 60), angle_deg=angle)
    _, _, weights, _ = noisy_input(chip)
    flat = np.full(chip.shape, constant, dtype=np.float32)
    made = DrizzleInput(chip, lambda y0, y1: (flat[y0:y1], weights[y0:y1]))
    image = drizzle_image([made], north_up_grid([chip], scale), pixfrac=pixfrac)
    expected = float(np.float32(constant)) * (scale / 0.05) ** 2
    np.testing.assert_allclose(image.sci[image.wht > 0], expected, rtol=1e-6)


@pytest.mark.parametrize("weight", [0.0, np.nan, -1.0, np.inf])
def test_a_chip_without_a_good_pixel_leaves_nothing(weight: float) -> None:
    chip = distorted_chip((30, 40))
    flat = np.ones(chip.shape, dtype=np.float32)
    bad = np.full(chip.shape, weight, dtype=np.float32)
    image = drizzle_image(
        [DrizzleInput(chip, lambda y0, y1: (flat[y0:y1], bad[y0:y1]))], north_up_grid([chip]), variance=True
    )
    assert not image.wht.any()
    assert not image.ctx.any()
    assert np.isnan(image.sci).all()
    assert np.isnan(image.var).all()


def test_one_output_pixel_and_chips_that_run_to_infinity() -> None:
    chip = plain_chip((40, 40))
    made = noisy_input(chip)[0]
    grid = OutputGrid(chip.crval, (1.0, 1.0), (-0.05 / 3600, 0.0, 0.0, 0.05 / 3600), (1, 1))
    assert drizzle_image([made], grid).wht[0, 0] > 0
    # A chip of 4 degrees a pixel goes over the rim of the projection.
    wide = plain_chip((60, 60), scale_arcsec=4 * 3600.0)
    far = OutputGrid(wide.crval, (30.0, 30.0), (-4.0, 0.0, 0.0, 4.0), (60, 60))
    image = drizzle_image([noisy_input(wide)[0]], far, variance=True)
    assert np.isfinite(image.wht).all()
    assert image.wht.any()


def test_inputs_that_miss_a_band_are_not_asked_for_it() -> None:
    chip = plain_chip((64, 64))
    read: list[int] = []

    def counted(y0: int, y1: int) -> tuple[np.ndarray, np.ndarray]:
        read.append(y0)
        return np.ones((y1 - y0, 64), np.float32), np.ones((y1 - y0, 64), np.float32)

    grid = replace(north_up_grid([chip]), shape=(4000, 70))
    drizzle = prepare_drizzle([DrizzleInput(chip, counted)] * 30, grid)
    drizzle.band(2000, 2050)
    assert not read
    drizzle.band(0, 10)
    assert len(read) == 30


def test_a_kernel_of_no_name_is_refused() -> None:
    with pytest.raises(UsageProblemError, match="drizzle kernel"):
        drizzle_bands([], north_up_grid([plain_chip()]), kernel="cubic")


def test_memory_with_variances_is_predicted_from_above() -> None:
    import tracemalloc

    chip = distorted_chip((512, 700))
    made = noisy_input(chip)[0]
    grid = north_up_grid([chip])
    predicted = predict_memory([chip.shape], grid, band_rows=60, variance=True)
    tracemalloc.start()
    for _ in drizzle_bands([made], grid, band_rows=60, variance=True):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.4 * peak < predicted
    assert peak < predicted + 2**20
