"""Drizzle chips onto a grid, band by band.

Contract: sums run in float64 over inputs in their order, in each over blocks of 32 rows of the detector,
in each of them over fixed tiles of columns, then rows, then columns; and every output pixel is summed in
one band. So the pixels are the same bits for any number of threads and any height of the bands. Flux is
d * s^2 with s = output scale / IDCSCALE, hence sum(SCI * WHT) = s^2 sum(d * w) for inputs inside the grid;
VAR = s^4 sum((w a)^2 v) / (sum w a)^2, a the share of an input pixel that an output pixel receives.
Memory is bounded by the bands in work, never by the inputs.

What contributes nothing is listed in ``ext/square.pxi`` and ``ext/kernels.pxi``; where nothing contributes
SCI is the fill value, VAR is NaN, WHT and CTX are 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import local

import numpy as np
from hapctl.ext.mapping import ChipDistortion
from hapctl.ext.square import finish, finish_variances
from hapctl.processing.astrometry.mapping import distortion, homography
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.drizzle_data import Band, DrizzledImage, DrizzleInput
from hapctl.processing.imaging.grid import OutputGrid, map_to_grid, native_scale
from hapctl.processing.imaging.kernels import (
    MAY_BE_NEGATIVE,
    AddPixels,
    add_function,
    check_kernel,
    reach_beyond_corners,
)
from hapctl.processing.imaging.parallel import parts_in_order
from hapctl.processing.imaging.reach import CELL, Reach, reach_of
from numpy.typing import NDArray

__all__ = [
    "Band",
    "DrizzleInput",
    "DrizzledImage",
    "drizzle_bands",
    "drizzle_image",
    "map_to_grid",
    "predict_memory",
    "prepare_drizzle",
]

BAND_BYTES = 40 * 2**20
WORKSPACE_BYTES = 2**19
LEAST_PIXFRAC = 0.01
FINEST_RATIO = 1.0 / 64.0  # of output to input scale; the kernel drops quadrilaterals wider than 128 pixels


@dataclass(frozen=True)
class PreparedInput:
    """An input with its map to the grid."""

    source: DrizzleInput
    distortion: ChipDistortion
    matrix: NDArray[np.float64]
    reach: Reach
    beyond: float
    add_pixels: AddPixels
    flux_scale: float
    plane: int
    bit: int


@dataclass(frozen=True)
class Sums:
    """What a band adds up; no variance where it is not asked for."""

    first_row: int
    pairs: NDArray[np.float64]
    context: NDArray[np.int32]
    variance: NDArray[np.float64] | None


class Room(local):
    """Memory for sums: each thread that drizzles with it uses its own, band after band.

    What is asked of the system anew has to be emptied page by page, which takes longer than small bands do.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0)

    def sums(self, first_row: int, shape: tuple[int, int], planes: int, variance: bool) -> Sums:
        """Return sums of 0; those that the thread was given before are then no more."""
        pixels = shape[0] * shape[1]
        if self._memory.size < (3 if variance else 2) * pixels:
            self._memory = np.empty((3 if variance else 2) * pixels)
        self._memory[: (3 if variance else 2) * pixels] = 0.0
        return Sums(
            first_row,
            self._memory[: 2 * pixels].reshape(*shape, 2),
            np.full((planes, *shape), 0, dtype=np.int32),  # in large pages, unlike np.zeros
            self._memory[2 * pixels : 3 * pixels].reshape(shape) if variance else None,
        )


@dataclass(frozen=True)
class Drizzle:
    """What all bands of a run share; made by ``prepare_drizzle``."""

    inputs: tuple[PreparedInput, ...]
    grid: OutputGrid
    kernel: str
    pixfrac: float
    planes: int
    variance: bool
    fill_value: float

    def band(self, y0: int, y1: int, room: Room | None = None) -> Band:
        """Drizzle output rows y0 to y1: any rows, in any order, from any number of threads at once.

        ``room`` spares the system's memory where many bands are drizzled; several drizzles may share one.
        """
        shape = y1 - y0, self.grid.shape[1]
        sums = (room or Room()).sums(y0, shape, self.planes, self.variance)
        for prepared in self.inputs:
            self.add(prepared, sums)
        return self.finished(sums, *np.empty((3 if self.variance else 2, *shape), dtype=np.float32))

    def add(self, prepared: PreparedInput, sums: Sums) -> None:
        """Add one input to the sums of a band, block of rows after block of rows."""
        source = prepared.source
        rows, nx = sums.pairs.shape[:2]
        stop_row = sums.first_row + rows
        for first, stop, left, right in prepared.reach.blocks(sums.first_row, stop_row, nx, prepared.beyond):
            values, weights = source.pixels(first, stop, left, right)
            prepared.add_pixels(
                chip=prepared.distortion,
                homography=prepared.matrix,
                values=values,
                weights=weights,
                first_row=first,
                columns=(left, right),
                flux_scale=prepared.flux_scale,
                pixfrac=self.pixfrac,
                sums=sums.pairs,
                context=sums.context[prepared.plane] if self.planes else None,
                bit=prepared.bit,
                first_output_row=sums.first_row,
                variances=None if sums.variance is None else source.variance(first, stop, left, right),
                variance_sums=sums.variance,
            )

    def finished(
        self,
        sums: Sums,
        sci: NDArray[np.float32],
        wht: NDArray[np.float32],
        var: NDArray[np.float32] | None = None,
    ) -> Band:
        """Turn sums into a band, filling the arrays given."""
        finish(sums.pairs, sci, wht, self.fill_value)
        if var is not None and sums.variance is not None:
            finish_variances(sums.pairs, sums.variance, var, float("nan"))
        if self.kernel in MAY_BE_NEGATIVE:
            np.maximum(wht, 0.0, out=wht)
            np.multiply(sums.context, wht > 0.0, out=sums.context)
        return Band(sums.first_row, sci, wht, sums.context, var)


