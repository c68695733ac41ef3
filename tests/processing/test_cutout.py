"""Cut-outs of products: to the bit, with WCS and the inputs that touch them, over the edges of tiles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.archive.cutout_sources import SourceProduct
from hapctl.archive.database import Catalog
from hapctl.archive.sky_cells import SkyCell, projection_cells
from hapctl.processing.errors import NoViableDataError, UnusableFileError, UsageProblemError
from hapctl.processing.imaging.cutout import cutout_grid, write_cutout
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.product_description import ProductDescription
from hapctl.processing.imaging.product_file import ProductWriter
from hapctl.processing.imaging.product_names import position_label
from hapctl.processing.pipeline.cut_products import CutRequest, layer_jobs
from hapctl.processing.pipeline.mosaic_tile import tile_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import Runner
from support.mosaics import rows, small_visit
from support.product_descriptions import description, input_chip, small_grid

IMAGES = ("SCI", "WHT", "CTX", "VAR")


def product(
    path: Path, grid: OutputGrid, chips: list[int], seed: int = 1, compress: str | None = None
) -> ProductDescription:
    """Write a product: chip ``n`` covers a band of columns of its own, the first rows have no data."""
    made = description(
        len(chips), grid, inputs=tuple(input_chip(n, context_bit=i) for i, n in enumerate(chips))
    )
    made = replace(made, name=path.name, final=replace(made.final, variance=True))
    height, width = grid.shape
    random = np.random.default_rng(seed)
    science = random.normal(size=grid.shape).astype(np.float32)
    weight = random.uniform(1.0, 2.0, grid.shape).astype(np.float32)
    planes = -(-len(chips) // 32)
    context = np.zeros((planes, height, width), dtype=np.uint32)
    for bit in range(len(chips)):
        low, high = (width * bit) // len(chips), (width * (bit + 1)) // len(chips)
        context[bit // 32, :, low : high + 2] |= np.uint32(1) << np.uint32(bit % 32)
    weight[:20], science[:20], context[:, :20] = 0.0, np.nan, 0
    with ProductWriter(path, made, compress) as writer:  # type: ignore[arg-type]
        writer.write(science, weight, context.view(np.int32), (1 / np.maximum(weight, 1)).astype(np.float32))
        writer.finish()
    return made


def contributors(hdus: fits.HDUList, y: int, x: int) -> set[str]:
    """The exposures of a pixel, by the bits of CTX and the table."""
    planes = np.atleast_3d(hdus["CTX"].data.T).T
    bits = {row["CTXBIT"]: row["ROOTNAME"] for row in hdus["HDRTAB"].data}
    return {
        bits[32 * plane + bit]
        for plane in range(len(planes))
        for bit in range(32)
        if planes[plane, y, x] >> bit & 1
    }


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_a_cutout_has_the_pixels_the_wcs_and_the_inputs_of_its_field(
    tmp_path: Path, compress: str | None
) -> None:
    path = tmp_path / "hst_a_drz.fits"
    product(path, small_grid(), list(range(40)), compress=compress)
    with fits.open(path) as whole:
        wcs = WCS(whole["SCI"].header)
        center = tuple(float(value) for value in wcs.all_pix2world(150.2, 200.4, 0))
        made = write_cutout(tmp_path / "cut.fits", [path], center, (4.0, 6.0))  # type: ignore[arg-type]
        assert made.shape == (120, 80)
        with fits.open(tmp_path / "cut.fits", checksum=True) as cut:
            corner = WCS(cut["SCI"].header).all_pix2world(0, 0, 0)
            x0, y0 = (round(float(value)) for value in wcs.all_world2pix(*corner, 0))
            assert (x0, y0) == (111, 141)
            inside = (slice(y0, y0 + 120), slice(x0, x0 + 80))
            for image in ("SCI", "WHT", "VAR"):
                assert cut[image].data.tobytes() == whole[image].data[inside].astype(">f4").tobytes()
                assert WCS(cut[image].header).wcs == WCS(whole[image].header).slice(inside).wcs
            assert cut["SCI"].header["LTV1"] == -x0
            assert len(cut["HDRTAB"].data) < 12
            assert set(made.inputs) == set(cut["HDRTAB"].data["ROOTNAME"])
            for y, x in ((0, 0), (60, 40), (119, 79)):
                assert contributors(cut, y, x) == contributors(whole, y + y0, x + x0)
            assert cut[0].header["NUMEXP"] == len(made.inputs)
            assert cut[0].header["CUTFROM"] == path.name


def test_beyond_the_product_there_is_nothing(tmp_path: Path) -> None:
    path, grid = tmp_path / "hst_a_drz.fits", small_grid()
    product(path, grid, [0, 1])
    center = tuple(float(value) for value in grid.pixel_to_sky(-4.5, 100.5))
    made = write_cutout(tmp_path / "cut.fits", [path], center, (3.0, 3.0))  # type: ignore[arg-type]
    with fits.open(tmp_path / "cut.fits") as cut, fits.open(path) as whole:
        assert np.isnan(cut["SCI"].data[:, :34]).all()
        assert np.isnan(cut["VAR"].data[:, :34]).all()
        assert not cut["WHT"].data[:, :34].any()
        assert not cut["CTX"].data[:, :34].any()
        np.testing.assert_array_equal(cut["SCI"].data[:, 34:], whole["SCI"].data[71:131, :26])
        assert made.covered_pixels == 60 * 26
        assert cut[0].header["NPIXFRAC"] == pytest.approx(26 / 60)
    for where in ((-500.0, 100.0), (100.0, 5.0)):
        center = tuple(float(value) for value in grid.pixel_to_sky(*where))
        with pytest.raises(NoViableDataError):
            write_cutout(tmp_path / "none.fits", [path], center, (0.5, 0.5))  # type: ignore[arg-type]
    assert not (tmp_path / "none.fits").exists()
    assert not list(tmp_path.glob(".*"))


def neighbours(folder: Path) -> tuple[list[Path], OutputGrid, OutputGrid, tuple[float, float]]:
    """Layers of two tiles, their grids, and a position on the edge between them."""
    cell = projection_cells()[1360]
    left, right = (tile_grid(SkyCell(cell, x, 11)) for x in (10, 11))
    left, right = left.cut(9000, 9200, 21300, 21954), right.cut(9000, 9200, 0, 900)
    paths = [folder / name for name in ("left.fits", "right.fits")]
    product(paths[0], left, [0, 1, 2], seed=1)
    product(paths[1], right, [2, 3, 4], seed=2)
    ra, dec = left.pixel_to_sky(653.5, 100.0)
    return paths, left, right, (float(ra), float(dec))


def test_layers_of_other_exposures_come_to_one_flux_scale(tmp_path: Path) -> None:
    """Each layer has the mean PHOTFLAM of its own exposures: their pixels differ by as much."""
    paths, _, _, edge = neighbours(tmp_path)
    write_cutout(tmp_path / "before.fits", paths, edge, (20.0, 3.0))
    flux = fits.getval(paths[1], "PHOTFLAM", ext=("SCI", 1))
    fits.setval(paths[1], "PHOTFLAM", value=1.05 * flux, ext=("SCI", 1))
    write_cutout(tmp_path / "after.fits", paths, edge, (20.0, 3.0))
    with fits.open(tmp_path / "before.fits") as before, fits.open(tmp_path / "after.fits") as after:
        assert after["SCI"].header["PHOTFLAM"] == flux
        for name, factor in (("SCI", 1.05), ("VAR", 1.05**2), ("WHT", 1.0)):
            np.testing.assert_array_equal(after[name].data[:, :250], before[name].data[:, :250])
            ratio = after[name].data[:, 250:] / before[name].data[:, 250:]
            np.testing.assert_allclose(ratio, factor, rtol=1e-6)
        np.testing.assert_allclose(sorted(set(after["HDRTAB"].data["FLUXFACT"])), [1.0, 1.05])
    fits.delval(paths[1], "PHOTFLAM", ext=("SCI", 1))
    write_cutout(tmp_path / "none.fits", paths, edge, (20.0, 3.0))
    with fits.open(tmp_path / "none.fits") as none, fits.open(tmp_path / "before.fits") as before:
        np.testing.assert_array_equal(none["SCI"].data, before["SCI"].data)
        assert not any(keyword.startswith("PHOT") for keyword in none["SCI"].header)


def test_layers_of_two_tiles_are_put_together(tmp_path: Path) -> None:
    paths, left, right, edge = neighbours(tmp_path)
    made = write_cutout(tmp_path / "both.fits", paths, edge, (20.0, 3.0))
    assert made.products == ("left.fits", "right.fits")
    # the chip that both have in common is one row and one bit
    assert len(made.inputs) == len(set(made.inputs)) <= 5
    with fits.open(tmp_path / "both.fits") as cut, fits.open(paths[0]) as one, fits.open(paths[1]) as other:
        x, y = 653 - 249, 63
        np.testing.assert_array_equal(cut["SCI"].data[:, :250], one["SCI"].data[y : y + 75, x:])
        from_right = round(right.crpix[0] - left.crpix[0]) + 654
        np.testing.assert_array_equal(
            cut["SCI"].data[:, 250:], other["SCI"].data[y : y + 75, from_right : from_right + 250]
        )
        assert contributors(cut, 30, 0) == contributors(one, 30 + y, x)
        assert contributors(cut, 30, 499) == contributors(other, 30 + y, from_right + 249)
        assert np.count_nonzero(cut["HDRTAB"].data["ROOTNAME"] == input_chip(2).rootname) == 1
    product(tmp_path / "other.fits", small_grid(), [0])
    with pytest.raises(UnusableFileError, match="other pixels"):
        write_cutout(tmp_path / "x.fits", [paths[0], tmp_path / "other.fits"], edge, (1.0, 1.0))


@given(st.floats(0.0, 360.0), st.floats(-90.0, 90.0), st.floats(0.1, 500.0), st.floats(0.1, 500.0))
@settings(max_examples=50, deadline=None)
def test_grids_of_cutouts_are_about_their_centres(ra: float, dec: float, width: float, height: float) -> None:
    grid = OutputGrid((ra, dec), (1000.0, 2000.0), (-1e-5, 2e-6, 2e-6, 1e-5), (100, 100))
    cut = cutout_grid(grid, (ra, dec), (width, height))
    middle = 0.5 * (cut.shape[1] + 1), 0.5 * (cut.shape[0] + 1)
    assert np.abs(np.subtract(cut.crpix, middle)).max() <= 0.5 + 1e-6
    assert np.array_equal(np.subtract(cut.crpix, grid.crpix) % 1.0, [0.0, 0.0])
    assert abs(cut.shape[1] * grid.scale_arcsec - width) <= max(0.5, 0.5) * grid.scale_arcsec + 0.1
    with pytest.raises(UsageProblemError):
        cutout_grid(grid, (ra, dec), (width, 0.0))


def test_a_field_on_the_edge_of_tiles_comes_from_several() -> None:
    cell = projection_cells()[1360]
    tiles = [SkyCell(cell, x, 11) for x in (10, 11)]
    kinds = (("UVIS", 0.04, ""), ("IR", 0.12, ""), ("IR", 0.04, "y2012"))
    layers = [
        SourceProduct(
            "layer", f"{tile.x}", f"/p/{tile.x}{number}.fits", tile.name, "WFC3", *camera, label, scale
        )
        for tile in tiles
        for number, (camera, scale, label) in enumerate(
            ((detector, "f606w"), scale, label) for detector, scale, label in kinds
        )
    ]
    edge = tuple(float(value) for value in tile_grid(tiles[0]).pixel_to_sky(21954 - 256.0, 9000.0))
    jobs = {
        job.name: len(job.products)
        for job in layer_jobs(layers, CutRequest(edge, (30.0, 3.0), Path("here")))  # type: ignore[arg-type]
    }
    place = position_label(*edge)  # type: ignore[arg-type]
    assert jobs == {
        f"hst_combined_skycells-{place}_wfc3_uvis_f606w.fits": 2,
        f"hst_cutout_skycell-p1360-{place}_wfc3_ir_f606w_coarse.fits": 1,  # its pixels do not coincide
        f"hst_combined_skycells-{place}_wfc3_ir_f606w_y2012.fits": 2,
    }
    narrow = layer_jobs(layers, CutRequest(edge, (3.0, 3.0), Path("here")))  # type: ignore[arg-type]
    assert {len(job.products) for job in narrow} == {1}  # tiles overlap by 20 arcsec


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(small_visit(tmp_path_factory.mktemp("visit")).files)


def test_cutouts_of_visits_tiles_and_files(
    files: list[Path], run_hapctl: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    assert run_hapctl("ingest", *files).exit_code == 0
    assert run_hapctl("mosaic", "--visit", "jhap01").exit_code == 0
    where = ("--center", 152.0, 2.0, "--size", "4arcsec", "--json")
    assert run_hapctl("cutout", *where).exit_code == 3  # no layers yet
    tile = rows(catalog, "SELECT name FROM sky_cell ORDER BY 1 LIMIT 1")[0][0]
    assert run_hapctl("mosaic", "--tile", tile).exit_code == 0
    around = run_hapctl("cutout", *where).json()
    (layer,) = around["cutouts"]
    assert Path(layer["path"]).name == "hst_cutout_skycell-p1360-ra152d0000-decn2d0000_acs_wfc_f606w.fits"
    assert (layer["nx"], layer["ny"], set(layer["inputs"])) == (100, 100, {"jhap01a0q", "jhap01a1q"})
    assert run_hapctl("cutout", tile, *where).json()["cutouts"][0]["sha256"] != ""
    visit = run_hapctl("cutout", "--visit", "JHAP01", *where).json()
    names = {Path(one["path"]).name for one in visit["cutouts"]}
    assert "hst_cutout_90001_01_acs_wfc_f606w_jhap01_drc-ra152d0000-decn2d0000.fits" in names
    assert len(names) == 4
    product = rows(catalog, "SELECT path FROM current_product WHERE kind = 'filter'")[0][0]
    for word in (product, Path(product).name):
        (one,) = run_hapctl(
            "cutout", word, *where, "--output", tmp_path / "here", "--compress", "gzip"
        ).json()["cutouts"]
        assert Path(one["path"]).parent == tmp_path / "here"
    with fits.open(one["path"]) as cut, fits.open(product) as whole:
        middle = WCS(cut["SCI"].header).all_pix2world(39.5, 39.5, 0)
        x, y = (int(value) for value in WCS(whole["SCI"].header).all_world2pix(*middle, 0))
        np.testing.assert_array_equal(cut["SCI"].data, whole["SCI"].data[y - 39 : y + 41, x - 39 : x + 41])
    kinds = rows(catalog, "SELECT command, count(*) FROM run GROUP BY 1 ORDER BY 1")
    assert ("cutout", 6) in kinds
    assert run_hapctl("cutout", "hst_no_such_drz.fits", *where).exit_code == 3
    far = run_hapctl("cutout", "--visit", "jhap01", "--center", 153.0, 2.0, "--size", "1", "--json")
    assert far.exit_code == 65
    assert run_hapctl("cutout", "--visit", "jhap01", "--json").exit_code == 2
