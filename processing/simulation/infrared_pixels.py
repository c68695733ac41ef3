"""From light to a calibrated infrared exposure: a rate fitted up the ramp, its noise, defects and flags.

The ramp rejects cosmic rays but for a few weak ones, nothing blooms, and stars saturate only where the first
reads did. Defects stay with the detector: dead, hot and unstable pixels, and blobs (specks on a mirror) whose
light the flat field gives back.
"""

import numpy as np
from hapctl.processing.simulation.camera import DQ_BAD_PIXEL, DQ_HOT, DQ_SATURATED, Camera
from hapctl.processing.simulation.exposure_pixels import ChipPixels, Image
from numpy.typing import NDArray

DQ_UNSTABLE, DQ_BLOB = 32, 512
READS = 14
RAMP_NOISE_ELECTRONS = 13.0
DARK_RATE = 0.048
DEAD_SHARE, HOT_SHARE, UNSTABLE_SHARE = 0.002, 0.004, 0.006
BLOBS_PER_MEGAPIXEL, BLOB_DEPTH = 30, 0.12
RAYS_LEFT_PER_PIXEL_SECOND = 4e-8


def expose_infrared(
    light: NDArray[np.float64], camera: Camera, exposure_time: float, generator: np.random.Generator
) -> ChipPixels:
    """Turn expected electrons (sources and sky) into a calibrated infrared exposure.

    Parameters
    ----------
    light : ndarray, shape (ny, nx), float64
        Expected electrons of the whole exposure.
    camera : Camera
        For full well and defects.
    exposure_time : float
        Seconds.
    generator : Generator
        Of this exposure alone.
    """
    shape = light.shape
    dq = np.zeros(shape, dtype=np.int16)
    response = _blobs(camera, dq)
    dark = _dark_rates(camera, dq) * exposure_time
    # A star above the full well is measured from the reads before: fewer of its photons count.
    counted = np.minimum(light * response, camera.full_well)
    beyond = np.maximum(light * response / camera.full_well, 1.0)
    electrons: NDArray[np.float64] = beyond * generator.poisson(counted + dark)
    electrons += RAMP_NOISE_ELECTRONS * generator.standard_normal(shape) - dark
    rays = _rays_left(shape, exposure_time, generator)
    electrons += rays
    _disturb(electrons, dq, generator)
    # In 2.9 s, the first read, the well is full: no ramp is left to fit.
    dq[light * (2.9 / exposure_time) > camera.full_well] |= DQ_SATURATED
    variance = np.maximum(electrons, 0) + dark + RAMP_NOISE_ELECTRONS**2
    sci, err = electrons / response / exposure_time, np.sqrt(variance) / response / exposure_time
    return ChipPixels(sci.astype(np.float32), err.astype(np.float32), dq, rays > 0)


def reads_of(
    pixels: ChipPixels, exposure_time: float
) -> tuple[tuple[str, NDArray[np.int16]], tuple[str, Image]]:
    """The extensions SAMP and TIME: how many reads of the ramp each pixel's rate rests on, and how long."""
    shape, saturated = pixels.sci.shape, (pixels.dq & DQ_SATURATED) != 0
    samples = np.full(shape, READS, dtype=np.int16)
    samples[saturated] = 0
    times = np.full(shape, exposure_time, dtype=np.float32)
    times[saturated] = 0
    return ("SAMP", samples), ("TIME", times)


def _blobs(camera: Camera, dq: NDArray[np.int16]) -> NDArray[np.float64]:
    """Share of the light that reaches each pixel; where a blob takes some, it is flagged (in place)."""
    detector = camera.stream("blobs")
    ny, nx = dq.shape
    rows, columns = np.mgrid[:ny, :nx]
    response = np.ones(dq.shape)
    for _ in range(max(2, round(BLOBS_PER_MEGAPIXEL * dq.size / 1e6))):
        y, x, radius = detector.random() * ny, detector.random() * nx, detector.uniform(4.0, 9.0)
        distance = np.hypot(rows - y, columns - x) / radius
        response *= 1.0 - BLOB_DEPTH * np.exp(-0.5 * (2.0 * distance) ** 2)
        dq[distance < 1.0] |= DQ_BLOB
    return response


def _dark_rates(camera: Camera, dq: NDArray[np.int16]) -> NDArray[np.float64]:
    """Dark current (electrons per second); hot, dead and unstable pixels are flagged (in place)."""
    detector = camera.stream("infrared pixels")
    rates = np.full(dq.shape, DARK_RATE)
    kind = detector.random(dq.shape)
    hot = kind < HOT_SHARE
    rates[hot] = 0.4 * (1.0 - detector.random(int(hot.sum()))) ** -1.0
    dq[hot] |= DQ_HOT
    dq[(kind >= HOT_SHARE) & (kind < HOT_SHARE + UNSTABLE_SHARE)] |= DQ_UNSTABLE
    dq[kind > 1.0 - DEAD_SHARE] |= DQ_BAD_PIXEL
    return np.minimum(rates, 30.0)


def _disturb(electrons: NDArray[np.float64], dq: NDArray[np.int16], generator: np.random.Generator) -> None:
    """Dead pixels see nothing, unstable ones another dark in each exposure (in place)."""
    electrons[(dq & DQ_BAD_PIXEL) != 0] *= 0.02
    unstable = (dq & DQ_UNSTABLE) != 0
    electrons[unstable] += 60.0 * generator.standard_normal(int(unstable.sum()))


def _rays_left(shape: tuple[int, ...], exposure_time: float, generator: np.random.Generator) -> Image:
    """Electrons of the cosmic rays that the ramp fit missed: weak hits of a pixel or two."""
    rays = np.zeros(shape, dtype=np.float32)
    count = int(generator.poisson(RAYS_LEFT_PER_PIXEL_SECOND * exposure_time * rays.size))
    rows, columns = generator.integers(0, shape[0], count), generator.integers(0, shape[1] - 1, count)
    charge = np.exp(generator.normal(np.log(300.0), 0.5, count)).astype(np.float32)
    second = generator.random(count) < 0.5
    np.add.at(rays, (rows, columns), charge)
    np.add.at(rays, (rows[second], columns[second] + 1), np.float32(0.4) * charge[second])
    return rays
