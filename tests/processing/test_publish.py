"""Products killed at each point of the pending protocol: the old or the new, and the next run settles."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits
from hapctl.archive.database import Catalog
from hapctl.archive.products import pending_products
from hapctl.archive.runs import recorded_run
from support.canonical import canonical_state, damaged_files
from support.commands import Runner
from support.mosaics import rows, small_visit, stale_names

EXPOSURE = "hst_90001_01_acs_wfc_f606w_jhap01a0_drc.fits"

# Each kills the process when a step of the protocol is reached for the first product.
KILLER = """
import os, signal
from types import SimpleNamespace
from hapctl.processing.pipeline import build_product, publish
from hapctl.cli.main import main

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(module, name, calls=1):
    original, count = getattr(module, name), [0]
    def wrapped(*arguments, **options):
        result = original(*arguments, **options)
        count[0] += 1
        if count[0] == calls:
            die()
        return result
    setattr(module, name, wrapped)

{patch}
main({arguments!r})
"""
POINTS = {
    "files written aside": "build_product.publish = die",
    "being recorded": "after(publish, 'insert_pending_product')",
    "recorded as pending": "publish._move = die",
    "first file moved": "publish.os = SimpleNamespace(**vars(os)); after(publish.os, 'replace')",
    "all files moved": "publish._put_in_force = die",
    "being put in force": "after(publish, 'put_product_in_force')",
    "in force": "publish.drop_backups = die",
}
OLD_STANDS = ("files written aside", "being recorded", "recorded as pending")
NOTHING_PENDING = ("files written aside", "being recorded", "in force")


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(small_visit(tmp_path_factory.mktemp("field"), chip_shape=(128, 200)).files)


@pytest.fixture
def ingested(field: list[Path], run_hapctl: Runner) -> Runner:
    assert run_hapctl("ingest", *field).exit_code == 0
    return run_hapctl


def killed(patch: str, *arguments: str) -> None:
    script = KILLER.format(patch=patch, arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def hidden(home: Path) -> list[Path]:
    return [path for path in home.rglob(".*") if path.suffix in (".partial", ".previous")]


@pytest.mark.parametrize("point", ["recorded as pending", "all files moved"])
def test_first_product_killed(
    ingested: Runner, catalog: Catalog, database_url: str, hapctl_home: Path, point: str
) -> None:
    killed(POINTS[point], "mosaic", "--visit", "jhap01")
    assert rows(catalog, "SELECT FROM current_product") == []
    done = ingested("mosaic", "--visit", "jhap01", "--json").json()
    assert done["finished"] == [EXPOSURE]
    settled(catalog, database_url, hapctl_home)
    assert len(rows(catalog, "SELECT FROM current_product")) == 4


def test_replacement_killed_at_every_point(
    ingested: Runner, catalog: Catalog, database_url: str, hapctl_home: Path
) -> None:
    assert ingested("mosaic", "--visit", "jhap01").exit_code == 0
    calm = canonical_state(database_url)["products"]
    path = hapctl_home / "products" / EXPOSURE
    for number, (point, patch) in enumerate(POINTS.items()):
        old, pixfrac = path.read_bytes(), str(0.9 - 0.1 * number)
        killed(patch, "mosaic", "--visit", "jhap01", "--pixfrac", pixfrac)
        assert (path.read_bytes() == old) == (point in OLD_STANDS), point
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")  # the old or the new, but whole
        done = ingested("mosaic", "--visit", "jhap01", "--pixfrac", pixfrac, "--json").json()
        assert done["finished"] == ([] if point in NOTHING_PENDING else [EXPOSURE]), point
        settled(catalog, database_url, hapctl_home)
    assert ingested("mosaic", "--visit", "jhap01").exit_code == 0
    assert canonical_state(database_url)["products"] == calm


def settled(catalog: Catalog, url: str, home: Path) -> None:
    assert rows(catalog, "SELECT count(*) FROM product_pending") == [(0,)]
    assert damaged_files(url, home) == []
    assert stale_names(catalog) == set()
    assert hidden(home) == []


@pytest.mark.parametrize("lost", ["fits", "png"])
def test_what_cannot_be_finished_is_undone(
    ingested: Runner, catalog: Catalog, database_url: str, hapctl_home: Path, lost: str
) -> None:
    """A file aside is gone: the old product stands again, complete, and is made anew."""
    products = hapctl_home / "products"
    assert ingested("mosaic", "--visit", "jhap01").exit_code == 0
    before = {path.name: path.read_bytes() for path in products.iterdir()}
    patch = POINTS["recorded as pending" if lost == "fits" else "first file moved"]
    killed(patch, "mosaic", "--visit", "jhap01", "--pixfrac", "0.7")
    (products / f".{EXPOSURE[:-5]}.{lost}.partial").unlink()
    done = ingested("mosaic", "--visit", "jhap01", "--json").json()
    assert done["undone"] == [EXPOSURE]
    assert {product["status"] for product in done["products"]} == {"unchanged"}
    assert {path.name: path.read_bytes() for path in products.iterdir()} == before
    settled(catalog, database_url, hapctl_home)


def test_what_is_not_ours_to_settle_stays_pending(ingested: Runner, catalog: Catalog, tmp_path: Path) -> None:
    """Products in a folder that is away, and those of a run that is still at work."""
    disk, away = tmp_path / "disk", tmp_path / "away"
    killed(POINTS["recorded as pending"], "mosaic", "--visit", "jhap01", "--output", str(disk))
    os.rename(disk, away)
    done = ingested("mosaic", "--visit", "jhap01", "--json").json()
    assert done["finished"] == done["undone"] == []
    assert rows(catalog, "SELECT count(*) FROM product_pending") == [(1,)]
    with recorded_run(catalog, "mosaic", {}) as run, catalog.begin() as connection:
        assert len(pending_products(connection)) == 1
        connection.exec_driver_sql("UPDATE product_pending SET run_id = %s", (run.id,))
        assert pending_products(connection) == []
        connection.rollback()
    os.rename(away, disk)
    assert ingested("mosaic", "--visit", "jhap01", "--json").json()["finished"] == [EXPOSURE]
    assert rows(catalog, "SELECT count(*) FROM product_pending") == [(0,)]
