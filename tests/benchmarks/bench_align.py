"""Finding, matching and fitting a simulated ACS/WFC visit, against photutils DAOStarFinder and tweakwcs.

Both begin with the same files, the same starting solutions (lookup tables as HST writes them) and the same
Gaia-like extract at the epoch; both are compared with the truth of the simulation. photutils is no
dependency: without it only our own figures are given.
"""

import importlib.util
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from hapctl.archive.gaia_columns import read_table, stars_from_table
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.detection import detect_sources
from hapctl.processing.astrometry.joint_alignment import ExposureSources, align_jointly
from hapctl.processing.astrometry.joint_model import ExposurePrior
from hapctl.processing.astrometry.mapping import astropy_wcs
from hapctl.processing.astrometry.propagation import PropagatedStars, propagate
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.source_list import SourceList, detection_settings, source_list
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.parallel import do_parts
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.truth import alignment_error, mapping_error
from hapctl.processing.simulation.visit import SimulatedVisit, simulate_visit

PLAN = VisitPlan(filters=("F606W",), exposures=4, seed=5)
Pixels = dict[tuple[str, int], tuple[np.ndarray, np.ndarray, np.ndarray]]


@contextmanager
def stopwatch(times: dict[str, float], name: str) -> Iterator[None]:
    """Processor seconds of a block."""
    started = time.process_time()
    yield
    times[name] = time.process_time() - started


def load_visit(visit: SimulatedVisit) -> tuple[list[WcsSolution], Pixels]:
    """Starting solutions and the pixels of all chips."""
    solutions, pixels = [], {}
    for path in visit.files:
        solutions.append(read_solutions(path)[0].solution)
        with ExposureImage(path) as image:
            for chip in image.chips:
                error = chip.error()
                assert error is not None
                pixels[solutions[-1].rootname, chip.extver] = (chip.science(), error, chip.quality())
    return solutions, pixels


def reference_at_epoch(visit: SimulatedVisit) -> tuple[ReferenceStars, PropagatedStars]:
    """The extract, brightest first, at the middle of the visit."""
    stars = stars_from_table(read_table(visit.gaia_extract), 2016.0)
    stars = stars[np.argsort(stars.phot_g_mean_mag)]
    return stars, propagate(stars, float(np.mean([e.epoch_mjd for e in visit.truth.exposures])))


def found_sources(solutions: list[WcsSolution], pixels: Pixels, most: int, threads: int) -> list[SourceList]:
    """The sources of all exposures, chip by chip."""
    settings = detection_settings("WFC")
    keys = [(solution.rootname, chip.extver) for solution in solutions for chip in solution.chips]
    found = do_parts(lambda key: detect_sources(*pixels[key], settings), keys, threads)
    by_key = dict(zip(keys, found, strict=True))
    return [
        source_list(
            solution,
            [by_key[solution.rootname, chip.extver] for chip in solution.chips],
            PLAN.exposure_time,
            most=most,
        )
        for solution in solutions
    ]


def ours(
    visit: SimulatedVisit, solutions: list[WcsSolution], pixels: Pixels, stars: ReferenceStars
) -> tuple[list[WcsSolution], dict[str, float]]:
    """New solutions, and the processor seconds of each step."""
    times: dict[str, float] = {}
    rule = AcceptanceRule()
    with stopwatch(times, "find"):
        lists = found_sources(solutions, pixels, rule.most_stars, 1)
    with stopwatch(times, "match, fit, judge"):
        prior = ExposurePrior(guide_star_set=0, pointing=1.0, roll_deg=0.05)
        exposures = [
            ExposureSources(solution.rootname, solution, sources, exposure.epoch_mjd, prior)
            for solution, sources, exposure in zip(solutions, lists, visit.truth.exposures, strict=True)
        ]
        aligned = align_jointly(exposures, stars, rule)
    fitted = [outcome.solution for outcome in aligned.outcomes if outcome.frame == "catalog"]
    assert len(fitted) == len(solutions), [outcome.verdict for outcome in aligned.outcomes]
    return [solution for solution in fitted if solution is not None], times


