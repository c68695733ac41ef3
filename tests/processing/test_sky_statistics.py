"""The level of sky pixels, in empty and in crowded fields."""

import numpy as np
import pytest
from hapctl.processing.imaging.parameters import Statistic
from hapctl.processing.imaging.sky_statistics import (
    NO_LEVEL,
    Clipping,
    SortedPixels,
    clipped,
    level_of,
    mode_of,
)
from hypothesis import given, settings
from hypothesis import strategies as some

SIZE = 300_000


def noise(level: float, sigma: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(level, sigma, SIZE).astype(np.float32)


@pytest.mark.parametrize("statistic", ["mode", "median", "mean"])
@pytest.mark.parametrize("level", [-3.0, 0.0, 120.0])
def test_gaussian_sky(statistic: Statistic, level: float) -> None:
    found = level_of(noise(level, 7.0), statistic)
    assert found.level == pytest.approx(level, abs=0.02 * 7.0)
    assert found.sigma == pytest.approx(7.0, rel=0.03)


def test_mode_stands_in_a_crowded_field() -> None:
    rng = np.random.default_rng(2)
    stars = np.where(rng.random(SIZE) < 0.6, rng.exponential(80.0, SIZE), 0.0).astype(np.float32)
    image = noise(100.0, 8.0) + stars
    mode, median = (level_of(image, name).level - 100.0 for name in ("mode", "median"))
    assert abs(mode) < 3.0
    assert median > 2.0 * abs(mode)


@pytest.mark.parametrize("width", [0.02, 0.1, 0.5])
def test_mode_does_not_hang_on_the_bins(width: float) -> None:
    assert level_of(noise(50.0, 5.0), "mode", bin_width=width).level == pytest.approx(50.0, abs=0.15)


@pytest.mark.parametrize("step", [2.2, 6.0])
def test_quantised_data(step: float) -> None:
    image = (np.rint(noise(20.0, 10.0) / step) * step).astype(np.float32)
    assert level_of(image).level == pytest.approx(20.0, abs=0.5)


@pytest.mark.parametrize("statistic", ["mode", "median", "mean"])
def test_one_value(statistic: Statistic) -> None:
    found = level_of(np.full(999, 3.3, dtype=np.float32), statistic)
    assert found.level == pytest.approx(3.3)
    assert (found.sigma, found.pixels) == (pytest.approx(0.0, abs=1e-6), 999)
    assert mode_of(SortedPixels.of(np.full(999, 3.3, dtype=np.float32))) is None


def test_photon_counters_give_the_mean() -> None:
    counts = np.random.default_rng(3).poisson(0.03, SIZE).astype(np.float32)
    counts[:200] = 1000.0  # a star
    for statistic in ("mode", "mean"):
        assert level_of(counts, statistic).level == pytest.approx(0.03, rel=0.05)


def test_nothing_to_measure() -> None:
    assert level_of(np.zeros(0, dtype=np.float32)) == NO_LEVEL


def test_clipping_is_that_of_plain_loops() -> None:
    values = np.concatenate([noise(10.0, 3.0)[:5000], np.full(100, 500.0, np.float32), [-2000.0]])
    values = values.astype(np.float32)
    kept = values.astype(np.float64)
    for _ in range(3):
        mean, deviation = kept.mean(), kept.std()
        kept = values[(values >= mean - 2.5 * deviation) & (values <= mean + 3.5 * deviation)].astype(
            np.float64
        )
    found = clipped(SortedPixels.of(values), Clipping(3, 2.5, 3.5))
    assert found.size == kept.size < values.size
    assert found.mean == pytest.approx(kept.mean(), rel=1e-9)
    assert found.deviation == pytest.approx(kept.std(), rel=1e-6)
    assert found.median == np.median(kept)


@given(
    values=some.lists(some.floats(-1e6, 1e6, width=32), min_size=1, max_size=60), rounds=some.integers(0, 6)
)
@settings(max_examples=60, deadline=None)
def test_a_level_lies_among_the_values(values: list[float], rounds: int) -> None:
    array = np.array(values, dtype=np.float32)
    for statistic in ("mode", "median", "mean"):
        found = level_of(array, statistic, Clipping(rounds=rounds))  # type: ignore[arg-type]
        assert 1 <= found.pixels <= array.size
        assert array.min() - 1.0 <= found.level <= array.max() + 1.0 or statistic == "mode"
        assert np.isfinite([found.level, found.sigma]).all()
