"""A chip moved by a transformation of the sky maps its pixels to the transformed old positions."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import (
    PlaneFit,
    TangentPlane,
    moved_chip,
    moved_solution,
    sky_matrix,
    sky_positions,
    unit_vectors,
)
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import ChipWcs
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data import data_file

CORNERS = np.array([[0.0, 0.0], [4095.0, 0.0], [4095.0, 2047.0], [0.0, 2047.0], [2000.0, 900.0]])


def wide_chip(ra: float, dec: float) -> ChipWcs:
    """An ACS/WFC-like chip with strong quadratic distortion."""
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], a[1, 1], b[0, 2], b[1, 1] = 8e-6, -5e-6, 7e-6, 6e-6
    return ChipWcs(1, 2, (2048, 4096), (2048.0, 1024.0), (ra, dec), (1.2e-5, 6e-6, 5e-6, -1.3e-5),
                   ("RA---TAN-SIP", "DEC--TAN-SIP"), a, b)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    ra=st.floats(0, 359.9),
    dec=st.floats(-89.9, 89.9),
    shift=st.tuples(st.floats(-6, 6), st.floats(-6, 6)),
    roll=st.floats(-0.2, 0.2),
    scale=st.floats(0.999, 1.001),
    away=st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
)
def test_moved_chip_is_exact(
    ra: float,
    dec: float,
    shift: tuple[float, float],
    roll: float,
    scale: float,
    away: tuple[float, float],
) -> None:
    chip = wide_chip(ra, dec)
    middle = TangentPlane(ra, dec).deproject(np.array([away]))
    plane = TangentPlane(*(float(v[0]) for v in sky_positions(middle)))
    matrix = sky_matrix(PlaneFit.similarity(np.array(shift), roll, scale), plane)
    old = unit_vectors(*pixel_to_sky(chip, CORNERS[:, 0], CORNERS[:, 1]))
    expected = old @ matrix.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    new = unit_vectors(*pixel_to_sky(moved_chip(chip, matrix), CORNERS[:, 0], CORNERS[:, 1]))
    assert np.degrees(np.max(np.linalg.norm(new - expected, axis=1))) < 1e-10


def test_matrix_follows_the_plane_fit() -> None:
    plane = TangentPlane(6.02, -72.08)
    points = np.random.default_rng(1).uniform(-100, 100, (50, 2))
    fit = PlaneFit.similarity(np.array([3.0, -4.0]), 0.05, 1.0003)
    moved = plane.project(plane.deproject(points) @ sky_matrix(fit, plane).T)
    assert np.max(np.abs(moved - fit(points))) < 4e-6  # arcsec: 1e-9 degree


def test_plane_agrees_with_astropy() -> None:
    plane = TangentPlane(359.99, 65.0)
    sky = SkyCoord([0.02, 359.95], [65.01, 64.98], unit="deg")
    frame = SkyCoord(359.99, 65.0, unit="deg").skyoffset_frame()
    offset = sky.transform_to(frame)
    lon, lat = offset.lon.to_value(u.rad), offset.lat.to_value(u.rad)
    expected = 206264.80624709636 * np.column_stack([np.tan(lon), np.tan(lat) / np.cos(lon)])
    assert np.allclose(plane.project_sky(sky.ra.deg, sky.dec.deg), expected, atol=1e-9)


def test_composition_of_fits() -> None:
    first = PlaneFit.similarity(np.array([1.0, 2.0]), 0.1, 1.001)
    second = PlaneFit.similarity(np.array([-0.3, 0.4]), -0.02, 0.9995)
    points = np.random.default_rng(2).uniform(-50, 50, (10, 2))
    assert np.allclose(second.after(first)(points), second(first(points)), atol=1e-12)
    assert first.roll_deg == pytest.approx(0.1, abs=1e-12)
    assert first.scale == pytest.approx(1.001, abs=1e-12)


@pytest.mark.parametrize(
    "name", ["hrc_47tuc/j8bt06nyq_flt.fits", "headers/2chipA_old.fits.gz", "headers/2chipC_old.fits.gz"]
)
def test_real_solutions_move_rigidly(name: str) -> None:
    solution = read_solutions(data_file(name))[0].solution
    plane = TangentPlane(*solution.chips[0].crval)
    matrix = sky_matrix(PlaneFit.similarity(np.array([1.7, -0.5]), 0.05, 1.0003), plane)
    moved = moved_solution(solution, matrix)
    for old, new in zip(solution.chips, moved.chips, strict=True):
        ny, nx = old.shape
        x, y = np.array([0.0, nx - 1, nx - 1, 0.0]), np.array([0.0, 0.0, ny - 1, ny - 1])
        expected = unit_vectors(*pixel_to_sky(old, x, y)) @ matrix.T
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        got = unit_vectors(*pixel_to_sky(new, x, y))
        assert np.degrees(np.max(np.linalg.norm(got - expected, axis=1))) < 1e-9
        assert new.sip_a is old.sip_a
        assert new.npol == old.npol
