"""`wcs update` of a file: where the result goes, what is recorded."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from hapctl.archive.database import Catalog
from hapctl.archive.runs import Run
from hapctl.processing.astrometry.waiver_conversion import converted_name
from hapctl.processing.astrometry.wcs_update import Updated, update_wcs
from hapctl.processing.errors import MissingFileError, RefusedError
from hapctl.processing.pipeline.changed_files import ingested_again, note_change
from hapctl.processing.pipeline.wcs_files import FileResult, Output, held


def update_file(
    catalog: Catalog | None,
    run: Run | None,
    path: Path,
    folders: Sequence[Path],
    output: Output,
    *,
    vacorr: bool = True,
    tddcorr: bool = True,
) -> FileResult:
    """Make the WCS of a file anew, in a copy or in place.

    Parameters
    ----------
    catalog, run : optional
        Where it is recorded; needed for files changed in place.
    path : Path
    folders : sequence of Path
        Of reference files.
    output : Output
    vacorr, tddcorr : bool
        As for :func:`wcs_update.update_wcs`.

    Raises
    ------
    RefusedError
        A waiver file is to be changed in place, or the result is there already.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file", "check the name")
    name = converted_name(path)
    waiver = name != path.name and "_c0f" in path.name
    if waiver and output.in_place:
        raise RefusedError(f"{path}: a waiver file is not changed in place", "give --output-dir")
    source = path.with_name(name) if waiver else path
    target = output.path_for(source)

    def note(change: Updated) -> None:
        if output.in_place and catalog is not None and run is not None:
            sums = (change.before_sha256, change.after_sha256)
            note_change(catalog, run.id, path, f"{change.wcsname} made anew", *sums, change.record)

    with held(run, path, output) if run is not None else nullcontext():
        done = update_wcs(path, target, folders, vacorr=vacorr, tddcorr=tddcorr, on_written=note)
        if output.in_place and catalog is not None and run is not None:
            ingested_again(catalog, run.id, path)
    facts = {"rootname": done.rootname, "wcsname": done.wcsname, "previous": done.previous}
    facts_all = {**facts, "references": dict(done.references), "notes": list(done.notes)}
    return FileResult(str(path), "written", str(target), facts_all)
