"""``hapctl align``: the exposures of visits, tiles or lists onto each other and onto a reference catalog."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from hapctl.cli.align_policies import policies
from hapctl.cli.align_report import PAGES, report, write_page
from hapctl.cli.execution import done_together, execution_of, execution_options, shared
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.summary import Ending, Failure, attempt, gravest, print_summary, summary_document
from hapctl.cli.targets import chosen_visits, target_options, visit_choice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hapctl.archive.database import Catalog
    from hapctl.cli.settings import Settings
    from hapctl.processing.astrometry.solution import LookupOrigin
    from hapctl.processing.pipeline.align_run import AlignOptions, TargetResult
    from hapctl.processing.pipeline.alignment_rows import ExposureResult
    from hapctl.processing.pipeline.alignment_targets import Target
    from hapctl.processing.pipeline.batch import Execution

    _Results = Mapping[Target, TargetResult | Failure]

_LISTS = {"visit": "visits", "tile": "tiles", "exposures": "exposure_lists"}


class AlignGroup(click.Group):
    """Lets ``--exposures`` be followed by any number of rootnames."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _joined(args, "--exposures"))


def _joined(args: list[str], option: str) -> list[str]:
    """The arguments with all values that follow an option made one."""
    found: list[str] = []
    values: list[str] | None = None
    for arg in args:
        if values is not None and not arg.startswith("-"):
            values.append(arg)
            continue
        if values:
            found.append(",".join(values))
        values = [] if arg == option else None
        found.append(arg)
    return [*found, ",".join(values)] if values else found


@click.group(cls=AlignGroup, invoke_without_command=True)
@target_options
@click.option("--tile", "tiles", metavar="SKYCELL", multiple=True, help="All exposures that touch it.")
@click.option("--exposures", "lists", metavar="ROOTNAME...", multiple=True, help="These, together.")
@click.option(
    "--catalog",
    metavar="NAME",
    help="GAIADR3, GSC242, 2MASS, PS1DR2 ..., file:PATH (a list of stars), visit:IPPPSS, product:PATH, and "
    "no other; none: to each other only [default: the ladder].",
)
@click.option("--ladder", metavar="POLICY", help="A ladder of catalogs [default: the one in force].")
@click.option("--offline", is_flag=True, help="Ask no service: use the reference stars the catalog holds.")
@click.option(
    "--set", "changes", metavar="rule.KEY=VALUE", multiple=True, help="Change a number of the rule."
)
@click.option(
    "--jit",
    "jit_folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Jitter files (ipppssooj_jit.fits, _spt.fits) that tell which guide stars were used.",
)
@click.option(
    "--lookup-origin", type=click.Choice(["hst", "fits"]), help="Where distortion lookup tables begin."
)
@click.option(
    "--report",
    "page",
    metavar="[PATH]",
    is_flag=False,
    flag_value="",
    help="Write a page on each alignment: a file *.html, or a folder [default: reports in home].",
)
@execution_options
@click.option("--dry-run", is_flag=True, help="Show what would be aligned, from what; record nothing.")
@json_option
@click.pass_context
def align(
    ctx: click.Context,
    visits: tuple[str, ...],
    proposals: tuple[int, ...],
    where: str | None,
    every_visit: bool,
    tiles: tuple[str, ...],
    lists: tuple[str, ...],
    catalog: str | None,
    ladder: str | None,
    offline: bool,
    changes: tuple[str, ...],
    jit_folder: Path | None,
    lookup_origin: str | None,
    page: str | None,
    workers: int | None,
    scheduler: str | None,
    dry_run: bool,
    as_json: bool,
) -> int | None:
    """Align exposures to each other and to a reference catalog, in one joint solution.

    All exposures of a visit (or on a tile, or of a list), of all filters and detectors, are solved for at
    once, together with the stars they share. Every attempt and every matched star is recorded. What the
    rule of acceptance lets pass is put in force; else the solution in force stays, and the reason is said.
    The files themselves are not changed. Of several targets one failure does not stop the rest; the exit
    code is then that of the gravest (70, 4, 5, 2, 3, 1, 65 in this order), 0 where every one is aligned.

    \b
    hapctl align --visit j8bt09
    hapctl align --visit j8bt06 --visit j8bt09 --offline
    hapctl align --visit 'j8bt*' --where "NOT absolute"
    hapctl align --proposal 10421 --workers 4
    hapctl align --tile skycell-p0046x03y19
    hapctl align --exposures j8bt05njq j8bt06nyq --catalog GAIADR3
    hapctl align --visit j8bt06 --catalog visit:j8bt09
    hapctl align --visit j8bt09 --catalog file:stars.ecsv
    hapctl align --visit j8bt09 --set rule.search_radius_arcsec=10
    hapctl align --visit j8bt09 --report
    hapctl align report --visit j8bt09 --output j8bt09.html
    hapctl align policies list
    """
    choice = visit_choice(visits, proposals, where, every_visit)
    if ctx.invoked_subcommand is not None:
        if choice or tiles or lists:
            raise click.UsageError(f"'{ctx.invoked_subcommand}' aligns nothing: leave out what to align")
        return None
    if not (choice or tiles or lists):
        raise click.UsageError(
            "say what to align: --visit, --proposal, --where, --all, --tile or --exposures"
        )
    if catalog and ladder:
        raise click.UsageError("--catalog names one catalog, --ladder several: give one of them")
    from hapctl.cli.settings import open_from

    settings, opened = open_from(ctx, lookup_origin=lookup_origin)
    targets = _targets(chosen_visits(opened, settings, choice) if choice else [], tiles, lists)
    _check_page(page, targets, dry_run)
    how = execution_of(settings, workers, scheduler)
    options = shared(align_options(settings, catalog, ladder, offline, changes, jit_folder), settings, how)
    results = _results(opened, targets, options, how, dry_run)
    pages = {} if page is None else _pages(opened, results, settings, page)
    endings = [_ending(target, result) for target, result in results.items()]
    if as_json:
        print_json({**_documents(results, pages), "summary": summary_document(endings)})
    else:
        _print(results, pages)
    print_summary(endings, "target")
    return gravest(ending.exit_code for ending in endings)


