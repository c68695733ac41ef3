"""Product files: what astropy reads is what was written; same pixels, same bytes; statistics and keywords."""

import errno
import fcntl
import os
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.processing.errors import RefusedError, TooLargeError
from hapctl.processing.imaging.drizzle import Band, DrizzleInput, drizzle_bands
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hapctl.processing.imaging.parameters import FinalParameters
from hapctl.processing.imaging.product_bands import product_bands
from hapctl.processing.imaging.product_description import InputChip, ProductDescription
from hapctl.processing.imaging.product_file import (
    ProductWriter,
    WrittenProduct,
    predicted_bytes,
    write_product,
)
from hapctl.processing.imaging.product_header import primary_header
from hapctl.processing.imaging.product_images import image_header
from hapctl.processing.imaging.product_statistics import ProductStatistics, StatisticsGatherer
from hypothesis import given, settings
from hypothesis import strategies as st
from support.product_descriptions import description, input_chip
from support.synthetic_chips import distorted_chip

Pixels = tuple[np.ndarray, np.ndarray, np.ndarray]


def random_pixels(grid: OutputGrid, chips: int, seed: int = 1) -> Pixels:
    rng = np.random.default_rng(seed)
    planes = -(-chips // 32)
    context = rng.integers(-(2**31), 2**31, (planes, *grid.shape)).astype(np.int32)
    if chips < 32:
        context &= (1 << chips) - 1
    science = rng.normal(size=grid.shape).astype(np.float32)
    science[np.all(context == 0, axis=0)] = np.nan
    weight = rng.uniform(0, 10.0 * chips, grid.shape).astype(np.float32)
    return science, weight, context


def written(path: Path, product: ProductDescription, pixels: Pixels, rows: int = 50) -> WrittenProduct:
    science, weight, context = pixels
    with ProductWriter(path, product) as writer:
        for first in range(0, science.shape[0], rows):
            band = slice(first, first + rows)
            writer.write(science[band], weight[band], context[:, band])
        return writer.finish()


@pytest.mark.parametrize("chips", [1, 2, 32, 33, 70])
def test_astropy_reads_what_was_written(tmp_path: Path, chips: int) -> None:
    product = description(chips)
    pixels = random_pixels(product.grid, chips)
    path = tmp_path / product.name
    written(path, product, pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "WHT", "CTX", "HDRTAB"]
            assert all(hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1 for hdu in hdus)
            assert np.array_equal(hdus["SCI"].data, pixels[0], equal_nan=True)
            assert np.array_equal(hdus["WHT"].data, pixels[1])
            context = hdus["CTX"].data
            assert np.array_equal(context if chips > 32 else context[None], pixels[2])
            table = hdus["HDRTAB"].data
            assert list(table["ROOTNAME"]) == [chip.rootname for chip in product.inputs]
            assert list(table["CTXBIT"]) == list(range(chips))
            assert np.array_equal(table["EXPSTART"], [chip.mjd_start for chip in product.inputs])


def test_keywords(tmp_path: Path) -> None:
    product = description(2)
    written(tmp_path / product.name, product, random_pixels(product.grid, 2))
    with fits.open(tmp_path / product.name) as hdus:
        primary, science = hdus[0].header, hdus["SCI"].header
        assert primary["FILENAME"] == product.name
        assert primary["ROOTNAME"] == "hst_9019_06_acs_hrc_f606w_j8bt06"
        assert (primary["HAPLEVEL"], primary["IPPPSSOO"], primary["NUMEXP"]) == (2, "j8bt06", 2)
        assert primary["SKYCELL"] == "p0046x03y19; p0047x20y18; p0073x03y02; p0074x17y02"
        assert primary["EXPTIME"] == 120.0
        assert primary["DATE-BEG"] == "2002-04-13T20:38:24.000"
        assert (primary["DATE-OBS"], primary["TIME-OBS"]) == ("2002-04-13", "20:38:24")
        assert (primary["HAPRUN"], primary["HAPPARAM"]) == (7, "12" * 32)
        assert "SCELLID" not in primary
        assert science["S_REGION"] == product.s_region
        assert science["WCSNAME"] == "IDC_n721640fj-FIT_SVM_GAIADR3"
        assert science["WCSTYPE"] == "undistorted a posteriori solution aligned by visit to GAIADR3"
        assert (science["NMATCHES"], science["RMS_RA"]) == (20, 6.0)  # the worst of all
        assert science["PHOTFLAM"] == pytest.approx(1.25e-19, rel=1e-12)
        assert science["PHOTMODE"] == "ACS HRC F606W"
        assert (science["VAFACTOR"], science["BUNIT"]) == (1.0, "ELECTRONS/S")
        wcs, x, y = WCS(science), np.arange(0.0, 300.0, 50.0), np.arange(10.0, 310.0, 50.0)
        assert np.allclose(wcs.all_pix2world(x, y, 0), product.grid.pixel_to_sky(x, y), atol=1e-11)


def test_the_position_of_a_target_is_said_where_all_inputs_have_one() -> None:
    def header(*places: dict[str, float]) -> fits.Header:
        chips = tuple(input_chip(number, header=place) for number, place in enumerate(places))
        return primary_header(replace(description(len(places)), inputs=chips), ProductStatistics())

    one, other = {"RA_TARG": 6.02, "DEC_TARG": -72.08}, {"RA_TARG": 6.03, "DEC_TARG": -72.08}
    assert (header(one, one)["RA_TARG"], header(one)["DEC_TARG"]) == (6.02, -72.08)
    assert not {"RA_TARG", "DEC_TARG"} & (set(header(one, other)) | set(header(one, {})) | set(header({})))


def test_a_layer_names_its_tile(tmp_path: Path) -> None:
    product = replace(description(1), kind="layer", visit="", sky_cells=("p0046x03y19",), full_pixels=10**7)
    science, weight, context = random_pixels(product.grid, 1)
    written(tmp_path / "x.fits", product, (science, weight, context))
    primary = fits.getheader(tmp_path / "x.fits")
    assert (primary["HAPLEVEL"], primary["SCELLID"]) == (4, "p0046x03y19")
    assert primary["NPIXFRAC"] == pytest.approx((context != 0).sum() / 1e7)
    assert "IPPPSSOO" not in primary
    names = fits.getdata(tmp_path / "x.fits", "HDRTAB").columns.names
    assert "SVMROOTNAME" in names
    assert "HAPEXPNAME" not in names


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"photometry": {"PHOTFLAM": 0.0, "PHOTMODE": ""}}, "filter"),
        ({"photometry": {}}, "filter"),
        ({}, "total"),
    ],
)
def test_no_photometry_where_an_input_has_none(changes: dict[str, object], kind: str) -> None:
    from hapctl.processing.imaging.product_header import science_header

    product = replace(description(2), kind=kind, inputs=(input_chip(0), input_chip(1, **changes)))
    assert not [keyword for keyword in science_header(product) if keyword.startswith("PHOT")]


