"""The sky of exposures by every method, and skies that users give."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.parameters import SkyParameters, Statistic
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.sky import ChipSky, measure_skies
from hapctl.processing.imaging.static_mask import StaticMaskParameters, static_masks
from support.data import data_file
from support.sky_exposures import open_exposure
from support.synthetic_chips import plain_chip

SHAPE = (300, 400)
CHIPS = [plain_chip(SHAPE, scale_arcsec=0.04), plain_chip(SHAPE, scale_arcsec=0.02)]


def noise(level: float, sigma: float = 5.0, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(level, sigma, SHAPE).astype(np.float32)


def exposure(folder: Path, name: str, levels: tuple[float, ...], time: float = 100.0) -> list[PreparedChip]:
    images = [noise(level, seed=i) for i, level in enumerate(levels)]
    return open_exposure(folder / name, images, CHIPS[: len(levels)], primary={"EXPTIME": time})


def two_exposures(folder: Path) -> list[list[PreparedChip]]:
    return [exposure(folder, "a_flt.fits", (40.0, 12.0)), exposure(folder, "b_flt.fits", (90.0, 20.0))]


def subtracted(skies: list[list[ChipSky]]) -> list[list[float]]:
    return [[chip.subtract for chip in chips] for chips in skies]


def test_faintest_chip_of_each_exposure(tmp_path: Path) -> None:
    exposures = [
        exposure(tmp_path, "a_flt.fits", (40.0, 12.0)),
        exposure(tmp_path, "b_flt.fits", (90.0, 20.0)),
    ]
    found = measure_skies(exposures, SkyParameters())
    assert subtracted(found)[0] == pytest.approx([40.0, 10.0], abs=0.1)  # a pixel of a quarter of the area
    assert subtracted(found)[1] == pytest.approx([80.0, 20.0], abs=0.2)
    assert [sky.level for sky in found[0]] == pytest.approx([40.0, 12.0], abs=0.1)
    assert [sky.sigma for sky in found[0]] == pytest.approx([5.0, 5.0], rel=0.03)
    assert [sky.taken for sky in found[0]] == [sky.subtract for sky in found[0]]
    assert found[0][0].pixels > 0.99 * SHAPE[0] * SHAPE[1]
    assert found[0][0].why == "faintest chip"


def test_faintest_of_all_is_compared_per_second(tmp_path: Path) -> None:
    exposures = [
        exposure(tmp_path, "a_flt.fits", (40.0, 12.0), 100.0),
        exposure(tmp_path, "b_flt.fits", (60.0, 25.0), 200.0),
    ]
    found = subtracted(measure_skies(exposures, SkyParameters(method="globalmin")))
    assert found[0] == pytest.approx([30.0, 7.5], abs=0.1)
    assert found[1] == pytest.approx([60.0, 15.0], abs=0.1)


@pytest.mark.parametrize("statistic", ["mode", "median", "mean"])
def test_statistics_and_limits(tmp_path: Path, statistic: Statistic) -> None:
    image = noise(30.0)
    image[::2] += 400.0
    exposures = [open_exposure(tmp_path / "a_flt.fits", [image])]
    limited = SkyParameters(statistic=statistic, lower=0.0, upper=100.0)
    assert subtracted(measure_skies(exposures, limited))[0] == pytest.approx([30.0], abs=0.2)
    unlimited = SkyParameters(statistic="mean")
    assert subtracted(measure_skies(exposures, unlimited))[0] == pytest.approx([230.0], abs=0.2)


def test_clipping_follows_its_parameters(tmp_path: Path) -> None:
    image = noise(30.0)
    image[np.random.default_rng(5).random(SHAPE) < 0.02] = 500.0
    exposures = [open_exposure(tmp_path / "a_flt.fits", [image])]
    clipped, unclipped = (
        measure_skies(exposures, SkyParameters(statistic="mean", clip=clip))[0][0] for clip in (5, 0)
    )
    assert clipped.level == pytest.approx(30.0, abs=0.1)
    assert unclipped.level == pytest.approx(30.0 + 0.02 * 470.0, abs=0.5)
    low = measure_skies(exposures, SkyParameters(statistic="mean", upper_sigma=1.0))[0][0]
    assert low.level < clipped.level - 0.5


def test_bad_pixels_do_not_count(tmp_path: Path) -> None:
    image, flags = noise(50.0), np.zeros(SHAPE)
    flags[:, 100:200] = 16
    image[:, 100:200] = 60.0
    image[::7, ::3] = np.nan
    (chip,) = open_exposure(tmp_path / "a_flt.fits", [image], flags=[flags])
    strict = SkyParameters(statistic="mean", clip=0)
    assert measure_skies([[chip]], strict)[0][0].level == pytest.approx(50.0, abs=0.1)
    assert measure_skies([[chip]], replace(strict, bits="16"))[0][0].level == pytest.approx(52.5, abs=0.1)
    assert measure_skies([[chip]], replace(strict, bits=None))[0][0].level == pytest.approx(52.5, abs=0.1)
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[:, 100:200] = True
    masked = replace(chip, static=PackedMask.of(mask))
    everything = replace(strict, bits=None)
    assert measure_skies([[masked]], everything)[0][0].level == pytest.approx(50.0, abs=0.1)
    used = replace(everything, use_static_mask=False)
    assert measure_skies([[masked]], used)[0][0].level == pytest.approx(52.5, abs=0.1)
    hit = replace(chip, hits=PackedMask.of(mask))
    assert measure_skies([[hit]], used)[0][0].level == pytest.approx(50.0, abs=0.1)


def test_static_masks_are_looked_up(tmp_path: Path) -> None:
    image = noise(50.0)
    image[:60] = -400.0
    exposures = [open_exposure(tmp_path / "a_flt.fits", [image])]
    masks = static_masks(exposures, StaticMaskParameters(sigma=1.0))
    parameters = SkyParameters(statistic="mean", clip=0)
    with_masks = measure_skies(exposures, parameters, static_masks=masks)[0][0]
    assert with_masks.level > 45.0
    assert measure_skies(exposures, parameters)[0][0].level < 0.0
    assert (
        measure_skies(exposures, replace(parameters, use_static_mask=False), static_masks=masks)[0][0].level
        < 0
    )


def test_equalised_chips(tmp_path: Path) -> None:
    ((chip,),) = [exposure(tmp_path, "a_flt.fits", (40.0,))]
    assert measure_skies([[replace(chip, flux_factor=1.1)]], SkyParameters())[0][0].subtract == pytest.approx(
        44.0, abs=0.1
    )


@pytest.mark.parametrize("method", ["localmin", "globalmin", "match", "globalmin+match"])
def test_nothing_to_measure(tmp_path: Path, method: str) -> None:
    exposures = [open_exposure(tmp_path / f"{i}_flt.fits", [np.full(SHAPE, np.nan)]) for i in range(2)]
    for chips in measure_skies(exposures, SkyParameters(method=method)):  # type: ignore[arg-type]
        assert (chips[0].subtract, chips[0].level, chips[0].pixels) == (0.0, 0.0, 0)
        assert "no pixel" in chips[0].why
    assert measure_skies([], SkyParameters(method=method)) == []  # type: ignore[arg-type]


def test_a_masked_chip_takes_the_sky_of_the_other(tmp_path: Path) -> None:
    images, flags = [noise(40.0), noise(5.0)], [np.zeros(SHAPE), np.full(SHAPE, 8)]
    chips = open_exposure(tmp_path / "a_flt.fits", images, CHIPS, flags=flags)
    found = measure_skies([chips], SkyParameters())
    assert subtracted(found)[0] == pytest.approx([40.0, 10.0], abs=0.1)
    assert "no pixel of this chip" in found[0][1].why


def test_match_of_one_exposure_leaves_its_sky(tmp_path: Path) -> None:
    exposures = [exposure(tmp_path, "a_flt.fits", (40.0,))]
    ((sky,),) = measure_skies(exposures, SkyParameters(method="match"))
    assert (sky.subtract, sky.taken) == (0.0, 0.0)
    assert sky.level == pytest.approx(40.0, abs=0.1)
    assert "no overlap" in sky.why
    ((sky,),) = measure_skies(exposures, SkyParameters(method="globalmin+match"))
    assert sky.subtract == pytest.approx(40.0, abs=0.1)


def test_not_enabled(tmp_path: Path) -> None:
    exposures = [exposure(tmp_path, "a_flt.fits", (40.0, 12.0))]
    assert subtracted(measure_skies(exposures, SkyParameters(enabled=False))) == [[0.0, 0.0]]


def test_sky_in_the_header(tmp_path: Path) -> None:
    path, images = tmp_path / "a_flt.fits", [noise(40.0), noise(30.0)]
    cards = {"MYSKY": 0.25, "BUNIT": "ELECTRONS/S"}
    chips = open_exposure(path, images, CHIPS, headers=cards, primary={"PRISKY": 3, "TEXT": "x"})
    found = measure_skies([chips], SkyParameters(user_keyword="MYSKY"))
    assert subtracted(found) == [[25.0, 25.0]]  # 0.25 electrons a second in 100 s
    assert found[0][0].taken == found[0][0].level == 25.0
    assert subtracted(measure_skies([chips], SkyParameters(user_keyword="PRISKY"))) == [[300.0, 300.0]]
    before = measure_skies([chips], SkyParameters(enabled=False, user_keyword="MYSKY"))
    assert subtracted(before) == [[0.0, 0.0]]
    assert before[0][1].taken == 25.0
    with pytest.raises(UnusableFileError, match=r"a_flt.fits\[SCI,1\]: no keyword NOSKY"):
        measure_skies([chips], SkyParameters(user_keyword="NOSKY"))
    with pytest.raises(UnusableFileError, match="TEXT = 'x' is no sky"):
        measure_skies([chips], SkyParameters(user_keyword="TEXT"))


def test_sky_file(tmp_path: Path) -> None:
    exposures = [
        exposure(tmp_path, "a_flt.fits", (40.0, 12.0)),
        exposure(tmp_path, "b_flt.fits", (90.0, 20.0)),
    ]
    table = tmp_path / "sky.txt"
    table.write_text(
        "# my skies\n\nsomewhere/a_flt.fits 7.5\nb_flt.fits  1 -2e1\nother.fits 3\n", encoding="utf-8"
    )
    parameters = SkyParameters(file=str(table))
    assert subtracted(measure_skies(exposures, parameters)) == [[7.5, 7.5], [1.0, -20.0]]
    table.write_text("# applied = yes\na_flt.fits 7.5\nb_flt.fits 1\n", encoding="utf-8")
    found = measure_skies(exposures, parameters)
    assert subtracted(found) == [[0.0, 0.0], [0.0, 0.0]]
    assert [sky.taken for sky in found[0]] == [7.5, 7.5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("b_flt.fits 3\n", "no row for a_flt.fits"),
        ("a_flt.fits 3 4 5\n", "3 values for a_flt.fits, which has 2 chips"),
        ("a_flt.fits\n", "line 1: 'nothing' after the file name"),
        ("\na_flt.fits three\n", "line 2: 'three' after the file name"),
        ("a_flt.fits nan\n", "line 1: 'nan'"),
        ("a_flt.fits 1\nx/a_flt.fits 2\n", "line 2: a_flt.fits comes twice"),
        (None, "cannot be read as a sky file"),
        (b"\xff\xfe\x00", "cannot be read as a sky file"),
    ],
)
def test_bad_sky_files(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    exposures = [exposure(tmp_path, "a_flt.fits", (40.0, 12.0))]
    table = tmp_path / "sky.txt"
    if content is not None:
        table.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageProblemError, match=message) as raised:
        measure_skies(exposures, SkyParameters(file=str(table)))
    assert "sky.txt" in raised.value.message
    assert raised.value.remedy


def test_keyword_and_file_exclude_each_other(tmp_path: Path) -> None:
    exposures = [exposure(tmp_path, "a_flt.fits", (40.0,))]
    with pytest.raises(UsageProblemError, match="both"):
        measure_skies(exposures, SkyParameters(file="x", user_keyword="Y"))


@pytest.mark.parametrize(
    ("name", "median", "mean"),
    [
        ("j8bt05njq", 46.0, 79.0823),
        ("j8bt06nyq", 230.1465, 375.3196),
        ("j8bt06o6q", 144.0, 242.4518),
        ("j8bt09jcq", 4.0, 5.66921),
    ],
)
def test_real_frames_give_what_astrodrizzle_finds(name: str, median: float, mean: float) -> None:
    """Medians and means of drizzlepac 3.11 with its default clipping, in electrons."""
    with ExposureImage(data_file(f"hrc_47tuc/{name}_flt.fits")) as image:
        pixels = image.chips[0]
        exposures = [[PreparedChip(pixels, plain_chip(pixels.shape))]]
        for statistic, expected in (("median", median), ("mean", mean)):
            parameters = SkyParameters(statistic=statistic)  # type: ignore[arg-type]
            assert measure_skies(exposures, parameters)[0][0].subtract == pytest.approx(expected, rel=1e-4)
