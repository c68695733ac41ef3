"""Catalogs that VizieR's TAP service answers for: GSC 2.4.2, 2MASS, Pan-STARRS1 DR1.

All columns are asked for, because what stands for an error or an epoch is spelt differently from table to
table and from year to year; units are taken from the answer. The columns come out with the names and units of
the Gaia archive; ``phot_g_mean_mag`` is then a magnitude of the catalog's own, of use for order and
brightness only. Errors that the catalogs leave out of their own are added in quadrature.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hapctl.archive.gaia_columns import BadTableError, column_numbers, stars_from_table
from hapctl.archive.gaia_rows import NewAnswer
from hapctl.archive.remote_services import RemoteService
from hapctl.archive.sky_region import Circle
from hapctl.archive.tap_answers import TapTable, whole_answer
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.table import Table

Floats = NDArray[np.float64]

REMEDY = "try later, or another mirror by HAPCTL_SERVICES_VIZIER; --offline uses what the catalog holds"
PS1_FLOOR_MAS = 5.0
"""Error of a mean position of Pan-STARRS1 that its stated error leaves out (the tie to Gaia DR1 and
distortions of the camera; Magnier et al. 2020, ApJS 251, 6)."""
PS1_EPOCH = 2012.0
"""Middle of the survey (2009 to 2014), for a row without a mean epoch."""
TWOMASS_EPOCH = 1999.3
"""Middle of the survey (June 1997 to February 2001), for a row without a date."""
GSC_EPOCH = 2015.5
"""Of the positions that GSC 2.4.2 took from Gaia DR2."""
GSC_ERROR_MAS = 300.0
"""Of a position of GSC 2.4.2 without a stated error: that of the plates in the frame of ICRS."""


@dataclass(frozen=True)
class VizierTable:
    """A table of VizieR: its identifier, columns of position, and how its rows become stars."""

    name: str
    identifier: str
    position: tuple[str, str]
    stars: Callable[["Table"], ReferenceStars]

    @property
    def tap_table(self) -> TapTable:
        """The table, as the TAP service is asked for it."""
        return TapTable(self.name, f'"{self.identifier}"', (), self.position, self.stars)


def fetch_vizier(circle: Circle, release: str, service: RemoteService) -> NewAnswer:
    """Ask VizieR for all sources of a catalog in a circle.

    Parameters
    ----------
    circle : Circle
    release : str
        ``gsc242``, ``2mass`` or ``ps1dr1``.
    service : RemoteService
        TAP service.

    Raises
    ------
    ServiceUnavailableError, AnswerTooLargeError, CatalogUsageError
        As `tap_answers.whole_answer`.
    """
    table = VIZIER_TABLES[release].tap_table
    stars = whole_answer(table, circle, service, REMEDY)
    return NewAnswer(release, "vizier", service.url, table.adql(circle), circle, stars)


def two_mass_stars(table: "Table") -> ReferenceStars:
    """2MASS point sources (II/246): error ellipses, and each star's own epoch."""
    columns = _Columns(table)
    ra_error, dec_error, correlation = _ellipse(
        columns.numbers("errMaj", "mas"), columns.numbers("errMin", "mas"), columns.numbers("errPA", "deg")
    )
    julian_date = columns.numbers("JD", "d", optional=True)
    return _stars(
        {
            "source_id": columns.identifiers("2MASS", "_2MASS"),
            "ra": columns.numbers("RAJ2000", "deg"),
            "dec": columns.numbers("DEJ2000", "deg"),
            "ra_error": ra_error,
            "dec_error": dec_error,
            "ra_dec_corr": correlation,
            "ref_epoch": julian_year(julian_date - 2400000.5),
            "phot_g_mean_mag": columns.numbers("Jmag", "mag", optional=True),
        },
        TWOMASS_EPOCH,
    )


def panstarrs_stars(table: "Table") -> ReferenceStars:
    """Pan-STARRS1 DR1 (II/349): mean positions at the mean epoch of each object."""
    columns = _Columns(table)
    return _stars(
        {
            "source_id": columns.identifiers("objID"),
            "ra": columns.numbers("RAJ2000", "deg"),
            "dec": columns.numbers("DEJ2000", "deg"),
            "ra_error": with_floor(columns.numbers("e_RAJ2000", "mas")),
            "dec_error": with_floor(columns.numbers("e_DEJ2000", "mas")),
            "ref_epoch": julian_year(columns.numbers("Epoch", "d")),
            "phot_g_mean_mag": columns.first(("rmag", "imag", "gmag", "zmag", "ymag"), "mag"),
        },
        PS1_EPOCH,
    )


