"""``hapctl product verify``: are the files of products as they were written?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.product_names import as_known
from hapctl.cli.targets import OPTIONS, chosen_visits, target_options, visit_choice

if TYPE_CHECKING:
    from hapctl.processing.pipeline.verify import CheckedFile


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, callback=as_known)
@target_options
@click.option("--tile", metavar="NAME", help="Layers of this sky tile.")
@click.option("--quick", is_flag=True, help="Look at sizes only; contents are not read.")
@click.option("--pixels", is_flag=True, help="Check CHECKSUM and DATASUM of each HDU of FITS files, too.")
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    names: tuple[str, ...],
    tile: str | None,
    quick: bool,
    pixels: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Compare files of products with the catalog: are they there, of their size, with their content?

    What is seen is recorded: a product of which a file is missing or damaged is stale, and 'hapctl mosaic
    --stale' makes it again ('hapctl product rebuild --replace' puts back just what was). Nothing is recorded
    of files whose folder is not there. The exit code is 1 where any file is not as it was written. NAME is a
    file name or path.

    \b
    hapctl product verify --all
    hapctl product verify --visit 'j8bt*' --quick
    hapctl product verify hst_9019_09_acs_hrc_total_j8bt09_drz.fits --pixels
    """
    import sys

    from hapctl.archive.errors import NotInCatalogError
    from hapctl.archive.product_files import files_in_force
    from hapctl.archive.sky_cells import sky_cell
    from hapctl.cli.progress import shown_progress
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.verify import verify_files

    choice = visit_choice(*(options[name] for name in OPTIONS))
    if not (names or choice or tile):
        raise click.UsageError(
            "say what to verify: names, --visit, --proposal, --where, --tile or --all", ctx
        )
    if quick and pixels:
        raise click.UsageError("--quick reads no contents, --pixels reads all: give one of them", ctx)
    cell = sky_cell(tile).name if tile else None
    settings, catalog = open_from(ctx)
    named = choice and not choice.every
    visits = chosen_visits(catalog, settings, choice, must_exist=True) if named else None
    with catalog.begin() as connection:
        files = files_in_force(connection, names=names, visits=visits, tile=cell)
    if not files:
        raise NotInCatalogError("no product in force is meant", "see 'hapctl product list'")
    with shown_progress() as observer:
        run, checked = verify_files(
            catalog,
            files,
            "size" if quick else "pixels" if pixels else "content",
            arguments=sys.argv[1:],
            observer=observer,
        )
    bad = [one for one in checked if one.state != "ok"]
    if as_json:
        print_json({"run": run, "files": len(checked), "bad": [_document(one) for one in bad]})
    else:
        _print(checked, bad)
    return 1 if bad else 0


def _document(one: "CheckedFile") -> dict[str, Any]:
    file = one.file
    named = {"product_id": file.product_id, "kind": file.kind, "path": file.path}
    return {**named, "state": one.state, "problem": one.problem}


def _print(checked: "Sequence[CheckedFile]", bad: "Sequence[CheckedFile]") -> None:
    for one in bad:
        click.echo(f"{one.state or 'unknown':8}  {one.file.path}: {one.problem}")
    click.echo(f"{len(checked)} files, {len(checked) - len(bad)} as they were written")
    origins = {one.file.origin for one in bad if one.state is not None}
    if "made" in origins:
        say("hapctl: 'hapctl mosaic --stale' makes again what is missing or damaged")
    if "import" in origins:
        say("hapctl: what was imported can't be made here: put its file back, and verify it again")
