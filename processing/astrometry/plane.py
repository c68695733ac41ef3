"""Tangent planes, and similarity transformations of the sky that a chip's WCS can follow exactly.

Between two gnomonic planes, and under rotation and scaling about a point, directions transform
linearly: a transformation is a 3 x 3 matrix that acts on unit vectors and leaves the length free.
A chip follows it by a new CRVAL and a new CD matrix alone; its distortion is untouched.
Plane coordinates are arcsec, xi to the east and eta to the north; angles are degrees, ICRS.
"""

from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.astrometry.mapping import tangent_basis
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from numpy.typing import NDArray

Array = NDArray[np.float64]
ARCSEC = 206264.80624709636  # arcsec in a radian


def unit_vectors(ra: Array, dec: Array) -> Array:
    """Directions as unit vectors, shape (n, 3)."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def sky_positions(vectors: Array) -> tuple[Array, Array]:
    """Right ascension (0 to 360) and declination of vectors of any length, shape (n, 3)."""
    ra = np.degrees(np.arctan2(vectors[..., 1], vectors[..., 0])) % 360.0
    dec = np.degrees(np.arctan2(vectors[..., 2], np.hypot(vectors[..., 0], vectors[..., 1])))
    return ra, dec


@dataclass(frozen=True)
class TangentPlane:
    """The plane that touches the sky at (ra, dec), degrees."""

    ra: float
    dec: float

    @property
    def basis(self) -> Array:
        """East, north and outward as rows."""
        return tangent_basis(self.ra, self.dec)

    def project(self, vectors: Array) -> Array:
        """Plane coordinates (xi, eta) in arcsec, shape (n, 2), of vectors of shape (n, 3)."""
        along = vectors @ self.basis.T
        return ARCSEC * along[:, :2] / along[:, 2:]

    def project_sky(self, ra: Array, dec: Array) -> Array:
        """Plane coordinates (xi, eta) in arcsec, shape (n, 2), of sky positions in degrees."""
        return self.project(unit_vectors(ra, dec))

    def deproject(self, points: Array) -> Array:
        """Unit vectors, shape (n, 3), of plane coordinates in arcsec, shape (n, 2)."""
        vectors = np.column_stack([points / ARCSEC, np.ones(len(points))]) @ self.basis
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass(frozen=True)
class PlaneFit:
    """A transformation of plane coordinates: ``matrix @ p + shift``.

    Attributes
    ----------
    shift : ndarray, shape (2,)
        Arcsec, (xi, eta).
    matrix : ndarray, shape (2, 2)
    """

    shift: Array
    matrix: Array

    @classmethod
    def identity(cls) -> "PlaneFit":
        """The transformation that changes nothing."""
        return cls(np.zeros(2), np.eye(2))

    @classmethod
    def similarity(cls, shift: Array, roll_deg: float = 0.0, scale: float = 1.0) -> "PlaneFit":
        """From a shift (arcsec), a roll (degrees, from xi towards eta) and a scale factor."""
        c, s = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
        return cls(np.asarray(shift, dtype=np.float64), scale * np.array([[c, -s], [s, c]]))

    @property
    def roll_deg(self) -> float:
        """Rotation from xi towards eta, degrees."""
        m = self.matrix
        return float(np.degrees(np.arctan2(m[1, 0] - m[0, 1], m[0, 0] + m[1, 1])))

    @property
    def scale(self) -> float:
        """Mean scale factor, the square root of the determinant."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def __call__(self, points: Array) -> Array:
        return points @ self.matrix.T + self.shift

    def after(self, first: "PlaneFit") -> "PlaneFit":
        """This transformation applied after `first`."""
        return PlaneFit(self.matrix @ first.shift + self.shift, self.matrix @ first.matrix)


def sky_matrix(fit: PlaneFit, plane: TangentPlane) -> Array:
    """The transformation of directions, shape (3, 3), of a fit in a plane.

    The matrix part acts in the plane about the tangent point; the shift moves the tangent point along
    a great circle, so that no shape changes. It agrees with the fit itself at the tangent point and to
    shift times (distance squared) elsewhere: 4e-10 degree for 5 arcsec at 100 arcsec.
    """
    basis = plane.basis
    inner = np.eye(3)
    inner[:2, :2] = fit.matrix
    return _carried(basis[2], plane.deproject(fit.shift[None, :])[0]) @ basis.T @ inner @ basis


def sky_matrix_about(fit: PlaneFit, centre: Array, plane: TangentPlane) -> Array:
    """The transformation of directions, shape (3, 3), of a fit about a point away from the tangent point.

    It agrees with the fit in place and in first order at the centre. Elsewhere the two differ by the
    distortion of the plane: by 0.002 mas at 100 arcsec from a centre that is itself 670 arcsec from
    the tangent point, for a shift of 5 arcsec (`sky_matrix`: 0.06 mas).

    Parameters
    ----------
    fit : PlaneFit
    centre : ndarray, shape (2,)
        Arcsec.
    plane : TangentPlane

    Returns
    -------
    ndarray, shape (3, 3)
    """
    ends = plane.deproject(np.array([centre, fit(centre)]))
    carry = _carried(ends[0], ends[1])
    local = TangentPlane(*(float(angle[0]) for angle in sky_positions(ends[:1]))).basis
    along = np.column_stack([np.eye(2), np.zeros(2)]) @ plane.basis  # of xi and eta, in radians
    outward = float(plane.basis[2] @ ends[0])
    inner = local[:2] @ (along.T * outward)
    end = carry @ ends[0] / outward
    moved = plane.basis @ carry @ along.T
    place = plane.basis @ end
    plain = (moved[:2] - np.outer(place[:2], moved[2]) / place[2]) / place[2]
    turn = inner @ np.linalg.solve(plain, fit.matrix) @ np.linalg.inv(inner)
    kernel = np.eye(3)
    kernel[:2, :2] = turn
    return carry @ local.T @ kernel @ local


def _carried(start: Array, end: Array) -> Array:
    """The rotation, shape (3, 3), that carries one direction to another along a great circle."""
    axis = np.cross(start, end)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1.0 + float(start @ end))


def moved_chip(chip: ChipWcs, matrix: Array) -> ChipWcs:
    """The chip after a transformation of the sky: new CRVAL and CD, distortion unchanged.

    Parameters
    ----------
    chip : ChipWcs
    matrix : ndarray, shape (3, 3)
        As from `sky_matrix`, or a product of such.

    Returns
    -------
    ChipWcs
        Exact for rotations; with a scale s about a point at distance d of the chip's CRVAL it
        leaves (s squared - 1) d r**2 at distance r: 1e-11 degree for s - 1 = 1e-3 on ACS/WFC.
    """
    old = tangent_basis(*chip.crval)
    image = matrix @ old[2]
    ra, dec = sky_positions(image[None, :])
    crval = (float(ra[0]), float(dec[0]))
    new = tangent_basis(*crval)
    jacobian = new[:2] @ matrix @ old[:2].T / np.linalg.norm(image)
    cd = (jacobian @ chip.cd_matrix).ravel()
    return replace(chip, crval=crval, cd=(float(cd[0]), float(cd[1]), float(cd[2]), float(cd[3])))


def moved_solution(solution: WcsSolution, matrix: Array) -> WcsSolution:
    """All chips of a solution moved rigidly together by a transformation of the sky."""
    return replace(solution, chips=tuple(moved_chip(chip, matrix) for chip in solution.chips))
