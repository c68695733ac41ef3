"""The embedded server: on demand, shared, hard to break, as root and as an ordinary user."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import hapctl.archive.server as server_module
import hapctl.archive.server_places as places
import psycopg
import pytest
from hapctl.archive.errors import BusyError, ServiceUnavailableError
from hapctl.archive.server import OWNER_ROLE, READER_ROLE, EmbeddedServer, ServerStart, embedded_server
from support.commands import Runner
from support.servers import Watchdog

AS_ROOT = os.geteuid() == 0
NOBODY = 65534
STARTED = ServerStart(created=False, started=True)
FAST = ("fsync=off", "full_page_writes=off")


@pytest.fixture
def place(server_watchdog: Watchdog) -> Iterator[Path]:
    """Give a folder that the server's account may enter."""
    with watched_folder(server_watchdog) as folder:
        yield folder


@contextmanager
def watched_folder(guard: Watchdog) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hapctl-test-", dir="/tmp"))
    folder.chmod(0o711)
    guard.watch(folder)
    yield folder


def server_in(folder: Path) -> EmbeddedServer:
    account = places.server_account()
    return EmbeddedServer(
        folder, places.socket_folder(folder, account), folder / "lock", account, options=FAST
    )


@pytest.fixture
def server(place: Path) -> Iterator[EmbeddedServer]:
    found = server_in(place)
    yield found
    found.stop()


def ask(server: EmbeddedServer, statement: str, role: str = OWNER_ROLE) -> tuple[object, ...]:
    with psycopg.connect(server.url(role)) as connection:
        row = connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row


