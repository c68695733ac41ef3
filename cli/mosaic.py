"""``hapctl mosaic``: the products of visits and the layers of sky tiles; what is stale, made again."""

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import click
from hapctl.cli.execution import done_together, execution_of, execution_options, shared
from hapctl.cli.fields import field_of_options, field_options, layer_options
from hapctl.cli.output import json_option, print_json
from hapctl.cli.product_parameters import parameter_options
from hapctl.cli.summary import Ending, Failure, attempt, gravest, print_summary, summary_document
from hapctl.cli.targets import OPTIONS, chosen_visits, target_options, visit_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hapctl.archive.database import Catalog
    from hapctl.cli.settings import Settings
    from hapctl.processing.astrometry.solution import LookupOrigin
    from hapctl.processing.pipeline.batch import Execution
    from hapctl.processing.pipeline.field_grid import Field
    from hapctl.processing.pipeline.mosaic_run import MosaicReport
    from hapctl.processing.pipeline.planned import MosaicOptions
    from hapctl.processing.pipeline.units import WorkUnit
    from hapctl.processing.pipeline.wcs_policy import WcsPolicy

_CHOICES = ("pixfrac", "settings", "full_cell", "split_by", "compress", "calibrated")
"""Options of the command that are fields of MosaicOptions under the same name."""

_REQUEST = ("wcs_policy", "lookup_origin", "grid", *_CHOICES)
"""Options that say how products are made: stale ones are made as they were asked for."""


@click.command()
@target_options
@click.option("--tile", "tiles", metavar="NAME", multiple=True, help="The layers of a sky tile.")
@field_options
@layer_options
@click.option("--stale", is_flag=True, help="Make again what is not what would be made now, and only that.")
@click.option(
    "--wcs-policy",
    type=click.Choice(["strict", "absolute", "any"]),
    help="strict: one frame and one IDCTAB, or nothing is made; absolute: leave out what has no absolute "
    "frame; any: mix.",
)
@click.option("--output", type=click.Path(file_okay=False), help="Folder of the products.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads at work; the pixels are the same.")
@click.option(
    "--pixfrac",
    type=click.FloatRange(0.01, 1.0),
    help="Side of the shrunken input pixel; by default that of the rules in force (hapctl params).",
)
@parameter_options
@click.option(
    "--grid",
    type=click.Choice(["native", "nested"]),
    help="Of a visit: native (default): pixels of each detector's size; nested: 0.04 and 0.12 arcsec, on the "
    "pixels of the sky tile, so that a coarse pixel is 3 x 3 fine ones.",
)
@click.option(
    "--calibrated", is_flag=True, help="Of a visit: also its calibrated exposures, with the WCS in force."
)
@click.option(
    "--keep-replaced",
    is_flag=True,
    help="Files of products that are replaced stay, in the folder 'replaced'.",
)
@click.option("--max-memory", metavar="SIZE", help="Refuse work predicted to need more, such as 2GB.")
@click.option(
    "--lookup-origin", type=click.Choice(["hst", "fits"]), help="Where distortion lookup tables begin."
)
@execution_options
@click.option("--dry-run", is_flag=True, help="Show what would be made, from what, why, and how large.")
@json_option
@click.pass_context
def mosaic(ctx: click.Context, tiles: tuple[str, ...], stale: bool, as_json: bool, **options: Any) -> int:
    """Make the products of visits and sky tiles, or find them current.

    With --stale all products in the catalog (or those of the visits and tiles named) are looked at, and only
    what is not what would be made now is made again, in the way it was asked for: products of visits first,
    then layers. Of several targets one failure does not stop the rest; the exit code is then that of the
    gravest (70, 4, 5, 2, 3, 1, 65 in this order).

    \b
    hapctl mosaic --visit j8bt06                      all products of a visit
    hapctl mosaic --tile skycell-p0046x03y19          the layers of a tile
    hapctl mosaic --center 5.67 -72.07 --size 3x2     mosaics of a field, on the pixels of its tiles
    hapctl mosaic --tile skycell-p0046x03y19 --split epoch
    hapctl mosaic --visit j8bt06 --dry-run            what would be made, and why
    hapctl mosaic --visit j8bt06 --set final.kernel=gaussian --params deep.toml
    hapctl mosaic --visit 'j8bt*' --workers 4         of several visits, on four processes
    hapctl mosaic --all --scheduler tcp://host:8786   of all, on a Dask cluster
    hapctl mosaic --stale --dry-run                   what is stale, why, and what it costs
    hapctl mosaic --stale --all                       make it again
    """
    from hapctl.cli.settings import open_from

    choice, field = visit_choice(*(options[name] for name in OPTIONS)), field_of_options(ctx, options)
    if stale:
        _check_stale(ctx, options)
    elif not (choice or tiles or field):
        raise click.UsageError(
            "say what to make: --visit, --proposal, --where, --all, --tile, --center or --stale", ctx
        )
    settings, catalog = open_from(
        ctx,
        wcs_policy=options["wcs_policy"],
        output=options["output"],
        threads=options["threads"],
        memory_limit=options["max_memory"],
        lookup_origin=options["lookup_origin"],
    )
    choices = {name: options[name] for name in ("keep_replaced", *_CHOICES)}
    how = execution_of(settings, options["workers"], options["scheduler"])

    def asked() -> "MosaicOptions":
        return shared(mosaic_options(settings, grid=options["grid"] or "native", **choices), settings, how)

    if stale:
        from hapctl.archive.sky_cells import sky_cell
        from hapctl.cli.mosaic_stale import make_stale

        some = choice and not choice.every
        named = chosen_visits(catalog, settings, choice, must_exist=True) if some else None
        tiles = tuple(sky_cell(tile).name for tile in tiles)
        folder = options["output"] and str(settings.output)
        return make_stale(
            catalog, asked, named, tiles, folder, how, dry_run=options["dry_run"], as_json=as_json
        )
    visits = chosen_visits(catalog, settings, choice) if choice else []
    units = _units(catalog, visits, tiles, field, asked())
    return _make_all(catalog, units, how, dry_run=options["dry_run"], as_json=as_json)


