"""WCS solutions into the catalog from files, and out of it as headerlets and DS9 regions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.statements import execute
from hapctl.archive.wcs_reports import SolutionLine, exposure_line, find_solution, solutions_of
from hapctl.processing.astrometry.fits_structure import Extension, read_fits, text
from hapctl.processing.astrometry.footprint import solution_polygons
from hapctl.processing.astrometry.headerlet import headerlet_bytes, headerlet_name
from hapctl.processing.astrometry.reading import FoundSolution, solutions_in
from hapctl.processing.astrometry.wcs_regions import MatchedStar, footprint_regions, star_regions
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.pipeline.ingest_inputs import expand_inputs
from hapctl.processing.pipeline.solution_import import Headerlet
from hapctl.processing.pipeline.solution_store import solution_from_catalog
from sqlalchemy import Connection

# Solutions of files as headerlets


def headerlets_in(names: Sequence[str], which: str | None = None) -> tuple[list[Headerlet], dict[str, str]]:
    """Find headerlets to import: headerlet files, those of folders, and the solutions of science files.

    Parameters
    ----------
    names : sequence of str
        Files, folders, patterns and @lists, as for an ingest.
    which : str, optional
        Of science files only this solution: WCSNAME, ``primary``, ``key X`` or ``HDRLET n``; by default all.

    Returns
    -------
    headerlets : list of Headerlet
    problems : dict of str to str
        Files that hold none, with the reason.
    """
    files, problems = expand_inputs(names)
    found: list[Headerlet] = []
    for file in files:
        try:
            found += _of_file(Path(file), which)
        except UnusableFileError as error:
            problems[file] = error.message.removeprefix(f"{file}: ").removeprefix(f"{Path(file).name}: ")
    return found, problems


def _of_file(path: Path, which: str | None) -> list[Headerlet]:
    extensions = read_fits(path)
    if any(extension.name == "SIPWCS" for extension in extensions):
        return [Headerlet(str(path), path.read_bytes())]
    if text(extensions[0].header, "DESTIM"):
        raise UnusableFileError(f"{path.name}: a headerlet without SIPWCS extension")
    chosen = _chosen(extensions, path, which)
    if not chosen:
        raise UnusableFileError(f"{path.name}: it has no solution {which}")
    return [Headerlet(f"{path}[{entry.location}]", _content(entry)) for entry in chosen]


def _chosen(extensions: list[Extension], path: Path, which: str | None) -> list[FoundSolution]:
    found = [entry for entry in solutions_in(extensions, path.name) if entry.solution.chips]
    if which is None:
        return found
    wanted = which.strip().lower()
    return [e for e in found if wanted in (str(e.location).lower(), e.solution.name.lower())]


def _content(entry: FoundSolution) -> bytes:
    return entry.headerlet_bytes or headerlet_bytes(replace(entry.solution, problem=""))


# Solutions of the catalog as files


@dataclass(frozen=True)
class ExportedSolution:
    """A solution as a file: its name and its bytes."""

    rootname: str
    wcsname: str
    file: str
    content: bytes


def chosen_line(connection: Connection, rootname: str, name: str | None) -> SolutionLine:
    """Return a solution of an exposure by NAME or NAME@run; by default that in force.

    Raises
    ------
    NotInCatalogError
        No such exposure or solution.
    """
    exposure = exposure_line(connection, rootname)
    known = solutions_of(connection, exposure.rootname)
    if name is not None:
        return find_solution(known, exposure.rootname, name)
    active = next((line for line in known if line.in_force), None)
    if active is None:
        raise NotInCatalogError(f"{exposure.rootname} has no solution in force", "name one: hapctl wcs list")
    return active


def stored_headerlet(connection: Connection, solution_id: int, suffix: str = "flt") -> bytes:
    """Return the headerlet a solution came with, else one made of what the catalog holds."""
    kept = execute(connection, "load_solution", {"solution_id": solution_id}).one().headerlet
    if kept is not None:
        return bytes(kept)
    return headerlet_bytes(solution_from_catalog(connection, solution_id), suffix=suffix)


def exported_headerlet(connection: Connection, rootname: str, line: SolutionLine) -> ExportedSolution:
    """Return a solution as a headerlet: the bytes it came with, else made of what the catalog holds."""
    solution = solution_from_catalog(connection, line.solution_id)
    content = stored_headerlet(connection, line.solution_id)
    name = str(solution.keywords.get("HDRNAME") or headerlet_name(solution))
    file = name if name.endswith(".fits") else f"{name}_hlet.fits"
    return ExportedSolution(rootname.lower(), solution.name, file.replace("/", "_"), content)


def exported_regions(connection: Connection, rootname: str, line: SolutionLine) -> ExportedSolution:
    """Return a solution as DS9 regions: its footprint, and the matched stars of the attempt that made it."""
    solution = solution_from_catalog(connection, line.solution_id)
    rows = execute(connection, "stars_of_solution", {"solution_id": line.solution_id}).mappings()
    stars = [MatchedStar(**row) for row in rows]
    words = footprint_regions(solution_polygons(solution), line.full_name) + star_regions(stars)
    file = f"{rootname.lower()}_{solution.name}.reg"
    return ExportedSolution(rootname.lower(), solution.name, file.replace("/", "_"), words.encode())
