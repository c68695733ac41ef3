"""A worker's side of a batch: what it is given, and doing it, in a process of any kind.

Nothing heavy is imported with this module: a worker process sets its limits before the libraries are loaded.
"""

import os
import signal
import threading
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from hapctl.processing.pipeline.units import UnitOutcome, WorkUnit

if TYPE_CHECKING:
    from hapctl.archive.database import Catalog
    from hapctl.processing.imaging.observer import Observer
    from hapctl.processing.pipeline.unit_actions import Action

_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
)


@dataclass(frozen=True)
class Place:
    """What a worker must find as the one who hands out the units has it.

    Attributes
    ----------
    url : str
        Of the catalog; may hold a password.
    marker : Path or None
        A file that exists while the batch lasts; None: the worker is on the same machine.
    hapctl : str
        Version.
    """

    url: str = field(repr=False)
    marker: Path | None = None
    hapctl: str = field(default_factory=lambda: version("hapctl"))

    def problem(self) -> tuple[str, str]:
        """Return message and remedy of what is not as it must be; empty where all is well."""
        if version("hapctl") != self.hapctl:
            message = f"it has hapctl {version('hapctl')}, the command is of {self.hapctl}"
            return message, "install the same hapctl for all workers"
        if self.marker is not None and not self.marker.is_file():
            message = f"it does not see {self.marker.parent} as this machine does"
            return message, "keep home, files and products on a file system that all machines share"
        return _catalog_problem(self.url)


@dataclass(frozen=True)
class Assignment:
    """A unit given to a worker.

    Attributes
    ----------
    place : Place
        Where.
    batch_id, number : int
        Which.
    unit : WorkUnit
        What.
    memory : int
        Bytes predicted; 0: not predicted.
    action : callable or None
        How; None: by its action.
    """

    place: Place
    batch_id: int
    number: int
    unit: WorkUnit
    memory: int = 0
    action: "Action | None" = None


def _catalog_problem(url: str) -> tuple[str, str]:
    from hapctl.archive.errors import ArchiveError

    try:
        catalog_of_process(url)
    except ArchiveError as error:
        return error.message, error.remedy
    return "", ""


@cache
def catalog_of_process(url: str) -> "Catalog":
    """Return the catalog of a worker process, opened at its first unit."""
    from hapctl.archive.database import open_catalog

    return open_catalog(url)


def work(assignment: Assignment) -> UnitOutcome:
    """Do a unit in a worker process, with a catalog of its own."""
    from hapctl.processing.pipeline.unit_actions import failure

    message, remedy = assignment.place.problem()
    if message:
        return failure(assignment.unit, 4, f"the worker can't work: {message}", remedy)
    return work_with(catalog_of_process(assignment.place.url), assignment)


def work_with(catalog: "Catalog", assignment: Assignment, observer: "Observer | None" = None) -> UnitOutcome:
    """Do a unit with an open catalog: its beginning and its end are recorded.

    Without the catalog it has failed, whatever else.
    """
    from hapctl.archive.batches import begun_unit, end_unit
    from hapctl.archive.errors import ServiceUnavailableError
    from hapctl.processing.pipeline.unit_actions import do_unit, ending_of, failure

    unit, batch_id, number = assignment.unit, assignment.batch_id, assignment.number
    try:
        with begun_unit(catalog, batch_id, number, assignment.memory) as newest_run:
            outcome = do_unit(catalog, unit, observer, assignment.action)
            with catalog.begin() as connection:
                runs = end_unit(connection, ending_of(outcome, batch_id, number), newest_run)
    except ServiceUnavailableError as error:
        return failure(unit, error.exit_code, error.message, error.remedy)
    return replace(outcome, runs=runs or outcome.runs)


def worker_process(pipe: "Connection[UnitOutcome | None, Assignment | None]", threads: int) -> None:
    """Do the units that come through a pipe, until None comes or the parent is gone.

    SIGTERM ends a unit as Ctrl-C ends a command: its run is recorded as interrupted. Ctrl-C itself is for
    the parent, which then sends SIGTERM.

    Parameters
    ----------
    pipe : multiprocessing.connection.Connection
    threads : int
        That numerical libraries may use.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop_once)
    for variable in _THREAD_VARIABLES:
        os.environ.setdefault(variable, str(threads))
    threading.Thread(target=_stop_with_parent, name="hapctl-parent", daemon=True).start()
    try:
        while (assignment := pipe.recv()) is not None:
            pipe.send(work(assignment))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        return


def _stop_once(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is recorded of the interruption must not be cut off
    raise KeyboardInterrupt


def _stop_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
