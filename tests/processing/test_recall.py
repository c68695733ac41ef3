"""Recalls: all that came of something bad is out of use, waits for a rebuild, and can be given back."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from astropy.io import fits
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.server import ADMIN_ROLE, EmbeddedServer
from sqlalchemy import make_url
from support.commands import Result, Runner, run_here
from support.mosaics import active_solution, realign, rows, small_visit, stale_names
from support.servers import cloned_database

VISIT = "jhap01"
FIRST, SECOND = "jhap01a0q", "jhap01a1q"
NAME = "IDC_hapsim01j-FIT_SVM_GAIADR3"


@dataclass(frozen=True)
class Prepared:
    """Products of two exposures that an alignment moved: a database and a home to start from."""

    files: list[Path]
    database: str
    home: Path
    kept: Path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, database_server: EmbeddedServer) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("recall")
    files = list(small_visit(folder / "field", chip_shape=(128, 200)).files)
    home, kept = folder / "home", folder / "kept"
    with cloned_database(database_server) as url:
        for arguments in (("ingest", *files), (), ("mosaic", "--visit", VISIT)):
            if arguments:
                assert run_here(("--home", home, "--database", url, *arguments)).exit_code == 0
                continue
            catalog = open_catalog(url)
            realign(catalog, {FIRST: 10.0, SECOND: 10.0})
            catalog.close()
        name = str(make_url(url).database)
        with psycopg.connect(database_server.url(ADMIN_ROLE, "postgres"), autocommit=True) as connection:
            question = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(question, (name,))  # a template must be in nobody's use
        shutil.copytree(home, kept)
        yield Prepared(files, name, home, kept)


@pytest.fixture
def database_url(prepared: Prepared, database_server: EmbeddedServer) -> Iterator[str]:
    with cloned_database(database_server, template=prepared.database) as url:
        yield url


@pytest.fixture
def hapctl_home(prepared: Prepared, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> Path:
    shutil.rmtree(prepared.home)
    shutil.copytree(prepared.kept, prepared.home)
    monkeypatch.setenv("HAPCTL_HOME", str(prepared.home))
    return prepared.home


@pytest.fixture
def field(prepared: Prepared) -> list[Path]:
    return prepared.files


@pytest.fixture
def made(run_hapctl: Runner) -> Runner:
    return run_hapctl


def aligning_run(catalog: Catalog) -> int:
    return int(rows(catalog, "SELECT max(run_id) FROM run WHERE command = 'align'")[0][0])


def state(catalog: Catalog) -> tuple[Any, ...]:
    return (
        rows(catalog, "SELECT product_id FROM current_product ORDER BY 1"),
        rows(catalog, "SELECT exposure_id, solution_id FROM wcs_active WHERE upper_inf(during) ORDER BY 1"),
        rows(catalog, "SELECT mask_id FROM exposure_mask_current WHERE upper_inf(during) ORDER BY 1"),
    )


def kinds(report: Any) -> dict[str, int]:
    found = [node["kind"] for node in report["nodes"]]
    return {kind: found.count(kind) for kind in set(found)}


def product_files(home: Path) -> set[str]:
    return {path.name for path in (home / "products").iterdir() if path.suffix == ".fits"}


def test_a_bad_run_is_recalled_with_all_that_came_of_it(
    made: Runner, catalog: Catalog, hapctl_home: Path
) -> None:
    run, before = aligning_run(catalog), state(catalog)
    first = rows(catalog, "SELECT name, pixels_sha256 FROM current_product ORDER BY 1")
    files = product_files(hapctl_home)

    plan = made("product", "recall", "--run", run, "--dry-run", "--json").json()
    assert (plan["status"], plan["recall_id"], plan["run"]) == ("to recall", None, None)
    assert kinds(plan) == {"run": 1, "solution": 2, "mask": 2, "product": 4}
    tree = made("product", "recall", "--run", run, "--dry-run").stdout.splitlines()
    assert tree[0].startswith(f"run {run}: align")
    assert [line.startswith("  solution") for line in tree].count(True) == 2
    assert sum("    mask" in line for line in tree) >= 1
    assert len(tree) == 9  # each node once
    assert state(catalog) == before

    done = made("product", "recall", "--run", run, "--reason", "wrong epoch", "--json").json()
    assert (done["status"], done["recall_id"]) == ("recalled", 1)
    assert {one["now"] for one in done["solutions"]} == {"IDC_hapsim01j"}
    assert active_solution(catalog, FIRST).name == "IDC_hapsim01j"
    assert rows(catalog, "SELECT FROM current_product") == []
    assert product_files(hapctl_home) == set()
    quarantine = hapctl_home / "products" / "quarantine" / "recall-1"
    assert {path.name for path in quarantine.iterdir() if path.suffix == ".fits"} == files
    assert rows(catalog, "SELECT count(*) FROM recall_pending") == [(0,)]

    again = made("product", "recall", "--run", run, "--reason", "once more", "--json").json()
    assert (again["status"], again["recall_id"]) == ("unchanged", 1)
    listed = made("product", "recall", "--list", "--json").json()["recalls"]
    assert [(row["recall_id"], row["reason"], len(row["awaiting"])) for row in listed] == [
        (1, "wrong epoch", 4)
    ]

    refused = made("wcs", "activate", FIRST, NAME, "--reason", "try")
    assert refused.exit_code == 1
    assert "was recalled: wrong epoch" in refused.stderr

    queue = made("mosaic", "--stale", "--dry-run", "--json")
    assert "was recalled: wrong epoch" in queue.stdout
    assert made("mosaic", "--stale", "--all").exit_code == 0
    assert product_files(hapctl_home) == files
    second = rows(catalog, "SELECT name, pixels_sha256 FROM current_product ORDER BY 1")
    assert [name for name, _ in second] == [name for name, _ in first]
    assert not {sha for _, sha in second} & {sha for name, sha in first if "total" in name}
    assert stale_names(catalog) == set()
    assert rows(catalog, "SELECT FROM product_awaiting_rebuild") == []


def test_a_release_gives_back_what_nothing_has_replaced(
    made: Runner, catalog: Catalog, hapctl_home: Path
) -> None:
    before, files = state(catalog), product_files(hapctl_home)
    solution = rows(
        catalog, "SELECT solution_id FROM wcs_active JOIN exposure USING (exposure_id) "
        "WHERE rootname = :name AND upper_inf(during)", name=FIRST,
    )[0][0]  # fmt: skip
    done = made("product", "recall", "--solution", f"{NAME}@{aligning_run(catalog)}", "--exposure", FIRST,
                "--reason", "wrong match", "--json").json()  # fmt: skip
    assert done["number"] == solution
    assert [one["rootname"] for one in done["solutions"]] == [FIRST]
    # the other exposure was compared with this one, and shares its grid
    assert kinds(done) == {"solution": 1, "mask": 2, "product": 4}
    back = made("product", "recall", "--release", 1, "--reason", "it was right", "--json").json()
    assert (len(back["products"]), back["rootnames"]) == (4, [FIRST])
    assert state(catalog) == before
    assert product_files(hapctl_home) == files
    assert stale_names(catalog) == set()
    again = made("product", "recall", "--release", 1, "--reason", "it was right")
    assert again.exit_code == 1
    assert "released already" in again.stderr
    assert made("product", "recall", "--release", 9, "--reason", "x").exit_code == 3
    # what was rebuilt meanwhile stays
    assert made("product", "recall", "--solution", solution, "--reason", "wrong after all").exit_code == 0
    refused = made("mosaic", "--stale", "--all")
    assert refused.exit_code == 1  # the two solutions are good in different frames now
    assert made("mosaic", "--visit", VISIT, "--wcs-policy", "any").exit_code == 0
    rebuilt = rows(catalog, "SELECT product_id FROM current_product ORDER BY 1")
    assert made("product", "recall", "--release", 2, "--reason", "no", "--json").json()["products"] == []
    assert rows(catalog, "SELECT product_id FROM current_product ORDER BY 1") == rebuilt
    assert active_solution(catalog, FIRST).name == NAME
    assert len(stale_names(catalog)) == 4


def test_a_bad_file_keeps_its_exposure_out_until_a_good_one_comes(
    made: Runner, catalog: Catalog, field: list[Path], tmp_path: Path
) -> None:
    done = made("product", "recall", "--file", field[0], "--reason", "trailed", "--json").json()
    assert kinds(done) == {
        "file": 1,
        "mask": 2,
        "product": 4 - 1,
    }  # the other's own product has its grid only
    report = made("mosaic", "--visit", VISIT, "--json").json()
    left_out = [one for product in report["products"] for one in product["left_out"]]
    assert {"code": "recalled", "reason": "its file was recalled: trailed"} in left_out
    assert all(FIRST not in product["exposures"] for product in report["products"])
    assert rows(catalog, "SELECT FROM product_awaiting_rebuild") == []  # nothing makes its exposure product
    same = made("ingest", field[0], "--verify", "--json").json()["files"][0]
    assert same["status"] == "unchanged"
    assert same["reason"].startswith("its content is recalled: recall 1 (trailed)")
    good = tmp_path / field[0].name
    with fits.open(field[0]) as hdus:  # another content of the same date
        hdus[0].header["HISTORY"] = "delivered again"
        hdus.writeto(good, output_verify="ignore")
    taken = made("ingest", good, "--json").json()["files"][0]
    assert taken["status"] == "updated", taken
    report = made("mosaic", "--stale", "--all", "--json")
    assert report.exit_code == 0
    used = rows(catalog, "SELECT count(*) FROM product_input JOIN current_product USING (product_id) "
                         "JOIN exposure USING (exposure_id) WHERE rootname = :name", name=FIRST)  # fmt: skip
    assert used == [(3,)]
    assert stale_names(catalog) == set()


def test_a_bad_product_alone(made: Runner, catalog: Catalog) -> None:
    name = rows(catalog, "SELECT name FROM current_product WHERE kind = 'total'")[0][0]
    done = made("product", "recall", "--product", name, "--reason", "written to a bad disk", "--json").json()
    assert kinds(done) == {"product": 1}
    assert len(rows(catalog, "SELECT FROM current_product")) == 3
    assert made("product", "rebuild", done["number"], "--replace").exit_code == 1
    assert made("product", "rebuild", done["number"]).exit_code == 0  # aside: it may be looked at
    assert made("mosaic", "--stale", "--all").exit_code == 0
    assert len(rows(catalog, "SELECT FROM current_product")) == 4


KILLER = """
import os, signal
from hapctl.processing.pipeline import quarantine, recall
from hapctl.cli.main import main

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(module, name):
    original = getattr(module, name)
    def wrapped(*arguments, **options):
        original(*arguments, **options)
        die()
    setattr(module, name, wrapped)

