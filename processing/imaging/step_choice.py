"""Which steps of a drizzle run: what was asked for, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from hapctl.processing.imaging.parameters import DrizzleParameters


@dataclass(frozen=True)
class ChosenSteps:
    """The steps of the comparison that run.

    Attributes
    ----------
    separate, median, blot, cosmic_rays : bool
    note : str
        What was decided against or beyond what was asked for; empty where nothing was.
    """

    separate: bool
    median: bool
    blot: bool
    cosmic_rays: bool
    note: str = ""


def choose_steps(parameters: DrizzleParameters, exposures: int, *, watched: bool = False) -> ChosenSteps:
    """Decide on the steps of the comparison, as AstroDrizzle does (hap_reference 1.2).

    Parameters
    ----------
    parameters : DrizzleParameters
    exposures : int
        How many there are; one has nothing to be compared with.
    watched : bool
        Whether somebody takes the intermediate products. Without cosmic rays to find, single drizzles,
        combined plane and blotted planes serve nobody else, and are not made.

    Returns
    -------
    ChosenSteps
        Finding cosmic rays needs the three steps before it: they run even where they are disabled. A step
        whose predecessor does not run can't run either (no intermediate files are read back).
    """
    asked = {
        "separate": parameters.separate.enabled,
        "median": parameters.median.enabled,
        "blot": parameters.blot.enabled,
    }
    if exposures < 2:
        note = "one exposure: nothing to find cosmic rays by" if parameters.cosmic_rays.enabled else ""
        return ChosenSteps(asked["separate"] and watched, False, False, False, note)
    if parameters.cosmic_rays.enabled:
        forced = [name for name, enabled in asked.items() if not enabled]
        also = " and ".join([", ".join(forced[:-1]), forced[-1]] if forced[1:] else forced)
        note = f"finding cosmic rays needs {also}, which run too" if forced else ""
        return ChosenSteps(True, True, True, True, note)
    separate = asked["separate"] and watched
    median = separate and asked["median"]
    return ChosenSteps(separate, median, median and asked["blot"], False, _missed(asked) if watched else "")


def _missed(asked: Mapping[str, bool]) -> str:
    """Say which step can't run because that before it doesn't; the first of them is enough."""
    for before, step in (("separate", "median"), ("median", "blot")):
        if asked[step] and not asked[before]:
            return f"{step} needs {before}, which is disabled: it does not run"
    return ""
