"""``hapctl wcs history`` and ``revert``: what was in force when, and going back to it."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.settings import open_from
from hapctl.cli.wcs_words import rms_words

if TYPE_CHECKING:
    from hapctl.archive.wcs_history import HistoryLine


@click.command()
@click.argument("rootname")
@json_option
@click.pass_context
def history(ctx: click.Context, rootname: str, as_json: bool) -> None:
    """List what was in force for an exposure: from when to when, put there by which run, and why.

    \b
    hapctl wcs history j8bt09jcq
    """
    from hapctl.archive.wcs_history import history_of
    from hapctl.archive.wcs_reports import exposure_line

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        exposure = exposure_line(connection, rootname)
        lines = history_of(connection, exposure.rootname)
    if as_json:
        print_json({"rootname": exposure.rootname, "history": [vars(line) for line in lines]})
        return
    for line in lines:
        click.echo(_words(line))
    if not lines:
        say(f"{exposure.rootname}: no solution was ever in force")


def _words(line: "HistoryLine") -> str:
    until = "now" if line.until is None else f"{line.until.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    since = f"{line.since.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    stars = ""
    if line.nmatches:
        stars = f", {line.nmatches} stars{rms_words(line.rms_ra_mas, line.rms_dec_mas)}"
    run = f"run {line.run_id} ({line.command})"
    return f"{since} to {until:19}  {line.full_name}  {line.frame}{stars}  {run}: {line.reason}"


def _moment(ctx: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """Read a date or time, UTC where it names no zone."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter("give ISO 8601, such as 2026-01-31 or 2026-01-31T12:00", ctx) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.command()
@click.argument("rootnames", nargs=-1, required=True, metavar="ROOTNAME...")
@click.option("--to", "moment", metavar="DATE", callback=_moment, help="To what was in force then, UTC.")
@click.option("--reason", help="Why; kept in the history.")
@json_option
@click.pass_context
def revert(
    ctx: click.Context, rootnames: tuple[str, ...], moment: datetime | None, reason: str | None, as_json: bool
) -> None:
    """Put in force again what was before, or at a date; several exposures change together or not at all.

    \b
    hapctl wcs revert j8bt09jcq
    hapctl wcs revert j8bt06nyq j8bt06o6q --to 2026-01-31 --reason "the fit of February was worse"
    """
    from hapctl.archive.runs import recorded_run
    from hapctl.processing.pipeline.wcs_revert import revert_solutions

    _, catalog = open_from(ctx)
    names = list(dict.fromkeys(name.lower() for name in rootnames))
    parameters: dict[str, Any] = {"rootnames": names, "to": moment, "reason": reason}
    with recorded_run(catalog, "wcs revert", parameters, sys.argv[1:]) as run:
        results = revert_solutions(catalog, run, names, moment, reason, on_wait=say)
        run.summary["exposures"] = {one.rootname: one.name for one in results}
    for one in results:
        if one.left:
            say(
                f"{one.rootname} was fitted together with {', '.join(one.left)}, which keep their solutions: "
                "its positions and theirs are in different frames now"
            )
    if as_json:
        print_json({"run": run.id, "exposures": [vars(one) for one in results]})
        return
    for one in results:
        words = "is in force again" if one.changed else "is in force already"
        click.echo(f"{one.rootname}: {one.name} {words} (before: {one.previous})")