{patch}
main({arguments!r})
"""


@pytest.mark.parametrize(
    ("patch", "recalled"),
    [
        ("after(recall, 'record_recall')", False),
        ("recall.finish_moves = die", True),
        ("after(quarantine.os, 'replace')", True),
        ("quarantine.drop_moves = die", True),
    ],
)
def test_a_recall_killed_at_any_point_is_made_or_it_is_not(
    made: Runner, catalog: Catalog, hapctl_home: Path, patch: str, recalled: bool
) -> None:
    before, files = state(catalog), product_files(hapctl_home)
    arguments = ["product", "recall", "--run", str(aligning_run(catalog)), "--reason", "bad"]
    script = KILLER.format(patch=patch, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert (state(catalog) == before) == (not recalled)
    # the next command of any kind that makes products finishes what was left
    assert made("mosaic", "--stale", "--all").exit_code == 0
    assert product_files(hapctl_home) == files
    assert rows(catalog, "SELECT count(*) FROM recall_pending") == [(0,)]
    moved = {path.name for path in hapctl_home.rglob("quarantine/*/*.fits")}
    assert moved == (files if recalled else set())
    assert stale_names(catalog) == set()


def test_what_is_asked_wrongly_is_told(made: Runner) -> None:
    cases = {
        ("--reason", "x"): (2, "name one thing"),
        ("--run", 1, "--product", "x", "--reason", "x"): (2, "name one thing"),
        ("--run", 1): (2, "say why"),
        ("--run", 9999, "--dry-run"): (3, "no run 9999"),
        ("--file", "deadbeef", "--dry-run"): (3, "no file deadbeef"),
        ("--file", "f", "--exposure", FIRST, "--dry-run"): (2, "belongs to --solution"),
        ("--solution", NAME, "--dry-run"): (2, "of which exposure"),
        ("--solution", "NONE", "--exposure", FIRST, "--dry-run"): (3, "NONE"),
        ("--product", "no_drz.fits", "--dry-run"): (3, "no product"),
        ("--list", "--dry-run"): (2, "--dry-run belongs"),
    }
    for arguments, (code, words) in cases.items():
        done: Result = made("product", "recall", *arguments)
        assert (done.exit_code, words in done.stderr) == (code, True), (arguments, done.stderr)
