"""Test servers: PostgreSQL 16 and 18 of the wheel, and a local one where installed; a database per test."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from hapctl.archive.database import open_catalog
from hapctl.archive.schema import upgrade_schema
from hapctl.archive.server import ADMIN_ROLE, OWNER_ROLE, EmbeddedServer
from hapctl.archive.server_places import server_account, wheel_binaries
from psycopg import sql

# What is lost when the machine fails matters to nobody here.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")
_numbers = itertools.count(1)


def local_binaries() -> Path | None:
    """Return the folder of initdb of a PostgreSQL installed on this machine, None without one."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@dataclass(frozen=True)
class Watchdog:
    """A process that ends servers when this one is gone."""

    process: "subprocess.Popen[str]"

    def watch(self, folder: Path) -> None:
        """Name a folder whose server must not outlive this process."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()


@contextmanager
def watchdog() -> Iterator[Watchdog]:
    """Give a watchdog; at the end wait until it has done its work."""
    script = Path(__file__).with_name("watchdog.py")
    process = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield Watchdog(process)
    finally:
        process.communicate(timeout=300)


def server_binaries(label: str) -> Path | None:
    """Return the binaries of a label: 'local', or a major version of the wheel; None where not installed."""
    return local_binaries() if label == "local" else wheel_binaries(int(label))


def new_server(label: str, guard: Watchdog) -> EmbeddedServer:
    """Return a running server with a migrated template, in a folder of its own below /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="hapctl-test-", dir="/tmp"))
    folder.chmod(0o711)
    guard.watch(folder)
    account = server_account()
    server = EmbeddedServer(
        folder, folder / "run", folder / "lock", account, _binaries_for(label, account is not None), _FAST
    )
    server.ensure_running()
    catalog = open_catalog(server.url(), check_schema=False)
    upgrade_schema(catalog)
    catalog.close()
    return server


def _binaries_for(label: str, as_root: bool) -> Path | None:
    # The default one is found by the product's own code.
    return None if label == "18" else server_binaries(label)


@contextmanager
def cloned_database(server: EmbeddedServer, template: str = "hapctl") -> Iterator[str]:
    """Give the URL of a database made from a template, dropped at the end."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    identifier, owner = sql.Identifier(name), sql.Identifier(OWNER_ROLE)
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY")
    with psycopg.connect(server.url(ADMIN_ROLE, "postgres"), autocommit=True) as connection:
        connection.execute(create.format(identifier, sql.Identifier(template), owner))
    try:
        yield server.url(OWNER_ROLE, name)
    finally:
        with psycopg.connect(server.url(ADMIN_ROLE, "postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
