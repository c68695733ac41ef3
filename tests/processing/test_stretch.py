"""Colour: flux scales make it true, unknown parts are grey, filters stand in order of wavelength."""

import colorsys

import numpy as np
import pytest
from hapctl.processing.imaging.avm import colours_of
from hapctl.processing.imaging.pivot_wavelengths import pivot_nm, spectral_band
from hapctl.processing.imaging.stretch import channel_weights, colour, colour_levels

SHAPE = (120, 120)


def field(brightness: float, seed: int, noise: float = 1.0) -> np.ndarray:
    """A star in the middle of noise, and some others that make it ordinary."""
    image = np.random.default_rng(seed).normal(0.0, noise, SHAPE)
    y, x = np.mgrid[0:120, 0:120]
    for row, column in [(60, 60), (20, 20), (20, 100), (100, 20), (100, 100)]:
        image += brightness * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8.0)
    return image


def pixel(images: list[np.ndarray], scales: list[float | None], at: tuple[int, int] = (60, 60)) -> np.ndarray:
    levels = colour_levels(images, scales)
    return colour(images, levels)[at].astype(float)


def test_equal_flux_is_white_whatever_the_sensitivities() -> None:
    bright, faint = field(900.0, 1), field(90.0, 2, 0.1)
    red, green, blue = pixel([bright, faint], [1.0, 10.0])
    assert min(red, green, blue) > 0.9 * max(red, green, blue)


@pytest.mark.parametrize(("ratio", "hue"), [(3.0, "red"), (1 / 3.0, "blue")])
def test_colour_follows_the_ratio_of_fluxes(ratio: float, hue: str) -> None:
    short, long = field(300.0, 1), field(300.0 * ratio, 2)
    red, green, blue = pixel([short, long], [1.0, 1.0])
    assert (red > green > blue) if hue == "red" else (blue > green > red)


@pytest.mark.parametrize("scales", [[None, None], [1.0, None]])
def test_without_photometry_filters_are_balanced(scales: list[float | None]) -> None:
    images = [field(900.0, 1), field(30.0, 2, 0.03)]
    levels = colour_levels(images, scales)
    assert not levels.calibrated
    shown = colour(images, levels)[60, 60].astype(float)
    assert shown.min() > 0.85 * shown.max()


def test_a_star_keeps_its_hue_up_to_saturation() -> None:
    """Lupton et al. (2004): clipping by the brightest channel keeps the colour of bright sources."""
    hues = []
    for factor in (0.3, 1.0, 30.0):
        images = [field(300.0, 1), field(600.0, 2)]
        levels = colour_levels(images, [1.0, 1.0])
        centre = [np.full((1, 1), 300.0 * factor), np.full((1, 1), 600.0 * factor)]
        hues.append(colorsys.rgb_to_hsv(*colour(centre, levels)[0, 0].astype(float))[0])
    assert np.ptp(hues) < 0.02


def test_where_a_filter_is_unknown_the_picture_is_grey() -> None:
    short, long = field(300.0, 1), field(900.0, 2)
    short[:, :50] = np.nan
    long[:10] = np.nan
    shown = colour([short, long], colour_levels([short, long], [1.0, 1.0]))
    assert not shown[:10, :50].any()  # nothing known
    assert (np.ptp(shown[10:, :50].astype(int), axis=-1) == 0).all()
    assert (np.ptp(shown[:10, 50:].astype(int), axis=-1) == 0).all()
    assert shown[100, 20].max() > 200
    assert np.ptp(shown[60, 60].astype(int)) > 30


def test_a_sky_of_noise_is_grey_on_average() -> None:
    images = [field(300.0, 1, 1.0), field(300.0, 2, 2.0), field(300.0, 3, 3.0)]
    shown = colour(images, colour_levels(images, [1.0, 1.0, 1.0]))[30:50, 30:90]
    means = shown.reshape(-1, 3).mean(axis=0)
    assert means.max() < 80
    assert np.ptp(means) < 0.35 * means.max()


def test_a_filter_of_much_noise_is_turned_down_and_told() -> None:
    images = [field(300.0, 1, 50.0), field(300.0, 2), field(300.0, 3)]
    levels = colour_levels(images, [1.0, 1.0, 1.0])
    assert levels.turned_down == (True, False, False)
    assert levels.gain[0] < 0.2
    assert levels.gain[1:] == (1.0, 1.0)


def test_nothing_known_in_any_filter_is_black() -> None:
    empty = np.full((5, 5), np.nan)
    assert not colour([empty, empty], colour_levels([empty, empty], [1.0, 1.0])).any()


@pytest.mark.parametrize("number", [2, 3, 4, 5, 7])
def test_every_channel_gets_one_share_from_the_right_end(number: int) -> None:
    weights = channel_weights(number)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all()
    centres = weights @ np.arange(number)
    assert centres[0] > centres[1] > centres[2]
    assert len(colours_of(number)) == number
    assert (colours_of(number)[0], colours_of(number)[-1]) == ("Blue", "Red")


def test_wavelengths_put_filters_in_order() -> None:
    wfc3 = [("F225W", "UVIS"), ("F606W", "UVIS"), ("F814W", "UVIS"), ("f850lp", "UVIS")]
    wfc3 += [("F098M", "IR"), ("F110W", "IR"), ("F160W", "IR"), ("F167N", "IR")]
    values = [pivot_nm(*one) for one in wfc3]
    assert values == sorted(values)
    assert pivot_nm("F200LP", "UVIS") == pytest.approx(497.0)
    assert pivot_nm("F115LP", "SBC") == pytest.approx(141.0)
    assert pivot_nm("F606W;POL0V", "WFC") == pytest.approx(592.0)
    assert pivot_nm("F999W", "WFC") == pytest.approx(999.0)
    assert pivot_nm("F606W", "WFC", 5921.9) == pytest.approx(592.19)
    assert pivot_nm("detection", "WFC") == 0.0


def test_bands_of_the_spectrum() -> None:
    assert [spectral_band(nm) for nm in (141, 336, 433, 692, 805, 1537)] == [
        "Ultraviolet",
        "Ultraviolet",
        "Optical",
        "Optical",
        "Infrared",
        "Infrared",
    ]
