"""Progress on stderr: a bar for each step on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from hapctl.cli.output import say
from hapctl.processing.imaging.observer import Observer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 30.0


class LineProgress(Observer):
    """Says every so often how far a step is."""

    def __init__(self, seconds: float = SECONDS_BETWEEN_LINES) -> None:
        self._seconds = seconds
        self._last = time.monotonic()
        self._lock = Lock()

    def progress(self, step: str, done: int, total: int) -> None:
        """Say so, if the last line is long enough ago."""
        with self._lock:
            now = time.monotonic()
            if now - self._last < self._seconds:
                return
            self._last = now
        say(f"hapctl: {step} {100 * done // max(total, 1)} %")


class BarProgress(Observer):
    """Moves a bar for each step."""

    def __init__(self, bars: "Progress") -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._lock = Lock()

    def progress(self, step: str, done: int, total: int) -> None:
        """Move the bar of a step; it appears with its first part."""
        with self._lock:
            if step not in self._tasks:
                self._tasks[step] = self._bars.add_task(step.replace("_", " "), total=total)
            self._bars.update(self._tasks[step], completed=done, total=total)


@contextmanager
def shown_progress() -> Iterator[Observer]:
    """Show the progress of what is done within: give the observer to it."""
    if not sys.stderr.isatty():
        yield LineProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield BarProgress(bars)
