"""``hapctl wcs apply``, ``attach``, ``extract`` and ``delete``: WCS solutions in files."""

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
    "--solution", metavar="NAME", help="WCSNAME, NAME@run, 'key X' or 'HDRLET n' [default: in force]."
)
@click.option(
    "--headerlet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A headerlet file instead of a solution of the catalog.",
)
@output_options
@click.option("--attach", is_flag=True, help="Attach the solution as HDRLET extension too.")
@click.option("--force", is_flag=True, help="Also where its distortion model is another than the file's.")
@json_option
@click.pass_context
def apply(
    ctx: click.Context,
    files: tuple[Path, ...],
    solution: str | None,
    headerlet: Path | None,
    output_dir: Path | None,
    in_place: bool,
    overwrite: bool,
    attach: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Make a solution the primary WCS of files: copies of them, or the files themselves.

    By default that in force in the catalog. All chips are moved rigidly; ORIENTAT, the aperture, S_REGION,
    the figures of the fit, the WCS of ERR and DQ and WCSCORR go along; pixels keep their bytes. The old
    primary WCS stays under a free letter and as HDRLET.

    \b
    hapctl wcs apply flc/*_flc.fits --output-dir aligned
    hapctl wcs apply j8bt09jcq_flt.fits --solution IDC_n721640fj --in-place
    hapctl wcs apply j8bt09jcq_flt.fits --headerlet j8bt09jcq_hlet.fits --output-dir aligned
    """
    from hapctl.processing.pipeline.wcs_files import ChosenSolution, apply_to_file, solution_for

    if solution is not None and headerlet is not None:
        raise click.UsageError("give --solution or --headerlet, not both", ctx)
    output = output_from(ctx, output_dir, in_place, overwrite)
    chosen = ChosenSolution(solution, headerlet)
    _, catalog = open_from(ctx)

    def work(run: "Run", path: Path) -> "FileResult":
        found = solution_for(catalog, path, chosen)
        return apply_to_file(catalog, run, path, found, output, attach=attach, force=force)

    parameters = {
        **{"solution": solution, "headerlet": None if headerlet is None else str(headerlet)},
        **{"output_dir": None if output_dir is None else str(output_dir.absolute())},
        **{"in_place": in_place, "attach": attach, "force": force},
    }
    results, run = work_on_files(catalog, "wcs apply", parameters, files, work)
    return report_files(results, run.id, as_json, _applied_words)


def _applied_words(result: "FileResult") -> str:
    facts = result.facts
    if result.status == "unchanged":
        return f"{result.output}: {facts['wcsname']} is its primary WCS already"
    words = f"{result.output}: {facts['wcsname']}"
    if facts["previous"] == facts["wcsname"]:
        words += " with other numbers"
    if facts["archived_key"]:
        words += f"; {facts['previous']} is kept under key {facts['archived_key']}"
    if facts["distortion_replaced"]:
        words += "; its distortion was written anew"
    return words


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument(
    "headerlets", nargs=-1, required=True, metavar="HEADERLET...", type=click.Path(path_type=Path)
)
@output_options
@json_option
@click.pass_context
def attach(
    ctx: click.Context,
    file: Path,
    headerlets: tuple[Path, ...],
    output_dir: Path | None,
    in_place: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Attach headerlets to a file as HDRLET extensions; its primary WCS stays.

    \b
    hapctl wcs attach j8bt09jcq_flt.fits j8bt09jcq_flt_hlet.fits --in-place
    """
    from hapctl.processing.pipeline.wcs_attached import attach_to_file

    output = output_from(ctx, output_dir, in_place, overwrite)
    _, catalog = open_from(ctx)
    names = [str(path) for path in headerlets]
    results, run = work_on_files(
        catalog,
        "wcs attach",
        {"headerlets": names, "in_place": in_place},
        [file],
        lambda run, path: attach_to_file(catalog, run, path, headerlets, output),
    )
    return report_files(
        results, run.id, as_json, lambda result: f"{result.output}: {', '.join(result.facts['attached'])}"
    )


@click.command()
@files_argument
@click.option("--solution", metavar="NAME", help="Only this one: WCSNAME, 'primary', 'key X' or 'HDRLET n'.")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("."),
    show_default=True,
    help="Folder of the headerlets.",
)
@click.option("--overwrite", is_flag=True, help="Replace headerlets that are there.")
@json_option
def extract(
    files: tuple[Path, ...], solution: str | None, output_dir: Path, overwrite: bool, as_json: bool
) -> int:
    """Write the solutions of files as headerlet files: the primary and HDRLET extensions, or one by name.

    HDRLET extensions come out byte by byte. Needs no catalog.

    \b
    hapctl wcs extract j8bt09jcq_flt.fits --output-dir headerlets
    hapctl wcs extract j8bt09jcq_flt.fits --solution "key A"
    """
    from hapctl.processing.pipeline.wcs_attached import extract_from_file
    from hapctl.processing.pipeline.wcs_files import each_file

    results = each_file(
        files, lambda path: extract_from_file(path, solution, output_dir, overwrite=overwrite)
    )
    return report_files(
        results, None, as_json, lambda result: "\n".join(one["path"] for one in result.facts["headerlets"])
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", "keys", multiple=True, metavar="LETTER", help="An alternate WCS; may be repeated.")
@click.option("--hdrlet", "hdrlets", multiple=True, metavar="N", help="A HDRLET: EXTVER, HDRNAME or WCSNAME.")
@output_options
@json_option
@click.pass_context
def delete(
    ctx: click.Context,
    file: Path,
    keys: tuple[str, ...],
    hdrlets: tuple[str, ...],
    output_dir: Path | None,
    in_place: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Delete alternate WCSs and HDRLET extensions from a file; never key O, never the primary WCS.

    \b
    hapctl wcs delete j8bt09jcq_flt.fits --key B --hdrlet 3 --in-place
    """
    from hapctl.processing.pipeline.wcs_attached import delete_from_file

    if not keys and not hdrlets:
        raise click.UsageError("say what to delete: --key LETTER or --hdrlet N", ctx)
    output = output_from(ctx, output_dir, in_place, overwrite)
    _, catalog = open_from(ctx)
    results, run = work_on_files(
        catalog,
        "wcs delete",
        {"keys": list(keys), "hdrlets": list(hdrlets), "in_place": in_place},
        [file],
        lambda run, path: delete_from_file(catalog, run, path, keys, hdrlets, output),
    )
    return report_files(
        results,
        run.id,
        as_json,
        lambda result: f"{result.output}: deleted {', '.join(result.facts['deleted'])}",
    )
