"""``hapctl drizzle``: combine exposures from files alone, without a catalog."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from hapctl.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from hapctl.cli.settings import Settings
    from hapctl.processing.astrometry.solution import LookupOrigin
    from hapctl.processing.imaging.chosen_parameters import ParameterSources
    from hapctl.processing.imaging.drizzle_files import DrizzlePlan
    from hapctl.processing.imaging.input_files import InputExposure, LeftOut
    from hapctl.processing.imaging.open_files import OpenFiles
    from hapctl.processing.imaging.parameters import DrizzleParameters
    from hapctl.processing.imaging.product_places import Places

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT", help="The product: OUT.fits.")
@click.option("--config", type=_FILE, metavar="FILE", help="Parameters in TOML (see --show-config).")
@click.option(
    "--set", "settings", multiple=True, metavar="STEP.NAME=VALUE", help="One parameter; repeatable."
)
@click.option(
    "--import-cfg", type=_FILE, metavar="FILE", help="Parameters of AstroDrizzle, as TEAL saved them."
)
@click.option("--mdriztab", type=_FILE, metavar="FILE", help="Parameters from an MDRIZTAB (*_mdz.fits).")
@click.option("--show-config", is_flag=True, help="Print all parameters that would be used, documented.")
@click.option("--edit", is_flag=True, help="Edit the parameters in a form, and save them to --config.")
@click.option("--separate-files", is_flag=True, help="OUT_sci.fits, OUT_wht.fits ... in place of one file.")
@click.option(
    "--keep", type=click.Path(path_type=Path), metavar="DIR", help="Write intermediate products to a folder."
)
@click.option("--overwrite", is_flag=True, help="Replace older files.")
@click.option(
    "--preview/--no-preview", default=True, show_default=True, help="Write OUT.png beside the product."
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads at work; the pixels are the same.")
@click.option("--max-memory", metavar="SIZE", help="Refuse work predicted to need more, such as 2GB.")
@click.option(
    "--lookup-origin", type=click.Choice(["hst", "fits"]), help="Where distortion lookup tables begin."
)
@click.option("--dry-run", is_flag=True, help="Show inputs, grid, memory and disk, and stop.")
@json_option
@click.pass_context
def drizzle(ctx: click.Context, inputs: tuple[str, ...], **options: Any) -> int:
    """Combine exposures from files alone: no catalog, no network, inputs are never changed.

    INPUT is a file, a pattern, several of them joined by commas, an @list (a name a line, and optionally its
    inverse-variance map), or an association table (_asn.fits). The steps are static_mask, sky, separate,
    median, blot, cosmic_rays and final; each has parameters, and 'enabled' among them. Parameters come from
    the defaults (of the detector), then --mdriztab, --import-cfg, --config and --set; the last one holds.

    \b
    hapctl drizzle *_flc.fits -o m31                        all steps, north up, pixels of the detector
    hapctl drizzle @visit.lis -o m31 --set final.scale=0.03 --set final.pixfrac=0.8
    hapctl drizzle jbt10010_asn.fits -o m31 --dry-run       what would be done, and how large
    hapctl drizzle *_flc.fits -o new --set "final.reference=old_drc.fits[SCI,1]"
    hapctl drizzle --show-config > m31.toml                 all parameters, to be edited
    hapctl drizzle --edit --config m31.toml                 the same in a form
    hapctl drizzle *_flc.fits -o m31 --config m31.toml --separate-files
    hapctl drizzle --import-cfg astrodrizzle.cfg --show-config > m31.toml

    A single step: switch the others off, and keep what it makes.

    \b
    hapctl drizzle *_flc.fits --keep sky --set final.enabled=false --set cosmic_rays.enabled=false
    hapctl drizzle *_flc.fits -o quick --set cosmic_rays.enabled=false --set final.kernel=turbo

    'hapctl help drizzle' goes on: what each step needs, what happens to NaN, weightless and masked pixels.
    """
    from hapctl.processing.imaging.chosen_parameters import ParameterSources

    sources = ParameterSources(
        mdriztab=options["mdriztab"],
        cfg=options["import_cfg"],
        file=options["config"],
        settings=tuple(options["settings"]),
        origin=options["lookup_origin"],
    )
    if options["edit"]:
        return _edit(sources, options["as_json"])
    if options["show_config"]:
        return _show_config(inputs, sources, options["as_json"])
    return _drizzle(ctx, inputs, sources, options)


def _inputs(names: tuple[str, ...]) -> "tuple[list[InputExposure], list[LeftOut]]":
    from hapctl.processing.imaging.input_files import find_inputs, read_inputs

    return read_inputs(find_inputs(names))


def _chosen(
    sources: "ParameterSources", exposures: "list[InputExposure]"
) -> "tuple[DrizzleParameters, list[str]]":
    from hapctl.processing.imaging.chosen_parameters import choose_parameters

    parameters, notes = choose_parameters(sources, exposures)
    for note in notes:
        say(f"hapctl: {note}")
    return parameters, notes


def _show_config(inputs: tuple[str, ...], sources: "ParameterSources", as_json: bool) -> int:
    from hapctl.cli.parameters import show_parameters
    from hapctl.processing.imaging.parameters import DRIZZLE

    exposures, left_out = _inputs(inputs) if inputs else ([], [])
    _say_left_out(left_out)
    return show_parameters(DRIZZLE, _chosen(sources, exposures), as_json=as_json)


def _edit(sources: "ParameterSources", as_json: bool) -> int:
    from dataclasses import replace

    from hapctl.cli.parameters import edit_parameters
    from hapctl.processing.imaging.grid_choice import check_grid_parameters
    from hapctl.processing.imaging.parameters import DRIZZLE

    return edit_parameters(
        DRIZZLE,
        lambda file: _chosen(replace(sources, file=file), []),
        sources.file,
        usual=Path("drizzle.toml"),
        then="hapctl drizzle INPUT... -o OUT",
        as_json=as_json,
        check=lambda parameters: check_grid_parameters(parameters.final),
    )


def _drizzle(
    ctx: click.Context, inputs: tuple[str, ...], sources: "ParameterSources", options: dict[str, Any]
) -> int:
    from dataclasses import replace

    from hapctl.cli.settings import settings_from
    from hapctl.processing.imaging.drizzle_files import plan_drizzle
    from hapctl.processing.imaging.open_files import open_files
    from hapctl.processing.imaging.product_places import Places, check_places, check_room

    settings = settings_from(
        ctx,
        threads=options["threads"],
        memory_limit=options["max_memory"],
        lookup_origin=options["lookup_origin"],
    )
    exposures, left_out = _inputs(inputs)
    _say_left_out(left_out)
    parameters, notes = _chosen(
        replace(sources, usual_origin=cast("LookupOrigin", settings.lookup_origin)), exposures
    )
    places = Places(
        options["output"],
        options["separate_files"],
        options["preview"],
        options["keep"],
        options["overwrite"],
    )
    check_places(parameters, places)
    with open_files(exposures) as opened:
        plan = plan_drizzle(opened, parameters, places, threads=settings.threads)
        for note in plan.notes:
            say(f"hapctl: {note}")
        plan.memory.check(settings.memory_limit, str(options["output"] or options["keep"]))
        check_room(plan.disk + plan.memory.scratch, plan.files, places)
        facts = {"left_out": left_out, "notes": [*notes, *plan.notes], "as_json": options["as_json"]}
        if options["dry_run"]:
            return _report_plan(opened, parameters, plan, facts)
        return _run(opened, parameters, plan, places, settings, facts)


def _report_plan(
    opened: "OpenFiles", parameters: "DrizzleParameters", plan: "DrizzlePlan", facts: dict[str, Any]
) -> int:
    from hapctl.cli.drizzle_report import plan_document, plan_lines

    document = plan_document(opened, parameters, plan, facts)
    if facts["as_json"]:
        print_json(document)
    else:
        for line in plan_lines(document):
            click.echo(line)
    return 0


def _run(
    opened: "OpenFiles",
    parameters: "DrizzleParameters",
    plan: "DrizzlePlan",
    places: "Places",
    settings: "Settings",
    facts: dict[str, Any],
) -> int:
    import time

    from hapctl.archive.memory import PeakMemory
    from hapctl.cli.drizzle_report import result_document, result_lines
    from hapctl.cli.progress import shown_progress
    from hapctl.processing.imaging.drizzle_files import drizzle_files

    began = time.perf_counter(), time.process_time()
    with PeakMemory() as memory, shown_progress() as observer:
        made = drizzle_files(opened, parameters, plan, places, threads=settings.threads, observer=observer)
    spent = {
        "seconds": time.perf_counter() - began[0],
        "cpu_seconds": time.process_time() - began[1],
        "peak_memory_bytes": memory.peak_bytes,
    }
    document = result_document(opened, parameters, plan, made, facts | spent)
    if facts["as_json"]:
        print_json(document)
    else:
        for line in result_lines(document):
            click.echo(line)
    return 0


def _say_left_out(left_out: "list[LeftOut]") -> None:
    for one in left_out:
        say(f"hapctl: left out {one.name}: {one.reason}")
