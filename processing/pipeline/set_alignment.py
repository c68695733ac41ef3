"""The alignment of one set of exposures, worked out: groups, fits, verdicts, new solutions. No rows yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.astrometry.absolute_alignment import AbsoluteFit, CatalogPairs, align_group
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Verdict
from hapctl.processing.astrometry.fitting import root_mean_square
from hapctl.processing.astrometry.headerlet import headerlet_name
from hapctl.processing.astrometry.plane import (
    PlaneFit,
    TangentPlane,
    moved_solution,
    sky_matrix,
)
from hapctl.processing.astrometry.relative_alignment import Group, align_in_groups, member_rms
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.source_list import SourceList
from hapctl.processing.astrometry.wcsname import parse_wcsname, wcstype_text
from hapctl.processing.pipeline.alignment_inputs import AlignmentSet, CatalogStars
from numpy.typing import NDArray

Keywords = dict[str, str | float | int | bool]

_OF_A_FIT = (
    *("RMS_RA", "RMS_DEC", "CRDER1", "CRDER2", "NMATCHES", "FITGEOM", "WCSTYPE", "WCSNAME", "HDRNAME"),
    *("RELGEOM", "RELMATCH", "RELRMS_D", "RELRMS_R", "RELREFIM", "CATALOG", "DATE", "AUTHOR", "DESCRIP"),
    *("FITMETH", "FIT_RMS"),
)
"""Keywords of a fit, which a new one must not inherit."""


@dataclass(frozen=True)
class AlignedGroup:
    """A group of exposures and what came of it.

    Attributes
    ----------
    group : Group
    absolute : AbsoluteFit or None
        None where no catalog was asked for.
    solutions : dict
        Exposure number to its new solution; empty where the group keeps what it had.
    """

    group: Group
    absolute: AbsoluteFit | None
    solutions: Mapping[int, WcsSolution]

    @property
    def is_absolute(self) -> bool:
        """Whether the group was accepted on a catalog."""
        return self.absolute is not None and self.absolute.verdict.accepted

    def total_fit(self, number: int) -> PlaneFit:
        """What took an exposure from its start to its new place."""
        own = self.group.members[number].fit
        if self.absolute is None or self.absolute.fit is None:
            return own
        return self.absolute.fit.after(own)


@dataclass(frozen=True)
class SetAlignment:
    """What was worked out for a set.

    Attributes
    ----------
    part : AlignmentSet
    plane : TangentPlane
        In which the fits are.
    sources : tuple of SourceList
        Of each exposure.
    known : CatalogStars or None
    groups : tuple of AlignedGroup
        The first holds the exposure with most sources; others are of exposures that did not join it.
    relative : dict
        Exposure number to the verdict on its relative fit; not of the reference exposures.
    """

    part: AlignmentSet
    plane: TangentPlane
    sources: tuple[SourceList, ...]
    known: CatalogStars | None
    groups: tuple[AlignedGroup, ...]
    relative: Mapping[int, Verdict]


def align_set(
    part: AlignmentSet,
    sources: Sequence[SourceList],
    known: CatalogStars | None,
    catalog: str | None,
    rule: AcceptanceRule,
    origin: LookupOrigin,
) -> SetAlignment:
    """Align the exposures of a set to each other, then to the catalog.

    Parameters
    ----------
    part : AlignmentSet
    sources : sequence of SourceList
        Of each exposure.
    known : CatalogStars or None
        None for a relative alignment only.
    catalog : str or None
        As it is spelt in WCSNAME.
    rule : AcceptanceRule
    origin : {"hst", "fits"}
    """
    plane = part.plane(origin)
    lists = [found.in_plane(plane) for found in sources]
    groups, verdicts = align_in_groups(lists, rule)
    aligned = []
    for group in groups:
        fitted = None
        if known is not None:
            fitted = align_group(group, lists, part.rootnames, known.places, rule)
        aligned.append(_with_solutions(part, plane, AlignedGroup(group, fitted, {}), catalog))
    return SetAlignment(part, plane, tuple(sources), known, tuple(aligned), verdicts)


def _with_solutions(
    part: AlignmentSet, plane: TangentPlane, aligned: AlignedGroup, catalog: str | None
) -> AlignedGroup:
    members = aligned.group.members
    if not aligned.is_absolute and len(members) < 2:
        return aligned
    reference = catalog if aligned.is_absolute and catalog is not None else "NONE"
    solutions = {}
    for number, member in members.items():
        matrix = sky_matrix(member.fit, plane)
        if aligned.is_absolute and aligned.absolute is not None and aligned.absolute.fit is not None:
            matrix = sky_matrix(aligned.absolute.fit, plane) @ matrix
        moved = moved_solution(part.starts[number], matrix)
        name = f"{_base(moved.name)}-FIT_SVM_{reference}"
        named = replace(moved, name=name, problem="")
        keywords = {k: v for k, v in moved.keywords.items() if k not in _OF_A_FIT}
        keywords |= _keywords(part, aligned, number)
        keywords |= {"WCSTYPE": wcstype_text(name), "HDRNAME": headerlet_name(named, part.suffix)}
        solutions[number] = replace(named, keywords=keywords)
    return replace(aligned, solutions=solutions)


def _base(name: str) -> str:
    """What stands before the first hyphen of a WCSNAME."""
    parsed = parse_wcsname(name)
    return parsed.base.split("-")[0] if parsed.kind == "user" else parsed.base


def _keywords(part: AlignmentSet, aligned: AlignedGroup, number: int) -> Keywords:
    group, member = aligned.group, aligned.group.members[number]
    keywords: Keywords = {}
    if len(group.members) > 1:
        rms = 1e3 * member_rms(group, number)
        reference = part.exposures[group.reference].rootname
        keywords["RELGEOM"] = "N/A" if member.evidence is None else member.evidence.geometry
        keywords["RELMATCH"] = relative_matches(group, number)
        keywords["RELRMS_R"], keywords["RELRMS_D"] = _rounded(rms[0]), _rounded(rms[1])
        keywords["RELREFIM"] = f"{reference}_{part.suffix}.fits"
    if aligned.is_absolute and aligned.absolute is not None and aligned.absolute.evidence is not None:
        matches, rms = absolute_figures(aligned.absolute, number)
        geometry: str = aligned.absolute.evidence.geometry
    else:
        matches, rms = relative_matches(group, number), 1e3 * member_rms(group, number)
        geometry = member.evidence.geometry if member.evidence else _geometry_of_others(group)
    keywords |= {"RMS_RA": _rounded(rms[0]), "RMS_DEC": _rounded(rms[1]), "NMATCHES": matches}
    keywords |= {"CRDER1": _rounded(rms[0]) / 3.6e6, "CRDER2": _rounded(rms[1]) / 3.6e6, "FITGEOM": geometry}
    return keywords


def _geometry_of_others(group: Group) -> str:
    return next(m.evidence.geometry for m in group.members.values() if m.evidence is not None)


def _rounded(value: float) -> float:
    """Microarcseconds suffice; -1 is HST's way to say that there is none."""
    return round(float(value), 3) if np.isfinite(value) else -1.0


def relative_matches(group: Group, number: int) -> int:
    """How many of an exposure's stars took part in the relative fit."""
    return int(np.count_nonzero(group.members[number].weights > 0))


def absolute_figures(fitted: AbsoluteFit, number: int) -> tuple[int, NDArray[np.float64]]:
    """Stars of an exposure that the absolute fit used, and their rms in mas, shape (2,).

    Of an exposure without such stars, which came along with the others, the rms of the whole group.
    """
    pairs = fitted.pairs.get(number)
    if pairs is None:
        return 0, np.full(2, np.nan)
    if not pairs.used.any():
        return 0, 1e3 * _group_rms(fitted.pairs)
    return int(np.count_nonzero(pairs.used)), 1e3 * root_mean_square(pairs.residuals[pairs.used])


def _group_rms(pairs: Mapping[int, CatalogPairs]) -> NDArray[np.float64]:
    return root_mean_square(np.concatenate([own.residuals[own.used] for own in pairs.values()]))
