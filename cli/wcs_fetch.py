"""``hapctl wcs fetch``: known solutions of exposures from MAST's astrometry service."""

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.settings import open_from

if TYPE_CHECKING:
    from hapctl.archive.astrometry_service import AstrometryService
    from hapctl.cli.settings import ServiceSettings
    from hapctl.processing.pipeline.fetch_solutions import FetchedExposure


@click.command()
@click.argument("rootnames", nargs=-1, metavar="[ROOTNAME...]")
@click.option("--visit", "visits", multiple=True, metavar="IPPPSS", help="All exposures of a visit.")
@click.option("--dry-run", is_flag=True, help="Ask and check only; register nothing.")
@json_option
@click.pass_context
def fetch(
    ctx: click.Context, rootnames: tuple[str, ...], visits: tuple[str, ...], dry_run: bool, as_json: bool
) -> int:
    """Register the solutions that MAST's astrometry service has of exposures.

    A priori solutions (GSC240, HSC30) and those of the archive's pipeline come as headerlets. Each is checked
    and registered; nothing is put in force: activate does that. A solution may be preferred only if it
    rests on the distortion table of the one in force. The service is services.astrometry
    (ASTROMETRY_SERVICE_URL).

    \b
    hapctl wcs fetch --visit j8bt09
    hapctl wcs fetch j8bt09jcq j8bt09jdq --dry-run
    """
    from hapctl.archive.runs import recorded_run
    from hapctl.processing.pipeline.fetch_solutions import exposures_to_fetch, fetch_solutions

    if not visits and not rootnames:
        raise click.UsageError("say of which exposures: ROOTNAME or --visit", ctx)
    settings, catalog = open_from(ctx)
    service = _service(settings.services)
    wanted = exposures_to_fetch(catalog, visits, rootnames)
    summary: dict[str, Any] = {}

    def note(one: "FetchedExposure") -> None:
        summary[one.rootname] = _counted(one)
        if not as_json:
            _tell(one)

    if dry_run:
        return _finished(fetch_solutions(catalog, None, wanted, service, on_done=note), None, as_json)
    parameters = {"exposures": wanted, "url": service.remote.url}
    with recorded_run(catalog, "wcs fetch", parameters, sys.argv[1:]) as run:
        run.summary["exposures"] = summary
        done = fetch_solutions(catalog, run.id, wanted, service, on_done=note)
    return _finished(done, run.id, as_json)


def _service(settings: "ServiceSettings") -> "AstrometryService":
    from hapctl.archive.astrometry_service import AstrometryService
    from hapctl.archive.remote_services import RemoteService

    return AstrometryService(RemoteService(settings.astrometry, settings.timeout, settings.retries))


def _counted(one: "FetchedExposure") -> dict[str, str | int]:
    counts = Counter(str(solution.status) for solution in one.solutions)
    return {"status": one.status, "best": one.best, **counts}


def _tell(one: "FetchedExposure") -> None:
    if one.status == "unknown":
        click.echo(f"{one.rootname}  the service does not know it")
    for solution in one.solutions:
        marks = ["best by the service"] if solution.wcsname == one.best else []
        marks += [solution.reason] if solution.reason else []
        marks += [] if solution.same_distortion or solution.reason else ["other distortion table"]
        words = f"  ({'; '.join(marks)})" if marks else ""
        click.echo(f"{one.rootname}  {solution.status:12}  {solution.wcsname}{words}")


def _finished(done: "list[FetchedExposure]", run_id: int | None, as_json: bool) -> int:
    if as_json:
        rows = [{**vars(one), "solutions": [vars(solution) for solution in one.solutions]} for one in done]
        print_json({"run": run_id, "exposures": rows})
    counts = Counter(solution.status for one in done for solution in one.solutions)
    if not as_json:
        words = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        say(f"{len(done)} exposures: {words or 'no solutions'}")
    return 1 if counts and set(counts) == {"rejected"} else 0
