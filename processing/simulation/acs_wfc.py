"""The ACS/WFC that the simulator builds: two chips, their distortion, filters and electronics.

The figures are the project's own, chosen to behave like the camera after 2009: pixels that are
skewed and unequal by some 5 %, quadratic terms of tens of pixels at the corners, lookup tables of a
few hundredths of a pixel, a gap of 2.5 arcsec, four amplifiers.
"""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

PLATE_SCALE_ARCSEC = 0.05
FULL_WELL_ELECTRONS = 84_700.0
GAP_ARCSEC = 2.5
TABLE_STEP = 64
FULL_SHAPE, SMALL_SHAPE = (2048, 4096), (1024, 2048)
IDCTAB_ROOT, NPOL_ROOTS_END, D2IM_ROOT = "hapsim01j", "npolj", "hapsimd2j"

DQ_BAD_PIXEL, DQ_HOT, DQ_WARM, DQ_SATURATED = 4, 16, 64, 256

SipTerms = tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class ChipOptics:
    """Distortion of one chip about its centre.

    Attributes
    ----------
    chip, extver : int
        CCDCHIP and version of its SCI extension.
    linear : tuple of 4 float
        Arcsec per pixel: x and y of the distortion frame per detector x, then per detector y.
    sip_a, sip_b : tuple of (power of x, power of y, coefficient)
        SIP terms in pixels.
    amplifiers : str
        The two amplifiers that read it, left and right half.
    d2im_amplitude, npol_amplitude : tuple of float
        Largest value of the tables, x and y, in pixels.
    """

    chip: int
    extver: int
    linear: tuple[float, float, float, float]
    sip_a: SipTerms
    sip_b: SipTerms
    amplifiers: str
    d2im_amplitude: tuple[float, float]
    npol_amplitude: tuple[float, float]

    @property
    def linear_matrix(self) -> NDArray[np.float64]:
        """Detector (x, y) pixels to distortion-frame (x, y) arcsec, shape (2, 2)."""
        x_per_x, y_per_x, x_per_y, y_per_y = self.linear
        return np.array([[x_per_x, x_per_y], [y_per_x, y_per_y]])


