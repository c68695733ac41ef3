"""Descriptions of products for tests: plausible, small, of as many chips as asked for."""

from dataclasses import replace
from typing import Any

from hapctl.processing.astrometry.footprint import s_region
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hapctl.processing.imaging.outline import outline_polygons
from hapctl.processing.imaging.product_header import InputChip, ProductDescription
from support.synthetic_chips import distorted_chip


def input_chip(number: int, **changes: Any) -> InputChip:
    """One chip of exposure ``number``."""
    chip = InputChip(
        rootname=f"j8bt06n{number:02d}"[:9],
        product_name=f"hst_9019_06_acs_hrc_f606w_j8bt06{number:02d}_drz",
        file_name=f"j8bt06n{number:02d}_flt.fits",
        file_sha256="ab" * 32,
        extver=1,
        chip=1,
        context_bit=number,
        filter="F606W",
        exposure_time=60.0,
        mjd_start=52377.86 + number * 0.01,
        mjd_end=52377.8607 + number * 0.01,
        sky=12.5,
        wcsname="IDC_n721640fj-FIT_SVM_GAIADR3",
        transformation_sha256="cd" * 32,
        frame="GAIA-CRF3",
        solution_run=3,
        mask_sha256="",
        mask_run=0,
        keywords={"NMATCHES": 20 + number, "RMS_RA": 5.0 + number, "RMS_DEC": 4.0},
        photometry={
            "PHOTMODE": "ACS HRC F606W",
            "PHOTFLAM": 1.25e-19,
            "PHOTZPT": -21.1,
            "PHOTPLAM": 5887.9,
            "PHOTBW": 664.9,
        },
    )
    return replace(chip, **changes)


def small_grid() -> OutputGrid:
    """A grid of some 370 x 460 pixels about a distorted chip."""
    return north_up_grid([distorted_chip()], 0.05)


def description(chips: int = 2, grid: OutputGrid | None = None, **changes: Any) -> ProductDescription:
    """A filter product of that many exposures of one chip."""
    grid = grid or small_grid()
    made = ProductDescription(
        name="hst_9019_06_acs_hrc_f606w_j8bt06_drz.fits",
        kind="filter",
        instrument="ACS",
        detector="HRC",
        filter="F606W",
        proposals=(9019,),
        target="NGC104",
        visit="j8bt06",
        sky_cells=("p0046x03y19", "p0047x20y18", "p0073x03y02", "p0074x17y02"),
        grid=grid,
        full_pixels=grid.shape[0] * grid.shape[1],
        s_region=s_region(outline_polygons([distorted_chip()], grid)),
        inputs=tuple(input_chip(number) for number in range(chips)),
        wcs_policy="strict",
        run=7,
        policy=1,
        parameters_sha256="12" * 32,
        inputs_sha256="34" * 32,
        software="hapctl 0.1.0",
    )
    return replace(made, **changes)
