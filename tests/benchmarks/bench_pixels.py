"""Simulated visits from pixels to joint solutions: rms (WCS - truth), predicted errors, pulls, chi-squared.

Visits of four ACS/WFC exposures (two visits, and one with a diffraction-limited PSF) and of WFC3 (four UVIS
and four IR exposures together), with pointing errors to 1 arcsec and 0.05 degree; catalogs: all stars of the
sky without errors, those of Gaia's magnitudes without errors, and Gaia-like extracts of which the errors are
drawn anew several times. Errors are two-dimensional, over a grid on all chips.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_alignment import ExposureSources, JointAlignment, align_jointly
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.truth import Truth, alignment_error
from hapctl.processing.simulation.visit import SimulatedVisit, simulate_visit
from support.pixel_visit import gaia_drawn_again, measured_exposures, perfect_stars, position_errors

PLANS = {
    "ACS/WFC, seed 5": VisitPlan(filters=("F606W",), exposures=4, seed=5),
    "ACS/WFC, seed 6": VisitPlan(filters=("F606W",), exposures=4, seed=6),
    "ACS/WFC, diffraction": VisitPlan(filters=("F606W",), exposures=4, seed=5, psf="diffraction"),
    "WFC3 UVIS and IR": VisitPlan(
        visit="ihap01", detector="BOTH", filters=("F606W", "F160W"), exposures=4, seed=5
    ),
}
DRAWS = 8
GAIA_FAINTEST = 21.0
SIGNAL_TO_NOISE = (5.0, 12.0, 25.0, 50.0, 100.0, 200.0, np.inf)


def errors_mas(truth: Truth, alignment: JointAlignment) -> np.ndarray:
    """The rms error of each exposure; infinite outside the catalog's frame."""
    return np.array(
        [
            alignment_error(truth, outcome.solution).rms_mas
            if outcome.solution is not None and outcome.frame == "catalog"
            else np.inf
            for outcome in alignment.outcomes
        ]
    )


def predicted_mas(alignment: JointAlignment) -> tuple[np.ndarray, np.ndarray]:
    """Predicted error of each exposure, with and without the common error of Gaia's frame."""
    predicted = np.array([outcome.predicted_error_mas for outcome in alignment.outcomes])
    floor = 1e3 * np.sqrt(2.0) * alignment.groups[0].solution.common_floor
    return predicted, np.sqrt(predicted**2 - floor**2)


def words(figures: Sequence[float] | np.ndarray) -> str:
    """Figures to a hundredth."""
    return " ".join(f"{figure:.3f}" for figure in figures)


def show_perfect(
    visit: SimulatedVisit, exposures: Sequence[ExposureSources], name: str, stars: ReferenceStars
) -> None:
    """Errors with a catalog without errors; chi-squared with the rule's floor of errors, and without."""
    rule = AcceptanceRule()
    alignment = align_jointly(exposures, stars, rule)
    bare = align_jointly(exposures, stars, replace(rule, error_floor_mas=0.0))
    reduced = [a.groups[0].solution.chi_squared / a.groups[0].solution.freedom for a in (alignment, bare)]
    print(
        f"  {name:22} rms {words(errors_mas(visit.truth, alignment))} mas; predicted without the frame's "
        f"error {words(predicted_mas(alignment)[1])}; reduced chi2 {reduced[0]:.2f} with the floor of "
        f"{rule.error_floor_mas:g} mas, {reduced[1]:.2f} without",
        flush=True,
    )


def show_gaia(visit: SimulatedVisit, exposures: Sequence[ExposureSources]) -> None:
    """Errors over predicted errors with Gaia-like catalogs."""
    errors, predictions, own = [], [], []
    for draw in range(DRAWS):
        alignment = align_jointly(exposures, gaia_drawn_again(visit, 1000 + draw), AcceptanceRule())
        errors.append(errors_mas(visit.truth, alignment))
        both = predicted_mas(alignment)
        predictions.append(both[0])
        own.append(both[1])
    rms = np.sqrt(np.mean(np.square(errors), axis=0))
    ratio = np.sqrt(np.mean(np.square(np.array(errors) / np.array(predictions))))
    bare = np.sqrt(np.mean(np.square(np.array(errors) / np.array(own))))
    print(
        f"  {f'Gaia-like, {DRAWS} draws':22} rms {words(rms)} mas; predicted "
        f"{words(np.mean(predictions, axis=0))}; error / predicted {ratio:.2f} "
        f"({bare:.2f} without the frame's error)",
        flush=True,
    )


def show_pulls(visit: SimulatedVisit, exposures: Sequence[ExposureSources]) -> None:
    """Errors of position against those stated, by signal to noise."""
    snr, apart, stated = position_errors(visit, exposures)
    for least, most in pairwise(SIGNAL_TO_NOISE):
        here = (snr >= least) & (snr < most)
        pulls = apart[here] / stated[here, None]
        if len(pulls) < 10:
            continue
        robust, mean = 1.4826 * np.median(np.abs(pulls)), 1e3 * np.median(apart[here], axis=0)
        print(
            f"    S/N {least:4.0f} - {most:<4.0f} {len(pulls):6d} sources: stated "
            f"{np.median(stated[here]):.4f} pixel, pulls {robust:.2f}, median error {words(mean)} "
            f"millipixel, beyond 5 sigma {100 * np.mean(np.abs(pulls) > 5.0):.2f} %",
            flush=True,
        )


def main() -> None:
    """Simulate, align, compare with the truth, visit by visit."""
    for name, plan in PLANS.items():
        with tempfile.TemporaryDirectory() as folder:
            visit = simulate_visit(Path(folder), plan)
            exposures = measured_exposures(visit, AcceptanceRule())
            print(f"{name}: {len(exposures)} exposures, {len(exposures[0].sources)} sources in the first")
            show_perfect(visit, exposures, "perfect, all stars", perfect_stars(visit))
            show_perfect(visit, exposures, "perfect, G < 21", perfect_stars(visit, GAIA_FAINTEST))
            show_gaia(visit, exposures)
            show_pulls(visit, exposures)


if __name__ == "__main__":
    main()
