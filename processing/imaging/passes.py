"""The steps of a drizzle over open exposures, in three passes that keep memory bounded.

(0) `measure_exposures`: static masks and sky, chip by chip. (1) and (2) `compare_exposures`: single drizzles
and their combination by bands of output rows, then each chip against the combined plane by blocks of its
rows; what is kept is the plane and two bits a pixel. (3) `drizzle_exposures`: the final image by bands.

Each is a pure function of exposures and parameters: the same bits for any bands, blocks and threads. Each
can be called alone; `Observer` shows what they make on the way, which is kept nowhere else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.compare_pass import (
    BLOCK_ROWS,
    ComparedChip,
    ComparePass,
    clean_rows,
    compare_with_plane,
)
from hapctl.processing.imaging.drizzle import Band, Drizzle, Room, default_band_rows, prepare_drizzle
from hapctl.processing.imaging.grid import OutputGrid, oriented_grid
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.parallel import parts_in_order
from hapctl.processing.imaging.parameters import DrizzleParameters, FinalParameters
from hapctl.processing.imaging.plane_store import IN_MEMORY_BYTES, MASKS_IN_MEMORY_BYTES, new_plane
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.separate_pass import SeparatePass, separate_and_combine
from hapctl.processing.imaging.sky import ChipSky, measure_skies
from hapctl.processing.imaging.static_mask import chip_mask, static_masks
from hapctl.processing.imaging.step_choice import choose_steps
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.imaging.weights import weighted
from hapctl.processing.imaging.windows import bands

Exposure = tuple[PreparedChip, ...]
ExposureSet = Sequence[Sequence[PreparedChip]]


@dataclass(frozen=True)
class Comparison:
    """What came of comparing exposures with each other.

    Attributes
    ----------
    exposures : tuple of tuples of PreparedChip
        As given; with their hits, where cosmic rays were found.
    chips : tuple of tuples of ComparedChip
        Masks of hits and of untested pixels by exposure and chip; empty where there was no comparison.
    grid : OutputGrid or None
        On which the exposures were compared.
    note : str
        Why there was no comparison, or what was done beyond what was asked for; empty otherwise.
    """

    exposures: tuple[Exposure, ...]
    chips: tuple[tuple[ComparedChip, ...], ...] = ()
    grid: OutputGrid | None = None
    note: str = ""

    @property
    def hits(self) -> tuple[tuple[PackedMask, ...], ...]:
        """Cosmic-ray masks by exposure and chip."""
        return tuple(tuple(chip.hits for chip in chips) for chips in self.chips)

    @property
    def untested(self) -> tuple[tuple[PackedMask, ...], ...]:
        """Masks of pixels that no other exposure sees, by exposure and chip."""
        return tuple(tuple(chip.untested for chip in chips) for chips in self.chips)


def measure_exposures(
    exposures: ExposureSet,
    parameters: DrizzleParameters,
    *,
    threads: int = 1,
    observer: Observer | None = None,
    clock: Stopwatch | None = None,
) -> tuple[Exposure, ...]:
    """Find static masks and sky: steps 1 and 2.

    Parameters
    ----------
    exposures : sequence of sequences of PreparedChip
        The chips of each exposure.
    parameters : DrizzleParameters
    threads, observer, clock
        As for `compare_exposures`.

    Returns
    -------
    tuple of tuples of PreparedChip
        With ``static`` and the sky; the flags of `reset_bits` are cleared as they are read.
    """
    observer, clock = observer or Observer(), clock or Stopwatch()
    found = [[_reset(chip, parameters.cosmic_rays.reset_bits) for chip in chips] for chips in exposures]
    with clock.step("static_mask", with_threads=True):
        masks = static_masks(found, parameters.static_mask, threads, observer.progress)
    for number, chips in enumerate(found):
        for place, chip in enumerate(chips):
            if (mask := chip_mask(masks, chip)) is not None:
                observer.static_mask(number, place, mask)
                chips[place] = replace(chip, static=mask)
    with clock.step("sky", with_threads=True):
        skies = measure_skies(
            found,
            parameters.sky,
            origin=parameters.lookup_origin,
            threads=threads,
            progress=observer.progress,
        )
    return tuple(
        tuple(_with_sky(chip, sky) for chip, sky in zip(chips, known, strict=True))
        for chips, known in zip(found, skies, strict=True)
    )


def _reset(chip: PreparedChip, flags: int) -> PreparedChip:
    return replace(chip, pixels=replace(chip.pixels, reset_bits=chip.pixels.reset_bits | flags))


def _with_sky(chip: PreparedChip, sky: ChipSky) -> PreparedChip:
    total = max(sky.level, sky.taken)
    before = sky.taken - sky.subtract
    return replace(chip, sky=sky.subtract, sky_total=total, sky_before=before, sky_why=sky.why)


def comparison_grid(chips: Sequence[ChipWcs], parameters: DrizzleParameters) -> OutputGrid:
    """Return the grid on which exposures of chips are compared: by default like the first chip."""
    chosen = parameters.separate
    return oriented_grid(chips, chosen.scale, chosen.rotation, parameters.lookup_origin)


def compare_exposures(
    exposures: ExposureSet,
    parameters: DrizzleParameters,
    *,
    grid: OutputGrid | None = None,
    threads: int = 1,
    band_rows: int | None = None,
    block_rows: int = BLOCK_ROWS,
    in_memory_bytes: int = IN_MEMORY_BYTES,
    masks_in_memory_bytes: int = MASKS_IN_MEMORY_BYTES,
    scratch: Path | None = None,
    observer: Observer | None = None,
    clock: Stopwatch | None = None,
) -> Comparison:
    """Find the cosmic rays of exposures by comparing each with the others: steps 3 to 6.

    Parameters
    ----------
    exposures : sequence of sequences of PreparedChip
        The chips of each exposure, with sky and static masks (`measure_exposures`).
    parameters : DrizzleParameters
    grid : OutputGrid, optional
        On which they are compared; `comparison_grid` by default.
    threads : int
    band_rows, block_rows : int, optional
        Output rows and chip rows done at once; they bear on memory and speed alone.
    in_memory_bytes, masks_in_memory_bytes : int
        A larger combined plane, and masks that are larger together, lie each in an unlinked scratch file,
    scratch : Path, optional
        in this folder.
    observer : Observer, optional
        Takes intermediate products and progress.
    clock : Stopwatch, optional
        Gets the seconds of each step.

    Returns
    -------
    Comparison
        Nothing is compared where one exposure is given, where the step is disabled, or where no two
        exposures see the same pixel; the note says so.

    Raises
    ------
    TooLargeError
        If the disk has no room for a scratch file.
    """
    given = tuple(tuple(chips) for chips in exposures)
    steps = choose_steps(parameters, len(given), watched=observer is not None and observer.takes_images)
    if not steps.separate:
        return Comparison(given, note=steps.note)
    chosen = grid or comparison_grid([chip.wcs for chips in given for chip in chips], parameters)
    shared = (chosen, parameters)
    watched = (observer or Observer(), clock or Stopwatch())
    plane = new_plane(chosen, in_memory_bytes=in_memory_bytes, folder=scratch) if steps.median else None
    known = separate_and_combine(
        SeparatePass(given, *shared, *watched), plane, threads=threads, band_rows=band_rows
    )
    if plane is None or known == 0:
        note = "no two exposures see the same place: nothing to find cosmic rays by"
        return Comparison(given, grid=chosen, note=note if steps.median else steps.note)
    if not steps.blot:
        return Comparison(given, grid=chosen, note=steps.note)
    work = ComparePass(given, plane, *shared, steps.cosmic_rays, *watched)
    found = compare_with_plane(
        work,
        threads=threads,
        block_rows=block_rows,
        in_memory_bytes=masks_in_memory_bytes,
        scratch=scratch,
    )
    compared = tuple(map(tuple, found))
    if not steps.cosmic_rays:
        return Comparison(given, grid=chosen, note=steps.note)
    return Comparison(_with_hits(work, compared), compared, chosen, steps.note)


def _with_hits(work: ComparePass, compared: tuple[tuple[ComparedChip, ...], ...]) -> tuple[Exposure, ...]:
    return tuple(
        tuple(
            replace(chip, hits=found.hits, clean=clean_rows(work, chip))
            for chip, found in zip(chips, founds, strict=True)
        )
        for chips, founds in zip(work.exposures, compared, strict=True)
    )


def drizzle_exposures(
    exposures: ExposureSet,
    grid: OutputGrid,
    parameters: DrizzleParameters,
    *,
    threads: int = 1,
    band_rows: int | None = None,
    observer: Observer | None = None,
    clock: Stopwatch | None = None,
) -> Iterator[Band]:
    """Drizzle exposures onto the final grid: step 7.

    Parameters
    ----------
    exposures : sequence of sequences of PreparedChip
        With sky, masks and hits.
    grid : OutputGrid
    parameters : DrizzleParameters
    threads, band_rows, observer, clock
        As for `compare_exposures`.

    Yields
    ------
    Band
        From the bottom up; SCI in electrons per second, whatever the units of the product.
    """
    final = parameters.final
    chips = [final_chip(chip, final, grid) for exposure in exposures for chip in exposure]
    drizzle = prepare_drizzle(
        [chip.drizzle_input(final.bits, final.variance or final.error) for chip in chips],
        grid,
        kernel=final.kernel,
        pixfrac=final.pixfrac,
        origin=parameters.lookup_origin,
        context=final.context,
        variance=final.variance or final.error,
        fill_value=np.nan if final.fill_value is None else final.fill_value,
    )
    height = band_rows or default_band_rows(grid.shape, len(chips) if final.context else 0, drizzle.variance)
    return _final_bands(drizzle, height, threads, observer or Observer(), clock or Stopwatch())


def _final_bands(
    drizzle: Drizzle, height: int, threads: int, observer: Observer, clock: Stopwatch
) -> Iterator[Band]:
    parts, room = bands(drizzle.grid.shape[0], height), Room()

    def one(part: tuple[int, int]) -> Band:
        with clock.step("final"):
            return drizzle.band(*part, room)

    for count, band in enumerate(parts_in_order(one, parts, threads), 1):
        yield band
        observer.progress("final", count, len(parts))


def final_chip(chip: PreparedChip, final: FinalParameters, grid: OutputGrid) -> PreparedChip:
    """Return a chip with the weights that the parameters ask for; weights it has already stay."""
    if chip.weights is not None or (final.weight, final.weight_scale) == ("EXP", "exptime"):
        return chip
    return weighted(chip, final, grid)
