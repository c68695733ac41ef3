"""A small simulated field in a catalog, and what tests of products ask of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.products import eligible_exposures
from hapctl.archive.runs import recorded_run
from hapctl.archive.solutions import activate
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.pipeline.solution_store import (
    NewSolution,
    record_solutions,
    solution_from_catalog,
)
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import SimulatedVisit, simulate_visit
from sqlalchemy import text

SMALL = VisitPlan(
    visit="jhap01",
    filters=("F606W",),
    exposures=2,
    stars=300,
    galaxies=0,
    pointing_error=0.0,
    roll_error=0.0,
    scale_error=0.0,
    chip_shape=(200, 400),
    seed=4,
)


def small_visit(folder: Path, **changes: Any) -> SimulatedVisit:
    """Simulate two exposures of two small chips, without pointing errors."""
    return simulate_visit(folder, replace(SMALL, **changes))


def realign(
    catalog: Catalog, shifts_mas: Mapping[str, float], name: str = "IDC_hapsim01j-FIT_SVM_GAIADR3"
) -> None:
    """Put new solutions in force, moved in declination, under a name; as an alignment would."""
    with recorded_run(catalog, "align", {"shifts": dict(shifts_mas)}) as run, catalog.begin() as connection:
        chosen = {}
        for rootname, shift in shifts_mas.items():
            exposure = next(
                one for one in eligible_exposures(connection, visit=rootname[:6]) if one.rootname == rootname
            )
            before = solution_from_catalog(connection, exposure.solution_id)
            chips = tuple(
                replace(chip, crval=(chip.crval[0], chip.crval[1] + shift / 3.6e6)) for chip in before.chips
            )
            moved = replace(before, name=name, chips=chips)
            registered = record_solutions(connection, run.id, rootname, [NewSolution(moved)])
            chosen[exposure.exposure_id] = registered[0].solution_id
        activate(connection, run.id, chosen, "a test moved it")


def rows(catalog: Catalog, question: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a question."""
    with catalog.begin() as connection:
        return [tuple(row) for row in connection.execute(text(question), values)]


def stale_names(catalog: Catalog) -> set[str]:
    """Return the names of stale products."""
    return {row[0] for row in rows(catalog, "SELECT name FROM stale_product")}


def active_solution(catalog: Catalog, rootname: str) -> WcsSolution:
    """Return the solution in force of an exposure."""
    question = (
        "SELECT a.solution_id FROM wcs_active a JOIN exposure e USING (exposure_id) "
        "WHERE e.rootname = :rootname AND upper_inf(a.during)"
    )
    with catalog.begin() as connection:
        return solution_from_catalog(connection, connection.scalar(text(question), {"rootname": rootname}))
