"""A WCS solution written into a file: all chips rigidly together, the old primary WCS kept.

Everything that says where the pixels are goes along: CRVAL, CD, ORIENTAT, the aperture (PA_APER, RA_APER and
DEC_APER), S_REGION, the figures of the fit, WCSNAME, WCSTYPE, HDRNAME, the linear WCS of ERR and DQ, the
table WCSCORR; distortion only where it differs. PA_V3 is telemetry and stays. Pixels keep their bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hapctl.processing.astrometry.aperture import MOVED_WITH, move_aperture
from hapctl.processing.astrometry.fits_cards import set_card
from hapctl.processing.astrometry.fits_editing import EditedFile, FitsPart, editing
from hapctl.processing.astrometry.fits_structure import read_fits
from hapctl.processing.astrometry.hdrlets import attach_headerlet, attached_headerlets
from hapctl.processing.astrometry.headerlet import (
    distortion_name,
    headerlet_bytes,
    headerlet_name,
    read_headerlet,
    sip_name,
)
from hapctl.processing.astrometry.reading import FoundSolution, solutions_in
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.astrometry.wcs_alternates import (
    OPUS_KEY,
    alternate_names,
    archive_primary,
    delete_alternate,
)
from hapctl.processing.astrometry.wcs_cards import write_companion, write_science
from hapctl.processing.astrometry.wcs_distortion import check_model, same_distortion, write_distortion
from hapctl.processing.astrometry.wcscorr import add_rows
from hapctl.processing.astrometry.wcsname import parse_wcsname
from hapctl.processing.errors import RefusedError, UsageProblemError

_COMPANIONS = frozenset({"ERR", "DQ", "SAMP", "TIME"})


@dataclass(frozen=True)
class Applied:
    """What applying a solution did to a file.

    Attributes
    ----------
    path : Path
        The file that was written.
    rootname, wcsname : str
    previous : str
        WCSNAME of the primary WCS before.
    archived_key : str
        Letter under which that is kept now; empty where it was kept already, or is not to be.
    headerlets : int
        HDRLET extensions added.
    distortion_replaced : bool
        Whether SIP polynomials and lookup tables were written anew.
    changed : bool
        False where the file holds the solution as primary already: it is then only copied.
    before_sha256, after_sha256 : str
        SHA-256 of the content before and after, decompressed.
    record : bytes
        What :func:`fits_editing.rebuilt` needs to bring the old content back.
    """

    path: Path
    rootname: str
    wcsname: str
    previous: str
    archived_key: str
    headerlets: int
    distortion_replaced: bool
    changed: bool
    before_sha256: str
    after_sha256: str
    record: bytes


def apply_solution(
    path_in: Path | str,
    path_out: Path | str,
    solution: WcsSolution,
    *,
    archive: bool = True,
    attach: bool = False,
    force: bool = False,
    date: str | None = None,
    on_written: Callable[[Applied], None] = lambda _: None,
) -> Applied:
    """Write a file whose primary WCS is a solution.

    Parameters
    ----------
    path_in : path
        A calibrated file (flt, flc, c0m ...), plain or gzipped.
    path_out : path
        Where the result goes, gzipped if it ends in ``.gz``; the same as `path_in` changes that in place.
    solution : WcsSolution
        Of the same exposure, with every chip of the file.
    archive : bool
        Keep the old primary WCS under the first free letter and as a HDRLET extension.
    attach : bool
        Attach the new solution as a HDRLET extension too.
    force : bool
        Also where the distortion model is another: alternates that share the old one go into HDRLETs.
    date : str, optional
        DATE of the primary header (ISO 8601, UTC); now by default, so that an ingest sees the newer file.
    on_written : callable
        Told what was done when the file is written aside, before it gets its name: what is to be kept for an
        undo is kept in time.

    Returns
    -------
    Applied

    Raises
    ------
    RefusedError
        Another exposure, chips that do not match, a solution with a problem, another distortion model, no
        free letter, or a place that can't be written.
    TooLargeError
        The disk is full; whatever was there is as it was.
    UnusableFileError, MissingFileError
        The file.

    Examples
    --------
    >>> apply_solution("j8bt06nyq_flt.fits", "out/j8bt06nyq_flt.fits", solution)  # doctest: +SKIP
    """
    path_in, path_out = Path(path_in), Path(path_out)
    with editing(path_in) as edited:
        before = edited.content_sha256()
        change = put_solution(edited, solution, archive=archive, attach=attach, force=force)
        if change.changed:
            set_card(edited.primary, "DATE", date or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        change = replace(change, path=path_out, before_sha256=before, record=edited.record())
        if not change.changed and path_out.exists() and path_out.samefile(path_in):
            return replace(change, after_sha256=before)
        after = edited.save(path_out, lambda sha256: on_written(replace(change, after_sha256=sha256)))
    return replace(change, after_sha256=after)


def put_solution(
    edited: EditedFile,
    solution: WcsSolution,
    *,
    archive: bool = True,
    attach: bool = False,
    force: bool = False,
) -> Applied:
    """Make a solution the primary WCS of an open file; parameters, result and errors as `apply_solution`.

    What only a written file has (its sums, its record) is empty.
    """
    found = solutions_in(read_fits(edited.path), str(edited.path))
    old = found[0].solution
    science = science_parts(edited)
    solution = _matched(solution, old, edited)
    if not force:
        check_model(old, solution, edited.path.name)
    suffix = suffix_of(edited)
    hdrname = str(solution.keywords.get("HDRNAME") or headerlet_name(solution, suffix))
    replaced = not same_distortion(old, solution)
    present = old.name == solution.name and not replaced and same_linear(old, solution)
    others = any(chip.sip_a is not None for chip in old.chips) and replaced
    attached = len(attached_headerlets(edited))
    key = ""
    if archive and not present:
        attach_old(edited, old, suffix)
        key = "" if others else archive_primary([part.header for part in science])
    if others:
        _archive_alternates(edited, found, science, suffix)
    if not present:
        _write(edited, found, science, solution, hdrname, replaced=replaced)
    if attach:
        attach_old(edited, solution, suffix)
    count = len(attached_headerlets(edited)) - attached
    changed = not present or count > 0
    names = (old.rootname, solution.name, old.name)
    return Applied(edited.path, *names, key, count, replaced, changed, "", "", b"")


def _write(
    edited: EditedFile,
    found: Sequence[FoundSolution],
    science: Sequence[FitsPart],
    solution: WcsSolution,
    hdrname: str,
    *,
    replaced: bool,
) -> None:
    aperture = aperture_wcs(found, science[0])
    for part, chip in zip(science, solution.chips, strict=True):
        if chip.extver in aperture:
            move_aperture(part.header, aperture[chip.extver], chip, solution.name)
        write_science(part.header, chip, solution, hdrname)
        for other in companions(edited, chip.extver):
            if chip.extver in aperture:
                move_aperture(other.header, aperture[chip.extver], chip)
            write_companion(other.header, chip, solution)
    if replaced:
        write_distortion(edited, science, solution)
    elif "DISTNAME" not in edited.primary:  # stwcs compares it before it takes a headerlet
        set_card(edited.primary, "SIPNAME", str(solution.keywords.get("SIPNAME") or sip_name(solution)))
        set_card(edited.primary, "DISTNAME", distortion_name(solution))
    add_rows(edited, solution, hdrname)


def science_parts(edited: EditedFile) -> list[FitsPart]:
    """Return the SCI extensions of a file, in order of EXTVER.

    Raises
    ------
    RefusedError
        It has none, as WFPC2's waiver files.
    """
    parts = sorted(edited.named("SCI"), key=lambda part: part.version)
    if not parts:
        raise RefusedError(
            f"{edited.path.name} has no SCI extension to write a WCS to",
            "of a waiver file (c0f) hapctl wcs update makes one with extensions",
        )
    return parts


def suffix_of(edited: EditedFile) -> str:
    """Return flt, flc, c0m ... of a file, by FILENAME or its own name."""
    name = str(edited.primary.get("FILENAME") or edited.path.name).lower()
    stem = name.removesuffix(".gz").removesuffix(".fits")
    return stem.rsplit("_", 1)[-1] if "_" in stem else "flt"


def companions(edited: EditedFile, extver: int) -> list[FitsPart]:
    """Return the ERR, DQ ... extensions of a chip that carry a WCS."""
    return [
        part
        for part in edited.parts
        if part.name in _COMPANIONS and part.version == extver and "CRVAL1" in part.header
    ]


def _matched(solution: WcsSolution, old: WcsSolution, edited: EditedFile) -> WcsSolution:
    """Return the solution with its chips in order of the file's, or refuse it."""
    where = edited.path.name
    if solution.rootname and old.rootname and solution.rootname != old.rootname:
        raise RefusedError(
            f"{where} is {old.rootname}, and {solution.name} a solution of {solution.rootname}",
            "give the file of that exposure",
        )
    if solution.problem:
        raise RefusedError(f"{where}: {solution.name} must not be used: {solution.problem}", "choose another")
    chips = {chip.extver: chip for chip in solution.chips}
    wanted = sorted(old.chips, key=lambda chip: chip.extver)
    if set(chips) != {chip.extver for chip in wanted}:
        raise RefusedError(
            f"{where} has SCI extensions {_numbers(old)}, {solution.name} is of {_numbers(solution)}",
            "choose a solution of all its chips",
        )
    ordered = tuple(replace(chips[chip.extver], chip=chip.chip, shape=chip.shape) for chip in wanted)
    return replace(solution, chips=ordered)


