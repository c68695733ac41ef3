"""What the commands that write WCSs into files share: where results go, the run, the report."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from hapctl.cli.output import print_json, say

if TYPE_CHECKING:
    from hapctl.archive.database import Catalog
    from hapctl.archive.runs import Run
    from hapctl.processing.pipeline.wcs_files import FileResult, Output

Command = TypeVar("Command", bound=Callable[..., Any])


def files_argument(command: Command) -> Command:
    """Add FILE... (parameter ``files``)."""
    return click.argument(
        "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
    )(command)


def output_options(command: Command) -> Command:
    """Add ``--output-dir``, ``--in-place`` and ``--overwrite``."""
    overwrite = click.option("--overwrite", is_flag=True, help="Replace files of the output folder.")
    in_place = click.option(
        "--in-place", is_flag=True, help="Change the files; 'hapctl undo' brings them back."
    )
    folder = click.option(
        "--output-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Write copies into this folder.",
    )
    return folder(in_place(overwrite(command)))


def output_from(ctx: click.Context, output_dir: Path | None, in_place: bool, overwrite: bool) -> "Output":
    """Return where results go; exactly one of folder and in place must be meant."""
    from hapctl.processing.pipeline.wcs_files import Output

    if (output_dir is None) != in_place:
        raise click.UsageError("give either --output-dir DIR or --in-place", ctx)
    return Output(output_dir, overwrite)


def work_on_files(
    catalog: "Catalog",
    command: str,
    parameters: dict[str, Any],
    files: Sequence[Path],
    work: "Callable[[Run, Path], FileResult]",
) -> "tuple[list[FileResult], Run]":
    """Do a work on each file under one recorded run; all failed makes the run one that failed."""
    from hapctl.archive.runs import recorded_run
    from hapctl.processing.pipeline.wcs_files import each_file

    parameters = {"files": [str(path.absolute()) for path in files], **parameters}
    with recorded_run(catalog, command, parameters, sys.argv[1:]) as run:

        def one(path: Path) -> "FileResult":
            if len(files) > 1:
                say(f"hapctl: {path}")
            return work(run, path)

        results = each_file(files, one)
        run.summary["files"] = {result.path: result.status for result in results}
        code = exit_code_of(results)
        if code:
            failed = [result for result in results if result.status == "failed"]
            run.refused(f"{len(failed)} of {len(results)} files failed: {failed[0].reason}", code)
    return results, run


def exit_code_of(results: "Sequence[FileResult]") -> int:
    """Return 0 where anything was done, else what went wrong."""
    if any(result.status != "failed" for result in results):
        return 0
    return max((result.exit_code for result in results), default=1)


def report_files(
    results: "Sequence[FileResult]", run_id: int | None, as_json: bool, words: "Callable[[FileResult], str]"
) -> int:
    """Print what became of files, and return the exit code."""
    if as_json:
        rows = [
            {
                **{"path": result.path, "status": result.status, "output": result.output},
                **result.facts,
                "reason": result.reason or None,
            }
            for result in results
        ]
        print_json({"run": run_id, "files": rows})
    else:
        for result in results:
            if result.status == "failed":
                say(f"{result.path}: {result.reason}")
            else:
                click.echo(words(result))
    return exit_code_of(results)
