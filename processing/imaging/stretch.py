"""From pixel values to grey levels and colours: asinh above the noise of the sky.

The stretch is that of Lupton et al. (2004, PASP 116, 133): linear up to about three times the noise of the
sky, logarithmic above, up to a white level. Grey takes its dark end from zscale. In colour the filters are
first brought to one scale of energy (`colour_levels`): a source that gives equal energy per octave of
wavelength (flat lambda f_lambda, the same as nu f_nu) is white, redder sources are redder. That is between
flat f_lambda, in which the infrared is faint, and flat f_nu, in which all stars are orange.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
_LINEAR_SIGMAS = 3.0
_PEDESTAL_SIGMAS = 1.0
"""How far below the sky black lies, so that faint structure in it can be seen."""
_WHITE_PERCENTILE = 99.9
_LEAST_RANGE, _MOST_RANGE = 30.0, 2000.0
"""Of white above black, in units of the noise: noise alone must not look like a sky full of stars, nor must a
sky of one value (pixels quantised coarsely) turn its rounding errors into structure."""
_MOST_NOISE = 4.0
"""A filter whose noise on the scale of energy is this many times the least of all is turned down to it."""


@dataclass(frozen=True)
class GreyLevels:
    """Where black, the end of the linear part above it, and white lie, in units of the image."""

    black: float
    linear: float
    white: float


@dataclass(frozen=True)
class ColourLevels:
    """How images of several filters, from short to long wavelengths, become one picture.

    Attributes
    ----------
    black : tuple of float
        What is dark in each filter, in its own units.
    gain : tuple of float
        What each filter is multiplied by.
    linear, white : float
        As in `GreyLevels`, above black, of the mean of red, green and blue.
    calibrated : bool
        The gains are those of the photometry; else the filters are balanced by their bright sources.
    turned_down : tuple of bool
        Filters so noisy that they are shown fainter than they are.
    """

    black: tuple[float, ...]
    gain: tuple[float, ...]
    linear: float
    white: float
    calibrated: bool
    turned_down: tuple[bool, ...]


def grey_levels(image: Floats) -> GreyLevels:
    """Choose the levels of an image: zscale for the dark end, the brightest 0.1 percent for the other.

    Parameters
    ----------
    image : ndarray, float
        NaN where unknown.
    """
    from astropy.visualization import ZScaleInterval

    values = image[np.isfinite(image)]
    if not len(values):
        return GreyLevels(0.0, 1.0, _LEAST_RANGE)
    sky, noise = _sky(values)
    black = min(float(ZScaleInterval().get_limits(values)[0]), sky)
    black = max(black, sky - 3.0 * noise)
    return GreyLevels(black, _LINEAR_SIGMAS * noise, _white(values - black, noise))


def grey(image: Floats, levels: GreyLevels) -> NDArray[np.uint8]:
    """Return grey levels: 0 where nothing is known, else 1 (black) to 255 (white).

    Returns
    -------
    ndarray, shape of ``image``, uint8
    """
    known = np.isfinite(image)
    above = np.clip(np.where(known, image, levels.black) - levels.black, 0.0, levels.white)
    level = np.arcsinh(above / levels.linear) / np.arcsinh(levels.white / levels.linear)
    return np.where(known, 1 + np.rint(254 * level), 0).astype(np.uint8)


def colour_levels(images: Sequence[Floats], scales: Sequence[float | None]) -> ColourLevels:
    """Choose the levels of a colour picture.

    Parameters
    ----------
    images : sequence of ndarray, float
        One for each filter, from short to long wavelength, on one grid; NaN where unknown.
    scales : sequence of float or None
        Energy (lambda f_lambda) of one unit of each image; None without photometry: then all filters are
        balanced so that the medians of their brightest pixels agree.
    """
    skies = [_sky(image[np.isfinite(image)]) for image in images]
    known_scales = [scale for scale in scales if scale is not None]
    calibrated = len(known_scales) == len(images)
    balanced = [1.0 / _brightness(image, sky) for image, (sky, _) in zip(images, skies, strict=True)]
    raw = known_scales if calibrated else balanced
    noises = [scale * noise for scale, (_, noise) in zip(raw, skies, strict=True)]
    most = _MOST_NOISE * min(noises)
    gain = tuple(scale * min(1.0, most / noise) for scale, noise in zip(raw, noises, strict=True))
    pedestal = _PEDESTAL_SIGMAS * float(np.mean([min(noise, most) for noise in noises]))  # a grey sky
    black = tuple(sky - pedestal / factor for (sky, _), factor in zip(skies, gain, strict=True))
    light = _mean_known(
        [(one - dark) * factor for one, dark, factor in zip(images, black, gain, strict=True)]
    )
    values = light[np.isfinite(light)]
    noise = _sky(values)[1]
    return ColourLevels(
        black,
        gain,
        _LINEAR_SIGMAS * noise,
        _white(values, noise),
        calibrated,
        tuple(noise > most for noise in noises),
    )


def colour(images: Sequence[Floats], levels: ColourLevels) -> NDArray[np.uint8]:
    """Return a colour picture after Lupton et al. (2004), by astropy's ``make_lupton_rgb``.

    Where one filter is unknown the colour is, too: what the others show is grey there. Nothing known: black.

    Parameters
    ----------
    images : sequence of ndarray, shape (ny, nx), float
        As for `colour_levels`.
    levels : ColourLevels

    Returns
    -------
    ndarray, shape (ny, nx, 3), uint8
        Red, green, blue.
    """
    from astropy.visualization import make_lupton_rgb

    shown = np.any([np.isfinite(image) for image in images], axis=0)
    picture = np.zeros((*shown.shape, 3), dtype=np.uint8)
    if not shown.any():
        return picture
    light = np.stack(
        [
            (image[shown] - dark) * factor
            for image, dark, factor in zip(images, levels.black, levels.gain, strict=True)
        ]
    )
    known = np.isfinite(light).all(axis=0)
    mixed = np.tensordot(channel_weights(len(images)), np.where(known, light, 0.0), axes=1)
    red, green, blue = np.where(known, mixed, _mean_known(light))
    brightest = np.arcsinh(levels.white / levels.linear)
    softening = 10.0 * np.sinh(0.1 * brightest)  # astropy's Q: asinh(x Q / stretch) 0.1 / asinh(0.1 Q)
    with np.errstate(invalid="ignore"):  # it divides by the light of dark pixels, and puts 0 there
        picture[shown] = make_lupton_rgb(red, green, blue, stretch=softening * levels.linear, Q=softening)
    return picture


def channel_weights(number: int) -> NDArray[np.float64]:
    """Return what filters, from short to long wavelength, give to red, green and blue.

    Returns
    -------
    ndarray, shape (3, number), float64
        Rows add up to 1. The first filter is blue, the last red; those between pass through green. Of two
        filters green is the mean.
    """
    place = np.linspace(0.0, 1.0, number)
    weights = np.stack([np.clip(2 * place - 1, 0, 1), 1 - abs(2 * place - 1), np.clip(1 - 2 * place, 0, 1)])
    if number == 2:
        weights[1] = 0.5
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _sky(values: Floats) -> tuple[float, float]:
    """Return the median and the noise of values: how far the fainter 16 percent lie below it."""
    if not len(values):
        return 0.0, 1.0
    sky, faint = (float(value) for value in np.percentile(values, [50.0, 15.87]))
    bright = float(np.percentile(values, _WHITE_PERCENTILE)) - sky
    noise = max(sky - faint, bright / _MOST_RANGE)
    return sky, noise if noise > 0 else max(abs(sky), 1.0) * 1e-6


def _white(above: Floats, noise: float) -> float:
    if not len(above):
        return _LEAST_RANGE * noise
    return max(float(np.percentile(above, _WHITE_PERCENTILE)), _LEAST_RANGE * noise)


def _brightness(image: Floats, sky: float) -> float:
    """Return the median of the brightest percent above the sky."""
    values = image[np.isfinite(image)]
    bright = float(np.percentile(values, 99.5)) - sky if len(values) else 1.0
    return bright if bright > 0 else 1.0


def _mean_known(images: Sequence[Floats] | Floats) -> NDArray[np.float64]:
    stack = np.asarray(images, dtype=np.float64)
    known = np.isfinite(stack)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, stack, 0.0).sum(axis=0) / known.sum(axis=0))
