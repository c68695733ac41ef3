"""HAP's values as a plain table with conditions in code: a reference that shares nothing with the rules."""

from dataclasses import dataclass, replace

from hapctl.processing.imaging.defaults import UVIS_CHANGE_MJD, Level
from hapctl.processing.imaging.parameters import (
    Bits,
    BlotParameters,
    CosmicRayParameters,
    DrizzleParameters,
    FinalParameters,
    Kernel,
    MedianParameters,
    SeparateParameters,
    SkyParameters,
    StaticMaskParameters,
    Statistic,
)

_ALL = 65535
_SBC_BLUE = ("f115lp", "f122m")
"""Filters in which SBC sees the glow of the sky: matched, and at six exposures with a smaller drop."""


@dataclass(frozen=True)
class DetectorRow:
    """What HAP's tables say of a detector; flags are those taken as good.

    Attributes
    ----------
    sky_bits, separate_bits : Bits
    single_bits, filter_bits, layer_bits : Bits
        Of the final image: of one exposure of a filter, of several, and of a layer of several.
    exposure_bits : Bits
        Of the image of an exposure by itself; None: ``single_bits``.
    kernel : Kernel
        Of the single drizzles.
    snr, scale : tuple of float
        Thresholds of the cosmic-ray test for a few exposures.
    many : int
        From so many exposures on they are combined by a plain median,
    many_scale : tuple of float
        tested more sharply,
    many_pixfrac : float
        and drizzled with a smaller drop.
    """

    sky_bits: Bits
    separate_bits: Bits
    single_bits: Bits
    filter_bits: Bits
    layer_bits: Bits
    kernel: Kernel = "square"
    snr: tuple[float, float] = (3.5, 3.0)
    scale: tuple[float, float] = (1.5, 1.2)
    many: int = 6
    many_scale: tuple[float, float] = (1.2, 0.7)
    many_pixfrac: float = 0.8
    statistic: Statistic = "median"
    cosmic_rays: bool = True
    separate_scale: float | None = None
    exposure_bits: Bits = None


_ROWS: dict[str, DetectorRow] = {
    "WFC": DetectorRow(80, 336, _ALL, 336, 80),
    "HRC": DetectorRow(64, 64, _ALL, 64, 80),
    "SBC": DetectorRow(
        0, 0, 0, 0, 0, "turbo", statistic="mean", cosmic_rays=False, many_pixfrac=1.0, exposure_bits=_ALL
    ),
    "UVIS": DetectorRow(80, 336, _ALL, 336, 80),
    "IR": DetectorRow(
        16,
        _ALL,
        528,
        528,
        528,
        kernel="turbo",
        snr=(5.0, 4.0),
        scale=(3.0, 2.4),
        many=4,
        many_scale=(3.0, 2.4),
        many_pixfrac=1.0,
    ),
    "PC": DetectorRow(
        1024,
        1024,
        65533,
        61437,
        "2,8,1024",
        snr=(5.5, 3.5),
        scale=(2.0, 1.5),
        many=4,
        many_scale=(2.0, 1.5),
        many_pixfrac=1.0,
        separate_scale=0.0996,
    ),
}
_UVIS_BEFORE = replace(_ROWS["UVIS"], sky_bits=96, separate_bits=352, filter_bits=352)


def drizzle_table(
    detector: str, start_mjd: float, level: Level, exposures: int, filter_name: str = ""
) -> DrizzleParameters:
    """Return how a product is drizzled.

    Parameters
    ----------
    detector : str
        WFC, HRC, SBC, UVIS, IR or PC (all of WFPC2).
    start_mjd : float
        Start of the first exposure; UVIS changes on 2012-11-08.
    level : {"exposure", "filter", "total", "layer"}
        The comparison by which cosmic rays are found is that of ``filter``.
    exposures : int
        How many there are of a filter: of a total, of that filter which has most.
    filter_name : str
        For SBC, whose bluest filters are special.

    Raises
    ------
    UsageProblemError
        There are no parameters for the detector.
    """
    row = _row(detector, start_mjd)
    several = exposures >= 2 and level != "exposure"
    compared = several and row.cosmic_rays and level == "filter"
    return DrizzleParameters(
        StaticMaskParameters(enabled=compared),
        SkyParameters(
            enabled=row.cosmic_rays or filter_name in _SBC_BLUE,
            method="match",
            statistic=row.statistic,
            lower=-100.0,
            bits=row.sky_bits,
        ),
        SeparateParameters(
            enabled=compared,
            kernel=row.kernel,
            bits=_separate_bits(detector, row, exposures),
            scale=row.separate_scale,
        ),
        MedianParameters(enabled=compared, type="minmed" if exposures < row.many else "median", nhigh=1),
        BlotParameters(enabled=compared),
        CosmicRayParameters(
            enabled=compared, snr=row.snr, scale=row.scale if exposures < row.many else row.many_scale
        ),
        FinalParameters(
            bits=_final_bits(detector, row, level, exposures),
            pixfrac=_pixfrac(row, level, exposures, filter_name),
        ),
    )


def _row(detector: str, start_mjd: float) -> DetectorRow:
    return _UVIS_BEFORE if detector == "UVIS" and start_mjd < UVIS_CHANGE_MJD else _ROWS[detector]


def _separate_bits(detector: str, row: DetectorRow, exposures: int) -> Bits:
    """WFC3/IR takes every pixel of few exposures: there its ramp fit has found the cosmic rays already."""
    return row.filter_bits if detector == "IR" and exposures >= row.many else row.separate_bits


def _final_bits(detector: str, row: DetectorRow, level: Level, exposures: int) -> Bits:
    """A single exposure keeps its flagged pixels: there is nothing to put in their place."""
    if level == "exposure":
        return row.single_bits if row.exposure_bits is None else row.exposure_bits
    if exposures < 2:
        return row.single_bits
    if level == "layer":
        return row.layer_bits
    return 1024 if detector == "PC" and exposures >= 3 else row.filter_bits


def _pixfrac(row: DetectorRow, level: Level, exposures: int, filter_name: str) -> float:
    if filter_name in _SBC_BLUE:
        return 0.8 if exposures >= row.many and level in ("filter", "layer") else 1.0
    return row.many_pixfrac if exposures >= row.many and level == "filter" else 1.0
