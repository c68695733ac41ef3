"""`mosaic --stale`: what is found stale, why, what it costs; only that is made again, as it was asked for."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.server import EmbeddedServer
from support.commands import Result, Runner, run_here
from support.mosaics import realign, rows, small_visit, stale_names
from support.servers import cloned_database

FIRST = {
    "hst_90001_01_acs_wfc_f606w_jhap01a0_drc.fits",
    "hst_90001_01_acs_wfc_f606w_jhap01a1_drc.fits",
    "hst_90001_01_acs_wfc_f606w_jhap01_drc.fits",
    "hst_90001_01_acs_wfc_total_jhap01_drc.fits",
}
Json = dict[str, Any]


@pytest.fixture(scope="module")
def template(
    database_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Make two visits (jhap02 in another folder, too) and a tile; give the name of the database."""
    home = tmp_path_factory.mktemp("state") / "home"
    first = small_visit(tmp_path_factory.mktemp("first"))
    second = small_visit(
        tmp_path_factory.mktemp("second"), visit="jhap02", filters=("F606W", "F814W"), exposures=1
    )
    with cloned_database(database_server) as url:
        patch = pytest.MonkeyPatch()
        patch.setenv("HAPCTL_HOME", str(home))
        patch.setenv("HAPCTL_DATABASE_URL", url)
        try:
            good(run_here(("ingest", *first.files, *second.files)))
            catalog = open_catalog(url)
            realign(catalog, dict.fromkeys(("jhap01a0q", "jhap01a1q", "jhap02a0q", "jhap02a1q"), 1.0))
            tile = rows(catalog, "SELECT name FROM sky_cell ORDER BY 1 LIMIT 1")[0][0]
            catalog.close()
            good(run_here(("mosaic", "--visit", "jhap01", "--visit", "jhap02")))
            other = ("--output", home / "other", "--pixfrac", "0.7")
            good(run_here(("mosaic", "--visit", "jhap02", *other)))
            good(run_here(("mosaic", "--tile", tile, "--wcs-policy", "any")))
        finally:
            patch.undo()
        shutil.copytree(home, home.with_name("kept"))
        yield str(urlsplit(url).path.removeprefix("/")), home


def good(result: Result) -> Result:
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture
def home(template: tuple[str, Path]) -> Path:
    """Give the home as it was after everything had been made."""
    place = template[1]
    shutil.rmtree(place)
    shutil.copytree(place.with_name("kept"), place)
    return place


@pytest.fixture
def url(database_server: EmbeddedServer, template: tuple[str, Path]) -> Iterator[str]:
    """Give a copy of the catalog in which everything was made."""
    with cloned_database(database_server, template[0]) as copy:
        yield copy


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    opened = open_catalog(url)
    yield opened
    opened.close()


@pytest.fixture
def run(url: str, home: Path, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("HAPCTL_HOME", str(home))
    monkeypatch.setenv("HAPCTL_DATABASE_URL", url)
    return lambda *arguments: run_here(arguments)


def stale(run: Runner, *arguments: object) -> list[Json]:
    """Return the targets of a `mosaic --stale`."""
    return list(good(run("mosaic", "--stale", *arguments, "--json")).json()["targets"])


def names(target: Json) -> set[str]:
    return {product["name"] for product in target["products"]}


def test_nothing_is_stale(run: Runner, catalog: Catalog) -> None:
    runs = rows(catalog, "SELECT count(*) FROM run")
    assert good(run("mosaic", "--stale", "--all", "--dry-run")).stdout == "nothing is stale\n"
    assert good(run("mosaic", "--stale")).stdout == "nothing is stale\n"
    assert rows(catalog, "SELECT count(*) FROM run") == runs


def test_after_an_alignment_only_what_depends_on_it_is_made_again_in_the_same_way(
    run: Runner, catalog: Catalog, home: Path
) -> None:
    before = dict(rows(catalog, "SELECT path, product_id FROM current_product"))
    realign(catalog, {"jhap02a0q": 60.0})
    plan = good(run("mosaic", "--stale", "--all", "--dry-run", "--json")).json()
    targets = plan["targets"]
    assert [(one.get("visit"), Path(one["output"]).name) for one in targets] == [
        ("jhap02", "other"),
        ("jhap02", "products"),
        (None, "products"),
    ]
    assert [one["request"]["pixfrac"] for one in targets] == [0.7, None, None]
    assert targets[2]["request"]["wcs_policy"] == "any"
    for target in targets:
        for product in target["products"]:
            assert product["status"] == "to make"
            assert set(product["codes"]) & {"solution", "grid"}, product
            assert product["bytes"] > 0
            assert product["memory_bytes"] > 0
        assert target["seconds"] > 0  # the products of the fixture tell how long it takes
    exposure = next(one for one in targets[1]["products"] if "a0_" in one["name"])
    assert "jhap02a0q: another WCS solution is in force" in exposure["why"]
    assert plan["summary"]["products"] == sum(len(one["products"]) for one in targets)
    assert dict(rows(catalog, "SELECT path, product_id FROM current_product")) == before
    made = stale(run, "--all")
    assert [names(one) for one in made] == [names(one) for one in targets]
    assert stale_names(catalog) == set()
    after = dict(rows(catalog, "SELECT path, product_id FROM current_product"))
    touched = {str(Path(one["output"], name)) for one in targets for name in names(one)}
    assert {path for path in after if after[path] != before.get(path)} == touched
    assert not {Path(path).name for path in touched} & FIRST
    assert stale(run) == []
