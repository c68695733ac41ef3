"""Measure `hapctl mosaic --visit`: four ACS/WFC exposures of two chips of 4096 x 2048 pixels, one filter.

    python tests/benchmarks/bench_mosaic.py [--exposures 4] [--threads 2] [--folder EXPOSURES]

The exposures are simulated unless a folder with ``*_flc.fits`` is given. The visit makes four exposure
products, one filter product, one total, their previews and four cosmic-ray masks; then nothing is left to
do; then one exposure's product is made again after its file was removed. Prints one JSON document: seconds
of wall clock and of processor, peak memory (RssAnon + RssShmem of the process tree), predicted memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def run(home: Path, *arguments: object) -> tuple[Any, dict[str, float]]:
    """Run a command in a process of its own; return its JSON document and what it took."""
    command = [sys.executable, "-c", "from hapctl.cli.main import main; main()", "--home", str(home)]
    before, began = processor_seconds(), time.monotonic()
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=True)
    taken = {"seconds": time.monotonic() - began, "processor_seconds": processor_seconds() - before}
    return json.loads(done.stdout or "null"), {name: round(value, 2) for name, value in taken.items()}


def processor_seconds() -> float:
    """Return the processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def simulate(folder: Path, exposures: int) -> None:
    """Make the exposures of one filter, without pointing errors."""
    options = ["--filters", "F606W", "--pointing-error", "0", "--roll-error", "0", "--json"]
    run(folder / "home", "simulate", folder / "visit", "--exposures", exposures, *options)


def measure(files: list[Path], home: Path, threads: int) -> dict[str, Any]:
    """Make the products of the visit, once, again, and after the loss of one."""
    run(home, "ingest", *files, "--json")
    visit = files[0].name[:6]
    mosaic = ("mosaic", "--visit", visit, "--threads", threads, "--json")
    plan, _ = run(home, *mosaic, "--dry-run")
    made, first = run(home, *mosaic)
    assert {product["status"] for product in made["products"]} == {"made"}
    again, second = run(home, *mosaic)
    assert {product["status"] for product in again["products"]} == {"unchanged"}
    Path(made["products"][0]["path"]).unlink()
    _, third = run(home, *mosaic)
    question = "SELECT max(peak_memory_bytes) AS peak FROM run_status WHERE command = 'mosaic'"
    peak, _ = run(home, "sql", "-c", question, "--json")
    sizes = [Path(product["path"]).stat().st_size for product in made["products"][1:]]
    return {
        "exposures": len(files),
        "threads": threads,
        "grid": [made["products"][0][axis] for axis in ("nx", "ny")],
        "products": len(made["products"]),
        "written_mb": round(sum(sizes) / 1e6),
        "all_products": first,
        "processor_seconds_by_step": {
            step: round(taken["processor"], 2) for step, taken in made["profile"].items()
        },
        "nothing_to_do": second,
        "one_exposure_product": third,
        "peak_memory_mb": round(int(peak[0]["peak"]) / 1e6),
        "predicted_memory_mb": round(max(product["memory_bytes"] for product in plan["products"]) / 1e6),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exposures", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory(prefix="hapctl-bench-") as name:
        folder, home = Path(name), Path(name) / "home"
        if options.folder is None:
            simulate(folder, options.exposures)
        files = sorted((options.folder or folder / "visit").glob("*_flc.fits"))[: options.exposures]
        try:
            print(json.dumps(measure(files, home, options.threads), indent=2))
        finally:
            run(home, "db", "stop", "--json")


if __name__ == "__main__":
    main(sys.argv[1:])
