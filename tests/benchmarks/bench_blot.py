"""Blotting one 4096 x 2048 chip, and what else finds its cosmic rays, against the drizzle package in one run.

Ours maps every pixel centre exactly while it blots; the package takes a map of pixel centres (its own
``calc_pixmap``), so both times are given. Processor seconds, the least of some runs.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from astropy.wcs import WCS
from drizzle.resample import blot_image
from drizzle.utils import calc_pixmap
from hapctl.ext import cpu
from hapctl.processing.astrometry.mapping import astropy_wcs
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.blot import prepare_blot
from hapctl.processing.imaging.combine import ExposureNoise, combine_arrays
from hapctl.processing.imaging.comparison import find_hits
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hapctl.processing.imaging.parameters import BlotParameters, CosmicRayParameters, MedianParameters
from support.synthetic_chips import distorted_chip

SHAPE = (2048, 4096)
REPEATS = 3
BAND = 128


def seconds(work: Callable[[], object]) -> float:
    """Least processor seconds of some runs."""
    used = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        used.append(time.process_time() - started)
    return min(used)


def blotted(chip: ChipWcs, grid: OutputGrid, plane: np.ndarray, kind: str) -> Callable[[], None]:
    """Work that blots a chip in blocks of rows, as the pipeline does."""
    seen = prepare_blot(chip, grid, 500.0, BlotParameters(interpolation=kind))

    def work() -> None:
        for first in range(0, SHAPE[0], BAND):
            seen.rows(plane, first, first + BAND)

    return work


def in_bands(count: int, work: Callable[[int, int], object]) -> Callable[[], None]:
    """Work on bands of rows."""

    def bands() -> None:
        for first in range(0, count, BAND):
            work(first, min(first + BAND, count))

    return bands


def compare_blots(chip: ChipWcs, grid: OutputGrid, plane: np.ndarray) -> None:
    """Blot by every interpolation, ours and the package's."""
    wcs: WCS = astropy_wcs(chip)
    mapping = seconds(lambda: calc_pixmap(wcs, grid.wcs()))
    pixmap = calc_pixmap(wcs, grid.wcs())
    for kind in ("nearest", "linear", "poly3", "poly5", "lanczos3", "sinc"):
        ours = seconds(blotted(chip, grid, plane, kind))
        if kind == "sinc":
            print(f"  blot {kind:<9} {ours:6.3f} s   (not in the package)")
            continue
        theirs = seconds(lambda kind=kind: blot_image(plane, pixmap, interp=kind))
        factor = (theirs + mapping) / ours
        print(f"  blot {kind:<9} {ours:6.3f} s   package {theirs:.2f} + {mapping:.2f} s, {factor:.0f} times")


def find_rays(count: int) -> None:
    """Combine some exposures, and test one chip."""
    rng = np.random.default_rng(1)
    values = list(rng.normal(0.0, 0.1, (count, *SHAPE)).astype(np.float32))
    weights = [np.full(SHAPE, 100.0, dtype=np.float32)] * count
    noises = [ExposureNoise(100.0, 100.0, 0.01, 0.01)] * count
    parameters = MedianParameters()

    def combine(first: int, last: int) -> None:
        bands = [one[first:last] for one in values], [one[first:last] for one in weights]
        combine_arrays(*bands, noises, parameters)

    def test(first: int, last: int) -> None:
        find_hits(
            values[0][first:last], values[1][first:last], CosmicRayParameters(), sky=30.0, read_noise=4.0
        )

    print(f"  combine {count} exposures {seconds(in_bands(SHAPE[0], combine)):6.3f} s")
    print(f"  cosmic-ray test    {seconds(in_bands(SHAPE[0], test)):6.3f} s")


def main() -> None:
    """Print processor seconds of one chip."""
    chip = distorted_chip(SHAPE)
    grid = north_up_grid([chip])
    plane = np.random.default_rng(1).normal(5.0, 1.0, grid.shape).astype(np.float32)
    print(f"one chip of 4096 x 2048, turned 33 degrees, 1 thread, {cpu.levels()[0]} build")
    for name, one in (("SIP 4", replace(chip, npol=(None, None), d2im=(None, None))), ("tables too", chip)):
        print(f" {name}:")
        compare_blots(one, grid, plane)
    find_rays(4)


if __name__ == "__main__":
    main()
