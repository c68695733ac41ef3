"""Batches of units: order, failures, memory, workers that are killed, and what the catalog says of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hapctl.archive.batches import BatchState, UnitState, batch_states, seconds_left
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.server import EmbeddedServer
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.pipeline.batch import BatchObserver, Execution, in_order_of_need, run_batch
from hapctl.processing.pipeline.units import UnitOutcome, WorkUnit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fake_units import act, logged, unit
from support.mosaics import rows
from support.servers import cloned_database


@pytest.fixture(scope="module")
def shared_catalog(database_server: EmbeddedServer) -> Iterator[Catalog]:
    with cloned_database(database_server) as url:
        opened = open_catalog(url)
        yield opened
        opened.close()


def done(
    catalog: Catalog, home: Path, units: list[WorkUnit], workers: int = 1, **how: int
) -> dict[str, UnitOutcome]:
    execution = Execution(home, workers, **how)  # type: ignore[arg-type]
    outcomes = run_batch(catalog, units, execution, command="mosaic", action=act)
    assert [one.name for one in outcomes] == [one.name for one in units]
    return {one.name: one for one in outcomes}


def last(catalog: Catalog) -> BatchState:
    return batch_states(catalog)[-1]


@st.composite
def graphs(draw: st.DrawFn) -> list[WorkUnit]:
    """Units in any order, some of which fail, each after any of those drawn before it."""
    count = draw(st.integers(1, 9))
    drawn = [
        unit(
            f"u{number}",
            draw(st.sets(st.sampled_from([f"u{other}" for other in range(number)]))) if number else (),
            refuse=draw(st.integers(0, 5)) == 0,
        )
        for number in range(count)
    ]
    return draw(st.permutations(drawn))


@given(graphs())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_units_follow_what_they_need_and_failures_stop_only_their_followers(
    shared_catalog: Catalog, tmp_path: Path, units: list[WorkUnit]
) -> None:
    ended: list[str] = []

    class Watch(BatchObserver):
        def ended(self, unit: WorkUnit, outcome: UnitOutcome) -> None:
            assert all(name in ended for name in unit.after) or outcome.status == "skipped"
            ended.append(unit.name)

    found = run_batch(shared_catalog, units, Execution(tmp_path), Watch(), command="mosaic", action=act)
    statuses = {one.name: one.status for one in found}

    def expected(one: WorkUnit) -> str:
        by_name = {other.name: other for other in units}
        if any(expected(by_name[name]) != "done" for name in one.after):
            return "skipped"
        return "refused" if one.options["refuse"] else "done"

    assert statuses == {one.name: expected(one) for one in units}
    states = {one.name: one.state for one in last(shared_catalog).units}
    assert states == statuses


@given(graphs())
def test_an_order_of_need_keeps_the_order_given_where_it_may(units: list[WorkUnit]) -> None:
    ordered = in_order_of_need(units)
    place = {one.name: number for number, one in enumerate(ordered)}
    assert sorted(place) == sorted(one.name for one in units)
    assert all(place[name] < place[one.name] for one in units for name in one.after)
    free = [one.name for one in units if not one.after]
    assert sorted(free, key=place.__getitem__) == free


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ([unit("a"), unit("a")], "same name"),
        ([unit("a", ["b"])], "which is not in the batch"),
        ([unit("a", ["b"]), unit("b", ["c"]), unit("c", ["b"])], "comes after itself"),
    ],
)
def test_a_batch_that_can_not_be_done_is_refused_at_once(units: list[WorkUnit], words: str) -> None:
    with pytest.raises(UsageProblemError, match=words):
        in_order_of_need(units)


def test_errors_are_outcomes_with_the_code_of_the_command(shared_catalog: Catalog, tmp_path: Path) -> None:
    found = done(shared_catalog, tmp_path, [unit("a", refuse=True), unit("b", fail=True), unit("c")])
    assert (found["a"].status, found["a"].exit_code, found["a"].remedy) == ("refused", 1, "ask for another")
    assert (found["b"].status, found["b"].exit_code) == ("failed", 70)
    assert "internal error: ZeroDivisionError: a bug" in found["b"].message
    assert found["c"].ended_well
    state = last(shared_catalog)
    assert (state.outcome, state.counts) == ("refused", {"refused": 1, "failed": 1, "done": 1})
    assert state.message is not None
    assert "2 of 3 units did not end well" in state.message


def test_processes_share_the_work_each_with_its_threads_limited(
    shared_catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    log = tmp_path / "log"
    units = [unit(f"u{n}", log=log, seconds=0.3, record=True) for n in range(4)]
    units.append(unit("last", ["u0", "u3"], log=log))
    found = done(shared_catalog, tmp_path, units, workers=2)
    assert {one.status for one in found.values()} == {"done"}
    results = [one.result for one in found.values()]
    assert len({one["pid"] for one in results}) == 2  # type: ignore[index]
    assert {one["threads"] for one in results} == {"1"}  # type: ignore[index]
    happened = logged(log)
    assert happened[1][0] == "begin", "two at once"
    assert happened.index(("begin", "last")) > max(happened.index(("end", name)) for name in ("u0", "u3"))
    assert all(len(found[f"u{n}"].runs) == 1 for n in range(4))
    assert last(shared_catalog).counts == {"done": 5}


def test_a_killed_worker_costs_one_more_try_and_the_others_go_on(
    shared_catalog: Catalog, tmp_path: Path
) -> None:
    units = [unit("once", kill=tmp_path / "killed"), unit("always", kill_always=True, memory=7_000_000)]
    units += [unit("after", ["always"]), unit("fine", seconds=0.1)]
    found = done(shared_catalog, tmp_path, units, workers=2)
    assert {name: one.status for name, one in found.items()} == {
        "once": "done",
        "always": "failed",
        "after": "skipped",
        "fine": "done",
    }
    told = found["always"]
    assert (told.exit_code, "SIGKILL" in told.message, "memory; 7 MB" in told.message) == (4, True, True)
    tries = {one.name: one.tries for one in last(shared_catalog).units}
    assert tries == {"once": 2, "always": 2, "after": 0, "fine": 1}


def test_units_begin_only_when_their_memory_fits(shared_catalog: Catalog, tmp_path: Path) -> None:
    log = tmp_path / "log"
    memory = {"large": 700, "larger": 900, "small": 200, "too_large": 5000, "tiny": 1}
    units = [unit(name, memory=size, log=log, seconds=0.1) for name, size in memory.items()]
    started: list[str] = []

    class Watch(BatchObserver):
        def started(self, unit: WorkUnit, where: str) -> None:
            started.append(unit.name)

    execution = Execution(tmp_path, workers=3, memory_limit=1000)
    found = run_batch(shared_catalog, units, execution, Watch(), command="mosaic", action=act)
    assert all(one.ended_well for one in found)
    assert started[:3] == ["large", "small", "tiny"], "what fits passes what does not"
    under_way: set[str] = set()
    for what, name in logged(log):
        under_way ^= {name}
        assert what == "end" or len(under_way) == 1 or sum(memory[one] for one in under_way) <= 1000


def test_a_batch_again_does_only_the_rest(shared_catalog: Catalog, tmp_path: Path) -> None:
    def units(**more: bool) -> list[WorkUnit]:
        return [unit("a", done=tmp_path / "a"), unit("b", ["a"], done=tmp_path / "b", **more)]

    assert [one.status for one in done(shared_catalog, tmp_path, units(fail=True)).values()] == [
        "done",
        "failed",
    ]
    assert [one.status for one in done(shared_catalog, tmp_path, units()).values()] == ["unchanged", "done"]


BATCH_APART = """
import signal, sys
from pathlib import Path
from hapctl.archive.database import open_catalog
from hapctl.processing.pipeline.batch import Execution, run_batch
from support.fake_units import act, unit