def test_photometry_is_averaged_by_exposure_time() -> None:
    from hapctl.processing.imaging.product_header import science_header

    other = {**input_chip(1).photometry, "PHOTFLAM": 1.30e-19}
    inputs = (input_chip(0), input_chip(1, exposure_time=20.0, photometry=other))
    header = science_header(replace(description(2), inputs=inputs))
    assert header["PHOTFLAM"] == pytest.approx((60 * 1.25e-19 + 20 * 1.30e-19) / 80)


def test_mixed_solutions_are_called_multiple() -> None:
    from hapctl.processing.imaging.product_header import science_header

    inputs = (input_chip(0), input_chip(1, wcsname="IDC_n721640fj", keywords={}))
    header = science_header(replace(description(2), inputs=inputs))
    assert header["WCSNAME"] == header["WCSTYPE"] == "MULTIPLE"
    assert "NMATCHES" not in header


@pytest.mark.parametrize("chips", [1, 3, 20])
def test_statistics_are_those_of_the_pixels(tmp_path: Path, chips: int) -> None:
    product = description(chips)
    product = replace(
        product,
        inputs=tuple(replace(chip, exposure_time=10.0 + 7 * i) for i, chip in enumerate(product.inputs)),
    )
    science, weight, context = random_pixels(product.grid, chips)
    found = written(tmp_path / "x.fits", product, (science, weight, context), rows=17).statistics
    covered = context[0] != 0
    seen = (context[0][covered][:, None] >> np.arange(chips)) & 1
    seconds = seen @ np.array([chip.exposure_time for chip in product.inputs])
    total = sum(chip.exposure_time for chip in product.inputs)
    assert found.covered_pixels == covered.sum()
    assert found.mean_exposures == pytest.approx(seen.sum(axis=1).mean())
    assert found.median_exposures == np.median(seen.sum(axis=1))
    assert found.mean_exposure_time == pytest.approx(seconds.mean())
    assert found.median_exposure_time == pytest.approx(
        np.median(seconds), abs=0.0 if chips <= 16 else total / 65536
    )
    assert found.mean_weight == pytest.approx(weight[covered].mean(dtype=float))
    assert found.median_weight == pytest.approx(np.median(weight[covered]), abs=2 * 2 * total / 65536)


