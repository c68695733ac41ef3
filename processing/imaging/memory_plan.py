"""The memory that a drizzle needs, told before it begins.

    peak = base + exposures + masks
           + max(statistics, plane + reach + max(bands of pass 1, blocks of pass 2), pass 3, picture)

- base: interpreter and libraries;
- exposures: headers and WCS, `EXPOSURE_BYTES` each;
- masks: two bits per chip pixel of all exposures; of more than `MASKS_IN_MEMORY_BYTES` in a scratch file;
  and the static masks, one bit per pixel of one exposure;
- reach: what is kept of each chip's map, about 48 bytes for 1024 pixels;
- statistics: for each thread a lattice of pixels of a chip, `STATISTICS_BYTES` for each of them;
- plane: 4 bytes per pixel of the comparison grid, 0 where it lies in a scratch file;
- pass 1: for each thread a band: `BAND_BYTES`, or its least number of rows where that is more;
- pass 2: for each thread a block of `BLOCK_ROWS` chip rows and its halo;
- pass 3: reach, the drizzle's own bands and those that are written; and the plane, where the variance of
  chips without ERR is taken from it;
- picture: `PICTURE_BYTES` for each pixel of a preview, of products that are shown; with several threads a
  product is shown while the next is drizzled, and both count.

The height of the output does not enter. An exposure of ACS/WFC more adds 5.4 MB as long as masks lie in
memory, 1.2 MB (headers, WCS and reach; measured: 1.0) beyond, whatever it is drizzled onto.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hapctl.processing.errors import TooLargeError
from hapctl.processing.imaging.chip_sample import sample_step
from hapctl.processing.imaging.compare_pass import BLOCK_PIXEL_BYTES, BLOCK_ROWS
from hapctl.processing.imaging.drizzle import default_band_rows, pixel_bytes, predict_memory
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.picture_grid import MOST_PIXELS
from hapctl.processing.imaging.plane_store import (
    IN_MEMORY_BYTES,
    MASKS_IN_MEMORY_BYTES,
    masks_bytes,
    plane_bytes,
)
from hapctl.processing.imaging.separate_pass import (
    BAND_BYTES,
    LEAST_ROWS,
    SINGLE_BYTES,
    WORK_BYTES,
    widest_strip,
)

BASE_BYTES = 140_000_000
"""An upper estimate of interpreter and libraries: 90 MB for files, and some 50 more with a catalog."""
EXPOSURE_BYTES = 400_000
"""Measured on ACS/WFC files: 0.36 MB."""
STATISTICS_BYTES = 76
"""Measured: 70, of which 48 are the values sorted by cells and their running sums."""
PICTURE_BYTES = 150
"""Measured in colour: 130 of two filters, 148 of four; grey 36."""
_HALO = 16
_CELL = 1024
_CELL_BYTES = 48

Shape = tuple[int, int]


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes needed.

    Attributes
    ----------
    peak : int
        Memory of the process at its peak (RssAnon + RssShmem).
    scratch : int
        On disk, for the combined plane and for masks; 0 where both are kept in memory.
    """

    peak: int
    scratch: int = 0

    def check(self, limit: int, what: str, free: int | None = None) -> None:
        """Refuse work that needs more than ``limit`` bytes of memory, or ``free`` bytes of disk.

        Raises
        ------
        TooLargeError
        """
        if self.peak > limit:
            raise TooLargeError(
                f"{what} would need {self.peak / 1e6:.0f} MB of memory, {limit / 1e6:.0f} MB are allowed",
                "give a larger --max-memory or fewer --threads",
            )
        if free is not None and self.scratch > free:
            raise TooLargeError(
                f"{what} would need {self.scratch / 1e6:.0f} MB of disk for a while, "
                f"{free / 1e6:.0f} MB are free",
                "free space, or give another --output",
            )


