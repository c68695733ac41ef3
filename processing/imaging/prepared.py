"""A chip made ready for drizzling: its pixels, its WCS, its sky, its masks and its weights.

Electrons everywhere: of the chip, times ``flux_factor``, so that chips of one detector agree. What is said of
sky and signal is said of these equalised electrons; only the noise knows the real ones (`variance`).
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hapctl.ext.pixels import values_and_weights
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.dq_flags import Bits
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.chip_data import ChipPixels
from hapctl.processing.imaging.drizzle import DrizzleInput
from hapctl.processing.imaging.grid import OutputGrid, native_scale
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.variance import variance_blocks
from hapctl.processing.imaging.weights import Rows
from numpy.typing import NDArray

Pixels = tuple[NDArray[np.float32], NDArray[np.float32]]
RowReader = Callable[[int, int], Pixels]
BlockReader = Callable[[int, int, int, int], Pixels]
WeightMaker = Callable[["PreparedChip", int, int, int, int], NDArray[np.float32]]
"""``maker(chip, y0, y1, x0, x1)``: weights of a block, float32; NaN, infinite, 0 and below are no weight."""
_ALL_COLUMNS = slice(None)


@dataclass(frozen=True)
class PreparedChip:
    """One chip, ready to be drizzled.

    Attributes
    ----------
    pixels : ChipPixels
    wcs : ChipWcs
        Of the solution in use.
    sky : float
        Electrons per pixel to subtract (after ``flux_factor``).
    context_bit : int
        Running number of the chip in the product, from 0.
    hits : PackedMask, shape of the chip, or None
        Pixels to leave out: the cosmic-ray mask.
    static : PackedMask, shape of the chip, or None
        Pixels to leave out in every exposure: the static mask.
    flux_factor : float
        What electrons are multiplied by, so that the chips of a detector agree (WFC3/UVIS); 1 where the file
        says that it was done.
    sky_total : float
        Electrons per pixel (after ``flux_factor``): the whole sky, for the noise; not less than ``sky``,
        which may be a difference between exposures only.
    sky_before : float
        Electrons per pixel (after ``flux_factor``) that were taken off before, which the file lacks.
    sky_why : str
        How ``sky`` was found; empty where it was not looked for.
    weights : WeightMaker or None
        Weights of the pixels (`hapctl.processing.imaging.weights`); None: the exposure time.
    clean : callable or None
        ``clean(y0, y1)``: the blotted clean plane, electrons per pixel without ``sky`` (after
        ``flux_factor``), (y1 - y0, nx) float32, for the variance of pixels without a usable ERR.
    """

    pixels: ChipPixels
    wcs: ChipWcs
    sky: float = 0.0
    context_bit: int = 0
    hits: PackedMask | None = field(default=None, repr=False)
    static: PackedMask | None = field(default=None, repr=False)
    flux_factor: float = 1.0
    sky_total: float = 0.0
    sky_before: float = 0.0
    sky_why: str = ""
    weights: WeightMaker | None = field(default=None, repr=False)
    clean: Rows | None = field(default=None, repr=False)

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

    @property
    def sky_taken(self) -> float:
        """Electrons per pixel that values without sky lack: a value and this together make the noise."""
        return self.sky + self.sky_before

    def scale_ratio(self, grid: OutputGrid) -> float:
        """Return s: output scale over the plate scale of the chip (IDCSCALE)."""
        return grid.scale_arcsec / native_scale(self.wcs)

    def electrons(
        self, first: int = 0, last: int | None = None, columns: slice = _ALL_COLUMNS
    ) -> NDArray[np.float32]:
        """Return rows ``first:last`` of the science image, equalised electrons with sky, float32."""
        science = self.pixels.science(first, last, columns)
        if self.flux_factor != 1.0:
            science *= np.float32(self.flux_factor)
        return science

    def good(
        self, bits: Bits, first: int = 0, last: int | None = None, columns: slice = _ALL_COLUMNS
    ) -> NDArray[np.bool_]:
        """Return where no flag but ``bits`` is set and neither mask leaves the pixel out, boolean rows."""
        last = self.shape[0] if last is None else last
        good = self.pixels.good(bits, first, last, columns)
        for mask in (self.static, self.hits):
            if mask is not None:
                good &= ~mask.rows(first, last)[:, columns]
        return good

    def rows(self, bits: Bits) -> RowReader:
        """Return a reader of whole rows, as `blocks`."""
        read = self.blocks(bits)
        return lambda first, last: read(first, last, 0, self.shape[1])

    def blocks(self, bits: Bits) -> BlockReader:
        """Return a reader of rows and columns: electrons per second without sky, and weight.

        A pixel that is not finite, flagged, masked, hit or without weight has value and weight 0; so have
        all of a chip that was not exposed.
        """
        time, sky = np.float32(self.exposure_time), np.float32(self.sky)
        bad = self.pixels.rejected_flags(bits)
        may_be_laid = self.weights is None and time > 0 and sys.byteorder == "little"

        def read(first: int, last: int, left: int, right: int) -> Pixels:
            columns = slice(left, right)
            if may_be_laid and (laid := self._laid(bad, first, last, left, right)) is not None:
                return laid
            if not time > 0:
                nothing = np.zeros((last - first, right - left), dtype=np.float32)
                return nothing, nothing.copy()
            science = self.electrons(first, last, columns)
            good = self.good(bits, first, last, columns)
            good &= np.isfinite(science)
            weights = good * time if self.weights is None else self._weights(good, first, last, left, right)
            science -= sky
            science /= time
            science[~good] = 0.0
            return science, weights

        return read

    def _laid(self, bad: int, first: int, last: int, left: int, right: int) -> Pixels | None:
        """Values and weights in one sweep over the bytes of the file, where it stores them as most do."""
        stored = self.pixels.stored_block(bad, first, last, left, right)
        if stored is None:
            return None
        values, weights = np.empty((2, last - first, right - left), dtype=np.float32)
        masks = [mask.bits[first:last] for mask in (self.static, self.hits) if mask is not None]
        values_and_weights(
            *stored,
            bad,
            masks,
            left,
            self.pixels.electrons_per_unit,
            self.flux_factor,
            self.sky,
            self.exposure_time,
            self.exposure_time,
            values,
            weights,
        )
        return values, weights

    def _weights(
        self, good: NDArray[np.bool_], first: int, last: int, left: int, right: int
    ) -> NDArray[np.float32]:
        """Weights by the maker; ``good`` loses the pixels that have none."""
        assert self.weights is not None
        weights = self.weights(self, first, last, left, right)
        good &= np.isfinite(weights) & (weights > 0)
        return np.where(good, weights, np.float32(0.0))

    def drizzle_input(self, bits: Bits, variance: bool = False) -> DrizzleInput:
        """Return the chip as the drizzle kernel takes it; with what VAR is made of, where asked for."""
        return DrizzleInput(
            chip=self.wcs,
            read_rows=self.rows(bits),
            exposure_time=self.exposure_time,
            context_bit=self.context_bit,
            read_block=self.blocks(bits),
            read_variance=variance_blocks(self) if variance else None,
        )
