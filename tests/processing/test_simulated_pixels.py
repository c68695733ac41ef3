"""Pixels of the simulator: light is conserved, noise is what its sources say, full wells spill."""

import numpy as np
import pytest
from hapctl.processing.simulation.acs_wfc import ACS_WFC, CHIPS
from hapctl.processing.simulation.camera import DQ_BAD_PIXEL, DQ_HOT, DQ_SATURATED, read_noise_map, stream
from hapctl.processing.simulation.exposure_pixels import ChipPixels, bloom, expose
from hapctl.processing.simulation.rendering import Placement, add_galaxies, add_star, psf_widths
from hapctl.processing.simulation.sky_sources import make_galaxies
from hypothesis import given, settings
from hypothesis import strategies as st

SKY = 50.0
FULL_WELL_ELECTRONS, PSF = ACS_WFC.full_well, ACS_WFC.psf_components


@pytest.fixture(scope="module")
def blank() -> ChipPixels:
    return expose(np.full((512, 1024), SKY), ACS_WFC, CHIPS[0], 100.0, stream("test", 1))


def test_blank_sky_has_photon_and_read_noise(blank: ChipPixels) -> None:
    good = (blank.dq == 0) & ~blank.cosmic_rays
    noise = read_noise_map(ACS_WFC, CHIPS[0], 1024)
    for half in (np.s_[:, :512], np.s_[:, 512:]):
        values = blank.sci[half][good[half]].astype(float)
        expected = SKY + float(noise[half[1]][0]) ** 2
        assert values.mean() == pytest.approx(SKY, abs=0.1)
        assert values.var() == pytest.approx(expected, rel=0.02)
    assert noise[0] != noise[-1]


def test_the_error_array_is_the_noise(blank: ChipPixels) -> None:
    good = (blank.dq == 0) & ~blank.cosmic_rays
    assert np.std((blank.sci[good] - SKY) / np.sqrt(SKY + 4.6**2)) == pytest.approx(1.0, abs=0.05)
    variance = np.maximum(blank.sci, 0) + read_noise_map(ACS_WFC, CHIPS[0], 1024) ** 2
    assert blank.err == pytest.approx(np.sqrt(variance), rel=1e-5)


def test_defects_are_flagged_and_stay_with_the_detector(blank: ChipPixels) -> None:
    again = expose(np.full((512, 1024), SKY), ACS_WFC, CHIPS[0], 100.0, stream("test", 2))
    for flag, share in ((DQ_HOT, (5e-4, 5e-3)), (DQ_BAD_PIXEL, (5e-4, 5e-3))):
        where = (blank.dq & flag) != 0
        assert share[0] < where.mean() < share[1]
        assert np.array_equal(where, (again.dq & flag) != 0)
    hot = (blank.dq & DQ_HOT) != 0
    quiet = (blank.dq == 0) & ~blank.cosmic_rays
    assert np.std(blank.sci[hot & ~blank.cosmic_rays]) > 1.5 * np.std(blank.sci[quiet])
    assert blank.sci[(blank.dq & DQ_BAD_PIXEL) != 0].mean() < SKY / 2


@settings(max_examples=50, deadline=None)
@given(
    peaks=st.lists(st.tuples(st.integers(0, 99), st.floats(0, 2e6)), min_size=1, max_size=5),
    sky=st.floats(0, 200),
)
def test_blooming_keeps_the_charge_within_the_column(peaks: list[tuple[int, float]], sky: float) -> None:
    electrons = np.full((100, 3), sky, dtype=np.float32)
    for row, charge in peaks:
        electrons[row, 1] += np.float32(charge)
    before = electrons.astype(np.float64).sum()
    capacity = 100 * FULL_WELL_ELECTRONS
    dq = np.zeros((100, 3), dtype=np.int16)
    bloom(electrons, dq, FULL_WELL_ELECTRONS)
    assert electrons.max() <= FULL_WELL_ELECTRONS
    assert np.array_equal((dq & DQ_SATURATED) != 0, electrons >= FULL_WELL_ELECTRONS)
    assert (electrons[:, (0, 2)] == np.float32(sky)).all()
    kept = electrons.astype(np.float64).sum()
    expected = min(before, capacity + 2 * 100 * float(np.float32(sky)))
    assert kept == pytest.approx(expected, rel=1e-5)


def test_a_bleeding_star_spills_both_ways() -> None:
    electrons = np.zeros((101, 1), dtype=np.float32)
    electrons[50] = 11 * FULL_WELL_ELECTRONS
    dq = np.zeros((101, 1), dtype=np.int16)
    bloom(electrons, dq, FULL_WELL_ELECTRONS)
    rows = np.flatnonzero(dq[:, 0])
    assert (rows.min(), rows.max()) == (45, 55)


@settings(max_examples=40, deadline=None)
@given(x=st.floats(60, 140), y=st.floats(60, 140), electrons=st.floats(10, 1e6))
def test_a_stars_light_and_centre_are_its_own(x: float, y: float, electrons: float) -> None:
    image = np.zeros((201, 201))
    add_star(image, x, y, electrons, psf_widths(x, y, image.shape, 1.0), PSF)
    rows, columns = np.mgrid[:201, :201]
    assert 0.94 < image.sum() / electrons < 1.0 + 1e-12
    assert (image * columns).sum() / image.sum() == pytest.approx(x, abs=0.03)
    assert (image * rows).sum() / image.sum() == pytest.approx(y, abs=0.03)


def test_bright_stars_lose_no_light_to_their_stamps() -> None:
    image = np.zeros((201, 201))
    add_star(image, 100.3, 99.8, 5e6, (1.0, 1.0), PSF)
    assert image.sum() == pytest.approx(5e6, rel=1e-6)
    assert 0.15 < image.max() / 5e6 < 0.25


def test_a_star_outside_leaves_only_its_wing() -> None:
    image = np.zeros((50, 50))
    add_star(image, -3.0, 25.0, 1e5, (1.0, 1.0), PSF)
    assert 0 < image.sum() < 1e4
    add_star(image, -500.0, 25.0, 1e5, (1.0, 1.0), PSF)
    assert image.sum() < 1e4


def test_the_psf_changes_over_the_field() -> None:
    widths = np.array([psf_widths(x, y, (2048, 4096), 1.0) for x in (0, 2048, 4095) for y in (0, 1024, 2047)])
    assert 0.04 < np.ptp(widths[:, 0]) < 0.2
    assert 0.04 < np.ptp(widths[:, 1]) < 0.2


def test_galaxies_keep_their_light_and_their_place() -> None:
    galaxies = make_galaxies(1, 150.0, 2.0, 0.01, 5)
    jacobian = np.array([[[-0.05, 0.002], [0.001, 0.048]]])
    for i in range(5):
        image = np.zeros((301, 301))
        spot = Placement(np.array([i]), np.array([150.25]), np.array([149.5]), jacobian, 0.05)
        add_galaxies(image, galaxies, spot, np.array([1e4]), 1.0)
        rows, columns = np.mgrid[:301, :301]
        assert image.sum() == pytest.approx(1e4, rel=1e-6)
        assert (image * columns).sum() / image.sum() == pytest.approx(150.25, abs=0.05)
        assert (image * rows).sum() / image.sum() == pytest.approx(149.5, abs=0.05)
