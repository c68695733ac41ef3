"""The WCS of a file made anew from its distortion references: what stwcs's updatewcs does, offline.

stwcs works in a process and a folder of its own on the headers alone (the pixels are holes in a sparse file),
so that nothing of it (handlers, folder, environment, pixels it would rewrite) touches this process or the
file. Its lookup tables are anchored anew where the file is a subarray: it writes their CRVAL with the wrong
sign of LTV [BUG]. It evaluates no table itself, so that astropy's idea of where tables begin plays no part.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hapctl.processing.astrometry.aperture import MOVED_WITH, move_aperture
from hapctl.processing.astrometry.fits_cards import set_card
from hapctl.processing.astrometry.fits_editing import EditedFile, FitsPart, editing
from hapctl.processing.astrometry.fits_structure import Header, data_size, parse_header, read_fits
from hapctl.processing.astrometry.headerlet import distortion_name, headerlet_name
from hapctl.processing.astrometry.reading import FoundSolution, solutions_in
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.waiver_conversion import convert_waiver, is_waiver_file
from hapctl.processing.astrometry.wcs_cards import FIT_KEYWORDS, write_companion, write_science
from hapctl.processing.astrometry.wcs_distortion import TABLES
from hapctl.processing.astrometry.wcs_references import VARIABLES, Reference, find_references, lay_ready
from hapctl.processing.astrometry.wcs_writing import (
    aperture_wcs,
    attach_old,
    companions,
    science_parts,
    suffix_of,
)
from hapctl.processing.astrometry.wcscorr import add_rows
from hapctl.processing.astrometry.wfpc2_rows import add_tables, row_tables
from hapctl.processing.errors import MissingFileError, UnusableFileError

if TYPE_CHECKING:
    from astropy.io import fits

_STRUCTURE = (
    *("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "PCOUNT", "GCOUNT", "EXTEND"),
    *("BSCALE", "BZERO", "BLANK", "NEXTEND", "CHECKSUM", "DATASUM", "INHERIT"),
)
_SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
from stwcs.updatewcs import updatewcs
name, vacorr, tddcorr = sys.argv[1], sys.argv[2] == "1", sys.argv[3] == "1"
updatewcs(name, use_db=False, checkfiles=False, vacorr=vacorr, tddcorr=tddcorr)
"""
_SECONDS = 600


@dataclass(frozen=True)
class Updated:
    """What became of a file.

    Attributes
    ----------
    path : Path
        The file that was written.
    rootname, wcsname, previous : str
        WCSNAME now and before.
    references : dict of str to str
        Path of each reference file used, by keyword.
    notes : tuple of str
        What was left out or set right.
    before_sha256, after_sha256, record
        As in :class:`wcs_writing.Applied`.
    """

    path: Path
    rootname: str
    wcsname: str
    previous: str
    references: Mapping[str, str]
    notes: tuple[str, ...]
    before_sha256: str
    after_sha256: str
    record: bytes


