"""Simulate a visit: files as the archive delivers them, a Gaia-like extract, and the truth beside."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.simulation.camera import DQ_SATURATED, ChipOptics, stream
from hapctl.processing.simulation.diffraction import add_diffracted_stars
from hapctl.processing.simulation.distortion import (
    DistortedWcs,
    astropy_wcs,
    linear_wcs,
    own_distorted_wcs,
)
from hapctl.processing.simulation.exposure_pixels import ChipPixels, expose
from hapctl.processing.simulation.gaia_extract import GaiaExtract, make_extract
from hapctl.processing.simulation.headers import (
    ExposureFacts,
    plane_header,
    primary_header,
    science_header,
)
from hapctl.processing.simulation.infrared_pixels import expose_infrared, reads_of
from hapctl.processing.simulation.plan import VisitPlan, check_plan, planned_exposures, true_pointing
from hapctl.processing.simulation.pointing import repointed
from hapctl.processing.simulation.reference_files import (
    ReferenceFiles,
    copy_reference_files,
    find_reference_files,
    updated_wcs,
)
from hapctl.processing.simulation.rendering import Placement, add_galaxies, add_stars, place
from hapctl.processing.simulation.sky_sources import (
    Floats,
    Galaxies,
    Stars,
    make_galaxies,
    make_stars,
    positions_at,
)
from hapctl.processing.simulation.truth import TrueChip, TrueExposure, Truth, write_truth
from hapctl.processing.simulation.wcs_history import wcs_history
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io.fits import BinTableHDU, ImageHDU
    from astropy.table import Table
    from astropy.wcs import WCS

WING_PIXELS = 50.0
GAIA_FILE, STAR_FILE, SKY_FILE = "gaia_extract.ecsv", "truth.ecsv", "sky.ecsv"


@dataclass(frozen=True)
class SimulatedVisit:
    """What was made and where.

    Attributes
    ----------
    folder : Path
        Where all of it lies.
    files : tuple of Path
        The exposures, in order of time.
    gaia_extract, truth_file, star_file, sky_file : Path
        The extract, the true WCSs, the true pixel positions, the true sky.
    reference_files : tuple of Path
        Copies of the reference files that the headers name, if real ones were asked for.
    truth : Truth
        The content of `truth_file`.
    """

    folder: Path
    files: tuple[Path, ...]
    gaia_extract: Path
    truth_file: Path
    star_file: Path
    sky_file: Path
    reference_files: tuple[Path, ...]
    truth: Truth


@dataclass(frozen=True)
class _Sky:
    stars: Stars
    galaxies: Galaxies
    extract: GaiaExtract

    @property
    def source_ids(self) -> NDArray[np.int64]:
        """Gaia's source_id of each star, 0 for a star that Gaia does not list."""
        ids = np.zeros(len(self.stars), dtype=np.int64)
        listed = self.extract.star_index >= 0
        ids[self.extract.star_index[listed]] = np.asarray(self.extract.table["source_id"])[listed]
        return ids


@dataclass(frozen=True)
class _SeenSky:
    """The sky as one exposure sees it: positions at its time, electrons in nominal pixels."""

    plan: VisitPlan
    exposure: ExposureFacts
    sky: _Sky
    positions: tuple[Floats, Floats]
    magnitude: Floats
    star_electrons: Floats
    galaxy_electrons: Floats
    background: float
    focus: float


def simulate_visit(folder: str | Path, plan: VisitPlan | None = None, masks: bool = False) -> SimulatedVisit:
    """Simulate a visit and write it to a folder.

    Parameters
    ----------
    folder : path
        Made if absent; files of the same names are replaced.
    plan : VisitPlan, optional
        What to simulate; two exposures in each of two filters by default.
    masks : bool
        Write also ``ROOTNAME_rays.fits``: the pixels that cosmic rays touched (1), one extension a chip.

    Raises
    ------
    UsageProblemError
        If the plan names an unknown detector or filter, no exposures, or a visit that is not ipppss of the
        instrument, or its folder of reference files lacks one.
    """
    plan = plan or VisitPlan()
    check_plan(plan)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    reference = find_reference_files(plan.reference_dir, plan.filters) if plan.reference_dir else None
    copies = copy_reference_files(reference, plan.filters, folder) if reference else []
    sky = _make_sky(plan)
    exposures, tables = [], []
    for facts in planned_exposures(plan):
        exposure, table = _make_exposure(folder, plan, facts, sky, reference, masks)
        exposures.append(exposure)
        tables.append(table)
    truth = Truth(folder, plan.visit, plan.seed, plan.circle, tuple(exposures))
    return _write_records(truth, sky, tables, tuple(copies))


