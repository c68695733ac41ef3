"""`hapctl align` from files to rows: accuracy, refusals, repetition, what is left after a kill."""

import itertools
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hapctl.archive.database import Catalog
from hapctl.processing.astrometry.headerlet import read_headerlet
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import TangentPlane
from hapctl.processing.pipeline.solution_store import solution_from_catalog
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.truth import alignment_error
from hapctl.processing.simulation.visit import simulate_visit
from sqlalchemy import text
from support.commands import Runner
from support.data import data_file
from support.sky_visit import SkyVisit, sky_visit

HRC = "hrc_47tuc/{}_flt.fits"
EXTRACT = "hrc_47tuc/gaia_dr3_47tuc_core.ecsv"
CORE = "circle 6.0236 -72.0813 0.0083333333"


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> SkyVisit:
    return sky_visit(tmp_path_factory.mktemp("visit"), filters=("F606W", "F814W"))


@pytest.fixture
def hapctl(run_hapctl: Runner, visit: SkyVisit) -> Runner:
    """Run hapctl on a catalog that holds the visit and its extract."""
    assert run_hapctl("ingest", *visit.files).exit_code == 0
    loaded = run_hapctl("gaia", "load", visit.extract, "--release", "DR3", "--covers", visit.covers)
    assert loaded.exit_code == 0, loaded.stderr
    return run_hapctl


def ask(catalog: Catalog, statement: str, **names: Any) -> list[Any]:
    with catalog.begin() as connection:
        return list(connection.execute(text(statement), names))


def active(catalog: Catalog, rootname: str) -> Any:
    with catalog.begin() as connection:
        number = connection.scalar(
            text(
                "SELECT a.solution_id FROM wcs_active a JOIN exposure e USING (exposure_id) "
                "WHERE e.rootname = :rootname AND upper_inf(a.during)"
            ),
            {"rootname": rootname},
        )
        return solution_from_catalog(connection, number)


def headerlets(home: Path) -> dict[str, str]:
    files = sorted((home / "headerlets").rglob("*.fits"))
    return {str(path.relative_to(home)): sha256(path.read_bytes()).hexdigest() for path in files}


def row_counts(catalog: Catalog) -> dict[str, int]:
    tables = ("wcs_solution", "wcs_active", "alignment_group", "star_match", "lookup_table", "wcs_location")
    return {table: ask(catalog, f"SELECT count(*) FROM {table}")[0][0] for table in tables}


def test_a_visit_is_aligned_to_gaia(
    hapctl: Runner, catalog: Catalog, visit: SkyVisit, hapctl_home: Path
) -> None:
    before = {path: path.read_bytes() for path in visit.files}
    result = hapctl("align", "--visit", visit.visit, "--offline", "--json")
    assert result.exit_code == 0, result.stderr
    [report] = result.json()["visits"]
    assert (report["visit"], report["outcome"]) == (visit.visit, "accepted")
    for exposure in report["exposures"]:
        assert exposure["outcome"] == "accepted"
        assert exposure["wcsname"] == "IDC_0461802ej-FIT_SVM_GAIADR3"
        assert exposure["nmatches"] > 30
        assert max(exposure["rms_ra_mas"], exposure["rms_dec_mas"]) < 6.0
        solution = active(catalog, exposure["rootname"])
        assert visit.error_mas(solution) < 1.0
        assert solution.keywords["FITGEOM"] == "general"  # nothing vouches for skew (UPWCSVER)
        assert solution.keywords["WCSTYPE"].endswith("aligned by visit to GAIADR3")
        assert solution.keywords["CRDER1"] * 3.6e6 * 2**0.5 == pytest.approx(exposure["predicted_error_mas"])
        assert exposure["predicted_error_mas"] < 1.0
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(headerlets(hapctl_home)) == 2
    check_rows(catalog, hapctl_home)


