"""Positions against the truth and the Cramer-Rao bound on images of analytic PSFs, and their time."""

import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from hapctl.processing.astrometry.detection import Detections, detect_sources
from hapctl.processing.astrometry.peak_finding import DetectionSettings, search_chip
from hapctl.processing.astrometry.source_list import detection_settings
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import simulate_visit
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from support.analytic_stars import (
    AnalyticField,
    Detector,
    PixelProfile,
    airy,
    analytic_field,
    gaussians,
    moffat,
)

Array = NDArray[np.float64]
BINS = (10, 20, 40, 70, 140, 300, 1000)
CASES: dict[str, tuple[PixelProfile, Detector, float]] = {
    "ACS/WFC, as simulated": (gaussians(((0.76, 0.70), (0.17, 1.55), (0.07, 4.6))), Detector(60, 4.2), 2.0),
    "ACS/WFC, Airy": (airy(0.332, 0.65), Detector(60, 4.2), 2.0),
    "UVIS, Moffat": (moffat(1.5, 3.0), Detector(25, 3.1), 1.9),
    "UVIS, Airy": (airy(0.42, 0.55), Detector(25, 3.1), 1.9),
    "IR, as simulated": (
        gaussians(((0.78, 0.46), (0.15, 1.10), (0.07, 3.2))), Detector(150, 15, 400), 1.4
    ),
    "IR, Airy": (airy(0.267, 0.25), Detector(150, 15, 400), 1.4),
}  # fmt: skip
SMALL = {"exposures": 1, "stars": 3000, "galaxies": 100, "exposure_time": 500.0}
VISITS = {
    "simulated ACS/WFC": VisitPlan(filters=("F606W",), chip_shape=(1024, 2048), **SMALL),
    "simulated ACS/WFC, diffraction": VisitPlan(
        filters=("F606W",), chip_shape=(1024, 2048), psf="diffraction", **SMALL
    ),
    "simulated UVIS": VisitPlan(
        "ipos01", ("F606W",), detector="UVIS", chip_shape=(1024, 2048), psf="diffraction", **SMALL
    ),
    "simulated IR": VisitPlan("ipos02", ("F125W",), detector="IR", psf="diffraction", **SMALL),
    "simulated ACS/WFC, sparse": VisitPlan(
        filters=("F606W",), exposures=1, stars=250, galaxies=150, exposure_time=700.0
    ),
}


def measured(field: AnalyticField, fwhm: float) -> tuple[Detections, NDArray[np.intp]]:
    """Usable sources and the true star of each."""
    found = detect_sources(field.science, field.error, field.quality, DetectionSettings(fwhm=fwhm))
    found = found.chosen(found.usable)
    tree = cKDTree(np.column_stack([field.x, field.y]))
    distance, star = tree.query(np.column_stack([found.x, found.y]))
    # Stars with another within reach of their fitted pixels are a matter of deblending.
    company = tree.query(np.column_stack([field.x, field.y]), k=2)[0][:, 1]
    good = (distance < 1.0) & (company[star] > 10)
    return found.chosen(good), star[good]


def width(values: Array) -> float:
    """Robust standard deviation about zero."""
    return float(1.4826 * np.median(np.abs(values)))


def phase_bias(error: Array, position: Array, weight: Array, parts: int = 8) -> float:
    """Largest weighted mean error over parts of the pixel."""
    part = ((position % 1.0) * parts).astype(int)
    return max(abs(float(np.average(error[part == n], weights=weight[part == n]))) for n in range(parts))


def report(name: str, fields: list[AnalyticField], fwhm: float) -> None:
    """Print the table of a case, several fields of it together."""
    rows, psfs = [], []
    for field in fields:
        found, star = measured(field, fwhm)
        psfs.append(f"{found.fwhm:.2f}/{found.psf_stars}/{found.psf.error if found.psf else 0:.4f}")
        for axis, (place, truth, error) in enumerate(
            ((found.x, field.x, found.x_err), (found.y, field.y, found.y_err))
        ):
            rows.append([place - truth[star], error, field.bound[star, axis], field.snr[star], truth[star]])
    off, error, bound, snr, place = (np.concatenate(column) for column in zip(*rows, strict=True))
    print(f"{name}: PSF width, stars, error {', '.join(psfs)}")
    for low, high in pairwise(BINS):
        k = (snr >= low) & (snr < high)
        allowed = np.sqrt((1.15 * bound[k]) ** 2 + 0.005**2)
        # A mean bias below the floor: only stars that can tell it.
        bias = phase_bias(off[k], place[k], 1.0 / bound[k] ** 2) if low >= 70 and k.sum() > 100 else np.nan
        print(
            f"  S/N {low:4}-{high:<4} n {k.sum():5} bound {np.median(bound[k]):.4f} rms {width(off[k]):.4f}"
            f" rms/bound {width(off[k] / bound[k]):.3f} of allowed {width(off[k] / allowed):.3f}"
            f" pull {width(off[k] / error[k]):.3f} bias {bias:.4f}"
        )


