"""What users outgrow one machine with: a PostgreSQL server on TCP with a password, and a Dask cluster."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from hapctl.archive.database import create_database, open_catalog
from hapctl.archive.schema import upgrade_schema
from hapctl.archive.server_places import server_account, wheel_binaries
from support.servers import Watchdog

_PASSWORD = "pass word/1"
_IN_URL = "pass%20word%2F1"
_TESTS = Path(__file__).parents[1]


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def tcp_catalog(guard: Watchdog) -> Iterator[str]:
    """Give the URL of a migrated catalog on a PostgreSQL server that listens on loopback, by password."""
    folder, account, port = (
        Path(tempfile.mkdtemp(prefix="hapctl-test-", dir="/tmp")),
        server_account(),
        free_port(),
    )
    secret = folder / "secret"
    secret.write_text(_PASSWORD)
    identity = {}
    if account is not None:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
        for path in (folder, secret):
            os.chown(path, account.uid, account.gid)
    guard.watch(folder)
    binaries, data = wheel_binaries(18), folder / "data"

    def call(program: str, *arguments: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        command = [str(binaries / program), "-D", str(data), *arguments]
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            env={**environment, "LC_ALL": "C"},
            **identity,
        )

    call(
        "initdb", "-U", "hapctl", f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"
    )
    settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
    call("pg_ctl", "-l", str(folder / "log"), "-o", settings, "-w", "start")
    try:
        url = f"postgresql://hapctl:{_IN_URL}@127.0.0.1:{port}/catalog"
        create_database(url)
        catalog = open_catalog(url, check_schema=False)
        upgrade_schema(catalog)
        catalog.close()
        yield url
    finally:
        call("pg_ctl", "-m", "immediate", "-w", "stop")


@dataclass
class DaskCluster:
    """A scheduler and its workers, each a process as on machines of their own."""

    address: str
    scheduler: "subprocess.Popen[bytes]"
    stack: ExitStack
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def add_worker(self, *options: str, threads: int = 1) -> None:
        """Start a worker (a nanny and its process)."""
        arguments = ("worker", self.address, "--nthreads", str(threads), "--no-dashboard", *options)
        self.workers.append(_dask(self.stack, *arguments))

    def remove_worker(self) -> None:
        """End the worker that was added last, and wait until the scheduler knows."""
        _end(self.workers.pop())
        self.wait_for_workers(len(self.workers))

    def wait_for_workers(self, count: int) -> None:
        """Wait until the scheduler knows just so many workers."""
        from distributed import Client

        deadline = time.monotonic() + 60
        while True:
            try:
                with Client(self.address, timeout=5, set_as_default=False) as client:
                    while len(client.scheduler_info()["workers"]) != count:
                        assert time.monotonic() < deadline, "the workers did not register"
                        time.sleep(0.05)
                    return
            except OSError:
                assert time.monotonic() < deadline, "the scheduler did not start"
                time.sleep(0.1)

    def kill_scheduler(self) -> None:
        """Kill the scheduler as a crash does."""
        self.scheduler.kill()
        self.scheduler.wait()


@contextmanager
def dask_cluster(workers: int, *options: str) -> Iterator[DaskCluster]:
    """Give a cluster on loopback with so many workers that have registered."""
    port = free_port()
    with ExitStack() as stack:
        arguments = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        cluster = DaskCluster(f"tcp://127.0.0.1:{port}", _dask(stack, "scheduler", *arguments), stack)
        for _ in range(workers):
            cluster.add_worker(*options)
        cluster.wait_for_workers(workers)
        yield cluster


def _dask(stack: ExitStack, *arguments: str) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "PYTHONPATH": str(_TESTS),
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "20s",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tempfile.gettempdir(),
        start_new_session=True,
    )
    stack.callback(_end, process)
    return process


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and its children."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for one in family:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait(timeout=30)
