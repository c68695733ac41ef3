"""From the configuration to an open catalog: which server, started or not, with which schema."""

import sys
from typing import TYPE_CHECKING

from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.errors import ServiceUnavailableError
from hapctl.archive.runs import recorded_run
from hapctl.archive.schema import Upgrade, check_schema_version, database_version, upgrade_schema
from hapctl.archive.server import EmbeddedServer, ServerStart, embedded_server
from hapctl.cli.output import say

if TYPE_CHECKING:
    from hapctl.cli.settings import Settings


def open_catalog_of(settings: "Settings") -> Catalog:
    """Return the open catalog; makes and starts the embedded server, with its schema, where it is meant."""
    if not is_embedded(settings):
        return open_catalog(settings.database)
    server, _ = started_server(settings)
    try:
        return _embedded_catalog(server)
    except ServiceUnavailableError:
        # The server may have ended between the look and the connection.
        server.ensure_running()
        return _embedded_catalog(server)


def is_embedded(settings: "Settings") -> bool:
    """Tell whether the embedded server is meant."""
    return settings.database == "embedded"


def started_server(settings: "Settings") -> tuple[EmbeddedServer, ServerStart]:
    """Return the embedded server of the home, running; says where the data are when it makes them."""
    try:
        server = embedded_server(settings.home)
        start = server.ensure_running()
    except OSError as error:
        raise ServiceUnavailableError(
            f"the embedded database can't work in {error.filename or settings.home}: {error.strerror}",
            "make room or correct its permissions, or choose another home by HAPCTL_HOME or --home",
        ) from error
    if start.created:
        say(f"hapctl: made an embedded PostgreSQL {server.version} in {server.folder}")
        if server.account is not None:
            say(
                f"hapctl: as root the server runs as {server.account.name}, and its data lie there, "
                f"outside {settings.home}"
            )
    return server, start


def _embedded_catalog(server: EmbeddedServer) -> Catalog:
    catalog = open_catalog(server.url(), check_schema=False)
    with catalog.connect() as connection:
        empty = database_version(connection).revision is None
        if not empty:
            check_schema_version(connection)
    if empty:
        make_schema(catalog, "init")
    return catalog


def make_schema(catalog: Catalog, command: str) -> Upgrade:
    """Bring the schema up to date and record that as a run, which has no place to be before its end."""
    change = upgrade_schema(catalog)
    if change.changed:
        parameters = {"from": change.before, "to": change.after}
        with recorded_run(catalog, command, parameters, sys.argv[1:]):
            pass
    return change