def simulated(name: str, plan: VisitPlan) -> None:
    """Positions, and what becomes of cosmic rays, on the exposures of a simulated visit."""
    rows, counts = [], np.zeros(5, dtype=int)
    with tempfile.TemporaryDirectory() as folder:
        visit = simulate_visit(Path(folder), plan, masks=True)
        table = Table.read(visit.star_file)
        for exposure in visit.truth.exposures:
            with fits.open(Path(folder) / f"{exposure.rootname}_rays.fits") as masks:
                rays = [np.asarray(mask.data) > 0 for mask in masks[1:]]
            with ExposureImage(Path(folder) / exposure.file) as image:
                for chip, mask in zip(image.chips, rays, strict=True):
                    error = chip.error()
                    assert error is not None
                    found = detect_sources(
                        chip.science(), error, chip.quality(), detection_settings(plan.cameras[0].detector)
                    )
                    mine = (table["rootname"] == exposure.rootname) & (table["extver"] == chip.extver)
                    judge_chip(found, table[mine], mask, rows, counts)
    off, error, snr = (np.concatenate(column) for column in zip(*rows, strict=True))
    hit, passed, usable, alignable, trusted = counts
    print(
        f"{name}: cosmic rays found {hit}, alignable {passed} ({passed / max(hit, 1):.3f}), usable {usable};"
        f" alignable in all {alignable}, usable {trusted}"
    )
    for low, high in pairwise(BINS):
        k = (snr >= low) & (snr < high)
        if k.sum() > 30:
            print(
                f"  S/N {low:4}-{high:<4} n {k.sum():5} rms {width(off[k]):.4f}"
                f" stated {np.median(error[k]):.4f} pull {width(off[k] / error[k]):.3f}"
                f" beyond 5: {np.mean(np.abs(off[k] / error[k]) > 5):.4f}"
            )


def judge_chip(
    found: Detections, stars: Any, rays: NDArray[np.bool_], rows: list[list[Array]], counts: NDArray[np.int_]
) -> None:
    """Add the errors of usable stars to `rows`, and numbers of cosmic rays to `counts`."""
    tree = cKDTree(np.column_stack([stars["x"], stars["y"]]))
    distance, star = tree.query(np.column_stack([found.x, found.y]))
    company = tree.query(tree.data, k=2)[0][:, 1]
    column, row = np.rint(found.x).astype(int), np.rint(found.y).astype(int)
    ny, nx = rays.shape
    ray = rays[np.clip(row, 0, ny - 1), np.clip(column, 0, nx - 1)] & (distance > 1.5)
    counts += [ray.sum(), (ray & found.alignable).sum(), (ray & found.usable).sum(), found.alignable.sum(),
               found.usable.sum()]  # fmt: skip
    good = found.usable & (distance < 1.0) & (company[star] > 8)
    for place, truth, error in ((found.x, stars["x"], found.x_err), (found.y, stars["y"], found.y_err)):
        rows.append([(place - np.asarray(truth)[star])[good], error[good], found.snr[good]])


def main(names: list[str] | None = None) -> None:
    """Every case, or those whose names hold one of the words."""
    for name, (profile, detector, fwhm) in CASES.items():
        if names and not any(word in name for word in names):
            continue
        fields = [
            analytic_field(profile, detector, shape=(1500, 1500), stars=900, seed=seed) for seed in (1, 2, 3)
        ]
        report(name, fields, fwhm)
    for name, plan in VISITS.items():
        if not names or any(word in name for word in names):
            simulated(name, plan)
    profile, detector, fwhm = CASES["ACS/WFC, as simulated"]
    field = analytic_field(profile, detector, shape=(2048, 4096), stars=2000, seed=9)
    started = time.process_time()
    for _ in range(8):
        found = detect_sources(field.science, field.error, field.quality, DetectionSettings(fwhm=fwhm))
    total, started = time.process_time() - started, time.process_time()
    for _ in range(8):
        search_chip(field.science, field.error, field.quality, DetectionSettings(fwhm=fwhm))
    search = time.process_time() - started
    print(
        f"8 chips of 2048 x 4096, {len(found)} sources each: {total:.2f} s of processor,"
        f" {total - search:.2f} s of it for the PSF, fits and flags"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
