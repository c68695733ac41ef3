"""Filters that no product is made of, though their exposures are aligned like the others (hap_reference 3.4).

Ramp filters (FR...) pass another wavelength at each place of the field. Of UVIS quad filters (FQ...) each
quarter of a chip sees through a glass of its own; products of a visit leave them out, layers take them.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from hapctl.archive.products import EligibleExposure, NewExclusion

Place = Literal["visit", "layer"]


def filter_problem(exposure: EligibleExposure, place: Place) -> tuple[str, str] | None:
    """Return why no product of a visit, or no layer, is made of an exposure's filter, or None.

    Returns
    -------
    code, reason : str
    """
    elements = exposure.filter.lower().split("-")
    if any(element.startswith("fr") for element in elements):
        return "ramp-filter", f"{exposure.filter} is a ramp filter: its wavelength changes over the field"
    if place == "visit" and exposure.detector == "UVIS" and any(part.startswith("fq") for part in elements):
        return "quad-filter", f"{exposure.filter} is a quad filter: it covers a quarter of the field"
    return None


def without_problem(exposures: Iterable[EligibleExposure], place: Place) -> list[EligibleExposure]:
    """Return the exposures that products are made of."""
    return [one for one in exposures if filter_problem(one, place) is None]


def filter_exclusions(exposures: Sequence[EligibleExposure], place: Place) -> list[NewExclusion]:
    """Return what is left out for its filter."""
    return [
        NewExclusion(one.exposure_id, one.solution_id, *problem)
        for one in exposures
        if (problem := filter_problem(one, place)) is not None
    ]
