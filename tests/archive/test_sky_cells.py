"""The tessellation: names, grids, and which tiles hold a position or a polygon."""

import numpy as np
import pytest
from astropy.wcs import WCS
from hapctl.archive.errors import CatalogUsageError, NotInCatalogError
from hapctl.archive.sky_cells import (
    BANDS,
    SkyCell,
    cells_containing,
    cells_overlapping,
    projection_cells,
    sky_cell,
    sky_cell_of_id,
)
from hapctl.processing.astrometry.footprint import solution_polygons
from hapctl.processing.astrometry.reading import read_solutions
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data import data_file

POSITIONS = st.tuples(st.floats(0, 359.999999), st.floats(-90, 90))


def _wcs(cell: SkyCell) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = cell.crval, cell.crpix
    wcs.wcs.cd = np.reshape(cell.cd, (2, 2))
    return wcs


@pytest.mark.parametrize(
    ("ra", "dec", "names"),
    [  # from running drizzlepac 3.11.0 on a 10 x 10 pixel exposure at each position
        (0.0, 0.0, "p1232x11y19 p1322x11y03"),
        (359.98, 0.0, "p1232x11y19 p1322x11y03"),
        (10.68, 41.27, "p2159x11y08"),
        (150.1, 2.2, "p1359x02y12 p1360x19y12"),
        (189.2, 62.2, "p2477x01y12 p2478x16y12"),
        (266.4168, -29.0078, "p0693x03y15 p0694x20y15"),
        (2.0, 0.0, "p1232x03y19 p1233x19y19 p1322x03y03 p1323x19y03"),
        (357.9, 2.0, "p1322x20y11 p1411x03y11"),
        (0.0, 90.0, "p2643x11y11"),
        (123.0, -90.0, "p0000x11y11"),
    ],
)
def test_positions_of_the_reference(ra: float, dec: float, names: str) -> None:
    assert [cell.name for cell in cells_containing(ra, dec)] == [f"skycell-{name}" for name in names.split()]


def test_the_tessellation_is_complete() -> None:
    cells = projection_cells()
    assert len(cells) == 2644
    assert len(BANDS) == 46
    assert [cell.number for cell in cells] == list(range(2644))
    assert (cells[1889].ra, cells[1889].dec) == (180.0, 26.0)
    assert [cell.dec for cell in (cells[1232], cells[1322])] == [-2.0, 2.0]


@pytest.mark.parametrize(
    ("name", "crval", "crpix"),
    [
        ("p0121x12y16", (138.46153846, -66.0), (-10718.0, -96486.0)),
        ("skycell-p1889x07y19", (180.0, 26.0), (96492.0, -160812.0)),
    ],
)
def test_published_grids(name: str, crval: tuple[float, float], crpix: tuple[float, float]) -> None:
    cell = sky_cell(name)
    np.testing.assert_allclose(cell.crval, crval, atol=1e-8)
    assert (cell.crpix, cell.shape) == (crpix, (21954, 21954))
    assert sky_cell_of_id(cell.cell_id) == cell
    centre = _wcs(cell).all_pix2world([[10977.5, 10977.5]], 1)[0]
    np.testing.assert_allclose(cell.centre, centre, atol=1e-10)
    edges = _wcs(cell).all_pix2world([[0.5, 0.5], [21954.5, 0.5], [21954.5, 21954.5], [0.5, 21954.5]], 1)
    assert {tuple(np.round(corner, 9)) for corner in cell.corners} == {
        tuple(np.round(edge, 9)) for edge in edges
    }


@settings(max_examples=200)
@given(POSITIONS)
def test_every_position_is_in_a_tile_whose_grid_holds_it(position: tuple[float, float]) -> None:
    cells = cells_containing(*position)
    assert cells
    assert len({cell.name for cell in cells}) == len(cells)
    for cell in cells:
        x, y = _wcs(cell).all_world2pix([position], 1)[0]
        assert 0.5 - 1e-6 <= x < 21954.5 + 1e-6
        assert 0.5 - 1e-6 <= y < 21954.5 + 1e-6


@settings(max_examples=30)
@given(POSITIONS)
def test_no_tile_is_missed(position: tuple[float, float]) -> None:
    """Against every projection cell by astropy's own projection."""
    found = {cell.name for cell in cells_containing(*position)}
    for plane in projection_cells():
        corner = SkyCell(plane, 1, 1)
        separation = _separation(position, (plane.ra, plane.dec))
        if separation > 4.0:
            continue
        x, y = _wcs(corner).all_world2pix([position], 1)[0]
        for column in range(1, 22):
            for row in range(1, 22):
                px, py = x - (column - 1) * 21442, y - (row - 1) * 21442
                if 0.6 <= px < 21954.4 and 0.6 <= py < 21954.4:
                    assert SkyCell(plane, column, row).name in found