def _check_stale(ctx: click.Context, options: dict[str, Any]) -> None:
    for name in _REQUEST:
        if options[name] not in (None, (), False):
            raise click.UsageError(
                f"--stale makes products as they were asked for: leave out --{_option_name(name)}", ctx
            )


def _option_name(name: str) -> str:
    return "set and --params" if name == "settings" else name.replace("_", "-")


def mosaic_options(settings: "Settings", /, **choices: Any) -> "MosaicOptions":
    """Return the options of products: what the settings say, and what this command chose besides."""
    from hapctl.processing.pipeline.planned import MosaicOptions

    return MosaicOptions(
        home=settings.home,
        output=settings.output,
        wcs_policy=cast("WcsPolicy", settings.wcs_policy),  # the settings allow no other
        origin=cast("LookupOrigin", settings.lookup_origin),
        threads=settings.threads,
        memory_limit=settings.memory_limit,
        **choices,
    )


def _make_all(
    catalog: "Catalog", units: "Sequence[WorkUnit]", how: "Execution", *, dry_run: bool, as_json: bool
) -> int:
    """Make the products of each target; of several a failure does not stop the others."""
    from hapctl.cli.mosaic_report import mosaic_document, print_mosaic

    alone = len(units) == 1
    if dry_run or (alone and not how.elsewhere):
        found = _made_here(catalog, units, dry_run)
    else:
        found = done_together(catalog, units, how, "mosaic")
    results = {_label(unit): result for unit, result in zip(units, found, strict=True)}
    endings = [_ending(name, result) for name, result in results.items()]
    if as_json:
        documents = [
            {"target": name, **mosaic_document(result, dry_run)}
            for name, result in results.items()
            if not isinstance(result, Failure)
        ]
        report = documents[0] if alone and documents else {"targets": documents}
        print_json({**report, "summary": summary_document(endings)})
    else:
        for result in results.values():
            if not isinstance(result, Failure):
                print_mosaic(result, dry_run)
        print_summary(endings, "target")
    return gravest(ending.exit_code for ending in endings)


def _units(
    catalog: "Catalog",
    visits: "Sequence[str]",
    tiles: "Sequence[str]",
    field: "Field | None",
    options: "MosaicOptions",
) -> "list[WorkUnit]":
    """Return the units of all targets: visits, then tiles and a field, each after the visits it needs."""
    from hapctl.processing.pipeline.unit_actions import field_unit, mosaic_unit
    from hapctl.processing.pipeline.unit_needs import after_visits

    units = [mosaic_unit("visit", visit.lower(), options) for visit in dict.fromkeys(visits)]
    first = tuple(units)
    for tile in dict.fromkeys(tiles):
        needed = after_visits(catalog, tile, first) if first else ()
        units.append(mosaic_unit("tile", tile, options, needed))
    if field is not None:
        units.append(field_unit(field, options, [unit.name for unit in first]))
    return units


def _label(unit: "WorkUnit") -> str:
    ((kind, name),) = unit.target.items()
    return f"field {name}" if kind == "field" else str(name)


def _made_here(
    catalog: "Catalog", units: "Sequence[WorkUnit]", dry_run: bool
) -> "list[MosaicReport | Failure]":
    """Plan all targets, or make the only one."""
    import sys

    from hapctl.cli.progress import shown_progress
    from hapctl.processing.pipeline.unit_actions import mosaic_of, with_arguments

    with shown_progress() as observer:
        work = partial(mosaic_of, catalog, dry_run=dry_run, observer=observer)
        return [
            attempt(partial(work, with_arguments(unit, sys.argv[1:])), alone=len(units) == 1)
            for unit in units
        ]


def _ending(name: str, result: "MosaicReport | Failure") -> Ending:
    if isinstance(result, Failure):
        return result.ending(name)
    statuses = {product.status for product in result.products}
    return Ending(name, next((one for one in ("to make", "made", "unchanged") if one in statuses), "retired"))
