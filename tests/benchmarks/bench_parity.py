"""Does `hapctl drizzle` give what AstroDrizzle gives? On simulated ACS/WFC, real ACS/HRC and WFC3/IR files.

    python tests/benchmarks/bench_parity.py [--folder VISIT] [--environment DIR]

Both take the same files, parameters and lookup origin; ours takes the grid of AstroDrizzle's product.
Compared are the sky that was subtracted, the pixels, fluxes in apertures of 5 pixels and centroids of the
brightest stars, and how often star cores (3 x 3 pixels about peaks above 30 sigma, by both clean planes) are
taken for cosmic rays. Stars whose pixels both gave the same weight tell of drizzling; all stars of masks too.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.bench_visit import simulate
from benchmarks.peer_environment import (
    astrodrizzle,
    default_environment,
    hapctl_drizzle,
    python_with_drizzlepac,
)
from support.data import data_root

SETS = {
    "HRC F606W": ("hrc_47tuc/j8bt06nyq_flt.fits", "hrc_47tuc/j8bt06o6q_flt.fits"),
    "IR F098M": tuple(f"wfc3ir_goodss/ib6o21{name}q_flt.fits.gz" for name in ("qn", "qq", "r7", "ra")),
    "IR F140W": tuple(f"wfc3ir_goodss/ib6o23{name}q_flt.fits.gz" for name in ("rt", "rw", "rz", "s2")),
}
SCALES = {"HRC F606W": 0.025, "IR F098M": 0.128, "IR F140W": 0.128}
APERTURE, BOX = 5.0, 9
Image = NDArray[np.float64]


def unpacked(names: tuple[str, ...], folder: Path) -> list[Path]:
    """Copies of real exposures that can be written to."""
    folder.mkdir(parents=True)
    copies = []
    for name in names:
        copy = folder / Path(name).name.removesuffix(".gz")
        with fits.open(data_root() / name) as hdus:
            hdus.writeto(copy, output_verify="silentfix")
        copies.append(copy)
    return copies


def star_places(image: Image, usable: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The 500 highest peaks 50 sigma above the median, alone in 11 x 11 pixels, their box usable."""
    level = np.median(image[usable])
    noise = 1.4826 * np.median(np.abs(image[usable] - level))
    whole = ndimage.minimum_filter(usable, 2 * BOX + 1)
    peaks = ndimage.maximum_filter(np.where(usable, image, -np.inf), 11) == image
    places = np.argwhere(peaks & whole & (image > level + 50.0 * noise))
    return places[np.argsort(-image[tuple(places.T)])][:500]


def measured(image: Image, row: int, column: int) -> tuple[float, float, float]:
    """Flux in the aperture above the ring around it, and the centroid within 3 pixels."""
    down, over = np.mgrid[-BOX : BOX + 1, -BOX : BOX + 1]
    away = np.hypot(down, over)
    box = image[row - BOX : row + BOX + 1, column - BOX : column + BOX + 1]
    light = box - np.median(box[(away > APERTURE + 1.5) & (away <= BOX)])
    core = np.where(away <= 3.0, light, 0.0)
    with np.errstate(invalid="ignore"):  # no light: no centroid
        centroid = (core * over).sum() / core.sum(), (core * down).sum() / core.sum()
    return light[away <= APERTURE].sum(), *centroid


def compare_products(ours: Path, theirs: Path) -> None:
    """Print how pixels and stars of two products on one grid agree."""
    with fits.open(ours) as own, fits.open(theirs) as peer:
        images = [hdus["SCI"].data.astype(float) for hdus in (own, peer)]
        weights = [hdus["WHT"].data.astype(float) for hdus in (own, peer)]
    both = (weights[0] > 0) & (weights[1] > 0) & np.isfinite(images[0]) & np.isfinite(images[1])
    alike = both & (np.abs(weights[0] - weights[1]) < 1e-3 * weights[1])
    only = (weights[0] > 0) ^ (weights[1] > 0)
    difference = (images[0] - images[1])[alike]
    print(
        f"  pixels: {both.sum()} in both, {only.sum()} in one; {alike.sum() / both.sum():.2%} of equal weight"
    )
    print(f"  of these: difference {np.median(difference):+.1e} +- {difference.std():.1e} electrons/s")
    places = star_places(images[1], both)
    if len(places) == 0:
        return
    found = np.array([[measured(image, *place) for place in places] for image in images])
    same = ndimage.minimum_filter(alike, 11)[tuple(places.T)]
    for name, chosen in (("same weights", same), ("all", np.ones_like(same))):
        flux = found[0, chosen, 0] / found[1, chosen, 0] - 1.0
        offset = found[0, chosen, 1:] - found[1, chosen, 1:]
        print(
            f"  stars, {name}: {chosen.sum()}; flux median {np.nanmedian(flux):+.1e}, "
            f"90 % within {np.nanpercentile(np.abs(flux), 90):.1e}; position median "
            f"{np.nanmedian(offset[:, 0]):+.1e}, {np.nanmedian(offset[:, 1]):+.1e} pixel, "
            f"90 % within {np.nanpercentile(np.hypot(*offset.T), 90):.1e}"
        )


