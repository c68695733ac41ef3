"""`hapctl align` to references that are no catalog of the sky, from files to rows."""

import numpy as np
import pytest
from astropy.table import Table
from hapctl.processing.pipeline.solution_store import solution_from_catalog
from sqlalchemy import text
from support.sky_visit import sky_visit


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    return sky_visit(tmp_path_factory.mktemp("visit"))


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """Another visit of the same sky."""
    return sky_visit(tmp_path_factory.mktemp("later"), visit="jtest2")


def in_force(catalog, rootname):
    statement = text(
        "SELECT a.solution_id, s.wcsname, COALESCE(a.frame, s.frame) AS frame FROM wcs_active a "
        "JOIN wcs_solution s USING (solution_id) JOIN exposure e ON e.exposure_id = a.exposure_id "
        "WHERE e.rootname = :rootname AND upper_inf(a.during)"
    )
    with catalog.begin() as connection:
        row = connection.execute(statement, {"rootname": rootname}).one()
        return solution_from_catalog(connection, row.solution_id), row.wcsname, row.frame


def test_a_list_then_a_visit(run_hapctl, catalog, visit, later, tmp_path):
    """A visit aligned to a user's list, another one to that visit: both in the frame of the list."""
    extract = Table.read(visit.extract)
    listed = Table({"id": extract["source_id"], "RA": extract["ra"], "DEC": extract["dec"]})
    for name in ("pmra", "pmdec", "ref_epoch", "ra_error", "dec_error"):
        listed[name] = extract[name]
    listed["mag"] = extract["phot_g_mean_mag"]
    path = tmp_path / "my stars.ecsv"
    listed.write(path, format="ascii.ecsv")
    assert run_hapctl("ingest", *visit.files, *later.files).exit_code == 0
    done = run_hapctl("align", "--visit", visit.visit, "--catalog", f"file:{path}", "--json")
    assert done.exit_code == 0, done.stderr
    frames = set()
    for rootname in visit.truth:
        solution, wcsname, frame = in_force(catalog, rootname)
        assert wcsname.endswith("-FIT_SVM_mystars")
        assert visit.error_mas(solution) < 3.0
        frames.add(frame)
    (frame,) = frames
    assert frame.startswith("list my stars.ecsv ")
    again = run_hapctl("align", "--visit", later.visit, "--catalog", f"visit:{visit.visit}", "--json")
    assert again.exit_code == 0, again.stderr
    errors = []
    for rootname in later.truth:
        solution, wcsname, found = in_force(catalog, rootname)
        assert (found, wcsname.split("_")[-1]) == (frame, visit.visit.upper())
        errors.append(later.error_mas(solution))
    assert np.max(errors) < 5.0


def test_a_list_of_another_field_changes_nothing(run_hapctl, catalog, visit, tmp_path):
    path = tmp_path / "elsewhere.csv"
    path.write_text("ra,dec\n10.0,-2.0\n10.01,-2.0\n")
    assert run_hapctl("ingest", *visit.files).exit_code == 0
    before = {rootname: in_force(catalog, rootname)[1] for rootname in visit.truth}
    done = run_hapctl("align", "--visit", visit.visit, "--catalog", f"file:{path}", "--json")
    assert done.exit_code == 1
    assert "none of the 2 stars of file elsewhere.csv lies in the field" in done.json()["error"]["message"]
    assert {rootname: in_force(catalog, rootname)[1] for rootname in visit.truth} == before
    with catalog.begin() as connection:
        ended = connection.execute(
            text("SELECT outcome, message FROM run_end ORDER BY run_id DESC LIMIT 1")
        ).one()
    assert ended.outcome == "refused"
    assert "lies in the field" in ended.message
    bare = tmp_path / "bare.csv"
    Table.read(visit.extract)["ra", "dec"].write(bare, format="ascii.csv")
    done = run_hapctl("align", "--visit", visit.visit, "--catalog", f"file:{bare}")
    assert "bare.csv: ra_error of" in done.stderr
    assert "rows is unknown and taken as 10 mas" in done.stderr
