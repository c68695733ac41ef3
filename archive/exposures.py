"""Exposures, their files and where these lie: the rows that ingest writes and others read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hapctl.archive.errors import NotInCatalogError, RefusedByCatalogError
from hapctl.archive.statements import execute
from sqlalchemy import Connection

SUFFIX_ORDER = ("flc", "flt", "c0m", "c0f")
"""Of several files of an exposure the first of these stands for it (CTE-corrected before not)."""


_INGEST = "ingest its file first: hapctl ingest"


@dataclass(frozen=True)
class ExposureRow:
    """An exposure as its header describes it; the columns of ``exposure`` of the same names."""

    rootname: str
    visit: str
    proposal_id: int | None
    instrument: str
    detector: str
    filter: str
    filter_elements: list[str]
    aperture: str | None
    target_name: str | None
    obstype: str | None
    image_type: str | None
    fgs_lock: str | None
    scan_type: str | None
    moving_target: bool
    exposure_time: float | None
    t_start: datetime | None
    t_mid: datetime | None
    t_end: datetime | None
    mjd_start: float | None
    mjd_end: float | None
    ra_target: float | None
    dec_target: float | None
    pa_v3: float | None
    exclusion_code: str | None
    exclusion_reason: str | None


@dataclass(frozen=True)
class FileRow:
    """A content of a file of an exposure; ``primary_header`` is JSON text."""

    suffix: str
    sha256: str
    size_bytes: int
    fits_date: datetime | None
    headerlets: int
    primary_header: str


@dataclass(frozen=True)
class ChipRow:
    """A SCI extension of a file."""

    extver: int
    chip: int
    nx: int
    ny: int
    unit: str | None
    photflam: float | None
    photplam: float | None
    photmode: str | None


@dataclass(frozen=True)
class Place:
    """Where a file lies: root, path relative to it, size and modification time (nanoseconds)."""

    root_id: int
    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class KnownFile:
    """What the catalog knows of the file at a place.

    ``withdrawn`` and ``recalled`` say why it is in no use, if it is in none; ``wanted`` that the content in
    force in its stead was recalled.
    """

    location_id: int
    file_id: int
    rootname: str
    suffix: str
    size_bytes: int
    mtime_ns: int
    headerlets: int
    solutions: int
    withdrawn: str | None
    recalled: str | None
    wanted: bool


@dataclass(frozen=True)
class FileState:
    """What the catalog holds for a suffix of an exposure, with one content in mind.

    Attributes
    ----------
    file_id : int or None
        The content, if it is known.
    current_file_id : int or None
        The content in force.
    current_date : datetime or None
        DATE of the content in force.
    suffixes : tuple of str
        Suffixes that have a content in force.
    active_origin : str or None
        How the WCS solution in force came to be: ingest, align or manual.
    recalled : bool
        Whether the content in force was recalled.
    """

    file_id: int | None
    current_file_id: int | None
    current_date: datetime | None
    suffixes: tuple[str, ...]
    active_origin: str | None
    recalled: bool

    def is_best(self, suffix: str) -> bool:
        """Say whether a file of this suffix stands for the exposure, given the others."""
        return min((*self.suffixes, suffix), key=_rank) == suffix


def _rank(suffix: str) -> tuple[int, str]:
    return (SUFFIX_ORDER.index(suffix) if suffix in SUFFIX_ORDER else len(SUFFIX_ORDER)), suffix


def commit_with_the_run(connection: Connection) -> None:
    """Let this transaction reach the disk no later than the end of the run: not each waits for it.

    After a crash of the server the last files may be missing as a whole; the next ingest takes them again.
    """
    execute(connection, "commit_with_the_run")


def known_file(connection: Connection, root_id: int, path: str) -> KnownFile | None:
    """Return what the catalog knows of the file at a place, or None."""
    row = execute(connection, "known_file", {"root_id": root_id, "path": path}).one_or_none()
    return KnownFile(**row._mapping) if row else None


def register_exposure(connection: Connection, run_id: int, row: ExposureRow) -> tuple[int, bool]:
    """Make the rows of proposal, visit and exposure where they are missing; lock the exposure.

    Returns
    -------
    exposure_id : int
        The row stays locked until the transaction ends.
    is_new : bool
        Whether it was made here.
    """
    found = execute(connection, "register_exposure", {**vars(row), "run_id": run_id}).one()
    return found.exposure_id, found.is_new


def lock_exposure(connection: Connection, rootname: str) -> int:
    """Lock an exposure for this transaction and return its ``exposure_id``.

    Raises
    ------
    NotInCatalogError
        No exposure of that name.
    """
    found = execute(connection, "lock_exposure", {"rootname": rootname.lower()}).scalar_one_or_none()
    if found is None:
        raise NotInCatalogError(
            f"no exposure {rootname} in the catalog", "ingest its file first: hapctl ingest"
        )
    return int(found)


def exposures_named(connection: Connection, rootnames: Sequence[str]) -> set[str]:
    """Return those of some rootnames that are in the catalog."""
    return set(execute(connection, "exposures_named", {"rootnames": list(rootnames)}).scalars())


def rootnames_of(connection: Connection, exposure_ids: Sequence[int]) -> dict[int, str]:
    """Return the rootnames of exposures, by ``exposure_id``."""
    found = execute(connection, "rootnames_of", {"exposure_ids": list(exposure_ids)})
    return {row.exposure_id: row.rootname for row in found}


def update_exposure(connection: Connection, run_id: int, row: ExposureRow) -> None:
    """Take the keywords of an exposure from the file that stands for it now."""
    execute(connection, "update_exposure", {**vars(row), "run_id": run_id})


def file_state(connection: Connection, exposure_id: int, suffix: str, sha256: str) -> FileState:
    """Return what the catalog holds for a suffix of an exposure and a content."""
    names = {"exposure_id": exposure_id, "suffix": suffix, "sha256": sha256}
    row = execute(connection, "file_state", names).one()
    return FileState(
        *(row.file_id, row.current_file_id, row.fits_date, tuple(row.suffixes), row.origin), row.recalled
    )


def record_file(
    connection: Connection,
    run_id: int,
    exposure_id: int,
    file: FileRow,
    chips: Sequence[ChipRow],
    place: Place,
    replaces: int | None = None,
) -> int:
    """Record a new content of a file of an exposure, with its chips and its place, and put it in force.

    Parameters
    ----------
    replaces : int, optional
        The content in force until now.

    Returns
    -------
    int
        ``file_id``.
    """
    names = {"run_id": run_id, "exposure_id": exposure_id, "suffix": file.suffix}
    if replaces is not None:
        execute(connection, "close_current_file", names)
    file_id = int(execute(connection, "insert_file", {**vars(place), **vars(file), **names}).scalar_one())
    execute(connection, "insert_chip", [{**vars(chip), "file_id": file_id} for chip in chips])
    return file_id


def reopen_file(connection: Connection, run_id: int, exposure_id: int, suffix: str, file_id: int) -> None:
    """Put an older content of a file in force again, in place of the one that is."""
    names = {"run_id": run_id, "exposure_id": exposure_id, "suffix": suffix}
    execute(connection, "close_current_file", names)
    execute(connection, "reopen_file", {**names, "file_id": file_id})


def record_place(connection: Connection, run_id: int, file_id: int, place: Place) -> None:
    """Record where a known content lies."""
    execute(connection, "insert_place", {**vars(place), "run_id": run_id, "file_id": file_id})


def close_places(connection: Connection, run_id: int, location_ids: Sequence[int]) -> None:
    """Say that files no longer lie where they lay."""
    if location_ids:
        execute(connection, "close_places", {"run_id": run_id, "location_ids": list(location_ids)})


def other_places(connection: Connection, file_id: int, place: Place) -> list[tuple[int, str, str]]:
    """Return location_id, root and relative path of the other places of a content."""
    names = {"file_id": file_id, "root_id": place.root_id, "path": place.path}
    return [tuple(row) for row in execute(connection, "other_places", names)]


def withdraw_exposure(connection: Connection, run_id: int, rootname: str, reason: str) -> None:
    """Take an exposure out of use; products made from it become stale.

    Raises
    ------
    NotInCatalogError
        No exposure of that name.
    RefusedByCatalogError
        It is withdrawn already.
    """
    exposure_id = lock_exposure(connection, rootname)
    names = {"exposure_id": exposure_id, "run_id": run_id, "reason": reason}
    if execute(connection, "withdraw_exposure", names).rowcount == 0:
        raise RefusedByCatalogError(f"{rootname} is withdrawn already", "see 'hapctl exposure show'")


def withdrawal_of(connection: Connection, exposure_id: int) -> str | None:
    """Return why an exposure is withdrawn; None where it is in use."""
    reason: str | None = execute(
        connection, "withdrawal_of", {"exposure_id": exposure_id}
    ).scalar_one_or_none()
    return reason


def restore_exposure(connection: Connection, run_id: int, rootname: str) -> str:
    """Take a withdrawn exposure into use again; return why it was withdrawn.

    Raises
    ------
    NotInCatalogError
        No exposure of that name.
    RefusedByCatalogError
        It is not withdrawn.
    """
    exposure_id = lock_exposure(connection, rootname)
    reason = withdrawal_of(connection, exposure_id)
    if reason is None:
        raise RefusedByCatalogError(f"{rootname} is not withdrawn", "see 'hapctl exposure show'")
    execute(connection, "restore_exposure", {"exposure_id": exposure_id, "run_id": run_id})
    return reason


def exposure_report(connection: Connection, rootname: str) -> dict[str, Any]:
    """Return everything about an exposure as one document: keywords, files, places, solutions, tiles.

    Raises
    ------
    NotInCatalogError
        No exposure of that name.
    """
    found = execute(connection, "exposure_report", {"rootname": rootname.lower()}).scalar_one_or_none()
    if found is None:
        raise NotInCatalogError(
            f"no exposure {rootname} in the catalog", "ingest its file first: hapctl ingest"
        )
    document: dict[str, Any] = found
    return document
