"""A joint problem from what the alignment has at hand: exposures, their sources, identities, reference stars.

Catalog stars come with all five parameters and their covariance, moved to the problem's epoch once; stars
without a motion of their own, and stars of no catalog, share the mean motion of the field, whose own error
is one unknown for all of them. Where all exposures are of one epoch nothing of that matters: the
unknown motions of stars without catalog positions drop out exactly.
"""

from collections.abc import Sequence

import numpy as np
from hapctl.processing.astrometry.joint_model import (
    Array,
    ExposurePrior,
    FieldPrior,
    Indices,
    JointExposure,
    JointProblem,
    JointSources,
    StarPriors,
)
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.plane import TangentPlane, unit_vectors
from hapctl.processing.astrometry.propagation import (
    PARALLAX_ERROR_MAS,
    UNKNOWN_MOTION_MAS_YEAR,
    FieldMotion,
    complete_astrometry,
    epoch_and_earth,
    mean_motion,
    propagate,
)
from hapctl.processing.astrometry.reference_stars import ReferenceStars

POPULATION_DIFFERENCE = 0.2
"""Difference between the mean motion of a field's catalog stars and that of its others, which are fainter, in
units of the dispersion of single stars."""
LEAST_DISPERSION = 0.2e-3
"""Arcsec per year; no field's stars are believed to move more alike."""


def exposure_in_plane(
    rootname: str, mjd: float, centre: Array, prior: ExposurePrior, plane: TangentPlane
) -> JointExposure:
    """Describe an exposure for a joint problem.

    Parameters
    ----------
    rootname : str
    mjd : float
        Middle of the exposure, UTC.
    centre : ndarray, shape (2,)
        Arcsec in the plane.
    prior : ExposurePrior
    plane : TangentPlane
    """
    epoch, earth = epoch_and_earth(mjd)
    factors = _projected(plane.deproject(centre[None, :]), -earth[None, :], plane)[0]
    return JointExposure(rootname, epoch, centre, factors, prior)


def _projected(vectors: Array, displacements: Array, plane: TangentPlane) -> Array:
    """How far points of the plane move with small displacements of their directions, shape (n, 2)."""
    along, moved = vectors @ plane.basis.T, displacements @ plane.basis.T
    projected: Array = (moved[:, :2] - along[:, :2] / along[:, 2:] * moved[:, 2:]) / along[:, 2:]
    return projected


def axes_in_plane(ra: Array, dec: Array, plane: TangentPlane) -> Array:
    """East and north at sky positions as they lie in the plane, shape (n, 2, 2): columns are east, north."""
    a, d = np.radians(ra), np.radians(dec)
    east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)], axis=1)
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=1)
    vectors = unit_vectors(ra, dec)
    return np.stack([_projected(vectors, axis, plane) for axis in (east, north)], axis=2)


def catalogs_at(reference: ReferenceStars, mjds: Sequence[float], plane: TangentPlane) -> list[StarList]:
    """The same rows of a catalog as seen at several dates, in the plane.

    Parameters
    ----------
    reference : ReferenceStars
    mjds : sequence of float
        UTC; motions and parallaxes are applied for each.
    plane : TangentPlane

    Returns
    -------
    list of StarList
    """
    field = mean_motion(reference)
    lists = []
    for mjd in mjds:
        moved = propagate(reference, mjd, field_motion=field)
        errors = 1e-3 * np.sqrt(0.5 * np.trace(moved.covariance, axis1=1, axis2=2))
        lists.append(StarList(plane.project_sky(moved.ra, moved.dec), errors, reference.phot_g_mean_mag))
    return lists


def star_priors(
    reference: ReferenceStars | None, rows: Indices, epoch: float, plane: TangentPlane
) -> StarPriors:
    """What is known of stars before the exposures are looked at.

    Parameters
    ----------
    reference : ReferenceStars or None
        The catalog; None where the stars of no catalog are all there is.
    rows : ndarray of int, shape (m,)
        Of the catalog, for each star; -1 for a star of no catalog.
    epoch : float
        Julian year at which positions hold.
    plane : TangentPlane

    Returns
    -------
    StarPriors
        Unknown errors as `propagation` takes them. Without a catalog the mean motion of the stars is what
        does not move, exactly: the relative frame's definition.
    """
    field = None if reference is None else mean_motion(reference)
    known = rows >= 0
    mean, precision = np.full((len(rows), 5), np.nan), np.zeros((len(rows), 5, 5))
    response = np.zeros((len(rows), 5, 2))
    of_field = _field_prior(reference, field, response)
    mean[:, 2:], precision[:, 2:, 2:] = of_field.mean, of_field.precision
    response[~known, 3:] = np.eye(2)
    if reference is not None and known.any():
        mean[known], precision[known], response[known] = _catalog_priors(
            reference[rows[known]], field, epoch, plane
        )
    return StarPriors(mean, precision, known, of_field)


