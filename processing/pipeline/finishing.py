"""Products one after another, each finished by a thread while the next is drizzled.

Making a product has two parts: its pixels, which take all threads, and the rest (sync, checksum, pictures,
catalog), which takes one or two and waits for the disk. One product at most is being finished at a time, in
order, so what comes later finds all before it in force but the last.
"""

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Result = TypeVar("Result")
Making = Generator[None, None, Result]
"""Yields once between both parts, or returns without (nothing to make); closed there, it leaves nothing."""


def whole(making: Making[Result]) -> Result:
    """Do all that is left of a making."""
    while True:
        try:
            next(making)
        except StopIteration as end:
            result: Result = end.value
            return result


class Finisher(Generic[Result]):
    """Does makings in order, the second part of each beside the first part of the next.

    Use as a context manager; leaving it waits for the second part that is in work, also after an error.

    Parameters
    ----------
    threads : int
        With one thread nothing is done beside anything.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="hapctl-finish") if threads > 1 else None
        self._results: list[Future[Result]] = []
        self._in_work: tuple[str, Future[Result]] | None = None

    def begin(self, making: Making[Result], address: str) -> bool:
        """Do the first part, and leave the second to the thread; return whether there is one.

        Parameters
        ----------
        making : generator
        address : str
            Of what it makes: where that is what is being finished now, it is waited for first.

        Raises
        ------
        Exception
            The error of this making's first part, or of the second part of the one before.
        """
        if self._in_work is not None and self._in_work[0] == address:
            self.wait()
        try:
            next(making)
        except StopIteration as end:
            self._results.append(_known(end.value))
            return False
        try:
            self.wait()
        except BaseException:
            making.close()
            raise
        rest = _known(whole(making)) if self._pool is None else self._pool.submit(whole, making)
        self._in_work = address, rest
        self._results.append(rest)
        return True

    def wait(self) -> None:
        """Wait until nothing is in work; raise the error of what was."""
        if self._in_work is not None:
            _, rest = self._in_work
            self._in_work = None
            rest.result()

    def results(self) -> list[Result]:
        """Wait, and return what came of all makings, in order."""
        self.wait()
        return [result.result() for result in self._results]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _known(result: Result) -> Future[Result]:
    done: Future[Result] = Future()
    done.set_result(result)
    return done
