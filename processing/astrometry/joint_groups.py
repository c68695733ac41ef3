"""Groups of exposures solved until nothing changes: which source is which star, and where everything is.

A solution says where stars are, so identities are made again under it, more tightly, and the solution
again from those; exposures that the judge puts out are left out, and the rest solved again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.group_matching import Association, Identities, gather
from hapctl.processing.astrometry.joint_model import (
    Indices,
    JointExposure,
    JointProblem,
    JointSettings,
    JointSolution,
)
from hapctl.processing.astrometry.joint_problem import joint_problem
from hapctl.processing.astrometry.joint_solution import predicted_error, solve_joint
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution_judging import ExposureJudgement, GroupJudgement, judge_group

LEAST_TOLERANCE = 0.003
"""Identities are never asked to agree better, arcsec (the errors of source and star come on top)."""
MOST_TOLERANCE = 0.1
_SCATTERS = 6.0  # reach of a match in robust scatters of an exposure's residuals
_ROUNDS = 4
SETTLED = 2e-5
"""Identities that move no source by more than this are final, arcsec."""


@dataclass(frozen=True)
class Field:
    """All that is known before anything is solved; lists and rows by number of the exposure.

    Attributes
    ----------
    plane : TangentPlane
    exposures : tuple of JointExposure
    lists : tuple of StarList
    reference : ReferenceStars or None
        Brightest first.
    catalogs : tuple of StarList or None
        The reference stars as each exposure sees them.
    rule : AcceptanceRule
    """

    plane: TangentPlane
    exposures: tuple[JointExposure, ...]
    lists: tuple[StarList, ...]
    reference: ReferenceStars | None
    catalogs: tuple[StarList, ...] | None
    rule: AcceptanceRule

    @property
    def epochs(self) -> list[float]:
        """Julian years of the exposures."""
        return [exposure.epoch for exposure in self.exposures]

    @property
    def settings(self) -> JointSettings:
        """Numbers of the joint solution that the rule and the catalog give."""
        settings = JointSettings(floor=self.rule.error_floor_mas / 1e3)
        if self.reference is None or len(self.reference) == 0:
            return settings
        return replace(settings, catalog_epoch=float(np.median(self.reference.ref_epoch)))


@dataclass(frozen=True)
class SolvedGroup:
    """A group after its last solution.

    Attributes
    ----------
    members : tuple of int
        Exposure numbers, in the order of problem and solution.
    identities : Identities
        For all exposures; those that are no members have none.
    problem : JointProblem
    solution : JointSolution
    judgement : GroupJudgement
    put_out : dict
        Exposure number to the judgement that put it out of the group.
    """

    members: tuple[int, ...]
    identities: Identities
    problem: JointProblem
    solution: JointSolution
    judgement: GroupJudgement


def solve_group(
    field: Field, association: Association, members: Sequence[int], *, on_catalog: bool
) -> tuple[SolvedGroup, dict[int, ExposureJudgement]]:
    """Solve and judge a group; put out what the judge refuses, and solve again.

    Parameters
    ----------
    field : Field
    association : Association
    members : sequence of int
    on_catalog : bool
        Whether the catalog's stars take part.

    Returns
    -------
    group : SolvedGroup
    put_out : dict
        Exposure number to the judgement by which it left the group.
    """
    put_out: dict[int, ExposureJudgement] = {}
    while True:
        group = _settled(field, association, tuple(members), on_catalog)
        outcasts = group.judgement.outcasts
        if not outcasts or len(outcasts) >= len(group.members):
            return group, put_out
        put_out |= {number: group.judgement.exposures[number] for number in outcasts}
        members = [number for number in group.members if number not in outcasts]


def _settled(
    field: Field, association: Association, members: tuple[int, ...], on_catalog: bool
) -> SolvedGroup:
    """Solve, gather and solve again until identities stay what they are."""
    fits = list(association.fits) if on_catalog else _taken_back(association.fits, members)
    identities = _restricted(association.identities, members)
    for turn in range(_ROUNDS):
        problem, solution = _solved(field, identities, members, fits, rough=turn == 0)
        moved = _moved(field, members, fits, solution)
        for place, number in enumerate(members):
            fits[number] = solution.fits[place]
        if moved < SETTLED and turn > 0:
            break
        identities = gather(
            field.lists,
            fits,
            field.epochs,
            field.catalogs if on_catalog else None,
            _tolerances(problem, solution, members, len(field.lists)),
            members=members,
            motion=field.rule.motion_mas_per_year / 1e3,
        )
    else:
        problem, solution = _solved(field, identities, members, fits)
    judgement = judge_group(association, members, problem, solution, field.rule)
    return SolvedGroup(members, identities, problem, solution, judgement)


def _taken_back(fits: Sequence[PlaneFit], members: Sequence[int]) -> list[PlaneFit]:
    """The same with the first member where it began: what a catalog that is not used said is forgotten.

    Nothing but priors holds a relative group, and those are released where a start contradicts them.
    """
    inverse = np.linalg.inv(fits[members[0]].matrix).astype(np.float64)
    back = PlaneFit(-inverse @ fits[members[0]].shift, inverse)
    return [back.after(fit) for fit in fits]


def _moved(field: Field, members: Sequence[int], fits: Sequence[PlaneFit], solution: JointSolution) -> float:
    """How far a solution puts any source from where it was, arcsec."""
    distances = [
        np.abs(fit(field.lists[n].points) - fits[n](field.lists[n].points)).max(initial=0.0)
        for n, fit in zip(members, solution.fits, strict=True)
    ]
    return float(max(distances))


def _solved(
    field: Field,
    identities: Identities,
    members: Sequence[int],
    fits: Sequence[PlaneFit],
    *,
    rough: bool = False,
) -> tuple[JointProblem, JointSolution]:
    """Problem and solution; a rough one, good to a tenth of what identities ask, has no errors of stars."""
    problem = joint_problem(
        [field.exposures[n] for n in members],
        [field.lists[n] for n in members],
        [identities.star[n] for n in members],
        identities.reference,
        field.reference,
        field.plane,
    )
    start = [fits[n] for n in members]
    settings = replace(field.settings, settled=0.1 * SETTLED) if rough else field.settings
    return problem, solve_joint(problem, settings, start, star_errors=not rough)


def _restricted(identities: Identities, members: Sequence[int]) -> Identities:
    """The identities of some exposures alone, their stars numbered anew."""
    star = [own if n in members else np.full_like(own, -1) for n, own in enumerate(identities.star)]
    used = np.unique(np.concatenate([own[own >= 0] for own in star]))
    place = np.full(len(identities) + 1, -1, dtype=np.intp)
    place[used] = np.arange(len(used))
    return Identities(tuple(place[own] for own in star), identities.reference[used])


def _tolerances(
    problem: JointProblem, solution: JointSolution, members: Sequence[int], count: int
) -> list[float]:
    """How far from its star a source may lie: by the scatter of its exposure and the predicted error."""
    tolerances = [LEAST_TOLERANCE] * count
    for place, number in enumerate(members):
        mine: Indices = np.nonzero(problem.sources.exposure == place)[0]
        used = mine[solution.weights[mine] > 0]
        scatter = 1.4826 * float(np.median(np.abs(solution.residuals[used]))) if len(used) else 0.0
        own = max(_SCATTERS * scatter, LEAST_TOLERANCE)
        if solution.frame == "catalog":
            centre = problem.exposures[place].centre[None, :]
            error = float(predicted_error(solution, place, centre, floor=False).max())
            own = max(own, 4.0 * error)
        tolerances[number] = min(own, MOST_TOLERANCE)
    return tolerances
