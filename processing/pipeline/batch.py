"""Many units of work: in this process, on local processes, or on a Dask cluster, each after what it needs.

The catalog holds the batch, its units, who works on each, and how each ended; this module only hands them
out. Whatever dies, what was done is done, and the same command again does only the rest.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path

from hapctl.archive.batches import NewUnit, record_batch
from hapctl.archive.database import Catalog
from hapctl.archive.runs import Run, recorded_run
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.pipeline.dispatch import BatchObserver, Dispatch, Here, Workers
from hapctl.processing.pipeline.local_workers import LocalWorkers
from hapctl.processing.pipeline.predictions import with_past_work
from hapctl.processing.pipeline.unit_actions import Action, with_arguments
from hapctl.processing.pipeline.unit_process import Place
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

    @property
    def elsewhere(self) -> bool:
        """Whether other processes do the work."""
        return self.workers > 1 or self.scheduler is not None


def run_batch(
    catalog: Catalog,
    units: Sequence[WorkUnit],
    how: Execution,
    observer: BatchObserver | None = None,
    *,
    command: str,
    arguments: Sequence[str] = (),
    action: Action | None = None,
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
    action : callable, optional
        What is done to each unit, a function of a module; by default that of its action.

    Returns
    -------
    list of UnitOutcome
        Of every unit, in order of the units.

    Raises
    ------
    UsageProblemError
        Two units of one name, one that comes after a unit that is not there, or a circle; `distributed` is
        not installed.
    ServiceUnavailableError
        The catalog or the scheduler was lost, or a worker can't reach the catalog.
    """
    observer = observer or BatchObserver()
    ordered = [with_arguments(unit, arguments) for unit in in_order_of_need(units)]
    parameters = {
        "command": command,
        "units": [unit.name for unit in units],
        "workers": None if how.scheduler else how.workers,
        "scheduler": how.scheduler,
    }
    with recorded_run(catalog, "batch", parameters, arguments) as run:
        with _workers(catalog, run, how, observer) as (workers, place):
            ordered = with_past_work(catalog, ordered)
            batch_id = _recorded(catalog, run.id, ordered, how, command)
            observer.begun(ordered, batch_id)
            outcomes = Dispatch(catalog, place, batch_id, ordered, workers, observer, action).all_done()
        _note(run, batch_id, list(outcomes.values()))
    return [outcomes[unit.name] for unit in units]


def _recorded(catalog: Catalog, run_id: int, units: Sequence[WorkUnit], how: Execution, command: str) -> int:
    number = {unit.name: place for place, unit in enumerate(units)}
    rows = [
        NewUnit(
            number[unit.name],
            unit.name,
            unit.action,
            unit.target,
            sorted({number[name] for name in unit.after}),
            unit.memory_bytes or None,
            unit.seconds,
        )
        for unit in units
    ]
    workers = None if how.scheduler else how.workers
    with catalog.begin() as connection:
        return record_batch(connection, run_id, command, rows, workers=workers, scheduler=how.scheduler)


def _note(run: Run, batch_id: int, outcomes: Sequence[UnitOutcome]) -> None:
    run.summary |= {"batch": batch_id, "units": dict(Counter(outcome.status for outcome in outcomes))}
    bad = [outcome for outcome in outcomes if not outcome.ended_well]
    if bad:
        run.refused(f"{len(bad)} of {len(outcomes)} units did not end well: {bad[0].name}: {bad[0].message}")


@contextmanager
def _workers(
    catalog: Catalog, run: Run, how: Execution, observer: BatchObserver
) -> Iterator[tuple[Workers, Place]]:
    if how.scheduler is not None:
        from hapctl.processing.pipeline.dask_workers import DaskWorkers, marked

        with marked(how.home, run.id) as marker:
            place = Place(catalog.url_elsewhere(), marker)
            with DaskWorkers(how.scheduler, place, observer.told) as cluster:
                yield cluster, place
    elif how.workers > 1:
        with LocalWorkers(how.workers, how.memory_limit) as processes:
            yield processes, Place(catalog.url)
    else:
        yield Here(catalog, observer.steps), Place(catalog.url)


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
