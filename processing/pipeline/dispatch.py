"""Handing out the units of a batch: what is ready, what fits, what becomes of those that need what failed."""

from bisect import insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hapctl.archive.batches import end_unit
from hapctl.archive.database import Catalog
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.pipeline.local_workers import Lost
from hapctl.processing.pipeline.predictions import predicted_memory
from hapctl.processing.pipeline.unit_actions import Action, ending_of, failure
from hapctl.processing.pipeline.unit_process import Assignment, Place, work_with
from hapctl.processing.pipeline.units import UnitOutcome, WorkUnit

_ALL_MEMORY = 1 << 62
"""Asked for a unit whose worker was lost: it is tried again when no other is under way."""


class BatchObserver:
    """Told what becomes of units; here nothing is done with it.

    Attributes
    ----------
    steps : Observer
        Told of the progress within a unit that is done in this process.
    """

    steps: Observer = Observer()

    def begun(self, units: Sequence[WorkUnit], batch_id: int) -> None:
        """The batch has this number in the catalog (``hapctl status --watch --batch N``)."""

    def started(self, unit: WorkUnit, where: str) -> None:
        """A unit was given to a worker."""

    def ended(self, unit: WorkUnit, outcome: UnitOutcome) -> None:
        """A unit has ended."""

    def told(self, message: str) -> None:
        """Something to be said in a line, such as that workers are waited for."""


class Workers(Protocol):
    """Who works: one at a time here, processes, or a cluster."""

    @property
    def busy(self) -> bool:
        """Whether any unit is under way."""

    @property
    def has_room(self) -> bool:
        """Whether another unit may be given now, if its memory fits."""

    def fits(self, memory: int) -> bool:
        """Tell whether a unit of so much memory (0: not predicted) may be given now; one alone always may."""

    def give(self, assignment: Assignment) -> str:
        """Begin a unit; return where."""

    def wait(self) -> Sequence[tuple[int, UnitOutcome | Lost]]:
        """Wait until units have ended or were lost; return those, by number."""


@dataclass
class Here:
    """One unit at a time, in this process."""

    catalog: Catalog
    steps: Observer
    _given: list[Assignment] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        return bool(self._given)

    @property
    def has_room(self) -> bool:
        return not self._given

    def fits(self, _memory: int) -> bool:
        return True

    def give(self, assignment: Assignment) -> str:
        self._given.append(assignment)
        return "here"

    def wait(self) -> Sequence[tuple[int, UnitOutcome | Lost]]:
        assignment = self._given.pop()
        return [(assignment.number, work_with(self.catalog, assignment, self.steps))]


@dataclass
class Dispatch:
    """Hands out the units of a batch, and keeps what became of them.

    Attributes
    ----------
    catalog : Catalog
    place : Place
        Where the workers work.
    batch_id : int
    units : sequence of WorkUnit
        Each after all it needs.
    workers : Workers
    observer : BatchObserver
    action : callable or None
        What is done to each unit; None: by its action.
    """

    catalog: Catalog
    place: Place
    batch_id: int
    units: Sequence[WorkUnit]
    workers: Workers
    observer: BatchObserver
    action: Action | None = None
    _outcomes: dict[str, UnitOutcome] = field(default_factory=dict)
    _ready: list[int] = field(default_factory=list)
    _needs: list[set[str]] = field(default_factory=list)
    _followers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _memory: dict[int, int] = field(default_factory=dict)
    _lost: set[int] = field(default_factory=set)

    def all_done(self) -> dict[str, UnitOutcome]:
        """Do all units; return their outcomes by name."""
        self._needs = [set(unit.after) for unit in self.units]
        for number, names in enumerate(self._needs):
            for name in names:
                self._followers[name].append(number)
        self._ready = [number for number, names in enumerate(self._needs) if not names]
        while self._ready or self.workers.busy:
            self._give()
            for number, found in self.workers.wait():
                self._take(number, found)
        return self._outcomes

    def _give(self) -> None:
        """Give what there is room for, in order; what is too large for now lets others pass."""
        for number in list(self._ready):
            if not self.workers.has_room:
                return
            unit, memory = self.units[number], self._memory_of(number)
            if self.workers.fits(_ALL_MEMORY if number in self._lost else memory):
                self._ready.remove(number)
                assignment = Assignment(self.place, self.batch_id, number, unit, memory, self.action)
                where = self.workers.give(assignment)
                self.observer.started(unit, where)

    def _memory_of(self, number: int) -> int:
        """Predict when it is needed: meanwhile others work."""
        if number not in self._memory:
            self._memory[number] = predicted_memory(self.catalog, self.units[number])
        return self._memory[number]

    def _take(self, number: int, found: UnitOutcome | Lost) -> None:
        unit = self.units[number]
        if not isinstance(found, Lost):
            self._end(number, found)
        elif found.again and number not in self._lost:
            self._lost.add(number)
            self.observer.told(f"{unit.name}: its worker was {found.how}; it is tried once more, alone")
            insort(self._ready, number)
        else:
            self._end(number, _lost_outcome(unit, found, self._memory_of(number)))

    def _end(self, number: int, outcome: UnitOutcome) -> None:
        """Keep an outcome; what comes after it is ready, or is skipped, and so on."""
        ended = [(number, outcome)]
        while ended:
            number, outcome = ended.pop()
            unit = self.units[number]
            self._outcomes[unit.name] = outcome
            with self.catalog.begin() as connection:  # where its worker could not
                end_unit(connection, ending_of(outcome, self.batch_id, number))
            self.observer.ended(unit, outcome)
            for follower in self._followers[unit.name]:
                self._needs[follower].discard(unit.name)
                if self.units[follower].name in self._outcomes:
                    continue
                if not outcome.ended_well:
                    ended.append((follower, _skipped(self.units[follower], unit)))
                elif not self._needs[follower]:
                    insort(self._ready, follower)


def _skipped(unit: WorkUnit, needed: WorkUnit) -> UnitOutcome:
    message = f"{needed.name}, which it needs, did not end well"
    return UnitOutcome(unit.name, "skipped", 1, message, "see to that, then run the same command again")


def _lost_outcome(unit: WorkUnit, lost: Lost, memory: int) -> UnitOutcome:
    predicted = f"; {memory / 1e6:.0f} MB were predicted" if memory else ""
    return failure(
        unit,
        4,
        f"its worker was {lost.how} every time, most likely for its memory{predicted}",
        "run it again with fewer workers or --threads, or where there is more memory",
    )
