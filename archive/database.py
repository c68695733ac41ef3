"""The catalog as a database: how it is reached, and what is said when it is not.

All access goes through `Catalog`. Errors of the connection become `ServiceUnavailableError` (exit code 4),
so that "the server is down" and "the row is not there" never look alike.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hapctl.archive.errors import CatalogUsageError, RefusedByCatalogError, ServiceUnavailableError
from hapctl.archive.passwords import without_password
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, ProgrammingError
from sqlalchemy.pool import ConnectionPoolEntry

OLDEST_POSTGRESQL = 15
_CONNECT_SECONDS = 10
_NOT_ALLOWED = "42501"
# A connection that fails carries no SQLSTATE in some versions of psycopg; a role may be missing as well.
_NO_DATABASE = re.compile(r'database ".*" does not exist')
# Classes of SQLSTATE that speak of the server rather than of the statement: connection, authorization,
# missing database, resources, shutdown, input/output.
_SERVER_TROUBLE = ("08", "28", "3D", "53", "58", "57P", "F0", "XX")


@dataclass(frozen=True)
class Catalog:
    """An open catalog.

    Attributes
    ----------
    url : str
        Where it is; a worker process opens its own connection with it. May hold a password: never print it,
        print `name`.
    engine : sqlalchemy.Engine
        Its pool of connections.
    """

    url: str = field(repr=False)
    engine: Engine

    @property
    def name(self) -> str:
        """The URL without its password, for people."""
        url = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=True)
        return without_password(url.replace("%2F", "/"))

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in one transaction: committed at the end, undone on an error."""
        with service_errors(self.name), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Give a connection that commits each statement by itself (advisory locks, run rows)."""
        with (
            service_errors(self.name),
            self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        ):
            yield connection

    def url_elsewhere(self) -> str:
        """Return a URL that says what the libpq variables of this process say besides, but for a password."""
        url = self.engine.url
        if url.host or "host" in url.query or "service" in url.query:
            return self.url
        with self.connect() as connection:
            found = connection.connection.driver_connection.info  # type: ignore[union-attr]  # it is open
        known = {"host": found.host, "port": str(found.port), "dbname": found.dbname, "user": found.user}
        named = URL.create("postgresql", url.username, url.password, query={**known, **url.query})
        return named.render_as_string(hide_password=False)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def open_catalog(url: str, check_schema: bool = True) -> Catalog:
    """Open the catalog at a URL.

    Parameters
    ----------
    url : str
        ``postgresql://...``; parts left out come from the libpq variables (PGHOST, PGSERVICE ...).
    check_schema : bool
        Compare the schema's version with that of this software.

    Raises
    ------
    CatalogUsageError
        The URL can't be understood.
    ServiceUnavailableError
        The server does not answer, refuses, or is older than PostgreSQL 15.
    SchemaMismatchError
        The schema is missing, older or newer; the remedy names the command.
    """
    from hapctl.archive.schema import check_schema_version

    catalog = Catalog(url, _engine(parse_url(url)))
    try:
        with catalog.connect() as connection:
            _check_server_version(connection)
            if check_schema:
                check_schema_version(connection)
    except BaseException:
        catalog.close()
        raise
    return catalog


def parse_url(url: str) -> URL:
    """Return a URL for SQLAlchemy's psycopg driver; accepts ``postgres://`` and ``postgresql://``."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise CatalogUsageError(
            "the database URL can't be understood", "write postgresql://user@host:5432/database"
        ) from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise CatalogUsageError(
            f"the catalog needs PostgreSQL, not {parsed.get_backend_name()}",
            "write postgresql://user@host:5432/database",
        )
    return parsed.set(drivername="postgresql+psycopg")


def database_exists(url: str) -> bool:
    """Tell whether the database of a URL is there; its server must be."""
    try:
        open_catalog(url, check_schema=False).close()
    except ServiceUnavailableError as error:
        if _sqlstate_of(error.__cause__) == "3D000" or _NO_DATABASE.search(error.message):
            return False
        raise
    return True


def create_database(url: str) -> None:
    """Create the database of a URL, through the database ``postgres`` of the same server."""
    from psycopg import sql

    target = parse_url(url)
    name = target.database or _default_database()
    if name is None:
        raise CatalogUsageError(
            "the database to create has no name", "name it in the URL, after the last slash"
        )
    maintenance = Catalog(url, _engine(target.set(database="postgres")))
    try:
        with maintenance.connect() as connection:
            statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
            connection.exec_driver_sql(statement.as_string(None))
    except ProgrammingError as error:
        if _sqlstate_of(error) != _NOT_ALLOWED:
            raise
        raise RefusedByCatalogError(
            f"the role that logs in may not create the database {name}",
            f"let an administrator run 'CREATE DATABASE {name} OWNER ...', then run 'hapctl init'",
        ) from error
    finally:
        maintenance.close()


def _default_database() -> str | None:
    """Return the database that libpq takes where a URL names none: by PGDATABASE or the service."""
    from psycopg.pq import Conninfo

    for option in Conninfo.get_defaults():
        if option.keyword == b"dbname" and option.val:
            return option.val.decode()
    return None


@contextmanager
def service_errors(name: str) -> Iterator[None]:
    """Turn errors of the connection, not those of a statement, into `ServiceUnavailableError`."""
    try:
        yield
    except DBAPIError as error:
        if not _is_server_trouble(error):
            raise
        lines = [line.strip() for line in str(error.orig).splitlines() if line.strip()]
        raise ServiceUnavailableError(
            f"the database {name} is not available: {(lines or ['no reason given'])[0]}",
            "check that the server runs and the name is right: 'hapctl doctor'",
        ) from error


def _is_server_trouble(error: DBAPIError) -> bool:
    state = _sqlstate_of(error)
    if state is None:
        return error.connection_invalidated or type(error.orig).__name__ == "OperationalError"
    return state.startswith(_SERVER_TROUBLE)


def _sqlstate_of(error: BaseException | None) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _engine(url: URL) -> Engine:
    arguments = {"application_name": "hapctl", "connect_timeout": _CONNECT_SECONDS}
    engine = create_engine(url, connect_args={**arguments, **_query_free(url)})
    event.listen(engine, "connect", _use_utc)
    return engine


def _query_free(url: URL) -> dict[str, str]:
    """Let what the URL says win over what we would say."""
    return {
        key: value
        for key, value in url.query.items()
        if key in ("application_name", "connect_timeout") and isinstance(value, str)
    }


def _use_utc(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("SET TIME ZONE 'UTC'")
    cursor.close()
    connection.commit()


def _check_server_version(connection: Connection) -> None:
    number = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if number // 10000 < OLDEST_POSTGRESQL:
        raise ServiceUnavailableError(
            f"the server is PostgreSQL {number // 10000}, the catalog needs {OLDEST_POSTGRESQL} or later",
            "upgrade the server, or use the embedded one (--database embedded)",
        )
