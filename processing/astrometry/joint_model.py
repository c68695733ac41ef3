"""What a joint solution of many exposures is asked and what it answers, as plain data.

All exposures lie in one tangent plane (`plane.TangentPlane`); coordinates there are arcsec, xi to the
east and eta to the north. An exposure's correction is a similarity about its own centre: shift, roll,
scale, and two terms of skew where they are asked for. A star has a position at the problem's reference
epoch, a parallax and a proper motion. Whatever is known beforehand enters as a Gaussian prior, so that
nothing is degenerate and no geometry has to be chosen by counting stars.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

PARAMETERS = ("xi", "eta", "roll", "scale", "skew_cross", "skew_plus")
"""An exposure's unknowns: arcsec, arcsec, radian (from xi towards eta), and three relative numbers."""
STAR_PARAMETERS = ("xi", "eta", "parallax", "pm_xi", "pm_eta")
"""A star's unknowns: arcsec at the reference epoch (two), arcsec, arcsec per Julian year (two)."""


@dataclass(frozen=True)
class ExposurePrior:
    """What is known of an exposure's correction before a star is looked at; standard deviations.

    Attributes
    ----------
    guide_star_set : int
        Exposures with one number share the error of the guide stars (pointing, roll).
    pointing : float
        Arcsec per coordinate, common to the guide-star set.
    roll_deg : float
        Degrees, common to the guide-star set.
    scale : float
        Relative; each exposure's own.
    relative_pointing : float or None
        Arcsec per coordinate between exposures of the set; None where there is no knowledge (gyros): then the
        exposure's pointing is its own.
    relative_roll_deg : float
        Degrees between exposures of the set.
    skew : float
        Relative; 0 leaves skew out.
    covariance : ndarray, shape (4, 4), or None
        Of (xi, eta, roll, scale) where the starting solution is itself a fit to the reference frame; it then
        takes the place of all others.
    firm : bool
        What the prior says is held whatever the stars say: a geometry that was chosen, not knowledge.
    """

    guide_star_set: int
    pointing: float
    roll_deg: float = 0.003
    scale: float = 3e-5
    relative_pointing: float | None = 0.005
    relative_roll_deg: float = 0.0003
    skew: float = 0.0
    covariance: Array | None = None
    firm: bool = False


@dataclass(frozen=True)
class JointExposure:
    """An exposure as a joint solution sees it.

    Attributes
    ----------
    rootname : str
    epoch : float
        Julian year of its middle.
    centre : ndarray, shape (2,)
        Arcsec in the plane, by the starting WCS; roll and scale are about it.
    parallax_factors : ndarray, shape (2,)
        Displacement (xi, eta) of a star of unit parallax, seen from the Earth at the epoch.
    prior : ExposurePrior
    """

    rootname: str
    epoch: float
    centre: Array
    parallax_factors: Array
    prior: ExposurePrior


@dataclass(frozen=True)
class JointSources:
    """Measured sources and the star each belongs to; arrays of n rows.

    Attributes
    ----------
    exposure, star : ndarray of int, shape (n,)
        Indices of the problem's exposures and stars.
    points : ndarray, shape (n, 2)
        Arcsec in the plane, by the starting WCS.
    errors : ndarray, shape (n,)
        Standard error of a coordinate, arcsec, without floor.
    """

    exposure: Indices
    star: Indices
    points: Array
    errors: Array

    def __len__(self) -> int:
        return len(self.exposure)


@dataclass(frozen=True)
class StarPriors:
    """What a reference catalog, or the field, says of m stars at the reference epoch.

    Attributes
    ----------
    mean : ndarray, shape (m, 5)
        `STAR_PARAMETERS`; the position is NaN for a star of no catalog.
    precision : ndarray, shape (m, 5, 5)
        Inverse covariance; zero rows where nothing is known.
    in_catalog : ndarray of bool, shape (m,)
        Whether the position is a catalog's, and so ties the field to the catalog's frame.
    field : FieldPrior or None
        What is believed of a star whose catalog row is found to be wrong, and how the stars without a
        motion of their own hang together. None: nothing is known of the motion of such a star, and each
        motion's prior is a matter of its own.
    """

    mean: Array
    precision: Array
    in_catalog: NDArray[np.bool_]
    field: "FieldPrior | None" = None

    def __len__(self) -> int:
        return len(self.mean)


