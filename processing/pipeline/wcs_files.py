"""WCS solutions and files: which solution goes where, written as copies or in place, recorded.

The science is in ``astrometry.wcs_writing``; here are the catalog's solutions, the outputs, and what an undo
needs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.errors import ArchiveError, NotInCatalogError
from hapctl.archive.locks import advisory_lock
from hapctl.archive.runs import Run
from hapctl.archive.wcs_reports import find_solution, solutions_of
from hapctl.processing.astrometry.fits_cards import set_card
from hapctl.processing.astrometry.fits_editing import EditedFile, editing
from hapctl.processing.astrometry.fits_structure import primary_header, text
from hapctl.processing.astrometry.headerlet import read_headerlet
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.wcs_writing import Applied, apply_solution, solution_in_file
from hapctl.processing.errors import MissingFileError, ProcessingError, RefusedError, UsageProblemError
from hapctl.processing.pipeline.changed_files import ingested_again, note_change
from hapctl.processing.pipeline.solution_store import solution_from_catalog


@dataclass(frozen=True)
class Output:
    """Where results go: into a folder, under the names of the inputs, or in place of them."""

    folder: Path | None
    overwrite: bool = False

    @property
    def in_place(self) -> bool:
        """Whether files are changed in place."""
        return self.folder is None

    def path_for_result(self, path: Path) -> Path:
        """Return where the result of a file went."""
        return path if self.folder is None else self.folder / path.name

    def path_for(self, path: Path) -> Path:
        """Return where the result of a file goes.

        Raises
        ------
        RefusedError
            A file of that name is there, or the folder can't be made.
        """
        target = self.path_for_result(path)
        if self.folder is None:
            return path
        same = target.exists() and path.exists() and target.samefile(path)
        if target.exists() and (same or not self.overwrite):
            remedy = "use --in-place to change the file itself" if same else "give --overwrite"
            raise RefusedError(f"{target} is there already", remedy)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RefusedError(f"{self.folder} can't be made: {error.strerror}", "name another") from error
        return target


@contextmanager
def held(run: Run, path: Path, output: Output) -> Iterator[None]:
    """Let no other operator change a file in place meanwhile."""
    if not output.in_place:
        yield
        return
    with advisory_lock(run, "file", str(path.resolve())):
        yield


@dataclass(frozen=True)
class ChosenSolution:
    """Which solution a file gets.

    Attributes
    ----------
    name : str or None
        WCSNAME or NAME@run of the catalog, or WCSNAME, ``key X`` or ``HDRLET n`` of the file; None is the
        solution in force.
    headerlet : Path or None
        A headerlet file instead.
    """

    name: str | None = None
    headerlet: Path | None = None


def solution_for(catalog: Catalog, path: Path, chosen: ChosenSolution) -> WcsSolution:
    """Return the solution a file gets: of a headerlet, the catalog, or the file itself.

    A name is looked for among the exposure's solutions in the catalog, then in the file.

    Raises
    ------
    NotInCatalogError
        No solution is in force, or none has that name.
    MissingFileError, UnusableFileError
        The file or headerlet.
    """
    rootname = rootname_of(path)
    if chosen.headerlet is not None:
        return read_headerlet(_present(chosen.headerlet))
    with catalog.begin() as connection:
        known = solutions_of(connection, rootname)
        if chosen.name is None:
            active = next((one for one in known if one.in_force), None)
            if active is None:
                raise NotInCatalogError(
                    f"{rootname} has no solution in force", "ingest its file, or name one: --solution"
                )
            return solution_from_catalog(connection, active.solution_id)
        try:
            line = find_solution(known, rootname, chosen.name)
        except NotInCatalogError as error:
            return _in_file(path, chosen.name, error)
        return solution_from_catalog(connection, line.solution_id)


def _in_file(path: Path, name: str, error: NotInCatalogError) -> WcsSolution:
    try:
        return solution_in_file(path, name)
    except UsageProblemError as problem:
        raise NotInCatalogError(error.message, f"{error.remedy}; {problem.remedy}") from problem


def rootname_of(path: Path) -> str:
    """Return ROOTNAME of a file, lower case.

    Raises
    ------
    MissingFileError
        No such file.
    """
    return text(primary_header(_present(path)), "ROOTNAME").lower()


def _present(path: Path) -> Path:
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file", "check the name")
    return path


@dataclass(frozen=True)
class FileResult:
    """What became of a file: done, unchanged or failed, and more as data."""

    path: str
    status: str
    output: str | None
    facts: dict[str, Any]
    reason: str = ""
    exit_code: int = 0


def each_file(
    paths: Sequence[Path], work: Callable[[Path], FileResult], *, stop: bool = False
) -> list[FileResult]:
    """Do a work on each file; one failure does not stop the rest, unless it is the only file.

    Raises
    ------
    ArchiveError, ProcessingError
        Of a single file.
    """
    results = []
    for path in paths:
        try:
            results.append(work(path))
        except (ArchiveError, ProcessingError) as error:
            if len(paths) == 1 or stop:
                raise
            reason = f"{error.message} ({error.remedy})" if error.remedy else error.message
            results.append(FileResult(str(path), "failed", None, {}, reason, error.exit_code))
    return results


def apply_to_file(
    catalog: Catalog,
    run: Run,
    path: Path,
    solution: WcsSolution,
    output: Output,
    *,
    attach: bool = False,
    force: bool = False,
) -> FileResult:
    """Write a file whose primary WCS is a solution, a copy or the file itself.

    In place the old primary WCS stays in the file (a letter and a HDRLET), what an undo needs in the catalog,
    and a file the catalog knows is ingested again.
    """
    target = output.path_for(path)

    def note(change: Applied) -> None:
        if output.in_place and change.changed:
            description = f"{change.wcsname} in place of {change.previous}"
            sums = (change.before_sha256, change.after_sha256)
            note_change(catalog, run.id, path, description, *sums, change.record)

    with held(run, path, output):
        done = apply_solution(path, target, solution, attach=attach, force=force, on_written=note)
        if output.in_place and done.changed:
            ingested_again(catalog, run.id, path)
    facts = {name: getattr(done, name) for name in _APPLIED}
    return FileResult(str(path), "written" if done.changed else "unchanged", str(target), facts)


_APPLIED = ("rootname", "wcsname", "previous", "archived_key", "headerlets", "distortion_replaced")


@contextmanager
def edited_file(
    catalog: Catalog, run: Run, path: Path, output: Output, description: str
) -> Iterator[EditedFile]:
    """Give a file to edit, and write it at the end: a copy, or in place with what an undo needs.

    A file that was changed gets a new DATE, so that an ingest takes it for the newer one.
    """
    target = output.path_for(path)
    with held(run, path, output):
        with editing(path) as edited:
            before = edited.content_sha256()
            yield edited
            if edited.changed:
                set_card(edited.primary, "DATE", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
            record = edited.record()

            def note(after: str) -> None:
                if output.in_place and after != before:
                    note_change(catalog, run.id, path, description, before, after, record)

            edited.save(target, note)
        if output.in_place:
            ingested_again(catalog, run.id, path)
