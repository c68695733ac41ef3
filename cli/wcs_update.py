"""``hapctl wcs update``: the WCS of files made anew from their distortion references."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from hapctl.cli.output import json_option
from hapctl.cli.settings import open_from
from hapctl.cli.wcs_output import files_argument, output_from, output_options, report_files, work_on_files

if TYPE_CHECKING:
    from hapctl.archive.runs import Run
    from hapctl.processing.pipeline.wcs_files import FileResult


@click.command()
@files_argument
@click.option(
    "--reference-dir",
    "folders",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of IDCTAB, NPOLFILE, D2IMFILE, OFFTAB, DGEOFILE; may be repeated.",
)
@click.option("--no-vacorr", is_flag=True, help="Leave velocity aberration out.")
@click.option("--no-tddcorr", is_flag=True, help="Leave the time dependence of ACS/WFC's distortion out.")
@click.option("--no-catalog", is_flag=True, help="Record no run; copies only.")
@output_options
@json_option
@click.pass_context
def update(
    ctx: click.Context,
    files: tuple[Path, ...],
    folders: tuple[Path, ...],
    no_vacorr: bool,
    no_tddcorr: bool,
    no_catalog: bool,
    output_dir: Path | None,
    in_place: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Make the WCS of files anew from the distortion references their headers name (updatewcs), offline.

    References are looked for beside each file, in --reference-dir, then in the folders of the variables jref,
    iref, uref and oref. WFPC2's waiver files (c0f, with c1f beside) become files of extensions (flt). Tables
    of subarrays are anchored where their pixels are. An earlier fit stays as HDRLET.

    \b
    hapctl wcs update raw/*_flt.fits --reference-dir references --output-dir updated
    hapctl wcs update u40x010hm_c0f.fits --output-dir updated --no-catalog
    """
    from hapctl.processing.pipeline.wcs_files import each_file
    from hapctl.processing.pipeline.wcs_updates import update_file

    output = output_from(ctx, output_dir, in_place, overwrite)
    for folder in folders:
        if not folder.is_dir():
            raise click.UsageError(f"--reference-dir {folder} is no folder", ctx)
    if no_catalog and in_place:
        raise click.UsageError("--in-place keeps in the catalog what an undo needs: leave --no-catalog", ctx)
    options = {"vacorr": not no_vacorr, "tddcorr": not no_tddcorr}
    if no_catalog:
        results = each_file(files, lambda path: update_file(None, None, path, folders, output, **options))
        return report_files(results, None, as_json, _words)
    _, catalog = open_from(ctx)
    variables = {name: os.environ[name] for name in ("jref", "iref", "uref", "oref") if name in os.environ}
    parameters = {
        **{"reference_dirs": [str(folder.absolute()) for folder in folders], "variables": variables},
        **{"output_dir": None if output_dir is None else str(output_dir.absolute()), "in_place": in_place},
        **options,
    }

    def work(run: "Run", path: Path) -> "FileResult":
        return update_file(catalog, run, path, folders, output, **options)

    results, run = work_on_files(catalog, "wcs update", parameters, files, work)
    return report_files(results, run.id, as_json, _words)


def _words(result: "FileResult") -> str:
    facts = result.facts
    notes = "".join(f"; {note}" for note in facts["notes"])
    return f"{result.output}: {facts['wcsname']} (before: {facts['previous']}){notes}"
