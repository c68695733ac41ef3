"""Positions against the truth and the Cramer-Rao bound on images of analytic PSFs, and their time."""

import sys
import time
from itertools import pairwise

import numpy as np
from hapctl.processing.astrometry.detection import Detections, detect_sources
from hapctl.processing.astrometry.peak_finding import DetectionSettings
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
    columns: list[list[Array]] = [[] for _ in range(5)]
    psfs = []
    for field in fields:
        found, star = measured(field, fwhm)
        psfs.append(f"{found.fwhm:.2f}/{found.psf_stars}/{found.psf.error if found.psf else 0:.4f}")
        for axis, (place, truth, error) in enumerate(
            ((found.x, field.x, found.x_err), (found.y, field.y, found.y_err))
        ):
            for column, values in zip(
                columns, (place - truth[star], error, field.bound[star, axis], field.snr[star], truth[star]),
                strict=True,
            ):  # fmt: skip
                column.append(values)
    off, error, bound, snr, place = (np.concatenate(column) for column in columns)
    print(f"{name}: PSF width, stars, error {', '.join(psfs)}")
    for low, high in pairwise(BINS):
        k = (snr >= low) & (snr < high)
        allowed = np.sqrt((1.15 * bound[k]) ** 2 + 0.005**2)
        # A mean bias below the floor: only stars that can tell it.
        bias = (
            phase_bias(off[k], place[k], 1.0 / bound[k] ** 2) if low >= 70 and len(off[k]) > 100 else np.nan
        )
        print(
            f"  S/N {low:4}-{high:<4} n {k.sum():5} bound {np.median(bound[k]):.4f} rms {width(off[k]):.4f}"
            f" rms/bound {width(off[k] / bound[k]):.3f} of allowed {width(off[k] / allowed):.3f}"
            f" (plain {np.sqrt(np.mean(np.clip(off[k] / allowed, -5, 5) ** 2)):.3f})"
            f" pull {width(off[k] / error[k]):.3f} bias {bias:.4f}"
        )


def main(names: list[str] | None = None) -> None:
    """Every case, or those whose names hold one of the words."""
    for name, (profile, detector, fwhm) in CASES.items():
        if names and not any(word in name for word in names):
            continue
        fields = [
            analytic_field(profile, detector, shape=(1500, 1500), stars=900, seed=seed) for seed in (1, 2, 3)
        ]
        report(name, fields, fwhm)
    profile, detector, fwhm = CASES["ACS/WFC, as simulated"]
    field = analytic_field(profile, detector, shape=(2048, 4096), stars=2000, seed=9)
    started = time.process_time()
    found = detect_sources(field.science, field.error, field.quality, DetectionSettings(fwhm=fwhm))
    print(
        f"one chip of 2048 x 4096, {len(found)} sources: {time.process_time() - started:.2f} s of processor"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
