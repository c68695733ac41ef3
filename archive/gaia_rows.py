"""Rows of reference queries and their sources: written once, found by place."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import repeat
from typing import Any

import numpy as np
from hapctl.archive.preferences import starting_solutions
from hapctl.archive.products import eligible_exposures
from hapctl.archive.sky_region import (
    Circle,
    Ranges,
    Region,
    healpix_indices,
    parse_region,
    ranges_of_coverage,
)
from hapctl.processing.astrometry.reference_stars import ReferenceStars, reference_stars
from hapctl.sql import read_sql
from numpy.typing import NDArray
from sqlalchemy import Connection, text

NUMBERS = (
    "ra",
    "dec",
    "ref_epoch",
    "ra_error",
    "dec_error",
    "parallax",
    "parallax_error",
    "pmra",
    "pmra_error",
    "pmdec",
    "pmdec_error",
    "phot_g_mean_mag",
    "bp_rp",
    "ruwe",
)


@dataclass(frozen=True)
class NewAnswer:
    """An answer to be recorded: the attributes are the columns of reference_query.

    ``coverage`` is what it holds completely, by default its circle.
    """

    release: str
    source: str
    service: str
    question: str
    circle: Circle
    stars: ReferenceStars
    coverage: Ranges | None = None


@dataclass(frozen=True)
class CachedAnswer:
    """An answer in the catalog: its number, the circle it covers, its hash and its inner coverage."""

    query_id: int
    circle: Circle
    answer_sha256: str
    coverage: Ranges


@dataclass(frozen=True)
class ReferenceQuery:
    """A row of reference_query, for people."""

    query_id: int
    release: str
    source: str
    service: str
    region: str
    question: str
    n_rows: int
    answer_sha256: str
    fetched: datetime
    run_id: int


@dataclass(frozen=True)
class ChipOutline:
    """Outline of a chip (ra, dec in degrees, shape (n, 2)), with kind and frame of its solution."""

    rootname: str
    kind: str
    frame: str
    corners: NDArray[np.float64]


def answer_sha256(stars: ReferenceStars) -> str:
    """SHA-256 of all values of an answer, whatever the order of its rows."""
    ordered = stars[np.argsort(stars.source_id, kind="stable")]
    digest = hashlib.sha256("\n".join(ordered.source_id.tolist()).encode())
    for item in fields(ReferenceStars)[1:]:
        values = np.asarray(getattr(ordered, item.name), dtype="<f8")
        digest.update(np.where(np.isnan(values), np.nan, values).tobytes())  # one NaN for all
    return digest.hexdigest()


def record_answer(connection: Connection, run_id: int, answer: NewAnswer) -> int:
    """Write an answer and all its rows; return its number. The caller's transaction makes it whole."""
    row = {
        "release": answer.release,
        "source": answer.source,
        "service": answer.service,
        "question": answer.question,
        "region": str(answer.circle),
        "coverage": multirange_text(
            answer.circle.inner_ranges() if answer.coverage is None else answer.coverage
        ),
        "n_rows": len(answer.stars),
        "answer_sha256": answer_sha256(answer.stars),
        "run_id": run_id,
    }
    query_id = int(_execute(connection, "insert_reference_query", row).scalar_one())
    statement = read_sql("statements/copy_reference_sources.sql")
    psycopg_connection: Any = connection.connection  # SQLAlchemy has no COPY
    with psycopg_connection.cursor() as cursor, cursor.copy(statement) as copy:
        for values in _rows(query_id, answer.stars):
            copy.write_row(values)
    return query_id


def recorded_answer(connection: Connection, answer: NewAnswer) -> int | None:
    """The number of an answer of the same kind, content and circle, if there is one."""
    same = {
        "release": answer.release,
        "source": answer.source,
        "region": str(answer.circle),
        "answer_sha256": answer_sha256(answer.stars),
    }
    found = _execute(connection, "same_reference_answer", same).scalar_one_or_none()
    return None if found is None else int(found)


