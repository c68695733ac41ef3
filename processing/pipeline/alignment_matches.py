"""Matched stars of an attempt as columns: where measured, where star and catalog are, what is left."""

from collections.abc import Iterable

import numpy as np
from hapctl.archive.alignments import StarMatches
from hapctl.processing.astrometry.joint_alignment import SourceMatches
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, sky_positions
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.source_list import SourceList
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def star_matches(
    matches: SourceMatches,
    sources: SourceList,
    place: tuple[Array, Array],
    reference: ReferenceStars | None,
    *,
    numbered: bool,
) -> StarMatches | None:
    """The matched stars of an exposure as columns; None without any.

    Parameters
    ----------
    matches : SourceMatches
    sources : SourceList
        Of the exposure.
    place : tuple of ndarray
        Right ascension and declination of the matched sources, as `placed` gives them.
    reference : ReferenceStars or None
        What `matches.reference` counts.
    numbered : bool
        Whether the numbers of the stars are those of a recorded group.
    """
    rows = matches.source
    if len(rows) == 0:
        return None
    identities, magnitudes = _catalog_columns(matches.reference, reference)
    return StarMatches(
        extver=sources.extver[rows].tolist(),
        x=(sources.x[rows] + 1.0).tolist(),
        y=(sources.y[rows] + 1.0).tolist(),
        ra=place[0].tolist(),
        dec=place[1].tolist(),
        source_id=identities,
        reference_ra=matches.star_ra.tolist(),
        reference_dec=matches.star_dec.tolist(),
        residual_ra_mas=matches.residuals[:, 0].tolist(),
        residual_dec_mas=matches.residuals[:, 1].tolist(),
        error_mas=matches.errors.tolist(),
        weight=matches.weights.tolist(),
        used=(matches.weights > 0).tolist(),
        magnitude=_finite(magnitudes),
        snr=sources.snr[rows].tolist(),
        group_star=matches.star.tolist() if numbered else [None] * len(rows),
        catalog_ra=_finite(matches.catalog_ra),
        catalog_dec=_finite(matches.catalog_dec),
        catalog_residual_ra_mas=_finite(matches.catalog_residuals[:, 0]),
        catalog_residual_dec_mas=_finite(matches.catalog_residuals[:, 1]),
        catalog_weight=_finite(np.where(matches.reference >= 0, matches.catalog_weights, np.nan)),
        instrumental_magnitude=_finite(sources.magnitudes[rows]),
    )


def worth_keeping(matches: SourceMatches, *, catalog_only: bool) -> SourceMatches:
    """The sources that have a star with a place; of a refused fit only those of catalog stars."""
    kept = np.isfinite(matches.star_ra) & np.isfinite(matches.errors)
    kept &= np.isfinite(matches.residuals).all(axis=1)
    if catalog_only:
        kept &= matches.reference >= 0
    return SourceMatches(**{name: values[kept] for name, values in vars(matches).items()})


def _catalog_columns(rows: Indices, reference: ReferenceStars | None) -> tuple[list[str | None], Array]:
    """Identifiers and magnitudes of the catalog's stars; None and NaN for a star of no catalog."""
    magnitudes = np.full(len(rows), np.nan)
    identities: list[str | None] = [None] * len(rows)
    if reference is None:
        return identities, magnitudes
    for number in np.flatnonzero(rows >= 0):
        identities[number] = str(reference.source_id[rows[number]])
        magnitudes[number] = reference.phot_g_mean_mag[rows[number]]
    return identities, magnitudes


def placed(
    sources: SourceList,
    rows: Indices,
    solution: WcsSolution | None,
    fit: PlaneFit | None,
    plane: TangentPlane,
    origin: LookupOrigin,
) -> tuple[Array, Array]:
    """Positions of sources by a new solution, else by a refused fit, else by the start; degrees."""
    if solution is None:
        points = sources.in_plane(plane).points[rows]
        return sky_positions(plane.deproject(points if fit is None else fit(points)))
    ra, dec = np.empty(len(rows)), np.empty(len(rows))
    for chip in solution.chips:
        mine = sources.extver[rows] == chip.extver
        ra[mine], dec[mine] = pixel_to_sky(chip, sources.x[rows][mine], sources.y[rows][mine], origin)
    return ra, dec


def _finite(values: Iterable[float]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
