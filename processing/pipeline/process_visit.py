"""`process`: a visit from ingested exposures to products, step by step; what is current is left as it is.

Each step is a command of its own with a run of its own. A step that fails ends the work on its visit. An
alignment that the rule of acceptance refuses is a result, not a failure: the products are made with the
solutions in force. What was aligned with other visits, on a tile or in a list, onto a catalog stays so.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from hapctl.archive.alignments import wider_alignment
from hapctl.archive.database import Catalog
from hapctl.archive.errors import ArchiveError
from hapctl.archive.products import eligible_exposures
from hapctl.processing.errors import ProcessingError
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.stopwatch import StepSeconds
from hapctl.processing.pipeline.align_run import AlignOptions, TargetResult, align_target, plan_target
from hapctl.processing.pipeline.alignment_targets import Target
from hapctl.processing.pipeline.mosaic_run import MosaicReport
from hapctl.processing.pipeline.mosaic_visit import mosaic_visit
from hapctl.processing.pipeline.planned import MosaicOptions

StepStatus = Literal["done", "current", "refused", "failed", "planned"]


@dataclass(frozen=True)
class ProcessOptions:
    """How the steps work.

    Attributes
    ----------
    align : AlignOptions
    mosaic : MosaicOptions
    """

    align: AlignOptions
    mosaic: MosaicOptions


@dataclass(frozen=True)
class StepReport:
    """What a step did to a visit.

    Attributes
    ----------
    step : str
        align, masks or products.
    status : {"done", "current", "refused", "failed", "planned"}
        ``current``: nothing had to be done; ``refused``: the rule of acceptance let no new solution pass.
    reason : str
        In one line.
    run : int or None
        The run that recorded it.
    seconds : StepSeconds
        Of this process with all its threads; those of the masks are part of the run of the products.
    exit_code : int
    remedy : str
        Where it failed.
    result : TargetResult, MosaicReport or None
        What the step returned.
    """

    step: str
    status: StepStatus
    reason: str
    run: int | None = None
    seconds: StepSeconds = field(default_factory=StepSeconds)
    exit_code: int = 0
    remedy: str = ""
    result: TargetResult | MosaicReport | None = None


@dataclass(frozen=True)
class VisitReport:
    """What became of a visit: its steps in order, the last one failed if `exit_code` is not 0."""

    visit: str
    steps: tuple[StepReport, ...]

    @property
    def exit_code(self) -> int:
        """That of the step that failed, else 0."""
        return self.steps[-1].exit_code

    @property
    def outcome(self) -> str:
        """``failed`` or ``refused``, ``planned``, ``current`` where nothing had to be done, else ``done``."""
        if self.exit_code:
            return "refused" if self.exit_code in (1, 65) else "failed"
        statuses = {step.status for step in self.steps if step.status != "refused"}
        return next(name for name in ("planned", "done", "current") if name in statuses)

    @property
    def runs(self) -> tuple[int, ...]:
        """Runs of the steps, each once."""
        return tuple(dict.fromkeys(step.run for step in self.steps if step.run is not None))


@dataclass(frozen=True)
class _Work:
    catalog: Catalog
    visit: str
    options: ProcessOptions
    dry_run: bool
    arguments: Sequence[str]
    observer: Observer
    tell: Callable[[str], None]


def process_visit(
    catalog: Catalog,
    visit: str,
    options: ProcessOptions,
    *,
    dry_run: bool = False,
    arguments: Sequence[str] = (),
    observer: Observer | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> VisitReport:
    """Bring a visit from exposures to products.

    Parameters
    ----------
    catalog : Catalog
    visit : str
        ipppss.
    options : ProcessOptions
    dry_run : bool
        Plan only: no run is recorded. The products are planned with the solutions in force now.
    arguments : sequence of str
        The command line, for the runs.
    observer : Observer, optional
        Told of the progress of the products.
    tell : callable, optional
        Told in words what the alignment does.

    Returns
    -------
    VisitReport
        What goes wrong is in it; only errors of no class of ours are raised.
    """
    work = _Work(catalog, visit.lower(), options, dry_run, arguments, observer or Observer(), tell)
    done: list[StepReport] = []
    for name, step in STEPS:
        done += _tried(name, step, work)
        if done[-1].exit_code:
            break
    return VisitReport(work.visit, tuple(done))


def _tried(name: str, step: "Step", work: _Work) -> list[StepReport]:
    """Do a step; the processor time counts all threads of this process."""
    begun, processor = time.monotonic(), time.process_time()
    try:
        reports = step(work)
    except (ArchiveError, ProcessingError) as error:
        reports = [failed_step(error.message, error.remedy, error.exit_code, step=name)]
    spent = StepSeconds(time.process_time() - processor, time.monotonic() - begun)
    known = [one.seconds for one in reports[:-1]]
    rest = StepSeconds(
        spent.processor - sum(one.processor for one in known), spent.clock - sum(one.clock for one in known)
    )
    return [*reports[:-1], replace(reports[-1], seconds=rest)]


def failed_step(message: str, remedy: str, exit_code: int, *, step: str = "process") -> StepReport:
    """Return the report of a step that failed."""
    return StepReport(step, "failed", message, exit_code=exit_code, remedy=remedy)


def _align(work: _Work) -> list[StepReport]:
    target, options = Target.of_visit(work.visit), work.options.align
    if _leaves_the_catalog_open(options):
        with work.catalog.begin() as connection:
            wider = wider_alignment(connection, work.visit)
        if wider:
            return [StepReport("align", "current", f"aligned together with others: {'; '.join(wider)}")]
    if work.dry_run:
        result = plan_target(work.catalog, target, options)
        return [StepReport("align", "planned", result.reason, result=result)]
    result = align_target(work.catalog, target, options, arguments=work.arguments, on_progress=work.tell)
    status: StepStatus = "done"
    if not result.is_better:
        status = "refused"
    elif result.outcome == "unchanged":
        status = "current"
    return [StepReport("align", status, result.reason, result.run_id, result=result)]


def _leaves_the_catalog_open(options: AlignOptions) -> bool:
    """Whether nothing was asked of the alignment that one of a tile or a list may not have met."""
    return options.catalog is None and options.ladder is None and not options.changes


def _products(work: _Work) -> list[StepReport]:
    """Masks and products, in one run: the masks are reported first."""
    report = mosaic_visit(
        work.catalog,
        work.visit,
        work.options.mosaic,
        dry_run=work.dry_run,
        arguments=work.arguments,
        observer=work.observer,
    )
    return [_masks_of(report, work.dry_run), _products_of(report, work.dry_run)]


def _masks_of(report: MosaicReport, dry_run: bool) -> StepReport:
    names = ", ".join(report.masks_to_make if dry_run else report.masks_made)
    status: StepStatus = "current" if not names else "planned" if dry_run else "done"
    words = f"of {names}" if names else "all masks are those that would be made"
    return StepReport("masks", status, words, report.run, report.mask_seconds)


def _products_of(report: MosaicReport, dry_run: bool) -> StepReport:
    counts: dict[str, int] = {}
    for product in report.products:
        counts[product.status] = counts.get(product.status, 0) + 1
    changed = any(status != "unchanged" for status in counts)
    status: StepStatus = "current" if not changed else "planned" if dry_run else "done"
    words = ", ".join(f"{number} {name}" for name, number in counts.items())
    return StepReport("products", status, words, report.run, result=report)


Step = Callable[[_Work], list[StepReport]]

STEPS: tuple[tuple[str, Step], ...] = (("align", _align), ("products", _products))
"""The steps of a visit in order, each by the name it fails under."""


def touched_tiles(catalog: Catalog, visits: Iterable[str]) -> list[str]:
    """Return the names of the sky tiles that the exposures of some visits touch now, sorted."""
    with catalog.begin() as connection:
        return sorted(
            {
                tile
                for visit in visits
                for exposure in eligible_exposures(connection, visit=visit)
                for tile in exposure.sky_cells
            }
        )
