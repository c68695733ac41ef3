"""A lattice of good pixels of a chip, enough for statistics of its sky.

The step is odd, so that neither even nor odd rows or columns are preferred; a chip is left with 250,000
pixels or more, of which a median is right to 0.0025 sigma.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from hapctl.processing.dq_flags import Bits, bad_flags
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.prepared import PreparedChip
from numpy.typing import NDArray

FEWEST_PIXELS = 250_000
_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class ChipSample:
    """Good pixels of a chip.

    Attributes
    ----------
    values : ndarray, shape (n,), float32
        Electrons, equalised between chips (``flux_factor``), sky not subtracted.
    places : ndarray, shape (n,), int
        Their places in the lattice, counted along rows.
    step : int
        Distance of the lattice, pixels.
    height, width : int
        Rows and columns of the lattice.
    """

    values: NDArray[np.float32] = field(repr=False)
    places: NDArray[np.intp] = field(repr=False)
    step: int
    height: int
    width: int

    def positions(self, part: slice = slice(None)) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the pixels (x, y), 0-based, of all values or of a part of them."""
        first = float(self.step // 2)
        rows, columns = np.divmod(self.places[part], self.width)
        return first + self.step * columns, first + self.step * rows


def sample_step(shape: tuple[int, int], fewest: int = FEWEST_PIXELS) -> int:
    """Return the largest odd step that leaves so many pixels; 1 for small chips."""
    most = int(np.sqrt(shape[0] * shape[1] / fewest))
    return max(most - 1 + most % 2, 1)


def sample_chip(
    chip: PreparedChip,
    bits: Bits,
    masks: Iterable[PackedMask | None] = (),
    *,
    lower: float | None = None,
    upper: float | None = None,
    fewest: int = FEWEST_PIXELS,
) -> ChipSample:
    """Read a lattice of pixels that are finite, good by DQ, and in none of some masks.

    Parameters
    ----------
    chip : PreparedChip
        Its own masks do not count.
    bits : int, str or None
        DQ flags taken as good.
    masks : iterable of PackedMask or None
        True where bad.
    lower, upper : float, optional
        Limits in electrons; pixels at the limits are kept.
    fewest : int
        Pixels to leave of a chip that has more, good or not.
    """
    step = sample_step(chip.shape, fewest)
    columns = slice(step // 2, None, step)
    blocks = _row_blocks(chip.shape[0], step)
    values = np.concatenate([chip.pixels.science(*rows, columns, step) for rows in blocks])
    good = np.isfinite(values)
    if bad_flags(bits):
        good &= np.concatenate([chip.pixels.good(bits, *rows, columns, step) for rows in blocks])
    for mask in (mask for mask in masks if mask is not None):
        good &= ~np.concatenate([mask.rows(*rows, step)[:, columns] for rows in blocks])
    if chip.flux_factor != 1.0:
        values *= np.float32(chip.flux_factor)
    if lower is not None:
        good &= values >= lower
    if upper is not None:
        good &= values <= upper
    return ChipSample(values[good], np.flatnonzero(good), step, *values.shape)


def _row_blocks(rows: int, step: int) -> list[tuple[int, int]]:
    """Rows of the chip that are read together: so many of the lattice."""
    height = _ROWS_AT_ONCE * step
    return [(first, min(first + height, rows)) for first in range(step // 2, rows, height)]
