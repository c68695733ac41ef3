"""``hapctl mosaic --stale``: the plan of what is stale, and making it again."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.mosaic_report import product_document
from hapctl.cli.output import print_json, say
from hapctl.cli.summary import Ending, gravest, print_summary, summary_document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hapctl.archive.database import Catalog
    from hapctl.archive.stale_products import StaleGroup
    from hapctl.processing.pipeline.batch import Execution
    from hapctl.processing.pipeline.build_product import ProductResult
    from hapctl.processing.pipeline.planned import MosaicOptions
    from hapctl.processing.pipeline.regeneration import Regenerated
    from hapctl.processing.pipeline.stale_scope import Scope


def make_stale(
    catalog: "Catalog",
    options: "Callable[[], MosaicOptions]",
    visits: "Sequence[str] | None",
    tiles: "Sequence[str]",
    folder: str | None,
    how: "Execution",
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Plan or make again what is stale; return the exit code.

    Parameters
    ----------
    options : callable
        Gives the options; asked only when there is something to do, for they load the pixels' side.
    visits : sequence of str or None
        Products of these, and of the tiles; None and no tiles: all products.
    folder : str or None
        Products in this folder only.
    how : Execution
        Where the work is done.
    """
    from hapctl.processing.pipeline.stale_scope import Scope

    scope = Scope(None if visits is None else tuple(visits), tuple(tiles) or None, folder)
    groups = scope.groups(catalog)
    if groups and dry_run:
        found = _planned(catalog, groups, options())
    elif not dry_run and (groups or not scope.rules_known(catalog)):
        found = _remade(catalog, scope, options(), how)
    else:
        found = []
    endings = [_ending(one, dry_run) for one in found]
    if as_json:
        print_json(_document(found, endings, dry_run))
    else:
        _print(found, dry_run)
        print_summary(endings, "target")
        if len(endings) == 1 and endings[0].exit_code:
            say(f"hapctl: {endings[0].reason}")
    return gravest(ending.exit_code for ending in endings)


def _planned(
    catalog: "Catalog", groups: "Sequence[StaleGroup]", options: "MosaicOptions"
) -> "list[Regenerated]":
    from hapctl.cli.progress import shown_progress
    from hapctl.processing.pipeline.regeneration import plan_stale

    with shown_progress() as observer:
        return plan_stale(catalog, groups, options, observer=observer)


def _remade(
    catalog: "Catalog", scope: "Scope", options: "MosaicOptions", how: "Execution"
) -> "list[Regenerated]":
    from hapctl.cli.execution import shown_batch
    from hapctl.processing.pipeline.regeneration import remake_stale

    with shown_batch() as watch:
        return remake_stale(catalog, scope, options, how, watch, arguments=sys.argv[1:])


def _ending(one: "Regenerated", dry_run: bool) -> Ending:
    name = one.group.name
    if one.exit_code:
        return Ending(name, "failed", one.exit_code, one.message, one.remedy)
    return Ending(name, ("stale" if dry_run else "made again") if one.products else "current")


def _document(found: "Sequence[Regenerated]", endings: "Sequence[Ending]", dry_run: bool) -> dict[str, Any]:
    summary: dict[str, Any] = summary_document(endings)
    if dry_run:
        summary |= _totals(found)
    return {"targets": [_group(one, dry_run) for one in found], "summary": summary}


def _group(one: "Regenerated", dry_run: bool) -> dict[str, Any]:
    group = one.group
    document: dict[str, Any] = {
        group.target_kind: group.field or group.target,
        "output": group.folder,
        "request": group.request,
        "new_exposures": group.unused,
        "exit_code": one.exit_code,
        "products": [product_document(product, dry_run) for product in one.products],
    }
    if one.exit_code:
        stale = [asdict(product) for product in group.products]
        return {**document, "message": one.message, "remedy": one.remedy, "stale": stale}
    if dry_run:
        masks = one.report.masks_to_make if one.report else ()
        return {**document, "masks_to_make": masks, "seconds": one.seconds}
    return {**document, "run": one.report.run if one.report else None}


def _totals(found: "Sequence[Regenerated]") -> dict[str, Any]:
    """Return what all of a plan costs; seconds are None where runs of the past tell nothing of a part."""
    products = [product for one in found for product in one.products]
    seconds = [one.seconds for one in found if not one.exit_code]
    return {
        "products": len(products),
        "bytes": sum(product.bytes or 0 for product in products),
        "memory_bytes": max((product.memory_bytes or 0 for product in products), default=0),
        "seconds": None if None in seconds else sum(one for one in seconds if one is not None),
    }


def _print(found: "Sequence[Regenerated]", dry_run: bool) -> None:
    if not found:
        click.echo("nothing is stale")
        return
    for one in found:
        request = " ".join(f"{name}={value}" for name, value in one.group.request.items() if value)
        click.echo(f"{one.group.name}, in {one.group.folder} ({request})")
        if one.exit_code:
            click.echo(f"  can't be {'planned' if dry_run else 'made'}: {one.message}")
            for stale in one.group.products:
                click.echo(f"  {'stale' if dry_run else 'was stale':9}  {stale.kind:8}  {stale.name}")
                click.echo(f"             because ({', '.join(stale.codes)}): {'; '.join(stale.reasons)}")
        for product in one.products:
            click.echo("\n".join(_lines(product, dry_run)))
        if dry_run and one.report and one.report.masks_to_make:
            click.echo(f"  masks to make: {', '.join(one.report.masks_to_make)}")
        if dry_run and not one.exit_code:
            click.echo(f"  time: {_minutes(one.seconds)}")
    if dry_run:
        totals = _totals(found)
        click.echo(
            f"in all {totals['products']} products, {totals['bytes'] / 1e6:.1f} MB on disk, "
            f"{totals['memory_bytes'] / 1e6:.0f} MB of memory, time: {_minutes(totals['seconds'])}"
        )


def _lines(product: "ProductResult", dry_run: bool) -> list[str]:
    lines = [f"  {product.status:9}  {product.kind:8}  {product.name}"]
    lines.append(f"             because ({', '.join(product.codes)}): {'; '.join(product.why)}")
    if dry_run and product.status == "to make":
        disk, memory = (product.bytes or 0) / 1e6, (product.memory_bytes or 0) / 1e6
        cost = f"{disk:.1f} MB on disk, {memory:.0f} MB of memory"
        lines.append(f"             from {', '.join(product.exposures)}; {cost}")
    return lines


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "unknown, for no run of the past made such products"
    return f"about {seconds / 60:.1f} minutes" if seconds >= 60 else f"about {seconds:.0f} s"
