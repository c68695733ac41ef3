"""The workers of a Dask cluster, each with a connection of its own to the catalog.

Workers are started with one thread each (``dask worker tcp://host:8786 --nthreads 1 --nworkers 8``): a unit
has a process to itself. Where all of them say how much memory they have (``--resources "memory=8e9"``),
a unit goes only to one that has what is predicted for it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hapctl.archive.errors import ServiceUnavailableError
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.pipeline.local_workers import Lost
from hapctl.processing.pipeline.unit_actions import failure
from hapctl.processing.pipeline.unit_process import Assignment, Place, work
from hapctl.processing.pipeline.units import UnitOutcome, WorkUnit

if TYPE_CHECKING:
    from distributed import Client, Future

_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
_LOOK_SECONDS = 1.0
_WORKERS_SECONDS = 30.0
_WAIT_FOR_WORKERS = 5.0
_UNDER_WAY_AGAIN = ("pending", "lost")
"""Of an answer that died with its worker before it was fetched: the scheduler has the unit done again."""


@contextmanager
def marked(home: Path, run_id: int) -> Iterator[Path]:
    """Give a file in home that is there as long as the block runs: who sees it shares the file system."""
    home.mkdir(parents=True, exist_ok=True)
    marker = home / f".batch-of-run-{run_id}"
    marker.touch()
    try:
        yield marker
    finally:
        marker.unlink(missing_ok=True)


class DaskWorkers:
    """Hands units to the workers of a Dask cluster; a context manager.

    Parameters
    ----------
    scheduler : str
        ``tcp://host:port``.
    place : Place
        What each worker must find.
    tell : callable
        Told in words what is waited for.

    Raises
    ------
    UsageProblemError
        `distributed` is not installed here, or a worker has several threads.
    ServiceUnavailableError
        The scheduler does not answer, or a worker can't work.
    """

    def __init__(self, scheduler: str, place: Place, tell: Callable[[str], None]) -> None:
        self._scheduler = scheduler
        self._tell = tell
        self._looked = time.monotonic()
        self._client = _connected(scheduler)
        self._under_way: dict[int, tuple[Assignment, Future[UnitOutcome]]] = {}
        self._refused: dict[int, UnitOutcome] = {}
        self._ended: SimpleQueue[int] = SimpleQueue()
        try:
            workers = _workers_of(self._client, scheduler, tell)
            _check_workers(self._client, workers, place)
        except BaseException:
            self._client.close()
            raise
        memory = [worker.get("resources", {}).get("memory", 0) for worker in workers.values()]
        self._largest = max(memory) if all(memory) else 0

    @property
    def busy(self) -> bool:
        """Whether any unit is under way."""
        return bool(self._under_way or self._refused)

    @property
    def has_room(self) -> bool:
        """The scheduler keeps what no worker is free for."""
        return True

    def fits(self, _memory: int) -> bool:
        """The scheduler keeps what no worker has memory for."""
        return True

    def give(self, assignment: Assignment) -> str:
        """Submit a unit, with the memory it asks for where workers say what they have; return where it is.

        One that needs more than any of them has is refused.
        """
        number, memory = assignment.number, assignment.memory
        if self._largest and memory > self._largest:
            self._refused[number] = _too_large(assignment.unit, memory, self._largest)
            self._ended.put(number)
            return self._scheduler
        asked = {"memory": memory or self._largest} if self._largest else None
        future = self._client.submit(
            work,
            assignment,
            key=f"hapctl-batch-{assignment.batch_id}-{number}",
            pure=False,
            resources=asked,
            priority=-number,
        )
        self._under_way[number] = assignment, future
        self._tell_when_ended(number, future)
        return self._scheduler

    def _tell_when_ended(self, number: int, future: "Future[UnitOutcome]") -> None:
        future.add_done_callback(lambda _: self._ended.put(number))

    def wait(self) -> Sequence[tuple[int, UnitOutcome | Lost]]:
        """Wait until a unit has ended or was lost.

        Raises
        ------
        ServiceUnavailableError
            The scheduler is gone.
        """
        while True:
            try:
                number = self._ended.get(timeout=_LOOK_SECONDS)
            except Empty:
                self._check_cluster()
                continue
            if number in self._refused:
                return [(number, self._refused.pop(number))]
            assignment, future = self._under_way[number]
            if future.status in _UNDER_WAY_AGAIN and self._client.status == "running":
                self._tell_when_ended(number, future)
                continue
            del self._under_way[number]
            return [(number, self._answer(assignment, future))]

    def _answer(self, assignment: Assignment, future: "Future[UnitOutcome]") -> UnitOutcome | Lost:
        from distributed import KilledWorker

        if future.status == "finished":
            return future.result()
        if future.status != "error":
            raise self._gone()
        error = future.exception()
        if isinstance(error, KilledWorker):
            return Lost("killed", again=False)
        message = " ".join(f"the worker can't work: {type(error).__name__}: {error}".split())
        return failure(assignment.unit, 4, message, "install the same hapctl for all workers")

    def _check_cluster(self) -> None:
        if self._client.status != "running":
            raise self._gone()
        if time.monotonic() - self._looked > _WORKERS_SECONDS:
            self._looked = time.monotonic()
            if not self._client.scheduler_info()["workers"]:
                self._tell(f"no worker of {self._scheduler} is left; waiting for one")

    def _gone(self) -> ServiceUnavailableError:
        return ServiceUnavailableError(
            f"the Dask scheduler at {self._scheduler} was lost",
            "start it again, then run the same command again: what is done is kept",
        )

    def __enter__(self) -> "DaskWorkers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take back what has not begun; units at work on other machines end by themselves."""
        if self._client.status == "running":
            self._client.cancel([future for _, future in self._under_way.values()], force=True)
        self._client.close(timeout=_CLOSE_SECONDS)