def plan_memory(
    chips: Sequence[Sequence[Shape]],
    parameters: DrizzleParameters,
    *,
    comparison: OutputGrid | None = None,
    final: OutputGrid | None = None,
    threads: int = 1,
    in_memory_bytes: int = IN_MEMORY_BYTES,
    errors: bool = True,
    groups: int = 1,
    picture: bool = False,
) -> MemoryPlan:
    """Predict the memory of a drizzle; the formula is that of the module.

    Parameters
    ----------
    chips : sequence of sequences of (ny, nx)
        Shapes of the chips of each exposure.
    parameters : DrizzleParameters
    comparison : OutputGrid, optional
        Grid of the comparison, where there is one.
    final : OutputGrid, optional
        Grid of the final image, where there is one.
    threads : int
    in_memory_bytes : int
        A larger combined plane lies in a scratch file.
    errors : bool
        Whether all chips have an ERR extension.
    groups : int
        Of exposures that are compared apart: the masks of each lie in memory or on disk by themselves.
    picture : bool
        Whether the final image is shown, perhaps with others in colour.
    """
    shapes = [shape for exposure in chips for shape in exposure]
    pixels = sum(ny * nx for ny, nx in shapes)
    masks, static = 2 * masks_bytes(shapes), max(map(masks_bytes, chips), default=0)
    scratch = masks if masks > MASKS_IN_MEMORY_BYTES // max(groups, 1) else 0
    in_memory = 0 if scratch and groups < 2 else min(masks, MASKS_IN_MEMORY_BYTES)
    kept = BASE_BYTES + EXPOSURE_BYTES * len(chips) + in_memory + static
    passes = [min(threads, len(chips)) * _statistics(shapes)]
    plane = 0
    if comparison is not None:
        plane = plane_bytes(comparison)
        if plane > in_memory_bytes:
            plane, scratch = 0, scratch + plane
        reach = _CELL_BYTES * pixels // _CELL
        passes.append(plane + reach + threads * max(_band(comparison, len(chips)), _block(shapes)))
    if final is not None:
        shown = _picture(final) if picture else 0
        drizzled = _final(shapes, final, parameters, threads) + (0 if errors else plane)
        passes.append(drizzled + shown if threads > 1 else max(drizzled, shown))
    return MemoryPlan(kept + max(passes), scratch)


def _picture(grid: OutputGrid) -> int:
    factor = -(-max(grid.shape) // MOST_PIXELS)
    return PICTURE_BYTES * (grid.shape[0] // factor + 1) * (grid.shape[1] // factor + 1)


def _statistics(shapes: Sequence[Shape]) -> int:
    lattices = ((ny * nx) // sample_step((ny, nx)) ** 2 for ny, nx in shapes)
    return STATISTICS_BYTES * max(lattices, default=0)


def _band(grid: OutputGrid, exposures: int) -> int:
    width = min(grid.shape[1], widest_strip(exposures, _HALO)) + 2 * _HALO
    row = width * (SINGLE_BYTES * exposures + WORK_BYTES)
    whole = (grid.shape[0] + 2 * _HALO) * row
    return min(whole, max(BAND_BYTES, (LEAST_ROWS + 2 * _HALO) * row))


def _block(shapes: Sequence[Shape]) -> int:
    widest = max((nx for _, nx in shapes), default=0)
    return (BLOCK_ROWS + 2 * _HALO) * widest * BLOCK_PIXEL_BYTES


def _final(shapes: Sequence[Shape], grid: OutputGrid, parameters: DrizzleParameters, threads: int) -> int:
    chosen = parameters.final
    variance, planes = chosen.variance or chosen.error, len(shapes) if chosen.context else 0
    bands = predict_memory(shapes, grid, threads=threads, context=chosen.context, variance=variance)
    rows = min(grid.shape[0], default_band_rows(grid.shape, planes, variance))
    return bands + rows * grid.shape[1] * pixel_bytes(planes, variance)
