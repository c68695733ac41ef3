"""`hapctl wcs apply`, `attach`, `extract`, `delete` and `hapctl undo`: solutions in files, and back."""

import gzip
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.archive.database import Catalog
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.headerlet import headerlet_bytes, read_headerlet
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, moved_solution, sky_matrix
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import WcsSolution
from sqlalchemy import text
from support.commands import Runner
from support.data import data_file
from support.exposure_files import exposure_file, two_chip_solution

FIT = "IDC_0461802ej-FIT_SVM_GAIADR3"
ROOT = "jtest0001"


def better(solution: WcsSolution, east_mas: float = 250.0) -> WcsSolution:
    fit = PlaneFit.similarity(np.array([east_mas / 1e3, -0.1]), 0.004, 1.00001)
    moved = moved_solution(solution, sky_matrix(fit, TangentPlane(*solution.chips[0].crval)))
    return replace(
        moved, name=FIT, keywords={**moved.keywords, "RMS_RA": 2.0, "RMS_DEC": 3.0, "NMATCHES": 50}
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """An exposure and a headerlet with a better solution."""
    solution = two_chip_solution(ROOT)
    science, headerlet = tmp_path / "data" / f"{ROOT}_flc.fits", tmp_path / "new_hlet.fits"
    science.parent.mkdir()
    science.write_bytes(exposure_file(solution, primary={"NEXTEND": 8}))
    headerlet.write_bytes(headerlet_bytes(better(solution), suffix="flc"))
    return science, headerlet


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pixel_sums(path: Path) -> list[str]:
    with fits.open(path) as hdus:
        return [hashlib.sha256(h.data.tobytes()).hexdigest() for h in hdus if h.name in ("SCI", "ERR", "DQ")]


def active(catalog: Catalog) -> tuple[str, str]:
    query = text("SELECT wcsname, origin FROM wcs_history WHERE rootname = :root AND until IS NULL")
    with catalog.begin() as connection:
        row = connection.execute(query, {"root": ROOT}).one()
    return row.wcsname, row.origin


def test_a_copy_gets_the_solution_in_force(
    run_hapctl: Runner, files: tuple[Path, Path], tmp_path: Path
) -> None:
    science, headerlet = files
    before = sha256(science)
    run_hapctl("ingest", science)
    assert run_hapctl("wcs", "import", headerlet).exit_code == 0
    run_hapctl("wcs", "activate", ROOT, FIT, "--reason", "better")
    done = run_hapctl("wcs", "apply", science, "--output-dir", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    [row] = done.json()["files"]
    expected = {"wcsname": FIT, "previous": "IDC_0461802ej", "archived_key": "A", "headerlets": 1}
    assert {key: row[key] for key in expected} == expected
    copy = tmp_path / "out" / science.name
    assert sha256(science) == before
    found = {str(e.location): e.solution for e in read_solutions(copy)}
    assert transformation_sha256(found["primary"]) == transformation_sha256(read_headerlet(headerlet))
    assert [found[place].name for place in ("key A", "key O", "HDRLET 1")] == [
        "IDC_0461802ej",
        "OPUS",
        "IDC_0461802ej",
    ]
    assert pixel_sums(copy) == pixel_sums(science)
    again = run_hapctl("wcs", "apply", science, "--output-dir", tmp_path / "out")
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    # The same solution, found again by an ingest of the copy: no new row.
    run_hapctl("ingest", copy)
    names = [s["wcsname"] for s in run_hapctl("wcs", "list", ROOT, "--json").json()["solutions"]]
    assert names.count(FIT) == 1


def test_in_place_and_undone_to_the_byte(
    run_hapctl: Runner, catalog: Catalog, files: tuple[Path, Path]
) -> None:
    science, headerlet = files
    before = sha256(science)
    run_hapctl("ingest", science)
    done = run_hapctl("wcs", "apply", science, "--headerlet", headerlet, "--in-place", "--json")
    assert done.exit_code == 0, done.stderr
    assert sha256(science) != before
    assert active(catalog) == (FIT, "ingest")
    same = run_hapctl("wcs", "apply", science, "--headerlet", headerlet, "--in-place", "--json").json()
    assert same["files"][0]["status"] == "unchanged"
    undone = run_hapctl("undo", "--json")
    assert undone.exit_code == 0, undone.stderr
    assert [one["outcome"] for one in undone.json()["files"]] == ["restored"]
    assert sha256(science) == before
    assert active(catalog) == ("IDC_0461802ej", "ingest")
    assert run_hapctl("ingest", science, "--json").json()["counts"]["unchanged"] == 1
    assert run_hapctl("undo").exit_code == 3
    assert run_hapctl("undo", done.json()["run"]).exit_code == 1
    with catalog.begin() as connection:
        current = connection.execute(
            text("SELECT f.sha256 FROM exposure_file_current c JOIN exposure_file f USING (file_id) "
                 "WHERE upper_inf(c.during)")
        )  # fmt: skip
        assert current.scalars().all() == [before]


def test_a_file_changed_since_is_not_undone(run_hapctl: Runner, files: tuple[Path, Path]) -> None:
    science, headerlet = files
    first = run_hapctl("wcs", "apply", science, "--headerlet", headerlet, "--in-place", "--json").json()[
        "run"
    ]
    between = sha256(science)
    second = run_hapctl(
        "wcs", "delete", science, "--key", "A", "--hdrlet", "1", "--in-place", "--json"
    ).json()["run"]
    refused = run_hapctl("undo", first)
    assert refused.exit_code == 1
    assert "changed after that run" in refused.stderr
    assert run_hapctl("undo", second).exit_code == 0
    assert sha256(science) == between
    assert run_hapctl("undo", first).exit_code == 0


def test_a_change_that_was_never_made_is_told(
    run_hapctl: Runner, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    science, headerlet = files
    before = sha256(science)

    def killed(source: object, target: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        assert run_hapctl("wcs", "apply", science, "--headerlet", headerlet, "--in-place").exit_code == 130
    assert sha256(science) == before
    assert os.listdir(science.parent) == [science.name]
    undone = run_hapctl("undo", "--json").json()["files"]
    assert [one["outcome"] for one in undone] == ["never_made"]


def test_gzipped_files_stay_gzipped(run_hapctl: Runner, files: tuple[Path, Path], tmp_path: Path) -> None:
    science, headerlet = files
    packed = science.with_name(f"{science.name}.gz")
    packed.write_bytes(gzip.compress(science.read_bytes()))
    run_hapctl("ingest", packed)
    arguments = ("wcs", "apply", packed, "--headerlet", headerlet)
    assert run_hapctl(*arguments, "--output-dir", tmp_path / "out").exit_code == 0
    copy = tmp_path / "out" / packed.name
    assert copy.read_bytes()[:2] == b"\x1f\x8b"
    assert read_solutions(copy)[0].solution.name == FIT
    content = gzip.decompress(packed.read_bytes())
    assert run_hapctl(*arguments, "--in-place").exit_code == 0
    assert run_hapctl("undo").exit_code == 0
    assert gzip.decompress(packed.read_bytes()) == content
    assert run_hapctl("ingest", packed, "--json").json()["counts"]["unchanged"] == 1


def test_attach_extract_and_delete(run_hapctl: Runner, files: tuple[Path, Path], tmp_path: Path) -> None:
    science, headerlet = files
    before = sha256(science)
    attached = run_hapctl("wcs", "attach", science, headerlet, "--in-place", "--json")
    assert attached.json()["files"][0]["attached"] == [f"{FIT} (HDRLET,1)"]
    out = run_hapctl("wcs", "extract", science, "--output-dir", tmp_path / "hlets", "--json").json()["files"][
        0
    ]
    assert [one["place"] for one in out["headerlets"]] == ["primary", "HDRLET 1"]
    assert Path(out["headerlets"][1]["path"]).read_bytes() == headerlet.read_bytes()
    for entry, one in zip((read_solutions(science)[0],), out["headerlets"], strict=False):
        assert transformation_sha256(read_headerlet(Path(one["path"]))) == transformation_sha256(
            entry.solution
        )
    named = run_hapctl(
        "wcs", "extract", science, "--solution", "key O", "--output-dir", tmp_path / "o", "--json"
    ).json()
    assert named["files"][0]["headerlets"][0]["wcsname"] == "OPUS"
    assert run_hapctl("wcs", "delete", science, "--key", "O", "--in-place").exit_code == 1
    assert run_hapctl("wcs", "delete", science, "--key", "B", "--in-place").exit_code == 1
    assert run_hapctl("wcs", "delete", science, "--hdrlet", FIT, "--in-place").exit_code == 0
    assert [str(e.location) for e in read_solutions(science)] == ["primary", "key O"]
    for _ in range(2):
        assert run_hapctl("undo").exit_code == 0
    assert sha256(science) == before


def test_the_catalog_follows_files_through_changes_and_undos(
    run_hapctl: Runner, catalog: Catalog, files: tuple[Path, Path]
) -> None:
    science, headerlet = files
    before = sha256(science)
    run_hapctl("ingest", science)

    def known() -> tuple[list[str], dict[str, list[str]]]:
        """The content in force that lies somewhere, and where each solution stands."""
        with catalog.begin() as connection:
            lying = connection.execute(
                text("SELECT f.sha256 FROM exposure_file_current c JOIN exposure_file f USING (file_id) "
                     "JOIN file_location l USING (file_id) WHERE upper_inf(c.during) AND upper_inf(l.during)")
            ).scalars().all()  # fmt: skip
        listed = run_hapctl("wcs", "list", ROOT, "--json").json()["solutions"]
        return list(lying), {one["wcsname"]: one["places"] for one in listed}

    places = known()[1]
    for command in (("attach", science, headerlet), ("delete", science, "--hdrlet", FIT)):
        assert run_hapctl("wcs", *command, "--in-place").exit_code == 0
        lying, now = known()
        assert lying == [sha256(science)]
        assert now.get(FIT, []) == (["hdrlet 1"] if command[0] == "attach" else [])
    for _ in range(2):
        assert run_hapctl("undo").exit_code == 0
        assert known()[0] == [sha256(science)]
    assert sha256(science) == before
    assert known()[1] == {**places, FIT: []}
    link = headerlet.with_name("link_flc.fits")
    link.symlink_to(science)
    for _ in range(2):
        assert run_hapctl("wcs", "apply", link, "--headerlet", headerlet, "--in-place").exit_code == 0
        assert link.is_symlink()
        assert known()[0] == [sha256(science)]
        assert run_hapctl("undo").exit_code == 0
        assert known()[0] == [sha256(science)] == [before]
    reason = run_hapctl("wcs", "history", ROOT, "--json").json()["history"][-1]["reason"]
    assert reason.count("was undone") == 1


def test_what_does_not_fit_is_refused(run_hapctl: Runner, files: tuple[Path, Path], tmp_path: Path) -> None:
    science, headerlet = files
    before = sha256(science)
    other = tmp_path / "other_hlet.fits"
    other.write_bytes(headerlet_bytes(better(two_chip_solution("jother001"))))
    cases = [
        (("--headerlet", other, "--in-place"), 1, "jother001"),
        (("--headerlet", tmp_path / "none.fits", "--in-place"), 3, "no such file"),
        (("--solution", "TWEAK", "--in-place"), 3, "no solution TWEAK"),
        (("--solution", "OPUS", "--in-place"), 1, "--force"),
        (("--headerlet", headerlet), 2, "--output-dir"),
        (("--headerlet", headerlet, "--output-dir", science.parent), 1, "--in-place"),
    ]
    for arguments, code, words in cases:
        result = run_hapctl("wcs", "apply", science, *arguments)
        assert (result.exit_code, words in result.stderr) == (code, True), (arguments, result.stderr)
    assert sha256(science) == before


def test_a_real_headerlet_that_mixes_chips_is_refused(run_hapctl: Runner, tmp_path: Path) -> None:
    path = tmp_path / "sample_svm_flc.fits"
    shutil.copy(data_file("headers/sample_svm_flc.fits"), path)
    result = run_hapctl("wcs", "apply", path, "--solution", "HDRLET 10", "--output-dir", tmp_path / "out")
    assert result.exit_code == 1
    assert "inconsistent" in result.stderr
    assert (
        run_hapctl("wcs", "apply", path, "--solution", "HDRLET 3", "--output-dir", tmp_path / "out").exit_code
        == 0
    )


def test_one_bad_file_of_several_stops_no_other(
    run_hapctl: Runner, files: tuple[Path, Path], tmp_path: Path
) -> None:
    science, headerlet = files
    result = run_hapctl(
        "wcs",
        "apply",
        science,
        tmp_path / "none.fits",
        "--headerlet",
        headerlet,
        "--output-dir",
        tmp_path / "out",
        "--json",
    )
    assert result.exit_code == 0
    assert [row["status"] for row in result.json()["files"]] == ["written", "failed"]
