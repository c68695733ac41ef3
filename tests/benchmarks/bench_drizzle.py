"""The square kernel against the drizzle package, on one 4096 x 2048 chip, in the same run.

Ours maps every corner exactly while it drizzles. The package takes a map of pixel centres, so both times
are given: its drizzling alone, and with the making of that map by our own kernel.
"""

import resource
import time
from collections.abc import Callable

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.drizzle import DrizzleInput, drizzle_bands, map_to_grid, predict_memory
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from support.synthetic_chips import distorted_chip

SHAPE = (2048, 4096)
REPEATS = 3


def best_seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Least wall-clock and least processor seconds of some runs."""
    wall, processor = [], []
    for _ in range(REPEATS):
        started, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return min(wall), min(processor)


def peak_mib() -> float:
    """Highest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def our_drizzle(
    chip: ChipWcs, values: np.ndarray, weights: np.ndarray, grid: OutputGrid, pixfrac: float, threads: int
) -> Callable[[], float]:
    """Work that drizzles and drops the bands; gives the sum of the weights."""
    source = DrizzleInput(chip, lambda first, stop: (values[first:stop], weights[first:stop]))

    def work() -> float:
        bands = drizzle_bands([source], grid, pixfrac=pixfrac, threads=threads)
        return sum(float(band.wht.sum(dtype=float)) for band in bands)

    return work


def package_drizzle(
    chip: ChipWcs,
    values: np.ndarray,
    weights: np.ndarray,
    grid: OutputGrid,
    pixfrac: float,
    pixmap: np.ndarray,
) -> Callable[[], float]:
    """The same by the drizzle package."""
    from drizzle.resample import Drizzle

    ratio = grid.scale_arcsec / (chip.idcscale or 1.0)

    def work() -> float:
        image = Drizzle(kernel="square", out_shape=grid.shape, fillval="NaN")
        image.add_image(
            values, 1.0, pixmap, iscale=ratio**2, pixel_scale_ratio=ratio, weight_map=weights, pixfrac=pixfrac
        )
        return float(image.out_wht.sum(dtype=float))

    return work


def line(name: str, seconds: float, processor: float, reference: float) -> str:
    """One line of the report; rates and ratio by processor time, which a busy machine disturbs least."""
    mpix = SHAPE[0] * SHAPE[1] / 1e6
    return (
        f"{name:<36}{seconds:8.2f} s {processor:8.2f} s cpu {mpix / processor:7.1f} Mpix/s"
        f"{reference / processor:7.2f} x package"
    )


def main() -> None:
    """Print seconds, rates, ratios and peak memory."""
    chip = distorted_chip(SHAPE)
    rng = np.random.default_rng(1)
    values = rng.normal(5.0, 1.0, SHAPE).astype(np.float32)
    weights = np.full(SHAPE, 500.0, dtype=np.float32)
    grid = north_up_grid([chip])
    print(f"chip 2048 x 4096, SIP 4 + NPOL + D2IM, turned 33 degrees, onto {grid.shape[0]} x {grid.shape[1]}")
    before = peak_mib()
    ours = {
        pixfrac: best_seconds(our_drizzle(chip, values, weights, grid, pixfrac, 1)) for pixfrac in (1.0, 0.8)
    }
    memory = peak_mib() - before
    threaded = best_seconds(our_drizzle(chip, values, weights, grid, 1.0, 2))
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(float)
    mapping = best_seconds(lambda: map_to_grid(chip, grid, x, y))
    pixmap = np.dstack(map_to_grid(chip, grid, x, y))
    for pixfrac, (seconds, processor) in ours.items():
        package = best_seconds(package_drizzle(chip, values, weights, grid, pixfrac, pixmap))
        print(line(f"hapctl, pixfrac {pixfrac}", seconds, processor, package[1]))
        if pixfrac == 1.0:
            print(line("hapctl, pixfrac 1.0, 2 threads", *threaded, package[1]))
        print(line(f"drizzle package, pixfrac {pixfrac}", *package, package[1]))
    print(line("making the package's pixel map", *mapping, mapping[1]).rsplit("Mpix/s", 1)[0] + "Mpix/s")
    predicted = predict_memory([chip.shape], grid) / 2**20
    print(f"hapctl, 1 thread: {memory:.0f} MiB above its input at the peak, {predicted:.0f} MiB predicted")


if __name__ == "__main__":
    main()
