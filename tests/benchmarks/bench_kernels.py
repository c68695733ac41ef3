"""The kernels of pixel centres against the drizzle package, on one 4096 x 2048 chip, in the same run.

Ours maps every centre exactly while it drizzles; the package is given the map, whose making is not counted.
Then what kernels do to the flux of stars: gaussian and lanczos conserve none.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from drizzle.resample import Drizzle
from hapctl.ext.cpu import builds
from hapctl.processing.astrometry.mapping import distortion, homography
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.drizzle import DrizzleInput, drizzle_bands, drizzle_image, map_to_grid
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from support.synthetic_chips import distorted_chip, plain_chip

SHAPE = (2048, 4096)
PIXFRAC = 0.8
REPEATS = 3
KERNELS = ("point", "turbo", "gaussian", "lanczos2", "lanczos3")
STARS = 100


def least_seconds(work: Callable[[], object]) -> float:
    """Least processor seconds of some runs."""
    spent = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return min(spent)


def ours(kernel: str, chip: ChipWcs, pixels: tuple[np.ndarray, np.ndarray], grid: OutputGrid) -> None:
    """Drizzle and drop the bands."""
    values, weights = pixels
    source = DrizzleInput(chip, lambda first, stop: (values[first:stop], weights[first:stop]))
    for _ in drizzle_bands([source], grid, kernel=kernel, pixfrac=PIXFRAC):
        pass


def sums_alone(
    kernel: str, build: str, chip: ChipWcs, pixels: tuple[np.ndarray, np.ndarray], grid: OutputGrid
) -> Callable[[], None]:
    """The kernel without bands, fresh memory and means: what the vector builds differ in."""
    add_pixels = builds("kernels")[build].add_pixels
    mapped, matrix = distortion(chip, "hst"), homography(chip, grid.plane)
    sums, context = np.zeros((*grid.shape, 2)), np.zeros(grid.shape, dtype=np.int32)
    values, weights = pixels

    def work() -> None:
        for first in range(0, SHAPE[0], 32):
            rows = slice(first, first + 32)
            add_pixels(
                kernel, mapped, matrix, values[rows], weights[rows], first, (0, SHAPE[1]), 1.0, PIXFRAC, sums,
                context, 1, 0, scale_ratio=grid.scale_arcsec / chip.idcscale,
            )  # fmt: skip

    return work


def package(
    kernel: str, chip: ChipWcs, pixels: tuple[np.ndarray, np.ndarray], grid: OutputGrid, pixmap: np.ndarray
) -> None:
    """The same by the drizzle package, its map given."""
    ratio = grid.scale_arcsec / chip.idcscale
    image = Drizzle(kernel=kernel, out_shape=grid.shape, fillval="NaN")
    image.add_image(
        pixels[0],
        1.0,
        pixmap,
        iscale=ratio**2,
        pixel_scale_ratio=ratio,
        weight_map=pixels[1],
        pixfrac=PIXFRAC,
    )


def print_speeds() -> None:
    """One line a kernel."""
    # SIP alone, as in the table of figures to reach.
    chip = replace(distorted_chip(SHAPE, angle_deg=30.0), npol=(None, None), d2im=(None, None))
    values = np.random.default_rng(1).normal(5.0, 1.0, SHAPE).astype(np.float32)
    pixels = values, np.full(SHAPE, 500.0, dtype=np.float32)
    grid = north_up_grid([chip])
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(float)
    pixmap = np.dstack(map_to_grid(chip, grid, x, y))
    onto = f"{grid.shape[1]} x {grid.shape[0]}"
    print(f"4096 x 2048 chip, SIP 4, turned 30 degrees, onto {onto} pixels; pixfrac {PIXFRAC}")
    print("processor seconds: whole drizzle, kernel alone by build, package on a map that it is given; ratio")
    for kernel in KERNELS:
        whole = least_seconds(lambda kernel=kernel: ours(kernel, chip, pixels, grid))
        alone = {
            build: least_seconds(sums_alone(kernel, build, chip, pixels, grid)) for build in builds("kernels")
        }
        theirs = least_seconds(lambda kernel=kernel: package(kernel, chip, pixels, grid, pixmap))
        each = " ".join(f"{build} {seconds:.3f}" for build, seconds in alone.items())
        print(f"{kernel:<9} {whole:.3f}   {each}   {theirs:.3f}   {theirs / whole:.1f} x", flush=True)


def star_fluxes(kernel: str, pixfrac: float) -> np.ndarray:
    """Flux of stars at random phases after the drizzle over that before it."""
    rng = np.random.default_rng(2)
    chip = plain_chip((41, 41), angle_deg=30.0)
    grid = north_up_grid([chip])
    y, x = np.mgrid[0:41, 0:41]
    fluxes = []
    for at_x, at_y in rng.uniform(19.5, 20.5, (STARS, 2)):
        star = np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * (2.0 / 2.3548) ** 2)).astype(np.float32)
        pixels = star, np.ones_like(star)
        source = DrizzleInput(chip, lambda first, stop, p=pixels: (p[0][first:stop], p[1][first:stop]))
        image = drizzle_image([source], grid, kernel=kernel, pixfrac=pixfrac)
        fluxes.append(np.nansum(image.sci.astype(float)) / star.sum(dtype=float))
    return np.array(fluxes)


def print_conservation() -> None:
    """How far SCI of a star is from its flux, by kernel."""
    print(f"flux of {STARS} stars (FWHM 2 pixels, turned 30 degrees): mean - 1, rms, worst")
    for kernel in ("square", "turbo", "gaussian", "lanczos2", "lanczos3"):
        off = star_fluxes(kernel, 1.0) - 1.0
        print(f"{kernel:<9} {off.mean():+.2e} {off.std():.2e} {np.abs(off).max():.2e}", flush=True)


def main() -> None:
    """Print both tables."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(flux-conserving|lanczos)")
        print_speeds()
        print_conservation()


if __name__ == "__main__":
    main()
