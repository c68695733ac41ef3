"""Drizzle chips onto a grid with the square kernel, band by band.

Contract: sums run in float64 over inputs in their order, in each over fixed tiles of 32 rows and 512
columns of the detector, in each of them over rows, then columns; and every output pixel is summed in one
band. So the pixels are the same bits for any number of threads and any height of the bands. Flux is
d * s^2 with s = output scale / IDCSCALE, hence sum(SCI * WHT) = s^2 sum(d * w) for inputs inside the grid.
Memory is bounded by the bands in work, never by the inputs.

What contributes nothing is listed in ``hapctl.ext.square``; where nothing contributes SCI is the fill
value, WHT and CTX are 0.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from hapctl.ext.mapping import ChipDistortion
from hapctl.ext.square import add_pixels, finish
from hapctl.processing.astrometry.mapping import distortion, homography
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.grid import OutputGrid, map_to_grid, native_scale
from hapctl.processing.imaging.reach import CELL, Reach, reach_of
from numpy.typing import NDArray

__all__ = [
    "Band",
    "DrizzleInput",
    "DrizzledImage",
    "drizzle_bands",
    "drizzle_square",
    "map_to_grid",
    "predict_memory",
]

Pixels = tuple[NDArray[np.float32], NDArray[np.float32]]
ReadRows = Callable[[int, int], Pixels]
ReadBlock = Callable[[int, int, int, int], Pixels]
ReadVariance = Callable[[int, int, int, int], NDArray[np.float32]]

BAND_BYTES = 48 * 2**20
LEAST_PIXFRAC = 0.01
# The output that 32 rows of so many columns touch stays in a second-level cache, however they are turned.
TILE_COLUMNS = 512
FINEST_RATIO = 1.0 / 64.0  # of output to input scale; the kernel drops quadrilaterals wider than 128 pixels


@dataclass(frozen=True)
class DrizzleInput:
    """One chip to drizzle.

    Attributes
    ----------
    chip : ChipWcs
        Its WCS; IDCSCALE must be known.
    read_rows : callable
        ``read_rows(y0, y1)`` gives values and weights of detector rows y0 to y1 (the last excluded), each
        (y1 - y0, nx) float32. It is called from several threads at once, and again for every band.
    exposure_time : float
        Seconds, for the lists of a product; weights are taken as ``read_rows`` gives them.
    context_bit : int or None
        Running number of the chip in the context image, from 0; its place in the list by default.
    read_block : callable or None
        ``read_block(y0, y1, x0, x1)``: the same, of columns x0 to x1 only, shape (y1 - y0, x1 - x0). A band
        of a turned chip needs a few columns of many rows.
    read_variance : callable or None
        ``read_variance(y0, y1, x0, x1)`` gives the variance of the values, float32, in units of values
        squared; asked for only where VAR is made.
    """

    chip: ChipWcs
    read_rows: ReadRows
    exposure_time: float = 1.0
    context_bit: int | None = None
    read_block: ReadBlock | None = None
    read_variance: ReadVariance | None = None

    def pixels(self, y0: int, y1: int, x0: int, x1: int) -> Pixels:
        """Rows y0 to y1, whole, float32; outside columns x0 to x1 they may hold anything."""
        if self.read_block is None:
            values, weights = self.read_rows(y0, y1)
            return np.ascontiguousarray(values, np.float32), np.ascontiguousarray(weights, np.float32)
        rows = np.empty((2, y1 - y0, self.chip.shape[1]), dtype=np.float32)
        rows[0, :, x0:x1], rows[1, :, x0:x1] = self.read_block(y0, y1, x0, x1)
        return rows[0], rows[1]


@dataclass(frozen=True)
class Band:
    """Rows y0 to y0 + n of an output.

    Attributes
    ----------
    y0 : int
        First output row, 0-based.
    sci, wht : ndarray, shape (n, nx), float32
    ctx : ndarray, shape (planes, n, nx), int32
        Chip k is bit k % 32 of plane k // 32; no planes where context was not asked for.
    var : ndarray, shape (n, nx), float32, or None
        Variance of SCI, pixel by pixel; NaN where WHT is 0. None where it was not asked for.
    """

    y0: int
    sci: NDArray[np.float32]
    wht: NDArray[np.float32]
    ctx: NDArray[np.int32]
    var: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class DrizzledImage:
    """A whole output: sci and wht (ny, nx) float32, ctx (planes, ny, nx) int32."""

    sci: NDArray[np.float32]
    wht: NDArray[np.float32]
    ctx: NDArray[np.int32]


@dataclass(frozen=True)
class PreparedInput:
    """An input with its map to the grid."""

    source: DrizzleInput
    kernel: ChipDistortion
    matrix: NDArray[np.float64]
    reach: Reach
    flux_scale: float
    plane: int
    bit: int


@dataclass(frozen=True)
class Drizzle:
    """What all bands of a run share."""

    inputs: tuple[PreparedInput, ...]
    grid: OutputGrid
    pixfrac: float
    planes: int
    fill_value: float

    def band(self, y0: int, y1: int) -> Band:
        """Drizzle output rows y0 to y1."""
        rows, nx = y1 - y0, self.grid.shape[1]
        sums = np.zeros((rows, nx, 2))
        ctx = np.zeros((self.planes, rows, nx), dtype=np.int32)
        for prepared in self.inputs:
            self.add(prepared, sums, ctx, y0)
        sci, wht = np.empty((rows, nx), dtype=np.float32), np.empty((rows, nx), dtype=np.float32)
        finish(sums, sci, wht, self.fill_value)
        return Band(y0, sci, wht, ctx)

    def add(
        self, prepared: PreparedInput, sums: NDArray[np.float64], ctx: NDArray[np.int32], y0: int
    ) -> None:
        """Add one input to the sums of a band, block of rows after block of rows."""
        source = prepared.source
        plane = ctx[prepared.plane] if self.planes else None
        for first, stop, left, right in prepared.reach.blocks(y0, y0 + sums.shape[0], sums.shape[1]):
            values, weights = source.pixels(first, stop, left, right)
            for columns in tiles(left, right):
                add_pixels(
                    prepared.kernel,
                    prepared.matrix,
                    values,
                    weights,
                    first,
                    columns,
                    prepared.flux_scale,
                    self.pixfrac,
                    sums,
                    plane,
                    prepared.bit,
                    y0,
                )


def tiles(left: int, right: int) -> list[tuple[int, int]]:
    """Columns left to right cut where the detector's tiles end, wherever they begin."""
    starts = range(left // TILE_COLUMNS * TILE_COLUMNS, right, TILE_COLUMNS)
    return [(max(left, start), min(right, start + TILE_COLUMNS)) for start in starts]


def drizzle_bands(
    inputs: Sequence[DrizzleInput],
    grid: OutputGrid,
    *,
    pixfrac: float = 1.0,
    threads: int = 1,
    band_rows: int | None = None,
    origin: LookupOrigin = "hst",
    context: bool = True,
    fill_value: float = float("nan"),
) -> Iterator[Band]:
    """Drizzle chips onto a grid and hand the bands out from the bottom up.

    Parameters
    ----------
    inputs : sequence of DrizzleInput
    grid : OutputGrid
    pixfrac : float
        Side of the shrunken input pixel, 0.01 to 1.
    threads : int
        Bands in work at once.
    band_rows : int, optional
        Height of a band; by default what keeps its sums near 48 MiB.
    origin : {"hst", "fits"}
        Where lookup tables begin.
    context : bool
        Whether to make the context image.
    fill_value : float
        SCI where nothing contributes.

    Yields
    ------
    Band

    Raises
    ------
    UsageProblemError
        If an option is out of its range, or the output is more than 64 times finer than an input.
    UnusableFileError
        If an input has no IDCSCALE, no TAN projection or a WCS that is not finite.
    """
    check_options(pixfrac, threads, band_rows)
    height = band_rows or default_band_rows(grid.shape, len(inputs) if context else 0)
    prepared = tuple(prepare(source, index, grid, origin) for index, source in enumerate(inputs))
    planes = 1 + max((one.plane for one in prepared), default=0) if context else 0
    drizzle = Drizzle(prepared, grid, pixfrac, planes, fill_value)
    return run_bands(drizzle, height, threads)


def run_bands(drizzle: Drizzle, height: int, threads: int) -> Iterator[Band]:
    """Bands in order, at most ``threads`` of them in work or waiting."""
    ny = drizzle.grid.shape[0]
    limits = ((y0, min(y0 + height, ny)) for y0 in range(0, ny, height))
    if threads == 1:
        yield from (drizzle.band(y0, y1) for y0, y1 in limits)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="drizzle") as pool:
        waiting: deque[Future[Band]] = deque(
            pool.submit(drizzle.band, *both) for both in islice(limits, threads)
        )
        try:
            while waiting:
                band = waiting.popleft().result()
                waiting.extend(pool.submit(drizzle.band, *both) for both in islice(limits, 1))
                yield band
        finally:
            for future in waiting:
                future.cancel()