def stop(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, stop)
url, folder = sys.argv[1], Path(sys.argv[2])
units = [unit(f"u{n}", seconds=60, record=True) for n in range(3)]
run_batch(open_catalog(url), units, Execution(folder, workers=2), command="mosaic", action=act)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_in_order_with_the_command(
    database_url: str, tmp_path: Path, how: signal.Signals
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", BATCH_APART, database_url, str(tmp_path)]
    catalog = open_catalog(database_url)
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: rows(catalog, "SELECT count(*) FROM run WHERE command = 'mosaic'") == [(2,)])
        process.send_signal(how)
        assert process.wait(60) != 0
    wait_until(lambda: last(catalog).counts == {"abandoned": 3})
    found = rows(catalog, "SELECT command, outcome FROM run_status ORDER BY run_id")
    assert found[1:] == [("mosaic", "interrupted")] * 2
    assert found[0] == ("batch", "interrupted" if how == signal.SIGTERM else "abandoned")
    catalog.close()


def wait_until(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state(name: str, state: str, seconds: float | None, predicted: float | None) -> UnitState:
    others = dict.fromkeys(UnitState.__dataclass_fields__)
    given_ = {"name": name, "state": state, "seconds": seconds, "predicted_seconds": predicted, "tries": 1}
    return UnitState(**{**others, **given_})  # type: ignore[arg-type]


def test_what_is_left_is_told_by_predictions_scaled_by_what_was_done() -> None:
    ended = state("a", "done", 20.0, 10.0)
    running, waiting = state("b", "running", 5.0, 10.0), state("c", "waiting", None, 30.0)
    assert seconds_left([ended, running, waiting], 2) == 60.0, "the longest, which can't be split"
    assert seconds_left([ended, running, waiting], 1) == 75.0
    assert seconds_left([running, state("d", "running", 99.0, 10.0)], 2) == 5.0
    assert seconds_left([ended, state("d", "waiting", None, None)], 1) == 20.0, "as the mean of those done"
    assert seconds_left([running, state("d", "waiting", None, None)], 1) is None
    assert seconds_left([ended], 1) == 0.0
