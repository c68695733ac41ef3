"""Parts of a step done by threads."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import islice
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


def do_parts(
    work: Callable[[Part], Result],
    parts: Sequence[Part],
    threads: int,
    done: Callable[[int], None] = lambda count: None,
) -> list[Result]:
    """Return ``work(part)`` of every part, in order.

    Parameters
    ----------
    work : callable
        Called from several threads at once where ``threads`` is more than one.
    parts : sequence
    threads : int
    done : callable
        Told how many parts are done, from the calling thread.

    Raises
    ------
    Exception
        The first error of a part; parts not begun are then left.
    """
    if threads == 1 or len(parts) < 2:
        results = []
        for count, part in enumerate(parts, 1):
            results.append(work(part))
            done(count)
        return results
    with ThreadPoolExecutor(min(threads, len(parts)), thread_name_prefix="hapctl") as pool:
        futures = [pool.submit(work, part) for part in parts]
        try:
            for count, future in enumerate(as_completed(futures), 1):
                future.result()
                done(count)
        finally:
            for future in futures:
                future.cancel()
    return [future.result() for future in futures]


def parts_in_order(work: Callable[[Part], Result], parts: Sequence[Part], threads: int) -> Iterator[Result]:
    """Yield ``work(part)`` of every part, in order, with at most ``threads`` of them in work.

    One more waits, begun or done, so that no thread stands still while a slower part is waited for. An
    error of a part is raised in its turn; parts not begun are then left.
    """
    if threads == 1 or len(parts) < 2:
        yield from map(work, parts)
        return
    coming = iter(parts)
    with ThreadPoolExecutor(min(threads, len(parts)), thread_name_prefix="hapctl") as pool:
        waiting: deque[Future[Result]] = deque(
            pool.submit(work, part) for part in islice(coming, threads + 1)
        )
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(work, part) for part in islice(coming, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
