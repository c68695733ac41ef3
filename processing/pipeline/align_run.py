"""`align`: the exposures of a visit, a tile or a list brought into one frame together, as one run.

A ladder of catalogs is climbed, rung by rung, for each set of exposures that may be fitted together. What is
worked out first touches no row; then everything goes in in one transaction, and the headerlet files
follow. A run that is killed between the two is completed by the next one, which finds the same inputs and
writes what is missing from the catalog.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.policies import active_policy, ensure_policy, named_policy, record_policy
from hapctl.archive.reference_catalogs import ReferenceServices
from hapctl.archive.runs import Run, recorded_run
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.pipeline.alignment_climb import Climb, Try
from hapctl.processing.pipeline.alignment_inputs import alignment_sets
from hapctl.processing.pipeline.alignment_ladder import NONE, Ladder
from hapctl.processing.pipeline.alignment_reference import reference_name
from hapctl.processing.pipeline.alignment_repetition import TriedBefore, record_unchanged
from hapctl.processing.pipeline.alignment_rows import (
    Asked,
    ExposureResult,
    Occasion,
    Recorded,
    record_refusal,
    record_set,
)
from hapctl.processing.pipeline.alignment_targets import Chosen, Target, chosen_exposures, locked_exposures
from hapctl.processing.pipeline.headerlet_files import write_headerlet
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.set_alignment import SetAlignment
from sqlalchemy import Connection


@dataclass(frozen=True)
class AlignOptions:
    """How exposures are aligned.

    Attributes
    ----------
    home : Path
        Where headerlets go.
    release : str
        The Gaia release that a ladder's ``GAIA`` stands for.
    catalog : str or None
        The catalog the user named, ``NONE`` for a relative alignment only; None to climb a ladder.
    ladder : str or None
        Name of a ladder policy; None for the one in force.
    services : ReferenceServices or None
        Where catalogs are asked.
    offline : bool
        Use only what the catalog holds.
    origin : {"hst", "fits"}
        Where lookup tables begin.
    changes : mapping
        Entries of the rule of acceptance that differ this time.
    jit_folder : Path or None
        Jitter files that tell guide stars.
    threads : int
        Exposures measured at once.
    """

    home: Path
    release: str = "GAIADR3"
    catalog: str | None = None
    ladder: str | None = None
    services: ReferenceServices | None = None
    offline: bool = False
    origin: LookupOrigin = "hst"
    changes: Mapping[str, Any] = field(default_factory=dict)
    jit_folder: Path | None = None
    threads: int = 2


def catalog_asked(name: str | None) -> str | None:
    """The reference a user named, catalogs as in WCSNAME; `NONE` for none, None for a ladder.

    Raises
    ------
    CatalogUsageError
        There is none of that name.
    """
    if name is None:
        return None
    return NONE if name.upper() == NONE else reference_name(name)


@dataclass(frozen=True)
class TargetResult:
    """What became of a target; ``outcome`` is accepted, refused, unchanged or planned."""

    target: Target
    outcome: str
    reason: str
    run_id: int | None
    exposures: tuple[ExposureResult, ...]

    @property
    def is_better(self) -> bool:
        """Whether an accepted alignment is in force for any of its exposures."""
        return self.outcome in ("accepted", "unchanged")


@dataclass(frozen=True)
class _Rules:
    """The policies of a run."""

    rule: AcceptanceRule
    rule_id: int
    ladder: Ladder
    ladder_id: int


def align_target(
    catalog: Catalog,
    target: Target,
    options: AlignOptions,
    *,
    arguments: Sequence[str] = (),
    on_progress: Callable[[str], None] = lambda _: None,
) -> TargetResult:
    """Align the exposures of a target, record every attempt, and put what was accepted in force.

    Parameters
    ----------
    catalog : Catalog
    target : Target
    options : AlignOptions
    arguments : sequence of str
        The command line, for the run.
    on_progress : callable
        Told in words what is being done.

    Raises
    ------
    NotInCatalogError
        The target is not in the catalog.
    NoViableDataError
        None of its exposures may be aligned.
    RefusedError
        Offline, and too little of the field is covered by any catalog; the remedy is the command that
        fetches it.
    ServiceUnavailableError
        No catalog could be asked.
    """
    parameters = {
        target.scope: target.name,
        "catalog": options.catalog,
        "ladder": options.ladder,
        "release": options.release,
        "offline": options.offline,
        "lookup_origin": options.origin,
        "changes": dict(options.changes),
        "jit": None if options.jit_folder is None else str(options.jit_folder),
    }
    with (
        recorded_run(catalog, "align", parameters, arguments) as run,
        locked_exposures(catalog, run, target, on_progress) as chosen,
    ):
        result = _aligned(catalog, run, target, chosen, options, on_progress)
        run.summary["exposures"] = {e.rootname: [e.outcome, e.wcsname] for e in result.exposures}
        if not result.is_better:
            run.refused(f"{target.name}: {result.reason}")
    return result


def plan_target(catalog: Catalog, target: Target, options: AlignOptions) -> TargetResult:
    """Say which exposures would be aligned, from which solutions, and what catalogs the database holds.

    Nothing is recorded, and no service is asked.
    """
    with catalog.begin() as connection:
        chosen = chosen_exposures(connection, target)
        sets = alignment_sets(connection, chosen, options.jit_folder)
        rule, ladder = _rule(connection, options), _ladder(connection, options)
    climb = Climb(catalog, 0, target, sets, rule, ladder, replace(options, offline=True, services=None))
    planned = tuple(
        ExposureResult(exposure.rootname, "planned", f"from {start.name}, {part.kind}; {known.why}")
        for part in sets
        for exposure, start, known in zip(part.exposures, part.starts, part.priors, strict=True)
    )
    followers = tuple(
        ExposureResult(one.rootname, "planned", "takes the correction of its direct image")
        for part in sets
        for one in part.dispersed
    )
    results = planned + followers
    return TargetResult(target, "planned", climb.held_words(), None, results + _excluded(chosen, results))


def _aligned(
    catalog: Catalog,
    run: Run,
    target: Target,
    chosen: Chosen,
    options: AlignOptions,
    on_progress: Callable[[str], None],
) -> TargetResult:
    with catalog.begin() as connection:
        sets = alignment_sets(connection, chosen, options.jit_folder)
        rules = _rules_in_force(connection, run.id, options)
    climb = Climb(catalog, run.id, target, sets, rules.rule, rules.ladder, options)
    with OpenExposures(catalog, options.origin) as opened:
        tries = [one for part in sets for one in climb.tries(part, opened, on_progress)]
    with catalog.begin() as connection:
        recorded = [_record(connection, run.id, rules, target, options, one) for one in tries]
    climb.raise_unreachable(tries)
    for one in recorded:
        for file in one.headerlets:
            write_headerlet(options.home, file)
    results = [result for one in recorded for result in one.exposures]
    return _summary(target, run.id, results, _excluded(chosen, results))


def _record(
    connection: Connection, run_id: int, rules: _Rules, target: Target, options: AlignOptions, one: Try
) -> Recorded:
    occasion = Occasion(
        connection,
        run_id,
        rules.rule_id,
        rules.ladder_id,
        target,
        one.rung,
        one.catalog,
        None if one.sources is None else one.sources.frame,
        one.sources,
        options.origin,
        asked=_asked(options),
    )
    if isinstance(one.done, SetAlignment):
        return record_set(occasion, one.done, one.inputs_sha256)
    if isinstance(one.done, TriedBefore):
        return record_unchanged(occasion, one.done, one.inputs_sha256)
    record_refusal(occasion, one.part, one.done.code, one.done.reason)
    results = [
        ExposureResult(rootname, "refused", one.done.reason, "joint", one.done.code)
        for rootname in one.part.rootnames
    ]
    return Recorded(tuple(results))


def _asked(options: AlignOptions) -> Asked:
    if options.catalog is None:
        return "ladder"
    return "relative" if options.catalog == NONE else "catalog"


def _rule(connection: Connection, options: AlignOptions) -> AcceptanceRule:
    """The user's own rule where one of another name is in force, else the default of this software."""
    row, default = active_policy(connection, "acceptance"), AcceptanceRule()
    rule = default
    if row is not None and row.name != default.name:
        rule = AcceptanceRule.from_content(row.name, row.version, row.content)
    if not options.changes:
        return rule
    name = f"{rule.name} changed"
    return AcceptanceRule.from_content(name, rule.version, {**rule.content(), **options.changes})


