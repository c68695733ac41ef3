"""``hapctl wcs import`` and ``export``: solutions into the catalog from files, and out of it."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.settings import open_from

if TYPE_CHECKING:
    from hapctl.processing.pipeline.solution_import import ImportedSolution


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--solution", metavar="NAME", help="Of science files: WCSNAME, primary, 'key X', 'HDRLET n'.")
@click.option("--rootname", metavar="IPPPSSOOT", help="Take only solutions of this exposure.")
@click.option("--dry-run", is_flag=True, help="Check only; register nothing.")
@json_option
@click.pass_context
def import_command(
    ctx: click.Context,
    paths: tuple[str, ...],
    solution: str | None,
    rootname: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Register solutions from files: headerlets, folders of them, or the WCSs of another FITS file.

    Nothing is put in force: activate does that. Headerlets whose chips don't belong together are
    registered as inconsistent, and never put in force.

    \b
    hapctl wcs import headerlets
    hapctl wcs import j8bt09jcq_flt.fits --solution "key B"
    """
    from hapctl.archive.runs import recorded_run
    from hapctl.processing.errors import MissingFileError
    from hapctl.processing.pipeline.solution_import import import_headerlets
    from hapctl.processing.pipeline.wcs_exchange import headerlets_in

    headerlets, problems = headerlets_in(paths, solution)
    if not headerlets:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in list(problems.items())[:3])
        raise MissingFileError(
            f"no solution in {' '.join(paths)} ({reasons or 'no files'})", "check the path"
        )
    _, catalog = open_from(ctx)
    run_id = None
    if dry_run:
        with catalog.begin() as connection:
            results = import_headerlets(connection, None, headerlets, rootname=rootname)
    else:
        parameters = {"paths": list(paths), "solution": solution, "rootname": rootname}
        with recorded_run(catalog, "wcs import", parameters, sys.argv[1:]) as run:
            with catalog.begin() as connection:
                results = import_headerlets(connection, run.id, headerlets, rootname=rootname)
            run_id = run.id
            run.summary |= Counter(result.status for result in results)
            if all(result.status == "rejected" for result in results):
                run.refused(f"no solution was registered: {results[0].reason}")
    return _report(results, problems, run_id, as_json)


def _report(
    results: "list[ImportedSolution]", problems: dict[str, str], run_id: int | None, as_json: bool
) -> int:
    if as_json:
        rejected = [{"source": path, "status": "rejected", "reason": why} for path, why in problems.items()]
        print_json({"run": run_id, "solutions": [vars(result) for result in results], "other": rejected})
    else:
        for result in results:
            reason = f"  ({result.reason})" if result.reason else ""
            click.echo(f"{result.status:12}  {result.rootname:9}  {result.wcsname}  {result.source}{reason}")
        for path, why in problems.items():
            say(f"{path}: {why}")
    return 1 if all(result.status == "rejected" for result in results) else 0


@click.command()
@click.argument("rootname")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("."),
    show_default=True,
    help="Folder of the files.",
)
@click.option("--all", "everything", is_flag=True, help="Every solution of the exposure.")
@click.option("--regions", is_flag=True, help="DS9 regions too: footprint, matched stars, reference stars.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    rootname: str,
    names: tuple[str, ...],
    output_dir: Path,
    everything: bool,
    regions: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write solutions of an exposure as headerlet files: that in force, those named, or all.

    What came as a headerlet comes out with the same bytes.

    \b
    hapctl wcs export j8bt09jcq --output-dir headerlets
    hapctl wcs export j8bt09jcq OPUS IDC_n721640fj --regions
    """
    from hapctl.archive.wcs_reports import exposure_line, solutions_of
    from hapctl.processing.pipeline.wcs_exchange import chosen_line, exported_headerlet, exported_regions
    from hapctl.processing.whole_files import write_new

    if everything and names:
        raise click.UsageError("give names or --all, not both", ctx)
    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        if everything:
            exposure = exposure_line(connection, rootname)
            known = solutions_of(connection, exposure.rootname)
            lines = [line for line in known if line.s_region]
        else:
            lines = [chosen_line(connection, rootname, name) for name in names or (None,)]
        made = []
        for line in lines:
            made.append((line, exported_headerlet(connection, rootname, line)))
            if regions:
                made.append((line, exported_regions(connection, rootname, line)))
    rows, taken = [], set()
    for line, one in made:
        file = one.file
        if file in taken:
            stem, dot, suffix = file.rpartition(".")
            file = f"{stem}_run{line.run_id}_{line.solution_id}{dot}{suffix}"
        taken.add(file)
        path = write_new(output_dir / file, one.content, overwrite=overwrite)
        rows.append({"rootname": one.rootname, "name": line.full_name, "path": str(path)})
    if as_json:
        print_json({"files": rows})
        return
    for row in rows:
        click.echo(row["path"])