def drizzle_square(
    inputs: Sequence[DrizzleInput],
    grid: OutputGrid,
    *,
    pixfrac: float = 1.0,
    threads: int = 1,
    band_rows: int | None = None,
    origin: LookupOrigin = "hst",
    context: bool = True,
    fill_value: float = float("nan"),
) -> DrizzledImage:
    """Drizzle chips onto a grid and gather the whole image (parameters as ``drizzle_bands``)."""
    bands = drizzle_bands(
        inputs,
        grid,
        pixfrac=pixfrac,
        threads=threads,
        band_rows=band_rows,
        origin=origin,
        context=context,
        fill_value=fill_value,
    )
    planes = context_planes(inputs) if context else 0
    sci, wht = np.empty(grid.shape, dtype=np.float32), np.empty(grid.shape, dtype=np.float32)
    ctx = np.empty((planes, *grid.shape), dtype=np.int32)
    for band in bands:
        rows = slice(band.y0, band.y0 + band.sci.shape[0])
        sci[rows], wht[rows], ctx[:, rows] = band.sci, band.wht, band.ctx
    return DrizzledImage(sci, wht, ctx)


def check_options(pixfrac: float, threads: int, band_rows: int | None) -> None:
    """Refuse options out of their range."""
    if not LEAST_PIXFRAC <= pixfrac <= 1.0:
        raise UsageProblemError(
            f"pixfrac {pixfrac} is outside {LEAST_PIXFRAC} to 1", f"give a pixfrac of {LEAST_PIXFRAC} to 1"
        )
    if threads < 1:
        raise UsageProblemError(f"{threads} threads", "give at least one thread")
    if band_rows is not None and band_rows < 1:
        raise UsageProblemError(f"bands of {band_rows} rows", "give bands of at least one row")


