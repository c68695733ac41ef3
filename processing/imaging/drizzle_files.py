"""A whole drizzle of files, from open exposures to the product on disk: plan, run, and what came of it.

This is the glue of ``hapctl drizzle``. Nothing is asked of a catalog, and input files are never changed. A
product is written aside, synced and renamed: killed at any moment, no part of it has its final name.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from hapctl.processing.errors import NoViableDataError
from hapctl.processing.imaging.compare_groups import (
    CompareGroup,
    GroupedComparison,
    compare_groups,
    compare_groups_of,
)
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.durable import told_where
from hapctl.processing.imaging.files_description import describe
from hapctl.processing.imaging.grid import OutputGrid, chip_window
from hapctl.processing.imaging.grid_choice import final_grid
from hapctl.processing.imaging.kept_images import KeptGroup, KeptImages
from hapctl.processing.imaging.memory_plan import MemoryPlan, plan_memory
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.open_files import Exposure, OpenFiles
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.passes import drizzle_exposures, measure_exposures
from hapctl.processing.imaging.plane_store import plane_bytes
from hapctl.processing.imaging.preview import write_preview
from hapctl.processing.imaging.product_description import ProductDescription
from hapctl.processing.imaging.product_file import (
    WrittenProduct,
    aside,
    predicted_bytes,
    write_product,
)
from hapctl.processing.imaging.product_places import Places, check_free, check_places, product_paths
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.imaging.weights import no_error, open_map, weighted


@dataclass(frozen=True)
class DrizzlePlan:
    """What a drizzle is going to do.

    Attributes
    ----------
    final : OutputGrid or None
        Grid of the final image, where it is made.
    groups : tuple of CompareGroup
        What is compared with what, and on which grids.
    memory : MemoryPlan
    files : tuple of Path
        Of the product, without its preview.
    disk : int
        Bytes of these.
    notes : tuple of str
        What a user should know of the inputs: what was done to them, what the final image does not touch.
    """

    final: OutputGrid | None
    groups: tuple[CompareGroup, ...]
    memory: MemoryPlan
    files: tuple[Path, ...]
    disk: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DrizzledFiles:
    """What came of it.

    Attributes
    ----------
    exposures : tuple of tuples of PreparedChip
        With sky, masks and hits.
    comparison : GroupedComparison
    written : WrittenProduct or None
    preview : Path or None
    kept : tuple of Path
        Intermediate products.
    clock : Stopwatch
        Seconds by step.
    """

    exposures: tuple[Exposure, ...]
    comparison: GroupedComparison
    written: WrittenProduct | None
    preview: Path | None
    kept: tuple[Path, ...]
    clock: Stopwatch


def plan_drizzle(
    opened: OpenFiles, parameters: DrizzleParameters, places: Places, *, threads: int = 1
) -> DrizzlePlan:
    """Decide on grids and places, and predict memory and disk.

    Raises
    ------
    UsageProblemError
        Parameters of the grid contradict one another, or nothing would be written.
    RefusedError
        What would be written exists, or can't be written where it is asked for.
    NoViableDataError
        No input touches the final image.
    UnusableFileError
        A chip has no ERR to weight by.
    """
    check_places(parameters, places)
    _check_weights(opened, parameters)
    groups, told = compare_groups_of(opened, parameters, watched=places.keep is not None)
    told = [*opened.notes, *told]
    final = (
        final_grid(opened.chip_wcs, parameters.final, parameters.lookup_origin) if places.product else None
    )
    memory = _memory(opened, parameters, groups, final, threads)
    if final is None or places.product is None:
        return DrizzlePlan(None, tuple(groups), memory, (), 0, tuple(told))
    outside = _outside(opened, final, parameters)
    product = describe(opened, parameters, final, places.product.name)
    files = product_paths(places, product)
    check_free(files, places, opened.inputs)
    disk = predicted_bytes(product, separate=places.separate)
    told += [f"{name} does not touch the output image" for name in outside]
    maps = [one.file.weight_map for one in opened.inputs if one.file.weight_map is not None]
    told += _warnings(parameters, len(groups))
    if maps and parameters.final.weight != "IVM":
        told.append(f"weight maps are not used: final.weight is {parameters.final.weight}, not IVM")
    return DrizzlePlan(final, tuple(groups), memory, files, disk, tuple(told))


def _warnings(parameters: DrizzleParameters, comparisons: int) -> Iterator[str]:
    """Yield what parameters do that may not be meant."""
    final, kind = parameters.final, parameters.median.type
    if final.weight != "EXP" and final.weight_scale != "exptime":
        yield f"final.weight_scale is one of EXP weights: {final.weight} weights have none"
    if parameters.cosmic_rays.enabled and comparisons and kind in ("sum", "isum"):
        yield f"median.type = {kind}: a sum is no image to compare with, nearly all will be cosmic rays"


def _check_weights(opened: OpenFiles, parameters: DrizzleParameters) -> None:
    """Refuse chips without the ERR they are to be weighted by."""
    if parameters.final.enabled and parameters.final.weight == "ERR":
        for chip in (chip for chips in opened.exposures for chip in chips):
            if chip.pixels.error(0, 1) is None:
                raise no_error(chip)


def _memory(
    opened: OpenFiles,
    parameters: DrizzleParameters,
    groups: Sequence[CompareGroup],
    final: OutputGrid | None,
    threads: int,
) -> MemoryPlan:
    """Predict the memory: of the largest group, and, where pixels lack ERR, the planes of the others."""
    shapes = [[chip.shape for chip in exposure] for exposure in opened.exposures]
    errors = all(chip.pixels.error(0, 1) is not None for chips in opened.exposures for chip in chips)
    grids = sorted((group.grid for group in groups), key=plane_bytes, reverse=True)
    plan = plan_memory(
        shapes,
        parameters,
        comparison=grids[0] if grids else None,
        final=final,
        threads=threads,
        errors=errors,
        groups=len(groups),
    )
    others = 0 if errors else sum(map(plane_bytes, grids[1:]))
    return MemoryPlan(plan.peak + others, plan.scratch)


def _outside(opened: OpenFiles, grid: OutputGrid, parameters: DrizzleParameters) -> tuple[str, ...]:
    origin = parameters.lookup_origin
    outside = tuple(
        one.file.path.name
        for one, chips in zip(opened.inputs, opened.exposures, strict=True)
        if all(chip_window(grid, chip.wcs, origin) is None for chip in chips)
    )
    if len(outside) == len(opened.inputs):
        raise NoViableDataError(
            "no input touches the output image",
            "correct final.ra, dec, shape or reference, or leave them out",
        )
    return outside


def drizzle_files(
    opened: OpenFiles,
    parameters: DrizzleParameters,
    plan: DrizzlePlan,
    places: Places,
    *,
    threads: int = 1,
    observer: Observer | None = None,
) -> DrizzledFiles:
    """Run the steps that are enabled, and write what they make.

    Parameters
    ----------
    opened : OpenFiles
    parameters : DrizzleParameters
    plan : DrizzlePlan
        Of `plan_drizzle`, with the same parameters and places.
    places : Places
    threads : int
    observer : Observer, optional
        Told of the progress.

    Raises
    ------
    TooLargeError
        The disk has no room.
    RefusedError
        A file can't be written.
    NoViableDataError
        No pixel of the inputs contributes to the final image; then there is none.
    """
    watcher = observer or Observer()
    if places.keep is None:
        return _run(opened, parameters, plan, places, threads, watcher, None)
    with told_where(places.keep):
        places.keep.mkdir(parents=True, exist_ok=True)
    with KeptImages(places.keep, opened.exposures, watcher) as keeper:
        return _run(opened, parameters, plan, places, threads, keeper, keeper)


def _run(
    opened: OpenFiles,
    parameters: DrizzleParameters,
    plan: DrizzlePlan,
    places: Places,
    threads: int,
    observer: Observer,
    keeper: KeptImages | None,
) -> DrizzledFiles:
    clock = Stopwatch()
    with told_where(places.keep) if places.keep else nullcontext():
        exposures = measure_exposures(
            opened.exposures, parameters, threads=threads, observer=observer, clock=clock
        )
        sky = parameters.sky
        if keeper is not None and (sky.enabled or sky.file or sky.user_keyword):
            keeper.skies(exposures)
        comparison = compare_groups(
            exposures,
            plan.groups,
            parameters,
            [observer if keeper is None else KeptGroup(keeper, group) for group in plan.groups],
            threads=threads,
            scratch=plan.files[0].absolute().parent if plan.files else places.keep,
            clock=clock,
        )
        exposures = comparison.exposures
    written, preview = None, None
    if plan.final is not None:
        weighted_chips = _weighted(opened, exposures, parameters, plan.final)
        bands = drizzle_exposures(
            weighted_chips, plan.final, parameters, threads=threads, observer=observer, clock=clock
        )
        product = describe(replace(opened, exposures=exposures), parameters, plan.final, plan.files[0].name)
        written, preview = _write(product, bands, plan, places, clock)
    kept = keeper.finish() if keeper is not None else ()
    return DrizzledFiles(exposures, comparison, written, preview, kept, clock)


def _weighted(
    opened: OpenFiles, exposures: Sequence[Exposure], parameters: DrizzleParameters, grid: OutputGrid
) -> tuple[Exposure, ...]:
    """Give the users' weight maps to the chips they are for."""
    if parameters.final.weight != "IVM":
        return tuple(exposures)
    return tuple(
        chips
        if one.file.weight_map is None
        else tuple(
            weighted(
                chip,
                parameters.final,
                grid,
                open_map(one.file.weight_map, chip.pixels.extver, chip.shape, len(chips)),
            )
            for chip in chips
        )
        for one, chips in zip(opened.inputs, exposures, strict=True)
    )


def _write(
    product: ProductDescription, bands: Iterator[Band], plan: DrizzlePlan, places: Places, clock: Stopwatch
) -> tuple[WrittenProduct, Path | None]:
    final = plan.files[0]
    assert places.product is not None
    target = places.product if places.separate else final
    with told_where(final.absolute().parent):
        written = write_product(target, product, _with_data(bands), separate=places.separate, clock=clock)
        if not places.preview:
            return written, None
        with clock.step("preview"):
            return written, _preview(final)


def _with_data(bands: Iterable[Band]) -> Iterator[Band]:
    """Pass on bands; refuse an image without any data before it gets its name."""
    found = False
    for band in bands:
        found = found or bool((band.wht > 0).any())
        yield band
    if not found:
        raise NoViableDataError(
            "no pixel of the inputs contributes: all are flagged, masked, NaN or without weight",
            "look at their DQ and at final.bits and final.weight",
        )


def _preview(final: Path) -> Path:
    picture = final.with_suffix(".png")
    try:
        write_preview(aside(picture), final)
        os.replace(aside(picture), picture)
    finally:
        aside(picture).unlink(missing_ok=True)
    return picture
