"""Run units of work: in this process, or on local processes, with results in order and memory flat."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from hapctl.processing.errors import WorkerLostError

Unit = TypeVar("Unit")
Result = TypeVar("Result")

_AHEAD = 4
"""Units handed out in advance for each worker."""


def run_units(function: Callable[[Unit], Result], units: Iterable[Unit], workers: int) -> Iterator[Result]:
    """Apply a function to units of work, in order of the units.

    Parameters
    ----------
    function : callable
        Of one unit; for more than one worker a module-level function, or a ``partial`` of one.
    units : iterable
        Plain data; taken as results are asked for, so that memory does not grow with their number.
    workers : int
        1 works here; more are processes started afresh (spawn).

    Yields
    ------
    object
        The result of each unit.

    Raises
    ------
    WorkerLostError
        A worker process was killed; what the units had done until then stays done.
    """
    if workers <= 1:
        yield from map(function, units)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for unit in units:
                waiting.append(pool.submit(function, unit))
                if len(waiting) >= workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise WorkerLostError(
                "a worker process was killed, perhaps for its memory",
                "run it again: what is done is kept; fewer --workers need less memory",
            ) from error
        finally:
            for future in waiting:
                future.cancel()
