"""``hapctl query`` and ``hapctl sql``: questions to the catalog, asked as a reader."""

import sys
from typing import Any

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.settings import Settings, open_from

_CSV = click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values with a header line.")


@click.command()
@click.argument("name", required=False)
@click.option("--list", "as_list", is_flag=True, help="List the questions there are.")
@click.option(
    "--param", "parameters", multiple=True, metavar="K=V", help="Give a parameter; may be repeated."
)
@_CSV
@json_option
@click.pass_context
def query(
    ctx: click.Context,
    name: str | None,
    as_list: bool,
    parameters: tuple[str, ...],
    as_csv: bool,
    as_json: bool,
) -> None:
    """Answer a named question from the catalog.

    \b
    hapctl query --list
    hapctl query weak-fits --param min_matches=8
    """
    from hapctl.archive.queries import named_query

    if as_list or name is None:
        _list_queries(as_json)
        return
    asked = named_query(name)
    values = asked.values(dict(_pair(parameter) for parameter in parameters))
    settings, catalog = open_from(ctx)
    _ask_and_print(settings, catalog.url, asked.statement(), values, as_csv, as_json)


@click.command()
@click.option("-c", "--command", "statement", metavar="SQL", help="The statement (default: standard input).")
@click.option(
    "--timeout", "query_timeout", type=click.FloatRange(0.001), metavar="SECONDS", help="Time limit."
)
@_CSV
@json_option
@click.pass_context
def sql(
    ctx: click.Context, statement: str | None, query_timeout: float | None, as_csv: bool, as_json: bool
) -> None:
    """Ask the catalog in SQL, as a reader.

    One statement of PostgreSQL, in a read-only session of the role hapctl_reader, with a time limit. Good
    starting points are the views active_solution, alignment_summary, stale_product, product_lineage and
    wcs_history.

    \b
    hapctl sql -c "SELECT * FROM active_solution"
    """
    text = statement if statement is not None else _standard_input()
    settings, catalog = open_from(ctx, query_timeout=query_timeout)
    _ask_and_print(settings, catalog.url, text, None, as_csv, as_json)


def _standard_input() -> str:
    if sys.stdin.isatty():
        raise click.UsageError("no SQL was given: use -c, or standard input")
    return sys.stdin.read()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--param {text}: write NAME=VALUE")
    return name, value


def _list_queries(as_json: bool) -> None:
    from dataclasses import asdict

    from hapctl.archive.queries import named_queries

    queries = named_queries()
    if as_json:
        print_json([asdict(query) for query in queries])
        return
    for query in queries:
        click.echo(f"{query.name}\n    {query.sentence}")
        for parameter in query.parameters:
            default = "must be given" if parameter.default is None else f"default {parameter.default}"
            click.echo(f"    {parameter.name} ({parameter.kind}, {default}): {parameter.meaning}")


def _ask_and_print(
    settings: Settings, url: str, statement: str, values: dict[str, Any] | None, as_csv: bool, as_json: bool
) -> None:
    from hapctl.archive.reader import ask, reader_url
    from hapctl.cli.tables import print_answer

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    form = "json" if as_json else "csv" if as_csv else "table"
    with ask(reader_url(url, settings.reader), statement, values, settings.query_timeout) as answer:
        rows = print_answer(answer.columns, answer.rows, form)
    if rows == 0 and form == "table":
        say("no rows")
