"""What a worker does for a unit: the functions of the commands, called by the name of the action.

`mosaic_unit` and `align_unit` make the units; `do_unit` does one, and makes an outcome of every error.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from hapctl.archive.batches import UnitEnding
from hapctl.archive.database import Catalog
from hapctl.archive.errors import ArchiveError
from hapctl.archive.memory import PeakMemory
from hapctl.processing.errors import ProcessingError
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.pipeline.align_run import AlignOptions, TargetResult, align_target
from hapctl.processing.pipeline.alignment_targets import Target
from hapctl.processing.pipeline.mosaic_run import MosaicReport
from hapctl.processing.pipeline.mosaic_tile import mosaic_tile
from hapctl.processing.pipeline.mosaic_visit import mosaic_visit
from hapctl.processing.pipeline.planned import MosaicOptions
from hapctl.processing.pipeline.process_visit import ProcessOptions, VisitReport, process_visit
from hapctl.processing.pipeline.units import UnitOutcome, UnitStatus, WorkUnit

Action = Callable[[Catalog, WorkUnit, Observer], UnitOutcome]

_REFUSALS = (1, 65)
"""Exit codes of what science or policy refuses: another try would end in the same way."""

logger = logging.getLogger(__name__)


def mosaic_unit(kind: str, name: str, options: MosaicOptions, after: Iterable[str] = ()) -> WorkUnit:
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


def align_unit(target: Target, options: AlignOptions, after: Iterable[str] = ()) -> WorkUnit:
    """Return the unit that aligns a target, such as ``align visit j8bt06``."""
    name = f"align {target.scope} {target.name}"
    return WorkUnit(name, "align", {target.scope: target.name}, {"align": options}, tuple(after))


def process_unit(visit: str, options: ProcessOptions) -> WorkUnit:
    """Return the unit that brings a visit from exposures to products, ``process visit j8bt06``."""
    return WorkUnit(f"process visit {visit}", "process", {"visit": visit}, {"process": options})


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
    options: MosaicOptions = unit.options["mosaic"]
    arguments = unit.options.get("arguments", ())
    ((kind, name),) = unit.target.items()
    make = {"visit": mosaic_visit, "tile": mosaic_tile}[kind]
    return _mosaic_outcome(unit, make(catalog, name, options, arguments=arguments, observer=observer))


def _mosaic_outcome(unit: WorkUnit, report: MosaicReport) -> UnitOutcome:
    changed = any(product.status != "unchanged" for product in report.products)
    runs = () if report.run is None else (report.run,)
    return UnitOutcome(unit.name, "done" if changed else "unchanged", runs=runs, result=report)


def _align(catalog: Catalog, unit: WorkUnit, _observer: Observer) -> UnitOutcome:
    options: AlignOptions = unit.options["align"]
    ((scope, name),) = unit.target.items()
    target = Target(scope, name)  # type: ignore[arg-type]  # a scope, as align_unit wrote it
    arguments = unit.options.get("arguments", ())
    return _align_outcome(unit, align_target(catalog, target, options, arguments=arguments))


def _align_outcome(unit: WorkUnit, result: TargetResult) -> UnitOutcome:
    runs = () if result.run_id is None else (result.run_id,)
    if not result.is_better:
        return UnitOutcome(unit.name, "refused", 1, result.reason, runs=runs, result=result)
    status: UnitStatus = "unchanged" if result.outcome == "unchanged" else "done"
    return UnitOutcome(unit.name, status, runs=runs, result=result)


def _process(catalog: Catalog, unit: WorkUnit, observer: Observer) -> UnitOutcome:
    options: ProcessOptions = unit.options["process"]
    arguments = unit.options.get("arguments", ())
    report = process_visit(catalog, unit.target["visit"], options, arguments=arguments, observer=observer)
    return process_outcome(unit, report)


def process_outcome(unit: WorkUnit, report: VisitReport) -> UnitOutcome:
    """Return the outcome of a visit's steps: of a failure that of the step which failed."""
    if not report.exit_code:
        status: UnitStatus = "unchanged" if report.outcome == "current" else "done"
        return UnitOutcome(unit.name, status, runs=report.runs, result=report)
    last = report.steps[-1]
    outcome = failure(unit, last.exit_code, f"{last.step}: {last.reason}", last.remedy)
    return replace(outcome, runs=report.runs, result=report)


ACTIONS: dict[str, Action] = {"mosaic": _mosaic, "align": _align, "process": _process}
"""By `WorkUnit.action`."""