def test_counting_many_exposures_needs_little_memory() -> None:
    gatherer = StatisticsGatherer([[number] for number in range(40)], [10.0] * 40)
    context = np.full((2, 1000, 1000), 1, dtype=np.int32)
    weight = np.ones((1000, 1000), dtype=np.float32)
    tracemalloc.start()
    gatherer.add(weight, context)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert gatherer.result().mean_exposures == 2.0
    assert most < 12e6


def test_no_data_at_all(tmp_path: Path) -> None:
    product = description(1)
    shape = product.grid.shape
    pixels = np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32), np.zeros((1, *shape), np.int32)
    assert written(tmp_path / "x.fits", product, pixels).statistics.covered_pixels == 0
    assert fits.getheader(tmp_path / "x.fits")["MEANWHT"] == 0.0


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(1, 400))
def test_bands_do_not_matter(tmp_path_factory: pytest.TempPathFactory, rows: int) -> None:
    product = description(2)
    pixels = random_pixels(product.grid, 2)
    folder = tmp_path_factory.mktemp("bands")
    whole = written(folder / "whole.fits", product, pixels, rows=10_000)
    parts = written(folder / "parts.fits", product, pixels, rows=rows)
    assert whole.pixels_sha256 == parts.pixels_sha256
    assert (folder / "whole.fits").read_bytes() == (folder / "parts.fits").read_bytes()


def test_the_pixel_checksum_sees_pixels_alone(tmp_path: Path) -> None:
    product = description(2)
    science, weight, context = random_pixels(product.grid, 2)
    first = written(tmp_path / "a.fits", product, (science, weight, context)).pixels_sha256
    assert (
        written(tmp_path / "b.fits", replace(product, run=8), (science, weight, context)).pixels_sha256
        == first
    )
    changed = weight.copy()
    changed[3, 4] += 1.0
    assert written(tmp_path / "c.fits", product, (science, changed, context)).pixels_sha256 != first


