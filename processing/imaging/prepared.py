"""A chip made ready for drizzling: its pixels, its WCS, its sky and its cosmic-ray mask."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.chip_data import Bits, ChipPixels, bad_flags
from hapctl.processing.imaging.drizzle import DrizzleInput
from hapctl.processing.imaging.grid import OutputGrid, native_scale
from hapctl.processing.imaging.mask_file import PackedMask
from numpy.typing import NDArray

Pixels = tuple[NDArray[np.float32], NDArray[np.float32]]
RowReader = Callable[[int, int], Pixels]
BlockReader = Callable[[int, int, int, int], Pixels]


@dataclass(frozen=True)
class PreparedChip:
    """One chip, ready to be drizzled.

    Attributes
    ----------
    pixels : ChipPixels
    wcs : ChipWcs
        Of the solution in use.
    sky : float
        Electrons per pixel to subtract.
    context_bit : int
        Running number of the chip in the product, from 0.
    hits : PackedMask, shape of the chip, or None
        Pixels to leave out: the cosmic-ray mask.
    """

    pixels: ChipPixels
    wcs: ChipWcs
    sky: float = 0.0
    context_bit: int = 0
    hits: PackedMask | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if tuple(self.pixels.shape) != tuple(self.wcs.shape):
            raise UnusableFileError(
                f"SCI,{self.pixels.extver} has {self.pixels.shape[::-1]} pixels, "
                f"its WCS is for {self.wcs.shape[::-1]}",
                "ingest the file again",
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.pixels.shape

    @property
    def exposure_time(self) -> float:
        """Seconds."""
        return self.pixels.exposure_time

    @property
    def read_noise(self) -> float:
        """Electrons."""
        return self.pixels.read_noise

    def scale_ratio(self, grid: OutputGrid) -> float:
        """Return s: output scale over the plate scale of the chip (IDCSCALE)."""
        return grid.scale_arcsec / native_scale(self.wcs)

    def rows(self, bits: Bits) -> RowReader:
        """Return a reader of whole rows, as `blocks`."""
        read = self.blocks(bits)
        return lambda first, last: read(first, last, 0, self.shape[1])

    def blocks(self, bits: Bits) -> BlockReader:
        """Return a reader of rows and columns: electrons per second without sky, and weight (seconds).

        A pixel that is not finite, flagged, or hit has value and weight 0.
        """
        time, sky = np.float32(self.exposure_time), np.float32(self.sky)
        ignored = bad_flags(bits) == 0

        def read(first: int, last: int, left: int, right: int) -> Pixels:
            columns = slice(left, right)
            science = self.pixels.science(first, last, columns)
            good = np.isfinite(science)
            if not ignored:
                good &= self.pixels.good(bits, first, last, columns)
            if self.hits is not None:
                good &= ~self.hits.rows(first, last)[:, columns]
            science -= sky
            science /= time
            science[~good] = 0.0
            return science, good * time

        return read

    def drizzle_input(self, bits: Bits) -> DrizzleInput:
        """Return the chip as the drizzle kernel takes it."""
        return DrizzleInput(
            chip=self.wcs,
            read_rows=self.rows(bits),
            exposure_time=self.exposure_time,
            context_bit=self.context_bit,
            read_block=self.blocks(bits),
        )
