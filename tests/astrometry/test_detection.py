"""Positions, errors and flags of the finder, on fields with a known truth."""

import time

import numpy as np
import pytest
from hapctl.processing.astrometry.detection import (
    Detections,
    DetectionSettings,
    SourceFlag,
    detect_sources,
)
from support.star_field import StarField, nearest, star_field


@pytest.fixture(scope="module")
def field() -> StarField:
    return star_field(cosmic_rays=250)


@pytest.fixture(scope="module")
def found(field: StarField) -> Detections:
    return detect_sources(field.science, field.error, field.quality)


def test_bright_stars_are_found_and_usable(field: StarField, found: Detections) -> None:
    usable = found.chosen(found.usable)
    star, distance = nearest(field, usable.x, usable.y)
    bright = np.nonzero((field.flux > 5e3) & (field.flux < 1.2e5))[0]
    assert np.isin(bright, star[distance < 0.3]).mean() > 0.93


def test_positions_have_the_stated_errors(field: StarField, found: Detections) -> None:
    clean = found.chosen(found.usable & (found.contamination < 0.02))
    star, distance = nearest(field, clean.x, clean.y)
    clean, star = clean.chosen(distance < 0.3), star[distance < 0.3]
    for pulls in (
        (clean.x - field.x[star]) / clean.x_err,
        (clean.y - field.y[star]) / clean.y_err,
    ):
        assert 0.85 < 1.4826 * np.median(np.abs(pulls)) < 1.2
        assert abs(np.median(pulls)) < 0.2
    bright = clean.snr > 100
    assert 1.4826 * np.median(np.abs(clean.x - field.x[star])[bright]) < 0.01


def test_no_bias_with_the_place_of_a_star_in_its_pixel() -> None:
    field = star_field(stars=900, flux=(4e4, 1.2e5), seed=5, shape=(1000, 1000))
    found = detect_sources(field.science, field.error, field.quality)
    found = found.chosen(found.usable)
    star, distance = nearest(field, found.x, found.y)
    error = (found.x - field.x[star])[distance < 0.3]
    phase = (field.x[star] % 1.0)[distance < 0.3]
    for low in np.arange(0.0, 1.0, 0.2):
        chosen = error[(phase >= low) & (phase < low + 0.2)]
        assert abs(np.mean(chosen)) < 0.005


def test_cosmic_rays_are_not_used(field: StarField, found: Detections) -> None:
    usable = found.chosen(found.usable)
    _, distance = nearest(field, usable.x, usable.y)
    assert np.mean(distance > 1.0) < 0.01
    assert np.count_nonzero(found.flags & SourceFlag.COSMIC_RAY) > 20


def test_saturated_stars_are_flagged() -> None:
    field = star_field(saturation=15000.0, seed=6)
    found = detect_sources(field.science, field.error, field.quality)
    star, distance = nearest(field, found.x, found.y)
    saturated = (field.flux[star] > 1.2e5) & (distance < 1.0)
    assert saturated.sum() > 20
    assert np.all(found.flags[saturated] & SourceFlag.SATURATED)
    assert not np.any(found.usable[saturated])


def test_edges_hot_pixels_and_galaxies_are_flagged() -> None:
    field = star_field(stars=150, seed=3)
    science, quality = field.science.copy(), field.quality.copy()
    y, x = np.mgrid[: science.shape[0], : science.shape[1]]
    science += (3e3 * np.exp(-0.5 * ((x - 300) ** 2 + (y - 333) ** 2) / 4.0**2)).astype(np.float32)
    science[200, 500] += 3000.0
    science[200, 501] += 2500.0
    quality[200, 500] = 16
    found = detect_sources(science, field.error, quality)

    def flags_near(a: float, b: float) -> int:
        near = np.hypot(found.x - a, found.y - b) < 2.0
        return int(np.bitwise_or.reduce(found.flags[near], initial=0)) if near.any() else -1

    assert flags_near(300, 333) & SourceFlag.EXTENDED
    assert flags_near(500, 200) == -1 or flags_near(500, 200) & (SourceFlag.HOT_PIXEL | SourceFlag.COSMIC_RAY)
    edge = (found.x < 6) | (found.y < 6)
    assert np.all(found.flags[edge] & SourceFlag.EDGE)


def test_crowded_bright_stars_keep_good_positions() -> None:
    field = star_field(shape=(400, 400), stars=1800, flux=(300, 1.2e5), seed=8)
    found = detect_sources(field.science, field.error, field.quality)
    usable = found.chosen(found.usable & (found.flux > 3e4))
    _, distance = nearest(field, usable.x, usable.y)
    assert len(usable) > 200
    assert np.percentile(distance, 90) < 0.08


def test_bad_pixels_and_missing_errors_do_no_harm() -> None:
    field = star_field(stars=150, seed=4)
    science, error = field.science.copy(), np.zeros_like(field.error)
    science[100:110, 100:200] = np.nan
    found = detect_sources(science, error, field.quality)
    star, distance = nearest(field, found.x[found.usable], found.y[found.usable])
    assert len(star) > 100
    assert np.median(distance) < 0.03


def test_empty_fields_give_no_sources() -> None:
    flat = np.zeros((200, 200), dtype=np.float32)
    noise = np.random.default_rng(1).normal(0, 5, (200, 200)).astype(np.float32)
    for image in (flat, noise):
        found = detect_sources(image, np.full_like(image, 5.0), np.zeros(image.shape, np.int16))
        assert np.count_nonzero(found.usable) == 0


def test_the_same_image_gives_the_same_sources(field: StarField, found: Detections) -> None:
    again = detect_sources(field.science, field.error, field.quality)
    assert np.array_equal(again.x, found.x)
    assert np.array_equal(again.flags, found.flags)


def test_threshold_and_number_are_kept(field: StarField) -> None:
    few = detect_sources(
        field.science, field.error, field.quality, DetectionSettings(threshold=50.0, max_sources=100)
    )
    assert 0 < len(few) <= 100
    assert few.snr.min() > 50.0


def test_speed_of_an_acs_chip() -> None:
    field = star_field(shape=(2048, 4096), stars=1500, cosmic_rays=3000)
    detect_sources(field.science[:300, :300], field.error[:300, :300], field.quality[:300, :300])
    start = time.process_time()
    found = detect_sources(field.science, field.error, field.quality)
    assert time.process_time() - start < 6.0  # 1 s on an idle core; the limit allows for a busy machine
    assert np.count_nonzero(found.usable) > 1000