def check_rows(catalog: Catalog, hapctl_home: Path) -> None:
    """Attempts, matched stars and headerlets agree with the solutions in force."""
    rows = ask(
        catalog,
        "SELECT t.method, t.outcome, t.nmatches, t.score, t.best_decoy_score, s.frame, p.name, "
        "(SELECT count(*) FROM star_match m WHERE m.attempt_id = t.attempt_id "
        "AND m.used) AS used FROM alignment_attempt t JOIN exposure e USING (exposure_id) "
        "JOIN policy p USING (policy_id) JOIN wcs_solution s ON s.solution_id = t.solution_id",
    )
    assert {(row.method, row.outcome) for row in rows} == {("joint", "accepted")}
    for row in rows:
        assert row.frame == "GAIA-CRF3"
        assert row.name == "align-default"
        assert row.used >= row.nmatches > 0
        if row.best_decoy_score is not None:
            assert row.best_decoy_score < row.score
    stars = ask(
        catalog,
        "SELECT e.rootname, m.* FROM star_match m JOIN alignment_attempt t USING (attempt_id) "
        "JOIN exposure e USING (exposure_id) WHERE m.catalog_ra IS NOT NULL AND m.used",
    )
    for star in stars[::7]:
        chip = active(catalog, star.rootname).chips[star.extver - 1]
        ra, dec = pixel_to_sky(chip, [star.x - 1], [star.y - 1])
        assert (ra[0], dec[0]) == pytest.approx((star.ra, star.dec), abs=1e-10)
        plane = TangentPlane(star.reference_ra, star.reference_dec)
        measured = 1e3 * plane.project_sky(np.array([star.ra]), np.array([star.dec]))[0]
        assert measured == pytest.approx([star.residual_ra_mas, star.residual_dec_mas], abs=0.01)
        assert star.source_id.isdecimal()
        there = 1e3 * plane.project_sky(np.array([star.catalog_ra]), np.array([star.catalog_dec]))[0]
        off = [star.catalog_residual_ra_mas, star.catalog_residual_dec_mas]
        assert measured - there == pytest.approx(off, abs=0.01)
    assert ask(catalog, "SELECT count(*) FROM attempt_reference_query")[0][0] == 2
    for path, name in ask(
        catalog, "SELECT l.key, s.wcsname FROM wcs_location l JOIN wcs_solution s USING (solution_id) "
        "WHERE l.place = 'headerlet'"
    ):  # fmt: skip
        read = read_headerlet(hapctl_home / path)
        assert read.name == name
        stored = active(catalog, read.rootname)
        assert [chip.crval for chip in read.chips] == [chip.crval for chip in stored.chips]
        assert [chip.cd for chip in read.chips] == [chip.cd for chip in stored.chips]


