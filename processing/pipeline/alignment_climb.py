"""The climb of a ladder by a set of exposures: rung by rung, until something is accepted."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hapctl.archive.alignments import groups_from, was_tried
from hapctl.archive.database import Catalog
from hapctl.archive.errors import ArchiveError, ServiceUnavailableError
from hapctl.archive.reference_answers import ReferenceSources
from hapctl.archive.reference_catalogs import fetch_command, find_catalog
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.gaia_cleaning import clean_stars
from hapctl.processing.errors import ProcessingError, RefusedError
from hapctl.processing.pipeline.alignment_inputs import (
    AlignmentSet,
    Measured,
    inputs_sha256,
    mean_epoch,
    measured_set,
    reference_regions,
)
from hapctl.processing.pipeline.alignment_ladder import GAIA, Ladder, Rung
from hapctl.processing.pipeline.alignment_reference import (
    is_local,
    reference_for_alignment,
    reference_name,
)
from hapctl.processing.pipeline.alignment_repetition import TriedBefore
from hapctl.processing.pipeline.alignment_targets import Target
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.overlap_check import checked
from hapctl.processing.pipeline.set_alignment import SetAlignment, align_set

if TYPE_CHECKING:
    from hapctl.processing.pipeline.align_run import AlignOptions


@dataclass(frozen=True)
class Unreachable:
    """A rung that could not be tried; ``error`` is raised where no other rung was, if there is one."""

    code: str
    reason: str
    error: ProcessingError | ArchiveError | None = None
    sources: ReferenceSources | None = None


@dataclass(frozen=True)
class Try:
    """A rung tried by a set.

    Attributes
    ----------
    part : AlignmentSet
    rung : Rung
    catalog : str or None
        As it is spelt in WCSNAME; None without one.
    sources : ReferenceSources or None
    inputs_sha256 : str
        Content address of what went in; empty where the catalog was not at hand.
    done : SetAlignment, TriedBefore or Unreachable
    """

    part: AlignmentSet
    rung: Rung
    catalog: str | None
    sources: ReferenceSources | None
    inputs_sha256: str
    done: "SetAlignment | TriedBefore | Unreachable"


class Climb:
    """Climbs one ladder with all sets of a target; catalogs are asked once, sources measured once.

    Parameters
    ----------
    catalog : Catalog
    run_id : int
        The run that new catalog answers belong to.
    target : Target
    sets : sequence of AlignmentSet
    rule : AcceptanceRule
    ladder : Ladder
    options : AlignOptions
    """

    def __init__(
        self,
        catalog: Catalog,
        run_id: int,
        target: Target,
        sets: Sequence[AlignmentSet],
        rule: AcceptanceRule,
        ladder: Ladder,
        options: "AlignOptions",
    ) -> None:
        self._catalog = catalog
        self._run_id = run_id
        self._target = target
        self._sets = sets
        self._rule = rule
        self._ladder = ladder
        self._options = options
        self._mode = target.mode(sum(map(len, sets)))
        self._known: dict[str, ReferenceSources | Unreachable] = {}

    def tries(
        self, part: AlignmentSet, opened: OpenExposures, on_progress: Callable[[str], None]
    ) -> Iterator[Try]:
        """Try rung after rung until one is accepted."""
        measured: list[Measured] = []
        told: list[Unreachable] = []
        reached = False
        rungs = self._ladder.for_exposures(len(part))
        if not rungs:
            alone = Unreachable("alone", "a relative alignment needs two exposures")
            yield Try(part, self._ladder.rungs[0], None, None, "", alone)
        for rung in rungs:
            sources = None if rung.is_relative_only else self._sources(rung, on_progress)
            if isinstance(sources, Unreachable):
                if not any(sources is other for other in told):
                    yield Try(part, rung, self._name(rung), sources.sources, "", sources)
                told.append(sources)
                continue
            if rung.is_relative_only and told and not reached:
                return  # no catalog was at hand: then nothing is changed
            reached = True
            one = self._tried(part, rung, sources, opened, measured, on_progress)
            yield one
            if not isinstance(one.done, Unreachable) and one.done.accepted:
                return

    def _tried(
        self,
        part: AlignmentSet,
        rung: Rung,
        sources: ReferenceSources | None,
        opened: OpenExposures,
        measured: list[Measured],
        on_progress: Callable[[str], None],
    ) -> Try:
        name, origin = None if sources is None else sources.name, self._options.origin
        inputs = inputs_sha256(part, self._rule, rung, name, sources, self._mode, origin)
        with self._catalog.begin() as connection:
            before = was_tried(connection, inputs)
            groups = tuple(groups_from(connection, inputs))
        if before is not None:
            return Try(part, rung, name, sources, inputs, TriedBefore(part, before, groups))
        if not measured:
            threads = self._options.threads
            measured += measured_set(opened, part, self._rule, origin, threads, on_progress)
        target = "each other" if name is None else name
        on_progress(f"fitting {len(part)} exposures to {target} ({rung.method}, {rung.geometry})")
        stars = None if sources is None else clean_stars(sources.stars, sources.release).stars
        done = align_set(part, measured, stars, name, rung, self._rule, self._mode, origin)
        done = checked(done, opened, rung.rule_for(self._rule), origin)
        return Try(part, rung, name, sources, inputs, done)

    def _name(self, rung: Rung) -> str:
        asked = self._options.release if rung.catalog == GAIA else rung.catalog
        return reference_name(asked)

    def _sources(self, rung: Rung, on_progress: Callable[[str], None]) -> ReferenceSources | Unreachable:
        name = self._name(rung)
        if name not in self._known:
            self._known[name] = sources = self._asked(name)
            for note in () if isinstance(sources, Unreachable) else sources.notes:
                on_progress(f"{name.removeprefix('file:')}: {note}")
        return self._known[name]

    def _asked(self, name: str) -> ReferenceSources | Unreachable:
        """The stars of a catalog in the field, or why there are none to be had."""
        regions = reference_regions(self._sets, self._rule.search_radius_arcsec, self._options.origin)
        try:
            sources = reference_for_alignment(
                self._catalog,
                self._run_id,
                regions,
                name=name,
                services=self._options.services,
                offline=self._options.offline,
                least_fraction=0.0,
                epoch=mean_epoch(self._sets),
                origin=self._options.origin,
            )
        except ServiceUnavailableError as error:
            return Unreachable("service", f"{name} could not be asked: {error.message}", error)
        if sources.covered_fraction < self._rule.least_coverage:
            reason = (
                f"the catalog covers {100 * sources.covered_fraction:.1f} % of the field in "
                f"{sources.release}, less than {100 * self._rule.least_coverage:g} %"
            )
            remedy = "a reference must cover the field"
            if not is_local(name):
                remedy = fetch_command(regions, find_catalog(name))
            return Unreachable("too-little-coverage", reason, RefusedError(reason, remedy), sources)
        return sources

    def raise_unreachable(self, tries: Sequence[Try]) -> None:
        """Raise the first catalog's error where no catalog could be tried at all."""
        missing = [one.done for one in tries if isinstance(one.done, Unreachable)]
        errors = [one.error for one in missing if one.error is not None]
        if errors and len(missing) == len(tries):
            raise errors[0]

    def held_words(self) -> str:
        """Say what the database holds of the ladder's catalogs in the field."""
        names = dict.fromkeys(self._name(rung) for rung in self._ladder.rungs if not rung.is_relative_only)
        words = [self._held(name) for name in names]
        return "; ".join(words) if words else "relative alignment only"

    def _held(self, name: str) -> str:
        if is_local(name):
            return f"the reference is {name}"
        known = self._asked(name)
        if isinstance(known, Unreachable):
            return known.reason
        part = f"covers {100 * known.covered_fraction:.1f} % of the field"
        return f"the catalog holds {len(known.stars)} stars of {name} and {part}"
