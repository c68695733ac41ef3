"""Seconds by step, over all threads: what the profile of a run is made of."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

PROFILE_STEPS = ("static_mask", "sky", "separate", "median", "blot", "cosmic_rays", "final", "write")


@dataclass(frozen=True)
class StepSeconds:
    """What a step took, summed over its threads.

    Attributes
    ----------
    processor : float
        Seconds of processor time.
    clock : float
        Seconds from beginning to end of its parts; with several threads more than the time that passed.
    """

    processor: float = 0.0
    clock: float = 0.0


class Stopwatch:
    """Adds up the seconds of steps; may be used from several threads at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seconds: dict[str, StepSeconds] = {}

    @contextmanager
    def step(self, name: str, *, with_threads: bool = False) -> Iterator[None]:
        """Count the time of a block for a step.

        Parameters
        ----------
        name : str
        with_threads : bool
            Count the processor time of all threads, for a block that has threads of its own, less what
            other steps were counted meanwhile; else that of the thread the block runs in.
        """
        used = time.process_time if with_threads else time.thread_time
        processor, clock, others = used(), time.perf_counter(), self._counted()
        try:
            yield
        finally:
            spent = used() - processor
            if with_threads:
                spent = max(spent - (self._counted() - others), 0.0)
            self._add(name, spent, time.perf_counter() - clock)

    def _counted(self) -> float:
        with self._lock:
            return sum(one.processor for one in self._seconds.values())

    def _add(self, name: str, processor: float, clock: float) -> None:
        with self._lock:
            before = self._seconds.get(name, StepSeconds())
            self._seconds[name] = StepSeconds(before.processor + processor, before.clock + clock)

    def seconds(self) -> Mapping[str, StepSeconds]:
        """Return what the steps took so far, in the order of the engine."""
        with self._lock:
            found = dict(self._seconds)
        order = {name: place for place, name in enumerate(PROFILE_STEPS)}
        return {name: found[name] for name in sorted(found, key=lambda name: order.get(name, len(order)))}
