"""PNG previews of products: asinh stretch between zscale limits, colour from two filters on.

Products are read by bands and binned down to at most 1024 pixels a side, so memory does not depend on
their size. No text is drawn.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hapctl.processing.imaging.image_planes import ImageRows
from numpy.typing import NDArray

MOST_PIXELS = 1024
_SOFTENING = 0.02
"""Fraction of the range where asinh turns from linear to logarithmic."""


def binned_image(path: Path, most_pixels: int = MOST_PIXELS) -> NDArray[np.float32]:
    """Return SCI of a product binned by whole pixels to at most ``most_pixels`` a side.

    Returns
    -------
    ndarray, shape (ny, nx), float32
        Mean of the pixels with data in each bin; NaN where there is none.
    """
    with ImageRows(path, "SCI") as science:
        height, width = science.shape
        factor = max(1, -(-max(height, width) // most_pixels))
        rows = [
            _binned(science.read(first, min(first + factor, height)), factor)
            for first in range(0, height, factor)
        ]
    return np.stack(rows)


def _binned(rows: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    width = rows.shape[1]
    known = np.isfinite(rows)
    starts = np.arange(0, width, factor)
    total = np.add.reduceat(np.where(known, rows, 0.0).sum(axis=0, dtype=np.float64), starts)
    count = np.add.reduceat(known.sum(axis=0), starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total / count).astype(np.float32)


def stretched(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scale an image to grey levels: asinh above the lower zscale limit, black where unknown.

    Returns
    -------
    ndarray, shape (ny, nx), uint8
        0 (black) is kept for pixels without data.
    """
    known = np.isfinite(image)
    if not known.any():
        return np.zeros(image.shape, dtype=np.uint8)
    low, high = _limits(image[known])
    scaled = np.clip((np.where(known, image, low) - low) / (high - low), 0.0, 1.0)
    level = np.arcsinh(scaled / _SOFTENING) / np.arcsinh(1.0 / _SOFTENING)
    return np.where(known, 1 + np.rint(254 * level), 0).astype(np.uint8)


def _limits(values: NDArray[np.float32]) -> tuple[float, float]:
    """Zscale for the dark end, the brightest half percent for the other."""
    from astropy.visualization import ZScaleInterval

    low = float(ZScaleInterval().get_limits(values)[0])
    high = float(np.percentile(values, 99.5))
    return low, high if high > low else low + 1.0


def write_preview(path: Path, images: Sequence[NDArray[np.float32]]) -> None:
    """Write a PNG, north up, and sync it to disk.

    Parameters
    ----------
    path : path
    images : sequence of ndarray, shape (ny, nx), float32
        One image: grey. Two or more, from short to long wavelength: colour; blue is the first, red
        the last, green the mean of those between (of both, where there are two).
    """
    from PIL import Image

    levels = [stretched(image) for image in images]
    if len(levels) == 1:
        picture = Image.fromarray(levels[0][::-1])
    else:
        middle = levels[1:-1] or levels
        green = np.mean(middle, axis=0).astype(np.uint8)
        picture = Image.fromarray(np.dstack([levels[-1], green, levels[0]])[::-1])
    with open(path, "wb") as file:
        picture.save(file, format="PNG", optimize=False)
        file.flush()
        os.fsync(file.fileno())
