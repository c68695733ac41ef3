"""Cosmic-ray masks: packed in memory, one compressed FITS file an exposure.

A file holds one byte image a chip (1 where hit), PLIO-compressed, under the name MASK with the EXTVER of
the chip. Nothing in it depends on when it was made: the same masks give the same bytes.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.processing.errors import UnusableFileError
from numpy.typing import NDArray


@dataclass(frozen=True)
class PackedMask:
    """A boolean image of one bit a pixel.

    Attributes
    ----------
    bits : ndarray, shape (ny, ceil(nx / 8)), uint8
    width : int
        Columns (nx).
    """

    bits: NDArray[np.uint8] = field(repr=False)
    width: int

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> "PackedMask":
        """Pack a boolean image, shape (ny, nx)."""
        return cls(np.packbits(mask, axis=1), mask.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.bits.shape[0], self.width

    def rows(self, first: int, last: int) -> NDArray[np.bool_]:
        """Return rows ``first:last``, bool."""
        return np.unpackbits(self.bits[first:last], axis=1, count=self.width).astype(np.bool_)

    def count(self) -> int:
        """Return how many pixels are hit."""
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))


def write_mask(path: Path, masks: Mapping[int, PackedMask], cards: Sequence[tuple[str, str, str]]) -> None:
    """Write the masks of an exposure and sync the file to disk.

    Parameters
    ----------
    path : path
        Overwritten if it exists.
    masks : mapping of int to PackedMask
        By EXTVER.
    cards : sequence of (keyword, value, comment)
        For the primary header.
    """
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for card in cards:
        hdus[0].header.append(card)
    for extver, mask in sorted(masks.items()):
        image = mask.rows(0, mask.shape[0]).astype(np.uint8)
        hdu = fits.CompImageHDU(image, name="MASK", compression_type="PLIO_1")
        hdu.header["EXTVER"] = extver
        hdus.append(hdu)
    with open(path, "wb") as file:
        hdus.writeto(file)
        file.flush()
        os.fsync(file.fileno())


def read_mask(path: Path) -> dict[int, PackedMask]:
    """Return the masks of an exposure by EXTVER.

    Raises
    ------
    UnusableFileError
        The file is damaged or no mask.
    """
    try:
        with fits.open(path) as hdus:
            found = {int(hdu.ver): PackedMask.of(hdu.data != 0) for hdu in hdus if hdu.name == "MASK"}
    except (OSError, ValueError, TypeError) as error:
        raise UnusableFileError(
            f"{path}: not readable as a mask: {error}", "make it again (mosaic)"
        ) from error
    if not found:
        raise UnusableFileError(f"{path}: holds no mask", "make it again (mosaic)")
    return found
