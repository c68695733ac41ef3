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
from hapctl.archive.gaia_rows import (
    CachedAnswer,
    NewAnswer,
    answers_over,
    outlines_of_visit,
    record_answer,
    recorded_file,
    sources_within,
)
from hapctl.archive.gaia_service import FetchedSources, GaiaRelease, GaiaService, fetch_sources, find_release
from hapctl.archive.sky_region import Circle, Region, regions_around, union_of_ranges
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from sqlalchemy import Connection

POINTING_ARCSEC = {"absolute": 1.0, "a_priori": 2.0, "other": 5.0}
"""Margin for the pointing uncertainty: fits to Gaia, guide-star corrections, all others."""
EXTRA_ARCSEC = 5.0
"""Asked beyond what is needed, so that the answer serves again when a solution has moved a little."""
COVERED_FRACTION = 0.9
"""Least part of a region that the catalog must cover when the service may not be asked."""


@dataclass(frozen=True)
class GaiaSources:
    """Sources for some regions.

    Attributes
    ----------
    stars : ReferenceStars
        Inside the regions, each once, at their reference epochs; NaN for NULL.
    release : str
        Such as ``gaiadr3``.
    query_ids : tuple of int
        The answers (reference_query) they come from.
    answers_sha256 : tuple of str
        Their contents, in the same order.
    covered_fraction : float
        Part of the regions' area that these answers cover, 0 to 1; 1 unless offline.
    fetched : tuple of int
        Those of the answers that were asked for just now.
    """

    stars: ReferenceStars
    release: str
    query_ids: tuple[int, ...]
    answers_sha256: tuple[str, ...]
    covered_fraction: float
    fetched: tuple[int, ...] = ()


@dataclass(frozen=True)
class RegionAnswer:
    """The answers that cover a region completely, and whether it was asked for just now."""

    region: Region
    query_ids: tuple[int, ...]
    fetched: bool


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
    service: GaiaService | None = None,
    offline: bool = False,
    least_fraction: float = COVERED_FRACTION,
) -> GaiaSources:
    """Return all Gaia sources in some regions.

    Parameters
    ----------
    catalog : Catalog
        Where answers are kept.
    run_id : int
        The run that any new answer belongs to.
    regions : sequence of Region
        Such as `visit_regions` makes.
    release : str
        Any spelling of a release.
    service : GaiaService, optional
        Needed unless `offline`.
    offline : bool
        Ask the catalog only.
    least_fraction : float
        Least covered fraction that is accepted offline.

    Raises
    ------
    RefusedByCatalogError
        Offline, and less than `least_fraction` is covered; the remedy is the command that fetches it.
    ServiceUnavailableError
        The service failed; nothing was recorded.
    """
    asked = find_release(release)
    fetched: tuple[int, ...] = ()
    if not offline and service is not None:
        ensured = fetch_missing(catalog, run_id, regions, asked, service)
        fetched = tuple(item.query_ids[0] for item in ensured if item.fetched)
    with catalog.begin() as connection:
        answers, fraction = _covered(connection, asked, regions)
        if fraction < least_fraction:
            raise RefusedByCatalogError(
                f"the catalog covers {100 * fraction:.1f} % of the field in {asked.name}, "
                f"less than {100 * least_fraction:g} %",
                fetch_command(regions, asked),
            )
        query_ids = tuple(answer.query_id for answer in answers)
        stars = _collected(connection, query_ids, regions)
    hashes = tuple(answer.answer_sha256 for answer in answers)
    used = tuple(number for number in fetched if number in query_ids)
    return GaiaSources(stars, asked.name, query_ids, hashes, fraction, used)


def fetch_missing(
    catalog: Catalog,
    run_id: int,
    regions: Sequence[Region],
    release: GaiaRelease,
    service: GaiaService,
    *,
    extra_arcsec: float = EXTRA_ARCSEC,
    refresh: bool = False,
) -> list[RegionAnswer]:
    """Ask for the regions that the catalog does not cover, then record all answers in one transaction.

    Parameters
    ----------
    extra_arcsec : float
        Asked beyond each region.
    refresh : bool
        Ask for all regions, whatever the catalog holds.

    Returns
    -------
    list of RegionAnswer
        One for each region, in order.
    """
    with catalog.begin() as connection:
        known = [_covered(connection, release, [region]) for region in regions]
    wanted = [number for number, (_, fraction) in enumerate(known) if refresh or fraction < 1.0]
    circles = [regions[number].circle.widened(extra_arcsec) for number in wanted]
    fetched = [_new(fetch_sources(circle, release, service)) for circle in circles]
    with catalog.begin() as connection:
        new = {
            number: record_answer(connection, run_id, answer)
            for number, answer in zip(wanted, fetched, strict=True)
        }
    return [
        RegionAnswer(region, (new[number],), True)
        if number in new
        else RegionAnswer(region, tuple(answer.query_id for answer in known[number][0]), False)
        for number, region in enumerate(regions)
    ]


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
        same = recorded_file(connection, answer)
        query_id = record_answer(connection, run_id, answer) if same is None else same
    return LoadedFile(query_id, known.name, len(stars), outside, same is not None)


def fetch_command(regions: Sequence[Region], release: GaiaRelease) -> str:
    """The command that brings what is missing into the catalog."""
    parts = [f'--region "{item.circle.widened(EXTRA_ARCSEC)}"' for item in regions]
    return f"run: hapctl gaia fetch {' '.join(parts)} --release {release.name}"


def _pointing_arcsec(kind: str, frame: str) -> float:
    if frame.startswith("GAIA-"):
        return POINTING_ARCSEC["absolute"]
    return POINTING_ARCSEC.get(kind, POINTING_ARCSEC["other"])


def _new(fetched: FetchedSources) -> NewAnswer:
    return NewAnswer(
        fetched.release.name, "tap", fetched.service, fetched.adql, fetched.circle, fetched.stars
    )


def _covered(
    connection: Connection, release: GaiaRelease, regions: Sequence[Region]
) -> tuple[list[CachedAnswer], float]:
    """The answers that serve some regions, and the part of their area that is covered."""
    used: dict[int, CachedAnswer] = {}
    covered = area = 0.0
    for region in regions:
        answers, fraction = _serving(answers_over(connection, release.name, region), region)
        used |= {answer.query_id: answer for answer in answers}
        covered += fraction * region.area
        area += region.area
    return list(used.values()), covered / area if area else 0.0


def _serving(answers: list[CachedAnswer], region: Region) -> tuple[list[CachedAnswer], float]:
    """One answer that holds the whole region, or else all that hold a part of it."""
    for answer in answers:
        if region.lies_in(answer.circle):
            return [answer], 1.0
    return answers, region.covered_fraction(union_of_ranges([answer.coverage for answer in answers]))


def _collected(
    connection: Connection, query_ids: tuple[int, ...], regions: Sequence[Region]
) -> ReferenceStars:
    """Sources of all regions, each once, in order of source_id."""
    parts = [sources_within(connection, query_ids, region) for region in regions]
    together = ReferenceStars(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ReferenceStars.__dataclass_fields__
        }
    )
    _, first = np.unique(together.source_id, return_index=True)
    return together[first]
