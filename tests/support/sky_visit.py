"""A small visit with a known sky: two-chip exposures with stars, pointing errors, and a Gaia-like extract."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from hapctl.processing.astrometry.mapping import pixel_to_sky, sky_to_pixel
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, moved_solution, sky_matrix
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from numpy.typing import NDArray
from scipy.special import erf
from support.exposure_files import exposure_file, two_chip_solution

Array = NDArray[np.float64]
MJD = 55000.001
YEARS = (MJD - 57388.5) / 365.25  # from Gaia's epoch, 2016.0


@dataclass(frozen=True)
class SkyVisit:
    """Files of a visit, the extract beside them, and the true solution of each exposure."""

    folder: Path
    visit: str
    files: tuple[Path, ...]
    extract: Path
    covers: str
    truth: dict[str, WcsSolution]

    def error_mas(self, solution: WcsSolution) -> float:
        """Rms distance of a solution from the truth over both chips."""
        distances = []
        for chip, true in zip(solution.chips, self.truth[solution.rootname].chips, strict=True):
            x, y = np.meshgrid(np.linspace(0, chip.shape[1] - 1, 7), np.linspace(0, chip.shape[0] - 1, 5))
            plane = TangentPlane(*true.crval)
            places = [plane.project_sky(*pixel_to_sky(wcs, x.ravel(), y.ravel())) for wcs in (chip, true)]
            distances.append(np.sum((places[0] - places[1]) ** 2, axis=1))
        return float(1e3 * np.sqrt(np.mean(np.concatenate(distances))))


def sky_visit(
    folder: Path,
    *,
    visit: str = "jtest1",
    exposures: int = 2,
    stars: int = 220,
    gaia: int = 70,
    seed: int = 1,
    suffix: str = "flc",
    centre: tuple[float, float] = (150.0, 2.2),
    filters: Sequence[str] = ("F606W",),
) -> SkyVisit:
    """Write a visit: dithers of 6 arcsec, pointing errors of up to 1 arcsec and 0.05 degree."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    plane = TangentPlane(*centre)
    points = random.uniform(-115, 115, (stars, 2))
    flux = np.sort(10 ** random.uniform(3.4, 5.2, stars))[::-1]
    motion = random.normal(0, 3, (stars, 2))  # mas per year
    files, truth = [], {}
    for number in range(exposures):
        rootname = f"{visit}a{number}q"
        true = two_chip_solution(rootname, centre, binning=4, angle=20.0, name="IDC_0461802ej")
        true = _moved(true, plane, np.array([6.0 * number, -4.0 * number]), 0.0)
        wrong = _moved(true, plane, random.uniform(-0.7, 0.7, 2), random.uniform(-0.05, 0.05))
        truth[rootname] = true
        image = _image(random, true, plane, points + motion * YEARS / 1e3, flux)
        primary = {"FILTER1": filters[number % len(filters)], "EXPSTART": MJD - 0.001, "EXPEND": MJD + 0.001}
        path = folder / f"{rootname}_{suffix}.fits"
        path.write_bytes(_with_pixels(exposure_file(wrong, suffix=suffix, primary=primary), image))
        files.append(path)
    extract = _extract(folder / "extract.ecsv", plane, points, motion, flux, gaia)
    covers = f"circle {centre[0]} {centre[1]} 0.06"
    return SkyVisit(folder, visit, tuple(files), extract, covers, truth)


def _moved(solution: WcsSolution, plane: TangentPlane, shift: Array, roll: float) -> WcsSolution:
    return moved_solution(solution, sky_matrix(PlaneFit.similarity(shift, roll), plane))


def _image(
    random: np.random.Generator, solution: WcsSolution, plane: TangentPlane, points: Array, flux: Array
) -> dict[int, NDArray[np.float32]]:
    vectors = plane.deproject(points)
    ra = np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])) % 360.0
    dec = np.degrees(np.arcsin(vectors[:, 2]))
    return {chip.extver: _chip_image(random, chip, ra, dec, flux) for chip in solution.chips}


def _chip_image(
    random: np.random.Generator, chip: ChipWcs, ra: Array, dec: Array, flux: Array
) -> NDArray[np.float32]:
    ny, nx = chip.shape
    image = np.full(chip.shape, 30.0)
    for x, y, f in zip(*sky_to_pixel(chip, ra, dec), flux, strict=True):
        if not (-6 < x < nx + 5 and -6 < y < ny + 5):
            continue
        rows = slice(max(round(y) - 6, 0), max(round(y) + 7, 0))
        columns = slice(max(round(x) - 6, 0), max(round(x) + 7, 0))
        image[rows, columns] += f * np.outer(
            _profile(np.arange(ny)[rows] - y), _profile(np.arange(nx)[columns] - x)
        )
    noisy = random.poisson(image) + random.normal(0, 4, chip.shape)
    return noisy.astype(np.float32)


def _profile(offset: Array) -> Array:
    width = 0.9 * np.sqrt(2)
    values: Array = 0.5 * (erf((offset + 0.5) / width) - erf((offset - 0.5) / width))
    return values


def _with_pixels(content: bytes, images: dict[int, NDArray[np.float32]]) -> bytes:
    with fits.open(io.BytesIO(content)) as hdus:
        for extver, image in images.items():
            hdus["SCI", extver].data = image
            error = np.sqrt(np.maximum(image, 0) + 16).astype(np.float32)
            hdus.append(fits.ImageHDU(error, name="ERR", ver=extver))
            hdus.append(fits.ImageHDU(np.zeros(image.shape, np.int16), name="DQ", ver=extver))
        written = io.BytesIO()
        hdus.writeto(written)
    return written.getvalue()


def _extract(path: Path, plane: TangentPlane, points: Array, motion: Array, flux: Array, gaia: int) -> Path:
    vectors = plane.deproject(points)
    table = Table()
    table["source_id"] = np.arange(len(points)) + 1_000_000
    table["ra"] = np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])) % 360.0
    table["dec"] = np.degrees(np.arcsin(vectors[:, 2]))
    table["ref_epoch"] = 2016.0
    table["ra_error"] = table["dec_error"] = 0.05
    table["parallax"], table["parallax_error"] = 0.0, 0.01
    table["pmra"], table["pmdec"] = motion[:, 0], motion[:, 1]
    table["pmra_error"] = table["pmdec_error"] = 0.03
    table["phot_g_mean_mag"] = 30.0 - 2.5 * np.log10(flux)
    units = {"ra": "deg", "dec": "deg", "ref_epoch": "yr", "ra_error": "mas", "dec_error": "mas"}
    units |= {"parallax": "mas", "parallax_error": "mas", "phot_g_mean_mag": "mag"}
    units |= dict.fromkeys(("pmra", "pmdec", "pmra_error", "pmdec_error"), "mas / yr")
    for name, unit in units.items():
        table[name].unit = unit
    table[:gaia].write(path, format="ascii.ecsv", overwrite=True)
    return path