def test_threads_give_the_same_file(tmp_path: Path) -> None:
    chip = distorted_chip()
    grid = north_up_grid([chip], 0.05)
    image = np.random.default_rng(3).normal(10, 3, chip.shape).astype(np.float32)
    source = DrizzleInput(
        chip, lambda a, b: (image[a:b], np.full((b - a, chip.shape[1]), 60.0, np.float32)), 60.0
    )
    files = []
    for threads in (1, 2, 4):
        path = tmp_path / f"{threads}.fits"
        with ProductWriter(path, description(1, grid)) as writer:
            for band in drizzle_bands([source], grid, threads=threads, band_rows=23):
                writer.write(band.sci, band.wht, band.ctx)
            writer.finish()
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    product = description(1)
    science, weight, context = random_pixels(product.grid, 1)

    def fail_half_way() -> None:
        with ProductWriter(tmp_path / "x.fits", product) as writer:
            writer.write(science[:5], weight[:5], context[:, :5])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_missing_rows_are_no_product(tmp_path: Path) -> None:
    product = description(1)
    science, weight, context = random_pixels(product.grid, 1)

    def finish_early() -> None:
        with ProductWriter(tmp_path / "x.fits", product) as writer:
            writer.write(science[:5], weight[:5], context[:, :5])
            writer.finish()

    with pytest.raises(ValueError, match="rows"):
        finish_early()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_met_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(TooLargeError, match="no room"):
        ProductWriter(tmp_path / "x.fits", description(1))
    assert list(tmp_path.iterdir()) == []


def with_variance(chips: int, **final: object) -> tuple[ProductDescription, list[Band]]:
    """A product with VAR and ERR, and its bands per second."""
    parameters = replace(FinalParameters(error=True), **final)  # type: ignore[arg-type]
    product = replace(description(chips), final=parameters, noise_correlation=1.5)
    science, weight, context = random_pixels(product.grid, chips)
    weight[np.isnan(science)] = 0.0
    variance = np.where(weight > 0, np.float32(0.25) + weight, np.float32(np.nan))
    bands = []
    for first in range(0, science.shape[0], 33):
        rows = slice(first, first + 33)
        planes = context[:, rows] if parameters.context else context[:0, rows]
        bands.append(Band(first, science[rows], weight[rows], planes, variance[rows]))
    return product, bands


def gathered(bands: list[Band]) -> dict[str, np.ndarray]:
    """The whole images of bands."""
    images = {name: np.concatenate([getattr(band, name) for band in bands]) for name in ("sci", "wht", "var")}
    return {**images, "ctx": np.concatenate([band.ctx for band in bands], axis=1)}


@pytest.mark.parametrize("chips", [2, 70])
def test_variance_and_error_are_written(tmp_path: Path, chips: int) -> None:
    product, bands = with_variance(chips)
    path = tmp_path / product.name
    made = write_product(path, product, bands)
    assert made.paths == (path,)
    assert path.stat().st_size == predicted_bytes(product)
    images = gathered(bands)
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "WHT", "CTX", "VAR", "ERR", "HDRTAB"]
        assert hdus[0].header["NEXTEND"] == 6
        assert all(hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1 for hdu in hdus)
        assert np.array_equal(hdus["VAR"].data, images["var"], equal_nan=True)
        assert np.array_equal(hdus["ERR"].data, np.sqrt(images["var"]), equal_nan=True)
        assert (hdus["VAR"].header["BUNIT"], hdus["ERR"].header["BUNIT"]) == (
            "(ELECTRONS/S)**2",
            "ELECTRONS/S",
        )
        assert [hdus[name].header["NOISER"] for name in ("SCI", "VAR", "ERR")] == [1.5] * 3
        assert np.isnan(hdus["VAR"].data[hdus["WHT"].data == 0]).all()
    assert [child.name for child in tmp_path.iterdir()] == [product.name]


