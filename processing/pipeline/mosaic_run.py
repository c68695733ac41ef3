"""What the mosaic commands share: the run, its locks, pending products, masks, limits, the report."""

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.locks import advisory_lock
from hapctl.archive.policies import ensure_policy, policy_in_force
from hapctl.archive.products import EligibleExposure, MaskRow, eligible_exposures
from hapctl.archive.runs import Run, recorded_run
from hapctl.processing.errors import NothingLeftError, TooLargeError, UsageProblemError
from hapctl.processing.pipeline.build_product import (
    ProductResult,
    Workshop,
    make_or_keep,
    reasons_to_make,
    result_of,
    software_name,
)
from hapctl.processing.pipeline.masks import ensure_masks, found_masks, mask_groups
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.planned import (
    MosaicOptions,
    PlannedProduct,
    policy_content,
    predicted_memory,
)
from hapctl.processing.pipeline.publish import Settled, settle_pending
from hapctl.processing.pipeline.retire import retire_left_behind

POLICY_NAME = "hap"


@dataclass(frozen=True)
class Target:
    """What is asked for: a visit or a tile, its lock, its parameters, and how its products are planned."""

    kind: str
    name: str
    parameters: Mapping[str, Any]
    plan: Callable[[OpenExposures], list[PlannedProduct]]


@dataclass(frozen=True)
class MosaicReport:
    """What a mosaic command did.

    Attributes
    ----------
    products : tuple of ProductResult
    run : int or None
        Number of the run; None for a plan.
    masks_to_make : tuple of str
        Of a plan: exposures whose masks are to be made.
    settled : Settled
        What became of products left pending by killed runs.
    """

    products: tuple[ProductResult, ...]
    run: int | None = None
    masks_to_make: tuple[str, ...] = ()
    settled: Settled = field(default_factory=Settled)


def run_mosaic(
    catalog: Catalog, target: Target, options: MosaicOptions, *, dry_run: bool, arguments: Sequence[str]
) -> MosaicReport:
    """Plan, and unless it is a dry run make, the products of a target."""
    if dry_run:
        with OpenExposures(catalog, options.origin) as opened:
            return _plan(opened, target, options)
    parameters = {**target.parameters, **options.as_parameters()}
    with (
        recorded_run(catalog, "mosaic", parameters, arguments) as run,
        OpenExposures(catalog, options.origin) as opened,
    ):
        settled = settle_pending(catalog, run)
        with advisory_lock(run, target.kind, target.name), _full_disk_told():
            report = _make(run, opened, target, options, settled)
        run.summary |= _figures(report)
    return report


