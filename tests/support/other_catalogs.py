"""Rows of GSC 2.4.2, 2MASS and Pan-STARRS1, with the columns and units of VizieR and MAST."""

import numpy as np
from astropy.table import MaskedColumn, Table
from support.gaia_table import synthetic_sky

FIELD = (150.0, 2.0, 0.05)
"""Right ascension, declination and radius of the field, degrees; 200 stars lie in it."""


def _positions(seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    sky = synthetic_sky(*FIELD, 200, seed)
    return np.asarray(sky["ra"]), np.asarray(sky["dec"]), np.random.default_rng(seed)


def two_mass_table(seed: int = 11) -> Table:
    """II/246/out, a part of its columns."""
    ra, dec, random = _positions(seed)
    number = len(ra)
    major = random.uniform(0.06, 0.3, number)
    table = Table(masked=True)
    table["RAJ2000"] = MaskedColumn(ra, unit="deg")
    table["DEJ2000"] = MaskedColumn(dec, unit="deg")
    table["errMaj"] = MaskedColumn(major, unit="arcsec")
    table["errMin"] = MaskedColumn(0.5 * major, unit="arcsec")
    table["errPA"] = MaskedColumn(random.integers(0, 180, number).astype(np.int16), unit="deg")
    table["2MASS"] = MaskedColumn([f"{n:08d}+{n:07d}" for n in range(number)])
    table["Jmag"] = MaskedColumn(random.uniform(9, 17, number), unit="mag")
    table["JD"] = MaskedColumn(random.uniform(2450600.0, 2451960.0, number), unit="d")
    return table


def gsc_table(seed: int = 12) -> Table:
    """I/353/gsc242, a part of its columns: a third from Gaia DR2, the others from plates."""
    ra, dec, random = _positions(seed)
    number = len(ra)
    plates = random.random(number) < 0.67
    table = Table(masked=True)
    table["GSC2"] = MaskedColumn([f"N{n:09d}" for n in range(number)])
    table["RA_ICRS"] = MaskedColumn(ra, unit="deg")
    table["DE_ICRS"] = MaskedColumn(dec, unit="deg")
    table["Epoch"] = MaskedColumn(np.where(plates, random.uniform(1975, 1998, number), 2015.5), unit="yr")
    table["e_RA_ICRS"] = MaskedColumn(np.where(plates, 0.25, 0.0002), unit="arcsec", mask=plates)
    table["e_DE_ICRS"] = MaskedColumn(np.where(plates, 0.25, 0.0003), unit="arcsec", mask=plates)
    for name, unit in (("plx", "mas"), ("e_plx", "mas"), ("pmRA", "mas/yr"), ("e_pmRA", "mas/yr")):
        table[name] = MaskedColumn(random.uniform(0.1, 3.0, number), unit=unit, mask=plates)
    for name in ("pmDE", "e_pmDE"):
        table[name] = MaskedColumn(random.uniform(0.1, 3.0, number), unit="mas/yr", mask=plates)
    table["Gmag"] = MaskedColumn(random.uniform(10, 21, number), unit="mag", mask=plates)
    table["Vmag"] = MaskedColumn(random.uniform(10, 21, number), unit="mag", mask=~plates)
    return table


def first_panstarrs(seed: int = 13) -> Table:
    """II/349/ps1, a part of its columns."""
    ra, dec, random = _positions(seed)
    number = len(ra)
    table = Table(masked=True)
    table["RAJ2000"] = MaskedColumn(ra, unit="deg")
    table["DEJ2000"] = MaskedColumn(dec, unit="deg")
    table["objID"] = MaskedColumn(110_000_000_000_000_000 + np.arange(number, dtype=np.int64))
    table["e_RAJ2000"] = MaskedColumn(random.uniform(0.001, 0.03, number), unit="arcsec")
    table["e_DEJ2000"] = MaskedColumn(random.uniform(0.001, 0.03, number), unit="arcsec")
    table["Epoch"] = MaskedColumn(random.uniform(55000.0, 57000.0, number), unit="d")
    table["gmag"] = MaskedColumn(random.uniform(14, 22, number), unit="mag")
    table["rmag"] = MaskedColumn(random.uniform(14, 22, number), unit="mag", mask=random.random(number) < 0.2)
    return table


def second_panstarrs(seed: int = 14) -> Table:
    """Mean objects of Pan-STARRS1 DR2 at MAST; -999 is unknown."""
    ra, dec, random = _positions(seed)
    number = len(ra)
    table = Table()
    table["objName"] = [f"PSO J{n:06d}" for n in range(number)]
    table["objID"] = 110_000_000_000_000_000 + np.arange(number, dtype=np.int64)
    table["raMean"], table["decMean"] = ra, dec
    table["raMeanErr"] = random.uniform(0.001, 0.03, number)
    table["decMeanErr"] = np.where(random.random(number) < 0.1, -999.0, random.uniform(0.001, 0.03, number))
    table["epochMean"] = random.uniform(55000.0, 57000.0, number)
    table["nDetections"] = random.integers(1, 60, number)
    for band in "grizy":
        known = random.random(number) < 0.8
        table[f"{band}MeanPSFMag"] = np.where(known, random.uniform(14, 22, number), -999.0)
    return table
