"""``hapctl status``: what the catalog holds, at a glance."""

from typing import Any

import click
from hapctl.cli.output import json_option, print_json
from hapctl.cli.settings import open_from


@click.command()
@click.option("--watch", is_flag=True, help="Show batches of work instead, on a terminal until they end.")
@click.option("--batch", "batch_id", metavar="N", type=int, help="This batch, under way or long ended.")
@json_option
@click.pass_context
def status(ctx: click.Context, watch: bool, batch_id: int | None, as_json: bool) -> None:
    """Show what the catalog holds, which products are stale, and how the last runs ended.

    With --watch, how far the commands on many targets are: what each worker does, on which machine, what
    failed, how long it will take. It asks the catalog alone, so it works from any machine, whatever died.

    \b
    hapctl status
    hapctl status --json
    hapctl status --watch
    hapctl status --batch 3 --json
    """
    from hapctl.archive.facts import catalog_status

    settings, catalog = open_from(ctx)
    if watch or batch_id is not None:
        from hapctl.cli.status_watch import show_batches

        show_batches(catalog, batch_id, watch=watch, as_json=as_json)
        return
    found = {"home": str(settings.home), "database": catalog.name, **catalog_status(catalog)}
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    click.echo(f"home      {found['home']}\ndatabase  {found['database']}\n")
    for name, count in found["counts"].items():
        click.echo(f"{count:8} {name.replace('_', ' ')}")
    _section("WCS solutions in force", found["frames"], "{exposures:8} {instrument}/{detector} {frame}")
    _section("stale products", found["stale"], "  {path}: {codes}")
    _section("last runs", found["runs"], "{run_id:8} {started:%Y-%m-%d %H:%M} {command}: {outcome} {message}")
    _section("abandoned runs", found["abandoned"], "{run_id:8} {started:%Y-%m-%d %H:%M} {command} on {host}")


def _section(title: str, rows: list[dict[str, Any]], form: str) -> None:
    if rows:
        click.echo(f"\n{title}")
    for row in rows:
        shown = {name: "" if value is None else value for name, value in row.items()}
        click.echo(form.format(**shown).rstrip())
