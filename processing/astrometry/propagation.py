"""Where reference stars were at the time of an exposure, and how well that is known.

The one place of hapctl that moves stars in time. Motion is uniform in space (Hipparcos and Tycho
Catalogues, ESA SP-1200 vol. 1, section 1.5.5; Butkevich & Lindegren 2014, A&A 570, A62), covariances go
through the analytic Jacobian given there, and the parallax is seen from the Earth at that time (HST is
within 5e-5 au of it). Light-time effects are left out, as in the Gaia catalog's own model.
"""

from dataclasses import dataclass
from typing import Literal

import erfa
import numpy as np
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAS = np.pi / (180.0 * 3600.0 * 1000.0)
"""One milliarcsecond in radians."""
AU_KM_YEAR_PER_SECOND = 4.740470446
"""One astronomical unit per Julian year in km/s (ESA SP-1200, table 1.2.2)."""
POSITION_ERROR_MAS = 0.5
"""Error of a position whose error is unknown: typical of Gaia DR3 at G = 20."""
PARALLAX_ERROR_MAS = 1.0
"""Error of a parallax that is unknown and taken as zero: most stars are beyond 1 kpc."""
ERROR_RATIO = 1.3
"""Unknown errors of a known parallax (mas) or motion (mas/yr), per mas of position error.

From the sky averages of Gaia DR3: 0.80 and 0.70 (position), 1.03 and 0.89 (motion) per error of parallax.
"""
LARGEST_GUESS = 1.5
"""No unknown error of a known parallax (mas) or motion (mas/yr) is taken as larger: that of Gaia's faintest,
also in lists whose positions have errors of 10 mas."""
FIELD_STARS = 5
"""Fewest stars with motions that give a mean motion of the field."""
UNKNOWN_MOTION_MAS_YEAR = 10.0
"""Dispersion taken for a star without motion in a field that has no mean motion either."""

MotionOrigin = Literal["own", "field", "none"]


@dataclass(frozen=True)
class FieldMotion:
    """Robust mean proper motion of a field's stars.

    Attributes
    ----------
    pmra, pmdec : float
        mas per year; pmra is that of ra x cos(dec).
    dispersion_ra, dispersion_dec : float
        Standard deviation of single stars (errors of measurement included), mas per year.
    stars : int
        Number of stars it rests on.
    """

    pmra: float
    pmdec: float
    dispersion_ra: float
    dispersion_dec: float
    stars: int


@dataclass(frozen=True)
class CompleteAstrometry:
    """The five parameters of n stars at an epoch, seen from the barycentre, with nothing left unknown.

    Attributes
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS axes.
    parallax, pmra, pmdec : ndarray of float64, shape (n,)
        mas and mas per year; pmra is that of ra x cos(dec). Unknown parallaxes are zero, unknown motions
        those of the field.
    covariance : ndarray of float64, shape (n, 5, 5)
        Of (ra x cos(dec), dec, parallax, pmra, pmdec), mas and mas per year.
    motion_origin : ndarray of str, shape (n,)
        As in `PropagatedStars`.
    epoch : ndarray of float64, shape (n,)
        Julian year of each position.
    field_motion : FieldMotion or None
        The mean motion that was used, or would have been.
    """

    ra: Floats
    dec: Floats
    parallax: Floats
    pmra: Floats
    pmdec: Floats
    covariance: Floats
    motion_origin: NDArray[np.str_]
    epoch: Floats
    field_motion: FieldMotion | None

    def __len__(self) -> int:
        return len(self.ra)


@dataclass(frozen=True)
class PropagatedStars:
    """Positions of n stars at an epoch, as seen from the Earth.

    Attributes
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS axes, proper motion and parallax applied.
    covariance : ndarray of float64, shape (n, 2, 2)
        Of (ra x cos(dec), dec), mas^2.
    motion_origin : ndarray of str, shape (n,)
        ``own`` motion, mean motion of the ``field``, or ``none`` (left where it was, with a large error).
    epoch : float
        Julian year of the positions.
    field_motion : FieldMotion or None
        The mean motion that was used, or would have been.
    """

    ra: Floats
    dec: Floats
    covariance: Floats
    motion_origin: NDArray[np.str_]
    epoch: float
    field_motion: FieldMotion | None

    def __len__(self) -> int:
        return len(self.ra)

    @property
    def ra_error(self) -> Floats:
        """Standard error of ra x cos(dec), mas, shape (n,)."""
        return np.sqrt(self.covariance[:, 0, 0])

    @property
    def dec_error(self) -> Floats:
        """Standard error of dec, mas, shape (n,)."""
        return np.sqrt(self.covariance[:, 1, 1])


