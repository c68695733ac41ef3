"""`hapctl ingest`, `exposure` and `root`: what HST files say goes into the catalog."""

import os
import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.execution import done_together, execution_of
from hapctl.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hapctl.archive.database import Catalog
    from hapctl.processing.pipeline.batch import Execution
    from hapctl.processing.pipeline.ingest_files import IngestRequest, IngestResult

FILES_PER_WORKER = 50
"""Below this many files for each a worker process costs more time than it saves."""

_STATUSES = ("new", "updated", "unchanged", "rejected")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--recursive", "-r", is_flag=True, help="Also the folders within folders.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes (default: as many as pay off).")
@click.option("--scheduler", metavar="URL", help="Work on the Dask cluster of tcp://host:port instead.")
@click.option("--verify", is_flag=True, help="Hash files again whose size and time are as known.")
@json_option
@click.pass_context
def ingest(
    ctx: click.Context,
    paths: tuple[str, ...],
    recursive: bool,
    workers: int | None,
    scheduler: str | None,
    verify: bool,
    as_json: bool,
) -> int:
    """Record what HST files say: exposures, WCS solutions, footprints, sky tiles.

    PATH is a file (FITS, plain or gzipped), a folder, a pattern in quotes, or @LIST with one name a line.
    Files are not changed. What is no exposure, or damaged, is reported with its reason, and the others go
    in. Run it again at any time: files known already are left as they are.

    \b
    hapctl ingest flc/*_flc.fits
    hapctl ingest archive --recursive --workers 2
    hapctl ingest /shared/archive -r --scheduler tcp://host:8786
    hapctl ingest @files.txt --verify
    """
    from hapctl.archive.errors import NotInCatalogError
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.ingest_inputs import expand_inputs, printable

    files, problems = expand_inputs(paths, recursive=recursive)
    names = [printable(path) for path in paths]
    if not files:
        raise NotInCatalogError(_nothing_in(names, problems), "check the path; --recursive enters folders")
    settings, catalog = open_from(ctx)
    used = workers or max(1, min(settings.workers, len(files) // FILES_PER_WORKER))
    options = {"paths": names, "recursive": recursive, "verify": verify, "workers": used}
    cluster = execution_of(settings, workers, scheduler) if scheduler else None
    document = _ingest(catalog, options, files, problems, cluster, show=not as_json)
    if as_json:
        print_json(document)
    else:
        say(_summary(document["counts"]))
    return int(document["exit_code"])


def _ingest(
    catalog: "Catalog",
    options: dict[str, Any],
    files: list[str],
    problems: dict[str, str],
    cluster: "Execution | None",
    *,
    show: bool,
) -> dict[str, Any]:
    """Ingest under one recorded run and return the report."""
    from hapctl.archive.runs import recorded_run
    from hapctl.processing.pipeline.ingest_inputs import requests_for

    reports = [_problem_report(path, reason) for path, reason in problems.items()]
    if show:
        click.echo("".join(f"{_line(report)}\n" for report in reports), nl=False)
    with recorded_run(catalog, "ingest", options, sys.argv[1:]) as run:
        with catalog.begin() as connection:
            requests = requests_for(connection, run.id, options["paths"], files)
        for result in _done(catalog, run.id, requests, options, cluster):
            reports.append(_report(result))
            if show:
                click.echo(_line(reports[-1]))
        counts = Counter(report["status"] for report in reports)
        run.summary |= {status: counts[status] for status in _STATUSES}
        if counts["rejected"] == len(reports):
            run.refused("no file was registered")
    reports.sort(key=lambda report: report["path"])
    return {"run_id": run.id, "files": reports, "counts": run.summary, "exit_code": run.exit_code}


def _done(
    catalog: "Catalog",
    run_id: int,
    requests: "list[IngestRequest]",
    options: dict[str, Any],
    cluster: "Execution | None",
) -> "Iterator[IngestResult]":
    """Ingest here, on processes, or on a cluster; files of one exposure stay in order."""
    from hapctl.processing.pipeline.ingest_files import ingest_groups
    from hapctl.processing.pipeline.ingest_inputs import grouped

    if cluster is not None:
        yield from _done_on(cluster, catalog, run_id, grouped(requests), options["verify"])
        return
    groups = grouped(requests) if options["workers"] > 1 else [requests]
    yield from ingest_groups(catalog, run_id, groups, workers=options["workers"], verify=options["verify"])


def _done_on(
    cluster: "Execution",
    catalog: "Catalog",
    run_id: int,
    groups: "list[list[IngestRequest]]",
    verify: bool,
) -> "Iterator[IngestResult]":
    from hapctl.cli.summary import Failure
    from hapctl.processing.pipeline.ingest_files import IngestResult
    from hapctl.processing.pipeline.unit_actions import ingest_units

    units = list(ingest_units(run_id, groups, verify=verify))
    for unit, found in zip(units, done_together(catalog, units, cluster, "ingest"), strict=True):
        if isinstance(found, Failure):
            yield from (IngestResult(path, None, "rejected", found.message) for path in unit.target["files"])
        else:
            yield from found


def _nothing_in(names: list[str], problems: dict[str, str]) -> str:
    reasons = "; ".join(f"{path}: {reason}" for path, reason in list(problems.items())[:3])
    return f"no files in {' '.join(names)}" + (f" ({reasons})" if reasons else "")


def _problem_report(path: str, reason: str) -> dict[str, Any]:
    found: dict[str, Any] = {"path": path, "rootname": None, "status": "rejected", "reason": reason}
    return found | {"headerlets": 0, "solutions": 0}


def _report(result: "IngestResult") -> dict[str, Any]:
    return {**asdict(result), "reason": result.reason or None}


def _line(report: dict[str, Any]) -> str:
    name = report["rootname"] or "-"
    reason = f"  ({report['reason']})" if report["reason"] else ""
    return f"{report['status']:9}  {name:9}  {report['path']}{reason}"


def _summary(counts: dict[str, int]) -> str:
    return "hapctl: " + ", ".join(f"{counts[status]} {status}" for status in _STATUSES)


@click.group()
def exposure() -> None:
    """Show an exposure, withdraw it, or take it into use again."""


@exposure.command("show")
@click.argument("rootname")
@json_option
@click.pass_context
def show_exposure(ctx: click.Context, rootname: str, as_json: bool) -> None:
    """Show what the catalog knows of an exposure: keywords, files, WCS solutions, tiles.

    \b
    hapctl exposure show j8bt09jcq
    """
    from hapctl.archive.exposures import exposure_report
    from hapctl.cli.settings import open_from

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        document = exposure_report(connection, rootname)
    if as_json:
        print_json(document)
        return
    for line in _exposure_lines(document):
        click.echo(line)


def _exposure_lines(document: dict[str, Any]) -> list[str]:
    nested = ("files", "solutions")
    lines = [
        f"{key:17} {value}" for key, value in document.items() if key not in nested and value is not None
    ]
    for file in document["files"]:
        state = "in force" if file["in_force"] else "superseded"
        lines.append(
            f"file              {file['suffix']} {file['sha256'][:12]} {state}: {', '.join(file['paths'])}"
        )
    for solution in document["solutions"]:
        state = "in force" if solution["in_force"] else (solution["problem"] or "not in force")
        tiles = ", ".join(solution["tiles"])
        lines.append(f"solution          {solution['wcsname']} [{state}] {tiles}")
    return lines


@exposure.command("withdraw")
@click.argument("rootname")
@click.argument("reason")
@json_option
@click.pass_context
def withdraw(ctx: click.Context, rootname: str, reason: str, as_json: bool) -> None:
    """Take an exposure out of use; products made from it become stale.

    \b
    hapctl exposure withdraw j8bt09jcq "trailed"
    """
    from hapctl.archive.exposures import withdraw_exposure
    from hapctl.archive.runs import recorded_run
    from hapctl.cli.settings import open_from

    if not reason.strip():
        raise click.UsageError("the reason must not be empty")
    _, catalog = open_from(ctx)
    parameters = {"rootname": rootname, "reason": reason}
    with (
        recorded_run(catalog, "exposure withdraw", parameters, sys.argv[1:]) as run,
        catalog.begin() as connection,
    ):
        withdraw_exposure(connection, run.id, rootname, reason)
    if as_json:
        print_json({"run_id": run.id, "rootname": rootname.lower(), "withdrawn": reason})
    else:
        say(f"hapctl: {rootname.lower()} is withdrawn: {reason}")


@exposure.command("restore")
@click.argument("rootname")
@json_option
@click.pass_context
def restore(ctx: click.Context, rootname: str, as_json: bool) -> None:
    """Take a withdrawn exposure into use again; products without it become stale.

    \b
    hapctl exposure restore j8bt09jcq
    """
    from hapctl.archive.exposures import restore_exposure
    from hapctl.archive.runs import recorded_run
    from hapctl.cli.settings import open_from

    _, catalog = open_from(ctx)
    with (
        recorded_run(catalog, "exposure restore", {"rootname": rootname}, sys.argv[1:]) as run,
        catalog.begin() as connection,
    ):
        reason = restore_exposure(connection, run.id, rootname)
    if as_json:
        print_json({"run_id": run.id, "rootname": rootname.lower(), "was_withdrawn": reason})
    else:
        say(f"hapctl: {rootname.lower()} is in use again (it was withdrawn: {reason})")


@click.group()
def root() -> None:
    """List the archive roots, or say that one has moved."""


@root.command("list")
@json_option
@click.pass_context
def list_archive_roots(ctx: click.Context, as_json: bool) -> None:
    """List the folders under which files lie, with the number of files.

    \b
    hapctl root list
    """
    from hapctl.archive.roots import list_roots
    from hapctl.cli.settings import open_from

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        roots = [asdict(entry) for entry in list_roots(connection)]
    if as_json:
        print_json({"roots": roots})
        return
    for entry in roots:
        click.echo(f"{entry['files']:8}  {entry['path']}")


@root.command("move")
@click.argument("old")
@click.argument("new", type=click.Path(exists=True, file_okay=False))
@json_option
@click.pass_context
def move(ctx: click.Context, old: str, new: str, as_json: bool) -> None:
    """Say that the files under OLD lie under NEW now; nothing else changes.

    \b
    hapctl root move /data/old .
    """
    from hapctl.archive.roots import find_root, move_root
    from hapctl.archive.runs import recorded_run
    from hapctl.cli.settings import open_from

    old, new = os.path.abspath(old), os.path.abspath(new)
    _, catalog = open_from(ctx)
    with (
        recorded_run(catalog, "root move", {"old": old, "new": new}, sys.argv[1:]) as run,
        catalog.begin() as connection,
    ):
        entry = find_root(connection, old)
        found = _check_files(connection, entry.root_id, new)
        move_root(connection, run.id, entry, new)
    if as_json:
        print_json({"run_id": run.id, "old": old, "new": new, "files": entry.files, "found": found})
    else:
        say(f"hapctl: root {old} is {new} now; {found} of {entry.files} files are there")


def _check_files(connection: Any, root_id: int, new: str) -> int:
    """Count the files of a root that lie under its new path; refuse where none does."""
    from hapctl.archive.errors import RefusedByCatalogError
    from hapctl.archive.roots import relative_paths

    paths = relative_paths(connection, root_id)
    found = sum(os.path.exists(os.path.join(new, path)) for path in paths)
    if paths and not found:
        raise RefusedByCatalogError(f"none of the {len(paths)} files lies under {new}", "check the new path")
    return found
