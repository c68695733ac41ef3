"""Right or refused: random fields the whole way, a fast part of what bench_false_acceptance.py does."""

import numpy as np
import pytest
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from support.random_field_outcomes import FieldOutcome, aligned_outcome, quick_outcome
from support.random_fields import random_field, turned_off

RULE = AcceptanceRule()


@pytest.fixture(scope="module")
def outcomes() -> list[FieldOutcome]:
    return [quick_outcome(seed, RULE) for seed in range(40_000, 40_120)]


def test_no_field_is_accepted_and_wrong(outcomes: list[FieldOutcome]) -> None:
    assert [place for place, outcome in enumerate(outcomes) if outcome.false] == []


def test_fields_with_stars_are_accepted_and_fields_without_never(outcomes: list[FieldOutcome]) -> None:
    for stars, least, most in ((15, 0.95, 1), (8, 0.95, 1), (4, 0.4, 1), (3, 0.1, 0.8), (2, 0, 0), (0, 0, 0)):
        found = [
            own.frame == "catalog" for out in outcomes if out.true_stars == stars for own in out.exposures
        ]
        assert least <= np.mean(found) <= most, stars


def test_exposures_lie_right_on_each_other(outcomes: list[FieldOutcome]) -> None:
    assert max(outcome.torn_mas for outcome in outcomes) < 20.0


def test_a_mirrored_catalog_is_refused() -> None:
    for seed in (0, 1, 12, 13):
        outcome = aligned_outcome(turned_off(random_field(seed)), RULE)
        assert all(own.frame != "catalog" and own.code != "accepted" for own in outcome.exposures)
