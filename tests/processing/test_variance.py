"""Variances of pixels, of products, and how far the noise of a product is correlated."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging import DrizzleParameters, compare_exposures
from hapctl.processing.imaging.drizzle import DrizzleInput, drizzle_bands
from hapctl.processing.imaging.grid import north_up_grid
from hapctl.processing.imaging.parameters import Kernel
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.variance import (
    noise_correlation,
    product_noise_correlation,
    variance_blocks,
)
from hapctl.processing.imaging.weights import Rows
from hypothesis import given, settings
from hypothesis import strategies as st
from support.image_files import rayed_exposures
from support.prepared_chips import READ_NOISE, prepared_chip
from support.synthetic_chips import plain_chip

SHAPE = (20, 24)
TIME = 100.0


def whole(chip: PreparedChip, clean: Rows | None = None) -> np.ndarray:
    """The variance of a chip in electrons squared."""
    return variance_blocks(replace(chip, clean=clean))(0, SHAPE[0], 0, SHAPE[1]) * TIME**2


def test_usable_errors_are_taken(tmp_path: Path) -> None:
    error = np.random.default_rng(1).uniform(1.0, 9.0, SHAPE)
    chip = prepared_chip(tmp_path, np.full(SHAPE, 1e4), error=error)
    assert np.allclose(whole(chip), error**2, rtol=1e-6)


@pytest.mark.parametrize("bad", [0.0, -3.0, np.nan, np.inf])
def test_an_error_that_is_none_gives_way_to_the_model(tmp_path: Path, bad: float) -> None:
    error = np.full(SHAPE, 7.0)
    error[4, 5] = bad
    chip = prepared_chip(tmp_path, np.full(SHAPE, 900.0), error=error, sky=30.0)
    clean = np.full(SHAPE, 60.0, np.float32)
    found = whole(chip, lambda a, b: clean[a:b])
    assert found[4, 5] == pytest.approx(READ_NOISE**2 + 90.0, rel=1e-6)  # not the pixel's own 900
    found[4, 5] = 49.0
    assert np.allclose(found, 49.0, rtol=1e-6)


def test_without_a_plane_the_pixel_stands_in(tmp_path: Path) -> None:
    science = np.random.default_rng(2).normal(20.0, 30.0, SHAPE).astype(np.float32)
    chip = prepared_chip(tmp_path, science, sky=10.0)
    assert np.allclose(whole(chip), READ_NOISE**2 + np.maximum(science, 0.0), rtol=1e-5)
    clean = np.full(SHAPE, 5.0, np.float32)
    clean[3, 3] = np.nan
    found = whole(chip, lambda a, b: clean[a:b])
    assert found[3, 3] == pytest.approx(READ_NOISE**2 + max(float(science[3, 3]), 0.0), rel=1e-5)
    assert found[0, 0] == pytest.approx(READ_NOISE**2 + 15.0, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.7, 1.4), sky=st.floats(0.0, 500.0), source=st.floats(0.0, 1e4))
def test_equalised_electrons_are_not_those_that_make_noise(
    tmp_path_factory: pytest.TempPathFactory, factor: float, sky: float, source: float
) -> None:
    """The noise of the detector's own electrons, scaled as the values are."""
    folder = tmp_path_factory.mktemp("factor")
    chip = prepared_chip(folder, np.full(SHAPE, source + sky), flux_factor=factor, sky=sky * factor)
    clean = np.full(SHAPE, source * factor, np.float32)
    expected = factor**2 * (READ_NOISE**2 + source + sky)
    assert np.allclose(whole(chip), expected, rtol=1e-4)
    assert np.allclose(whole(chip, lambda a, b: clean[a:b]), expected, rtol=1e-4)


def test_a_sky_that_was_taken_off_before_has_left_its_noise(tmp_path: Path) -> None:
    factor, before, sky, source = 1.25, 40.0, 6.0, 300.0
    science = np.full(SHAPE, source + sky)  # of the file: without what was taken off before
    chip = prepared_chip(tmp_path, science, flux_factor=factor, sky=sky * factor, sky_before=before * factor)
    clean = np.full(SHAPE, source * factor, np.float32)
    expected = factor**2 * (READ_NOISE**2 + source + sky + before)
    assert np.allclose(whole(chip), expected, rtol=1e-4)
    assert np.allclose(whole(chip, lambda a, b: clean[a:b]), expected, rtol=1e-4)