def propagate(
    stars: ReferenceStars,
    mjd: float,
    *,
    radial_velocity: Floats | float = 0.0,
    field_motion: FieldMotion | None = None,
) -> PropagatedStars:
    """Move stars from their reference epochs to the time of an exposure.

    Parameters
    ----------
    stars : ReferenceStars
        As the catalog gives them. Unknown errors take the defaults of this module, unknown parallaxes are
        zero; a star without motion takes the field's, whose dispersion times the epoch difference is added
        to its error.
    mjd : float
        Modified Julian date, UTC: the middle of the exposure.
    radial_velocity : float or ndarray, shape (n,)
        km/s; where it matters (nearby fast stars), else zero.
    field_motion : FieldMotion, optional
        Mean motion for the stars that have none; taken from `stars` themselves by default.

    Returns
    -------
    PropagatedStars
    """
    epoch, earth = epoch_and_earth(mjd)
    field = field_motion or mean_motion(stars)
    parameters, covariance, origin = _complete(stars, field)
    years = epoch - stars.ref_epoch
    radial = np.nan_to_num(radial_velocity) * parameters[:, 2] * MAS / AU_KM_YEAR_PER_SECOND
    direction, nearness, jacobian = _moved(parameters, years, np.broadcast_to(radial, years.shape))
    seen = _seen_from(direction, parameters[:, 2] * nearness, earth, jacobian)
    moved = jacobian @ covariance @ jacobian.transpose(0, 2, 1)
    ra, dec = _degrees(seen)
    return PropagatedStars(
        ra=ra,
        dec=dec,
        covariance=moved,
        motion_origin=origin,
        epoch=epoch,
        field_motion=field,
    )


def complete_astrometry(
    stars: ReferenceStars, epoch: float | None = None, *, field_motion: FieldMotion | None = None
) -> CompleteAstrometry:
    """Return five parameters and their full covariance for each star, what is unknown filled in.

    Parameters
    ----------
    stars : ReferenceStars
        As the catalog gives them; defaults for what is unknown are those of `propagate`.
    epoch : float, optional
        Julian year to which all stars are moved, parallax left out and radial velocities taken as zero; by
        default each stays at its own reference epoch.
    field_motion : FieldMotion, optional
        Mean motion for the stars that have none; taken from `stars` themselves by default.

    Returns
    -------
    CompleteAstrometry
    """
    field = field_motion or mean_motion(stars)
    parameters, covariance, origin = _complete(stars, field)
    epochs = stars.ref_epoch if epoch is None else np.full(len(stars), float(epoch))
    if epoch is not None:
        parameters, jacobian = _moved_completely(parameters, epochs - stars.ref_epoch)
        covariance = jacobian @ covariance @ jacobian.transpose(0, 2, 1)
    ra, dec, parallax, pmra, pmdec = parameters.T
    return CompleteAstrometry(
        np.degrees(ra) % 360.0, np.degrees(dec), parallax, pmra, pmdec, covariance, origin, epochs, field
    )


def epoch_and_earth(mjd: float) -> tuple[float, Floats]:
    """Return the Julian year (TT) of a UTC date and the Earth's barycentric position.

    Parameters
    ----------
    mjd : float
        Modified Julian date, UTC.

    Returns
    -------
    epoch : float
        Julian year; TT stands for TCB, which differs by under a minute.
    earth : ndarray of float64, shape (3,)
        Astronomical units, ICRS axes (ERFA's epv00, good to 1e-7 au).
    """
    first, second = erfa.taitt(*erfa.utctai(erfa.DJM0, mjd))
    _, barycentric = erfa.epv00(first, second)
    return float(erfa.epj(first, second)), np.array(barycentric["p"], dtype=np.float64)


