"""What the mosaic commands share: the run, its locks, pending products, masks, limits, the report."""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.locks import advisory_lock
from hapctl.archive.products import EligibleExposure, MaskRow, eligible_exposures
from hapctl.archive.runs import Run, recorded_run
from hapctl.processing.errors import NothingLeftError, TooLargeError, UsageProblemError
from hapctl.processing.imaging.memory_plan import MemoryPlan
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.stopwatch import StepSeconds, Stopwatch
from hapctl.processing.pipeline.build_product import (
    ProductResult,
    input_pixels,
    make_products,
    reasons_to_make,
    result_of,
)
from hapctl.processing.pipeline.masks import (
    ensure_masks,
    found_masks,
    mask_groups,
    memory_of_group,
    recorded_masks,
)
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.pace import Pace
from hapctl.processing.pipeline.pictures import PictureResult, filters_of_total, make_pictures
from hapctl.processing.pipeline.planned import (
    MosaicOptions,
    PlannedProduct,
    memory_of_product,
)
from hapctl.processing.pipeline.product_policies import RulesInForce, ensure_rules, rules_in_force
from hapctl.processing.pipeline.publish import Settled, settle_pending
from hapctl.processing.pipeline.retire import retire_left_behind
from hapctl.processing.pipeline.trailers import write_logs
from hapctl.processing.pipeline.workshop import Workshop

_OTHERS_MASKS_SECONDS = 3600.0
"""How long to wait for another run that makes the masks of a visit: tiles at work at once share visits."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """What is asked for: a visit or a tile, its lock, its parameters, and how its products are planned.

    ``plan`` is given the open exposures, and the options with the rules of products in force.
    """

    kind: str
    name: str
    parameters: Mapping[str, Any]
    plan: Callable[[OpenExposures, MosaicOptions], list[PlannedProduct]]


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
    seconds : mapping of str to StepSeconds
        What each step took.
    masks_made : tuple of str
        Exposures whose masks were made.
    mask_seconds : StepSeconds
        What finding and making masks took, with all threads; the steps of `seconds` count it, too.
    pictures : tuple of PictureResult
        The colour pictures beside the products.
    """

    products: tuple[ProductResult, ...]
    run: int | None = None
    masks_to_make: tuple[str, ...] = ()
    settled: Settled = field(default_factory=Settled)
    seconds: Mapping[str, StepSeconds] = field(default_factory=dict)
    masks_made: tuple[str, ...] = ()
    mask_seconds: StepSeconds = field(default_factory=StepSeconds)
    pictures: tuple[PictureResult, ...] = ()


@dataclass
class _MasksMade:
    """Whose masks a run made, and what that took."""

    names: tuple[str, ...] = ()
    clock: Stopwatch = field(default_factory=Stopwatch)


@dataclass(frozen=True)
class _Work:
    """What making products shares: the run, open exposures, target, options, and who watches."""

    run: Run
    opened: OpenExposures
    target: Target
    options: MosaicOptions
    policy: RulesInForce
    observer: Observer
    clock: Stopwatch
    pace: Pace
    masking: _MasksMade = field(default_factory=_MasksMade)


def run_mosaic(
    catalog: Catalog,
    target: Target,
    options: MosaicOptions,
    *,
    dry_run: bool,
    arguments: Sequence[str],
    observer: Observer | None = None,
) -> MosaicReport:
    """Plan, and unless it is a dry run make, the products of a target."""
    if dry_run:
        with OpenExposures(catalog, options.origin) as opened:
            with catalog.begin() as connection:
                policy = rules_in_force(connection)
            return _plan(opened, target, replace(options, rules=policy.rules))
    parameters = {**target.parameters, **options.as_parameters()}
    with (
        recorded_run(catalog, "mosaic", parameters, arguments) as run,
        OpenExposures(catalog, options.origin) as opened,
    ):
        settled = settle_pending(catalog, run)
        with catalog.begin() as connection:
            policy = ensure_rules(connection, run.id)
        options = replace(options, rules=policy.rules)
        work = _Work(run, opened, target, options, policy, observer or Observer(), Stopwatch(), Pace())
        with advisory_lock(run, target.kind, target.name), _full_disk_told():
            report = replace(_make(work), run=run.id, settled=settled, **_seconds(work))
        run.summary |= _figures(report, work.pace)
    with _full_disk_told():  # only now the run has its figures
        write_logs(catalog, options.output, report.products, target.parameters)
    return report


