"""Exposures of one filter whose PHOTFLAM differs, brought to one flux scale.

The sensitivity of ACS and WFC3/UVIS changes with time, and so does PHOTFLAM (its PHOTMODE names the date); a
recalibration changes it, too. Averaging PHOTFLAM alone, as AstroDrizzle does, is right only where all
exposures overlap: a pixel seen by one epoch is off by the difference. So the electrons of each exposure are
multiplied by its PHOTFLAM over the mean by exposure time, which then holds for every pixel of the product.
Exposures of one PHOTFLAM are multiplied by exactly 1, and so are all of a filter where one has none (it was
not calibrated): they are combined in electrons, and their product then has no photometry.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hapctl.processing.errors import RefusedError
from hapctl.processing.imaging.flux_scale import FluxScale

LARGEST_RATIO = 1.5
"""With time and calibration PHOTFLAM of a filter and detector changes less (UVIS and WFC: some per cent)."""


@dataclass(frozen=True)
class FluxMember:
    """An exposure to be combined with others.

    Attributes
    ----------
    name : str
        For messages.
    group : tuple of str
        What has one sensitivity but for time: instrument, detector, filter. Groups have a scale each.
    exposure_time : float
        Seconds.
    scale : FluxScale
        Of its chips.
    """

    name: str
    group: tuple[str, ...]
    exposure_time: float
    scale: FluxScale

    @property
    def sensitivity(self) -> float:
        """PHOTFLAM for electrons per second; NaN where it is not known."""
        value = self.scale.photometry.get("PHOTFLAM")
        usable = isinstance(value, int | float) and math.isfinite(value) and value > 0
        return float(value) if usable and value is not None else math.nan


def on_one_scale(members: Sequence[FluxMember]) -> list[FluxScale]:
    """Return the scales of exposures, those of each group brought together.

    Parameters
    ----------
    members : sequence of FluxMember

    Returns
    -------
    list of FluxScale
        In the order of the members; of a group that can't be brought together, and of one where a PHOTFLAM
        is not known, as they are.
    """
    common = {name: _mean(group) for name, group in _groups(members).items() if not _problem(group)}
    return [_brought(one, common.get(one.group, math.nan)) for one in members]


def check_epochs(members: Sequence[FluxMember]) -> None:
    """Refuse exposures that can't be brought together.

    Raises
    ------
    RefusedError
        Those of a group differ by more than `LARGEST_RATIO`. Names an exposure.
    """
    for group in _groups(members).values():
        if problem := _problem(group):
            raise RefusedError(
                problem, "withdraw it (hapctl exposure withdraw), or ingest it calibrated alike"
            )


def _groups(members: Sequence[FluxMember]) -> Mapping[tuple[str, ...], list[FluxMember]]:
    groups: dict[tuple[str, ...], list[FluxMember]] = {}
    for one in members:
        groups.setdefault(one.group, []).append(one)
    return groups


def _problem(group: Sequence[FluxMember]) -> str:
    """Say why exposures can't be brought together; nothing where they can."""
    known = sorted((one for one in group if math.isfinite(one.sensitivity)), key=lambda one: one.sensitivity)
    if known and known[-1].sensitivity > LARGEST_RATIO * known[0].sensitivity:
        ratio = known[-1].sensitivity / known[0].sensitivity
        return (
            f"{known[-1].name}: its PHOTFLAM is {ratio:.3g} times that of {known[0].name}: "
            "no change with time does that, their units must differ"
        )
    return ""


def _mean(group: Sequence[FluxMember]) -> float:
    """Mean PHOTFLAM by exposure time; NaN where one is not known."""
    values = [one.sensitivity for one in group]
    if not all(map(math.isfinite, values)):
        return math.nan
    if min(values) == max(values):
        return values[0]
    weights = [one.exposure_time for one in group]
    if sum(weights) <= 0:
        return math.fsum(values) / len(values)
    return math.fsum(map(math.prod, zip(values, weights, strict=True))) / math.fsum(weights)


def _brought(one: FluxMember, common: float) -> FluxScale:
    if not math.isfinite(common) or one.sensitivity == common:
        return one.scale
    ratio = one.sensitivity / common
    return replace(
        one.scale,
        factors=tuple(factor * ratio for factor in one.scale.factors),
        photometry={**one.scale.photometry, "PHOTFLAM": common},
    )
