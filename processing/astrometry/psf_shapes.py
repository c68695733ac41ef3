"""Shapes an effective PSF may begin with: what a telescope and a pixel do to a point of light.

Stars alone do not tell an undersampled PSF from one whose positions are warped with the phase of the pixel
(Anderson & King 2000, PASP 112, 1360): a warp of the positions and the same warp of the model leave every
residual as it is. What breaks the tie is that the light has gone through an aperture and was summed over a
square pixel. So the model begins as the pattern of an obstructed aperture or a sum of Gaussians, smeared and
summed over the pixel, of the width that fits best, and the stars only correct it from there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PERIOD = 16
"""Pixels after which a shape made by a Fourier sum repeats itself."""
OBSTRUCTION = 0.33
"""Hubble's secondary mirror over its primary, by diameter."""
PIXEL_WIDTH = 0.68
"""Full width at half maximum of the Gaussian that has a pixel's second moment, pixels."""
WING = 2.3
"""Width of the wide Gaussian over that of the narrow one."""


@dataclass(frozen=True)
class PsfShape:
    """A shape without its size.

    Attributes
    ----------
    aperture : bool
        The pattern of Hubble's aperture, smeared by a Gaussian; else a narrow and a wide Gaussian.
    part : float
        Sigma of the smear over lambda / D; of Gaussians, the share of the light in the wide one.
    """

    aperture: bool
    part: float

    def size_of(self, fwhm: float) -> float:
        """Roughly the size at which the effective PSF has this full width at half maximum, pixels."""
        optical = float(np.sqrt(max(fwhm**2 - PIXEL_WIDTH**2, 0.1)))
        if self.aperture:
            return optical / float(np.hypot(1.03, 2.355 * self.part))
        return optical / (2.355 * (1.0 + 0.3 * self.part))

    def transfer(self, frequency: Array, size: float) -> Array:
        """The modulation transfer function at frequencies in cycles per pixel.

        ``size`` is lambda / D, or sigma of the narrow Gaussian, in pixels.
        """
        if self.aperture:
            smear: Array = np.exp(-2.0 * (np.pi * self.part * size * frequency) ** 2)
            return _aperture(frequency * size) * smear
        narrow = np.exp(-2.0 * (np.pi * size * frequency) ** 2)
        wide = np.exp(-2.0 * (np.pi * WING * size * frequency) ** 2)
        return np.asarray((1.0 - self.part) * narrow + self.part * wide)


class ShapeSampler:
    """Makes values of shapes, summed over the pixel, at the nodes of a grid about the star.

    Parameters
    ----------
    oversampling : int
        Nodes per pixel.
    half : int
        Nodes from the middle of the grid to its edge, at most 8 * oversampling.
    """

    def __init__(self, oversampling: int, half: int) -> None:
        count = PERIOD * oversampling
        along, across = np.fft.fftfreq(count, 1.0 / oversampling), np.fft.rfftfreq(count, 1.0 / oversampling)
        self._frequency = np.hypot(along[:, None], across)
        self._pixel = np.sinc(along)[:, None] * np.sinc(across) * oversampling**2
        nodes = np.arange(-half, half + 1)
        self._nodes = np.ix_(nodes, nodes)

    def samples(self, shape: PsfShape, size: float) -> Array:
        """Values at the nodes, shape (2 half + 1, 2 half + 1); their sum over whole pixels is 1."""
        values: Array = np.fft.irfft2(self._pixel * shape.transfer(self._frequency, size))[self._nodes]
        return values


def _aperture(frequency: Array) -> Array:
    """Overlap of an obstructed circular aperture with itself shifted (frequency in units of D / lambda)."""
    outer, inner = 0.5, 0.5 * OBSTRUCTION
    overlap = (
        _lens(outer, outer, frequency) - 2.0 * _lens(outer, inner, frequency) + _lens(inner, inner, frequency)
    )
    values: Array = overlap / (np.pi * (outer**2 - inner**2))
    return values


def _lens(a: float, b: float, distance: Array) -> Array:
    """Area that two circles of radii a >= b have in common."""
    d = np.clip(distance, max(a - b, 1e-9), a + b)
    cosine_a = np.clip((d * d + a * a - b * b) / (2 * d * a), -1, 1)
    cosine_b = np.clip((d * d + b * b - a * a) / (2 * d * b), -1, 1)
    kite = 0.5 * np.sqrt(np.maximum((a + b - d) * (d + a - b) * (d - a + b) * (d + a + b), 0.0))
    area: Array = a * a * np.arccos(cosine_a) + b * b * np.arccos(cosine_b) - kite
    return area
