"""Output grids turned by any angle: the grid of the comparison, and the final one where it is asked for."""

import math
from collections.abc import Sequence

import numpy as np
from hapctl.processing.astrometry.mapping import plane_to_sky, sky_to_plane
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.grid import (
    OutputGrid,
    bounds_on_plane,
    edges_on_sky,
    mean_direction,
    native_scale,
    storable,
)
from numpy.typing import NDArray

Bounds = tuple[float, float, float, float]


def position_angle(chip: ChipWcs) -> float:
    """Position angle of the y axis of a chip, degrees east of north (ORIENTAT)."""
    (_, cd12), (_, cd22) = np.asarray(chip.cd_matrix, dtype=np.float64)
    return math.degrees(math.atan2(cd12, cd22))


def turned_cd(scale_arcsec: float, rotation: float) -> tuple[float, float, float, float]:
    """CD of square pixels, east to the left of north, whose y axis lies at a position angle (degrees)."""
    step, angle = scale_arcsec / 3600.0, math.radians(rotation)
    sine, cosine = math.sin(angle), math.cos(angle)
    return (storable(-step * cosine), storable(step * sine), storable(step * sine), storable(step * cosine))


def oriented_grid(
    chips: Sequence[ChipWcs],
    scale_arcsec: float | None = None,
    rotation: float | None = None,
    origin: LookupOrigin = "hst",
) -> OutputGrid:
    """Return the TAN grid of an orientation that covers the distorted edges of chips.

    Parameters
    ----------
    chips : sequence of ChipWcs
    scale_arcsec : float, optional
        Side of an output pixel; IDCSCALE of the first chip by default.
    rotation : float, optional
        Position angle of the y axis, degrees; that of the first chip by default.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    OutputGrid
        The tangent point is the middle of the covered rectangle and the centre of a pixel.

    Raises
    ------
    UsageProblemError
        Without chips, or with a scale that is no positive number.
    UnusableFileError
        If no scale is given and the first chip has SIP but no IDCSCALE, or if chips lie too far apart.
    """
    ra, dec = edges_on_sky(chips, origin)
    scale = native_scale(chips[0]) if scale_arcsec is None else scale_arcsec
    if not (math.isfinite(scale) and scale > 0.0):
        raise UsageProblemError(f"a scale of {scale} arcsec per pixel", "give a positive scale")
    cd = turned_cd(scale, position_angle(chips[0]) if rotation is None else rotation)
    mean = mean_direction(ra, dec)
    bounds_on_plane(mean, ra, dec)  # refuses chips that lie too far apart
    left, right, below, above = _bounds(mean, cd, ra, dec)
    x, y = 0.5 * (left + right), 0.5 * (below + above)
    middle = plane_to_sky(mean, cd[0] * x + cd[1] * y, cd[2] * x + cd[3] * y)
    centre = storable(float(middle[0])), storable(float(middle[1]))
    left, right, below, above = (math.ceil(abs(edge) - 0.5) for edge in _bounds(centre, cd, ra, dec))
    return OutputGrid(
        crval=centre,
        crpix=(left + 1.0, below + 1.0),
        cd=cd,
        shape=(below + above + 1, left + right + 1),
    )


def _bounds(
    centre: tuple[float, float],
    cd: tuple[float, float, float, float],
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
) -> Bounds:
    """Least and greatest x, then y, in pixels from a tangent point."""
    xi, eta = sky_to_plane(centre, ra, dec)
    x, y = np.linalg.solve(np.array(cd).reshape(2, 2), np.stack([xi, eta]))
    return float(x.min()), float(x.max()), float(y.min()), float(y.max())
