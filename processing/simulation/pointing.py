"""Where the telescope looks: pointings, the aberration of the plate scale, rigid motions of the sky."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

ORBIT_SPEED_KM_S, ORBIT_PERIOD_DAYS, ORBIT_INCLINATION_DEG = 7.55, 95.4 / 1440.0, 28.47
LIGHT_KM_S = 299_792.458


@dataclass(frozen=True)
class Pointing:
    """Centre of the field (degrees, ICRS), position angle of V3 (degrees) and scale relative to nominal."""

    ra: float
    dec: float
    pa_v3: float
    scale: float = 1.0

    @property
    def frame_angle(self) -> float:
        """Position angle of the y axis of the distortion frame: that of -V3 for ACS/WFC."""
        return (self.pa_v3 + 180.0) % 360.0

    def moved(
        self, east_arcsec: float, north_arcsec: float, roll_degree: float, scale: float = 1.0
    ) -> "Pointing":
        """This pointing after a shift on the sky, a turn about its centre, and a change of scale."""
        distance = np.hypot(east_arcsec, north_arcsec) / 3600.0
        angle = np.degrees(np.arctan2(east_arcsec, north_arcsec))
        ra, dec = offset_position(self.ra, self.dec, angle, distance)
        roll = (self.pa_v3 + meridian_convergence(self.ra, self.dec, ra, dec) + roll_degree) % 360.0
        return replace(self, ra=ra, dec=dec, pa_v3=roll, scale=self.scale * scale)


@dataclass(frozen=True)
class LinearWcs:
    """CRVAL (degrees) and CD (degrees per pixel, shape (2, 2)) of one chip."""

    crval: tuple[float, float]
    cd: NDArray[np.float64]


def unit_vector(ra: float, dec: float) -> NDArray[np.float64]:
    """The unit vector to a position in degrees."""
    a, d = np.radians([ra, dec])
    return np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])


def tangent_basis(ra: float, dec: float) -> NDArray[np.float64]:
    """Rows: unit vectors to the east, to the north and to the position itself."""
    a, d = np.radians([ra, dec])
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    return np.array([east, north, unit_vector(ra, dec)])


def position_of(vector: NDArray[np.float64]) -> tuple[float, float]:
    """Position (degrees) of a vector."""
    x, y, z = vector
    # The second modulus turns the 360.0 that rounding makes of a tiny negative angle into 0.
    return float(np.degrees(np.arctan2(y, x)) % 360.0 % 360.0), float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )


def offset_position(ra: float, dec: float, angle: float, distance: float) -> tuple[float, float]:
    """The position at a distance (degrees) along a position angle (degrees)."""
    east, north, here = tangent_basis(ra, dec)
    a, r = np.radians([angle, distance])
    return position_of(np.cos(r) * here + np.sin(r) * (np.sin(a) * east + np.cos(a) * north))


def meridian_convergence(ra: float, dec: float, to_ra: float, to_dec: float) -> float:
    """The angle (degrees) by which a great circle's position angle grows from one position to another.

    Napier's analogy for the triangle with the pole; exact at any distance.
    """
    half = np.radians((to_ra - ra + 180.0) % 360.0 - 180.0) / 2.0
    middle, difference = np.radians([(dec + to_dec) / 2.0, (dec - to_dec) / 2.0])
    return float(
        2.0 * np.degrees(np.arctan2(np.sin(half) * np.sin(middle), np.cos(half) * np.cos(difference)))
    )


def frame_to_sky(pointing: Pointing, x_arcsec: float, y_arcsec: float) -> tuple[float, float]:
    """The position of a point of the distortion frame, on the tangent plane of the field centre."""
    a = np.radians(pointing.frame_angle)
    xi = (-x_arcsec * np.cos(a) + y_arcsec * np.sin(a)) * pointing.scale
    eta = (x_arcsec * np.sin(a) + y_arcsec * np.cos(a)) * pointing.scale
    east, north, here = tangent_basis(pointing.ra, pointing.dec)
    return position_of(here + np.radians(xi / 3600.0) * east + np.radians(eta / 3600.0) * north)


def chip_wcs(
    pointing: Pointing, centre_arcsec: tuple[float, float], linear: NDArray[np.float64], va_factor: float
) -> LinearWcs:
    """The WCS of a chip from its place in the distortion frame.

    Parameters
    ----------
    pointing : Pointing
        Of the field centre.
    centre_arcsec : tuple of float
        The chip's reference pixel in the distortion frame (arcsec, origin at the field centre).
    linear : ndarray, shape (2, 2)
        Detector pixels to distortion frame, arcsec.
    va_factor : float
        Plate scale factor of velocity aberration; it widens pixels and the distance of the chips.
    """
    field = replace(pointing, scale=pointing.scale * va_factor)
    ra, dec = frame_to_sky(field, *centre_arcsec)
    angle = np.radians(local_frame_angle(field, ra, dec))
    rotation = np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return LinearWcs((ra, dec), field.scale / 3600.0 * rotation @ linear)


def local_frame_angle(pointing: Pointing, ra: float, dec: float) -> float:
    """Position angle of the frame's y axis at a position near the field centre (degrees)."""
    return pointing.frame_angle + meridian_convergence(pointing.ra, pointing.dec, ra, dec)


