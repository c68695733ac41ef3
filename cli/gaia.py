"""``hapctl gaia``: Gaia sources in the catalog."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.settings import Settings, open_from

if TYPE_CHECKING:
    from hapctl.archive.database import Catalog
    from hapctl.archive.gaia_rows import ReferenceQuery
    from hapctl.archive.reference_answers import RegionAnswer
    from hapctl.archive.reference_catalogs import ReferenceServices
    from hapctl.archive.sky_region import Region


@click.group()
def gaia() -> None:
    """Fetch, load and list sources of Gaia and other reference catalogs."""


@gaia.command()
@click.option("--visit", "visits", multiple=True, metavar="IPPPSS", help="The field of a visit.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar='"circle RA DEC RADIUS"',
    help="In degrees.",
)
@click.option(
    "--catalog",
    "--release",
    "name",
    metavar="NAME",
    help="GAIADR3, GAIAeDR3, GAIADR2, GSC242, 2MASS, PS1DR1 or PS1DR2 [default: gaia.release].",
)
@click.option("--refresh", is_flag=True, help="Ask again for what the catalog holds already.")
@json_option
@click.pass_context
def fetch(
    ctx: click.Context,
    visits: tuple[str, ...],
    regions: tuple[str, ...],
    name: str | None,
    refresh: bool,
    as_json: bool,
) -> None:
    """Ask a catalog's service for a field, and keep the answer.

    A visit's field is the outline of its exposures, as in force and as an alignment begins, with a margin
    for the pointing uncertainty. What the catalog covers already is not asked again; afterwards --offline
    works there. Gaia is asked at gaia.url; GSC242, 2MASS and PS1DR1 at services.vizier, PS1DR2 at
    services.mast.

    \b
    hapctl gaia fetch --visit j8bt09
    hapctl gaia fetch --region "circle 5.67 -72.07 0.1" --catalog GAIADR3
    hapctl gaia fetch --visit j8bt09 --catalog 2MASS
    """
    from hapctl.archive.reference_answers import EXTRA_ARCSEC, ask_for_missing
    from hapctl.archive.reference_catalogs import find_catalog
    from hapctl.archive.runs import recorded_run
    from hapctl.archive.sky_region import parse_region

    if not visits and not regions:
        raise click.UsageError("say what to fetch: --visit or --region")
    asked = [parse_region(text) for text in regions]
    settings, catalog = open_from(ctx)
    known = find_catalog(name or settings.gaia.release)
    services = services_of(settings)
    fields = [field for visit in visits for field in _field_of(catalog, visit)]
    parameters = {
        "visits": list(visits),
        "regions": [str(region) for region in (*asked, *fields)],
        "release": known.release,
        "url": getattr(services, known.service).url,
        "refresh": refresh,
    }
    ask = known.asked_at(services)
    with recorded_run(catalog, "gaia fetch", parameters, sys.argv[1:]) as run:
        answers = [
            answer
            for places, extra in ((asked, 0.0), (fields, EXTRA_ARCSEC))
            for answer in ask_for_missing(
                catalog, run.id, places, known.release, ask, extra_arcsec=extra, refresh=refresh
            )
        ]
        run.summary["fetched"] = sum(answer.fetched for answer in answers)
    _report(catalog, known.release, run.id, answers, as_json)


@gaia.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--catalog",
    "--release",
    "name",
    required=True,
    metavar="NAME",
    help="The catalog its rows come from, such as DR3 or 2MASS.",
)
@click.option(
    "--covers", required=True, metavar='"circle RA DEC RADIUS"', help="Where it is complete, in degrees."
)
@json_option
@click.pass_context
def load(ctx: click.Context, file: Path, name: str, covers: str, as_json: bool) -> None:
    """Take the sources of a file: ECSV, FITS, VOTable, Parquet or CSV.

    Columns have the names of the Gaia archive (of another catalog, those of VizieR's or MAST's table serve
    too); units are honoured. Absent columns stay empty; the errors that then stand for them are 0.5 mas for a
    position, 1.3 times the error of the position for a known parallax (mas) or proper motion (mas/yr), and
    1 mas for a parallax that is unknown. A star without proper motion moves with the mean of its field.

    \b
    hapctl gaia load stars.ecsv --catalog DR3 --covers "circle 5.67 -72.07 0.1"
    hapctl gaia load vizier_II_246.vot --catalog 2MASS --covers "circle 5.67 -72.07 0.1"

    A list of your own stars needs no loading: hapctl align --catalog file:PATH.
    """
    from hapctl.archive.gaia import load_file
    from hapctl.archive.reference_catalogs import find_catalog
    from hapctl.archive.runs import recorded_run
    from hapctl.archive.sky_region import parse_region

    circle = parse_region(covers).circle
    known = find_catalog(name)
    _, catalog = open_from(ctx)
    parameters = {"file": str(file.absolute()), "release": known.release, "covers": str(circle)}
    with recorded_run(catalog, "gaia load", parameters, sys.argv[1:]) as run:
        loaded = load_file(catalog, run.id, file, known.release, circle)
        run.summary["rows"] = loaded.rows
    state = "unchanged" if loaded.unchanged else "loaded"
    if as_json:
        print_json(
            {
                "file": str(file),
                "status": state,
                "release": loaded.release,
                "reference_query_id": loaded.query_id,
                "rows": loaded.rows,
                "rows_outside": loaded.rows_outside,
                "region": str(circle),
                "run_id": run.id,
            }
        )
        return
    beyond = f", {loaded.rows_outside} of them outside what it covers" if loaded.rows_outside else ""
    click.echo(f"{file}: {state}, {loaded.rows} sources of {loaded.release}{beyond}")


@gaia.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """List what was asked of Gaia and other catalogs, and what is kept of it.

    \b
    hapctl gaia status --json
    """
    from hapctl.archive.gaia_rows import list_queries

    settings, catalog = open_from(ctx)
    with catalog.begin() as connection:
        queries = list_queries(connection)
    if as_json:
        print_json(
            {
                "url": settings.gaia.url,
                "release": settings.gaia.release,
                "rows": sum(query.n_rows for query in queries),
                "queries": [_document(query) for query in queries],
            }
        )
        return
    click.echo(f"service {settings.gaia.url}, release {settings.gaia.release}")
    for query in queries:
        when = f"{query.fetched:%Y-%m-%d %H:%M}"
        click.echo(f"{query.query_id:6}  {when}  {query.release:8}  {query.n_rows:8} rows  {query.region}")
    if not queries:
        say("the catalog holds no reference sources: 'hapctl gaia fetch' or 'hapctl gaia load' brings some")


def services_of(settings: "Settings") -> "ReferenceServices":
    """Return how all reference catalogs are asked, by the configuration."""
    from hapctl.archive.reference_catalogs import ReferenceServices
    from hapctl.archive.remote_services import RemoteService

    others = settings.services
    return ReferenceServices(
        gaia=RemoteService(settings.gaia.url, settings.gaia.timeout, settings.gaia.retries),
        vizier=RemoteService(others.vizier, others.timeout, others.retries),
        mast=RemoteService(others.mast, others.timeout, others.retries),
    )


def _field_of(catalog: "Catalog", visit: str) -> tuple["Region", ...]:
    from hapctl.archive.gaia import visit_regions

    with catalog.begin() as connection:
        return visit_regions(connection, visit.lower())


def _report(
    catalog: "Catalog", release: str, run_id: int, answers: list["RegionAnswer"], as_json: bool
) -> None:
    from hapctl.archive.gaia_rows import list_queries

    with catalog.begin() as connection:
        queries = {query.query_id: query for query in list_queries(connection)}
    documents = [
        {
            "region": str(answer.region),
            "status": "fetched" if answer.fetched else "known",
            "reference_query_ids": list(answer.query_ids),
            "rows": sum(queries[number].n_rows for number in answer.query_ids),
        }
        for answer in answers
    ]
    if as_json:
        print_json({"release": release, "run_id": run_id, "regions": documents})
        return
    for document in documents:
        click.echo(f"{document['status']:8} {document['rows']:8} sources of {release}  {document['region']}")


def _document(query: "ReferenceQuery") -> dict[str, Any]:
    return {
        "reference_query_id": query.query_id,
        "release": query.release,
        "source": query.source,
        "service": query.service,
        "region": query.region,
        "question": query.question,
        "rows": query.n_rows,
        "answer_sha256": query.answer_sha256,
        "fetched": query.fetched.isoformat(),
        "run_id": query.run_id,
    }
