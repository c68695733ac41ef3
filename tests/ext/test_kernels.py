"""The kernels of pixel centres: against plain definitions, in all builds and bands, on odd input."""

import math
from typing import Any

import numpy as np
import pytest
from hapctl.ext.cpu import builds
from hapctl.ext.kernels import KINDS, add_pixels, reach
from hapctl.ext.mapping import ChipDistortion
from hapctl.processing.astrometry.mapping import distortion, homography
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.slow_kernels import footprint, lanczos, share_of, slow_sums
from support.synthetic_chips import distorted_chip

KERNELS = sorted(KINDS)
SMOOTH = ["gaussian", "lanczos2", "lanczos3", "turbo"]
Arrays = tuple[NDArray[np.float64], NDArray[np.int32]]


def one_pixel(
    kernel: str,
    x: float,
    y: float,
    shape: tuple[int, int] = (11, 13),
    pixfrac: float = 1.0,
    scale: float = 1.0,
    value: float = 1.0,
    weight: float = 1.0,
    **options: Any,
) -> Arrays:
    """Sums and context of one input pixel that maps to x, y."""
    sums, context = np.zeros((*shape, 2)), np.zeros(shape, dtype=np.int32)
    matrix = np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
    pixel = np.full((1, 1), value, dtype=np.float32), np.full((1, 1), weight, dtype=np.float32)
    chip = ChipDistortion((0.0, 0.0))
    add_pixels(
        kernel,
        chip,
        matrix,
        *pixel,
        0,
        (0, 1),
        1.0,
        pixfrac,
        sums,
        context,
        1,
        0,
        scale_ratio=scale,
        **options,
    )
    return sums, context


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("pixfrac", "scale"), [(1.0, 1.0), (0.8, 1.0), (0.6, 0.5), (0.3, 1.4), (1.0, 2.2), (1.0, 7.0)]
)
def test_one_pixel_weighs_what_the_definition_says(kernel: str, pixfrac: float, scale: float) -> None:
    rng = np.random.default_rng(3)
    for x, y in rng.uniform(-3.0, 14.0, (40, 2)):
        sums, _ = one_pixel(kernel, x, y, pixfrac=pixfrac, scale=scale, value=3.0, weight=2.0)
        expected = footprint(kernel, (x, y), (11, 13), pixfrac, scale)
        np.testing.assert_allclose(
            sums[..., 1], 2.0 * expected, rtol=1e-11, atol=1e-12 * expected.max(initial=1)
        )
        np.testing.assert_allclose(sums[..., 0], 3.0 * sums[..., 1], rtol=1e-14)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(KERNELS),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(0.01, 1.0),
    st.floats(0.02, 20.0),
)
def test_context_is_where_weight_is(kernel: str, x: float, y: float, pixfrac: float, scale: float) -> None:
    sums, context = one_pixel(kernel, x % 40 - 13, y, (5, 7), pixfrac, scale)
    assert np.isfinite(sums).all()
    assert ((context == 1) == (sums[..., 1] != 0.0)).all()
    if not kernel.startswith("lanczos"):
        assert (sums >= 0.0).all()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["point", "turbo"]), st.floats(3.0, 8.0), st.floats(3.0, 8.0), st.floats(0.01, 1.0))
def test_point_and_turbo_hand_on_all_of_a_weight(kernel: str, x: float, y: float, pixfrac: float) -> None:
    for scale in (0.3, 1.0, 2.5):
        sums, _ = one_pixel(kernel, x, y, pixfrac=pixfrac, scale=scale)
        assert sums[..., 1].sum() == pytest.approx(1.0, abs=1e-10)


def test_a_tie_of_the_point_kernel_goes_up() -> None:
    for x, column in [(2.5, 3), (3.5, 4), (np.nextafter(2.5, 0), 2), (-0.5, 0), (0.4999, 0)]:
        assert np.argwhere(one_pixel("point", x, 4.0)[0][..., 1]).tolist() == [[4, column]]
    assert not one_pixel("point", np.nextafter(-0.5, -1), 4.0)[0].any()
    assert not one_pixel("point", 12.5, 4.0)[0].any()


@pytest.mark.parametrize("kernel", ["lanczos2", "lanczos3"])
def test_whole_steps_weigh_exactly_nothing(kernel: str) -> None:
    # A grid that is not turned nor scaled takes each pixel as it is.
    sums, context = one_pixel(kernel, 6.0, 5.0)
    assert context.sum() == 1
    assert sums[5, 6, 1] == pytest.approx(1.0, abs=1e-12)
    assert np.count_nonzero(sums[..., 1]) == 1


