"""Rows for the TAP service: a synthetic sky, or the real extract of 47 Tuc set into one."""

import numpy as np
from astropy.table import MaskedColumn, Table, vstack

CORRELATIONS = (
    "ra_dec_corr", "ra_parallax_corr", "ra_pmra_corr", "ra_pmdec_corr", "dec_parallax_corr",
    "dec_pmra_corr", "dec_pmdec_corr", "parallax_pmra_corr", "parallax_pmdec_corr", "pmra_pmdec_corr",
)  # fmt: skip
UNITS = {
    "ref_epoch": "yr", "ra": "deg", "dec": "deg", "ra_error": "mas", "dec_error": "mas", "parallax": "mas",
    "parallax_error": "mas", "pmra": "mas / yr", "pmdec": "mas / yr", "pmra_error": "mas / yr",
    "pmdec_error": "mas / yr", "phot_g_mean_mag": "mag", "bp_rp": "mag", "radial_velocity": "km / s",
}  # fmt: skip
MOTION = (
    "parallax",
    "parallax_error",
    "pmra",
    "pmdec",
    "pmra_error",
    "pmdec_error",
    "bp_rp",
    *CORRELATIONS[1:],
)


def synthetic_sky(
    ra: float, dec: float, radius: float, inside: int, seed: int = 1, epoch: float = 2016.0
) -> Table:
    """Make a Gaia-like table: a field of stars, ten times as many around it, as many on the whole sky.

    Parameters
    ----------
    ra, dec, radius : float
        The field, in degrees; ``inside`` stars lie in it.
    epoch : float
        Julian year of the positions.
    """
    random = np.random.default_rng(seed)
    near = _cap(random, ra, dec, 0.0, radius, inside)
    around = _cap(random, ra, dec, radius, 6 * radius, 10 * inside)
    sky = _cap(random, ra, dec, 6 * radius, 180.0, 10 * inside)
    table = _sources(random, np.concatenate([near, around, sky], axis=1), epoch)
    return table[random.permutation(len(table))]


def with_extract(extract: Table, seed: int = 2) -> Table:
    """Set a real extract into a synthetic sky that has no star within its field."""
    ra, dec = float(np.mean(extract["ra"])), float(np.mean(extract["dec"]))
    sky = synthetic_sky(ra, dec, 0.02, len(extract), seed)
    outside = np.hypot((sky["ra"] - ra) * np.cos(np.radians(dec)), sky["dec"] - dec) > 0.02
    known = Table(extract, masked=True, copy=True)
    known.meta.clear()
    for name in sky.colnames:
        if name not in known.colnames:
            blank = np.zeros(len(known), sky[name].dtype)
            known[name] = MaskedColumn(blank, mask=name not in ("duplicated_source",), unit=sky[name].unit)
    for name in ("ref_epoch",):
        known[name].unit = sky[name].unit
    return vstack([known[sky.colnames], sky[outside]], metadata_conflicts="silent")


def second_release(table: Table, seed: int = 3) -> Table:
    """The same sky as an earlier release: epoch 2015.5, no RUWE, positions a little different."""
    random = np.random.default_rng(seed)
    earlier = Table(table, masked=True, copy=True)
    earlier.remove_column("ruwe")
    earlier["ref_epoch"][:] = 2015.5
    earlier["dec"] += random.normal(0.0, 1e-7, len(table))
    return earlier


def _cap(
    random: np.random.Generator, ra: float, dec: float, inner: float, outer: float, number: int
) -> np.ndarray:
    """Positions spread evenly between two distances from a point, shape (2, number), degrees."""
    bounds = np.cos(np.radians([inner, outer]))
    cosine = random.uniform(bounds[1], bounds[0], number)
    angle, sine = random.uniform(0, 2 * np.pi, number), np.sqrt(1 - cosine**2)
    x, y, z = sine * np.cos(angle), sine * np.sin(angle), cosine
    tilt, turn = np.radians(90 - dec), np.radians(ra)
    x, z = x * np.cos(tilt) + z * np.sin(tilt), z * np.cos(tilt) - x * np.sin(tilt)
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    return np.array([np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(np.clip(z, -1, 1)))])


def _sources(random: np.random.Generator, positions: np.ndarray, epoch: float) -> Table:
    number = positions.shape[1]
    magnitude = random.uniform(12, 20, number)
    error = 0.02 * 10 ** (0.2 * np.maximum(magnitude - 14, 0))
    solved = random.choice([3, 31, 95], number, p=[0.2, 0.6, 0.2])
    columns: dict[str, np.ndarray] = {
        "source_id": random.choice(2**60, number, replace=False).astype(np.int64),
        "ref_epoch": np.full(number, epoch),
        "ra": positions[0],
        "dec": positions[1],
        "ra_error": error,
        "dec_error": error * 0.9,
        "parallax": random.exponential(1.0, number),
        "parallax_error": error * 1.1,
        "pmra": random.normal(3.0, 4.0, number),
        "pmdec": random.normal(-2.0, 4.0, number),
        "pmra_error": error * 1.05,
        "pmdec_error": error * 0.95,
        "phot_g_mean_mag": magnitude,
        "bp_rp": random.normal(1.0, 0.3, number),
        "ruwe": random.lognormal(0.0, 0.1, number),
        "radial_velocity": random.normal(0.0, 20.0, number),
        "astrometric_params_solved": solved.astype(np.int16),
        "duplicated_source": random.random(number) < 0.01,
        "astrometric_excess_noise": random.exponential(0.1, number),
        "astrometric_excess_noise_sig": random.exponential(1.0, number),
        "visibility_periods_used": random.integers(9, 25, number).astype(np.int16),
        "random_index": random.permutation(number).astype(np.int64),
    }
    columns |= {name: random.uniform(-0.4, 0.4, number).astype(np.float32) for name in CORRELATIONS}
    table = Table(columns, masked=True)
    for name in MOTION:
        table[name].mask = solved == 3
    table["radial_velocity"].mask = magnitude > 14
    for name, unit in UNITS.items():
        table[name].unit = unit
    return table
