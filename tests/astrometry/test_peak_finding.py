"""Backgrounds as good as sep's, peaks where stars are, and a share of them in every part of a chip."""

import numpy as np
import pytest
import sep
from hapctl.processing.astrometry.background import background_mesh
from hapctl.processing.astrometry.detection import detect_sources
from hapctl.processing.astrometry.peak_finding import (
    EDGE,
    DetectionSettings,
    SearchedChip,
    roundness_of,
    search_chip,
    spread_brightest,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from support.star_field import StarField, nearest, star_field

Image = NDArray[np.float32]


@pytest.fixture(scope="module")
def field() -> StarField:
    return star_field(shape=(900, 1200), stars=900, flux=(8e2, 2e5), cosmic_rays=600, seed=3)


@pytest.fixture(scope="module")
def searched(field: StarField) -> SearchedChip:
    return search_chip(field.science, field.error, field.quality, DetectionSettings())


def slope(shape: tuple[int, int], size: float) -> NDArray[np.float64]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return size * np.sin(x / 400.0) * np.cos(y / 300.0) + 0.02 * size * x / 100.0


@pytest.mark.parametrize("size", [0.0, 20.0])
@pytest.mark.parametrize(("stars", "brightest"), [(300, 1e5), (12000, 5e3)])
def test_the_background_is_as_good_as_seps(size: float, stars: int, brightest: float) -> None:
    shape = (1000, 1300)
    field = star_field(shape=shape, stars=stars, flux=(2e2, brightest), cosmic_rays=500, seed=11)
    truth = 40.0 + slope(shape, size)
    science = (field.science + slope(shape, size)).astype(np.float32)
    ours = background_mesh(science, np.zeros(shape, np.uint16), 0, 64).values() - truth
    theirs = sep.Background(science, bw=64, bh=64, fw=3, fh=3).back() - truth
    noise = np.sqrt(40.0 + 16.0)
    assert np.sqrt(np.mean(ours**2)) < np.sqrt(np.mean(theirs**2)) + 0.02 * noise
    assert abs(np.mean(ours)) < abs(np.mean(theirs)) + 0.01 * noise
    assert np.abs(ours).max() < np.abs(theirs).max() + 0.1 * noise


def test_the_scatter_is_that_of_the_sky() -> None:
    noise = np.random.default_rng(5).normal(10.0, 3.0, (300, 300)).astype(np.float32)
    mesh = background_mesh(noise, np.zeros(noise.shape, np.uint16), 0, 64)
    assert mesh.scatter == pytest.approx(3.0, rel=0.05)
    assert np.abs(mesh.values() - 10.0).max() < 0.5
    assert np.sqrt(np.mean((mesh.values() - 10.0) ** 2)) < 0.1  # of 3 per pixel


def test_masked_parts_take_the_level_of_their_neighbours() -> None:
    noise = np.random.default_rng(5).normal(10.0, 1.0, (400, 400)).astype(np.float32)
    quality = np.zeros(noise.shape, np.uint16)
    noise[:200, :200], quality[:200, :200] = 1e6, 4
    assert np.abs(background_mesh(noise, quality, 4, 50).values() - 10.0).max() < 0.5
    nothing = background_mesh(noise, np.full_like(quality, 4), 4, 50)
    assert np.all(nothing.values() == 0)
    assert nothing.scatter == 0


@settings(max_examples=20, deadline=None)
@given(shape=st.tuples(st.integers(3, 200), st.integers(3, 200)), mesh=st.sampled_from([8, 32, 64]))
def test_a_plane_is_followed_to_the_edges(shape: tuple[int, int], mesh: int) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]]
    plane = (3.0 + 0.5 * x - 0.25 * y).astype(np.float32)
    found = background_mesh(plane, np.zeros(shape, np.uint16), 0, mesh)
    if min(found.level.shape) < 2:
        return
    inside = found.level.shape[0] > 2 and found.level.shape[1] > 2
    rows, columns = (slice(mesh, -mesh), slice(mesh, -mesh)) if inside else (slice(None), slice(None))
    assert np.all(np.abs(found.values() - plane)[rows, columns] < 0.8 * mesh)


