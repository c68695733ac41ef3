"""Headerlets attached to files, taken out of them and deleted; alternates deleted."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hapctl.archive.database import Catalog
from hapctl.archive.runs import Run
from hapctl.processing.astrometry.fits_structure import read_fits
from hapctl.processing.astrometry.hdrlets import attach_headerlet, delete_attached, find_attached
from hapctl.processing.astrometry.headerlet import headerlet_bytes, headerlet_name, read_headerlet
from hapctl.processing.astrometry.reading import FoundSolution, solutions_in
from hapctl.processing.astrometry.wcs_alternates import delete_alternate
from hapctl.processing.astrometry.wcs_writing import science_parts
from hapctl.processing.errors import MissingFileError, RefusedError, UsageProblemError
from hapctl.processing.pipeline.wcs_files import FileResult, Output, edited_file, rootname_of
from hapctl.processing.whole_files import write_new


def attach_to_file(
    catalog: Catalog, run: Run, path: Path, headerlets: Sequence[Path], output: Output
) -> FileResult:
    """Attach headerlets to a file.

    Raises
    ------
    RefusedError
        A headerlet is of another exposure, or another one of its HDRNAME is attached.
    MissingFileError, UnusableFileError
        A headerlet is not there, or is none.
    """
    rootname = rootname_of(path)
    contents = []
    for file in headerlets:
        if not file.is_file():
            raise MissingFileError(f"{file}: no such file", "check the name")
        contents.append(file.read_bytes())
    solutions = [read_headerlet(content) for content in contents]
    for file, solution in zip(headerlets, solutions, strict=True):
        if solution.rootname and solution.rootname != rootname:
            raise RefusedError(
                f"{file} is a headerlet of {solution.rootname}, not of {rootname}", "choose another"
            )
    with edited_file(catalog, run, path, output, "headerlets attached") as edited:
        versions = [attach_headerlet(edited, content) for content in contents]
    attached = [f"{one.name} (HDRLET,{number})" for one, number in zip(solutions, versions, strict=True)]
    return FileResult(str(path), "written", str(output.path_for_result(path)), {"attached": attached})


def extract_from_file(path: Path, name: str | None, folder: Path, *, overwrite: bool) -> FileResult:
    """Write solutions of a file as headerlet files, named after their HDRNAME.

    Raises
    ------
    UsageProblemError
        The file has no solution of that name.
    RefusedError
        A headerlet file is there already.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file", "check the name")
    found = solutions_in(read_fits(path), str(path))
    chosen = _chosen(found, name, path)
    written = []
    taken: set[str] = set()
    for entry in chosen:
        content, file = _as_headerlet(entry, path)
        if file in taken:
            file = f"{file.removesuffix('.fits')}_{len(taken) + 1:03d}.fits"
        taken.add(file)
        target = write_new(folder / file, content, overwrite=overwrite)
        facts = {"wcsname": entry.solution.name, "place": str(entry.location)}
        written.append({"path": str(target), **facts, "problem": entry.solution.problem or None})
    return FileResult(str(path), "written", str(folder), {"headerlets": written})


def _chosen(found: Sequence[FoundSolution], name: str | None, path: Path) -> list[FoundSolution]:
    if name is None:
        return [entry for entry in found if entry.location.kind != "alternate"]
    wanted = name.strip().lower()
    chosen = [
        entry for entry in found if wanted in (str(entry.location).lower(), entry.solution.name.lower())
    ]
    if not chosen:
        listed = ", ".join(f"{entry.solution.name} ({entry.location})" for entry in found)
        raise UsageProblemError(f"{path} has no solution {name}", f"it has {listed}")
    return chosen[:1]


def _as_headerlet(entry: FoundSolution, path: Path) -> tuple[bytes, str]:
    solution = entry.solution
    stem = path.name.removesuffix(".gz").removesuffix(".fits")
    suffix = stem.rsplit("_", 1)[-1] if "_" in stem else "flt"
    name = str(solution.keywords.get("HDRNAME") or headerlet_name(solution, suffix))
    file = name.replace("/", "_")
    if entry.headerlet_bytes is not None:
        return entry.headerlet_bytes, _fits_name(file)
    return headerlet_bytes(replace(solution, problem=""), suffix=suffix), _fits_name(file)


def _fits_name(name: str) -> str:
    return name if name.endswith(".fits") else f"{name}_hlet.fits"


def delete_from_file(
    catalog: Catalog, run: Run, path: Path, keys: Sequence[str], hdrlets: Sequence[str], output: Output
) -> FileResult:
    """Delete alternates and HDRLET extensions of a file.

    Raises
    ------
    RefusedError
        One is not there, or is key O.
    """
    deleted = []
    with edited_file(catalog, run, path, output, "WCS solutions deleted") as edited:
        for which in hdrlets:
            one = find_attached(edited, which)
            delete_attached(edited, one.extver)
            deleted.append(f"HDRLET {one.extver} ({one.wcsname})")
        headers = [part.header for part in science_parts(edited)] if keys else []
        for key in keys:
            delete_alternate(headers, key.strip().upper())
            deleted.append(f"key {key.strip().upper()}")
    return FileResult(str(path), "written", str(output.path_for_result(path)), {"deleted": deleted})