def _separation(one: tuple[float, float], other: tuple[float, float]) -> float:
    (ra1, dec1), (ra2, dec2) = np.radians(one), np.radians(other)
    cosine = np.sin(dec1) * np.sin(dec2) + np.cos(dec1) * np.cos(dec2) * np.cos(ra1 - ra2)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def test_the_edge_of_a_grid_is_half_open() -> None:
    cell = sky_cell("p1889x07y19")
    inside = _wcs(cell).all_pix2world([[21954.4999, 10000.0]], 1)[0]
    outside = _wcs(cell).all_pix2world([[21954.5001, 10000.0]], 1)[0]
    assert cell in cells_containing(*inside)
    assert cell not in cells_containing(*outside)


def test_neighbours_overlap_by_512_pixels() -> None:
    left, right = sky_cell("p1889x07y19"), sky_cell("p1889x08y19")
    x = _wcs(right).all_world2pix(_wcs(left).all_pix2world([[21954.0, 5.0]], 1), 1)[0, 0]
    assert x == pytest.approx(512.0, abs=1e-5)


@pytest.mark.parametrize("position", [(float("nan"), 0.0), (0.0, 91.0), (float("inf"), 0.0)])
def test_what_is_no_position(position: tuple[float, float]) -> None:
    with pytest.raises(CatalogUsageError):
        cells_containing(*position)


@pytest.mark.parametrize("name", ["p9999x01y01", "p0001x22y01", "p0001x00y01", "tile", "p2644x01y01"])
def test_what_is_no_tile(name: str) -> None:
    with pytest.raises(NotInCatalogError):
        sky_cell(name)


@pytest.mark.parametrize(
    ("rootname", "tiles"),
    [
        ("j8bt06nyq", "p0046x03y19 p0047x20y18 p0073x03y02 p0074x17y02"),
        ("j8bt06o6q", "p0046x03y19 p0047x20y18 p0073x03y02 p0074x17y02"),
        ("j8bt05njq", "p0046x03y19 p0047x20y18 p0073x03y02 p0074x17y02"),
        ("j8bt09jcq", "p0046x03y19 p0047x20y18 p0047x20y19 p0073x03y02 p0074x17y02"),
    ],
)
def test_the_tiles_of_47_tuc(rootname: str, tiles: str) -> None:
    solution = read_solutions(data_file(f"hrc_47tuc/{rootname}_flt.fits"))[0].solution
    found = cells_overlapping(solution_polygons(solution))
    assert [cell.name for cell, _ in found] == [f"skycell-{name}" for name in tiles.split()]


@pytest.mark.parametrize("name", ["ipppssoot_flt", "ipppssoot_flc", "svm_flt", "svm_flc"])
def test_the_tile_drizzlepac_names_for_the_samples(name: str) -> None:
    solution = read_solutions(data_file(f"headers/sample_{name}.fits"))[0].solution
    assert [cell.name for cell, _ in cells_overlapping(solution_polygons(solution))] == [
        "skycell-p0121x12y16"
    ]


@settings(max_examples=25, deadline=None)
@given(st.floats(-100, 22_000), st.floats(-100, 22_000), st.floats(5, 8000))
def test_fractions_are_areas(x: float, y: float, size: float) -> None:
    """A square in a tile's pixels: the part inside is a product of two lengths."""
    cell = sky_cell("p1889x11y11")
    corners = np.array([(x, y), (x + size, y), (x + size, y + size), (x, y + size)])
    polygon = _wcs(cell).all_pix2world(corners, 1)
    inside = [max(0.0, min(v + size, 21954.5) - max(v, 0.5)) / size for v in (x, y)]
    fractions = {found.name: fraction for found, fraction in cells_overlapping([polygon])}
    assert fractions.get(cell.name, 0.0) == pytest.approx(inside[0] * inside[1], abs=1e-6)
    assert sum(fractions.values()) >= 1.0 - 1e-9


def test_several_polygons_share_one_area() -> None:
    cell = sky_cell("p1889x11y11")
    wcs = _wcs(cell)
    squares = [
        wcs.all_pix2world(np.array([(x, y) for x, y in ((0, 0), (0, 100), (100, 100), (100, 0))]) + offset, 1)
        for offset in ((1000, 1000), (-5000, 1000))
    ]
    fractions = {found.name: fraction for found, fraction in cells_overlapping(squares)}
    assert fractions[cell.name] == pytest.approx(0.5, abs=1e-6)
    assert cells_overlapping([]) == []
