"""A Gaia-like extract of the simulated sky: the columns of DR3, honest errors, and Gaia's faults.

Some stars have positions only, some are missing (faint ones, and all in a hole and in a stripe), some
have a companion that bends their astrometry, and some rows are of nothing that shines.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.simulation.camera import stream
from hapctl.processing.simulation.sky_sources import REFERENCE_EPOCH, Floats, Stars, random_positions
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.table import Table

ERROR_MAGNITUDES = (13.0, 15.0, 17.0, 18.0, 19.0, 20.0, 21.0)
POSITION_ERRORS_MAS = (0.015, 0.02, 0.055, 0.09, 0.18, 0.40, 1.2)
PARALLAX_ERRORS_MAS = (0.018, 0.025, 0.07, 0.12, 0.24, 0.50, 1.3)
MOTION_ERRORS_MAS_YR = (0.018, 0.025, 0.07, 0.13, 0.26, 0.55, 1.5)
PARAMETERS = ("ra", "dec", "parallax", "pmra", "pmdec")
FAINT_LIMIT = 20.9
SOLUTION_ID = 1636148068921376768
DEGREES_PER_MAS = 1.0 / 3.6e6


@dataclass(frozen=True)
class GaiaExtract:
    """The extract and its key.

    Attributes
    ----------
    table : Table
        Rows as a Gaia query would return them, in order of source_id.
    star_index : ndarray of int64
        For each row the index of its star, -1 for a row without one.
    """

    table: "Table"
    star_index: NDArray[np.int64]


def make_extract(stars: Stars, ra: float, dec: float, radius_degree: float, seed: int) -> GaiaExtract:
    """Observe the stars as Gaia would.

    Parameters
    ----------
    stars : Stars
        The true sky within the circle.
    ra, dec, radius_degree : float
        The circle the extract covers, degrees.
    seed : int
        Seed of the simulation.
    """
    generator = stream("gaia", seed)
    seen = np.flatnonzero(_catalogued(stars, ra, dec, radius_degree, generator))
    spurious = _spurious(stars.chosen(seen), ra, dec, radius_degree, generator)
    rows = _joined(stars.chosen(seen), spurious)
    index = np.concatenate([seen, np.full(len(spurious), -1)]).astype(np.int64)
    table = _observed(rows, generator)
    order = np.argsort(np.asarray(table["source_id"]), kind="stable")
    return GaiaExtract(table[order], index[order])


def _catalogued(
    stars: Stars, ra: float, dec: float, radius: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Which stars Gaia lists: complete when bright, thinning when faint, none in the gaps."""
    completeness = np.interp(stars.g, (18.0, 20.0, FAINT_LIMIT), (0.98, 0.93, 0.55))
    listed = (stars.g < FAINT_LIMIT) & (generator.random(len(stars)) < completeness)
    east = (stars.ra - ra + 180.0) % 360.0 - 180.0
    east, north = east * np.cos(np.radians(dec)), stars.dec - dec
    hole_east, hole_north = generator.uniform(-0.35, 0.35, 2) * radius
    stripe = generator.uniform(-0.4, 0.4) * radius
    in_hole = np.hypot(east - hole_east, north - hole_north) < 0.08 * radius
    in_stripe = np.abs(north - 0.5 * east - stripe) < 0.02 * radius
    return np.asarray(listed & ~in_hole & ~in_stripe)


def _spurious(listed: Stars, ra: float, dec: float, radius: float, generator: np.random.Generator) -> Stars:
    """Rows that match nothing in the images: about one in thirty."""
    count = len(listed) // 30
    positions = random_positions(generator, ra, dec, radius, count)
    zero = np.zeros(count)
    g = generator.uniform(18.5, FAINT_LIMIT, count)
    return Stars(
        *positions, zero + 0.2, generator.normal(0, 6, count), generator.normal(0, 6, count), g, zero + 1.2
    )


def _joined(first: Stars, second: Stars) -> Stars:
    names = Stars.__dataclass_fields__
    return Stars(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in names))


