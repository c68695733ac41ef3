"""Gaia's stars made fit to align to: bad solutions out, errors as large as they are, no spin.

What is taken out: stars with RUWE of 1.4 or more (an unknown one passes: DR2 has it in a table of its own),
duplicated sources, and of two rows at one place the less certain. What is inflated: all errors of a star, by
its magnitude (stated errors are too small for bright stars) and by crowding (density of the field, and close
neighbours). What is corrected: the proper motions of stars brighter than G = 13, for the spin of their frame.
"""

from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.astrometry.plane import unit_vectors
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLEANING_VERSION = 1
"""Counts changes that change results; part of an alignment's inputs."""

LARGEST_RUWE = 1.4
"""Lindegren 2018, GAIA-C3-TN-LU-LL-124: beyond it the single-star model does not fit."""
SAME_PLACE_ARCSEC = 0.18
"""Two rows nearer than this are one star (Lindegren et al. 2021, A&A 649, A2: none such is left in DR3)."""

SPIN_LIMITS = (0.0, 9.0, 9.5, 10.0, 10.5, 11.0, 11.5, 11.75, 12.0, 12.25, 12.5, 12.75, 13.0)
SPIN_EDR3 = (
    (18.4, 33.8, -11.3),
    (14.0, 30.7, -19.4),
    (12.8, 31.4, -11.8),
    (13.6, 35.7, -10.5),
    (16.2, 50.0, 2.1),
    (19.4, 59.9, 0.2),
    (21.8, 64.2, 1.0),
    (17.7, 65.6, -1.9),
    (21.3, 74.8, 2.1),
    (25.7, 73.6, 1.0),
    (27.3, 76.6, 0.5),
    (34.9, 68.9, -2.9),
)
"""Spin of eDR3 and DR3 between the G magnitudes of `SPIN_LIMITS`, microarcsec per year about x, y, z
(Cantat-Gaudin & Brandt 2021, A&A 649, A124, table 1)."""
SPIN_DR2 = (-86.0, -114.0, -37.0)
"""Spin of DR2 to G = 11, microarcsec per year; goes linearly to none at G = 13 (Lindegren et al. 2018, A&A
616, A2, section 5.1, and the slides that go with it)."""

MAGNITUDE_BUMP = (0.21, 12.65, 0.90)
MAGNITUDE_TREND = (1.141, 0.0040, -0.00062)
"""External over stated errors against G: height, place and width of a bump, and a polynomial (El-Badry, Rix &
Heintz 2021, MNRAS 506, 2269, equation 16, from the parallaxes of wide pairs)."""
UNKNOWN_MAGNITUDE = 17.0
"""G taken for a star without one."""

DENSITY_RADIUS_ARCSEC = 30.0
DENSITY_SCALE = 10.0
DENSITY_POWER = 0.04
"""Errors grow by (1 + density / scale)^power, density in stars per square arcmin: 10 to 20 % in the centres
of globular clusters (Vasiliev & Baumgardt 2021, MNRAS 505, 5978)."""
CROWDED_DENSITIES = (200.0, 300.0)
CROWDED_FACTOR = 2.0
"""Between these densities errors grow to so much more: sound below, too small by 1 to 4 above (Luna et al.
2023, A&A 677, A185)."""
NEIGHBOUR_ARCSEC = 2.0
"""About the length of Gaia's windows across the scan: nearer stars disturb each other. A neighbour of flux
ratio f (1 at most) at distance s adds f (1 - s / 2 arcsec) to the factor: a model of ours, 2 for equal stars
in touch."""
LARGEST_FACTOR = 4.0

ERRORS = ("ra_error", "dec_error", "parallax_error", "pmra_error", "pmdec_error")


@dataclass(frozen=True)
class RemovedStar:
    """A star that was taken out, and why: ``ruwe``, ``duplicated`` or ``same-place``, and in words."""

    source_id: str
    code: str
    reason: str