def _too_large(unit: WorkUnit, memory: int, largest: float) -> UnitOutcome:
    message = (
        f"it would need {memory / 1e6:.0f} MB of memory, no Dask worker has more than {largest / 1e6:.0f}"
    )
    return failure(unit, 5, message, "give fewer --threads, or start workers with more memory")


def _connected(scheduler: str) -> "Client":
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageProblemError(
            "--scheduler needs the package distributed, which is not installed",
            "pip install 'hapctl[dask]', or use --workers",
        ) from error
    # Its tracebacks would stand beside our one line.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        return Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False, name="hapctl")
    except (OSError, ValueError) as error:
        words = " ".join(str(error).split())
        raise ServiceUnavailableError(
            f"no Dask scheduler answers at {scheduler}: {words}",
            "start one ('dask scheduler'), and name it as tcp://host:8786",
        ) from error


def _workers_of(client: "Client", scheduler: str, tell: Callable[[str], None]) -> Mapping[str, Any]:
    """Return the workers there are; wait for the first."""
    told = False
    while not (workers := client.scheduler_info()["workers"]):
        if not told:
            tell(f"waiting for workers of {scheduler}: 'dask worker {scheduler} --nthreads 1 --nworkers N'")
            told = True
        try:
            client.wait_for_workers(1, timeout=_WAIT_FOR_WORKERS)
        except TimeoutError:
            continue
    return workers


def _check_workers(client: "Client", workers: Mapping[str, Any], place: Place) -> None:
    threaded = [name for name, worker in workers.items() if worker["nthreads"] > 1]
    if threaded:
        raise UsageProblemError(
            f"the Dask worker {threaded[0]} would do {workers[threaded[0]]['nthreads']} units in one process",
            "start workers with one thread each: dask worker ADDRESS --nthreads 1 --nworkers N",
        )
    for name, found in client.run(place.problem, on_error="return").items():
        if isinstance(found, BaseException):
            found = f"{type(found).__name__}: {found}", "install the same hapctl for all workers"
        message, remedy = found
        if message:
            raise ServiceUnavailableError(f"the Dask worker {name} can't work: {message}", remedy)
