"""The search of a chip in one sweep: as plain arrays do it, step by step, in every vector build."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hapctl.ext import cpu
from hapctl.processing.astrometry.background import BackgroundMesh, segment_starts, spline_places
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter
from support.star_field import star_field

BUILDS = cpu.builds("finding")
Image = NDArray[np.float32]
BAD, SATURATED = 4 | 0x8000, 256
KERNEL = np.array([0.1, 0.25, 0.3, 0.25, 0.1], dtype=np.float32)
LEVEL, SHARPEST, LEAST = np.float32(9.0), np.float32(6.0), np.float32(4.0)


@dataclass(frozen=True)
class Found:
    """What ``searched`` gave."""

    image: Image
    variance: Image
    marks: NDArray[np.uint8]
    column: NDArray[np.int32]
    row: NDArray[np.int32]
    height: Image

    def bytes(self) -> bytes:
        return b"".join(array.tobytes() for array in vars(self).values())


def searched(
    build: str,
    science: Image,
    error: Image,
    quality: NDArray[np.uint16],
    mesh: BackgroundMesh,
    edge: int = 2,
    swapped: bool = False,
) -> Found:
    if swapped:
        science, error, quality = (array.byteswap() for array in (science, error, quality))
    first_row, row_weights = spline_places(science.shape[0], mesh.level.shape[0])
    first_column, column_weights = spline_places(science.shape[1], mesh.level.shape[1])
    image, variance = np.full((2, *science.shape), 7.0, dtype=np.float32)
    marks = np.full(science.shape, 9, dtype=np.uint8)
    column, row, height = BUILDS[build].searched(
        science.view(np.uint32),
        error.view(np.uint32),
        quality,
        swapped,
        BAD,
        SATURATED,
        LEAST,
        mesh.nodes(),
        first_row,
        row_weights,
        segment_starts(first_column, mesh.level.shape[1] + 1),
        np.ascontiguousarray(column_weights.T),
        KERNEL,
        edge,
        LEVEL,
        SHARPEST,
        image,
        variance,
        marks,
    )
    return Found(image, variance, marks, column, row, height)


def random_chip(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Image, Image, NDArray[np.uint16]]:
    stars = gaussian_filter(2000.0 * (rng.random(shape) < 0.02), 0.9)
    spikes = 200.0 * (rng.random(shape) < 0.01)
    science = (30.0 + rng.normal(0.0, 2.0, shape) + stars + spikes).astype(np.float32)
    error = rng.uniform(1.0, 3.0, shape).astype(np.float32)
    quality = rng.choice([0, 0, 0, 0, 0, 0, 4, 256, 260, 16, 0x8000], shape).astype(np.uint16)
    science.flat[rng.integers(0, science.size, 5)] = [np.nan, np.inf, -np.inf, 1e30, 0.0]
    error.flat[rng.integers(0, error.size, 5)] = [np.nan, np.inf, 0.0, -1.0, 1e30]
    return science, error, quality


def filtered(image: Image) -> Image:
    """The outer product of the kernel with itself, zeros outside, float32 in the kernel's order."""
    for axis in (1, 0):
        half = len(KERNEL) // 2
        wide = np.pad(image, [(half, half) if n == axis else (0, 0) for n in (0, 1)])
        parts = [np.take(wide, range(k, k + image.shape[axis]), axis) for k in range(len(KERNEL))]
        image = parts[half] * KERNEL[half]
        for tap in range(1, half + 1):
            image = image + (parts[half - tap] + parts[half + tap]) * KERNEL[half + tap]
    return image