def test_stars_are_found_and_nothing_else(field: StarField, searched: SearchedChip) -> None:
    star, distance = nearest(field, searched.column, searched.row)
    on_chip = (field.x > EDGE) & (field.x < 1199 - EDGE) & (field.y > EDGE) & (field.y < 899 - EDGE)
    alone = cKDTree(np.column_stack([field.x, field.y])).query_ball_point(
        np.column_stack([field.x, field.y]), 4.0, return_length=True
    )
    wanted = np.nonzero(on_chip & (alone == 1) & (field.flux > 1.5e3))[0]
    assert np.isin(wanted, star[distance < 1.5]).mean() > 0.98
    # what is left are cosmic rays of several pixels, and noise above 4.9 sigma
    assert np.count_nonzero(distance > 3.0) < 450
    assert np.all(np.diff(searched.brightness) <= 0)
    assert searched.column.min() >= EDGE
    assert searched.row.max() < 900 - EDGE


def test_noise_alone_gives_few_peaks() -> None:
    noise = np.random.default_rng(8).normal(0, 5, (1000, 1000)).astype(np.float32)
    quiet = search_chip(noise, np.full_like(noise, 5.0), np.zeros(noise.shape, np.int16), DetectionSettings())
    assert len(quiet.column) < 10  # of a million pixels at 4.9 sigma


def test_bytes_and_types_of_the_input_do_not_matter(field: StarField, searched: SearchedChip) -> None:
    other = search_chip(
        field.science.astype(">f4"),
        np.asfortranarray(field.error),
        field.quality.astype(">i2"),
        DetectionSettings(),
    )
    for name in ("image", "variance", "saturated", "column", "row", "brightness"):
        assert np.array_equal(getattr(other, name), getattr(searched, name)), name


def test_a_star_behind_a_bad_column_is_found_beside_it() -> None:
    field = star_field(shape=(200, 200), stars=40, flux=(5e4, 1e5), seed=4)
    quality = field.quality.copy()
    quality[:, 97:99] = 4
    found = detect_sources(field.science, field.error, quality)
    apart = np.abs(field.x - 97.5) > 3.0
    star, distance = nearest(field, found.x[found.usable], found.y[found.usable])
    assert np.isin(np.nonzero(apart)[0], star[distance < 0.3]).mean() > 0.8


def test_a_crowded_corner_does_not_take_all_places() -> None:
    rng = np.random.default_rng(1)
    column = np.concatenate([rng.integers(0, 100, 3000), rng.integers(0, 1000, 500)])
    row = np.concatenate([rng.integers(0, 100, 3000), rng.integers(0, 1000, 500)])
    brightness = np.concatenate([rng.uniform(10, 20, 3000), rng.uniform(1, 10, 500)])
    best = spread_brightest(column, row, brightness, (1000, 1000), 600)
    assert len(np.unique(best)) == 600
    assert np.all(np.diff(brightness[best]) <= 0)
    assert np.count_nonzero(best >= 3000) > 250
    assert set(np.argsort(-brightness)[:300]) <= set(best)


@given(count=st.integers(0, 60), most=st.integers(0, 60), seed=st.integers(0, 99))
def test_as_many_as_asked_for_are_kept(count: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    column, row = rng.integers(0, 30, (2, count))
    best = spread_brightest(column, row, rng.random(count), (30, 30), most)
    assert len(best) == len(set(best.tolist())) == min(count, most)


def test_small_chips_and_empty_ones_have_no_peaks() -> None:
    for shape in ((1, 1), (5, 200), (13, 13)):
        image = np.zeros(shape, np.float32)
        found = search_chip(image, image, np.zeros(shape, np.uint16), DetectionSettings())
        assert len(found.column) == 0
        assert np.all(found.variance > 0)


def test_roundness_tells_trails_from_stars() -> None:
    y, x = np.mgrid[:31, :31].astype(float)

    def blob(width_x: float, width_y: float) -> Image:
        return np.exp(-0.5 * (((x - 15) / width_x) ** 2 + ((y - 15) / width_y) ** 2)).astype(np.float32)

    place = np.array([15.2]), np.array([14.9])
    assert roundness_of(blob(1, 1), *place)[0] == pytest.approx(0, abs=1e-6)
    assert roundness_of(blob(0.7, 2), *place)[0] > 0.5
    assert roundness_of(blob(2, 0.7), *place)[0] < -0.5
    assert np.isnan(roundness_of(-blob(1, 1), *place)[0])
    assert len(roundness_of(blob(1, 1), np.zeros(0), np.zeros(0))) == 0
