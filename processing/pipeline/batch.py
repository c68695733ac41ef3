"""Many units of work: in this process, on local processes, or on a Dask cluster, each after what it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path

from hapctl.archive.database import Catalog
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.pipeline.unit_actions import do_unit
from hapctl.processing.pipeline.units import UnitOutcome, WorkUnit


@dataclass(frozen=True)
class Execution:
    """Where units are worked on.

    Attributes
    ----------
    home : Path
        Folder of all state; workers on other machines must see it.
    workers : int
        Local processes; 1 works in this one.
    scheduler : str or None
        ``tcp://host:port`` of a Dask scheduler: its workers do the work.
    memory_limit : int
        Bytes that the units under way on this machine may need together.
    """

    home: Path
    workers: int = 1
    scheduler: str | None = None
    memory_limit: int = 4_000_000_000


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


def run_batch(
    catalog: Catalog,
    units: Sequence[WorkUnit],
    how: Execution,
    observer: BatchObserver | None = None,
    *,
    command: str,
    arguments: Sequence[str] = (),
) -> list[UnitOutcome]:
    """Do units, each after those it needs; one that fails stops only those that come after it.

    Parameters
    ----------
    catalog : Catalog
    units : sequence of WorkUnit
        With unique names; `after` names units of the same batch.
    how : Execution
    observer : BatchObserver, optional
    command : str
        What is run on many targets, such as ``mosaic``.
    arguments : sequence of str
        The command line, for the runs.

    Returns
    -------
    list of UnitOutcome
        Of every unit, in order of the units.

    Raises
    ------
    UsageProblemError
        Two units of one name, one that comes after a unit that is not there, or a circle.
    """
    observer = observer or BatchObserver()
    outcomes: dict[str, UnitOutcome] = {}
    for unit in in_order_of_need(units):
        lacking = [name for name in unit.after if not outcomes[name].ended_well]
        if lacking:
            outcome = UnitOutcome(unit.name, "skipped", 1, f"{lacking[0]} did not end well")
        else:
            observer.started(unit, "here")
            outcome = do_unit(catalog, unit, observer.steps)
        outcomes[unit.name] = outcome
        observer.ended(unit, outcome)
    return [outcomes[unit.name] for unit in units]


def in_order_of_need(units: Sequence[WorkUnit]) -> list[WorkUnit]:
    """Return the units so that each comes after all it needs, else in the order given.

    Raises
    ------
    UsageProblemError
        Two units of one name, one that comes after a unit that is not there, or a circle.
    """
    by_name = {unit.name: unit for unit in units}
    if len(by_name) < len(units):
        raise UsageProblemError("two units of work have the same name", "name each target once")
    unknown = [(unit, name) for unit in units for name in unit.after if name not in by_name]
    if unknown:
        unit, name = unknown[0]
        raise UsageProblemError(f"{unit.name} comes after {name}, which is not in the batch", "")
    place = {unit.name: number for number, unit in enumerate(units)}
    followers: dict[str, list[str]] = {unit.name: [] for unit in units}
    for unit in units:
        for name in set(unit.after):
            followers[name].append(unit.name)
    needs = {unit.name: len(set(unit.after)) for unit in units}
    ready = [place[name] for name, number in needs.items() if not number]
    ordered: list[WorkUnit] = []
    while ready:
        unit = units[heappop(ready)]
        ordered.append(unit)
        for name in followers[unit.name]:
            needs[name] -= 1
            if not needs[name]:
                heappush(ready, place[name])
    if len(ordered) < len(units):
        first = next(unit for unit in units if needs[unit.name])
        raise UsageProblemError(f"{first.name} comes after itself, by way of others", "")
    return ordered
