"""How a command ends when it is interrupted, killed, or its output goes nowhere."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from hapctl.archive.server import ADMIN_ROLE, EmbeddedServer
from support.commands import Runner

# A shell's background jobs ignore SIGINT, and that is inherited.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from hapctl.cli.main import main; main()"
)
HAPCTL = [sys.executable, "-c", PROGRAM]
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(50)' AND state = 'active'"
LONG = [*HAPCTL, "sql", "--json", "-c", "SELECT pg_sleep(50)"]
FULL = Path("/dev/full")


def wait_for(server: EmbeddedServer, asleep: int) -> None:
    """Wait until as many sessions as that sleep on the server."""
    deadline = time.monotonic() + 30
    with psycopg.connect(server.url(ADMIN_ROLE, "postgres"), autocommit=True) as connection:
        while connection.execute(ASLEEP).fetchone() != (asleep,):
            assert time.monotonic() < deadline, f"no {asleep} sessions slept in time"
            time.sleep(0.1)


@pytest.fixture
def sleeper(run_hapctl_apart: Runner, database_server: EmbeddedServer) -> "subprocess.Popen[bytes]":
    """Return a command that has asked for something long."""
    process = subprocess.Popen(LONG, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(database_server, 1)
    return process


def test_the_server_ends_the_statement_of_a_client_that_was_killed(
    sleeper: "subprocess.Popen[bytes]", database_server: EmbeddedServer
) -> None:
    sleeper.kill()
    sleeper.communicate(timeout=30)
    wait_for(database_server, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_command_says_so_in_one_document(
    sleeper: "subprocess.Popen[bytes]", database_server: EmbeddedServer, number: signal.Signals
) -> None:
    sleeper.send_signal(number)
    out, err = sleeper.communicate(timeout=30)
    assert sleeper.returncode == 130
    assert json.loads(out)["error"]["exit_code"] == 130
    assert b"Traceback" not in err
    wait_for(database_server, 0)


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_a_reader_that_has_read_enough_is_no_failure(run_hapctl_apart: Runner, form: str) -> None:
    command = [*HAPCTL, "sql", form, "-c", "SELECT generate_series(1, 30000)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        client.stdout.read(10)
        client.stdout.close()
        assert client.stderr.read() == b""
        assert client.wait(60) == 0


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_without_a_traceback(run_hapctl_apart: Runner) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [*HAPCTL, "sql", "--json", "-c", "SELECT 1"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 70
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
