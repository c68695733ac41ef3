"""Exposures aligned together, from measured sources to judged solutions: associate, solve, judge.

The one door of the alignment for the catalog's commands, for those without a catalog, for simulations and
benchmarks. Nothing here knows where sources or reference stars come from.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from hapctl.processing.astrometry.acceptance import Evidence, Verdict
from hapctl.processing.astrometry.joint_model import ExposurePrior, JointSolution
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.source_list import SourceList
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


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
    """

    members: tuple[int, ...]
    solution: JointSolution
    verdict: Verdict


@dataclass(frozen=True)
class JointAlignment:
    """The outcome of `align_jointly`; the first group is the largest."""

    plane: TangentPlane
    outcomes: tuple[ExposureOutcome, ...]
    groups: tuple[JointGroup, ...]
