"""Whether an image is trailed: a guide-star failure draws every source out in one direction.

The measure is the elongation that the sources have in common. Galaxies and cosmic rays point anywhere
and cancel in the median; a drift of the telescope does not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hapctl.processing.astrometry.detection import Detections

Array = NDArray[np.float64]

WINDOW = 3.0
"""Sigma of the weight in which moments are taken, pixels."""
RADIUS = 8
LEAST_SOURCES, MOST_SOURCES = 8, 200
TRAILED = 1.5
"""Elongation beyond any focus or filter of the cameras."""


def image_elongation(image: NDArray[np.float32], x: Array, y: Array, flux: Array) -> tuple[float, float]:
    """Long over short axis common to the brightest sources, and the direction of the long one.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Background-subtracted.
    x, y, flux : ndarray, shape (n,)
        Sources, 0-based pixels.

    Returns
    -------
    tuple of float
        Ratio (1 where fewer than 8 sources lie clear of the edges), degrees from x towards y.
    """
    ny, nx = image.shape
    column, row = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    inside = np.minimum.reduce([column, row, nx - 1 - column, ny - 1 - row]) >= RADIUS
    best = np.flatnonzero(inside & (flux > 0))
    best = best[np.argsort(-flux[best], kind="stable")[:MOST_SOURCES]]
    if len(best) < LEAST_SOURCES:
        return 1.0, 0.0
    return _common_axes(*_moments(image, column[best], row[best]))


def is_trailed(chips: Sequence["Detections"], limit: float = TRAILED) -> bool:
    """Whether the chips of an exposure show that the telescope moved.

    Parameters
    ----------
    chips : sequence of Detections
        Of all chips of one exposure.
    limit : float
        Elongation that no still image has.

    Returns
    -------
    bool
        True if every chip that can tell (an elongation other than 1) is elongated beyond the limit.
    """
    told = [chip.elongation for chip in chips if chip.elongation != 1.0]
    return bool(told) and min(told) > limit


def _moments(
    image: NDArray[np.float32], column: NDArray[np.intp], row: NDArray[np.intp]
) -> tuple[Array, Array, Array]:
    """Second moments (xx, yy, xy) of each source under a Gaussian window that follows its centroid."""
    steps = np.arange(-RADIUS, RADIUS + 1)
    data = image[row[:, None, None] + steps[:, None], column[:, None, None] + steps].astype(np.float64)
    border = np.concatenate([data[:, 0], data[:, -1], data[:, :, 0], data[:, :, -1]], axis=1)
    data -= np.median(border, axis=1)[:, None, None]
    centre_x, centre_y = np.zeros(len(column)), np.zeros(len(column))
    for _ in range(4):
        dx, dy = steps - centre_x[:, None, None], steps[:, None] - centre_y[:, None, None]
        weighted = data * np.exp(-0.5 * (dx * dx + dy * dy) / WINDOW**2)
        total = np.maximum(weighted.sum(axis=(1, 2)), 1e-30)
        # Twice the step: the window holds the centroid back by about half.
        centre_x = np.clip(centre_x + 2.0 * (weighted * dx).sum(axis=(1, 2)) / total, -4, 4)
        centre_y = np.clip(centre_y + 2.0 * (weighted * dy).sum(axis=(1, 2)) / total, -4, 4)
    xx, yy, xy = ((weighted * m).sum(axis=(1, 2)) / total for m in (dx * dx, dy * dy, dx * dy))
    return xx, yy, xy


def _common_axes(xx: Array, yy: Array, xy: Array) -> tuple[float, float]:
    """Ratio and direction of the axes of the median moments, the window's own width taken out."""
    windowed = np.array([[np.median(xx), np.median(xy)], [np.median(xy), np.median(yy)]])
    widths, axes = np.linalg.eigh(windowed)
    # A Gaussian of variance v is seen through the window as one of v w / (v + w).
    widths = np.clip(widths, 0.05, 0.95 * WINDOW**2)
    widths = widths / (1.0 - widths / WINDOW**2)
    angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    return float(np.sqrt(widths[1] / widths[0])), float((angle + 90.0) % 180.0 - 90.0)
