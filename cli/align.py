"""``hapctl align``: the exposures of visits onto each other and onto Gaia."""

from typing import TYPE_CHECKING, Any, cast

import click
from hapctl.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from hapctl.archive.database import Catalog
    from hapctl.cli.settings import Settings
    from hapctl.processing.astrometry.solution import LookupOrigin
    from hapctl.processing.pipeline.align_visit import AlignOptions, VisitResult
    from hapctl.processing.pipeline.alignment_rows import ExposureResult


@click.command()
@click.option("--visit", "visits", metavar="IPPPSS", multiple=True, required=True, help="May be repeated.")
@click.option(
    "--catalog",
    metavar="NAME",
    help="GAIADR3, GAIAeDR3 or GAIADR2 [default: gaia.release]; none: a relative alignment only.",
)
@click.option("--offline", is_flag=True, help="Ask no service: use the Gaia sources the catalog holds.")
@click.option(
    "--lookup-origin", type=click.Choice(["hst", "fits"]), help="Where distortion lookup tables begin."
)
@click.option("--dry-run", is_flag=True, help="Show what would be aligned, from what; record nothing.")
@json_option
@click.pass_context
def align(
    ctx: click.Context,
    visits: tuple[str, ...],
    catalog: str | None,
    offline: bool,
    lookup_origin: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Align the exposures of a visit to each other, then all together to Gaia.

    Every attempt and every matched star is recorded. What the rule of acceptance lets pass is put in force;
    else the solution in force stays, and the reason is said. The files themselves are not changed.

    \b
    hapctl align --visit j8bt09
    hapctl align --visit j8bt06 --visit j8bt09 --offline
    """
    from hapctl.cli.settings import open_from

    settings, opened = open_from(ctx, lookup_origin=lookup_origin)
    options = _options(settings, catalog, offline)
    asked = list(dict.fromkeys(name.lower() for name in visits))
    results = [_aligned(opened, visit, options, dry_run, single=len(asked) == 1) for visit in asked]
    if as_json:
        print_json({"visits": [_document(result) for result in results]})
    else:
        _print(results)
    return _exit_code(results, dry_run)


class _Failure:
    """A visit of several that could not be aligned."""

    def __init__(self, visit: str, message: str, remedy: str, exit_code: int) -> None:
        self.visit, self.message, self.remedy, self.exit_code = visit, message, remedy, exit_code

    @property
    def reason(self) -> str:
        """What happened and what to do."""
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


def _options(settings: "Settings", catalog: str | None, offline: bool) -> "AlignOptions":
    from hapctl.cli.gaia import service_of
    from hapctl.processing.pipeline.align_visit import AlignOptions

    chosen = catalog or settings.gaia.release
    return AlignOptions(
        home=settings.home,
        catalog=None if chosen.lower() == "none" else chosen,
        service=None if offline else service_of(settings.gaia),
        offline=offline,
        origin=cast("LookupOrigin", settings.lookup_origin),  # the settings allow no other
    )


def _aligned(
    catalog: "Catalog", visit: str, options: "AlignOptions", dry_run: bool, *, single: bool
) -> "VisitResult | _Failure":
    import sys

    from hapctl.archive.errors import ArchiveError
    from hapctl.processing.errors import ProcessingError
    from hapctl.processing.pipeline.align_visit import align_visit, plan_visit

    try:
        if dry_run:
            return plan_visit(catalog, visit, options)
        return align_visit(catalog, visit, options, arguments=sys.argv[1:], on_progress=say)
    except (ArchiveError, ProcessingError) as error:
        if single:
            raise
        return _Failure(visit, error.message, error.remedy, error.exit_code)


def _document(result: "VisitResult | _Failure") -> dict[str, Any]:
    if isinstance(result, _Failure):
        failed = {"visit": result.visit, "outcome": "failed", "reason": result.reason}
        return {**failed, "run": None, "exposures": []}
    return {
        "visit": result.visit,
        "outcome": result.outcome,
        "reason": result.reason,
        "run": result.run_id,
        "exposures": [vars(exposure) for exposure in result.exposures],
    }


def _print(results: "list[VisitResult | _Failure]") -> None:
    for result in results:
        if isinstance(result, _Failure):
            say(f"{result.visit}: {result.reason}")
            continue
        click.echo(f"{result.visit}: {result.outcome}: {result.reason}")
        for exposure in result.exposures:
            click.echo(f"    {exposure.rootname}  {_words(exposure)}")


def _words(exposure: "ExposureResult") -> str:
    if exposure.wcsname is None:
        return f"{exposure.outcome}: {exposure.reason}"
    if exposure.nmatches is None:
        return f"{exposure.outcome}: {exposure.wcsname} ({exposure.reason})"
    rms = ""
    if exposure.rms_ra_mas is not None and exposure.rms_dec_mas is not None:
        rms = f", rms {exposure.rms_ra_mas:.2f} / {exposure.rms_dec_mas:.2f} mas"
    return f"{exposure.outcome}: {exposure.wcsname}, {exposure.nmatches} stars{rms}"


def _exit_code(results: "list[VisitResult | _Failure]", dry_run: bool) -> int:
    """0 where anything better is in force; else what went wrong, or 1."""
    if dry_run or any(not isinstance(result, _Failure) and result.is_better for result in results):
        return 0
    return max((result.exit_code for result in results if isinstance(result, _Failure)), default=1)