def update_wcs(
    path_in: Path,
    path_out: Path,
    folders: Sequence[Path] = (),
    *,
    vacorr: bool = True,
    tddcorr: bool = True,
    on_written: Callable[[Updated], None] = lambda _: None,
) -> Updated:
    """Write a file with the WCS that its distortion references make of the ground system's (OPUS).

    Parameters
    ----------
    path_in : Path
        A calibrated file or WFPC2's waiver c0f (flags from the c1f beside it), plain or gzipped.
    path_out : Path
        Where the result goes; the same as `path_in` changes that in place.
    folders : sequence of Path
        Where reference files are looked for, after the folder of the file and before ``jref$`` and the like.
    vacorr, tddcorr : bool
        Correct for velocity aberration, and for the time dependence of ACS/WFC's distortion.
    on_written : callable
        As in :func:`wcs_writing.apply_solution`.

    Raises
    ------
    MissingFileError
        A reference file is not found; the message names keyword and file.
    UnusableFileError
        stwcs can't make a WCS of it; the message is its last word.
    """
    if not path_in.is_file():
        raise MissingFileError(f"{path_in}: no such file", "check the name")
    with editing(path_in) as edited:
        before = edited.content_sha256()
        notes = []
        found: list[FoundSolution] = []
        if is_waiver_file(path_in):
            notes.append(convert_waiver(edited, path_in))
        else:
            found = solutions_in(read_fits(path_in), str(path_in))
        references = _references(edited, path_in, folders)
        notes += _without_dgeofile(edited, references)
        with tempfile.TemporaryDirectory(prefix="hapctl-wcs-") as name:
            work = Path(name)
            lay_ready(list(references.values()), work)
            skeleton = _skeleton(edited, work, references)
            _run_stwcs(path_in, skeleton, work, vacorr=vacorr, tddcorr=tddcorr)
            solution, moved = _transplanted(edited, skeleton, found)
            for one in references.values():
                edited.primary[one.keyword] = one.value
            solution = _with_rows(edited, solution, references.get("DGEOFILE"), work)
        _complete(edited, solution, found)
        notes += moved
        set_card(edited.primary, "DATE", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        used = {key: str(one.path) for key, one in references.items() if one.path is not None}
        previous = found[0].solution.name if found else "OPUS"
        told = tuple(note for note in notes if note)
        names = (solution.rootname, solution.name, previous)
        done = Updated(path_out, *names, used, told, before, "", edited.record())
        after = edited.save(path_out, lambda sha: on_written(replace(done, after_sha256=sha)))
    return replace(done, after_sha256=after)


def _references(edited: EditedFile, path: Path, folders: Sequence[Path]) -> dict[str, Reference]:
    try:
        found = find_references(_plain(edited.parts[0]), path.parent, folders)
    except MissingFileError as error:
        raise MissingFileError(f"{path}: {error.message}", error.remedy) from error
    return {one.keyword: one for one in found}


def _plain(part: FitsPart) -> Header:
    return parse_header(part.header.tostring().encode("ascii", "replace"))


def _without_dgeofile(edited: EditedFile, references: dict[str, Reference]) -> list[str]:
    """WFPC2's old residual table may be missing: rows are then up to 0.015 pixel off."""
    dgeofile = references.get("DGEOFILE")
    if dgeofile is None or dgeofile.path is not None:
        return []
    return [f"DGEOFILE {dgeofile.value} not found: without the correction of the 34th rows"]


def _skeleton(edited: EditedFile, folder: Path, references: Mapping[str, Reference]) -> Path:
    """Write the headers of a file, with holes for the pixels of SCI; lookup tables come whole.

    Names of reference files without a variable are cut to the name: the files lie in the folder.
    """
    top = edited.primary.copy()
    if "DGEOFILE" in references:
        top["DGEOFILE"], top["D2IMFILE"] = "N/A", "N/A"
    for one in references.values():
        if "$" not in one.value and one.path is not None:
            top[one.keyword] = one.name
    path = folder / edited.path.name.removesuffix(".gz").replace("_c0f.", "_flt.")
    end = 0
    with path.open("wb") as stream:
        for part in edited.parts:
            if part.kind and part.name not in ("SCI", *TABLES):
                continue
            stream.seek(end)
            header = part.header if part.kind else top
            stream.write(header.tostring().encode("ascii", "replace"))
            size = part.span if part.data is None else -(-len(part.data) // 2880) * 2880
            if part.name in TABLES:
                stream.write(edited.data_of(part).ljust(size, b"\0"))
            end = stream.tell() if part.name in TABLES else stream.tell() + size
        stream.truncate(end)
    return path


def _run_stwcs(path: Path, skeleton: Path, work: Path, *, vacorr: bool, tddcorr: bool) -> None:
    environment = {**os.environ, **dict.fromkeys(VARIABLES, f"{work}/"), "ASTROMETRY_STEP_CONTROL": "OFF"}
    arguments = [sys.executable, "-c", _SCRIPT, skeleton.name, str(int(vacorr)), str(int(tddcorr))]
    try:
        done = subprocess.run(
            arguments,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnusableFileError(f"{path}: stwcs did not end within {_SECONDS} s", "try it again") from error
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
        raise UnusableFileError(f"{path}: stwcs can't update its WCS: {said[-1]}", "check its header")


def _transplanted(
    edited: EditedFile, skeleton: Path, found: Sequence[FoundSolution]
) -> tuple[WcsSolution, list[str]]:
    """Bring what stwcs made into the file; return the new primary solution, and notes."""
    with editing(skeleton) as made:
        notes = _anchored(made)
        made.save(skeleton)
    with editing(skeleton) as made:
        solution = solutions_in(read_fits(skeleton), str(edited.path))[0].solution
        _merge(edited.parts[0], made.parts[0].header)
        for part in science_parts(edited):
            _merge(part, next(one for one in made.named("SCI") if one.version == part.version).header)
        edited.parts[:] = [part for part in edited.parts if part.name not in TABLES]
        for table in (part for part in made.parts if part.name in TABLES):
            edited.parts.append(FitsPart(table.header.copy(), made.data_of(table)[: _size(table)]))
    keywords = {
        key: value for key, value in solution.keywords.items() if key not in (*FIT_KEYWORDS, "WCSTYPE")
    }
    return replace(solution, keywords=keywords), notes


def _with_rows(
    edited: EditedFile, solution: WcsSolution, dgeofile: Reference | None, work: Path
) -> WcsSolution:
    """Add WFPC2's correction of the 34th rows, which stwcs lays along the wrong axis."""
    if dgeofile is None or dgeofile.path is None:
        return solution
    tables = row_tables(work / dgeofile.name, [chip.chip for chip in solution.chips])
    version = dict.fromkeys(TABLES, 0)
    chips = []
    parts = {part.version: part for part in science_parts(edited)}
    for chip, pair in zip(solution.chips, tables, strict=True):
        corrected = replace(chip, d2im=pair)
        edited.parts += add_tables(parts[chip.extver], corrected, version, dgeofile.value)
        chips.append(corrected)
    edited.primary["D2IMFILE"] = dgeofile.value
    keywords = {**solution.keywords, "D2IMFILE": dgeofile.value}
    keywords.pop("DISTNAME", None)
    solution = replace(solution, chips=tuple(chips), keywords=keywords)
    edited.primary["DISTNAME"] = distortion_name(solution)
    return solution


def _size(part: FitsPart) -> int:
    return data_size(_plain(part))


def _merge(part: FitsPart, made: "fits.Header") -> None:
    """Take the cards of a header that stwcs changed, but those that describe the data."""
    header = made.copy()
    for keyword in _STRUCTURE:
        if keyword in part.header:
            header[keyword] = part.header[keyword]
        elif keyword in header:
            del header[keyword]
    part.header = header


def _anchored(made: EditedFile) -> list[str]:
    """Put the lookup tables of subarrays and binned images where their pixels are.

    A pixel p of the full frame is p LTM + LTV in the image. stwcs scales CDELT by LTM and writes CRVAL - LTV;
    for the node of pixel 1 + CRVAL to stay on it, CRVAL must become LTM (1 + CRVAL) + LTV - 1.
    """
    moved = False
    tables = {(part.name, part.version): part for part in made.parts if part.name in TABLES}
    for science in made.named("SCI"):
        header = science.header
        for record, name in (("DP", "WCSDVARR"), ("D2IM", "D2IMARR")):
            for axis in (1, 2):
                key = (name, int(header.get(f"{record}{axis}.EXTVER", 0)))
                table = tables.pop(key, None)
                if table is not None:
                    moved |= _anchor(table.header, header)
    return (
        ["the lookup tables are anchored to the subarray (stwcs has the sign of LTV wrong)"] if moved else []
    )


def _anchor(table: "fits.Header", science: "fits.Header") -> bool:
    moved = False
    for axis in (1, 2):
        offset = float(science.get(f"LTV{axis}", 0.0))
        scale = float(science.get(f"LTM{axis}_{axis}", 1.0))
        if offset == 0.0 and scale == 1.0:
            continue
        full = float(table.get(f"CRVAL{axis}", 0.0)) + offset
        set_card(table, f"CRVAL{axis}", scale * (1.0 + full) + offset - 1.0)
        moved = True
    return moved


def _complete(edited: EditedFile, solution: WcsSolution, found: Sequence[FoundSolution]) -> None:
    """Write what stwcs leaves out: WCSTYPE, S_REGION, aperture, ERR and DQ; keep an older fit as HDRLET."""
    suffix = suffix_of(edited)
    hdrname = headerlet_name(solution, suffix)
    science = science_parts(edited)
    aperture = aperture_wcs(found, science[0]) if MOVED_WITH in science[0].header else {}
    for part, chip in zip(science, sorted(solution.chips, key=lambda one: one.extver), strict=True):
        for other in companions(edited, chip.extver):
            if chip.extver in aperture:
                move_aperture(other.header, aperture[chip.extver], chip)
            write_companion(other.header, chip, solution)
        if chip.extver in aperture:
            move_aperture(part.header, aperture[chip.extver], chip, solution.name)
        write_science(part.header, chip, solution, hdrname)
    old = found[0].solution if found else None
    if old is not None and old.name not in ("OPUS", solution.name) and not old.problem:
        attach_old(edited, old, suffix)
    add_rows(edited, solution, hdrname)
