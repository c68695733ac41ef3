"""Worker processes of this machine, each started afresh (spawn): one that is killed costs only its unit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from signal import Signals
from types import TracebackType

from hapctl.processing.pipeline.unit_process import Assignment, worker_process
from hapctl.processing.pipeline.units import UnitOutcome

_SECONDS_TO_STOP = 20.0


@dataclass(frozen=True)
class Lost:
    """A worker ended in the middle of its unit.

    Attributes
    ----------
    how : str
        In words.
    again : bool
        Whether the unit may be tried again.
    """

    how: str
    again: bool = True


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: "Connection[Assignment | None, UnitOutcome]"
    number: int | None = None
    memory: int = 0


@dataclass
class LocalWorkers:
    """Hands units to worker processes; a context manager.

    A unit is taken only if the memory predicted for all units under way stays below the limit, or if it is
    the only one.

    Attributes
    ----------
    count : int
        Processes at most.
    memory_limit : int
        Bytes.
    threads : int
        That numerical libraries may use in each.
    """

    count: int
    memory_limit: int
    threads: int = 1
    _workers: list[_Worker] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether any unit is under way."""
        return any(worker.number is not None for worker in self._workers)

    @property
    def has_room(self) -> bool:
        """Whether a worker is free."""
        return sum(worker.number is not None for worker in self._workers) < self.count

    def fits(self, memory: int) -> bool:
        """Tell whether a unit may begin; one without a prediction (0) counts as a worker's share."""
        asked = self._asked(memory)
        return not self.busy or asked + sum(worker.memory for worker in self._workers) <= self.memory_limit

    def give(self, assignment: Assignment) -> str:
        """Give a unit to a free worker, a new one where there is none; return where it is."""
        worker = next((one for one in self._workers if one.number is None), None) or self._start()
        try:
            worker.pipe.send(assignment)
        except (BrokenPipeError, ConnectionResetError):  # it was killed while it was idle
            self._forget(worker)
            return self.give(assignment)
        worker.number, worker.memory = assignment.number, self._asked(assignment.memory)
        return f"process {worker.process.pid}"

    def wait(self) -> Sequence[tuple[int, UnitOutcome | Lost]]:
        """Wait until a unit has ended or was lost; return those that have."""
        under_way = {worker.pipe: worker for worker in self._workers if worker.number is not None}
        return [self._answer(under_way[pipe]) for pipe in wait(list(under_way))]  # type: ignore[index]

    def _answer(self, worker: _Worker) -> tuple[int, UnitOutcome | Lost]:
        number = worker.number
        assert number is not None
        try:
            outcome = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            return number, Lost(self._forget(worker))
        worker.number, worker.memory = None, 0
        return number, outcome

    def _asked(self, memory: int) -> int:
        return memory or self.memory_limit // self.count

    def _start(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=worker_process, args=(theirs, self.threads), daemon=True)
        process.start()
        theirs.close()  # so that its end is seen here
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _forget(self, worker: _Worker) -> str:
        """Take a dead worker off the list; return how it died."""
        worker.pipe.close()
        worker.process.join(_SECONDS_TO_STOP)
        self._workers.remove(worker)
        code = worker.process.exitcode or 0
        return f"killed by {Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def __enter__(self) -> "LocalWorkers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let idle workers go; stop those at work in order, and what does not stop at once."""
        for worker in self._workers:
            if worker.number is not None:
                worker.process.terminate()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(_SECONDS_TO_STOP)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()
