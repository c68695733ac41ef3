"""Matched stars of an attempt as columns: where they were measured, where the reference is, what is left."""

from collections.abc import Sequence

import numpy as np
from hapctl.archive.alignments import StarMatches
from hapctl.processing.astrometry.absolute_alignment import CatalogPairs
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import sky_positions
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.pipeline.alignment_inputs import reference_positions
from hapctl.processing.pipeline.set_alignment import AlignedGroup, SetAlignment
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def catalog_matches_of(
    done: SetAlignment, aligned: AlignedGroup, number: int, pairs: CatalogPairs, origin: LookupOrigin
) -> StarMatches | None:
    """The stars of an exposure that were matched with the catalog; None without any.

    Measured positions are those by the new solution, or by the fit that was refused.
    """
    if done.known is None or len(pairs.source) == 0:
        return None
    place = _placed(done, aligned, number, pairs.source, origin, of_fit=not aligned.is_absolute)
    epoch = done.part.middle_mjd(number)
    reference = reference_positions(done.known, pairs.reference, epoch)
    stars = done.known.stars[pairs.reference]
    return _columns(
        done, number, pairs.source, place, reference, stars.source_id.tolist(), stars.phot_g_mean_mag,
        (pairs.errors, pairs.weights, pairs.used),
    )  # fmt: skip


def relative_matches_of(
    done: SetAlignment, aligned: AlignedGroup, number: int, origin: LookupOrigin
) -> StarMatches | None:
    """The stars an exposure shares with others of its group, against their mean positions."""
    group, member = aligned.group, aligned.group.members[number]
    rows = np.nonzero(np.isfinite(member.residuals).all(axis=1))[0]
    if len(rows) == 0:
        return None
    place = _placed(done, aligned, number, rows, origin, of_fit=False)
    means = group.stars.points[member.star[rows]]
    if aligned.is_absolute and aligned.absolute is not None and aligned.absolute.fit is not None:
        means = aligned.absolute.fit(means)
    reference = sky_positions(done.plane.deproject(means))
    weights = member.weights[rows]
    return _columns(
        done, number, rows, place, reference, [None] * len(rows), np.full(len(rows), np.nan),
        (done.sources[number].errors[rows], weights, weights > 0),
    )  # fmt: skip


def _placed(
    done: SetAlignment,
    aligned: AlignedGroup,
    number: int,
    rows: Indices,
    origin: LookupOrigin,
    *,
    of_fit: bool,
) -> tuple[Array, Array]:
    """Positions of sources by the new solution, or by the fit in the plane."""
    sources, solution = done.sources[number], aligned.solutions.get(number)
    if of_fit or solution is None:
        points = sources.in_plane(done.plane).points[rows]
        return sky_positions(done.plane.deproject(aligned.total_fit(number)(points)))
    ra, dec = np.empty(len(rows)), np.empty(len(rows))
    for chip in solution.chips:
        mine = sources.extver[rows] == chip.extver
        ra[mine], dec[mine] = pixel_to_sky(chip, sources.x[rows][mine], sources.y[rows][mine], origin)
    return ra, dec


def _columns(
    done: SetAlignment,
    number: int,
    rows: Indices,
    place: tuple[Array, Array],
    reference: tuple[Array, Array],
    source_id: Sequence[str | None],
    magnitude: Array,
    quality: tuple[Array, Array, NDArray[np.bool_]],
) -> StarMatches:
    sources, (errors, weights, used) = done.sources[number], quality
    residuals = 1e3 * (done.plane.project_sky(*place) - done.plane.project_sky(*reference))
    return StarMatches(
        extver=sources.extver[rows].tolist(),
        x=(sources.x[rows] + 1.0).tolist(),
        y=(sources.y[rows] + 1.0).tolist(),
        ra=place[0].tolist(),
        dec=place[1].tolist(),
        source_id=list(source_id),
        reference_ra=reference[0].tolist(),
        reference_dec=reference[1].tolist(),
        residual_ra_mas=residuals[:, 0].tolist(),
        residual_dec_mas=residuals[:, 1].tolist(),
        error_mas=(1e3 * errors).tolist(),
        weight=weights.tolist(),
        used=used.tolist(),
        magnitude=[float(value) if np.isfinite(value) else None for value in magnitude],
        snr=sources.snr[rows].tolist(),
        group_star=[None] * len(rows),
        catalog_ra=[None] * len(rows),
        catalog_dec=[None] * len(rows),
        catalog_residual_ra_mas=[None] * len(rows),
        catalog_residual_dec_mas=[None] * len(rows),
        instrumental_magnitude=sources.magnitudes[rows].tolist(),
    )