def repointed(wcs: LinearWcs, old: Pointing, new: Pointing) -> LinearWcs:
    """Carry the WCS of a chip from one pointing to another: a rigid turn of the sphere, then the scale.

    Exact: the tangent plane moves with its reference position, so the CD matrix turns by the angle
    between the carried north and the north of the new place.
    """
    turn = _frame(new).T @ _frame(old)
    centre = unit_vector(new.ra, new.dec)
    carried = turn @ unit_vector(*wcs.crval)
    ratio = new.scale / old.scale
    separation = np.arccos(np.clip(carried @ centre, -1.0, 1.0))
    if ratio != 1.0 and separation > 0:
        across = (carried - (carried @ centre) * centre) / np.sin(separation)
        stretched = np.cos(ratio * separation) * centre + np.sin(ratio * separation) * across
    else:
        stretched = carried
    crval = position_of(stretched)
    axes = tangent_basis(*crval)[:2]
    carried_axes = tangent_basis(*wcs.crval)[:2] @ turn.T
    to_new = axes @ carried_axes.T
    return LinearWcs(crval, ratio * to_new @ wcs.cd)


def _frame(pointing: Pointing) -> NDArray[np.float64]:
    """Rows: axes of the field frame (x, y, line of sight) on the celestial sphere."""
    east, north, here = tangent_basis(pointing.ra, pointing.dec)
    a = np.radians(pointing.frame_angle)
    return np.array([-np.cos(a) * east + np.sin(a) * north, np.sin(a) * east + np.cos(a) * north, here])


def velocity_aberration(ra: float, dec: float, mjd: float) -> float:
    """Plate scale factor of the telescope's motion: VAFACTOR.

    A pixel of fixed apparent size covers ``(1 + v.n / c) / sqrt(1 - v2 / c2)`` of it on the sky at rest.
    The velocity is the Earth's about the barycentre plus that of a circular orbit about the Earth.
    """
    from astropy.coordinates import get_body_barycentric_posvel
    from astropy.time import Time

    _, earth = get_body_barycentric_posvel("earth", Time(mjd, format="mjd", scale="utc"))
    velocity = earth.xyz.to_value("km/s") + _orbital_velocity(mjd)
    beta = velocity / LIGHT_KM_S
    return float((1.0 + beta @ unit_vector(ra, dec)) / np.sqrt(1.0 - beta @ beta))


def earth_position_au(mjd: float) -> NDArray[np.float64]:
    """Barycentric position of the Earth (au, ICRS), shape (3,)."""
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    return np.asarray(get_body_barycentric("earth", Time(mjd, format="mjd", scale="utc")).xyz.to_value("AU"))


def _orbital_velocity(mjd: float) -> NDArray[np.float64]:
    phase = 2.0 * np.pi * (mjd / ORBIT_PERIOD_DAYS % 1.0)
    i = np.radians(ORBIT_INCLINATION_DEG)
    return ORBIT_SPEED_KM_S * np.array([-np.sin(phase), np.cos(phase) * np.cos(i), np.cos(phase) * np.sin(i)])
