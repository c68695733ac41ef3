"""Ingest: what each file becomes, what stays the same when it is done again, and what goes in force."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from astropy.io import fits
from hapctl.archive.database import Catalog
from hapctl.archive.exposures import lock_exposure
from hapctl.archive.runs import recorded_run
from hapctl.archive.solutions import activate
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.headerlet import headerlet_bytes
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.pipeline.solution_store import (
    NewSolution,
    default_frame,
    record_solutions,
    solution_from_catalog,
)
from sqlalchemy import text
from support.canonical import canonical_state
from support.commands import Result, Runner
from support.data import data_file, data_root
from support.exposure_files import exposure_file, two_chip_solution


def _write(folder: Path, rootname: str = "jtest0001", suffix: str = "flc", **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{rootname}_{suffix}.fits"
    path.write_bytes(exposure_file(two_chip_solution(rootname, binning=16), suffix=suffix, **more))
    return path


def _statuses(result: Result) -> dict[str, str]:
    return {Path(file["path"]).name: file["status"] for file in result.json()["files"]}


def _reason(result: Result, name: str) -> str:
    reasons = {Path(file["path"]).name: file["reason"] for file in result.json()["files"]}
    return str(reasons[name])


def _rows(url: str, question: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(question).fetchall()


ACTIVE = "SELECT rootname, wcsname FROM active_solution ORDER BY 1"
HEADERLETS = "SELECT rootname, headerlets FROM exposure_file JOIN exposure USING (exposure_id)"
EXCLUDED = "SELECT rootname, exclusion_code FROM exposure WHERE exclusion_code <> ''"
MIXED = "SELECT wcsname FROM wcs_solution WHERE problem LIKE '%chips with different%' ORDER BY 1"
TILES = """
    SELECT c.name FROM solution_sky_cell t JOIN sky_cell c USING (sky_cell_id)
    JOIN wcs_active a USING (solution_id) JOIN exposure e USING (exposure_id) WHERE rootname = 'j8bt09jcq'"""
BYTES = "SELECT headerlet FROM wcs_solution WHERE headerlet IS NOT NULL"
PLACES = "SELECT path FROM file_location WHERE upper_inf(during) ORDER BY 1"


@pytest.fixture
def archive_folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def test_the_real_files(run_hapctl: Runner, database_url: str) -> None:
    root = data_root()
    data_file("MANIFEST.md")
    first = run_hapctl("ingest", root, "--recursive", "--json")
    assert first.exit_code == 0, first.stderr
    assert first.json()["counts"] == {"new": 23, "updated": 0, "unchanged": 1, "rejected": 20}
    counts = dict(
        _rows(
            database_url, "SELECT rootname, headerlets FROM exposure_file JOIN exposure USING (exposure_id)"
        )
    )
    assert {name: count for name, count in counts.items() if count} == {
        **{"ib4606c5q": 8, "ib4606cpq": 9, "ib4606c6q": 10}
    }
    excluded = dict(
        _rows(database_url, "SELECT rootname, exclusion_code FROM exposure WHERE exclusion_code <> ''")
    )
    assert excluded == {
        **{"ib6o21qmq": "dispersed", "ib6o23rsq": "dispersed"},
        **{"o4k19a010": "header_only", "u40x010hm": "header_only"},
        **{"ibc301qrq": "empty", "j94f05bgq": "empty", "j9irw1rqq": "empty"},
    }
    mixed = _rows(
        database_url, "SELECT wcsname FROM wcs_solution WHERE problem LIKE '%chips with diff%' ORDER BY 1"
    )
    assert [name for (name,) in mixed] == [
        *(
            "IDC_2731450pi-FIT_REL_GAIAeDR3",
            "IDC_2731450pi-FIT_REL_GAIAeDR3",
            "IDC_2731450pi-FIT_SVM_GAIAeDR3",
        )
    ]
    active = dict(_rows(database_url, ACTIVE))
    assert len(active) == 22
    assert active["ib4606c6q"] == "IDC_2731450pi-FIT_SVM_GAIAeDR3"
    assert active["j8bt09jcq"] == "IDC_n721640fj"
    before = canonical_state(database_url)
    again = run_hapctl("ingest", root, "--recursive", "--json")
    assert again.json()["counts"] == {"new": 0, "updated": 0, "unchanged": 24, "rejected": 20}
    assert canonical_state(database_url) == before
    tiles = _rows(database_url, TILES)
    names = ("p0046x03y19", "p0047x20y18", "p0047x20y19", "p0073x03y02", "p0074x17y02")
    assert {name for (name,) in tiles} == {f"skycell-{name}" for name in names}


def test_solutions_come_back_from_the_catalog_to_the_last_bit(run_hapctl: Runner, catalog: Catalog) -> None:
    path = data_file("headers/sample_svm_flc.fits")
    run_hapctl("ingest", path)
    expected = {
        (found.solution.name, transformation_sha256(found.solution)): found for found in read_solutions(path)
    }
    with catalog.begin() as connection:
        numbers = list(connection.scalars(text("SELECT solution_id FROM wcs_solution")))
        for number in numbers:
            solution = solution_from_catalog(connection, number)
            found = expected.pop((solution.name, transformation_sha256(solution)))
            assert solution.problem == found.solution.problem
            assert solution.rootname == "ib4606c6q"
            if found.location.kind == "primary":
                assert solution.keywords == found.solution.keywords
    assert not expected
    stored = {
        bytes(row[0])
        for row in _rows(catalog.url, "SELECT headerlet FROM wcs_solution WHERE headerlet <> ''")
    }
    given = {found.headerlet_bytes for found in read_solutions(path) if found.headerlet_bytes}
    assert stored == given


def test_the_stories_of_one_file(run_hapctl: Runner, archive_folder: Path, database_url: str) -> None:
    path = _write(archive_folder)
    assert _statuses(run_hapctl("ingest", path, "--json")) == {path.name: "new"}
    assert _statuses(run_hapctl("ingest", path, "--json")) == {path.name: "unchanged"}

    copy = archive_folder / "a copy.fits"
    shutil.copy(path, copy)
    assert _statuses(run_hapctl("ingest", archive_folder, "--json")) == {
        path.name: "unchanged",
        copy.name: "unchanged",
    }
    assert _rows(database_url, PLACES) == [("a copy.fits",), (path.name,)]

    older = _write(archive_folder, primary={"DATE": "2019-05-05", "TARGNAME": "OLDER"})
    result = run_hapctl("ingest", older, "--json")
    assert _statuses(result) == {path.name: "rejected"}
    assert "not newer: DATE 2019-05-05" in _reason(result, path.name)
    assert result.exit_code == 1
    assert _rows(database_url, "SELECT target_name FROM exposure") == [("FIELD",)]
    assert _rows(database_url, PLACES) == [("a copy.fits",)]

    newer = _write(archive_folder, primary={"DATE": "2021-05-05", "TARGNAME": "NEWER"})
    assert _statuses(run_hapctl("ingest", newer, "--json")) == {path.name: "updated"}
    assert _rows(database_url, "SELECT target_name FROM exposure") == [("NEWER",)]
    current = "SELECT file_id FROM exposure_file_current WHERE upper_inf(during)"
    assert _rows(database_url, current) == _rows(database_url, "SELECT max(file_id) FROM exposure_file")

    result = run_hapctl("ingest", copy, "--verify", "--json")
    assert _statuses(result) == {copy.name: "unchanged"}
    assert "no longer in force" in _reason(result, copy.name)
    newer.unlink()
    result = run_hapctl("ingest", copy, "--verify", "--json")
    assert _statuses(result) == {copy.name: "updated"}
    assert "in force again" in _reason(result, copy.name)
    assert _rows(database_url, current) == _rows(database_url, "SELECT min(file_id) FROM exposure_file")


def test_a_file_that_moved(run_hapctl: Runner, archive_folder: Path, database_url: str) -> None:
    path = _write(archive_folder)
    run_hapctl("ingest", archive_folder)
    path.rename(archive_folder / "elsewhere.fits")
    assert _statuses(run_hapctl("ingest", archive_folder, "--json")) == {"elsewhere.fits": "unchanged"}
    assert _rows(database_url, PLACES) == [("elsewhere.fits",)]


def test_time_and_size_spare_the_hash_unless_verified(
    run_hapctl: Runner, archive_folder: Path, database_url: str
) -> None:
    path = _write(archive_folder)
    run_hapctl("ingest", path)
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert _statuses(run_hapctl("ingest", path, "--json")) == {path.name: "unchanged"}
    assert _statuses(run_hapctl("ingest", path, "--verify", "--json")) == {path.name: "rejected"}


def test_damaged_files_do_not_keep_the_others_out(run_hapctl: Runner, archive_folder: Path) -> None:
    good = _write(archive_folder)
    content = good.read_bytes()
    (archive_folder / "cut.fits").write_bytes(content[: len(content) // 2])
    (archive_folder / "empty.fits").write_bytes(b"")
    (archive_folder / "text.fits").write_text("no FITS at all")
    start = content.index(b"CRVAL1  =")
    card = f"{'CRVAL1':8}= {'NaN':>20}".encode().ljust(80)
    (archive_folder / "nan.fits").write_bytes(content[:start] + card + content[start + 80 :])
    result = run_hapctl("ingest", archive_folder, "gone.fits", "--json")
    assert result.exit_code == 0
    assert _statuses(result) == {
        **{good.name: "new", "gone.fits": "rejected"},
        **dict.fromkeys(("cut.fits", "empty.fits", "text.fits", "nan.fits"), "rejected"),
    }
    assert "truncated" in _reason(result, "cut.fits")
    assert _reason(result, "empty.fits") == "empty file"
    assert _reason(result, "text.fits") == "not a FITS file"
    assert _reason(result, "nan.fits") == "the WCS of SCI,1 is missing or not finite"
    assert _reason(result, "gone.fits") == "no such file or folder"


def test_what_the_catalog_refuses_is_a_reason_too(run_hapctl: Runner, archive_folder: Path) -> None:
    bad = _write(archive_folder, primary={"TARGNAME": "FI#LD"})
    bad.write_bytes(bad.read_bytes().replace(b"FI#LD", b"FI\0LD"))
    result = run_hapctl("ingest", bad, "--json")
    assert (result.exit_code, _statuses(result)) == (1, {bad.name: "rejected"})
    assert "a rule of the catalog refuses it" in _reason(result, bad.name)


def test_flt_and_flc_are_files_of_one_exposure(
    run_hapctl: Runner, archive_folder: Path, database_url: str
) -> None:
    _write(archive_folder, suffix="flc", primary={"TARGNAME": "FLC"})
    other = replace(two_chip_solution("jtest0001", (150.1, 2.2), binning=16), name="IDC_other1234")
    (archive_folder / "jtest0001_flt.fits").write_bytes(
        exposure_file(other, suffix="flt", primary={"TARGNAME": "FLT"})
    )
    assert set(_statuses(run_hapctl("ingest", archive_folder, "--json")).values()) == {"new"}
    assert _rows(database_url, "SELECT target_name FROM exposure") == [("FLC",)]
    assert _rows(database_url, ACTIVE) == [("jtest0001", "IDC_0461802ej")]


def test_the_order_of_flt_and_flc_does_not_matter(
    run_hapctl: Runner, archive_folder: Path, database_url: str
) -> None:
    other = replace(two_chip_solution("jtest0001", (150.1, 2.2), binning=16), name="IDC_other1234")
    archive_folder.mkdir()
    flt = archive_folder / "jtest0001_flt.fits"
    flt.write_bytes(exposure_file(other, suffix="flt"))
    run_hapctl("ingest", flt)
    assert _rows(database_url, ACTIVE) == [("jtest0001", "IDC_other1234")]
    run_hapctl("ingest", _write(archive_folder, suffix="flc"))
    assert _rows(database_url, ACTIVE) == [("jtest0001", "IDC_0461802ej")]


def test_an_alignment_stays_in_force(
    run_hapctl: Runner, archive_folder: Path, catalog: Catalog, database_url: str
) -> None:
    run_hapctl("ingest", _write(archive_folder))
    fit = replace(two_chip_solution("jtest0001", binning=16), name="IDC_0461802ej-FIT_SVM_GAIADR3")
    with recorded_run(catalog, "test", {}) as run, catalog.begin() as connection:
        (recorded,) = record_solutions(
            connection, run.id, "jtest0001", [NewSolution(fit, headerlet_bytes(fit))]
        )
        exposure_id = lock_exposure(connection, "jtest0001")
        assert activate(connection, run.id, {exposure_id: recorded.solution_id}, "a fit") == [exposure_id]
        assert activate(connection, run.id, {exposure_id: recorded.solution_id}, "again") == []
    newer = _write(archive_folder, primary={"DATE": "2021-05-05"})
    assert _statuses(run_hapctl("ingest", newer, "--json")) == {newer.name: "updated"}
    question = "SELECT wcsname, frame FROM active_solution"
    assert _rows(database_url, question) == [("IDC_0461802ej-FIT_SVM_GAIADR3", "GAIA-CRF3")]


def test_an_inconsistent_primary_is_never_put_in_force_the_next_best_is(
    run_hapctl: Runner, archive_folder: Path, database_url: str
) -> None:
    path = _write(archive_folder)
    with fits.open(path) as hdus:
        hdus["SCI", 2].header["WCSNAME"] = "IDC_0461802ej-HSC30"
        hdus.writeto(path, overwrite=True)
    result = run_hapctl("ingest", path, "--json")
    assert _statuses(result) == {path.name: "new"}
    reason = _reason(result, path.name)
    assert "not put in force: inconsistent: chips with different names" in reason
    assert reason.endswith("; OPUS is")
    assert _rows(database_url, ACTIVE) == [("jtest0001", "OPUS")]


def test_frames_of_what_is_not_absolute() -> None:
    names = ("OPUS", "IDC_a", "IDC_a-GSC240", "IDC_a-FIT_REL_NONE", "TWEAK")
    assert [default_frame("j8bt06nyq", name) for name in names] == [
        *("visit j8bt06 guide stars", "visit j8bt06 guide stars", "visit j8bt06 GSC240"),
        *("visit j8bt06 REL NONE", "visit j8bt06 TWEAK"),
    ]
    assert default_frame("j8bt06nyq", "IDC_a-FIT_SVM_GAIAEDR3") == "GAIA-CRF3"


def test_lists_patterns_and_folders(run_hapctl: Runner, archive_folder: Path, tmp_path: Path) -> None:
    first = _write(archive_folder, "jtest0001")
    second = (
        _write(archive_folder / "deep", "jtest0002") if archive_folder.mkdir(exist_ok=True) is None else first
    )
    listing = tmp_path / "list.txt"
    listing.write_text(f"# a list\n{first}  # the first\n\n{archive_folder}/deep/*_flc.fits\n")
    result = run_hapctl("ingest", f"@{listing}", "--json")
    assert _statuses(result) == {first.name: "new", second.name: "new"}
    assert set(_statuses(run_hapctl("ingest", archive_folder, "--json"))) == {first.name}
    both = {first.name, second.name}
    assert set(_statuses(run_hapctl("ingest", archive_folder, "--recursive", "--json"))) == both
    assert set(_statuses(run_hapctl("ingest", f"{archive_folder}/**/*.fits", "--json"))) == both
    assert run_hapctl("ingest", tmp_path / "nowhere").exit_code == 3
    assert run_hapctl("ingest", "@nowhere.txt").exit_code == 2


def test_workers_give_the_same_rows(
    run_hapctl: Runner, archive_folder: Path, database_url: str, tmp_path: Path
) -> None:
    for number in range(6):
        rootname = f"jtest00{number:02d}"
        _write(archive_folder, rootname, "flc")
        _write(archive_folder, rootname, "flt", primary={"FILTER1": "F814W"})
    result = run_hapctl("ingest", archive_folder, "--workers", 2, "--json")
    assert result.json()["counts"]["new"] == 12
    paths = [file["path"] for file in result.json()["files"]]
    assert paths == sorted(paths)
    assert _rows(database_url, "SELECT DISTINCT filter FROM exposure") == [("f606w",)]
    assert _rows(database_url, "SELECT count(*) FROM lookup_table") == [(5,)]
    assert _rows(database_url, "SELECT outcome FROM run_status WHERE command = 'ingest'") == [("done",)]


@pytest.mark.parametrize("moment", [0.2, 0.6])
def test_a_killed_ingest_is_completed_by_the_next(
    run_hapctl: Runner, archive_folder: Path, database_url: str, moment: float
) -> None:
    for number in range(40):
        _write(archive_folder, f"jtest00{number:02d}")
    command = [
        sys.executable,
        "-c",
        "from hapctl.cli.main import main; main()",
        "ingest",
        str(archive_folder),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    count = "SELECT count(*) FROM exposure"
    deadline = time.monotonic() + 60
    while _rows(database_url, count)[0][0] < 40 * moment and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = _rows(database_url, count)[0][0]
    assert 0 < done < 40
    whole = _rows(database_url, "SELECT count(*) FROM wcs_active")
    assert whole == [(done,)]
    result = run_hapctl("ingest", archive_folder, "--json")
    assert result.json()["counts"] == {"new": 40 - done, "updated": 0, "unchanged": done, "rejected": 0}
    state = canonical_state(database_url)
    assert len(state["active"]) == 40
    run_hapctl("ingest", archive_folder, "--verify")
    assert canonical_state(database_url) == state


def test_roots_move(run_hapctl: Runner, archive_folder: Path, tmp_path: Path) -> None:
    path = _write(archive_folder)
    run_hapctl("ingest", archive_folder)
    assert run_hapctl("root", "list", "--json").json()["roots"][0]["files"] == 1
    elsewhere = tmp_path / "elsewhere"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run_hapctl("root", "move", archive_folder, empty).exit_code == 1
    archive_folder.rename(elsewhere)
    moved = run_hapctl("root", "move", archive_folder, elsewhere, "--json")
    assert (moved.exit_code, moved.json()["found"]) == (0, 1)
    report = run_hapctl("exposure", "show", "jtest0001", "--json").json()
    assert report["files"][0]["paths"] == [str(elsewhere / path.name)]
    assert _statuses(run_hapctl("ingest", elsewhere, "--json")) == {path.name: "unchanged"}
    assert run_hapctl("root", "move", archive_folder, elsewhere).exit_code == 3


def test_withdrawal(run_hapctl: Runner, archive_folder: Path, database_url: str) -> None:
    run_hapctl("ingest", _write(archive_folder))
    eligible = "SELECT count(*) FROM eligible_exposure"
    assert _rows(database_url, eligible) == [(1,)]
    done = run_hapctl("exposure", "withdraw", "JTEST0001", "satellite trail", "--json")
    assert done.json()["withdrawn"] == "satellite trail"
    assert _rows(database_url, eligible) == [(0,)]
    assert run_hapctl("exposure", "show", "jtest0001", "--json").json()["withdrawn"] == "satellite trail"
    assert "satellite trail" in run_hapctl("exposure", "show", "jtest0001").stdout
    assert run_hapctl("exposure", "withdraw", "jtest0001", "again").exit_code == 1
    assert run_hapctl("exposure", "withdraw", "jnone0001", "why").exit_code == 3
    assert run_hapctl("exposure", "withdraw", "jtest0001", " ").exit_code == 2


def test_a_withdrawn_exposure_comes_back(run_hapctl: Runner, archive_folder: Path, database_url: str) -> None:
    path = _write(archive_folder)
    run_hapctl("ingest", path)
    assert run_hapctl("exposure", "restore", "jtest0001").exit_code == 1
    assert run_hapctl("exposure", "restore", "jnone0001").exit_code == 3
    run_hapctl("exposure", "withdraw", "jtest0001", "satellite trail")
    for options in ((), ("--verify",)):
        told = run_hapctl("ingest", path, *options, "--json").json()["files"][0]
        assert told["status"] == "unchanged"
        assert told["reason"].startswith(
            "its exposure is withdrawn: satellite trail; 'hapctl exposure restore"
        )
    done = run_hapctl("exposure", "restore", "JTEST0001", "--json").json()
    assert (done["rootname"], done["was_withdrawn"]) == ("jtest0001", "satellite trail")
    assert _rows(database_url, "SELECT count(*) FROM eligible_exposure") == [(1,)]
    assert run_hapctl("ingest", path, "--json").json()["files"][0]["reason"] is None
    assert run_hapctl("exposure", "withdraw", "jtest0001", "once more").exit_code == 0