def prepare_drizzle(
    inputs: Sequence[DrizzleInput],
    grid: OutputGrid,
    *,
    kernel: str = "square",
    pixfrac: float = 1.0,
    origin: LookupOrigin = "hst",
    context: bool = True,
    variance: bool = False,
    fill_value: float = float("nan"),
) -> Drizzle:
    """Find how each chip falls on a grid, once for any number of bands.

    Parameters
    ----------
    inputs : sequence of DrizzleInput
    grid : OutputGrid
    kernel : str
        One of ``parameters.KERNELS``.
    pixfrac : float
        Side of the shrunken input pixel, 0.01 to 1.
    origin : {"hst", "fits"}
        Where lookup tables begin.
    context : bool
        Whether to make the context image.
    variance : bool
        Whether to make VAR from ``read_variance`` of the inputs.
    fill_value : float
        SCI where nothing contributes.

    Raises
    ------
    UsageProblemError
        If an option is out of its range, or the output is more than 64 times finer than an input.
    UnusableFileError
        If an input has no IDCSCALE, no TAN projection or a WCS that is not finite.
    """
    check_kernel(kernel)
    if not LEAST_PIXFRAC <= pixfrac <= 1.0:
        raise UsageProblemError(
            f"pixfrac {pixfrac} is outside {LEAST_PIXFRAC} to 1", f"give a pixfrac of {LEAST_PIXFRAC} to 1"
        )
    prepared = tuple(
        prepare(source, place, grid, kernel, pixfrac, origin) for place, source in enumerate(inputs)
    )
    planes = context_planes(inputs) if context else 0
    return Drizzle(prepared, grid, kernel, pixfrac, planes, variance, fill_value)


def drizzle_bands(
    inputs: Sequence[DrizzleInput],
    grid: OutputGrid,
    *,
    kernel: str = "square",
    pixfrac: float = 1.0,
    threads: int = 1,
    band_rows: int | None = None,
    origin: LookupOrigin = "hst",
    context: bool = True,
    variance: bool = False,
    fill_value: float = float("nan"),
) -> Iterator[Band]:
    """Drizzle chips onto a grid and hand the bands out from the bottom up.

    Parameters
    ----------
    inputs, grid, kernel, pixfrac, origin, context, variance, fill_value
        As for ``prepare_drizzle``.
    threads : int
        Bands in work at once.
    band_rows : int, optional
        Height of a band; by default what keeps its arrays near 40 MiB.

    Yields
    ------
    Band
    """
    if threads < 1:
        raise UsageProblemError(f"{threads} threads", "give at least one thread")
    if band_rows is not None and band_rows < 1:
        raise UsageProblemError(f"bands of {band_rows} rows", "give bands of at least one row")
    drizzle = prepare_drizzle(
        inputs,
        grid,
        kernel=kernel,
        pixfrac=pixfrac,
        origin=origin,
        context=context,
        variance=variance,
        fill_value=fill_value,
    )
    height = band_rows or default_band_rows(grid.shape, len(inputs) if context else 0, variance)
    return run_bands(drizzle, height, threads)


def run_bands(drizzle: Drizzle, height: int, threads: int) -> Iterator[Band]:
    """Bands in order, at most ``threads`` of them in work."""
    ny = drizzle.grid.shape[0]
    room = Room()
    starts = range(0, ny, height)
    return parts_in_order(lambda y0: drizzle.band(y0, min(y0 + height, ny), room), starts, threads)


