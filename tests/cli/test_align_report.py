"""`hapctl align --report` and `hapctl align report`: where pages go, what is refused."""

from pathlib import Path

import pytest
from support.commands import Runner
from support.sky_visit import SkyVisit, sky_visit


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> SkyVisit:
    return sky_visit(tmp_path_factory.mktemp("visit"), stars=120, gaia=40)


@pytest.fixture
def hapctl(run_hapctl: Runner, visit: SkyVisit, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run hapctl on a catalog that holds the visit and its extract; pages with a picture or two."""
    monkeypatch.setattr("hapctl.processing.pipeline.alignment_report.LARGEST_PAGE", 50_000)
    assert run_hapctl("ingest", *visit.files).exit_code == 0
    loaded = run_hapctl("gaia", "load", visit.extract, "--release", "DR3", "--covers", visit.covers)
    assert loaded.exit_code == 0, loaded.stderr
    return run_hapctl


def test_pages_go_where_they_are_told(hapctl: Runner, hapctl_home: Path, tmp_path: Path) -> None:
    asked = ("align", "--visit", "jtest1", "--offline", "--catalog", "GAIADR3")
    first = hapctl(*asked, "--report", "--json")
    assert first.exit_code == 0, first.stderr
    [document] = first.json()["visits"]
    page = hapctl_home / "reports" / "jtest1_alignment.html"
    assert document["report"] == str(page)
    assert f"run {document['run']}," in page.read_text(encoding="utf-8").lower()
    assert "report" not in hapctl(*asked, "--json").json()["visits"][0]

    named = tmp_path / "mine.html"
    again = hapctl(*asked, "--report", str(named))
    assert f"report: {named}" in again.stdout
    later = hapctl("align", "report", "--visit", "JTEST1", "--output", str(tmp_path / "pages"), "--json")
    assert later.exit_code == 0, later.stderr
    told = later.json()
    assert Path(told["report"]) == tmp_path / "pages" / "jtest1_alignment.html"
    assert Path(told["report"]).read_bytes() == named.read_bytes()
    assert told["plots"] == []
    of_run = hapctl("align", "report", "--run", told["run"], "--output", str(tmp_path))
    name = f"run{told['run']}_alignment.html"
    assert of_run.stdout == f"{tmp_path / name}\n"


def test_what_can_not_be_reported_is_told(hapctl: Runner, tmp_path: Path) -> None:
    missing = hapctl("align", "report", "--visit", "jtest1")
    assert missing.exit_code == 3
    assert "no alignment of visit jtest1" in missing.stderr
    assert hapctl("align", "report", "--group", "7").exit_code == 3
    assert hapctl("align", "report", "--run", "7000").exit_code == 3
    assert hapctl("align", "report").exit_code == 2
    assert hapctl("align", "report", "--visit", "jtest1", "--group", "7").exit_code == 2
    assert hapctl("align", "--visit", "jtest1", "--report", "--dry-run").exit_code == 2
    two = hapctl("align", "--visit", "jtest1", "--visit", "jtest2", "--report", str(tmp_path / "one.html"))
    assert two.exit_code == 2
    assert "name a folder" in two.stderr


def test_a_page_that_can_not_be_written_leaves_the_alignment(hapctl: Runner, tmp_path: Path) -> None:
    other = tmp_path / "notes.html"
    other.write_text("mine")
    done = hapctl("align", "--visit", "jtest1", "--offline", "--catalog", "GAIADR3", "--report", str(other))
    assert done.exit_code == 1
    assert "is no report" in done.stderr
    assert other.read_text() == "mine"
    listed = hapctl("wcs", "list", "jtest1a0q", "--json").json()
    assert any("FIT_SVM_GAIADR3" in str(one) for one in listed["solutions"])