def _make_sky(plan: VisitPlan) -> _Sky:
    circle = plan.circle
    cap = (circle.ra, circle.dec, circle.radius)
    stars = make_stars(plan.seed, *cap, round(plan.stars * plan.field_share))
    galaxies = make_galaxies(plan.seed, *cap, round(plan.galaxies * plan.field_share))
    return _Sky(stars, galaxies, make_extract(stars, *cap, plan.seed))


def _distorted_wcs(
    plan: VisitPlan, exposure: ExposureFacts, reference: ReferenceFiles | None
) -> DistortedWcs:
    if reference is None:
        return own_distorted_wcs(
            exposure.camera,
            exposure.rootname,
            exposure.pointing,
            exposure.va_factor,
            plan.shape_of(exposure.camera),
            exposure.facts.name,
        )
    return updated_wcs(reference, exposure, plan.shape_of(exposure.camera))


def _seen_sky(plan: VisitPlan, exposure: ExposureFacts, sky: _Sky) -> _SeenSky:
    facts, time = exposure.facts, exposure.exposure_time
    own = stream("conditions", plan.seed, exposure.rootname)
    magnitude = facts.ab_magnitude(sky.stars.g, sky.stars.bp_rp)
    # Galaxies are given in I; a colour makes them fainter or brighter elsewhere.
    galaxy_magnitude = sky.galaxies.magnitude + 0.6 * (8045.0 - facts.photplam) / 2000.0 * sky.galaxies.bp_rp
    return _SeenSky(
        plan,
        exposure,
        sky,
        positions_at(sky.stars, exposure.middle),
        magnitude,
        facts.rate(magnitude) * time,
        facts.rate(galaxy_magnitude) * time,
        facts.sky_rate * time * own.uniform(0.85, 1.25),
        own.uniform(0.97, 1.04),
    )


def _make_chip(seen: _SeenSky, chip: ChipOptics, wcs: "WCS") -> tuple[ChipPixels, "Table"]:
    plan, exposure, sky = seen.plan, seen.exposure, seen.sky
    camera, shape = exposure.camera, plan.shape_of(exposure.camera)
    ratio = exposure.sensitivity_ratio(chip)
    light = np.full(shape, seen.background / ratio)
    stars = place(wcs, *seen.positions, shape, WING_PIXELS, camera.plate_scale)
    electrons = seen.star_electrons[stars.index] / stars.pixel_area / ratio
    if plan.psf == "diffraction":
        add_diffracted_stars(light, stars, electrons, camera, exposure.facts.photplam)
    else:
        add_stars(light, stars, electrons, exposure.facts.psf_scale * seen.focus, camera.psf_components)
    galaxies = place(wcs, sky.galaxies.ra, sky.galaxies.dec, shape, WING_PIXELS, camera.plate_scale)
    add_galaxies(
        light,
        sky.galaxies,
        galaxies,
        seen.galaxy_electrons[galaxies.index] / galaxies.pixel_area / ratio,
        exposure.facts.psf_scale,
    )
    generator = stream("pixels", plan.seed, exposure.rootname, chip.chip)
    if camera.is_infrared:
        pixels = expose_infrared(light, camera, exposure.exposure_time, generator)
    else:
        pixels = expose(light, camera, chip, exposure.exposure_time, generator)
    scale = exposure.flux_factor(chip)
    return pixels.scaled(scale), _star_table(seen, chip, stars, electrons * scale, pixels)


def _star_table(
    seen: _SeenSky, chip: ChipOptics, stars: Placement, electrons: Floats, pixels: ChipPixels
) -> "Table":
    """True places of the stars whose centres lie on the chip."""
    from astropy.table import Table

    ny, nx = pixels.sci.shape
    columns, rows = np.round(stars.x).astype(np.int64), np.round(stars.y).astype(np.int64)
    on_chip = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
    index = stars.index[on_chip]
    table = Table()
    table["rootname"] = np.full(len(index), seen.exposure.rootname)
    table["extver"] = np.full(len(index), chip.extver, dtype=np.int16)
    table["star"] = index
    table["source_id"] = seen.sky.source_ids[index]
    table["ra"], table["dec"] = (values[index] for values in seen.positions)
    table["x"], table["y"] = stars.x[on_chip], stars.y[on_chip]
    table["magnitude"] = np.round(seen.magnitude[index], 4)
    table["electrons"] = np.round(electrons[on_chip], 2)
    table["saturated"] = (pixels.dq[rows[on_chip], columns[on_chip]] & DQ_SATURATED) != 0
    return table


