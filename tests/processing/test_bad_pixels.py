"""The table of the README: what happens to NaN, flagged, masked, saturated and weightless pixels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.imaging import (
    DrizzleParameters,
    FinalParameters,
    PackedMask,
    PreparedChip,
    compare_exposures,
    drizzle_exposures,
)
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.grid import north_up_grid
from support.prepared_chips import READ_NOISE, prepared_chip
from support.synthetic_chips import plain_chip

SHAPE = (31, 35)
BAD = (slice(11, 20), slice(13, 22))
TIME = 100.0
KERNELS = ("square", "point", "turbo", "gaussian", "lanczos2", "lanczos3")


def electrons(value: float = 200.0) -> np.ndarray:
    return np.full(SHAPE, value)


def drizzled(chips: list[PreparedChip], **final: object) -> Band:
    """The whole product of exposures of one chip each, on pixels of its own scale."""
    grid = north_up_grid([plain_chip(SHAPE)], 0.05)
    parameters = DrizzleParameters(final=FinalParameters(**final))  # type: ignore[arg-type]
    (band,) = drizzle_exposures([[chip] for chip in chips], grid, parameters, band_rows=grid.shape[0])
    return band


def bad_value(value: float) -> Callable[[Path], PreparedChip]:
    def make(folder: Path) -> PreparedChip:
        science = electrons()
        science[BAD] = value
        return prepared_chip(folder, science)

    return make


def flagged(flag: int) -> Callable[[Path], PreparedChip]:
    def make(folder: Path) -> PreparedChip:
        science, quality = electrons(), np.zeros(SHAPE)
        science[BAD], quality[BAD] = 9e4, flag
        return prepared_chip(folder, science, quality=quality)

    return make


def masked(field: str) -> Callable[[Path], PreparedChip]:
    def make(folder: Path) -> PreparedChip:
        science, mask = electrons(), np.zeros(SHAPE, dtype=np.bool_)
        science[BAD], mask[BAD] = 9e4, True
        return replace(prepared_chip(folder, science), **{field: PackedMask.of(mask)})

    return make


def weighing(weight: float) -> Callable[[Path], PreparedChip]:
    def make(folder: Path) -> PreparedChip:
        science = electrons()
        science[BAD] = 9e4
        weights = np.full(SHAPE, 5.0, np.float32)
        weights[BAD] = weight
        chip = prepared_chip(folder, science)
        return replace(chip, weights=lambda chip, y0, y1, x0, x1: weights[y0:y1, x0:x1])

    return make


LEFT_OUT = {
    "NaN": bad_value(np.nan),
    "infinite": bad_value(np.inf),
    "minus infinite": bad_value(-np.inf),
    "flagged": flagged(4),
    "saturated": flagged(256),
    "hit": masked("hits"),
    "static": masked("static"),
    "weight 0": weighing(0.0),
    "weight below 0": weighing(-3.0),
    "weight NaN": weighing(np.nan),
    "weight infinite": weighing(np.inf),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_contributes_nothing(tmp_path: Path, name: str, kernel: str) -> None:
    """The product is that of the chip without these pixels, and its values are those of the others."""
    band = drizzled([LEFT_OUT[name](tmp_path)], kernel=kernel)
    nothing = band.wht == 0
    inside = np.zeros(nothing.shape, dtype=np.bool_)
    inside[6:-6, 6:-6] = True
    assert 0 < (nothing & inside).sum() <= 11 * 11  # of 9 x 9 pixels
    assert np.isnan(band.sci[nothing]).all()
    assert not band.ctx[0][nothing].any()
    assert band.var is not None
    assert np.isnan(band.var[nothing]).all()
    assert band.sci[~nothing & inside] == pytest.approx(2.0, rel=2e-5)
    assert (band.ctx[0][~nothing] == 1).all()
    assert (band.var[~nothing] > 0).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_weight_never_overwrites(tmp_path: Path, kernel: str) -> None:
    """Another exposure's pixels stand alone where one has none; whatever comes first."""
    good = prepared_chip(tmp_path, electrons(300.0), name="good", context_bit=0)
    bad = replace(weighing(0.0)(tmp_path), context_bit=1)
    for chips in ([good, bad], [bad, good]):
        band = drizzled(chips, kernel=kernel)
        alone = (band.ctx[0] == 1) & (band.wht > 0)
        assert alone[14:18, 16:20].any()
        assert band.sci[alone] == pytest.approx(3.0, rel=2e-5)


