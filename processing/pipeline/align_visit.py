"""`align --visit`: the exposures of a visit brought to each other and to a reference catalog, as one run.

What is worked out first touches no row; then everything of the visit goes in in one transaction, and
the headerlet files follow. A run that is killed between the two is completed by the next one, which finds
the same inputs and writes what is missing from the catalog.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hapctl.archive.alignments import GroupRow, groups_from
from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.gaia import GaiaSources, fetch_command, sources_for
from hapctl.archive.gaia_service import GaiaService, find_release
from hapctl.archive.locks import advisory_lock
from hapctl.archive.policies import active_policy, ensure_policy
from hapctl.archive.products import EligibleExposure, eligible_exposures, left_out_exposures, visit_exists
from hapctl.archive.runs import Run, recorded_run
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.astrometry.wcsname import GAIA_FRAMES
from hapctl.processing.errors import NoViableDataError, RefusedError, UnusableFileError
from hapctl.processing.pipeline.alignment_inputs import (
    AlignmentSet,
    alignment_sets,
    catalog_stars,
    inputs_sha256,
    measured_sources,
    reference_regions,
)
from hapctl.processing.pipeline.alignment_repetition import record_unchanged
from hapctl.processing.pipeline.alignment_rows import (
    ExposureResult,
    HeaderletFile,
    Occasion,
    Recorded,
    record_set,
    record_uncovered,
)
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.set_alignment import SetAlignment, align_set
from sqlalchemy import Connection

CATALOG_NAMES = {"gaiadr3": "GAIADR3", "gaiaedr3": "GAIAeDR3", "gaiadr2": "GAIADR2"}
"""How a release is spelt in WCSNAME."""


@dataclass(frozen=True)
class AlignOptions:
    """How a visit is aligned.

    Attributes
    ----------
    home : Path
        Where headerlets go.
    catalog : str or None
        A Gaia release, in any spelling; None for a relative alignment only.
    service : GaiaService or None
        Where it is asked.
    offline : bool
        Use only what the catalog holds.
    origin : {"hst", "fits"}
        Where lookup tables begin.
    """

    home: Path
    catalog: str | None
    service: GaiaService | None
    offline: bool = False
    origin: LookupOrigin = "hst"


@dataclass(frozen=True)
class VisitResult:
    """What became of a visit; ``outcome`` is accepted, refused, unchanged or planned."""

    visit: str
    outcome: str
    reason: str
    run_id: int | None
    exposures: tuple[ExposureResult, ...]

    @property
    def is_better(self) -> bool:
        """Whether an accepted alignment is in force for any of its exposures."""
        return self.outcome in ("accepted", "unchanged")


def align_visit(
    catalog: Catalog,
    visit: str,
    options: AlignOptions,
    *,
    arguments: Sequence[str] = (),
    on_progress: Callable[[str], None] = lambda _: None,
) -> VisitResult:
    """Align a visit, record every attempt, and put what was accepted in force.

    Parameters
    ----------
    catalog : Catalog
    visit : str
        ipppss.
    options : AlignOptions
    arguments : sequence of str
        The command line, for the run.
    on_progress : callable
        Told in words what is being done.

    Raises
    ------
    NotInCatalogError
        No exposure of the visit was ingested.
    NoViableDataError
        None of its exposures may be aligned.
    RefusedError
        Offline, and too little of the field is covered; the remedy is the command that fetches it.
    ServiceUnavailableError
        The catalog's service failed.
    """
    visit = visit.lower()
    release = None if options.catalog is None else find_release(options.catalog).name
    parameters = {
        "visit": visit,
        "catalog": release,
        "offline": options.offline,
        "lookup_origin": options.origin,
        "service": None if options.service is None else options.service.url,
    }
    with (
        recorded_run(catalog, "align", parameters, arguments) as run,
        advisory_lock(run, "visit", visit, on_wait=on_progress),
    ):
        result = _aligned(catalog, run, visit, release, options, on_progress)
        run.summary["exposures"] = {e.rootname: [e.outcome, e.wcsname] for e in result.exposures}
        if not result.is_better:
            run.refused(f"{visit}: {result.reason}")
    return result


def plan_visit(catalog: Catalog, visit: str, options: AlignOptions) -> VisitResult:
    """Say which exposures would be aligned, from which solutions, and what Gaia the catalog holds.

    Nothing is recorded, and no service is asked.
    """
    visit = visit.lower()
    with catalog.begin() as connection:
        exposures, excluded = _exposures(connection, visit)
        sets = alignment_sets(connection, exposures)
        row = active_policy(connection, "acceptance")
    rule = (
        AcceptanceRule() if row is None else AcceptanceRule.from_content(row.name, row.version, row.content)
    )
    reason = "relative alignment only"
    if options.catalog is not None:
        release = find_release(options.catalog).name
        regions = reference_regions(sets, rule.search_radius_arcsec, options.origin)
        known = sources_for(catalog, 0, regions, release=release, offline=True, least_fraction=0.0)
        held = f"the catalog holds {len(known.stars)} stars of {release}"
        reason = f"{held} and covers {100 * known.covered_fraction:.1f} % of the field"
    planned = tuple(
        ExposureResult(exposure.rootname, "planned", f"from {start.name}, {part.suffix}")
        for part in sets
        for exposure, start in zip(part.exposures, part.starts, strict=True)
    )
    return VisitResult(visit, "planned", reason, None, planned + excluded)


def _aligned(
    catalog: Catalog,
    run: Run,
    visit: str,
    release: str | None,
    options: AlignOptions,
    on_progress: Callable[[str], None],
) -> VisitResult:
    with catalog.begin() as connection:
        exposures, excluded = _exposures(connection, visit)
        sets = alignment_sets(connection, exposures)
        rule, policy_id = _rule_in_force(connection, run.id)
    name = None if release is None else CATALOG_NAMES[release]
    frame = None if name is None else GAIA_FRAMES[name.upper()]
    sources = None
    if release is not None:
        sources, remedy = _reference(catalog, run.id, sets, rule, release, options)
        if sources.covered_fraction < rule.least_coverage:
            raise _uncovered(catalog, run.id, policy_id, visit, sets, sources, rule, remedy)
    worked: list[tuple[AlignmentSet, str, GroupRow | SetAlignment]] = []
    with OpenExposures(catalog, options.origin) as opened:
        for part in sets:
            inputs = inputs_sha256(part, rule, name, sources, options.origin)
            with catalog.begin() as connection:
                known = next(iter(groups_from(connection, inputs)), None)
            done = known or _worked_out(opened, part, rule, name, sources, options, on_progress)
            worked.append((part, inputs, done))
    with catalog.begin() as connection:
        occasion = Occasion(connection, run.id, policy_id, visit, name, frame, sources, options.origin)
        recorded = [_recorded(occasion, part, inputs, done) for part, inputs, done in worked]
    for part_recorded in recorded:
        for file in part_recorded.headerlets:
            write_headerlet(options.home, file)
    results = tuple(result for part_recorded in recorded for result in part_recorded.exposures)
    return _summary(visit, run.id, results, excluded)


def _exposures(
    connection: Connection, visit: str
) -> tuple[list[EligibleExposure], tuple[ExposureResult, ...]]:
    if not visit_exists(connection, visit):
        raise NotInCatalogError(f"no exposure of visit {visit} in the catalog", "ingest its files first")
    exposures = eligible_exposures(connection, visit=visit)
    excluded = tuple(
        ExposureResult(left.rootname, "excluded", left.reason, code=left.code)
        for left in left_out_exposures(connection, visit=visit)
    )
    timeless = [one for one in exposures if one.mjd_start is None or one.mjd_end is None]
    exposures = [one for one in exposures if one not in timeless]
    excluded += tuple(
        ExposureResult(one.rootname, "excluded", "its time is unknown (EXPSTART, EXPEND)", code="no-time")
        for one in timeless
    )
    if not exposures:
        reasons = "; ".join(f"{one.rootname}: {one.reason}" for one in excluded)
        raise NoViableDataError(f"{visit}: no exposure may be aligned ({reasons})")
    return exposures, excluded


def _rule_in_force(connection: Connection, run_id: int) -> tuple[AcceptanceRule, int]:
    """The user's own rule where one of another name is in force, else the default of this software."""
    row = active_policy(connection, "acceptance")
    default = AcceptanceRule()
    if row is not None and row.name != default.name:
        return AcceptanceRule.from_content(row.name, row.version, row.content), row.policy_id
    return default, ensure_policy(connection, run_id, "acceptance", default.name, default.content())


