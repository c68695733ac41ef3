"""HiPS: stars at their places by HEALPix numbers alone, coverage, overlaps, what the standard asks for."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy_healpix import HEALPix
from hapctl.processing.errors import RefusedError, TooLargeError, UsageProblemError
from hapctl.processing.imaging import hips
from hapctl.processing.imaging.hips import (
    HipsTiles,
    check_reproject,
    coverage,
    order_of,
    tile_path,
    write_hips,
)
from hapctl.processing.imaging.hips_pictures import paint_colour, paint_grey, write_overviews
from hapctl.processing.imaging.picture_layer import read_layer
from hapctl.processing.imaging.stretch import GreyLevels, colour_levels
from mocpy import MOC
from PIL import Image
from support.layer_files import FIELD, SCALE, STARS, layer_file, starry

ORDER = 11
UNKNOWN = np.s_[:60, :]


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    field = starry(FIELD)
    field[UNKNOWN] = np.nan
    return field


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory, image: np.ndarray) -> HipsTiles:
    folder = tmp_path_factory.mktemp("hips")
    layer = read_layer(layer_file(folder / "field.fits", image, FIELD, "F606W", 5921.0))
    tiles = write_hips(folder / "grey", [layer], ORDER)
    paint_grey(tiles.folder, ORDER, GreyLevels(-3.0, 3.0, 400.0))
    write_overviews(tiles.folder)
    return tiles


def place_in_tiles(ra: float, dec: float, order: int) -> tuple[int, int, int]:
    """Return tile, row from above and column of a position: the bits of its HEALPix number, no WCS."""
    healpix = HEALPix(nside=2 ** (order + 9), order="nested")
    number = int(healpix.lonlat_to_healpix(ra * u.deg, dec * u.deg))
    tile, inside = number >> 18, number & (2**18 - 1)
    row = sum(((inside >> (2 * bit)) & 1) << bit for bit in range(9))
    column = sum(((inside >> (2 * bit + 1)) & 1) << bit for bit in range(9))
    return tile, row, column


def test_the_order_is_the_lowest_that_keeps_the_resolution() -> None:
    assert [order_of(scale) for scale in (0.04, 0.12, 0.4, 0.05)] == [14, 12, ORDER, 14]
    for scale in (0.025, 0.04, 0.12, 0.4):
        side = 58.6323 * 3600 / 512 / 2 ** order_of(scale)
        assert 0.5 * scale < side <= scale


@pytest.mark.parametrize("order", [ORDER, ORDER - 1])
@pytest.mark.parametrize(("ra", "dec"), STARS)
def test_a_star_is_where_its_healpix_number_says(
    survey: HipsTiles, ra: float, dec: float, order: int
) -> None:
    tile, row, column = place_in_tiles(ra, dec, order)
    with fits.open(tile_path(survey.folder, order, tile)) as hdus:
        pixels = hdus[0].data[::-1]
        assert hdus[0].data.dtype.itemsize == 4
    near = pixels[max(row - 12, 0) : row + 13, max(column - 12, 0) : column + 13]
    y, x = np.indices(near.shape)
    light = np.clip(near - 20.0, 0.0, None)
    assert light.max() > 100
    centre = (light * y).sum() / light.sum(), (light * x).sum() / light.sum()
    np.testing.assert_allclose(
        centre, (min(row, 12), min(column, 12)), atol=0.6
    )  # half a pixel, and its noise
    picture = np.asarray(Image.open(tile_path(survey.folder, order, tile, "png")))
    assert picture.shape == (512, 512, 2)
    assert picture[row, column, 0] > 200
    assert picture[row, column, 1] == 255


def test_surface_brightness_is_kept(survey: HipsTiles, image: np.ndarray) -> None:
    values = np.concatenate(
        [fits.getdata(tile_path(survey.folder, ORDER, one)).ravel() for one in survey.tiles]
    )
    values = values[np.isfinite(values)]
    side = np.degrees(np.sqrt(np.pi / 3)) / 2**ORDER / 512
    assert values.sum() * side**2 == pytest.approx(np.nansum(image) * SCALE**2, rel=0.02)


def test_coverage_is_where_data_are(survey: HipsTiles, image: np.ndarray) -> None:
    moc = coverage(survey)
    rng = np.random.default_rng(3)
    y, x = rng.integers(2, 298, (2, 500))
    ra, dec = FIELD.pixel_to_sky(x, y)
    inside = moc.contains_lonlat(ra * u.deg, dec * u.deg)
    assert inside[np.isfinite(image[y, x]) & (y > 62)].all()
    cell = 512 // 8 * 0.36  # arcsec: what lies a cell away from all data is not in it
    assert not inside[y < 60 - 1.5 * cell / 0.4 * np.sqrt(2)].any()
    assert not moc.contains_lonlat([150.2] * u.deg, [2.2] * u.deg).any()
    assert 1.0 <= moc.sky_fraction * 41253 / (300 * 240 * SCALE**2) < 1.4  # the rim is of cells of 23 arcsec


def test_what_is_unknown_is_transparent(survey: HipsTiles) -> None:
    ra, dec = FIELD.pixel_to_sky(150.0, 20.0)
    tile, row, column = place_in_tiles(float(ra), float(dec), ORDER)
    path = tile_path(survey.folder, ORDER, tile, "png")
    assert not path.exists() or np.asarray(Image.open(path))[row, column, 1] == 0


def test_overviews(survey: HipsTiles) -> None:
    allsky = np.asarray(Image.open(survey.folder / "Norder3" / "Allsky.png"))
    assert allsky.shape == (29 * 64, 27 * 64, 4)
    tile, *_ = place_in_tiles(150.0, 2.2, 3)
    row, column = divmod(tile, 27)
    assert [path.stem for path in survey.folder.glob("Norder3/Dir0/*.fits")] == [f"Npix{tile}"]
    outside = allsky.copy()
    outside[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64] = 0
    assert not outside.any()
    assert Image.open(survey.folder / "preview.jpg").size == (256, 256)


def test_products_that_overlap_make_one_survey(survey: HipsTiles, tmp_path: Path, image: np.ndarray) -> None:
    """In two parts that share 30 columns the same tiles come out, but for half a pixel at an inner end."""
    cuts = [(0, 300, 0, 180), (0, 300, 150, 300)]
    layers = []
    for number, (y0, y1, x0, x1) in enumerate(cuts):
        path = layer_file(
            tmp_path / f"{number}.fits", image[y0:y1, x0:x1], FIELD.cut(y0, y1, x0, x1), "F606W", 5921.0
        )
        layers.append(read_layer(path))
    both = write_hips(tmp_path / "both", layers, ORDER)
    assert both.tiles == survey.tiles
    for tile in both.tiles:
        ours, whole = (fits.getdata(tile_path(one.folder, ORDER, tile)) for one in (both, survey))
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(whole))
        known = np.isfinite(whole)
        differs = np.abs(ours[known] - whole[known]) > 1e-3
        assert differs.mean() < 2e-3
        assert np.abs(ours[known] - whole[known]).max() < 5.0  # of the noise, whose neighbours differ so


def test_colour_tiles_are_coloured(survey: HipsTiles, tmp_path: Path) -> None:
    shutil.copytree(survey.folder, tmp_path / "blue", ignore=shutil.ignore_patterns("*.png"))
    for path in (tmp_path / "blue").glob("Norder*/Dir*/*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = 0.2 * hdus[0].data
    images = [0.2 * starry(FIELD), starry(FIELD)]
    filters = [tmp_path / "blue", survey.folder]
    paint_colour(tmp_path / "colour", filters, ORDER, colour_levels(images, [1.0, 1.0]))
    tile, row, column = place_in_tiles(*STARS[1], ORDER)
    red, green, blue, alpha = np.asarray(Image.open(tile_path(tmp_path / "colour", ORDER, tile, "png")))[
        row, column
    ]
    assert red > green > blue
    assert alpha == 255


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reproject.hips", None)
    with pytest.raises(RefusedError, match="reproject") as caught:
        check_reproject()
    assert "hapctl[hips]" in caught.value.remedy


def test_products_far_apart_or_without_data_or_room(
    tmp_path: Path, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = read_layer(layer_file(tmp_path / "a.fits", image, FIELD, "F606W", 5921.0))
    for ra, dec in [(150.0, 40.0), (330.0, -2.2)]:
        there = replace(here, grid=replace(FIELD, crval=(ra, dec)))
        with pytest.raises(UsageProblemError, match="apart"):
            write_hips(tmp_path / "far", [here, there], ORDER)
    empty = read_layer(layer_file(tmp_path / "b.fits", image * np.nan, FIELD, "F606W", 5921.0))
    with pytest.raises(UsageProblemError, match="no pixel"), pytest.warns(UserWarning, match="No tiles"):
        write_hips(tmp_path / "empty", [empty], ORDER)
    monkeypatch.setattr(hips.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    with pytest.raises(TooLargeError, match="GB"):
        write_hips(tmp_path / "full", [here], ORDER)


def test_the_coverage_file_is_read_by_others(survey: HipsTiles, tmp_path: Path) -> None:
    moc = coverage(survey)
    moc.save(str(tmp_path / "Moc.fits"), format="fits")
    assert MOC.from_fits(str(tmp_path / "Moc.fits")) == moc
