"""Content addresses of transformations: the same numbers have the same SHA-256, in any file."""

import struct
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs, LookupTable, WcsSolution
from numpy.typing import NDArray


def table_sha256(table: LookupTable) -> str:
    """Return the SHA-256 of a lookup table: its nodes and its keywords."""
    digest = sha256(_floats(*table.crpix, *table.crval, *table.cdelt))
    digest.update(struct.pack(">2q", *table.values.shape))
    digest.update(table.values.astype(">f4").tobytes())
    return digest.hexdigest()


def distortion_sha256(chip: ChipWcs) -> str:
    """Return the SHA-256 of a chip's distortion: SIP polynomials, lookup tables and plate scale."""
    digest = sha256(_floats(*([] if chip.idcscale is None else [chip.idcscale])))
    for coefficients in (chip.sip_a, chip.sip_b):
        digest.update(_polynomial(coefficients))
    for table in (*chip.npol, *chip.d2im):
        digest.update(b"-" if table is None else table_sha256(table).encode())
    return digest.hexdigest()


def transformation_sha256(solution: WcsSolution, distortions: Sequence[str] | None = None) -> str:
    """Return the SHA-256 of the transformation of all chips; names and keywords do not count.

    Parameters
    ----------
    solution : WcsSolution
    distortions : sequence of str, optional
        ``distortion_sha256`` of each chip, where it is known already.
    """
    digest = sha256()
    keys = [distortion_sha256(chip) for chip in solution.chips] if distortions is None else distortions
    for chip, key in zip(solution.chips, keys, strict=True):
        digest.update(struct.pack(">4q", chip.extver, chip.chip, *chip.shape))
        digest.update(_floats(*chip.crpix, *chip.crval, *chip.cd))
        digest.update(f"{'/'.join(chip.ctype)}{key}".encode())
    return digest.hexdigest()


def _polynomial(coefficients: NDArray[np.float64] | None) -> bytes:
    if coefficients is None:
        return b"-"
    return struct.pack(">q", len(coefficients)) + _floats(*coefficients.ravel())


def _floats(*values: float) -> bytes:
    return struct.pack(f">{len(values)}d", *(float(value) + 0.0 for value in values))  # -0.0 is 0.0
