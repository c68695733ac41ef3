"""The static mask: pixels far below the sky of their chip (step 1 of AstroDrizzle).

Such pixels come of the dark that was subtracted: hot then, not hot now. A pixel that is low in one exposure
is masked in all that share its signature: detector, shape, chip, and the place on the chip, so that
subarrays are never mixed. (So in AstroDrizzle: what it joins by AND are masks of good pixels.)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.imaging.chip_sample import sample_chip
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.observer import Progress, no_progress
from hapctl.processing.imaging.parallel import do_parts
from hapctl.processing.imaging.parameters import StaticMaskParameters
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.sky_statistics import Clipping, SortedPixels, clipped, mode_of
from numpy.typing import NDArray

_CLIPPING = Clipping(rounds=3, lower=3.0, upper=3.0)
_SAMPLE = 60_000
"""Pixels that mode and rms are taken from: the limit is then right to 0.01 sigma."""
_ROWS = 64
_FEW_ROWS = 16
"""Up to so many rows with candidates are read one by one."""


@dataclass(frozen=True, order=True)
class Signature:
    """What exposures must share to share a static mask.

    Attributes
    ----------
    detector : str
        INSTRUME and DETECTOR, ``ACS/WFC``.
    shape : tuple of int
        (ny, nx).
    chip : int
        CCDCHIP.
    place : tuple of float
        Where the pixels lie on the chip: LTV1 and LTV2, or CENTERA1 and CENTERA2 where the header has none.
    """

    detector: str
    shape: tuple[int, int]
    chip: int
    place: tuple[float, float] = (0.0, 0.0)


def signature(chip: PreparedChip) -> Signature:
    """Return the signature of a chip, from its headers."""
    pixels = chip.pixels
    names = (str(pixels.primary.get(keyword, "")).strip() for keyword in ("INSTRUME", "DETECTOR"))
    return Signature("/".join(name for name in names if name), pixels.shape, pixels.chip, _place(chip))


def _place(chip: PreparedChip) -> tuple[float, float]:
    for first, second in (("LTV1", "LTV2"), ("CENTERA1", "CENTERA2")):
        for header in (chip.pixels.header, chip.pixels.primary):
            if isinstance(header.get(first), (int, float)) and isinstance(header.get(second), (int, float)):
                return round(float(header[first]), 3), round(float(header[second]), 3)
    return 0.0, 0.0


def static_masks(
    exposures: Sequence[Sequence[PreparedChip]],
    parameters: StaticMaskParameters,
    threads: int = 1,
    progress: Progress = no_progress,
) -> dict[Signature, PackedMask]:
    """Find the pixels that are low in exposures of a signature.

    Parameters
    ----------
    exposures : sequence of sequences of PreparedChip
    parameters : StaticMaskParameters
        A pixel is low where it is below mode - ``sigma`` rms of its chip (`low_limit`); ``agreement`` says
        whether in ``any`` exposure or in ``every`` one.
    threads : int
        Signatures worked on at once; the masks don't depend on it.
    progress : callable
        ``progress("static_mask", done, total)``: signatures that are done.

    Returns
    -------
    dict of Signature to PackedMask
        True where bad. Empty if the step is not enabled. A chip whose limit can't be found takes no part;
        where none takes part no pixel is bad.

    Notes
    -----
    Rows are read in blocks. For ``every`` only rows that still hold candidates are read after the first
    exposure. A pixel that is not finite is not low (AstroDrizzle's comparison says the same).

    Examples
    --------
    >>> masks = static_masks(exposures, StaticMaskParameters(sigma=4.0))  # doctest: +SKIP
    >>> chip_mask(masks, exposures[0][0]).count()  # doctest: +SKIP
    312
    """
    if not parameters.enabled:
        return {}
    groups = by_signature(chip for exposure in exposures for chip in exposure)
    found = do_parts(
        lambda chips: static_mask(chips, parameters),
        list(groups.values()),
        threads,
        lambda done: progress("static_mask", done, len(groups)),
    )
    return dict(zip(groups, found, strict=True))


def by_signature(chips: Iterable[PreparedChip]) -> dict[Signature, list[PreparedChip]]:
    """Sort chips by signature, in order."""
    groups: dict[Signature, list[PreparedChip]] = {}
    for chip in chips:
        groups.setdefault(signature(chip), []).append(chip)
    return groups


def chip_mask(masks: Mapping[Signature, PackedMask], chip: PreparedChip) -> PackedMask | None:
    """Return the static mask of a chip, None where it has none."""
    return masks.get(signature(chip))


def low_limit(chip: PreparedChip, sigma: float) -> float | None:
    """Return mode - ``sigma`` rms of a chip in electrons (not equalised), or None.

    Mode and rms are of good pixels (no DQ flag; all pixels where none is good) after three rounds of
    clipping at 3 sigma; None where fewer than two values are left.
    """
    values = sample_chip(chip, 0, fewest=_SAMPLE).values
    if values.size == 0:
        values = sample_chip(chip, None, fewest=_SAMPLE).values
    if values.size == 0:
        return None
    left = clipped(SortedPixels.of(values), _CLIPPING)
    rms = left.deviation
    if not rms > 0.0:
        return None
    peak = mode_of(left)
    return ((left.mean if peak is None else peak[0]) - sigma * rms) / chip.flux_factor


def static_mask(chips: Sequence[PreparedChip], parameters: StaticMaskParameters) -> PackedMask:
    """Return the static mask of chips of one signature, True where bad."""
    shape = chips[0].shape
    limits = [low_limit(chip, parameters.sigma) for chip in chips]
    voters = [(chip, limit) for chip, limit in zip(chips, limits, strict=True) if limit is not None]
    low_in = _low_in_any if parameters.agreement == "any" else _low_in_every
    packed = np.zeros((shape[0], -(-shape[1] // 8)), dtype=np.uint8)
    if voters:
        for first in range(0, shape[0], _ROWS):
            last = min(first + _ROWS, shape[0])
            packed[first:last] = np.packbits(low_in(voters, first, last), axis=1)
    return PackedMask(packed, shape[1])


Voters = Sequence[tuple[PreparedChip, float]]


def _low(voter: tuple[PreparedChip, float], first: int, last: int) -> NDArray[np.bool_]:
    chip, limit = voter
    low: NDArray[np.bool_] = chip.pixels.science(first, last) < np.float32(limit)
    return low


def _low_in_any(voters: Voters, first: int, last: int) -> NDArray[np.bool_]:
    low = _low(voters[0], first, last)
    for voter in voters[1:]:
        low |= _low(voter, first, last)
    return low


def _low_in_every(voters: Voters, first: int, last: int) -> NDArray[np.bool_]:
    low = _low(voters[0], first, last)
    for voter in voters[1:]:
        rows = np.flatnonzero(low.any(axis=1))
        if rows.size > _FEW_ROWS:
            low &= _low(voter, first, last)
        else:
            for row in rows.tolist():
                low[row] &= _low(voter, first + row, first + row + 1)[0]
    return low