@dataclass(frozen=True)
class FieldPrior:
    """Parallax and motion of a field's stars as a population.

    Attributes
    ----------
    mean : ndarray, shape (3,)
        Parallax and motion (the last three of `STAR_PARAMETERS`) of a star of which nothing else is known.
    precision : ndarray, shape (3, 3)
        Inverse covariance of a single star about the mean.
    motion_error : float
        Arcsec per year in each coordinate: error of the mean motion itself, one for all stars that rest on
        it. Without it thousands of faint stars would tie two epochs far better than their mean motion is
        known. 0: the mean is exact.
    response : ndarray, shape (m, 5, 2)
        Change of each star's prior mean with the field's mean motion: zero for a star with its own motion.
    """

    mean: Array
    precision: Array
    motion_error: float
    response: Array


@dataclass(frozen=True)
class JointSettings:
    """The numbers of a joint solution.

    Attributes
    ----------
    floor : float
        Arcsec, in quadrature to the error of every source.
    catalog_floor_rate : float
        Arcsec per year from the catalog's epoch: error common to all catalog stars of a field, which
        averaging does not reduce; it goes into the stated absolute error only.
    catalog_epoch : float
        Julian year.
    least_freedom : int
        Fewer degrees of freedom never rescale an error.
    steps : int
        Most iterations.
    settled : float
        Arcsec: iterations end when a step moves no source by more. Rounding moves a frame that nothing but
        priors holds by a tenth of the default.
    """

    floor: float = 0.0005
    catalog_floor_rate: float = 2.5e-5
    catalog_epoch: float = 2016.0
    least_freedom: int = 20
    steps: int = 60
    settled: float = 1e-7


@dataclass(frozen=True)
class JointProblem:
    """All there is to a joint solution."""

    exposures: Sequence[JointExposure]
    sources: JointSources
    stars: StarPriors
    reference_epoch: float


@dataclass(frozen=True)
class JointSolution:
    """Exposures fitted together.

    Attributes
    ----------
    fits : tuple of PlaneFit
        For each exposure: takes its starting positions to the frame of the solution.
    centres : ndarray, shape (k, 2)
        Of the exposures, as the problem gave them.
    corrections : ndarray, shape (k, 6)
        `PARAMETERS` of each exposure, about its centre.
    covariance : ndarray, shape (6 k, 6 k)
        Of the corrections, from the full inverse; errors already rescaled by `rescaling`; without the
        catalog's common floor.
    rescaling : float
        The factor (at least 1) by which all errors were multiplied.
    catalog_factor : float
        The factor (at least 1) by which the errors that the catalog states were multiplied beforehand.
    common_floor : ndarray, shape (k,)
        Arcsec per coordinate: error of the catalog's frame at each epoch; 0 without catalog.
    stars : ndarray, shape (m, 5)
        `STAR_PARAMETERS`; NaN for stars without any used source and prior.
    star_errors : ndarray, shape (m, 5)
    residuals : ndarray, shape (n, 2)
        Measured, corrected source minus star at the exposure's epoch, arcsec.
    weights : ndarray, shape (n,)
        Robust weights of the sources; 0 is rejected.
    catalog_residuals : ndarray, shape (m, 2)
        Fitted minus catalog position at the reference epoch, arcsec; NaN for stars of no catalog.
    catalog_weights : ndarray, shape (m,)
        Robust weights of the catalog positions; 0 for stars of no catalog.
    chi_squared : float
        Weighted, with all priors.
    freedom : int
    frame : {"catalog", "relative"}
        Whether any catalog star ties the field.
    """

    fits: tuple[PlaneFit, ...]
    centres: Array
    corrections: Array
    covariance: Array
    rescaling: float
    catalog_factor: float
    common_floor: Array
    stars: Array
    star_errors: Array
    residuals: Array
    weights: Array
    catalog_residuals: Array
    catalog_weights: Array
    chi_squared: float
    freedom: int
    frame: Literal["catalog", "relative"]
