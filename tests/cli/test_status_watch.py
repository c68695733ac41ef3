"""``hapctl status --watch`` and the commands that make batches, through the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hapctl.archive.batches import NewUnit, UnitEnding, begun_unit, end_unit, record_batch
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.runs import recorded_run
from hapctl.cli.status_watch import duration
from support.commands import Runner
from support.mosaics import rows, small_visit


@pytest.fixture
def under_way(catalog: Catalog, database_url: str) -> Iterator[int]:
    """Give a batch: one unit done, one failed, one at work, one whose worker is gone, one waiting."""
    names = ("done", "failed", "at work", "lost", "waiting")
    units = [
        NewUnit(n, f"mosaic visit {name}", "mosaic", {"visit": name}, seconds=20.0)
        for n, name in enumerate(names)
    ]
    with recorded_run(catalog, "batch", {}) as run:
        with catalog.begin() as connection:
            batch_id = record_batch(connection, run.id, "mosaic", units, workers=2, scheduler=None)
        for number, status, code, message in ((0, "done", 0, ""), (1, "failed", 70, "a bug")):
            with begun_unit(catalog, batch_id, number), catalog.begin() as connection:
                end_unit(connection, UnitEnding(batch_id, number, status, code, message, "say so", 10.0, 5))
        gone = open_catalog(database_url)
        with begun_unit(gone, batch_id, 3, 10**9):
            pass
        gone.close()
        with begun_unit(catalog, batch_id, 2, 300_000_000):
            yield batch_id


def test_a_batch_is_told_from_the_catalog_alone(under_way: int, run_hapctl: Runner) -> None:
    document = run_hapctl("status", "--watch", "--json").json()
    (batch,) = document["batches"]
    assert (batch["batch_id"], batch["outcome"], batch["workers"]) == (under_way, "running", 2)
    states = {unit["name"].removeprefix("mosaic visit "): unit["state"] for unit in batch["units"]}
    assert states == {
        **{"done": "done", "failed": "failed", "at work": "running"},
        **{"lost": "abandoned", "waiting": "waiting"},
    }
    assert batch["counts"] == dict.fromkeys(("done", "failed", "running", "abandoned", "waiting"), 1)
    assert 10.0 <= batch["seconds_left"] < 20.0, "half of what was predicted, as for the one done"
    text = run_hapctl("status", "--batch", str(under_way)).stdout
    assert f"batch {under_way}: mosaic, 2 at once" in text
    assert "about 10 s left" in text
    assert "running    mosaic visit at work  on " in text
    assert "300 MB predicted" in text
    assert "failed     mosaic visit failed  a bug (say so)" in text
    assert "abandoned  mosaic visit lost  on " in text


def test_units_of_a_batch_that_is_gone_are_abandoned(
    catalog: Catalog, database_url: str, run_hapctl: Runner
) -> None:
    gone = open_catalog(database_url)
    with recorded_run(gone, "batch", {}) as run, gone.begin() as connection:
        unit = NewUnit(0, "mosaic visit a", "mosaic", {"visit": "a"})
        record_batch(connection, run.id, "mosaic", [unit], workers=None, scheduler="tcp://h:1")
        run.refused("interrupted", 130)
    gone.close()
    text = run_hapctl("status", "--watch").stdout
    assert "Dask cluster tcp://h:1" in text
    assert "abandoned  mosaic visit a  before it began: run the same command again" in text
    assert "left" not in text


def test_no_batch_is_not_found(run_hapctl: Runner) -> None:
    found = run_hapctl("status", "--watch")
    assert (found.exit_code, "no batch of work in the catalog" in found.stderr) == (3, True)
    assert run_hapctl("status", "--batch", "7").exit_code == 3


def test_durations_are_said_in_words() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.6, 200.0, 7500.0)] == [
        *("0 s", "1 min 0 s", "3 min 20 s", "2 h 5 min")
    ]


def test_visits_and_their_tiles_by_processes(catalog: Catalog, run_hapctl: Runner, tmp_path: Path) -> None:
    for number in (1, 2):
        small_visit(tmp_path / str(number), visit=f"jhap0{number}", seed=number)
    run_hapctl("ingest", tmp_path, "--recursive", "--json")
    ((name, *_), *_) = rows(catalog, "SELECT name FROM sky_cell JOIN solution_sky_cell USING (sky_cell_id)")
    made = run_hapctl("mosaic", "--all", "--tile", name, "--wcs-policy", "any", "--workers", 2, "--json")
    assert made.exit_code == 0, made.stderr
    document = made.json()
    assert [one["target"] for one in document["targets"]] == ["jhap01", "jhap02", name]
    assert document["summary"]["counts"] == {"made": 3}
    (batch,) = run_hapctl("status", "--watch", "--json").json()["batches"]
    assert batch["counts"] == {"done": 3}
    ended = {unit["name"]: unit for unit in batch["units"]}
    tile_unit = ended[f"mosaic tile {name}"]
    assert all(tile_unit["started"] >= ended[f"mosaic visit jhap0{n}"]["ended"] for n in (1, 2))
    assert all(unit["predicted_memory_bytes"] > unit["peak_memory_bytes"] / 2 for unit in batch["units"])


def test_workers_and_a_scheduler_exclude_each_other(run_hapctl: Runner) -> None:
    found = run_hapctl("mosaic", "--visit", "jhap01", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1")
    assert (found.exit_code, "give one" in found.stderr) == (2, True)
