"""Cosmic-ray masks: packed in memory, one compressed FITS file an exposure.

A file holds one byte image a chip, PLIO-compressed, under the name MASK with the EXTVER of the chip: the sum
of 1 where a cosmic ray hit, 2 where the static mask is set, 4 where no other exposure could tell. Nothing
in it depends on when it was made: the same masks give the same bytes.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.processing.errors import UnusableFileError
from numpy.typing import NDArray

FLAGS = (1, 2, 4)
_MEANINGS = ("cosmic ray", "static mask", "untested")
_TILE_ROWS = 64


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

    def rows(self, first: int, last: int, step: int = 1) -> NDArray[np.bool_]:
        """Return rows ``first:last:step``, bool."""
        return np.unpackbits(self.bits[first:last:step], axis=1, count=self.width).astype(np.bool_)

    def count(self) -> int:
        """Return how many pixels are hit."""
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))


@dataclass(frozen=True)
class ChipMasks:
    """What was found of the pixels of a chip by comparing exposures.

    Attributes
    ----------
    hits : PackedMask
        Cosmic rays.
    static : PackedMask or None
        The static mask; None where there is none.
    untested : PackedMask or None
        Pixels that no other exposure saw, so that there was no test.
    """

    hits: PackedMask
    static: PackedMask | None = None
    untested: PackedMask | None = None

    @property
    def tested(self) -> bool:
        """Whether there was a test of any pixel."""
        pixels = self.hits.shape[0] * self.hits.shape[1]
        return self.untested is None or self.untested.count() < pixels

    def flags(self) -> NDArray[np.uint8]:
        """Return one byte a pixel: 1 hit, 2 static, 4 untested."""
        image = np.zeros(self.hits.shape, dtype=np.uint8)
        for flag, mask in zip(FLAGS, (self.hits, self.static, self.untested), strict=True):
            if mask is not None:
                image |= mask.rows(0, mask.shape[0]).view(np.uint8) * np.uint8(flag)
        return image

    @classmethod
    def of(cls, flags: NDArray[np.integer]) -> "ChipMasks":
        """Return the masks that a byte image holds."""
        return cls(*(PackedMask.of((flags & flag) != 0) for flag in FLAGS))


def write_mask(path: Path, masks: Mapping[int, ChipMasks], cards: Sequence[tuple[str, str, str]]) -> None:
    """Write the masks of an exposure and sync the file to disk.

    Parameters
    ----------
    path : path
        Overwritten if it exists.
    masks : mapping of int to ChipMasks
        By EXTVER.
    cards : sequence of (keyword, value, comment)
        For the primary header.
    """
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for card in cards:
        hdus[0].header.append(card)
    for extver, chip in sorted(masks.items()):
        flags = chip.flags()
        tile = (min(_TILE_ROWS, flags.shape[0]), flags.shape[1])
        hdu = fits.CompImageHDU(flags, name="MASK", compression_type="PLIO_1", tile_shape=tile)
        hdu.header["EXTVER"] = extver
        for flag, meaning in zip(FLAGS, _MEANINGS, strict=True):
            hdu.header[f"FLAG{flag}"] = meaning
        hdus.append(hdu)
    with open(path, "wb") as file:
        hdus.writeto(file)
        file.flush()
        os.fsync(file.fileno())


def read_mask(path: Path) -> dict[int, ChipMasks]:
    """Return the masks of an exposure by EXTVER.

    Raises
    ------
    UnusableFileError
        The file is damaged or no mask.
    """
    try:
        with fits.open(path) as hdus:
            found = {int(hdu.ver): ChipMasks.of(hdu.data) for hdu in hdus if hdu.name == "MASK"}
    except (OSError, ValueError, TypeError) as error:
        raise UnusableFileError(
            f"{path}: not readable as a mask: {error}", "make it again (mosaic)"
        ) from error
    if not found:
        raise UnusableFileError(f"{path}: holds no mask", "make it again (mosaic)")
    return found
