"""Exposures aligned together, from measured sources to judged solutions: associate, solve, judge.

The one door of the alignment for the catalog's commands, for those without a catalog, for simulations and
benchmarks. Nothing here knows where sources or reference stars come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Evidence, Verdict, refused
from hapctl.processing.astrometry.fitting import root_mean_square
from hapctl.processing.astrometry.group_matching import Association, associate
from hapctl.processing.astrometry.joint_groups import Field, SolvedGroup, solve_group
from hapctl.processing.astrometry.joint_model import ExposurePrior, JointExposure, JointSolution
from hapctl.processing.astrometry.joint_problem import catalogs_at, exposure_in_plane
from hapctl.processing.astrometry.joint_solution import predicted_error
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import (
    PlaneFit,
    TangentPlane,
    moved_solution,
    sky_matrix_about,
    sky_positions,
)
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.solution_judging import ExposureJudgement
from hapctl.processing.astrometry.source_list import SourceList, middle_of
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
GRID_POINTS = 9
"""Points along a side of a chip at which the predicted error is taken."""


@dataclass(frozen=True)
class ExposureSources:
    """An exposure to be aligned.

    Attributes
    ----------
    rootname : str
    start : WcsSolution
        Where the alignment begins; the positions of `sources` are by it.
    sources : SourceList
    mjd : float
        Middle of the exposure, UTC.
    prior : ExposurePrior
    """

    rootname: str
    start: WcsSolution
    sources: SourceList
    mjd: float
    prior: ExposurePrior


@dataclass(frozen=True)
class SourceMatches:
    """The sources of one exposure that belong to stars of the solution; arrays of n rows.

    Attributes
    ----------
    source : ndarray of int
        Index into the exposure's `SourceList`.
    star : ndarray of int
        Index into the stars of the group's `JointSolution`.
    reference : ndarray of int
        Row of the reference stars given; -1 for a star of no catalog.
    star_ra, star_dec : ndarray
        The star at the epoch of the exposure by the solution, degrees.
    catalog_ra, catalog_dec : ndarray
        The same by the catalog alone; NaN for a star of no catalog.
    residuals : ndarray, shape (n, 2)
        Measured minus star, mas east and north.
    catalog_residuals : ndarray, shape (n, 2)
        Measured minus catalog, mas; NaN for a star of no catalog.
    errors : ndarray
        Expected error of a coordinate of the residual, mas.
    weights : ndarray
        Robust weight, 0 to 1.
    catalog_weights : ndarray
        Robust weight of the star's catalog position, 0 to 1; 0 is rejected, or a star of no catalog.
    """

    source: Indices
    star: Indices
    reference: Indices
    star_ra: Array
    star_dec: Array
    catalog_ra: Array
    catalog_dec: Array
    residuals: Array
    catalog_residuals: Array
    errors: Array
    weights: Array
    catalog_weights: Array

    @property
    def ties(self) -> NDArray[np.bool_]:
        """Which of them tie the exposure to the catalog."""
        return (self.weights > 0) & (self.reference >= 0) & (self.catalog_weights > 0)


@dataclass(frozen=True)
class ExposureOutcome:
    """What became of one exposure.

    Attributes
    ----------
    rootname : str
    verdict : Verdict
        On the exposure in its group and on the group in the catalog: the first refusal, or acceptance.
    relative : Verdict or None
        On the exposure among the others alone; None where it had no companion.
    group : int
        Number of its group; -1 where it belongs to none.
    frame : {"catalog", "relative", "none"}
        What the new solution is good against; ``none`` where there is no new solution.
    solution : WcsSolution or None
        The start moved; still under the start's name and keywords.
    fit : PlaneFit or None
        Takes the starting positions to the new ones, in the plane of the alignment.
    matches : SourceMatches
    rms_mas : ndarray, shape (2,)
        Of the used sources against the catalog (frame catalog) or against the other exposures.
    predicted_error_mas : float
        Root mean square over a grid on all chips of the two-dimensional error of position, by the full
        covariance, the catalog's common floor included; NaN where there is no solution.
    evidence : Evidence or None
    """

    rootname: str
    verdict: Verdict
    relative: Verdict | None
    group: int
    frame: Literal["catalog", "relative", "none"]
    solution: WcsSolution | None
    fit: PlaneFit | None
    matches: SourceMatches
    rms_mas: Array
    predicted_error_mas: float
    evidence: Evidence | None


@dataclass(frozen=True)
class JointGroup:
    """Exposures that were solved together.

    Attributes
    ----------
    members : tuple of int
        Exposure numbers, in the order of `solution`.
    solution : JointSolution
    verdict : Verdict
        On the group in the catalog; of a relative group, why it is only that.
    evidence : Evidence or None
        Of the group in the catalog; None where no catalog was tried.
    """

    members: tuple[int, ...]
    solution: JointSolution
    verdict: Verdict
    evidence: Evidence | None = None


@dataclass(frozen=True)
class JointAlignment:
    """The outcome of `align_jointly`; the first group is the largest."""

    plane: TangentPlane
    outcomes: tuple[ExposureOutcome, ...]
    groups: tuple[JointGroup, ...]


def align_jointly(
    exposures: Sequence[ExposureSources],
    reference: ReferenceStars | None,
    rule: AcceptanceRule,
    *,
    origin: LookupOrigin = "hst",
) -> JointAlignment:
    """Align exposures to each other and to a reference catalog, all at once.

    Parameters
    ----------
    exposures : sequence of ExposureSources
        Of any visits, filters and epochs; those that do not overlap become groups of their own.
    reference : ReferenceStars or None
        None for a relative alignment: then a group stays, on the mean of the priors, where it was.
    rule : AcceptanceRule
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    JointAlignment
        The same for the same input, bit by bit.
    """
    plane = middle_of([exposure.start for exposure in exposures], origin)
    brightest = None if reference is None else np.argsort(reference.phot_g_mean_mag, kind="stable")
    field = _field(exposures, None if reference is None else reference[brightest], rule, plane, origin)
    sets = [exposure.prior.guide_star_set for exposure in exposures]
    association = associate(field.lists, field.epochs, field.catalogs, rule, sets=sets)
    outcomes: dict[int, ExposureOutcome] = {}
    groups: list[JointGroup] = []
    for members, match in zip(association.groups, association.absolute, strict=True):
        on_catalog = match is not None and match.verdict.accepted
        if not on_catalog and len(members) < 2:
            outcomes[members[0]] = _left_alone(exposures[members[0]].rootname, members[0], association)
            continue
        done = _group_outcome(field, association, members, on_catalog)
        writer = _Outcomes(exposures, field, brightest, origin, len(groups), done)
        outcomes |= {number: writer.of_member(place) for place, number in enumerate(done.group.members)}
        for number, judged in done.put_out.items():
            outcomes[number] = _without(exposures[number].rootname, judged)
        groups.append(JointGroup(done.group.members, done.group.solution, done.verdict, done.evidence))
    return JointAlignment(plane, tuple(outcomes[n] for n in range(len(exposures))), tuple(groups))


def _field(
    exposures: Sequence[ExposureSources],
    reference: ReferenceStars | None,
    rule: AcceptanceRule,
    plane: TangentPlane,
    origin: LookupOrigin,
) -> Field:
    seen: list[JointExposure] = []
    for exposure in exposures:
        corners = _grid(exposure.start, plane, origin, 2)
        centre = 0.5 * (corners.min(axis=0) + corners.max(axis=0))
        seen.append(exposure_in_plane(exposure.rootname, exposure.mjd, centre, exposure.prior, plane))
    catalogs = None
    if reference is not None:
        catalogs = tuple(catalogs_at(reference, [exposure.mjd for exposure in exposures], plane))
    lists = tuple(exposure.sources.in_plane(plane) for exposure in exposures)
    return Field(plane, tuple(seen), lists, reference, catalogs, rule)


def _grid(solution: WcsSolution, plane: TangentPlane, origin: LookupOrigin, number: int) -> Array:
    """Points on all chips, as many along each side, in the plane."""
    points = []
    for chip in solution.chips:
        rows, columns = (np.linspace(0.0, size - 1.0, number) for size in chip.shape)
        y, x = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
        points.append(plane.project_sky(*pixel_to_sky(chip, x, y, origin)))
    return np.concatenate(points)


@dataclass(frozen=True)
class _Done:
    """A group at its end: what holds, the word on it in the catalog and why, and who was put out."""

    group: SolvedGroup
    verdict: Verdict
    evidence: Evidence | None
    put_out: Mapping[int, ExposureJudgement]


def _group_outcome(field: Field, association: Association, members: Sequence[int], on_catalog: bool) -> _Done:
    """Solve a group on the catalog; where that is refused, by itself."""
    group, put_out = solve_group(field, association, members, on_catalog=on_catalog)
    judgement = group.judgement
    if on_catalog and not judgement.verdict.accepted and len(group.members) > 1:
        group, put_out = solve_group(field, association, members, on_catalog=False)
    return _Done(group, judgement.verdict, judgement.evidence if on_catalog else None, put_out)


def _left_alone(rootname: str, number: int, association: Association) -> ExposureOutcome:
    """An exposure that belongs to no other and not to the catalog: it keeps what it has."""
    match = next(m for g, m in zip(association.groups, association.absolute, strict=True) if number in g)
    relative = association.relative_verdicts.get(number)
    verdict = relative or refused("no-catalog", "no catalog was asked for and there is no other exposure")
    evidence = association.relative.get(number)
    if match is not None:
        verdict, evidence = match.verdict, match.evidence or evidence
    return _without(rootname, ExposureJudgement(verdict, relative, evidence))


def _without(rootname: str, judged: ExposureJudgement) -> ExposureOutcome:
    """The outcome of an exposure that has no new solution."""
    none, empty, pairs = np.zeros(0, dtype=np.intp), np.zeros(0), np.zeros((0, 2))
    matches = SourceMatches(none, none, none, empty, empty, empty, empty, pairs, pairs, empty, empty, empty)
    unknown = np.full(2, np.nan)
    return ExposureOutcome(
        rootname,
        judged.verdict,
        judged.relative,
        group=-1,
        frame="none",
        solution=None,
        fit=None,
        matches=matches,
        rms_mas=unknown,
        predicted_error_mas=float("nan"),
        evidence=judged.evidence,
    )


@dataclass(frozen=True)
class _Outcomes:
    """What becomes of the members of a group; `brightest` orders reference stars as the field has them."""

    exposures: Sequence[ExposureSources]
    field: Field
    brightest: Indices | None
    origin: LookupOrigin
    number: int
    done: _Done

    def of_member(self, place: int) -> ExposureOutcome:
        """Of the exposure at a place of the group."""
        group = self.done.group
        number = group.members[place]
        exposure, judged = self.exposures[number], group.judgement.exposures[number]
        verdict = judged.verdict if self.done.verdict.accepted else self.done.verdict
        frame = self._frame(judged, verdict)
        if frame == "none":
            return replace(_without(exposure.rootname, judged), verdict=verdict, group=self.number)
        fit = group.solution.fits[place]
        matches = self._matches(place)
        matrix = sky_matrix_about(fit, group.solution.centres[place], self.field.plane)
        return ExposureOutcome(
            rootname=exposure.rootname,
            verdict=verdict,
            relative=judged.relative,
            group=self.number,
            frame=frame,
            solution=moved_solution(exposure.start, matrix),
            fit=fit,
            matches=matches,
            rms_mas=_rms(matches, frame),
            predicted_error_mas=self._predicted(place),
            evidence=judged.evidence,
        )

    def _frame(self, judged: ExposureJudgement, verdict: Verdict) -> Literal["catalog", "relative", "none"]:
        if verdict.accepted:
            return "catalog"
        together = judged.relative is not None and judged.relative.accepted
        alone = len(self.done.group.members) < 2 or self.done.verdict.accepted
        return "relative" if together and not alone else "none"

    def _predicted(self, place: int) -> float:
        start = self.exposures[self.done.group.members[place]].start
        grid = _grid(start, self.field.plane, self.origin, GRID_POINTS)
        errors = predicted_error(self.done.group.solution, place, grid)
        return float(1e3 * np.sqrt(np.mean(np.sum(errors**2, axis=1))))

    def _matches(self, place: int) -> SourceMatches:
        """The exposure's sources and their stars, in sky positions and mas."""
        group, plane = self.done.group, self.field.plane
        number = group.members[place]
        mine = np.nonzero(group.problem.sources.exposure == place)[0]
        star = group.problem.sources.star[mine]
        source = np.nonzero(group.identities.star[number] >= 0)[0]
        residuals = group.solution.residuals[mine]
        corrected = group.solution.fits[place](group.problem.sources.points[mine])
        places = np.full((len(star), 2), np.nan)
        row = group.identities.reference[star]
        known = row >= 0
        if self.field.catalogs is not None:
            places[known] = self.field.catalogs[number].points[row[known]]
        reference = row.copy()
        if self.brightest is not None:
            reference[known] = self.brightest[row[known]]
        star_ra, star_dec = sky_positions(plane.deproject(corrected - residuals))
        catalog_ra, catalog_dec = sky_positions(plane.deproject(places))
        errors = np.hypot(group.problem.sources.errors[mine], self.field.settings.floor)
        return SourceMatches(
            source=source,
            star=star,
            reference=reference,
            star_ra=star_ra,
            star_dec=star_dec,
            catalog_ra=catalog_ra,
            catalog_dec=catalog_dec,
            residuals=1e3 * residuals,
            catalog_residuals=1e3 * (corrected - places),
            errors=1e3 * group.solution.rescaling * errors,
            weights=group.solution.weights[mine],
            catalog_weights=group.solution.catalog_weights[star],
        )


def _rms(matches: SourceMatches, frame: str) -> Array:
    """Of the used sources against the catalog, or against the others where none is of the catalog, mas."""
    used, tied = matches.weights > 0, matches.ties
    if frame == "catalog" and tied.any():
        return root_mean_square(matches.catalog_residuals[tied])
    return root_mean_square(matches.residuals[used])
