"""``hapctl wcs list``, ``show`` and ``activate``: the solutions of the catalog."""

from typing import TYPE_CHECKING

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.settings import open_from
from hapctl.cli.wcs_words import solution_row, solution_words

if TYPE_CHECKING:
    from hapctl.archive.wcs_reports import ExposureLine, SolutionLine


@click.command("list")
@click.argument("rootname")
@json_option
@click.pass_context
def list_solutions(ctx: click.Context, rootname: str, as_json: bool) -> None:
    """List the solutions of an exposure; * marks the one in force.

    \b
    hapctl wcs list j8bt09jcq
    """
    from hapctl.archive.wcs_reports import exposure_line, solutions_of

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        exposure = exposure_line(connection, rootname)
        solutions = solutions_of(connection, exposure.rootname)
    if as_json:
        rows = [solution_row(solution) for solution in solutions]
        print_json({"rootname": exposure.rootname, "solutions": rows})
        return
    for solution in solutions:
        click.echo(f"{'*' if solution.in_force else ' '} {solution_words(solution)}")


@click.command()
@click.argument("rootname")
@click.argument("name", required=False)
@json_option
@click.pass_context
def show(ctx: click.Context, rootname: str, name: str | None, as_json: bool) -> None:
    """Show a solution with its chips: NAME, NAME@run, or the one in force.

    \b
    hapctl wcs show j8bt09jcq
    hapctl wcs show j8bt09jcq OPUS
    """
    from hapctl.archive.errors import NotInCatalogError
    from hapctl.archive.wcs_reports import chips_of, exposure_line, find_solution, solutions_of

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        exposure = exposure_line(connection, rootname)
        solutions = solutions_of(connection, exposure.rootname)
        active = next((s for s in solutions if s.in_force), None)
        chosen = active if name is None else find_solution(solutions, exposure.rootname, name)
        if chosen is None:
            raise NotInCatalogError(
                f"{exposure.rootname} has no solution in force", "name one: hapctl wcs list"
            )
        chips = chips_of(connection, chosen.solution_id)
    document = {"rootname": exposure.rootname, **vars(chosen), "chips": chips}
    if as_json:
        print_json(document)
        return
    for key, value in document.items():
        if key == "chips":
            continue
        click.echo(f"{key:22} {'' if value is None else value}")
    for chip in chips:
        click.echo(f"SCI,{chip['extver']} (chip {chip['chip']}, {chip['nx']} x {chip['ny']})")
        for keyword in ("crval1", "crval2", "crpix1", "crpix2", "cd1_1", "cd1_2", "cd2_1", "cd2_2"):
            click.echo(f"    {keyword.upper():8} {chip[keyword]!r}")


@click.command()
@click.argument("rootname")
@click.argument("name")
@click.option("--reason", required=True, help="Why; kept in the history.")
@json_option
@click.pass_context
def activate(ctx: click.Context, rootname: str, name: str, reason: str, as_json: bool) -> None:
    """Put a solution in force by hand: NAME (the newest) or NAME@run.

    \b
    hapctl wcs activate j8bt09jcq IDC_n721640fj --reason "compare with the header"
    """
    import sys

    from hapctl.archive.locks import advisory_lock
    from hapctl.archive.runs import recorded_run
    from hapctl.archive.solutions import activate as put_in_force
    from hapctl.archive.wcs_reports import companions_of, exposure_line, find_solution, solutions_of

    if not reason.strip():
        raise click.UsageError("--reason must say something", ctx)
    _, catalog = open_from(ctx)
    parameters = {"rootname": rootname.lower(), "name": name, "reason": reason}
    with recorded_run(catalog, "wcs activate", parameters, sys.argv[1:]) as run:
        with catalog.begin() as connection:
            exposure = exposure_line(connection, rootname)
        with (
            advisory_lock(run, "visit", exposure.visit, on_wait=say),
            catalog.begin() as connection,
        ):
            solutions = solutions_of(connection, exposure.rootname)
            before = next((solution for solution in solutions if solution.in_force), None)
            chosen = find_solution(solutions, exposure.rootname, name)
            left = companions_of(connection, exposure, before) if before is not None else []
            changed = put_in_force(
                connection, run.id, {exposure.exposure_id: chosen.solution_id}, reason, "manual"
            )
            now = solutions_of(connection, exposure.rootname)
            chosen = next(solution for solution in now if solution.solution_id == chosen.solution_id)
        run.summary["changed"] = bool(changed)
    warn_of_companions(exposure, before, chosen, left if changed else [])
    status = "activated" if changed else "unchanged"
    if as_json:
        previous = None if before is None else before.full_name
        row = {"rootname": exposure.rootname, "status": status, "wcsname": chosen.wcsname}
        print_json(
            {**row, "name": chosen.full_name, "previous": previous, "frame": chosen.frame, "run": run.id}
        )
        return
    words = "is now in force" if changed else "was in force already"
    click.echo(f"{exposure.rootname}: {chosen.full_name} {words} (frame {chosen.frame})")


def warn_of_companions(
    exposure: "ExposureLine", before: "SolutionLine | None", chosen: "SolutionLine", left: list[str]
) -> None:
    if before is not None and left and chosen.alignment_group_id != before.alignment_group_id:
        say(
            f"{exposure.rootname} was fitted together with {', '.join(left)}, which keep their solutions: "
            f"its frame is now {chosen.frame}, theirs {before.frame}"
        )
    if chosen.frame.endswith(" alone"):
        say(
            f"{exposure.rootname} is in force without others that {chosen.full_name} was fitted together "
            "with: until they follow, its frame is its own"
        )