align.add_command(policies)
align.add_command(report)


def _targets(visits: list[str], tiles: tuple[str, ...], lists: tuple[str, ...]) -> "list[Target]":
    from hapctl.processing.pipeline.alignment_targets import Target

    named = [name for text in lists for name in text.replace(",", " ").split()]
    targets = [Target.of_visit(name) for name in visits]
    targets += [Target.of_tile(name) for name in tiles]
    targets += [Target.of_exposures(named)] if lists else []
    return list(dict.fromkeys(targets))


def _check_page(page: str | None, targets: "list[Target]", dry_run: bool) -> None:
    """Refuse a page that can't be, before the work."""
    if page is None:
        return
    if dry_run:
        raise click.UsageError("--dry-run aligns nothing that --report could tell of")
    if len(targets) > 1 and Path(page).suffix.lower() in PAGES:
        raise click.UsageError(f"--report {page} is one page for {len(targets)} alignments: name a folder")


def _pages(catalog: "Catalog", results: "_Results", settings: "Settings", page: str) -> "dict[Target, Path]":
    """Write the page of each alignment; return where."""
    from hapctl.archive.alignment_reports import Subject

    place = Path(page) if page else None
    pages = {}
    for target, result in results.items():
        if not isinstance(result, Failure) and result.run_id is not None:
            subject = Subject(target.name, result.run_id, visit=target.visit)
            pages[target] = write_page(catalog, subject, settings, place)
    return pages


