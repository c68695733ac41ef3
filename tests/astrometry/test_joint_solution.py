"""Joint solutions of many exposures: their errors are what they say, whatever is wrong with some stars."""

from dataclasses import replace

import numpy as np
import pytest
from hapctl.processing.astrometry.joint_corrections import corrections_of, plane_fits
from hapctl.processing.astrometry.joint_losses import rescaling
from hapctl.processing.astrometry.joint_model import (
    Array,
    ExposurePrior,
    JointProblem,
    JointSettings,
    JointSolution,
)
from hapctl.processing.astrometry.joint_solution import predicted_error, solve_joint
from support.joint_field import JointField, normalised_square

SETTINGS = JointSettings()
TWO_EPOCHS = (-14.0, -13.9, 4.0)


def solved(setup: JointField, seed: int) -> tuple[JointProblem, JointSolution, Array]:
    """Problem, solution and truth of a field."""
    problem, true = setup.draw(seed)
    return problem, solve_joint(problem, SETTINGS), true


def mean_square(setup: JointField, fields: int) -> float:
    """Reduced chi-squared of the corrections with their full covariance, over some fields."""
    squares = []
    for seed in range(fields):
        _, solution, true = solved(setup, seed)
        squares.append(normalised_square(solution, true))
    return float(np.mean(squares))


@pytest.mark.parametrize("catalog", [15, 8, 4, 3, 2, 0])
def test_predicted_errors_are_true(catalog: int) -> None:
    """Of sixteen unknowns in forty fields: chance departs from 1 by 0.056; the benchmark takes 200 fields."""
    assert 0.86 < mean_square(JointField(stars=30, catalog=catalog), 40) < 1.14


@pytest.mark.parametrize(
    "setup",
    [
        JointField(stars=40, catalog=15, wrong=0.4, strange=0.05),
        JointField(stars=40, catalog=8, wrong=0.25, strange=0.05, years=TWO_EPOCHS),
        JointField(
            stars=40, catalog=5, prior=ExposurePrior(0, 0.3, relative_pointing=None), years=TWO_EPOCHS
        ),
        JointField(stars=40, catalog=5, prior=ExposurePrior(0, 1.0, scale=1e-3), years=TWO_EPOCHS),
        JointField(stars=40, catalog=5, prior=ExposurePrior(0, 0.3, skew=1e-5)),
    ],
    ids=["wrong", "wrong-two-epochs", "gyros", "old", "skew"],
)
def test_predicted_errors_are_true_with_wrong_stars_and_other_priors(setup: JointField) -> None:
    assert 0.82 < mean_square(setup, 30) < 1.18


def dense_solution(problem: JointProblem, floor: float) -> tuple[Array, Array]:
    """Corrections, shape (k, 4), and their covariance, all unknowns in one dense system of equations.

    Without robust weights; linear about no correction, and repeated with the corrections found.
    """
    exposures, sources, stars = problem.exposures, problem.sources, problem.stars
    size, count = 4 * len(exposures), len(stars)
    width = size + 5 * count + 2
    found = np.zeros(width)
    mean = np.nan_to_num(stars.mean)
    assert stars.field is not None
    for turn in range(4):
        fits = plane_fits(np.pad(found[:size].reshape(-1, 4), ((0, 0), (0, 2))), centres_of(problem))
        normal, right = np.zeros((width, width)), np.zeros(width)
        for number, star, point, error in zip(
            sources.exposure, sources.star, sources.points, sources.errors, strict=True
        ):
            exposure = exposures[number]
            years = exposure.epoch - problem.reference_epoch
            arm = fits[number].matrix @ (point - exposure.centre)
            row = np.zeros((2, width))
            row[:, 4 * number : 4 * number + 2] = np.eye(2)
            row[:, 4 * number + 2] = -arm[1], arm[0]
            row[:, 4 * number + 3] = arm / (1.0 + found[4 * number + 3])
            first = size + 5 * star
            row[:, first : first + 2] = -np.eye(2)
            row[:, first + 2] = -exposure.parallax_factors
            row[:, first + 3 : first + 5] = -years * np.eye(2)
            place = found[first : first + 2] + found[first + 2] * exposure.parallax_factors
            apart = fits[number](point) - place - years * found[first + 3 : first + 5]
            weight = 1.0 / (error**2 + floor**2)
            normal += weight * row.T @ row
            if turn:  # the derivative at the star's place, which is known now
                row[:, 4 * number + 3] -= apart / (1.0 + found[4 * number + 3])
            right -= weight * row.T @ apart
        for star in range(count):
            chosen = slice(size + 5 * star, size + 5 * star + 5)
            row = np.zeros((5, width))
            row[:, chosen] = np.eye(5)
            row[:, -2:] = -stars.field.response[star]
            apart = row @ found - mean[star]
            normal += row.T @ stars.precision[star] @ row
            right -= row.T @ stars.precision[star] @ apart
        normal[-2:, -2:] += np.eye(2) / stars.field.motion_error**2
        right[-2:] -= found[-2:] / stars.field.motion_error**2
        inverse = np.linalg.inv(prior_covariance(problem))
        normal[:size, :size] += inverse
        right[:size] -= inverse @ found[:size]
        found = found + np.linalg.solve(normal, right)
    return found[:size].reshape(-1, 4), np.linalg.inv(normal)[:size, :size]


