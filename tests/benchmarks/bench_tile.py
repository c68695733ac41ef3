"""Thirty-two ACS/WFC exposures on one tile of the sky of 21954 x 21954 pixels: time and peak memory.

    python tests/benchmarks/bench_tile.py [--folder VISIT] [--exposures 32] [--threads 2]

The exposures are copies of four simulated ones with chips of 2048 x 1024 pixels (``--folder``: any others).
The product (8 GB with its context of two planes) is written to a scratch folder and removed.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from astropy.io import fits
from benchmarks.peer_environment import hapctl_drizzle
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import simulate_visit

SIDE = 21954
SCALE = 0.04
TILE = (
    f"final.scale={SCALE}",
    f"final.shape=[{SIDE}, {SIDE}]",
    "final.ra=152.0",
    "final.dec=2.0",
    "final.rotation=0.0",
    "final.variance=false",
)


def copied(visit: Path, folder: Path, count: int) -> list[Path]:
    """Copies of the exposures of a visit, as many as are asked for, each with a rootname of its own."""
    folder.mkdir()
    originals = sorted(visit.glob("*_flc.fits"))
    copies = [folder / f"jhap{number:02d}a0q_flc.fits" for number in range(count)]
    for number, copy in enumerate(copies):
        shutil.copyfile(originals[number % len(originals)], copy)
        with fits.open(copy, mode="update") as hdus:
            hdus[0].header["ROOTNAME"] = copy.name.split("_")[0]
    return copies


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="a simulated visit")
    parser.add_argument("--exposures", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory(prefix="hapctl-tile-") as name:
        scratch = Path(name)
        if options.folder is None:
            plan = VisitPlan(filters=("F606W",), exposures=4, exposure_time=500.0, chip_shape=(1024, 2048))
            simulate_visit(scratch / "visit", plan)
        files = copied(options.folder or scratch / "visit", scratch / "exposures", options.exposures)
        settings = [word for setting in TILE for word in ("--set", setting)]
        fixed = ["-o", str(scratch / "tile"), "--threads", str(options.threads)]
        taken, document = hapctl_drizzle(files, scratch, *fixed, *settings)
        size = (scratch / "tile.fits").stat().st_size
    print(f"{options.exposures} exposures on {SIDE} x {SIDE} pixels, {options.threads} threads")
    print(
        f"  {taken.seconds:.0f} s, {taken.processor_seconds:.0f} s of processor, {size / 1e9:.1f} GB written"
    )
    predicted = document["predicted_memory_bytes"] / 1e6
    print(f"  peak memory {taken.peak_bytes / 1e6:.0f} MB (predicted {predicted:.0f}; to reach 1500)")
    for step, spent in document["profile"].items():
        print(f"  {step:<14}{spent['processor']:7.1f} s of processor")


if __name__ == "__main__":
    main(sys.argv[1:])
