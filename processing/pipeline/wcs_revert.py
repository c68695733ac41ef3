"""Solutions put in force again that were before, of one or many exposures in one transaction."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from hapctl.archive.database import Catalog
from hapctl.archive.locks import advisory_lock
from hapctl.archive.runs import Run
from hapctl.archive.solutions import activate
from hapctl.archive.wcs_history import HistoryLine, history_of, in_force_before
from hapctl.archive.wcs_reports import ExposureLine, companions_of, exposure_line, solutions_of
from sqlalchemy import Connection


@dataclass(frozen=True)
class Reverted:
    """What became of an exposure.

    Attributes
    ----------
    rootname : str
    name, previous : str
        NAME@run in force now and before.
    changed : bool
    left : tuple of str
        Exposures fitted together with what was in force, which keep theirs.
    """

    rootname: str
    name: str
    previous: str | None
    changed: bool
    left: tuple[str, ...]


def revert_solutions(
    catalog: Catalog,
    run: Run,
    rootnames: Sequence[str],
    moment: datetime | None = None,
    reason: str | None = None,
    *,
    on_wait: Callable[[str], None] = lambda _: None,
) -> list[Reverted]:
    """Put in force again what was before that which is, or at a moment; all or none.

    Raises
    ------
    NotInCatalogError
        No such exposure, or nothing else was in force.
    RefusedByCatalogError
        A solution must not be put in force any more.
    """
    with catalog.begin() as connection:
        exposures = [exposure_line(connection, name) for name in rootnames]
    with ExitStack() as locks:
        for visit in sorted({exposure.visit for exposure in exposures}):
            locks.enter_context(advisory_lock(run, "visit", visit, on_wait=on_wait))
        with catalog.begin() as connection:
            return _reverted(connection, run.id, exposures, moment, reason)


def _reverted(
    connection: Connection,
    run_id: int,
    exposures: Sequence[ExposureLine],
    moment: datetime | None,
    reason: str | None,
) -> list[Reverted]:
    names = [one.rootname for one in exposures]
    lines = {name: in_force_before(history_of(connection, name), name, moment) for name in names}
    before = {
        one.rootname: next((s for s in solutions_of(connection, one.rootname) if s.in_force), None)
        for one in exposures
    }
    left: dict[str, tuple[str, ...]] = {}
    for one in exposures:
        now = before[one.rootname]
        others = companions_of(connection, one, now) if now is not None else []
        left[one.rootname] = tuple(name for name in others if name not in lines)
    changed: list[int] = []
    for why, chosen in _by_reason(exposures, lines, reason).items():
        changed += activate(connection, run_id, chosen, why, "manual")
    results = []
    for one in exposures:
        now = before[one.rootname]
        name = lines[one.rootname].full_name
        did = one.exposure_id in changed
        previous = None if now is None else now.full_name
        results.append(Reverted(one.rootname, name, previous, did, left[one.rootname] if did else ()))
    return results


def _by_reason(
    exposures: Sequence[ExposureLine], lines: dict[str, HistoryLine], reason: str | None
) -> dict[str, dict[int, int]]:
    """Return what is to be put in force, by the reason that is written; those of one reason go together."""
    chosen: dict[str, dict[int, int]] = {}
    for one in exposures:
        line = lines[one.rootname]
        since = f"reverted to what was in force from {line.since:%Y-%m-%d %H:%M:%S} UTC"
        why = reason or since
        chosen.setdefault(why, {})[one.exposure_id] = line.solution_id
    return chosen