def wait_until_gone(pid: int) -> None:
    """Wait until a process has ended; a zombie has."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} did not end")


def test_it_is_made_once_started_on_demand_and_shared(server: EmbeddedServer) -> None:
    assert server.version is None
    assert not server.is_running()
    assert server.ensure_running() == ServerStart(created=True, started=True)
    assert server.version == 18
    assert server.ensure_running() == ServerStart(created=False, started=False)
    assert replace(server).ensure_running() == ServerStart(created=False, started=False)
    assert server.stop()
    assert not server.stop()
    assert server.ensure_running() == STARTED


def test_its_roles_have_no_more_rights_than_they_need(server: EmbeddedServer) -> None:
    server.ensure_running()
    rights = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
    for role in (OWNER_ROLE, READER_ROLE):
        assert ask(server, f"SELECT {rights} FROM pg_roles WHERE rolname = current_user", role) == (False,)
    assert ask(
        server, "SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()"
    ) == (OWNER_ROLE,)


def test_it_listens_on_a_private_socket_only(server: EmbeddedServer) -> None:
    server.ensure_running()
    assert ask(server, "SHOW listen_addresses") == ("",)
    assert server.sockets.stat().st_mode & 0o077 == 0
    assert server.data.stat().st_mode & 0o077 == 0


def test_it_checks_its_pages_and_never_skips_a_sync_by_itself(place: Path) -> None:
    careful = replace(server_in(place), options=())
    careful.ensure_running()
    try:
        settings = (
            "current_setting('fsync'), current_setting('full_page_writes'), current_setting('data_checksums')"
        )
        assert ask(careful, f"SELECT {settings}") == ("on", "on", "on")
    finally:
        careful.stop()


def test_commands_at_the_same_time_share_one_server(run_embedded: Runner, hapctl_home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: run_embedded("init", "--json"), range(4)))
    assert [result.exit_code for result in results] == [0] * 4, [result.stderr for result in results]
    assert sum(result.json()["created"] for result in results) == 1
    assert sum("made an embedded PostgreSQL 18" in result.stderr for result in results) == 1


def test_it_survives_the_command_and_stops_when_told(run_embedded: Runner, hapctl_home: Path) -> None:
    server = embedded_server(hapctl_home)
    assert run_embedded("init").exit_code == 0
    pid = server.pid()
    assert server.is_running()
    assert run_embedded("db", "status", "--json").json()["pid"] == pid
    assert run_embedded("db", "start", "--json").json()["started"] is False
    assert run_embedded("db", "stop", "--json").json()["stopped"] is True
    assert run_embedded("db", "stop", "--json").json()["stopped"] is False
    down = run_embedded("db", "status", "--json")
    assert (down.exit_code, down.json()["remedy"]) == (4, "run 'hapctl db start'")
    assert run_embedded("status", "--json").json()["counts"]["exposures"] == 0
    assert server.is_running()
    assert server.pid() != pid


def test_a_new_home_needs_no_init(run_embedded: Runner) -> None:
    result = run_embedded("status", "--json")
    assert [run["command"] for run in result.json()["runs"]] == ["init"]
    assert (result.exit_code, result.json()["counts"]["runs"]) == (0, 1)


def test_it_comes_back_after_a_kill_with_what_was_committed(server: EmbeddedServer) -> None:
    server.ensure_running()
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    assert server.ensure_running() == STARTED
    assert ask(server, "SELECT answer FROM kept") == (42,)


def test_a_pid_file_that_names_a_stranger_is_no_obstacle(server: EmbeddedServer) -> None:
    server.ensure_running()
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert server.ensure_running() == STARTED
    assert ask(server, "SELECT 1") == (1,)


def test_an_unreadable_pid_file_is_no_obstacle(server: EmbeddedServer) -> None:
    server.ensure_running()
    server.stop()
    (server.data / "postmaster.pid").write_text("")
    assert server.ensure_running() == STARTED


def test_a_half_made_data_folder_is_made_anew(server: EmbeddedServer) -> None:
    half = server.folder / "data.new" / "base"
    half.mkdir(parents=True)
    assert server.ensure_running().created


def test_an_interrupted_preparation_is_completed(server: EmbeddedServer) -> None:
    server.ensure_running()
    with psycopg.connect(server.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE hapctl")
        connection.execute("DROP ROLE hapctl_reader")
    (server.data / "hapctl.prepared").unlink()
    assert server.ensure_running() == ServerStart(created=False, started=False)
    assert ask(server, "SELECT 1", READER_ROLE) == (1,)


@pytest.mark.parametrize("name", ["with blank, comma and 'quote'", "d" * 120])
def test_any_path_will_do(place: Path, name: str) -> None:
    folder = place / name
    server = server_in(folder)
    assert server.sockets.parent == Path("/tmp")
    assert len(str(server.sockets)) < 80
    server.ensure_running()
    try:
        assert ask(server, "SELECT 1") == (1,)
    finally:
        server.stop()
        subprocess.run(["rm", "-rf", str(server.sockets)], check=True)


def test_a_blank_in_the_path_needs_no_other_socket(place: Path) -> None:
    server = server_in(place / "with blank")
    assert server.sockets == place / "with blank" / "run"
    server.ensure_running()
    try:
        assert ask(server, "SELECT 1") == (1,)
    finally:
        server.stop()


def test_existing_data_keep_their_version(server: EmbeddedServer) -> None:
    old = replace(server, binaries=places.wheel_binaries(16))
    old.ensure_running()
    old.stop()
    assert server.ensure_running() == STARTED
    assert str(ask(server, "SHOW server_version")[0]).startswith("16.")


def test_data_of_a_version_that_is_not_carried_are_left_alone(server: EmbeddedServer) -> None:
    server.data.mkdir()
    (server.data / "PG_VERSION").write_text("14\n")
    with pytest.raises(ServiceUnavailableError, match="carries no PostgreSQL 14") as caught:
        server.ensure_running()
    assert "HAPCTL_DATABASE_URL" in caught.value.remedy


def test_a_server_that_can_not_start_says_why(server: EmbeddedServer) -> None:
    server.ensure_running()
    server.stop()
    with (server.data / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = nonsense\n")
    with pytest.raises(ServiceUnavailableError, match="shared_buffers") as caught:
        server.ensure_running()
    assert str(server.log) in caught.value.remedy


def test_a_socket_folder_that_others_may_enter_is_refused(server: EmbeddedServer) -> None:
    server.sockets.mkdir(parents=True)
    server.sockets.chmod(0o755)
    with pytest.raises(ServiceUnavailableError, match="nobody else may enter"):
        server.ensure_running()


def test_a_lock_that_is_held_for_too_long_is_named(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_LOCK_SECONDS", 0.2)
    with server._locked(), pytest.raises(BusyError, match=str(server.lock_file)):
        server.ensure_running()


@pytest.mark.skipif(not AS_ROOT, reason="only root keeps its data outside the home")
def test_as_root_permissions_stay_and_the_place_is_told(run_embedded: Runner, hapctl_home: Path) -> None:
    before = {parent: parent.stat().st_mode for parent in (hapctl_home, *hapctl_home.parents)}
    result = run_embedded("init")
    server = embedded_server(hapctl_home)
    assert server.account is not None
    assert f"its data lie there, outside {hapctl_home}" in result.stderr
    assert f"made an embedded PostgreSQL 18 in {server.folder}" in result.stderr
    assert server.folder.parent == places.ROOT_FOLDER
    assert {parent: parent.stat().st_mode for parent in before} == before
    assert server.data.stat().st_uid == server.account.uid


@pytest.mark.skipif(not AS_ROOT, reason="only root keeps its data outside the home")
def test_a_home_made_anew_has_data_of_its_own(tmp_path: Path) -> None:
    first, again = embedded_server(tmp_path / "a"), embedded_server(tmp_path / "a")
    assert first == again
    (tmp_path / "a" / "server-id").unlink()
    assert embedded_server(tmp_path / "a").folder != first.folder


# Another user may be unable to read this Python; one that may read all files is no root either.
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
READING_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@pytest.mark.skipif(not AS_ROOT, reason="only root may act as another user")
def test_an_ordinary_user_keeps_all_in_the_home(place: Path) -> None:
    home = place / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    environment = {**os.environ, "HAPCTL_HOME": str(home), "HOME": str(home)}
    environment |= {"XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)}
    environment.pop("HAPCTL_DATABASE_URL", None)

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        program = [sys.executable, "-c", "from hapctl.cli.main import main; main()"]
        command = [*AS_NOBODY, *READING_ALL, *program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", check=False)

    try:
        done = run("init")
        assert done.returncode == 0, done.stderr
        assert f"made an embedded PostgreSQL 18 in {home}/server" in done.stderr
        assert "as root" not in done.stderr
        assert (home / "server" / "data" / "PG_VERSION").stat().st_uid == NOBODY
        assert "hapctl_reader" in run("sql", "--json", "-c", "SELECT current_user").stdout
    finally:
        assert run("db", "stop").returncode == 0


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user can read what it has installed")
def test_binaries_in_a_closed_folder_are_copied(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "ROOT_FOLDER", place)
    account = places.server_account()
    assert account is not None
    wheel = places.wheel_binaries(18).parent.parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / wheel.name).symlink_to(wheel)
    (closed / f"{wheel.name}.libs").symlink_to(wheel.parent / f"{wheel.name}.libs")
    found = places.reachable_binaries(closed / wheel.name / "pginstall18" / "bin", account)
    assert found.is_relative_to(place)
    assert places.reachable_binaries(closed / wheel.name / "pginstall18" / "bin", account) == found
    server = replace(server_in(place / "server"), binaries=found)
    server.ensure_running()
    assert server.stop()
