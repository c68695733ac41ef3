"""Fixtures over a real PostgreSQL: one server a worker, a migrated database of its own for each test.

``catalog`` and ``database_url`` use PostgreSQL 18 of the wheel; tests that take ``any_server`` run on every
version there is (16 and 18 of the wheel, and a local one where it is installed).
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.server import EmbeddedServer, embedded_server
from support.commands import Runner, run_apart, run_here
from support.servers import Watchdog, cloned_database, new_server, server_binaries, watchdog

_FOREIGN = ("HAPCTL_", "PG")


@pytest.fixture(scope="session")
def server_watchdog() -> Iterator[Watchdog]:
    """End every server of this worker when it is gone, whatever the way."""
    with watchdog() as guard:
        yield guard


@pytest.fixture(scope="session")
def servers(server_watchdog: Watchdog) -> Callable[[str], EmbeddedServer]:
    """Return the server of a label (16, 18 or local), started on first use."""
    running: dict[str, EmbeddedServer] = {}

    def server(label: str) -> EmbeddedServer:
        if label not in running:
            running[label] = new_server(label, server_watchdog)
        return running[label]

    return server


@pytest.fixture(scope="session")
def database_server(servers: Callable[[str], EmbeddedServer]) -> EmbeddedServer:
    """Return the server most tests use: PostgreSQL 18 of the wheel."""
    return servers("18")


@pytest.fixture(scope="session", params=["16", "18", "local"])
def any_server(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> EmbeddedServer:
    """Return a server of each version there is."""
    if server_binaries(request.param) is None:
        pytest.skip("no PostgreSQL is installed on this machine")
    return servers(request.param)


@pytest.fixture
def any_catalog(any_server: EmbeddedServer) -> Iterator[Catalog]:
    """Give a fresh migrated catalog on each version there is."""
    with cloned_database(any_server) as url:
        catalog = open_catalog(url)
        yield catalog
        catalog.close()


@pytest.fixture
def database_url(database_server: EmbeddedServer) -> Iterator[str]:
    """Give the URL of a fresh migrated database."""
    with cloned_database(database_server) as url:
        yield url


@pytest.fixture
def catalog(database_url: str) -> Iterator[Catalog]:
    """Give a fresh migrated catalog."""
    opened = open_catalog(database_url)
    yield opened
    opened.close()


@pytest.fixture
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the user's environment and configuration files say."""
    for variable in os.environ:
        if variable.startswith(_FOREIGN) and variable not in ("HAPCTL_TEST_DATA", "HAPCTL_DEBUG"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def hapctl_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None, server_watchdog: Watchdog
) -> Iterator[Path]:
    """Give an empty home, named by HAPCTL_HOME; an embedded server started in it ends with the test."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HAPCTL_HOME", str(home))
    server = embedded_server(home)
    server_watchdog.watch(server.folder)
    yield home
    server.stop()


@pytest.fixture
def run_hapctl(hapctl_home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Return ``run(*arguments, stdin="")``: hapctl on the test's own database, in this process."""
    monkeypatch.setenv("HAPCTL_DATABASE_URL", database_url)
    return lambda *arguments, **more: run_here(arguments, **more)


@pytest.fixture
def run_anywhere(hapctl_home: Path) -> Runner:
    """Return ``run(*arguments)``: hapctl in this process, on whatever database the environment names."""
    return lambda *arguments, **more: run_here(arguments, **more)


@pytest.fixture
def run_hapctl_apart(hapctl_home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Return ``run(*arguments, stdin="", environment=None)``: hapctl in a process of its own."""
    monkeypatch.setenv("HAPCTL_DATABASE_URL", database_url)
    return lambda *arguments, **more: run_apart(arguments, **more)


@pytest.fixture
def run_embedded(hapctl_home: Path) -> Runner:
    """Return ``run(*arguments)``: hapctl in a process of its own, on the embedded server of a fresh home."""
    return lambda *arguments, **more: run_apart(arguments, **more)
