"""Blotting: against the drizzle package, plain Python, exact maps; the same bits however it is cut."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drizzle.resample import blot_image
from hapctl.ext import cpu
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.blot import PlaneWindow, blot, blot_rows, interpolate, prepare_blot
from hapctl.processing.imaging.grid import map_to_grid, north_up_grid
from hapctl.processing.imaging.parameters import BlotParameters
from hypothesis import given, settings
from hypothesis import strategies as st
from support.prepared_chips import grid_for, prepared_chip
from support.slow_comparison import interpolated
from support.synthetic_chips import distorted_chip

KINDS = ("nearest", "linear", "poly3", "poly5", "lanczos3", "sinc")
NUMBERS = {"nearest": 0, "linear": 1, "poly3": 2, "poly5": 3, "lanczos3": 4, "sinc": 5}
RNG = np.random.default_rng(11)
PLANE = RNG.normal(5.0, 1.0, (60, 70)).astype(np.float32)


def places(count: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions inside the plane that float32 holds exactly, as the drizzle package takes them."""
    x = RNG.uniform(margin, PLANE.shape[1] - 1 - margin, count).astype(np.float32).astype(float)
    y = RNG.uniform(margin, PLANE.shape[0] - 1 - margin, count).astype(np.float32).astype(float)
    return x, y


@pytest.mark.parametrize("kind", ["nearest", "linear", "poly3", "poly5"])
def test_agrees_with_the_drizzle_package(kind: str) -> None:
    x, y = places(4000, 8.0)
    ours = interpolate(PLANE, x, y, BlotParameters(interpolation=kind))
    theirs = blot_image(PLANE, np.dstack([x[None], y[None]]), interp=kind)[0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(PLANE).max())


