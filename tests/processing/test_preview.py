"""Previews: binned right, stretched sensibly, north up, colour in the right order."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.imaging.preview import binned_image, stretched, write_preview
from PIL import Image


def product_file(path: Path, image: np.ndarray) -> Path:
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(image.astype(np.float32), name="SCI")]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.mark.parametrize(
    ("shape", "limit", "factor"), [((50, 70), 100, 1), ((50, 70), 35, 2), ((51, 70), 20, 4)]
)
def test_bins_are_means_of_what_is_known(
    tmp_path: Path, shape: tuple[int, int], limit: int, factor: int
) -> None:
    image = np.random.default_rng(1).normal(size=shape)
    image[:10, :12] = np.nan
    image[20, 20] = np.nan
    binned = binned_image(product_file(tmp_path / "x.fits", image), limit)
    assert binned.shape == tuple(-(-size // factor) for size in shape)
    for y, x in [(0, 0), (binned.shape[0] - 1, binned.shape[1] - 1), (20 // factor, 20 // factor), (5, 6)]:
        block = image[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        if np.isnan(block).all():
            assert np.isnan(binned[y, x])
        else:
            assert binned[y, x] == pytest.approx(np.nanmean(block), rel=1e-5)


def test_stretch_is_black_where_nothing_is_known() -> None:
    image = np.random.default_rng(1).normal(0, 1, (60, 60)).astype(np.float32)
    image[20:24, 30:34] += 300.0
    image[:, :10] = np.nan
    levels = stretched(image)
    assert not levels[:, :10].any()
    assert levels[:, 10:].min() >= 1
    assert levels[22, 32] == 255
    assert np.median(levels[:, 10:]) < 100


@pytest.mark.parametrize("value", [np.nan, 0.0, 5.0])
def test_featureless_images(value: float) -> None:
    assert stretched(np.full((20, 20), value, dtype=np.float32)).shape == (20, 20)


def test_north_is_up_and_blue_is_short(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    short, long = (rng.normal(0, 1, (40, 50)).astype(np.float32) for _ in range(2))
    for image in (short, long):
        image[20] = 500.0  # a bright line, so that single bright pixels are not all there is
    short[35, 5], long[4, 44] = 500.0, 500.0
    write_preview(tmp_path / "grey.png", [short])
    write_preview(tmp_path / "colour.png", [short, long])
    grey, colour = (np.asarray(Image.open(tmp_path / name)) for name in ("grey.png", "colour.png"))
    assert grey.shape == (40, 50)
    assert grey[4, 5] == 255  # row 35 from the bottom
    red, _, blue = colour[4, 5]
    assert blue == 255
    assert red < 128
    assert colour[35, 44][0] == 255


def test_same_pixels_same_picture(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(size=(30, 30)).astype(np.float32)
    for name in ("a.png", "b.png"):
        write_preview(tmp_path / name, [image])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
