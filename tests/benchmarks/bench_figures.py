"""The kernels beside their peers: one 4096 x 2048 chip, SIP order 4, turned 30 degrees, pixfrac 0.8, context.

    python tests/benchmarks/bench_figures.py [--environment DIR] [--repeats 5]

Peers are the drizzle package (its pixel map, then its drizzling) and drizzlepac's tdriz (stepsize 10), the
latter in an environment of its own. All take the same chip, grid and pixels in one run; seconds are of one
processor, medians; the mapping is included. Output images are made anew in each run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.bench_drizzle import (
    PIXFRAC,
    SHAPE,
    Case,
    highest_memory,
    make_case,
    our_drizzle,
    package_drizzle,
    package_map,
    peak_above_input,
)
from benchmarks.peer_environment import DRIZZLEPAC, default_environment, python_with_drizzlepac
from hapctl.ext.cpu import levels
from hapctl.processing.astrometry.mapping import astropy_wcs
from hapctl.processing.imaging.blot import prepare_blot
from hapctl.processing.imaging.parameters import BlotParameters

KERNELS = ("square", "turbo", "point", "gaussian", "lanczos3")
TO_REACH = {
    "square": 0.30,
    "turbo": 0.10,
    "point": 0.045,
    "gaussian": 0.25,
    "lanczos3": 0.45,
    "blot poly5": 0.15,
}
BLOCK = 128


@dataclass(frozen=True)
class Row:
    """Seconds of a kind of work: ours, the package's map and work, drizzlepac's (NaN: not measured)."""

    name: str
    ours: float
    mapping: float
    package: float
    tdriz: float
    to_reach: float

    def __str__(self) -> str:
        package = self.mapping + self.package
        ratios = f"{package / self.ours:6.1f} x{self.tdriz / self.ours:6.1f} x"
        return (
            f"{self.name:<22}{self.ours:7.3f}{self.to_reach:9.3f}{self.mapping:9.2f} +{self.package:5.2f}"
            f"{self.tdriz:8.2f}   {ratios}"
        )


def median_seconds(work: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    """Median seconds of some runs by a clock; the first run, which finds memory cold, does not count."""
    work()
    spent = []
    for _ in range(repeats):
        began = clock()
        work()
        spent.append(clock() - began)
    return statistics.median(spent)


def peer_seconds(python: Path, case: Case, plane: np.ndarray, repeats: int) -> dict[str, Any]:
    """What drizzlepac takes of the same."""
    with tempfile.TemporaryDirectory(prefix="hapctl-peer-") as name:
        folder = Path(name)
        astropy_wcs(case.chip, "hst").to_header(relax=True).totextfile(folder / "chip.hdr")
        case.grid.header().totextfile(folder / "grid.hdr")
        np.save(folder / "values.npy", case.values)
        np.save(folder / "plane.npy", plane)
        ratio = case.grid.scale_arcsec / (case.chip.idcscale or 1.0)
        script = str(Path(__file__).with_name("peer_kernels.py"))
        command = [str(python), "-W", "ignore", script, name, str(PIXFRAC), str(ratio), str(repeats)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def blot_work(case: Case, plane: np.ndarray) -> Callable[[], None]:
    """Blot in blocks of rows, as the pipeline does."""
    seen = prepare_blot(case.chip, case.grid, 1.0, BlotParameters())

    def work() -> None:
        for first in range(0, SHAPE[0], BLOCK):
            seen.rows(plane, first, first + BLOCK)

    return work


def rows(python: Path, repeats: int) -> tuple[list[Row], float]:
    """Measure all kinds of work, and drizzlepac's memory."""
    from drizzle.resample import blot_image

    plain, tables = make_case(tables=False), make_case(tables=True)
    plane = np.random.default_rng(2).normal(5.0, 1.0, plain.grid.shape).astype(np.float32)
    peer = peer_seconds(python, plain, plane, repeats)
    cpu = time.process_time
    mapping = median_seconds(package_map(plain), 1, cpu)
    found = [
        Row(
            kernel,
            median_seconds(our_drizzle(plain, kernel, 1), repeats, cpu),
            mapping,
            median_seconds(package_drizzle(plain, kernel), 3, cpu),
            peer["seconds"][kernel],
            TO_REACH[kernel],
        )
        for kernel in KERNELS
    ]
    with_tables = median_seconds(our_drizzle(tables, "square", 1), repeats, cpu)
    package = (
        median_seconds(package_drizzle(tables, "square"), 3, cpu),
        median_seconds(package_map(tables), 1, cpu),
    )
    found.append(
        Row("square, NPOL and D2IM", with_tables, package[1], package[0], np.nan, 1.3 * found[0].ours)
    )
    pixmap = package_map(plain)()
    found.append(
        Row(
            "blot poly5",
            median_seconds(blot_work(plain, plane), repeats, cpu),
            mapping,
            median_seconds(lambda: blot_image(plane, pixmap, interp="poly5"), 3, cpu),
            peer["seconds"]["blot"],
            TO_REACH["blot poly5"],
        )
    )
    return found, peer["memory"]


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--environment", type=Path, default=default_environment())
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments or [])
    python = python_with_drizzlepac(options.environment)
    plain = make_case(tables=False)
    before = highest_memory()
    package_map(plain)()
    package_memory = highest_memory() - before
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(flux-conserving|lanczos)")
        found, peer_memory = rows(python, options.repeats)
    print(f"processor seconds of one chip, {levels()[0]} build; tdriz of {DRIZZLEPAC}")
    print(f"{'':<22}{'hapctl':>7}{'to reach':>9}{'map + drizzle':>16}{'tdriz':>8}{'times faster':>17}")
    for row in found:
        print(row)
    memory = peak_above_input("square")
    print(
        f"memory beyond input and output, MiB: hapctl {memory:.0f} (to reach 64), "
        f"drizzle map {package_memory:.0f}, tdriz {peer_memory:.0f}"
    )
    walls = [
        median_seconds(our_drizzle(plain, "square", n), options.repeats, time.perf_counter) for n in (1, 2)
    ]
    print(f"2 threads: {walls[0] / walls[1]:.2f} times the speed of 1 (square; to reach 1.8)")


if __name__ == "__main__":
    main(sys.argv[1:])