def _seconds(work: _Work) -> dict[str, Any]:
    spent = work.masking.clock.seconds().get("masks", StepSeconds())
    return {"seconds": work.clock.seconds(), "masks_made": work.masking.names, "mask_seconds": spent}


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


def _figures(report: MosaicReport, pace: Pace) -> dict[str, Any]:
    statuses = [product.status for product in report.products]
    counts = {status: statuses.count(status) for status in ("made", "unchanged", "retired")}
    profile = {step: asdict(seconds) for step, seconds in report.seconds.items()}
    figures = {**counts, "parameters": parameters_of(report.products)}
    pictures = [one for one in report.pictures if one.status == "made"]
    if pictures:
        figures["pictures"] = [{"path": str(one.path), "products": list(one.products)} for one in pictures]
    if pace.figures():
        figures["pace"] = pace.figures()
    return {**figures, "profile": profile} if profile else figures


def parameters_of(products: Sequence[ProductResult]) -> list[dict[str, Any]]:
    """Return all parameters of products, by step; products of the same parameters share an entry."""
    found: list[dict[str, Any]] = []
    for product in products:
        same = next((one for one in found if one["drizzle"] == product.drizzle), None)
        if same is not None:
            same["products"].append(product.name)
        elif product.drizzle:
            found.append({"products": [product.name], "drizzle": product.drizzle})
    return found


def _make(work: _Work) -> MosaicReport:
    target, options = work.target, work.options
    try:
        planned = target.plan(work.opened, options)
        made, pictures = _made(work, planned)
    except NothingLeftError:
        retired = _left_behind(work.opened.catalog, work.run.id, target, (), options)
        if not retired:
            raise
        return MosaicReport(tuple(retired))
    retired = _left_behind(work.opened.catalog, work.run.id, target, planned, options)
    return MosaicReport((*made, *retired), pictures=pictures)


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
    work: _Work, planned: Sequence[PlannedProduct]
) -> tuple[list[ProductResult], tuple[PictureResult, ...]]:
    catalog, options = work.opened.catalog, work.options
    _check_folder(options.output)
    _check_limits(work.opened, planned, options)
    policy_id = work.policy.policy_id
    with work.masking.clock.step("masks", with_threads=True):
        masks = _masks(work, planned)
    work.masking.names = tuple(sorted(name for name, row in masks.items() if row.run_id == work.run.id))
    shop = Workshop(catalog, work.run, work.opened, options, masks, policy_id, work.observer, work.clock)
    colours = [filters_of_total(one, planned, options.output) for one in planned]
    made = make_products(shop, planned, colours, work.pace)
    return made, make_pictures(planned, made, options.output, work.clock)


def _masks(work: _Work, planned: Sequence[PlannedProduct]) -> dict[str, MaskRow]:
    """Make the masks of all visits whose exposures go in; their locks are held while they are made."""
    masks: dict[str, MaskRow] = {}
    for visit in _visits(planned):
        with advisory_lock(work.run, "visit", visit, _OTHERS_MASKS_SECONDS, logger.warning):
            with work.opened.catalog.begin() as connection:
                exposures = eligible_exposures(connection, visit=visit)
            masks |= ensure_masks(
                work.run,
                work.opened,
                exposures,
                work.options,
                observer=work.observer,
                clock=work.clock,
                pace=work.pace,
            )
    return masks


def _visits(planned: Sequence[PlannedProduct]) -> list[str]:
    return sorted({exposure.visit for one in planned for exposure in one.exposures})