@pytest.mark.parametrize("chips", [2, 70])
@pytest.mark.parametrize("context", [True, False])
def test_separate_files_hold_the_same(tmp_path: Path, chips: int, context: bool) -> None:
    product, bands = with_variance(chips, context=context)
    whole = write_product(tmp_path / "whole.fits", product, bands)
    made = write_product(tmp_path / "OUT.fits", product, bands, separate=True)
    names = ["OUT_sci.fits", "OUT_wht.fits", *(["OUT_ctx.fits"] if context else [])]
    assert [path.name for path in made.paths] == [*names, "OUT_var.fits", "OUT_err.fits"]
    assert sorted(child.name for child in tmp_path.iterdir()) == sorted(
        ["whole.fits", *(path.name for path in made.paths)]
    )
    assert made.pixels_sha256 == whole.pixels_sha256
    assert made.statistics == whole.statistics
    assert sum(path.stat().st_size for path in made.paths) == predicted_bytes(product, separate=True)
    with fits.open(whole.path) as hdus:
        for path in made.paths:
            layer = path.stem[-3:].upper()
            with fits.open(path, checksum=True) as alone:
                alone.verify("exception")
                assert all(hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1 for hdu in alone)
                assert np.array_equal(alone[0].data, hdus[layer].data, equal_nan=layer not in ("CTX",))
                header = alone[0].header
                assert header["FILENAME"] == path.name
                assert header["NUMEXP"] == chips
                assert (header["EXTNAME"], header["BUNIT"]) == (layer, hdus[layer].header["BUNIT"])
                both = [WCS(one, naxis=2) for one in (header, hdus[layer].header)]
                sky = [one.all_pix2world([1.0, 50.0], [2.0, 90.0], 0) for one in both]
                assert np.array_equal(*sky)
                assert [hdu.name for hdu in alone[1:]] == (["HDRTAB"] if layer == "SCI" else [])


@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize("chips", [1, 33])
def test_bands_are_read_back(tmp_path: Path, chips: int, context: bool) -> None:
    product, bands = with_variance(chips, context=context)
    write_product(tmp_path / "x.fits", product, bands)
    found, given = gathered(list(product_bands(tmp_path / "x.fits"))), gathered(bands)
    assert found.keys() == given.keys()
    assert all(np.array_equal(found[name], given[name], equal_nan=name != "ctx") for name in given)
    old = description(chips)
    written(tmp_path / "y.fits", old, random_pixels(old.grid, chips))
    assert all(band.var is None for band in product_bands(tmp_path / "y.fits"))


@pytest.mark.parametrize(
    ("weight", "unit", "power"), [("EXP", "S", 0), ("ERR", "ELECTRONS**-2", -2), ("IVM", "ELECTRONS**-2", -2)]
)
def test_counts_are_those_of_the_whole_time(tmp_path: Path, weight: str, unit: str, power: int) -> None:
    product, bands = with_variance(2, units="counts", weight=weight, fill_value=-7.0)
    for band in bands:
        band.sci[band.wht == 0] = -7.0
    write_product(tmp_path / "x.fits", product, bands)
    given, time = gathered(bands), np.float32(120.0)
    with fits.open(tmp_path / "x.fits") as hdus:
        data = given["wht"] > 0
        assert np.array_equal(hdus["SCI"].data[data], given["sci"][data] * time)
        assert (hdus["SCI"].data[~data] == -7.0).all()  # the fill value is not scaled
        assert np.allclose(hdus["VAR"].data[data], given["var"][data] * time**2)
        assert np.allclose(hdus["WHT"].data, given["wht"] * float(time) ** power)
        assert (hdus["SCI"].header["BUNIT"], hdus["WHT"].header["BUNIT"]) == ("ELECTRONS", unit)
        assert hdus["WHT"].header["WHTTYPE"] == weight
        assert (hdus[0].header["D001OUUN"], hdus[0].header["D001FVAL"]) == ("counts", -7.0)


@pytest.mark.parametrize(("scale", "unit"), [("exptime", "S"), ("expsq", "S**2"), ("number", "")])
def test_units_of_exposure_weights(scale: str, unit: str) -> None:
    product = replace(description(1), final=FinalParameters(weight_scale=scale))  # type: ignore[arg-type]
    header = image_header(product, "WHT")
    assert (header["BUNIT"], header["WHTTYPE"], header["WHTSCALE"]) == (unit, "EXP", scale)


