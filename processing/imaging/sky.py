"""The sky of every chip of a set of exposures: measured, matched on overlaps, or given (step 2).

A level is compared between chips as brightness (electrons per square arcsecond, by IDCSCALE squared), between
exposures per second. What each method takes off:

- ``localmin``: the faintest chip of each exposure; AstroDrizzle's default.
- ``globalmin``: the faintest chip of all exposures.
- ``match``: what an exposure has above the faintest of those it overlaps with, found in the overlaps
  (`sky_match`); 0 for an exposure without overlap. What all have in common stays in the data.
- ``globalmin+match``: that, and the faintest sky that is left then, of all chips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.chip_sample import FEWEST_PIXELS, ChipSample, sample_chip
from hapctl.processing.imaging.grid import OutputGrid, native_scale
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.observer import Progress, no_progress
from hapctl.processing.imaging.parallel import do_parts
from hapctl.processing.imaging.parameters import SkyParameters
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.sky_cells import (
    CellValues,
    cell_grid,
    chip_cells,
    clipping_reaches,
    merged_cells,
)
from hapctl.processing.imaging.sky_match import MatchedSkies, match_skies
from hapctl.processing.imaging.sky_statistics import Clipping, SkyLevel, level_of
from hapctl.processing.imaging.sky_values import header_sky, read_sky_file
from hapctl.processing.imaging.static_mask import Signature, chip_mask
from numpy.typing import NDArray

_NOISE_SAMPLE = 20_000
"""Pixels of a chip for its noise alone."""


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
    progress: Progress = no_progress,
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
        For chips that don't carry theirs (``static``); either is left out if ``parameters.use_static_mask``.
    origin : {"hst", "fits"}
        Where lookup tables begin.
    threads : int
        Exposures worked on at once; the result doesn't depend on it.
    progress : callable
        ``progress("sky", done, total)``: exposures that are measured.

    Returns
    -------
    list of lists of ChipSky
        In the order of ``exposures``.

    Raises
    ------
    UsageProblemError
        The sky file is wrong, or both it and a keyword are given.
    UnusableFileError
        A header lacks the keyword.

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
    matching = "match" in parameters.method and len(exposures) > 1
    task = _Task(parameters, static_masks or {}, cell_grid(exposures, origin) if matching else None, origin)
    reaches: list[float] = [0.0] * len(exposures)
    if matching:
        reaches = clipping_reaches(do_parts(task.noise, exposures, threads))
    measured = do_parts(
        lambda part: task.measured(*part),
        list(zip(exposures, reaches, strict=True)),
        threads,
        lambda done: progress("sky", done, len(exposures)),
    )
    return _decided(exposures, measured, parameters)


@dataclass(frozen=True)
class _Measured:
    """What was measured of an exposure; cells where skies are matched."""

    levels: list[SkyLevel]
    cells: CellValues | None


@dataclass(frozen=True)
class _Task:
    """What is measured of each exposure; a grid of cells where skies are matched."""

    parameters: SkyParameters
    masks: Mapping[Signature, PackedMask]
    grid: OutputGrid | None
    origin: LookupOrigin

    def sample(self, chip: PreparedChip, fewest: int = FEWEST_PIXELS) -> ChipSample:
        chosen = self.parameters
        masks = [chip.hits, *([chip.static, chip_mask(self.masks, chip)] if chosen.use_static_mask else [])]
        return sample_chip(chip, chosen.bits, masks, lower=chosen.lower, upper=chosen.upper, fewest=fewest)

    @property
    def clipping(self) -> Clipping:
        return Clipping(self.parameters.clip, self.parameters.lower_sigma, self.parameters.upper_sigma)

    def noise(self, chips: Sequence[PreparedChip]) -> float:
        """Scatter of the sky pixels of an exposure: that of its quietest chip, in brightness."""
        found = [
            level_of(self.sample(chip, _NOISE_SAMPLE).values, "median", self.clipping).sigma / _unit(chip)
            for chip in chips
        ]
        return min((sigma for sigma in found if sigma > 0.0), default=0.0)

    def measured(self, chips: Sequence[PreparedChip], reach: float) -> _Measured:
        levels, cells = [], []
        for chip in chips:
            sample = self.sample(chip)
            levels.append(
                level_of(sample.values, self.parameters.statistic, self.clipping, self.parameters.width)
            )
            if self.grid is not None:
                cells.append(chip_cells(chip, sample, self.grid, self.clipping, reach, self.origin))
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
    """Electrons per pixel of a unit of brightness, electrons per second and square arcsecond."""
    return native_scale(chip.wcs) ** 2 * chip.exposure_time


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
