"""From pixels to alignments: what the benchmarks bench_pixels and bench_few_stars do at length."""

from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.astrometry.detection import detect_sources
from scipy.spatial import cKDTree
from support.sparse_visits import TRUE_STARS, sparse_outcome, wrong_stars
from support.star_field import star_field


def mean_errors(seed: int) -> list[float]:
    """Mean error in x and y of a chip's stars, in standard errors of the mean."""
    field = star_field(seed=seed, stars=400, shape=(900, 900))
    found = detect_sources(field.science, field.error, field.quality)
    found = found.chosen(found.usable & (found.snr > 30))
    true = np.column_stack([field.x, field.y])
    distance, nearest = cKDTree(true).query(np.column_stack([found.x, found.y]))
    apart = np.column_stack([found.x, found.y]) - true[nearest]
    weights = np.column_stack([found.x_err, found.y_err]) ** -2.0
    sure = distance < 0.1
    return list((apart * weights)[sure].sum(axis=0) / np.sqrt(weights[sure].sum(axis=0)))


def test_the_psf_of_a_chip_moves_its_stars_no_more_than_their_noise() -> None:
    """The mean of all stars is free of the model's own noise, which no number of stars would average out."""
    pulls = np.array([mean_errors(seed) for seed in range(6)])
    assert np.sqrt(np.mean(pulls**2)) < 1.4


@pytest.mark.parametrize("number", [6, 18])
def test_a_sparse_visit_with_cosmic_rays_is_right_or_refused(tmp_path: Path, number: int) -> None:
    """Eight stars, all true, are enough; six, all wrong, are refused."""
    outcome = sparse_outcome(tmp_path, number)
    assert not outcome.false
    frames = {row.frame for row in outcome.exposures}
    assert frames == ({"catalog"} if TRUE_STARS[number] else {"relative"}), outcome
    assert wrong_stars(number) == (0 if TRUE_STARS[number] else 6)
    assert outcome.torn_mas < 2.0
