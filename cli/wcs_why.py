"""``hapctl wcs why``: which solution is in force, how it was made, what else there is, what was refused."""

from typing import TYPE_CHECKING

import click
from hapctl.cli.joint_words import joint_words
from hapctl.cli.output import json_option, print_json
from hapctl.cli.settings import open_from
from hapctl.cli.wcs_words import rms_words, solution_row

if TYPE_CHECKING:
    from hapctl.archive.wcs_reports import AttemptLine, ExposureLine, MembershipLine, SolutionLine


@click.command()
@click.argument("rootname")
@json_option
@click.pass_context
def why(ctx: click.Context, rootname: str, as_json: bool) -> None:
    """Say in words which solution is in force and why, what else there is, and what was refused.

    \b
    hapctl wcs why j8bt09jcq
    """
    from hapctl.archive.wcs_reports import (
        attempts_on,
        companions_of,
        exposure_line,
        membership_of,
        solutions_of,
    )

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        exposure = exposure_line(connection, rootname)
        solutions = solutions_of(connection, exposure.rootname)
        attempts = attempts_on(connection, exposure.rootname)
        active = next((solution for solution in solutions if solution.in_force), None)
        companions = companions_of(connection, exposure, active) if active is not None else []
        membership = None if active is None else membership_of(connection, active.solution_id)
    paragraph = _explanation(exposure, solutions, attempts, companions, membership)
    if as_json:
        print_json(
            {
                "rootname": exposure.rootname,
                "in_force": None if active is None else solution_row(active),
                "together_with": companions,
                "joint": None if membership is None else vars(membership),
                "solutions": [solution_row(solution) for solution in solutions],
                "attempts": [vars(attempt) for attempt in attempts],
                "explanation": paragraph,
            }
        )
        return
    click.echo(paragraph)


def _explanation(
    exposure: "ExposureLine",
    solutions: "list[SolutionLine]",
    attempts: "list[AttemptLine]",
    companions: list[str],
    membership: "MembershipLine | None",
) -> str:
    """One paragraph: what is in force and why, how it was made, what else there is, what was refused."""
    sentences = [_in_force_words(exposure, solutions), *_made_words(solutions, attempts)]
    if membership is not None:
        sentences += joint_words(membership)
    elif companions:
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
        rms = rms_words(active.rms_ra_mas, active.rms_dec_mas)
        return [f"Its header says that it was fitted with {active.nmatches} stars{rms}."]
    return [_attempt_words(attempt) for attempt in sorted(made, key=lambda a: a.method)]


def _attempt_words(attempt: "AttemptLine") -> str:
    if attempt.code == "carried" or "direct_image" in attempt.metrics:
        return f"Run {attempt.run_id}: {attempt.reason}{_movement_words(attempt)}."
    if attempt.method == "joint":
        return _joint_attempt_words(attempt)
    if attempt.code == "reference":
        rms = rms_words(attempt.rms_ra_mas, attempt.rms_dec_mas)
        return (
            f"Run {attempt.run_id} brought the other exposures to this one by {attempt.nmatches} common "
            f"stars{rms}, and left it where {attempt.from_wcsname} has it."
        )
    target = attempt.catalog or "the other exposures"
    words = (
        f"Run {attempt.run_id} fitted it to {target} by {attempt.nmatches} of its stars"
        f"{rms_words(attempt.rms_ra_mas, attempt.rms_dec_mas)} ({attempt.geometry}, {attempt.policy}"
    )
    if attempt.score is not None and attempt.best_decoy_score is not None:
        words += f"; score {attempt.score:.0f}, best decoy {attempt.best_decoy_score:.0f}"
    return words + f"){_movement_words(attempt)}."


def _joint_attempt_words(attempt: "AttemptLine") -> str:
    """How many stars tie it to the catalog and to other exposures, and how it moved."""
    own, used = attempt.metrics.get("catalog_stars_used", 0), attempt.metrics.get("stars_used", 0)
    rms = rms_words(attempt.rms_ra_mas, attempt.rms_dec_mas)
    shared = f"shares {used} stars with the others"
    if attempt.catalog is None:
        words = f"it {shared}{rms} and no catalog ties it to the sky"
    elif own:
        words = (
            f"{own} of its stars are in {attempt.catalog}{rms}; it {shared}"
            if used > own
            else (f"{own} of its stars are in {attempt.catalog}{rms}")
        )
    else:
        words = f"none of its own stars is in {attempt.catalog}: it {shared}, which tie it{rms}"
    among = attempt.metrics.get("relative_error_mas")
    if among is not None:
        words += f"; its place among the others is known to {among:.2f} mas"
    return (
        f"Run {attempt.run_id} solved for it jointly ({attempt.geometry}, {attempt.policy}): {words}"
        f"{_passive(_movement_words(attempt))}."
    )


def _passive(words: str) -> str:
    """The words on a movement as a clause of its own."""
    words = words.replace(", which moved it", "; it was moved")
    return words.replace("turned it by", "turned by").replace("scaled it by", "scaled by")


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
        rms = rms_words(solution.rms_ra_mas, solution.rms_dec_mas)
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
            climbed = attempt.ladder is not None and not attempt.ladder.startswith("catalog-")
            step = f", step {attempt.ladder_step} of {attempt.ladder}" if climbed else ""
            kind = "relative" if attempt.catalog is None else attempt.method
            what = f"the {kind} fit{target} ({attempt.code}{step})"
            sentences.append(f"Run {attempt.run_id} refused {what}: {attempt.reason}.")
        seen.add(key)
    return sentences or ["No fit was refused."]
