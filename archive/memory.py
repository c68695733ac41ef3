"""Peak memory of this process and its children, as the system counts it.

Counted is RssAnon + RssShmem of the process tree: pages of mapped files belong to the system's cache and can
be dropped. Where ``/proc`` does not tell, the resident set size is taken. The figure is sampled, so a peak
shorter than the interval may be missed.
"""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psutil

_INTERVAL_SECONDS = 0.25
_COUNTED = re.compile(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", re.MULTILINE)


class PeakMemory:
    """Samples from a thread of its own while the ``with`` block runs; `peak_bytes` is the largest sample."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="hapctl-memory", daemon=True)

    def __enter__(self) -> "PeakMemory":
        self.sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.sample()

    def sample(self) -> int:
        """Take a sample now and return the peak so far, bytes."""
        self.peak_bytes = max(self.peak_bytes, tree_memory())
        return self.peak_bytes

    def _watch(self) -> None:
        while not self._ended.wait(_INTERVAL_SECONDS):
            self.sample()


def tree_memory() -> int:
    """Return the memory of this process and its children at this moment, bytes."""
    return sum(map(_memory, _tree(os.getpid())))


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and its children; from /proc ten times faster than by looking at all processes."""
    yield pid
    if not Path(f"/proc/{pid}/task/{pid}/children").exists():
        yield from (child.pid for child in psutil.Process(pid).children(recursive=True))
        return
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _words(listing):
            yield from _tree(int(child))


def _words(listing: Path) -> list[str]:
    try:
        return listing.read_text().split()
    except OSError:
        return []


def _memory(pid: int) -> int:
    try:
        found = _COUNTED.findall(Path(f"/proc/{pid}/status").read_text())
        return sum(map(int, found)) * 1024 if found else psutil.Process(pid).memory_info().rss
    except (OSError, psutil.Error):
        return 0