def _make_exposure(
    folder: Path,
    plan: VisitPlan,
    exposure: ExposureFacts,
    sky: _Sky,
    reference: ReferenceFiles | None,
    masks: bool,
) -> tuple[TrueExposure, "Table"]:
    from astropy.table import vstack

    distorted = _distorted_wcs(plan, exposure, reference)
    looked = true_pointing(plan, exposure)
    seen = _seen_sky(plan, exposure, sky)
    made = []
    for chip, wcs_cards in zip(exposure.camera.chips, distorted.chip_headers, strict=True):
        linear = repointed(linear_wcs(wcs_cards), exposure.pointing, looked)
        wcs = astropy_wcs(wcs_cards, list(distorted.tables), linear)
        made.append((chip, *_make_chip(seen, chip, wcs), linear))
    _write_exposure(folder, exposure, distorted, [(chip, pixels) for chip, pixels, _, _ in made])
    if masks:
        _write_rays(folder, exposure, [(chip, pixels) for chip, pixels, _, _ in made])
    shape = plan.shape_of(exposure.camera)
    chips = tuple(TrueChip.of(chip.extver, chip.chip, shape, linear) for chip, _, _, linear in made)
    true = TrueExposure(
        exposure.rootname,
        exposure.filename,
        exposure.facts.name,
        exposure.middle,
        exposure.pointing,
        looked,
        chips,
    )
    return true, vstack([table for _, _, table, _ in made], metadata_conflicts="silent")


def _write_exposure(
    folder: Path, exposure: ExposureFacts, distorted: DistortedWcs, chips: list[tuple[ChipOptics, ChipPixels]]
) -> None:
    from astropy.io import fits

    hdus: list[ImageHDU | BinTableHDU] = []
    for (chip, pixels), cards in zip(chips, distorted.chip_headers, strict=True):
        hdus.append(fits.ImageHDU(pixels.sci, science_header(exposure, chip, pixels, cards)))
        hdus.append(fits.ImageHDU(pixels.err, plane_header(exposure, "ERR", chip, cards)))
        hdus.append(fits.ImageHDU(pixels.dq, plane_header(exposure, "DQ", chip, cards)))
        if exposure.camera.is_infrared:
            for name, plane in reads_of(pixels, exposure.exposure_time):
                hdus.append(fits.ImageHDU(plane, plane_header(exposure, name, chip, cards)))
    hdus += [*distorted.tables, wcs_history(distorted, exposure.pointing.pa_v3)]
    primary = fits.PrimaryHDU(header=primary_header(exposure, distorted.primary_cards, len(hdus)))
    fits.HDUList([primary, *hdus]).writeto(folder / exposure.filename, overwrite=True)


def _write_rays(folder: Path, exposure: ExposureFacts, chips: list[tuple[ChipOptics, ChipPixels]]) -> None:
    from astropy.io import fits

    rays = [
        fits.ImageHDU(pixels.cosmic_rays.astype(np.uint8), name="RAYS", ver=chip.extver)
        for chip, pixels in chips
    ]
    path = folder / f"{exposure.rootname}_rays.fits"
    fits.HDUList([fits.PrimaryHDU(), *rays]).writeto(path, overwrite=True)


def _write_records(
    truth: Truth, sky: _Sky, tables: list["Table"], reference_files: tuple[Path, ...]
) -> SimulatedVisit:
    from astropy.table import vstack

    folder = truth.folder
    places = vstack(tables, metadata_conflicts="silent")
    for name, table in ((GAIA_FILE, sky.extract.table), (STAR_FILE, places), (SKY_FILE, _sky_table(sky))):
        table.write(folder / name, format="ascii.ecsv", overwrite=True)
    return SimulatedVisit(
        folder,
        tuple(folder / exposure.file for exposure in truth.exposures),
        folder / GAIA_FILE,
        write_truth(truth),
        folder / STAR_FILE,
        folder / SKY_FILE,
        reference_files,
        truth,
    )


def _sky_table(sky: _Sky) -> "Table":
    """The stars as they are, at epoch 2016.0; the row number is the star's number."""
    from astropy.table import Table

    table = Table({name: getattr(sky.stars, name) for name in sky.stars.__dataclass_fields__})
    table["source_id"] = sky.source_ids
    return table
