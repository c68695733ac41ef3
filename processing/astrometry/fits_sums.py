"""FITS checksums, so that files written by bands carry them: ones' complement sums of 32-bit words."""

import numpy as np
from astropy.io import fits

_CHARACTERS_LEFT_OUT = frozenset((*range(0x3A, 0x41), *range(0x5B, 0x61)))


def sum32(data: bytes | memoryview, total: int = 0) -> int:
    """Add the big-endian 32-bit words of ``data`` (a whole number of them) to a folded sum."""
    words = np.frombuffer(data, dtype=">u4")
    return folded(total + int(words.sum(dtype=np.uint64)))


def folded(total: int) -> int:
    """Fold a sum of 32-bit words: carries are added at the other end."""
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def encoded(total: int) -> str:
    """Write the complement of a sum as the 16 characters of CHECKSUM (FITS 4.0, appendix J)."""
    value = ~total & 0xFFFFFFFF
    text = bytearray(16)
    for i in range(4):
        byte = value >> (24 - 8 * i) & 0xFF
        parts = [byte // 4 + 0x30] * 4
        parts[0] += byte % 4
        for j in (0, 2):
            while _CHARACTERS_LEFT_OUT.intersection(parts[j : j + 2]):
                parts[j] += 1
                parts[j + 1] -= 1
        for j, part in enumerate(parts):
            text[4 * j + i] = part
    return (text[-1:] + text[:-1]).decode("ascii")


def with_sums(header: fits.Header, data_sum: int) -> bytes:
    """Return a header as bytes with DATASUM and CHECKSUM, which make the HDU sum to all ones.

    The length does not depend on the sums.
    """
    header = header.copy()
    header["DATASUM"] = (str(data_sum), "data unit checksum")
    header["CHECKSUM"] = ("0" * 16, "HDU checksum")
    blank = header.tostring().encode("ascii")
    header["CHECKSUM"] = (encoded(sum32(blank, data_sum)), "HDU checksum")
    return bytes(header.tostring().encode("ascii"))
