"""What can be said about the database without changing anything: for ``db status`` and ``doctor``."""

from typing import TYPE_CHECKING, Any

from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.errors import ArchiveError
from hapctl.archive.schema import check_schema_version, database_version, software_version
from hapctl.archive.server import embedded_server
from hapctl.cli.opening import is_embedded
from sqlalchemy import text

if TYPE_CHECKING:
    from hapctl.cli.settings import Settings


def database_report(settings: "Settings") -> dict[str, Any]:
    """Return which database is meant, whether it answers, its versions, and what is wrong with it."""
    report: dict[str, Any] = {
        "kind": "embedded" if is_embedded(settings) else "own server",
        "origin": settings.origins["database"],
        "running": True,
        "usable": False,
        "problem": "",
        "remedy": "",
    }
    url = settings.database
    if is_embedded(settings):
        server = embedded_server(settings.home)
        url = server.url()
        report |= {"data": str(server.data), "log": str(server.log), "data_version": server.version}
        report |= {"running": server.is_running(), "pid": server.pid() if server.is_running() else None}
    if report["running"]:
        report |= _of_server(url)
    else:
        report |= {"problem": "the embedded server does not run", "remedy": "run 'hapctl db start'"}
    return report


def _of_server(url: str) -> dict[str, Any]:
    try:
        catalog = open_catalog(url, check_schema=False)
    except ArchiveError as error:
        return {"running": False, "problem": error.message, "remedy": error.remedy}
    try:
        return _of_catalog(catalog)
    finally:
        catalog.close()


def _of_catalog(catalog: Catalog) -> dict[str, Any]:
    with catalog.connect() as connection:
        facts: dict[str, Any] = {
            "database": catalog.name,
            "server_version": connection.scalar(text("SHOW server_version")),
            "size_bytes": connection.scalar(text("SELECT pg_database_size(current_database())")),
            "superuser": connection.scalar(text("SHOW is_superuser")) == "on",
            "schema": database_version(connection).revision,
            "schema_wanted": software_version().revision,
        }
        try:
            check_schema_version(connection)
        except ArchiveError as error:
            return {**facts, "problem": error.message, "remedy": error.remedy}
    return {**facts, "usable": True}