def centres_of(problem: JointProblem) -> Array:
    """Of all exposures."""
    return np.array([exposure.centre for exposure in problem.exposures])


def prior_covariance(problem: JointProblem) -> Array:
    """Of shift, roll and scale of exposures of one guide-star set."""
    prior, size = problem.exposures[0].prior, len(problem.exposures)
    assert prior.relative_pointing is not None
    shared = np.square([prior.pointing, prior.pointing, np.radians(prior.roll_deg), 0.0])
    apart = prior.relative_pointing
    own = np.square([apart, apart, np.radians(prior.relative_roll_deg), prior.scale])
    covariance = np.kron(np.ones((size, size)), np.diag(shared)) + np.kron(np.eye(size), np.diag(own))
    return np.asarray(covariance)


def test_elimination_gives_what_all_unknowns_at_once_give() -> None:
    problem, _ = JointField(stars=14, catalog=5, years=TWO_EPOCHS).draw(3)
    solution = solve_joint(problem, SETTINGS)
    assert (solution.weights == 1.0).all()
    assert solution.rescaling == 1.0
    corrections, covariance = dense_solution(problem, SETTINGS.floor)
    np.testing.assert_allclose(solution.corrections[:, :2], corrections[:, :2], atol=1e-8)
    np.testing.assert_allclose(solution.corrections[:, 2:4], corrections[:, 2:], atol=1e-10)
    kept = (6 * np.arange(3)[:, None] + np.arange(4)).ravel()
    scale = np.sqrt(np.diag(covariance))
    mine = solution.covariance[np.ix_(kept, kept)]
    np.testing.assert_allclose(mine / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=1e-6)


def test_the_same_input_gives_the_same_bits() -> None:
    problem, _ = JointField(wrong=0.3, strange=0.1).draw(5)
    first, second = solve_joint(problem, SETTINGS), solve_joint(problem, SETTINGS)
    assert first.corrections.tobytes() == second.corrections.tobytes()
    assert first.covariance.tobytes() == second.covariance.tobytes()


def test_a_start_changes_nothing_but_the_way() -> None:
    problem, true = JointField(wrong=0.3, strange=0.1).draw(6)
    plain = solve_joint(problem, SETTINGS)
    close = true + 0.002 * np.array([1.0, -1.0, 1e-3, 1e-3, 0.0, 0.0])
    begun = solve_joint(problem, SETTINGS, plane_fits(close, centres_of(problem)))
    np.testing.assert_allclose(begun.corrections, plain.corrections, atol=2e-7)


@pytest.mark.parametrize(("wrong", "strange", "least"), [(0.4, 0.2, 10), (0.0, 0.4, 15)])
def test_two_in_five_may_be_wrong(wrong: float, strange: float, least: int) -> None:
    """Of the catalog's stars, with a fifth of the sources; or of all sources. From the header's WCS alone."""
    setup = JointField(stars=100, catalog=20, wrong=wrong, strange=strange, far=0.2, catalog_error=0.0001)
    for seed in range(4):
        problem, solution, true = solved(setup, seed)
        kept = np.count_nonzero(problem.stars.in_catalog & (solution.catalog_weights > 0))
        assert least <= kept <= 20 * (1.0 - wrong)
        assert normalised_square(solution, true) < 2.5
        assert solution.rescaling < 1.1