def _numbers(solution: WcsSolution) -> str:
    return ", ".join(str(number) for number in sorted(chip.extver for chip in solution.chips))


def same_linear(old: WcsSolution, new: WcsSolution) -> bool:
    """Say whether the linear parts of two solutions are the same, chip by chip."""
    return _linear(old) == _linear(new)


def _linear(solution: WcsSolution) -> dict[int, tuple[float | str, ...]]:
    return {chip.extver: (*chip.crpix, *chip.crval, *chip.cd, *chip.ctype) for chip in solution.chips}


def attach_old(edited: EditedFile, solution: WcsSolution, suffix: str) -> None:
    """Attach a solution as HDRLET, its HDRNAME made unique, unless it is attached by name and numbers."""
    attached = attached_headerlets(edited)
    for one in attached:
        if one.wcsname == solution.name and same_linear(read_headerlet(one.content), solution):
            return
    taken = {one.hdrname.upper() for one in attached}
    wanted = str(solution.keywords.get("HDRNAME") or headerlet_name(solution, suffix))
    stem, end = (wanted[: -len(".fits")], ".fits") if wanted.endswith(".fits") else (wanted, "")
    names = [wanted, *(f"{stem}_{number:03d}{end}" for number in range(1, 1000))]
    name = next(text for text in names if text.upper() not in taken)
    kept = replace(solution, keywords={**solution.keywords, "HDRNAME": name}, problem="")
    attach_headerlet(edited, headerlet_bytes(kept, suffix=suffix))