def test_simulated_acs_visit_is_right_to_a_milliarcsecond(
    run_hapctl: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    plan = VisitPlan(chip_shape=(768, 1536), stars=900, filters=("F606W",), seed=2)
    made = simulate_visit(tmp_path, plan)
    circle = made.truth.covers
    covers = f"circle {circle.ra} {circle.dec} {circle.radius}"
    run_hapctl("ingest", *made.files)
    run_hapctl("gaia", "load", made.gaia_extract, "--release", "DR3", "--covers", covers)
    before = [alignment_error(made.truth, active(catalog, e.rootname)).rms_mas for e in made.truth.exposures]
    result = run_hapctl("align", "--visit", plan.visit, "--offline", "--json")
    assert result.exit_code == 0, result.stderr
    after = [alignment_error(made.truth, active(catalog, e.rootname)).rms_mas for e in made.truth.exposures]
    assert min(before) > 100.0
    assert max(after) < 1.0


def test_repetition_changes_nothing(
    hapctl: Runner, catalog: Catalog, visit: SkyVisit, hapctl_home: Path
) -> None:
    assert hapctl("align", "--visit", visit.visit, "--offline").exit_code == 0
    rows, files = row_counts(catalog), headerlets(hapctl_home)
    runs = ask(catalog, "SELECT count(*) FROM run")[0][0]
    again = hapctl("align", "--visit", visit.visit.upper(), "--offline", "--json")
    assert again.exit_code == 0
    [report] = again.json()["visits"]
    assert report["outcome"] == "unchanged"
    assert {exposure["outcome"] for exposure in report["exposures"]} == {"unchanged"}
    assert all(exposure["nmatches"] > 30 for exposure in report["exposures"])
    assert row_counts(catalog) == rows
    assert headerlets(hapctl_home) == files
    assert ask(catalog, "SELECT count(*) FROM run")[0][0] == runs + 1
    outcomes = ask(catalog, "SELECT outcome, count(*) FROM alignment_attempt GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in outcomes] == [("accepted", 2), ("unchanged", 2)]
    shutil.rmtree(hapctl_home / "headerlets")
    assert hapctl("align", "--visit", visit.visit, "--offline").exit_code == 0
    assert headerlets(hapctl_home) == files


def test_another_catalog_or_rule_is_another_alignment(
    hapctl: Runner, catalog: Catalog, visit: SkyVisit
) -> None:
    assert hapctl("align", "--visit", visit.visit, "--offline").exit_code == 0
    relative = hapctl("align", "--visit", visit.visit, "--catalog", "none", "--json").json()["visits"][0]
    assert relative["outcome"] == "accepted"
    assert {e["wcsname"] for e in relative["exposures"]} == {"IDC_0461802ej-FIT_SVM_NONE"}
    frames = {row.frame for row in ask(catalog, "SELECT frame FROM active_solution")}
    assert len(frames) == 1
    assert frames.pop().startswith("alignment group")
    back = hapctl("align", "--visit", visit.visit, "--offline", "--json").json()["visits"][0]
    assert back["outcome"] == "unchanged"
    assert {row.frame for row in ask(catalog, "SELECT frame FROM active_solution")} == {"GAIA-CRF3"}


def with_wrong_stars(visit: SkyVisit, path: Path) -> Path:
    """An extract of the same field with stars of another."""
    table = Table.read(visit.extract)
    random = np.random.default_rng(4)
    for name, middle in (("ra", 150.0), ("dec", 2.2)):
        table[name] = middle + random.uniform(-0.03, 0.03, len(table))
    table.write(path, format="ascii.ecsv")
    return path


def test_a_refused_catalog_does_not_undo_an_absolute_alignment(
    hapctl: Runner, catalog: Catalog, visit: SkyVisit, tmp_path: Path
) -> None:
    assert hapctl("align", "--visit", visit.visit, "--offline").exit_code == 0
    wrong = with_wrong_stars(visit, tmp_path / "dr2.ecsv")
    assert hapctl("gaia", "load", wrong, "--release", "DR2", "--covers", visit.covers).exit_code == 0
    for _ in range(2):  # worked out, then repeated from the catalog
        result = hapctl("align", "--visit", visit.visit, "--offline", "--catalog", "GAIADR2", "--json")
        assert result.exit_code == 1
        for exposure in result.json()["visits"][0]["exposures"]:
            assert exposure["outcome"] == "refused"
            assert "IDC_0461802ej-FIT_SVM_GAIADR3 (GAIA-CRF3)" in exposure["reason"]
        assert {row.frame for row in ask(catalog, "SELECT frame FROM active_solution")} == {"GAIA-CRF3"}


def in_visit(file: Path, rootname: str) -> Path:
    """The file made one of another exposure."""
    with fits.open(file, mode="update") as hdus:
        for hdu in hdus:
            for keyword in ("ROOTNAME", "EXPNAME"):
                if keyword in hdu.header:
                    hdu.header[keyword] = rootname
        hdus[0].header["FILENAME"] = f"{rootname}_flc.fits"
    return file.rename(file.with_name(f"{rootname}_flc.fits"))


def test_exposures_of_another_pointing_are_aligned_among_themselves(
    hapctl: Runner, catalog: Catalog, visit: SkyVisit, tmp_path: Path
) -> None:
    elsewhere = sky_visit(tmp_path / "far", exposures=2, seed=5, centre=(151.0, 2.2))
    second = {f"{visit.visit}b{number}q" for number in range(2)}
    for file, rootname in zip(elsewhere.files, sorted(second), strict=True):
        assert hapctl("ingest", in_visit(file, rootname)).exit_code == 0
    for _ in range(2):  # worked out, then repeated from the catalog
        result = hapctl("align", "--visit", visit.visit, "--offline", "--catalog", "none", "--json")
        assert result.exit_code == 0
        exposures = result.json()["visits"][0]["exposures"]
        assert len(exposures) == 4
        assert {e["outcome"] for e in exposures} <= {"accepted", "unchanged"}
        frames = ask(catalog, "SELECT string_agg(rootname, ' ' ORDER BY rootname) FROM active_solution "
                     "GROUP BY frame ORDER BY 1")  # fmt: skip
        assert [row[0] for row in frames] == [
            f"{visit.visit}a0q {visit.visit}a1q",
            " ".join(sorted(second)),
        ]
    codes = ask(catalog, "SELECT code, count(*) FROM alignment_attempt GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in codes] == [("accepted", 4), ("unchanged", 4)]


def test_an_exposure_of_another_field_is_aligned_by_itself_and_repeated(
    hapctl: Runner, catalog: Catalog, visit: SkyVisit, tmp_path: Path, hapctl_home: Path
) -> None:
    elsewhere = sky_visit(tmp_path / "far", exposures=1, seed=5, centre=(151.0, 2.2), gaia=71)
    table = Table.read(elsewhere.extract)
    table["source_id"] += 5000
    table.write(elsewhere.extract, format="ascii.ecsv", overwrite=True)
    far = f"{visit.visit}b0q"
    assert hapctl("ingest", in_visit(elsewhere.files[0], far)).exit_code == 0
    loaded = hapctl("gaia", "load", elsewhere.extract, "--release", "DR3", "--covers", elsewhere.covers)
    assert loaded.exit_code == 0
    first = hapctl("align", "--visit", visit.visit, "--offline", "--json").json()["visits"][0]
    assert {e["rootname"]: e["outcome"] for e in first["exposures"]}[far] == "accepted"
    solution = active(catalog, far)
    true = elsewhere.truth[f"{elsewhere.visit}a0q"]
    assert elsewhere.error_mas(replace(solution, rootname=true.rootname)) < 1.0
    files = headerlets(hapctl_home)
    assert len(files) == 3
    shutil.rmtree(hapctl_home / "headerlets")
    again = hapctl("align", "--visit", visit.visit, "--offline", "--json").json()["visits"][0]
    assert {e["outcome"] for e in again["exposures"]} == {"unchanged"}
    assert [e["nmatches"] for e in again["exposures"]] == [e["nmatches"] for e in first["exposures"]]
    assert headerlets(hapctl_home) == files


def test_headerlets_that_cannot_be_written_follow_later(
    hapctl: Runner, catalog: Catalog, visit: SkyVisit, hapctl_home: Path
) -> None:
    (hapctl_home / "headerlets").write_text("in the way of the folder")
    result = hapctl("align", "--visit", visit.visit, "--offline")
    assert result.exit_code == 1
    assert "the headerlet can't be written" in result.stderr
    assert {row.frame for row in ask(catalog, "SELECT frame FROM active_solution")} == {"GAIA-CRF3"}
    (hapctl_home / "headerlets").unlink()
    assert hapctl("align", "--visit", visit.visit, "--offline").exit_code == 0
    assert len(headerlets(hapctl_home)) == 2


def test_uncovered_fields_are_refused_with_the_command_to_run(
    run_hapctl: Runner, catalog: Catalog, visit: SkyVisit
) -> None:
    assert run_hapctl("ingest", *visit.files).exit_code == 0
    result = run_hapctl("align", "--visit", visit.visit, "--offline", "--json")
    assert result.exit_code == 1
    assert "0.0 % of the field" in result.json()["error"]["message"]
    assert "hapctl gaia fetch --region" in result.json()["error"]["remedy"]
    rows = ask(catalog, "SELECT catalog, code, covered_fraction, outcome FROM alignment_attempt")
    assert sorted(tuple(row) for row in rows) == [
        (name, "too-little-coverage", 0.0, "refused") for name in ("2MASS", "GAIADR3", "GSC242") for _ in "ab"
    ]
    assert ask(catalog, "SELECT count(*) FROM wcs_solution WHERE mode = 'SVM'")[0][0] == 0
    ends = ask(catalog, "SELECT e.outcome, e.exit_code FROM run_end e JOIN run USING (run_id) "
               "WHERE command = 'align'")  # fmt: skip
    assert [tuple(row) for row in ends] == [("refused", 1)]


def test_flt_and_flc_are_never_in_one_fit(
    run_hapctl: Runner, catalog: Catalog, visit: SkyVisit, tmp_path: Path
) -> None:
    only_flt = sky_visit(tmp_path / "flt", exposures=3, suffix="flt")
    mixed = (*visit.files, only_flt.files[2])
    assert run_hapctl("ingest", *mixed).exit_code == 0
    run_hapctl("gaia", "load", visit.extract, "--release", "DR3", "--covers", visit.covers)
    result = run_hapctl("align", "--visit", visit.visit, "--offline", "--json")
    assert result.exit_code == 0
    groups = ask(
        catalog,
        "SELECT s.alignment_group_id, string_agg(e.rootname, ' ' ORDER BY e.rootname) FROM wcs_solution s "
        "JOIN exposure e USING (exposure_id) WHERE s.mode = 'SVM' GROUP BY 1 ORDER BY 2",
    )
    assert [row[1] for row in groups] == [f"{visit.visit}a0q {visit.visit}a1q", f"{visit.visit}a2q"]
    assert run_hapctl("align", "--visit", visit.visit, "--offline").exit_code == 0
    outcomes = ask(catalog, "SELECT outcome, count(*) FROM alignment_attempt GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in outcomes] == [("accepted", 3), ("unchanged", 3)]


def test_both_files_of_an_exposure_the_corrected_one_is_used(
    run_hapctl: Runner, visit: SkyVisit, tmp_path: Path
) -> None:
    flt = sky_visit(tmp_path / "flt", exposures=1, suffix="flt")
    assert run_hapctl("ingest", visit.files[0], *flt.files).exit_code == 0
    planned = run_hapctl("align", "--visit", visit.visit, "--dry-run", "--catalog", "none", "--json")
    assert planned.exit_code == 0
    [exposure] = planned.json()["visits"][0]["exposures"]
    assert exposure["reason"].startswith("from IDC_0461802ej, flc; ")


def test_dry_run_records_nothing(hapctl: Runner, catalog: Catalog, visit: SkyVisit) -> None:
    runs = ask(catalog, "SELECT count(*) FROM run")[0][0]
    planned = hapctl("align", "--visit", visit.visit, "--dry-run", "--json")
    assert planned.exit_code == 0
    [report] = planned.json()["visits"]
    assert report["outcome"] == "planned"
    assert "100.0 % of the field" in report["reason"]
    assert ask(catalog, "SELECT count(*) FROM run")[0][0] == runs


def test_excluded_exposures_are_told_and_left_out(hapctl: Runner, visit: SkyVisit) -> None:
    left_out = f"{visit.visit}a1q"
    assert hapctl("exposure", "withdraw", left_out, "guide star lost").exit_code == 0
    report = hapctl("align", "--visit", visit.visit, "--offline", "--json").json()["visits"][0]
    outcomes = {exposure["rootname"]: exposure for exposure in report["exposures"]}
    assert outcomes[left_out]["outcome"] == "excluded"
    assert "guide star lost" in outcomes[left_out]["reason"]
    assert outcomes[f"{visit.visit}a0q"]["outcome"] == "accepted"
    assert outcomes[f"{visit.visit}a0q"]["wcsname"].endswith("FIT_SVM_GAIADR3")


def test_unknown_visits_and_one_failure_of_several(hapctl: Runner, visit: SkyVisit) -> None:
    assert hapctl("align", "--visit", "zzzzzz").exit_code == 3
    both = hapctl("align", "--visit", "zzzzzz", "--visit", visit.visit, "--offline", "--json")
    assert both.exit_code == 3, "that of the gravest failure"
    reports = both.json()["visits"]
    assert [report["outcome"] for report in reports] == ["failed", "accepted"]
    assert "zzzzzz" in reports[0]["reason"]


def test_a_file_that_changed_is_not_used(run_hapctl: Runner, visit: SkyVisit, tmp_path: Path) -> None:
    copies = [Path(shutil.copy(path, tmp_path)) for path in visit.files]
    run_hapctl("ingest", *copies)
    run_hapctl("gaia", "load", visit.extract, "--release", "DR3", "--covers", visit.covers)
    content = bytearray(copies[0].read_bytes())
    content[-3000] ^= 1
    copies[0].write_bytes(content)
    result = run_hapctl("align", "--visit", visit.visit, "--offline")
    assert result.exit_code == 1
    assert copies[0].name in result.stderr


def test_killed_runs_are_completed(
    hapctl: Runner, catalog: Catalog, visit: SkyVisit, hapctl_home: Path
) -> None:
    command = [sys.executable, "-c", "from hapctl.cli.main import main; main()"]
    command += ["align", "--visit", visit.visit, "--offline"]
    for seconds in (1.2, 2.2, 3.4):
        running = subprocess.Popen(
            command, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(seconds)
        running.kill()
        running.wait()
        states = ask(catalog, "SELECT DISTINCT wcsname FROM active_solution")
        assert len(states) == 1  # all of the visit or none
    assert hapctl("align", "--visit", visit.visit, "--offline").exit_code == 0
    assert len(headerlets(hapctl_home)) == 2
    assert ask(catalog, "SELECT count(*) FROM wcs_solution WHERE mode = 'SVM'")[0][0] == 2
    assert ask(catalog, "SELECT count(*) FROM alignment_group")[0][0] == 1
    assert not list((hapctl_home / "headerlets").rglob(".*"))


class TestTuc47:
    """The real exposures of 47 Tuc."""

    @pytest.fixture
    def tuc(self, run_hapctl: Runner) -> Runner:
        names = ("j8bt05njq", "j8bt06nyq", "j8bt06o6q", "j8bt09jcq")
        assert run_hapctl("ingest", *(data_file(HRC.format(name)) for name in names)).exit_code == 0
        loaded = run_hapctl("gaia", "load", data_file(EXTRACT), "--release", "DR3", "--covers", CORE)
        assert loaded.exit_code == 0
        return run_hapctl

    def test_ultraviolet_frame_is_aligned_to_gaia(self, tuc: Runner, catalog: Catalog) -> None:
        result = tuc("align", "--visit", "j8bt09", "--offline", "--json")
        assert result.exit_code == 0, result.stderr
        [exposure] = result.json()["visits"][0]["exposures"]
        assert exposure["wcsname"] == "IDC_n721640fj-FIT_SVM_GAIADR3"
        assert 15 <= exposure["nmatches"] <= 32
        assert max(exposure["rms_ra_mas"], exposure["rms_dec_mas"]) < 12.0
        [attempt] = ask(catalog, "SELECT * FROM alignment_attempt")
        assert np.hypot(attempt.shift_ra_mas, attempt.shift_dec_mas) == pytest.approx(1705, abs=10)
        assert attempt.best_decoy_score < 0.8 * attempt.score
        assert abs(attempt.scale_ratio - 1) < 5e-4

    def test_optical_pair_is_refused_gaia_and_lies_on_itself(self, tuc: Runner, catalog: Catalog) -> None:
        result = tuc("align", "--visit", "j8bt06", "--offline", "--json")
        assert result.exit_code == 0, result.stderr
        [report] = result.json()["visits"]
        for exposure in report["exposures"]:
            assert exposure["wcsname"] == "IDC_n721640fj-FIT_SVM_NONE"
            assert "refused before: " in exposure["reason"]
        refusals = ask(catalog, "SELECT code FROM alignment_attempt WHERE catalog = 'GAIADR3'")
        assert len(refusals) >= 2
        reasons = ask(catalog, "SELECT DISTINCT reason FROM wcs_history WHERE origin = 'align'")
        assert [row.reason for row in reasons] == ["aligned to each other only: no catalog was accepted"]
        [frame] = {
            row.frame for row in ask(catalog, "SELECT frame FROM active_solution WHERE visit = 'j8bt06'")
        }
        assert frame.startswith("alignment group")
        offsets = held_out_offsets(catalog, "j8bt06nyq", "j8bt06o6q")
        assert len(offsets) > 100
        assert np.all(np.abs(np.median(offsets, axis=0)) < 1.0)
        assert np.all(1.4826 * np.median(np.abs(offsets), axis=0) < 3.0)

    def test_single_optical_frame_stays_where_it_is(self, tuc: Runner, catalog: Catalog) -> None:
        result = tuc("align", "--visit", "j8bt05", "--offline", "--json")
        assert result.exit_code == 1
        [report] = result.json()["visits"]
        assert report["outcome"] == "refused"
        assert "stars matched" in report["exposures"][0]["reason"]
        [row] = ask(catalog, "SELECT wcsname FROM active_solution WHERE visit = 'j8bt05'")
        assert row.wcsname == "IDC_n721640fj"

    def test_four_exposures_of_three_visits_lie_on_gaia_together(self, tuc: Runner, catalog: Catalog) -> None:
        """Without a Gaia star of their own, the optical ones are tied through the ultraviolet one."""
        names = ("j8bt05njq", "j8bt06nyq", "j8bt06o6q", "j8bt09jcq")
        few = ("--set", "rule.most_stars=600")  # the others are held out
        result = tuc("align", "--exposures", *names, "--offline", *few, "--json")
        assert result.exit_code == 0, result.stderr
        [report] = result.json()["exposure_lists"]
        stars = {e["rootname"]: e["nmatches"] for e in report["exposures"]}
        assert stars["j8bt05njq"] < 3
        assert stars["j8bt09jcq"] >= 14
        assert all(1.0 < e["predicted_error_mas"] < 2.5 for e in report["exposures"])
        assert {row.frame for row in ask(catalog, "SELECT frame FROM active_solution")} == {"GAIA-CRF3"}
        for first, second in itertools.combinations(names, 2):
            offsets = held_out_offsets(catalog, first, second)
            middle = np.median(offsets, axis=0)
            assert len(offsets) > 100, (first, second)
            assert np.hypot(*middle) < 1.0, (first, second)
            assert np.all(1.4826 * np.median(np.abs(offsets - middle), axis=0) < 1.8), (first, second)


def held_out_offsets(catalog: Catalog, *rootnames: str) -> np.ndarray:
    """Offsets, mas, between sources of two exposures that the fit in force did not use."""
    from hapctl.processing.astrometry.detection import detect_sources
    from hapctl.processing.astrometry.matching import match_mutual
    from hapctl.processing.astrometry.source_list import detection_settings
    from hapctl.processing.imaging.chip_data import ExposureImage

    plane = TangentPlane(6.02, -72.083)
    places = []
    for rootname in rootnames:
        used = ask(
            catalog,
            "SELECT m.x, m.y FROM star_match m JOIN alignment_attempt t USING (attempt_id) "
            "JOIN exposure e USING (exposure_id) JOIN wcs_active a USING (exposure_id) "
            "WHERE e.rootname = :rootname AND upper_inf(a.during) AND a.solution_id = t.solution_id "
            "AND m.used",
            rootname=rootname,
        )
        with ExposureImage(data_file(HRC.format(rootname))) as image:
            [chip] = image.chips
            error = chip.error()
            assert error is not None
            found = detect_sources(chip.science(), error, chip.quality(), detection_settings("HRC"))
        found = found.chosen(found.usable & (found.snr > 20))
        fitted = np.array([[row.x - 1, row.y - 1] for row in used])
        distance = np.min(np.hypot(found.x[:, None] - fitted[:, 0], found.y[:, None] - fitted[:, 1]), axis=1)
        found = found.chosen(distance > 1.0)
        places.append(plane.project_sky(*pixel_to_sky(active(catalog, rootname).chips[0], found.x, found.y)))
    mine, theirs = match_mutual(places[0], places[1], 0.015)
    offsets: np.ndarray = 1e3 * (places[0][mine] - places[1][theirs])
    return offsets