def _ladder(connection: Connection, options: AlignOptions) -> Ladder:
    if options.catalog is not None:
        return Ladder.of_catalog(options.catalog)
    if options.ladder is not None and options.ladder != Ladder.default().name:
        row = named_policy(connection, "ladder", options.ladder)
        return Ladder.from_content(row.name, row.content)
    active = active_policy(connection, "ladder")
    if options.ladder is None and active is not None and active.name != Ladder.default().name:
        return Ladder.from_content(active.name, active.content)
    return Ladder.default()


def _rules_in_force(connection: Connection, run_id: int, options: AlignOptions) -> _Rules:
    """The policies, each with its row; those of this software are put in force where no others are."""
    rule, ladder = _rule(connection, options), _ladder(connection, options)
    if rule.name == AcceptanceRule().name:
        rule_id = ensure_policy(connection, run_id, "acceptance", rule.name, rule.content())
    else:
        rule_id = record_policy(connection, run_id, "acceptance", rule.name, rule.content())
    active = active_policy(connection, "ladder")
    if ladder.name == Ladder.default().name and (active is None or active.name == ladder.name):
        ladder_id = ensure_policy(connection, run_id, "ladder", ladder.name, ladder.content())
    else:
        ladder_id = record_policy(connection, run_id, "ladder", ladder.name, ladder.content())
    return _Rules(rule, rule_id, ladder, ladder_id)