def gsc_stars(table: "Table") -> ReferenceStars:
    """GSC 2.4.2 (I/353): Gaia DR2's positions and motions where it had them, else positions of plates."""
    columns = _Columns(table)
    ra_error = columns.numbers("e_RA_ICRS", "mas", optional=True)
    dec_error = columns.numbers("e_DE_ICRS", "mas", optional=True)
    named = {"parallax": "plx", "parallax_error": "e_plx", "pmra": "pmRA", "pmra_error": "e_pmRA"}
    named |= {"pmdec": "pmDE", "pmdec_error": "e_pmDE"}
    units = {"parallax": "mas", "parallax_error": "mas"}
    astrometry = {
        ours: columns.numbers(theirs, units.get(ours, "mas / yr"), optional=True)
        for ours, theirs in named.items()
    }
    from_gaia = np.isfinite(astrometry["pmra"]) & np.isfinite(astrometry["pmdec"])
    unknown = np.where(from_gaia, np.nan, GSC_ERROR_MAS)
    return _stars(
        {
            "source_id": columns.identifiers("GSC2"),
            "ra": columns.numbers("RA_ICRS", "deg"),
            "dec": columns.numbers("DE_ICRS", "deg"),
            "ra_error": np.where(ra_error > 0, ra_error, unknown),
            "dec_error": np.where(dec_error > 0, dec_error, unknown),
            "ref_epoch": columns.numbers("Epoch", "yr", optional=True),
            "phot_g_mean_mag": columns.first(("Gmag", "Vmag", "rmag", "Fmag", "Jmag"), "mag"),
            **astrometry,
        },
        GSC_EPOCH,
    )


VIZIER_TABLES = {
    "gsc242": VizierTable("GSC 2.4.2", "I/353/gsc242", ("RA_ICRS", "DE_ICRS"), gsc_stars),
    "2mass": VizierTable("2MASS", "II/246/out", ("RAJ2000", "DEJ2000"), two_mass_stars),
    "ps1dr1": VizierTable("Pan-STARRS1 DR1", "II/349/ps1", ("RAJ2000", "DEJ2000"), panstarrs_stars),
}


def julian_year(mjd: Floats) -> Floats:
    """Julian year of a modified Julian date."""
    return 2000.0 + (mjd - 51544.5) / 365.25


def with_floor(errors: Floats) -> Floats:
    """Stated errors of Pan-STARRS1 (mas; unknown where not positive) with what they leave out."""
    return np.where(errors > 0, np.hypot(errors, PS1_FLOOR_MAS), np.nan)


class _Columns:
    """Columns of an answer by their names in any case of letters."""

    def __init__(self, table: "Table") -> None:
        self._columns = {name.lower(): table[name] for name in table.colnames}
        self._rows = len(table)

    def numbers(self, name: str, unit: str, *, optional: bool = False) -> Floats:
        """A column in a unit; NaN where it is empty, or where an optional column is missing."""
        if name.lower() in self._columns:
            return column_numbers(name, self._columns[name.lower()], unit)
        if optional:
            return np.full(self._rows, np.nan)
        raise BadTableError(f"it has no column {name}")

    def first(self, names: tuple[str, ...], unit: str) -> Floats:
        """The first of some columns that is known, row by row."""
        found = np.full(self._rows, np.nan)
        for name in names:
            values = self.numbers(name, unit, optional=True)
            found = np.where(np.isfinite(found), found, values)
        return found

    def identifiers(self, *names: str) -> object:
        """The column of identifiers, whichever of its names it has."""
        for name in names:
            if name.lower() in self._columns:
                return self._columns[name.lower()]
        raise BadTableError(f"it has no column {names[0]}")


def _stars(columns: dict[str, object], epoch: float) -> ReferenceStars:
    from astropy.table import Table

    return stars_from_table(Table(columns, masked=True), epoch)


def _ellipse(major: Floats, minor: Floats, angle_deg: Floats) -> tuple[Floats, Floats, Floats]:
    """Errors east and north and their correlation, of an error ellipse at an angle east of north."""
    sine, cosine = np.sin(np.radians(angle_deg)), np.cos(np.radians(angle_deg))
    east = np.sqrt((major * sine) ** 2 + (minor * cosine) ** 2)
    north = np.sqrt((major * cosine) ** 2 + (minor * sine) ** 2)
    product = (major**2 - minor**2) * sine * cosine
    correlation = np.divide(product, east * north, out=np.zeros_like(product), where=east * north > 0)
    return east, north, correlation
