"""Gaia sources for a region: from the catalog where it was asked before, from the service where not.

Every answer is kept as rows (reference_query, reference_source) with the exact question, and is used again
where it covers a later request. Nothing is recorded of a request that failed. With ``offline`` the catalog
alone answers and no socket to the service is opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError, RefusedByCatalogError
from hapctl.archive.gaia_columns import BadTableError, read_table, stars_from_table
from hapctl.archive.gaia_rows import NewAnswer, outlines_of_visit, record_answer, recorded_answer
from hapctl.archive.gaia_service import find_release
from hapctl.archive.reference_answers import COVERED_FRACTION, ReferenceSources
from hapctl.archive.reference_catalogs import ReferenceServices, reference_sources
from hapctl.archive.reference_catalogs import fetch_command as fetch_command
from hapctl.archive.sky_region import Circle, Region, regions_around
from hapctl.archive.tap_answers import RemoteService
from sqlalchemy import Connection

POINTING_ARCSEC = {"absolute": 1.0, "a_priori": 2.0, "other": 5.0}
"""Margin for the pointing uncertainty: fits to Gaia, guide-star corrections, all others."""
GaiaSources = ReferenceSources


@dataclass(frozen=True)
class LoadedFile:
    """What became of a file of sources: its answer, number of rows, and whether it was known already."""

    query_id: int
    release: str
    rows: int
    rows_outside: int
    unchanged: bool


def visit_regions(
    connection: Connection, visit: str, margin_arcsec: float | None = None
) -> tuple[Region, ...]:
    """Regions around all exposures of a visit, by their solutions in force and where alignments begin.

    Parameters
    ----------
    visit : str
        ipppss.
    margin_arcsec : float, optional
        Margin on all sides; by default the pointing uncertainty of the least certain solution.

    Raises
    ------
    NotInCatalogError
        No exposure of the visit may be used and has a solution in force.
    """
    outlines = outlines_of_visit(connection, visit)
    if not outlines:
        raise NotInCatalogError(
            f"visit '{visit}' has no exposure with a WCS solution in force", "ingest its files first"
        )
    if margin_arcsec is None:
        margin_arcsec = max(_pointing_arcsec(outline.kind, outline.frame) for outline in outlines)
    groups: dict[str, list[np.ndarray]] = {}
    for outline in outlines:
        groups.setdefault(outline.rootname, []).append(outline.corners)
    return regions_around([np.concatenate(parts) for parts in groups.values()], margin_arcsec)


def sources_for(
    catalog: Catalog,
    run_id: int,
    regions: Sequence[Region],
    *,
    release: str = "gaiadr3",
    service: RemoteService | None = None,
    offline: bool = False,
    least_fraction: float = COVERED_FRACTION,
) -> ReferenceSources:
    """Return all Gaia sources in some regions; see `reference_catalogs.reference_sources`."""
    services = None if service is None else ReferenceServices(gaia=service)
    return reference_sources(
        catalog,
        run_id,
        regions,
        name=release,
        services=services,
        offline=offline,
        least_fraction=least_fraction,
    )


def load_file(catalog: Catalog, run_id: int, path: Path, release: str, circle: Circle) -> LoadedFile:
    """Record the sources of a file as the answer for a circle.

    Parameters
    ----------
    path : Path
        ECSV, FITS, VOTable, Parquet or CSV with the column names of the Gaia archive.
    release : str
        Any spelling of a release.
    circle : Circle
        Where the file holds all sources there are; rows outside are kept, but not claimed as complete.

    Raises
    ------
    RefusedByCatalogError
        The file is not what it should be, or holds nothing inside the circle.
    NotInCatalogError
        There is no such file.
    """
    known = find_release(release)
    try:
        stars = stars_from_table(read_table(path), known.epoch)
    except FileNotFoundError:
        raise NotInCatalogError(f"there is no file {path}", "check the path") from None
    except BadTableError as error:
        raise RefusedByCatalogError(
            f"{path} is refused: {error}", "columns need the names and units of the Gaia archive"
        ) from error
    outside = int(np.count_nonzero(~circle.contains(stars.ra, stars.dec)))
    if outside == len(stars):
        raise RefusedByCatalogError(
            f"{path} is refused: none of its {len(stars)} rows lies in {circle}",
            "check --covers: RA, DEC and RADIUS are in degrees",
        )
    answer = NewAnswer(known.name, "file", path.name, f"load {path.name} --covers '{circle}'", circle, stars)
    with catalog.begin() as connection:
        same = recorded_answer(connection, answer)
        query_id = record_answer(connection, run_id, answer) if same is None else same
    return LoadedFile(query_id, known.name, len(stars), outside, same is not None)


def _pointing_arcsec(kind: str, frame: str) -> float:
    if frame.startswith("GAIA-"):
        return POINTING_ARCSEC["absolute"]
    return POINTING_ARCSEC.get(kind, POINTING_ARCSEC["other"])
