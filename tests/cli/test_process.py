"""`hapctl process`: visits from ingested exposures to products and tiles, what is current left as it is."""

import re
from pathlib import Path
from typing import Any

import pytest
from hapctl.archive.database import Catalog
from hapctl.processing.pipeline.trailers import (
    tile_manifest_name,
    trailer_name,
    visit_manifest_name,
)
from hapctl.processing.simulation.visit import SimulatedVisit
from support.commands import Result, Runner
from support.mosaics import rows, small_visit, stale_names

PRODUCTS = 4


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> list[SimulatedVisit]:
    """Two visits of one place, two exposures each."""
    shape = {"chip_shape": (256, 512), "stars": 1300, "pointing_error": 0.3}
    return [small_visit(tmp_path_factory.mktemp(name), visit=name, **shape) for name in ("jhap01", "jhap02")]


@pytest.fixture
def ingested(field: list[SimulatedVisit], run_hapctl: Runner) -> Runner:
    """All visits ingested, with Gaia's stars."""
    ingest = run_hapctl("ingest", *(file for visit in field for file in visit.files))
    assert ingest.exit_code == 0, ingest.stderr
    covers = str(field[0].truth.covers)
    loaded = run_hapctl("gaia", "load", field[0].gaia_extract, "--release", "DR3", "--covers", covers)
    assert loaded.exit_code == 0, loaded.stderr
    return run_hapctl


def process(run: Runner, *arguments: object) -> Result:
    return run("process", *arguments, "--offline", "--json")


def steps(document: dict[str, Any]) -> dict[str, str]:
    """Step to status of a visit."""
    return {step["step"]: step["status"] for step in document["steps"]}


def counts(catalog: Catalog) -> tuple[Any, ...]:
    question = "SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM product)"
    return rows(catalog, question)[0]


