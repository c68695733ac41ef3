"""Does `hapctl mosaic` give what AstroDrizzle gives with its parameters? A filter product, with its masks.

    python tests/benchmarks/bench_products.py [--exposures 2] [--environment DIR]

A simulated ACS/WFC visit is ingested and mosaicked with HAP's parameters for that number of exposures; then
AstroDrizzle takes the same exposures, those very parameters (as the plan of the product tells them) and the
product's grid. Only the sky is the least of each exposure in both: with today's numpy AstroDrizzle fails to
match skies and falls back to that. Cosmic rays are not grown in either (AstroDrizzle's driz_cr_grow of 1
means none). Fluxes are to agree to 0.1 %, positions to 0.01 pixel.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from astropy.io import fits
from hapctl.processing.imaging.mask_file import read_mask

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.bench_parity import compare_products
from benchmarks.bench_visit import simulate
from benchmarks.peer_environment import (
    PARAMETERS,
    astrodrizzle,
    default_environment,
    python_with_drizzlepac,
    run_measured,
)

_SKY = ("--set", "sky.method=localmin")
_REVERTED = 'Reverting sky computation to "localmin"'
_APPLIED = re.compile(r"Applying sky value of ([-+.\deE]+) to (\S+)")
_MAIN = "from hapctl.cli.main import main; main()"


def hapctl(*arguments: object) -> Any:
    """Run hapctl; its JSON document."""
    command = [sys.executable, "-c", _MAIN, *map(str, arguments), "--json"]
    return json.loads(run_measured(command).output)


def in_their_words(drizzle: dict[str, Any], grid: Path) -> dict[str, Any]:
    """The parameters of a filter product as AstroDrizzle's options."""
    sky, single, median = drizzle["sky"], drizzle["separate"], drizzle["median"]
    rays, final = drizzle["cosmic_rays"], drizzle["final"]
    return {
        "static": drizzle["static_mask"]["enabled"],
        "static_sig": drizzle["static_mask"]["sigma"],
        "skymethod": sky["method"],
        "skystat": sky["statistic"],
        "skywidth": sky["width"],
        "skylower": sky["lower"],
        "skyupper": sky["upper"],
        "skyclip": sky["clip"],
        "skylsigma": sky["lower_sigma"],
        "skyusigma": sky["upper_sigma"],
        "sky_bits": str(sky["bits"]),
        "driz_sep_kernel": single["kernel"],
        "driz_sep_pixfrac": single["pixfrac"],
        "driz_sep_bits": str(single["bits"]),
        "combine_type": median["type"],
        "combine_maskpt": median["maskpt"],
        "combine_nsigma": " ".join(f"{value:g}" for value in median["sigma"]),
        "combine_nlow": median["nlow"],
        "combine_nhigh": median["nhigh"],
        "combine_grow": median["grow"],
        "blot_interp": drizzle["blot"]["interpolation"],
        "driz_cr_snr": " ".join(f"{value:g}" for value in rays["snr"]),
        "driz_cr_scale": " ".join(f"{value:g}" for value in rays["scale"]),
        "driz_cr_grow": 1,
        "final_kernel": final["kernel"],
        "final_pixfrac": final["pixfrac"],
        "final_bits": str(final["bits"]),
        "final_wht_type": final["weight"],
        "final_refimage": f"{grid}[SCI,1]",
        "final_rot": None,
    }


def compare_skies(product: Path, log: str) -> None:
    """Print the sky subtracted from each chip, electrons: ours, and AstroDrizzle's by its log."""
    if _REVERTED in log:
        print("  AstroDrizzle failed to match skies here and took the least of each: a constant differs")
    for row in fits.getdata(product, "HDRTAB"):
        print(f"  sky of {row['ROOTNAME']}[SCI,{row['EXTVER']}]: {row['MDRIZSKY']:.3f}")
    for value, name in _APPLIED.findall(log):
        print(f"  sky of {name}, AstroDrizzle: {float(value):.3f}")


def compare_masks(home: Path, theirs: Path) -> None:
    """Print how many pixels both, or one of them, took for cosmic rays."""
    both = ours = peer = 0
    for path in sorted(home.glob("masks/*/*_crmask.fits")):
        root = path.name.split("_")[0]
        for extver, mask in read_mask(path).items():
            hits = mask.hits.rows(0, mask.hits.shape[0])
            (found,) = theirs.glob(f"{root}*_sci{extver}_crmask.fits")
            other = fits.getdata(found) == 0
            both += int((hits & other).sum())
            ours += int((hits & ~other).sum())
            peer += int((other & ~hits).sum())
    print(f"  cosmic rays: {both} pixels by both, {ours} by hapctl alone, {peer} by AstroDrizzle alone")


def main(arguments: list[str] | None = None) -> None:
    """Compare the filter product of a visit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exposures", type=int, default=2)
    parser.add_argument("--environment", type=Path, default=default_environment())
    options = parser.parse_args(arguments or [])
    python = python_with_drizzlepac(options.environment)
    with tempfile.TemporaryDirectory(prefix="hapctl-products-") as name:
        scratch = Path(name)
        os.environ["HAPCTL_HOME"] = str(scratch / "home")
        simulate(scratch / "visit", options.exposures)
        files = sorted((scratch / "visit").glob("*_flc.fits"))
        hapctl("ingest", *files)
        place = ("--visit", "jhap01", "--output", scratch / "products", "--lookup-origin", "fits", *_SKY)
        plan = hapctl("mosaic", *place, "--dry-run")
        made = hapctl("mosaic", *place)
        (drizzle,) = [one["drizzle"] for one in plan["products"] if one["kind"] == "filter"]
        (product,) = [Path(one["path"]) for one in made["products"] if one["kind"] == "filter"]
        theirs = scratch / "peer"
        taken, steps = astrodrizzle(python, files, theirs, **in_their_words(drizzle, product))
        print(f"filter product of {len(files)} exposures: {product.name}")
        print(f"  AstroDrizzle: {steps.get('Total', taken.seconds):.1f} s")
        (peer,) = theirs.glob("final_dr?.fits")
        compare_skies(product, (theirs / PARAMETERS["runfile"]).read_text())
        compare_products(product, peer)
        compare_masks(scratch / "home", theirs)


if __name__ == "__main__":
    main(sys.argv[1:])
