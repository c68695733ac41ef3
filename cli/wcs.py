"""``hapctl wcs``: which WCS solutions there are, which is in force, and why."""

from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.settings import open_from

if TYPE_CHECKING:
    from hapctl.archive.wcs_reports import AttemptLine, ExposureLine, SolutionLine


@click.group()
def wcs() -> None:
    """List, show, explain and activate WCS solutions."""


@wcs.command("list")
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
        rows = [_solution_row(solution) for solution in solutions]
        print_json({"rootname": exposure.rootname, "solutions": rows})
        return
    for solution in solutions:
        click.echo(f"{'*' if solution.in_force else ' '} {_solution_words(solution)}")


@wcs.command()
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


@wcs.command()
@click.argument("rootname")
@json_option
@click.pass_context
def why(ctx: click.Context, rootname: str, as_json: bool) -> None:
    """Say in words which solution is in force and why, what else there is, and what was refused.

    \b
    hapctl wcs why j8bt09jcq
    """
    from hapctl.archive.wcs_reports import attempts_on, companions_of, exposure_line, solutions_of

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        exposure = exposure_line(connection, rootname)
        solutions = solutions_of(connection, exposure.rootname)
        attempts = attempts_on(connection, exposure.rootname)
        active = next((solution for solution in solutions if solution.in_force), None)
        companions = companions_of(connection, exposure, active) if active is not None else []
    paragraph = _explanation(exposure, solutions, attempts, companions)
    if as_json:
        print_json(
            {
                "rootname": exposure.rootname,
                "in_force": None if active is None else _solution_row(active),
                "together_with": companions,
                "solutions": [_solution_row(solution) for solution in solutions],
                "attempts": [vars(attempt) for attempt in attempts],
                "explanation": paragraph,
            }
        )
        return
    click.echo(paragraph)


@wcs.command()
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
        run.summary["changed"] = bool(changed)
    _warn_of_companions(exposure, before, chosen, left if changed else [])
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


def _warn_of_companions(
    exposure: "ExposureLine", before: "SolutionLine | None", chosen: "SolutionLine", left: list[str]
) -> None:
    if before is not None and left and chosen.alignment_group_id != before.alignment_group_id:
        say(
            f"{exposure.rootname} was fitted together with {', '.join(left)}, which keep their solutions: "
            f"its frame is now {chosen.frame}, theirs {before.frame}"
        )


def _solution_row(solution: "SolutionLine") -> dict[str, Any]:
    """A solution as data for lists: all but its long texts."""
    return {key: value for key, value in vars(solution).items() if key not in ("keywords", "s_region")}


def _solution_words(solution: "SolutionLine") -> str:
    parts = [solution.full_name, solution.frame]
    if solution.nmatches:
        parts.append(f"{solution.nmatches} stars{_rms_words(solution.rms_ra_mas, solution.rms_dec_mas)}")
    parts.append(", ".join(solution.places) or "in the catalog only")
    if solution.problem:
        parts.append(f"never in force: {solution.problem}")
    return "  ".join(parts)


def _rms_words(ra: float | None, dec: float | None) -> str:
    return "" if ra is None or dec is None else f", rms {ra:.2f} / {dec:.2f} mas"