def running_number(source: DrizzleInput, place: int) -> int:
    """Running chip number of an input."""
    return place if source.context_bit is None else source.context_bit


def context_planes(inputs: Sequence[DrizzleInput]) -> int:
    """Planes that the context image of these inputs needs (one for none)."""
    return 1 + max((running_number(source, place) // 32 for place, source in enumerate(inputs)), default=0)


def prepare(source: DrizzleInput, place: int, grid: OutputGrid, origin: LookupOrigin) -> PreparedInput:
    """Build the map of an input and find what it reaches."""
    ratio = grid.scale_arcsec / native_scale(source.chip)
    if ratio < FINEST_RATIO:
        raise UsageProblemError(
            f"output pixels of {grid.scale_arcsec} arcsec are {1 / ratio:.0f} times finer than SCI,"
            f"{source.chip.extver}",
            "choose an output scale at most 64 times finer than the detector's",
        )
    kernel = distortion(source.chip, origin)
    matrix = homography(source.chip, grid.plane)
    number = running_number(source, place)
    return PreparedInput(
        source,
        kernel,
        matrix,
        reach_of(source.chip, kernel, matrix),
        ratio**2,
        number // 32,
        # Bit 31 of an int32 is its sign.
        (1 << number % 32) - (1 << 32 if number % 32 == 31 else 0),
    )


def default_band_rows(shape: tuple[int, int], chips: int) -> int:
    """Height that keeps the arrays of one band near ``BAND_BYTES``, at least 16 rows."""
    return max(16, min(shape[0], BAND_BYTES // (shape[1] * pixel_bytes(chips))))


def pixel_bytes(chips: int) -> int:
    """Bytes of band arrays per output pixel: two float64 sums, SCI, WHT and the context planes."""
    return 16 + 8 + (4 * ((chips - 1) // 32 + 1) if chips else 0)


def predict_memory(
    chip_shapes: Sequence[tuple[int, int]],
    grid: OutputGrid,
    *,
    threads: int = 1,
    band_rows: int | None = None,
    context: bool = True,
    gathered: bool = False,
) -> int:
    """Bytes that a drizzle needs at its peak, from shapes alone.

    Parameters
    ----------
    chip_shapes : sequence of (ny, nx)
    grid : OutputGrid
    threads, band_rows, context
        As for ``drizzle_bands``.
    gathered : bool
        Whether the whole image is kept (``drizzle_square``), not only streamed.

    Returns
    -------
    int
        Upper estimate in bytes, without the interpreter and what ``read_rows`` itself holds.
    """
    chips = len(chip_shapes) if context else 0
    ny, nx = grid.shape
    height = min(ny, band_rows or default_band_rows(grid.shape, chips))
    # One more band than threads: the one handed out is still in the caller's hands.
    bands = min(threads + 1, -(-ny // height)) * height * nx * pixel_bytes(chips)
    widest = max((shape[1] for shape in chip_shapes), default=0)
    # Values and weights of one block of rows as read and as float32, and eight lines of corners.
    blocks = threads * widest * (CELL * 16 + 64)
    cells = sum(6 * 8 * (-(-shape[0] // CELL) + 1) * (-(-shape[1] // CELL) + 1) for shape in chip_shapes)
    image = ny * nx * (pixel_bytes(chips) - 16) if gathered else 0
    return bands + blocks + cells + image