def test_blocks_are_parts_of_the_whole(tmp_path: Path) -> None:
    science = np.random.default_rng(3).normal(100.0, 20.0, SHAPE)
    error = np.where(science > 110, np.nan, 3.0)
    chip = prepared_chip(tmp_path, science, error=error)
    clean = science.astype(np.float32)
    read = variance_blocks(replace(chip, clean=lambda a, b: clean[a:b]))
    everything = read(0, SHAPE[0], 0, SHAPE[1])
    assert np.array_equal(read(5, 9, 7, 20), everything[5:9, 7:20])
    assert everything.dtype == np.float32


def test_a_chip_that_was_not_exposed_has_no_variance(tmp_path: Path) -> None:
    chip = prepared_chip(tmp_path, np.ones(SHAPE))
    dark = replace(chip, pixels=replace(chip.pixels, exposure_time=0.0))
    assert not variance_blocks(dark)(0, 3, 0, 3).any()


@settings(max_examples=40, deadline=None)
@given(pixfrac=st.floats(0.01, 1.0), ratio=st.floats(0.05, 3.0))
def test_the_ratio_is_that_of_the_books(pixfrac: float, ratio: float) -> None:
    """Casertano et al. 2000; Fruchter & Hook 2002."""
    r = pixfrac / ratio
    expected = r / (1.0 - 1.0 / (3.0 * r)) if r >= 1 else 1.0 / (1.0 - r / 3.0)
    assert noise_correlation("square", pixfrac, ratio) == pytest.approx(expected, rel=1e-3)
    assert noise_correlation("turbo", pixfrac, ratio) == pytest.approx(expected, rel=1e-3)
    assert noise_correlation("point", pixfrac, ratio) == 1.0


@settings(max_examples=40, deadline=None)
@given(
    pixfrac=st.floats(0.01, 1.0),
    ratio=st.floats(0.05, 3.0),
    angle=st.floats(-180.0, 180.0),
    kernel=st.sampled_from(["square", "gaussian", "lanczos2", "lanczos3", "tophat"]),
)
def test_the_ratio_is_at_least_one(pixfrac: float, ratio: float, angle: float, kernel: str) -> None:
    found = noise_correlation(kernel, pixfrac, ratio, angle)  # type: ignore[arg-type]
    assert found >= 1.0 - 1e-6
    assert found <= noise_correlation(kernel, pixfrac, 0.99 * ratio, angle) + 1e-3  # type: ignore[arg-type]


def test_the_ratio_of_rotated_squares_by_counting() -> None:
    """Shares of a drop thrown at random: R^2 = (mean of a)^2 / mean of a^2 per unit of area."""
    from support.slow_drizzle import clipped_area, polygon_area

    rng = np.random.default_rng(4)
    angle, side = np.radians(30.0), 0.8 / 0.6
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = side / 2 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) @ turn.T
    shares = []
    for offset in rng.uniform(-0.5, 0.5, (1500, 2)):
        drop = corners + offset
        areas = [clipped_area(drop, x, y) for x in range(-2, 3) for y in range(-2, 3)]
        shares.append((np.array(areas) / polygon_area(drop)) ** 2)
    found = noise_correlation("square", 0.8, 0.6, 30.0)
    assert found**2 == pytest.approx(1.0 / np.sum(shares, axis=1).mean(), rel=0.02)


def dithers(count: int, shape: tuple[int, int], angle: float) -> list[ChipWcs]:
    """Chips shifted by a few pixels and ``count`` x ``count`` phases."""
    chip = plain_chip(shape, angle_deg=angle)
    steps = [(y + (x + 0.5) / count, x + (y + 0.3) / count) for y in range(count) for x in range(count)]
    return [replace(chip, crpix=(chip.crpix[0] + dx, chip.crpix[1] + dy)) for dx, dy in steps]


def noise(chip: ChipWcs, rng: np.random.Generator, sigma: float) -> DrizzleInput:
    """Nothing but noise, with its variance."""
    values = rng.normal(0.0, sigma, chip.shape).astype(np.float32)
    weights = np.full(chip.shape, 1.0 / sigma**2, np.float32)
    return DrizzleInput(
        chip,
        lambda a, b: (values[a:b], weights[a:b]),
        read_variance=lambda y0, y1, x0, x1: np.full((y1 - y0, x1 - x0), sigma**2, np.float32),
    )


def aperture_sums(image: np.ndarray, side: int) -> np.ndarray:
    """Sums over all squares, five pixels apart."""
    total = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    total[1:, 1:] = image.cumsum(axis=0, dtype=float).cumsum(axis=1)
    return (total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side])[
        ::5, ::5
    ]


