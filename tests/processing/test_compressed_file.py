"""Tile-compressed products: astropy and our readers get the pixels, to the bit or as far as it is said."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.imaging.compressed_file import _gzip
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.image_planes import ImageRows
from hapctl.processing.imaging.product_bands import product_bands
from hapctl.processing.imaging.product_description import ProductDescription
from hapctl.processing.imaging.product_file import ProductWriter, WrittenProduct, file_sha256
from numpy.typing import NDArray
from support.product_descriptions import description

CHIPS = 40  # two planes of CTX
NOISE = 0.01


def images(product: ProductDescription) -> dict[str, NDArray[np.generic]]:
    """Noise with stars, rows without data, rows half empty, rows of zeros."""
    random = np.random.default_rng(7)
    shape = product.grid.shape
    science = random.normal(0.2, NOISE, shape).astype(np.float32)
    science[40:44, 50:54] = 900.0
    weight = random.uniform(50.0, 60.0, shape).astype(np.float32)
    variance = (1.0 / weight).astype(np.float32)
    context = random.integers(-(2**31), 2**31, (2, *shape), dtype=np.int32)
    for rows in (slice(0, 9), slice(200, 230)):
        science[rows], weight[rows], variance[rows], context[:, rows] = np.nan, 0.0, np.nan, 0
    science[100:110, :170] = np.nan
    science[120] = 0.0
    science[121, :150] = 0.0
    return {"SCI": science, "WHT": weight, "CTX": context, "VAR": variance}


def written(path: Path, product: ProductDescription, compress: str | None, band: int = 37) -> WrittenProduct:
    pixels = images(product)
    with ProductWriter(path, product, compress) as writer:  # type: ignore[arg-type]
        for row in range(0, product.grid.shape[0], band):
            part = slice(row, row + band)
            writer.write(
                pixels["SCI"][part], pixels["WHT"][part], pixels["CTX"][:, part], pixels["VAR"][part]
            )  # type: ignore[arg-type]
        return writer.finish()


@pytest.fixture
def product() -> ProductDescription:
    made = description(CHIPS)
    return replace(made, final=replace(made.final, variance=True))


def test_gzip_keeps_every_bit_and_the_checksum_of_the_pixels(
    tmp_path: Path, product: ProductDescription
) -> None:
    plain = written(tmp_path / "plain.fits", product, None)
    packed = written(tmp_path / "packed.fits", product, "gzip")
    assert packed.pixels_sha256 == plain.pixels_sha256
    assert packed.statistics == plain.statistics
    with (
        fits.open(tmp_path / "plain.fits", checksum=True) as one,
        fits.open(tmp_path / "packed.fits", checksum=True) as other,
    ):
        assert [hdu.name for hdu in one] == [hdu.name for hdu in other]
        for image in ("SCI", "WHT", "CTX", "VAR"):
            assert isinstance(other[image], fits.CompImageHDU)
            assert other[image].data.tobytes() == one[image].data.astype(other[image].data.dtype).tobytes()
            for keyword, value in one[image].header.items():
                if keyword not in ("XTENSION", "CHECKSUM", "DATASUM"):
                    assert other[image].header[keyword] == value, keyword
        assert np.array_equal(one["HDRTAB"].data, other["HDRTAB"].data)
    assert (tmp_path / "packed.fits").stat().st_size < 0.8 * (tmp_path / "plain.fits").stat().st_size


def test_rows_of_one_value_are_compressed_once(
    tmp_path: Path, product: ProductDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[int] = []

    def counted(words: NDArray[np.uint32], *level: int) -> bytes:
        packed.append(words.size)
        return _gzip(words, *level)

    monkeypatch.setattr("hapctl.processing.imaging.compressed_file._gzip", counted)
    written(tmp_path / "packed.fits", product, "gzip")
    rows = product.grid.shape[0]
    empty = 9 + 30 + 1  # without data, and row 120 of SCI is 0
    others = (rows - empty) + 2 * (rows - 39) + 2 * (rows - 39)  # SCI, WHT and VAR, both planes of CTX
    assert len(packed) == others + 2 + 1 + 1 + 1  # and once for each value of an image


def test_rice_rounds_the_science_image_and_nothing_else(tmp_path: Path, product: ProductDescription) -> None:
    packed = written(tmp_path / "packed.fits", product, "rice")
    pixels = images(product)
    with fits.open(tmp_path / "packed.fits", checksum=True) as hdus:
        science, true = hdus["SCI"].data, pixels["SCI"]
        np.testing.assert_array_equal(np.isnan(science), np.isnan(true))
        np.testing.assert_array_equal(science[true == 0.0], 0.0)
        error = (science - true)[np.isfinite(true)]
        # a step of a sixteenth of the noise, which astropy measures in each row by itself
        assert np.abs(error).max() < NOISE / 16
        assert error.std() < NOISE / 16 / np.sqrt(12) * 1.1
        assert abs(error.mean()) < 1e-4 * NOISE
        for image in ("WHT", "CTX", "VAR"):
            np.testing.assert_array_equal(hdus[image].data, pixels[image])
    with fits.open(tmp_path / "packed.fits", disable_image_compression=True) as hdus:
        header = hdus["SCI"].header
        assert (header["ZCMPTYPE"], header["ZQUANTIZ"], header["ZDITHER0"]) == (
            "RICE_1",
            "SUBTRACTIVE_DITHER_2",
            1,
        )
        assert hdus["WHT"].header["ZCMPTYPE"] == "GZIP_2"
    assert packed.pixels_sha256 != written(tmp_path / "plain.fits", product, None).pixels_sha256


@pytest.mark.parametrize("compress", ["gzip", "rice"])
def test_the_same_pixels_give_the_same_bytes_whatever_the_bands_and_the_time(
    tmp_path: Path, product: ProductDescription, compress: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = written(tmp_path / "first.fits", product, compress)
    monkeypatch.setattr(time, "time", lambda: 1.9e9)
    second = written(tmp_path / "second.fits", product, compress, band=product.grid.shape[0])
    assert first.pixels_sha256 == second.pixels_sha256
    with fits.open(tmp_path / "first.fits") as one, fits.open(tmp_path / "second.fits") as other:
        for image in ("SCI", "WHT", "CTX", "VAR"):
            np.testing.assert_array_equal(one[image].data, other[image].data)
    third = written(tmp_path / "third.fits", product, compress)
    assert file_sha256(tmp_path / "third.fits") == file_sha256(tmp_path / "first.fits")
    assert third == first.__class__(
        tmp_path / "third.fits", first.pixels_sha256, first.statistics, third.paths
    )


@pytest.mark.parametrize("compress", ["gzip", "rice"])
def test_our_readers_read_what_astropy_reads(
    tmp_path: Path, product: ProductDescription, compress: str
) -> None:
    path = tmp_path / "packed.fits"
    written(path, product, compress)
    bands: list[Band] = list(product_bands(path))
    with fits.open(path) as hdus, ImageRows(path, "SCI") as rows:
        expected = {name: hdus[name].data for name in ("SCI", "WHT", "CTX", "VAR")}
        np.testing.assert_array_equal(np.concatenate([band.sci for band in bands]), expected["SCI"])
        np.testing.assert_array_equal(np.concatenate([band.wht for band in bands]), expected["WHT"])
        np.testing.assert_array_equal(np.concatenate([band.ctx for band in bands], axis=1), expected["CTX"])
        np.testing.assert_array_equal(rows.read(30, 61), expected["SCI"][30:61])


def test_what_is_given_up_leaves_nothing(tmp_path: Path, product: ProductDescription) -> None:
    with ProductWriter(tmp_path / "packed.fits", product, "gzip") as writer:
        pixels = images(product)
        writer.write(pixels["SCI"][:9], pixels["WHT"][:9], pixels["CTX"][:, :9], pixels["VAR"][:9])  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
