"""Chips that don't belong together: the three real headerlets, made ones, and what is no such thing."""

from dataclasses import replace

import numpy as np
import pytest
from hapctl.archive.database import Catalog
from hapctl.archive.runs import recorded_run
from hapctl.processing.astrometry.chip_consistency import (
    INCONSISTENT,
    LARGEST_OFFSET_MAS,
    chip_offset_mas,
    consistent,
)
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import (
    PlaneFit,
    TangentPlane,
    moved_chip,
    moved_solution,
    sky_matrix,
    unit_vectors,
)
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.pipeline.solution_store import NewSolution, record_solutions
from support.commands import Runner
from support.data import data_file
from support.exposure_files import exposure_file, two_chip_solution

MULTI_CHIP = ("sample_ipppssoot_flc.fits", "sample_svm_flc.fits", "2chipA_old.fits.gz")
FIT = "IDC_0461802ej-FIT_SVM_GAIADR3"


def shifted(solution: WcsSolution, mas: float, roll: float = 0.0) -> np.ndarray:
    plane = TangentPlane(*solution.chips[0].crval)
    return sky_matrix(PlaneFit.similarity(np.array([mas / 1e3, 0.0]), roll), plane)


def mixed(mas: float) -> WcsSolution:
    """A fit whose second chip was left behind."""
    solution = two_chip_solution("jtest0001", tables=False)
    chips = (moved_chip(solution.chips[0], shifted(solution, mas)), solution.chips[1])
    return replace(solution, name=FIT, chips=chips)


def test_the_three_real_ones_tell_their_figures() -> None:
    problems = [
        (entry.solution.problem, str(entry.location))
        for name in ("headers/sample_ipppssoot_flc.fits", "headers/sample_svm_flc.fits")
        for entry in read_solutions(data_file(name))
        if entry.solution.problem
    ]
    assert [place for _, place in problems] == ["HDRLET 8", "HDRLET 9", "HDRLET 10"]
    for (problem, _), mas in zip(problems, ("170.0", "166.1", "6.8"), strict=True):
        assert problem.startswith("inconsistent: chips with different names: IDC_2731450pi-FIT_")
        assert f"SCI,2 lies {mas} mas from where IDC_2731450pi has it beside SCI,1" in problem


def test_solutions_of_real_files_are_rigid() -> None:
    """What the archive fitted as a whole keeps its chips to a hundredth of a mas."""
    for name in (
        "headers/sample_ipppssoot_flc.fits",
        "headers/sample_svm_flc.fits",
        "headers/2chipA_old.fits.gz",
    ):
        found = [entry.solution for entry in read_solutions(data_file(name)) if not entry.solution.problem]
        model = next(s for s in found if s.name in ("IDC_2731450pi", "IDC_qbu1641sj"))
        offsets = [chip_offset_mas(s, model)[0] for s in found if s.chips[0].ctype[0].endswith("-SIP")]
        assert offsets
        assert max(offsets) < 0.01


@pytest.mark.parametrize("mas", [0.0, 15.0, 25.0, 5000.0])
def test_the_offset_of_a_chip_is_measured(mas: float) -> None:
    model, solution = two_chip_solution("jtest0001", tables=False), mixed(mas)
    offset, extver = chip_offset_mas(solution, model)
    # A direct look at the sky: the second chip stayed, the first one went.
    centre = np.array([255.5]), np.array([127.5])
    first = [unit_vectors(*pixel_to_sky(s.chips[0], *centre))[0] for s in (model, solution)]
    assert offset == pytest.approx(np.linalg.norm(first[1] - first[0]) * 206264806.247, rel=1e-4, abs=1e-5)
    assert (extver, offset) == (2, pytest.approx(mas, rel=1e-4, abs=1e-5))
    [judged] = consistent([solution], [model])
    assert bool(judged.problem) == (mas > LARGEST_OFFSET_MAS)
    if judged.problem:
        assert judged.problem.startswith(f"{INCONSISTENT}SCI,2 lies {mas:.1f} mas")


def test_a_rigid_movement_is_consistent_whatever_its_size() -> None:
    model = two_chip_solution("jtest0001", tables=False)
    fit = replace(moved_solution(model, shifted(model, 5e4, roll=0.3)), name=FIT)
    assert chip_offset_mas(fit, model)[0] < 1e-4
    assert not consistent([fit], [model])[0].problem


def test_another_model_or_none_says_nothing() -> None:
    model, solution = two_chip_solution("jtest0001", tables=False), mixed(500.0)
    assert not consistent([solution])[0].problem
    assert not consistent([solution], [replace(model, name="IDC_other1234")])[0].problem
    assert not consistent([solution], [replace(model, problem="damaged")])[0].problem
    assert consistent([replace(solution, name="TWEAK")], [model])[0].problem


def test_an_ingest_and_an_import_register_it_as_inconsistent(
    run_hapctl: Runner, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("files") / "jtest0001_flc.fits"
    path.write_bytes(exposure_file(two_chip_solution("jtest0001", tables=False)))
    assert run_hapctl("ingest", path).exit_code == 0
    with recorded_run(catalog, "test", {}) as run, catalog.begin() as connection:
        [known] = record_solutions(connection, run.id, "jtest0001", [NewSolution(mixed(500.0))])
    assert known.is_new
    [row] = [r for r in run_hapctl("wcs", "list", "jtest0001", "--json").json()["solutions"] if r["problem"]]
    assert (row["wcsname"], row["problem"][:43]) == (FIT, "inconsistent: SCI,2 lies 500.0 mas from whe")
    refused = run_hapctl("wcs", "activate", "jtest0001", FIT, "--reason", "try")
    assert refused.exit_code == 1
    assert "inconsistent" in refused.stderr
