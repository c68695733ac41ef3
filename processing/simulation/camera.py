"""What the simulator knows of a camera: chips and their distortion, filters, amplifiers, sizes and habits.

Figures live in a module a camera (`acs_wfc`, `wfc3_uvis`, `wfc3_ir`); `cameras` finds one by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

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
        The two amplifiers that read it, left and right half; of an infrared array all four.
    v2_ref, v3_ref : float
        Place of its reference pixel in the telescope's focal plane, arcsec.
    d2im_amplitude, npol_amplitude : tuple of float
        Largest value of the tables, x and y, in pixels.
    """

    chip: int
    extver: int
    linear: tuple[float, float, float, float]
    sip_a: SipTerms
    sip_b: SipTerms
    amplifiers: str
    v2_ref: float
    v3_ref: float
    d2im_amplitude: tuple[float, float] = (0.0, 0.0)
    npol_amplitude: tuple[float, float] = (0.0, 0.0)

    @property
    def linear_matrix(self) -> NDArray[np.float64]:
        """Detector (x, y) pixels to distortion-frame (x, y) arcsec, shape (2, 2)."""
        x_per_x, y_per_x, x_per_y, y_per_y = self.linear
        return np.array([[x_per_x, x_per_y], [y_per_x, y_per_y]])


@dataclass(frozen=True)
class FilterFacts:
    """One filter: where it sits, how bright a star is in it, how bright the sky.

    ``colour_offset`` and ``colour_slope`` give its AB magnitude from Gaia's G and BP-RP:
    ``G + colour_offset + colour_slope * (BP-RP - 1)``. ``photflam`` is that of chip 1;
    ``chip_ratio`` is chip 2's over it (PHTRATIO).
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
    chip_ratio: float = 1.0

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


@dataclass(frozen=True)
class Camera:
    """One detector of an instrument, and how the simulator renders it.

    Attributes
    ----------
    instrument, detector : str
        As in headers.
    visit_letter : str
        First character of its visits.
    suffix : str
        Of its files: flc, or flt.
    chips : tuple of ChipOptics
        In order of extver.
    filters : dict of str to FilterFacts
    amplifiers : dict of str to Amplifier
    plate_scale : float
        Arcsec per pixel: IDCSCALE, to which pixel areas refer.
    coarsest_scale : float
        Arcsec per pixel that no pixel exceeds by much, to measure the field.
    gap_arcsec, gap_pixels : float and int
        Between two chips; the second to measure the field.
    full_shape, small_shape : tuple of int
        (ny, nx) of a chip, and of one with a quarter of the pixels.
    centre_offset : tuple of int
        CENTERA1 and CENTERA2 of a full chip less half its pixels.
    reference_pixels : int
        Rows and columns that the readout has beyond the image.
    axis_angle : float
        Position angle of the distortion frame's y axis less PA_V3, degrees.
    idc_theta : float
        What the distortion model says of that angle (IDCTHETA); stwcs turns its output frames by it.
    reference_prefix, model, d2im_root : str
        ``jref`` or ``iref``; root of the IDCTAB; root of the D2IMFILE, empty without lookup tables.
    full_well : float
        Electrons.
    psf_components : tuple of (share, sigma)
        Share of the light and width in pixels of the core, the shoulder and the halo.
    dither_arcsec : tuple of float
        Step of the dither pattern along x and y.
    streams : str
        What sets its random numbers apart from those of other cameras.
    """

    instrument: str
    detector: str
    visit_letter: str
    suffix: str
    chips: tuple[ChipOptics, ...]
    filters: Mapping[str, FilterFacts]
    amplifiers: Mapping[str, Amplifier]
    plate_scale: float
    coarsest_scale: float
    gap_arcsec: float
    gap_pixels: int
    full_shape: tuple[int, int]
    small_shape: tuple[int, int]
    centre_offset: tuple[int, int]
    reference_pixels: int
    axis_angle: float
    idc_theta: float
    reference_prefix: str
    model: str
    d2im_root: str
    full_well: float
    psf_components: tuple[tuple[float, float], ...]
    dither_arcsec: tuple[float, float]
    streams: str

    @property
    def is_infrared(self) -> bool:
        """Whether it is read up the ramp: rates, and next to no cosmic rays."""
        return self.detector == "IR"

    @property
    def has_tables(self) -> bool:
        """Whether its distortion has lookup tables (NPOL and D2IM)."""
        return bool(self.d2im_root)

    @property
    def model_prefix(self) -> str:
        """What its reference files begin with in headers."""
        return f"{self.reference_prefix}$"

    def npol_root(self, filter_name: str) -> str:
        """Name (nine characters) of the simulator's own NPOL table of a filter."""
        return f"{filter_name[1:5].lower():0>4}npol{self.reference_prefix[0]}"

    def stream(self, name: str, *keys: str | int) -> np.random.Generator:
        """A random generator of this camera alone."""
        return stream(self.streams + name, *keys)

    def half_diagonal_arcsec(self, chip_shape: tuple[int, int]) -> float:
        """Distance of the corners of the field from its centre."""
        ny, nx = chip_shape
        return float(self.coarsest_scale * np.hypot(nx, len(self.chips) * ny + self.gap_pixels) / 2)


def stream(*keys: str | int) -> np.random.Generator:
    """A random generator of its own for each set of keys, the same on every machine."""
    return np.random.default_rng([crc32(key.encode()) if isinstance(key, str) else key for key in keys])


TABLE_STEP = 64


def lookup_values(
    camera: Camera, kind: str, chip: ChipOptics, axis: int, chip_shape: tuple[int, int], filter_name: str = ""
) -> NDArray[np.float32]:
    """The lookup table of one axis of a chip: a smooth field, the same for every visit.

    Parameters
    ----------
    camera : Camera
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
    generator = camera.stream("lookup", kind, chip.chip, axis, filter_name)
    rows, columns = (max(2, size // TABLE_STEP) for size in chip_shape)
    full_rows, full_columns = (size // TABLE_STEP for size in camera.full_shape)
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


def read_noise_map(camera: Camera, chip: ChipOptics, columns: int) -> NDArray[np.float32]:
    """Read noise along a row of a chip (electrons): its two amplifiers read half of it each."""
    left, right = (camera.amplifiers[name].read_noise for name in chip.amplifiers)
    return np.where(np.arange(columns) < columns // 2, left, right).astype(np.float32)
