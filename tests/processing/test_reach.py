"""The reach of chips: every corner lies in the interval of its cell, and the interval is not idle."""

import numpy as np
import pytest
from hapctl.processing.astrometry.mapping import distortion, homography
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hapctl.processing.imaging.reach import CELL, Reach, reach_of
from support.chips import embedded_headerlet, read_chips
from support.data import data_file
from support.synthetic_chips import distorted_chip, plain_chip


def reach_on(chip: ChipWcs, grid: OutputGrid) -> Reach:
    return reach_of(chip, distortion(chip), homography(chip, grid.plane))


def assert_holds_every_corner(chip: ChipWcs, grid: OutputGrid) -> None:
    reach = reach_on(chip, grid)
    kernel, matrix = distortion(chip), homography(chip, grid.plane)
    for row in range(reach.low_y.shape[0]):
        for column in range(reach.low_y.shape[1]):
            y = np.arange(row * CELL, min((row + 1) * CELL, chip.shape[0]) + 1) - 0.5
            x = np.arange(column * CELL, min((column + 1) * CELL, chip.shape[1]) + 1) - 0.5
            out_x, out_y = kernel.project(matrix, *np.meshgrid(x, y))
            assert reach.low_x[row, column] <= out_x.min() <= out_x.max() <= reach.high_x[row, column]
            assert reach.low_y[row, column] <= out_y.min() <= out_y.max() <= reach.high_y[row, column]


@pytest.mark.parametrize("angle", [0.0, 20.0, 90.0, 213.0])
def test_strong_distortion_is_bounded(angle: float) -> None:
    chip = distorted_chip((333, 290), angle_deg=angle)
    assert_holds_every_corner(chip, north_up_grid([chip]))


def test_real_chips_are_bounded_closely() -> None:
    hrc = read_solutions(data_file("hrc_47tuc/j8bt06nyq_flt.fits"))[0].solution.chips[0]
    with embedded_headerlet(data_file("headers/sample_svm_flc.fits"), 2) as hdus:
        uvis = read_chips(hdus, "SIPWCS", (512, 4096))[0]
    for chip in (hrc, uvis):
        grid = north_up_grid([chip])
        assert_holds_every_corner(chip, grid)
        reach = reach_on(chip, grid)
        assert (reach.high_y - reach.low_y).max() < 2.0 * CELL


@pytest.mark.parametrize("tangent", [(150.0, 40.0), (150.0, 80.0), (200.0, -30.0)])
def test_far_tangent_points_are_bounded_or_given_up(tangent: tuple[float, float]) -> None:
    chip = distorted_chip((100, 100))
    near = north_up_grid([chip])
    assert_holds_every_corner(chip, OutputGrid(tangent, near.crpix, near.cd, near.shape))


def test_what_is_behind_the_plane_reaches_nothing_and_the_rim_everything() -> None:
    chip = plain_chip((64, 64))
    behind = reach_on(chip, OutputGrid((330.0, -2.0), (1.0, 1.0), (-1e-5, 0.0, 0.0, 1e-5), (9, 9)))
    assert behind.blocks(0, 9, 9) == []
    rim = reach_on(chip, OutputGrid((240.0, 0.0), (1.0, 1.0), (-1e-5, 0.0, 0.0, 1e-5), (9, 9)))
    assert rim.blocks(0, 9, 9) == [(0, 32, 0, 64), (32, 64, 0, 64)]


def test_blocks_follow_the_rows_of_the_output() -> None:
    chip = plain_chip((128, 96))
    grid = north_up_grid([chip])
    reach = reach_on(chip, grid)
    assert reach.blocks(0, 10, grid.shape[1]) == [(0, 32, 0, 96)]
    assert reach.blocks(500, 600, grid.shape[1]) == []
    # East is left: the first columns of this chip are the left of the output.
    assert reach.blocks(70, 80, 20) == [(64, 96, 0, 32)]