@dataclass(frozen=True)
class CleanedStars:
    """Stars fit to align to.

    Attributes
    ----------
    stars : ReferenceStars
        Errors inflated, motions of bright stars corrected; in the order they came.
    removed : tuple of RemovedStar
    inflation : ndarray of float64, shape (n,)
        By what the errors of `stars` were multiplied.
    spin_corrected : ndarray of bool, shape (n,)
        Whose motion was corrected.
    version : int
        `CLEANING_VERSION`.
    """

    stars: ReferenceStars
    removed: tuple[RemovedStar, ...]
    inflation: Floats
    spin_corrected: NDArray[np.bool_]
    version: int = CLEANING_VERSION

    def counts(self) -> dict[str, int]:
        """How many stars were removed, by code; codes without any are there with 0."""
        codes = [star.code for star in self.removed]
        return {code: codes.count(code) for code in ("ruwe", "duplicated", "same-place")}


def clean_stars(stars: ReferenceStars, release: str) -> CleanedStars:
    """Clean the stars of a reference catalog.

    Parameters
    ----------
    stars : ReferenceStars
        All of the field: also those that are removed tell of crowding.
    release : str
        ``gaiadr3``, ``gaiaedr3`` or ``gaiadr2``; of any other catalog only what comes twice is removed.

    Returns
    -------
    CleanedStars
    """
    gaia = release.startswith("gaia")
    reasons = _reasons(stars, gaia)
    factor = error_factor(stars) if gaia else np.ones(len(stars))
    kept = np.array([not reason for reason in reasons], dtype=np.bool_)
    corrected, bright = without_spin(stars, release)
    removed = tuple(
        RemovedStar(str(star), *reason)
        for star, reason in zip(stars.source_id, reasons, strict=True)
        if reason is not None
    )
    inflated = {name: getattr(corrected, name) * factor for name in ERRORS}
    return CleanedStars(replace(corrected, **inflated)[kept], removed, factor[kept], bright[kept])


def error_factor(stars: ReferenceStars) -> Floats:
    """By what the stated errors of Gaia's stars are too small, shape (n,); at least 1.

    By magnitude times crowding, at most `LARGEST_FACTOR`; see the constants of this module.
    """
    magnitude = np.where(np.isfinite(stars.phot_g_mean_mag), stars.phot_g_mean_mag, UNKNOWN_MAGNITUDE)
    factor = magnitude_factor(magnitude) * crowding_factor(stars.ra, stars.dec, magnitude)
    return np.minimum(factor, LARGEST_FACTOR)


def magnitude_factor(magnitude: Floats) -> Floats:
    """External over stated errors of single stars in uncrowded fields, by G; at least 1."""
    height, place, width = MAGNITUDE_BUMP
    clipped = np.clip(magnitude, 7.0, 21.0)  # the range it was measured in
    bump = height * np.exp(-(((clipped - place) / width) ** 2))
    return np.maximum(1.0, bump + np.polynomial.polynomial.polyval(clipped, MAGNITUDE_TREND))


def crowding_factor(ra: Floats, dec: Floats, magnitude: Floats) -> Floats:
    """By what crowding makes errors larger: density of the field, times close neighbours; at least 1.

    Parameters
    ----------
    ra, dec : ndarray, shape (n,)
        Degrees; of all stars of the field.
    magnitude : ndarray, shape (n,)
    """
    from scipy.spatial import cKDTree

    if not len(ra):
        return np.ones(0)
    tree = cKDTree(unit_vectors(ra, dec))
    around = tree.query_ball_point(tree.data, _chord(DENSITY_RADIUS_ARCSEC), return_length=True) - 1
    density = around / (np.pi * (DENSITY_RADIUS_ARCSEC / 60.0) ** 2)
    field = (1.0 + density / DENSITY_SCALE) ** DENSITY_POWER
    field *= np.interp(density, CROWDED_DENSITIES, (1.0, CROWDED_FACTOR))
    pairs = tree.query_pairs(_chord(NEIGHBOUR_ARCSEC), output_type="ndarray")
    return field * _neighbour_factor(tree.data, magnitude, pairs)


