"""`product rebuild`: a product made again as it was, and proven to be the same by the checksum of its pixels.

Everything comes from what was recorded with it: file contents (wherever they lie now), WCS solutions and
masks (whatever is in force now), parameters, grid. A mask whose file is gone is made again from its own
record first. Nothing is kept of a product whose pixels turn out to be others.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from hapctl.archive.database import Catalog
from hapctl.archive.locks import advisory_lock
from hapctl.archive.products import MaskRow, NewFile, NewProduct
from hapctl.archive.recorded_products import (
    RecordedMask,
    RecordedProduct,
    product_number,
    recorded_masks,
    recorded_product,
)
from hapctl.archive.runs import Run, recorded_run
from hapctl.processing.errors import RefusedError, UsageProblemError
from hapctl.processing.imaging.durable import sync_folder
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.product_file import aside, file_sha256
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.pipeline.build_product import written_aside
from hapctl.processing.pipeline.finishing import whole
from hapctl.processing.pipeline.masks import MaskGroup, make_masks_of, memory_of_group
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.planned import MosaicOptions, PlannedProduct, memory_of_product
from hapctl.processing.pipeline.publish import publish, settle_pending
from hapctl.processing.pipeline.recorded_plan import (
    check_inputs,
    check_rebuildable,
    input_exposures,
    recorded_group,
    recorded_plan,
)
from hapctl.processing.pipeline.wcs_policy import WcsPolicy
from hapctl.processing.pipeline.workshop import Workshop

ASIDE = "rebuilt"
"""Folder beside a product into which it is rebuilt, where no other is given."""


@dataclass(frozen=True)
class RebuildReport:
    """What a rebuild did.

    Attributes
    ----------
    product_id : int
        Of the product that was rebuilt.
    name : str
    path : Path
        The file.
    pixels_sha256 : str
        Of the pixels: that of the product, proven.
    status : {"rebuilt", "replaced", "intact"}
        Written aside; put back into its place; its file was as it should be, and nothing was done.
    masks_made : tuple of str
        Exposures whose masks were made again.
    run : int
    new_product_id : int or None
        Of the row under which a replaced product is in force now.
    """

    product_id: int
    name: str
    path: Path
    pixels_sha256: str
    status: Literal["rebuilt", "replaced", "intact"]
    masks_made: tuple[str, ...] = ()
    run: int = 0
    new_product_id: int | None = None


@dataclass(frozen=True)
class _Rebuild:
    """What the steps of a rebuild share."""

    catalog: Catalog
    run: Run
    opened: OpenExposures
    product: RecordedProduct
    options: MosaicOptions
    observer: Observer
    clock: Stopwatch


def rebuild_product(
    catalog: Catalog,
    name: str,
    options: MosaicOptions,
    *,
    output: Path | None = None,
    replace_file: bool = False,
    arguments: Sequence[str] = (),
    observer: Observer | None = None,
) -> RebuildReport:
    """Make a product again as it was.

    Parameters
    ----------
    catalog : Catalog
    name : str
        Number of a product, in force or of the past; or file name or path of one in force.
    options : MosaicOptions
        Only what is of this machine counts: home, threads, memory. All else is as recorded.
    output : Path, optional
        Folder to write to; by default ``rebuilt`` in the product's own folder.
    replace_file : bool
        Put it back into its place, where the file in force is missing or damaged.
    arguments : sequence of str
        The command line, for the run.
    observer : Observer, optional

    Returns
    -------
    RebuildReport

    Raises
    ------
    NotInCatalogError
        There is no such product.
    RefusedError
        The software is another, an input is gone or damaged, or the pixels came out other than recorded:
        then nothing is kept.
    TooLargeError
        More memory or disk would be needed than allowed.
    """
    with catalog.begin() as connection:
        product = recorded_product(connection, product_number(connection, name))
    check_rebuildable(product)
    if replace_file and output is not None:
        raise UsageProblemError("a product is put back into its own place", "leave out --output")
    if replace_file and not product.in_force:
        raise RefusedError(
            f"product {product.product_id} ({product.name}) is not in force: its place is another's",
            "rebuild it aside, without --replace",
        )
    folder = Path(product.folder) if replace_file else output or Path(product.folder) / ASIDE
    parameters = {"product_id": product.product_id, "output": str(folder), "replace": replace_file}
    with (
        recorded_run(catalog, "product rebuild", parameters, arguments) as run,
        OpenExposures(catalog, product.parameters["lookup_origin"]) as opened,
        advisory_lock(run, "product", f"{folder / product.name}"),
    ):
        settle_pending(catalog, run)
        asked = _as_asked(options, folder, product)
        work = _Rebuild(run=run, catalog=catalog, opened=opened, product=product, options=asked,
                        observer=observer or Observer(), clock=Stopwatch())  # fmt: skip
        report = _intact(work) if replace_file and _is_intact(product.files) else _rebuilt(work, replace_file)
        run.summary |= {
            "status": report.status,
            "path": str(report.path),
            "pixels_sha256": report.pixels_sha256,
        }
    return report


def _as_asked(options: MosaicOptions, folder: Path, product: RecordedProduct) -> MosaicOptions:
    asked = options.with_request(folder, product.request)
    policy = cast(WcsPolicy, product.wcs_policy)  # what was made here has one
    return replace(asked, wcs_policy=policy, origin=product.parameters["lookup_origin"])


def _is_intact(files: Sequence[NewFile]) -> bool:
    """Say whether all files of a product lie in their places as they were written."""
    return all(
        Path(file.path).is_file()
        and Path(file.path).stat().st_size == file.size_bytes
        and file_sha256(Path(file.path)) == file.sha256
        for file in files
    )


def _intact(work: _Rebuild) -> RebuildReport:
    product = work.product
    path = work.options.output / product.name
    return RebuildReport(
        product.product_id, product.name, path, product.pixels_sha256, "intact", run=work.run.id
    )


def _rebuilt(work: _Rebuild, replace_file: bool) -> RebuildReport:
    product, planned = work.product, recorded_plan(work.product)
    _make_folder(work.options.output)
    masks, made = _masks(work, planned)
    shop = Workshop(
        work.catalog,
        work.run,
        work.opened,
        work.options,
        masks,
        product.policy_id or 0,
        work.observer,
        work.clock,
    )
    used = {name: mask.sha256 for name, mask in masks.items()}
    row = whole(written_aside(shop, planned, used, ()))
    if row.pixels_sha256 != product.pixels_sha256:
        for file in row.files:
            aside(Path(file.path)).unlink(missing_ok=True)
        raise RefusedError(
            f"product {product.product_id} ({product.name}) came out with other pixels: "
            f"{row.pixels_sha256[:16]} in place of {product.pixels_sha256[:16]}; it is not kept",
            "report it, with both runs ('hapctl product show')",
        )
    path = work.options.output / product.name
    report = RebuildReport(
        product.product_id, product.name, path, row.pixels_sha256, "rebuilt", made, work.run.id
    )
    if not replace_file:
        _keep_aside(row.files)
        return report
    new_id = publish(work.catalog, work.run, _as_recorded(row, product))
    return replace(report, status="replaced", new_product_id=new_id)


def _as_recorded(row: NewProduct, product: RecordedProduct) -> NewProduct:
    """Return the row of the rebuilt product: all but its files and its run is that of the old one."""
    return replace(
        row,
        grid=product.grid,
        inputs_sha256=product.inputs_sha256,
        parameters=product.parameters,
        parameters_sha256=product.parameters_sha256,
        request=product.request,
    )


def _keep_aside(files: Sequence[NewFile]) -> None:
    for file in files:
        os.replace(aside(Path(file.path)), file.path)
    for folder in {Path(file.path).parent for file in files}:
        sync_folder(folder)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageProblemError(
            f"{folder}: products can't be written there: {error.strerror}", "give another --output"
        ) from error


def _masks(work: _Rebuild, planned: PlannedProduct) -> tuple[dict[str, MaskRow], tuple[str, ...]]:
    """Return the recorded masks, made again where their files are gone, and whose those are."""
    wanted = [one.mask_id for one in planned.exposures if one.mask_id is not None]
    with work.catalog.begin() as connection:
        masks = recorded_masks(connection, wanted)
    lost = [mask for mask in masks if not _has_file(mask, work.options.home)]
    groups = {
        (mask.inputs_sha256, mask.parameters_sha256): recorded_group(work.catalog, mask) for mask in lost
    }
    check_inputs(work.product, input_exposures(work.product, tuple(groups.values())))
    _check_memory(work, planned, tuple(groups.values()))
    for key, group in groups.items():
        _make_again(
            work, group, [mask for mask in lost if (mask.inputs_sha256, mask.parameters_sha256) == key]
        )
    rows = {mask.rootname: _row(mask) for mask in masks}
    return rows, tuple(mask.rootname for mask in lost)


def _row(mask: RecordedMask) -> MaskRow:
    return MaskRow(mask.mask_id, mask.path, mask.sha256, mask.n_flagged, mask.run_id)


def _has_file(mask: RecordedMask, home: Path) -> bool:
    path = home / mask.path
    return path.is_file() and file_sha256(path) == mask.sha256


def _check_memory(work: _Rebuild, planned: PlannedProduct, groups: Sequence[MaskGroup]) -> None:
    free = shutil.disk_usage(work.options.output).free
    plan = memory_of_product(planned, work.opened.shapes(planned.exposures), work.options)
    plan.check(work.options.memory_limit, planned.name, free)
    for group in groups:
        memory_of_group(work.opened, group, work.options).check(work.options.memory_limit, group.name, free)


def _make_again(work: _Rebuild, group: MaskGroup, lost: Sequence[RecordedMask]) -> None:
    """Write the masks that are gone, each proven to be the one recorded."""
    paths: Mapping[str, Path] = {mask.rootname: work.options.home / mask.path for mask in lost}
    make_masks_of(work.opened, group, work.options, paths, observer=work.observer, clock=work.clock)
    try:
        for mask in lost:
            found = file_sha256(aside(paths[mask.rootname]))
            if found != mask.sha256:
                raise RefusedError(
                    f"the mask of {mask.rootname} (mask {mask.mask_id}) is gone, and came out otherwise: "
                    f"{found[:16]} in place of {mask.sha256[:16]}",
                    f"bring {mask.path} back",
                )
        for path in paths.values():
            os.replace(aside(path), path)
            sync_folder(path.parent)
    finally:
        for path in paths.values():
            aside(path).unlink(missing_ok=True)


def as_document(report: RebuildReport) -> dict[str, Any]:
    """Return a report as plain data."""
    return {**vars(report), "path": str(report.path), "masks_made": list(report.masks_made)}