def wall_seconds(solutions: list[WcsSolution], pixels: Pixels, threads: int) -> float:
    """Of finding, as a user waits for it."""
    started = time.perf_counter()
    found_sources(solutions, pixels, AcceptanceRule().most_stars, threads)
    return time.perf_counter() - started


def peer(
    solutions: list[WcsSolution], pixels: Pixels, moved: PropagatedStars
) -> tuple[dict[tuple[str, int], Any], dict[str, float]]:
    """The chips' astropy WCSs as tweakwcs leaves them, and the processor seconds of each step."""
    from astropy.stats import sigma_clipped_stats
    from astropy.table import Table
    from photutils.detection import DAOStarFinder
    from tweakwcs import FITSWCSCorrector, XYXYMatch, align_wcs

    times: dict[str, float] = {}
    correctors = []
    with stopwatch(times, "find"):
        for solution in solutions:
            for chip in solution.chips:
                science, _, quality = pixels[solution.rootname, chip.extver]
                bad = (quality & ~np.uint16(2048)) != 0
                _, median, scatter = sigma_clipped_stats(science, mask=bad, sigma=3.0)
                finder = DAOStarFinder(threshold=20.0 * scatter, fwhm=2.0)
                table = finder(science - median, mask=bad)
                names = [n for n in ("x_centroid", "y_centroid") if n in table.colnames]
                x, y = names or ("xcentroid", "ycentroid")
                catalog = Table({"x": table[x], "y": table[y], "flux": table["flux"]})
                correctors.append(
                    FITSWCSCorrector(
                        astropy_wcs(chip),
                        {
                            "group_id": solution.rootname,
                            "catalog": catalog,
                            "name": f"{solution.rootname} {chip.extver}",
                        },
                    )
                )
    with stopwatch(times, "match and fit"):
        weight = 1.0 / (moved.ra_error**2 + moved.dec_error**2)
        reference = Table({"RA": moved.ra, "DEC": moved.dec, "weight": weight})
        match = XYXYMatch(searchrad=40.0, separation=2.0, tolerance=2.0, use2dhist=True)  # pixels
        align_wcs(
            correctors, reference, expand_refcat=False, match=match, fitgeom="rscale", nclip=3, sigma=3.0
        )
    keys = [(solution.rootname, chip.extver) for solution in solutions for chip in solution.chips]
    return {key: corrector.wcs for key, corrector in zip(keys, correctors, strict=True)}, times


def show(name: str, times: dict[str, float], errors: list[float]) -> None:
    """Print one line of figures."""
    steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in times.items())
    rms = " ".join(f"{error:.2f}" for error in errors)
    print(f"{name:24} {steps}; total {sum(times.values()):.1f} s; rms (WCS - truth) {rms} mas")


def main() -> None:
    """Simulate, align both ways, compare with the truth."""
    with tempfile.TemporaryDirectory() as folder:
        visit = simulate_visit(Path(folder), PLAN)
        solutions, pixels = load_visit(visit)
        stars, moved = reference_at_epoch(visit)
        print(f"{len(solutions)} exposures of 2 chips, {PLAN.stars} stars, {len(stars)} in the extract")
        fitted, mine = ours(visit, solutions, pixels, stars)
        show("hapctl", mine, [alignment_error(visit.truth, s).rms_mas for s in fitted])
        waits = [wall_seconds(solutions, pixels, threads) for threads in (1, 2)]
        print(f"{'':24} finding, elapsed: {waits[0]:.1f} s with 1 thread, {waits[1]:.1f} s with 2")
        if importlib.util.find_spec("photutils") is None:
            print("photutils is not installed: no peer")
            return
        corrected, times = peer(solutions, pixels, moved)
        errors = [
            mapping_error(
                visit.truth,
                solution.rootname,
                lambda extver, x, y, root=solution.rootname: corrected[root, extver].all_pix2world(x, y, 0),
            ).rms_mas
            for solution in solutions
        ]
        show("DAOStarFinder, tweakwcs", times, errors)
        ratios = (times["find"] / mine["find"], sum(times.values()) / sum(mine.values()))
        print(f"processor time, peer / hapctl: finding {ratios[0]:.1f}, all {ratios[1]:.1f}")


if __name__ == "__main__":
    main()
