"""drizzlepac's tdriz and tblot on one chip; run by `bench_figures` with the Python that has drizzlepac.

    python peer_kernels.py FOLDER PIXFRAC RATIO REPEATS

The folder holds chip.hdr and grid.hdr (WCS), values.npy and plane.npy. Prints a JSON document: median
processor seconds by kernel, and MiB of memory beyond input and output (square).
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from drizzlepac import cdriz

KERNELS = ("square", "turbo", "point", "gaussian", "lanczos3")
STEP = 10
WEIGHT = 500.0


def read_wcs(path: Path, shape: tuple[int, ...]) -> WCS:
    """The WCS of a header in text, for an image of a shape."""
    wcs = WCS(fits.Header.fromtextfile(path))
    wcs.pixel_shape = shape[::-1]
    return wcs


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median processor seconds."""
    spent = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def drizzle(case: dict[str, Any], kernel: str) -> None:
    """One chip onto empty images, its mapping included."""
    values, shape = case["values"], case["plane"].shape
    ny, nx = values.shape
    mapping = cdriz.DefaultWCSMapping(case["chip"], case["grid"], nx, ny, STEP)
    images = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    weights = case["weights"]
    first = (values, weights, *images, 1, 0, 1, 1, ny, case["ratio"], 1.0, 1.0, "center", case["pixfrac"])
    cdriz.tdriz(*first, kernel, "cps", 1.0, 1.0, "INDEF", 0, 0, 1, mapping)


def blot(case: dict[str, Any]) -> None:
    """The plane seen by the chip, by quintic polynomials."""
    ny, nx = case["values"].shape
    mapping = cdriz.DefaultWCSMapping(case["chip"], case["grid"], nx, ny, STEP)
    out = np.zeros((ny, nx), dtype=np.float32)
    height, width = case["plane"].shape
    box = (1, width, 1, height, case["ratio"], 1.0, 1.0, 1.0, "center", "poly5")
    cdriz.tblot(case["plane"], out, *box, 1.0, 0.0, 1.0, 1, mapping)


def highest_memory() -> float:
    """Highest resident memory of this process, MiB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def main(folder: Path, pixfrac: float, ratio: float, repeats: int) -> None:
    """Measure and print."""
    values, plane = np.load(folder / "values.npy"), np.load(folder / "plane.npy")
    case = {
        "values": values,
        "weights": np.full(values.shape, WEIGHT, dtype=np.float32),
        "plane": plane,
        "chip": read_wcs(folder / "chip.hdr", values.shape),
        "grid": read_wcs(folder / "grid.hdr", plane.shape),
        "pixfrac": pixfrac,
        "ratio": ratio,
    }
    before = highest_memory()
    drizzle(case, "square")
    memory = highest_memory() - before - 3 * plane.nbytes / 2**20
    seconds = {kernel: median_seconds(lambda k=kernel: drizzle(case, k), repeats) for kernel in KERNELS}
    seconds["blot"] = median_seconds(lambda: blot(case), repeats)
    print(json.dumps({"seconds": seconds, "memory": memory}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