def align_options(
    settings: "Settings",
    catalog: str | None,
    ladder: str | None,
    offline: bool,
    changes: tuple[str, ...],
    jit_folder: Path | None,
) -> "AlignOptions":
    from hapctl.cli.align_policies import changed_rule
    from hapctl.cli.gaia import services_of
    from hapctl.processing.pipeline.align_run import AlignOptions, catalog_asked

    return AlignOptions(
        home=settings.home,
        release=settings.gaia.release,
        catalog=catalog_asked(catalog),
        ladder=ladder,
        services=None if offline else services_of(settings),
        offline=offline,
        origin=cast("LookupOrigin", settings.lookup_origin),  # the settings allow no other
        changes=changed_rule(changes),
        jit_folder=jit_folder,
        threads=settings.threads,
    )


def _results(
    catalog: "Catalog",
    targets: "Sequence[Target]",
    options: "AlignOptions",
    how: "Execution",
    dry_run: bool,
) -> "_Results":
    """Align, or plan, all targets: the only one here, several as a batch."""
    from hapctl.processing.pipeline.unit_actions import align_unit

    alone = len(targets) == 1
    if dry_run or (alone and not how.elsewhere):
        return {
            target: attempt(partial(_aligned, catalog, target, options, dry_run), alone=alone)
            for target in targets
        }
    units = [align_unit(target, options) for target in targets]
    return dict(zip(targets, done_together(catalog, units, how, "align"), strict=True))


def _aligned(catalog: "Catalog", target: "Target", options: "AlignOptions", dry_run: bool) -> "TargetResult":
    import sys

    from hapctl.processing.pipeline.align_run import align_target, plan_target

    if dry_run:
        return plan_target(catalog, target, options)
    return align_target(catalog, target, options, arguments=sys.argv[1:], on_progress=say)


def _documents(results: "_Results", pages: "Mapping[Target, Path]") -> dict[str, list[dict[str, Any]]]:
    documents: dict[str, list[dict[str, Any]]] = {_LISTS[target.scope]: [] for target in results}
    for target, result in results.items():
        documents[_LISTS[target.scope]].append(_document(target, result, pages))
    return documents


def _document(
    target: "Target", result: "TargetResult | Failure", pages: "Mapping[Target, Path]"
) -> dict[str, Any]:
    named: dict[str, Any] = {target.scope: target.name}
    if target in pages:
        named["report"] = pages[target]
    if isinstance(result, Failure):
        reason = result.ending(target.name).reason
        return {**named, "outcome": "failed", "reason": reason, "run": None, "exposures": []}
    return {
        **named,
        "outcome": result.outcome,
        "reason": result.reason,
        "run": result.run_id,
        "exposures": [vars(exposure) for exposure in result.exposures],
    }


def _print(results: "_Results", pages: "Mapping[Target, Path]") -> None:
    for target, result in results.items():
        if isinstance(result, Failure):
            click.echo(f"{target.name}: failed: {result.message}")
            continue
        click.echo(f"{target.name}: {result.outcome}: {result.reason}")
        for exposure in result.exposures:
            click.echo(f"    {exposure.rootname}  {_words(exposure)}")
        if target in pages:
            click.echo(f"    report: {pages[target]}")


def _words(exposure: "ExposureResult") -> str:
    if exposure.wcsname is None:
        return f"{exposure.outcome}: {exposure.reason}"
    if exposure.nmatches is None:
        return f"{exposure.outcome}: {exposure.wcsname} ({exposure.reason})"
    words = f"{exposure.outcome}: {exposure.wcsname}, {exposure.nmatches} stars"
    if exposure.rms_ra_mas is not None and exposure.rms_dec_mas is not None:
        words += f", rms {exposure.rms_ra_mas:.2f} / {exposure.rms_dec_mas:.2f} mas"
    if exposure.predicted_error_mas is not None:
        words += f", predicted error {exposure.predicted_error_mas:.2f} mas"
    return words


def _ending(target: "Target", result: "TargetResult | Failure") -> Ending:
    """Well where something better is in force, or planned; else what went wrong, or refused."""
    if isinstance(result, Failure):
        return result.ending(target.name)
    if result.is_better or result.outcome == "planned":
        return Ending(target.name, result.outcome)
    remedy = f"hapctl query why-visit-failed --param visit={target.name}" if target.visit else ""
    return Ending(target.name, result.outcome, 1, result.reason, remedy)
