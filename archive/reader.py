"""Questions to the catalog, asked as a reader.

A question is one statement in a session of its own that logs in as the role ``hapctl_reader``: what a
stronger role could undo (SET ROLE) is not relied on. The transaction is read-only; the time limit is kept by
the server and by this side, which cancels the statement and, should that not help, closes the connection.
"""

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from hapctl.archive.database import parse_url
from hapctl.archive.errors import CatalogUsageError, RefusedByCatalogError, ServiceUnavailableError
from hapctl.archive.schema import READER_ROLE
from psycopg import errors
from psycopg.adapt import Buffer, Loader
from sqlalchemy import URL

_GRACE_SECONDS = 1.0
_TIMES = ("timestamptz", "timestamp")
_TEXTS = (
    *("date", "time", "timetz", "interval", "bytea", "uuid", "int4range", "int8range", "numrange", "tsrange"),
    *("tstzrange", "daterange", "int8multirange", "int4multirange", "nummultirange", "tstzmultirange"),
)


@dataclass(frozen=True)
class Answer:
    """The answer to a question: names of the columns, and rows as they come."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


class _TextLoader(Loader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


class _TimeLoader(Loader):
    """ISO 8601 with a T and a whole offset (the session speaks UTC); ``infinity`` stays a word."""

    def load(self, data: Buffer) -> str:
        text = bytes(data).decode().replace(" ", "T", 1)
        return f"{text}:00" if text.endswith("+00") else text


class _NumericLoader(Loader):
    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else float(text)


def reader_url(database: str, reader: str = "") -> str:
    """Return the URL by which a reader logs in.

    Parameters
    ----------
    database : str
        URL of the catalog.
    reader : str
        The user's own URL for readers; empty for ``hapctl_reader`` at `database` (libpq's password file then
        holds its password, if it needs one).
    """
    if reader:
        return reader
    url = parse_url(database)
    plain = URL.create(
        "postgresql",
        username=READER_ROLE,
        host=url.host,
        port=url.port,
        database=url.database,
        query={key: value for key, value in url.query.items() if key not in ("user", "password")},
    )
    return plain.render_as_string(hide_password=False)


@contextmanager
def ask(
    url: str, statement: str, parameters: Mapping[str, Any] | None = None, timeout_seconds: float = 60.0
) -> Iterator[Answer]:
    """Ask one question and give its answer; rows are read as they are used.

    Parameters
    ----------
    url : str
        From `reader_url`.
    statement : str
        One statement; with `parameters`, psycopg's places ``%(name)s``.
    timeout_seconds : float
        From the start of the question to its last row.

    Raises
    ------
    CatalogUsageError
        The statement is wrong.
    RefusedByCatalogError
        A reader may not do that, or it took too long.
    ServiceUnavailableError
        The reader can't log in, or the server is gone.
    """
    connection = _log_in(url)
    try:
        limit = _TimeLimit(connection, timeout_seconds + _GRACE_SECONDS)
        try:
            _prepare(connection, timeout_seconds)
            with limit:
                yield _answer(connection, statement, parameters)
        except psycopg.Error as error:
            raise _explained(error, limit, timeout_seconds) from error
    finally:
        connection.close()


class _TimeLimit:
    """Cancels the statement after a time, then breaks the connection if that did not end it."""

    def __init__(self, connection: "psycopg.Connection[Any]", seconds: float) -> None:
        self.reached = False
        self._connection = connection
        self._timer = threading.Timer(seconds, self._reach)
        self._timer.daemon = True
        self._ended = threading.Event()

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._timer.cancel()

    def _reach(self) -> None:
        self.reached = True
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=_GRACE_SECONDS)
        if not self._ended.wait(_GRACE_SECONDS):
            with socket.socket(fileno=os.dup(self._connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)


def _log_in(url: str) -> "psycopg.Connection[Any]":
    try:
        connection: psycopg.Connection[Any] = psycopg.connect(
            url.replace("postgresql+psycopg://", "postgresql://", 1), autocommit=True, connect_timeout=10
        )
    except psycopg.OperationalError as error:
        raise ServiceUnavailableError(
            f"the reader can't log in: {_first_line(error)}",
            f"'hapctl doctor' tells why; with a password, set HAPCTL_READER_URL for the role {READER_ROLE}",
        ) from error
    if connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = session_user").fetchone() == (True,):
        connection.close()
        raise RefusedByCatalogError(
            "questions are not asked as a superuser", f"name the role {READER_ROLE} in HAPCTL_READER_URL"
        )
    for name in _TIMES:
        connection.adapters.register_loader(name, _TimeLoader)
    for name in _TEXTS:
        connection.adapters.register_loader(name, _TextLoader)
    connection.adapters.register_loader("numeric", _NumericLoader)
    return connection


def _prepare(connection: "psycopg.Connection[Any]", timeout_seconds: float) -> None:
    limit = f"{max(1, round(timeout_seconds * 1000))}ms"
    connection.execute("SELECT set_config('statement_timeout', %s, false)", (limit,))
    connection.execute("SET TIME ZONE 'UTC'")
    connection.execute("SET default_transaction_read_only = on")
    # Where its system allows that, the server ends the statement of a client that was killed.
    with suppress(psycopg.Error):
        connection.execute("SET client_connection_check_interval = '2s'")
    connection.execute("BEGIN READ ONLY")
    # Once a query has been made, the transaction can no longer be turned into one that writes.
    connection.execute("SELECT 1")


def _answer(
    connection: "psycopg.Connection[Any]", statement: str, parameters: Mapping[str, Any] | None
) -> Answer:
    cursor = connection.cursor()
    # stream() takes the extended protocol, which holds exactly one statement, and keeps no rows.
    rows = cursor.stream(statement.encode(), parameters)
    try:
        first = next(rows, None)
    except psycopg.ProgrammingError as error:
        if error.sqlstate is None and "didn't produce" in str(error):
            return Answer((), iter(()))
        raise
    columns = tuple(column.name for column in cursor.description or ())
    return Answer(_distinct(columns), _chained(first, rows))


def _chained(first: tuple[Any, ...] | None, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    if first is not None:
        yield first
        yield from rows


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Number repeated names, so that a row can be an object: a, a_2."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return tuple(distinct)


def _explained(error: psycopg.Error, limit: _TimeLimit, timeout_seconds: float) -> Exception:
    line = _first_line(error)
    if limit.reached or isinstance(error, errors.QueryCanceled):
        return RefusedByCatalogError(
            f"the question took longer than {timeout_seconds:g} s",
            "narrow it, or raise query_timeout (HAPCTL_QUERY_TIMEOUT)",
        )
    if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return RefusedByCatalogError(
            f"a reader may not do that: {line}", "the catalog is changed by hapctl's commands"
        )
    if "EMPTY_QUERY" in line:
        return CatalogUsageError("no statement was given", "'hapctl sql' takes one statement of PostgreSQL")
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        return CatalogUsageError(line, "'hapctl sql' takes one statement that gives rows")
    if error.sqlstate is None or error.sqlstate.startswith(("08", "53", "57P", "58", "XX")):
        return ServiceUnavailableError(f"the database did not answer: {line}", "'hapctl doctor' tells why")
    if "multiple commands" in line:
        return CatalogUsageError("more than one statement was given", "give one at a time")
    return CatalogUsageError(line, "'hapctl sql' takes one statement of PostgreSQL")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]
