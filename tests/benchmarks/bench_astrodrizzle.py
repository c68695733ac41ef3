"""Does AstroDrizzle accept simulated exposures, and does it put stars where hapctl's simulator put them?

    python tests/benchmarks/bench_astrodrizzle.py [--reference-dir DIR] [--environment DIR] [--exposures 2]

Makes a virtual environment with drizzlepac (kept in ``build/drizzlepac`` and used again), simulates a visit,
and runs all seven steps of AstroDrizzle on it without network. With ``--reference-dir`` (by default the real
ACS/WFC files of ``HAPCTL_TEST_DATA``, where there are any) the distortion is that of real reference files.
Prints one JSON document.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import SimulatedVisit, simulate_visit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.peer_environment import DRIZZLEPAC, default_environment, python_with_drizzlepac
from support.data import data_root

WITHOUT_ERRORS = {"pointing_error": 0.0, "roll_error": 0.0, "scale_error": 0.0}
PROGRAM = """
import sys
from drizzlepac.astrodrizzle import AstroDrizzle
AstroDrizzle(sys.argv[1:], output="final", updatewcs=False, preserve=False, context=True, build=True,
             num_cores=1, in_memory=False, clean=False, resetbits=4096, driz_sep_bits="16,64",
             final_bits="16,64", final_wcs=True, final_rot=0.0, final_scale=0.05)
"""


def drizzle(python: Path, made: SimulatedVisit) -> dict[str, Any]:
    """Run AstroDrizzle in the folder of the visit."""
    environment = {
        **os.environ,
        "ASTROMETRY_STEP_CONTROL": "Off",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
    }
    begun = time.monotonic()
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", PROGRAM, *(path.name for path in made.files)],
        cwd=made.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    product = made.folder / "final_drc.fits"
    accepted = done.returncode == 0 and product.exists()
    report: dict[str, Any] = {"accepted": accepted, "seconds": round(time.monotonic() - begun, 1)}
    return {**report, **(star_offsets(made, product) if accepted else {"said": done.stderr[-2000:]})}


def star_offsets(made: SimulatedVisit, product: Path) -> dict[str, Any]:
    """Where bright stars lie in the product, against where the first exposure's WCS puts them."""
    stars = Table.read(made.star_file)
    rootname = made.truth.exposures[0].rootname
    offsets = []
    with fits.open(product) as hdus, fits.open(made.files[0]) as exposure:
        image, output = hdus["SCI"].data, WCS(hdus["SCI"].header)
        for extver in (1, 2):
            chosen = (stars["rootname"] == rootname) & (stars["extver"] == extver) & ~stars["saturated"]
            bright = stars[chosen & (stars["electrons"] > 3e4)]
            chip = WCS(exposure["SCI", extver].header, exposure)
            x, y = output.all_world2pix(*chip.all_pix2world(bright["x"], bright["y"], 0), 0)
            offsets += [centroid(image, *place) for place in zip(x, y, strict=True)]
    found = np.array([offset for offset in offsets if offset is not None])
    return {
        "stars": len(found),
        "median_offset_pixel": [round(float(value), 4) for value in np.median(found, axis=0)],
        "scatter_pixel": [round(float(value), 4) for value in np.std(found, axis=0)],
    }


def centroid(image: np.ndarray, x: float, y: float) -> tuple[float, float] | None:
    """Offset of the light's moments in a small box from (x, y); None at edges, gaps and where crowded."""
    column, row = round(x), round(y)
    box = image[row - 5 : row + 6, column - 5 : column + 6]
    if box.shape != (11, 11) or not np.isfinite(box).all() or (box == 0).any():
        return None
    light = box - np.median(np.concatenate([box[0], box[-1], box[:, 0], box[:, -1]]))
    rows, columns = np.mgrid[-5:6, -5:6]
    total = light.sum()
    east, north = column + (light * columns).sum() / total - x, row + (light * rows).sum() / total - y
    return (east, north) if np.hypot(east, north) < 0.5 else None


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reference-dir", type=Path, default=None)
    parser.add_argument("--environment", type=Path, default=default_environment())
    parser.add_argument("--exposures", type=int, default=2)
    options = parser.parse_args(arguments or [])
    reference = options.reference_dir or data_root() / "acs_wfc_reference"
    python = python_with_drizzlepac(options.environment)
    report: dict[str, Any] = {"peer": DRIZZLEPAC, "exposures": options.exposures}
    for name, folder in (("own distortion", None), ("real reference files", reference)):
        if folder is not None and not folder.is_dir():
            report[name] = f"not tried: no {folder}"
            continue
        plan = VisitPlan(
            filters=("F606W",), exposures=options.exposures, reference_dir=folder, **WITHOUT_ERRORS
        )
        with tempfile.TemporaryDirectory(prefix="hapctl-astrodrizzle-") as scratch:
            report[name] = drizzle(python, simulate_visit(scratch, plan))
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
