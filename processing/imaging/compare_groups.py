"""Cosmic rays are found among exposures of one detector and filter: groups of them, compared apart.

Stars have other colours through another filter, and would be taken for cosmic rays; another detector has
other pixels. (AstroDrizzle compares all that it is given.) Each group has a grid of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hapctl.processing.imaging.files_description import detector_of, filter_of
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.input_files import InputExposure
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.open_files import Exposure, OpenFiles
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.passes import compare_exposures, comparison_grid
from hapctl.processing.imaging.plane_store import MASKS_IN_MEMORY_BYTES
from hapctl.processing.imaging.step_choice import choose_steps
from hapctl.processing.imaging.stopwatch import Stopwatch


@dataclass(frozen=True)
class CompareGroup:
    """Exposures that are compared with one another.

    Attributes
    ----------
    label : str
        Detector and filter, for names of files; empty where there is one group alone.
    members : tuple of int
        Their numbers among all exposures.
    grid : OutputGrid
    """

    label: str
    members: tuple[int, ...]
    grid: OutputGrid


@dataclass(frozen=True)
class GroupedComparison:
    """What came of comparing groups.

    Attributes
    ----------
    exposures : tuple of tuples of PreparedChip
        All of them, in their order; with their hits, where cosmic rays were found.
    untested : mapping of int to tuple of PackedMask
        Pixels that no other exposure of the group sees, by number of the exposure.
    notes : tuple of str
        Why there was no comparison in a group.
    """

    exposures: tuple[Exposure, ...]
    untested: dict[int, tuple[PackedMask, ...]]
    notes: tuple[str, ...]


def members_by_kind(inputs: Sequence[InputExposure]) -> dict[tuple[str, str], tuple[int, ...]]:
    """Return the numbers of exposures by detector and filter, in order of appearance."""
    kinds = [(detector_of(one.header), filter_of(one)) for one in inputs]
    return {kind: tuple(i for i, own in enumerate(kinds) if own == kind) for kind in dict.fromkeys(kinds)}


def compare_groups_of(
    opened: OpenFiles, parameters: DrizzleParameters, *, watched: bool
) -> tuple[list[CompareGroup], list[str]]:
    """Return the groups in which something is compared or kept, and why others are not.

    Parameters
    ----------
    opened : OpenFiles
    parameters : DrizzleParameters
    watched : bool
        Whether intermediate products are kept.
    """
    groups: list[CompareGroup] = []
    notes: list[str] = []
    kinds = members_by_kind(opened.inputs)
    for (detector, name), members in kinds.items():
        label = f"{detector} {name}".strip() if len(kinds) > 1 else ""
        steps = choose_steps(parameters, len(members), watched=watched)
        if steps.note:
            notes.append(f"{label}: {steps.note}" if label else steps.note)
        if steps.separate:
            chips = [chip.wcs for number in members for chip in opened.exposures[number]]
            file_label = label.lower().replace(" ", "_").replace(";", "-")
            groups.append(CompareGroup(file_label, members, comparison_grid(chips, parameters)))
    return groups, notes


def compare_groups(
    exposures: Sequence[Exposure],
    groups: Sequence[CompareGroup],
    parameters: DrizzleParameters,
    observers: Sequence[Observer],
    *,
    threads: int = 1,
    scratch: Path | None = None,
    clock: Stopwatch | None = None,
) -> GroupedComparison:
    """Compare the exposures of each group: steps 3 to 6.

    Parameters
    ----------
    exposures : sequence of tuples of PreparedChip
        All of them, with sky and static masks.
    groups : sequence of CompareGroup
    parameters : DrizzleParameters
    observers : sequence of Observer
        One for each group; numbers exposures within it.
    threads, scratch, clock
        As for `compare_exposures`.
    """
    found = list(exposures)
    untested: dict[int, tuple[PackedMask, ...]] = {}
    notes: list[str] = []
    for group, observer in zip(groups, observers, strict=True):
        compared = compare_exposures(
            [exposures[number] for number in group.members],
            parameters,
            grid=group.grid,
            threads=threads,
            masks_in_memory_bytes=MASKS_IN_MEMORY_BYTES // len(groups),  # the masks of all stay
            scratch=scratch,
            observer=observer,
            clock=clock,
        )
        for number, chips in zip(group.members, compared.exposures, strict=True):
            found[number] = chips
        untested |= dict(zip(group.members, compared.untested, strict=False))
        notes += [f"{group.label}: {compared.note}".removeprefix(": ")] if compared.note else []
    return GroupedComparison(tuple(found), untested, tuple(notes))
