"""Which exposures may be mosaicked together: one frame, one distortion model, or as the user says.

``strict``: all solutions in force have one frame, and one IDCTAB root per detector, else nothing is made:
colours would not line up. ``absolute``: exposures without an absolute frame are left out. ``any``: all.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hapctl.archive.products import EligibleExposure
from hapctl.processing.errors import NoViableDataError, RefusedError

WcsPolicy = Literal["strict", "absolute", "any"]

_NAMED = 6
"""Exposures named in a refusal; of more, only the number is given."""


@dataclass(frozen=True)
class Choice:
    """What a policy lets in, and what it leaves out."""

    used: tuple[EligibleExposure, ...]
    left_out: tuple[EligibleExposure, ...]

    code = "not-absolute"

    def reason(self, exposure: EligibleExposure) -> str:
        """Return in words why an exposure was left out."""
        return f"policy absolute: {exposure.wcsname} is good in the frame {exposure.frame} only"


def chosen_by_policy(exposures: Sequence[EligibleExposure], policy: WcsPolicy, what: str) -> Choice:
    """Apply a policy to all exposures of a visit or tile.

    Parameters
    ----------
    exposures : sequence of EligibleExposure
    policy : {"strict", "absolute", "any"}
    what : str
        Visit or tile, for the message.

    Raises
    ------
    RefusedError
        ``strict``, and the frames or IDCTAB roots differ; ``absolute``, and the absolute frames differ. The
        message names frames and exposures.
    NoViableDataError
        ``absolute``, and no exposure has an absolute frame.
    """
    if policy == "any":
        return Choice(tuple(exposures), ())
    if policy == "absolute":
        used = tuple(exposure for exposure in exposures if exposure.absolute)
        if not used:
            raise NoViableDataError(
                f"{what}: no exposure has an absolute solution in force",
                "align the visits to Gaia first (hapctl align), or use --wcs-policy any",
            )
        _refuse_mixture(used, what)
        return Choice(used, tuple(exposure for exposure in exposures if not exposure.absolute))
    _refuse_mixture(exposures, what)
    return Choice(tuple(exposures), ())


def _refuse_mixture(exposures: Iterable[EligibleExposure], what: str) -> None:
    frames: dict[str, list[str]] = defaultdict(list)
    models: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for exposure in exposures:
        frames[exposure.frame].append(exposure.rootname)
        root = exposure.idc_root or "none"
        models[exposure.instrument, exposure.detector][root].append(exposure.rootname)
    if len(frames) > 1:
        raise RefusedError(
            f"{what}: the solutions in force are good in {len(frames)} frames: {_parts(frames)}",
            "align the visits to one catalog (hapctl align), or use --wcs-policy absolute or any",
        )
    for (instrument, detector), roots in models.items():
        if len(roots) > 1:
            raise RefusedError(
                f"{what}: {instrument}/{detector} has {len(roots)} distortion models: {_parts(roots)}",
                "put solutions of one IDCTAB in force (hapctl wcs list, activate), or use --wcs-policy any",
            )


def _parts(groups: dict[str, list[str]]) -> str:
    return "; ".join(f"{name} ({_named(members)})" for name, members in sorted(groups.items()))


def _named(members: list[str]) -> str:
    shown = ", ".join(sorted(members)[:_NAMED])
    return shown if len(members) <= _NAMED else f"{shown} and {len(members) - _NAMED} more"
