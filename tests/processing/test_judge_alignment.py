"""Judging the solutions in force of a simulated visit, and recording the figures."""

from pathlib import Path

import pytest
from hapctl.archive.database import Catalog
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.pipeline.judge_alignment import judge_visit
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import simulate_visit
from sqlalchemy import text
from support.commands import Runner


def test_solutions_as_delivered_are_off_by_the_injected_error(
    tmp_path: Path, run_hapctl: Runner, catalog: Catalog
) -> None:
    plan = VisitPlan(exposures=1, filters=("F606W",), chip_shape=(256, 512), stars=20, galaxies=0, seed=16)
    made = simulate_visit(tmp_path / "visit", plan)
    assert run_hapctl("ingest", made.files[0]).exit_code == 0
    [judged] = judge_visit(catalog, made.folder, ["judge"])
    assert judged.delivered == judged.in_force
    assert 800 < judged.in_force.rms_mas < 1100
    with catalog.begin() as connection:
        command, recorded = connection.execute(
            text(
                "SELECT command, summary -> 'alignment_error_mas' -> 'jhap01a0q' "
                "FROM run JOIN run_end USING (run_id) ORDER BY run_id DESC LIMIT 1"
            )
        ).one()
    assert command == "judge alignment"
    assert recorded["rms"] == pytest.approx(judged.in_force.rms_mas)
    assert recorded["wcsname"] == "IDC_hapsim01j"


def test_a_folder_without_truth_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(UnusableFileError, match="no truth"):
        judge_visit(catalog, tmp_path)