def test_with_most_pairs_wrong_a_solution_is_right_or_says_that_no_catalog_ties_it() -> None:
    """Two fifths of the catalog and two fifths of all sources: fewer than one pair in three is right."""
    setup = JointField(stars=100, catalog=20, wrong=0.4, strange=0.4, far=0.2, catalog_error=0.0001)
    right = 0
    for seed in range(5):
        _, solution, true = solved(setup, seed)
        assert solution.frame == "relative" or normalised_square(solution, true) < 2.5
        right += bool(np.abs(solution.corrections - true)[:, :2].max() < 0.002)
    assert right >= 4


def test_motions_do_not_matter_at_one_epoch() -> None:
    """Stars of no catalog may move as they like when all exposures are of one date."""
    problem, _ = JointField(catalog=10, years=(-8.0, -8.0, -8.0)).draw(2)
    wild = problem.stars.precision.copy()
    wild[~problem.stars.in_catalog, 3:, 3:] /= 1e4
    loose = replace(problem, stars=replace(problem.stars, precision=wild))
    first, second = solve_joint(problem, SETTINGS), solve_joint(loose, SETTINGS)
    np.testing.assert_allclose(first.corrections, second.corrections, atol=1e-9)
    np.testing.assert_allclose(np.diag(second.covariance), np.diag(first.covariance), rtol=1e-4)


def test_the_error_of_the_mean_motion_is_not_averaged_away() -> None:
    """Thousands of faint stars tie epochs no better than their mean motion is known."""
    problem, _ = JointField(stars=400, catalog=2, years=(0.0, 20.0)).draw(1)
    assert problem.stars.field is not None
    certain = replace(problem.stars, field=replace(problem.stars.field, motion_error=0.0))
    honest, bold = solve_joint(problem, SETTINGS), solve_joint(replace(problem, stars=certain), SETTINGS)
    assert bold.covariance[6, 6] < 0.95 * honest.covariance[6, 6]


def test_a_prior_that_the_stars_contradict_is_released() -> None:
    """A header off by 1 arcsec within its guide-star set does not pull thirty stars by 0.1 mas."""
    problem, _ = JointField(stars=30, catalog=30, catalog_error=0.0001).draw(4)
    moved = problem.sources.points.copy()
    moved[problem.sources.exposure == 1] += np.array([1.0, -0.4])
    plain, shifted = (
        solve_joint(replace(problem, sources=replace(problem.sources, points=points)), SETTINGS)
        for points in (problem.sources.points, moved)
    )
    apart = shifted.corrections[1, :2] + np.array([1.0, -0.4]) - plain.corrections[1, :2]
    assert np.abs(apart).max() < 1e-4


def test_errors_are_rescaled_where_the_scatter_demands_it() -> None:
    problem, _ = JointField(stars=200, catalog=20).draw(7)
    told = replace(problem, sources=replace(problem.sources, errors=problem.sources.errors / 3.0))
    settings = replace(SETTINGS, floor=1e-6)
    solution = solve_joint(told, settings)
    assert solution.rescaling > 2.0
    assert solution.rescaling == pytest.approx(np.sqrt(solution.chi_squared / solution.freedom))


@pytest.mark.parametrize("told", [1.0, 3.0])
def test_errors_that_the_catalog_understates_are_not_laid_on_the_measurements(told: float) -> None:
    """One row in ten is wrong besides."""
    squares, factors = [], []
    for seed in range(8):
        problem, true = JointField(stars=60, catalog=40, catalog_error=0.003, wrong=0.1).draw(seed)
        precision = problem.stars.precision.copy()
        precision[problem.stars.in_catalog] *= told**2
        solution = solve_joint(replace(problem, stars=replace(problem.stars, precision=precision)), SETTINGS)
        assert solution.rescaling < 1.1
        factors.append(solution.catalog_factor)
        squares.append(normalised_square(solution, true))
    assert np.mean(factors) == pytest.approx(told, rel=0.1)
    assert 0.6 < np.mean(squares) < 1.4


def test_few_rows_of_a_catalog_ask_for_no_factor() -> None:
    problem, _ = JointField(stars=60, catalog=11, catalog_error=0.003).draw(2)
    precision = problem.stars.precision.copy()
    precision[problem.stars.in_catalog] *= 16.0
    solution = solve_joint(replace(problem, stars=replace(problem.stars, precision=precision)), SETTINGS)
    assert solution.catalog_factor == 1.0


