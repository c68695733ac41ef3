"""Drizzling: flux, bits, bands, context, odd inputs; against a slow reference and the drizzle package."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.imaging.drizzle import (
    DrizzledImage,
    DrizzleInput,
    drizzle_bands,
    drizzle_image,
    map_to_grid,
    predict_memory,
)
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.chips import embedded_headerlet, read_chips
from support.data import data_file
from support.slow_drizzle import slow_drizzle
from support.synthetic_chips import distorted_chip, plain_chip

Pixels = tuple[NDArray[np.float32], NDArray[np.float32]]


def random_pixels(shape: tuple[int, int], seed: int = 0) -> Pixels:
    """Values around 5 and weights of 0.5 to 2."""
    rng = np.random.default_rng(seed)
    values = rng.normal(5.0, 2.0, shape).astype(np.float32)
    return values, rng.uniform(0.5, 2.0, shape).astype(np.float32)


def reader(values: NDArray[np.float32], weights: NDArray[np.float32]) -> Callable[[int, int], Pixels]:
    return lambda first, stop: (values[first:stop], weights[first:stop])


def made_input(chip: ChipWcs, seed: int = 0, context_bit: int | None = None) -> tuple[DrizzleInput, Pixels]:
    pixels = random_pixels(chip.shape, seed)
    return DrizzleInput(chip, reader(*pixels), context_bit=context_bit), pixels


def assert_same_bits(one: DrizzledImage, other: DrizzledImage) -> None:
    for name in ("sci", "wht", "ctx"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


def flux_of(image: DrizzledImage) -> float:
    covered = image.wht > 0
    return float((image.sci[covered].astype(float) * image.wht[covered]).sum())


@pytest.mark.parametrize("pixfrac", [1.0, 0.7])
def test_equal_to_the_slow_reference(pixfrac: float) -> None:
    chips = [
        distorted_chip((30, 36)),
        replace(distorted_chip((30, 36), angle_deg=160.0), crval=(150.0002, 2.0001)),
    ]
    made = [made_input(chip, seed) for seed, chip in enumerate(chips)]
    grid = north_up_grid(chips, 0.04)
    image = drizzle_image([one for one, _ in made], grid, pixfrac=pixfrac)
    expected = [(chip, *pixels) for chip, (_, pixels) in zip(chips, made, strict=True)]
    sci, wht, ctx = slow_drizzle(expected, grid, pixfrac)
    np.testing.assert_allclose(image.wht, wht, rtol=2e-7, atol=1e-7)
    well_covered = wht > 1e-4
    np.testing.assert_allclose(image.sci[well_covered], sci[well_covered], rtol=1e-6, atol=1e-6)
    assert (image.ctx[0][well_covered] == ctx[well_covered]).all()
    assert np.isnan(image.sci[image.wht == 0]).all()


def real_chips() -> list[ChipWcs]:
    """An HRC chip and both chips of a UVIS headerlet, cut low."""
    hrc = read_solutions(data_file("hrc_47tuc/j8bt06nyq_flt.fits"))[0].solution.chips
    with embedded_headerlet(data_file("headers/sample_svm_flc.fits"), 2) as hdus:
        uvis = read_chips(hdus, "SIPWCS", (260, 4096))
    return [*hrc, *uvis]


@pytest.mark.parametrize("pixfrac", [1.0, 0.8])
@pytest.mark.parametrize("scale", [1.0, 0.7, 2.0])
def test_flux_is_conserved_on_real_chips(scale: float, pixfrac: float) -> None:
    for chip in real_chips():
        made, (values, weights) = made_input(chip)
        grid = north_up_grid([chip], chip.idcscale * scale)
        image = drizzle_image([made], grid, pixfrac=pixfrac, threads=2)
        ratio = grid.scale_arcsec / chip.idcscale
        expected = ratio**2 * (values.astype(float) * weights).sum()
        assert flux_of(image) == pytest.approx(expected, rel=1e-6)
        assert image.wht.astype(float).sum() == pytest.approx(weights.astype(float).sum(), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90), st.floats(0, 360), st.floats(0.02, 0.2), st.floats(0.05, 1.0))
def test_flux_is_conserved_anywhere(
    ra: float, dec: float, angle: float, scale: float, pixfrac: float
) -> None:
    chip = distorted_chip((23, 40), (ra, dec), angle_deg=angle)
    made, (values, weights) = made_input(chip)
    image = drizzle_image([made], north_up_grid([chip], scale), pixfrac=pixfrac, band_rows=9)
    expected = (scale / 0.05) ** 2 * (values.astype(float) * weights).sum()
    assert flux_of(image) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("angle", [0.0, 33.0, 90.0])
@pytest.mark.parametrize("pixfrac", [1.0, 0.8])
def test_the_same_bits_for_any_threads_and_bands(angle: float, pixfrac: float) -> None:
    chips = [
        distorted_chip((90, 700), angle_deg=angle),
        replace(distorted_chip((150, 170)), crval=(150.001, 2.0005)),
    ]
    inputs = [made_input(chip, seed)[0] for seed, chip in enumerate(chips)]
    grid = north_up_grid(chips)
    whole = drizzle_image(inputs, grid, pixfrac=pixfrac, band_rows=grid.shape[0])
    for threads, band_rows in [(1, 1), (1, 7), (2, 64), (3, 7), (4, None), (4, grid.shape[0])]:
        again = drizzle_image(inputs, grid, pixfrac=pixfrac, threads=threads, band_rows=band_rows)
        assert_same_bits(whole, again)


def test_a_cut_of_the_grid_gives_the_same_pixels() -> None:
    chip = distorted_chip()
    made, _ = made_input(chip)
    grid = north_up_grid([chip])
    whole = drizzle_image([made], grid)
    part = drizzle_image([made], grid.cut(40, 171, 33, 150))
    np.testing.assert_allclose(part.sci, whole.sci[40:171, 33:150], rtol=1e-5)
    np.testing.assert_allclose(part.wht, whole.wht[40:171, 33:150], rtol=1e-5)


def package_drizzle(
    chips: list[ChipWcs], pixels: list[Pixels], grid: OutputGrid, pixfrac: float
) -> DrizzledImage:
    """The drizzle package on our pixel map."""
    from drizzle.resample import Drizzle

    theirs = Drizzle(kernel="square", out_shape=grid.shape, fillval="NaN", max_ctx_id=len(chips) - 1)
    for chip, (values, weights) in zip(chips, pixels, strict=True):
        y, x = np.mgrid[0 : chip.shape[0], 0 : chip.shape[1]].astype(float)
        ratio = grid.scale_arcsec / chip.idcscale
        theirs.add_image(
            values,
            exptime=1.0,
            pixmap=np.dstack(map_to_grid(chip, grid, x, y)),
            iscale=ratio**2,
            pixel_scale_ratio=ratio,
            weight_map=weights,
            pixfrac=pixfrac,
        )
    return DrizzledImage(theirs.out_img, theirs.out_wht, theirs.out_ctx)


def assert_like_the_package(ours: DrizzledImage, theirs: DrizzledImage, corner_error: float) -> None:
    """Weights to 1e-5 of a pixel's, values to 1e-5, same context, but for specks of weight.

    ``corner_error`` (pixels) is what the package loses by taking corners between pixel centres.
    """
    tolerance = 1e-5 + 4 * corner_error
    np.testing.assert_allclose(ours.wht, theirs.wht, rtol=1e-5, atol=tolerance)
    covered = theirs.wht > 0.02
    np.testing.assert_allclose(ours.sci[covered], theirs.sci[covered], rtol=1e-5, atol=100 * corner_error)
    assert (ours.ctx[:, covered] == theirs.ctx[:, covered]).mean() > 0.9999


@pytest.mark.parametrize(("scale", "pixfrac"), [(0.05, 1.0), (0.05, 0.6), (0.031, 0.9), (0.12, 1.0)])
def test_equal_to_the_drizzle_package_on_affine_maps(scale: float, pixfrac: float) -> None:
    # About the tangent point of the chip the map is affine, so the package has the corners exactly.
    chips = [plain_chip((120, 140), angle_deg=angle) for angle in (0.0, 33.0, 201.7)]
    made = [made_input(chip, seed) for seed, chip in enumerate(chips)]
    step = scale / 3600.0
    size = int(2 * 95 * 0.05 / scale)
    grid = OutputGrid(chips[0].crval, (size / 2, size / 2 + 0.37), (-step, 0.0, 0.0, step), (size, size))
    ours = drizzle_image([one for one, _ in made], grid, pixfrac=pixfrac)
    theirs = package_drizzle(chips, [pixels for _, pixels in made], grid, pixfrac)
    assert_like_the_package(ours, theirs, 0.0)


def test_equal_to_the_drizzle_package_on_a_real_distortion() -> None:
    # HRC has polynomials alone: between centres its map bends by less than 1e-5 pixel.
    chip = read_solutions(data_file("hrc_47tuc/j8bt06nyq_flt.fits"))[0].solution.chips[0]
    made, pixels = made_input(chip)
    grid = north_up_grid([chip])
    ours = drizzle_image([made], grid)
    assert_like_the_package(ours, package_drizzle([chip], [pixels], grid, 1.0), 1e-5)


def test_what_contributes_nothing() -> None:
    chip = plain_chip((20, 20))
    values, weights = random_pixels(chip.shape)
    values[3, 4], values[5, 6], values[7, 8] = np.nan, np.inf, -np.inf
    weights[9, 10], weights[11, 12], weights[13, 14], weights[15, 16] = 0.0, np.nan, -1.0, np.inf
    image = drizzle_image([DrizzleInput(chip, reader(values, weights))], north_up_grid([chip]))
    good = np.ones(chip.shape, dtype=bool)
    for row in (3, 5, 7, 9, 11, 13, 15):
        good[row, row + 1] = False
    assert np.isfinite(image.wht).all()
    assert image.wht.astype(float).sum() == pytest.approx(weights[good].astype(float).sum(), rel=1e-6)
    assert flux_of(image) == pytest.approx((values[good].astype(float) * weights[good]).sum(), rel=1e-6)


def test_a_zero_weight_never_overwrites() -> None:
    chip = plain_chip((20, 20))
    first, _ = made_input(chip)
    nothing = DrizzleInput(chip, reader(np.full((20, 20), 9e9, np.float32), np.zeros((20, 20), np.float32)))
    grid = north_up_grid([chip])
    alone = drizzle_image([first], grid)
    for order in ([nothing, first], [first, nothing]):
        image = drizzle_image(order, grid)
        assert image.sci.tobytes() == alone.sci.tobytes()
        assert image.wht.tobytes() == alone.wht.tobytes()
    empty = drizzle_image([nothing], grid, fill_value=-1.0)
    assert (empty.sci == -1.0).all()
    assert not empty.wht.any()
    assert not empty.ctx.any()


def test_inputs_that_miss_the_output_are_not_read() -> None:
    def never(first: int, stop: int) -> Pixels:
        raise AssertionError("read")

    grid = north_up_grid([plain_chip()])
    away = [
        DrizzleInput(plain_chip(crval=crval), never) for crval in [(150.1, 2.0), (150.0, 3.0), (330.0, -2.0)]
    ]
    image = drizzle_image(away, grid)
    assert not image.wht.any()
    assert np.isnan(image.sci).all()


def test_only_the_rows_of_a_band_are_read() -> None:
    chip = plain_chip((640, 64))
    values, weights = random_pixels(chip.shape)
    read: list[tuple[int, int]] = []

    def recorded(first: int, stop: int) -> Pixels:
        read.append((first, stop))
        return values[first:stop], weights[first:stop]

    grid = north_up_grid([chip])
    drizzle_image([DrizzleInput(chip, recorded)], grid.cut(320, 330, 0, grid.shape[1]))
    assert read
    assert min(first for first, _ in read) >= 280
    assert max(stop for _, stop in read) <= 360


def test_blocks_of_columns_give_the_same_bits() -> None:
    chip = distorted_chip((300, 500), angle_deg=40.0)
    whole, (values, weights) = made_input(chip)
    asked: list[int] = []

    def block(y0: int, y1: int, x0: int, x1: int) -> Pixels:
        asked.append((y1 - y0) * (x1 - x0))
        return values[y0:y1, x0:x1], weights[y0:y1, x0:x1]

    grid = north_up_grid([chip])
    by_blocks = drizzle_image([replace(whole, read_block=block)], grid, band_rows=32)
    assert_same_bits(by_blocks, drizzle_image([whole], grid, band_rows=32))
    assert sum(asked) < 5 * values.size  # whole rows would be many times that


def test_context_planes_and_the_sign_bit() -> None:
    chip = plain_chip((6, 6))
    inputs = [made_input(chip, 0, number)[0] for number in (0, 31, 32, 70)]
    image = drizzle_image(inputs, north_up_grid([chip]))
    assert image.ctx.shape[0] == 3
    assert image.ctx.dtype == np.int32
    middle = image.ctx[:, 3, 3].view(np.uint32)
    assert middle.tolist() == [1 | 1 << 31, 1, 1 << 6]
    assert drizzle_image(inputs, north_up_grid([chip]), context=False).ctx.shape[0] == 0


def test_running_numbers_of_many_chips() -> None:
    chip = plain_chip((4, 4))
    image = drizzle_image([made_input(chip)[0] for _ in range(40)], north_up_grid([chip]))
    assert image.ctx[:, 2, 2].view(np.uint32).tolist() == [2**32 - 1, 2**8 - 1]


def test_bands_come_in_order_and_streaming_stops_cleanly() -> None:
    chip = plain_chip((64, 64))
    grid = north_up_grid([chip])
    bands = drizzle_bands([made_input(chip)[0]], grid, threads=3, band_rows=10)
    starts = [band.y0 for band in bands]
    assert starts == list(range(0, grid.shape[0], 10))
    early = drizzle_bands([made_input(chip)[0]], grid, threads=3, band_rows=10)
    assert next(early).y0 == 0
    early.close()


def test_an_error_of_a_reader_reaches_the_caller() -> None:
    def broken(first: int, stop: int) -> Pixels:
        raise OSError("disk gone")

    chip = plain_chip()
    for threads in (1, 2):
        with pytest.raises(OSError, match="disk gone"):
            drizzle_image([DrizzleInput(chip, broken)], north_up_grid([chip]), threads=threads)


def test_no_inputs_give_an_empty_image() -> None:
    image = drizzle_image([], north_up_grid([plain_chip()]))
    assert not image.wht.any()


def test_options_out_of_range_are_refused_before_the_first_band() -> None:
    made, _ = made_input(plain_chip())
    grid = north_up_grid([plain_chip()])
    for options in ({"pixfrac": 0.0}, {"pixfrac": 1.2}, {"threads": 0}, {"band_rows": 0}):
        with pytest.raises(UsageProblemError):
            drizzle_bands([made], grid, **options)
    with pytest.raises(UsageProblemError, match="finer"):
        drizzle_bands([made], north_up_grid([plain_chip()], 0.0005))
    with pytest.raises(UnusableFileError, match="IDCSCALE"):
        drizzle_bands([replace(made, chip=replace(distorted_chip(), idcscale=None))], grid)


def test_memory_is_predicted_from_above() -> None:
    import tracemalloc

    chip = distorted_chip((512, 700))
    made, _ = made_input(chip)
    grid = north_up_grid([chip])
    for band_rows, threads in [(None, 1), (40, 2)]:
        predicted = predict_memory([chip.shape], grid, threads=threads, band_rows=band_rows)
        tracemalloc.start()
        for _ in drizzle_bands([made], grid, threads=threads, band_rows=band_rows):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0.5 * peak < predicted
        assert peak < 1.1 * predicted + 2**20
