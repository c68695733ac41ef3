"""Headerlets into the catalog: real ones, and all that may be wrong with one."""

from dataclasses import replace

import pytest
from hapctl.archive.runs import recorded_run
from hapctl.archive.wcs_reports import solutions_of
from hapctl.processing.astrometry.headerlet import headerlet_bytes, read_headerlet
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.pipeline.solution_import import Headerlet, import_headerlets
from support.data import data_file

FILE = "headers/sample_ipppssoot_flc.fits"


@pytest.fixture(scope="module")
def found():
    return read_solutions(data_file(FILE))


@pytest.fixture(scope="module")
def headerlets(found):
    return [
        Headerlet(f"hlet {item.location.key}", item.headerlet_bytes)
        for item in found
        if item.headerlet_bytes is not None
    ]


@pytest.fixture
def rootname(run_hapctl, found):
    assert run_hapctl("ingest", data_file(FILE), "--json").exit_code == 0
    return found[0].solution.rootname


def imported(catalog, items, **options):
    with recorded_run(catalog, "test", {}) as run, catalog.begin() as connection:
        return import_headerlets(connection, run.id, items, **options)


def rows(catalog, rootname):
    with catalog.begin() as connection:
        return solutions_of(connection, rootname)


def moved(solution, extver, pixels):
    """The solution with one chip moved along x."""
    chips = tuple(
        replace(chip, crpix=(chip.crpix[0] + pixels, chip.crpix[1])) if chip.extver == extver else chip
        for chip in solution.chips
    )
    return replace(solution, chips=chips)


def test_what_the_file_holds_is_known(catalog, rootname, headerlets):
    before = len(rows(catalog, rootname))
    results = imported(catalog, headerlets)
    assert {result.status for result in results} == {"known", "inconsistent"}
    (bad,) = [result for result in results if result.status == "inconsistent"]
    assert "chips with different names" in bad.reason
    assert all(result.rootname == rootname and result.solution_id for result in results)
    assert [result.same_distortion for result in results] == ["IDC_" in result.wcsname for result in results]
    after = rows(catalog, rootname)
    assert len(after) == before
    assert "headerlet hlet 3" in after[[row.wcsname.endswith("GSC240") for row in after].index(True)].places


def test_a_new_solution_is_registered_and_not_put_in_force(catalog, rootname, headerlets, found):
    solution = read_headerlet(headerlets[3].content)
    shifted = replace(
        solution,
        name=solution.name.replace("HSC30", "HSC31"),
        chips=tuple(replace(chip, crval=(chip.crval[0] + 1e-4, chip.crval[1])) for chip in solution.chips),
    )
    (result,) = imported(catalog, [Headerlet("new", headerlet_bytes(shifted))], rootname=rootname.upper())
    assert (result.status, result.reason, result.same_distortion) == ("new", "", True)
    (row,) = [row for row in rows(catalog, rootname) if row.solution_id == result.solution_id]
    assert (row.wcsname, row.kind, row.in_force, row.problem) == (shifted.name, "a_priori", False, None)
    assert row.places == ["headerlet new"]
    (again,) = imported(catalog, [Headerlet("new", headerlet_bytes(shifted))])
    assert (again.status, again.solution_id) == ("known", result.solution_id)


def test_chips_that_do_not_belong_together_are_inconsistent(catalog, rootname, headerlets):
    sound = read_headerlet(headerlets[3].content)
    bad = replace(moved(sound, 2, 1.0), name=sound.name.replace("HSC30", "HSC31"))
    (result,) = imported(catalog, [Headerlet("bad", headerlet_bytes(bad))])
    assert result.status == "inconsistent"
    assert result.reason.startswith("inconsistent: SCI,2 lies 39.")
    (row,) = [row for row in rows(catalog, rootname) if row.solution_id == result.solution_id]
    assert row.problem == result.reason
    assert not row.in_force


def test_a_dry_run_writes_nothing(catalog, rootname, headerlets):
    sound = read_headerlet(headerlets[3].content)
    fresh = replace(sound, name=sound.name.replace("HSC30", "HSC31"))
    before = len(rows(catalog, rootname))
    with catalog.begin() as connection:
        results = import_headerlets(
            connection, None, [*headerlets, Headerlet("fresh", headerlet_bytes(fresh))], rootname=rootname
        )
    assert results[-1].status == "new"
    assert results[-1].solution_id is None
    assert results[0].status == "known"
    assert results[0].solution_id
    assert len(rows(catalog, rootname)) == before


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda content: b"<html><body>Service unavailable</body></html>", "not a FITS file"),
        (lambda content: content[: len(content) * 2 // 3], "truncated"),
        (lambda content: content[:2880], "no SIPWCS extension"),
        (lambda content: b"", "empty file"),
    ],
)
def test_damage_is_rejected_and_stops_nothing(catalog, rootname, headerlets, spoil, reason):
    bad = Headerlet("bad", spoil(headerlets[2].content))
    first, second = imported(catalog, [bad, headerlets[2]])
    assert first.status == "rejected"
    assert reason in first.reason
    assert second.status == "known"


def test_another_exposures_headerlet_is_rejected(catalog, rootname, headerlets):
    (result,) = imported(catalog, headerlets[:1], rootname="j8bt09jcq")
    assert (result.status, result.solution_id) == ("rejected", None)
    assert result.reason == f"it belongs to {rootname}, not to j8bt09jcq"


def test_an_exposure_that_is_not_here_is_said(catalog, headerlets):
    (result,) = imported(catalog, headerlets[:1])
    assert result.status == "rejected"
    assert result.reason == "no exposure ib4606c5q in the catalog"


def test_a_size_beyond_reason_is_rejected(catalog, rootname, headerlets, monkeypatch):
    monkeypatch.setattr("hapctl.processing.pipeline.solution_import.LARGEST_HEADERLET", 1000)
    (result,) = imported(catalog, headerlets[:1])
    assert result.status == "rejected"
    assert "more than 1000" in result.reason
