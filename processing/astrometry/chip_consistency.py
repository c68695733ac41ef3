"""Whether the chips of a solution belong together: one name, and where the distortion model puts them.

A fit moves all chips of an exposure together, so that one chip must lie beside another as it does in the
solution of the distortion model (IDC) of the same exposure. Three real headerlets of HST's archive mix
chips of different solutions, 4 pixels apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from hapctl.processing.astrometry.aperture import directions_moved
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import unit_vectors
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.astrometry.wcsname import parse_wcsname
from numpy.typing import NDArray

LARGEST_OFFSET_MAS = 20.0
"""Of a chip beside the first one, against the distortion model."""

INCONSISTENT = "inconsistent: "
"""How the problem of such a solution begins."""

Array = NDArray[np.float64]

_MAS = 3.6e6 * 180.0 / np.pi


def chip_offset_mas(solution: WcsSolution, reference: WcsSolution) -> tuple[float, int]:
    """Return how far chips lie from where the reference has them beside the first chip.

    Parameters
    ----------
    solution, reference : WcsSolution
        Of the same chips, in any order; finite and in TAN projection.

    Returns
    -------
    offset : float
        The largest distance of a chip's centre, mas.
    extver : int
        The chip.
    """
    known = {chip.extver: chip for chip in reference.chips}
    first = solution.chips[0]
    moved = directions_moved(known[first.extver], first)
    offsets = [(_distance_mas(chip, known[chip.extver], moved), chip.extver) for chip in solution.chips[1:]]
    return max(offsets, default=(0.0, first.extver))


def _distance_mas(chip: ChipWcs, known: ChipWcs, moved: Array) -> float:
    expected = moved @ _centre(known)
    expected /= np.linalg.norm(expected)
    return float(np.linalg.norm(np.cross(expected, _centre(chip))) * _MAS)


def _centre(chip: ChipWcs) -> Array:
    ny, nx = chip.shape
    ra, dec = pixel_to_sky(chip, np.array([0.5 * (nx - 1)]), np.array([0.5 * (ny - 1)]))
    vector: Array = unit_vectors(ra, dec)[0]
    return vector


def consistent(solutions: Sequence[WcsSolution], known: Iterable[WcsSolution] = ()) -> list[WcsSolution]:
    """Return solutions of one exposure, those whose chips don't belong together marked as inconsistent.

    Parameters
    ----------
    solutions : sequence of WcsSolution
    known : iterable of WcsSolution
        Further ones of the exposure, among which the distortion model's may be.
    """
    models = [s for s in (*solutions, *known) if parse_wcsname(s.name).kind == "idc" and not s.problem]
    return [_checked(solution, models) for solution in solutions]


def _checked(solution: WcsSolution, models: Sequence[WcsSolution]) -> WcsSolution:
    mixed = solution.problem.startswith(INCONSISTENT)
    reference = next((model for model in models if _is_model_of(model, solution)), None)
    if (solution.problem and not mixed) or len(solution.chips) < 2 or reference is None:
        return solution
    offset, extver = chip_offset_mas(solution, reference)
    if not mixed and not offset > LARGEST_OFFSET_MAS:
        return solution
    first = solution.chips[0].extver
    figure = f"SCI,{extver} lies {offset:.1f} mas from where {reference.name} has it beside SCI,{first}"
    problem = f"{solution.problem}; {figure}" if mixed else f"{INCONSISTENT}{figure}"
    return replace(solution, problem=problem)


def _is_model_of(model: WcsSolution, solution: WcsSolution) -> bool:
    """Say whether an IDC solution tells where the chips of another must lie: same chips, same IDCTAB."""
    own, other = parse_wcsname(model.name).idc_root, parse_wcsname(solution.name).idc_root
    chips = [{(chip.extver, chip.shape) for chip in one.chips} for one in (model, solution)]
    distorted = all(chip.ctype[0].endswith("-SIP") for chip in solution.chips)
    return distorted and chips[0] == chips[1] and (other is None or other == own)
