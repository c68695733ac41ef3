"""Short ways for people who put a drizzle together themselves: open, choose a grid, see the map, describe."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin, WcsSolution
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.files_description import describe
from hapctl.processing.imaging.grid import OutputGrid, map_to_grid
from hapctl.processing.imaging.grid_choice import final_grid
from hapctl.processing.imaging.input_files import find_inputs, read_inputs
from hapctl.processing.imaging.open_files import OpenFiles, open_files
from hapctl.processing.imaging.parameters import DrizzleParameters, FinalParameters
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.product_description import ProductDescription
from numpy.typing import NDArray

Exposures = Sequence[Sequence[PreparedChip]]


def open_exposures(names: str | Path | Iterable[str | Path]) -> OpenFiles:
    """Open exposures by their names; use the result as a context manager.

    Parameters
    ----------
    names : str, path, or several
        Files, patterns, ``@lists``, association tables.

    Returns
    -------
    OpenFiles
        ``exposures`` holds the chips of each; exposures that can't be drizzled are left out.

    Raises
    ------
    ProcessingError
        A name stands for nothing, a file is damaged or given twice, or nothing is left.

    Examples
    --------
    >>> with open_exposures("visit/*_flc.fits") as opened:  # doctest: +SKIP
    ...     print(opened.exposures[0][0].read_noise)
    """
    several = [names] if isinstance(names, str | Path) else names
    inputs, _ = read_inputs(find_inputs(map(str, several)))
    return open_files(inputs)


def output_grid(
    exposures: Exposures, final: FinalParameters | None = None, origin: LookupOrigin = "hst"
) -> OutputGrid:
    """Return the grid for a final image: by default north up, at the detector's scale, around all exposures.

    Parameters
    ----------
    exposures : sequence of sequences of PreparedChip
    final : FinalParameters, optional
        ``scale``, ``rotation``, ``ra``, ``dec``, ``shape``, ``crpix``, ``reference`` count.
    origin : {"hst", "fits"}
        Where lookup tables begin.
    """
    chips = [chip.wcs for exposure in exposures for chip in exposure]
    return final_grid(chips, final or FinalParameters(), origin)


def describe_product(
    opened: OpenFiles, exposures: Exposures, parameters: DrizzleParameters, grid: OutputGrid, name: str
) -> ProductDescription:
    """Return what the header of a product of open exposures says, for `write_product`.

    Parameters
    ----------
    opened : OpenFiles
    exposures : sequence of sequences of PreparedChip
        Those of ``opened``, with sky and masks as they were drizzled.
    parameters : DrizzleParameters
    grid : OutputGrid
    name : str
        Of the file.
    """
    return describe(replace(opened, exposures=tuple(map(tuple, exposures))), parameters, grid, name)


def pixmap(
    source: WcsSolution | ChipWcs | PreparedChip,
    output: OutputGrid,
    *,
    extver: int | None = None,
    origin: LookupOrigin = "hst",
) -> NDArray[np.float64]:
    """Return where the pixels of a chip fall on an output grid, as `drizzle.resample` takes it.

    For users and tests: the kernels map every pixel corner themselves.

    Parameters
    ----------
    source : WcsSolution, ChipWcs or PreparedChip
    output : OutputGrid
    extver : int, optional
        Which chip of a solution of several.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    ndarray, shape (ny, nx, 2), float64
        x and y, 0-based, of the centre of each chip pixel; NaN 90 degrees or more from the tangent point.

    Raises
    ------
    UsageProblemError
        The solution has no such chip, or several and none is named.
    """
    chip = _chip(source, extver)
    y, x = np.indices(chip.shape, dtype=np.float64)
    return np.stack(map_to_grid(chip, output, x, y, origin), axis=-1)


def _chip(source: WcsSolution | ChipWcs | PreparedChip, extver: int | None) -> ChipWcs:
    if isinstance(source, PreparedChip):
        return source.wcs
    if isinstance(source, ChipWcs):
        return source
    chips = [chip for chip in source.chips if extver in (None, chip.extver)]
    if len(chips) != 1:
        names = ", ".join(str(chip.extver) for chip in source.chips)
        raise UsageProblemError(f"{source.name} has the chips {names}", "name one of them as extver")
    return chips[0]
