"""What a worker does for a unit: the functions of the commands, called by the name of the action.

`mosaic_unit`, `field_unit`, `align_unit`, `process_unit` and `ingest_units` make the units; `do_unit` does
one, and makes an outcome of every error. The commands are imported when they are needed: a worker that makes
mosaics does not load what alignment needs.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hapctl.archive.batches import UnitEnding
from hapctl.archive.database import Catalog
from hapctl.archive.errors import ArchiveError
from hapctl.archive.memory import PeakMemory
from hapctl.processing.errors import ProcessingError
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.pipeline.units import UnitOutcome, UnitStatus, WorkUnit

if TYPE_CHECKING:
    from hapctl.processing.pipeline.align_run import AlignOptions, TargetResult
    from hapctl.processing.pipeline.alignment_targets import Target
    from hapctl.processing.pipeline.field_grid import Field
    from hapctl.processing.pipeline.ingest_files import IngestRequest
    from hapctl.processing.pipeline.mosaic_run import MosaicReport
    from hapctl.processing.pipeline.planned import MosaicOptions
    from hapctl.processing.pipeline.process_visit import ProcessOptions, VisitReport

Action = Callable[[Catalog, WorkUnit, Observer], UnitOutcome]

FILES_TOGETHER = 50
"""Exposures that a worker ingests at a time."""

_REFUSALS = (1, 65)
"""Exit codes of what science or policy refuses: another try would end in the same way."""

logger = logging.getLogger(__name__)


def with_arguments(unit: WorkUnit, arguments: Sequence[str]) -> WorkUnit:
    """Return a unit whose runs keep the command line."""
    return replace(unit, options={"arguments": tuple(arguments), **unit.options})


def mosaic_unit(kind: str, name: str, options: "MosaicOptions", after: Iterable[str] = ()) -> WorkUnit:
    """Return the unit ``mosaic visit NAME`` or ``mosaic tile NAME``.

    Parameters
    ----------
    kind : {"visit", "tile"}
    name : str
    options : MosaicOptions
    after : iterable of str
        Names of units that must have ended well before.
    """
    return WorkUnit(f"mosaic {kind} {name}", "mosaic", {kind: name}, {"mosaic": options}, tuple(after))


def field_unit(field: "Field", options: "MosaicOptions", after: Iterable[str] = ()) -> WorkUnit:
    """Return the unit that makes the mosaics of a field, ``mosaic field NAME`` or its centre."""
    name = field.name or f"{field.ra:.5f} {field.dec:.5f}"
    chosen = {"mosaic": options, "field": field}
    return WorkUnit(f"mosaic field {name}", "mosaic", {"field": name}, chosen, tuple(after))


def ingest_units(
    run_id: int, groups: Iterable[Sequence["IngestRequest"]], *, verify: bool = False
) -> Iterator[WorkUnit]:
    """Yield units that ingest groups of files under a run, `FILES_TOGETHER` groups each."""
    known = list(groups)
    for number, first in enumerate(range(0, len(known), FILES_TOGETHER)):
        requests = [request for group in known[first : first + FILES_TOGETHER] for request in group]
        target = {"files": [request.path for request in requests]}
        options = {"run": run_id, "requests": requests, "verify": verify}
        yield WorkUnit(f"ingest {number + 1}: {requests[0].path} ...", "ingest", target, options)


def align_unit(target: "Target", options: "AlignOptions", after: Iterable[str] = ()) -> WorkUnit:
    """Return the unit that aligns a target, such as ``align visit j8bt06``."""
    name = f"align {target.scope} {target.name}"
    return WorkUnit(name, "align", {target.scope: target.name}, {"align": options}, tuple(after))


def process_unit(visit: str, options: "ProcessOptions", arguments: Iterable[str] = ()) -> WorkUnit:
    """Return the unit that brings a visit from exposures to products, ``process visit j8bt06``."""
    asked = {"process": options, "arguments": tuple(arguments)}
    return WorkUnit(f"process visit {visit}", "process", {"visit": visit}, asked)


def do_unit(
    catalog: Catalog, unit: WorkUnit, observer: Observer | None = None, action: Action | None = None
) -> UnitOutcome:
    """Do a unit in this process; what goes wrong is an outcome, but for an interruption.

    Parameters
    ----------
    catalog : Catalog
    unit : WorkUnit
    observer : Observer, optional
        Told of the progress within the unit.
    action : callable, optional
        What is done; by default that of `ACTIONS` under the name of the unit's action.

    Returns
    -------
    UnitOutcome
        With seconds and peak memory.
    """
    start = time.monotonic()
    with PeakMemory() as memory:
        outcome = _tried(action or ACTIONS[unit.action], catalog, unit, observer or Observer())
    return replace(outcome, seconds=time.monotonic() - start, peak_bytes=memory.peak_bytes)


def _tried(action: Action, catalog: Catalog, unit: WorkUnit, observer: Observer) -> UnitOutcome:
    try:
        return action(catalog, unit, observer)
    except (ArchiveError, ProcessingError) as error:
        return failure(unit, error.exit_code, error.message, error.remedy)
    except Exception as error:
        logger.debug("%s", unit.name, exc_info=error)
        message = " ".join(f"internal error: {type(error).__name__}: {error}".split())
        return failure(unit, 70, message, "do this unit alone with HAPCTL_DEBUG=1 and report what it shows")


def failure(unit: WorkUnit, exit_code: int, message: str, remedy: str) -> UnitOutcome:
    """Return the outcome of a unit that raised: ``refused`` by science or policy, else ``failed``."""
    status: UnitStatus = "refused" if exit_code in _REFUSALS else "failed"
    return UnitOutcome(unit.name, status, exit_code, message, remedy)


def ending_of(outcome: UnitOutcome, batch_id: int, number: int) -> UnitEnding:
    """Return what the catalog keeps of an outcome."""
    return UnitEnding(
        batch_id,
        number,
        outcome.status,
        outcome.exit_code,
        outcome.message,
        outcome.remedy,
        outcome.seconds,
        outcome.peak_bytes,
    )


def _mosaic(catalog: Catalog, unit: WorkUnit, observer: Observer) -> UnitOutcome:
    report = mosaic_of(catalog, unit, dry_run=False, observer=observer)
    changed = any(product.status != "unchanged" for product in report.products)
    runs = () if report.run is None else (report.run,)
    return UnitOutcome(unit.name, "done" if changed else "unchanged", runs=runs, result=report)


def mosaic_of(
    catalog: Catalog, unit: WorkUnit, *, dry_run: bool, observer: Observer | None = None
) -> "MosaicReport":
    """Make, or only plan, the products of a unit of action mosaic."""
    options: MosaicOptions = unit.options["mosaic"]
    arguments = unit.options.get("arguments", ())
    ((kind, name),) = unit.target.items()
    if kind == "field":
        from hapctl.processing.pipeline.mosaic_field import mosaic_field

        field: Field = unit.options["field"]
        return mosaic_field(catalog, field, options, dry_run=dry_run, arguments=arguments, observer=observer)
    if kind == "tile":
        from hapctl.processing.pipeline.mosaic_tile import mosaic_tile

        return mosaic_tile(catalog, name, options, dry_run=dry_run, arguments=arguments, observer=observer)
    from hapctl.processing.pipeline.mosaic_visit import mosaic_visit

    return mosaic_visit(catalog, name, options, dry_run=dry_run, arguments=arguments, observer=observer)


def _align(catalog: Catalog, unit: WorkUnit, _observer: Observer) -> UnitOutcome:
    from hapctl.processing.pipeline.align_run import align_target
    from hapctl.processing.pipeline.alignment_targets import Target

    options: AlignOptions = unit.options["align"]
    ((scope, name),) = unit.target.items()
    target = Target(scope, name)  # type: ignore[arg-type]  # a scope, as align_unit wrote it
    arguments = unit.options.get("arguments", ())
    return _align_outcome(unit, align_target(catalog, target, options, arguments=arguments))


def _align_outcome(unit: WorkUnit, result: "TargetResult") -> UnitOutcome:
    runs = () if result.run_id is None else (result.run_id,)
    if not result.is_better:
        return UnitOutcome(unit.name, "refused", 1, result.reason, runs=runs, result=result)
    status: UnitStatus = "unchanged" if result.outcome == "unchanged" else "done"
    return UnitOutcome(unit.name, status, runs=runs, result=result)


def _ingest(catalog: Catalog, unit: WorkUnit, _observer: Observer) -> UnitOutcome:
    from hapctl.processing.pipeline.ingest_files import ingest_file

    run_id, verify = unit.options["run"], unit.options["verify"]
    results = [ingest_file(catalog, run_id, request, verify=verify) for request in unit.options["requests"]]
    changed = any(result.status in ("new", "updated") for result in results)
    return UnitOutcome(unit.name, "done" if changed else "unchanged", runs=(run_id,), result=results)


def _process(catalog: Catalog, unit: WorkUnit, observer: Observer) -> UnitOutcome:
    from hapctl.processing.pipeline.process_visit import process_visit

    options: ProcessOptions = unit.options["process"]
    arguments = unit.options.get("arguments", ())
    report = process_visit(catalog, unit.target["visit"], options, arguments=arguments, observer=observer)
    return process_outcome(unit, report)


def process_outcome(unit: WorkUnit, report: "VisitReport") -> UnitOutcome:
    """Return the outcome of a visit's steps: of a failure that of the step which failed."""
    if not report.exit_code:
        status: UnitStatus = "unchanged" if report.outcome == "current" else "done"
        return UnitOutcome(unit.name, status, runs=report.runs, result=report)
    last = report.steps[-1]
    outcome = failure(unit, last.exit_code, f"{last.step}: {last.reason}", last.remedy)
    return replace(outcome, runs=report.runs, result=report)


ACTIONS: dict[str, Action] = {"ingest": _ingest, "align": _align, "mosaic": _mosaic, "process": _process}
"""By `WorkUnit.action`."""
