"""`hapctl wcs diff`, `history`, `revert`, `import` and `export` on the catalog."""

import errno
import os
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hapctl.archive.database import Catalog
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.headerlet import headerlet_bytes, read_headerlet
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, moved_solution, sky_matrix
from hapctl.processing.astrometry.reading import read_solutions
from support.catalog_rows import Rows
from support.commands import Runner
from support.data import data_file
from support.exposure_files import exposure_file, two_chip_solution

ROOT = "jtest0001"
FIT = "IDC_0461802ej-FIT_SVM_GAIADR3"


@pytest.fixture
def known(run_hapctl: Runner, tmp_path: Path) -> Runner:
    """Run hapctl on a catalog with an exposure, and a fit 100 mas east of its header."""
    solution = two_chip_solution(ROOT)
    fit = PlaneFit.similarity(np.array([0.1, 0.0]))
    better = moved_solution(solution, sky_matrix(fit, TangentPlane(*solution.chips[0].crval)))
    (tmp_path / f"{ROOT}_flc.fits").write_bytes(exposure_file(solution))
    (tmp_path / "fit_hlet.fits").write_bytes(headerlet_bytes(replace(better, name=FIT), suffix="flc"))
    assert run_hapctl("ingest", tmp_path / f"{ROOT}_flc.fits").exit_code == 0
    done = run_hapctl("wcs", "import", tmp_path / "fit_hlet.fits", "--json")
    assert [row["status"] for row in done.json()["solutions"]] == ["new"]
    return run_hapctl


def in_force(run: Runner) -> str:
    return next(row for row in run("wcs", "list", ROOT, "--json").json()["solutions"] if row["in_force"])[
        "wcsname"
    ]


def test_import_puts_nothing_in_force_and_repeats_itself(known: Runner, tmp_path: Path) -> None:
    assert in_force(known) == "IDC_0461802ej"
    again = known("wcs", "import", tmp_path / "fit_hlet.fits", "--json").json()
    assert [row["status"] for row in again["solutions"]] == ["known"]
    assert known("wcs", "import", tmp_path / "nothing.fits").exit_code == 3
    dry = known("wcs", "import", tmp_path, "--dry-run", "--json").json()
    assert dry["run"] is None
    assert {row["status"] for row in dry["solutions"]} == {"known"}


def test_import_of_a_folder_and_of_a_real_file(run_hapctl: Runner, tmp_path: Path) -> None:
    science = tmp_path / "sample_svm_flc.fits"
    shutil.copy(data_file("headers/sample_svm_flc.fits"), science)
    run_hapctl("ingest", science)
    out = tmp_path / "hlets"
    assert run_hapctl("wcs", "extract", science, "--output-dir", out).exit_code == 0
    rows = run_hapctl("wcs", "import", out, "--json").json()["solutions"]
    # The ten HDRLETs are known by their ingest, two of them as inconsistent; so is the primary WCS.
    assert sorted(row["status"] for row in rows) == ["inconsistent"] * 2 + ["known"] * 9
    assert all(row["reason"].startswith("inconsistent") for row in rows if row["status"] == "inconsistent")
    keyed = run_hapctl("wcs", "import", science, "--solution", "key B", "--json").json()["solutions"]
    assert [(row["wcsname"], row["source"][-7:]) for row in keyed] == [("IDC_2731450pi-HSC30", "[key B]")]


