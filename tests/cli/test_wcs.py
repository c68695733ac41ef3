"""`hapctl wcs`: what it lists, shows, explains and puts in force."""

from pathlib import Path
from typing import Any

import pytest
from hapctl.archive.database import Catalog
from sqlalchemy import text
from support.commands import Runner
from support.data import data_file
from support.sky_visit import SkyVisit, sky_visit

FITTED = "IDC_0461802ej-FIT_SVM_GAIADR3"


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> SkyVisit:
    return sky_visit(tmp_path_factory.mktemp("visit"), seed=3)


@pytest.fixture
def aligned(run_hapctl: Runner, visit: SkyVisit) -> Runner:
    """Run hapctl on a catalog with the visit aligned."""
    run_hapctl("ingest", *visit.files)
    run_hapctl("gaia", "load", visit.extract, "--release", "DR3", "--covers", visit.covers)
    assert run_hapctl("align", "--visit", visit.visit, "--offline").exit_code == 0
    return run_hapctl


def in_force(catalog: Catalog, rootname: str) -> Any:
    with catalog.begin() as connection:
        return connection.execute(
            text("SELECT wcsname, frame FROM active_solution WHERE rootname = :rootname"),
            {"rootname": rootname},
        ).one()


def test_list_names_all_solutions(aligned: Runner, visit: SkyVisit) -> None:
    rootname = f"{visit.visit}a0q"
    rows = aligned("wcs", "list", rootname, "--json").json()["solutions"]
    assert [row["wcsname"] for row in rows] == ["IDC_0461802ej", "OPUS", FITTED]
    assert [row["in_force"] for row in rows] == [False, False, True]
    assert rows[2]["full_name"] == f"{FITTED}@{rows[2]['run_id']}"
    assert rows[2]["frame"] == "GAIA-CRF3"
    assert rows[2]["places"][0].startswith(f"headerlet headerlets/{visit.visit}/")
    lines = aligned("wcs", "list", rootname.upper()).stdout.splitlines()
    assert [line[0] for line in lines] == [" ", " ", "*"]
    assert "stars, rms" in lines[2]


def test_show_gives_the_transformation(aligned: Runner, visit: SkyVisit) -> None:
    rootname = f"{visit.visit}a1q"
    shown = aligned("wcs", "show", rootname, "--json").json()
    assert shown["wcsname"] == FITTED
    assert [chip["extver"] for chip in shown["chips"]] == [1, 2]
    first = visit.truth[rootname].chips[0]
    assert shown["chips"][0]["crval1"] == pytest.approx(first.crval[0], abs=3e-7)
    named = aligned("wcs", "show", rootname, "IDC_0461802ej", "--json").json()
    assert named["in_force"] is False
    words = aligned("wcs", "show", rootname, "OPUS@1").stdout
    assert "SCI,2" in words
    assert "CRVAL1" in words


def test_why_is_a_paragraph_with_numbers(aligned: Runner, visit: SkyVisit) -> None:
    rootname = f"{visit.visit}a0q"
    document = aligned("wcs", "why", rootname, "--json").json()
    paragraph = document["explanation"]
    assert aligned("wcs", "why", rootname).stdout.strip() == paragraph
    assert "\n" not in paragraph
    stars = document["in_force"]["nmatches"]
    told = [FITTED, "by an alignment", f"{stars} of its stars are in GAIADR3", "GAIA-CRF3", "mas east"]
    told += ["degree", f"solved for with {visit.visit}a1q", "OPUS@1", "No fit was refused"]
    assert [words for words in told if words not in paragraph] == []
    assert {attempt["method"] for attempt in document["attempts"]} == {"joint"}
    assert document["together_with"] == [f"{visit.visit}a1q"]


def test_why_tells_what_was_refused(run_hapctl: Runner, visit: SkyVisit) -> None:
    run_hapctl("ingest", visit.files[0])
    rootname = f"{visit.visit}a0q"
    before = run_hapctl("wcs", "why", rootname).stdout
    assert "as the file had it" in before
    assert "No alignment was tried" in before
    assert run_hapctl("align", "--visit", visit.visit, "--offline").exit_code == 1
    after = run_hapctl("wcs", "why", rootname).stdout
    assert "IDC_0461802ej, put there as the file had it" in after
    assert "refused the joint fit to GAIADR3 (too-little-coverage, step 1 of ladder-default)" in after
    assert "0.0 % of the field" in after


def test_a_single_exposure_without_a_catalog_is_an_attempt(run_hapctl: Runner, visit: SkyVisit) -> None:
    run_hapctl("ingest", visit.files[0])
    result = run_hapctl("align", "--visit", visit.visit, "--catalog", "none", "--json")
    assert result.exit_code == 1
    [exposure] = result.json()["visits"][0]["exposures"]
    assert (exposure["outcome"], exposure["code"]) == ("refused", "alone")
    words = run_hapctl("wcs", "why", f"{visit.visit}a0q").stdout
    assert "refused the relative fit (alone): a relative alignment needs two exposures." in words
    assert "0 stars" not in words


