"""Exposures aligned jointly from lists of sources: against the true WCS, and what is refused and why."""

from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_alignment import ExposureSources, align_jointly
from hapctl.processing.astrometry.joint_model import Array
from hapctl.processing.pipeline.set_alignment import fit_figures
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


def test_errors_are_as_predicted_with_a_catalog_of_which_two_fifths_are_wrong() -> None:
    field = simulate_field(StarField(wrong=0.4), DITHERED, 3)
    alignment = align_jointly(field.exposures, field.reference, RULE)
    solutions = {n: outcome.solution for n, outcome in enumerate(alignment.outcomes) if outcome.solution}
    for number, errors in field.errors_mas(solutions).items():
        outcome = alignment.outcomes[number]
        assert outcome.verdict.accepted
        assert length_rms(errors) < 1.2 * outcome.predicted_error_mas
        assert outcome.predicted_error_mas < 0.6


@pytest.mark.parametrize("seed", [0, 1, 2, 4])
def test_no_field_is_accepted_wrong_of_which_most_pairs_are_wrong(seed: int) -> None:
    """Twenty stars in a catalog of which two fifths are wrong, and two fifths of all sources strange."""
    setup = StarField(stars=100, catalog=20, wrong=0.4, cosmic_rays=20)
    field = simulate_field(setup, DITHERED, seed)
    random = np.random.default_rng(seed)
    exposures = [strange(exposure, 0.4, random) for exposure in field.exposures]
    alignment = align_jointly(exposures, field.reference, RULE)
    solutions = {n: o.solution for n, o in enumerate(alignment.outcomes) if o.solution and o.verdict.accepted}
    for number, errors in field.errors_mas(solutions).items():
        assert length_rms(errors) < 2.0 * alignment.outcomes[number].predicted_error_mas < 4.0


def strange(exposure: ExposureSources, part: float, random: np.random.Generator) -> ExposureSources:
    """The exposure with a part of its sources moved by 0.1 to 0.3 arcsec."""
    sources = exposure.sources
    angle = random.uniform(0, 2 * np.pi, len(sources))
    length = random.uniform(0.1, 0.3, len(sources)) * (random.random(len(sources)) < part) / 3600.0
    ra = sources.ra + length * np.cos(angle) / np.cos(np.radians(sources.dec))
    moved = replace(sources, ra=ra, dec=sources.dec + length * np.sin(angle))
    return replace(exposure, sources=moved)


def test_an_exposure_without_catalog_stars_is_tied_through_others() -> None:
    """The catalog covers the western half of the field; the last exposure sees nothing of it."""
    pointings = [Pointing(-110, 0), Pointing(-60, 20), Pointing(30, -10), Pointing(125, 10)]
    field = simulate_field(StarField(half_width=240.0, stars=5000, catalog=600), pointings, 4)
    lost = field.exposures[3].start
    west = field.reference[field.reference.ra < lost.chips[0].crval[0] - 0.0325 / np.cos(np.radians(-27.8))]
    alignment = align_jointly(field.exposures, west, RULE)
    outcome = alignment.outcomes[3]
    assert outcome.frame == "catalog"
    assert (outcome.matches.reference < 0).all()
    assert outcome.solution is not None
    errors = field.errors_mas({3: outcome.solution})[3]
    assert length_rms(errors) < 2.0 * outcome.predicted_error_mas
    assert outcome.predicted_error_mas > alignment.outcomes[0].predicted_error_mas


def test_without_a_catalog_exposures_lie_on_each_other_where_the_priors_put_them() -> None:
    setup = StarField(pointing_error=0.3, roll_error_deg=0.003, own_error=False)
    field = simulate_field(setup, DITHERED, 5)
    alignment = align_jointly(field.exposures, None, RULE)
    assert [outcome.frame for outcome in alignment.outcomes] == ["relative"] * 4
    solutions = {n: outcome.solution for n, outcome in enumerate(alignment.outcomes) if outcome.solution}
    errors = field.errors_mas(solutions)
    for number in (1, 2, 3):
        assert length_rms(errors[number] - errors[0]) < 0.5
    assert alignment.groups[0].solution.frame == "relative"


def test_a_catalog_of_another_region_changes_no_frame() -> None:
    setup = StarField(pointing_error=0.3, roll_error_deg=0.003, own_error=False)
    field = simulate_field(setup, DITHERED, 6)
    elsewhere = simulate_field(StarField(), DITHERED, 77).reference
    alignment = align_jointly(field.exposures, elsewhere, RULE)
    for outcome in alignment.outcomes:
        assert outcome.frame == "relative"
        assert not outcome.verdict.accepted
        assert outcome.verdict.reason


def test_a_catalog_position_that_was_rejected_ties_nothing() -> None:
    """It stays on record beside the others, and counts neither as a match nor in the rms."""
    field = simulate_field(StarField(), DITHERED, 3)
    [outcome, *_] = align_jointly(field.exposures, field.reference, RULE).outcomes
    known = np.nonzero(outcome.matches.ties)[0]
    weights = outcome.matches.catalog_weights.copy()
    weights[known[:10]] = 0.0
    doubted = replace(outcome, matches=replace(outcome.matches, catalog_weights=weights))
    assert fit_figures(outcome, None)[0] == len(known)
    assert fit_figures(doubted, None)[0] == len(known) - 10
    assert (outcome.matches.catalog_weights[outcome.matches.reference < 0] == 0).all()
