"""How far the solutions in force of a simulated visit are from its truth, recorded as a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.products import eligible_exposures
from hapctl.archive.runs import recorded_run
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.pipeline.solution_store import solution_from_catalog
from hapctl.processing.simulation.truth import AlignmentError, Truth, alignment_error, read_truth


@dataclass(frozen=True)
class JudgedExposure:
    """One exposure: its error as delivered, and that of the solution now in force."""

    rootname: str
    filter: str
    delivered: AlignmentError
    in_force: AlignmentError


def judge_visit(catalog: Catalog, folder: str | Path, arguments: Sequence[str] = ()) -> list[JudgedExposure]:
    """Compare every exposure of a simulated visit with the truth that lies beside its files.

    The figures are recorded in the run's summary, in mas.

    Parameters
    ----------
    catalog : Catalog
        Where the visit was ingested.
    folder : path
        What `hapctl simulate` wrote.
    arguments : sequence of str
        The command line.

    Raises
    ------
    UnusableFileError
        If the folder holds no truth.
    """
    truth = read_truth(folder)
    parameters = {"visit": truth.visit, "seed": truth.seed, "truth": str(folder)}
    with recorded_run(catalog, "judge alignment", parameters, arguments) as run:
        judged = [_judged(catalog, truth, *exposure) for exposure in _in_force(catalog, truth)]
        run.summary["alignment_error_mas"] = {exposure.rootname: _figures(exposure) for exposure in judged}
    return judged


def _in_force(catalog: Catalog, truth: Truth) -> list[tuple[str, int]]:
    with catalog.begin() as connection:
        exposures = eligible_exposures(connection, visit=truth.visit)
    return [(exposure.rootname, exposure.solution_id) for exposure in exposures]


def _judged(catalog: Catalog, truth: Truth, rootname: str, solution_id: int) -> JudgedExposure:
    exposure = truth.exposure(rootname)
    delivered = read_solutions(truth.folder / exposure.file)[0].solution
    with catalog.begin() as connection:
        in_force = solution_from_catalog(connection, solution_id)
    return JudgedExposure(
        rootname,
        exposure.filter,
        alignment_error(truth, delivered),
        alignment_error(truth, in_force),
    )


def _figures(exposure: JudgedExposure) -> dict[str, Any]:
    return {
        "wcsname": exposure.in_force.name,
        "delivered_rms": exposure.delivered.rms_mas,
        "rms": exposure.in_force.rms_mas,
        "max": exposure.in_force.max_mas,
    }
