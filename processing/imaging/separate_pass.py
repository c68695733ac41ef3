"""Pass 1: bands of the comparison grid, in each the single drizzles of all exposures and their combination.

A band is done with a halo of ``grow`` rows and its singles are dropped with it: what stays is the combined
plane. Wide grids are cut into strips of columns, at places that depend on the width and, where there are
hundreds, on the number of exposures. Every pixel of the plane is a function of exposures, grid and
parameters, not of bands or threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hapctl.processing.imaging.combine import Single, combine_halo, combine_rows
from hapctl.processing.imaging.drizzle import Drizzle, Room, prepare_drizzle
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.parallel import do_parts
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.imaging.windows import Window, bands, strips, touched_window
from numpy.typing import NDArray

ExposureSet = Sequence[Sequence[PreparedChip]]
Plane = NDArray[np.float32]

BAND_BYTES = 64 * 2**20
"""What the arrays of one band may take."""
WIDEST_STRIP = 4608
"""Columns; one ACS/WFC exposure with its dithers goes into one strip."""
NARROWEST_STRIP = 256
LEAST_ROWS = 8
SINGLE_BYTES = 8
"""Bytes per pixel of a single drizzle: SCI and WHT."""
WORK_BYTES = 40
"""Bytes per pixel beside the singles: sums of the drizzle at work, combined values, depth."""


@dataclass(frozen=True)
class SeparatePass:
    """What the bands of pass 1 share.

    Attributes
    ----------
    exposures : sequence of sequences of PreparedChip
    grid : OutputGrid
    parameters : DrizzleParameters
    observer : Observer
    clock : Stopwatch
    """

    exposures: ExposureSet
    grid: OutputGrid
    parameters: DrizzleParameters
    observer: Observer
    clock: Stopwatch

    @property
    def halo(self) -> int:
        """Pixels around a band that its combination looks at."""
        return combine_halo(self.parameters.median)

    def windows(self) -> list[Window]:
        """Return what each exposure may touch."""
        origin = self.parameters.lookup_origin
        return [touched_window(self.grid, [chip.wcs for chip in one], origin) for one in self.exposures]


@dataclass(frozen=True)
class _Strip:
    """Columns x0 to x1, and the drizzles by exposure onto a grid that begins at column ``left``."""

    x0: int
    x1: int
    left: int
    drizzles: dict[int, Drizzle]
    windows: dict[int, Window]
    room: Room = field(default_factory=Room)


def separate_and_combine(
    work: SeparatePass, plane: Plane | None, *, threads: int = 1, band_rows: int | None = None
) -> int:
    """Drizzle each exposure singly, band by band, and combine.

    Parameters
    ----------
    work : SeparatePass
    plane : ndarray, shape of the grid, float32, or None
        Gets the combined plane: electrons per second and output pixel without sky, NaN where fewer than
        two exposures see. None: nothing is combined, the singles are for the observer alone.
    threads : int
    band_rows : int, optional
        Height of a band; by default what `BAND_BYTES` allow.

    Returns
    -------
    int
        How many pixels of the plane are known.
    """
    windows = work.windows()
    cuts = strips(work.grid.shape[1], widest_strip(len(windows), work.halo))
    heights = [band_rows or rows_of_a_band(work.grid, windows, cut, work.halo) for cut in cuts]
    total = sum(-(-work.grid.shape[0] // height) for height in heights)
    known = done = 0
    for cut, height in zip(cuts, heights, strict=True):
        strip = _strip(work, windows, cut)
        parts = bands(work.grid.shape[0], height)

        def one(part: tuple[int, int], strip: _Strip = strip) -> int:
            return _band(work, strip, plane, *part)

        def tell(count: int, before: int = done) -> None:
            work.observer.progress("separate", before + count, total)

        known += sum(do_parts(one, parts, threads, tell))
        done += len(parts)
    return known


def widest_strip(exposures: int, halo: int) -> int:
    """Return how wide strips may be, so that the least rows of so many exposures keep to their budget."""
    column = (LEAST_ROWS + 2 * halo) * (SINGLE_BYTES * exposures + WORK_BYTES)
    return min(WIDEST_STRIP, max(NARROWEST_STRIP, BAND_BYTES // column - 2 * halo))


def rows_of_a_band(grid: OutputGrid, windows: Sequence[Window], cut: tuple[int, int], halo: int) -> int:
    """Return the height of bands in a strip: its budget over the exposures that touch it."""
    whole = Window(0, grid.shape[0], *cut)
    exposures = sum(window.touches(whole) for window in windows)
    row = (cut[1] - cut[0] + 2 * halo) * (SINGLE_BYTES * exposures + WORK_BYTES)
    return max(LEAST_ROWS, min(grid.shape[0], BAND_BYTES // row - 2 * halo))


def _strip(work: SeparatePass, windows: Sequence[Window], cut: tuple[int, int]) -> _Strip:
    own = Window(0, work.grid.shape[0], *cut)
    whole = own.widened(work.halo, work.grid.shape)
    grid = whole.cut(work.grid)
    touching = {number: window for number, window in enumerate(windows) if window.touches(whole)}
    return _Strip(
        *cut,
        whole.x0,
        {number: _single_drizzle(work, work.exposures[number], grid) for number in touching},
        touching,
    )


def _single_drizzle(work: SeparatePass, chips: Sequence[PreparedChip], grid: OutputGrid) -> Drizzle:
    chosen = work.parameters.separate
    return prepare_drizzle(
        [chip.drizzle_input(chosen.bits) for chip in chips],
        grid,
        kernel=chosen.kernel,
        pixfrac=chosen.pixfrac,
        origin=work.parameters.lookup_origin,
        context=False,
    )


def _band(work: SeparatePass, strip: _Strip, plane: Plane | None, y0: int, y1: int) -> int:
    """Fill rows y0 to y1 of a strip; return how many pixels are known."""
    around = Window(y0, y1, strip.x0, strip.x1).widened(work.halo, work.grid.shape)
    inner = (slice(y0 - around.y0, y1 - around.y0), slice(strip.x0 - strip.left, strip.x1 - strip.left))
    singles = []
    for number, drizzle in strip.drizzles.items():
        if not strip.windows[number].touches(around):
            continue
        with work.clock.step("separate"):
            band = drizzle.band(around.y0, around.y1, strip.room)
        work.observer.single(number, y0, strip.x0, band.sci[inner], band.wht[inner])
        singles.append(Single(number, band.sci, band.wht))
    if plane is None:
        return 0
    if not singles:
        plane[y0:y1, strip.x0 : strip.x1] = np.nan
        return 0
    with work.clock.step("median"):
        values, depth = combine_rows(singles, work.exposures, work.grid, work.parameters.median)
        values, depth = values[inner], depth[inner]
        known = depth >= 2
        plane[y0:y1, strip.x0 : strip.x1] = np.where(known, values, np.float32(np.nan))
    work.observer.combined(y0, strip.x0, values, depth)
    return int(np.count_nonzero(known))