def _reference(
    catalog: Catalog,
    run_id: int,
    sets: Sequence[AlignmentSet],
    rule: AcceptanceRule,
    release: str,
    options: AlignOptions,
) -> tuple[GaiaSources, str]:
    """Reference stars of the field, and the command that fetches what is not covered."""
    regions = reference_regions(sets, rule.search_radius_arcsec, options.origin)
    sources = sources_for(
        catalog,
        run_id,
        regions,
        release=release,
        service=options.service,
        offline=options.offline,
        least_fraction=0.0,
    )
    return sources, fetch_command(regions, find_release(release))


def _uncovered(
    catalog: Catalog,
    run_id: int,
    policy_id: int,
    visit: str,
    sets: Sequence[AlignmentSet],
    sources: GaiaSources,
    rule: AcceptanceRule,
    remedy: str,
) -> RefusedError:
    """Record that the field is not covered, for every exposure; the error says how to cover it."""
    reason = (
        f"the catalog covers {100 * sources.covered_fraction:.1f} % of the field in {sources.release}, "
        f"less than {100 * rule.least_coverage:g} %"
    )
    with catalog.begin() as connection:
        name = CATALOG_NAMES[sources.release]
        occasion = Occasion(connection, run_id, policy_id, visit, name, None, sources, "hst")
        for part in sets:
            record_uncovered(occasion, part, reason)
    return RefusedError(reason, remedy)


