"""`mosaic --stale`: what is not what would be made now, and making just that again.

The catalog says by SQL alone which products are stale, wait for a rebuild after a recall, or lack an exposure
(`stale_groups`); finding nothing opens no file. What is found is then planned exactly, by the command that
made it, asked again in the same way (`MosaicOptions.with_request`), and only what differs is made. Visits
come before tiles and fields: they make the masks that layers use. After the visits the catalog is asked
again, for a mask made anew makes layers stale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from hapctl.archive.database import Catalog
from hapctl.archive.errors import ArchiveError, ServiceUnavailableError
from hapctl.archive.runs import recorded_run
from hapctl.archive.stale_products import StaleGroup
from hapctl.processing.errors import ProcessingError
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.pipeline.batch import Execution, run_batch
from hapctl.processing.pipeline.build_product import ProductResult
from hapctl.processing.pipeline.dispatch import BatchObserver
from hapctl.processing.pipeline.field_grid import field_of_request
from hapctl.processing.pipeline.mosaic_run import MosaicReport
from hapctl.processing.pipeline.pace import recorded_pace
from hapctl.processing.pipeline.planned import MosaicOptions
from hapctl.processing.pipeline.product_policies import ensure_rules, rules_in_force
from hapctl.processing.pipeline.stale_scope import Scope
from hapctl.processing.pipeline.unit_actions import field_unit, mosaic_of, mosaic_unit, with_arguments
from hapctl.processing.pipeline.units import WorkUnit

_ROUNDS = (("visit",), ("tile", "field"))
"""What is made again first, and what after the catalog was asked once more."""


@dataclass(frozen=True)
class Regenerated:
    """What is to be done, or was done, for the products of one target in one folder.

    Attributes
    ----------
    group : StaleGroup
    report : MosaicReport or None
        Of the command that makes them, or of its plan; None where it failed.
    seconds : float or None
        Of a plan: how long it will take by runs of the past; None where there are none to go by.
    exit_code : int
        0, or that of the error.
    message, remedy : str
        Of the error.
    """

    group: StaleGroup
    report: MosaicReport | None = None
    seconds: float | None = None
    exit_code: int = 0
    message: str = ""
    remedy: str = ""

    @property
    def products(self) -> tuple[ProductResult, ...]:
        """What is not current, or was not."""
        return tuple(one for one in self.report.products if one.status != "unchanged") if self.report else ()


def plan_stale(
    catalog: Catalog,
    groups: Sequence[StaleGroup],
    options: MosaicOptions,
    *,
    observer: Observer | None = None,
) -> list[Regenerated]:
    """Return what `remake_stale` would do; nothing is made and no run is recorded.

    Groups of which nothing differs after all are left out.

    Parameters
    ----------
    catalog : Catalog
    groups : sequence of StaleGroup
        What is stale (`Scope.groups`).
    options : MosaicOptions
        What is of this machine: threads, memory, home. All else is taken from the products' requests.
    observer : Observer, optional
    """
    with catalog.begin() as connection:
        pace = recorded_pace(connection)
    observer = observer or Observer()
    found = [_done(catalog, group, unit_of(group, options), observer, dry_run=True) for group in groups]
    timed = [replace(one, seconds=_predicted(one, pace)) for one in found]
    return [one for one in timed if one.products or one.exit_code]


def remake_stale(
    catalog: Catalog,
    scope: Scope,
    options: MosaicOptions,
    how: Execution,
    watch: BatchObserver | None = None,
    *,
    arguments: Sequence[str] = (),
) -> list[Regenerated]:
    """Make again what is stale, each group in a run of its own; an error of one does not stop the others.

    Where this software has other rules of products than the catalog, a run puts them in force before. All
    visits are done, then the catalog is asked again, then tiles and fields are done: nothing twice, even
    where it failed or stays stale.

    Parameters
    ----------
    catalog : Catalog
    scope : Scope
    options : MosaicOptions
        As for `plan_stale`.
    how : Execution
        Here, on local processes, or on a cluster.
    watch : BatchObserver, optional
        Told of the progress.
    arguments : sequence of str
        The command line, for the runs.

    Raises
    ------
    ServiceUnavailableError
        The catalog or the scheduler was lost.
    """
    watch = watch or BatchObserver()
    _put_rules_in_force(catalog, arguments)
    done: list[Regenerated] = []
    stale = scope.groups(catalog)
    for kinds in _ROUNDS:
        if done:
            stale = scope.groups(catalog)
        groups = [group for group in stale if group.target_kind in kinds]
        units = [unit_of(group, options) for group in groups]
        if groups and how.elsewhere:
            done += _done_elsewhere(catalog, groups, units, how, watch, arguments)
        else:
            work = [with_arguments(unit, arguments) for unit in units]
            done += [
                _done(catalog, group, unit, watch.steps, dry_run=False)
                for group, unit in zip(groups, work, strict=True)
            ]
    return done


def _put_rules_in_force(catalog: Catalog, arguments: Sequence[str]) -> None:
    with catalog.begin() as connection:
        known = rules_in_force(connection).policy_id
    if not known:
        with (
            recorded_run(catalog, "mosaic", {"stale": True}, arguments) as run,
            catalog.begin() as connection,
        ):
            ensure_rules(connection, run.id)


def unit_of(group: StaleGroup, options: MosaicOptions) -> WorkUnit:
    """Return the unit of work that makes the products of a group as they were asked for."""
    asked = options.with_request(Path(group.folder), group.request)
    if group.field is not None:
        unit = field_unit(field_of_request(group.field), asked)
    else:
        unit = mosaic_unit(group.target_kind, group.target, asked)
    split = f", by {asked.split_by}" if asked.split_by else ""
    return replace(unit, name=f"{unit.name} in {group.folder}{split}")


def _done(
    catalog: Catalog, group: StaleGroup, unit: WorkUnit, observer: Observer, *, dry_run: bool
) -> Regenerated:
    try:
        report = mosaic_of(catalog, unit, dry_run=dry_run, observer=observer)
    except ServiceUnavailableError:
        raise  # without the catalog nothing else can be done either
    except (ArchiveError, ProcessingError) as error:
        return Regenerated(group, exit_code=error.exit_code, message=error.message, remedy=error.remedy)
    return Regenerated(group, report)


def _done_elsewhere(
    catalog: Catalog,
    groups: Sequence[StaleGroup],
    units: Sequence[WorkUnit],
    how: Execution,
    watch: BatchObserver,
    arguments: Sequence[str],
) -> list[Regenerated]:
    outcomes = run_batch(catalog, units, how, watch, command="mosaic", arguments=arguments)
    return [
        Regenerated(
            group,
            cast("MosaicReport | None", outcome.result),  # that of mosaic_of, or none
            exit_code=outcome.exit_code,
            message=outcome.message,
            remedy=outcome.remedy,
        )
        for group, outcome in zip(groups, outcomes, strict=True)
    ]


def _predicted(one: Regenerated, pace: Mapping[str, float]) -> float | None:
    work = [(product.kind, product.input_pixels) for product in one.products if product.status == "to make"]
    if any(kind not in pace for kind, _ in work):
        return None
    return sum(pace[kind] * (pixels or 0) / 1e6 for kind, pixels in work)
