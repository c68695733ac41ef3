"""Options of commands that work on many targets: how many processes, or which Dask cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click
from hapctl.cli.output import say

if TYPE_CHECKING:
    from hapctl.cli.settings import Settings
    from hapctl.processing.pipeline.batch import BatchObserver, Execution

Command = TypeVar("Command", bound=Callable[..., Any])


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


@contextmanager
def shown_batch() -> "Iterator[BatchObserver]":
    """Say on stderr what becomes of the units of a batch: give the observer to `run_batch`."""
    from hapctl.cli.progress import shown_progress
    from hapctl.processing.pipeline.batch import BatchObserver

    with shown_progress() as steps:

        class Shown(BatchObserver):
            def ended(self, unit: Any, outcome: Any) -> None:
                words = f": {outcome.message}" if outcome.message else ""
                say(f"hapctl: {unit.name}: {outcome.status}{words}")

            def told(self, message: str) -> None:
                say(f"hapctl: {message}")

        shown = Shown()
        shown.steps = steps
        yield shown
