"""`mosaic --stale`: what is found stale, why, what it costs; only that is made again, as it was asked for."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.server import EmbeddedServer
from support.commands import Result, Runner, run_apart, run_here
from support.mosaics import realign, rows, small_visit, stale_names
from support.servers import cloned_database

FIRST = {
    "hst_90001_01_acs_wfc_f606w_jhap01a0_drc.fits",
    "hst_90001_01_acs_wfc_f606w_jhap01a1_drc.fits",
    "hst_90001_01_acs_wfc_f606w_jhap01_drc.fits",
    "hst_90001_01_acs_wfc_total_jhap01_drc.fits",
}
PATH_OF = """SELECT r.path || '/' || l.path FROM file_location l
    JOIN archive_root_path r ON r.root_id = l.root_id JOIN exposure_file f USING (file_id)
    JOIN exposure e USING (exposure_id) WHERE e.rootname = :rootname"""
REINSTATE = """UPDATE exposure_withdrawal
    SET during = tstzrange(lower(during), clock_timestamp()), closed_run_id = (SELECT max(run_id) FROM run)
    RETURNING exposure_id"""
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
    path = Path(rows(catalog, "SELECT path FROM current_product ORDER BY product_id LIMIT 1")[0][0])
    assert good(run("product", "show", os.path.relpath(path), "--json")).json()["path"] == str(path)
    for mistaken in (("--visit", "jhap99"), ("--tile", "skycell")):  # not a word that all is well
        assert run("mosaic", "--stale", *mistaken).exit_code == 3
        assert run("product", "list", *mistaken).exit_code == 3


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


def test_missing_and_damaged_files_are_found_recorded_and_made_again(
    run: Runner, catalog: Catalog, home: Path
) -> None:
    assert good(run("product", "verify", "--all", "--pixels", "--json")).json()["bad"] == []
    products = home / "products"
    gone, damaged = (
        products / "hst_90001_01_acs_wfc_total_jhap01_drc.fits",
        products / "hst_90001_01_acs_wfc_f606w_jhap01a0_drc.png",
    )
    gone.unlink()
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    found = stale(run, "--dry-run")  # by the listing of the folder, before anything was verified
    assert [(one["visit"], names(one)) for one in found] == [("jhap01", {gone.name})]
    assert found[0]["products"][0]["codes"] == ["missing"]
    assert run("product", "verify", "--visit", "jhap01", "--quick").exit_code == 1
    assert rows(catalog, "SELECT count(*) FROM product_file_check WHERE state = 'damaged'") == [(0,)]
    seen = run("product", "verify", "--visit", "jhap*", "--json")
    assert seen.exit_code == 1
    assert {one["path"]: one["state"] for one in seen.json()["bad"]} == {
        str(gone): "missing",
        str(damaged): "damaged",
    }
    assert stale_names(catalog) == {gone.name, damaged.with_suffix(".fits").name}
    assert run("product", "verify", "--all", "--quick").exit_code == 1
    assert stale_names(catalog) == {gone.name, damaged.with_suffix(".fits").name}  # its size proves nothing
    shutil.rmtree(home / "masks")  # they will be what they were: what was made with them stays
    (plan,) = stale(run, "--dry-run")
    assert names(plan) == {gone.name, damaged.with_suffix(".fits").name}
    assert plan["masks_to_make"]
    assert all(len(set(one["why"])) == 1 for one in plan["products"])
    made = stale(run, "--visit", "jhap01")
    assert names(made[0]) == stale_names(catalog) | names(made[0])
    assert names(made[0]) == {gone.name, damaged.with_suffix(".fits").name}
    assert stale_names(catalog) == set()
    assert run("product", "verify", "--all").exit_code == 0
    assert run("product", "verify", "nothing.fits").exit_code == 3
    assert run("product", "verify").exit_code == 2


def test_a_folder_that_is_not_there_makes_nothing_stale(run: Runner, catalog: Catalog, home: Path) -> None:
    (home / "other").rename(home / "unmounted")
    assert stale(run, "--dry-run") == []
    seen = run("product", "verify", "--all", "--json")
    assert seen.exit_code == 1
    assert {one["state"] for one in seen.json()["bad"]} == {None}
    assert stale_names(catalog) == set()


def test_one_failure_does_not_stop_the_rest(run: Runner, catalog: Catalog, home: Path) -> None:
    realign(catalog, {"jhap01a0q": 40.0, "jhap02a0q": 60.0})
    moved = Path(rows(catalog, PATH_OF, rootname="jhap01a0q")[0][0])
    hidden = moved.rename(moved.with_suffix(".hidden"))
    try:
        result = run("mosaic", "--stale", "--json")
    finally:
        hidden.rename(moved)
    assert result.exit_code == 1
    document = result.json()
    failed = [one for one in document["targets"] if one["exit_code"]]
    assert {one.get("visit") for one in failed} == {"jhap01", None}  # the tile needs the file, too
    assert all("jhap01a0q" in one["message"] for one in failed)
    assert document["summary"]["exit_code"] == 1
    assert {one["visit"] for one in document["targets"] if not one["exit_code"]} == {"jhap02"}
    assert stale_names(catalog) >= FIRST
    assert not [name for name in stale_names(catalog) if "jhap02" in name]
    assert good(run("mosaic", "--stale")).exit_code == 0
    assert stale_names(catalog) == set()


def test_products_made_no_more_and_new_ones_belong_to_the_plan(run: Runner, catalog: Catalog) -> None:
    good(run("exposure", "withdraw", "jhap02a1q", "moon"))
    plan = stale(run, "--visit", "jhap02", "--dry-run")
    statuses = {one["name"]: one["status"] for one in plan[1]["products"]}
    assert statuses["hst_90001_02_acs_wfc_f814w_jhap02_drc.fits"] == "to retire"
    assert statuses["hst_90001_02_acs_wfc_total_jhap02_drc.fits"] == "to make"
    good(run("mosaic", "--stale"))
    assert stale_names(catalog) == set()
    assert rows(catalog, REINSTATE)
    plan = stale(run, "--visit", "jhap02", "--dry-run")
    new = next(one for one in plan[1]["products"] if "f814w_jhap02_" in one["name"])
    assert (new["status"], new["codes"]) == ("to make", ["none"])
    good(run("mosaic", "--stale"))
    assert stale_names(catalog) == set()
    assert stale(run) == []


def test_an_exposure_in_a_filter_that_a_tile_did_not_have_makes_a_new_layer(
    run: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    third = small_visit(tmp_path, visit="jhap03", filters=("F435W",), exposures=1)
    good(run("ingest", *third.files))
    (plan,) = stale(run, "--dry-run")
    assert (plan["new_exposures"], stale_names(catalog)) == (["jhap03a0q"], set())
    assert [(one["kind"], one["filter"], one["status"]) for one in plan["products"]] == [
        ("layer", "f435w", "to make")
    ]
    assert len(stale(run)[0]["products"]) == 1
    assert stale(run) == []


def test_whole_layers_and_those_of_epochs_stand_side_by_side(run: Runner, catalog: Catalog) -> None:
    tile = rows(catalog, "SELECT sky_cell FROM current_product WHERE kind = 'layer'")[0][0]
    good(run("mosaic", "--tile", tile, "--wcs-policy", "any", "--split", "epoch"))
    before = set(rows(catalog, "SELECT name FROM current_product WHERE kind = 'layer'"))
    realign(catalog, {"jhap02a0q": 60.0})
    plan = [one for one in stale(run, "--dry-run") if "tile" in one]
    assert [one["request"]["split_by"] for one in plan] == [None, "epoch"]
    assert {product["status"] for one in plan for product in one["products"]} == {"to make"}
    good(run("mosaic", "--stale"))
    assert stale_names(catalog) == set()
    assert set(rows(catalog, "SELECT name FROM current_product WHERE kind = 'layer'")) == before


def test_two_operators_remake_once(run: Runner, catalog: Catalog) -> None:
    realign(catalog, {"jhap02a0q": 60.0})
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run_apart, ("mosaic", "--stale", "--json")) for _ in range(2)]
        results = [one.result() for one in both]
    assert [one.exit_code for one in results] == [0, 0], results
    made = [
        (target["output"], product["name"])
        for one in results
        for target in one.json()["targets"]
        for product in target["products"]
        if product["status"] == "made"
    ]
    assert len(made) == len(set(made)) == 5 + 5 + 1  # each once, whoever made it
    assert stale_names(catalog) == set()


def test_options_of_a_request_do_not_go_with_stale(run: Runner) -> None:
    for option in (("--pixfrac", "0.5"), ("--wcs-policy", "any"), ("--full-cell",)):
        assert run("mosaic", "--stale", *option).exit_code == 2


def test_products_are_listed_shown_and_traced(run: Runner, catalog: Catalog) -> None:
    total = "hst_90001_01_acs_wfc_total_jhap01_drc.fits"
    listed = good(run("product", "list", "--visit", "jhap0?", "--kind", "total", "--json")).json()["products"]
    assert {one["kind"] for one in listed} == {"total"}
    assert len(listed) == 3
    assert good(run("product", "list", "--older-than", "1d", "--json")).json()["products"] == []
    maker = listed[0]["run_id"]
    by_run = good(run("product", "list", "--run", maker, "--json")).json()["products"]
    assert {one["run_id"] for one in by_run} == {maker}
    assert run("product", "list", "--older-than", "soon").exit_code == 2
    realign(catalog, {"jhap01a0q": 40.0})
    good(run("mosaic", "--stale", "--visit", "jhap01"))
    history = good(run("product", "show", total, "--history", "--json")).json()["history"]
    assert [one["until"] is None for one in history] == [True, False]
    assert history[1]["until"] == history[0]["since"] or history[1]["until"] < history[0]["since"]
    graph = good(run("product", "lineage", total, "--dot")).stdout
    nodes, edges = parsed_dot(graph)
    assert {node.rstrip("0123456789") for node in nodes} >= {"product", "solution", "mask", "run"}
    assert {end for edge in edges for end in edge} <= nodes
    product = next(node for node in nodes if node.startswith("product"))
    assert len([edge for edge in edges if edge[0] == product and edge[1].startswith("mask")]) == 2
    if shutil.which("dot"):
        subprocess.run(["dot", "-Tsvg"], input=graph, text=True, check=True, capture_output=True)


def test_replaced_products_keep_their_files_on_request(run: Runner, catalog: Catalog, home: Path) -> None:
    total = home / "products" / "hst_90001_01_acs_wfc_total_jhap01_drc.fits"
    before, product_id = total.read_bytes(), product_in_force_at(catalog, total)
    realign(catalog, {"jhap01a0q": 40.0})
    good(run("mosaic", "--stale", "--visit", "jhap01", "--keep-replaced"))
    kept = total.parent / "replaced" / f"{total.stem}_{product_id}.fits"
    assert kept.read_bytes() == before != total.read_bytes()
    assert len(list(kept.parent.iterdir())) == 4 + 4 + 2  # products, their pictures, headerlets of exposures
    shown = good(run("product", "show", total, "--history", "--json")).json()
    assert [str(kept), str(kept.with_suffix(".png"))] == shown["history"][1]["files"]
    assert not stale_names(catalog) & FIRST
    realign(catalog, {"jhap01a0q": 50.0})
    good(run("mosaic", "--stale", "--visit", "jhap01"))  # not asked for: not kept
    history = good(run("product", "show", total, "--history", "--json")).json()["history"]
    assert [one["files"] is None for one in history] == [False, True, False]


@pytest.mark.parametrize(
    "moment", ["_keep_replaced", "_sync_folders", "put_product_in_force", "drop_backups"]
)
def test_a_run_killed_while_it_keeps_what_it_replaces_leaves_the_old_product_or_the_new(
    run: Runner, catalog: Catalog, home: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    total = home / "products" / "hst_90001_01_acs_wfc_total_jhap01_drc.fits"
    before, product_id = total.read_bytes(), product_in_force_at(catalog, total)
    total.unlink()
    total.write_bytes(before)  # a file of its own, so that what is kept can't be a link into a fixture
    realign(catalog, {"jhap01a0q": 40.0})

    def killed(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(f"hapctl.processing.pipeline.publish.{moment}", killed)
        assert run("mosaic", "--stale", "--visit", "jhap01", "--keep-replaced").exit_code == 70
    good(run("mosaic", "--stale", "--visit", "jhap01", "--keep-replaced"))
    assert not stale_names(catalog) & FIRST
    assert run("product", "verify", "--all").exit_code == 0
    kept = total.parent / "replaced" / f"{total.stem}_{product_id}.fits"
    assert kept.read_bytes() == before
    recorded = {row[0] for row in rows(catalog, "SELECT path FROM product_file_kept")}
    assert recorded == {str(path) for path in kept.parent.iterdir()}
    assert not [path for path in total.parent.iterdir() if path.name.startswith(".")]


def product_in_force_at(catalog: Catalog, path: Path) -> int:
    question = "SELECT product_id FROM current_product WHERE path = :path"
    return int(rows(catalog, question, path=str(path))[0][0])


_STRING = r'"(?:[^"\\]|\\.)*"'
_ATTRIBUTES = rf"\[\w+=(?:\w+|{_STRING})(?:, \w+=(?:\w+|{_STRING}))*\]"


def parsed_dot(text: str) -> tuple[set[str], list[tuple[str, str]]]:
    """Return nodes and edges of a digraph; fails on what is not in the DOT language."""
    first, *lines, last = text.splitlines()
    assert re.fullmatch(r"digraph \w+ \{", first)
    assert last == "}"
    nodes, edges = set(), []
    for line in lines:
        if found := re.fullmatch(rf"  (\w+) -> (\w+) {_ATTRIBUTES};", line):
            edges.append((found[1], found[2]))
        elif found := re.fullmatch(rf"  (\w+) {_ATTRIBUTES};", line):
            nodes.add(found[1])
        else:
            assert re.fullmatch(r"  \w+=\w+;", line), line
    return nodes - {"node"}, edges
