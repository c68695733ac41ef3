"""What can be said about a catalog at a glance: its server, its schema, what it holds."""

from dataclasses import dataclass
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.errors import SchemaMismatchError
from hapctl.archive.schema import check_schema_version, database_version, software_version
from hapctl.sql import read_sql
from sqlalchemy import Connection, text

_PARTS = ("frames", "stale", "runs", "abandoned")


@dataclass(frozen=True)
class CatalogFacts:
    """The server and schema of a catalog; `problem` and `remedy` are empty where the schema fits."""

    server_version: str
    size_bytes: int
    superuser: bool
    has_reader: bool
    schema: str | None
    schema_wanted: str | None
    problem: str
    remedy: str


def catalog_facts(catalog: Catalog) -> CatalogFacts:
    """Return the facts of a catalog opened with or without a fitting schema."""
    with catalog.connect() as connection:
        row = connection.execute(text(read_sql("statements/server_facts.sql"))).mappings().one()
        problem, remedy = _schema_problem(connection)
        have, want = database_version(connection).revision, software_version().revision
    return CatalogFacts(schema=have, schema_wanted=want, problem=problem, remedy=remedy, **row)


def catalog_status(catalog: Catalog) -> dict[str, Any]:
    """Return what the catalog holds: counts, solutions in force by frame, stale products, last runs."""
    with catalog.begin() as connection:
        counts = _rows(connection, "counts")[0]
        return {"counts": counts, **{part: _rows(connection, part) for part in _PARTS}}


def _rows(connection: Connection, part: str) -> list[dict[str, Any]]:
    result = connection.execute(text(read_sql(f"statements/status_{part}.sql")))
    return [dict(row) for row in result.mappings()]


def _schema_problem(connection: Connection) -> tuple[str, str]:
    try:
        check_schema_version(connection)
    except SchemaMismatchError as error:
        return error.message, error.remedy
    return "", ""
