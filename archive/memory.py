"""Peak memory of this process and its children, as the system counts it.

Counted is RssAnon + RssShmem of the process tree: pages of mapped files belong to the system's cache and can
be dropped. Where ``/proc`` does not tell, the resident set size is taken. The figure is sampled, so a peak
shorter than the interval may be missed.
"""

import re
import threading
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
    this = psutil.Process()
    return sum(_memory(process) for process in (this, *this.children(recursive=True)))


def _memory(process: psutil.Process) -> int:
    try:
        found = _COUNTED.findall(Path(f"/proc/{process.pid}/status").read_text())
        return sum(map(int, found)) * 1024 if found else process.memory_info().rss
    except (OSError, psutil.Error):
        return 0