def _worked_out(
    opened: OpenExposures,
    part: AlignmentSet,
    rule: AcceptanceRule,
    name: str | None,
    sources: GaiaSources | None,
    options: AlignOptions,
    on_progress: Callable[[str], None],
) -> SetAlignment:
    found = []
    for number, exposure in enumerate(part.exposures):
        on_progress(f"finding sources of {exposure.rootname}")
        found.append(measured_sources(part, number, opened.image(exposure), rule, options.origin))
    on_progress(f"fitting {len(found)} exposures of {part.detector}")
    known = None if sources is None else catalog_stars(sources, part, part.plane(options.origin))
    return align_set(part, found, known, name, rule, options.origin)


def _recorded(occasion: Occasion, part: AlignmentSet, inputs: str, done: GroupRow | SetAlignment) -> Recorded:
    if isinstance(done, SetAlignment):
        return record_set(occasion, done, inputs)
    return record_unchanged(occasion, part, done, inputs)


def _summary(
    visit: str, run_id: int, results: Sequence[ExposureResult], excluded: tuple[ExposureResult, ...]
) -> VisitResult:
    outcomes = {result.outcome for result in results}
    outcome = next((o for o in ("accepted", "unchanged") if o in outcomes), "refused")
    told = [result for result in results if result.outcome == outcome]
    reason = next((result.reason for result in told if result.code != "reference"), told[0].reason)
    return VisitResult(visit, outcome, reason, run_id, (*results, *excluded))


def write_headerlet(home: Path, file: HeaderletFile) -> None:
    """Write a headerlet where it is missing or differs: aside, synced, then renamed.

    Raises
    ------
    UnusableFileError
        The folder can't be written, or the disk is full; nothing half-written stays.
    """
    path = home / file.path
    partial = path.with_name(f".{path.name}.partial")
    try:
        if path.is_file() and path.read_bytes() == file.content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_synced(partial, file.content)
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise UnusableFileError(
            f"{path}: the headerlet can't be written: {error.strerror}; the alignment itself is recorded",
            "make the folder writable or make room, and run the same command again",
        ) from error


def _write_synced(path: Path, content: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
