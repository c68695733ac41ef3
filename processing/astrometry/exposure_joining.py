"""Exposures join groups one by one by their common stars, the most overlapping first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Evidence, Verdict, refused
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.match_judging import judge_match
from hapctl.processing.astrometry.plane import PlaneFit
from hapctl.processing.astrometry.star_gathering import GrowingList
from hapctl.processing.astrometry.star_matching import (
    ListMatch,
    Search,
    decoy_score,
    match_lists,
    search_figures,
)
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_CELL = 10.0  # arcsec, wider than any pointing error that is searched
_MOST = 1500  # brightest sources of a list that take part in finding its place
_ENOUGH = 60  # stars seen twice, with which those seen once (cosmic rays among them) are not asked
_DEPTHS = 3  # of the search, each a trial


@dataclass
class Joining:
    """A group while it grows."""

    fits: dict[int, PlaneFit]
    evidence: dict[int, Evidence] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    stars: GrowingList = field(default_factory=GrowingList)
    cells: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))


@dataclass(frozen=True)
class _Cells:
    """Squares of the plane in which sources lie.

    Attributes
    ----------
    codes : ndarray of int, shape (u,)
        Of all squares, ascending.
    own : tuple of ndarray of int
        For each exposure, the square of each source, as a place in `codes`.
    beside : ndarray of int, shape (u, 9)
        Each square and its neighbours; u where a neighbour is empty.
    """

    codes: NDArray[np.int64]
    own: tuple[Indices, ...]
    beside: Indices

    @classmethod
    def of(cls, lists: Sequence[StarList]) -> "_Cells":
        every = [_codes(sources.points) for sources in lists]
        codes = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *every]))
        near = codes[:, None] + _STEPS
        beside = np.where(_among(near, codes), np.searchsorted(codes, near), len(codes))
        return cls(codes, tuple(np.searchsorted(codes, own) for own in every), beside)

    def round(self, number: int) -> Indices:
        """The squares of an exposure and all beside them."""
        return self.beside[np.unique(self.own[number])].ravel()


@dataclass(frozen=True)
class _Field:
    """What joining needs to know of all exposures."""

    lists: Sequence[StarList]
    cells: _Cells
    epochs: Sequence[float]
    sets: Sequence[int]
    rule: AcceptanceRule


def join_exposures(
    lists: Sequence[StarList], epochs: Sequence[float], sets: Sequence[int], rule: AcceptanceRule
) -> list[Joining]:
    """Bring exposures onto each other.

    Parameters
    ----------
    lists : sequence of StarList
        Without rows that are not finite.
    epochs : sequence of float
        Julian years.
    sets : sequence of int
        Guide-star set of each exposure.
    rule : AcceptanceRule

    Returns
    -------
    list of Joining
        Every exposure is a member of one. A group also holds evidence and verdicts on exposures that did
        not join it.
    """
    known = _Field(lists, _Cells.of(lists), epochs, sets, rule)
    rest = set(range(len(lists)))
    groups = []
    while rest:
        group = _grown(known, rest)
        groups.append(group)
        rest -= set(group.fits)
    return groups


def _grown(known: _Field, rest: set[int]) -> Joining:
    first = max(rest, key=lambda n: (len(known.lists[n]), -n))
    group = Joining({}, cells=np.zeros(len(known.cells.codes) + 1, dtype=np.bool_))
    _take_in(known, group, first, PlaneFit.identity(), 0.0)
    tried: dict[int, int] = {}
    while True:
        number = _next(known, group, rest - set(group.fits), tried)
        if number is None:
            return group
        tried[number] = _overlap(known, group, number)
        _try(known, group, number)


def _next(known: _Field, group: Joining, waiting: set[int], tried: Mapping[int, int]) -> int | None:
    """The exposure to be tried next: of a guide-star set of the group first, then by overlap."""
    inside = {known.sets[n] for n in group.fits}
    best: tuple[bool, int, int] | None = None
    for number in waiting:
        overlap = _overlap(known, group, number)
        if overlap < known.rule.least_confirmed_stars or overlap < 1.3 * tried.get(number, 0):
            continue
        if tried.get(number) == overlap:
            continue
        key = (known.sets[number] in inside, overlap, -number)
        best = key if best is None else max(best, key)
    return None if best is None else -best[2]


def _overlap(known: _Field, group: Joining, number: int) -> int:
    """Sources in squares of the group."""
    return int(np.count_nonzero(group.cells[known.cells.own[number]]))


def _codes(points: Array) -> NDArray[np.int64]:
    cell = np.floor(points / _CELL).astype(np.int64)
    codes: NDArray[np.int64] = (cell[:, 0] << 24) + cell[:, 1]
    return codes


_STEPS = np.array([(i << 24) + j for i in (-1, 0, 1) for j in (-1, 0, 1)])


def _among(codes: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which codes are of the ascending ones."""
    if len(ascending) == 0:
        return np.zeros(codes.shape, dtype=np.bool_)
    place = np.searchsorted(ascending, codes).clip(0, len(ascending) - 1)
    found: NDArray[np.bool_] = ascending[place] == codes
    return found


