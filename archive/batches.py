"""Batches of work in the catalog: what is to be done, who does it, how far it is, how long it will take.

A worker holds a database session while it works on a unit, so that its end is seen from everywhere, also
where it was killed; a batch lives as long as the run that hands out its units.
"""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.runs import canonical_json
from hapctl.archive.statements import execute
from sqlalchemy import Connection

NOT_BEGUN_OR_UNDER_WAY = ("waiting", "running")


@dataclass(frozen=True)
class NewUnit:
    """A unit to be recorded; fields as the columns of ``work_unit``, `target` plain data."""

    number: int
    name: str
    action: str
    target: Mapping[str, Any]
    needs: Sequence[int] = ()
    memory_bytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class UnitEnding:
    """How a unit ended; fields as the columns of ``work_unit_end``."""

    batch_id: int
    number: int
    status: str
    exit_code: int
    message: str
    remedy: str
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class PastWork:
    """What a command took for one target: seconds, and bytes at its peak."""

    seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class UnitState:
    """A unit as the view ``work_unit_status`` has it."""

    name: str
    state: str
    host: str | None
    pid: int | None
    started: datetime | None
    ended: datetime | None
    seconds: float | None
    predicted_seconds: float | None
    predicted_memory_bytes: int | None
    peak_memory_bytes: int | None
    tries: int
    exit_code: int | None
    message: str | None
    remedy: str | None


@dataclass(frozen=True)
class BatchState:
    """A batch, the state of its units, and how many seconds are left.

    Attributes
    ----------
    batch_id, run_id : int
    command : str
    workers : int or None
    scheduler : str or None
    started : datetime
    ended : datetime or None
    outcome : str
        Of its run: running, done, refused, failed, interrupted or abandoned.
    message : str or None
    seconds : float
        Elapsed.
    units : tuple of UnitState
    """

    batch_id: int
    run_id: int
    command: str
    workers: int | None
    scheduler: str | None
    started: datetime
    ended: datetime | None
    outcome: str
    message: str | None
    seconds: float
    units: tuple[UnitState, ...] = ()

    def of_state(self, *states: str) -> list[UnitState]:
        """Return the units in some states."""
        return [unit for unit in self.units if unit.state in states]

    @property
    def counts(self) -> dict[str, int]:
        """How many units are in each state that occurs."""
        states = [unit.state for unit in self.units]
        return {state: states.count(state) for state in dict.fromkeys(states)}

    @property
    def seconds_left(self) -> float | None:
        """What is left by `seconds_left`; 0 where the batch is over, None where nothing tells."""
        if self.outcome != "running":
            return 0.0
        return seconds_left(self.units, self.workers or len(self.of_state("running")))


def record_batch(
    connection: Connection,
    run_id: int,
    command: str,
    units: Sequence[NewUnit],
    *,
    workers: int | None,
    scheduler: str | None,
) -> int:
    """Record a batch with its units; return its number."""
    row = {"command": command, "workers": workers, "scheduler": scheduler, "run_id": run_id}
    batch_id = int(execute(connection, "insert_work_batch", row).scalar_one())
    rows = [
        {**vars(unit), "batch_id": batch_id, "target": canonical_json(unit.target), "needs": list(unit.needs)}
        for unit in units
    ]
    if rows:
        execute(connection, "insert_work_unit", rows)
    return batch_id


@contextmanager
def begun_unit(catalog: Catalog, batch_id: int, number: int, memory_bytes: int = 0) -> Iterator[int]:
    """Record that this process begins a unit, and hold the session that stands for its life.

    Parameters
    ----------
    catalog : Catalog
    batch_id, number : int
        The unit.
    memory_bytes : int
        Predicted; 0: not predicted.

    Yields
    ------
    int
        The newest run of all before it, for `end_unit`.
    """
    with catalog.connect() as session:
        row = {"batch_id": batch_id, "number": number, "memory_bytes": memory_bytes or None, **_process()}
        yield int(execute(session, "begin_work_unit", row).scalar_one())


def end_unit(connection: Connection, ending: UnitEnding, newest_run: int | None = None) -> tuple[int, ...]:
    """Record how a unit ended, unless its end is known; return the runs of this process since `newest_run`.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    ending : UnitEnding
    newest_run : int or None
        From `begun_unit`; None: no runs of this process belong to the unit.
    """
    row = {**vars(ending), "newest_run": newest_run, **_process()}
    found = execute(connection, "end_work_unit", row).scalar_one_or_none()
    return tuple(found or ())


def _process() -> dict[str, Any]:
    return {"host": platform.node() or "unknown", "pid": os.getpid()}


def past_work(connection: Connection, command: str, kind: str) -> dict[str, PastWork]:
    """Return what a command took in runs of the past, by target of a kind (``visit``, ``tile`` ...)."""
    rows = execute(connection, "past_work", {"command": command, "kind": kind})
    return {row.target: PastWork(row.seconds, row.memory_bytes) for row in rows}


def batch_states(catalog: Catalog, batch_id: int | None = None) -> list[BatchState]:
    """Return the batch of a number, or those under way and the last.

    Raises
    ------
    NotInCatalogError
        There is no batch, or none of that number.
    """
    with catalog.begin() as connection:
        found = execute(connection, "work_batches", {"batch_id": batch_id}).mappings().all()
        if not found:
            what = "no batch of work" if batch_id is None else f"no batch {batch_id}"
            raise NotInCatalogError(
                f"{what} in the catalog", "align, mosaic and process on several targets make batches"
            )
        return [BatchState(**row, units=_units(connection, row["batch_id"])) for row in found]


def _units(connection: Connection, batch_id: int) -> tuple[UnitState, ...]:
    rows = execute(connection, "work_units", {"batch_id": batch_id})
    return tuple(UnitState(**row) for row in rows.mappings())


def seconds_left(units: Sequence[UnitState], workers: int) -> float | None:
    """Predict how long units will take that have not ended; None where nothing tells.

    Predictions from the past are scaled by what the units that were done took against theirs; a unit without
    one counts as the mean of those done. No unit is split, so the longest is a lower bound.

    Parameters
    ----------
    units : sequence of UnitState
        All of a batch.
    workers : int
        How many work at once; at least 1 is taken.
    """
    left = [unit for unit in units if unit.state in NOT_BEGUN_OR_UNDER_WAY]
    if not left:
        return 0.0
    done = [unit for unit in units if unit.state == "done" and unit.seconds is not None]
    told = [unit for unit in done if unit.predicted_seconds]
    taken, predicted = sum(u.seconds or 0 for u in told), sum(u.predicted_seconds or 0 for u in told)
    scale = taken / predicted if predicted else 1.0
    mean = sum(unit.seconds or 0 for unit in done) / len(done) if done else None
    seconds = [_left(unit, scale, mean) for unit in left]
    if None in seconds:
        return None
    known = [value for value in seconds if value is not None]
    return max(sum(known) / max(workers, 1), *known)


def _left(unit: UnitState, scale: float, mean: float | None) -> float | None:
    whole = mean if unit.predicted_seconds is None else unit.predicted_seconds * scale
    if whole is None:
        return None
    elapsed = unit.seconds if unit.state == "running" else 0.0
    return max(whole - (elapsed or 0.0), 0.0)