def _neighbour_factor(vectors: Floats, magnitude: Floats, pairs: NDArray[np.intp]) -> Floats:
    factor = np.ones(len(vectors))
    first, second = pairs[:, 0], pairs[:, 1]
    distance = np.linalg.norm(vectors[first] - vectors[second], axis=1) / _chord(1.0)
    nearness = 1.0 - distance / NEIGHBOUR_ARCSEC
    for star, other in ((first, second), (second, first)):
        ratio = np.minimum(1.0, 10.0 ** (0.4 * (magnitude[star] - magnitude[other])))
        np.add.at(factor, star, ratio * nearness)
    return factor


def without_spin(stars: ReferenceStars, release: str) -> tuple[ReferenceStars, NDArray[np.bool_]]:
    """Return stars with the spin of the bright frame taken out of their motions, and whose motion changed.

    Parameters
    ----------
    stars : ReferenceStars
    release : str
        As for `clean_stars`; only Gaia's releases have a known spin.
    """
    spin = _spin(stars.phot_g_mean_mag, release)
    bright = spin.any(axis=1) & np.isfinite(stars.pmra)
    ra, dec = np.radians(stars.ra), np.radians(stars.dec)
    x, y, z = (np.where(bright, spin[:, axis], 0.0) / 1000.0 for axis in range(3))
    east = -np.sin(dec) * (np.cos(ra) * x + np.sin(ra) * y) + np.cos(dec) * z
    north = np.sin(ra) * x - np.cos(ra) * y
    return replace(stars, pmra=stars.pmra - east, pmdec=stars.pmdec - north), bright


def _spin(magnitude: Floats, release: str) -> Floats:
    """Spin of the frame of each star, microarcsec per year, shape (n, 3); zero where none is known."""
    known = np.isfinite(magnitude) & (magnitude < SPIN_LIMITS[-1])
    bright = np.where(known, magnitude, SPIN_LIMITS[-1])
    if release in ("gaiadr3", "gaiaedr3"):
        table = np.array([*SPIN_EDR3, (0.0, 0.0, 0.0)])
        return table[np.searchsorted(SPIN_LIMITS[1:], bright, side="right")]
    if release == "gaiadr2":
        return np.interp(bright, (11.0, 13.0), (1.0, 0.0))[:, None] * np.array(SPIN_DR2)
    return np.zeros((len(magnitude), 3))


def _reasons(stars: ReferenceStars, gaia: bool) -> list[tuple[str, str] | None]:
    """Code and words for each star that is to be removed, else None."""
    reasons: list[tuple[str, str] | None] = [None] * len(stars)
    for row, nearer in _same_place(stars).items():
        reasons[row] = ("same-place", f"the same place as {stars.source_id[nearer]}, which is more certain")
    if not gaia:
        return reasons
    for row in np.flatnonzero(stars.ruwe >= LARGEST_RUWE).tolist():
        reasons[row] = ("ruwe", f"RUWE {stars.ruwe[row]:.2f}, not below {LARGEST_RUWE}")
    for row in np.flatnonzero(stars.duplicated_source).tolist():
        reasons[row] = ("duplicated", "a duplicated source")
    return reasons


def _same_place(stars: ReferenceStars) -> dict[int, int]:
    """Rows that repeat a more certain one at the same place, and that one."""
    from scipy.spatial import cKDTree

    if not len(stars):
        return {}
    tree = cKDTree(unit_vectors(stars.ra, stars.dec))
    pairs = tree.query_pairs(_chord(SAME_PLACE_ARCSEC))
    errors = np.nan_to_num(np.hypot(stars.ra_error, stars.dec_error), nan=np.inf)
    repeated: dict[int, int] = {}
    for pair in sorted(pairs):
        better, worse = sorted(pair, key=lambda row: (errors[row], str(stars.source_id[row])))
        repeated.setdefault(int(worse), int(better))
    return repeated


def _chord(arcsec: float) -> float:
    """Length of a chord of the unit sphere."""
    return float(2.0 * np.sin(np.radians(arcsec / 3600.0) / 2.0))
