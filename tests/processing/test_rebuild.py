"""Products made again as they were: the same pixels, whatever has come into force since."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.server import EmbeddedServer
from hapctl.processing.imaging.product_file import file_sha256
from support.commands import Runner, run_here
from support.mosaics import realign, rows, small_visit
from support.servers import cloned_database

VISIT = "jhap01"
SHAPE = (128, 200)


@dataclass(frozen=True)
class Made:
    """A catalog with the products of a visit and of a tile, made before its exposures were realigned."""

    run: Runner
    catalog: Catalog
    home: Path
    files: list[Path]
    first: dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, database_server: EmbeddedServer) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("rebuild")
    files = list(small_visit(folder / "field", chip_shape=SHAPE).files)
    with cloned_database(database_server) as url:
        catalog = open_catalog(url)

        def run(*arguments: object, **more: Any) -> Any:
            return run_here(("--home", folder / "home", "--database", url, *arguments), **more)

        assert run("ingest", *files).exit_code == 0
        assert run("mosaic", "--visit", VISIT).exit_code == 0
        realign(catalog, {"jhap01a0q": 0.0, "jhap01a1q": 0.0})
        assert run("mosaic", "--visit", VISIT).exit_code == 0
        cell = rows(catalog, "SELECT c.name FROM sky_cell c JOIN solution_sky_cell USING (sky_cell_id)")[0][0]
        assert run("mosaic", "--tile", cell, "--pixfrac", 0.8).exit_code == 0
        field = ("--center", 152.0, 2.0, "--size", "0.2x0.1")
        for options in ((), ("--compress", "gzip"), ("--compress", "rice", "--grid", "nested")):
            assert run("mosaic", *field, *options).exit_code == 0
        products = "SELECT p.name, p.product_id, p.pixels_sha256, p.kind FROM product p ORDER BY product_id"
        first = {f"{kind} {number}": (number, sha) for _, number, sha, kind in rows(catalog, products)}
        realign(catalog, {"jhap01a0q": 30.0, "jhap01a1q": -40.0}, name="IDC_hapsim01j-FIT_IMG_GAIADR3")
        assert run("mosaic", "--visit", VISIT).exit_code == 0
        yield Made(run, catalog, folder / "home", files, first)
        catalog.close()


def test_every_kind_comes_out_with_the_same_pixels_by_any_number_of_threads(made: Made) -> None:
    kinds = {name.split()[0] for name in made.first}
    assert kinds == {"exposure", "filter", "total", "layer", "mosaic"}
    for number, (product_id, sha256) in enumerate(made.first.values()):
        done = made.run("product", "rebuild", product_id, "--threads", 1 + number % 2, "--json")
        assert done.exit_code == 0, done.stderr
        report = done.json()
        assert (report["status"], report["pixels_sha256"]) == ("rebuilt", sha256)
        assert Path(report["path"]).parent.name == "rebuilt"
        assert Path(report["path"]).is_file()
    assert rows(made.catalog, "SELECT count(*) FROM product_pending") == [(0,)]


def test_both_numbers_of_threads_give_the_same_file(made: Made, tmp_path: Path) -> None:
    product_id, sha256 = next(made.first[name] for name in made.first if name.startswith("layer"))
    for threads in (1, 2):
        report = made.run(
            *("product", "rebuild", product_id, "--threads", threads),
            *("--output", tmp_path / str(threads), "--json"),
        ).json()
        assert report["pixels_sha256"] == sha256


def in_force(made: Made, kind: str) -> tuple[str, Path, int]:
    question = "SELECT name, path, product_id FROM current_product WHERE kind = :kind ORDER BY path"
    name, path, number = rows(made.catalog, question, kind=kind)[0]
    return name, Path(path), number


def recorded(made: Made, number: int) -> list[tuple[Any, ...]]:
    columns = "pixels_sha256, inputs_sha256, parameters_sha256, policy_id, grid, request, kind, visit"
    return rows(made.catalog, f"SELECT {columns} FROM product WHERE product_id = :number", number=number)


def test_a_lost_file_is_put_back_into_its_place(made: Made) -> None:
    name, path, number = in_force(made, "filter")
    whole = made.run("product", "rebuild", name, "--replace", "--json").json()
    assert (whole["status"], whole["new_product_id"]) == ("intact", None)
    before = recorded(made, number)
    path.write_bytes(b"damaged")
    report = made.run("product", "rebuild", name, "--replace", "--json").json()
    assert (report["status"], report["path"]) == ("replaced", str(path))
    assert recorded(made, report["new_product_id"]) == before
    assert in_force(made, "filter")[2] == report["new_product_id"]
    assert made.run("mosaic", "--visit", VISIT, "--json").json()["products"][0]["status"] == "unchanged"


def test_a_mask_that_is_gone_is_made_again_from_its_own_record(made: Made, tmp_path: Path) -> None:
    product_id, sha256 = made.first[next(name for name in made.first if name.startswith("filter"))]
    question = """SELECT m.path, m.sha256 FROM product_input i JOIN exposure_mask m USING (mask_id)
                  WHERE i.product_id = :product_id"""
    masks = rows(made.catalog, question, product_id=product_id)
    assert len(masks) == 2
    (made.home / masks[0][0]).unlink()
    (made.home / masks[1][0]).write_bytes(b"damaged")
    report = made.run("product", "rebuild", product_id, "--output", tmp_path, "--json").json()
    assert report["masks_made"] == ["jhap01a0q", "jhap01a1q"]
    assert report["pixels_sha256"] == sha256
    assert [file_sha256(made.home / path) for path, _ in masks] == [sha for _, sha in masks]
    again = made.run("product", "rebuild", product_id, "--output", tmp_path, "--json").json()
    assert again["masks_made"] == []


def test_an_input_that_moved_is_found_and_one_that_is_gone_is_named(made: Made, tmp_path: Path) -> None:
    product_id, sha256 = made.first[next(name for name in made.first if name.startswith("exposure"))]
    kept = tmp_path / "kept.fits"
    shutil.move(made.files[0], kept)
    try:
        refused = made.run("product", "rebuild", product_id, "--output", tmp_path / "out")
        assert refused.exit_code == 1
        assert "jhap01a0q_flc" in refused.stderr
        assert "ingest it where it lies now" in refused.stderr
        made.files[0].write_bytes(kept.read_bytes()[:-2880])
        refused = made.run("product", "rebuild", product_id, "--output", tmp_path / "out")
        assert refused.exit_code == 1
        assert "is no longer what lies at" in refused.stderr
        moved = tmp_path / "moved" / made.files[0].name
        moved.parent.mkdir()
        shutil.copy(kept, moved)
        assert made.run("ingest", moved).exit_code == 0
        report = made.run("product", "rebuild", product_id, "--output", tmp_path / "out", "--json").json()
        assert report["pixels_sha256"] == sha256
    finally:
        shutil.move(kept, made.files[0])


def test_other_software_is_refused_with_both_versions(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from hapctl.processing.pipeline import recorded_plan

    product_id, _ = next(iter(made.first.values()))
    monkeypatch.setattr(recorded_plan, "ENGINE", 99)
    refused = made.run("product", "rebuild", product_id)
    assert refused.exit_code == 1
    assert "this is engine 99" in refused.stderr


def test_other_pixels_are_not_kept(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dataclasses import replace

    from hapctl.processing.pipeline import rebuild

    plan = rebuild.recorded_plan
    monkeypatch.setattr(
        rebuild, "recorded_plan", lambda product: replace(plan(product), grid=_shifted(plan(product).grid))
    )
    product_id, _ = next(iter(made.first.values()))
    refused = made.run("product", "rebuild", product_id, "--output", tmp_path)
    assert refused.exit_code == 1
    assert "other pixels" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def _shifted(grid: Any) -> Any:
    from dataclasses import replace

    return replace(grid, crpix=(grid.crpix[0] + 0.5, grid.crpix[1]))


def test_what_is_not_there_or_of_the_past_is_told(made: Made) -> None:
    assert made.run("product", "rebuild", 999_999).exit_code == 3
    assert made.run("product", "rebuild", "no_such_drz.fits").exit_code == 3
    old = min(number for number, _ in made.first.values())
    refused = made.run("product", "rebuild", old, "--replace")
    assert refused.exit_code == 1
    assert "not in force" in refused.stderr
    assert made.run("product", "rebuild", old, "--replace", "--output", "x").exit_code == 2
