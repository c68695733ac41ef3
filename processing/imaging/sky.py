"""The sky of every chip of a set of exposures: measured, matched on overlaps, or given (step 2).

A level is compared between chips as brightness (electrons per square arcsecond, by IDCSCALE squared), between
exposures per second. What each method takes off:

- ``localmin``: the faintest chip of each exposure; AstroDrizzle's default.
- ``globalmin``: the faintest chip of all exposures.
- ``match``: what an exposure has above the faintest of those it overlaps with, found in the overlaps
  (`sky_match`); 0 for an exposure without overlap. What all have in common stays in the data.
- ``globalmin+match``: that, and the faintest sky that is left then, of all chips.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.imaging.chip_sample import sample_chip
from hapctl.processing.imaging.grid import OutputGrid, native_scale
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.parameters import SkyParameters
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.sky_match import (
    CellValues,
    MatchedSkies,
    cell_grid,
    chip_cells,
    match_skies,
    merged_cells,
)
from hapctl.processing.imaging.sky_statistics import Clipping, SkyLevel, Statistic, level_of
from hapctl.processing.imaging.sky_values import header_sky, read_sky_file
from hapctl.processing.imaging.static_mask import Signature, chip_mask
from numpy.typing import NDArray

__all__ = ["ChipSky", "SkyLevel", "Statistic", "exposure_sky", "measure_skies", "sky_level"]

_MOST_PIXELS = 1_000_000


@dataclass(frozen=True)
class ChipSky:
    """The sky of one chip, in electrons per pixel, equalised between chips (``flux_factor``).

    Attributes
    ----------
    subtract : float
        To be subtracted.
    level : float
        The whole sky of the chip as measured, or as the user gave it.
    sigma : float
        Scatter of the sky pixels; 0 where none was measured.
    pixels : int
        How many pixels were measured.
    taken : float
        All sky that the values lack after subtraction: ``subtract`` and what the user had taken off before.
        The noise of a pixel is that of its value plus this; ``level`` would count what ``match`` leaves in
        the data twice.
    why : str
        How ``subtract`` was found, with every fallback.
    """

    subtract: float
    level: float
    sigma: float
    pixels: int
    taken: float = 0.0
    why: str = ""


def measure_skies(
    exposures: Sequence[Sequence[PreparedChip]],
    parameters: SkyParameters,
    *,
    static_masks: Mapping[Signature, PackedMask] | None = None,
    origin: LookupOrigin = "hst",
    threads: int = 1,
) -> list[list[ChipSky]]:
    """Find the sky of every chip.

    Parameters
    ----------
    exposures : sequence of sequences of PreparedChip
        Their ``sky`` is not looked at.
    parameters : SkyParameters
        Not enabled: nothing is measured nor subtracted; a sky of the user counts as taken off already (so
        AstroDrizzle's ``skyuser``).
    static_masks : mapping of Signature to PackedMask, optional
        Left out if ``parameters.use_static_mask``, as are the masks of the chips themselves.
    origin : {"hst", "fits"}
        Where lookup tables begin.
    threads : int
        Exposures worked on at once; the result doesn't depend on it.

    Returns
    -------
    list of lists of ChipSky
        In the order of ``exposures``.

    Raises
    ------
    UsageProblemError
        The sky file is wrong, or both it and a keyword are given.
    UnusableFileError
        A header lacks the keyword; a chip has no exposure time, and the method compares exposures.

    Examples
    --------
    >>> skies = measure_skies(exposures, SkyParameters(method="match"))  # doctest: +SKIP
    >>> [chip.subtract for chip in skies[0]]  # doctest: +SKIP
    [31.2, 31.2]
    """
    if parameters.user_keyword or parameters.file:
        return [
            _given(chips, sky)
            for chips, sky in zip(exposures, _user_skies(exposures, parameters), strict=True)
        ]
    if not parameters.enabled:
        return [[ChipSky(0.0, 0.0, 0.0, 0, why="not subtracted") for _ in chips] for chips in exposures]
    if parameters.method != "localmin":
        _check_times(exposures)
    masks = static_masks if static_masks is not None and parameters.use_static_mask else {}
    grid = cell_grid(exposures, origin) if "match" in parameters.method and len(exposures) > 1 else None
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        measured = list(pool.map(lambda chips: _measured(chips, parameters, masks, grid, origin), exposures))
    return _decided(exposures, measured, parameters)


@dataclass(frozen=True)
class _Measured:
    levels: list[SkyLevel]
    cells: CellValues | None


def _measured(
    chips: Sequence[PreparedChip],
    parameters: SkyParameters,
    masks: Mapping[Signature, PackedMask],
    grid: OutputGrid | None,
    origin: LookupOrigin,
) -> _Measured:
    clipping = Clipping(parameters.clip, parameters.lower_sigma, parameters.upper_sigma)
    levels, cells = [], []
    for chip in chips:
        sample = sample_chip(
            chip,
            parameters.bits,
            static=chip_mask(masks, chip) if masks else None,
            lower=parameters.lower,
            upper=parameters.upper,
        )
        levels.append(level_of(sample.values, parameters.statistic, clipping, parameters.width))
        if grid is not None:
            cells.append(chip_cells(chip, sample, grid, clipping, origin))
    return _Measured(levels, merged_cells(cells) if cells else None)


def _decided(
    exposures: Sequence[Sequence[PreparedChip]], measured: Sequence[_Measured], parameters: SkyParameters
) -> list[list[ChipSky]]:
    skies, reasons = _brightness_to_subtract(exposures, measured, parameters)
    return [
        [_chip_sky(chip, level, sky, why) for chip, level in zip(chips, one.levels, strict=True)]
        for chips, one, sky, why in zip(exposures, measured, skies, reasons, strict=True)
    ]


def _chip_sky(chip: PreparedChip, level: SkyLevel, brightness: float, why: str) -> ChipSky:
    subtract = float(brightness) * _unit(chip)
    if level.pixels == 0:
        why += "; no pixel of this chip could be used"
    return ChipSky(subtract, level.level, level.sigma, level.pixels, subtract, why)


def _unit(chip: PreparedChip) -> float:
    """Electrons per pixel of a unit of brightness; per exposure where there is no exposure time."""
    return native_scale(chip.wcs) ** 2 * (chip.exposure_time if chip.exposure_time > 0.0 else 1.0)


def _brightness_to_subtract(
    exposures: Sequence[Sequence[PreparedChip]], measured: Sequence[_Measured], parameters: SkyParameters
) -> tuple[NDArray[np.float64], list[str]]:
    faintest = np.array(
        [_faintest(chips, one.levels) for chips, one in zip(exposures, measured, strict=True)],
        dtype=np.float64,
    )
    if parameters.method == "localmin":
        reasons = ["faintest chip" if found else "no pixels: 0" for found in np.isfinite(faintest)]
        return np.where(np.isfinite(faintest), faintest, 0.0), reasons
    if parameters.method == "globalmin":
        return np.full(len(exposures), _least(faintest)), ["faintest chip of all exposures"] * len(exposures)
    matched = _matched(measured)
    reasons = [_overlap_told(matched, i) for i in range(len(exposures))]
    if parameters.method == "match":
        return matched.differences, reasons
    pedestal = _least(faintest - matched.differences)
    return matched.differences + pedestal, [f"{why}, and the faintest that is left" for why in reasons]


def _faintest(chips: Sequence[PreparedChip], levels: Sequence[SkyLevel]) -> float:
    return min(
        (level.level / _unit(chip) for chip, level in zip(chips, levels, strict=True) if level.pixels > 0),
        default=np.inf,
    )


def _least(brightness: NDArray[np.float64]) -> float:
    return float(min(brightness[np.isfinite(brightness)], default=0.0))


def _matched(measured: Sequence[_Measured]) -> MatchedSkies:
    if len(measured) < 2:
        none = np.zeros(len(measured), dtype=np.intp)
        return MatchedSkies(np.zeros(len(measured)), none, none)
    return match_skies(cast("list[CellValues]", [one.cells for one in measured]))


def _overlap_told(matched: MatchedSkies, i: int) -> str:
    if matched.cells[i] == 0:
        return "no overlap with another exposure: 0"
    others = int((matched.groups == matched.groups[i]).sum()) - 1
    return f"difference in {matched.cells[i]} cells shared, {others} exposures connected"


def _check_times(exposures: Iterable[Sequence[PreparedChip]]) -> None:
    for chip in (chip for chips in exposures for chip in chips):
        if not chip.exposure_time > 0.0:
            raise UnusableFileError(
                f"{chip.pixels.path}[SCI,{chip.pixels.extver}]: exposure time {chip.exposure_time} s, "
                "so its sky can't be compared with other exposures",
                "leave the exposure out, or choose the sky method localmin",
            )


@dataclass(frozen=True)
class _UserSky:
    """Values of the chips in units of SCI."""

    values: tuple[float, ...]
    applied: bool
    why: str


def _user_skies(exposures: Sequence[Sequence[PreparedChip]], parameters: SkyParameters) -> list[_UserSky]:
    if parameters.user_keyword and parameters.file:
        raise UsageProblemError(
            "sky: both a keyword and a file are given", "give user_keyword or file, not both"
        )
    if parameters.file:
        found = read_sky_file(parameters.file)
        applied = found.applied or not parameters.enabled
        return [_UserSky(found.of(chips), applied, f"from {found.path}") for chips in exposures]
    keyword = parameters.user_keyword
    return [
        _UserSky(
            tuple(header_sky(chip, keyword) for chip in chips), not parameters.enabled, f"keyword {keyword}"
        )
        for chips in exposures
    ]


def _given(chips: Sequence[PreparedChip], sky: _UserSky) -> list[ChipSky]:
    why = f"{sky.why}, taken off before" if sky.applied else sky.why
    levels = [
        value * chip.pixels.electrons_per_unit * chip.flux_factor
        for chip, value in zip(chips, sky.values, strict=True)
    ]
    return [ChipSky(0.0 if sky.applied else level, level, 0.0, 0, level, why) for level in levels]


def sky_level(
    science: NDArray[np.float32], good: NDArray[np.bool_], statistic: Statistic = "mode"
) -> SkyLevel:
    """Measure the sky of an image.

    Parameters
    ----------
    science : ndarray, shape (ny, nx), float32
        Electrons.
    good : ndarray, shape (ny, nx), bool
        Pixels to use.
    statistic : {"mode", "median", "mean"}
        As in `level_of`, after five rounds of clipping at 4 sigma.
    """
    values = science[good & np.isfinite(science)]
    step = max(-(-values.size // _MOST_PIXELS), 1)
    return level_of(values[::step], statistic)


def exposure_sky(levels: Sequence[SkyLevel], scales_arcsec: Sequence[float]) -> tuple[float, ...]:
    """Return the sky to subtract from each chip, electrons per pixel.

    Parameters
    ----------
    levels : sequence of SkyLevel
        One a chip.
    scales_arcsec : sequence of float
        IDCSCALE of each chip.

    Returns
    -------
    tuple of float
        The lowest brightness of all chips with pixels, scaled to the pixel area of each chip.
    """
    areas = [scale * scale for scale in scales_arcsec]
    brightness = [level.level / area for level, area in zip(levels, areas, strict=True) if level.pixels > 0]
    faintest = min(brightness, default=0.0)
    return tuple(faintest * area for area in areas)
