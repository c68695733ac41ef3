"""Pixels of a chip to the sky and back: D2IM, SIP and NPOL distortion, CD matrix, TAN projection.

Contract: pixels are 0-based array coordinates, positions are ICRS degrees, float64 throughout. Lookup
tables begin where HST writes them (``origin="hst"``) or where astropy >= 6.1 reads them ("fits"); under
either the results agree with astropy to 1e-6 pixel when its header is built by ``astropy_wcs``.

Limits: TAN projections with the default LONPOLE; other CTYPEs are refused.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hapctl.ext.mapping import ChipDistortion
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin, LookupTable
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from astropy.wcs import WCS

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]

NEWTON_STEPS = 60
NEWTON_TOLERANCE = 1e-10  # pixels


def tangent_basis(ra: float, dec: float) -> NDArray[np.float64]:
    """Rows east, north and radial of a tangent point (degrees) as unit vectors, shape (3, 3)."""
    sin_ra, cos_ra = math.sin(math.radians(ra)), math.cos(math.radians(ra))
    sin_dec, cos_dec = math.sin(math.radians(dec)), math.cos(math.radians(dec))
    return np.array(
        [
            [-sin_ra, cos_ra, 0.0],
            [-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec],
            [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec],
        ]
    )


def plane_to_sky(crval: tuple[float, float], xi: ArrayLike, eta: ArrayLike) -> Pair:
    """TAN deprojection: plane coordinates (degrees) about a tangent point to RA, Dec (degrees).

    Written with the tangent point's own basis, so that it is exact at the poles and across RA 0
    (Calabretta & Greisen 2002, section 5.1.3).
    """
    xi = np.radians(np.asarray(xi, dtype=np.float64))
    eta = np.radians(np.asarray(eta, dtype=np.float64))
    sin_dec, cos_dec = math.sin(math.radians(crval[1])), math.cos(math.radians(crval[1]))
    towards_pole = cos_dec - eta * sin_dec
    delta_ra = np.arctan2(xi, towards_pole)
    dec = np.arctan2(sin_dec + eta * cos_dec, np.hypot(xi, towards_pole))
    return np.mod(crval[0] + np.degrees(delta_ra), 360.0), np.degrees(dec)


def sky_to_plane(crval: tuple[float, float], ra: ArrayLike, dec: ArrayLike) -> Pair:
    """TAN projection: RA, Dec (degrees) to plane coordinates (degrees); NaN 90 degrees or more away."""
    delta_ra = np.radians(np.asarray(ra, dtype=np.float64) - crval[0])
    dec = np.radians(np.asarray(dec, dtype=np.float64))
    sin_dec, cos_dec = math.sin(math.radians(crval[1])), math.cos(math.radians(crval[1]))
    # 1 - cos(delta RA) by the half angle, else the digits of small distances are lost.
    versine = 2.0 * np.sin(delta_ra / 2.0) ** 2
    radial = np.cos(dec - math.radians(crval[1])) - cos_dec * np.cos(dec) * versine
    radial = np.where(radial > 0.0, radial, np.nan)
    east = np.cos(dec) * np.sin(delta_ra)
    north = np.sin(dec - math.radians(crval[1])) + sin_dec * np.cos(dec) * versine
    return np.degrees(east / radial), np.degrees(north / radial)


@dataclass(frozen=True)
class TanPlane:
    """An undistorted TAN pixel plane: what a chip is mapped onto.

    Attributes
    ----------
    crval : tuple of float
        Tangent point, degrees.
    crpix : tuple of float
        Its pixel, 1-based.
    cd : tuple of 4 float
        CD matrix, degrees per pixel.
    """

    crval: tuple[float, float]
    crpix: tuple[float, float]
    cd: tuple[float, float, float, float]


def homography(chip: ChipWcs, plane: TanPlane) -> NDArray[np.float64]:
    """The matrix (3, 3) from a chip's distortion-corrected pixel offsets to 0-based pixels of a plane.

    Both projections are gnomonic: a direction in one tangent basis is a rotation of the direction in
    the other, so that CD, deprojection, projection and inverse CD make one projective map.
    """
    check_projection(chip)
    from_offsets = np.eye(3)
    from_offsets[:2, :2] = np.radians(chip.cd_matrix)
    rotation = tangent_basis(*plane.crval) @ tangent_basis(*chip.crval).T
    to_pixels = np.eye(3)
    to_pixels[:2, :2] = np.linalg.inv(np.radians(np.array(plane.cd).reshape(2, 2)))
    to_pixels[:2, 2] = plane.crpix[0] - 1.0, plane.crpix[1] - 1.0
    return to_pixels @ rotation @ from_offsets


def check_projection(chip: ChipWcs) -> None:
    """Refuse what is not TAN on RA and Dec, in this order."""
    if tuple(name[:8] for name in chip.ctype) != ("RA---TAN", "DEC--TAN"):
        raise UnusableFileError(
            f"SCI,{chip.extver} has projection {'/'.join(chip.ctype)}: only RA---TAN/DEC--TAN is mapped",
            "choose another solution of this exposure with --wcsname",
        )
    if not np.isfinite([*chip.crpix, *chip.crval, *chip.cd]).all() or np.linalg.det(chip.cd_matrix) == 0.0:
        raise UnusableFileError(
            f"SCI,{chip.extver} has a WCS that is not finite or whose CD matrix is singular",
            "choose another solution of this exposure with --wcsname",
        )


def distortion(chip: ChipWcs, origin: LookupOrigin = "hst") -> ChipDistortion:
    """The distortion kernel of a chip (it owns its arrays; build it once for many calls)."""
    if origin not in ("hst", "fits"):
        raise UsageProblemError(f"lookup origin {origin!r} is neither hst nor fits", "give hst or fits")
    return ChipDistortion(
        (chip.crpix[0] - 1.0, chip.crpix[1] - 1.0),
        (chip.sip_a, chip.sip_b),
        tuple(described(table, origin) for table in chip.d2im),
        tuple(described(table, origin) for table in chip.npol),
    )


def described(
    table: LookupTable | None, origin: LookupOrigin
) -> tuple[NDArray[np.float32], tuple[float, float, float, float]] | None:
    """A table as the kernel wants it: node index of a 0-based pixel = pixel * scale + start."""
    if table is None:
        return None
    scale_x, start_x = node_line(table, 0, origin)
    scale_y, start_y = node_line(table, 1, origin)
    return table.values, (scale_x, start_x, scale_y, start_y)


def node_line(table: LookupTable, axis: int, origin: LookupOrigin) -> tuple[float, float]:
    """Scale and start of the node index along an axis.

    Node 0 of an HST table (CRPIX 0, CRVAL 0) is pixel 1, so the index counts from CRPIX - 1/CDELT;
    the FITS distortion draft and astropy >= 6.1 count from CRPIX - 1.
    """
    scale = 1.0 / table.cdelt[axis]
    first = scale if origin == "hst" else 1.0
    return scale, (1.0 - table.crval[axis]) * scale + table.crpix[axis] - first


def pixel_to_plane(chip: ChipWcs, x: ArrayLike, y: ArrayLike, origin: LookupOrigin = "hst") -> Pair:
    """Pixels to intermediate world coordinates, before the TAN deprojection.

    Parameters
    ----------
    chip : ChipWcs
    x, y : array_like of float64
        0-based pixels.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    u, v : ndarray of float64
        Degrees, along east and north at the chip's CRVAL.
    """
    u, v = distortion(chip, origin).distort(x, y)
    cd11, cd12, cd21, cd22 = chip.cd
    return cd11 * u + cd12 * v, cd21 * u + cd22 * v


def pixel_to_sky(chip: ChipWcs, x: ArrayLike, y: ArrayLike, origin: LookupOrigin = "hst") -> Pair:
    """Pixels to sky positions through the complete distortion.

    Parameters
    ----------
    chip : ChipWcs
    x, y : array_like of float64
        0-based pixels.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    ra, dec : ndarray of float64
        ICRS degrees, RA in [0, 360).

    Raises
    ------
    UnusableFileError
        If the projection is not TAN or the WCS is not finite.
    """
    check_projection(chip)
    return plane_to_sky(chip.crval, *pixel_to_plane(chip, x, y, origin))


def sky_to_pixel(chip: ChipWcs, ra: ArrayLike, dec: ArrayLike, origin: LookupOrigin = "hst") -> Pair:
    """Sky positions to pixels by Newton's method on the exact distortion.

    Parameters
    ----------
    chip : ChipWcs
    ra, dec : array_like of float64
        ICRS degrees.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    x, y : ndarray of float64
        0-based pixels, to 1e-9 pixel; NaN where the iteration does not converge (far outside the chip) or
        the position is 90 degrees or more from the chip.
    """
    check_projection(chip)
    xi, eta = np.broadcast_arrays(*sky_to_plane(chip.crval, ra, dec))
    offsets = np.linalg.inv(chip.cd_matrix) @ np.stack([np.ravel(xi), np.ravel(eta)])
    x, y = invert(distortion(chip, origin), chip, offsets)
    return x.reshape(xi.shape), y.reshape(xi.shape)


def invert(kernel: ChipDistortion, chip: ChipWcs, offsets: NDArray[np.float64]) -> Pair:
    """Pixels (n,) whose distortion-corrected offsets are ``offsets`` (2, n), NaN where Newton fails."""
    x, y = offsets[0] + chip.crpix[0] - 1.0, offsets[1] + chip.crpix[1] - 1.0
    left = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    solved = np.zeros(x.shape, dtype=bool)
    for _ in range(NEWTON_STEPS):
        if left.size == 0:
            break
        step_x, step_y = newton_step(kernel, x[left], y[left], offsets[:, left])
        x[left] += step_x
        y[left] += step_y
        near = np.hypot(step_x, step_y) < NEWTON_TOLERANCE * (1.0 + np.hypot(x[left], y[left]) / 1e4)
        solved[left[near]] = True
        left = left[~near & np.isfinite(x[left]) & np.isfinite(y[left])]
    return np.where(solved, x, np.nan), np.where(solved, y, np.nan)


def newton_step(
    kernel: ChipDistortion, x: NDArray[np.float64], y: NDArray[np.float64], offsets: NDArray[np.float64]
) -> Pair:
    """One step, with the derivatives over one pixel (the tables have none at their nodes)."""
    half = 0.5
    u, v = kernel.distort(x, y)
    (u_right, v_right), (u_left, v_left) = kernel.distort(x + half, y), kernel.distort(x - half, y)
    (u_up, v_up), (u_down, v_down) = kernel.distort(x, y + half), kernel.distort(x, y - half)
    du_dx, dv_dx, du_dy, dv_dy = u_right - u_left, v_right - v_left, u_up - u_down, v_up - v_down
    determinant = du_dx * dv_dy - du_dy * dv_dx
    determinant = np.where(determinant > 0.0, determinant, np.nan)
    miss_u, miss_v = offsets[0] - u, offsets[1] - v
    return (
        (dv_dy * miss_u - du_dy * miss_v) / determinant,
        (du_dx * miss_v - dv_dx * miss_u) / determinant,
    )


def astropy_wcs(chip: ChipWcs, origin: LookupOrigin = "hst") -> "WCS":
    """The same transformation as an ``astropy.wcs.WCS``, for comparison and for other packages.

    Under "hst" the CRPIX of the lookup tables gets ``+ 1 - 1/CDELT`` in memory, because astropy >= 6.1
    counts nodes from 1 where HST's tables count from 1/CDELT; under "fits" it is left as it is.
    """
    from astropy.wcs import WCS, DistortionLookupTable, Sip

    def table_for(table: LookupTable | None) -> DistortionLookupTable | None:
        if table is None:
            return None
        shift = [1.0 - 1.0 / step if origin == "hst" else 0.0 for step in table.cdelt]
        crpix = (table.crpix[0] + shift[0], table.crpix[1] + shift[1])
        values = np.ascontiguousarray(table.values, dtype=np.float32)
        return DistortionLookupTable(values, crpix, table.crval, table.cdelt)

    check_projection(chip)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = list(chip.ctype)
    wcs.wcs.crpix, wcs.wcs.crval, wcs.wcs.cd = chip.crpix, chip.crval, chip.cd_matrix
    wcs.wcs.cunit = ["deg", "deg"]
    if chip.sip_a is not None or chip.sip_b is not None:
        wcs.sip = Sip(*sip_pair(chip), None, None, chip.crpix)
    wcs.cpdis1, wcs.cpdis2 = (table_for(table) for table in chip.npol)
    wcs.det2im1, wcs.det2im2 = (table_for(table) for table in chip.d2im)
    wcs.array_shape = chip.shape
    wcs.wcs.set()
    return wcs


def sip_pair(chip: ChipWcs) -> Pair:
    """Both SIP coefficient arrays, zeros for an absent one (astropy wants both)."""
    a = np.zeros((2, 2)) if chip.sip_a is None else chip.sip_a
    b = np.zeros((2, 2)) if chip.sip_b is None else chip.sip_b
    return np.ascontiguousarray(a, dtype=np.float64), np.ascontiguousarray(b, dtype=np.float64)