def _plan(opened: OpenExposures, target: Target, options: MosaicOptions) -> MosaicReport:
    try:
        planned = target.plan(opened, options)
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
) -> tuple[list[ProductResult], dict[str, MemoryPlan]]:
    catalog = opened.catalog
    known, to_make = _known_masks(opened, planned, options)
    results = []
    for one in planned:
        needed = [to_make[name.rootname] for name in one.exposures if name.rootname in to_make]
        missing = one.masked and any(
            name.rootname in to_make and name.rootname not in known for name in one.exposures
        )
        masks = {
            exposure.rootname: known[exposure.rootname]
            for exposure in one.exposures
            if exposure.rootname in known
        }
        why, current = reasons_to_make(catalog, one, options, None if missing else masks)
        shapes = opened.shapes(one.exposures)
        plan = memory_of_product(one, shapes, options)
        results.append(
            result_of(
                one,
                options,
                "to make" if why else "unchanged",
                why,
                current.product_id if current else None,
                None,
                bytes=one.file_bytes(sum(map(len, shapes)), options.compress) if why else 0,
                memory_bytes=max([plan.peak, *(part.peak for part in needed if one.masked)]),
                scratch_bytes=max([plan.scratch, *(part.scratch for part in needed if one.masked)]),
                input_pixels=input_pixels(shapes),
            )
        )
    return results, to_make


def _known_masks(
    opened: OpenExposures, planned: Sequence[PlannedProduct], options: MosaicOptions
) -> tuple[dict[str, str], dict[str, MemoryPlan]]:
    """Return the SHA-256 of masks that were ever made, and the memory that making those needs that are gone.

    Whose file alone was lost will be what it was: what it is used by is no reason to make that again.
    """
    exposures: list[EligibleExposure] = []
    for visit in _visits(planned):
        with opened.catalog.begin() as connection:
            exposures += eligible_exposures(connection, visit=visit)
    known: dict[str, str] = {}
    to_make: dict[str, MemoryPlan] = {}
    for group in mask_groups(exposures, options):
        found = found_masks(opened.catalog, group, options.home)
        known |= {name: row.sha256 for name, row in recorded_masks(opened.catalog, group).items()}
        if len(found) < len(group.exposures):
            needed = memory_of_group(opened, group, options)
            to_make |= {one.rootname: needed for one in group.exposures if one.rootname not in found}
    return known, to_make


def _check_limits(opened: OpenExposures, planned: Sequence[PlannedProduct], options: MosaicOptions) -> None:
    """Refuse before the start what needs too much: products, and masks still to be made."""
    free = shutil.disk_usage(options.output).free
    _check_room(opened, planned, options, free)
    plans = [(memory_of_product(one, opened.shapes(one.exposures), options), one.name) for one in planned]
    for visit in _visits(planned):
        with opened.catalog.begin() as connection:
            exposures = eligible_exposures(connection, visit=visit)
        plans += [
            (memory_of_group(opened, group, options), group.name)
            for group in mask_groups(exposures, options)
            if len(found_masks(opened.catalog, group, options.home)) < len(group.exposures)
        ]
    for plan, name in plans:
        plan.check(options.memory_limit, name, free)


def _check_room(
    opened: OpenExposures, planned: Sequence[PlannedProduct], options: MosaicOptions, free: int
) -> None:
    """Refuse products whose files the disk has no room for.

    One that stands already is written aside at most once at a time, and may be current after all.
    """
    sizes = {
        one.name: one.file_bytes(sum(map(len, opened.shapes(one.exposures))), options.compress)
        for one in planned
    }
    new = {name: size for name, size in sizes.items() if not (options.output / name).exists()}
    again = max((size for name, size in sizes.items() if name not in new), default=0)
    needed = sum(new.values())
    if needed and needed + again > free:
        raise TooLargeError(
            f"{len(new)} products would need {(needed + again) / 1e9:.2f} GB of disk, "
            f"{free / 1e9:.2f} GB are free in {options.output}",
            "free space, give another --output, --compress, or ask for less",
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
