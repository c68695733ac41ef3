"""Stars drawn as an aperture shows them."""

import numpy as np
import pytest
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.simulation.acs_wfc import ACS_WFC
from hapctl.processing.simulation.diffraction import add_diffracted_stars, pattern, resolution_pixels
from hapctl.processing.simulation.plan import VisitPlan, check_plan
from hapctl.processing.simulation.rendering import Placement


def drawn(x: float, y: float, light: float = 1e8) -> np.ndarray:
    """One star on 120 x 120 pixels."""
    image = np.zeros((120, 120))
    place = Placement(np.array([0]), np.array([x]), np.array([y]), np.eye(2)[None], 0.05)
    add_diffracted_stars(image, place, np.array([light]), ACS_WFC, 5922.0)
    return image / light


def test_a_star_keeps_its_light_and_its_place() -> None:
    image = drawn(60.3, 59.6)
    rows, columns = np.mgrid[:120, :120]
    assert image.sum() == pytest.approx(1.0, abs=0.01)
    assert np.sum(image * columns) / image.sum() == pytest.approx(60.3, abs=0.002)
    assert np.sum(image * rows) / image.sum() == pytest.approx(59.6, abs=0.002)


def test_the_pattern_is_undersampled_and_changes_over_the_chip() -> None:
    assert resolution_pixels(ACS_WFC, 5922.0) == pytest.approx(1.018, abs=0.01)
    # Nyquist asks for two pixels to lambda / D.
    assert drawn(12.0, 12.0).max() < 0.985 * drawn(60.0, 60.0).max()


def test_the_first_dark_ring_is_where_theory_puts_it() -> None:
    radius = np.linspace(0.8, 1.4, 601)
    values = pattern(radius, np.zeros(601), 1.0, (1.0, 1.0))
    # Born & Wolf, 8.5: the obstruction of a third draws it in from 1.22 to about 1.1.
    assert radius[np.argmin(values)] == pytest.approx(1.11, abs=0.03)


def test_an_unknown_psf_is_refused() -> None:
    with pytest.raises(UsageProblemError, match="no such PSF"):
        check_plan(VisitPlan(psf="square"))
