"""The pixels of a product read back band by band, as they were drizzled."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.image_planes import FileBytes, ImagePlane, image_plane
from numpy.typing import NDArray

_BAND_ROWS = 256


def product_bands(path: Path) -> Iterator[Band]:
    """Return the bands of a product file, of any number of chips, from the bottom up.

    Parameters
    ----------
    path : path
        As `ProductWriter` wrote it.

    Yields
    ------
    Band
        The very bits of the file, in its units; ``ctx`` without planes where it has no CTX, ``var`` None
        where it has no VAR.
    """
    with closing(FileBytes(path)) as source:
        planes = _planes(source)
        height, width = planes["SCI"][0].shape
        for first in range(0, height, _BAND_ROWS):
            last = min(first + _BAND_ROWS, height)
            context = [plane.read(first, last, np.int32) for plane in planes.get("CTX", ())]
            yield Band(
                first,
                _floats(planes["SCI"][0], first, last),
                _floats(planes["WHT"][0], first, last),
                np.array(context, dtype=np.int32).reshape(-1, last - first, width),
                _floats(planes["VAR"][0], first, last) if "VAR" in planes else None,
            )


def _planes(source: FileBytes) -> dict[str, list[ImagePlane]]:
    """Where each plane of each image lies."""
    found = {}
    with source.open_fits() as hdus:
        for hdu in hdus:
            if hdu.name in ("SCI", "WHT", "CTX", "VAR"):
                axes = int(hdu.header["NAXIS"])
                first = image_plane(source, hdu, hdu.name, axes)
                size = first.shape[0] * first.shape[1] * first.dtype.itemsize
                count = int(hdu.header["NAXIS3"]) if axes == 3 else 1
                found[hdu.name] = [first.moved(hdu.name, size * number) for number in range(count)]
    return found


def _floats(plane: ImagePlane, first: int, last: int) -> NDArray[np.float32]:
    return plane.read(first, last, np.float32).astype(np.float32, copy=False)
