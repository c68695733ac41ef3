"""The alignment of a set of exposures on a rung of the ladder, worked out: groups, verdicts, new solutions.

No rows yet. Exposures that can't take part (trailed, without sources) are left out and keep a verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Verdict
from hapctl.processing.astrometry.fitting import root_mean_square
from hapctl.processing.astrometry.headerlet import headerlet_name
from hapctl.processing.astrometry.joint_alignment import (
    ExposureOutcome,
    JointAlignment,
    JointGroup,
    align_jointly,
)
from hapctl.processing.astrometry.plane import sky_matrix_about
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.wcsname import Mode, parse_wcsname, wcstype_text
from hapctl.processing.pipeline.alignment_inputs import AlignmentSet, Measured, exposure_sources
from hapctl.processing.pipeline.alignment_ladder import NONE, Rung
from numpy.typing import NDArray

Keywords = dict[str, str | float | int | bool]

OF_A_FIT = (
    *("RMS_RA", "RMS_DEC", "CRDER1", "CRDER2", "NMATCHES", "FITGEOM", "WCSTYPE", "WCSNAME", "HDRNAME"),
    *("RELGEOM", "RELMATCH", "RELRMS_D", "RELRMS_R", "RELREFIM", "CATALOG", "DATE", "AUTHOR", "DESCRIP"),
    *("FITMETH", "FIT_RMS"),
)
"""Keywords of a fit, which a new one must not inherit."""
MAS_PER_DEGREE = 3.6e6


@dataclass(frozen=True)
class SolvedGroup:
    """A group of exposures with its joint solution.

    Attributes
    ----------
    alignment : JointAlignment
        It is one of the groups of.
    group : JointGroup
    numbers : tuple of int
        Numbers of the members in the set, in the order of the group's solution.
    solutions : dict
        Number in the set to the new solution, named; of the members that have one.
    overlap : dict
        How well the exposures lie on each other before and after; empty where that was not looked at.
    """

    alignment: JointAlignment
    group: JointGroup
    numbers: tuple[int, ...]
    solutions: Mapping[int, WcsSolution]
    overlap: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_absolute(self) -> bool:
        """Whether its solutions are in the catalog's frame."""
        return any(o.frame == "catalog" for o in map(self.outcome, self.solutions))

    def outcome(self, number: int) -> ExposureOutcome:
        """What became of an exposure, by its number in the set."""
        member = self.group.members[self.numbers.index(number)]
        return self.alignment.outcomes[member]

    def matrix(self, number: int) -> NDArray[np.float64]:
        """The transformation of directions, shape (3, 3), that moved an exposure."""
        k, solution = self.position(number), self.group.solution
        return sky_matrix_about(solution.fits[k], solution.centres[k], self.alignment.plane)

    def position(self, number: int) -> int:
        """Where an exposure stands in the group's solution."""
        return self.numbers.index(number)


