"""Differences of solutions: known movements come back, and the sky itself agrees."""

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hapctl.processing.astrometry.figure_style import figure_bytes
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, moved_solution, sky_matrix
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.wcs_comparison import (
    PLACES,
    compare_solutions,
    difference_figure,
    sky_difference_mas,
)
from hapctl.processing.errors import UsageProblemError
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data import data_file
from support.exposure_files import two_chip_solution

SHIFTS = st.floats(-5e3, 5e3)  # mas


def moved(
    solution: WcsSolution, east: float, north: float, roll: float = 0.0, scale: float = 1.0
) -> WcsSolution:
    fit = PlaneFit.similarity(np.array([east / 1e3, north / 1e3]), roll, scale)
    return moved_solution(solution, sky_matrix(fit, TangentPlane(*solution.chips[0].crval)))


@settings(max_examples=15, deadline=None)
@given(
    st.floats(-5e3, 5e3),
    st.floats(-5e3, 5e3),
    st.floats(-0.1, 0.1),
    st.floats(-1e-3, 1e-3),
    st.floats(-88, 88),
)
def test_a_known_movement_comes_back(
    east: float, north: float, roll: float, scale: float, dec: float
) -> None:
    solution = two_chip_solution("jtest0001", position=(359.999, dec), tables=False)
    found = compare_solutions(solution, moved(solution, east, north, roll, 1.0 + scale))
    assert [point.place for point in found.points] == [*PLACES, *PLACES]
    for chip in found.chips:
        assert chip.roll_deg == pytest.approx(-roll, abs=3e-5)
        assert chip.scale == pytest.approx(1.0 + scale, abs=1e-7)
    same = compare_solutions(solution, solution)
    assert same.largest_mas == 0.0


def test_a_shift_is_the_same_everywhere() -> None:
    solution = two_chip_solution("jtest0001")
    found = compare_solutions(solution, moved(solution, 12.0, -5.0))
    for point in found.points:
        assert (point.east_mas, point.north_mas) == (
            pytest.approx(12.0, abs=0.01),
            pytest.approx(-5.0, abs=0.01),
        )
    assert found.largest_mas == pytest.approx(13.0, abs=0.01)


@pytest.mark.parametrize("origin", ["hst", "fits"])
def test_the_distance_is_that_of_astropy(origin: LookupOrigin) -> None:
    found = {str(e.location): e.solution for e in read_solutions(data_file("headers/sample_svm_flc.fits"))}
    first, second = found["HDRLET 2"], found["HDRLET 4"]
    x, y = np.random.default_rng(3).uniform(0, 9, (2, 30))
    for one, other in zip(first.chips, second.chips, strict=True):
        here, there = (SkyCoord(*pixel_to_sky(c, x, y, origin), unit="deg") for c in (one, other))
        east, north = sky_difference_mas(one, other, x, y, origin)
        np.testing.assert_allclose(np.hypot(east, north), here.separation(there).mas, rtol=2e-6)
        offsets = here.spherical_offsets_to(there)
        np.testing.assert_allclose([east, north], [offsets[0].mas, offsets[1].mas], atol=0.05)


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    solution = two_chip_solution("jtest0001")
    figure = difference_figure(solution, moved(solution, 12.0, -5.0))
    assert figure_bytes(figure, "png")[:4] == b"\x89PNG"
    assert "12.00 east" in figure.axes[0].get_title()


def test_solutions_of_other_chips_are_not_compared() -> None:
    from dataclasses import replace

    solution = two_chip_solution("jtest0001", tables=False)
    first, second = (replace(solution, chips=(chip,)) for chip in solution.chips)
    with pytest.raises(UsageProblemError, match="no chip of known size in common"):
        compare_solutions(first, second)
