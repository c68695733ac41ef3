"""Provenance: a run begins with a row, ends with another, and one that vanished shows as abandoned."""

import os
import subprocess
import sys
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hapctl.archive.database import Catalog
from hapctl.archive.errors import BusyError, RefusedByCatalogError, ServiceUnavailableError
from hapctl.archive.locks import advisory_lock, lock_key
from hapctl.archive.memory import PeakMemory
from hapctl.archive.runs import parameters_sha256, recorded_run
from hapctl.archive.schema import software_version
from sqlalchemy import text


def row_of(catalog: Catalog, run_id: int) -> dict[str, Any]:
    query = text("SELECT * FROM run_status LEFT JOIN run_end USING (run_id) WHERE run_id = :run_id")
    with catalog.begin() as connection:
        return dict(connection.execute(query, {"run_id": run_id}).mappings().one())


def outcome_of(catalog: Catalog, run_id: int) -> tuple[str, int | None, str | None]:
    with catalog.begin() as connection:
        query = text("SELECT outcome, exit_code, message FROM run_status WHERE run_id = :run_id")
        return tuple(connection.execute(query, {"run_id": run_id}).one())  # type: ignore[return-value]


def test_a_run_is_there_from_its_start_and_says_what_made_it(catalog: Catalog) -> None:
    with recorded_run(catalog, "align", {"visit": "j8bt09"}, ["align", "--visit", "j8bt09"]) as run:
        assert outcome_of(catalog, run.id) == ("running", None, None)
        run.summary["stars"] = 28
    assert outcome_of(catalog, run.id) == ("done", 0, "")
    with catalog.begin() as connection:
        row = connection.execute(text("SELECT * FROM run JOIN run_end USING (run_id)")).mappings().one()
    assert row["parameters"] == {"visit": "j8bt09"}
    assert row["parameters_sha256"] == sha256(b'{"visit":"j8bt09"}').hexdigest()
    assert row["arguments"] == ["align", "--visit", "j8bt09"]
    assert row["summary"] == {"stars": 28}
    assert row["software"]["numpy"] == np.__version__
    assert row["software"]["python"] == "{}.{}.{}".format(*sys.version_info[:3])
    assert row["software"]["schema"] == software_version().revision
    assert row["software"]["kernel_compiler"].startswith(("GCC", "clang"))
    assert row["software"]["postgresql"].startswith("18")
    assert row["pid"] == os.getpid()
    assert row["peak_memory_bytes"] > 10_000_000
    assert row["ended"] >= row["started"]


def test_no_password_is_recorded(catalog: Catalog) -> None:
    arguments = ["--database", "postgresql://me:secret@host/db", "ingest", "a:b@c.fits"]
    arguments += ["postgresql:///db?user=me&password=secret&port=1"]
    with recorded_run(catalog, "ingest", {}, arguments):
        pass
    with catalog.begin() as connection:
        kept = connection.scalar(text("SELECT arguments FROM run"))
    assert kept[:4] == ["--database", "postgresql://me:***@host/db", "ingest", "a:b@c.fits"]
    assert kept[4] == "postgresql:///db?user=me&password=***&port=1"


def test_parameters_in_any_order_have_one_hash() -> None:
    assert parameters_sha256({"a": 1, "b": [2.5]}) == parameters_sha256({"b": [2.5], "a": 1})
    assert parameters_sha256({"a": 1}) != parameters_sha256({"a": 2})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RefusedByCatalogError("no fit"), ("refused", 1, "no fit")),
        (ServiceUnavailableError("no Gaia"), ("failed", 4, "no Gaia")),
        (ZeroDivisionError("1\n/ 0"), ("failed", 70, "ZeroDivisionError: 1 / 0")),
        (KeyboardInterrupt(), ("interrupted", 130, "interrupted")),
    ],
)
def test_an_error_ends_the_run_and_passes_on(
    catalog: Catalog, error: BaseException, expected: tuple[str, int, str]
) -> None:
    with pytest.raises(type(error)), recorded_run(catalog, "test", {}) as run:
        raise error
    assert outcome_of(catalog, run.id) == expected