@pytest.mark.parametrize(
    ("chi_squared", "freedom", "factor"), [(30.0, 60, 1.0), (90.0, 19, 1.0), (25.0, 20, 1.0), (80.0, 20, 2.0)]
)
def test_errors_are_never_rescaled_below_one_nor_on_few_stars_nor_by_chance(
    chi_squared: float, freedom: int, factor: float
) -> None:
    assert rescaling(chi_squared, freedom, 20) == pytest.approx(factor)


def test_predicted_errors_of_positions_are_those_of_fits_drawn_from_the_covariance() -> None:
    problem, solution, _ = solved(JointField(catalog=6), 8)
    random = np.random.default_rng(0)
    points = random.uniform(-100, 100, (5, 2))
    block = solution.covariance[6:10, 6:10]
    drawn = solution.corrections[1] + np.pad(
        random.multivariate_normal(np.zeros(4), block, 4000), ((0, 0), (0, 2))
    )
    centres = np.tile(problem.exposures[1].centre, (4000, 1))
    places = np.array([fit(points) for fit in plane_fits(drawn, centres)])
    np.testing.assert_allclose(
        predicted_error(solution, 1, points, floor=False), places.std(axis=0), rtol=0.06
    )


def test_the_common_floor_grows_with_the_years_and_needs_a_catalog() -> None:
    _, solution, _ = solved(JointField(catalog=6, years=(-14.0, 4.0)), 1)
    np.testing.assert_allclose(solution.common_floor, [14 * 2.5e-5, 4 * 2.5e-5])
    point = np.zeros((1, 2))
    apart = predicted_error(solution, 0, point) ** 2 - predicted_error(solution, 0, point, floor=False) ** 2
    np.testing.assert_allclose(apart, (14 * 2.5e-5) ** 2)
    _, relative, _ = solved(JointField(catalog=0, years=(-14.0, 4.0)), 1)
    assert relative.frame == "relative"
    assert (relative.common_floor == 0).all()


def test_two_sources_of_an_exposure_are_not_one_star() -> None:
    problem, _ = JointField(stars=20, catalog=5).draw(1)
    star = problem.sources.star.copy()
    star[1] = star[0]
    with pytest.raises(ValueError, match="one exposure"):
        solve_joint(replace(problem, sources=replace(problem.sources, star=star)), SETTINGS)


def test_corrections_and_transformations_are_two_forms_of_one_thing() -> None:
    random = np.random.default_rng(4)
    corrections = random.normal(0, [1.0, 1.0, 0.01, 1e-3, 1e-4, 1e-4], (6, 6))
    centres = random.uniform(-500, 500, (6, 2))
    np.testing.assert_allclose(
        corrections_of(plane_fits(corrections, centres), centres), corrections, atol=1e-12
    )


def test_an_exposure_without_sources_keeps_its_prior() -> None:
    problem, _ = JointField(catalog=10).draw(9)
    keep = problem.sources.exposure != 3
    rest = replace(
        problem.sources,
        exposure=problem.sources.exposure[keep],
        star=problem.sources.star[keep],
        points=problem.sources.points[keep],
        errors=problem.sources.errors[keep],
    )
    solution = solve_joint(replace(problem, sources=rest), SETTINGS)
    others = solution.corrections[:3, :2].mean(axis=0)
    np.testing.assert_allclose(solution.corrections[3, :2], others, atol=0.005)
    assert np.sqrt(solution.covariance[18, 18]) == pytest.approx(0.005 * np.sqrt(4 / 3), rel=0.1)


def test_a_field_without_catalog_keeps_its_scale() -> None:
    """Residuals are smaller in a smaller field: that must not shrink one that only priors hold."""
    problem, _ = JointField(stars=1500, catalog=0, prior=ExposurePrior(0, 0.3, scale=1e-7)).draw(1)
    loose = [replace(e, centre=np.zeros(2), prior=replace(e.prior, scale=1e-3)) for e in problem.exposures]
    solution = solve_joint(replace(problem, exposures=loose), SETTINGS)
    assert abs(np.mean(solution.corrections[:, 3])) < 2e-5