def _excluded(chosen: Chosen, results: Sequence[ExposureResult]) -> tuple[ExposureResult, ...]:
    """What takes no part; a dispersed image whose direct image has no new solution, too."""
    following = {one.rootname for one in results}
    left = [one for one in (*chosen.left_out, *chosen.dispersed) if one.rootname not in following]
    excluded = [ExposureResult(one.rootname, "excluded", one.reason, code=one.code) for one in left]
    reason = "its time is unknown (EXPSTART, EXPEND)"
    excluded += [ExposureResult(o.rootname, "excluded", reason, code="no-time") for o in chosen.timeless]
    return tuple(excluded)


def _summary(
    target: Target, run_id: int, found: Sequence[ExposureResult], excluded: tuple[ExposureResult, ...]
) -> TargetResult:
    """One result for an exposure: the last, and what was refused on the way to it."""
    last: dict[str, ExposureResult] = {}
    refusals: dict[str, list[str]] = {}
    for result in found:
        last[result.rootname] = result
        if result.outcome == "refused":
            refusals.setdefault(result.rootname, []).append(result.reason)
    results = [_with_refusals(result, refusals.get(name, [])) for name, result in sorted(last.items())]
    outcomes = {result.outcome for result in results}
    outcome = next((o for o in ("accepted", "unchanged") if o in outcomes), "refused")
    alike = [result for result in results if result.outcome == outcome]
    told = next((result for result in alike if result.nmatches), alike[0])
    return TargetResult(target, outcome, told.reason, run_id, (*results, *excluded))


def _with_refusals(result: ExposureResult, refusals: Sequence[str]) -> ExposureResult:
    words = list(dict.fromkeys(refusals))
    if result.outcome == "refused":
        return replace(result, reason="; ".join(words))
    if not words:
        return result
    return replace(result, reason=f"{result.reason}; refused before: {'; '.join(words)}")
