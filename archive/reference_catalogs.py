"""The one door to reference catalogs: a name, some regions, and the sources with where they come from.

Names are those of WCSNAME in any spelling (``GAIADR3``, ``GAIAeDR3``, ``GAIADR2``, ``GSC242``, ``2MASS``,
``PS1DR2``, ``PS1DR1``). Every answer is kept as rows (reference_query, reference_source) with the exact
question, and is used again where it covers a later request. With ``offline`` the database alone answers and
no socket to a service is opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hapctl.archive.database import Catalog
from hapctl.archive.errors import CatalogUsageError
from hapctl.archive.gaia_rows import NewAnswer
from hapctl.archive.gaia_service import RELEASES, fetch_sources
from hapctl.archive.mast_catalogs import fetch_panstarrs
from hapctl.archive.reference_answers import (
    COVERED_FRACTION,
    EXTRA_ARCSEC,
    Ask,
    ReferenceSources,
    ask_for_missing,
    kept_sources,
)
from hapctl.archive.remote_services import RemoteService
from hapctl.archive.sky_region import Circle, Region
from hapctl.archive.vizier_catalogs import fetch_vizier

ServiceName = Literal["gaia", "vizier", "mast"]


@dataclass(frozen=True)
class ReferenceServices:
    """Where each catalog is asked; None: not at all."""

    gaia: RemoteService | None = None
    vizier: RemoteService | None = None
    mast: RemoteService | None = None


@dataclass(frozen=True)
class ReferenceCatalog:
    """A catalog of the sky that a service answers for.

    Attributes
    ----------
    name : str
        As it is spelt in WCSNAME.
    release : str
        As the database has it.
    frame : str
        What a fit to it is good against.
    service : {"gaia", "vizier", "mast"}
        Who answers.
    """

    name: str
    release: str
    frame: str
    service: ServiceName

    def asked_at(self, services: ReferenceServices) -> Ask:
        """How its service is asked.

        Raises
        ------
        CatalogUsageError
            There is no such service.
        """
        service: RemoteService | None = getattr(services, self.service)
        if service is None:
            raise CatalogUsageError(f"no service is known for {self.name}", "use --offline")
        return lambda circle: self._fetched(circle, service)

    def _fetched(self, circle: Circle, service: RemoteService) -> NewAnswer:
        if self.service == "gaia":
            return fetch_sources(circle, RELEASES[self.release], service)
        if self.service == "vizier":
            return fetch_vizier(circle, self.release, service)
        return fetch_panstarrs(circle, self.release, service)


CATALOGS = {
    catalog.release: catalog
    for catalog in (
        ReferenceCatalog("GAIADR3", "gaiadr3", "GAIA-CRF3", "gaia"),
        ReferenceCatalog("GAIAeDR3", "gaiaedr3", "GAIA-CRF3", "gaia"),
        ReferenceCatalog("GAIADR2", "gaiadr2", "GAIA-DR2", "gaia"),
        ReferenceCatalog("GSC242", "gsc242", "GSC242", "vizier"),
        ReferenceCatalog("2MASS", "2mass", "2MASS", "vizier"),
        ReferenceCatalog("PS1DR1", "ps1dr1", "PS1DR1", "vizier"),
        ReferenceCatalog("PS1DR2", "ps1dr2", "PS1DR2", "mast"),
    )
}
SPELLINGS = {"dr3": "gaiadr3", "edr3": "gaiaedr3", "dr2": "gaiadr2", "ps1": "ps1dr2", "panstarrs": "ps1dr2"}
SPELLINGS |= {"gaia": "gaiadr3", "gsc": "gsc242", "twomass": "2mass"}


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def find_catalog(name: str) -> ReferenceCatalog:
    """Return a catalog by any spelling of its name (``DR3``, ``gaia-dr3``, ``GSC 2.4.2``, ``PS1`` ...).

    Raises
    ------
    CatalogUsageError
        There is none of that name.
    """
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    found = CATALOGS.get(SPELLINGS.get(plain, plain))
    if found is None:
        known = ", ".join(catalog.name for catalog in CATALOGS.values())
        raise CatalogUsageError(
            f"the reference catalog '{name}' is not known",
            f"one of {known}, or file:PATH, visit:IPPPSS, product:PATH",
        )
    return found


def reference_sources(
    catalog: Catalog,
    run_id: int,
    regions: Sequence[Region],
    *,
    name: str = "GAIADR3",
    services: ReferenceServices | None = None,
    offline: bool = False,
    least_fraction: float = COVERED_FRACTION,
) -> ReferenceSources:
    """Return all sources of a reference catalog in some regions.

    Parameters
    ----------
    catalog : Catalog
        Where answers are kept.
    run_id : int
        The run that any new answer belongs to.
    regions : sequence of Region
        Such as `gaia.visit_regions` makes.
    name : str
        The catalog, in any spelling.
    services : ReferenceServices, optional
        Needed unless `offline`.
    offline : bool
        Ask the database only.
    least_fraction : float
        Least covered fraction that is accepted offline.

    Raises
    ------
    CatalogUsageError
        The name is not known.
    RefusedByCatalogError
        Offline, and less than `least_fraction` is covered; the remedy is the command that fetches it.
    ServiceUnavailableError
        The service failed; nothing was recorded.
    """
    asked = find_catalog(name)
    fetched: tuple[int, ...] = ()
    if not offline and services is not None:
        answers = ask_for_missing(catalog, run_id, regions, asked.release, asked.asked_at(services))
        fetched = tuple(item.query_ids[0] for item in answers if item.fetched)
    kept = kept_sources(catalog, asked.release, regions, least_fraction, fetch_command(regions, asked))
    return ReferenceSources(
        stars=kept.stars,
        release=asked.release,
        query_ids=kept.query_ids,
        answers_sha256=kept.answers_sha256,
        covered_fraction=kept.covered_fraction,
        fetched=tuple(number for number in fetched if number in kept.query_ids),
        name=asked.name,
        frame=asked.frame,
    )


def fetch_command(regions: Sequence[Region], asked: _Named) -> str:
    """The command that brings what is missing into the catalog."""
    parts = [f'--region "{item.circle.widened(EXTRA_ARCSEC)}"' for item in regions]
    return f"run: hapctl gaia fetch {' '.join(parts)} --catalog {asked.name}"
