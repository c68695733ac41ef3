"""Pictures: binned right, stretched sensibly, north up, and placed on the sky as their products are."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.picture_grid import picture_grid, share_points
from hapctl.processing.imaging.preview import inputs_of, shown_layers, write_colour, write_preview
from hapctl.processing.imaging.stretch import grey, grey_levels
from PIL import Image
from pyavm import AVM

SCALE = 0.05 / 3600
GRID = OutputGrid((150.0, 2.2), (25.0, 31.0), (-SCALE, 0.0, 0.0, SCALE), (50, 70))


def product_file(path: Path, image: np.ndarray, grid: OutputGrid | None = None, **cards: object) -> Path:
    primary = fits.PrimaryHDU()
    facts = {"FILENAME": path.name, "INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER": "F606W", "HAPRUN": 7}
    primary.header.update({**facts, "TARGNAME": "M 31", "PROPOSID": "9019, 9020", "EXPTIME": 120.0})
    primary.header.update({name: value for name, value in cards.items() if not name.startswith("PHOT")})
    header = (grid or OutputGrid(GRID.crval, GRID.crpix, GRID.cd, image.shape)).header()  # type: ignore[arg-type]
    science = fits.ImageHDU(image.astype(np.float32), name="SCI")
    science.header.update(header)
    science.header.update({name: value for name, value in cards.items() if name.startswith("PHOT")})
    fits.HDUList([primary, science]).writeto(path)
    return path


def noise(shape: tuple[int, int] = (50, 70), seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "limit", "factor"), [((50, 70), 100, 1), ((50, 70), 35, 2), ((51, 70), 20, 4)]
)
@pytest.mark.parametrize("packed", [False, True])
def test_bins_are_means_of_what_is_known(
    tmp_path: Path, shape: tuple[int, int], limit: int, factor: int, packed: bool
) -> None:
    image = noise(shape)
    image[:10, :12] = np.nan
    image[20, 20] = np.nan
    path = product_file(tmp_path / "x.fits", image)
    if packed:
        with fits.open(path) as hdus:
            science = fits.CompImageHDU(
                hdus["SCI"].data, hdus["SCI"].header, name="SCI", compression_type="GZIP_2", quantize_level=0
            )
            path = tmp_path / "packed.fits"
            fits.HDUList([hdus[0], science]).writeto(path)
    [binned] = shown_layers([path], limit).images
    assert binned.shape == tuple(-(-size // factor) for size in shape)
    for y, x in [(0, 0), (binned.shape[0] - 1, binned.shape[1] - 1), (20 // factor, 20 // factor), (5, 6)]:
        block = image[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        if np.isnan(block).all():
            assert np.isnan(binned[y, x])
        else:
            assert binned[y, x] == pytest.approx(np.nanmean(block), rel=1e-5)


def test_large_products_are_read_by_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = product_file(tmp_path / "x.fits", noise((301, 90)))
    [whole] = shown_layers([path], 40).images
    monkeypatch.setattr("hapctl.processing.imaging.picture_layer._PIXELS_AT_ONCE", 90 * 7)
    [by_bands] = shown_layers([path], 40).images
    np.testing.assert_allclose(by_bands, whole, rtol=1e-6)


def test_stretch_is_black_where_nothing_is_known() -> None:
    image = noise((60, 60))
    image[20:24, 30:34] += 300.0
    image[:, :10] = np.nan
    levels = grey(image, grey_levels(image))
    assert not levels[:, :10].any()
    assert levels[:, 10:].min() >= 1
    assert levels[22, 32] == 255
    assert np.median(levels[:, 10:]) < 100
    assert np.median(levels[:, 10:]) > 5  # the noise of the sky can be seen


@pytest.mark.parametrize("value", [np.nan, 0.0, 5.0])
def test_featureless_images(value: float) -> None:
    image = np.full((20, 20), value, dtype=np.float32)
    assert len(np.unique(grey(image, grey_levels(image)))) == 1


def test_noise_alone_is_no_field_of_stars() -> None:
    image = noise((200, 200))
    assert (grey(image, grey_levels(image)) > 200).mean() < 0.001


@pytest.mark.parametrize("turn", [0.0, 30.0])
@pytest.mark.parametrize("limit", [100, 33])
def test_the_tags_put_a_picture_where_its_product_is(tmp_path: Path, turn: float, limit: int) -> None:
    angle = np.radians(turn)
    cd = tuple(SCALE * np.array([-np.cos(angle), np.sin(angle), np.sin(angle), np.cos(angle)]))
    grid = OutputGrid(GRID.crval, (25.0, 31.0), cd, (50, 70))
    image = np.zeros((50, 70), dtype=np.float32)
    image[37, 12] = 1000.0  # a star
    path = product_file(tmp_path / "hst_x_drc.fits", image, grid)
    shown = shown_layers([path], limit)
    factor = round(shown.grid.scale_arcsec / grid.scale_arcsec)
    # the same through the file, as PyAVM and astropy understand it
    write_preview(tmp_path / "x.png", path)
    avm = AVM.from_image(str(tmp_path / "x.png"))
    placed, wcs = avm.to_wcs(), WCS(fits.getheader(path, "SCI"))
    for x, y in [(-0.5, -0.5), (69.5, -0.5), (-0.5, 49.5), (69.5, 49.5), (12.0, 37.0)]:
        sky = wcs.pixel_to_world(x, y)
        np.testing.assert_allclose(placed.world_to_pixel(sky), (x, y), atol=1e-6)
        binned = WCS(shown.grid.header()).world_to_pixel(sky)
        np.testing.assert_allclose(binned, ((x + 0.5) / factor - 0.5, (y + 0.5) / factor - 0.5), atol=1e-6)
    pixels = np.asarray(Image.open(tmp_path / "x.png"))[::-1]  # AVM counts rows from below
    y, x = np.unravel_index(pixels.argmax(), pixels.shape)
    assert placed.pixel_to_world(x, y).separation(wcs.pixel_to_world(12, 37)).arcsec < 0.01
    assert avm.Spatial.ReferenceDimension == [70.0, 50.0]


def test_the_tags_say_what_is_shown(tmp_path: Path) -> None:
    photometry = {"PHOTFLAM": 8e-20, "PHOTPLAM": 5921.0}
    short = product_file(tmp_path / "a.fits", noise(), **photometry)
    long = product_file(tmp_path / "b.fits", noise(), FILTER="F814W", HAPRUN=9)
    write_colour(tmp_path / "colour.png", [long, short], "hst_colour", "abc")
    avm = AVM.from_image(str(tmp_path / "colour.png"))
    assert (avm.ID, avm.MetadataVersion) == ("hst_colour", 1.2)
    assert avm.Facility == ["HST", "HST"]
    assert avm.Instrument == ["ACS/WFC", "ACS/WFC"]
    assert avm.Spectral.Bandpass == ["F606W", "F814W"]
    assert [float(value) for value in avm.Spectral.CentralWavelength] == [592.1, 806.0]
    assert avm.Spectral.Band == ["Optical", "Infrared"]
    assert avm.Spectral.ColorAssignment == ["Blue", "Red"]
    assert avm.DatasetID == ["a", "b"]
    assert sorted(avm.ProposalID) == ["9019", "9020"]
    assert "run 7, 9" in str(avm.Description)
    assert "without photometry" in str(avm.Description)
    assert "M 31" in str(avm.Title)
    assert inputs_of(tmp_path / "colour.png") == "abc"


def test_pictures_that_are_gone_or_damaged_have_no_inputs(tmp_path: Path) -> None:
    path = product_file(tmp_path / "a.fits", noise())
    write_preview(tmp_path / "a.png", path)
    assert inputs_of(tmp_path / "a.png") == ""  # grey
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    (tmp_path / "text.png").write_text("no picture")
    assert [inputs_of(tmp_path / name) for name in ("none.png", "cut.png", "text.png")] == ["", "", ""]


def test_same_pixels_same_picture(tmp_path: Path) -> None:
    path = product_file(tmp_path / "a.fits", noise())
    for name in ("a.png", "b.png"):
        write_preview(tmp_path / name, path)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_coarse_and_cut_products_share_a_picture(tmp_path: Path) -> None:
    """Layers of 0.04 and 0.12 arcsec of a tile, each cut to its data, bin onto the same points of the sky.

    CRPIX of a coarse tile is a third of the fine one's (hap_reference 4.2): its pixels begin one pixel on.
    """
    fine_scale = 0.04 / 3600
    cd = (-fine_scale, 0.0, 0.0, fine_scale)
    full = OutputGrid((150.0, 2.2), (100.0, 202.0), cd, (300, 300))
    coarse = OutputGrid((150.0, 2.2), (100.0 / 3, 202.0 / 3), tuple(3 * v for v in cd), (100, 100))
    one, other = full.cut(31, 250, 17, 299), coarse.cut(20, 70, 2, 81)
    assert share_points(one, other)
    y, x = np.mgrid[0:301, 0:301]
    sky = (x + 1000.0 * y).astype(np.float32)
    coarse_sky = sky[1:, 1:].reshape(100, 3, 100, 3).mean(axis=(1, 3))
    paths = [
        product_file(tmp_path / "fine.fits", sky[31:250, 17:299], one),
        product_file(tmp_path / "coarse.fits", coarse_sky[20:70, 2:81], other, DETECTOR="IR", FILTER="F160W"),
    ]
    shown = shown_layers(paths, 60)
    assert max(shown.grid.shape) <= 60
    both = np.isfinite(shown.images[0]) & np.isfinite(shown.images[1])
    inside = both.copy()
    inside[[0, -1]], inside[:, [0, -1]] = False, False  # bins at the ends hold parts of the fine pixels
    edges = np.argwhere(both)
    inside[: edges[:, 0].min() + 1], inside[edges[:, 0].max() :] = False, False
    inside[:, : edges[:, 1].min() + 1], inside[:, edges[:, 1].max() :] = False, False
    assert inside.sum() > 300
    np.testing.assert_allclose(shown.images[0][inside], shown.images[1][inside], rtol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        OutputGrid(GRID.crval, (25.5, 31.0), GRID.cd, (50, 70)),
        OutputGrid((150.0001, 2.2), GRID.crpix, GRID.cd, (50, 70)),
        OutputGrid(GRID.crval, GRID.crpix, tuple(1.5 * value for value in GRID.cd), (50, 70)),
        OutputGrid(GRID.crval, GRID.crpix, (-SCALE, 1e-8, 1e-8, SCALE), (50, 70)),
    ],
)
def test_products_of_different_grids_are_refused(other: OutputGrid) -> None:
    assert share_points(GRID, GRID)
    assert not share_points(GRID, other)
    with pytest.raises(UsageProblemError, match="one picture"):
        picture_grid([GRID, other])
