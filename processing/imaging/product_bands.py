"""The pixels of a product read back band by band, as they were drizzled."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.image_planes import ImageRows

_BAND_ROWS = 256


def product_bands(path: Path) -> Iterator[Band]:
    """Return the bands of a product file with one context plane, from the bottom up.

    Parameters
    ----------
    path : path
        As `ProductWriter` wrote it, of at most 32 chips.

    Yields
    ------
    Band
        The very bits of the file.
    """
    with ExitStack() as stack:
        science, weight, context = (
            stack.enter_context(ImageRows(path, name)) for name in ("SCI", "WHT", "CTX")
        )
        height = science.shape[0]
        for first in range(0, height, _BAND_ROWS):
            last = min(first + _BAND_ROWS, height)
            yield Band(
                first,
                science.read(first, last),
                weight.read(first, last),
                context.read_integers(first, last)[None],
            )
