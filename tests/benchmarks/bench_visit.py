"""A whole visit by `hapctl drizzle` and AstroDrizzle: four ACS/WFC exposures of two chips, all seven steps.

    python tests/benchmarks/bench_visit.py [--folder VISIT] [--environment DIR] [--repeats 3]

The exposures are simulated (500 s, distortion of real reference files where there are any) unless a folder
made with masks is given. Both get the same files and parameters and run in processes of their own; the
copies that AstroDrizzle needs are not timed. Prints seconds, memory and bytes, then seconds by step, then
how well each finds cosmic rays (`cosmic_ray_rates`).
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.cosmic_ray_rates import NAMES, compare_rates
from benchmarks.peer_environment import (
    DRIZZLEPAC,
    Taken,
    astrodrizzle,
    default_environment,
    hapctl_drizzle,
    python_with_drizzlepac,
)
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import simulate_visit
from support.data import data_root

SCALE = 0.05
STEPS = {
    "static_mask": ("Static Mask",),
    "sky": ("Subtract Sky",),
    "separate": ("Separate Drizzle",),
    "median": ("Create Median",),
    "blot": ("Blot",),
    "cosmic_rays": ("Driz_CR",),
    "final": ("Final Drizzle",),
}
"""Our steps, and AstroDrizzle's; its final step writes the product, ours is followed by ``write``."""


def simulate(folder: Path, exposures: int) -> None:
    """Make the visit, without pointing errors: neither program aligns."""
    reference = data_root() / "acs_wfc_reference"
    plan = VisitPlan(
        filters=("F606W",),
        exposures=exposures,
        exposure_time=500.0,
        pointing_error=0.0,
        roll_error=0.0,
        reference_dir=reference if reference.is_dir() else None,
    )
    simulate_visit(folder, plan, masks=True)


def our_runs(files: list[Path], scratch: Path, threads: int, repeats: int) -> tuple[Taken, dict[str, Any]]:
    """The run of median wall-clock time, with its document."""
    fixed = ("-o", str(scratch / "ours"), "--threads", str(threads))
    grid = ("--set", f"final.scale={SCALE}", "--set", "final.rotation=0.0")
    runs = [hapctl_drizzle(files, scratch, *fixed, *grid) for _ in range(repeats)]
    middle = statistics.median_low(taken.seconds for taken, _ in runs)
    return next(run for run in runs if run[0].seconds == middle)


def line(name: str, taken: Taken, counted: float) -> str:
    """One line of the first table; ``counted`` are the seconds without imports for AstroDrizzle."""
    sizes = (taken.peak_bytes, taken.peak_pss_bytes, taken.written_bytes)
    return f"{name:<26}{counted:8.1f}{taken.processor_seconds:9.1f}" + "".join(
        f"{size / 1e6:10.0f}" for size in sizes
    )


def print_steps(ours: dict[str, Any], theirs: dict[str, float]) -> None:
    """Seconds of each step with one core: ours of processor, theirs of wall clock as their log has them."""
    print(f"\n{'seconds by step, 1 core':<26}{'hapctl':>8}{'peer':>9}")
    for step, names in STEPS.items():
        print(f"{step:<26}{ours[step]['processor']:8.2f}{sum(theirs[name] for name in names):9.2f}")
    print(f"{'write':<26}{ours['write']['processor']:8.2f}{'(final)':>9}")


def measure(files: list[Path], scratch: Path, python: Path, repeats: int) -> None:
    """Run everything and print the tables."""
    one, document = our_runs(files, scratch, 1, repeats)
    two, _ = our_runs(files, scratch, 2, repeats)
    peers = [
        astrodrizzle(python, files, scratch / f"cores{cores}", num_cores=cores, final_scale=SCALE)
        for cores in (1, 2)
    ]
    heads = ("wall s", "CPU s", "anon MB", "PSS MB", "wrote MB")
    print(
        f"{len(files)} exposures{'':<14}{heads[0]:>8}{heads[1]:>9}" + "".join(f"{h:>10}" for h in heads[2:])
    )
    print(line("hapctl, 1 thread", one, one.seconds))
    print(line("hapctl, 2 threads", two, two.seconds))
    for cores, (taken, steps) in enumerate(peers, 1):
        print(line(f"AstroDrizzle, {cores} core(s)", taken, steps["Total"]))
    ratios = peers[0][1]["Total"] / one.seconds, peers[1][1]["Total"] / two.seconds
    print(f"times faster in wall clock: {ratios[0]:.1f} (1 core), {ratios[1]:.1f} (2 cores)")
    print(f"times less processor time: {peers[0][0].processor_seconds / one.processor_seconds:.1f}")
    print_steps(document["profile"], peers[0][1])
    kept = scratch / "kept"
    hapctl_drizzle(files, scratch, "--keep", str(kept), "--set", "final.enabled=false")
    ours, theirs = compare_rates(files, kept, scratch / "cores1")
    print(f"\n{'cosmic rays':<14}{'hapctl':>34}{'AstroDrizzle':>34}")
    for name in NAMES:
        print(f"{name:<14}{ours.share(name):>34}{theirs.share(name):>34}")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="a simulated visit with its _rays files")
    parser.add_argument("--environment", type=Path, default=default_environment())
    parser.add_argument("--exposures", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments or [])
    python = python_with_drizzlepac(options.environment)
    print(f"peer: {DRIZZLEPAC}; its seconds are without its imports, ours with them")
    with tempfile.TemporaryDirectory(prefix="hapctl-visit-") as name:
        scratch = Path(name)
        if options.folder is None:
            simulate(scratch / "visit", options.exposures)
        files = sorted((options.folder or scratch / "visit").glob("*_flc.fits"))[: options.exposures]
        measure(files, scratch, python, options.repeats)


if __name__ == "__main__":
    main(sys.argv[1:])