def _archive_alternates(
    edited: EditedFile, found: Sequence[FoundSolution], science: Sequence[FitsPart], suffix: str
) -> None:
    """Put the alternates that share the file's distortion into HDRLETs, and delete their cards."""
    headers = [part.header for part in science]
    for entry in found:
        key, alternate = entry.location.key, entry.solution
        shares = any(chip.ctype[0].endswith("-SIP") for chip in alternate.chips)
        if entry.location.kind == "alternate" and shares and key != OPUS_KEY:
            if not alternate.problem:
                attach_old(edited, alternate, suffix)
            if key in alternate_names(headers):
                delete_alternate(headers, key)


def aperture_wcs(found: Sequence[FoundSolution], first: FitsPart) -> Mapping[int, ChipWcs]:
    """Return the WCS the aperture cards belong to, by EXTVER; nothing where that is no longer in the file.

    Cards that nobody moved belong to the pointing that was commanded: that of the distortion model (IDC),
    from which a fit differs by a rigid movement; else of OPUS, which differs by the skew of the chip too.
    """
    name = str(first.header.get(MOVED_WITH, "")).strip()
    sound = [entry for entry in found if not entry.solution.problem]
    if name:
        chosen = [entry for entry in sound if entry.solution.name == name]
    else:
        models = [entry for entry in sound if parse_wcsname(entry.solution.name).kind == "idc"]
        commanded = [entry for entry in sound if str(entry.location) == f"key {OPUS_KEY}"]
        chosen = [*models, *commanded, *sound]
    return {chip.extver: chip for entry in chosen[:1] for chip in entry.solution.chips}


def solution_in_file(path: Path | str, name: str | None = None) -> WcsSolution:
    """Return a solution of a file: the primary, or by WCSNAME, ``key X`` or ``HDRLET n``.

    Raises
    ------
    UsageProblemError
        There is none of that name, or it is there with different numbers; the message lists them.
    """
    found = solutions_in(read_fits(Path(path)), str(path))
    if name is None:
        return found[0].solution
    wanted = name.strip().lower()
    chosen = [e for e in found if str(e.location).lower() == wanted]
    chosen = chosen or [e for e in found if e.solution.name.lower() == wanted]
    if not chosen:
        raise UsageProblemError(f"{path} has no solution {name}", f"it has {_listed(found)}")
    first = chosen[0].solution
    if any(not same_linear(first, entry.solution) for entry in chosen[1:]):
        raise UsageProblemError(
            f"{path} has several solutions {name} with different numbers",
            f"say where: {_listed(chosen)}",
        )
    return first


def _listed(found: Sequence[FoundSolution]) -> str:
    return ", ".join(f"{entry.solution.name} ({entry.location})" for entry in found)
