"""The sky of chips and exposures, in empty and in crowded fields."""

import numpy as np
import pytest
from hapctl.processing.imaging.sky import SkyLevel, exposure_sky, sky_level

SHAPE = (500, 600)
EVERYWHERE = np.ones(SHAPE, dtype=np.bool_)


def noise(level: float, sigma: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(level, sigma, SHAPE).astype(np.float32)


@pytest.mark.parametrize("statistic", ["mode", "median", "mean"])
@pytest.mark.parametrize("level", [-3.0, 0.0, 120.0])
def test_gaussian_sky(statistic: str, level: float) -> None:
    found = sky_level(noise(level, 7.0), EVERYWHERE, statistic)  # type: ignore[arg-type]
    assert found.level == pytest.approx(level, abs=0.02 * 7.0)
    assert found.sigma == pytest.approx(7.0, rel=0.03)


def test_mode_stands_in_a_crowded_field() -> None:
    rng = np.random.default_rng(2)
    stars = np.where(rng.random(SHAPE) < 0.6, rng.exponential(80.0, SHAPE), 0.0).astype(np.float32)
    image = noise(100.0, 8.0) + stars
    mode, median = (sky_level(image, EVERYWHERE, name).level - 100.0 for name in ("mode", "median"))  # type: ignore[arg-type]
    assert abs(mode) < 3.0
    assert median > 2.0 * abs(mode)


def test_bad_pixels_do_not_count() -> None:
    image = noise(50.0, 5.0)
    good = EVERYWHERE.copy()
    good[:, 100:] = False
    image[:, 100:] = 1e6
    image[::7, ::3] = np.nan
    found = sky_level(image, good)
    assert found.level == pytest.approx(50.0, abs=0.2)
    assert found.pixels < 50_000


def test_nothing_to_measure() -> None:
    assert sky_level(noise(1.0, 1.0), ~EVERYWHERE) == SkyLevel(0.0, 0.0, 0)


@pytest.mark.parametrize("step", [2.2, 6.0])
def test_quantised_data(step: float) -> None:
    image = (np.rint(noise(20.0, 10.0) / step) * step).astype(np.float32)
    assert sky_level(image, EVERYWHERE).level == pytest.approx(20.0, abs=0.5)


def test_constant_image() -> None:
    assert sky_level(np.full(SHAPE, 3.0, dtype=np.float32), EVERYWHERE).level == pytest.approx(3.0)


def test_chips_share_the_faintest_brightness() -> None:
    levels = [SkyLevel(40.0, 5.0, 100), SkyLevel(12.0, 5.0, 100), SkyLevel(0.0, 0.0, 0)]
    fine, coarse, empty = exposure_sky(levels, [0.04, 0.02, 0.04])
    assert coarse == pytest.approx(10.0)  # 40 electrons in a pixel of four times the area
    assert fine == pytest.approx(40.0)
    assert empty == pytest.approx(40.0)
