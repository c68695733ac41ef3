"""What was in force for an exposure, and when."""

from dataclasses import dataclass
from datetime import datetime

from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.statements import execute
from sqlalchemy import Connection


@dataclass(frozen=True)
class HistoryLine:
    """A time during which a solution was in force; ``until`` is None for the one that is.

    ``run_id`` and ``command`` are of the run that put it in force, ``closed_run_id`` of that which ended it.
    """

    solution_id: int
    wcsname: str
    full_name: str
    frame: str
    nmatches: int | None
    rms_ra_mas: float | None
    rms_dec_mas: float | None
    alignment_group_id: int | None
    since: datetime
    until: datetime | None
    origin: str
    reason: str
    run_id: int
    command: str
    closed_run_id: int | None


def history_of(connection: Connection, rootname: str) -> list[HistoryLine]:
    """Return what was in force for an exposure, oldest first."""
    rows = execute(connection, "history_of_exposure", {"rootname": rootname.lower()}).mappings()
    return [HistoryLine(**row) for row in rows]


def in_force_before(history: list[HistoryLine], rootname: str, moment: datetime | None = None) -> HistoryLine:
    """Return what was in force before that which is now, or at a moment.

    Parameters
    ----------
    history : list of HistoryLine
        Oldest first.
    rootname : str
        For messages.
    moment : datetime, optional
        With a time zone.

    Raises
    ------
    NotInCatalogError
        Nothing was in force then, or nothing else ever was.
    """
    if moment is not None:
        found = [
            line for line in history if line.since <= moment and (line.until is None or moment < line.until)
        ]
        if not found:
            first = (
                f"the first was from {history[0].since:%Y-%m-%d %H:%M:%S} UTC" if history else "none ever was"
            )
            raise NotInCatalogError(
                f"no solution of {rootname} was in force at {moment:%Y-%m-%d %H:%M:%S %Z}", first
            )
        return found[-1]
    now = next((line for line in reversed(history) if line.until is None), None)
    past = [line for line in history if line.until is not None]
    others = [line for line in past if now is None or line.solution_id != now.solution_id]
    if not others:
        raise NotInCatalogError(
            f"no other solution of {rootname} was ever in force", f"see 'hapctl wcs history {rootname}'"
        )
    return others[-1]
