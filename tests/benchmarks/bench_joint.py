"""Joint alignment of lists of sources with realistic errors, against the true WCS and per-image fits.

    python tests/benchmarks/bench_joint.py [--seeds 10] [--fields 200]

Errors are two-dimensional, root mean square over a grid on both chips. The tile is 60 exposures of about
3,000 sources at three epochs; its seconds are of the processor, association and judgement included.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_alignment import JointAlignment, align_jointly
from hapctl.processing.astrometry.joint_model import Array, ExposurePrior, JointSettings
from hapctl.processing.astrometry.joint_problem import catalogs_at
from hapctl.processing.astrometry.joint_solution import solve_joint
from hapctl.processing.astrometry.plane import moved_solution, sky_matrix_about
from hapctl.processing.astrometry.source_list import middle_of
from hapctl.processing.astrometry.star_matching import Search, match_lists
from support.joint_field import JointField, normalised_square
from support.joint_visit import Pointing, SimulatedField, StarField, simulate_field, wcs_error_mas

RULE = AcceptanceRule()
VISIT = ((0.0, 0.0), (3.0, 1.0), (-2.0, 5.0), (1.0, -4.0))


def visit(year: float = 2006.0) -> list[Pointing]:
    """Four dithered exposures under one pair of guide stars."""
    return [Pointing(east, north, year=year) for east, north in VISIT]


def epochs_apart() -> list[Pointing]:
    """Two exposures in 2002 and two in 2022, at another roll."""
    later = ExposurePrior(1, 0.3)
    first = [Pointing(east, north, year=2002.5) for east, north in VISIT[:2]]
    return first + [Pointing(e, n, 75.0, 2022.5, later) for e, n in VISIT[2:]]


def tile() -> list[Pointing]:
    """Sixty exposures over eight minutes of arc, three rolls and epochs, four under each guide-star pair."""
    random = np.random.default_rng(5)
    return [
        Pointing(
            *random.uniform(-250.0, 250.0, 2),
            angle=float(random.choice([30.0, 120.0, 75.0])),
            year=2004.0 + 3.0 * (number % 3),
            prior=ExposurePrior(number // 4, 0.3),
        )
        for number in range(60)
    ]


def joint_errors(field: SimulatedField, alignment: JointAlignment) -> list[Array]:
    """Solution minus truth of every exposure that has a new solution on the catalog, mas."""
    found = {n: o.solution for n, o in enumerate(alignment.outcomes) if o.solution and o.frame == "catalog"}
    return list(field.errors_mas(found).values())


def single_errors(field: SimulatedField) -> list[Array]:
    """The same where each exposure is matched with the catalog and fitted alone, as TweakReg does.

    Roll and scale are free.
    """
    how = Search("histogram", RULE.absolute_settings(), roll_sigma_deg=10.0, scale_sigma=0.1)
    plane = middle_of([exposure.start for exposure in field.exposures])
    catalogs = catalogs_at(field.reference, [exposure.mjd for exposure in field.exposures], plane)
    errors = []
    for exposure, true, catalog in zip(field.exposures, field.truth, catalogs, strict=True):
        sources = exposure.sources.in_plane(plane)
        brightest = catalog.chosen(np.argsort(catalog.magnitudes, kind="stable"))
        result = match_lists(sources, brightest, how)
        if result is None:
            continue
        matrix = sky_matrix_about(result.fit, sources.points.mean(axis=0), plane)
        errors.append(wcs_error_mas(moved_solution(exposure.start, matrix), true))
    return errors


def total_rms(errors: list[Array]) -> float:
    """Over all exposures, mas."""
    return float(np.sqrt(np.mean([np.mean(np.sum(own**2, axis=1)) for own in errors])))


def bench_visits(setup: StarField, pointings: list[Pointing], seeds: int, title: str) -> None:
    """Errors of joint and single fits over some fields."""
    joint, single, predicted = [], [], []
    for seed in range(seeds):
        field = simulate_field(setup, pointings, seed)
        alignment = align_jointly(field.exposures, field.reference, RULE)
        joint += joint_errors(field, alignment)
        single += single_errors(field)
        predicted += [o.predicted_error_mas for o in alignment.outcomes if o.frame == "catalog"]
    expected = float(np.sqrt(np.mean(np.square(predicted))))
    print(
        f"{title}: joint {total_rms(joint):.3f} mas ({len(joint)} of {len(pointings) * seeds} exposures), "
        f"predicted {expected:.3f}; per image {total_rms(single):.3f}"
    )


def bench_epochs(seeds: int) -> None:
    """Mean offset of the solutions over fields whose stars move for twenty years."""
    means, ratios = [], []
    for seed in range(seeds):
        field = simulate_field(StarField(stars=1000, catalog=150), epochs_apart(), seed)
        alignment = align_jointly(field.exposures, field.reference, RULE)
        errors = joint_errors(field, alignment)
        means.append([own.mean(axis=0) for own in errors])
        for own, outcome in zip(errors, alignment.outcomes, strict=True):
            ratios.append(total_rms([own]) / outcome.predicted_error_mas)
    offsets = np.abs(np.mean(means, axis=0)).max(axis=1)
    errors_of_mean = np.std(means, axis=0).max(axis=1) / np.sqrt(seeds)
    print(
        f"20 years, {seeds} fields: mean offsets {np.round(offsets, 3)} mas, standard errors "
        f"{np.round(errors_of_mean, 3)}; largest error {max(ratios):.2f} of the predicted"
    )


def bench_tile() -> None:
    """Time and memory of sixty exposures."""
    setup = StarField(
        stars=39600, half_width=350.0, catalog=600, pointing_error=0.3, roll_error_deg=0.003, own_error=False
    )
    field = simulate_field(setup, tile(), 1)
    started, clock = time.process_time(), time.perf_counter()
    alignment = align_jointly(field.exposures, field.reference, RULE)
    seconds, elapsed = time.process_time() - started, time.perf_counter() - clock
    sources = int(np.mean([len(exposure.sources) for exposure in field.exposures]))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    errors = joint_errors(field, alignment)
    print(
        f"tile of {len(field.exposures)} exposures, {sources} sources each: {seconds:.1f} s of processor, "
        f"{elapsed:.1f} s elapsed, {memory:.2f} GB"
    )
    print(f"    {len(errors)} exposures on the catalog, error {total_rms(errors):.3f} mas")


def bench_predicted(fields: int) -> None:
    """Reduced chi-squared of all unknowns with their full covariance, by number of catalog stars."""
    for catalog in (15, 8, 4, 3, 2, 0):
        squares = []
        for seed in range(fields):
            problem, true = JointField(stars=40, catalog=catalog).draw(seed)
            squares.append(normalised_square(solve_joint(problem, JointSettings()), true))
        error = float(np.std(squares)) / np.sqrt(fields)
        mean = float(np.mean(squares))
        print(f"{catalog} catalog stars, {fields} fields: reduced chi-squared {mean:.3f} +- {error:.3f}")


def main(seeds: int = 10, fields: int = 200) -> None:
    """Print all figures."""
    bench_predicted(fields)
    bench_visits(StarField(catalog_error_mas=0.0), visit(), seeds, "visit, perfect catalog")
    bench_visits(StarField(), visit(), seeds, "visit, Gaia-like errors, 2006")
    bench_visits(StarField(wrong=0.4), visit(), seeds, "the same, 40 % of the catalog wrong")
    bench_visits(StarField(catalog=30, best_pixel=0.03), visit(2015.5), seeds, "Gaia better than HST")
    bench_visits(StarField(catalog=30), visit(2002.5), seeds, "HST better than Gaia")
    bench_epochs(seeds)
    bench_tile()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="fields of each kind")
    parser.add_argument("--fields", type=int, default=200, help="fields for each number of catalog stars")
    given = parser.parse_args()
    main(given.seeds, given.fields)