def test_visits_become_products_and_tiles_once(ingested: Runner, catalog: Catalog) -> None:
    planned = process(ingested, "--visit", "jhap0?", "--tiles", "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    assert {visit["outcome"] for visit in planned.json()["visits"]} == {"planned"}
    assert counts(catalog)[1] == 0

    done = process(ingested, "--visit", "jhap01", "--visit", "jhap02", "--tiles")
    assert done.exit_code == 0, done.stderr
    document = done.json()
    assert [visit["visit"] for visit in document["visits"]] == ["jhap01", "jhap02"]
    for visit in document["visits"]:
        assert steps(visit) == {"align": "done", "masks": "done", "products": "done"}
        assert len(visit["products"]) == PRODUCTS
        assert all(step["seconds"] >= 0 and step["processor_seconds"] >= 0 for step in visit["steps"])
    [tile] = document["tiles"]
    assert tile["outcome"] == "done"
    assert {one["status"] for one in tile["products"]} == {"made"}
    assert document["summary"]["counts"] == {"done": 3}
    assert stale_names(catalog) == set()

    again = process(ingested, "--where", "rootname LIKE 'jhap01%' OR rootname LIKE 'jhap02%'", "--tiles")
    assert again.exit_code == 0, again.stderr
    assert again.json()["summary"]["counts"] == {"current": 3}
    assert steps(again.json()["visits"][0]) == {"align": "current", "masks": "current", "products": "current"}
    assert "finding sources" not in again.stderr
    assert rows(catalog, "SELECT count(*) FROM product")[0][0] == 2 * PRODUCTS + 1

    visit = document["visits"][0]
    _logs_are_those_of_the_records(ingested, visit, tile)
    _a_lost_trailer_is_written_again(ingested, visit["products"][0])


def _logs_are_those_of_the_records(run: Runner, visit: dict[str, Any], tile: dict[str, Any]) -> None:
    """The trailers say what went in; written again they are the same; manifests name all files."""
    folder = Path(visit["products"][0]["path"]).parent
    total = next(one for one in visit["products"] if one["kind"] == "total")
    text = (folder / trailer_name(total["name"])).read_text()
    assert run("product", "trailer", total["name"]).stdout == text
    (folder / trailer_name(total["name"])).unlink()
    assert run("product", "trailer", total["name"], "--write").exit_code == 0
    assert (folder / trailer_name(total["name"])).read_text() == text
    for words in (
        total["pixels_sha256"],
        "jhap01a0q_flc",
        "FIT_SVM_GAIADR3",
        "pixels flagged",
        "MB at its peak",
    ):
        assert words in text
    assert re.search(r"final\.bits += \S+ +\S", text)
    for manifest, products in (
        (visit_manifest_name("ACS", "jhap01"), visit["products"]),
        (tile_manifest_name(tile["tile"]), tile["products"]),
    ):
        names = (folder / manifest).read_text().split()
        assert {one["name"] for one in products} <= set(names)
        assert {trailer_name(one["name"]) for one in products} <= set(names)
        assert all((folder / name).is_file() for name in names)


def _a_lost_trailer_is_written_again(run: Runner, product: dict[str, Any]) -> None:
    """A trailer is no reason to make its product again."""
    trailer = Path(product["path"]).with_name(trailer_name(product["name"]))
    text = trailer.read_text()
    trailer.unlink()
    assert steps(process(run, "--visit", "jhap01").json()["visits"][0])["products"] == "current"
    assert trailer.read_text() == text


def test_an_alignment_with_other_visits_stays(ingested: Runner, catalog: Catalog) -> None:
    names = ("jhap01a0q", "jhap01a1q", "jhap02a0q", "jhap02a1q")
    joint = ingested("align", "--exposures", *names, "--offline", "--json")
    assert joint.exit_code == 0, joint.stderr
    question = "SELECT rootname, wcsname FROM active_solution ORDER BY 1"
    before = rows(catalog, question)
    assert all("FIT_REL_GAIADR3" in name for _, name in before)
    planned = process(ingested, "--all", "--dry-run").json()
    assert [visit["steps"][0]["status"] for visit in planned["visits"]] == ["current", "current"]
    assert "jhap02a1q" in planned["visits"][0]["steps"][0]["reason"]
    assert rows(catalog, question) == before
    asked = process(ingested, "--visit", "jhap01", "--catalog", "GAIADR3", "--dry-run").json()
    assert steps(asked["visits"][0])["align"] == "planned"


def test_a_refused_alignment_is_a_result(ingested: Runner, catalog: Catalog) -> None:
    done = process(ingested, "--visit", "jhap02", "--set", "rule.most_rms_mas=0.001")
    assert done.exit_code == 0, done.stderr
    [visit] = done.json()["visits"]
    assert steps(visit) == {"align": "refused", "masks": "done", "products": "done"}
    assert "rms" in visit["steps"][0]["reason"]
    exposure = next(one for one in visit["products"] if one["kind"] == "exposure")
    trailer = Path(exposure["path"]).with_name(trailer_name(exposure["name"]))
    assert "COSMIC-RAY MASKS\n  none" in trailer.read_text()
    assert "FIT" not in trailer.read_text()


def test_a_failure_stops_its_visit_alone(
    ingested: Runner, catalog: Catalog, field: list[SimulatedVisit]
) -> None:
    damaged = field[0].files[0]
    content = damaged.read_bytes()
    try:
        damaged.write_bytes(content[: len(content) // 2])
        done = process(ingested, "--visit", "jhap01", "--visit", "jhap02", "--visit", "nosuch")
    finally:
        damaged.write_bytes(content)
    assert done.exit_code == 3, done.stderr
    document = done.json()
    assert [visit["outcome"] for visit in document["visits"]] == ["refused", "done", "failed"]
    assert steps(document["visits"][0]) == {"align": "failed"}
    assert [failure["name"] for failure in document["summary"]["failures"]] == ["jhap01", "nosuch"]
    assert damaged.name in done.stderr
    assert "ingest its files first" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        ((), 2, "say which visits"),
        (("--where", " "), 2, "--where is empty"),
        (("--visit", "k*"), 3, "no visit in the catalog is named k*"),
        (("--proposal", "77"), 3, "proposal 77"),
        (("--all", "--catalog", "GAIADR3", "--ladder", "mine"), 2, "give one of them"),
        (("--all", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"), 2, "give one"),
    ],
)
def test_what_can_not_be_done_is_said(
    run_hapctl: Runner, arguments: tuple[str, ...], exit_code: int, words: str
) -> None:
    result = run_hapctl("process", *arguments)
    assert result.exit_code == exit_code
    assert words in result.stderr


@pytest.mark.parametrize(
    ("product", "trailer"),
    [
        ("hst_9019_06_acs_hrc_f606w_j8bt06ny_drz.fits", "hst_9019_06_acs_hrc_f606w_j8bt06ny_trl.txt"),
        (
            "hst_skycell-p0046x03y19_acs_hrc_f606w_all_drc.fits",
            "hst_skycell-p0046x03y19_acs_hrc_f606w_all_trl.txt",
        ),
        ("hst_11359_21_wfc3_ir_g102_ib6o21qm_flt.fits", "hst_11359_21_wfc3_ir_g102_ib6o21qm_trl.txt"),
    ],
)
def test_trailers_have_the_names_of_hap(product: str, trailer: str) -> None:
    assert trailer_name(product) == trailer