def slow_peaks(image: Image, variance: Image, edge: int) -> list[tuple[int, int, float]]:
    """Row by row, pixel by pixel, by the words of the contract."""
    smooth, found = filtered(image), []
    limit = np.where(np.isfinite(variance), variance, 0) * LEVEL
    with np.errstate(over="ignore"):
        squares = np.square(smooth)
    for y in range(edge, image.shape[0] - edge):
        for x in range(edge, image.shape[1] - edge):
            here = smooth[y, x]
            if not (here > 0 and squares[y, x] > limit[y, x]):
                continue
            around = smooth[y - 1 : y + 2, x - 1 : x + 2].ravel()
            if not (np.all(here > around[:4]) and np.all(here >= around[5:])):
                continue
            light = np.sort(image[y - 1 : y + 2, x - 1 : x + 2].ravel())
            total = np.float32(0)
            for value in image[y - 1 : y + 2, x - 1 : x + 2].ravel():
                total += max(value, np.float32(0))
            if light[-1] + light[-2] > np.float32(0.9) * total or image[y, x] > SHARPEST * here:
                continue
            found.append((x, y, float(here)))
    return found


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(6, 40),
    columns=st.integers(6, 150),
    cells=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    edge=st.integers(1, 3),
    build=st.sampled_from(sorted(BUILDS)),
    seed=st.integers(0, 9999),
)
def test_one_sweep_does_what_single_steps_do(
    rows: int, columns: int, cells: tuple[int, int], edge: int, build: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    science, error, quality = random_chip(rng, (rows, columns))
    mesh = BackgroundMesh(rng.uniform(25, 35, cells), 2.0, (rows, columns))
    found = searched(build, science, error, quality, mesh, edge)
    bad = ((quality & BAD) != 0) | ~np.isfinite(science)
    full = (quality & SATURATED) != 0
    with np.errstate(invalid="ignore", over="ignore"):
        expected = np.where(bad, 0.0, science - mesh.values())
        variance = np.square(error)
    variance[~((variance > 0) & np.isfinite(variance))] = LEAST
    assert np.allclose(found.image, expected, rtol=1e-6, atol=2e-5)
    assert np.all(found.image[bad] == 0)
    assert np.array_equal(found.variance, np.where(bad | full, np.inf, variance).astype(np.float32))
    assert np.array_equal(found.marks, full)
    slow = slow_peaks(found.image, found.variance, edge)
    fast = list(zip(found.column.tolist(), found.row.tolist(), found.height.tolist(), strict=True))
    assert fast == slow


def test_the_filter_is_that_of_scipy() -> None:
    image = np.random.default_rng(1).normal(0, 1, (40, 50)).astype(np.float32)
    other = correlate1d(correlate1d(image.astype(float), KERNEL, axis=1, mode="constant"), KERNEL, axis=0,
                        mode="constant")  # fmt: skip
    assert np.allclose(filtered(image), other, atol=1e-6)


def real_sized() -> tuple[Image, Image, NDArray[np.uint16], BackgroundMesh]:
    field = star_field(shape=(301, 1029), stars=400, cosmic_rays=300)
    mesh = BackgroundMesh(np.random.default_rng(2).uniform(38, 42, (5, 16)), 7.0, (301, 1029))
    return field.science, field.error, field.quality.view(np.uint16), mesh


@pytest.mark.parametrize("build", sorted(BUILDS))
def test_all_builds_give_the_same_bits(build: str) -> None:
    chip = real_sized()
    found = searched(build, *chip)
    assert len(found.column) > 300
    assert found.bytes() == searched("baseline", *chip).bytes()
    assert found.bytes() == searched(build, *chip, swapped=True).bytes()


def test_threads_give_the_same_bits() -> None:
    chip = real_sized()
    alone = searched("baseline", *chip).bytes()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: searched("baseline", *chip).bytes(), range(8))) == {alone}


@pytest.mark.parametrize("build", sorted(BUILDS))
def test_samples_are_every_second_good_pixel(build: str) -> None:
    rng = np.random.default_rng(3)
    science, _, quality = random_chip(rng, (21, 34))
    row_edges, column_edges = np.array([0, 9, 21], np.int32), np.array([0, 34], np.int32)
    samples = np.empty((2, 7 * 18), dtype=np.float32)
    masked = BAD | SATURATED
    BUILDS[build].mesh_samples(
        science.view(np.uint32), quality, False, masked, row_edges, column_edges, samples
    )
    other = np.empty_like(samples)
    BUILDS[build].mesh_samples(
        science.byteswap().view(np.uint32), quality.byteswap(), True, masked, row_edges, column_edges, other
    )
    assert np.array_equal(other, samples, equal_nan=True)
    good = np.where(np.isfinite(science) & ((quality & (BAD | SATURATED)) == 0), science, np.nan)
    for cell, (first, last) in enumerate([(0, 9), (9, 21)]):
        taken = [good[row, (row // 2) % 2 :: 2] for row in range(first, last, 2)]
        expected = np.concatenate(taken)
        assert np.array_equal(samples[cell, : len(expected)], expected, equal_nan=True)
        assert np.isnan(samples[cell, len(expected) :]).all()


def slow_level(values: NDArray[np.float64]) -> tuple[float, float, float]:
    values = np.sort(values[np.isfinite(values)])
    for _ in range(50):
        median = float(np.median(values))
        sigma = median - values[int(0.1587 * len(values))]
        kept = values[(values >= median - 3 * sigma) & (values < median + 3 * sigma)]
        if len(kept) in (0, len(values)):
            break
        values = kept
    return median, float(np.mean(values)) - median, sigma


@settings(deadline=None)
@given(seed=st.integers(0, 999), share=st.floats(0.0, 0.6), build=st.sampled_from(sorted(BUILDS)))
def test_levels_are_clipped(seed: int, share: float, build: str) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.normal(50.0, 3.0, (4, 400)).astype(np.float32)
    samples += np.where(rng.random(samples.shape) < share, rng.exponential(40, samples.shape), 0).astype("f4")
    samples[1, :350] = np.nan
    samples[2] = np.float32(1.25)  # quantised: no scatter
    samples[3, :395] = np.nan
    samples.sort(axis=1)
    figures = np.empty((3, 4))
    BUILDS[build].mesh_levels(samples, 20, *figures)
    for cell in (0, 1):
        assert figures[:, cell] == pytest.approx(slow_level(samples[cell].astype(float)), abs=1e-9)
    assert figures[:, 2].tolist() == [1.25, 0.0, 0.0]
    assert np.isnan(figures[:, 3]).all()


def test_arrays_that_disagree_are_refused() -> None:
    science, error, quality, mesh = real_sized()
    with pytest.raises(ValueError, match="disagree"):
        searched("baseline", science, error[:-1], quality, mesh)
    with pytest.raises(ValueError, match="disagree"):
        searched("baseline", science[:, ::2], error[:, ::2], quality[:, ::2], mesh)
    edges = np.array([0, 301], np.int32), np.array([0, 1000], np.int32)
    with pytest.raises(ValueError, match="disagree"):
        BUILDS["baseline"].mesh_samples(
            science.view(np.uint32), quality, False, 0, *edges, np.empty((1, 9), np.float32)
        )