def test_a_drizzle_without_a_catalog(tmp_path: Path) -> None:
    inputs = tuple(
        InputChip(
            rootname="a_file",
            file_name="a_file_flt.fits",
            extver=extver,
            chip=3 - extver,
            context_bit=extver - 1,
            exposure_time=60.0,
            mjd_start=52377.86,
            mjd_end=52377.87,
            sky=3.0,
            idcscale=0.05,
        )
        for extver in (1, 2)
    )
    product = ProductDescription(
        name="mine.fits",
        kind="drizzle",
        instrument="ACS",
        detector="WFC",
        filter="F606W",
        grid=description(1).grid,
        inputs=inputs,
        final=FinalParameters(pixfrac=0.8, variance=False),
    )
    science, weight, context = random_pixels(product.grid, 2)
    write_product(tmp_path / "mine.fits", product, [Band(0, science, weight, context)])
    with fits.open(tmp_path / "mine.fits") as hdus:
        header = hdus[0].header
        assert (header["NUMEXP"], header["NDRIZIM"], header["EXPTIME"]) == (1, 2, 60.0)  # exposures; chips
        assert (header["D001PIXF"], header["D001KERN"], header["D001ISCL"]) == (0.8, "square", 0.05)
        assert header["D001FVAL"] == "NaN"
        absent = ("HAPLEVEL", "IPPPSSOO", "SKYCELL", "HAPRUN", "HAPPOLCY", "HAPPARAM", "HAPINPUT", "WCSPOLCY")
        assert not [keyword for keyword in absent if keyword in header]
        assert "NOISER" not in hdus["SCI"].header
        assert "WCSNAME" not in hdus["SCI"].header
        names = hdus["HDRTAB"].columns.names
        assert {"ROOTNAME", "CTXBIT", "MDRIZSKY", "IDCSCALE", "FLUXFACT"} <= set(names)
        assert not {"HAPEXPNAME", "WCSRUN", "MASKSHA"} & set(names)


def test_mixed_filters_have_no_photometry() -> None:
    product = replace(description(2), inputs=(input_chip(0), input_chip(1, filter="F814W")))
    assert "PHOTFLAM" not in image_header(product, "SCI")


def test_a_band_without_variance_is_no_band_of_a_product_with_it(tmp_path: Path) -> None:
    product, bands = with_variance(1)
    with pytest.raises(ValueError, match="variance"):
        write_product(tmp_path / "x.fits", product, [replace(band, var=None) for band in bands])
    assert list(tmp_path.iterdir()) == []


def broken(bands: list[Band]) -> Iterator[Band]:
    """Bands until something fails."""
    yield from bands[:2]
    raise RuntimeError


@pytest.mark.parametrize("separate", [False, True])
def test_what_fails_leaves_the_old_product(tmp_path: Path, separate: bool) -> None:
    product, bands = with_variance(1)
    first = write_product(tmp_path / "x.fits", product, bands, separate=separate)
    before = {path: path.read_bytes() for path in first.paths}
    with pytest.raises(RuntimeError):
        write_product(tmp_path / "x.fits", replace(product, run=8), broken(bands), separate=separate)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("separate", [False, True])
def test_a_disk_that_fills_up_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separate: bool
) -> None:
    product, bands = with_variance(1)
    written_before = []

    def full(file: int, data: memoryview, offset: int) -> int:
        written_before.append(offset)
        if len(written_before) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os_pwrite(file, data, offset)

    os_pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(TooLargeError, match="no room"):
        write_product(tmp_path / "x.fits", product, bands, separate=separate)
    assert list(tmp_path.iterdir()) == []


