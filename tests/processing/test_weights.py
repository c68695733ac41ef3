"""Weights: what each kind says, that exposures of different length combine right, and what has no weight."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.drizzle import drizzle_image
from hapctl.processing.imaging.parameters import FinalParameters, WeightScale, WeightType
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.weights import MapWeight, ModelWeight, open_map, weighted
from hypothesis import given, settings
from hypothesis import strategies as st
from support.prepared_chips import READ_NOISE, grid_for, prepared_chip
from support.synthetic_chips import plain_chip

SHAPE = (12, 14)


def block(chip: PreparedChip) -> np.ndarray:
    """All weights of a chip, as the drizzle reads them."""
    return chip.rows(0)(0, chip.shape[0])[1]


def flat_chip(folder: Path, electrons: float = 50.0, **options: object) -> PreparedChip:
    return prepared_chip(folder, np.full(SHAPE, electrons), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("scale", "weight"), [("exptime", 30.0), ("expsq", 900.0), ("number", 1.0)])
def test_exposure_weights_are_what_they_say(tmp_path: Path, scale: WeightScale, weight: float) -> None:
    chip = flat_chip(tmp_path, time=30.0)
    assert (block(weighted(chip, FinalParameters(weight_scale=scale), grid_for(chip))) == weight).all()


@pytest.mark.parametrize(("scale", "power"), [("exptime", 1), ("expsq", 2), ("number", 0)])
def test_mixed_exposure_times_are_averaged_by_their_weights(
    tmp_path: Path, scale: WeightScale, power: int
) -> None:
    short = flat_chip(tmp_path, 20.0, name="short", time=10.0, context_bit=0)  # 2 per second
    long = flat_chip(tmp_path, 120.0, name="long", time=40.0, context_bit=1)  # 3 per second
    grid = grid_for(short)
    final = FinalParameters(weight_scale=scale)
    image = drizzle_image([weighted(chip, final, grid).drizzle_input(0) for chip in (short, long)], grid)
    inside = (slice(3, -3), slice(3, -3))
    expected = (2.0 * 10**power + 3.0 * 40**power) / (10**power + 40**power)
    assert image.sci[inside] == pytest.approx(np.full_like(image.sci[inside], expected), rel=1e-5)
    assert image.wht[inside] == pytest.approx(
        np.full_like(image.wht[inside], 10**power + 40**power), rel=1e-5
    )


def test_error_weights_are_inverse_variances_of_the_rate(tmp_path: Path) -> None:
    error = np.linspace(1.0, 20.0, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    chip = flat_chip(tmp_path, time=30.0, error=error)
    for ratio in (0.5, 1.0, 2.0):
        found = block(weighted(chip, FinalParameters(weight="ERR"), grid_for(chip, ratio)))
        assert np.allclose(found, (30.0 / error) ** 2 / ratio**4, rtol=1e-6)


def test_an_error_that_is_none_has_no_weight(tmp_path: Path) -> None:
    error = np.full(SHAPE, 4.0)
    bad = [(1, 2), (3, 4), (5, 6), (7, 8)]
    for place, value in zip(bad, (0.0, -1.0, np.nan, np.inf), strict=True):
        error[place] = value
    chip = flat_chip(tmp_path, error=error)
    values, weights = weighted(chip, FinalParameters(weight="ERR"), grid_for(chip)).rows(0)(0, SHAPE[0])
    none = np.zeros(SHAPE, dtype=bool)
    none[tuple(zip(*bad, strict=True))] = True
    assert not values[none].any()
    assert not weights[none].any()
    assert (weights[~none] > 0).all()


def test_errors_of_count_rates_are_those_of_electrons(tmp_path: Path) -> None:
    electrons = flat_chip(tmp_path, 60.0, name="e", time=30.0, error=np.full(SHAPE, 6.0))
    rates = flat_chip(tmp_path, 2.0, name="r", time=30.0, error=np.full(SHAPE, 0.2), unit="ELECTRONS/S")
    grid = grid_for(electrons)
    final = FinalParameters(weight="ERR")
    assert np.allclose(
        block(weighted(electrons, final, grid)), block(weighted(rates, final, grid)), rtol=1e-5
    )


def test_no_error_extension_is_refused(tmp_path: Path) -> None:
    chip = flat_chip(tmp_path)
    with pytest.raises(UnusableFileError, match="ERR") as caught:
        block(weighted(chip, FinalParameters(weight="ERR"), grid_for(chip)))
    assert "EXP" in str(caught.value.remedy)


def test_the_model_is_that_of_an_empty_pixel(tmp_path: Path) -> None:
    chip = flat_chip(tmp_path, time=30.0, sky=3.0, sky_total=11.0)
    found = block(weighted(chip, FinalParameters(weight="IVM"), grid_for(chip, 0.5)))
    assert np.allclose(found, 30.0**2 / (11.0 + READ_NOISE**2) / 0.5**4, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    flat=st.floats(0.1, 3.0),
    sky=st.floats(0.0, 1e4),
    dark=st.floats(0.0, 0.1),
    factor=st.floats(0.5, 2.0),
)
def test_the_model_with_a_flat_field(
    tmp_path_factory: pytest.TempPathFactory, flat: float, sky: float, dark: float, factor: float
) -> None:
    chip = flat_chip(tmp_path_factory.mktemp("flat"), sky_total=sky * factor, flux_factor=factor)
    maker = ModelWeight(grid_for(chip), lambda a, b: np.full((b - a, SHAPE[1]), flat, np.float32), dark)
    expected = flat**2 / (dark * 100.0 + sky * flat + READ_NOISE**2) * (100.0 / factor) ** 2
    assert np.allclose(block(replace(chip, weights=maker)), expected, rtol=1e-4)


def test_a_dead_pixel_of_the_flat_field_has_no_weight(tmp_path: Path) -> None:
    flat = np.ones(SHAPE, dtype=np.float32)
    flat[2, 3], flat[4, 5], flat[6, 7] = 0.0, np.nan, -1.0
    chip = flat_chip(tmp_path, sky=4.0)
    found = block(replace(chip, weights=ModelWeight(grid_for(chip), lambda a, b: flat[a:b])))
    assert (found == 0).sum() == 3


@pytest.mark.parametrize("kind", ["EXP", "IVM"])
def test_no_weight_depends_on_the_value_of_a_pixel(tmp_path: Path, kind: WeightType) -> None:
    science = np.random.default_rng(1).normal(50.0, 30.0, SHAPE)
    chip = prepared_chip(tmp_path, science, sky=50.0, sky_total=50.0, error=np.abs(science) + 1.0)
    assert np.unique(block(weighted(chip, FinalParameters(weight=kind), grid_for(chip)))).size == 1


def test_no_noise_known_is_refused(tmp_path: Path) -> None:
    chip = flat_chip(tmp_path, read_noise=0.0)
    with pytest.raises(UnusableFileError, match="neither read noise nor sky"):
        block(weighted(chip, FinalParameters(weight="IVM"), grid_for(chip)))


@pytest.mark.parametrize("ratio", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("kind", ["ERR", "IVM"])
def test_weight_is_the_inverse_variance_of_sci(tmp_path: Path, kind: WeightType, ratio: float) -> None:
    """Drops far smaller than a pixel: no correlation, so the noise seen must be that of WHT."""
    rng = np.random.default_rng(2)
    shape, sky = (300, 310), 40.0
    chips = []
    for number, time in enumerate((20.0, 200.0)):
        electrons = rng.poisson(sky, shape) + rng.normal(0.0, READ_NOISE, shape)
        error = np.full(shape, np.sqrt(sky + READ_NOISE**2))
        chips.append(
            prepared_chip(
                tmp_path,
                electrons,
                name=f"n{number}",
                time=time,
                error=error,
                sky=sky,
                sky_total=sky,
                context_bit=number,
                wcs=plain_chip(shape, angle_deg=20.0),
            )
        )
    grid = grid_for(chips[0], ratio)
    final = FinalParameters(weight=kind)
    image = drizzle_image(
        [weighted(chip, final, grid).drizzle_input(0) for chip in chips], grid, pixfrac=0.01
    )
    whole = (20.0**2 + 200.0**2) / (sky + READ_NOISE**2) / ratio**4
    seen = image.wht > 0.99 * whole  # not what a drop on an edge left to both sides
    scatter = float(np.mean(image.sci[seen] ** 2 * image.wht[seen]))
    assert scatter == pytest.approx(1.0, abs=5 * np.sqrt(2.0 / seen.sum()) + 0.01)


def test_a_map_of_the_user(tmp_path: Path) -> None:
    inverse = np.random.default_rng(3).uniform(0.0, 0.1, SHAPE).astype(np.float32)
    inverse[0, 0], inverse[1, 1], inverse[2, 2], inverse[3, 3] = 0.0, np.nan, -1.0, np.inf
    path = tmp_path / "ivm.fits"
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 3))), fits.ImageHDU(inverse, name="IVM", ver=2)]
    fits.HDUList(hdus).writeto(path)
    chip = flat_chip(tmp_path, time=30.0)
    rows = open_map(path, 2, SHAPE, chips=2)
    found = block(weighted(chip, FinalParameters(weight="IVM"), grid_for(chip, 0.5), rows))
    usable = np.isfinite(inverse) & (inverse > 0)
    assert np.allclose(found[usable], inverse[usable] * 30.0**2 / 0.5**4, rtol=1e-5)
    assert (~usable).sum() == 4
    assert not found[~usable].any()
    with pytest.raises(UnusableFileError, match="IVM,1"):
        open_map(path, 1, SHAPE, chips=2)
    with pytest.raises(UnusableFileError, match="pixels"):
        open_map(path, 2, (5, 5), chips=2)


def test_a_plain_image_is_a_map_for_one_chip(tmp_path: Path) -> None:
    path = tmp_path / "plain.fits"
    fits.PrimaryHDU(np.full(SHAPE, 0.5, np.float32)).writeto(path)
    chip = flat_chip(tmp_path)
    maker = MapWeight(grid_for(chip), open_map(path, 1, SHAPE))
    assert np.allclose(block(replace(chip, weights=maker)), 0.5 * 100.0**2)
    with pytest.raises(UnusableFileError, match="IVM,1"):
        open_map(path, 1, SHAPE, chips=2)


def test_no_map_at_all(tmp_path: Path) -> None:
    (tmp_path / "no.fits").write_text("not a file of images")
    with pytest.raises(UnusableFileError, match="cannot be read"):
        open_map(tmp_path / "no.fits", 1, SHAPE)