def drizzle_image(
    inputs: Sequence[DrizzleInput],
    grid: OutputGrid,
    *,
    kernel: str = "square",
    pixfrac: float = 1.0,
    threads: int = 1,
    band_rows: int | None = None,
    origin: LookupOrigin = "hst",
    context: bool = True,
    variance: bool = False,
    fill_value: float = float("nan"),
) -> DrizzledImage:
    """Drizzle chips onto a grid and gather the whole image (parameters as ``drizzle_bands``)."""
    bands = drizzle_bands(
        inputs,
        grid,
        kernel=kernel,
        pixfrac=pixfrac,
        threads=threads,
        band_rows=band_rows,
        origin=origin,
        context=context,
        variance=variance,
        fill_value=fill_value,
    )
    sci, wht = np.empty(grid.shape, dtype=np.float32), np.empty(grid.shape, dtype=np.float32)
    var = np.empty(grid.shape, dtype=np.float32) if variance else None
    ctx = np.empty((context_planes(inputs) if context else 0, *grid.shape), dtype=np.int32)
    for band in bands:
        rows = slice(band.y0, band.y0 + band.sci.shape[0])
        sci[rows], wht[rows], ctx[:, rows] = band.sci, band.wht, band.ctx
        if var is not None and band.var is not None:
            var[rows] = band.var
    return DrizzledImage(sci, wht, ctx, var)


def running_number(source: DrizzleInput, place: int) -> int:
    """Running chip number of an input."""
    return place if source.context_bit is None else source.context_bit


def context_planes(inputs: Sequence[DrizzleInput]) -> int:
    """Planes that the context image of these inputs needs (one for none)."""
    return 1 + max((running_number(source, place) // 32 for place, source in enumerate(inputs)), default=0)


def prepare(
    source: DrizzleInput, place: int, grid: OutputGrid, kernel: str, pixfrac: float, origin: LookupOrigin
) -> PreparedInput:
    """Build the map of an input and find what it reaches."""
    ratio = grid.scale_arcsec / native_scale(source.chip)
    if ratio < FINEST_RATIO:
        raise UsageProblemError(
            f"output pixels of {grid.scale_arcsec} arcsec are {1 / ratio:.0f} times finer than SCI,"
            f"{source.chip.extver}",
            "choose an output scale at most 64 times finer than the detector's",
        )
    chip_distortion = distortion(source.chip, origin)
    matrix = homography(source.chip, grid.plane)
    number = running_number(source, place)
    return PreparedInput(
        source,
        chip_distortion,
        matrix,
        reach_of(source.chip, chip_distortion, matrix),
        reach_beyond_corners(kernel, pixfrac, ratio),
        add_function(kernel, ratio),
        ratio**2,
        number // 32,
        # Bit 31 of an int32 is its sign.
        (1 << number % 32) - (1 << 32 if number % 32 == 31 else 0),
    )


def default_band_rows(shape: tuple[int, int], chips: int, variance: bool = False) -> int:
    """Height that keeps the arrays of one band near ``BAND_BYTES``, at least 16 rows."""
    return max(16, min(shape[0], BAND_BYTES // (shape[1] * pixel_bytes(chips, variance))))


def pixel_bytes(chips: int, variance: bool = False) -> int:
    """Bytes of band arrays per output pixel: float64 sums, SCI, WHT, VAR and the context planes."""
    return 16 + 8 + (12 if variance else 0) + (4 * ((chips - 1) // 32 + 1) if chips else 0)


def predict_memory(
    chip_shapes: Sequence[tuple[int, int]],
    grid: OutputGrid,
    *,
    threads: int = 1,
    band_rows: int | None = None,
    context: bool = True,
    variance: bool = False,
    gathered: bool = False,
) -> int:
    """Bytes that a drizzle needs at its peak, from shapes alone.

    Parameters
    ----------
    chip_shapes : sequence of (ny, nx)
    grid : OutputGrid
    threads, band_rows, context, variance
        As for ``drizzle_bands``.
    gathered : bool
        Whether the whole image is kept (``drizzle_image``), not only streamed.

    Returns
    -------
    int
        Upper estimate in bytes, without the interpreter and what ``read_rows`` itself holds.
    """
    chips = len(chip_shapes) if context else 0
    ny, nx = grid.shape
    height = min(ny, band_rows or default_band_rows(grid.shape, chips, variance))
    # One more band than threads: the one handed out is still in the caller's hands.
    bands = min(threads + 1, -(-ny // height)) * height * nx * pixel_bytes(chips, variance)
    widest = max((shape[1] for shape in chip_shapes), default=0)
    # Values, weights and variances of one block of rows as read and as float32, and the room of a kernel.
    blocks = threads * (widest * CELL * (24 if variance else 16) + WORKSPACE_BYTES)
    cells = sum(6 * 8 * (-(-shape[0] // CELL) + 1) * (-(-shape[1] // CELL) + 1) for shape in chip_shapes)
    image = ny * nx * (pixel_bytes(chips, variance) - (24 if variance else 16)) if gathered else 0
    return bands + blocks + cells + image