def _field_prior(reference: ReferenceStars | None, field: FieldMotion | None, response: Array) -> FieldPrior:
    unknown = FieldMotion(0.0, 0.0, UNKNOWN_MOTION_MAS_YEAR, UNKNOWN_MOTION_MAS_YEAR, 1)
    motion = field or unknown
    dispersion = np.array([motion.dispersion_ra, motion.dispersion_dec]) / 1e3
    dispersion = np.maximum(dispersion, LEAST_DISPERSION)
    single = np.array([PARALLAX_ERROR_MAS / 1e3, *dispersion])
    of_mean = float(dispersion.max()) * np.hypot(1.0 / np.sqrt(motion.stars), POPULATION_DIFFERENCE)
    return FieldPrior(
        mean=np.array([0.0, motion.pmra, motion.pmdec]) / 1e3,
        precision=np.diag(1.0 / single**2),
        motion_error=0.0 if reference is None else float(of_mean),
        response=response,
    )


def _catalog_priors(
    stars: ReferenceStars, field: FieldMotion | None, epoch: float, plane: TangentPlane
) -> tuple[Array, Array, Array]:
    """Means, precisions and responses to the field's motion of catalog stars."""
    moved = complete_astrometry(stars, epoch, field_motion=field)
    axes = axes_in_plane(moved.ra, moved.dec, plane)
    mean = np.zeros((len(stars), 5))
    mean[:, :2] = plane.project_sky(moved.ra, moved.dec)
    mean[:, 2] = moved.parallax / 1e3
    motions = np.stack([moved.pmra, moved.pmdec], axis=1) / 1e3
    mean[:, 3:] = np.einsum("nij,nj->ni", axes, motions)
    turn = np.zeros((len(stars), 5, 5))
    turn[:, :2, :2] = turn[:, 3:, 3:] = axes
    turn[:, 2, 2] = 1.0
    covariance = 1e-6 * turn @ moved.covariance @ turn.transpose(0, 2, 1)
    response = np.zeros((len(stars), 5, 2))
    borrowed = moved.motion_origin != "own"
    response[borrowed, 3:] = np.eye(2)
    response[borrowed, :2] = (epoch - stars.ref_epoch)[borrowed, None, None] * np.eye(2)
    precision: Array = np.linalg.inv(covariance).astype(np.float64)
    return mean, precision, response


def joint_problem(
    exposures: Sequence[JointExposure],
    lists: Sequence[StarList],
    star: Sequence[Indices],
    rows: Indices,
    reference: ReferenceStars | None,
    plane: TangentPlane,
) -> JointProblem:
    """Put a problem together.

    Parameters
    ----------
    exposures : sequence of JointExposure
    lists : sequence of StarList
        Sources of each exposure, in the plane.
    star : sequence of ndarray of int
        The star of each source of each exposure; -1 for none.
    rows : ndarray of int, shape (m,)
        Row of the reference stars of each star; -1 for none.
    reference : ReferenceStars or None
    plane : TangentPlane

    Returns
    -------
    JointProblem
        At the mean epoch of the exposures.
    """
    epoch = float(np.mean([exposure.epoch for exposure in exposures]))
    used = [np.nonzero(own >= 0)[0] for own in star]
    sources = JointSources(
        exposure=np.concatenate([np.full(len(own), number) for number, own in enumerate(used)]),
        star=np.concatenate([own[mine] for own, mine in zip(star, used, strict=True)]),
        points=np.concatenate([sources.points[mine] for sources, mine in zip(lists, used, strict=True)]),
        errors=np.concatenate([sources.errors[mine] for sources, mine in zip(lists, used, strict=True)]),
    )
    return JointProblem(exposures, sources, star_priors(reference, rows, epoch, plane), epoch)
