"""Releases of Gaia: their tables, columns and epochs, and how a TAP service is asked for them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hapctl.archive.errors import CatalogUsageError
from hapctl.archive.gaia_columns import UNITS, stars_from_table
from hapctl.archive.gaia_rows import NewAnswer
from hapctl.archive.remote_services import RemoteService
from hapctl.archive.sky_region import Circle
from hapctl.archive.tap_answers import TapTable, whole_answer
from hapctl.processing.astrometry.reference_stars import CORRELATION_NAMES, ReferenceStars

if TYPE_CHECKING:
    from astropy.table import Table

COLUMNS = ("source_id", *UNITS, *CORRELATION_NAMES, "astrometric_params_solved", "duplicated_source")
REMEDY = "try later, or another service by HAPCTL_GAIA_URL; --offline uses what the catalog holds"


@dataclass(frozen=True)
class GaiaRelease:
    """A data release: name in the catalog, table of the service, epoch, and what is joined to the table."""

    name: str
    table: str
    epoch: float
    joined: str = ""

    @property
    def tap_table(self) -> TapTable:
        """The table, as a service is asked for it."""
        return TapTable("Gaia", self.table, COLUMNS, ("ra", "dec"), self._stars, self.joined)

    def _stars(self, table: "Table") -> ReferenceStars:
        return stars_from_table(table, self.epoch)


RELEASES = {
    "gaiadr3": GaiaRelease("gaiadr3", "gaiadr3.gaia_source", 2016.0),
    "gaiaedr3": GaiaRelease("gaiaedr3", "gaiaedr3.gaia_source", 2016.0),
    # DR2 has RUWE in a table of its own, which does not hold every source.
    "gaiadr2": GaiaRelease(
        "gaiadr2", "gaiadr2.gaia_source", 2015.5, " LEFT OUTER JOIN gaiadr2.ruwe USING (source_id)"
    ),
}


def find_release(name: str) -> GaiaRelease:
    """Return a release by any of its spellings (``DR3``, ``GAIADR3``, ``gaiaedr3`` ...)."""
    plain = name.strip().lower().replace(" ", "").replace("-", "").replace("_", "")
    release = RELEASES.get(plain if plain.startswith("gaia") else f"gaia{plain}")
    if release is None:
        raise CatalogUsageError(f"the Gaia release '{name}' is not known", f"one of {', '.join(RELEASES)}")
    return release


def fetch_sources(circle: Circle, release: GaiaRelease, service: RemoteService) -> NewAnswer:
    """Ask a TAP service for all Gaia sources in a circle.

    Parameters
    ----------
    circle : Circle
        Where; degrees, ICRS at the epoch of the release.
    release : GaiaRelease
        Which.
    service : RemoteService
        Whom, and how patiently.

    Raises
    ------
    ServiceUnavailableError
        After the last attempt, or at once where the service refuses the question itself.
    AnswerTooLargeError
        More sources than hapctl takes.
    CatalogUsageError
        The URL is not one.
    """
    table = release.tap_table
    stars = whole_answer(table, circle, service, REMEDY)
    return NewAnswer(release.name, "tap", service.url, table.adql(circle), circle, stars)
