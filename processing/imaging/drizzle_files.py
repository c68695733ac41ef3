"""A whole drizzle of files, from open exposures to the product on disk: plan, run, and what came of it.

This is the glue of ``hapctl drizzle``. Nothing is asked of a catalog, and input files are never changed. A
product is written aside, synced and renamed: killed at any moment, no part of it has its final name.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from hapctl.processing.errors import NoViableDataError, RefusedError, TooLargeError, UsageProblemError
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.durable import sync_folder, told_where
from hapctl.processing.imaging.files_description import describe
from hapctl.processing.imaging.grid import OutputGrid, chip_window
from hapctl.processing.imaging.grid_choice import check_grid_parameters, final_grid
from hapctl.processing.imaging.input_files import same_file, shown_size
from hapctl.processing.imaging.kept_images import KeptImages
from hapctl.processing.imaging.memory_plan import MemoryPlan, plan_memory
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.open_files import Exposure, OpenFiles
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.passes import (
    Comparison,
    compare_exposures,
    comparison_grid,
    drizzle_exposures,
    measure_exposures,
)
from hapctl.processing.imaging.preview import binned_image, write_preview
from hapctl.processing.imaging.product_description import ProductDescription
from hapctl.processing.imaging.product_file import (
    ProductWriter,
    SeparateWriter,
    WrittenProduct,
    aside,
    predicted_bytes,
    separate_paths,
)
from hapctl.processing.imaging.product_units import in_units
from hapctl.processing.imaging.step_choice import choose_steps
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.imaging.weights import open_map, weighted


@dataclass(frozen=True)
class Places:
    """Where the results go.

    Attributes
    ----------
    product : Path or None
        The file of the product (``.fits`` may be left out); None: there is none.
    separate : bool
        A file for each image: OUT_sci.fits and so on.
    preview : bool
        A PNG beside the product.
    keep : Path or None
        Folder of intermediate products.
    overwrite : bool
        Whether older files may be replaced.
    """

    product: Path | None = None
    separate: bool = False
    preview: bool = True
    keep: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class DrizzlePlan:
    """What a drizzle is going to do.

    Attributes
    ----------
    final, comparison : OutputGrid or None
        Grids of the final image and of the comparison, where they are made.
    memory : MemoryPlan
    files : tuple of Path
        Of the product, without its preview.
    disk : int
        Bytes of these.
    notes : tuple of str
        What a user should know of the inputs: what was done to them, what the final image does not touch.
    """

    final: OutputGrid | None
    comparison: OutputGrid | None
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
    comparison : Comparison or None
    written : WrittenProduct or None
    preview : Path or None
    kept : tuple of Path
        Intermediate products.
    clock : Stopwatch
        Seconds by step.
    """

    exposures: tuple[Exposure, ...]
    comparison: Comparison | None
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
    """
    check_places(parameters, places)
    steps = choose_steps(parameters, len(opened.exposures), watched=places.keep is not None)
    comparison = comparison_grid(opened.chip_wcs, parameters) if steps.separate else None
    told = [*opened.notes, *([steps.note] if steps.note else [])]
    final = (
        final_grid(opened.chip_wcs, parameters.final, parameters.lookup_origin) if places.product else None
    )
    shapes = [[chip.shape for chip in exposure] for exposure in opened.exposures]
    errors = all(chip.pixels.error(0, 1) is not None for chips in opened.exposures for chip in chips)
    memory = plan_memory(
        shapes, parameters, comparison=comparison, final=final, threads=threads, errors=errors
    )
    if final is None or places.product is None:
        return DrizzlePlan(None, comparison, memory, (), 0, tuple(told))
    outside = _outside(opened, final, parameters)
    product = describe(opened, parameters, final, places.product.name)
    files = product_paths(places, product)
    _check_free(files, places, opened)
    disk = predicted_bytes(product, separate=places.separate)
    told += [f"{name} does not touch the output image" for name in outside]
    maps = [one.file.weight_map for one in opened.inputs if one.file.weight_map is not None]
    if maps and parameters.final.weight != "IVM":
        told.append(f"weight maps are not used: final.weight is {parameters.final.weight}, not IVM")
    return DrizzlePlan(final, comparison, memory, files, disk, tuple(told))


def check_places(parameters: DrizzleParameters, places: Places) -> None:
    """Refuse what can be seen without reading any pixel."""
    check_grid_parameters(parameters.final)
    if parameters.final.enabled != (places.product is not None):
        if parameters.final.enabled:
            raise UsageProblemError("no name for the product", "give -o OUT, or --set final.enabled=false")
        raise UsageProblemError("-o OUT without a final image", "leave out one of -o and final.enabled=false")
    if places.product is None and places.keep is None:
        raise UsageProblemError("nothing would be written", "give -o OUT, or --keep DIR for single steps")
    if places.product is not None:
        check_folder(places.product.absolute().parent)
    if (
        places.keep is not None
        and places.keep.is_dir()
        and any(places.keep.iterdir())
        and not places.overwrite
    ):
        raise RefusedError(f"the folder {places.keep} is not empty", "name another, or give --overwrite")


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not there or can't be written."""
    if not folder.is_dir():
        raise RefusedError(f"the folder {folder} is not there", f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RefusedError(f"the folder {folder} can't be written", "write to another folder")


def product_paths(places: Places, product: ProductDescription) -> tuple[Path, ...]:
    """Return the files of the product."""
    assert places.product is not None
    if places.separate:
        return separate_paths(places.product, product)
    name = places.product.name
    return (places.product if name.endswith(".fits") else places.product.with_name(f"{name}.fits"),)


def _check_free(files: Sequence[Path], places: Places, opened: OpenFiles) -> None:
    pictures = [files[0].with_suffix(".png")] if places.preview else []
    for path in (*files, *pictures):
        if any(same_file(path, one.file.path) for one in opened.inputs):
            raise RefusedError(f"{path} is an input", "give another -o")
        if path.is_dir():
            raise RefusedError(f"{path} is a folder", "give another -o")
        if path.exists() and not places.overwrite:
            raise RefusedError(f"{path} is there already", "give another -o, or --overwrite")


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
    """
    watcher = observer or Observer()
    if places.keep is None:
        return _run(opened, parameters, plan, places, threads, watcher, None)
    with told_where(places.keep):
        places.keep.mkdir(parents=True, exist_ok=True)
    with KeptImages(places.keep, opened.exposures, plan.comparison, watcher) as keeper:
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
        if keeper is not None:
            keeper.skies(exposures)
        comparison = None
        if plan.comparison is not None:
            comparison = compare_exposures(
                exposures,
                parameters,
                grid=plan.comparison,
                threads=threads,
                scratch=plan.files[0].absolute().parent if plan.files else places.keep,
                observer=observer,
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
    folder = final.absolute().parent
    assert places.product is not None
    with told_where(folder):
        writer = (
            SeparateWriter(places.product, product)
            if places.separate
            else ProductWriter(aside(final), product)
        )
        with writer:
            for band in bands:
                with clock.step("write"):
                    band = in_units(band, product.final, product.exposure_time)
                    writer.write(band.sci, band.wht, band.ctx, band.var)
            with clock.step("write"):
                written = writer.finish()
                if not places.separate:
                    os.replace(aside(final), final)
                sync_folder(folder)
        if not places.preview:
            return replace(written, path=final, paths=plan.files), None
        with clock.step("preview"):
            preview = _preview(final)
    return replace(written, path=final, paths=plan.files), preview


def _preview(final: Path) -> Path:
    picture = final.with_suffix(".png")
    try:
        write_preview(aside(picture), [binned_image(final)])
        os.replace(aside(picture), picture)
    finally:
        aside(picture).unlink(missing_ok=True)
    return picture


def check_room(plan: DrizzlePlan, places: Places) -> None:
    """Refuse work for whose product or scratch file the disk has no room.

    Raises
    ------
    TooLargeError
    """
    folder = plan.files[0].absolute().parent if plan.files else places.keep
    needed = plan.disk + plan.memory.scratch
    if folder is None or not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TooLargeError(
            f"{folder} has {shown_size(free)} free, {shown_size(needed)} are needed",
            "free space, or write to another disk",
        )