def mean_motion(stars: ReferenceStars, *, clip: float = 3.5, rounds: int = 10) -> FieldMotion | None:
    """Return the robust mean motion of the stars that have one; None with fewer than `FIELD_STARS`.

    Median and scaled median absolute deviation start a clipped mean, in both coordinates at once.
    """
    motions = np.stack([stars.pmra, stars.pmdec], axis=1)
    motions = motions[np.isfinite(motions).all(axis=1)]
    if len(motions) < FIELD_STARS:
        return None
    centre = np.median(motions, axis=0)
    spread = 1.4826 * np.median(np.abs(motions - centre), axis=0)
    kept = motions
    for _ in range(rounds):
        inside = (np.abs(motions - centre) <= clip * np.maximum(spread, 1e-6)).all(axis=1)
        if inside.sum() < FIELD_STARS or (len(kept) == inside.sum() and (kept == motions[inside]).all()):
            break
        kept = motions[inside]
        centre, spread = kept.mean(axis=0), kept.std(axis=0, ddof=1)
    return FieldMotion(float(centre[0]), float(centre[1]), float(spread[0]), float(spread[1]), len(kept))


def _complete(stars: ReferenceStars, field: FieldMotion | None) -> tuple[Floats, Floats, NDArray[np.str_]]:
    """Five parameters (radians and mas), their covariance (mas) and the motion's origin, nothing unknown."""
    known = np.isfinite(stars.pmra) & np.isfinite(stars.pmdec)
    origin = np.where(known, "own", "none" if field is None else "field")
    motion = field or FieldMotion(0.0, 0.0, UNKNOWN_MOTION_MAS_YEAR, UNKNOWN_MOTION_MAS_YEAR, 0)
    errors = _errors(stars, known, motion)
    parameters = np.stack(
        [
            np.radians(stars.ra),
            np.radians(stars.dec),
            np.nan_to_num(stars.parallax),
            np.where(known, stars.pmra, motion.pmra),
            np.where(known, stars.pmdec, motion.pmdec),
        ],
        axis=1,
    )
    return parameters, errors[:, :, None] * _correlation(stars, known) * errors[:, None, :], origin


def _errors(stars: ReferenceStars, known: NDArray[np.bool_], motion: FieldMotion) -> Floats:
    """Standard errors of the five parameters, mas and mas/yr, shape (n, 5), with the defaults filled in."""
    ra_error = np.where(np.isfinite(stars.ra_error), stars.ra_error, POSITION_ERROR_MAS)
    dec_error = np.where(np.isfinite(stars.dec_error), stars.dec_error, POSITION_ERROR_MAS)
    guess = np.minimum(ERROR_RATIO * np.hypot(ra_error, dec_error) / np.sqrt(2.0), LARGEST_GUESS)
    parallax_error = np.where(np.isfinite(stars.parallax_error), stars.parallax_error, guess)
    pmra_error = np.where(np.isfinite(stars.pmra_error), stars.pmra_error, guess)
    pmdec_error = np.where(np.isfinite(stars.pmdec_error), stars.pmdec_error, guess)
    return np.stack(
        [
            ra_error,
            dec_error,
            np.where(np.isfinite(stars.parallax), parallax_error, PARALLAX_ERROR_MAS),
            np.where(known, pmra_error, motion.dispersion_ra),
            np.where(known, pmdec_error, motion.dispersion_dec),
        ],
        axis=1,
    )


def _correlation(stars: ReferenceStars, known: NDArray[np.bool_]) -> Floats:
    """Correlation matrices, shape (n, 5, 5); a parameter that was filled in is correlated with nothing."""
    rows, columns = np.triu_indices(5, k=1)
    always = np.ones_like(known)
    measured = np.stack([always, always, np.isfinite(stars.parallax), known, known], axis=1)
    values = np.where(measured[:, rows] & measured[:, columns], np.nan_to_num(stars.correlations), 0.0)
    matrix = np.tile(np.eye(5), (len(stars), 1, 1))
    matrix[:, rows, columns] = values
    matrix[:, columns, rows] = values
    return matrix


