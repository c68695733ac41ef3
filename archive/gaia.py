"""The field of a visit, as a reference catalog is asked for it, and files that hold a catalog's sources."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError, RefusedByCatalogError
from hapctl.archive.gaia_columns import BadTableError, read_table, stars_from_table
from hapctl.archive.gaia_rows import NewAnswer, outlines_of_visit, record_answer, recorded_answer
from hapctl.archive.gaia_service import RELEASES
from hapctl.archive.mast_catalogs import panstarrs_objects
from hapctl.archive.reference_catalogs import find_catalog
from hapctl.archive.sky_region import Circle, Region, regions_around
from hapctl.archive.vizier_catalogs import VIZIER_TABLES
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from sqlalchemy import Connection

if TYPE_CHECKING:
    from astropy.table import Table

POINTING_ARCSEC = {"absolute": 1.0, "a_priori": 2.0, "other": 5.0}
"""Margin for the pointing uncertainty: fits to Gaia, guide-star corrections, all others."""


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


def load_file(catalog: Catalog, run_id: int, path: Path, release: str, circle: Circle) -> LoadedFile:
    """Record the sources of a file as the answer for a circle.

    Parameters
    ----------
    path : Path
        ECSV, FITS, VOTable, Parquet or CSV with the column names of the Gaia archive, or for another catalog
        with those of the service that answers for it.
    release : str
        Any spelling of a catalog's name.
    circle : Circle
        Where the file holds all sources there are; rows outside are kept, but not claimed as complete.

    Raises
    ------
    RefusedByCatalogError
        The file is not what it should be, or holds nothing inside the circle.
    NotInCatalogError
        There is no such file.
    """
    known = find_catalog(release).release
    try:
        stars = _stars(read_table(path), known)
    except FileNotFoundError:
        raise NotInCatalogError(f"there is no file {path}", "check the path") from None
    except BadTableError as error:
        raise RefusedByCatalogError(
            f"{path} is refused: {error}",
            "columns need the names and units of the Gaia archive, or of the catalog's own table",
        ) from error
    outside = int(np.count_nonzero(~circle.contains(stars.ra, stars.dec)))
    if outside == len(stars):
        raise RefusedByCatalogError(
            f"{path} is refused: none of its {len(stars)} rows lies in {circle}",
            "check --covers: RA, DEC and RADIUS are in degrees",
        )
    answer = NewAnswer(known, "file", path.name, f"load {path.name} --covers '{circle}'", circle, stars)
    with catalog.begin() as connection:
        same = recorded_answer(connection, answer)
        query_id = record_answer(connection, run_id, answer) if same is None else same
    return LoadedFile(query_id, known, len(stars), outside, same is not None)


def _stars(table: "Table", release: str) -> ReferenceStars:
    if release in RELEASES:
        return stars_from_table(table, RELEASES[release].epoch)
    if "source_id" in [name.lower() for name in table.colnames]:
        return stars_from_table(table, np.nan)  # each row says its epoch
    return VIZIER_TABLES[release].stars(table) if release in VIZIER_TABLES else panstarrs_objects(table)


def _pointing_arcsec(kind: str, frame: str) -> float:
    if frame.startswith("GAIA-"):
        return POINTING_ARCSEC["absolute"]
    return POINTING_ARCSEC.get(kind, POINTING_ARCSEC["other"])
