"""``hapctl init`` and ``hapctl db``: the database itself."""

from typing import Any

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.settings import Settings, settings_from


@click.command()
@json_option
@click.pass_context
def init(ctx: click.Context, as_json: bool) -> None:
    """Create the catalog, or bring it up to date.

    Makes and starts the embedded PostgreSQL, or creates the database named by HAPCTL_DATABASE_URL, --database
    or the libpq variables; then its tables, views and rights. Repeating it changes nothing.

    \b
    hapctl init
    hapctl --database postgresql://me@host/hst init
    """
    _report(_up_to_date(settings_from(ctx), create=True), as_json)


@click.group()
def db() -> None:
    """Start, stop, inspect and upgrade the database."""


@db.command()
@json_option
@click.pass_context
def start(ctx: click.Context, as_json: bool) -> None:
    """Start the embedded server; commands do so by themselves.

    \b
    hapctl db start
    """
    from hapctl.cli.opening import started_server

    settings = _embedded_only(settings_from(ctx))
    server, begun = started_server(settings)
    document = {"started": begun.started, "data": str(server.data), "url": server.url()}
    _print(document, as_json, f"{'started' if begun.started else 'was running already'}: {server.url()}")


@db.command()
@json_option
@click.pass_context
def stop(ctx: click.Context, as_json: bool) -> None:
    """Stop the embedded server; commands at work on it fail.

    \b
    hapctl db stop
    """
    from hapctl.archive.server import embedded_server

    server = embedded_server(_embedded_only(settings_from(ctx)).home)
    stopped = server.stop()
    _print(
        {"stopped": stopped, "data": str(server.data)}, as_json, "stopped" if stopped else "was not running"
    )


@db.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> int:
    """Show which database is meant, whether it runs, and its schema; exit code 4 where it can't be used.

    \b
    hapctl db status --json
    """
    from hapctl.cli.database_report import database_report

    report = database_report(settings_from(ctx))
    if as_json:
        print_json(report)
    else:
        for name, value in report.items():
            click.echo(f"{name:16} {value}")
    return 0 if report["usable"] else 4


@db.command()
@json_option
@click.pass_context
def upgrade(ctx: click.Context, as_json: bool) -> None:
    """Bring tables, views and rights to what this hapctl works with.

    \b
    hapctl db upgrade
    """
    _report(_up_to_date(settings_from(ctx), create=False), as_json)


def _up_to_date(settings: Settings, create: bool) -> dict[str, Any]:
    from hapctl.archive.database import create_database, database_exists, open_catalog
    from hapctl.cli.opening import is_embedded, make_schema, started_server

    url = settings.database
    created = False
    if is_embedded(settings):
        server, begun = started_server(settings)
        url, created = server.url(), begun.created
    elif create and not database_exists(url):
        create_database(url)
        created = True
    catalog = open_catalog(url, check_schema=False)
    change = make_schema(catalog, "init" if create else "db upgrade")
    catalog.close()
    return {
        "database": catalog.name,
        "created": created,
        "schema_before": change.before,
        "schema": change.after,
        "changed": change.changed,
        "reader_remedy": change.reader_remedy,
    }


def _report(document: dict[str, Any], as_json: bool) -> None:
    if document["reader_remedy"]:
        say(f"hapctl: {document['reader_remedy']}")
    verb = "is ready" if document["changed"] else "was up to date"
    _print(document, as_json, f"the catalog {verb}: schema {document['schema']}, {document['database']}")


def _print(document: dict[str, Any], as_json: bool, line: str) -> None:
    if as_json:
        print_json(document)
    else:
        click.echo(line)


def _embedded_only(settings: Settings) -> Settings:
    from hapctl.archive.errors import CatalogUsageError
    from hapctl.cli.opening import is_embedded

    if not is_embedded(settings):
        raise CatalogUsageError(
            f"a server of your own is named ({settings.origins['database']})",
            "start and stop it by its own means, or give --database embedded",
        )
    return settings
