"""The judge of a joint solution: what every exposure and the whole group must show to be accepted.

The evidence of the association (how little chance explains the matches) is joined by what the solution
shows: stars left in it, scatter, corrections in units of what the priors allow, agreement within
a guide-star set and between exposures, and whether it improves on the solution in force.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hapctl.processing.astrometry.acceptance import AcceptanceRule, Evidence, Verdict
from hapctl.processing.astrometry.group_matching import Association
from hapctl.processing.astrometry.joint_model import JointProblem, JointSolution


@dataclass(frozen=True)
class ExposureJudgement:
    """What the judge says of one exposure of a group.

    Attributes
    ----------
    verdict : Verdict
        On the exposure in its group and on the group in the catalog: the first refusal, or acceptance.
    relative : Verdict or None
        Among the other exposures alone; None where it has no companion.
    evidence : Evidence or None
        None where it was never matched to anything.
    """

    verdict: Verdict
    relative: Verdict | None
    evidence: Evidence | None


@dataclass(frozen=True)
class GroupJudgement:
    """What the judge says of a group.

    Attributes
    ----------
    verdict : Verdict
        On the group in the catalog; of a group without catalog, why it is only relative.
    evidence : Evidence or None
        Of the group in the catalog.
    exposures : dict
        Exposure number to ExposureJudgement.
    outcasts : tuple of int
        Exposures to be taken out of the group, whose solution is then to be made and judged again; empty
        when the judgement is final.
    """

    verdict: Verdict
    evidence: Evidence | None
    exposures: Mapping[int, ExposureJudgement]
    outcasts: tuple[int, ...] = ()


def judge_group(
    association: Association,
    members: Sequence[int],
    problem: JointProblem,
    solution: JointSolution,
    rule: AcceptanceRule,
) -> GroupJudgement:
    """Judge a joint solution of a group.

    Parameters
    ----------
    association : Association
        That gave the group.
    members : sequence of int
        Exposure numbers of the association, in the order of `problem.exposures`.
    problem : JointProblem
        The stars in any order; `problem.stars.in_catalog` says which tie the field to the catalog.
    solution : JointSolution
    rule : AcceptanceRule

    Returns
    -------
    GroupJudgement
    """
    raise NotImplementedError
