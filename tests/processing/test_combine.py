"""Combining single drizzles: every type against plain Python, the rule of minmed, thresholds, bands."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hapctl.ext import cpu
from hapctl.processing.imaging.combine import (
    ExposureNoise,
    Single,
    combine_arrays,
    combine_halo,
    combine_rows,
)
from hapctl.processing.imaging.parameters import MedianParameters
from hypothesis import given, settings
from hypothesis import strategies as st
from support.prepared_chips import grid_for, prepared_chip
from support.slow_comparison import combined

TYPES = ("minmed", "median", "mean", "sum")
NOISE = ExposureNoise(time=100.0, full_weight=100.0, per_rate=0.01, floor=0.01)
"""At a rate of 0 sigma is 0.1."""


def planes(*rates: float, shape: tuple[int, int] = (9, 9)) -> list[np.ndarray]:
    """Exposures of one rate each."""
    return [np.full(shape, rate, dtype=np.float32) for rate in rates]


def full(count: int, shape: tuple[int, int] = (9, 9)) -> list[np.ndarray]:
    """Weights of full coverage."""
    return [np.full(shape, 100.0, dtype=np.float32)] * count


def minmed(*rates: float, **changes: object) -> np.ndarray:
    """Exposures of one rate each, combined."""
    parameters = MedianParameters(**changes)
    return combine_arrays(planes(*rates), full(len(rates)), [NOISE] * len(rates), parameters)[0]


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 9),
    kind=st.sampled_from(TYPES),
    low=st.integers(0, 3),
    high=st.integers(0, 3),
    thresholds=st.booleans(),
    grow=st.integers(0, 2),
    width=st.integers(1, 70),
)
def test_agrees_with_plain_python(
    seed: int, count: int, kind: str, low: int, high: int, thresholds: bool, grow: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (5, width)
    values = rng.normal(0.3, 0.2, (count, *shape)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] += 5.0
    values[rng.random(values.shape) < 0.05] = rng.choice([np.nan, np.inf, -np.inf])
    weights = rng.choice([0.0, 20.0, 80.0, np.nan], values.shape, p=[0.1, 0.2, 0.65, 0.05]).astype(np.float32)
    times = rng.uniform(50.0, 400.0, count)
    noises = [ExposureNoise(time, 100.0, 1 / time, 20.0 / time**2) for time in times]
    parameters = MedianParameters(
        type=kind, nlow=low, nhigh=high, grow=grow, **({"lower": -20.0, "upper": 900.0} if thresholds else {})
    )
    with np.errstate(invalid="ignore"):
        counts = np.isfinite(values) & (weights >= 30.0)
        electrons = values * times[:, None, None]
        if thresholds:
            counts &= (electrons >= -20.0) & (electrons <= 900.0)
    clean = np.where(np.isfinite(values), values, 0.0)
    found, depth = combine_arrays(list(values), list(weights), noises, parameters)
    rule = MedianParameters(type=kind, nlow=low, nhigh=high, grow=0, sigma=(1e30, 1e30))
    plain, _ = combined(clean, counts, times, np.ones(values.shape), rule)
    rates = np.maximum(np.nan_to_num(plain), 0.0)
    variance = rates / times[:, None, None] + (20.0 / times**2)[:, None, None]
    decides, deep = combined(clean, counts, times, variance, parameters)
    assert np.array_equal(depth, deep)
    np.testing.assert_allclose(found, decides, rtol=1e-4, atol=1e-5)


def test_minmed_of_one_two_three_and_four() -> None:
    assert minmed(0.25)[4, 4] == pytest.approx(0.25)
    assert minmed(0.1, 0.2)[4, 4] == pytest.approx(0.15)
    assert minmed(0.1, 0.2, 9.0)[4, 4] == pytest.approx(0.15)
    assert minmed(0.1, 0.14, 0.2, 9.0)[4, 4] == pytest.approx(0.14)


def test_where_two_of_three_count_the_lower_is_taken() -> None:
    weights = full(3)
    weights[2] = np.zeros((9, 9), dtype=np.float32)
    found, depth = combine_arrays(planes(0.1, 0.2, 0.3), weights, [NOISE] * 3, MedianParameters())
    np.testing.assert_allclose(found, 0.1, rtol=1e-6)
    assert (depth == 2).all()
    two = combine_arrays(planes(0.1, 0.2), full(2), [NOISE] * 2, MedianParameters(), exposures=3)
    np.testing.assert_allclose(two[0], 0.1, rtol=1e-6)


def test_the_lowest_comes_in_only_by_the_rule() -> None:
    # Half the difference of two, against sigma times root half: 4 of these are 0.53 at 2.5, 0.32 at 0.3.
    assert minmed(0.0, 5.0)[4, 4] == 0.0
    assert minmed(0.0, 0.6)[4, 4] == pytest.approx(0.3)
    # One of three hit: the highest is out, the two others are averaged.
    assert minmed(0.0, 0.3, 5.0)[4, 4] == pytest.approx(0.15)
    # Two of three hit: what is left is far above the lowest.
    assert minmed(0.0, 4.0, 5.0)[4, 4] == 0.0
    # With many exposures the lowest of noise stays out (AstroDrizzle takes it).
    assert minmed(-0.15, *[0.0] * 8, 0.1)[4, 4] == 0.0


def test_the_second_threshold_holds_within_grow() -> None:
    stack = planes(0.0, 0.62)  # half the difference is 3.0 sigma: between the thresholds
    stack[1][4, 4] = 5.0
    for grow in (0, 1, 2):
        parameters = MedianParameters(grow=grow, sigma=(4.0, 1.0))
        found, _ = combine_arrays(stack, full(2), [NOISE] * 2, parameters)
        expected = np.full((9, 9), 0.31)
        expected[4 - grow : 5 + grow, 4 - grow : 5 + grow] = 0.0
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_slopes_of_a_star_do_not_bring_the_lowest_in() -> None:
    columns = np.arange(9.0)
    star = np.tile(100.0 * np.exp(-0.5 * ((columns - 4.0) / 1.2) ** 2), (9, 1)).astype(np.float32)
    moved = np.tile(100.0 * np.exp(-0.5 * ((columns - 4.3) / 1.2) ** 2), (9, 1)).astype(np.float32)
    found, _ = combine_arrays([star, moved], full(2), [NOISE] * 2, MedianParameters())
    np.testing.assert_allclose(found, 0.5 * (star + moved), rtol=1e-6)


def test_a_short_noisy_exposure_does_not_bring_the_lowest_in() -> None:
    short = ExposureNoise(time=1.0, full_weight=1.0, per_rate=1.0, floor=100.0)
    stack = [*planes(-20.0, 0.0, 0.0, 0.05)]
    found, _ = combine_arrays(
        stack, [np.full((9, 9), 1.0, dtype=np.float32), *full(3)], [short, *[NOISE] * 3], MedianParameters()
    )
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_thresholds_apply_once_in_electrons() -> None:
    parameters = MedianParameters(type="mean", lower=-5.0, upper=50.0)
    found, depth = combine_arrays(planes(0.1, 0.2, 0.3, 0.6), full(4), [NOISE] * 4, parameters)
    np.testing.assert_allclose(found, 0.2, rtol=1e-6)
    assert (depth == 3).all()


def test_little_weight_counts_only_where_asked_for() -> None:
    weights = full(3)
    weights[2] = np.full((9, 9), 29.0, dtype=np.float32)
    faint = [np.full((9, 9), 10.0, dtype=np.float32)] * 3
    faint[1] = np.zeros((9, 9), dtype=np.float32)
    for kind, value, count in (("median", 0.15, 2), ("imedian", 0.15, 2)):
        found, depth = combine_arrays(
            planes(0.1, 0.2, 9.0), weights, [NOISE] * 3, MedianParameters(type=kind)
        )
        assert found[0, 0] == pytest.approx(value)
        assert (depth == count).all()
    found, depth = combine_arrays(planes(0.1, 0.2, 9.0), faint, [NOISE] * 3, MedianParameters(type="mean"))
    assert np.isnan(found).all()
    assert not depth.any()
    found, depth = combine_arrays(planes(0.1, 0.2, 9.0), faint, [NOISE] * 3, MedianParameters(type="imean"))
    assert found[0, 0] == pytest.approx(4.55)
    assert (depth == 2).all()


@pytest.mark.parametrize("kind", ["minmed", "iminmed", "imedian", "isum"])
@pytest.mark.parametrize("width", [1, 40, 64, 130])
def test_bands_and_builds_do_not_matter(kind: str, width: int) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0.1, 0.1, (5, 40, width)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] += 3.0
    weights = rng.choice([0.0, 10.0, 90.0], values.shape, p=[0.2, 0.2, 0.6]).astype(np.float32)
    parameters = MedianParameters(type=kind, grow=2)
    halo = combine_halo(parameters)
    whole, depth = combine_arrays(list(values), list(weights), [NOISE] * 5, parameters)
    for height in (1, 7):
        for first in range(0, 40, height):
            low, high = max(first - halo, 0), min(first + height + halo, 40)
            part, _ = combine_arrays(
                list(values[:, low:high]), list(weights[:, low:high]), [NOISE] * 5, parameters
            )
            rows = slice(first, min(first + height, 40))
            assert part[rows.start - low : rows.stop - low].tobytes() == whole[rows].tobytes()
    for build in cpu.builds("compare").values():
        assert combined_by(build, values, weights, parameters) == (whole.tobytes(), depth.tobytes())


def combined_by(
    build: ModuleType, values: np.ndarray, weights: np.ndarray, parameters: MedianParameters
) -> tuple[bytes, bytes]:
    """The bytes of both results by one build of the kernel."""
    shape = values.shape[1:]
    found, depth = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.uint16)
    lowest, sigma = np.empty((2, *shape), dtype=np.float32)
    terms = np.array([[30.0, -np.inf, np.inf, 100.0, 0.01, 0.01]] * len(values), dtype=np.float32)
    number = {"median": 0, "mean": 1, "sum": 2, "minmed": 3}[parameters.type.removeprefix("i")]
    ignoring = parameters.type.startswith("i")
    build.combine(list(values), list(weights), terms, number, 0, 0, 2, ignoring, found, depth, lowest, sigma)
    if number == 3:
        build.take_lowest(found, lowest, sigma, depth, (4.0, 3.0), (1.0, 0.5), 6.0, parameters.grow)
    return found.tobytes(), depth.tobytes()


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_noise_of_a_single_drizzle(tmp_path: Path, ratio: float) -> None:
    chip = prepared_chip(tmp_path, np.zeros((20, 20)), time=50.0, read_noise=3.0, sky=2.0, sky_before=5.0)
    grid = grid_for(chip, ratio)
    noise = ExposureNoise.of([chip], grid)
    pixels = ratio**2
    assert noise.full_weight == pytest.approx(50.0 * pixels)
    averaged = min(pixels, 1.0)
    assert noise.floor * 50.0**2 == pytest.approx(averaged * pixels * (7.0 + 9.0))
    single = Single(0, np.zeros((4, 4), dtype=np.float32), np.full((4, 4), 50.0 * pixels, dtype=np.float32))
    found, depth = combine_rows([single], [[chip]], grid, MedianParameters())
    assert not found.any()
    assert (depth == 1).all()


def test_no_pixels_and_other_shapes() -> None:
    found, depth = combine_arrays(planes(0.1, shape=(0, 5)), full(1, (0, 5)), [NOISE], MedianParameters())
    assert found.shape == depth.shape == (0, 5)
    with pytest.raises(ValueError, match="single drizzle of"):
        combine_arrays([*planes(0.1), *planes(0.1, shape=(9, 8))], full(2), [NOISE] * 2, MedianParameters())
