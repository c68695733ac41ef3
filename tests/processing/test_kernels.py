"""Every kernel through the whole drizzle; against the drizzle package and plain references."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.drizzle import DrizzledImage, DrizzleInput, drizzle_image, map_to_grid
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hapctl.processing.imaging.kernels import add_function, reach_beyond_corners
from hapctl.processing.imaging.parameters import KERNELS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.slow_kernels import as_the_peer_samples, exactly, slow_sums
from support.synthetic_chips import distorted_chip, plain_chip

OTHERS = [kernel for kernel in KERNELS if kernel != "square"]
LANCZOS = ["lanczos2", "lanczos3"]
Pixels = tuple[NDArray[np.float32], NDArray[np.float32]]


def random_pixels(shape: tuple[int, int], seed: int = 0) -> Pixels:
    rng = np.random.default_rng(seed)
    return rng.normal(5.0, 2.0, shape).astype(np.float32), rng.uniform(0.5, 2.0, shape).astype(np.float32)


def as_input(chip: ChipWcs, pixels: Pixels, variance: float | None = None) -> DrizzleInput:
    values, weights = pixels
    noise: Callable[[int, int, int, int], NDArray[np.float32]] | None = None
    if variance is not None:
        noise = lambda y0, y1, x0, x1: np.full((y1 - y0, x1 - x0), variance, np.float32)  # noqa: E731
    return DrizzleInput(
        chip, lambda first, stop: (values[first:stop], weights[first:stop]), read_variance=noise
    )


def assert_same_bits(one: DrizzledImage, other: DrizzledImage) -> None:
    for name in ("sci", "wht", "ctx", "var"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


def package_drizzle(
    kernel: str, chip: ChipWcs, pixels: Pixels, grid: OutputGrid, pixfrac: float
) -> DrizzledImage:
    """The drizzle package on our map."""
    from drizzle.resample import Drizzle

    y, x = np.mgrid[0 : chip.shape[0], 0 : chip.shape[1]].astype(float)
    ratio = grid.scale_arcsec / chip.idcscale
    theirs = Drizzle(kernel=kernel, out_shape=grid.shape, fillval="NaN")
    theirs.add_image(
        pixels[0],
        exptime=1.0,
        pixmap=np.dstack(map_to_grid(chip, grid, x, y)),
        iscale=ratio**2,
        pixel_scale_ratio=ratio,
        weight_map=pixels[1],
        pixfrac=pixfrac,
    )
    return DrizzledImage(theirs.out_img, theirs.out_wht, theirs.out_ctx)


@pytest.mark.filterwarnings("ignore:Kernel 'gaussian' is not a flux-conserving kernel")
@pytest.mark.parametrize("kernel", ["point", "turbo", "gaussian"])
@pytest.mark.parametrize(("scale", "pixfrac"), [(0.05, 1.0), (0.05, 0.6), (0.031, 0.9), (0.12, 0.8)])
def test_equal_to_the_drizzle_package(kernel: str, scale: float, pixfrac: float) -> None:
    chip = distorted_chip((90, 120))
    pixels = random_pixels(chip.shape)
    grid = north_up_grid([chip], scale)
    ours = drizzle_image([as_input(chip, pixels)], grid, kernel=kernel, pixfrac=pixfrac, band_rows=33)
    theirs = package_drizzle(kernel, chip, pixels, grid, pixfrac)
    np.testing.assert_allclose(ours.wht, theirs.wht, rtol=1e-5, atol=1e-8)
    covered = theirs.wht > 1e-6
    np.testing.assert_allclose(ours.sci[covered], theirs.sci[covered], rtol=1e-5, atol=1e-5)
    assert (ours.ctx[:, covered] == theirs.ctx[:, covered]).all()


@pytest.mark.filterwarnings("ignore:Kernel 'gaussian' is not a flux-conserving kernel")
@pytest.mark.parametrize("kernel", ["turbo", "gaussian"])
def test_the_package_leaves_out_pixels_centred_outside(kernel: str) -> None:
    # We keep what they spill into the output: a cut of a mosaic then equals the mosaic.
    chip = distorted_chip((90, 120))
    pixels = random_pixels(chip.shape)
    grid = north_up_grid([chip])
    cut = grid.cut(40, 90, 30, 95)
    whole = drizzle_image([as_input(chip, pixels)], grid, kernel=kernel)
    ours = drizzle_image([as_input(chip, pixels)], cut, kernel=kernel)
    theirs = package_drizzle(kernel, chip, pixels, cut, 1.0)
    np.testing.assert_allclose(ours.wht, whole.wht[40:90, 30:95], rtol=1e-5, atol=1e-7)
    inner = slice(2, -2), slice(2, -2)
    np.testing.assert_allclose(ours.wht[inner], theirs.wht[inner], rtol=1e-5)
    assert (theirs.wht[0] < 0.999 * ours.wht[0]).any()


@pytest.mark.filterwarnings("ignore:.*lanczos")
@pytest.mark.parametrize("scale", [0.05, 0.07])
@pytest.mark.parametrize("kernel", LANCZOS)
def test_the_drizzle_package_samples_the_lanczos_function_we_compute(kernel: str, scale: float) -> None:
    chip = distorted_chip((18, 22))
    pixels = random_pixels(chip.shape)
    grid = north_up_grid([chip], scale)
    ours = drizzle_image([as_input(chip, pixels)], grid, kernel=kernel, pixfrac=0.8)
    theirs = package_drizzle(kernel, chip, pixels, grid, 0.8)
    for image, sampled in ((ours, exactly), (theirs, as_the_peer_samples)):
        flux, weight = slow_sums(kernel, chip, *pixels, grid, 0.8, sampled)
        well = weight > 0.2
        assert well.sum() > 100
        np.testing.assert_allclose(image.wht[well], weight[well], rtol=1e-5)
        np.testing.assert_allclose(image.sci[well], flux[well] / weight[well], rtol=1e-5, atol=1e-5)
    # Its table is as fine as 0.003: half a step times the steepest slope, over all taps.
    assert 1e-4 < np.abs(ours.wht[well] - theirs.wht[well]).max() < 0.02


def shifted(
    kernel: str, patch: tuple[slice, slice], shape: tuple[int, int], to: tuple[int, int]
) -> DrizzledImage:
    """A field of zeros with a patch of 100; tangent points at half the shapes, x and y swapped."""
    step = 0.04 / 3600.0
    chip = replace(
        plain_chip(shape, (10.0, 10.0), 0.04), crpix=(shape[0] / 2, shape[1] / 2), cd=(step, 0.0, 0.0, step)
    )
    grid = OutputGrid((10.0, 10.0), (to[0] / 2, to[1] / 2), (step, 0.0, 0.0, step), to)
    values = np.zeros(shape, np.float32)
    values[patch] = 100.0
    return drizzle_image([as_input(chip, (values, np.ones(shape, np.float32)))], grid, kernel=kernel)


@pytest.mark.parametrize(
    ("kernel", "patch", "total", "peak"),
    [
        ("square", np.s_[20:22, 21:22], 200.0, 100.0),
        ("turbo", np.s_[20:22, 21:22], 200.0, 100.0),
        ("gaussian", np.s_[20:22, 21:22], 200.0, 88.5425),
        ("gaussian", np.s_[0:1, 21:22], 149.708, None),
        ("gaussian", np.s_[21:25, 22:26], 1600.0, None),
        ("gaussian", np.s_[21:25, 22:23], 400.0, None),
        ("lanczos3", np.s_[20:22, 21:22], 200.0, None),
    ],
)
def test_sums_that_the_field_has_recorded(
    kernel: str, patch: tuple[slice, slice], total: float, peak: float | None
) -> None:
    # From AstroDrizzle's own tests; its peak of lanczos3 comes from a coarse table, and is not ours.
    image = shifted(kernel, patch, (60, 50), (66, 51))
    assert np.nansum(image.sci.astype(float)) == pytest.approx(total, rel=1e-4)
    if peak is not None:
        assert np.nanmax(image.sci) == pytest.approx(peak, rel=1e-5)


@pytest.mark.parametrize("kernel", OTHERS)
def test_the_same_bits_for_any_threads_and_bands(kernel: str) -> None:
    chips = [
        distorted_chip((90, 300), angle_deg=33.0),
        replace(distorted_chip((70, 90)), crval=(150.001, 2.0005)),
    ]
    inputs = [as_input(chip, random_pixels(chip.shape, seed), 2.0) for seed, chip in enumerate(chips)]
    for scale in (0.05, 0.025):
        grid = north_up_grid(chips, scale)
        options = {"kernel": kernel, "pixfrac": 0.8, "variance": True}
        whole = drizzle_image(inputs, grid, band_rows=grid.shape[0], **options)
        for threads, band_rows in [(1, 7), (2, 64), (4, None)] + ([(3, 1)] if scale == 0.05 else []):
            again = drizzle_image(inputs, grid, threads=threads, band_rows=band_rows, **options)
            assert_same_bits(whole, again)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(KERNELS),
    st.floats(0, 360),
    st.floats(-89, 89),
    st.floats(0, 360),
    st.floats(0.02, 0.3),
    st.floats(0.05, 1.0),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_a_constant_stays_constant(
    kernel: str, ra: float, dec: float, angle: float, scale: float, pixfrac: float, shape: tuple[int, int]
) -> None:
    chip = distorted_chip(shape, (ra, dec), angle_deg=angle)
    pixels = np.full(shape, 7.25, np.float32), random_pixels(shape)[1]
    grid = north_up_grid([chip], scale)
    image = drizzle_image([as_input(chip, pixels)], grid, kernel=kernel, pixfrac=pixfrac, band_rows=16)
    covered = image.wht > 0
    np.testing.assert_allclose(image.sci[covered], (scale / 0.05) ** 2 * 7.25, rtol=1e-6)
    assert (image.wht >= 0).all()
    assert np.isnan(image.sci[~covered]).all()
    assert not image.ctx[:, ~covered].any()
    if kernel in ("point", "turbo"):
        flux = (image.sci[covered].astype(float) * image.wht[covered]).sum()
        total = float((pixels[0].astype(float) * pixels[1]).sum())
        assert flux == pytest.approx((scale / 0.05) ** 2 * total, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(OTHERS),
    st.integers(-300, 300),
    st.integers(-300, 300),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_outputs_anywhere_are_cuts(kernel: str, y: int, x: int, ny: int, nx: int) -> None:
    chip = distorted_chip((40, 60))
    source = as_input(chip, random_pixels(chip.shape))
    grid = north_up_grid([chip])
    whole = drizzle_image([source], grid, kernel=kernel, pixfrac=0.8)
    part = drizzle_image([source], grid.cut(y, y + ny, x, x + nx), kernel=kernel, pixfrac=0.8)
    at_y, at_x = slice(max(y, 0), max(y + ny, 0)), slice(max(x, 0), max(x + nx, 0))
    expected = np.zeros((ny, nx))
    common = whole.wht[at_y, at_x]
    expected[max(-y, 0) : max(-y, 0) + common.shape[0], max(-x, 0) : max(-x, 0) + common.shape[1]] = common
    inside = expected != 0
    if kernel in LANCZOS:  # negative weights of pixels cut to 0 lie at the rim of the chip
        inside &= expected > 0.05
    differ = np.abs(part.wht - expected)[inside] > 1e-5
    assert differ.mean() < 0.01 if inside.any() else True


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_size_of_a_kernel_goes_by_the_scale_of_each_chip(kernel: str) -> None:
    # WFPC2's PC and WF chips differ by 2.2.
    chips = [
        plain_chip((12, 14), scale_arcsec=0.0455),
        replace(plain_chip((9, 8), scale_arcsec=0.0996), extver=2),
    ]
    pixels = [random_pixels(chip.shape, seed) for seed, chip in enumerate(chips)]
    grid = replace(north_up_grid([chips[0]], 0.06), crpix=(20.3, 18.4), shape=(36, 40))
    image = drizzle_image([as_input(*both) for both in zip(chips, pixels, strict=True)], grid, kernel=kernel)
    if kernel == "square":
        pairs = [
            (sums.sci.astype(float) * sums.wht, sums.wht.astype(float))
            for sums in (
                drizzle_image([as_input(*both)], grid, fill_value=0.0)
                for both in zip(chips, pixels, strict=True)
            )
        ]
    else:
        pairs = [slow_sums(kernel, chip, *both, grid, 1.0) for chip, both in zip(chips, pixels, strict=True)]
    flux, weight = pairs[0][0] + pairs[1][0], pairs[0][1] + pairs[1][1]
    np.testing.assert_allclose(image.wht, np.where(weight > 0, weight, 0), rtol=2e-6, atol=1e-6)
    well = weight > 0.05
    np.testing.assert_allclose(image.sci[well], flux[well] / weight[well], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kernel", LANCZOS)
def test_weights_that_sum_to_less_than_nothing_are_no_coverage(kernel: str) -> None:
    chip = plain_chip((1, 1))
    grid = replace(north_up_grid([chip]), crpix=(6.3, 6.4), shape=(11, 11))
    made = as_input(chip, (np.ones((1, 1), np.float32), np.ones((1, 1), np.float32)), 1.0)
    image = drizzle_image([made], grid, kernel=kernel, fill_value=-9.0, variance=True)
    _, weight = slow_sums(kernel, chip, np.ones((1, 1)), np.ones((1, 1)), grid, 1.0)
    assert (weight < -0.01).any()
    assert ((image.wht > 0) == (weight > 0)).all()
    nothing = weight <= 0
    assert (image.sci[nothing] == -9.0).all()
    assert not image.wht[nothing].any()
    assert not image.ctx[0][nothing].any()
    assert image.var is not None
    assert np.isnan(image.var[nothing]).all()
    np.testing.assert_allclose(image.var[~nothing], 1.0, rtol=1e-6)


@pytest.mark.parametrize("kernel", OTHERS)
def test_masked_chips_and_outputs_of_one_pixel(kernel: str) -> None:
    chip = plain_chip((20, 20))
    values, weights = random_pixels(chip.shape)
    grid = north_up_grid([chip])
    for bad in (np.zeros_like(weights), np.full_like(weights, np.nan)):
        empty = drizzle_image([as_input(chip, (values, bad))], grid, kernel=kernel)
        assert np.isnan(empty.sci).all()
        assert not empty.wht.any()
        assert not empty.ctx.any()
    one = drizzle_image([as_input(chip, (values, weights))], grid.cut(10, 11, 9, 10), kernel=kernel)
    whole = drizzle_image([as_input(chip, (values, weights))], grid, kernel=kernel)
    np.testing.assert_allclose(one.wht, whole.wht[10:11, 9:10], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kernel", OTHERS)
def test_a_zero_weight_never_overwrites(kernel: str) -> None:
    chip = distorted_chip((30, 30))
    first = as_input(chip, random_pixels(chip.shape))
    nothing = as_input(chip, (np.full((30, 30), 9e9, np.float32), np.zeros((30, 30), np.float32)))
    grid = north_up_grid([chip])
    alone = drizzle_image([first], grid, kernel=kernel)
    for order in ([nothing, first], [first, nothing]):
        image = drizzle_image(order, grid, kernel=kernel)
        assert image.sci.tobytes() == alone.sci.tobytes()
        assert image.wht.tobytes() == alone.wht.tobytes()


def test_reach_and_names() -> None:
    assert reach_beyond_corners("square", 1.0, 1.0) == 0.0
    assert reach_beyond_corners("lanczos3", 0.5, 0.5) == 6.0
    assert reach_beyond_corners("gaussian", 0.5, 1.0) == pytest.approx(1.7)
    assert all(callable(add_function(kernel, 1.0)) for kernel in KERNELS)
    with pytest.raises(UsageProblemError, match="kernel"):
        drizzle_image([], north_up_grid([plain_chip()]), kernel="round")
