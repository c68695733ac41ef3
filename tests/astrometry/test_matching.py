"""Offsets are found where they are, with a significance that does not depend on the number of sources."""

import numpy as np
import pytest
from hapctl.processing.astrometry.matching import find_offset, log10_chance, match_mutual
from hapctl.processing.astrometry.plane import PlaneFit
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson


def lists(
    seed: int, common: int, alone: int, shift: tuple[float, float], roll: float, size: float = 100.0
) -> tuple[np.ndarray, np.ndarray, PlaneFit]:
    """Sources and reference stars, `common` of both the same after a shift and roll about the middle."""
    random = np.random.default_rng(seed)
    truth = PlaneFit.similarity(np.array(shift), roll)
    stars = random.uniform(-size, size, (common, 2))
    back = np.linalg.inv(truth.matrix)
    sources = np.concatenate([(stars - truth.shift) @ back.T, random.uniform(-size, size, (alone, 2))])
    reference = np.concatenate([stars, random.uniform(-size, size, (alone // 2, 2))])
    return sources + random.normal(0, 0.003, sources.shape), reference, truth


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shift=st.tuples(st.floats(-3.4, 3.4), st.floats(-3.4, 3.4)),
    roll=st.floats(-0.1, 0.1),
)
def test_shift_and_roll_are_found(seed: int, shift: tuple[float, float], roll: float) -> None:
    sources, reference, truth = lists(seed, 40, 200, shift, roll)
    peak = find_offset(sources, reference, radius=5.0, tolerance=0.1, roll_deg=0.12)
    assert peak is not None
    assert peak.count >= 35
    assert np.max(np.abs(peak.fit(sources[:40]) - truth(sources[:40]))) < 0.15
    assert peak.log10_chance < -30


def test_random_lists_are_not_significant() -> None:
    chances = []
    for seed in range(200):
        sources, reference, _ = lists(seed, 0, 300, (0, 0), 0.0)
        peak = find_offset(sources, reference, radius=5.0, tolerance=0.1, roll_deg=0.12)
        assert peak is not None
        chances.append(peak.log10_chance)
    assert np.min(chances) > -3.5
    assert np.mean(np.array(chances) < -1.0) < 0.12


def test_chance_agrees_with_scipy() -> None:
    for count, expected, trials in ((4, 0.3, 1e3), (25, 0.14, 1e4), (3, 2.0, 10.0)):
        tail = poisson.sf(count - 1, expected) * trials
        assert log10_chance(count, expected, trials) == pytest.approx(min(0.0, np.log10(tail)), abs=1e-6)
    assert log10_chance(400, 0.1, 1e4) < -1000
    assert log10_chance(3, 0.0, 1e4) == 0.0


def test_empty_lists_have_no_offset() -> None:
    some = np.zeros((3, 2))
    assert find_offset(np.zeros((0, 2)), some, radius=5.0, tolerance=0.1) is None
    assert find_offset(some, np.zeros((0, 2)), radius=5.0, tolerance=0.1) is None
    assert find_offset(some, some + 100.0, radius=5.0, tolerance=0.1) is None


def test_matches_are_mutual_nearest_neighbours() -> None:
    random = np.random.default_rng(5)
    sources, reference = random.uniform(0, 10, (80, 2)), random.uniform(0, 10, (60, 2))
    distance = np.hypot(*(sources[:, None, :] - reference[None, :, :]).transpose(2, 0, 1))
    expected = [
        (i, j)
        for i, j in enumerate(distance.argmin(axis=1))
        if distance[:, j].argmin() == i and distance[i, j] <= 0.5
    ]
    assert list(zip(*match_mutual(sources, reference, 0.5), strict=True)) == expected


def test_duplicates_and_missing_numbers_do_no_harm() -> None:
    reference = np.array([[0.0, 0.0], [1.0, 1.0], [np.nan, 2.0]])
    sources = np.array([[0.01, 0.0], [0.02, 0.0], [np.nan, np.nan], [1.0, 1.01]])
    mine, theirs = match_mutual(sources, reference, 0.1)
    assert mine.tolist() == [0, 3]
    assert theirs.tolist() == [0, 1]