def _observed(stars: Stars, generator: np.random.Generator) -> "Table":
    from astropy.table import Table

    count = len(stars)
    errors = _errors(stars.g, generator)
    correlations = _correlations(count, generator)
    noise = (
        np.einsum("nij,nj->ni", np.linalg.cholesky(correlations), generator.normal(size=(count, 5))) * errors
    )
    excess, ruwe = _companions(count, generator)
    ra = stars.ra + (noise[:, 0] + excess[:, 0]) * DEGREES_PER_MAS / np.cos(np.radians(stars.dec))
    dec = stars.dec + (noise[:, 1] + excess[:, 1]) * DEGREES_PER_MAS
    two_parameters = generator.random(count) < np.interp(
        stars.g, (17.0, 19.5, FAINT_LIMIT), (0.01, 0.06, 0.4)
    )
    table = Table()
    table["solution_id"] = np.full(count, SOLUTION_ID, dtype=np.int64)
    table["source_id"] = _source_ids(ra, dec, generator)
    table["ref_epoch"] = np.full(count, REFERENCE_EPOCH)
    values = (ra, dec, stars.parallax + noise[:, 2], stars.pmra + noise[:, 3], stars.pmdec + noise[:, 4])
    for number, (name, value) in enumerate(zip(PARAMETERS, values, strict=True)):
        _add(table, name, value, number >= 2, two_parameters)
        _add(table, f"{name}_error", errors[:, number].astype(np.float32), number >= 2, two_parameters)
    for i, first in enumerate(PARAMETERS):
        for j in range(i + 1, 5):
            _add(
                table,
                f"{first}_{PARAMETERS[j]}_corr",
                correlations[:, i, j].astype(np.float32),
                j >= 2,
                two_parameters,
            )
    table["astrometric_params_solved"] = np.where(two_parameters, 3, 31).astype(np.int16)
    _add(table, "ruwe", ruwe.astype(np.float32), True, two_parameters)
    table["duplicated_source"] = generator.random(count) < 0.002
    _photometry(table, stars, generator)
    _describe(table)
    return table


def _add(
    table: "Table", name: str, values: NDArray[np.floating], needs_five: bool, missing: NDArray[np.bool_]
) -> None:
    from astropy.table import MaskedColumn

    table[name] = (
        MaskedColumn(np.where(missing, 0, values).astype(values.dtype), mask=missing)
        if needs_five
        else values
    )


def _errors(g: Floats, generator: np.random.Generator) -> Floats:
    """Standard errors of the five parameters, shape (n, 5): mas and mas/yr."""
    scales = (
        POSITION_ERRORS_MAS,
        POSITION_ERRORS_MAS,
        PARALLAX_ERRORS_MAS,
        MOTION_ERRORS_MAS_YR,
        MOTION_ERRORS_MAS_YR,
    )
    typical = [10 ** np.interp(g, ERROR_MAGNITUDES, np.log10(scale)) for scale in scales]
    return np.asarray(np.array(typical).T * np.exp(generator.normal(0.0, 0.15, (len(g), 5))))


def _correlations(count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Random correlation matrices of the five parameters, shape (n, 5, 5), positive definite."""
    root = np.eye(5) + 0.25 * np.tril(generator.normal(size=(count, 5, 5)), -1)
    covariance = root @ root.transpose(0, 2, 1)
    scale = np.sqrt(np.einsum("nii->ni", covariance))
    return np.asarray(covariance / scale[:, :, None] / scale[:, None, :])


def _companions(count: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Positions bent by an unseen companion (mas, shape (n, 2)) and the RUWE that betrays it."""
    bent = generator.random(count) < 0.04
    excess = np.where(bent[:, None], generator.normal(0.0, 6.0, (count, 2)), 0.0)
    good = np.exp(generator.normal(0.01, 0.05, count))
    return excess, np.where(bent, 1.4 + generator.exponential(1.5, count), good)


def _source_ids(ra: Floats, dec: Floats, generator: np.random.Generator) -> NDArray[np.int64]:
    """Gaia's source_id: HEALPix (nested, level 12) times 2**35, then a running number."""
    import astropy.units as u
    from astropy_healpix import HEALPix

    cells = HEALPix(nside=4096, order="nested").lonlat_to_healpix(ra * u.deg, dec * u.deg)
    numbers = generator.choice(2**25, size=len(ra), replace=False).astype(np.int64)
    return np.asarray(cells, dtype=np.int64) * 2**35 + numbers * 128


def _photometry(table: "Table", stars: Stars, generator: np.random.Generator) -> None:
    error = 10 ** np.interp(stars.g, (13.0, 17.0, 21.0), (-3.0, -2.7, -2.0))
    g = stars.g + generator.normal(size=len(stars)) * error
    table["phot_g_mean_mag"] = g.astype(np.float32)
    table["phot_bp_mean_mag"] = (g + 0.30 + 0.45 * (stars.bp_rp - 1.0)).astype(np.float32)
    table["phot_rp_mean_mag"] = (g - 0.70 - 0.55 * (stars.bp_rp - 1.0)).astype(np.float32)
    table["bp_rp"] = table["phot_bp_mean_mag"] - table["phot_rp_mean_mag"]


def _describe(table: "Table") -> None:
    for name in table.colnames:
        table[name].unit = _unit(name)
    table["ref_epoch"].description = "Julian year (TCB) of the positions"


def _unit(name: str) -> str | None:
    if name in ("ra", "dec"):
        return "deg"
    if name in ("pmra", "pmdec", "pmra_error", "pmdec_error"):
        return "mas / yr"
    if name in ("parallax", "parallax_error", "ra_error", "dec_error"):
        return "mas"
    if name == "ref_epoch":
        return "yr"
    return "mag" if name.endswith("_mag") or name == "bp_rp" else None
