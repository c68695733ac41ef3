"""Commands killed at random moments: the next run completes to the same rows and the same files."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hapctl.archive.server import EmbeddedServer
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import SimulatedVisit, simulate_visit
from support.canonical import canonical_state, damaged_files
from support.servers import Watchdog, cloned_database

KILLS = {"ingest": 2, "align": 2, "mosaic": 3}
PLAN = VisitPlan(filters=("F606W",), exposures=2, stars=800, chip_shape=(512, 1024), seed=11)
# HAPCTL_KILL_SEED=$RANDOM tries other moments.
SEED = int(os.environ.get("HAPCTL_KILL_SEED", "20261122"))


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> SimulatedVisit:
    return simulate_visit(tmp_path_factory.mktemp("visit"), PLAN)


@pytest.fixture
def state_places(
    database_server: EmbeddedServer, server_watchdog: Watchdog, tmp_path: Path, clean_environment: None
) -> Iterator[list[tuple[str, Path]]]:
    """Give two catalogs with their homes."""
    with cloned_database(database_server) as first, cloned_database(database_server) as second:
        yield [(first, tmp_path / "undisturbed"), (second, tmp_path / "interrupted")]


def commands(visit: SimulatedVisit) -> dict[str, list[str]]:
    region = f"circle {PLAN.ra} {PLAN.dec} 0.2"
    return {
        "ingest": ["ingest", *map(str, visit.files)],
        "gaia": ["gaia", "load", str(visit.gaia_extract), "--release", "DR3", "--covers", region],
        "align": ["align", "--visit", PLAN.visit, "--offline"],
        "mosaic": ["mosaic", "--visit", PLAN.visit],
    }


def start(arguments: list[str], url: str, home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "from hapctl.cli.main import main; main()", *arguments],
        env={**os.environ, "HAPCTL_DATABASE_URL": url, "HAPCTL_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def complete(arguments: list[str], url: str, home: Path) -> float:
    """Run a command to its end and return how long it took, in seconds."""
    began = time.monotonic()
    process = start(arguments, url, home)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output.decode()
    return time.monotonic() - began


def kill_after(seconds: float, arguments: list[str], url: str, home: Path) -> bool:
    """Start a command and kill it; return whether it was still running then."""
    process = start(arguments, url, home)
    time.sleep(seconds)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return alive


def test_killed_commands_complete_to_the_same_state(
    visit: SimulatedVisit, state_places: list[tuple[str, Path]]
) -> None:
    (calm_url, calm_home), (url, home) = state_places
    moments = random.Random(SEED)
    killed = 0
    for name, arguments in commands(visit).items():
        latest = 0.9 * complete(arguments, calm_url, calm_home)
        for _ in range(KILLS.get(name, 0)):
            while not kill_after(moments.uniform(0.2, 1.0) * latest, arguments, url, home):
                latest *= 0.7  # it was faster this time: aim earlier
            killed += 1
        complete(arguments, url, home)
    assert killed == sum(KILLS.values())
    calm, disturbed = canonical_state(calm_url), canonical_state(url)
    for topic in calm:
        assert disturbed[topic] == calm[topic], topic
    assert calm["products"]
    assert calm["accepted"]
    assert damaged_files(url, home) == []
    assert relative_files(home) == relative_files(calm_home)


def relative_files(home: Path) -> set[str]:
    """Return the files of products, masks and headerlets, so that nothing half-written stays behind."""
    return {
        str(path.relative_to(home))
        for folder in ("products", "masks", "headerlets")
        for path in (home / folder).rglob("*")
        if path.is_file()
    }
