"""From light to a calibrated chip: photon noise, cosmic rays, blooming, hot pixels, read noise, flags."""

from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.simulation.camera import (
    DQ_BAD_PIXEL,
    DQ_HOT,
    DQ_SATURATED,
    DQ_WARM,
    Camera,
    ChipOptics,
    read_noise_map,
)
from numpy.typing import NDArray

COSMIC_RAYS_PER_PIXEL_SECOND = 2.6e-6
HOT_SHARE, HOT_RATE, WARM_RATE = 0.004, 0.14, 0.06
BAD_COLUMNS = 5

Image = NDArray[np.float32]


@dataclass(frozen=True)
class ChipPixels:
    """The three arrays of a chip and what a mask should find, each of shape (ny, nx).

    Attributes
    ----------
    sci, err : ndarray of float32
        Electrons, or (infrared) electrons per second.
    dq : ndarray of int16
        HST's flags: 4 bad columns, 16 hot, 64 warm, 256 saturated (infrared: `infrared_pixels`). Cosmic rays
        are not flagged.
    cosmic_rays : ndarray of bool
        Pixels that a cosmic ray touched.
    """

    sci: Image
    err: Image
    dq: NDArray[np.int16]
    cosmic_rays: NDArray[np.bool_]

    def scaled(self, factor: float) -> "ChipPixels":
        """The same with SCI and ERR multiplied."""
        if factor == 1.0:
            return self
        return replace(self, sci=self.sci * np.float32(factor), err=self.err * np.float32(factor))


def expose(
    light: NDArray[np.float64],
    camera: Camera,
    chip: ChipOptics,
    exposure_time: float,
    generator: np.random.Generator,
) -> ChipPixels:
    """Turn expected electrons (sources and sky) into a calibrated chip of a CCD.

    Parameters
    ----------
    light : ndarray, shape (ny, nx), float64
        Expected electrons.
    camera, chip : Camera and ChipOptics
        For amplifiers, full well and defects.
    exposure_time : float
        Seconds.
    generator : Generator
        Of this chip of this exposure alone.
    """
    electrons = generator.poisson(light).astype(np.float32)
    rays = cosmic_ray_electrons(electrons.shape, exposure_time, generator)
    electrons += rays
    dq = np.zeros(electrons.shape, dtype=np.int16)
    bloom(electrons, dq, camera.full_well)
    noise = read_noise_map(camera, chip, electrons.shape[1])
    electrons += noise * generator.standard_normal(electrons.shape, dtype=np.float32)
    add_hot_pixels(electrons, dq, camera.stream("hot pixels", chip.chip), exposure_time, generator)
    spoil_columns(electrons, dq, camera.stream("bad columns", chip.chip), chip)
    err = np.sqrt(np.maximum(electrons, 0) + noise**2, dtype=np.float32)
    return ChipPixels(electrons, err, dq, rays > 0)


def cosmic_ray_electrons(
    shape: tuple[int, int], exposure_time: float, generator: np.random.Generator
) -> Image:
    """Electrons left by cosmic rays: straight tracks of all lengths and strengths."""
    ny, nx = shape
    count = int(generator.poisson(COSMIC_RAYS_PER_PIXEL_SECOND * exposure_time * ny * nx))
    length = generator.exponential(3.5, count).clip(0.0, 60.0)
    angle = generator.random(count) * np.pi
    charge = np.exp(generator.normal(np.log(900.0), 0.9, count)) * (0.5 + 0.2 * length)
    steps = (2.0 * length).astype(np.int64) + 2
    which = np.repeat(np.arange(count), steps)
    along = (np.arange(len(which)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[which] - 0.5
    start_x, start_y = generator.random(count) * nx, generator.random(count) * ny
    # Charge spreads a little before it is collected.
    x = start_x[which] + along * length[which] * np.cos(angle)[which] + generator.normal(0, 0.25, len(which))
    y = start_y[which] + along * length[which] * np.sin(angle)[which] + generator.normal(0, 0.25, len(which))
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    pixel = y[inside].astype(np.int64) * nx + x[inside].astype(np.int64)
    deposit = (charge / steps)[which][inside]
    return np.bincount(pixel, weights=deposit, minlength=ny * nx).reshape(shape).astype(np.float32)


def bloom(electrons: Image, dq: NDArray[np.int16], full_well: float) -> None:
    """Spill what exceeds the full well up and down the column, and flag every full pixel (in place)."""
    for column in np.flatnonzero((electrons > full_well).any(axis=0)):
        pixels = electrons[:, column].astype(np.float64)
        _spill(pixels, full_well)
        electrons[:, column] = pixels
    dq[electrons >= full_well] |= DQ_SATURATED


def _spill(pixels: NDArray[np.float64], full_well: float) -> None:
    full = pixels > full_well
    edges = np.flatnonzero(np.diff(np.concatenate([[False], full, [False]]).astype(np.int8)))
    for first, last in edges.reshape(-1, 2):
        excess = float(np.sum(pixels[first:last] - full_well))
        pixels[first:last] = full_well
        # What one end of the chip can't take goes the other way.
        left_over = _fill(pixels, first - 1, -1, excess / 2, full_well)
        left_over = _fill(pixels, last, 1, excess / 2 + left_over, full_well)
        _fill(pixels, first - 1, -1, left_over, full_well)


def _fill(pixels: NDArray[np.float64], start: int, step: int, charge: float, full_well: float) -> float:
    """Fill wells from `start` onwards; return what is left when the chip ends."""
    place = start
    while charge > 0 and 0 <= place < len(pixels):
        taken = min(charge, max(0.0, full_well - pixels[place]))
        pixels[place] += taken
        charge -= taken
        place += step
    return max(charge, 0.0)


def add_hot_pixels(
    electrons: Image,
    dq: NDArray[np.int16],
    detector: np.random.Generator,
    exposure_time: float,
    generator: np.random.Generator,
) -> None:
    """Hot and warm pixels of the detector: excess noise and an imperfect dark (in place)."""
    count = int(HOT_SHARE * electrons.size)
    pixel = detector.choice(electrons.size, count, replace=False)
    rate = WARM_RATE * (1.0 - detector.random(count)) ** -1.1
    dark = rate.clip(max=20.0) * exposure_time
    residual = dark * generator.normal(0.02, 0.06, count) + generator.poisson(dark) - dark
    electrons.reshape(-1)[pixel] += residual.astype(np.float32)
    dq.reshape(-1)[pixel] |= np.where(rate > HOT_RATE, DQ_HOT, DQ_WARM).astype(np.int16)


def spoil_columns(
    electrons: Image, dq: NDArray[np.int16], detector: np.random.Generator, chip: ChipOptics
) -> None:
    """Bad columns of the detector: blind from a defect to the side away from the amplifier (in place)."""
    ny, nx = electrons.shape
    for column, height in zip(
        detector.integers(0, nx, BAD_COLUMNS), detector.random(BAD_COLUMNS), strict=True
    ):
        start = int(height * ny)
        rows = slice(start, ny) if chip.chip == 2 else slice(0, ny - start)
        electrons[rows, column] *= np.float32(0.15)
        dq[rows, column] |= DQ_BAD_PIXEL
