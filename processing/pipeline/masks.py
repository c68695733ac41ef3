"""Cosmic-ray masks of a visit: made once, kept as files, used by all products.

The exposures of a visit with one detector, filter and frame are compared with each other, whatever the
policy of the products: so a mask depends on its group alone. A group is known by its content (files,
transformations, parameters); masks of the same content are used again. A mask also tells the pixels of
the static mask, and those that no other exposure of the group saw, so that they were not tested.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from hapctl.archive.database import Catalog
from hapctl.archive.products import (
    EligibleExposure,
    MaskRow,
    NewMask,
    find_mask,
    insert_mask,
    put_masks_in_force,
)
from hapctl.archive.runs import Run, parameters_sha256
from hapctl.processing.imaging.mask_file import ChipMasks, PackedMask, write_mask
from hapctl.processing.imaging.memory_plan import MemoryPlan, plan_memory
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.passes import (
    Comparison,
    compare_exposures,
    comparison_grid,
    measure_exposures,
)
from hapctl.processing.imaging.product_file import file_sha256
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.pipeline.filter_rules import without_problem
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.pace import Pace
from hapctl.processing.pipeline.planned import MosaicOptions, comparison_parameters
from hapctl.processing.pipeline.publish import aside, sync_folder

MASK_ENGINE = 3
"""Raised when the same inputs and parameters give other masks."""

_MASK_STEPS = ("static_mask", "sky", "separate", "median", "blot", "cosmic_rays", "lookup_origin")


@dataclass(frozen=True)
class MaskGroup:
    """Exposures whose cosmic rays are found by comparison with each other.

    Attributes
    ----------
    exposures : tuple of EligibleExposure
        Two at least, by rootname.
    drizzle : DrizzleParameters
        Of their comparison.
    parameters : mapping
        All that the masks depend on but the inputs.
    parameters_sha256, inputs_sha256 : str
    """

    exposures: tuple[EligibleExposure, ...]
    drizzle: DrizzleParameters
    parameters: Mapping[str, object]
    parameters_sha256: str
    inputs_sha256: str

    @property
    def name(self) -> str:
        """What it is called in messages."""
        first = self.exposures[0]
        return f"finding the cosmic rays of {first.visit}, {first.filter}"


def mask_groups(exposures: Sequence[EligibleExposure], options: MosaicOptions) -> list[MaskGroup]:
    """Return the groups among the eligible exposures of visits; single exposures are in none."""
    groups: dict[tuple[str, ...], list[EligibleExposure]] = defaultdict(list)
    for exposure in without_problem(exposures, "layer"):
        key = (exposure.visit, exposure.instrument, exposure.detector, exposure.filter, exposure.frame)
        groups[key].append(exposure)
    found = [_group(members, options) for _, members in sorted(groups.items()) if len(members) > 1]
    return [group for group in found if group.drizzle.cosmic_rays.enabled]


def _group(members: list[EligibleExposure], options: MosaicOptions) -> MaskGroup:
    exposures = tuple(sorted(members, key=lambda exposure: exposure.rootname))
    drizzle = comparison_parameters(options, exposures)
    parameters = mask_parameters(drizzle)
    inputs = [
        [exposure.rootname, exposure.file_sha256, exposure.transformation_sha256] for exposure in exposures
    ]
    return MaskGroup(
        exposures,
        drizzle,
        parameters,
        parameters_sha256(parameters),
        parameters_sha256({"exposures": inputs}),
    )


def mask_parameters(drizzle: DrizzleParameters) -> dict[str, object]:
    """Return all that masks depend on but their inputs, as plain data."""
    steps = asdict(drizzle)
    return {"engine": MASK_ENGINE, **{name: steps[name] for name in _MASK_STEPS}}


def memory_of_group(opened: OpenExposures, group: MaskGroup, options: MosaicOptions) -> MemoryPlan:
    """Return what comparing the exposures of a group needs at its peak."""
    return plan_memory(
        opened.shapes(group.exposures),
        group.drizzle,
        comparison=comparison_grid(opened.chip_wcs(group.exposures), group.drizzle),
        threads=options.threads,
    )


def recorded_masks(catalog: Catalog, group: MaskGroup) -> dict[str, MaskRow]:
    """Return the masks of a group that were ever made, by rootname; their files may be gone or damaged."""
    with catalog.begin() as connection:
        rows = {
            exposure.rootname: find_mask(connection, exposure, group.inputs_sha256, group.parameters_sha256)
            for exposure in group.exposures
        }
    return {rootname: row for rootname, row in rows.items() if row is not None}


def found_masks(catalog: Catalog, group: MaskGroup, home: Path) -> dict[str, MaskRow]:
    """Return the masks of a group that exist, row and file, by rootname."""
    return {
        rootname: row
        for rootname, row in recorded_masks(catalog, group).items()
        if (home / row.path).is_file() and file_sha256(home / row.path) == row.sha256
    }


def ensure_masks(
    run: Run,
    opened: OpenExposures,
    exposures: Sequence[EligibleExposure],
    options: MosaicOptions,
    *,
    observer: Observer,
    clock: Stopwatch,
    pace: Pace,
) -> dict[str, MaskRow]:
    """Make the masks that are missing and put those of all these exposures in force.

    Parameters
    ----------
    run : Run
        Holds the locks of the visits.
    opened : OpenExposures
    exposures : sequence of EligibleExposure
        All of their visits.
    options : MosaicOptions
        Masks lie in the folder ``masks`` of its ``home``; rows hold the path relative to it.
    observer : Observer
    clock : Stopwatch
    pace : Pace
        Notes how long making masks takes.

    Returns
    -------
    dict of str to MaskRow
        By rootname; exposures of no group have no mask, and none is in force afterwards.

    Raises
    ------
    TooLargeError
        The disk has no room for a scratch file.
    """
    catalog = opened.catalog
    masks: dict[str, MaskRow] = {}
    for group in mask_groups(exposures, options):
        found = found_masks(catalog, group, options.home)
        masks |= found
        if len(found) < len(group.exposures):
            with pace.counted("masks") as pixels:
                compared = _compared(opened, group, options, observer, clock)
                masks |= _kept_all(catalog, run, group, found, compared, options.home)
                pixels += [ny * nx for shapes in opened.shapes(group.exposures) for ny, nx in shapes]
    in_force = {
        exposure.exposure_id: masks[exposure.rootname].mask_id if exposure.rootname in masks else None
        for exposure in exposures
    }
    with catalog.begin() as connection:
        put_masks_in_force(connection, run.id, in_force)
    return masks


def _compared(
    opened: OpenExposures, group: MaskGroup, options: MosaicOptions, observer: Observer, clock: Stopwatch
) -> Comparison:
    measured = measure_exposures(
        opened.prepared(group.exposures),
        group.drizzle,
        threads=options.threads,
        observer=observer,
        clock=clock,
    )
    return compare_exposures(
        measured,
        group.drizzle,
        threads=options.threads,
        scratch=options.output,
        observer=observer,
        clock=clock,
    )


def _kept_all(
    catalog: Catalog,
    run: Run,
    group: MaskGroup,
    found: Mapping[str, MaskRow],
    compared: Comparison,
    home: Path,
) -> dict[str, MaskRow]:
    masks = chip_masks(compared)
    return {
        exposure.rootname: _kept(catalog, run, group, exposure, masks[number], home)
        for number, exposure in enumerate(group.exposures)
        if exposure.rootname not in found
    }


def make_masks_of(
    opened: OpenExposures,
    group: MaskGroup,
    options: MosaicOptions,
    paths: Mapping[str, Path],
    *,
    observer: Observer,
    clock: Stopwatch,
) -> None:
    """Find the cosmic rays of a group and write masks aside, recording nothing.

    Parameters
    ----------
    opened : OpenExposures
    group : MaskGroup
    options : MosaicOptions
    paths : mapping of str to Path
        Final places, by rootname; exposures of the group that are not named get no file.
    observer : Observer
    clock : Stopwatch
    """
    masks = chip_masks(_compared(opened, group, options, observer, clock))
    for exposure, found in zip(group.exposures, masks, strict=True):
        if exposure.rootname in paths:
            final = paths[exposure.rootname]
            final.parent.mkdir(parents=True, exist_ok=True)
            write_mask(aside(final), found, _cards(group, exposure))


def chip_masks(compared: Comparison) -> list[dict[int, ChipMasks]]:
    """Return what a comparison found of each exposure, by EXTVER; without one all pixels are untested."""
    if not compared.chips:
        return [
            {chip.pixels.extver: _untested(chip.shape, chip.static) for chip in chips}
            for chips in compared.exposures
        ]
    return [
        {
            chip.pixels.extver: ChipMasks(found.hits, chip.static, found.untested)
            for chip, found in zip(chips, founds, strict=True)
        }
        for chips, founds in zip(compared.exposures, compared.chips, strict=True)
    ]


def _untested(shape: tuple[int, int], static: PackedMask | None) -> ChipMasks:
    nothing, everything = (PackedMask.of(np.full(shape, value)) for value in (False, True))
    return ChipMasks(nothing, static, everything)


def _kept(
    catalog: Catalog,
    run: Run,
    group: MaskGroup,
    exposure: EligibleExposure,
    masks: Mapping[int, ChipMasks],
    home: Path,
) -> MaskRow:
    """Write a mask under a name made of its content's address, then record it.

    Killed between the two, the next run writes the same file again. Where a file that was lost comes out as
    it was, its row stands, and so do the products made with it.
    """
    address = f"{group.inputs_sha256[:8]}{group.parameters_sha256[:8]}"
    path = Path("masks") / exposure.visit / f"{exposure.rootname}_{address}_crmask.fits"
    final = home / path
    final.parent.mkdir(parents=True, exist_ok=True)
    write_mask(aside(final), masks, _cards(group, exposure))
    size, sha256 = aside(final).stat().st_size, file_sha256(aside(final))
    os.replace(aside(final), final)
    sync_folder(final.parent)
    before = recorded_masks(catalog, replace(group, exposures=(exposure,))).get(exposure.rootname)
    if before is not None and (before.path, before.sha256) == (str(path), sha256):
        return before
    flagged = sum(mask.hits.count() for mask in masks.values())
    row = NewMask(
        exposure.exposure_id,
        exposure.file_id,
        exposure.solution_id,
        group.inputs_sha256,
        group.parameters,
        group.parameters_sha256,
        str(path),
        sha256,
        size,
        flagged,
    )
    with catalog.begin() as connection:
        mask_id = insert_mask(connection, run.id, row)
    return MaskRow(mask_id, str(path), sha256, flagged, run.id)


def _cards(group: MaskGroup, exposure: EligibleExposure) -> list[tuple[str, str, str]]:
    return [
        ("ROOTNAME", exposure.rootname, "exposure"),
        ("HAPPARAM", group.parameters_sha256, ""),
        ("HAPINPUT", group.inputs_sha256, ""),
    ]
