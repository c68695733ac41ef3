"""`hapctl tweak`, TweakReg and tweakwcs on the same simulated ACS/WFC visit: errors to the truth, and time.

    python tests/benchmarks/bench_tweak.py [--folder VISIT] [--environment DIR]

Four exposures with pointing errors up to 1 arcsec and 0.05 degree; two reference catalogs: with the errors of
Gaia, and without any. All get the same files and, for the peers, which know no motions, the same stars at
the epoch. TweakReg's finder is tried at several thresholds and widths, and its best result counts; a WCS of
TweakReg is judged by either way to read lookup tables (hapctl's and astropy's), the better one counts.
Seconds are of processors, of whole processes without TweakReg's imports.
"""

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.bench_align import load_visit, peer
from benchmarks.peer_environment import DRIZZLEPAC, default_environment, python_with_drizzlepac, run_measured
from hapctl.archive.gaia_columns import read_table, stars_from_table
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.propagation import propagate
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.truth import Truth, alignment_error, mapping_error, read_truth
from hapctl.processing.simulation.visit import SimulatedVisit, simulate_visit

PLAN = VisitPlan(filters=("F606W",), exposures=4, seed=5)
FAINTEST = 21.0
FINDERS = ((10.0, 2.0), (10.0, 2.5), (10.0, 3.5), (30.0, 2.5), (30.0, 3.5))
"""Threshold (sigma) and conv_width (pixels) of TweakReg."""
QUIET = ("output.residplot=none", "output.see2dplot=false", "output.writecat=false", "output.matches=none")
_TWEAKREG = """
import json, sys, time
from drizzlepac.tweakreg import TweakReg
options, files = json.loads(sys.argv[1]), sys.argv[2:]
began = time.process_time()
TweakReg(files, **options)
print("SECONDS", time.process_time() - began)
"""


def catalogs(folder: Path, scratch: Path) -> Iterator[tuple[str, Path, ReferenceStars]]:
    """Name, file and stars of the reference catalogs: as Gaia has the stars, and as they are."""
    extract = folder / "gaia_extract.ecsv"
    yield "Gaia-like", extract, stars_from_table(read_table(extract), 2016.0)
    sky = Table.read(folder / "sky.ecsv")
    sky = sky[sky["g"] < FAINTEST]
    sky["source_id"] = np.arange(len(sky)) + 1
    sky["ref_epoch"] = 2016.0
    sky.rename_column("g", "phot_g_mean_mag")
    for name in ("ra_error", "dec_error", "parallax_error", "pmra_error", "pmdec_error"):
        sky[name] = 0.001
    path = scratch / "perfect.ecsv"
    sky.write(path, format="ascii.ecsv")
    yield "perfect", path, stars_from_table(sky, 2016.0)


def ours(
    files: Sequence[Path], catalog: Path, folder: Path, geometry: str
) -> tuple[float, dict[str, WcsSolution]]:
    """Processor seconds, and the new solutions by rootname."""
    settings = [word for setting in (*QUIET, f"fit.fitgeometry={geometry}") for word in ("--set", setting)]
    command = [sys.executable, "-c", "from hapctl.cli.main import main; main()", "tweak", *map(str, files)]
    command += ["--refcat", str(catalog), "--output-dir", str(folder), "--updatehdr", *settings]
    taken = run_measured(command)
    solutions = [read_solutions(folder / path.name)[0].solution for path in files]
    return taken.processor_seconds, {one.rootname: one for one in solutions}


