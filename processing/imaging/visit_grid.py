"""The grids of a visit: one a detector, all about one tangent point and with north up.

``native``: pixels of the size of each detector's; the tangent point is the centre of a pixel of every
detector, so that pixels of 0.04 and 0.128 arcsec meet there, and in steps of their common multiples.
``nested``: pixels of 0.04 and 0.12 arcsec on the lattice of a sky tile. A coarse pixel covers 3 x 3 fine
ones exactly, and products of a visit lie on the pixels of the tile's layers: nothing is resampled again.
"""

import math
from collections.abc import Mapping, Sequence

from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.grid import (
    WIDEST_FIELD,
    OutputGrid,
    chip_edges,
    covering_grid,
    edges_on_sky,
    map_to_grid,
    middle_of,
    pixel_range,
    turned_cd,
)

COARSE_BINNING = 3
"""A coarse pixel has three times the side of a fine one (0.12 against 0.04 arcsec)."""
COARSE_DETECTORS = frozenset({"IR", "PC"})
"""Their native pixels are nearer to 0.12 than to 0.04 arcsec; the finest have 0.025."""

_NORTH_UP = turned_cd(1.0)


def tangent_point(chips: Sequence[ChipWcs], origin: LookupOrigin = "hst") -> tuple[float, float]:
    """Return where the grids of a visit touch the sky: the middle of all that its chips cover.

    Parameters
    ----------
    chips : sequence of ChipWcs
        Of all detectors.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    tuple of float
        RA, Dec in degrees, as a FITS card holds them.
    """
    return middle_of(*edges_on_sky(chips, origin), _NORTH_UP)


def native_grids(
    detectors: Mapping[str, Sequence[ChipWcs]], scales: Mapping[str, float], origin: LookupOrigin = "hst"
) -> dict[str, OutputGrid]:
    """Return the grids of the detectors of a visit, in pixels of their own size.

    Parameters
    ----------
    detectors : mapping of str to sequence of ChipWcs
        The chips of each detector.
    scales : mapping of str to float
        Arcsec per pixel, of each.
    origin : {"hst", "fits"}

    Returns
    -------
    dict of str to OutputGrid
        Of one CRVAL, each with an integer CRPIX, and no larger than the detector's chips ask for.

    Raises
    ------
    UnusableFileError
        The chips lie too far apart.
    """
    in_order = [chip for name in sorted(detectors) for chip in detectors[name]]  # sums depend on it
    centre = tangent_point(in_order, origin)
    return {
        name: covering_grid(centre, turned_cd(scales[name]), *edges_on_sky(chips, origin))
        for name, chips in detectors.items()
    }


def nested_grids(
    detectors: Mapping[str, Sequence[ChipWcs]], fine: OutputGrid, origin: LookupOrigin = "hst"
) -> dict[str, OutputGrid]:
    """Return the grids of the detectors of a visit on the lattice of a sky tile.

    Parameters
    ----------
    detectors : mapping of str to sequence of ChipWcs
        The chips of each detector.
    fine : OutputGrid
        The tile's fine grid; products may reach beyond it.
    origin : {"hst", "fits"}

    Returns
    -------
    dict of str to OutputGrid
        Coarse for IR and PC, fine for the others.
    """
    lattices = {True: coarse_grid(fine), False: fine}
    return {
        name: lattice_grid(lattices[name in COARSE_DETECTORS], chips, origin)
        for name, chips in detectors.items()
    }


def coarse_grid(fine: OutputGrid) -> OutputGrid:
    """Return the coarse grid of a tile: its first pixel covers fine pixels 2 to 4 (1-based), as in HAP."""
    cd11, cd12, cd21, cd22 = (element * COARSE_BINNING for element in fine.cd)
    return OutputGrid(
        crval=fine.crval,
        crpix=(fine.crpix[0] / COARSE_BINNING, fine.crpix[1] / COARSE_BINNING),
        cd=(cd11, cd12, cd21, cd22),
        shape=(fine.shape[0] // COARSE_BINNING, fine.shape[1] // COARSE_BINNING),
    )


def lattice_grid(lattice: OutputGrid, chips: Sequence[ChipWcs], origin: LookupOrigin = "hst") -> OutputGrid:
    """Return the smallest grid on the pixels of a lattice that covers the distorted edges of chips.

    Parameters
    ----------
    lattice : OutputGrid
        Its pixels count; its bounds do not.
    chips : sequence of ChipWcs
    origin : {"hst", "fits"}

    Raises
    ------
    UnusableFileError
        The chips lie too far from the tangent point of the lattice.
    """
    windows = [_window(lattice, chip, origin) for chip in chips]
    below, above, left, right = zip(*windows, strict=True)
    y0, y1, x0, x1 = min(below), max(above), min(left), max(right)
    return OutputGrid(
        lattice.crval,
        (lattice.crpix[0] - x0, lattice.crpix[1] - y0),
        lattice.cd,
        (y1 - y0 + 1, x1 - x0 + 1),
    )


def _window(lattice: OutputGrid, chip: ChipWcs, origin: LookupOrigin) -> tuple[int, int, int, int]:
    """First and last row, first and last column (0-based, also below 0) that a chip touches."""
    x, y = map_to_grid(chip, lattice, *chip_edges(chip), origin)
    span = math.degrees(math.tan(math.radians(WIDEST_FIELD))) * 3600.0 / lattice.scale_arcsec
    if not (abs(x - lattice.crpix[0]).max() < span and abs(y - lattice.crpix[1]).max() < span):
        raise UnusableFileError(
            f"SCI,{chip.extver} lies more than {WIDEST_FIELD:.0f} degrees from the tile of its visit",
            "make products of exposures that lie together",
        )
    return (*pixel_range(y), *pixel_range(x))