def answers_over(connection: Connection, release: str, region: Region) -> list[CachedAnswer]:
    """Answers that cover a part of a region, newest first."""
    asked = {"release": release, "ranges": multirange_text(region.touched_ranges())}
    return [
        CachedAnswer(
            query_id,
            parse_region(circle).circle,
            sha256,
            ranges_of_coverage(coverage),
        )
        for query_id, circle, sha256, coverage in _execute(connection, "reference_queries_over", asked)
    ]


def sources_within(connection: Connection, query_ids: tuple[int, ...], region: Region) -> ReferenceStars:
    """Sources of some answers inside a region, each once; earlier answers in the list win."""
    starts, stops = zip(*region.touched_ranges(), strict=True)
    asked = {"starts": list(starts), "stops": list(stops), "query_ids": list(query_ids)}
    rows = _execute(connection, "reference_sources_within", asked).all()
    rank = {query_id: number for number, query_id in enumerate(query_ids)}
    rows.sort(key=lambda row: (row.source_id, rank[row.reference_query_id]))
    once = [
        row for number, row in enumerate(rows) if not number or row.source_id != rows[number - 1].source_id
    ]
    stars = _stars(once)
    return stars[region.contains(stars.ra, stars.dec)]


def list_queries(connection: Connection) -> list[ReferenceQuery]:
    """All reference queries, oldest first."""
    return [ReferenceQuery(*row) for row in _execute(connection, "list_reference_queries")]


def outlines_of_visit(connection: Connection, visit: str) -> list[ChipOutline]:
    """Outlines of all chips of a visit, by the solutions in force and by those an alignment begins with."""
    exposure_ids = [exposure.exposure_id for exposure in eligible_exposures(connection, visit=visit)]
    solution_ids = list(starting_solutions(connection, exposure_ids).values())
    asked = {"exposure_ids": exposure_ids, "solution_ids": solution_ids}
    return [
        ChipOutline(rootname, kind, frame, np.array(polygon, dtype=np.float64).reshape(-1, 2))
        for rootname, kind, frame, polygon in _execute(connection, "outlines_of_exposures", asked)
    ]


def multirange_text(ranges: Ranges) -> str:
    """Ranges as PostgreSQL writes a multirange."""
    return "{" + ",".join(f"[{start},{stop})" for start, stop in ranges) + "}"


def _execute(connection: Connection, statement: str, parameters: Any = None) -> Any:
    return connection.execute(text(read_sql(f"statements/{statement}.sql")), parameters)


def _same(row: Any, before: Any) -> bool:
    return before is not None and row.source_id == before.source_id


def _rows(query_id: int, stars: ReferenceStars) -> Iterator[tuple[Any, ...]]:
    """Rows in the order of the COPY statement."""
    correlations = (
        None if np.isnan(row).all() else _nullable(row) for row in stars.correlations.astype(np.float32)
    )
    return zip(
        repeat(query_id, len(stars)),
        stars.source_id.tolist(),
        healpix_indices(stars.ra, stars.dec).tolist(),
        *(_nullable(getattr(stars, name)) for name in NUMBERS),
        correlations,
        (None if value < 0 else value for value in stars.params_solved.tolist()),
        stars.duplicated_source.tolist(),
        strict=True,
    )


def _nullable(values: NDArray[np.floating]) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def _stars(rows: list[Any]) -> ReferenceStars:
    columns: dict[str, Any] = {
        name: np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in NUMBERS
    }
    unknown = [None] * 10
    correlations = np.array([row.correlations or unknown for row in rows], dtype=np.float64).reshape(-1, 10)
    return reference_stars(
        **columns,
        source_id=np.array([row.source_id for row in rows], dtype=np.str_),
        correlations=correlations,
        params_solved=[-1 if row.params_solved is None else row.params_solved for row in rows],
        duplicated_source=[bool(row.duplicated_source) for row in rows],
    )
