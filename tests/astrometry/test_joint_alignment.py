"""Exposures aligned jointly from lists of sources: against the true WCS, and what is refused and why."""

import numpy as np
import pytest
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_alignment import align_jointly
from hapctl.processing.astrometry.joint_model import Array
from support.joint_visit import Pointing, StarField, simulate_field

RULE = AcceptanceRule()
DITHERED = [Pointing(0, 0), Pointing(3, 1), Pointing(-2, 5), Pointing(1, -4)]


def length_rms(errors: Array) -> float:
    """Root mean square of two-dimensional errors."""
    return float(np.sqrt(np.mean(np.sum(errors**2, axis=1))))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_perfect_catalog_gives_a_tenth_of_a_milliarcsecond(seed: int) -> None:
    """Four exposures of 2,000 stars whose headers are wrong by up to 1 arcsec and 0.05 degree."""
    field = simulate_field(StarField(catalog_error_mas=0.0), DITHERED, seed)
    alignment = align_jointly(field.exposures, field.reference, RULE)
    assert [outcome.frame for outcome in alignment.outcomes] == ["catalog"] * 4
    solutions = {n: outcome.solution for n, outcome in enumerate(alignment.outcomes) if outcome.solution}
    for errors in field.errors_mas(solutions).values():
        assert length_rms(errors) < 0.10