def test_a_refusal_without_an_error_is_recorded(catalog: Catalog) -> None:
    with recorded_run(catalog, "align", {}) as run:
        run.refused("nothing better")
    assert outcome_of(catalog, run.id) == ("refused", 1, "nothing better")


_KILLED = """
import os, signal, sys
from hapctl.archive.database import open_catalog
from hapctl.archive.runs import recorded_run
with recorded_run(open_catalog(sys.argv[1]), "mosaic", {}) as run:
    print(run.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_shows_as_abandoned(catalog: Catalog) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, catalog.url], capture_output=True, text=True)
    assert done.returncode == -9
    query = text("SELECT count(*) FROM pg_stat_activity a JOIN run ON a.pid = backend_pid")
    with catalog.connect() as connection:
        while connection.scalar(query):
            pass
    assert outcome_of(catalog, int(done.stdout)) == ("abandoned", None, None)


def test_a_lost_session_does_not_hide_the_end(catalog: Catalog) -> None:
    with recorded_run(catalog, "test", {}) as run, catalog.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(backend_pid) FROM run"))
    assert outcome_of(catalog, run.id) == ("done", 0, "")


def test_the_second_is_told_who_holds_the_lock(catalog: Catalog) -> None:
    with recorded_run(catalog, "align", {}) as first, recorded_run(catalog, "mosaic", {}) as second:
        with advisory_lock(first, "visit", "j8bt09"):
            with advisory_lock(second, "visit", "j8bt06", wait_seconds=0):
                pass
            with pytest.raises(BusyError, match=rf"visit j8bt09 is held by run {first.id} \(align\) of "):
                advisory_lock(second, "visit", "j8bt09", wait_seconds=0).__enter__()
        with advisory_lock(second, "visit", "j8bt09", wait_seconds=0):
            pass


def test_the_second_may_wait(catalog: Catalog) -> None:
    heard: list[str] = []
    with recorded_run(catalog, "align", {}) as first, recorded_run(catalog, "mosaic", {}) as second:
        held = advisory_lock(first, "product", "p")
        held.__enter__()

        def release_at_once(line: str) -> None:
            heard.append(line)
            held.__exit__(None, None, None)

        with advisory_lock(second, "product", "p", wait_seconds=30, on_wait=release_at_once):
            pass
    assert heard
    assert heard[0].startswith(f"waiting for product p, held by run {first.id}")


def test_a_lock_lost_with_its_session_is_noticed(catalog: Catalog) -> None:
    with (
        pytest.raises(ServiceUnavailableError),
        recorded_run(catalog, "align", {}) as run,
        advisory_lock(run, "visit", "j8bt09"),
        catalog.connect() as connection,
    ):
        connection.execute(text("SELECT pg_terminate_backend(backend_pid) FROM run"))


def test_lock_keys_differ_and_fit_the_server(catalog: Catalog) -> None:
    keys = {lock_key(kind, name) for kind in ("visit", "product") for name in ("a", "b")}
    assert len(keys) == 4
    assert all(-(1 << 63) <= key < 1 << 63 for key in keys)


def test_peak_memory_counts_what_a_child_holds() -> None:
    holds = "import sys; held = bytearray(b'x' * 200_000_000); print('ready', flush=True); sys.stdin.read()"
    with PeakMemory() as memory:
        before = memory.sample()
        child = subprocess.Popen(
            [sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        child.stdout.readline()
        during = memory.sample()
        child.communicate()
    assert during - before > 190_000_000
    assert memory.peak_bytes >= during


def test_parameters_that_are_no_json_are_refused() -> None:
    with pytest.raises(ValueError):
        parameters_sha256({"a": float("nan")})
