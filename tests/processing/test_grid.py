"""Output grids: pixels shared, edges covered, everywhere on the sky; agreement with astropy."""

import numpy as np
import pytest
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.imaging.grid import (
    OutputGrid,
    chip_edges,
    covered_window,
    map_to_grid,
    native_scale,
    north_up_grid,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data import data_file
from support.synthetic_chips import distorted_chip, plain_chip

PLACES = [(0.0, 0.0), (359.9999, -45.0), (0.0001, 30.0), (120.0, 90.0), (10.0, -90.0), (77.0, 89.9995)]


def assert_covers(grid: OutputGrid, chips: list) -> None:
    """All edges lie inside, and no side of the grid is wider than the chips need."""
    positions = [map_to_grid(chip, grid, *chip_edges(chip)) for chip in chips]
    x = np.concatenate([one for one, _ in positions])
    y = np.concatenate([one for _, one in positions])
    ny, nx = grid.shape
    for value, size in ((x, nx), (y, ny)):
        assert -0.5 - 1e-9 <= value.min() < 0.5 + 1e-6
        assert size - 1.5 - 1e-6 < value.max() <= size - 0.5 + 1e-9


@pytest.mark.parametrize("crval", PLACES)
def test_a_grid_covers_its_chips_at_ra_zero_and_at_the_poles(crval: tuple[float, float]) -> None:
    chips = [distorted_chip(crval=crval), distorted_chip(crval=crval, angle_deg=75.0)]
    grid = north_up_grid(chips)
    assert grid.scale_arcsec == pytest.approx(0.05, rel=1e-12)
    assert_covers(grid, chips)
    middle = (grid.shape[1] + 1) / 2, (grid.shape[0] + 1) / 2
    assert np.abs(np.subtract(grid.crpix, middle)).max() <= 1.0


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90), st.floats(0, 360), st.floats(0.03, 0.2))
def test_coverage_property(ra: float, dec: float, angle: float, scale: float) -> None:
    chips = [distorted_chip(crval=(ra, dec), angle_deg=angle)]
    grid = north_up_grid(chips, scale)
    assert_covers(grid, chips)
    assert float(grid.crpix[0]).is_integer()
    assert float(grid.crpix[1]).is_integer()


def test_north_is_up_and_east_left() -> None:
    grid = north_up_grid([plain_chip(crval=(0.0, 10.0))])
    x, y = grid.sky_to_pixel([0.001, 0.0], [10.0, 10.001])
    assert x[0] < grid.crpix[0] - 1 < x[1] + 1e-6
    assert y[1] > grid.crpix[1] - 1
    assert grid.cd[1] == grid.cd[2] == 0.0


@pytest.mark.parametrize("crval", PLACES)
def test_pixels_and_sky_agree_with_astropy(crval: tuple[float, float]) -> None:
    grid = OutputGrid(crval, (120.0, 80.0), (-1.2e-5, 2e-6, 2e-6, 1.2e-5), (200, 300))
    x, y = np.random.default_rng(5).uniform(0, 200, (2, 100))
    ra, dec = grid.pixel_to_sky(x, y)
    np.testing.assert_allclose(grid.wcs().wcs_world2pix(ra, dec, 0), (x, y), rtol=0, atol=3e-7)
    np.testing.assert_allclose(grid.sky_to_pixel(ra, dec), (x, y), rtol=0, atol=3e-7)
    assert grid.wcs().array_shape == (200, 300)


def test_a_cut_keeps_the_pixels() -> None:
    grid = north_up_grid([distorted_chip()])
    part = grid.cut(10, 60, 20, 100)
    assert part.shape == (50, 80)
    np.testing.assert_allclose(part.pixel_to_sky(5.0, 7.0), grid.pixel_to_sky(25.0, 17.0), rtol=0, atol=1e-13)
    with pytest.raises(UsageProblemError, match="no pixels"):
        grid.cut(10, 10, 0, 5)


def test_the_covered_window_is_what_the_chips_touch() -> None:
    chip = distorted_chip()
    grid = north_up_grid([chip])
    assert covered_window(grid, [chip]) == (0, grid.shape[0], 0, grid.shape[1])
    wide = OutputGrid(grid.crval, (grid.crpix[0] + 31, grid.crpix[1] + 17), grid.cd, (900, 900))
    assert covered_window(wide, [chip]) == (17, 17 + grid.shape[0], 31, 31 + grid.shape[1])
    half = grid.cut(0, 40, 0, grid.shape[1])
    window = covered_window(half, [chip])
    assert window is not None
    assert window[:2] == (0, 40)
    elsewhere = OutputGrid((151.0, 2.0), grid.crpix, grid.cd, grid.shape)
    opposite = OutputGrid((330.0, -2.0), grid.crpix, grid.cd, grid.shape)
    assert covered_window(elsewhere, [chip]) is None
    assert covered_window(opposite, [chip]) is None


def test_chips_far_apart_and_bad_scales_are_refused() -> None:
    with pytest.raises(UnusableFileError, match="degrees"):
        north_up_grid([plain_chip(crval=(0.0, 0.0)), plain_chip(crval=(130.0, 0.0))])
    with pytest.raises(UsageProblemError, match="scale"):
        north_up_grid([plain_chip()], 0.0)
    with pytest.raises(UsageProblemError, match="no chips"):
        north_up_grid([])


def test_the_native_scale_is_idcscale_not_the_cd_matrix() -> None:
    chip = read_solutions(data_file("hrc_47tuc/j8bt06nyq_flt.fits"))[0].solution.chips[0]
    assert native_scale(chip) == chip.idcscale == 0.025
    # 12 % of flux on the HRC.
    assert 3600 * np.sqrt(abs(np.linalg.det(chip.cd_matrix))) / native_scale(chip) == pytest.approx(
        1.06, abs=0.02
    )


def test_distortion_without_a_scale_is_refused() -> None:
    from dataclasses import replace

    assert native_scale(replace(plain_chip(), idcscale=None)) == pytest.approx(0.05)
    with pytest.raises(UnusableFileError, match="IDCSCALE"):
        native_scale(replace(distorted_chip(), idcscale=None))


def test_real_chips_fall_on_the_grid_where_the_sky_puts_them() -> None:
    chip = read_solutions(data_file("hrc_47tuc/j8bt06nyq_flt.fits"))[0].solution.chips[0]
    grid = north_up_grid([chip])
    x, y = np.random.default_rng(2).uniform(0, 1023, (2, 500))
    direct = map_to_grid(chip, grid, x, y)
    around = grid.sky_to_pixel(*pixel_to_sky(chip, x, y))
    np.testing.assert_allclose(direct, around, rtol=0, atol=1e-7)
    assert_covers(grid, [chip])
