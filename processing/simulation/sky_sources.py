"""The sky the simulator looks at: stars that move, galaxies that don't."""

from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.simulation.camera import stream
from hapctl.processing.simulation.pointing import earth_position_au, offset_position
from numpy.typing import NDArray

REFERENCE_EPOCH = 2016.0
BRIGHTEST_G, FAINTEST_G, COUNT_SLOPE = 14.5, 25.5, 0.22
MEAN_MOTION, MOTION_SCALE = (-3.1, -4.2), 4.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stars:
    """Stars as they are: one array element each; angles in degrees, motions in mas and mas/yr.

    ``ra`` and ``dec`` are barycentric, ICRS, at epoch 2016.0; ``pmra`` includes cos(dec).
    """

    ra: Floats
    dec: Floats
    parallax: Floats
    pmra: Floats
    pmdec: Floats
    g: Floats
    bp_rp: Floats

    def __len__(self) -> int:
        return len(self.ra)

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Stars":
        """The stars of a mask or index array."""
        return replace(self, **{name: getattr(self, name)[which] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Galaxies:
    """Galaxies with Sersic profiles; half-light radii along the major axis, position angles east of north."""

    ra: Floats
    dec: Floats
    magnitude: Floats
    bp_rp: Floats
    half_light_arcsec: Floats
    sersic_index: Floats
    axis_ratio: Floats
    position_angle: Floats


def random_positions(
    generator: np.random.Generator, ra: float, dec: float, radius_degree: float, count: int
) -> tuple[Floats, Floats]:
    """Positions (degrees) spread evenly over a cap of the sphere."""
    z = 1.0 - generator.random(count) * (1.0 - np.cos(np.radians(radius_degree)))
    distances = np.degrees(np.arccos(z))
    angles = generator.random(count) * 360.0
    places = [offset_position(ra, dec, a, d) for a, d in zip(angles, distances, strict=True)]
    positions = np.array(places, dtype=np.float64).reshape(-1, 2)
    return positions[:, 0], positions[:, 1]


def make_stars(seed: int, ra: float, dec: float, radius_degree: float, count: int) -> Stars:
    """A field of stars: power-law counts, a common drift with a heavy-tailed spread, distances in kpc.

    Parameters
    ----------
    seed : int
        The same seed gives the same stars.
    ra, dec, radius_degree : float
        The cap to fill, degrees.
    count : int
        How many.
    """
    generator = stream("stars", seed)
    positions = random_positions(generator, ra, dec, radius_degree, count)
    span = 10 ** (COUNT_SLOPE * (FAINTEST_G - BRIGHTEST_G)) - 1.0
    g = BRIGHTEST_G + np.log10(1.0 + span * generator.random(count)) / COUNT_SLOPE
    distance_kpc = np.exp(generator.normal(np.log(2.5), 0.8, count)).clip(0.15, 40.0)
    speed = MOTION_SCALE * (2.5 / distance_kpc) ** 0.5
    pmra, pmdec = (mean + (speed * generator.standard_t(4, count)).clip(-60, 60) for mean in MEAN_MOTION)
    bp_rp = (1.0 + 0.09 * (g - 17.0) + generator.normal(0.0, 0.25, count)).clip(0.3, 3.2)
    return Stars(*positions, 1.0 / distance_kpc, pmra, pmdec, g, bp_rp)


def make_galaxies(seed: int, ra: float, dec: float, radius_degree: float, count: int) -> Galaxies:
    """A field of galaxies: fainter, larger and redder ones in plausible proportion."""
    generator = stream("galaxies", seed)
    positions = random_positions(generator, ra, dec, radius_degree, count)
    magnitude = 19.0 + np.log10(1.0 + (10 ** (0.3 * 6.0) - 1.0) * generator.random(count)) / 0.3
    size = 0.55 * 10 ** (-0.11 * (magnitude - 20.0)) * np.exp(generator.normal(0.0, 0.35, count))
    index = np.where(generator.random(count) < 0.7, 1.0, 3.0) + 0.3 * generator.random(count)
    return Galaxies(
        *positions,
        magnitude,
        generator.normal(1.4, 0.4, count),
        size.clip(0.08, 2.0),
        index,
        generator.uniform(0.25, 1.0, count),
        generator.uniform(0.0, 180.0, count),
    )


def positions_at(stars: Stars, mjd: float) -> tuple[Floats, Floats]:
    """Where the stars are seen at a time: proper motion, then parallax (degrees, ICRS).

    The motion is astropy's (`SkyCoord.apply_space_motion`); the parallax is the geometry of a finite
    distance seen from the Earth. Aberration and light bending are left to the telescope, as in a WCS.

    Parameters
    ----------
    stars : Stars
        Which.
    mjd : float
        Modified Julian Date, UTC.
    """
    import astropy.units as u
    from astropy.coordinates import Distance, SkyCoord
    from astropy.time import Time

    if len(stars) == 0:
        return np.empty(0), np.empty(0)
    distance = Distance(parallax=np.maximum(stars.parallax, 1e-4) * u.mas)
    now = SkyCoord(
        ra=stars.ra * u.deg,
        dec=stars.dec * u.deg,
        distance=distance,
        pm_ra_cosdec=stars.pmra * u.mas / u.yr,
        pm_dec=stars.pmdec * u.mas / u.yr,
        radial_velocity=np.zeros(len(stars)) * u.km / u.s,
        obstime=Time(REFERENCE_EPOCH, format="jyear", scale="tcb"),
    ).apply_space_motion(new_obstime=Time(mjd, format="mjd", scale="utc"))
    seen = now.cartesian.xyz.to_value("AU") - earth_position_au(mjd)[:, None]
    x, y, z = seen
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
