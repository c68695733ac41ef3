"""`hapctl process` on a visit of both detectors of WFC3: three filters each, twelve exposures of whole chips.

    python tests/benchmarks/bench_process.py [--folder VISIT] [--threads 2]

The visit is simulated unless a folder with one is given. The catalog is an embedded one of its own; ingest
and the loading of Gaia's stars are not timed. Prints what passed and what of the processor each step took,
the steps of the products by processor seconds (what dominates comes first), the peak of memory of the process
tree, and what a second `process` costs, which finds all current.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import simulate_visit

FILTERS = ("F438W", "F606W", "F814W", "F110W", "F140W", "F160W")
TARGET_SECONDS, TARGET_BYTES = 60.0, 1.5e9
HAPCTL = (sys.executable, "-c", "from hapctl.cli.main import main; main()")


@dataclass(frozen=True)
class Spent:
    """What a command took: seconds that passed, seconds of processor (user and system), its document."""

    seconds: float
    processor: float
    document: dict[str, Any]


def simulate(folder: Path) -> None:
    """Make the visit."""
    plan = VisitPlan(visit="ihap01", detector="BOTH", filters=FILTERS, exposures=2, stars=4000)
    simulate_visit(folder, plan)


def hapctl(environment: dict[str, str], *arguments: object) -> Spent:
    """Run a command in a process of its own."""
    begun, before = time.monotonic(), os.times()
    done = subprocess.run(
        [*HAPCTL, *map(str, arguments), "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    if done.returncode:
        raise SystemExit(f"hapctl {arguments[0]} ended with {done.returncode}: {done.stderr}")
    processor = sum(after[2:4]) - sum(before[2:4])
    return Spent(time.monotonic() - begun, processor, json.loads(done.stdout))


def prepare(folder: Path, environment: dict[str, str]) -> None:
    """Ingest the visit, and load its Gaia stars."""
    circle = json.loads((folder / "truth.json").read_text())["covers"]
    covers = f"circle {circle['ra']} {circle['dec']} {circle['radius']}"
    hapctl(environment, "init")
    hapctl(environment, "ingest", *sorted(folder.glob("*_fl?.fits")))
    hapctl(environment, "gaia", "load", folder / "gaia_extract.ecsv", "--release", "DR3", "--covers", covers)


def figures_of_runs(environment: dict[str, str], runs: list[int]) -> list[dict[str, Any]]:
    """The runs of the visit: command, peak of memory, profile."""
    numbers = ", ".join(map(str, runs))
    statement = (
        "SELECT command, peak_memory_bytes, summary -> 'profile' AS profile FROM run JOIN run_end"
        f" USING (run_id) WHERE run_id IN ({numbers}) ORDER BY run_id"
    )
    return list(hapctl(environment, "sql", "-c", statement).document)


def report(name: str, spent: Spent, environment: dict[str, str]) -> None:
    """Print what a `process` took, by step."""
    [visit] = spent.document["visits"]
    print(
        f"\n{name}: {spent.seconds:.1f} s passed, {spent.processor:.1f} s of processor ({visit['outcome']})"
    )
    for step in visit["steps"]:
        print(f"  {step['step']:10}{step['status']:10}{step['seconds']:8.1f}{step['processor_seconds']:8.1f}")
    peaks = []
    for run in figures_of_runs(environment, visit["runs"]):
        peaks.append(run["peak_memory_bytes"])
        print(f"  {run['command']}: {run['peak_memory_bytes'] / 1e6:.0f} MB at its peak")
        steps = sorted((run["profile"] or {}).items(), key=lambda one: -one[1]["processor"])
        for step, seconds in steps:
            print(f"    {step:14}{seconds['processor']:8.1f} s of processor")
    good = spent.seconds < TARGET_SECONDS and max(peaks) < TARGET_BYTES
    print(f"  under {TARGET_SECONDS:g} s and {TARGET_BYTES / 1e9:g} GB: {'yes' if good else 'no'}")


def main(arguments: list[str] | None = None) -> None:
    """Simulate, prepare, process twice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="a visit that was simulated before")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch, "visit")
        if given.folder is None:
            simulate(folder)
        environment = {**os.environ, "HAPCTL_HOME": str(Path(scratch, "home"))}
        prepare(folder, environment)
        try:
            asked = ("process", "--visit", "ihap01", "--offline", "--threads", given.threads)
            report("process", hapctl(environment, *asked), environment)
            report("process again", hapctl(environment, *asked), environment)
        finally:
            hapctl(environment, "db", "stop")


if __name__ == "__main__":
    main(sys.argv[1:])
