"""The vector builds of the kernels: chosen for this CPU, and the same bits in all of them."""

import numpy as np
import pytest
from hapctl.ext import cpu, square
from hapctl.processing.astrometry.mapping import distortion, homography
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from support.slow_drizzle import polygon_area
from support.synthetic_chips import distorted_chip, plain_chip

BUILDS = cpu.builds("square")
SHAPE = (37, 171)


def test_the_best_build_that_runs_here_is_taken() -> None:
    assert cpu.levels()[-1] == "baseline"
    assert list(BUILDS) == list(cpu.levels())
    assert cpu.choose("square") is BUILDS[cpu.levels()[0]]
    assert square.add_pixels == cpu.choose("square").add_pixels


def sums_of(
    build: str, chip: ChipWcs, grid: OutputGrid, pixfrac: float, columns: tuple[int, int], seed: int
) -> bytes:
    """All that ``add_pixels`` of a build adds up, as bytes; masked and odd pixels among the input."""
    rng = np.random.default_rng(seed)
    values = rng.normal(5.0, 2.0, chip.shape).astype(np.float32)
    weights = rng.choice([0.0, 0.7, 900.0], chip.shape).astype(np.float32)
    weights[:, 40:70] = 0.0
    values[3, 4:9], weights[5, 6], weights[7, 8] = np.nan, np.inf, -1.0
    variances = rng.uniform(0.1, 2.0, chip.shape).astype(np.float32)
    variances[9, 9] = np.nan
    sums, squares = np.zeros((*grid.shape, 2)), np.zeros(grid.shape)
    context = np.zeros(grid.shape, dtype=np.int32)
    BUILDS[build].add_pixels(
        distortion(chip),
        homography(chip, grid.plane),
        values,
        weights,
        0,
        columns,
        1.3,
        pixfrac,
        sums,
        context,
        1 << 7,
        0,
        variances,
        squares,
    )
    assert np.isfinite(sums).all()
    assert context.any()
    return sums.tobytes() + squares.tobytes() + context.tobytes()


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0, 360),
    st.sampled_from([0.02, 0.04, 0.05, 0.09, 0.3]),
    st.sampled_from([1.0, 0.8, 0.3]),
    st.integers(0, 60),
    st.integers(72, 171),
    st.booleans(),
)
def test_all_builds_give_the_same_bits(
    angle: float, scale: float, pixfrac: float, first: int, stop: int, tables: bool
) -> None:
    chip = distorted_chip(SHAPE, angle_deg=angle) if tables else plain_chip(SHAPE, angle_deg=angle)
    grid = north_up_grid([chip], scale)
    results = {sums_of(build, chip, grid, pixfrac, (first, stop), 3) for build in BUILDS}
    assert len(results) == 1


@pytest.mark.parametrize("build", list(BUILDS))
def test_the_ways_of_small_and_odd_quadrilaterals_agree(build: str) -> None:
    rng = np.random.default_rng(8)
    for _ in range(300):
        angle, side = rng.uniform(0, 2 * np.pi), rng.uniform(0.01, 2.0)
        turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
        box = np.array([(0, 0), (side, 0), (side, side), (0, side)]) + rng.uniform(-0.1, 0.1, (4, 2)) * side
        corners = box @ turn.T + rng.uniform(-1.0, 6.0, 2)
        fast = BUILDS[build].quad_shares(corners, (6, 7))
        plain = BUILDS[build].quad_shares(corners, (6, 7), True)
        np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-13 + 1e-14 / side**2)


@pytest.mark.parametrize("turned", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "box",
    [
        [(2.5, 2.5), (3.5, 2.5), (3.5, 3.5), (2.5, 3.5)],
        [(2.0, 2.0), (3.5, 2.0), (3.5, 4.25), (2.0, 4.25)],
        [(2.0, 2.0), (2.0 + 1e-13, 3.0), (3.0, 3.0 + 1e-14), (3.0, 2.0)],
        [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (2.0, 3.0)],
        [(1.0, 1.0), (1.0, 1.0), (3.0, 1.5), (2.0, 3.0)],
        [(1.5, 0.6), (1.5, 1.2), (1.5, 2.4), (1.3, 1.5)],
        [(2.0, 2.0), (2.0 + 1e-7, 2.0), (2.0 + 1e-7, 2.9), (2.0, 2.9)],
    ],
)
def test_level_upright_and_flat_sides(box: list[tuple[float, float]], turned: int) -> None:
    corners = np.roll(np.array(box), turned, axis=0)
    plain = square.quad_shares(corners, (6, 6), True)
    area = abs(polygon_area(corners))
    np.testing.assert_allclose(square.quad_shares(corners, (6, 6)), plain, rtol=0, atol=1e-13 + 4e-15 / area)
    assert plain.sum() == pytest.approx(1.0, abs=1e-7)


