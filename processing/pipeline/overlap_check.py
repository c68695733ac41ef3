"""The last word on an accepted group: do its exposures lie better on each other than before, or worse?

A window of their overlap is drizzled under the starting and under the new solutions. A group that became
clearly worse is refused, whatever its stars say.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Verdict
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin, WcsSolution
from hapctl.processing.astrometry.source_list import detection_settings
from hapctl.processing.imaging.chip_data import ChipPixels
from hapctl.processing.imaging.drizzle_data import DrizzleInput
from hapctl.processing.imaging.overlap_similarity import (
    OverlapFigures,
    clearly_worse,
    moved,
    overlap_figures,
    overlap_grid,
)
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.set_alignment import SetAlignment, SolvedGroup
from numpy.typing import NDArray

MOST_EXPOSURES = 6
"""Of a larger group the first so many are compared: pairs grow with the square."""
_IR_SIGMA, _CCD_SIGMA = 2.0, 1.5


def checked(
    done: SetAlignment, opened: OpenExposures, rule: AcceptanceRule, origin: LookupOrigin
) -> SetAlignment:
    """Take out the groups whose exposures lie clearly worse on each other; keep the figures of the others.

    Merely relative groups count beside one on the catalog only; where that is out, so are they.

    Parameters
    ----------
    done : SetAlignment
    opened : OpenExposures
        Gives the pixels.
    rule : AcceptanceRule
    origin : {"hst", "fits"}
    """
    groups: list[SolvedGroup] = []
    outcomes = dict(done.outcomes)
    for group in done.groups:
        figures, worse = _compared(done, group, opened, rule, origin)
        if worse is None:
            groups.append(replace(group, overlap=figures))
            continue
        refusal = Verdict(False, "overlap", worse)
        for number in group.solutions:
            outcomes[number] = replace(outcomes[number], verdict=refusal, frame="none", solution=None)
    left = replace(done, groups=tuple(groups), outcomes=outcomes)
    return left if left.accepted else replace(left, groups=())


def _compared(
    done: SetAlignment, group: SolvedGroup, opened: OpenExposures, rule: AcceptanceRule, origin: LookupOrigin
) -> tuple[dict[str, Any], str | None]:
    """Figures before and after, and why the group is refused, if it is."""
    numbers = sorted(group.solutions)[:MOST_EXPOSURES]
    if len(numbers) < 2:
        return {}, None
    after = [group.solutions[number].chips for number in numbers]
    grid = overlap_grid(after, origin=origin)
    if grid is None:
        return {}, None
    before = [_inputs(done, number, opened) for number in numbers]
    infrared = done.part.exposures[numbers[0]].detector == "IR"
    sigma = _IR_SIGMA if infrared else _CCD_SIGMA
    first = overlap_figures(before, grid, sigma=sigma, origin=origin)
    second = overlap_figures(moved(before, after), grid, sigma=sigma, origin=origin)
    if first is None or second is None:
        return {}, None
    return _document(first, second), clearly_worse(first, second, rule.least_focus_ratio)


def _document(before: OverlapFigures, after: OverlapFigures) -> dict[str, Any]:
    return {"before": asdict(before), "after": asdict(after)}


def _inputs(done: SetAlignment, number: int, opened: OpenExposures) -> list[DrizzleInput]:
    """The chips of an exposure under its starting solution, read as they are asked for."""
    exposure, start = done.part.exposures[number], done.part.starts[number]
    pixels = {chip.extver: chip for chip in opened.image(exposure).chips}
    bad = detection_settings(exposure.detector).bad_bits
    return [_input(chip, pixels[chip.extver], bad) for chip in _with_scale(start)]


def _with_scale(start: WcsSolution) -> Sequence[ChipWcs]:
    """The chips, with a scale where the solution has none."""
    return [
        chip
        if chip.idcscale is not None
        else replace(chip, idcscale=3600.0 * float(np.sqrt(abs(np.linalg.det(chip.cd_matrix)))))
        for chip in start.chips
    ]


def _input(chip: ChipWcs, pixels: ChipPixels, bad: int) -> DrizzleInput:
    def read_rows(first: int, last: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        values = pixels.science(first, last)
        good = ((pixels.quality(first, last) & np.uint16(bad)) == 0) & np.isfinite(values)
        return np.where(good, values, np.float32(0.0)), good.astype(np.float32)

    return DrizzleInput(chip, read_rows)