def test_lanczos_of_the_package_comes_from_a_table_and_is_not_normalised() -> None:
    x, y = places(500, 8.0)
    ours = interpolate(PLANE, x, y, BlotParameters(interpolation="lanczos3"))
    pixmap = np.dstack([x[None], y[None]])
    theirs = blot_image(PLANE, pixmap, interp="lanczos3")[0]
    ones = blot_image(np.ones_like(PLANE), pixmap, interp="lanczos3")[0]
    decides = np.array([interpolated(PLANE, *at, "lanczos3") for at in zip(x, y, strict=True)])
    assert np.abs(ones - 1.0).max() > 0.005
    np.testing.assert_allclose(theirs / ones, decides, atol=0.03)
    np.testing.assert_allclose(ours, decides, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_plain_python(kind: str) -> None:
    x, y = places(300, 0.0)
    decides = np.array([interpolated(PLANE, *at, kind) for at in zip(x, y, strict=True)])
    np.testing.assert_allclose(
        interpolate(PLANE, x, y, BlotParameters(interpolation=kind)), decides, atol=1e-5
    )


@pytest.mark.parametrize(("kind", "degree"), [("linear", 1), ("poly3", 3), ("poly5", 5)])
def test_polynomials_are_kept(kind: str, degree: int) -> None:
    rows, columns = np.mgrid[0:20, 0:20] / 20.0
    plane = (columns**degree + rows**degree).astype(np.float32)
    x, y = RNG.uniform(3, 15, 200), RNG.uniform(3, 15, 200)
    found = interpolate(plane, x, y, BlotParameters(interpolation=kind))
    np.testing.assert_allclose(found, (x / 20) ** degree + (y / 20) ** degree, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_is_kept_up_to_the_edge(kind: str) -> None:
    plane = np.full((20, 22), 7.0, dtype=np.float32)
    rows, columns = np.mgrid[-0.49:19.5:0.37, -0.49:21.5:0.37]
    found = interpolate(plane, columns, rows, BlotParameters(interpolation=kind))
    inside = (rows >= 0) & (rows <= 19) & (columns >= 0) & (columns <= 21)
    np.testing.assert_allclose(found[inside], 7.0, rtol=1e-6)
    known = found[np.isfinite(found)]
    np.testing.assert_allclose(known, 7.0, rtol=1e-6)
    assert np.isnan(interpolate(plane, [-0.6, 21.6, 5.0], [5.0, 5.0, 19.6])).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(KINDS),
    st.integers(1, 24),
    st.integers(1, 24),
    st.floats(0.0, 1.0),
)
def test_unknown_pixels_and_edges(seed: int, kind: str, ny: int, nx: int, unknown: float) -> None:
    rng = np.random.default_rng(seed)
    plane = rng.normal(0.0, 10.0, (ny, nx)).astype(np.float32)
    plane[rng.random(plane.shape) < unknown**2] = rng.choice([np.nan, np.inf, -np.inf])
    x, y = rng.uniform(-3, nx + 2, 40), rng.uniform(-3, ny + 2, 40)
    x[:6] = [np.nan, np.inf, -np.inf, 1e300, 0.0, nx - 1.0]
    decides = np.array([interpolated(plane, *at, kind) for at in zip(x, y, strict=True)])
    for build in cpu.builds("blot").values():
        found = np.empty(40, dtype=np.float32)
        build.interpolate(plane, x, y, NUMBERS[kind], 1.0, found)
        np.testing.assert_allclose(found, decides, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_builds_give_the_same_bits(kind: str) -> None:
    plane = PLANE.copy()
    plane[RNG.random(plane.shape) < 0.02] = np.nan
    x, y = RNG.uniform(-2, 72, 3001), RNG.uniform(-2, 62, 3001)
    found = []
    for build in cpu.builds("blot").values():
        found.append(np.empty(x.size, dtype=np.float32))
        build.interpolate(plane, x, y, NUMBERS[kind], 0.8, found[-1])
    assert all(one.tobytes() == found[0].tobytes() for one in found)


def test_every_pixel_is_mapped_exactly() -> None:
    chip = distorted_chip((150, 333))
    grid = north_up_grid([chip])
    rows, columns = np.mgrid[0 : grid.shape[0], 0 : grid.shape[1]].astype(np.float32)
    y, x = np.mgrid[0:150, 0:333].astype(float)
    out_x, out_y = map_to_grid(chip, grid, x, y)
    seen = prepare_blot(chip, grid)
    inside = (out_x > 3) & (out_x < grid.shape[1] - 4) & (out_y > 3) & (out_y < grid.shape[0] - 4)
    assert inside.mean() > 0.9
    np.testing.assert_allclose(seen.rows(columns, 0, 150)[inside], out_x[inside], atol=2e-4)
    np.testing.assert_allclose(seen.rows(rows, 0, 150)[inside], out_y[inside], atol=2e-4)


@pytest.mark.parametrize("kind", ["poly5", "sinc"])
@pytest.mark.parametrize("width", [1, 7, 64, 65, 300])
def test_blocks_windows_and_builds_do_not_matter(kind: str, width: int) -> None:
    chip = distorted_chip((71, width))
    grid = north_up_grid([chip])
    plane = RNG.normal(0, 1, grid.shape).astype(np.float32)
    plane[RNG.random(plane.shape) < 0.005] = np.nan
    seen = prepare_blot(chip, grid, 300.0, BlotParameters(interpolation=kind))
    whole = seen.rows(plane, 0, 71)
    for height in (1, 7, 64):
        parts = [seen.rows(plane, first, min(first + height, 71)) for first in range(0, 71, height)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
    low, high = 20, 33
    _, out_y = map_to_grid(chip, grid, *np.meshgrid(np.arange(width), np.arange(low, high)))
    top = max(int(out_y.min()) - 9, 0)
    window = PlaneWindow(top, 0, plane[top : int(out_y.max()) + 10])
    assert seen.rows(window, low, high).tobytes() == whole[low:high].tobytes()
    for build in cpu.builds("blot").values():
        rows = np.empty_like(whole)
        matrix, number = seen.matrix, NUMBERS[kind]
        build.blot_rows(seen.distortion, matrix, plane, 0, 0, number, 1.0, seen.factor, 0, rows)
        assert rows.tobytes() == whole.tobytes()


def test_electrons_of_the_exposure_per_chip_pixel(tmp_path: Path) -> None:
    chip = prepared_chip(tmp_path, np.zeros((40, 50)), time=250.0)
    grid = grid_for(chip, 0.8)
    seen = blot(np.full(grid.shape, 3.0, dtype=np.float32), grid, chip)
    np.testing.assert_allclose(seen[5:-5, 5:-5], 3.0 * 250.0 / 0.8**2, rtol=1e-6)
    part = blot_rows(np.full(grid.shape, 3.0, dtype=np.float32), grid, chip, 10, 20)
    assert part.tobytes() == seen[10:20].tobytes()


def test_a_chip_behind_the_grid_sees_nothing(tmp_path: Path) -> None:
    chip = prepared_chip(tmp_path, np.zeros((20, 20)))
    other = north_up_grid([replace(chip.wcs, crval=(330.0, -2.0))])
    assert np.isnan(blot(np.ones(other.shape, dtype=np.float32), other, chip)).all()


def test_rows_beyond_the_chip_are_refused(tmp_path: Path) -> None:
    chip = prepared_chip(tmp_path, np.zeros((20, 20)))
    grid = grid_for(chip)
    with pytest.raises(UsageProblemError, match="rows 5:21"):
        blot_rows(np.ones(grid.shape, dtype=np.float32), grid, chip, 5, 21)


@pytest.mark.parametrize("build", list(cpu.builds("blot")))
def test_what_the_kernel_cannot_take_is_refused(build: str, tmp_path: Path) -> None:
    chip = prepared_chip(tmp_path, np.zeros((20, 20)))
    prepared = prepare_blot(chip.wcs, grid_for(chip))
    plane, seen = np.zeros((4, 5), dtype=np.float32), np.zeros((2, 6), dtype=np.float32)
    rows = cpu.builds("blot")[build].blot_rows
    rows(prepared.distortion, prepared.matrix, plane, 0, 0, 3, 1.0, 1.0, 0, seen)
    for matrix, y0, x0 in ((np.eye(2), 0, 0), (prepared.matrix, -1, 0), (prepared.matrix, 0, -20)):
        with pytest.raises(ValueError, match=r"3 x 3|outside"):
            rows(prepared.distortion, matrix, plane, y0, x0, 3, 1.0, 1.0, 0, seen)