def tweakreg(
    python: Path,
    files: Sequence[Path],
    stars: ReferenceStars,
    mjd: float,
    folder: Path,
    finder: tuple[float, float],
) -> tuple[float, dict[str, WcsSolution]]:
    """The same of TweakReg, on copies."""
    folder.mkdir(parents=True)
    copies = [Path(shutil.copy(path, folder)) for path in files]
    for copy in copies:
        copy.chmod(0o644)
    moved = propagate(stars, mjd)
    np.savetxt(
        folder / "stars.cat", np.column_stack([moved.ra, moved.dec, stars.phot_g_mean_mag]), fmt="%.11f"
    )
    options = {
        "refcat": "stars.cat",
        "rfluxcol": 3,
        "interactive": False,
        "updatehdr": True,
        "wcsname": "TWEAK",
        "searchrad": 3.0,
        "see2dplot": False,
        "residplot": "No plot",
        "writecat": False,
        "fitgeometry": "rscale",
        "imagefindcfg": {"threshold": finder[0], "conv_width": finder[1]},
    }
    command = [str(python), "-W", "ignore", "-c", _TWEAKREG, json.dumps(options), *(p.name for p in copies)]
    output = run_measured(command, folder).output
    seconds = float(next(line.split()[1] for line in output.splitlines() if line.startswith("SECONDS")))
    solutions = [read_solutions(copy)[0].solution for copy in copies]
    return seconds, {one.rootname: one for one in solutions}


def better_reading(truth: Truth, solution: WcsSolution) -> float:
    """The rms error of a solution by the better of both ways to read its lookup tables, mas."""
    chips = {chip.extver: chip for chip in solution.chips}
    other = mapping_error(
        truth, solution.rootname, lambda extver, x, y: pixel_to_sky(chips[extver], x, y, "fits")
    )
    return min(alignment_error(truth, solution).rms_mas, other.rms_mas)


def show(name: str, seconds: float, errors: Sequence[float]) -> None:
    """Print one line of figures."""
    rms = " ".join(f"{error:.2f}" for error in errors)
    print(f"  {name:34} {seconds:6.1f} s   rms (WCS - truth) {rms} mas", flush=True)


def compare(
    visit: SimulatedVisit, name: str, catalog: Path, stars: ReferenceStars, python: Path, scratch: Path
) -> None:
    """All programs with one catalog."""
    truth, files = visit.truth, visit.files
    mjd = float(np.mean([exposure.epoch_mjd for exposure in truth.exposures]))
    print(f"{name} catalog, {len(stars)} stars", flush=True)
    for geometry in ("hst", "rscale"):
        seconds, solutions = ours(files, catalog, scratch / f"{name}-{geometry}", geometry)
        show(
            f"hapctl tweak ({geometry})",
            seconds,
            [alignment_error(truth, s).rms_mas for s in solutions.values()],
        )
    runs = []
    for finder in FINDERS:
        folder = scratch / f"{name}-tweakreg-{finder[0]}-{finder[1]}"
        seconds, solutions = tweakreg(python, files, stars, mjd, folder, finder)
        runs.append((seconds, [better_reading(truth, s) for s in solutions.values()], finder))
        shutil.rmtree(folder)
    seconds, errors, finder = min(runs, key=lambda run: float(np.mean(np.square(run[1]))))
    show(f"TweakReg ({finder[0]:g} sigma, {finder[1]:g} pixels)", seconds, errors)
    if importlib.util.find_spec("photutils") is None:
        print("  photutils is not installed: no tweakwcs")
        return
    starts, pixels = load_visit(visit)
    moved = propagate(stars, mjd)
    corrected, times = peer(starts, pixels, moved)
    errors = [
        mapping_error(
            truth,
            start.rootname,
            lambda extver, x, y, root=start.rootname: corrected[root, extver].all_pix2world(x, y, 0),
        ).rms_mas
        for start in starts
    ]
    show("DAOStarFinder, tweakwcs", sum(times.values()), errors)


def visit_in(folder: Path) -> SimulatedVisit:
    """A visit that was simulated before."""
    truth = read_truth(folder / "truth.json")
    files = tuple(folder / exposure.file for exposure in truth.exposures)
    names = ("gaia_extract.ecsv", "truth.json", "truth.ecsv", "sky.ecsv")
    return SimulatedVisit(folder, files, *(folder / name for name in names), (), truth)


def main() -> None:
    """Compare on a visit, with both catalogs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--environment", type=Path, default=default_environment())
    options, _ = parser.parse_known_args()
    python = python_with_drizzlepac(options.environment)
    print(f"against {DRIZZLEPAC}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        visit = visit_in(options.folder) if options.folder else simulate_visit(folder / "visit", PLAN)
        for name, catalog, stars in catalogs(visit.folder, folder):
            compare(visit, name, catalog, stars, python, folder)


if __name__ == "__main__":
    main()
