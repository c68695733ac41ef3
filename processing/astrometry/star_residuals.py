"""Residuals of matched stars as plain columns: what the plots and tables of an alignment are made from."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from hapctl.processing.astrometry.joint_alignment import ExposureOutcome, ExposureSources
from hapctl.processing.astrometry.plane import TangentPlane
from hapctl.processing.astrometry.propagation import propagate
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution import ChipWcs
from numpy.typing import NDArray

Array = NDArray[np.float64]
JULIAN_EPOCH_MJD, JULIAN_YEAR = 51544.5, 365.25


@dataclass(frozen=True)
class StarResiduals:
    """Measured minus expected positions; arrays of n rows, NaN where something is unknown.

    Attributes
    ----------
    exposure : ndarray of int
        Number of the exposure.
    extver : ndarray of int
        Chip.
    x, y : ndarray
        0-based pixels.
    xi, eta : ndarray
        Place in the plane of the alignment, arcsec east and north.
    east, north : ndarray
        Residual, mas.
    along_x, along_y : ndarray
        The same along the columns and rows of the detector, mas.
    errors : ndarray
        Expected error of a coordinate of the residual, mas.
    weights : ndarray
        Robust weight, 0 (rejected) to 1.
    magnitudes, colours : ndarray
        Of the star.
    epochs : ndarray
        Julian year of the exposure.
    """

    exposure: NDArray[np.intp]
    extver: NDArray[np.int64]
    x: Array
    y: Array
    xi: Array
    eta: Array
    east: Array
    north: Array
    along_x: Array
    along_y: Array
    errors: Array
    weights: Array
    magnitudes: Array
    colours: Array
    epochs: Array

    def __len__(self) -> int:
        return len(self.x)

    @property
    def used(self) -> NDArray[np.bool_]:
        """Those with any weight and a finite residual."""
        return (self.weights > 0) & np.isfinite(self.east) & np.isfinite(self.north)

    @property
    def weighted_rms(self) -> tuple[float, float]:
        """Of the used residuals east and north, weighted by their errors; NaN without any."""
        used = self.used & (self.errors > 0)
        if not used.any():
            return float("nan"), float("nan")
        weights = self.weights[used] / self.errors[used] ** 2
        east, north = (
            float(np.sqrt(np.average(v[used] ** 2, weights=weights))) for v in (self.east, self.north)
        )
        return east, north


def joined(parts: Sequence[StarResiduals]) -> StarResiduals:
    """All rows of several, in order; at least one is needed."""
    names = [one.name for one in fields(StarResiduals)]
    return StarResiduals(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def selected(stars: StarResiduals, rows: NDArray[np.bool_]) -> StarResiduals:
    """Those of some rows."""
    return StarResiduals(**{one.name: getattr(stars, one.name)[rows] for one in fields(StarResiduals)})


def residuals_of(
    number: int,
    exposure: ExposureSources,
    outcome: ExposureOutcome,
    plane: TangentPlane,
    *,
    against_catalog: bool,
    reference: ReferenceStars | None = None,
    catalog_weights: Array | None = None,
) -> StarResiduals:
    """The residuals of an exposure that was aligned.

    Parameters
    ----------
    number : int
        Of the exposure.
    exposure, outcome : ExposureSources, ExposureOutcome
    plane : TangentPlane
        Of the alignment.
    against_catalog : bool
        Against the catalog's stars alone, else against all stars of the solution.
    reference : ReferenceStars, optional
        Those given to the alignment: their magnitudes and colours are taken, and against the catalog their
        errors at the epoch of the exposure; else magnitudes are instrumental and colours unknown.
    catalog_weights : ndarray, optional
        By star of the solution (`JointSolution.catalog_weights`): a row of the catalog that the solution
        rejected is rejected here, too, against the catalog.
    """
    found = outcome.matches
    rows = found.reference >= 0 if against_catalog else np.ones(len(found.source), dtype=np.bool_)
    source, row = found.source[rows], found.reference[rows]
    sources = exposure.sources
    vectors = (found.catalog_residuals if against_catalog else found.residuals)[rows]
    xi_eta = plane.project_sky(found.star_ra[rows], found.star_dec[rows])
    solution = outcome.solution or exposure.start
    along = detector_vectors(solution.chips, sources.extver[source], vectors)
    errors, weights = found.errors[rows], found.weights[rows]
    if against_catalog and reference is not None:
        errors = np.hypot(errors, _errors_at(reference, exposure.mjd)[row])
    if against_catalog and catalog_weights is not None:
        weights = np.minimum(weights, catalog_weights[found.star[rows]])
    epoch = 2000.0 + (exposure.mjd - JULIAN_EPOCH_MJD) / JULIAN_YEAR
    return StarResiduals(
        exposure=np.full(len(source), number, dtype=np.intp),
        extver=sources.extver[source],
        x=sources.x[source],
        y=sources.y[source],
        xi=xi_eta[:, 0],
        eta=xi_eta[:, 1],
        east=vectors[:, 0],
        north=vectors[:, 1],
        along_x=along[:, 0],
        along_y=along[:, 1],
        errors=errors,
        weights=weights,
        magnitudes=_of_rows(reference, "phot_g_mean_mag", row, sources.magnitudes[source]),
        colours=_of_rows(reference, "bp_rp", row, np.full(len(source), np.nan)),
        epochs=np.full(len(source), epoch),
    )


def _errors_at(reference: ReferenceStars, mjd: float) -> Array:
    """Standard error of a coordinate of reference stars at a date, mas."""
    moved = propagate(reference, mjd)
    return np.sqrt(0.5 * (moved.ra_error**2 + moved.dec_error**2))


def _of_rows(reference: ReferenceStars | None, name: str, rows: NDArray[np.intp], otherwise: Array) -> Array:
    if reference is None:
        return otherwise
    values: Array = getattr(reference, name)[np.maximum(rows, 0)]
    return np.where((rows >= 0) & np.isfinite(values), values, otherwise)


def detector_vectors(chips: Sequence[ChipWcs], extver: NDArray[np.int64], vectors: Array) -> Array:
    """Small vectors on the sky (east, north) along the axes of the detector, shape (n, 2), same unit.

    By the direction of the CD matrix of each chip; the distortion turns them by less than 0.02.
    """
    along = np.full_like(vectors, np.nan)
    for chip in chips:
        mine = extver == chip.extver
        matrix = chip.cd_matrix
        axes = matrix / np.linalg.norm(matrix, axis=0)
        along[mine] = vectors[mine] @ np.linalg.inv(axes).T
    return along
