"""``hapctl process``: visits from ingested exposures to products, and the tiles they touch."""

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.execution import execution_of, execution_options, shared, shown_batch
from hapctl.cli.output import json_option, print_json
from hapctl.cli.summary import Ending, Failure, attempt, gravest, print_summary, summary_document
from hapctl.cli.targets import chosen_visits, target_options, visit_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hapctl.archive.database import Catalog
    from hapctl.cli.settings import Settings
    from hapctl.processing.pipeline.batch import Execution
    from hapctl.processing.pipeline.mosaic_run import MosaicReport
    from hapctl.processing.pipeline.process_visit import ProcessOptions, StepReport, VisitReport
    from hapctl.processing.pipeline.units import UnitOutcome, WorkUnit


@click.command()
@target_options
@click.option("--tiles", is_flag=True, help="Then the layers of all sky tiles that these visits touch.")
@click.option(
    "--catalog",
    metavar="NAME",
    help="Align to this catalog, as 'hapctl align' names it; none: to each other only [default: the ladder].",
)
@click.option("--ladder", metavar="POLICY", help="A ladder of catalogs [default: the one in force].")
@click.option("--offline", is_flag=True, help="Ask no service: use the reference stars the catalog holds.")
@click.option(
    "--wcs-policy",
    type=click.Choice(["strict", "absolute", "any"]),
    help="Which solutions may be mixed in a product, as for 'hapctl mosaic'.",
)
@click.option("--output", type=click.Path(file_okay=False), help="Folder of the products.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads at work; the results are the same.")
@click.option("--max-memory", metavar="SIZE", help="Refuse work predicted to need more, such as 2GB.")
@click.option(
    "--lookup-origin", type=click.Choice(["hst", "fits"]), help="Where distortion lookup tables begin."
)
@click.option(
    "--set",
    "changes",
    metavar="KEY=VALUE",
    multiple=True,
    help="rule.KEY: a number of the rule of acceptance; STEP.KEY: a parameter of the products.",
)
@execution_options
@click.option("--dry-run", is_flag=True, help="Show what would be done, from what, why; record nothing.")
@json_option
@click.pass_context
def process(
    ctx: click.Context,
    visits: tuple[str, ...],
    proposals: tuple[int, ...],
    where: str | None,
    every_visit: bool,
    tiles: bool,
    workers: int | None,
    scheduler: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Bring visits from ingested exposures to products: align, cosmic-ray masks, products.

    What is current is left as it is, so the command may be run again at any time. An alignment that the rule
    of acceptance refuses is told, and the products are made with the solutions in force. A step that fails
    ends the work on its visit, not on the others; the exit code is then that of the gravest failure (70, 4,
    5, 2, 3, 1, 65 in this order).

    \b
    hapctl process --visit j8bt06                     one visit
    hapctl process --visit 'j8bt*' --tiles            its kin, and the sky tiles they touch
    hapctl process --proposal 9018 --offline
    hapctl process --where "detector = 'HRC' AND NOT absolute" --dry-run
    hapctl process --all --workers 4
    """
    from hapctl.cli.settings import open_from

    choice = visit_choice(visits, proposals, where, every_visit)
    if not choice:
        raise click.UsageError("say which visits: --visit, --proposal, --where or --all")
    if options["catalog"] and options["ladder"]:
        raise click.UsageError("--catalog names one catalog, --ladder several: give one of them")
    settings, catalog = open_from(
        ctx,
        wcs_policy=options["wcs_policy"],
        output=options["output"],
        threads=options["threads"],
        memory_limit=options["max_memory"],
        lookup_origin=options["lookup_origin"],
    )
    how = execution_of(settings, workers, scheduler)
    names = chosen_visits(catalog, settings, choice)
    chosen = _options(settings, how, options)
    if dry_run:
        found = _planned(catalog, names, chosen)
        layers = _planned_tiles(catalog, names, chosen) if tiles else {}
    else:
        found = _processed(catalog, names, chosen, how)
        good = [name for name, report in found.items() if not report.exit_code]
        layers = _made_tiles(catalog, good, chosen, how) if tiles else {}
    return _report(found, layers, dry_run, as_json)


def _options(settings: "Settings", how: "Execution", options: dict[str, Any]) -> "ProcessOptions":
    """Options of the steps; settings of the rule of acceptance begin with ``rule.``."""
    from hapctl.cli.align import align_options
    from hapctl.cli.mosaic import mosaic_options
    from hapctl.processing.imaging.product_settings import product_setting
    from hapctl.processing.pipeline.process_visit import ProcessOptions

    rule = tuple(change for change in options["changes"] if change.startswith("rule."))
    others = tuple(product_setting(change) for change in options["changes"] if change not in rule)
    align = align_options(settings, options["catalog"], options["ladder"], options["offline"], rule, None)
    mosaic = replace(mosaic_options(settings), settings=others)
    return ProcessOptions(shared(align, settings, how), shared(mosaic, settings, how))


def _planned(
    catalog: "Catalog", names: "Sequence[str]", options: "ProcessOptions"
) -> "dict[str, VisitReport]":
    from hapctl.processing.pipeline.process_visit import process_visit

    return {name: process_visit(catalog, name, options, dry_run=True) for name in names}


def _planned_tiles(
    catalog: "Catalog", names: "Sequence[str]", options: "ProcessOptions"
) -> "dict[str, MosaicReport | Failure]":
    from hapctl.processing.pipeline.mosaic_tile import mosaic_tile
    from hapctl.processing.pipeline.process_visit import touched_tiles

    return {
        tile: attempt(partial(mosaic_tile, catalog, tile, options.mosaic, dry_run=True), alone=False)
        for tile in touched_tiles(catalog, names)
    }


def _processed(
    catalog: "Catalog", names: "Sequence[str]", options: "ProcessOptions", how: "Execution"
) -> "dict[str, VisitReport]":
    from hapctl.processing.pipeline.process_visit import VisitReport, failed_step
    from hapctl.processing.pipeline.unit_actions import process_unit

    outcomes = _batch(catalog, [process_unit(name, options, sys.argv[1:]) for name in names], how)
    return {
        name: outcome.result
        if isinstance(outcome.result, VisitReport)
        else VisitReport(name, (failed_step(outcome.message, outcome.remedy, outcome.exit_code),))
        for name, outcome in zip(names, outcomes, strict=True)
    }


def _made_tiles(
    catalog: "Catalog", names: "Sequence[str]", options: "ProcessOptions", how: "Execution"
) -> "dict[str, MosaicReport | Failure]":
    from hapctl.processing.pipeline.mosaic_run import MosaicReport
    from hapctl.processing.pipeline.process_visit import touched_tiles
    from hapctl.processing.pipeline.unit_actions import mosaic_unit

    tiles = touched_tiles(catalog, names)
    outcomes = _batch(catalog, [mosaic_unit("tile", tile, options.mosaic) for tile in tiles], how)
    return {
        tile: outcome.result
        if isinstance(outcome.result, MosaicReport)
        else Failure(outcome.message, outcome.remedy, outcome.exit_code)
        for tile, outcome in zip(tiles, outcomes, strict=True)
    }


def _batch(catalog: "Catalog", units: "list[WorkUnit]", how: "Execution") -> "list[UnitOutcome]":
    from hapctl.processing.pipeline.batch import run_batch

    with shown_batch() as observer:
        return run_batch(catalog, units, how, observer, command="process", arguments=sys.argv[1:])


def _report(
    found: "dict[str, VisitReport]",
    layers: "dict[str, MosaicReport | Failure]",
    dry_run: bool,
    as_json: bool,
) -> int:
    endings = [_ending(report) for report in found.values()]
    endings += [_tile_ending(tile, report, dry_run) for tile, report in layers.items()]
    if as_json:
        print_json(
            {
                "visits": [_document(report, dry_run) for report in found.values()],
                "tiles": [_tile_document(tile, report, dry_run) for tile, report in layers.items()],
                "summary": summary_document(endings),
            }
        )
    else:
        _print(found, layers, dry_run)
    print_summary(endings, "target" if layers else "visit")
    return gravest(ending.exit_code for ending in endings)


def _ending(report: "VisitReport") -> Ending:
    last = report.steps[-1]
    if not report.exit_code:
        return Ending(report.visit, report.outcome)
    return Ending(report.visit, report.outcome, report.exit_code, f"{last.step}: {last.reason}", last.remedy)


def _tile_ending(tile: str, report: "MosaicReport | Failure", dry_run: bool) -> Ending:
    """How a tile ended; what the solutions of today refuse may be well after the alignments planned."""
    if isinstance(report, Failure):
        return Ending(tile, "planned") if dry_run and report.exit_code == 1 else report.ending(tile)
    statuses = {product.status for product in report.products}
    if statuses & {"to make", "to retire"}:
        return Ending(tile, "planned")
    return Ending(tile, "current" if statuses <= {"unchanged"} else "done")


def _document(report: "VisitReport", dry_run: bool) -> dict[str, Any]:
    from hapctl.cli.mosaic_report import mosaic_document
    from hapctl.processing.pipeline.mosaic_run import MosaicReport

    document: dict[str, Any] = {
        "visit": report.visit,
        "outcome": report.outcome,
        "exit_code": report.exit_code,
        "runs": report.runs,
        "steps": [_step(step) for step in report.steps],
        "products": [],
    }
    for step in report.steps:
        if isinstance(step.result, MosaicReport):
            document["products"] = mosaic_document(step.result, dry_run)["products"]
    return document


def _step(step: "StepReport") -> dict[str, Any]:
    return {
        "step": step.step,
        "status": step.status,
        "reason": step.reason,
        "remedy": step.remedy,
        "run": step.run,
        "seconds": round(step.seconds.clock, 3),
        "processor_seconds": round(step.seconds.processor, 3),
        "exit_code": step.exit_code,
    }


def _tile_document(tile: str, report: "MosaicReport | Failure", dry_run: bool) -> dict[str, Any]:
    from hapctl.cli.mosaic_report import mosaic_document

    outcome = _tile_ending(tile, report, dry_run).outcome
    if isinstance(report, Failure):
        return {"tile": tile, "outcome": outcome, "reason": report.message, "run": None, "products": []}
    return {"tile": tile, "outcome": outcome, **mosaic_document(report, dry_run)}


def _print(
    found: "dict[str, VisitReport]", layers: "dict[str, MosaicReport | Failure]", dry_run: bool
) -> None:
    from hapctl.cli.mosaic_report import print_mosaic
    from hapctl.processing.pipeline.mosaic_run import MosaicReport

    for report in found.values():
        click.echo(f"{report.visit}: {report.outcome}")
        for step in report.steps:
            click.echo(f"    {_step_words(step)}")
            if isinstance(step.result, MosaicReport):
                print_mosaic(step.result, dry_run)
    for tile, layer in layers.items():
        click.echo(f"{tile}: {_tile_ending(tile, layer, dry_run).outcome}")
        if isinstance(layer, Failure):
            click.echo(f"    with the solutions in force now: {layer.message}")
        else:
            print_mosaic(layer, dry_run)


def _step_words(step: "StepReport") -> str:
    words = f"{step.step:8}  {step.status:7}  {step.reason}"
    if step.run is None:
        return words
    return (
        f"{words}  (run {step.run}, {step.seconds.clock:.1f} s, {step.seconds.processor:.1f} s of processor)"
    )
