"""What makes a WCS solution one that must not be trusted, in words.

A solution with a problem is kept as it was found, and never put in force.
"""

import math

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs, LookupTable

PROJECTION = ("RA---TAN", "DEC--TAN")
SCALES = (1e-3, 10.0)
"""Arcsec per pixel: HST's detectors have 0.025 to 0.13, binned ones some times that."""

LEAST_SQUARENESS = 0.05
"""|det CD| against half the sum of its squares, 1 for square pixels; SBC's, the most skewed, have 0.9."""


def defect_of(chip: ChipWcs) -> str:
    """Return what is wrong with the numbers of a chip's WCS, or an empty string.

    Parameters
    ----------
    chip : ChipWcs
        Of any projection; the scale is looked at only where axes are RA and Dec.
    """
    polynomials = [c for c in (chip.sip_a, chip.sip_b) if c is not None]
    numbers = (*chip.crpix, *chip.crval, *chip.cd)
    if not all(map(math.isfinite, numbers)) or not all(np.isfinite(c).all() for c in polynomials):
        return "missing or not finite"
    determinant = chip.cd[0] * chip.cd[3] - chip.cd[1] * chip.cd[2]
    if determinant == 0.0:
        return "singular"
    return _defect_on_sky(chip, abs(determinant)) if is_mapped(chip) else ""


def _defect_on_sky(chip: ChipWcs, determinant: float) -> str:
    if not -90.0 <= chip.crval[1] <= 90.0:
        return f"at declination {chip.crval[1]:g}"
    scale = 3600.0 * math.sqrt(determinant)
    squareness = determinant / (0.5 * sum(value * value for value in chip.cd))
    if not SCALES[0] < scale < SCALES[1] or squareness < LEAST_SQUARENESS:
        return f"of no HST detector: {scale:.3g} arcsec per pixel, squareness {squareness:.3g}"
    return ""


def is_usable(chip: ChipWcs) -> bool:
    """Say whether the numbers of a chip's WCS are finite, invertible and those of an HST detector."""
    return not defect_of(chip)


def is_mapped(chip: ChipWcs) -> bool:
    """Say whether a chip's axes are RA and Dec in TAN projection, the one that hapctl maps."""
    return tuple(name[:8] for name in chip.ctype) == PROJECTION


def repeated_chip(chips: tuple[ChipWcs, ...]) -> int:
    """Return the SCI version that stands for two chips, or 0."""
    versions = [chip.extver for chip in chips]
    return next((version for version in versions if versions.count(version) > 1), 0)


def problem_of(name: str, names: list[str], chips: tuple[ChipWcs, ...]) -> str:
    """Return why a solution must never be put in force, or an empty string.

    Parameters
    ----------
    name : str
        Its WCSNAME.
    names : list of str
        WCSNAME of each chip.
    chips : tuple of ChipWcs
    """
    for chip, chip_name in zip(chips, names, strict=True):
        if chip_name != name:
            return f"inconsistent: chips with different names: {name}, but SCI,{chip.extver} is {chip_name}"
    if repeated := repeated_chip(chips):
        return f"two chips for SCI,{repeated}"
    for chip in chips:
        if defect := defect_of(chip):
            return f"the WCS of SCI,{chip.extver} is {defect}"
        if not is_mapped(chip):
            axes = "/".join(chip.ctype)
            return f"SCI,{chip.extver} has projection {axes}: only RA---TAN/DEC--TAN is mapped"
    return next((short for chip in chips if (short := _short_table(chip))), "")


def _short_table(chip: ChipWcs) -> str:
    """Say which lookup table ends more than one step before the chip does."""
    for kind, pair in (("NPOL", chip.npol), ("D2IM", chip.d2im)):
        ends = [(axis, end) for table in pair if table for axis, end in enumerate(_ends(table))]
        for axis, end in ends:
            if end < chip.shape[1 - axis]:
                size = chip.shape[1 - axis]
                return f"a {kind} table of SCI,{chip.extver} ends at pixel {end:.6g} of {size}"
    return ""


def _ends(table: LookupTable) -> tuple[float, float]:
    """Return the pixel (x, y) one step beyond the last node; infinite along an axis with one node."""
    x, y = (
        math.inf if nodes == 1 else table.crval[axis] + (nodes + 1 - table.crpix[axis]) * table.cdelt[axis]
        for axis, nodes in enumerate(table.values.shape[::-1])
    )
    return x, y