@dataclass(frozen=True)
class SetAlignment:
    """What was worked out for a set on a rung.

    Attributes
    ----------
    part : AlignmentSet
    rung : Rung
    catalog : str or None
        As it is spelt in WCSNAME.
    reference : ReferenceStars or None
        What `SourceMatches.reference` counts.
    measured : tuple of Measured
        Of each exposure.
    outcomes : dict
        Number in the set to what became of the exposure; not of those that could not take part.
    groups : tuple of SolvedGroup
        Those with a new solution, the largest first.
    """

    part: AlignmentSet
    rung: Rung
    catalog: str | None
    reference: ReferenceStars | None
    measured: tuple[Measured, ...]
    outcomes: Mapping[int, ExposureOutcome]
    groups: tuple[SolvedGroup, ...]
    alignments: Mapping[int, JointAlignment] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether the rung ends the climb: anything on the catalog, or, without one, anything at all."""
        wanted = "relative" if self.rung.is_relative_only else "catalog"
        return any(o.solution is not None and o.frame == wanted for o in self.outcomes.values())

    def geometry_of(self, number: int) -> str:
        """What was solved for of an exposure, as FITGEOM names it."""
        return self.rung.fit_geometry(self.part.priors[number].prior)

    def group_of(self, number: int) -> SolvedGroup | None:
        """The group in which an exposure got its new solution, if it did."""
        return next((group for group in self.groups if number in group.solutions), None)


def align_set(
    part: AlignmentSet,
    measured: Sequence[Measured],
    reference: ReferenceStars | None,
    catalog: str | None,
    rung: Rung,
    rule: AcceptanceRule,
    mode: Mode,
    origin: LookupOrigin,
) -> SetAlignment:
    """Align the exposures of a set on a rung of the ladder.

    Parameters
    ----------
    part : AlignmentSet
    measured : sequence of Measured
        Of each exposure.
    reference : ReferenceStars or None
        None for a relative alignment only.
    catalog : str or None
        As it is spelt in WCSNAME.
    rung : Rung
    rule : AcceptanceRule
        In force; the rung may change its entries.
    mode : {"SVM", "MVM", "REL", "IMG", "EVM"}
        For the names of the solutions.
    origin : {"hst", "fits"}
    """
    fit = [number for number in range(len(part)) if measured[number].refusal is None]
    together = [fit] if rung.method == "relative" else [[number] for number in fit]
    outcomes: dict[int, ExposureOutcome] = {}
    alignments: dict[int, JointAlignment] = {}
    groups: list[SolvedGroup] = []
    for numbers in filter(None, together):
        exposures = [exposure_sources(part, number, measured[number].sources, rung) for number in numbers]
        done = align_jointly(exposures, reference, rung.rule_for(rule), origin=origin)
        outcomes |= dict(zip(numbers, done.outcomes, strict=True))
        alignments |= dict.fromkeys(numbers, done)
        groups += _solved_groups(part, numbers, done, rung, catalog, mode)
    return SetAlignment(part, rung, catalog, reference, tuple(measured), outcomes, tuple(groups), alignments)


def _solved_groups(
    part: AlignmentSet,
    numbers: Sequence[int],
    done: JointAlignment,
    rung: Rung,
    catalog: str | None,
    mode: Mode,
) -> list[SolvedGroup]:
    """The groups of a joint alignment with new solutions, named.

    Merely relative ones count where no catalog is asked for, or beside a group on the catalog: else a later
    rung may do better.
    """
    frames = {outcome.frame for outcome in done.outcomes if outcome.solution is not None}
    wanted = frames if rung.is_relative_only or "catalog" in frames else set()
    found = []
    for position, group in enumerate(done.groups):
        members = [m for m in group.members if done.outcomes[m].group == position]
        solutions = {
            numbers[m]: _named(part, numbers[m], done.outcomes[m], group, rung, catalog, mode)
            for m in members
            if done.outcomes[m].solution is not None and done.outcomes[m].frame in wanted
        }
        if solutions:
            own = tuple(numbers[member] for member in group.members)
            found.append(SolvedGroup(done, group, own, solutions))
    return found


def _named(
    part: AlignmentSet,
    number: int,
    outcome: ExposureOutcome,
    group: JointGroup,
    rung: Rung,
    catalog: str | None,
    mode: Mode,
) -> WcsSolution:
    assert outcome.solution is not None
    start, suffix = part.starts[number], part.exposures[number].suffix
    target = catalog if outcome.frame == "catalog" and catalog else NONE
    name = f"{base_of(start.name)}-FIT_{mode}_{target}"
    named = replace(outcome.solution, name=name, problem="")
    keywords = {k: v for k, v in start.keywords.items() if k not in OF_A_FIT}
    keywords |= _keywords(outcome, group, rung.fit_geometry(part.priors[number].prior))
    keywords |= {"CATALOG": target, "WCSTYPE": wcstype_text(name)}
    keywords |= {"HDRNAME": headerlet_name(named, suffix)}
    return replace(named, keywords=keywords)


def base_of(name: str) -> str:
    """What stands before the first hyphen of a WCSNAME."""
    parsed = parse_wcsname(name)
    return parsed.base.split("-")[0] if parsed.kind == "user" else parsed.base


def _keywords(outcome: ExposureOutcome, group: JointGroup, geometry: str) -> Keywords:
    """Figures of the fit: RMS in mas, CRDER (degrees) the error that is predicted for a coordinate."""
    matches, rms = fit_figures(outcome, group)
    crder = outcome.predicted_error_mas / np.sqrt(2.0) / MAS_PER_DEGREE
    keywords: Keywords = {"RMS_RA": _rounded(rms[0]), "RMS_DEC": _rounded(rms[1]), "NMATCHES": matches}
    keywords |= {"CRDER1": float(crder), "CRDER2": float(crder), "FITGEOM": geometry}
    if len(group.members) > 1:
        shared = outcome.matches.weights > 0
        rms = root_mean_square(outcome.matches.residuals[shared]) if shared.any() else np.full(2, np.nan)
        keywords |= {"RELGEOM": geometry, "RELMATCH": int(np.count_nonzero(shared))}
        keywords |= {"RELRMS_R": _rounded(rms[0]), "RELRMS_D": _rounded(rms[1]), "RELREFIM": "N/A"}
    return keywords


def fit_figures(outcome: ExposureOutcome, group: JointGroup | None) -> tuple[int, NDArray[np.float64]]:
    """Stars of an exposure that tie it, and their rms in mas, shape (2,).

    In the catalog's frame the stars of the catalog; an exposure without any came along with the
    others: 0 stars, and the rms of the group's catalog stars. Else the stars shared with other exposures.
    """
    matches = outcome.matches
    if outcome.frame != "catalog":
        return int(np.count_nonzero(matches.weights > 0)), np.asarray(outcome.rms_mas)
    own = int(np.count_nonzero(matches.ties))
    if own or group is None:
        return own, np.asarray(outcome.rms_mas)
    used = group.solution.catalog_weights > 0
    if not used.any():
        return 0, np.full(2, np.nan)
    return 0, 1e3 * root_mean_square(group.solution.catalog_residuals[used])


def _rounded(value: float) -> float:
    """Microarcseconds suffice; -1 is HST's way to say that there is none."""
    return round(float(value), 3) if np.isfinite(value) else -1.0


def verdict_on(done: SetAlignment, number: int) -> Verdict:
    """The word on an exposure on this rung; of one that is only relative, that on it among the others."""
    unfit = done.measured[number].refusal
    if unfit is not None:
        return unfit
    outcome = done.outcomes[number]
    among = outcome.relative
    fitted = outcome.frame == "relative" and done.group_of(number) is not None
    if among is not None and (fitted or (done.rung.is_relative_only and not among.accepted)):
        return among
    if done.rung.is_relative_only and outcome.verdict.code == "no-catalog":
        return Verdict(False, "alone", "no other exposure is left to align it with")
    return outcome.verdict