def test_the_kernel_is_where_the_mapping_says() -> None:
    chip = distorted_chip((64, 300), angle_deg=70.0)
    grid = north_up_grid([chip], 0.2)
    matrix = homography(chip, grid.plane)
    for build in BUILDS.values():
        for y, x in [(0, 0), (13, 17), (31, 64), (47, 255), (63, 299)]:
            weights = np.zeros(chip.shape, dtype=np.float32)
            weights[y, x] = 1.0
            sums = np.zeros((*grid.shape, 2))
            build.add_pixels(
                distortion(chip), matrix, weights, weights, 0, (0, 300), 1.0, 0.2, sums, None, 0, 0
            )
            corners = distortion(chip).project(
                matrix, x + 0.1 * np.array([-1, 1, 1, -1]), y + 0.1 * np.array([-1, -1, 1, 1])
            )
            expected = square.quad_shares(np.stack(corners, axis=1), grid.shape)
            np.testing.assert_allclose(sums[:, :, 1], expected, rtol=0, atol=1e-11)


def test_what_does_not_fit_together_is_refused() -> None:
    chip = plain_chip((4, 6))
    kernel, matrix = distortion(chip), homography(chip, north_up_grid([chip]).plane)
    pixels, sums = np.ones((4, 6), dtype=np.float32), np.zeros((8, 9, 2))

    def add(
        values: np.ndarray,
        weights: np.ndarray,
        columns: tuple[int, int],
        band: np.ndarray,
        context: np.ndarray | None = None,
        *variances: np.ndarray,
    ) -> None:
        square.add_pixels(
            kernel, matrix, values, weights, 0, columns, 1.0, 1.0, band, context, 1, 0, *variances
        )

    for arguments in (
        (pixels, pixels[:3], (0, 6), sums),
        (pixels, pixels, (0, 7), sums),
        (pixels, pixels, (-1, 6), sums),
        (pixels, pixels, (4, 3), sums),
        (pixels, pixels, (0, 6), np.zeros((8, 9, 3))),
        (pixels, pixels, (0, 6), sums, np.zeros((8, 8), dtype=np.int32)),
        (pixels, pixels, (0, 6), sums, None, pixels),
        (pixels, pixels, (0, 6), sums, None, pixels[:2], np.zeros((8, 9))),
        (pixels, pixels, (0, 6), sums, None, pixels, np.zeros((7, 9))),
    ):
        with pytest.raises(ValueError):
            add(*arguments)
    for first_row in (-1, 10**9):
        with pytest.raises(ValueError, match="band"):
            square.add_pixels(kernel, matrix, pixels, pixels, 0, (0, 6), 1.0, 1.0, sums, None, 1, first_row)
    assert not sums.any()


@pytest.mark.parametrize("angle", [3.0, 31.0])
@pytest.mark.parametrize("scale", [0.05, 0.11, 0.3])
def test_a_narrow_band_of_many_pixels_a_cell_has_the_bits_of_the_whole(angle: float, scale: float) -> None:
    """What a band leaves out must not change in what order the rest is added."""
    chip = plain_chip((40, 260), angle_deg=angle)
    grid = north_up_grid([chip], scale)
    rng = np.random.default_rng(7)
    values = rng.normal(5.0, 2.0, chip.shape).astype(np.float32)
    weights = rng.uniform(0.1, 3.0, chip.shape).astype(np.float32)
    maps = distortion(chip), homography(chip, grid.plane)

    def band(build: str, first: int, rows: int) -> np.ndarray:
        sums = np.zeros((rows, grid.shape[1], 2))
        BUILDS[build].add_pixels(*maps, values, weights, 0, (5, 257), 1.0, 0.9, sums, None, 0, first)
        return sums

    whole = band("baseline", 0, grid.shape[0])
    for build in BUILDS:
        for first in range(0, grid.shape[0] - 2, 3):
            assert band(build, first, 2).tobytes() == whole[first : first + 2].tobytes()