def _explanation(
    exposure: "ExposureLine",
    solutions: "list[SolutionLine]",
    attempts: "list[AttemptLine]",
    companions: list[str],
) -> str:
    """One paragraph: what is in force and why, how it was made, what else there is, what was refused."""
    sentences = [_in_force_words(exposure, solutions), *_made_words(solutions, attempts)]
    if companions:
        sentences.append(f"It was fitted together with {', '.join(companions)}.")
    sentences += [_others_words(solutions), *_refused_words(attempts)]
    if exposure.exclusion_reason:
        sentences.append(f"The exposure is not mosaicked: {exposure.exclusion_reason}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _in_force_words(exposure: "ExposureLine", solutions: "list[SolutionLine]") -> str:
    what = f"{exposure.rootname} ({exposure.instrument}/{exposure.detector} {exposure.filter.upper()})"
    active = next((solution for solution in solutions if solution.in_force), None)
    if active is None:
        return f"{what} has no WCS solution in force."
    ways = {"ingest": "as the file had it", "align": "by an alignment", "manual": "by hand"}
    way = ways.get(str(active.origin), str(active.origin))
    since = f"{active.since:%Y-%m-%d %H:%M:%S} UTC" if active.since is not None else "its ingest"
    return (
        f"In force for {what} is {active.wcsname}, put there {way} at {since}: {active.reason}. "
        f"Its positions are good in the frame {active.frame}."
    )


def _made_words(solutions: "list[SolutionLine]", attempts: "list[AttemptLine]") -> list[str]:
    """How the solution in force was fitted, from the attempts that made it."""
    active = next((solution for solution in solutions if solution.in_force), None)
    if active is None:
        return []
    made = [a for a in attempts if a.solution_id == active.solution_id and a.outcome == "accepted"]
    if not made and active.nmatches:
        rms = _rms_words(active.rms_ra_mas, active.rms_dec_mas)
        return [f"Its header says that it was fitted with {active.nmatches} stars{rms}."]
    return [_attempt_words(attempt) for attempt in sorted(made, key=lambda a: a.method)]


def _attempt_words(attempt: "AttemptLine") -> str:
    if attempt.code == "reference":
        rms = _rms_words(attempt.rms_ra_mas, attempt.rms_dec_mas)
        return (
            f"Run {attempt.run_id} brought the other exposures to this one by {attempt.nmatches} common "
            f"stars{rms}, and left it where {attempt.from_wcsname} has it."
        )
    target = attempt.catalog or "the other exposures"
    words = (
        f"Run {attempt.run_id} fitted it to {target} by {attempt.nmatches} of its stars"
        f"{_rms_words(attempt.rms_ra_mas, attempt.rms_dec_mas)} ({attempt.geometry}, {attempt.policy}"
    )
    if attempt.score is not None and attempt.best_decoy_score is not None:
        words += f"; score {attempt.score:.0f}, best decoy {attempt.best_decoy_score:.0f}"
    return words + f"){_movement_words(attempt)}."


def _movement_words(attempt: "AttemptLine") -> str:
    if attempt.shift_ra_mas is None or attempt.shift_dec_mas is None:
        return ""
    words = (
        f", which moved it from {attempt.from_wcsname} by {attempt.shift_ra_mas:+.1f} mas east and "
        f"{attempt.shift_dec_mas:+.1f} mas north"
    )
    if attempt.rotation_deg is not None and attempt.scale_ratio is not None:
        words += (
            f", turned it by {attempt.rotation_deg:+.5f} degree and scaled it by {attempt.scale_ratio:.6f}"
        )
    return words


def _others_words(solutions: "list[SolutionLine]") -> str:
    others = [solution for solution in solutions if not solution.in_force]
    if not others:
        return "It has no other solution."
    words = ", ".join(_other_words(solution) for solution in others)
    return f"{len(others)} other solution{'s are' if len(others) > 1 else ' is'} known: {words}."


def _other_words(solution: "SolutionLine") -> str:
    notes = []
    if solution.nmatches:
        rms = _rms_words(solution.rms_ra_mas, solution.rms_dec_mas)
        notes.append(f"{solution.nmatches} stars{rms}, frame {solution.frame}")
    if solution.problem:
        notes.append(f"never in force: {solution.problem}")
    return solution.full_name + (f" ({'; '.join(notes)})" if notes else "")


def _refused_words(attempts: "list[AttemptLine]") -> list[str]:
    """The last refusal of each method and catalog."""
    if not attempts:
        return ["No alignment was tried."]
    sentences, seen = [], set()
    for attempt in attempts:
        key = (attempt.method, attempt.catalog)
        if attempt.outcome == "refused" and key not in seen:
            target = f" to {attempt.catalog}" if attempt.catalog else ""
            what = f"the {attempt.method} fit{target} ({attempt.code})"
            sentences.append(f"Run {attempt.run_id} refused {what}: {attempt.reason}.")
        seen.add(key)
    return sentences or ["No fit was refused."]