def test_lanczos_weights_are_the_function_to_1e_12() -> None:
    for order, kernel in ((2, "lanczos2"), (3, "lanczos3")):
        for t in np.linspace(0.0, order, 997):
            sums, context = one_pixel(kernel, 6.0 + t, 5.0)
            assert sums[5, 6, 1] == pytest.approx(lanczos(order, t), abs=1e-12)
            assert (context[5, 6] == 1) == (sums[5, 6, 1] != 0.0)


def test_the_gaussian_is_the_exponential_to_1e_11() -> None:
    for x in np.linspace(4.8, 6.5, 300):
        sums, _ = one_pixel("gaussian", x, 5.0, pixfrac=0.7)
        factor = (2.3548 / 0.7) ** 2 / 2
        assert sums[5, 6, 1] == pytest.approx(
            factor / math.pi * math.exp(-factor * (x - 6.0) ** 2), rel=1e-11
        )


@pytest.mark.parametrize("kernel", KERNELS)
def test_reach_bounds_the_footprint(kernel: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        pixfrac, scale, x = rng.uniform(0.05, 1.0), rng.uniform(0.2, 3.0), rng.uniform(20.0, 21.0)
        touched = np.flatnonzero(one_pixel(kernel, x, 20.3, (41, 41), pixfrac, scale)[0][..., 1].any(axis=0))
        assert reach(kernel, pixfrac, scale) == pytest.approx(share_of(kernel, pixfrac, scale)[0])
        assert touched.size == 0 or abs(touched - x).max() <= reach(kernel, pixfrac, scale) + 1e-12


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("value", "weight"),
    [(np.nan, 1.0), (np.inf, 1.0), (-np.inf, 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, np.nan), (1.0, np.inf)],
)
def test_what_contributes_nothing(kernel: str, value: float, weight: float) -> None:
    sums, context = one_pixel(kernel, 5.0, 5.0, value=value, weight=weight)
    assert not sums.any()
    assert not context.any()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "place", [(np.nan, 5.0), (5.0, np.inf), (-np.inf, np.nan), (1e300, 5.0), (5.0, -1e12)]
)
def test_places_that_are_nowhere(kernel: str, place: tuple[float, float]) -> None:
    assert not one_pixel(kernel, *place)[0].any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_lies_behind_the_plane_is_dropped(kernel: str) -> None:
    sums, context = np.zeros((5, 5, 2)), np.zeros((5, 5), dtype=np.int32)
    behind = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 2.0], [0.0, 0.0, -1.0]])
    pixel = np.ones((1, 1), dtype=np.float32)
    add_pixels(
        kernel, ChipDistortion((0.0, 0.0)), behind, pixel, pixel, 0, (0, 1), 1.0, 1.0, sums, context, 1, 0
    )
    assert not sums.any()


