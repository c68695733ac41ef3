"""References that no service answers for: a user's list, the sources of an aligned visit, those of a product.

What is used is kept as an answer like any other, found again by its content: the same list gives the same
answer, a changed one a new answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError, RefusedByCatalogError
from hapctl.archive.gaia_rows import NewAnswer, answer_sha256, record_answer, recorded_answer
from hapctl.archive.reference_answers import ReferenceSources, stars_of_answers
from hapctl.archive.sky_region import (
    Ranges,
    Region,
    ranges_of_coverage,
    regions_around,
    separation_deg,
    union_of_ranges,
)
from hapctl.archive.statements import execute
from hapctl.archive.user_lists import UserList
from hapctl.processing.astrometry.reference_stars import ReferenceStars, reference_stars
from sqlalchemy import Connection

SAME_STAR_ARCSEC = 0.1
"""Sources of several exposures nearer than this are one star, where no joint solution says which are."""
LEAST_ERROR_MAS = 0.1
KEPT_DEG = 1.0
"""Stars farther from the field are not kept: a list may be of the whole sky."""


@dataclass(frozen=True)
class LocalReference:
    """Stars that are to serve as a reference, and where they come from.

    Attributes
    ----------
    source : {"file", "visit", "product"}
    origin : str
        Name of the file or product, or the visit.
    question : str
        How they were taken from it.
    stars : ReferenceStars
    frame : str
        What a fit to them is good against.
    coverage : list of (int, int) or None
        Order-29 ranges where they are complete; None: wherever they are asked for (a user's list).
    notes : tuple of str
        What a list did not say and was filled in, in words.
    """

    source: Literal["file", "visit", "product"]
    origin: str
    question: str
    stars: ReferenceStars
    frame: str
    coverage: Ranges | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How it is spelt in WCSNAME: letters and digits of its origin, at most 20."""
        letters = "".join(c for c in Path(self.origin).stem if c.isascii() and c.isalnum())
        return (letters if self.source == "file" else letters.upper())[:20] or "USER"


def reference_of_list(listed: UserList) -> LocalReference:
    """A user's list as a reference; its frame is its own."""
    name, content = listed.path.name, answer_sha256(listed.stars)
    question = "; ".join([f"all of {name}", *listed.notes])
    frame = f"list {name} {content[:12]}"
    return LocalReference("file", name, question, listed.stars, frame, notes=listed.notes)


def reference_of_visit(connection: Connection, visit: str) -> LocalReference:
    """The stars that the fits in force of a visit used, where these put them on the sky.

    A star measured in several exposures has the weighted mean of its places, and at least `LEAST_ERROR_MAS`.
    Motions are unknown; the epoch is that of the exposures.

    Raises
    ------
    NotInCatalogError
        The visit has no accepted alignment in force.
    RefusedByCatalogError
        The solutions in force are good in several frames.
    """
    visit = visit.lower()
    rows = execute(connection, "aligned_stars_of_visit", {"visit": visit}).all()
    if not rows:
        raise NotInCatalogError(
            f"visit '{visit}' has no accepted alignment in force", f"run: hapctl align --visit {visit}"
        )
    frames = sorted({row.frame for row in rows})
    if len(frames) > 1:
        raise RefusedByCatalogError(
            f"the solutions in force of visit {visit} are good in {len(frames)} frames: {', '.join(frames)}",
            f"align the visit as a whole: hapctl align --visit {visit}",
        )
    covered = execute(connection, "footprint_of_visit", {"visit": visit}).scalar_one()
    numbers = ", ".join(str(number) for number in sorted({row.solution_id for row in rows}))
    return LocalReference(
        "visit",
        visit,
        f"stars of visit {visit} by its solutions in force: {numbers}",
        _mean_stars(rows),
        frames[0],
        [] if covered is None else ranges_of_coverage(covered),
    )


def local_sources(
    catalog: Catalog, run_id: int, regions: Sequence[Region], reference: LocalReference
) -> ReferenceSources:
    """Keep a reference as an answer, once, and return its stars in some regions.

    Raises
    ------
    RefusedByCatalogError
        None of its stars lies in the regions: the wrong field, or the wrong columns.
    """
    inside = [region.contains(reference.stars.ra, reference.stars.dec) for region in regions]
    if not np.any(inside):
        raise _elsewhere(reference, regions)
    stars = _near(reference.stars, regions)
    (whole,) = regions_around([np.column_stack([stars.ra, stars.dec])], 1.0)
    release = f"{reference.source}:{reference.origin}"
    answer = NewAnswer(
        release,
        reference.source,
        reference.origin,
        reference.question,
        whole.circle,
        stars,
        reference.coverage,
    )
    with catalog.begin() as connection:
        known = recorded_answer(connection, answer)
        query_id = record_answer(connection, run_id, answer) if known is None else known
        found = stars_of_answers(connection, (query_id,), regions)
    return ReferenceSources(
        stars=found,
        release=release,
        query_ids=(query_id,),
        answers_sha256=(answer_sha256(stars),),
        covered_fraction=_covered_fraction(reference, regions),
        fetched=() if known is not None else (query_id,),
        name=reference.name,
        frame=reference.frame,
        notes=reference.notes,
    )


def _covered_fraction(reference: LocalReference, regions: Sequence[Region]) -> float:
    if reference.coverage is None:
        return 1.0
    ranges = union_of_ranges([reference.coverage])
    covered = sum(region.covered_fraction(ranges) * region.area for region in regions)
    return covered / sum(region.area for region in regions)


def _near(stars: ReferenceStars, regions: Sequence[Region]) -> ReferenceStars:
    """Those within `KEPT_DEG` of a region."""
    circles = [region.circle for region in regions]
    near = [separation_deg(stars.ra, stars.dec, c.ra, c.dec) < c.radius + KEPT_DEG for c in circles]
    return stars[np.any(near, axis=0)]


def _elsewhere(reference: LocalReference, regions: Sequence[Region]) -> RefusedByCatalogError:
    circle, stars = regions[0].circle, reference.stars
    nearest = float(separation_deg(stars.ra, stars.dec, circle.ra, circle.dec).min())
    return RefusedByCatalogError(
        f"none of the {len(stars)} stars of {reference.source} {reference.origin} lies in the field: the "
        f"nearest is {nearest:.3g} degrees from RA {circle.ra:.5f}, Dec {circle.dec:+.5f}",
        "check that it is of this field, and that its ra and dec are ICRS degrees",
    )


def _mean_stars(rows: Sequence[Any]) -> ReferenceStars:
    """One star for each group of sources: those of one number in a joint solution, or of one place."""
    ra, dec, errors, epochs, magnitudes = (
        np.array([np.nan if value is None else float(value) for value in column])
        for column in zip(*((r.ra, r.dec, r.error_mas, r.t_mid, r.magnitude) for r in rows), strict=True)
    )
    errors = np.maximum(errors, LEAST_ERROR_MAS)
    groups = _groups(rows, ra, dec)
    number = int(groups.max()) + 1
    weights = 1.0 / errors**2
    total = np.bincount(groups, weights, number)
    first = np.array([np.flatnonzero(groups == group)[0] for group in range(number)])
    # about the first of each star, so that right ascension does not jump at 0
    east = np.bincount(groups, weights * ((ra - ra[first][groups] + 180.0) % 360.0 - 180.0), number) / total
    north = np.bincount(groups, weights * (dec - dec[first][groups]), number) / total
    epoch = np.bincount(groups, weights * (2000.0 + (epochs / 86400.0 - 10957.5) / 365.25), number) / total
    error = np.maximum(1.0 / np.sqrt(total), LEAST_ERROR_MAS)
    place = [f"{a:.7f}{d:+.7f}" for a, d in zip(ra[first], dec[first], strict=True)]
    return reference_stars(
        (ra[first] + east) % 360.0,
        dec[first] + north,
        source_id=[sha256(text.encode()).hexdigest()[:16] for text in place],
        ref_epoch=epoch,
        ra_error=error,
        dec_error=error,
        phot_g_mean_mag=magnitudes[first],
    )


def _groups(rows: Sequence[Any], ra: Any, dec: Any) -> Any:
    """A number for each source: that of its star."""
    if all(row.group_star is not None and row.alignment_group_id is not None for row in rows):
        keys = [(row.alignment_group_id, row.group_star) for row in rows]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return np.array([numbers[key] for key in keys])
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    scale = np.cos(np.radians(dec.mean()))
    places = np.column_stack([((ra - ra[0] + 180.0) % 360.0 - 180.0) * scale, dec]) * 3600.0
    pairs = cKDTree(places).query_pairs(SAME_STAR_ARCSEC, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(ra), len(ra)))
    return connected_components(links, directed=False)[1]
