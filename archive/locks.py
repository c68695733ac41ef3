"""Advisory locks: two operators at once do not work on the same visit or product.

A lock belongs to the session of a run, so it ends with the run, also when the process is killed.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256

from hapctl.archive.errors import BusyError, ServiceUnavailableError
from hapctl.archive.runs import Run
from hapctl.sql import read_sql
from sqlalchemy import text

_POLL_SECONDS = 0.1


@contextmanager
def advisory_lock(
    run: Run,
    kind: str,
    name: str,
    wait_seconds: float = 60.0,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the lock of a visit, product or other thing while the block runs.

    Parameters
    ----------
    run : Run
        Whose session holds it.
    kind, name : str
        Such as ``visit``, ``j8bt09``.
    wait_seconds : float
        How long to wait for another holder; 0 does not wait.
    on_wait : callable
        Told once, in words, for whom the wait is.

    Raises
    ------
    BusyError
        Another run holds it; the message names that run, its command, operator, host and process.
    ServiceUnavailableError
        The session was lost meanwhile, and with it the lock.
    """
    key = lock_key(kind, name)
    _take(run, key, f"{kind} {name}", wait_seconds, on_wait)
    try:
        yield
    except BaseException:
        # The block's own error matters more than a lock that ends with the session anyway.
        if not run.connection.invalidated:
            _release(run, key)
        raise
    if not _release(run, key):
        raise ServiceUnavailableError(
            f"the database session that held the lock of {kind} {name} was lost", "run the same command again"
        )


def lock_key(kind: str, name: str) -> int:
    """Return the 64-bit key of a lock."""
    return int.from_bytes(sha256(f"hapctl:{kind}:{name}".encode()).digest()[:8], "big", signed=True)


def _take(run: Run, key: int, what: str, wait_seconds: float, on_wait: Callable[[str], None]) -> None:
    deadline = time.monotonic() + wait_seconds
    told = False
    while not run.connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
        if time.monotonic() >= deadline:
            raise BusyError(
                f"{what} is held by {holder(run, key)}", "wait for it, then run the same command again"
            )
        if not told:
            on_wait(f"waiting for {what}, held by {holder(run, key)}")
            told = True
        time.sleep(_POLL_SECONDS)


def _release(run: Run, key: int) -> bool:
    return bool(run.connection.scalar(text("SELECT pg_advisory_unlock(:key)"), {"key": key}))


def holder(run: Run, key: int) -> str:
    """Return in words who holds a lock."""
    unsigned = key % (1 << 64)
    parts = {"high": unsigned >> 32, "low": unsigned & 0xFFFFFFFF}
    found = run.connection.scalar(text(read_sql("statements/lock_holder.sql")), parts)
    return str(found) if found else "another session"
