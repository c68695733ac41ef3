"""Fits are exact without noise, robust with outliers, honest about their errors."""

import numpy as np
import pytest
from hapctl.processing.astrometry.fitting import fit_pairs
from hapctl.processing.astrometry.joint_fitting import Observations, fit_exposures
from hapctl.processing.astrometry.list_alignment import extra_scatter
from hapctl.processing.astrometry.plane import PlaneFit
from hypothesis import given, settings
from hypothesis import strategies as st


def inverse(fit: PlaneFit) -> PlaneFit:
    matrix = np.linalg.inv(fit.matrix)
    return PlaneFit(-matrix @ fit.shift, matrix)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shift=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    roll=st.floats(-0.5, 0.5),
    scale=st.floats(0.998, 1.002),
    away=st.floats(0, 2000),
)
def test_exact_without_noise(
    seed: int, shift: tuple[float, float], roll: float, scale: float, away: float
) -> None:
    sources = np.random.default_rng(seed).uniform(-100, 100, (12, 2)) + away
    for geometry, truth in (
        ("shift", PlaneFit.similarity(np.array(shift))),
        ("rshift", PlaneFit.similarity(np.array(shift), roll)),
        ("rscale", PlaneFit.similarity(np.array(shift), roll, scale)),
    ):
        result = fit_pairs(sources, truth(sources), np.full(12, 0.002), geometry)  # type: ignore[arg-type]
        assert np.max(np.abs(result.fit(sources) - truth(sources))) < 1e-8
        assert result.geometry == geometry


def test_a_rotation_keeps_the_scale() -> None:
    random = np.random.default_rng(3)
    sources = random.uniform(-100, 100, (30, 2))
    truth = PlaneFit.similarity(np.array([1.0, 2.0]), 0.3, 1.0005)
    result = fit_pairs(sources, truth(sources), np.full(30, 0.01), "rshift", robust=False)
    assert result.fit.scale == pytest.approx(1.0, abs=1e-13)


def test_general_geometry_holds_a_skew() -> None:
    random = np.random.default_rng(4)
    sources = random.uniform(-100, 100, (40, 2))
    truth = PlaneFit(np.array([0.5, -0.2]), np.array([[1.0003, 2e-4], [-1e-4, 0.9998]]))
    result = fit_pairs(sources, truth(sources), np.full(40, 0.01), "general")
    assert np.max(np.abs(result.fit(sources) - truth(sources))) < 1e-8


def test_outliers_are_left_out() -> None:
    random = np.random.default_rng(5)
    sources = random.uniform(-100, 100, (60, 2))
    truth = PlaneFit.similarity(np.array([1.0, -2.0]), 0.05, 1.0002)
    reference = truth(sources) + random.normal(0, 0.002, (60, 2))
    reference[:18] += random.uniform(0.1, 0.5, (18, 2))
    result = fit_pairs(sources, reference, np.full(60, 0.002), "rscale")
    assert not result.used[:18].any()
    assert np.max(np.abs(result.fit(sources) - truth(sources))) < 0.003


def test_covariance_is_true() -> None:
    random = np.random.default_rng(6)
    sources = random.uniform(-100, 100, (50, 2))
    errors = random.uniform(0.001, 0.006, 50)
    pulls = []
    for _ in range(300):
        reference = sources + random.normal(0, 1, (50, 2)) * errors[:, None]
        result = fit_pairs(sources, reference, errors, "rscale")
        found = np.array(
            [*(result.fit(result.centre[None]) - result.centre)[0],
             np.radians(result.fit.roll_deg), result.fit.scale - 1.0]
        )  # fmt: skip
        pulls.append(found @ np.linalg.inv(result.covariance) @ found / 4)
    assert 0.85 < np.mean(pulls) < 1.2


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit_pairs(np.zeros((1, 2)), np.zeros((1, 2)), np.ones(1), "shift")
    with pytest.raises(ValueError, match="too few"):
        fit_pairs(np.zeros((2, 2)), np.zeros((2, 2)), np.ones(2), "general")


def test_extra_scatter_is_found_and_none_is_invented() -> None:
    random = np.random.default_rng(7)
    errors = np.full(4000, 0.002)
    assert extra_scatter(random.normal(0, 0.0019, (4000, 2)), errors) < 2e-4
    assert extra_scatter(random.normal(0, 0.01, (4000, 2)), errors) == pytest.approx(0.0098, rel=0.05)


def observations(random: np.random.Generator, fits: list[PlaneFit], error: float) -> Observations:
    stars = random.uniform(-80, 80, (300, 2))
    exposure, star, points = [], [], []
    for number, fit in enumerate(fits):
        seen = np.nonzero(random.random(300) < 0.8)[0]
        exposure.append(np.full(len(seen), number))
        star.append(seen)
        points.append(inverse(fit)(stars[seen]) + random.normal(0, error, (len(seen), 2)))
    joined = np.concatenate(points)
    return Observations(np.concatenate(exposure), np.concatenate(star), joined, np.full(len(joined), error))


def test_joint_fit_recovers_every_exposure() -> None:
    random = np.random.default_rng(8)
    truth = [PlaneFit.identity()] + [
        PlaneFit.similarity(random.normal(0, 0.3, 2), random.normal(0, 0.03), 1 + random.normal(0, 1e-4))
        for _ in range(4)
    ]
    seen = observations(random, truth, 0.002)
    seen.points[::37] += 0.4
    joint = fit_exposures(seen, ["rscale"] * 5)
    grid = random.uniform(-60, 60, (50, 2))
    for fit, true in zip(joint.fits, truth, strict=True):
        assert np.max(np.abs(fit(grid) - true(grid))) < 0.001
    several = np.bincount(seen.star)[seen.star] > 1
    assert np.all(joint.weights[::37][several[::37]] < 0.05)


def test_joint_fit_of_two_equals_a_fit_of_pairs() -> None:
    random = np.random.default_rng(9)
    truth = [PlaneFit.identity(), PlaneFit.similarity(np.array([0.2, -0.1]), 0.02, 1.0001)]
    seen = observations(random, truth, 0.002)
    joint = fit_exposures(seen, ["rscale"] * 2)
    reference = seen.exposure == 0
    first = dict(zip(seen.star[reference], seen.points[reference], strict=True))
    mine = np.nonzero(seen.exposure == 1)[0]
    both = [k for k in mine if seen.star[k] in first]
    pairs = fit_pairs(
        seen.points[both],
        np.array([first[seen.star[k]] for k in both]),
        np.full(len(both), 0.002 * np.sqrt(2)),
        "rscale",
    )
    grid = random.uniform(-60, 60, (50, 2))
    assert np.max(np.abs(joint.fits[1](grid) - pairs.fit(grid))) < 2e-5
