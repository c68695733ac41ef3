"""Pass 2: every chip compared with the combined plane, in blocks of rows; what stays is two bits a pixel.

A block is done with the halo its test looks at, so that the masks do not depend on blocks or threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hapctl.processing.imaging.blot import Blot, prepare_blot
from hapctl.processing.imaging.comparison import comparison_halo, find_hits_rows
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.parallel import do_parts
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.plane_store import MASKS_IN_MEMORY_BYTES, new_masks
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.imaging.weights import Rows
from hapctl.processing.imaging.windows import bands
from numpy.typing import NDArray

ExposureSet = Sequence[Sequence[PreparedChip]]

BLOCK_ROWS = 128
BLOCK_PIXEL_BYTES = 64
"""Upper estimate of what a block takes, per pixel: science, blot, slope, noise, masks and their halo."""


@dataclass(frozen=True)
class ComparePass:
    """What the blocks of pass 2 share.

    Attributes
    ----------
    exposures : sequence of sequences of PreparedChip
    plane : ndarray, shape of the grid, float32
        The combined plane.
    grid : OutputGrid
    parameters : DrizzleParameters
    find : bool
        Whether cosmic rays are found; else the plane is blotted for the observer alone.
    observer : Observer
    clock : Stopwatch
    """

    exposures: ExposureSet
    plane: NDArray[np.float32]
    grid: OutputGrid
    parameters: DrizzleParameters
    find: bool
    observer: Observer
    clock: Stopwatch


@dataclass(frozen=True)
class ComparedChip:
    """What is known of a chip: its cosmic-ray hits, and where nothing was there to compare it with."""

    exposure: int
    chip: int
    hits: PackedMask
    untested: PackedMask


def compare_with_plane(
    work: ComparePass,
    *,
    threads: int = 1,
    block_rows: int = BLOCK_ROWS,
    in_memory_bytes: int = MASKS_IN_MEMORY_BYTES,
    scratch: Path | None = None,
) -> list[list[ComparedChip]]:
    """Blot the plane to each chip and find the pixels that it does not confirm.

    Parameters
    ----------
    work : ComparePass
    threads : int
    block_rows : int
    in_memory_bytes : int
        Masks of more bytes together lie in an unlinked scratch file,
    scratch : Path, optional
        in this folder.

    Returns
    -------
    list of lists of ComparedChip
        For each exposure and chip.

    Raises
    ------
    TooLargeError
        If the disk has no room for the scratch file.
    """
    shapes = [chip.shape for chips in work.exposures for chip in chips for _ in ("hits", "untested")]
    rooms = iter(new_masks(shapes, in_memory_bytes=in_memory_bytes, folder=scratch))
    compared = [
        [ComparedChip(number, place, next(rooms), next(rooms)) for place in range(len(chips))]
        for number, chips in enumerate(work.exposures)
    ]
    parts = [
        (chip, blot, first, last)
        for chip in (chip for chips in compared for chip in chips)
        for blot in (_blot(work, work.exposures[chip.exposure][chip.chip]),)
        for first, last in bands(chip.hits.shape[0], block_rows)
    ]

    def one(part: tuple[ComparedChip, Blot, int, int]) -> None:
        _block(work, *part)

    do_parts(one, parts, threads, lambda count: work.observer.progress("cosmic_rays", count, len(parts)))
    if work.find:
        for chip in (chip for chips in compared for chip in chips):
            work.observer.masks(chip.exposure, chip.chip, chip.hits, chip.untested)
    return compared


def _blot(work: ComparePass, chip: PreparedChip) -> Blot:
    chosen = work.parameters
    return prepare_blot(chip.wcs, work.grid, chip.exposure_time, chosen.blot, chosen.lookup_origin)


def clean_rows(work: ComparePass, chip: PreparedChip) -> Rows | None:
    """Return the plane as a chip without ERR sees it, for the variance of its pixels; None for all others.

    The plane lives as long as such a chip.
    """
    if chip.pixels.error(0, 1) is not None:
        return None
    blot, plane = _blot(work, chip), work.plane
    return lambda first, last: blot.rows(plane, first, last)


def _block(work: ComparePass, compared: ComparedChip, blot: Blot, first: int, last: int) -> None:
    """Fill rows ``first`` to ``last`` of the masks of a chip: rows of their own, so no lock is needed."""
    chip = work.exposures[compared.exposure][compared.chip]
    halo = comparison_halo(work.parameters.cosmic_rays) if work.find else 0
    low, high = max(first - halo, 0), min(last + halo, chip.shape[0])
    with work.clock.step("blot"):
        seen = blot.rows(work.plane, low, high)
    inner = seen[first - low : last - low]
    work.observer.blotted(compared.exposure, compared.chip, first, inner)
    if not work.find:
        return
    with work.clock.step("cosmic_rays"):
        chosen, count = work.parameters.cosmic_rays, len(work.exposures)
        hits = find_hits_rows(chip, seen, low, first, last, chosen, count)
        compared.hits.bits[first:last] = np.packbits(hits, axis=1)
        compared.untested.bits[first:last] = np.packbits(~np.isfinite(inner), axis=1)