def test_why_tells_of_a_withdrawn_exposure(aligned: Runner, visit: SkyVisit) -> None:
    rootname = f"{visit.visit}a1q"
    assert "not mosaicked" not in aligned("wcs", "why", rootname).stdout
    assert aligned("exposure", "withdraw", rootname, "lost guide star").exit_code == 0
    assert "not mosaicked: withdrawn: lost guide star." in aligned("wcs", "why", rootname).stdout


def test_activate_by_hand_and_back(aligned: Runner, catalog: Catalog, visit: SkyVisit) -> None:
    rootname = f"{visit.visit}a0q"
    done = aligned("wcs", "activate", rootname, "IDC_0461802ej", "--reason", "to compare", "--json")
    assert done.exit_code == 0
    assert done.json()["status"] == "activated"
    assert done.json()["previous"].startswith(f"{FITTED}@")
    assert f"together with {visit.visit}a1q" in done.stderr
    assert in_force(catalog, rootname).wcsname == "IDC_0461802ej"
    assert in_force(catalog, f"{visit.visit}a1q").wcsname == FITTED
    assert "by hand" in aligned("wcs", "why", rootname).stdout
    assert "to compare" in aligned("wcs", "why", rootname).stdout
    again = aligned("wcs", "activate", rootname, "IDC_0461802ej", "--reason", "once more", "--json")
    assert again.json()["status"] == "unchanged"
    stays = aligned("align", "--visit", visit.visit, "--offline", "--json").json()["visits"][0]
    assert "put in force by hand and stays" in stays["exposures"][0]["reason"]
    assert stays["exposures"][0]["wcsname"] == "IDC_0461802ej"
    assert stays["exposures"][1]["wcsname"] == FITTED
    assert f"unchanged: {FITTED}" in aligned("align", "--visit", visit.visit, "--offline").stdout
    told = aligned("wcs", "why", rootname).stdout
    assert "stars, rms" in told[told.index(f"{FITTED}@") :]
    assert in_force(catalog, rootname).wcsname == "IDC_0461802ej"
    name = done.json()["previous"]
    assert aligned("wcs", "activate", rootname, name, "--reason", "better").exit_code == 0
    assert tuple(in_force(catalog, rootname)) == (FITTED, "GAIA-CRF3")
    with catalog.begin() as connection:
        history = connection.execute(
            text("SELECT origin FROM wcs_history WHERE rootname = :rootname ORDER BY since"),
            {"rootname": rootname},
        ).scalars()
        assert list(history) == ["ingest", "align", "manual", "manual"]


def test_unknown_names_are_not_found(aligned: Runner, visit: SkyVisit) -> None:
    rootname = f"{visit.visit}a0q"
    for arguments in (
        ("list", "zzzzzzzzz"),
        ("why", "zzzzzzzzz"),
        ("show", rootname, "IDC_other"),
        ("activate", rootname, "IDC_other", "--reason", "x"),
        ("activate", rootname, "OPUS@999", "--reason", "x"),
    ):
        result = aligned("wcs", *arguments)
        assert result.exit_code == 3, arguments
    assert "OPUS@1" in aligned("wcs", "show", rootname, "IDC_other").stderr
    assert aligned("wcs", "activate", rootname, "OPUS@x", "--reason", "x").exit_code == 2
    assert aligned("wcs", "activate", rootname, "OPUS").exit_code == 2
    assert aligned("wcs", "activate", rootname, "OPUS", "--reason", " ").exit_code == 2


def test_solutions_that_mix_chips_are_never_put_in_force(run_hapctl: Runner, catalog: Catalog) -> None:
    path: Path = data_file("headers/sample_svm_flc.fits")
    assert run_hapctl("ingest", path).exit_code == 0
    with catalog.begin() as connection:
        row = connection.execute(
            text("SELECT e.rootname, s.wcsname, s.run_id, s.problem, (SELECT wcsname FROM active_solution a "
                 "WHERE a.rootname = e.rootname) AS before FROM wcs_solution s JOIN exposure e "
                 "USING (exposure_id) WHERE s.problem IS NOT NULL AND s.problem LIKE '%chip%' LIMIT 1")
        ).one()  # fmt: skip
    solutions = run_hapctl("wcs", "list", row.rootname, "--json").json()["solutions"]
    named = [s for s in solutions if s["wcsname"] == row.wcsname]
    assert named[-1]["problem"] is not None
    result = run_hapctl("wcs", "activate", row.rootname, row.wcsname, "--reason", "try")
    assert result.exit_code == 1
    assert "must not be put in force" in result.stderr
    assert in_force(catalog, row.rootname).wcsname == row.before
    assert "never in force" in run_hapctl("wcs", "why", row.rootname).stdout
