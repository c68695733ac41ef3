"""A tile of 64 simulated ACS/WFC exposures of four visits: grid, cosmic rays, seams, memory, what is rebuilt.

    python tests/benchmarks/bench_tile.py [--chip 512x1024] [--exposures 64] [--threads 2] [--full-cell]

The visits have other rolls and centres, so that each covers a part of the field of its own; three quarters of
the exposures are in F606W, the rest in F814W, so that there are two layers. Printed as one JSON document:

- grid: whether CRVAL and CD of each layer are the tile's, and CRPIX whole pixels from it;
- cosmic rays: of all pixels that masks reject with an excess of 20 sigma, how many still stand 6 sigma above
  their surroundings in the layer (away from true stars), against places chosen at random;
- seams: the largest step of the sky that is left between neighbouring pixels seen by other sets of exposures,
  by the simulation's true sky, over the noise of a pixel of the layer;
- peak memory (RssAnon + RssShmem) of the run, as the catalog recorded it, and as it was predicted;
- one exposure of F814W realigned: which products the plan names, and which were made again.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.bench_mosaic import run
from hapctl.archive.database import open_catalog
from hapctl.archive.sky_cells import cells_containing, sky_cell
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.imaging.mask_file import read_mask
from hapctl.processing.simulation.camera import stream
from hapctl.processing.simulation.plan import VisitPlan, planned_exposures
from hapctl.processing.simulation.visit import simulate_visit
from scipy import ndimage
from support.mosaics import realign

VISITS = ("jhap01", "jhap02", "jhap03", "jhap04")
EXCESS, LEFT = 20.0, 6.0
NEAR_STAR = 9  # layer pixels


def plans(chip: tuple[int, int], exposures: int) -> list[VisitPlan]:
    """Four visits about one place, a third of a field apart; all see the same sources."""
    step = chip[1] * 0.05 / 3600.0 / 3.0
    base = VisitPlan(
        filters=("F606W",),
        stars=400,
        galaxies=20,
        pointing_error=0.0,
        roll_error=0.0,
        scale_error=0.0,
        chip_shape=chip,
        seed=11,
    )
    share = exposures // len(VISITS) // 4
    widest = replace(base, exposures=3 * share).circle
    scene = replace(widest, ra=152.0 + step / 2, dec=2.0 + step / 2, radius=widest.radius + step)
    base = replace(base, scene=scene)
    made = []
    for number, visit in enumerate(VISITS):
        place = {"ra": 152.0 + step * (number % 2), "dec": 2.0 + step * (number // 2)}
        common = {"visit": visit, "pa_v3": 112.3 + 17.0 * number, "start": 55993.21 + 30.0 * number, **place}
        for filters, count in ((("F606W",), 3 * share), (("F814W",), share)):
            made.append(replace(base, filters=filters, exposures=count, **common))
    return made


def simulated(folder: Path, plan: VisitPlan, order: int) -> dict[Path, float]:
    """Make the exposures of a plan; return their true sky, electrons per pixel, by file."""
    visit = simulate_visit(folder, plan)
    skies = {}
    for path, exposure in zip(visit.files, planned_exposures(plan), strict=True):
        conditions = stream("conditions", plan.seed, exposure.rootname)
        sky = exposure.facts.sky_rate * exposure.exposure_time * conditions.uniform(0.85, 1.25)
        skies[_renamed(path, order)] = float(sky)
    return skies


def _renamed(path: Path, order: int) -> Path:
    """Both filters of a visit are simulated apart: rootnames of the second begin with another letter."""
    if not order:
        return path
    root = path.name.split("_")[0]
    other = root[:6] + chr(ord(root[6]) + order) + root[7:]
    new = path.with_name(path.name.replace(root, other))
    path.rename(new)
    with fits.open(new, mode="update") as hdus:
        hdus[0].header["ROOTNAME"], hdus[0].header["FILENAME"] = other, new.name
        for hdu in hdus[1:]:
            if "ROOTNAME" in hdu.header:
                hdu.header["ROOTNAME"] = other
    return new


def on_the_grid(path: Path, tile: str) -> bool:
    """Whether a layer has the pixels of its tile."""
    header, cell = fits.getheader(path, "SCI"), sky_cell(tile)
    offsets = np.array(cell.crpix) - (header["CRPIX1"], header["CRPIX2"])
    same = (header["CRVAL1"], header["CRVAL2"]) == cell.crval and np.allclose(
        (header["CD1_1"], header["CD2_2"]), (cell.cd[0], cell.cd[3]), rtol=1e-13
    )
    return bool(same and np.array_equal(offsets, np.rint(offsets)))


def seam(path: Path, skies: dict[str, float]) -> dict[str, float]:
    """The largest step of the sky between neighbours seen by other exposures, over the noise of a pixel."""
    with fits.open(path) as hdus:
        context = np.atleast_3d(hdus["CTX"].data.astype(np.int32).T).T.view(np.uint32)
        table, noises = hdus["HDRTAB"].data, np.sqrt(hdus["VAR"].data)
    left = np.array([(skies[row["ROOTNAME"]] - row["MDRIZSKY"]) / row["EXPTIME"] for row in table])
    sums, counts = np.zeros(context.shape[1:]), np.zeros(context.shape[1:])
    for row, rest in zip(table, left, strict=True):
        seen = context[row["CTXBIT"] // 32] >> np.uint32(row["CTXBIT"] % 32) & np.uint32(1)
        sums += seen * rest
        counts += seen
    level = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    noise = np.nanmedian(noises)
    steps = [np.abs(np.diff(level, axis=axis)) for axis in (0, 1)]
    here = [step / np.delete(noises, 0, axis) for axis, step in enumerate(steps)]
    visits = [np.mean([left[i] for i, row in enumerate(table) if row["ROOTNAME"][:6] == v]) for v in VISITS]
    return {
        "noise_of_a_pixel": float(noise),
        "largest_step_over_noise": float(max(map(np.nanmax, steps)) / noise),
        "largest_step_over_noise_there": float(max(map(np.nanmax, here))),
        "spread_between_visits_over_noise": float(np.ptp(visits) / noise),
    }


def rays_left(layer: Path, files: dict[str, Path], masks: dict[str, Path], seed: int = 3) -> dict[str, float]:
    """How many rejected pixels still stand out in a layer, and how many places chosen at random."""
    with fits.open(layer) as hdus:
        science, weight = hdus["SCI"].data.astype(np.float32), hdus["WHT"].data
        error = np.sqrt(hdus["VAR"].data)
        grid = hdus["SCI"].header
        used = {row["ROOTNAME"]: float(row["MDRIZSKY"]) for row in hdus["HDRTAB"].data}
    known = (weight > 0) & np.isfinite(science)
    science -= np.median(science[known])  # matched skies leave the faintest of them in
    smooth = ndimage.median_filter(np.where(known, science, 0.0), 7)
    quiet = known & (ndimage.maximum_filter(smooth, NEAR_STAR) < 4.0 * np.nanmedian(error[known]))
    stands = quiet & (science - smooth > LEFT * error)
    found = tested = 0
    for rootname in used:
        solution = read_solutions(files[rootname])[0].solution
        if rootname not in masks:
            continue  # the only one of its visit and filter
        ours = read_mask(masks[rootname])
        with fits.open(files[rootname]) as hdus:
            for chip in solution.chips:
                pixels, err = (hdus[name, chip.extver].data for name in ("SCI", "ERR"))
                hits = ours[chip.extver].hits.rows(0, chip.shape[0])
                y, x = np.nonzero(hits & (pixels - np.median(pixels) > EXCESS * err))
                ny, nx = _places(*pixel_to_sky(chip, x, y), grid)
                inside = (ny >= 0) & (ny < science.shape[0]) & (nx >= 0) & (nx < science.shape[1])
                ny, nx = ny[inside], nx[inside]
                tested += int(np.count_nonzero(quiet[ny, nx]))
                found += int(np.count_nonzero(stands[ny, nx]))
    places = np.flatnonzero(quiet)
    chosen = np.random.default_rng(seed).choice(places, size=min(len(places), max(tested, 1)), replace=False)
    return {
        "rejected_pixels_tested": tested,
        "still_standing_out": found,
        "standing_out_at_random": int(np.count_nonzero(stands.ravel()[chosen])),
    }


def _places(
    ra: NDArray[np.float64], dec: NDArray[np.float64], header: fits.Header
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from astropy.wcs import WCS

    x, y = WCS(header).all_world2pix(ra, dec, 0)
    return np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)


def measure(scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Simulate, ingest, make the layers of the tile, look at them; realign one exposure, make them again."""
    height, width = map(int, options.chip.split("x"))
    skies: dict[Path, float] = {}
    for number, plan in enumerate(plans((height, width), options.exposures)):
        skies |= simulated(scratch / f"visit{number}", plan, number % 2)
    files = {path.name.split("_")[0]: path for path in skies}
    home = scratch / "home"
    run(home, "ingest", *files.values(), "--json")
    tile = cells_containing(152.0, 2.0)[0].name
    command = ("mosaic", "--tile", tile, "--wcs-policy", "any", "--threads", options.threads, "--json")
    extra = ("--full-cell", "--compress", "gzip") if options.full_cell else ()
    plan, _ = run(home, *command, *extra, "--dry-run")
    made, taken = run(home, *command, *extra)
    question = "SELECT max(peak_memory_bytes) AS peak FROM run_status WHERE command = 'mosaic'"
    peak = run(home, "sql", "-c", question, "--json")[0][0]["peak"]
    masks = run(home, "sql", "-c", _MASKS, "--json")[0]
    places = {row["rootname"]: home / row["path"] for row in masks}
    true = {name: skies[path] for name, path in files.items()}
    layers = {product["name"]: Path(product["path"]) for product in made["products"]}
    figures: dict[str, Any] = {
        "exposures": len(files),
        "chip": [height, width],
        "tile": tile,
        "taken": taken,
        "peak_memory_mb": round(peak / 1e6),
        "predicted_memory_mb": round(max(one["memory_bytes"] for one in plan["products"]) / 1e6),
        "layers": {},
    }
    for product in made["products"]:
        path = layers[product["name"]]
        figures["layers"][product["name"]] = {
            "exposures": len(product["exposures"]),
            "shape": [product["ny"], product["nx"]],
            "megabytes": round(path.stat().st_size / 1e6),
            "on_the_grid": on_the_grid(path, tile),
        }
        if not options.full_cell:
            figures["layers"][product["name"]] |= {**seam(path, true), **rays_left(path, files, places)}
    return {**figures, "realigned": realigned(home, made)}


_MASKS = """SELECT e.rootname, m.path FROM exposure_mask_current c JOIN exposure_mask m USING (mask_id)
JOIN exposure e ON e.exposure_id = c.exposure_id WHERE upper_inf(c.during)"""


def realigned(home: Path, made: dict[str, Any]) -> dict[str, Any]:
    """Move one exposure of F814W; return what the plan says, and what was made again."""
    one = next(product for product in made["products"] if product["filter"] == "f814w")
    url = run(home, "db", "start", "--json")[0]["url"]
    catalog = open_catalog(url)
    realign(catalog, {one["exposures"][0]: 3.0})
    catalog.close()
    stale = ("mosaic", "--stale", "--all", "--json")
    planned = run(home, *stale, "--dry-run")[0]
    again, taken = run(home, *stale)
    return {"exposure": one["exposures"][0], "plan": planned, "made": again, "taken": taken}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chip", default="512x1024", help="pixels of a chip; the real one is 2048x4096")
    parser.add_argument("--exposures", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--full-cell", action="store_true", help="the whole tile, compressed; memory alone")
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory(prefix="hapctl-tile-") as name:
        print(json.dumps(measure(Path(name), options), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
