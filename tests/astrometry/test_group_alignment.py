"""Exposures onto each other and onto a catalog: right or refused, from lists of stars with a known truth."""

import numpy as np
import pytest
from hapctl.processing.astrometry.absolute_alignment import AbsoluteFit, align_group
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.decoys import best_decoy_score, decoy_lists
from hapctl.processing.astrometry.list_alignment import StarList, align_lists
from hapctl.processing.astrometry.plane import PlaneFit
from hapctl.processing.astrometry.relative_alignment import (
    Group,
    align_exposures,
    lone_group,
    member_rms,
)
from support.star_field import star_list

RULE = AcceptanceRule()
QUICK = AcceptanceRule(decoys=40)


class Field:
    """Stars of a sky of 100 arcsec, exposures with pointing errors, and a catalog of the bright ones."""

    def __init__(self, seed: int, *, stars: int = 300, catalog: int = 60, exposures: int = 3) -> None:
        random = np.random.default_rng(seed)
        self.stars = random.uniform(-50, 50, (stars, 2))
        self.magnitudes = np.sort(random.uniform(15, 22, stars))
        self.errors = 0.0005 + 0.004 * 10 ** (0.3 * (self.magnitudes - 22))
        self.pointing = [
            PlaneFit.similarity(
                random.uniform(-1, 1, 2), random.uniform(-0.05, 0.05), 1 + random.normal(0, 1e-4)
            )
            for _ in range(exposures)
        ]
        self.lists = [self._exposure(random, pointing) for pointing in self.pointing]
        chosen = np.sort(random.choice(stars // 2, min(catalog, stars // 2), replace=False))
        self.catalog = StarList(
            self.stars[chosen] + random.normal(0, 0.001, (len(chosen), 2)),
            np.full(len(chosen), 0.001),
            self.magnitudes[chosen] - 0.3,
        )
        self.names = [f"jtest{number}abc" for number in range(exposures)]

    def _exposure(self, random: np.random.Generator, pointing: PlaneFit) -> StarList:
        """Stars displaced by the inverse of the pointing, with noise; some lost, and cosmic rays."""
        seen = np.nonzero(random.random(len(self.stars)) < 0.9)[0]
        matrix = np.linalg.inv(pointing.matrix)
        points = (self.stars[seen] - pointing.shift) @ matrix.T
        points += random.normal(0, 1, points.shape) * self.errors[seen, None]
        rays = random.uniform(-50, 50, (20, 2))
        joined = np.concatenate([points, rays])
        errors = np.concatenate([self.errors[seen], np.full(20, 0.003)])
        magnitudes = np.concatenate([self.magnitudes[seen] - 25.0, random.uniform(-9, -4, 20)])
        order = np.argsort(magnitudes)
        return StarList(joined[order], errors[order], magnitudes[order])

    def error_mas(self, group: Group, absolute: AbsoluteFit, number: int) -> float:
        """Largest distance over the field between fit and truth."""
        assert absolute.fit is not None
        grid = np.array([[-40.0, -40.0], [40.0, -40.0], [0.0, 0.0], [40.0, 40.0]])
        fit = absolute.fit.after(group.members[number].fit)
        return float(1e3 * np.max(np.abs(fit(grid) - self.pointing[number](grid))))


@pytest.mark.parametrize("seed", range(4))
def test_exposures_and_catalog_are_aligned(seed: int) -> None:
    field = Field(seed)
    group = align_exposures(field.lists, QUICK)
    assert sorted(group.members) == [0, 1, 2]
    assert all(verdict.accepted for verdict in group.verdicts.values())
    absolute = align_group(group, field.lists, field.names, field.catalog, QUICK)
    assert absolute.verdict.accepted, absolute.verdict.reason
    assert absolute.evidence is not None
    assert absolute.evidence.stars > 50
    for number in range(3):
        assert field.error_mas(group, absolute, number) < 1.0
        assert np.all(1e3 * member_rms(group, number) < 3.0)
        pairs = absolute.pairs[number]
        pulls = pairs.residuals[pairs.used] / pairs.errors[pairs.used, None]
        assert 0.6 < 1.4826 * np.median(np.abs(pulls)) < 1.4


def test_exposure_of_another_field_is_left_out_and_told_why() -> None:
    field, other = Field(1), Field(99)
    group = align_exposures([field.lists[0], field.lists[1], other.lists[0]], QUICK)
    assert sorted(group.members) == [0, 1]
    assert not group.verdicts[2].accepted
    assert group.verdicts[2].code in ("no-match", "chance-limit", "decoy-scores-as-high", "too-few-stars")


def test_a_single_exposure_is_a_group() -> None:
    field = Field(2, exposures=1)
    group = lone_group(field.lists, 0, QUICK)
    absolute = align_group(group, field.lists, field.names, field.catalog, QUICK)
    assert absolute.verdict.accepted
    assert field.error_mas(group, absolute, 0) < 1.5


@pytest.mark.parametrize(
    ("catalog", "code"),
    [
        (0, "too-few-reference-stars"),
        (3, "too-few-reference-stars"),
    ],
)
def test_too_few_reference_stars(catalog: int, code: str) -> None:
    field = Field(3, catalog=catalog, exposures=1)
    absolute = align_group(lone_group(field.lists, 0, QUICK), field.lists, field.names, field.catalog, QUICK)
    assert absolute.verdict.code == code
    assert str(catalog) in absolute.verdict.reason


def test_few_but_good_stars_get_a_simpler_geometry() -> None:
    for seed in range(6):
        field = Field(seed + 20, catalog=5, exposures=1, stars=60)
        group = lone_group(field.lists, 0, QUICK)
        absolute = align_group(group, field.lists, field.names, field.catalog, QUICK)
        if absolute.verdict.accepted:
            assert absolute.evidence is not None
            assert absolute.evidence.geometry == "shift"
            # a shift cannot undo a roll of 0.05 degree, which is 50 mas at the corners
            assert field.error_mas(group, absolute, 0) < 110.0


@pytest.mark.parametrize("kind", ["random", "mirrored", "turned", "elsewhere"])
def test_wrong_catalogs_are_refused(kind: str) -> None:
    field = Field(4, exposures=1)
    points = field.catalog.points
    wrong = {
        "random": np.random.default_rng(7).uniform(-50, 50, points.shape),
        "mirrored": points * [-1.0, 1.0],
        "turned": -points,
        "elsewhere": points + 20.0,
    }[kind]
    catalog = StarList(wrong, field.catalog.errors, field.catalog.magnitudes)
    absolute = align_group(lone_group(field.lists, 0, QUICK), field.lists, field.names, catalog, QUICK)
    assert not absolute.verdict.accepted
    assert absolute.verdict.reason


def test_no_false_acceptance_in_random_fields() -> None:
    random = np.random.default_rng(11)
    accepted = []
    for _ in range(250):
        count, stars = int(random.integers(5, 600)), int(random.integers(4, 60))
        sources = star_list(random.uniform(-50, 50, (count, 2)), 0.002, random)
        catalog = star_list(random.uniform(-55, 55, (stars, 2)), 0.002, random)
        group = lone_group([sources], 0, AcceptanceRule(decoys=4))
        verdict = align_group(group, [sources], ["random000"], catalog, AcceptanceRule(decoys=4)).verdict
        accepted.append(verdict.accepted)
    assert not any(accepted)


def test_decoys_cannot_be_right() -> None:
    field = Field(5, exposures=1)
    true = align_lists(field.lists[0], field.catalog, RULE.absolute_settings())
    assert true is not None
    score = best_decoy_score(
        field.lists[0],
        field.catalog,
        RULE.absolute_settings(),
        count=200,
        tolerance=true.tolerance,
        least=true.count,
    )
    assert score < 0.25 * true.count
    decoys = list(decoy_lists(field.catalog, 5.0, 40))
    low, high = field.catalog.points.min(axis=0), field.catalog.points.max(axis=0)
    for decoy in decoys:
        assert len(decoy) == len(field.catalog)
        assert np.all((decoy.points >= low) & (decoy.points <= high))
    again = list(decoy_lists(field.catalog, 5.0, 40))
    assert np.array_equal(decoys[17].points, again[17].points)


def test_shifted_decoys_lie_beyond_twice_the_radius() -> None:
    field = Field(6, exposures=1)
    size = np.ptp(field.catalog.points, axis=0)
    plain = [decoy for k, decoy in enumerate(decoy_lists(field.catalog, 5.0, 80)) if k % 4 == 3]
    for decoy in plain:
        moved = np.mod(decoy.points - field.catalog.points, size)
        assert np.all(np.minimum(moved, size - moved).max(axis=1) > 10.0)


def test_worst_exposure_is_seen() -> None:
    field = Field(7)
    group = align_exposures(field.lists, QUICK)
    bent = dict(group.members)
    member = bent[2]
    bent[2] = type(member)(
        PlaneFit(member.fit.shift + 0.006, member.fit.matrix), member.star, member.residuals, member.weights
    )
    broken = Group(group.reference, bent, group.stars, group.seen, group.verdicts)
    absolute = align_group(broken, field.lists, field.names, field.catalog, QUICK)
    assert absolute.verdict.code == "worst-exposure"
    assert field.names[2] in absolute.verdict.reason


def test_the_same_lists_give_the_same_fit() -> None:
    field = Field(8)
    first, second = (align_exposures(field.lists, QUICK) for _ in range(2))
    for number in first.members:
        assert np.array_equal(first.members[number].fit.matrix, second.members[number].fit.matrix)
        assert np.array_equal(first.members[number].fit.shift, second.members[number].fit.shift)
