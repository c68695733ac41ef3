"""Products compared: by pixels on one lattice, by sources on two; with known answers."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.imaging.foreign_product import read_foreign_product
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.product_comparison import (
    ComparedImage,
    compare_pixels,
    compare_sources,
    lattice_offset,
)
from hypothesis import given
from hypothesis import strategies as st
from support.commands import Runner
from support.foreign_products import Input, write_association
from support.mosaics import small_visit

STEP = 0.05 / 3600.0
INPUTS = [Input("jhap01a0q_flc.fits", "jhap01a0q", 1, "IDC_hapsim01j", 500.0)]


def plane(crpix: tuple[float, float], ra: float = 150.1, step: float = STEP) -> fits.Header:
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": 2.2, "BUNIT": "ELECTRONS/S"}
    matrix = {"CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step}
    return fits.Header({**cards, "CRPIX1": crpix[0], "CRPIX2": crpix[1], **matrix})


def image(path: Path, science: np.ndarray, grid: fits.Header) -> ComparedImage:
    write_association(path, INPUTS, grid=grid, science=science)
    return ComparedImage(path, read_foreign_product(path).grid)


@given(st.integers(-40, 40), st.integers(-40, 40), st.sampled_from([0.0, 0.001, 0.5]))
def test_lattices_are_shared_at_whole_offsets_only(dy: int, dx: int, part: float) -> None:
    cd = (-STEP, 0.0, 0.0, STEP)
    first = OutputGrid((150.1, 2.2), (100.0, 100.0), cd, (200, 210))
    second = OutputGrid((150.1, 2.2), (100.0 - dx - part, 100.0 - dy), cd, (50, 60))
    assert lattice_offset(first, second) == (None if part else (dy, dx))
    turned = OutputGrid((150.1, 2.2), (100.0, 100.0), (-STEP * 1.001, 0.0, 0.0, STEP), (50, 60))
    assert lattice_offset(first, turned) is None


def test_pixels_on_one_lattice(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    truth = random.normal(10.0, 1.0, (300, 70)).astype(np.float32)
    other = truth[40:, 20:] + np.float32(0.5)
    other[:100] = truth[40:140, 20:]
    other[0, 0] = np.nan
    truth = truth.copy()
    truth[299, 69] = np.nan
    first = image(tmp_path / "a_drz.fits", truth, plane((35.0, 150.0)))
    second = image(tmp_path / "b_drz.fits", other, plane((15.0, 110.0)))
    offset = lattice_offset(first.grid, second.grid)
    assert offset == (40, 20)
    found = compare_pixels(first, second, offset)
    assert (found.shape, found.pixels) == ((260, 50), 260 * 50 - 2)
    assert (found.only_first, found.only_second, found.equal) == (1, 1, 100 * 50 - 1)
    both = np.isfinite(truth[40:, 20:]) & np.isfinite(other)
    difference = (other - truth[40:, 20:])[both]
    assert found.median == pytest.approx(np.median(difference))
    assert found.largest == pytest.approx(np.abs(difference).max())
    assert found.ratio == pytest.approx(other[both].sum() / truth[40:, 20:][both].sum(), rel=1e-6)
    assert found.units == ("ELECTRONS/S", "ELECTRONS/S")
    back = compare_pixels(second, first, (-40, -20))
    assert (back.pixels, back.median) == (found.pixels, pytest.approx(-found.median))
    apart = ComparedImage(second.path, second.grid)
    nothing = compare_pixels(first, apart, (1000, 0))
    assert (nothing.shape, nothing.pixels) == ((0, 50), 0)
    assert np.isnan(nothing.median)


def test_sources_on_two_lattices(tmp_path: Path) -> None:
    """Stars at known places, the second product 20 mas to the east and a tenth brighter."""
    random = np.random.default_rng(8)
    shape = (300, 300)
    x, y = random.uniform(20, 280, (2, 40))
    flux = random.uniform(300, 3000, 40)
    first = image(tmp_path / "a_drz.fits", stars(shape, x, y, flux, random), plane((150.0, 150.0)))
    shifted = plane((150.25, 150.25))
    moved = x + 0.25 - 0.020 / 0.05, y + 0.25
    second = image(tmp_path / "b_drz.fits", stars(shape, *moved, 1.1 * flux, random), shifted)
    assert lattice_offset(first.grid, second.grid) is None
    found = compare_sources(first, second)
    assert found.matched > 25
    assert found.ra_mas == pytest.approx(20.0, abs=1.0)
    assert found.dec_mas == pytest.approx(0.0, abs=1.0)
    assert found.flux_ratio == pytest.approx(1.1, abs=0.01)
    assert found.scatter_ra_mas < 3.0


def stars(
    shape: tuple[int, int], x: np.ndarray, y: np.ndarray, flux: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    rows_, columns = np.indices(shape)
    science = random.normal(0.0, 0.3, shape)
    for one, other, light in zip(x, y, flux, strict=True):
        science += light * np.exp(-((columns - one) ** 2 + (rows_ - other) ** 2) / 2.0) / (2 * np.pi)
    return science


def test_products_of_the_catalog_and_files(run_hapctl: Runner, tmp_path: Path) -> None:
    files = small_visit(tmp_path / "field", chip_shape=(128, 200)).files
    assert run_hapctl("ingest", *files).exit_code == 0
    assert run_hapctl("mosaic", "--visit", "jhap01").exit_code == 0
    listed = run_hapctl("product", "list", "--json").json()["products"]
    path = next(row["path"] for row in listed if row["kind"] == "total")
    number = next(row["product_id"] for row in listed if row["kind"] == "total")
    rebuilt = run_hapctl("product", "rebuild", number, "--json").json()["path"]
    same = run_hapctl("product", "compare", number, rebuilt, "--json").json()
    assert (same["same_pixels"], same["offset"], same["second"]["product_id"]) == (True, [0, 0], None)
    assert same["pixels"]["equal"] == same["pixels"]["pixels"] > 1000
    exposure = next(row["path"] for row in listed if row["kind"] == "exposure")
    told = run_hapctl("product", "compare", Path(path).name, exposure)
    assert "lattice     the same" in told.stdout
    assert "all pixels are the same" not in told.stdout
    assert run_hapctl("product", "compare", path, "no_such_drz.fits").exit_code == 3
    # a product of the past, whose place another has
    assert run_hapctl("mosaic", "--visit", "jhap01", "--pixfrac", 0.5).exit_code == 0
    gone = run_hapctl("product", "compare", number, path)
    assert (gone.exit_code, f"hapctl product rebuild {number}" in gone.stderr) == (3, True)