@contextmanager
def _full_disk_told() -> Iterator[None]:
    """Turn a disk that fills up under masks, products or previews into an error with its remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TooLargeError(
            f"the disk is full{f': {error.filename}' if error.filename else ''}",
            "free space, or give another --output, then run the same command again",
        ) from error


def _figures(report: MosaicReport) -> dict[str, Any]:
    statuses = [product.status for product in report.products]
    return {status: statuses.count(status) for status in ("made", "unchanged", "retired")}


def _make(
    run: Run, opened: OpenExposures, target: Target, options: MosaicOptions, settled: Settled
) -> MosaicReport:
    try:
        planned = target.plan(opened)
        made = _made(run, opened, planned, options)
    except NothingLeftError:
        retired = _left_behind(opened.catalog, run.id, target, (), options)
        if not retired:
            raise
        return MosaicReport(tuple(retired), run.id, (), settled)
    retired = _left_behind(opened.catalog, run.id, target, planned, options)
    return MosaicReport((*made, *retired), run.id, (), settled)


def _left_behind(
    catalog: Catalog,
    run_id: int | None,
    target: Target,
    planned: Sequence[PlannedProduct],
    options: MosaicOptions,
) -> list[ProductResult]:
    with catalog.begin() as connection:
        return retire_left_behind(connection, run_id, target.parameters, planned, options)


def _made(
    run: Run, opened: OpenExposures, planned: Sequence[PlannedProduct], options: MosaicOptions
) -> list[ProductResult]:
    catalog = opened.catalog
    _check_limits(opened, planned, options)
    _check_folder(options.output)
    with catalog.begin() as connection:
        content = policy_content(software_name())
        policy_id = ensure_policy(connection, run.id, "products", POLICY_NAME, content)
    masks = _masks(run, opened, planned, options)
    shop = Workshop(catalog, run, opened, options, masks, policy_id)
    return [make_or_keep(shop, one, _colours(one, planned, options)) for one in planned]


def _masks(
    run: Run, opened: OpenExposures, planned: Sequence[PlannedProduct], options: MosaicOptions
) -> dict[str, MaskRow]:
    """Make the masks of all visits whose exposures go in; their locks are held while they are made."""
    masks: dict[str, MaskRow] = {}
    for visit in _visits(planned):
        with ExitStack() as locks:
            locks.enter_context(advisory_lock(run, "visit", visit))
            with opened.catalog.begin() as connection:
                exposures = eligible_exposures(connection, visit=visit)
            masks |= ensure_masks(
                opened.catalog, run, opened, exposures, home=options.home, threads=options.threads
            )
    return masks


def _visits(planned: Sequence[PlannedProduct]) -> list[str]:
    return sorted({exposure.visit for one in planned for exposure in one.exposures})


def _plan(opened: OpenExposures, target: Target, options: MosaicOptions) -> MosaicReport:
    try:
        planned = target.plan(opened)
    except NothingLeftError:
        to_retire = _left_behind(opened.catalog, None, target, (), options)
        if not to_retire:
            raise
        return MosaicReport(tuple(to_retire))
    results, to_make = _planned_results(opened, planned, options)
    to_retire = _left_behind(opened.catalog, None, target, planned, options)
    return MosaicReport((*results, *to_retire), masks_to_make=tuple(sorted(to_make)))


def _planned_results(
    opened: OpenExposures, planned: Sequence[PlannedProduct], options: MosaicOptions
) -> tuple[list[ProductResult], set[str]]:
    catalog = opened.catalog
    known, to_make = _known_masks(opened, planned, options)
    with catalog.begin() as connection:
        policy_id = policy_in_force(connection, "products", POLICY_NAME, policy_content(software_name()))
    results = []
    for one in planned:
        missing = one.masked and any(exposure.rootname in to_make for exposure in one.exposures)
        masks = {
            exposure.rootname: known[exposure.rootname]
            for exposure in one.exposures
            if exposure.rootname in known
        }
        why, current = reasons_to_make(catalog, one, options, None if missing else masks, policy_id)
        shapes = [chip.shape for chip in opened.chip_wcs(one.exposures)]
        results.append(
            result_of(
                one,
                options,
                "to make" if why else "unchanged",
                why,
                current.product_id if current else None,
                None,
                bytes=one.file_bytes(len(shapes)) if why else 0,
                memory_bytes=predicted_memory(one, shapes, options),
            )
        )
    return results, to_make


def _known_masks(
    opened: OpenExposures, planned: Sequence[PlannedProduct], options: MosaicOptions
) -> tuple[dict[str, str], set[str]]:
    """Return the SHA-256 of the masks that exist, and the exposures whose masks are to be made."""
    exposures: list[EligibleExposure] = []
    for visit in _visits(planned):
        with opened.catalog.begin() as connection:
            exposures += eligible_exposures(connection, visit=visit)
    known: dict[str, str] = {}
    to_make: set[str] = set()
    for group in mask_groups(exposures, options.origin):
        found = found_masks(opened.catalog, group, options.home)
        known |= {name: row.sha256 for name, row in found.items()}
        to_make |= {exposure.rootname for exposure in group.exposures} - set(found)
    return known, to_make


def _check_limits(opened: OpenExposures, planned: Sequence[PlannedProduct], options: MosaicOptions) -> None:
    for one in planned:
        shapes = [chip.shape for chip in opened.chip_wcs(one.exposures)]
        needed = predicted_memory(one, shapes, options)
        if needed > options.memory_limit:
            raise TooLargeError(
                f"{one.name} would need {needed / 1e6:.0f} MB of memory, {options.memory_limit / 1e6:.0f} MB "
                "are allowed",
                "give a larger --max-memory or fewer --threads",
            )


def _check_folder(folder: Path) -> None:
    """Meet a folder that can't be written before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UsageProblemError(
            f"{folder}: products can't be written there: {error.strerror}",
            "give another --output, or make the folder writable",
        ) from error


def _colours(one: PlannedProduct, planned: Sequence[PlannedProduct], options: MosaicOptions) -> list[Path]:
    """Return the filter products a total is shown in colour from, short wavelengths first."""
    if one.kind != "total":
        return []
    shown = {exposure.filter for exposure in one.exposures}
    filters = [
        other
        for other in planned
        if other.kind == "filter" and other.detector == one.detector and other.filter in shown
    ]
    filters.sort(key=lambda other: _wavelength(other.filter))
    return [options.output / other.name for other in filters]


def _wavelength(filter_name: str) -> float:
    """Return what orders filters by colour: the number in their name (``f606w``), in nm; IR counts by ten."""
    number = re.search(r"(\d{3})", filter_name)
    value = float(number.group(1)) if number else 0.0
    return value * 10.0 if 0.0 < value < 190.0 else value
