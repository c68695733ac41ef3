"""Many visits by one, two and four workers, and on a Dask cluster: speed-up, and what a unit costs on top.

    python tests/benchmarks/bench_workers.py [--visits 16] [--workers 1 2 4] [--dask 2] [--chip 600 1200]

Visits of two simulated ACS/WFC exposures each; every row of the table is `hapctl mosaic --all` in a home of
its own, with one kernel thread a worker. ``loop`` makes the same visits one after the other without a batch.
``again`` is the same command once more: every unit finds all current. The overhead is what the workers'
time exceeds the work of their units, as the catalog has it, over the number of units.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hapctl.archive.server import embedded_server
from support.clusters import dask_cluster
from support.mosaics import small_visit

_HAPCTL = (sys.executable, "-c", "from hapctl.cli.main import main; main()")
COLUMNS = ("seconds", "processor", "speed-up", "overhead", "again", "a unit")


@dataclass(frozen=True)
class Taken:
    """Seconds of a command, processor seconds of its tree (without a cluster), and the batch it made."""

    seconds: float
    processor: float
    batch: dict[str, Any]

    @property
    def work(self) -> float:
        """Seconds that workers were at work on units."""
        return sum(unit["seconds"] for unit in self.batch["units"])


def hapctl(home: Path, *arguments: object) -> str:
    """Run hapctl on a home; return what it prints."""
    environment = {**os.environ, "HAPCTL_HOME": str(home)}
    command = [*_HAPCTL, *map(str, arguments)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@contextmanager
def new_home(folder: Path, name: str, files: Path) -> Iterator[Path]:
    """Give a home with an embedded server into which the visits were ingested."""
    home = folder / name
    home.mkdir()
    server = embedded_server(home)
    try:
        hapctl(home, "ingest", *sorted(files.glob("*/*_flc.fits")))
        yield home
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)
        shutil.rmtree(home)


def timed(home: Path, *how: object) -> Taken:
    """Make the products of all visits."""
    before, start = os.times(), time.monotonic()
    hapctl(home, "mosaic", "--all", "--threads", 1, *how)
    seconds, after = time.monotonic() - start, os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return Taken(seconds, processor, json.loads(hapctl(home, "status", "--watch", "--json"))["batches"][-1])


def loop(home: Path, visits: Sequence[str]) -> float:
    """Make the products of the visits in one process without a batch; return the seconds of the work."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from hapctl.archive.database import open_catalog\n"
        "from hapctl.archive.server import embedded_server\n"
        "from hapctl.processing.pipeline.mosaic_visit import mosaic_visit\n"
        "from hapctl.processing.pipeline.planned import MosaicOptions\n"
        "home = Path(sys.argv[1]); catalog = open_catalog(embedded_server(home).url())\n"
        "start = time.monotonic()\n"
        "for visit in sys.argv[2:]: mosaic_visit(catalog, visit, MosaicOptions(home, home / 'products'))\n"
        "print(time.monotonic() - start)"
    )
    command = [sys.executable, "-c", script, str(home), *visits]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def row(name: str, first: Taken, again: Taken, workers: int, alone: float) -> str:
    """One line of the table."""
    units = len(first.batch["units"])
    overhead = (first.seconds * workers - first.work) / units
    return (
        f"{name:<14}{first.seconds:10.1f}{first.processor:10.1f}{alone / first.seconds:10.2f}{overhead:10.2f}"
        f"{again.seconds:10.1f}{again.work / units:10.3f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate the visits, make them in each way, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--dask", type=int, default=2, help="Dask workers; 0: no cluster")
    parser.add_argument("--chip", type=int, nargs=2, default=[600, 1200], help="rows and columns of a chip")
    given = parser.parse_args([] if arguments is None else arguments)
    names = [f"jhap{number:02d}" for number in range(1, given.visits + 1)]
    with tempfile.TemporaryDirectory(prefix="hapctl-bench-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        for number, name in enumerate(names):
            small_visit(folder / "visits" / name, visit=name, seed=number, chip_shape=tuple(given.chip))
        with new_home(folder, "loop", folder / "visits") as home:
            seconds = loop(home, names)
            print(f"{given.visits} visits, {os.cpu_count()} cores; a loop without a batch: {seconds:.1f} s")
        print(f"{'':<14}" + "".join(f"{name:>10}" for name in COLUMNS))
        alone = 0.0
        for workers in given.workers:
            with new_home(folder, f"workers{workers}", folder / "visits") as home:
                first, again = (timed(home, "--workers", workers) for _ in range(2))
                alone = alone or first.seconds
                print(row(f"{workers} workers", first, again, workers, alone), flush=True)
        if given.dask:
            cluster = stack.enter_context(dask_cluster(given.dask))
            with new_home(folder, "dask", folder / "visits") as home:
                first, again = (timed(home, "--scheduler", cluster.address) for _ in range(2))
                print(
                    row(f"{given.dask} of Dask", first, again, given.dask, alone or first.seconds), flush=True
                )


if __name__ == "__main__":
    main(sys.argv[1:])
