"""Which source is which star over exposures, guide-star sets and years; and which row of a catalog."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.group_matching import Association, associate, gather
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.plane import PlaneFit
from support.star_mosaic import HALF, StarMosaic, star_mosaic

RULE = AcceptanceRule()
CORNERS = 0.9 * HALF * np.array([[-1.0, -1.0], [1.0, -1.0], [0.0, 0.0], [-1.0, 1.0], [1.0, 1.0]])


def associated(field: StarMosaic, rule: AcceptanceRule = RULE) -> Association:
    return associate(field.lists, field.epochs, field.catalogs, rule, sets=field.sets)


def worst_mas(field: StarMosaic, found: Association) -> float:
    return max(
        1e3 * float(np.abs(fit(CORNERS) - true(CORNERS)).max())
        for fit, true in zip(found.fits, field.pointing, strict=True)
    )


@pytest.mark.parametrize(("seed", "known"), [(0, 15), (1, 6), (2, 4), (3, 3)])
def test_exposures_of_two_sets_are_found_on_the_catalog(seed: int, known: int) -> None:
    field = star_mosaic(seed, known=known, stars=500)
    found = associated(field)
    assert found.groups == ((0, 1, 2, 3),)
    assert found.absolute[0] is not None
    assert found.absolute[0].verdict.accepted
    assert worst_mas(field, found) < 5.0
    wrong, total = field.wrong(found.identities.star)
    assert wrong == 0
    assert total > 1500
    rows = found.identities.reference
    assert np.count_nonzero(rows >= 0) == known
    for own, owner in zip(found.identities.star, field.owners, strict=True):
        tied = (own >= 0) & (rows[own] >= 0)
        assert np.array_equal(field.rows[rows[own[tied]]], owner[tied])
    assert np.all(found.identities.seen()[rows < 0] > 1)


def test_the_same_input_gives_the_same_answer() -> None:
    field = star_mosaic(4, stars=300)
    one, two = associated(field), associated(field)
    assert one.groups == two.groups
    assert all(map(np.array_equal, one.identities.star, two.identities.star))
    assert one.relative == two.relative


def test_one_star_of_an_exposure_is_one_source() -> None:
    field = star_mosaic(5, stars=3000, rays=1000)
    for own in associated(field).identities.star:
        stars = own[own >= 0]
        assert len(np.unique(stars)) == len(stars)


def test_twenty_years_of_motion_tear_nothing_apart() -> None:
    field = star_mosaic(6, exposures=6, sets=3, years=20.0)
    found = associated(field)
    assert found.groups == ((0, 1, 2, 3, 4, 5),)
    wrong, total = field.wrong(found.identities.star)
    assert wrong <= 2e-4 * total
    assert worst_mas(field, found) < 5.0


def test_single_exposure_matches_the_catalog_directly() -> None:
    field = star_mosaic(7, exposures=1, sets=1, known=6, stars=800)
    found = associated(field)
    assert found.groups == ((0,),)
    assert found.absolute[0] is not None
    assert found.absolute[0].verdict.accepted
    assert found.absolute[0].evidence is not None
    assert found.absolute[0].evidence.method == "histogram"
    assert worst_mas(field, found) < 10.0


def test_good_positions_are_taken_as_they_are() -> None:
    field = star_mosaic(8, known=5, roll_deg=0.001)
    at_place = [
        StarList(fit(own.points) + 0.02, own.errors, own.magnitudes)
        for own, fit in zip(field.lists, field.pointing, strict=True)
    ]
    found = associate(at_place, field.epochs, field.catalogs, RULE, sets=field.sets)
    assert found.absolute[0] is not None
    assert found.absolute[0].evidence is not None
    assert found.absolute[0].evidence.method == "direct"


def test_three_stars_of_one_exposure_are_refused_as_rays_may_be_among_them() -> None:
    field = star_mosaic(29, exposures=1, sets=1, known=3, stars=200, rays=50)
    found = associated(field)
    assert found.absolute[0] is not None
    assert found.absolute[0].verdict.code == "too-few-stars"
    assert "3 where all are seen in two exposures" in found.absolute[0].verdict.reason


def test_two_stars_are_never_enough() -> None:
    field = star_mosaic(10, known=2, stars=300)
    match = associated(field).absolute[0]
    assert match is not None
    assert match.verdict.code == "too-few-reference-stars"


def test_two_fields_in_a_visit_are_two_groups_one_on_the_catalog() -> None:
    field, other = star_mosaic(11), star_mosaic(12)
    lists = [*field.lists[:2], *other.lists[:2]]
    found = associate(lists, [2005.0] * 4, [field.catalogs[0]] * 4, RULE, sets=[0, 0, 0, 0])
    assert sorted(found.groups) == [(0, 1), (2, 3)]
    verdicts = {
        group: match.verdict for group, match in zip(found.groups, found.absolute, strict=True) if match
    }
    assert verdicts[(0, 1)].accepted
    assert not verdicts[(2, 3)].accepted
    assert verdicts[(2, 3)].reason


@pytest.mark.parametrize("case", ["mirrored", "wrong region", "nothing finite", "empty", "no errors"])
def test_catalogs_that_cannot_be_right_are_refused(case: str) -> None:
    field = star_mosaic(13, known=30, stars=600)
    catalog = field.catalogs[0]
    points, errors = catalog.points.copy(), catalog.errors.copy()
    if case == "mirrored":
        points[:, 0] *= -1.0
    if case == "wrong region":
        points += 4000.0
    if case == "nothing finite":
        points[:] = np.nan
    if case == "no errors":
        errors[:] = np.nan
    bad = StarList(points, errors, catalog.magnitudes).chosen(slice(0, 0 if case == "empty" else None))
    found = associate(field.lists, field.epochs, [bad] * 4, RULE, sets=field.sets)
    assert found.groups == ((0, 1, 2, 3),)
    match = found.absolute[0]
    assert match is not None
    assert not match.verdict.accepted
    assert match.verdict.code in ("no-match", "too-few-reference-stars", "too-few-stars", "chance-limit")


def test_a_star_twice_in_the_catalog_counts_once_and_ties_nothing() -> None:
    field = star_mosaic(14, known=10)
    twice = [
        StarList(
            np.concatenate([own.points, own.points[:3] + 1e-4]),
            np.concatenate([own.errors, own.errors[:3]]),
            np.concatenate([own.magnitudes, own.magnitudes[:3]]),
        )
        for own in field.catalogs
    ]
    found = associate(field.lists, field.epochs, twice, RULE, sets=field.sets)
    assert found.absolute[0] is not None
    assert found.absolute[0].evidence is not None
    assert found.absolute[0].evidence.stars == 10
    assert sorted(found.identities.reference[found.identities.reference >= 0]) == list(range(3, 10))


def test_rows_that_are_not_finite_take_no_part() -> None:
    field = star_mosaic(15, stars=400)
    points = field.lists[0].points.copy()
    points[::7] = np.nan
    errors = field.lists[1].errors.copy()
    errors[::5] = np.nan
    lists = [
        replace(field.lists[0], points=points),
        replace(field.lists[1], errors=errors),
        *field.lists[2:],
    ]
    found = associate(lists, field.epochs, field.catalogs, RULE, sets=field.sets)
    assert found.groups == ((0, 1, 2, 3),)
    assert np.all(found.identities.star[0][::7] == -1)
    assert np.all(found.identities.star[1][::5] == -1)


def test_an_empty_exposure_stays_alone() -> None:
    field = star_mosaic(16, exposures=3, stars=300)
    lists = [*field.lists, field.lists[0].chosen(slice(0, 0))]
    epochs, catalogs = [*field.epochs, 2005.0], [*field.catalogs, field.catalogs[0]]
    found = associate(lists, epochs, catalogs, RULE)
    assert found.groups == ((0, 1, 2), (3,))
    assert associate(lists[:3], epochs[:3], None, RULE).absolute == (None,)


def test_gather_leaves_out_what_could_be_confused() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0], [10.01, 0.0], [20.0, 0.0], [30.0, np.nan]])
    one = StarList(points, np.full(5, 0.001), np.arange(5.0))
    two = StarList(points + 0.001, np.full(5, 0.001), np.arange(5.0))
    found = gather([one, two], [PlaneFit.identity()] * 2, [2005.0, 2005.0], None, 0.012)
    assert len(found) == 2
    assert [own.tolist() for own in found.star] == [[0, -1, -1, 1, -1]] * 2
    assert found.reference.tolist() == [-1, -1]


def test_gather_follows_moving_stars_when_it_knows_their_motion() -> None:
    field = star_mosaic(17, exposures=6, sets=1, years=12.0, motion=0.01, known=20)
    found = gather(field.lists, field.pointing, field.epochs, None, 0.01, motion=0.03)
    wrong, total = field.wrong(found.star)
    assert wrong <= 1e-3 * total
    assert total > 0.75 * sum(int(np.count_nonzero(owner >= 0)) for owner in field.owners)


def test_sixty_exposures_are_associated_in_seconds() -> None:
    field = star_mosaic(18, exposures=60, sets=15, stars=3300, rays=100, known=60)
    started = time.process_time()
    found = associated(field)
    assert time.process_time() - started < 20.0
    assert len(found.groups[0]) == 60
    wrong, total = field.wrong(found.identities.star)
    assert wrong <= 1e-4 * total
    assert total > 150_000
