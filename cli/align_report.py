"""``hapctl align report``: a page on an alignment, from the catalog alone; and its pictures as files."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from hapctl.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from hapctl.archive.alignment_reports import Subject
    from hapctl.archive.database import Catalog
    from hapctl.cli.settings import Settings
    from hapctl.processing.astrometry.solution import LookupOrigin

PAGES = (".htm", ".html")
"""How the name of a page ends; all else names a folder."""


@click.command()
@click.option("--visit", metavar="IPPPSS", help="The newest alignment of a visit.")
@click.option("--group", type=click.IntRange(min=1), help="The exposures fitted together in a group.")
@click.option("--run", "run_id", type=click.IntRange(min=1), help="All that a run of align tried.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The page, or a folder for it [default: reports in home].",
)
@click.option(
    "--plots",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the pictures as single files into a folder; the page only with --output, too.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["png", "pdf", "svg"]),
    default="png",
    show_default=True,
    help="Of the single files.",
)
@click.option(
    "--lookup-origin", type=click.Choice(["hst", "fits"]), help="Where distortion lookup tables begin."
)
@json_option
@click.pass_context
def report(
    ctx: click.Context,
    visit: str | None,
    group: int | None,
    run_id: int | None,
    output: Path | None,
    folder: Path | None,
    kind: str,
    lookup_origin: str | None,
    as_json: bool,
) -> None:
    """Write one HTML page on an alignment: verdict, every attempt, catalogs, residuals, pictures.

    All comes from the catalog; only the picture of stars before and after needs the exposures. The page
    needs no network, and can be sent by mail.

    \b
    hapctl align report --visit j8bt09
    hapctl align report --group 12 --output group12.html
    hapctl align report --visit j8bt09 --plots figures --format pdf
    """
    from hapctl.cli.settings import open_from

    if sum(one is not None for one in (visit, group, run_id)) != 1:
        raise click.UsageError("say what to report on: one of --visit, --group or --run")
    settings, catalog = open_from(ctx, lookup_origin=lookup_origin)
    subject = _subject(catalog, visit, group, run_id)
    page = None
    if folder is None or output is not None:
        page = write_page(catalog, subject, settings, output)
    files = () if folder is None else _plots(catalog, subject, settings, folder, kind)
    if as_json:
        paths = [str(path) for path in files]
        print_json({"name": subject.name, "run": subject.run_id, "report": page, "plots": paths})
        return
    for path in (() if page is None else (page,)) + files:
        click.echo(str(path))


def _subject(catalog: "Catalog", visit: str | None, group: int | None, run_id: int | None) -> "Subject":
    from hapctl.archive.alignment_reports import Subject, subject_of_group, subject_of_visit

    with catalog.begin() as connection:
        if visit is not None:
            return subject_of_visit(connection, visit)
        if group is not None:
            return subject_of_group(connection, group)
    return Subject(f"run{run_id}", run_id or 0)


def write_page(catalog: "Catalog", subject: "Subject", settings: "Settings", output: Path | None) -> Path:
    """Write the page of an alignment to a file that ends in .htm or .html, else into a folder."""
    from hapctl.processing.pipeline.alignment_report import report_name, write_report

    path = output or settings.home / "reports"
    if path.suffix.lower() not in PAGES:
        path = path / report_name(subject)
    origin = cast("LookupOrigin", settings.lookup_origin)  # the settings allow no other
    return write_report(catalog, subject, path, origin=origin, on_progress=say)


def _plots(
    catalog: "Catalog", subject: "Subject", settings: "Settings", folder: Path, kind: str
) -> tuple[Path, ...]:
    from hapctl.processing.pipeline.alignment_report import write_plots

    origin = cast("LookupOrigin", settings.lookup_origin)
    return write_plots(catalog, subject, folder, kind, origin=origin, on_progress=say)