def raise_no_space(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_diff_of_the_catalog_and_of_files_agree(
    known: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = known("wcs", "diff", ROOT, FIT, "--json").json()
    assert len(table["points"]) == 10
    for point in table["points"]:
        assert point["east_mas"] == pytest.approx(100.0, abs=0.01)
    plot = tmp_path / "shift.pdf"
    science, headerlet = tmp_path / f"{ROOT}_flc.fits", tmp_path / "fit_hlet.fits"
    files = known("wcs", "diff", science, headerlet, "--plot", plot, "--json").json()
    assert files["points"] == table["points"]
    assert plot.read_bytes()[:4] == b"%PDF"
    elsewhere = known("wcs", "diff", science, headerlet, "--plot", "/proc/nowhere/shift.pdf")
    assert elsewhere.exit_code == 1
    assert "can't be written" in elsewhere.stderr
    with monkeypatch.context() as full:
        full.setattr("os.fsync", raise_no_space)
        assert known("wcs", "diff", science, headerlet, "--plot", tmp_path / "b.png").exit_code == 5
    assert not (tmp_path / "b.png").exists()
    named = known("wcs", "diff", ROOT, FIT, "IDC_0461802ej", "--json").json()
    assert named["points"][0]["east_mas"] == pytest.approx(-100.0, abs=0.01)
    inside = known("wcs", "diff", f"{science}[key O]", science)
    assert inside.exit_code == 0
    assert "IDC_0461802ej minus OPUS, mas" in inside.stdout
    assert "upper right" in inside.stdout
    assert known("wcs", "diff", ROOT, "TWEAK").exit_code == 3
    assert known("wcs", "diff", science, tmp_path / "none.fits").exit_code == 3


def test_history_and_revert(known: Runner) -> None:
    known("wcs", "activate", ROOT, FIT, "--reason", "better")
    time.sleep(0.01)
    moment = datetime.now(UTC).isoformat()
    known("wcs", "activate", ROOT, "OPUS", "--reason", "a mistake")
    lines = known("wcs", "history", ROOT, "--json").json()["history"]
    assert [(line["wcsname"], line["command"]) for line in lines] == [
        ("IDC_0461802ej", "ingest"), (FIT, "wcs activate"), ("OPUS", "wcs activate"),
    ]  # fmt: skip
    assert [line["until"] is None for line in lines] == [False, False, True]
    assert "a mistake" in known("wcs", "history", ROOT).stdout
    back = known("wcs", "revert", ROOT, "--json").json()["exposures"]
    assert [(one["name"].partition("@")[0], one["changed"]) for one in back] == [(FIT, True)]
    assert in_force(known) == FIT
    assert "reverted to what was in force" in known("wcs", "history", ROOT).stdout
    known("wcs", "activate", ROOT, "OPUS", "--reason", "once more")
    assert known("wcs", "revert", ROOT, "--to", moment, "--reason", "as then").exit_code == 0
    assert in_force(known) == FIT
    assert known("wcs", "revert", ROOT, "--to", "1999-01-01").exit_code == 3
    assert known("wcs", "revert", ROOT, "--to", "yesterday").exit_code == 2


def test_there_is_nothing_to_revert_to(known: Runner) -> None:
    result = known("wcs", "revert", ROOT)
    assert result.exit_code == 3
    assert "no other solution" in result.stderr


def test_export_gives_the_bytes_back_and_regions(known: Runner, catalog: Catalog, tmp_path: Path) -> None:
    out = tmp_path / "out"
    [row] = known("wcs", "export", ROOT, FIT, "--output-dir", out, "--json").json()["files"]
    assert Path(row["path"]).read_bytes() == (tmp_path / "fit_hlet.fits").read_bytes()
    assert known("wcs", "export", ROOT, FIT, "--output-dir", out).exit_code == 1
    everything = known("wcs", "export", ROOT, "--all", "--output-dir", tmp_path / "all", "--json").json()[
        "files"
    ]
    assert len(everything) == 3
    primary = known("wcs", "export", ROOT, "--output-dir", tmp_path / "p", "--regions", "--json").json()[
        "files"
    ]
    own = read_solutions(tmp_path / f"{ROOT}_flc.fits")[0].solution
    assert transformation_sha256(read_headerlet(Path(primary[0]["path"]))) == transformation_sha256(own)
    with catalog.begin() as connection:
        rows = Rows(connection)
        number = connection.exec_driver_sql(
            "SELECT solution_id, exposure_id FROM wcs_solution WHERE wcsname = %s", (FIT,)
        ).one()
        rows.add("run", command="align")
        rows.add("policy", kind="acceptance", name="standard")
        rows.add("alignment_group", visit=ROOT[:6])
        rows.add("alignment_attempt", visit=ROOT[:6], exposure_id=number.exposure_id, outcome="accepted",
                 solution_id=number.solution_id, from_solution_id=number.solution_id)  # fmt: skip
        rows.add("star_match", ra=150.001, dec=2.2, reference_ra=150.0011, reference_dec=2.2, source_id="42")
    regions = known("wcs", "export", ROOT, FIT, "--regions", "--output-dir", tmp_path / "r", "--json").json()[
        "files"
    ]
    words = Path(regions[1]["path"]).read_text()
    assert words.startswith("# Region file format: DS9")
    assert words.count("polygon(") == 2
    assert 'circle(150.001000000,2.200000000,0.3") # color=green' in words
    assert "point(150.001100000,2.200000000) # point=cross color=cyan text={42}" in words
