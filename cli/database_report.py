"""What can be said about the database without changing anything: for ``db status`` and ``doctor``."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hapctl.archive.database import open_catalog
from hapctl.archive.errors import ArchiveError
from hapctl.archive.facts import catalog_facts
from hapctl.archive.server import embedded_server
from hapctl.cli.opening import is_embedded

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
        running = server.is_running()
        url = server.url()
        report |= {"data": str(server.data), "log": str(server.log), "data_version": server.version}
        report |= {"running": running, "pid": server.pid() if running else None}
        if not running:
            remedy = "run 'hapctl init'" if server.version is None else "run 'hapctl db start'"
            return {**report, "problem": "the embedded server does not run", "remedy": remedy}
    return {**report, **_of_server(url)}


def _of_server(url: str) -> dict[str, Any]:
    try:
        catalog = open_catalog(url, check_schema=False)
    except ArchiveError as error:
        return {"running": False, "problem": error.message, "remedy": error.remedy}
    try:
        facts = catalog_facts(catalog)
        return {"database": catalog.name, **asdict(facts), "usable": not facts.problem}
    finally:
        catalog.close()
