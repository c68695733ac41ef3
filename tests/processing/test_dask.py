"""A Dask cluster on loopback with PostgreSQL on TCP: units, memory, killed workers, a killed scheduler."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hapctl.archive.batches import BatchState, batch_states
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.errors import NotInCatalogError, ServiceUnavailableError
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.pipeline.batch import Execution, run_batch
from hapctl.processing.pipeline.units import UnitOutcome, WorkUnit
from support.commands import run_here
from support.fake_units import act, logged, unit
from support.mosaics import small_visit
from support.servers import Watchdog

pytest.importorskip("distributed", reason="no Dask here: pip install 'hapctl[dask]'")

from support.clusters import DaskCluster, dask_cluster, tcp_catalog


@pytest.fixture(scope="module")
def url(server_watchdog: Watchdog) -> Iterator[str]:
    with tcp_catalog(server_watchdog) as found:
        yield found


@pytest.fixture(scope="module")
def remote(url: str) -> Iterator[Catalog]:
    opened = open_catalog(url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[DaskCluster]:
    with dask_cluster(2, "--resources", "memory=1e9") as found:
        yield found


def done(catalog: Catalog, home: Path, units: list[WorkUnit], cluster: DaskCluster) -> dict[str, UnitOutcome]:
    how = Execution(home, scheduler=cluster.address)
    return {one.name: one for one in run_batch(catalog, units, how, command="mosaic", action=act)}


def last(catalog: Catalog) -> BatchState:
    return batch_states(catalog)[-1]


def wait_until(ready: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cluster_does_units_in_order_of_need_with_memory_asked_of_workers(
    remote: Catalog, tmp_path: Path, cluster: DaskCluster
) -> None:
    log = tmp_path / "log"
    units = [unit(f"u{n}", memory=800_000_000, log=log, seconds=0.2, record=True) for n in range(4)]
    units += [unit("last", ["u0", "u3"], log=log), unit("too_large", memory=1_001_000_000)]
    found = done(remote, tmp_path / "home", units, cluster)
    assert [one.status for one in found.values()] == ["done"] * 5 + ["failed"]
    assert (found["too_large"].exit_code, "no Dask worker has more" in found["too_large"].message) == (
        5,
        True,
    )
    happened = logged(log)
    assert happened.index(("begin", "last")) > max(happened.index(("end", name)) for name in ("u0", "u3"))
    assert len({one.result["pid"] for one in found.values() if one.result}) == 2  # type: ignore[index]
    state = last(remote)
    assert (state.scheduler, state.counts) == (cluster.address, {"done": 5, "failed": 1})
    assert all(one.predicted_memory_bytes == 800_000_000 for one in state.units[:4])
    assert all(len(found[f"u{n}"].runs) == 1 for n in range(4))


def test_a_killed_worker_costs_only_its_unit_which_another_does(
    remote: Catalog, tmp_path: Path, cluster: DaskCluster
) -> None:
    units = [unit(f"u{n}", done=tmp_path / f"u{n}", log=tmp_path / "log") for n in range(3)]
    units.append(unit("killed", kill=tmp_path / "killed", done=tmp_path / "k", log=tmp_path / "log"))
    found = done(remote, tmp_path / "home", units, cluster)
    assert all(one.ended_well for one in found.values())  # an answer the worker still had died with it
    state = last(remote)
    assert state.counts == {"done": 4}
    assert state.units[3].tries >= 2
    assert [one.status for one in done(remote, tmp_path / "home", units, cluster).values()] == [
        "unchanged"
    ] * 4


def test_visits_go_from_files_to_products_on_a_cluster(
    url: str, tmp_path: Path, cluster: DaskCluster, hapctl_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAPCTL_DATABASE_URL", url)
    for number in (1, 2):
        small_visit(tmp_path / str(number), visit=f"jhap0{number}", seed=number)
    files = sorted(tmp_path.glob("*/*_flc.fits"))
    ingested = run_here(("ingest", *files, tmp_path / "no.fits", "--scheduler", cluster.address, "--json"))
    assert ingested.exit_code == 0, ingested.stderr
    assert ingested.json()["counts"] == {"new": 4, "updated": 0, "unchanged": 0, "rejected": 1}
    made = run_here(("mosaic", "--all", "--scheduler", cluster.address, "--json"))
    assert made.exit_code == 0, made.stderr
    products = [product for target in made.json()["targets"] for product in target["products"]]
    assert len(products) == 8
    assert all(Path(product["path"]).is_file() for product in products)
    again = run_here(("mosaic", "--all", "--scheduler", cluster.address, "--json"))
    assert again.json()["summary"]["counts"] == {"unchanged": 2}


def test_workers_that_can_not_work_are_told_before_the_work(
    remote: Catalog, tmp_path: Path, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add_worker(threads=2)
    cluster.wait_for_workers(3)
    with pytest.raises(UsageProblemError, match="2 units in one process"):
        done(remote, tmp_path, [unit("a")], cluster)
    cluster.remove_worker()
    monkeypatch.setattr("hapctl.processing.pipeline.unit_process.version", lambda _: "9.9")
    with pytest.raises(ServiceUnavailableError, match=r"can't work: it has hapctl .*, the command is of 9.9"):
        done(remote, tmp_path, [unit("a")], cluster)


def test_without_a_scheduler_the_remedy_is_named(
    remote: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hapctl.processing.pipeline.dask_workers._CONNECT_SECONDS", 0.5)
    before = _batches(remote)
    with pytest.raises(ServiceUnavailableError, match="no Dask scheduler answers") as caught:
        run_batch(remote, [unit("a")], Execution(tmp_path, scheduler="tcp://127.0.0.1:9"), command="mosaic")
    assert "dask scheduler" in caught.value.remedy
    assert _batches(remote) == before


def _batches(catalog: Catalog) -> int:
    try:
        return last(catalog).batch_id
    except NotInCatalogError:
        return 0


def test_a_killed_scheduler_costs_only_the_units_in_flight(
    remote: Catalog, tmp_path: Path, cluster: DaskCluster
) -> None:
    """The last test here: the cluster is gone afterwards."""
    quick = [unit(f"q{n}", done=tmp_path / f"q{n}") for n in range(2)]
    after, log = ["q0", "q1"], tmp_path / "log"
    slow = [unit(f"s{n}", after, done=tmp_path / f"s{n}", seconds=2.0, log=log) for n in range(2)]

    def kill() -> None:
        wait_until((tmp_path / "log").exists)
        cluster.kill_scheduler()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ServiceUnavailableError, match="was lost") as caught:
        done(remote, tmp_path / "home", [*quick, *slow, unit("never", ["s0"])], cluster)
    killer.join()
    assert "what is done is kept" in caught.value.remedy
    state = last(remote)
    assert state.outcome == "failed"
    states = {one.name: one.state for one in state.units}
    assert (states["q0"], states["q1"], states["never"]) == ("done", "done", "abandoned")
    assert not list((tmp_path / "home").glob(".batch*"))
    found = run_batch(remote, [*quick, *slow], Execution(tmp_path), command="mosaic", action=act)
    assert [one.status for one in found[:2]] == ["unchanged", "unchanged"]
    assert all(one.ended_well for one in found)