def _take_in(known: _Field, group: Joining, number: int, fit: PlaneFit, tolerance: float) -> None:
    sources = known.lists[number]
    motion = known.rule.motion_mas_per_year / 1e3
    group.stars.add(sources, fit(sources.points), known.epochs[number], tolerance, motion)
    group.fits[number] = fit
    group.cells[known.cells.round(number)] = True
    group.cells[-1] = False


def _try(known: _Field, group: Joining, number: int) -> None:
    rule = known.rule
    sources = known.lists[number]
    mine = sources.chosen(np.nonzero(group.cells[known.cells.own[number]])[0][:_MOST])
    theirs = _stars_near(known, group, number)
    years = float(np.max(np.abs(known.epochs[number] - 2000.0 - group.stars.epochs)))
    inside = known.sets[number] in {known.sets[n] for n in group.fits}
    for trials, how in enumerate(_searches(rule, inside, years), start=1):
        match = match_lists(mine, theirs, how)
        if match is None:
            continue
        evidence = _evidence(mine, theirs, match, how, rule, trials)
        group.evidence[number] = evidence
        group.verdicts[number] = judge_match(evidence, rule)
        if group.verdicts[number].accepted:
            _take_in(known, group, number, match.fit, how.settings.least_tolerance)
            return
    if number not in group.verdicts:
        text = f"no offset within {how.settings.radius:g} arcsec brings its stars onto the others'"
        group.verdicts[number] = refused("no-match", text)


def _stars_near(known: _Field, group: Joining, number: int) -> StarList:
    cells = known.cells
    widened = np.unique(cells.codes[np.unique(cells.own[number])][:, None] + _STEPS)
    near = _among(_codes(group.stars.points), widened)
    twice = near & (group.stars.seen > 1)
    stars, _ = group.stars.stars(twice if np.count_nonzero(twice) >= _ENOUGH else near)
    return stars.chosen(slice(None, 2 * _MOST))


def _searches(rule: AcceptanceRule, inside: bool, years: float) -> list[Search]:
    """Small first within a guide-star set; then as far as two pointings may differ."""
    motion = years * rule.motion_mas_per_year / 1e3
    settings = rule.relative_settings()
    least = settings.least_tolerance + motion
    settings = replace(settings, least_tolerance=least, tolerance=settings.tolerance + motion)
    near = replace(settings, radius=rule.set_radius_arcsec, roll_deg=rule.set_roll_deg)
    searches = [Search("relative", near, roll_sigma_deg=0.002, scale_sigma=1e-4)] if inside else []
    return [*searches, Search("relative", settings, roll_sigma_deg=0.05, scale_sigma=1e-4)]


def _evidence(
    sources: StarList, stars: StarList, match: ListMatch, how: Search, rule: AcceptanceRule, trials: int
) -> Evidence:
    return match_evidence(sources, stars, match, how, rule, trials=_DEPTHS * trials, confirmed=match.count)


def match_evidence(
    sources: StarList,
    stars: StarList,
    match: ListMatch,
    how: Search,
    rule: AcceptanceRule,
    *,
    trials: int,
    confirmed: int,
) -> Evidence:
    """What speaks for a match; decoys are asked where its chance is small, but not beyond all doubt.

    Parameters
    ----------
    sources, stars : StarList
        The lists matched.
    match : ListMatch
    how : Search
    rule : AcceptanceRule
    trials : int
        Searches of which this is the best.
    confirmed : int
        Matched stars that are seen in two exposures.
    """
    search = search_figures(sources, stars, match, how, trials)
    expected = search.log10_expected(match.count)
    asked = rule.sure_log10_expected < expected <= rule.most_log10_expected
    decoys = rule.decoys if asked else 0
    score = decoy_score(sources, stars, how, count=decoys, least=match.count)
    centre = sources.points[match.source].mean(axis=0)
    shift = match.fit(centre[None, :])[0] - centre
    return Evidence(
        stars=match.count,
        decoy_score=score,
        log10_chance=match.peak_log10_chance,
        rotation_deg=match.fit.roll_deg,
        scale=match.fit.scale,
        shift_arcsec=float(np.hypot(*shift)),
        rms_mas=match.rms_mas(),
        figures=search.figures() | {"matched_pairs": len(match.source)},
        method=how.method,
        log10_expected=expected,
        confirmed=confirmed,
        decoys=decoys,
    )