def inner(image: np.ndarray, angle: float) -> np.ndarray:
    """The largest upright square inside a chip turned by ``angle``, less a rim."""
    turn = np.radians(angle)
    side = image.shape[0] / (np.cos(turn) + np.sin(turn)) ** 2 - 40.0
    first = int(0.5 * (image.shape[0] - side))
    return image[first : first + int(side), first : first + int(side)]


@pytest.mark.parametrize(
    ("kernel", "pixfrac", "ratio", "angle", "count"),
    [
        ("square", 0.6, 0.5, 30.0, 2),
        ("square", 1.0, 0.5, 30.0, 2),
        ("square", 0.6, 1.0, 30.0, 3),
        ("square", 1.0, 1.0, 30.0, 2),
        ("square", 0.8, 0.7, 0.0, 4),
        ("turbo", 0.8, 0.7, 30.0, 2),
        ("point", 1.0, 0.7, 30.0, 3),
        ("gaussian", 0.8, 0.5, 30.0, 2),
        ("lanczos3", 1.0, 1.0, 30.0, 2),
    ],
)
def test_variance_and_ratio_are_those_of_drizzled_noise(
    kernel: Kernel, pixfrac: float, ratio: float, angle: float, count: int
) -> None:
    """VAR is the variance of pixels, R^2 sum(VAR) that of 20 x 20 apertures, WHT the inverse of R^2 VAR."""
    chips, rng = dithers(count, (900, 900), angle), np.random.default_rng(6)
    grid = north_up_grid(chips, 0.05 * ratio)
    (band,) = drizzle_bands(
        [noise(chip, rng, 3.0) for chip in chips],
        grid,
        kernel=kernel,
        pixfrac=pixfrac,
        band_rows=grid.shape[0],
        context=False,
        variance=True,
    )
    assert band.var is not None
    sci, var, wht = (inner(image, angle) for image in (band.sci, band.var, band.wht))
    assert np.mean(sci**2 / var) == pytest.approx(1.0, abs=0.02)
    squared = noise_correlation(kernel, pixfrac, ratio, angle) ** 2
    ratio_of_sums = aperture_sums(sci, 20).var() / (squared * aperture_sums(var, 20).mean())
    assert ratio_of_sums == pytest.approx(1.0, abs=0.1)
    if kernel not in ("gaussian", "lanczos3"):  # whose shares don't sum to 1
        assert np.mean(wht * var) * squared / ratio**4 == pytest.approx(1.0, abs=0.02)


def test_the_ratio_of_a_product(tmp_path: Path) -> None:
    chips = [
        prepared_chip(tmp_path, np.ones(SHAPE), name=f"n{i}", time=time, wcs=wcs)
        for i, (time, wcs) in enumerate(
            [(10.0, plain_chip(SHAPE)), (30.0, plain_chip(SHAPE, angle_deg=45.0))]
        )
    ]
    grid = north_up_grid([chip.wcs for chip in chips], 0.03)
    each = [noise_correlation("square", 0.8, 0.6, angle) for angle in (0.0, 45.0)]
    found = product_noise_correlation(chips, grid, "square", 0.8)
    assert found == pytest.approx((10 * each[0] + 30 * each[1]) / 40, rel=1e-4)


def test_chips_without_errors_are_given_the_clean_plane(tmp_path: Path) -> None:
    """A cosmic ray's own electrons don't enter the variance of what it hit."""
    field = rayed_exposures(tmp_path, 3)
    found = compare_exposures(field.exposures, DrizzleParameters())
    for (chip,), truth, rays in zip(found.exposures, field.truth, field.rays, strict=True):
        variance = variance_blocks(chip)(0, chip.shape[0], 0, chip.shape[1]) * 100.0**2
        known = ~found.untested[chip.context_bit][0].rows(0, chip.shape[0])
        expected = truth + chip.read_noise**2
        excess = (variance / expected)[rays & known]
        assert np.median(excess) == pytest.approx(1.0, abs=0.05)
        assert np.quantile(excess, 0.95) < 1.5  # but where rays of two exposures meet
    with_errors = prepared_chip(tmp_path, np.ones(SHAPE), error=np.ones(SHAPE))
    same = compare_exposures([[with_errors], [replace(with_errors, context_bit=1)]], DrizzleParameters())
    assert all(chip.clean is None for (chip,) in same.exposures)