@dataclass(frozen=True)
class FilterFacts:
    """One filter: where it sits, how bright a star is in it, how bright the sky.

    ``colour_offset`` and ``colour_slope`` give its AB magnitude from Gaia's G and BP-RP:
    ``G + colour_offset + colour_slope * (BP-RP - 1)``.
    """

    name: str
    wheel: int
    photflam: float
    photplam: float
    photbw: float
    sky_rate: float
    psf_scale: float
    colour_offset: float
    colour_slope: float

    @property
    def wheel_names(self) -> tuple[str, str]:
        """Values of FILTER1 and FILTER2."""
        return (self.name, "CLEAR2L") if self.wheel == 1 else ("CLEAR1L", self.name)

    @property
    def ab_zeropoint(self) -> float:
        """AB magnitude of one electron per second (from PHOTFLAM and PHOTPLAM)."""
        return float(-2.5 * np.log10(self.photflam) - 21.10 - 5 * np.log10(self.photplam) + 18.6921)

    def ab_magnitude(self, g: NDArray[np.float64], bp_rp: NDArray[np.float64]) -> NDArray[np.float64]:
        """AB magnitudes of stars of Gaia magnitude `g` and colour `bp_rp`."""
        return g + self.colour_offset + self.colour_slope * (bp_rp - 1.0)

    def rate(self, ab_magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
        """Electrons per second of an AB magnitude."""
        return np.asarray(10 ** (-0.4 * (ab_magnitude - self.ab_zeropoint)))


@dataclass(frozen=True)
class Amplifier:
    """Gain (electrons per count), read noise (electrons) and bias level (counts) of an amplifier."""

    gain: float
    read_noise: float
    bias_level: float


CHIPS: tuple[ChipOptics, ChipOptics] = (
    ChipOptics(
        chip=2,
        extver=1,
        linear=(0.04984, 0.00151, 0.00196, 0.05026),
        sip_a=(
            (2, 0, 8.57e-6),
            (1, 1, -5.22e-6),
            (0, 2, 2.15e-6),
            (3, 0, -4.9e-10),
            (2, 1, -2.7e-11),
            (1, 2, -5.2e-10),
            (0, 3, 8.0e-12),
            (4, 0, 2.1e-14),
            (3, 1, 1.8e-15),
            (2, 2, 3.5e-14),
            (1, 3, -1.5e-14),
            (0, 4, 2.4e-14),
        ),
        sip_b=(
            (2, 0, -1.73e-6),
            (1, 1, 6.17e-6),
            (0, 2, -7.19e-6),
            (3, 0, 1.0e-10),
            (2, 1, -5.1e-10),
            (1, 2, -7.2e-11),
            (0, 3, -4.3e-10),
            (4, 0, -1.6e-14),
            (3, 1, -3.0e-15),
            (2, 2, -3.9e-14),
            (1, 3, 6.0e-15),
            (0, 4, -1.9e-14),
        ),
        amplifiers="CD",
        d2im_amplitude=(0.06, 0.055),
        npol_amplitude=(0.05, 0.04),
    ),
    ChipOptics(
        chip=1,
        extver=2,
        linear=(0.04923, 0.00215, 0.00227, 0.04857),
        sip_a=(
            (2, 0, 8.49e-6),
            (1, 1, -7.56e-6),
            (0, 2, 2.27e-6),
            (3, 0, -5.0e-10),
            (2, 1, -1.2e-10),
            (1, 2, -5.1e-10),
            (0, 3, 8.0e-11),
            (4, 0, 1.8e-14),
            (3, 1, 3.8e-14),
            (2, 2, 9.8e-14),
            (1, 3, -6.0e-15),
            (0, 4, 1.3e-13),
        ),
        sip_b=(
            (2, 0, -2.98e-6),
            (1, 1, 6.45e-6),
            (0, 2, -9.79e-6),
            (3, 0, 1.1e-10),
            (2, 1, -4.2e-10),
            (1, 2, -4.4e-11),
            (0, 3, -4.2e-10),
            (4, 0, -1.7e-14),
            (3, 1, -3.8e-14),
            (2, 2, -1.1e-13),
            (1, 3, 1.4e-14),
            (0, 4, -1.4e-13),
        ),
        amplifiers="AB",
        d2im_amplitude=(0.055, 0.06),
        npol_amplitude=(0.045, 0.05),
    ),
)

FILTERS: dict[str, FilterFacts] = {
    facts.name: facts
    for facts in (
        FilterFacts("F435W", 2, 3.14e-19, 4329.9, 293.6, 0.031, 0.93, 0.55, 1.05),
        FilterFacts("F475W", 1, 1.81e-19, 4747.0, 420.1, 0.060, 0.95, 0.35, 0.75),
        FilterFacts("F555W", 1, 1.95e-19, 5360.9, 360.1, 0.056, 0.97, 0.20, 0.45),
        FilterFacts("F606W", 1, 7.85e-20, 5921.9, 672.3, 0.127, 1.00, 0.05, 0.22),
        FilterFacts("F625W", 1, 1.18e-19, 6312.0, 415.5, 0.085, 1.02, -0.05, 0.00),
        FilterFacts("F775W", 1, 9.98e-20, 7693.3, 435.1, 0.078, 1.10, -0.25, -0.38),
        FilterFacts("F814W", 2, 7.04e-20, 8045.0, 652.0, 0.102, 1.13, -0.28, -0.42),
        FilterFacts("F850LP", 1, 1.51e-19, 9031.5, 525.0, 0.044, 1.20, -0.38, -0.60),
    )
}

AMPLIFIERS: dict[str, Amplifier] = {
    "A": Amplifier(2.02, 4.35, 2215.3),
    "B": Amplifier(1.89, 3.75, 2098.8),
    "C": Amplifier(2.03, 4.05, 2181.1),
    "D": Amplifier(2.01, 5.05, 2127.6),
}


def stream(*keys: str | int) -> np.random.Generator:
    """A random generator of its own for each set of keys, the same on every machine."""
    return np.random.default_rng([crc32(key.encode()) if isinstance(key, str) else key for key in keys])


def npol_root(filter_name: str) -> str:
    """Name (nine characters) of the simulator's own NPOL table of a filter."""
    return f"{filter_name[1:5].lower():0>4}{NPOL_ROOTS_END}"


def lookup_values(
    kind: str, chip: ChipOptics, axis: int, chip_shape: tuple[int, int], filter_name: str = ""
) -> NDArray[np.float32]:
    """The lookup table of one axis of a chip: a smooth field, the same for every visit.

    Parameters
    ----------
    kind : {'npol', 'd2im'}
        NPOL tables differ by filter, D2IM tables don't.
    chip : ChipOptics
        Whose table.
    axis : int
        0 for x, 1 for y.
    chip_shape : tuple of int
        (ny, nx) of the chip in pixels.
    filter_name : str
        For NPOL.

    Returns
    -------
    ndarray, shape (ny // 64, nx // 64) and at least (2, 2), float32
        Pixels; node 0 lies at pixel 1 (HST's convention).
    """
    generator = stream("lookup", kind, chip.chip, axis, filter_name)
    rows, columns = (max(2, size // TABLE_STEP) for size in chip_shape)
    full_rows, full_columns = (size // TABLE_STEP for size in FULL_SHAPE)
    y, x = np.arange(rows)[:, None] / full_rows, np.arange(columns)[None, :] / full_columns
    field = np.zeros((rows, columns))
    scale = 0.0
    for order_y in range(5):
        for order_x in range(8):
            weight = generator.normal() / (1.0 + 0.35 * (order_x + order_y))
            field += weight * np.cos(np.pi * order_x * x + order_y) * np.cos(np.pi * order_y * y + order_x)
            scale += abs(weight)
    amplitude = (chip.npol_amplitude if kind == "npol" else chip.d2im_amplitude)[axis]
    return np.round(amplitude * field / (0.45 * scale), 6).astype(np.float32).clip(-amplitude, amplitude)


def read_noise_map(chip: ChipOptics, columns: int) -> NDArray[np.float32]:
    """Read noise along a row of a chip (electrons): its two amplifiers read half of it each."""
    left, right = (AMPLIFIERS[name].read_noise for name in chip.amplifiers)
    return np.where(np.arange(columns) < columns // 2, left, right).astype(np.float32)
