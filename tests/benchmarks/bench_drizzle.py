"""The drizzle kernels against the drizzle package, on one 4096 x 2048 chip, in the same run.

Ours maps pixels exactly while it drizzles. The package takes a map of pixel centres: its times are that
of making the map with astropy (``calc_pixmap``) and that of its drizzling.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hapctl.ext.cpu import levels
from hapctl.processing.astrometry.mapping import astropy_wcs
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.drizzle import DrizzleInput, drizzle_bands
from hapctl.processing.imaging.grid import OutputGrid, map_to_grid, north_up_grid
from support.synthetic_chips import distorted_chip

SHAPE = (2048, 4096)
PIXFRAC = 0.8
KERNELS = ("square",)
REPEATS = 5


@dataclass(frozen=True)
class Case:
    """A chip with its pixels and its output grid."""

    chip: ChipWcs
    grid: OutputGrid
    values: np.ndarray
    weights: np.ndarray


def make_case(tables: bool) -> Case:
    """A chip turned by 30 degrees, with SIP of order 4 and, on demand, NPOL and two-axis D2IM tables."""
    chip = distorted_chip(SHAPE, angle_deg=30.0)
    if not tables:
        chip = replace(chip, npol=(None, None), d2im=(None, None))
    values = np.random.default_rng(1).standard_normal(SHAPE, dtype=np.float32)
    return Case(chip, north_up_grid([chip]), values, np.full(SHAPE, 500.0, dtype=np.float32))


def least_seconds(work: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Least processor and least wall-clock seconds of some runs."""
    processor, wall = [], []
    for _ in range(repeats):
        started, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return min(processor), min(wall)


def our_drizzle(case: Case, kernel: str, threads: int) -> Callable[[], None]:
    """Work that drizzles, with context, and drops the bands."""
    source = DrizzleInput(case.chip, lambda y0, y1: (case.values[y0:y1], case.weights[y0:y1]))

    def work() -> None:
        for _ in drizzle_bands([source], case.grid, kernel=kernel, pixfrac=PIXFRAC, threads=threads):
            pass

    return work


def package_map(case: Case) -> Callable[[], np.ndarray]:
    """The package's own making of a pixel map."""
    from drizzle.utils import calc_pixmap

    from_wcs = astropy_wcs(case.chip, "hst")
    from_wcs.array_shape = SHAPE
    to_wcs = case.grid.wcs()
    to_wcs.array_shape = case.grid.shape
    return lambda: calc_pixmap(from_wcs, to_wcs)


def package_drizzle(case: Case, kernel: str) -> Callable[[], None]:
    """The package's drizzling, its map made before."""
    from drizzle.resample import Drizzle

    ratio = case.grid.scale_arcsec / (case.chip.idcscale or 1.0)
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(float)
    pixmap = np.dstack(map_to_grid(case.chip, case.grid, x, y))

    def work() -> None:
        image = Drizzle(kernel=kernel, out_shape=case.grid.shape, fillval="NaN")
        image.add_image(
            case.values,
            1.0,
            pixmap,
            iscale=ratio**2,
            pixel_scale_ratio=ratio,
            weight_map=case.weights,
            pixfrac=PIXFRAC,
        )

    return work


def peak_above_input(kernel: str) -> float:
    """Peak memory of a drizzle that drops its bands, above what its input takes, MiB; in a new process."""
    command = [sys.executable, __file__, "memory", kernel]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def highest_memory() -> float:
    """Highest resident memory of this process, MiB (getrusage would count the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure_memory(kernel: str) -> None:
    """Print what ``peak_above_input`` asks for."""
    case = make_case(tables=True)
    before = highest_memory()
    our_drizzle(case, kernel, 1)()
    print(highest_memory() - before)


def compare(case: Case, kernel: str, title: str) -> None:
    """Print our times at one and two threads, and the package's."""
    processor, wall = least_seconds(our_drizzle(case, kernel, 1))
    both_processor, both_wall = least_seconds(our_drizzle(case, kernel, 2))
    mapping, _ = least_seconds(package_map(case), repeats=1)
    adding, _ = least_seconds(package_drizzle(case, kernel), repeats=2)
    rate = SHAPE[0] * SHAPE[1] / 1e6 / processor
    times = (mapping + adding) / processor
    print(title)
    print(f"  hapctl, 1 thread   {processor:7.3f} s cpu {wall:7.3f} s wall {rate:7.1f} Mpix/s")
    print(
        f"  hapctl, 2 threads  {both_processor:7.3f} s cpu {both_wall:7.3f} s wall {wall / both_wall:7.2f} x"
    )
    print(f"  drizzle package    {mapping:7.3f} s map + {adding:.3f} s = {times:.1f} x hapctl, 1 thread")


def main() -> None:
    """Print seconds, rates, ratios and peak memory."""
    plain, tables = make_case(tables=False), make_case(tables=True)
    size = f"{plain.grid.shape[0]} x {plain.grid.shape[1]}"
    print(f"chip 2048 x 4096 onto {size}, turned 30 degrees, pixfrac {PIXFRAC}, context")
    print(f"build of the kernels: {levels()[0]}; processor seconds, least of {REPEATS}")
    for kernel in KERNELS:
        compare(plain, kernel, f"{kernel}, SIP of order 4")
        compare(tables, kernel, f"{kernel}, SIP, NPOL and D2IM")
        print(f"  peak memory above input, 1 thread: {peak_above_input(kernel):.0f} MiB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        measure_memory(sys.argv[2])
    else:
        main()