def test_saturated_pixels_can_be_taken(tmp_path: Path) -> None:
    band = drizzled([flagged(256)(tmp_path)], bits="256")
    assert np.nanmax(band.sci) == pytest.approx(900.0, rel=1e-5)
    assert (band.wht[6:-6, 6:-6] > 0).all()


@pytest.mark.parametrize("value", [-7.0, 0.0])
def test_the_fill_value(tmp_path: Path, value: float) -> None:
    band = drizzled([bad_value(np.nan)(tmp_path)], fill_value=value)
    assert (band.sci[band.wht == 0] == value).all()
    assert band.var is not None
    assert np.isnan(band.var[band.wht == 0]).all()


@pytest.mark.parametrize("error", [0.0, -1.0, np.nan, np.inf])
def test_an_error_that_is_none(tmp_path: Path, error: float) -> None:
    """With ERR weights the pixel is out; with others it stays, with the variance of the model."""
    errors = np.full(SHAPE, 10.0)
    errors[BAD] = error
    chip = prepared_chip(tmp_path, electrons(), error=errors)
    out = drizzled([chip], weight="ERR")
    assert (out.wht[6:-6, 6:-6] == 0).any()
    stays = drizzled([chip], pixfrac=0.01)
    inside = stays.wht > 0
    assert stays.sci[inside] == pytest.approx(2.0, rel=2e-5)
    assert stays.var is not None
    model, given = (READ_NOISE**2 + 200.0) / TIME**2, 100.0 / TIME**2
    assert set(np.round(stays.var[inside] / given, 3)) == {1.0, round(model / given, 3)}


def test_a_chip_that_was_not_exposed(tmp_path: Path) -> None:
    good = prepared_chip(tmp_path, electrons(), name="good", context_bit=0)
    dark = replace(good, pixels=replace(good.pixels, exposure_time=0.0), context_bit=1)
    both, alone = drizzled([good, dark]), drizzled([good])
    assert np.array_equal(both.sci, alone.sci, equal_nan=True)
    assert np.array_equal(both.ctx, alone.ctx)
    nothing = drizzled([dark])
    assert np.isnan(nothing.sci).all()
    assert not nothing.wht.any()


def test_nothing_but_masked_pixels(tmp_path: Path) -> None:
    chip = replace(prepared_chip(tmp_path, electrons()), hits=PackedMask.of(np.ones(SHAPE, dtype=np.bool_)))
    band = drizzled([chip])
    assert np.isnan(band.sci).all()
    assert not band.wht.any()
    assert not band.ctx.any()
    assert band.var is not None
    assert np.isnan(band.var).all()


def test_where_one_exposure_sees_alone_nothing_is_tested(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    chips = []
    for number, shift in enumerate((0.0, 12.0)):
        science = rng.normal(200.0, 5.0, SHAPE)
        science[20, 30 - 26 * number] = 5e4  # in the part that no other exposure sees
        science[20, 12] += 2e4 * (number == 0)  # in the common part
        wcs = plain_chip(SHAPE)
        wcs = replace(wcs, crpix=(wcs.crpix[0] + shift - 6.0, wcs.crpix[1]))
        chips.append([prepared_chip(tmp_path, science, name=f"n{number}", wcs=wcs, context_bit=number)])
    found = compare_exposures(chips, DrizzleParameters())
    for number, (hits, untested) in enumerate(zip(found.hits, found.untested, strict=True)):
        alone = untested[0].rows(0, SHAPE[0])
        assert alone[20, 30 - 26 * number]
        assert not (hits[0].rows(0, SHAPE[0]) & alone).any()
        assert 0.2 < alone.mean() < 0.6
    assert found.hits[0][0].rows(20, 21)[0, 12]
