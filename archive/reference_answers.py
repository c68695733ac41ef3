"""Answers of reference catalogs that the database keeps: asked where missing, used again where they cover.

The same for every catalog that is asked by circles. Nothing is recorded of a request that failed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.archive.database import Catalog
from hapctl.archive.errors import RefusedByCatalogError
from hapctl.archive.gaia_rows import CachedAnswer, NewAnswer, answers_over, record_answer, sources_within
from hapctl.archive.sky_region import Circle, Region, union_of_ranges
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from sqlalchemy import Connection

EXTRA_ARCSEC = 5.0
"""Asked beyond what is needed, so that the answer serves again when a solution has moved a little."""
COVERED_FRACTION = 0.9
"""Least part of a region that the catalog must cover when the service may not be asked."""

Ask = Callable[[Circle], NewAnswer]
"""Puts the question for a circle to a service and returns the whole answer."""


@dataclass(frozen=True)
class ReferenceSources:
    """Sources of a reference catalog for some regions.

    Attributes
    ----------
    stars : ReferenceStars
        Inside the regions, each once, at their reference epochs; NaN for NULL.
    release : str
        As the database has it, such as ``gaiadr3``.
    query_ids : tuple of int
        The answers (reference_query) they come from.
    answers_sha256 : tuple of str
        Their contents, in the same order.
    covered_fraction : float
        Part of the regions' area that these answers cover, 0 to 1; 1 unless offline.
    fetched : tuple of int
        Those of the answers that were asked for just now.
    name : str
        As it is spelt in WCSNAME, such as ``GAIADR3``.
    frame : str
        What a fit to it is good against, such as ``GAIA-CRF3``.
    notes : tuple of str
        What a user's list did not say and was filled in, in words.
    """

    stars: ReferenceStars
    release: str
    query_ids: tuple[int, ...]
    answers_sha256: tuple[str, ...]
    covered_fraction: float
    fetched: tuple[int, ...]
    name: str
    frame: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegionAnswer:
    """The answers that cover a region completely, and whether it was asked for just now."""

    region: Region
    query_ids: tuple[int, ...]
    fetched: bool


@dataclass(frozen=True)
class KeptSources:
    """What some answers of the database hold of some regions, and the part of their area they cover."""

    stars: ReferenceStars
    query_ids: tuple[int, ...]
    answers_sha256: tuple[str, ...]
    covered_fraction: float


def ask_for_missing(
    catalog: Catalog,
    run_id: int,
    regions: Sequence[Region],
    release: str,
    ask: Ask,
    *,
    extra_arcsec: float = EXTRA_ARCSEC,
    refresh: bool = False,
) -> list[RegionAnswer]:
    """Ask for the regions that the database does not cover, then record all answers in one transaction.

    Parameters
    ----------
    release : str
        As the database has it, such as ``gaiadr3``.
    ask : callable
        From a circle to the whole answer.
    extra_arcsec : float
        Asked beyond each region.
    refresh : bool
        Ask for all regions, whatever the database holds.

    Returns
    -------
    list of RegionAnswer
        One for each region, in order.
    """
    with catalog.begin() as connection:
        known = [_covered(connection, release, [region]) for region in regions]
    wanted = [number for number, (_, fraction) in enumerate(known) if refresh or fraction < 1.0]
    answers = [ask(regions[number].circle.widened(extra_arcsec)) for number in wanted]
    with catalog.begin() as connection:
        new = {
            number: record_answer(connection, run_id, answer)
            for number, answer in zip(wanted, answers, strict=True)
        }
    return [
        RegionAnswer(region, (new[number],), True)
        if number in new
        else RegionAnswer(region, tuple(answer.query_id for answer in known[number][0]), False)
        for number, region in enumerate(regions)
    ]


def kept_sources(
    catalog: Catalog, release: str, regions: Sequence[Region], least_fraction: float, remedy: str
) -> KeptSources:
    """Read what the database holds of a catalog in some regions.

    Raises
    ------
    RefusedByCatalogError
        Less than `least_fraction` of their area is covered; says `remedy`.
    """
    with catalog.begin() as connection:
        answers, fraction = _covered(connection, release, regions)
        if fraction < least_fraction:
            raise RefusedByCatalogError(
                f"the catalog covers {100 * fraction:.1f} % of the field in {release}, "
                f"less than {100 * least_fraction:g} %",
                remedy,
            )
        query_ids = tuple(answer.query_id for answer in answers)
        stars = stars_of_answers(connection, query_ids, regions)
    return KeptSources(stars, query_ids, tuple(answer.answer_sha256 for answer in answers), fraction)


def stars_of_answers(
    connection: Connection, query_ids: tuple[int, ...], regions: Sequence[Region]
) -> ReferenceStars:
    """Sources of some answers in all regions, each once, in order of source_id."""
    parts = [sources_within(connection, query_ids, region) for region in regions]
    together = ReferenceStars(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ReferenceStars.__dataclass_fields__
        }
    )
    _, first = np.unique(together.source_id, return_index=True)
    return together[first]


def _covered(
    connection: Connection, release: str, regions: Sequence[Region]
) -> tuple[list[CachedAnswer], float]:
    """The answers that serve some regions, and the part of their area that is covered."""
    used: dict[int, CachedAnswer] = {}
    covered = area = 0.0
    for region in regions:
        answers, fraction = _serving(answers_over(connection, release, region), region)
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
