"""Options of commands that work on many targets: how many processes, or which Dask cluster."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click
from hapctl.cli.output import say

if TYPE_CHECKING:
    from hapctl.archive.database import Catalog
    from hapctl.cli.settings import Settings
    from hapctl.cli.summary import Failure
    from hapctl.processing.imaging.observer import Observer
    from hapctl.processing.pipeline.batch import BatchObserver, Execution
    from hapctl.processing.pipeline.units import UnitOutcome, WorkUnit

Command = TypeVar("Command", bound=Callable[..., Any])
Options = TypeVar("Options")


def execution_options(command: Command) -> Command:
    """Add ``--workers N`` and ``--scheduler URL`` (parameters ``workers``, ``scheduler``)."""
    workers = click.option(
        "--workers", type=click.IntRange(min=1), help="Local processes, a target each [default: 1]."
    )
    scheduler = click.option(
        "--scheduler", metavar="URL", help="Work on the Dask cluster of tcp://host:port instead."
    )
    return workers(scheduler(command))


def execution_of(settings: "Settings", workers: int | None, scheduler: str | None) -> "Execution":
    """Return where units are worked on, by the options of `execution_options` and the configuration."""
    from hapctl.processing.pipeline.batch import Execution

    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers are processes of this machine, --scheduler has its own: give one")
    return Execution(settings.home, workers or 1, scheduler, settings.memory_limit)


def shared(options: Options, settings: "Settings", how: "Execution") -> Options:
    """Return options with the threads that a worker of several may use, unless their number was chosen.

    Parameters
    ----------
    options : dataclass
        With a field ``threads``, such as MosaicOptions or AlignOptions.
    """
    if settings.origins["threads"] != "default" or not how.elsewhere:
        return options
    threads = 1 if how.scheduler else max(1, settings.threads // how.workers)
    return replace(options, threads=threads)  # type: ignore[type-var]  # any dataclass will do


def done_together(
    catalog: "Catalog", units: "Sequence[WorkUnit]", how: "Execution", command: str
) -> "list[Any | Failure]":
    """Do units as a batch, saying on stderr what becomes of each; return results, or failures, in order."""
    from hapctl.cli.summary import Failure
    from hapctl.processing.pipeline.batch import run_batch

    with shown_batch() as observer:
        outcomes = run_batch(catalog, units, how, observer, command=command, arguments=sys.argv[1:])
    return [
        Failure(outcome.message, outcome.remedy, outcome.exit_code)
        if outcome.result is None
        else outcome.result
        for outcome in outcomes
    ]


@contextmanager
def shown_batch() -> "Iterator[BatchObserver]":
    """Say on stderr what becomes of the units of a batch: give the observer to `run_batch`."""
    from hapctl.cli.progress import shown_progress

    with shown_progress() as steps:
        yield _shown(steps)


def _shown(progress: "Observer") -> "BatchObserver":
    from hapctl.processing.pipeline.dispatch import BatchObserver

    class Shown(BatchObserver):
        steps = progress
        left = 0

        def begun(self, units: "Sequence[WorkUnit]", batch_id: int) -> None:
            self.left = len(units)
            say(f"hapctl: batch {batch_id}: {len(units)} units of work; 'hapctl status --watch' shows them")

        def ended(self, unit: "WorkUnit", outcome: "UnitOutcome") -> None:
            self.left -= 1
            remedy = f" ({outcome.remedy})" if outcome.remedy else ""
            words = f": {outcome.message}{remedy}" if outcome.message else f" in {outcome.seconds:.1f} s"
            say(f"hapctl: {unit.name}: {outcome.status}{words} ({self.left} left)")

        def told(self, message: str) -> None:
            say(f"hapctl: {message}")

    return Shown()
