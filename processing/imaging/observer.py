"""Who watches the steps of a drizzle: progress, and intermediate products for those who want them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hapctl.processing.imaging.mask_file import PackedMask  # it reads FITS, which an observer does not

Rows = NDArray[np.float32]
Progress = Callable[[str, int, int], None]
"""``progress(step, done, total)``: so many parts of a step are done, of so many."""


def no_progress(step: str, done: int, total: int) -> None:
    """Tell nobody."""


class Observer:
    """Sees what the steps make, as they make it; here nothing is done with it.

    Override what you want. Exposures and chips are numbered from 0, in the order given. Methods are
    called from several threads at once and in any order of rows; arrays must not be changed or kept.

    Attributes
    ----------
    takes_images : bool
        Whether intermediate products are wanted: then steps run that serve nobody else.
    """

    takes_images = False

    def progress(self, step: str, done: int, total: int) -> None:
        """So many parts of a step are done, of so many."""

    def static_mask(self, exposure: int, chip: int, mask: "PackedMask") -> None:
        """The static mask of a chip: True where bad."""

    def single(self, exposure: int, y0: int, x0: int, sci: Rows, wht: Rows) -> None:
        """A part of a single drizzle (electrons/s, NaN outside; seconds) that begins at pixel (y0, x0)."""

    def combined(self, y0: int, x0: int, plane: Rows, depth: NDArray[np.uint16]) -> None:
        """A part of the combined plane (electrons/s) and how many exposures see each of its pixels."""

    def blotted(self, exposure: int, chip: int, y0: int, rows: Rows) -> None:
        """Rows of the combined plane as a chip sees it (electrons of the exposure, no sky)."""

    def masks(self, exposure: int, chip: int, hits: "PackedMask", untested: "PackedMask") -> None:
        """The cosmic-ray mask of a chip, and its pixels that no other exposure sees."""
