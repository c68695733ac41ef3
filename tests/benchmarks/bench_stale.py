"""Measure how long it takes to find out what is stale among very many products.

    python tests/benchmarks/bench_stale.py [--products 100000]

A catalog is filled with products, four inputs for most of them, none stale. Timed are the commands `mosaic
--stale --all --dry-run`, `product list --stale` and `status`, each in a process of its own: finding nothing;
then, after one exposure was realigned, those that only list what is stale (planning would open files, of
which there are rows only). A command that fails ends the benchmark. Prints one JSON document; seconds are the
clock's, and the processor's of the command and of the server. TO_REACH is for the clock of an idle machine.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hapctl.archive.database import Catalog, open_catalog
from sqlalchemy import text
from support.large_catalog import PRODUCTS, fill_products
from support.servers import cloned_database, new_server, watchdog

COMMANDS = {
    "mosaic --stale --all --dry-run": ["mosaic", "--stale", "--all", "--dry-run", "--json"],
    "product list --stale": ["product", "list", "--stale", "--json"],
    "status": ["status", "--json"],
}
TO_REACH = 5.0

_REALIGN = """
WITH before AS (
    SELECT exposure_id, solution_id FROM wcs_active
    WHERE exposure_id = :exposure AND upper_inf(during)
), solution AS (
    INSERT INTO wcs_solution (exposure_id, wcsname, base, idc_root, kind, mode, catalog, frame,
                              transformation_sha256, footprint, s_region, run_id)
    SELECT exposure_id, 'IDC_abc-FIT_SVM_GAIADR3', base, idc_root, 'fit', 'SVM', 'GAIADR3', 'GAIA-CRF3',
           repeat('1', 64), footprint, s_region, run_id
    FROM wcs_solution JOIN before USING (exposure_id, solution_id)
    RETURNING solution_id, exposure_id, run_id
), chip AS (
    INSERT INTO wcs_chip
    SELECT s.solution_id, extver, chip, nx, ny, crpix1, crpix2, crval1, crval2 + 1e-5, cd1_1, cd1_2, cd2_1,
           cd2_2, ctype1, ctype2, distortion_id, polygon
    FROM wcs_chip c JOIN before b ON b.solution_id = c.solution_id CROSS JOIN solution s
), cell AS (
    INSERT INTO solution_sky_cell
    SELECT s.solution_id, c.sky_cell_id, c.fraction
    FROM solution_sky_cell c JOIN before b ON b.solution_id = c.solution_id CROSS JOIN solution s
)
SELECT solution_id, run_id FROM solution
"""


def realign(catalog: Catalog, exposure: int) -> None:
    """Put another solution in force for an exposure, as an alignment does."""
    with catalog.begin() as connection:
        solution, run = connection.execute(text(_REALIGN), {"exposure": exposure}).one()
        names = {"exposure": exposure, "solution": solution, "run": run}
        connection.execute(
            text(
                "UPDATE wcs_active SET during = tstzrange(lower(during), clock_timestamp()), "
                "closed_run_id = :run WHERE exposure_id = :exposure AND upper_inf(during)"
            ),
            names,
        )
        connection.execute(
            text(
                "INSERT INTO wcs_active (exposure_id, solution_id, during, origin, reason, run_id) "
                "VALUES (:exposure, :solution, tstzrange(clock_timestamp(), NULL), 'align', 'better', :run)"
            ),
            names,
        )


def timed(arguments: list[str], url: str, home: Path, server: int) -> dict[str, Any]:
    """Run a command that must succeed; return seconds, also of processors, and what it reported."""
    used, of_server, begun = processor_seconds(), server_seconds(server), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", "from hapctl.cli.main import main; main()", *arguments],
        env={**os.environ, "HAPCTL_DATABASE_URL": url, "HAPCTL_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    clock = time.monotonic() - begun
    if done.returncode:
        raise SystemExit(f"hapctl {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    document = json.loads(done.stdout)
    time.sleep(0.5)  # the server counts a backend when it has ended
    found = document.get("targets", document.get("products", []))
    return {
        "seconds": round(clock, 2),
        "client_processor_seconds": round(processor_seconds() - used, 2),
        "server_processor_seconds": round(server_seconds(server) - of_server, 2),
        "found": len(found),
    }


def processor_seconds() -> float:
    """Return the processor's time of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def server_seconds(process: int) -> float:
    """Return the processor's time of a server and of its backends that have ended (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def timed_all(url: str, home: Path, server: int) -> dict[str, Any]:
    """Time all commands."""
    return {name: timed(line, url, home, server) for name, line in COMMANDS.items()}


def timed_listing(url: str, home: Path, server: int) -> dict[str, Any]:
    """Time the commands that need no file of an exposure: there are rows only, so nothing can be planned."""
    return {
        name: timed(line, url, home, server)
        for name, line in COMMANDS.items()
        if not name.startswith("mosaic")
    }


def measure(products: int) -> dict[str, Any]:
    """Fill a catalog and time the commands."""
    with watchdog() as guard, tempfile.TemporaryDirectory(prefix="hapctl-stale-") as place:
        server = new_server("18", guard)
        with cloned_database(server) as url:
            catalog = open_catalog(url)
            begun = time.monotonic()
            with catalog.begin() as connection:
                made = fill_products(connection, products // PRODUCTS)
            with catalog.begin() as connection:
                connection.execute(text("ANALYZE"))
            filled = time.monotonic() - begun
            report: dict[str, Any] = {"products": made, "seconds_to_fill": round(filled, 1)}
            home, process = Path(place), int((server.data / "postmaster.pid").read_text().split()[0])
            report["nothing stale"] = timed_all(url, home, process)
            realign(catalog, 1002)
            report["one exposure realigned"] = timed_listing(url, home, process)
            catalog.close()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--products", type=int, default=100_000)
    options = parser.parse_args()
    report = measure(options.products)
    slowest = max(one["seconds"] for one in report["nothing stale"].values())
    print(json.dumps({**report, "to_reach": TO_REACH, "reached": slowest < TO_REACH}, indent=2))


if __name__ == "__main__":
    main()
