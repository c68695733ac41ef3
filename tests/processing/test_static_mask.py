"""Static masks: pixels low in every exposure of a chip, by signature."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.chip_sample import sample_chip
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.parameters import Agreement, StaticMaskParameters
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.static_mask import (
    Signature,
    chip_mask,
    low_limit,
    signature,
    static_mask,
    static_masks,
)
from support.data import data_file
from support.sky_exposures import open_exposure
from support.synthetic_chips import plain_chip

SHAPE = (300, 421)


def noise(seed: int, level: float = 50.0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(level, 7.0, shape).astype(np.float32)


def low_pixels(seed: int, count: int) -> np.ndarray:
    low = np.zeros(SHAPE, dtype=np.bool_)
    low.flat[np.random.default_rng(seed).choice(low.size, count, replace=False)] = True
    return low


@pytest.mark.parametrize(("agreement", "join"), [("any", np.any), ("every", np.all)])
def test_low_pixels_are_masked(tmp_path: Path, agreement: Agreement, join: Callable[..., np.ndarray]) -> None:
    always, row = low_pixels(1, 900), np.zeros(SHAPE, dtype=np.bool_)
    row[120] = True
    exposures = []
    for i in range(3):
        image = noise(10 + i, 50.0 + 30.0 * i)
        image[always | row] = -200.0
        image[low_pixels(20 + i, 500)] = -200.0
        image[5, 5] = np.nan
        image[6, 6] = -200.0 if i == 1 else 60.0
        exposures.append(open_exposure(tmp_path / f"{i}_flt.fits", [image]))
    (found,) = static_masks(exposures, StaticMaskParameters(agreement=agreement)).values()
    limits = [low_limit(chip, 4.0) for (chip,) in exposures]
    with np.errstate(invalid="ignore"):
        expected = join(
            [
                chip.pixels.science() < np.float32(limit)
                for (chip,), limit in zip(exposures, limits, strict=True)
            ],
            axis=0,
        )
    assert np.array_equal(found.rows(0, SHAPE[0]), expected)
    assert expected[always | row].all()
    assert expected.sum() - (always | row).sum() < (1600 if agreement == "any" else 10)
    assert expected[6, 6] == (agreement == "any")
    assert not expected[5, 5]


def test_limit_is_mode_less_sigmas(tmp_path: Path) -> None:
    image = noise(4)
    image[::9, ::9] = 4000.0
    ((chip,),) = [open_exposure(tmp_path / "a_flt.fits", [image])]
    assert low_limit(chip, 4.0) == pytest.approx(50.0 - 4.0 * 7.0, abs=0.5)
    assert low_limit(replace(chip, flux_factor=2.0), 4.0) == pytest.approx(50.0 - 4.0 * 7.0, abs=0.5)


def test_flagged_pixels_do_not_enter_the_statistics(tmp_path: Path) -> None:
    image, flags = noise(5), np.zeros(SHAPE)
    image[:, :150] = noise(6, 500.0)[:, :150]
    flags[:, :150] = 64
    (chip,) = open_exposure(tmp_path / "a_flt.fits", [image], flags=[flags])
    assert low_limit(chip, 4.0) == pytest.approx(22.0, abs=0.6)
    (all_flagged,) = open_exposure(tmp_path / "b_flt.fits", [noise(5)], flags=[np.full(SHAPE, 64)])
    assert low_limit(all_flagged, 4.0) == pytest.approx(22.0, abs=0.6)


@pytest.mark.parametrize("image", [np.full(SHAPE, np.nan), np.full(SHAPE, 3.0), np.zeros(SHAPE)])
def test_a_chip_without_statistics_takes_no_part(tmp_path: Path, image: np.ndarray) -> None:
    (empty,) = open_exposure(tmp_path / "a_flt.fits", [image])
    assert low_limit(empty, 4.0) is None
    assert static_mask([empty], StaticMaskParameters()).count() == 0
    low = noise(7)
    low[3, 4] = -500.0
    (other,) = open_exposure(tmp_path / "b_flt.fits", [low])
    assert static_mask([empty, other], StaticMaskParameters()).rows(3, 4)[0, 4]


def test_photon_counters_have_no_low_pixels(tmp_path: Path) -> None:
    (chip,) = open_exposure(tmp_path / "a_flt.fits", [np.random.default_rng(1).poisson(0.02, SHAPE)])
    assert static_mask([chip], StaticMaskParameters()).count() == 0


def test_signatures_tell_subarrays_and_chips_apart(tmp_path: Path) -> None:
    images = [noise(1), noise(2)]
    here = open_exposure(tmp_path / "a_flt.fits", images, headers={"LTV1": 0.0, "LTV2": -100.0})
    same = open_exposure(tmp_path / "b_flt.fits", images, headers={"LTV1": 0.0, "LTV2": -100.0})
    moved = open_exposure(tmp_path / "c_flt.fits", images, headers={"LTV1": 0.0, "LTV2": -200.0})
    centred = open_exposure(tmp_path / "d_flt.fits", images, headers={"CENTERA1": 500, "CENTERA2": 1000})
    other = open_exposure(tmp_path / "e_flt.fits", images, primary={"DETECTOR": "HRC"})
    assert signature(here[0]) == Signature("ACS/WFC", SHAPE, 1, (0.0, -100.0)) == signature(same[0])
    assert signature(centred[1]).place == (500.0, 1000.0)
    masks = static_masks([here, same, moved, centred, other], StaticMaskParameters())
    assert len(masks) == 8
    assert chip_mask(masks, same[1]) is masks[signature(here[1])]
    assert chip_mask({}, same[1]) is None


def test_not_enabled(tmp_path: Path) -> None:
    exposures = [open_exposure(tmp_path / "a_flt.fits", [noise(1)])]
    assert static_masks(exposures, StaticMaskParameters(enabled=False)) == {}


def test_threads_do_not_change_masks(tmp_path: Path) -> None:
    exposures = [open_exposure(tmp_path / f"{i}_flt.fits", [noise(i), noise(9 + i)]) for i in range(2)]
    one, three = (static_masks(exposures, StaticMaskParameters(sigma=1.5), threads) for threads in (1, 3))
    assert list(one) == list(three)
    for name, mask in one.items():
        assert mask.count() > 100
        assert np.array_equal(mask.bits, three[name].bits)


def test_a_sample_is_a_lattice_of_good_pixels(tmp_path: Path) -> None:
    shape = (900, 2600)
    image = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    flags = np.zeros(shape)
    flags[:, 1::3] = 16
    image[10] = np.nan
    masked = np.zeros(shape, dtype=np.bool_)
    masked[:, :400] = True
    (chip,) = open_exposure(tmp_path / "a_flt.fits", [image], flags=[flags])
    sample = sample_chip(chip, 0, [None, PackedMask.of(masked)], lower=50_000.0, upper=2e6)
    x, y = sample.positions()
    assert sample.step == 3
    assert np.array_equal(image[y.astype(int), x.astype(int)], sample.values)
    assert ((x - 1) % 3 == 0).all()
    assert sample.values.size == 0  # every third column, and just that one is flagged
    free = sample_chip(chip, None, [None, PackedMask.of(masked)], lower=50_000.0, upper=2e6)
    x, y = free.positions()
    assert np.array_equal(image[y.astype(int), x.astype(int)], free.values)
    assert x.min() >= 400
    assert 50_000.0 <= free.values.min() < free.values.max() <= 2e6
    assert 10 not in y
    assert sample_chip(chip, None, fewest=10**9).step == 1


@pytest.mark.parametrize(
    ("name", "limit", "rms"),
    [
        ("j8bt05njq", -450.99, 118.92),
        ("j8bt06nyq", -1628.1, 445.20),
        ("j8bt06o6q", -1207.7, 319.99),
        ("j8bt09jcq", -44.93, 11.761),
    ],
)
def test_limits_of_real_frames_are_near_those_of_astrodrizzle(name: str, limit: float, rms: float) -> None:
    """What drizzlepac 3.11 finds; it counts flagged pixels (saturated stars) too, which are many here."""
    with ExposureImage(data_file(f"hrc_47tuc/{name}_flt.fits")) as exposure:
        pixels = exposure.chips[0]
        chip = PreparedChip(pixels, plain_chip(pixels.shape))
        assert low_limit(chip, 4.0) == pytest.approx(limit, abs=0.6 * rms)
        assert static_mask([chip], StaticMaskParameters()).count() == 0  # as there
