"""Stars as an aperture shows them: rings, true undersampling, a shape that changes over the chip.

In place of the sums of Gaussians of `rendering`, for tests of positions: the pattern of an obstructed
circular aperture (Born & Wolf, 8.5), drawn out along the chip's diagonals by an amount that depends on the
place, smeared by the diffusion of charge, summed over the pixels. It is symmetric, so that a star's place is
its centre.
"""

import numpy as np
from hapctl.processing.simulation.camera import Camera
from hapctl.processing.simulation.rendering import STAMP_RADII, Placement
from hapctl.processing.simulation.sky_sources import Floats
from numpy.typing import NDArray

APERTURE_METRES, OBSTRUCTION = 2.4, 0.33
DIFFUSION = {"WFC": 0.45, "UVIS": 0.40, "IR": 0.20}
"""Sigma of the charge's diffusion, pixels."""
FINE = 5
ARCSEC_PER_RADIAN = 206264.806


def resolution_pixels(camera: Camera, photplam: float) -> float:
    """Lambda / D in pixels, for a wavelength in Angstrom."""
    return photplam * 1e-10 / APERTURE_METRES * ARCSEC_PER_RADIAN / camera.plate_scale


def stretch(x: float, y: float, shape: tuple[int, int]) -> tuple[float, float]:
    """Relative widths of the pattern along the two diagonals at a place on the chip, some 6 % from 1."""
    u, v = 2.0 * x / shape[1] - 1.0, 2.0 * y / shape[0] - 1.0
    return 1.0 + 0.04 * u * v + 0.03 * u, 1.0 + 0.05 * v * v - 0.03 * u


def pattern(offset_x: Floats, offset_y: Floats, resolution: float, widths: tuple[float, float]) -> Floats:
    """Light per square pixel at offsets from a star, for unit total light.

    Parameters
    ----------
    offset_x, offset_y : ndarray
        Pixels; they are broadcast.
    resolution : float
        Lambda / D, pixels.
    widths : tuple of float
        Relative widths along the diagonals.
    """
    from scipy.special import j1

    along, across = (offset_x + offset_y) / widths[0], (offset_x - offset_y) / widths[1]
    z = np.maximum(np.pi * np.hypot(along, across) / np.sqrt(2.0) / resolution, 1e-9)
    amplitude = 2.0 * (j1(z) - OBSTRUCTION * j1(OBSTRUCTION * z)) / z / (1.0 - OBSTRUCTION**2)
    peak = np.pi / 4.0 * (1.0 - OBSTRUCTION**2) / resolution**2 / (widths[0] * widths[1])
    return np.asarray(peak * amplitude**2)


def add_diffracted_stars(
    image: NDArray[np.float64], placement: Placement, electrons: Floats, camera: Camera, photplam: float
) -> None:
    """Add the stars of a placement (in place), as `rendering.add_stars` does with Gaussians."""
    resolution = resolution_pixels(camera, photplam)
    for x, y, light in zip(placement.x.tolist(), placement.y.tolist(), electrons.tolist(), strict=True):
        _add(image, x, y, light, resolution, DIFFUSION[camera.detector])


def _add(
    image: NDArray[np.float64], x: float, y: float, light: float, resolution: float, diffusion: float
) -> None:
    from scipy.ndimage import gaussian_filter

    radius = STAMP_RADII[int(np.searchsorted((3e3, 3e5, 1e7), light))]
    ny, nx = image.shape
    y0, y1 = max(0, round(y) - radius), min(ny, round(y) + radius + 1)
    x0, x1 = max(0, round(x) - radius), min(nx, round(x) + radius + 1)
    if y0 >= y1 or x0 >= x1:
        return
    margin = 2 * FINE
    fine_x = (np.arange(-margin, (x1 - x0) * FINE + margin) + 0.5) / FINE - 0.5 + x0 - x
    fine_y = (np.arange(-margin, (y1 - y0) * FINE + margin) + 0.5) / FINE - 0.5 + y0 - y
    values = pattern(fine_x[None, :], fine_y[:, None], resolution, stretch(x, y, image.shape))
    smeared = gaussian_filter(values, diffusion * FINE)[margin:-margin, margin:-margin]
    image[y0:y1, x0:x1] += light * smeared.reshape(y1 - y0, FINE, x1 - x0, FINE).mean(axis=(1, 3))