class Scene:
    """A small distorted chip and its pixels, to be drizzled in all ways."""

    def __init__(self, scale_arcsec: float = 0.05, shape: tuple[int, int] = (40, 150)) -> None:
        rng = np.random.default_rng(0)
        self.chip = distorted_chip(shape)
        self.values = rng.normal(5.0, 2.0, shape).astype(np.float32)
        self.weights = rng.uniform(0.5, 2.0, shape).astype(np.float32)
        self.variances = rng.uniform(0.5, 2.0, shape).astype(np.float32)
        self.weights[rng.random(shape) < 0.02] = 0.0
        self.grid = north_up_grid([self.chip], scale_arcsec)

    def drizzle(
        self, kernel: str, module: Any, rows: int | None = None, grid: OutputGrid | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
        """Sums, context and variance sums, by bands of so many rows."""
        grid = grid or self.grid
        height = rows or grid.shape[0]
        chip, matrix = distortion(self.chip, "hst"), homography(self.chip, grid.plane)
        ratio = grid.scale_arcsec / self.chip.idcscale
        sums, squares = np.zeros((*grid.shape, 2)), np.zeros(grid.shape)
        context = np.zeros(grid.shape, dtype=np.int32)
        for y in range(0, grid.shape[0], height):
            for first in range(0, self.values.shape[0], 32):
                block = slice(first, first + 32)
                module.add_pixels(
                    kernel,
                    chip,
                    matrix,
                    self.values[block],
                    self.weights[block],
                    first,
                    (0, self.values.shape[1]),
                    ratio**2,
                    0.8,
                    sums[y : y + height],
                    context[y : y + height],
                    1,
                    y,
                    self.variances[block],
                    squares[y : y + height],
                    scale_ratio=ratio,
                )
        return sums, context, squares


@pytest.mark.parametrize("scale", [0.05, 0.031, 0.11])
@pytest.mark.parametrize("kernel", KERNELS)
def test_equal_to_the_slow_reference(kernel: str, scale: float) -> None:
    scene = Scene(scale, (35, 20))
    sums, _, _ = scene.drizzle(kernel, builds("kernels")["baseline"])
    flux, weight = slow_sums(kernel, scene.chip, scene.values, scene.weights, scene.grid, 0.8)
    np.testing.assert_allclose(sums[..., 0], flux, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(sums[..., 1], weight, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("scale", [0.05, 0.031, 0.11])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_same_bits_in_all_builds_and_bands(kernel: str, scale: float) -> None:
    scene = Scene(scale)
    found = builds("kernels")
    whole = scene.drizzle(kernel, found["baseline"])
    for module in found.values():
        for rows in (None, 1, 7, 64):
            again = scene.drizzle(kernel, module, rows)
            assert all(one.tobytes() == other.tobytes() for one, other in zip(whole, again, strict=True))


@pytest.mark.parametrize("kernel", KERNELS)
def test_outputs_of_any_width_are_cuts_of_the_whole(kernel: str) -> None:
    scene = Scene()
    modules = builds("kernels")
    whole = scene.drizzle(kernel, modules["baseline"])
    for width in [*range(1, 41)]:
        window = slice(30, 70), slice(60, 60 + width)
        grid = scene.grid.cut(30, 70, 60, 60 + width)
        parts = [scene.drizzle(kernel, module, 17, grid) for module in modules.values()]
        for part in parts:
            assert all(one.tobytes() == other.tobytes() for one, other in zip(parts[0], part, strict=True))
        # Another grid has another homography, by rounding; a point may then jump.
        difference = np.abs(parts[0][0] - whole[0][window])
        limit = 1e-9 if kernel in SMOOTH else np.inf
        assert difference.max() < limit
        assert np.median(difference) < 1e-9


@pytest.mark.parametrize("kernel", KERNELS)
def test_variances_are_summed_with_squared_weights(kernel: str) -> None:
    squares = np.zeros((11, 13))
    noise = np.full((1, 1), 7.0, dtype=np.float32)
    sums, _ = one_pixel(kernel, 5.3, 6.2, pixfrac=0.9, weight=2.0, variances=noise, variance_sums=squares)
    np.testing.assert_allclose(squares, sums[..., 1] ** 2 * 7.0, rtol=1e-14)
    for bad in (np.nan, -1.0, np.inf):
        squares[:] = 0.0
        noise[:] = bad
        one_pixel(kernel, 5.3, 6.2, pixfrac=0.9, variances=noise, variance_sums=squares)
        assert (np.isnan(squares) == (sums[..., 1] != 0)).all()


def test_wrong_arrays_are_refused() -> None:
    chip, matrix = ChipDistortion((0.0, 0.0)), np.eye(3)
    pixels, sums, plane = np.ones((2, 3), np.float32), np.zeros((4, 5, 2)), np.zeros((4, 5), np.int32)
    good: list[Any] = ["turbo", chip, matrix, pixels, pixels, 0, (0, 3), 1.0, 1.0, sums, plane, 1, 0]
    add_pixels(*good)
    for place, wrong in [
        (2, np.eye(2)),
        (3, pixels[:1]),
        (4, pixels[:, :2].copy()),
        (6, (0, 4)),
        (6, (2, 1)),
        (8, 0.0),
        (8, 1e-200),
        (8, np.nan),
        (8, 1.1),
        (9, np.zeros((4, 5, 3))),
        (10, plane[:3]),
        (12, -1),
        (12, 10**9),
    ]:
        with pytest.raises(ValueError):
            add_pixels(*good[:place], wrong, *good[place + 1 :])
    for options in (
        {"scale_ratio": 0.0},
        {"scale_ratio": 1e-300},
        {"scale_ratio": np.nan},
        {"scale_ratio": math.inf},
        {"variances": pixels},
        {"variance_sums": np.zeros((4, 5))},
        {"variances": pixels[:1], "variance_sums": np.zeros((4, 5))},
        {"variances": pixels, "variance_sums": np.zeros((3, 5))},
    ):
        with pytest.raises(ValueError):
            add_pixels(*good, **options)
    with pytest.raises(ValueError, match="ratio"):
        reach("lanczos3", 1.0, 1e-9)
    with pytest.raises(KeyError):
        add_pixels("square", *good[1:])


def test_empty_inputs_and_outputs_do_nothing() -> None:
    chip, matrix, pixels = ChipDistortion((0.0, 0.0)), np.eye(3), np.ones((2, 3), np.float32)
    for sums in (np.zeros((0, 5, 2)), np.zeros((4, 0, 2))):
        add_pixels("turbo", chip, matrix, pixels, pixels, 0, (0, 3), 1.0, 1.0, sums, None, 1, 0)
    sums = np.zeros((4, 5, 2))
    add_pixels("turbo", chip, matrix, pixels, pixels, 0, (1, 1), 1.0, 1.0, sums, None, 1, 0)
    add_pixels("turbo", chip, matrix, pixels[:0], pixels[:0], 0, (0, 3), 1.0, 1.0, sums, None, 1, 0)
    assert not sums.any()