def compare_skies(document: dict[str, Any], theirs: Path) -> None:
    """Print the largest relative difference of the skies subtracted."""
    worst = 0.0
    for exposure in document["inputs"]:
        for chip in exposure["chips"]:
            header = fits.getheader(theirs / Path(exposure["file"]).name, ("SCI", chip["extver"]))
            unit = "sky_rate" if str(header["BUNIT"]).upper().endswith("/S") else "sky_electrons"
            peer = float(header["MDRIZSKY"])
            worst = max(worst, abs(chip[unit] - peer) / max(abs(peer), 1e-6) if peer else abs(chip[unit]))
    print(f"  sky: within {worst:.1e}")


def compare_cores(files: list[Path], kept: Path, theirs: Path) -> None:
    """Print shares of star cores that are flagged."""
    flagged, total = np.zeros(2), 0
    for path in files:
        root, stem = path.name.split("_")[0], path.stem
        plane = fits.getdata(theirs / f"{root}_sci1_blt.fits").astype(float)
        own = fits.getdata(kept / f"{stem}_sci1_blt.fits").astype(float)
        full = (fits.getdata(path, ("DQ", 1)) & 256) != 0
        known = np.isfinite(own) & (plane != 0) & ~ndimage.binary_dilation(full, np.ones((5, 5)))
        above = np.minimum(plane - np.median(plane[known]), np.nan_to_num(own)) > 30.0 * np.sqrt(
            np.abs(plane) + 25.0
        )
        peaks = (plane == ndimage.maximum_filter(plane, 7)) & above
        cores = ndimage.binary_dilation(peaks, np.ones((3, 3))) & known
        masks = (
            fits.getdata(kept / f"{stem}_crmask.fits", 1) > 0,
            fits.getdata(theirs / f"{root}_sci1_crmask.fits") == 0,
        )
        flagged += [(mask & cores).sum() for mask in masks]
        total += int(cores.sum())
    if total:
        shares = flagged / total
        print(f"  star cores flagged: {shares[0]:.5f}, AstroDrizzle {shares[1]:.5f} of {total}")


def compare(name: str, files: list[Path], scale: float, scratch: Path, python: Path) -> None:
    """Run both on a set of files and compare."""
    theirs = scratch / name.replace(" ", "") / "peer"
    astrodrizzle(python, files, theirs, final_scale=scale)
    (product,) = theirs.glob("final_dr?.fits")
    kept = theirs.with_name("kept")
    grid = ("--set", f"final.reference={product}[SCI,1]", "--lookup-origin", "fits")
    out = str(theirs.with_name("ours"))
    _, document = hapctl_drizzle(files, theirs.parent, "-o", out, "--keep", str(kept), *grid)
    print(f"{name}, {len(files)} exposures")
    compare_skies(document, theirs)
    compare_products(theirs.with_name("ours.fits"), product)
    compare_cores(files, kept, theirs)
    shutil.rmtree(theirs.parent)


def main(arguments: list[str] | None = None) -> None:
    """Compare set after set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="a simulated ACS/WFC visit")
    parser.add_argument("--environment", type=Path, default=default_environment())
    parser.add_argument("--sets", nargs="*", default=["simulated", *SETS])
    options = parser.parse_args(arguments or [])
    python = python_with_drizzlepac(options.environment)
    with tempfile.TemporaryDirectory(prefix="hapctl-parity-") as name:
        scratch = Path(name)
        if "simulated" in options.sets:
            if options.folder is None:
                simulate(scratch / "visit", 2)
            files = sorted((options.folder or scratch / "visit").glob("*_flc.fits"))
            compare("simulated WFC", files, 0.05, scratch, python)
        for one in SETS:
            if one not in options.sets:
                continue
            if not all((data_root() / member).exists() for member in SETS[one]):
                print(f"{one}: not compared, no real data (set HAPCTL_TEST_DATA)")
                continue
            compare(one, unpacked(SETS[one], scratch / one), SCALES[one], scratch, python)


if __name__ == "__main__":
    main(sys.argv[1:])