def _moved(parameters: Floats, years: Floats, radial: Floats) -> tuple[Floats, Floats, Floats]:
    """Directions after `years`, shape (n, 3), ratio of the distances then to now, Jacobian, shape (n, 2, 5).

    `radial` is the radial motion in radians per year (radial velocity x parallax / A_v). ESA SP-1200
    eqs 1.5.24 to 1.5.28 and 1.5.69 to 1.5.80, for the two coordinates of the position.
    """
    east, north, outward = _triad(parameters[:, 0], parameters[:, 1])
    pmra, pmdec = parameters[:, 3] * MAS, parameters[:, 4] * MAS
    motion = pmra[:, None] * east + pmdec[:, None] * north
    growth = 1.0 + radial * years
    squared = pmra**2 + pmdec**2
    factor = 1.0 / np.sqrt(growth**2 + squared * years**2)
    direction = (outward * growth[:, None] + motion * years[:, None]) * factor[:, None]
    new_east, new_north, _ = _triad(
        np.arctan2(direction[:, 1], direction[:, 0]), np.arcsin(np.clip(direction[:, 2], -1.0, 1.0))
    )
    later = (motion * growth[:, None] - outward * (squared * years)[:, None]) * (factor**3)[:, None]
    jacobian = np.zeros((len(years), 2, 5))
    for row, axis in enumerate((new_east, new_north)):
        along_outward = _dot(axis, outward) * years * factor
        jacobian[:, row, 0] = _dot(axis, east) * growth * factor - along_outward * pmra
        jacobian[:, row, 1] = _dot(axis, north) * growth * factor - along_outward * pmdec
        jacobian[:, row, 3] = _dot(axis, east) * years * factor
        jacobian[:, row, 4] = _dot(axis, north) * years * factor
        # the radial motion is radial velocity x parallax, so the parallax enters through it
        by_parallax = np.divide(radial, parameters[:, 2], out=np.zeros_like(radial), where=radial != 0)
        jacobian[:, row, 2] = -_dot(axis, later) * years**2 * by_parallax / MAS
    return direction, factor, jacobian


def _moved_completely(parameters: Floats, years: Floats) -> tuple[Floats, Floats]:
    """Five parameters after `years` without radial motion, and their Jacobian, shape (n, 5, 5).

    East and north turn on the way, which matters near the poles; the motion's loss along the line of sight is
    of third order.
    """
    east, north, outward = _triad(parameters[:, 0], parameters[:, 1])
    direction, factor, positions = _moved(parameters, years, np.zeros(len(years)))
    later = parameters.copy()
    later[:, 0] = np.arctan2(direction[:, 1], direction[:, 0])
    later[:, 1] = np.arctan2(direction[:, 2], np.hypot(direction[:, 0], direction[:, 1]))
    new_east, new_north, _ = _triad(later[:, 0], later[:, 1])
    motion = parameters[:, 3, None] * east + parameters[:, 4, None] * north
    squared = (parameters[:, 3] ** 2 + parameters[:, 4] ** 2) * MAS
    velocity = (motion - outward * (squared * years)[:, None]) * (factor**3)[:, None]
    jacobian = np.tile(np.eye(5), (len(years), 1, 1))
    jacobian[:, :2] = positions
    for row, axis in ((3, new_east), (4, new_north)):
        later[:, row] = _dot(axis, velocity)
        jacobian[:, row, 3] = _dot(axis, east)
        jacobian[:, row, 4] = _dot(axis, north)
    return later, jacobian


def _seen_from(direction: Floats, parallax: Floats, observer: Floats, jacobian: Floats) -> Floats:
    """Directions from an observer at `observer` (au), shape (n, 3); adds the parallax to the Jacobian."""
    east, north, _ = _triad(
        np.arctan2(direction[:, 1], direction[:, 0]), np.arcsin(direction[:, 2].clip(-1, 1))
    )
    jacobian[:, 0, 2] -= east @ observer
    jacobian[:, 1, 2] -= north @ observer
    return direction - (parallax * MAS)[:, None] * observer


def _degrees(direction: Floats) -> tuple[Floats, Floats]:
    """Right ascension and declination of directions, shape (n, 3), in degrees."""
    ra = np.degrees(np.arctan2(direction[:, 1], direction[:, 0])) % 360.0
    return ra, np.degrees(np.arctan2(direction[:, 2], np.hypot(direction[:, 0], direction[:, 1])))


def _triad(ra: Floats, dec: Floats) -> tuple[Floats, Floats, Floats]:
    """Unit vectors east, north and outward at positions in radians, each of shape (n, 3)."""
    sin_ra, cos_ra, sin_dec, cos_dec = np.sin(ra), np.cos(ra), np.sin(dec), np.cos(dec)
    east = np.stack([-sin_ra, cos_ra, np.zeros_like(ra)], axis=1)
    north = np.stack([-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec], axis=1)
    return east, north, np.stack([cos_dec * cos_ra, cos_dec * sin_ra, sin_dec], axis=1)


def _dot(first: Floats, second: Floats) -> Floats:
    result: Floats = np.einsum("ij,ij->i", first, second)
    return result
