"""Measure the rate of `hapctl ingest`: exposures a second, on files this benchmark makes itself.

    python tests/benchmarks/bench_ingest.py [--exposures 200] [--workers 2]

Two sets are made: two chips with OPUS and IDC solutions (SIP, NPOL and D2IM), and the same with ten
headerlets. Pixels are binned (0.5 MB a chip); the checksum of real files adds what the disk takes. Prints
one JSON document.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hapctl.processing.astrometry.headerlet import headerlet_bytes
from hapctl.processing.astrometry.solution import WcsSolution

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.exposure_files import exposure_file, two_chip_solution

NAMES = [
    *("OPUS", "IDC_0461802ej", "IDC_0461802ej-GSC240", "IDC_0461802ej-HSC30"),
    *("IDC_0461802ej-FIT_REL_GAIADR1", "IDC_0461802ej-FIT_REL_GAIADR2", "IDC_0461802ej-FIT_REL_GAIAeDR3"),
    *("IDC_0461802ej-FIT_IMG_GAIADR2", "IDC_0461802ej-FIT_SVM_GAIADR2", "IDC_0461802ej-FIT_SVM_GAIAeDR3"),
]


def make_files(folder: Path, count: int, headerlets: int) -> None:
    """Write exposures, each a little elsewhere on the sky."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for number in range(count):
        rootname = (
            f"j{'h' if headerlets else 'n'}{number // 36:03d}{'abcdefghij'[number % 10]}{number % 36:02d}q"
        )
        position = (float(rng.uniform(0, 360)), float(rng.uniform(-80, 80)))
        solution = two_chip_solution(rootname, position)
        attached = [_headerlet(solution, name, index) for index, name in enumerate(NAMES[:headerlets])]
        (folder / f"{rootname}_flc.fits").write_bytes(exposure_file(solution, headerlets=attached))


def _headerlet(solution: WcsSolution, name: str, index: int) -> bytes:
    shift = index * 1e-6
    chips = tuple(replace(c, crval=(c.crval[0] + shift, c.crval[1])) for c in solution.chips)
    return headerlet_bytes(replace(solution, name=name, chips=chips))


def measure(folder: Path, home: Path, workers: int) -> dict[str, Any]:
    """Ingest a folder in a process of its own; twice, the second time nothing is new."""
    command = [sys.executable, "-c", "from hapctl.cli.main import main; main()", "--home", str(home)]
    command += ["ingest", str(folder), "--json", "--workers", str(workers)]
    seconds, processor, counts = [], [], []
    for _ in range(2):
        start, before = time.perf_counter(), _processor_seconds()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
        processor.append(_processor_seconds() - before)
        counts.append(json.loads(done.stdout)["counts"])
    files = counts[0]["new"]
    return {
        "files": files,
        "workers": workers,
        "exposures_per_second": round(files / seconds[0], 1),
        "again_per_second": round(counts[1]["unchanged"] / seconds[1], 1),
        "processor_seconds_per_exposure": round(processor[0] / files, 4),
        "seconds": [round(value, 2) for value in seconds],
    }


def _processor_seconds() -> float:
    """Processor time of hapctl's processes so far; the server's is not in it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exposures", type=int, default=200)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        run = [sys.executable, "-c", "from hapctl.cli.main import main; main()", "--home", str(home)]
        subprocess.run([*run, "init"], check=True, capture_output=True)
        report: dict[str, Any] = {}
        for label, count, headerlets in (
            ("opus_and_idc", options.exposures, 0),
            ("ten_headerlets", max(options.exposures // 4, 1), 10),
        ):
            make_files(Path(folder) / label, count, headerlets)
            report[label] = measure(Path(folder) / label, home, options.workers)
        subprocess.run([*run, "db", "stop"], check=True, capture_output=True)
    report["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
