"""Known solutions of exposures, from the astrometry service into the catalog; nothing is put in force.

One exposure is one transaction: what was registered stays when the service fails at a later one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from hapctl.archive.astrometry_service import AstrometryService
from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError, ServiceUnavailableError
from hapctl.archive.products import eligible_exposures, visit_exists
from hapctl.archive.wcs_reports import exposure_line
from hapctl.processing.pipeline.solution_import import Headerlet, ImportedSolution, import_headerlets


@dataclass(frozen=True)
class FetchedExposure:
    """What the service had of an exposure.

    Attributes
    ----------
    rootname : str
    status : {"fetched", "unknown"}
        ``unknown``: the service does not know the exposure.
    best : str
        WCSNAME that the service prefers; empty without.
    solutions : tuple of ImportedSolution
        One for each solution the service named.
    """

    rootname: str
    status: Literal["fetched", "unknown"]
    best: str = ""
    solutions: tuple[ImportedSolution, ...] = ()


def exposures_to_fetch(catalog: Catalog, visits: Sequence[str], rootnames: Sequence[str]) -> list[str]:
    """Return the rootnames of visits and exposures, each once.

    Raises
    ------
    NotInCatalogError
        One of them is not in the catalog.
    """
    found: list[str] = []
    with catalog.begin() as connection:
        for visit in visits:
            if not visit_exists(connection, visit.lower()):
                raise NotInCatalogError(
                    f"no exposure of visit {visit} in the catalog", "ingest its files first"
                )
            found += [one.rootname for one in eligible_exposures(connection, visit=visit.lower())]
        found += [exposure_line(connection, rootname).rootname for rootname in rootnames]
    return list(dict.fromkeys(found))


def fetch_solutions(
    catalog: Catalog,
    run_id: int | None,
    rootnames: Sequence[str],
    service: AstrometryService,
    *,
    on_done: Callable[[FetchedExposure], None] = lambda _: None,
) -> list[FetchedExposure]:
    """Ask for the solutions of exposures and register them.

    Parameters
    ----------
    catalog : Catalog
    run_id : int or None
        The run that registers them; None only asks and checks (a dry run).
    rootnames : sequence of str
        Exposures of the catalog.
    service : AstrometryService
    on_done : callable
        Told of each exposure when it is done.

    Returns
    -------
    list of FetchedExposure

    Raises
    ------
    ServiceUnavailableError
        The service is not there, or fails for an exposure; the exposures before it are done.
    """
    service.check()
    done = []
    for rootname in rootnames:
        done.append(_fetched(catalog, run_id, rootname, service))
        on_done(done[-1])
    return done


def _fetched(
    catalog: Catalog, run_id: int | None, rootname: str, service: AstrometryService
) -> FetchedExposure:
    known = service.solutions_of(rootname)
    if known is None:
        return FetchedExposure(rootname, "unknown")
    headerlets, missing = [], []
    for solution in known.solutions:
        source = f"{service.remote.url.rstrip('/')}/observation/read/{rootname}?wcsname={solution.wcsname}"
        try:
            content, reason = (
                service.headerlet(rootname, solution.wcsname),
                "the service has no headerlet of it",
            )
        except ServiceUnavailableError as error:
            service.check()  # one headerlet may be spoilt; a service that is gone ends it all
            content, reason = None, error.message
        if content is None:
            missing.append(ImportedSolution(source, rootname, solution.wcsname, "rejected", reason))
        else:
            headerlets.append(Headerlet(source, content))
    with catalog.begin() as connection:
        imported = import_headerlets(connection, run_id, headerlets, rootname=rootname)
    return FetchedExposure(rootname, "fetched", known.best, (*imported, *missing))
