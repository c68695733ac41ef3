"""The statements in ``sql/statements``, read once a process."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hapctl.sql import read_sql
from sqlalchemy import Connection, CursorResult, TextClause, text


@cache
def statement(name: str) -> TextClause:
    """Return the statement of that name (without ``.sql``)."""
    return text(read_sql(f"statements/{name}.sql"))


def execute(
    connection: Connection,
    name: str,
    parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
) -> CursorResult[Any]:
    """Execute a statement by name; with a sequence of parameters once for each."""
    return connection.execute(statement(name), parameters)
