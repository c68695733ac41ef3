"""Steps of the first engine behind the signatures of the new one, until those stand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.imaging import cosmic_rays as first
from hapctl.processing.imaging.drizzle import Drizzle, DrizzleInput, prepare
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.parameters import BlotParameters, CosmicRayParameters, MedianParameters
from hapctl.processing.imaging.prepared import PreparedChip
from numpy.typing import NDArray

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Single:
    """The single drizzle of one exposure in one band."""

    exposure: int
    sci: Rows
    wht: Rows


def prepare_drizzle(
    inputs: Sequence[DrizzleInput],
    grid: OutputGrid,
    *,
    kernel: str = "square",
    pixfrac: float = 1.0,
    origin: LookupOrigin = "hst",
    context: bool = True,
    variance: bool = False,
    fill_value: float = float("nan"),
) -> Drizzle:
    """Return what bands share."""
    prepared = tuple(prepare(source, index, grid, origin) for index, source in enumerate(inputs))
    planes = 1 + max((one.plane for one in prepared), default=0) if context else 0
    return Drizzle(prepared, grid, pixfrac, planes, fill_value)


def combine_rows(
    singles: Sequence[Single],
    exposures: Sequence[Sequence[PreparedChip]],
    grid: OutputGrid,
    parameters: MedianParameters,
) -> tuple[Rows, NDArray[np.uint16]]:
    """Combine by minmed."""
    planes, used = [], []
    for single in singles:
        chips = exposures[single.exposure]
        full = min(chip.exposure_time * chip.scale_ratio(grid) ** 2 for chip in chips)
        planes.append(
            np.where(single.wht >= parameters.maskpt * full, single.sci, np.float32(np.nan)).astype("f4")
        )
        used.append(chips)
    depth = np.isfinite(np.stack(planes)).sum(axis=0).astype(np.uint16)
    return first._minmed(planes, used, parameters.sigma), depth


def blot_rows(
    plane: Rows,
    grid: OutputGrid,
    chip: PreparedChip,
    low: int,
    high: int,
    parameters: BlotParameters,
    origin: LookupOrigin,
) -> Rows:
    """Return rows of the blotted plane."""
    return first.blot(plane, grid, chip, origin=origin)[low:high]


def test_halo(parameters: CosmicRayParameters) -> int:
    """Return the halo."""
    return 2 + parameters.grow


def find_hits_rows(
    chip: PreparedChip, seen: Rows, low: int, top: int, bottom: int, parameters: CosmicRayParameters
) -> NDArray[np.bool_]:
    """Return rows of hits."""
    science = chip.electrons(low, low + seen.shape[0]) - np.float32(chip.sky)
    old = first.CosmicRayParameters(snr=parameters.snr, scale=parameters.scale)
    return first._two_passes(science, seen, chip, old)[top - low : bottom - low]
