"""``hapctl undo``: files that a run changed in place, brought back."""

import sys

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.settings import open_from


@click.command()
@click.argument("run_number", metavar="[RUN]", type=click.IntRange(min=1), required=False)
@json_option
@click.pass_context
def undo(ctx: click.Context, run_number: int | None, as_json: bool) -> None:
    """Bring back the files that a run changed in place: their old content to the byte.

    By default the last run with such a change. A file that was changed again since is refused: undo the
    later run first. Gzipped files get their old content, compressed anew. Catalog rows stay: what the files
    held is in force again.

    \b
    hapctl undo
    hapctl undo 17
    """
    from hapctl.archive.runs import recorded_run
    from hapctl.processing.pipeline.changed_files import undo_changes

    _, catalog = open_from(ctx)
    with recorded_run(catalog, "undo", {"run": run_number}, sys.argv[1:]) as run:
        done = undo_changes(catalog, run, run_number, say)
        run.summary["files"] = {one.path: one.outcome for one in done}
    if as_json:
        print_json({"run": run.id, "files": [vars(one) for one in done]})
        return
    for one in done:
        words = "as it was before" if one.outcome == "restored" else "had its old content"
        click.echo(f"{one.path}: {words} ({one.description})")