def test_no_context(tmp_path: Path) -> None:
    product, bands = with_variance(2, context=False)
    made = write_product(tmp_path / "x.fits", product, bands)
    data = gathered(bands)["wht"] > 0
    assert made.statistics.covered_pixels == data.sum()
    assert made.statistics.median_weight == pytest.approx(np.median(gathered(bands)["wht"][data]), rel=2e-4)
    header = fits.getheader(tmp_path / "x.fits")
    assert "MEANNEXP" not in header
    assert header["MEANWHT"] == pytest.approx(gathered(bands)["wht"][data].mean(dtype=float))


@given(exponent=st.floats(-30, 30), spread=st.floats(0.01, 3.0))
@settings(max_examples=20, deadline=None)
def test_the_median_weight_of_any_size(exponent: float, spread: float) -> None:
    """Inverse variances may be of any size."""
    rng = np.random.default_rng(1)
    weight = (10.0**exponent * np.exp(rng.normal(0.0, spread, (40, 50)))).astype(np.float32)
    gatherer = StatisticsGatherer([[0]], [10.0])
    gatherer.add(weight[:17], np.ones((1, 17, 50), np.int32))
    gatherer.add(weight[17:], np.ones((1, 23, 50), np.int32))
    assert gatherer.result().median_weight == pytest.approx(float(np.median(weight)), rel=2e-4)


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.product_file import write_product
from support.product_descriptions import description

def bands(shape):
    half = np.ones((shape[0] // 2, shape[1]), np.float32)
    yield Band(0, half, half, half.astype(np.int32)[None])
    os._exit(9)  # no clean-up whatever, as of a killed process

product = description(1)
write_product(Path(sys.argv[1]), product, bands(product.grid.shape), separate=sys.argv[2] == "separate")
"""


@pytest.mark.parametrize("kind", ["whole", "separate"])
def test_a_killed_process_leaves_no_product_under_its_name(tmp_path: Path, kind: str) -> None:
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "x.fits"), kind],
        env={**os.environ, "PYTHONPATH": str(tests)},
        check=False,
    )
    assert done.returncode == 9
    left = [path.name for path in tmp_path.iterdir()]
    assert left
    assert all(name.startswith(".") and name.endswith(".partial") for name in left)
    product = description(1)
    science, weight, context = random_pixels(product.grid, 1)
    made = write_product(
        tmp_path / "x.fits", product, [Band(0, science, weight, context)], separate=kind == "separate"
    )
    assert sorted(tmp_path.iterdir()) == sorted(made.paths)
    with fits.open(made.path) as hdus:
        image = hdus[0].data if kind == "separate" else hdus["SCI"].data
        assert np.array_equal(image, science, equal_nan=True)


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path, product = tmp_path / "x.fits", description(1)
    (tmp_path / ".x.fits.partial").write_bytes(b"left by a run that was killed")
    science, weight, context = random_pixels(product.grid, 1)

    def bands() -> Iterator[Band]:
        with pytest.raises(RefusedError, match="another run is writing"):
            write_product(path, product, iter(()))
        yield Band(0, science, weight, context)

    write_product(path, product, bands())
    assert np.array_equal(fits.getdata(path, "SCI"), science, equal_nan=True)
    assert [file.name for file in tmp_path.iterdir()] == ["x.fits"]
    before = path.read_bytes()
    write_product(path, product, iter([Band(0, science, weight, context)]))
    assert path.read_bytes() == before


def test_a_file_that_has_just_got_its_name_is_not_taken_for_a_left_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, product = tmp_path / "x.fits", description(1)
    written(path, product, random_pixels(product.grid, 1))
    whole = path.read_bytes()
    lock = fcntl.flock

    def renamed_meanwhile(descriptor: int, how: int) -> None:
        lock(descriptor, how)
        if path.exists():
            path.rename(tmp_path / "final.fits")

    monkeypatch.setattr(fcntl, "flock", renamed_meanwhile)
    with pytest.raises(RefusedError, match="another run is writing"):
        ProductWriter(path, product)
    assert (tmp_path / "final.fits").read_bytes() == whole
