"""Subarrays of ACS/WFC and WFC3/UVIS: their pixels lie where the full frame has them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.astrometry.exposure import exposure_facts
from hapctl.processing.astrometry.fits_structure import read_fits
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.drizzle import drizzle_image
from hapctl.processing.imaging.grid import north_up_grid
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import simulate_visit
from support.subarrays import cut_subarray

CORNER, SHAPE = (130, 75), (160, 200)
PLAN = VisitPlan(exposures=1, filters=("F606W",), chip_shape=(300, 500), stars=60, galaxies=3)
PLANS = {"WFC": PLAN, "UVIS": replace(PLAN, visit="ihap01", detector="UVIS")}


@pytest.fixture(scope="module", params=["WFC", "UVIS"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A full frame, and the subarray of its chip 1 (extver 2)."""
    folder = tmp_path_factory.mktemp(request.param)
    (full,) = simulate_visit(folder, PLANS[request.param]).files
    return full, cut_subarray(full, folder / f"cut_{full.name}", 2, CORNER, SHAPE, "B")


def test_every_pixel_is_on_the_same_place_of_the_sky(files: tuple[Path, Path]) -> None:
    full, cut = (read_solutions(path)[0].solution for path in files)
    assert not cut.problem
    assert (len(cut.chips), cut.chips[0].chip, cut.chips[0].shape) == (1, 1, SHAPE)
    y, x = (axis.ravel().astype(float) for axis in np.mgrid[: SHAPE[0] : 13, : SHAPE[1] : 17])
    here, there = pixel_to_sky(cut.chips[0], x, y), pixel_to_sky(full.chips[1], x + CORNER[0], y + CORNER[1])
    assert np.abs(np.subtract(here, there)).max() < 1e-11


def test_pixels_and_noise_are_of_the_chip_and_its_amplifier(files: tuple[Path, Path]) -> None:
    (x0, y0), (ny, nx) = CORNER, SHAPE
    with ExposureImage(files[0]) as full, ExposureImage(files[1]) as cut:
        chip = cut.chips[0]
        assert np.array_equal(chip.science(), full.chips[1].science()[y0 : y0 + ny, x0 : x0 + nx])
        assert np.array_equal(chip.quality(), full.chips[1].quality()[y0 : y0 + ny, x0 : x0 + nx])
        assert chip.read_noise == pytest.approx(cut.header["READNSEB"])
        assert (chip.header["LTV1"], chip.header["SIZAXIS2"]) == (-x0, ny)


def test_it_is_an_exposure_for_the_catalog(files: tuple[Path, Path]) -> None:
    facts = exposure_facts(read_fits(files[1]), files[1].name)
    assert facts.rejection is None
    assert [(chip.extver, chip.chip, chip.nx, chip.ny) for chip in facts.chips] == [
        (1, 1, SHAPE[1], SHAPE[0])
    ]


def test_it_drizzles_to_what_the_full_frame_gives(files: tuple[Path, Path]) -> None:
    images = []
    grid = north_up_grid([read_solutions(files[1])[0].solution.chips[0]], 0.05)
    for path, number in zip(files, (1, 0), strict=True):
        with ExposureImage(path) as exposure:
            chip = PreparedChip(exposure.chips[number], read_solutions(path)[0].solution.chips[number])
            images.append(drizzle_image([chip.drizzle_input(None)], grid))
    full, cut = images
    inside = np.isclose(cut.wht, full.wht, rtol=1e-6) & (cut.wht > 0)
    assert inside.sum() > 0.9 * (cut.wht > 0).sum()
    assert cut.sci[inside] == pytest.approx(full.sci[inside], rel=1e-4, abs=1e-4)


def test_the_header_says_where_it_was(files: tuple[Path, Path]) -> None:
    with fits.open(files[0]) as full, fits.open(files[1]) as cut:
        moved = cut["SCI"].header["CENTERA1"] - full["SCI", 2].header["CENTERA1"]
        assert moved == CORNER[0] + SHAPE[1] // 2 - 250
        assert cut[0].header["SUBARRAY"]
