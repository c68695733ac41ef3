"""The grids of a visit: one tangent point for all detectors, nested pixels on the lattice of a tile."""

import math

import numpy as np
import pytest
from hapctl.archive.sky_cells import SkyCell, cells_containing, nearest_cell
from hapctl.processing.imaging.grid import OutputGrid, chip_edges, map_to_grid
from hapctl.processing.imaging.visit_grid import coarse_grid, lattice_grid, native_grids, nested_grids
from hypothesis import given, settings
from hypothesis import strategies as st
from support.synthetic_chips import distorted_chip

PLACES = [(0.0, 0.0), (359.9999, -45.0), (0.0001, 30.0), (120.0, 89.99), (10.0, -89.99), (77.0, 89.9995)]
SCALES = {"UVIS": 0.04, "IR": 0.128}


def chips_at(ra: float, dec: float) -> dict[str, list]:  # type: ignore[type-arg]
    """Two detectors of a visit whose fields lie beside each other, at different rolls."""
    return {
        "UVIS": [distorted_chip(crval=(ra, dec), angle_deg=20.0), distorted_chip(crval=(ra, dec))],
        "IR": [distorted_chip(crval=(ra, max(dec - 0.02, -90.0)), angle_deg=70.0)],
    }


def tile_grid(cell: SkyCell, coarse: bool = False) -> OutputGrid:
    """The grid of a tile by the formulas of hap_reference 4.2."""
    ratio = 1.0 / 3.0 if coarse else 1.0
    crpix = tuple((225144 - (place - 1) * 21442) * ratio for place in (cell.x, cell.y))
    step = 0.04 / 3600.0 / ratio
    side = 7318 if coarse else 21954
    return OutputGrid(cell.crval, (crpix[0], crpix[1]), (-step, 0.0, 0.0, step), (side, side))


def assert_tight(grid: OutputGrid, chips: list) -> None:  # type: ignore[type-arg]
    """All edges lie inside, and the outermost rows and columns are touched."""
    x, y = (
        np.concatenate(parts)
        for parts in zip(*(map_to_grid(chip, grid, *chip_edges(chip)) for chip in chips), strict=True)
    )
    for value, size in ((x, grid.shape[1]), (y, grid.shape[0])):
        assert -0.5 - 1e-6 <= value.min() < 0.5 + 1e-6
        assert size - 1.5 - 1e-6 < value.max() <= size - 0.5 + 1e-6


@pytest.mark.parametrize("place", PLACES)
def test_detectors_share_the_tangent_point_and_it_is_the_centre_of_a_pixel(
    place: tuple[float, float],
) -> None:
    chips = chips_at(*place)
    grids = native_grids(chips, SCALES)
    assert grids["UVIS"].crval == grids["IR"].crval
    for name, grid in grids.items():
        assert grid.scale_arcsec == pytest.approx(SCALES[name], rel=1e-12)
        assert grid.cd[1] == grid.cd[2] == 0.0
        assert all(float(value).is_integer() for value in grid.crpix)
        assert_tight(grid, chips[name])
    assert native_grids(dict(reversed(chips.items())), SCALES) == grids
    # 16 fine pixels are 5 coarse ones: there centres meet again
    fine, coarse = grids["UVIS"], grids["IR"]
    meet = coarse.pixel_to_sky(coarse.crpix[0] - 1.0 + 5.0, coarse.crpix[1] - 1.0 - 10.0)
    there = fine.pixel_to_sky(fine.crpix[0] - 1.0 + 16.0, fine.crpix[1] - 1.0 - 32.0)
    np.testing.assert_allclose(meet, there, rtol=0, atol=1e-11)


@pytest.mark.parametrize("place", PLACES[:4])
def test_nested_pixels_lie_on_those_of_the_tile(place: tuple[float, float]) -> None:
    chips = chips_at(*place)
    tile = nearest_cell(*place)
    grids = nested_grids(chips, tile_grid(tile))
    for name, coarse in (("UVIS", False), ("IR", True)):
        grid, layer = grids[name], tile_grid(tile, coarse)
        assert grid.crval == layer.crval
        np.testing.assert_allclose(grid.cd, layer.cd, rtol=1e-15)
        assert all(
            math.isclose(mine - other, round(mine - other), abs_tol=1e-9)
            for mine, other in zip(grid.crpix, layer.crpix, strict=True)
        )
        assert_tight(grid, chips[name])
    # a coarse pixel is 3 x 3 fine ones: its corners are corners of theirs
    fine, wide = grids["UVIS"], grids["IR"]
    assert wide.scale_arcsec == pytest.approx(0.12, rel=1e-12)
    x, y = fine.sky_to_pixel(*wide.pixel_to_sky([9.5, 10.5], [19.5, 20.5]))
    np.testing.assert_allclose(np.diff([x, y]), 3.0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.mod([x, y], 1.0), 0.5, rtol=0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 360), st.floats(-89.9, 89.9))
def test_the_nearest_tile_holds_the_place_and_no_other_is_nearer(ra: float, dec: float) -> None:
    def away(cell: SkyCell) -> float:
        a, d = np.radians(cell.centre)
        r, c = np.radians([ra, dec])
        return float(np.sin((d - c) / 2) ** 2 + np.cos(d) * np.cos(c) * np.sin((a - r) / 2) ** 2)

    chosen = nearest_cell(ra, dec)
    others = cells_containing(ra, dec)
    assert chosen in others
    assert away(chosen) <= min(map(away, others)) + 1e-12


def test_a_lattice_reaches_below_its_own_first_pixel() -> None:
    chip = distorted_chip(crval=(30.0, 10.0))
    lattice = OutputGrid((30.2, 10.1), (1.0, 1.0), (-0.04 / 3600, 0.0, 0.0, 0.04 / 3600), (10, 10))
    grid = lattice_grid(lattice, [chip])
    assert_tight(grid, [chip])
    assert grid.crpix[0] < 0 or grid.crpix[0] > grid.shape[1]
    assert coarse_grid(lattice).scale_arcsec == pytest.approx(0.12, rel=1e-12)
