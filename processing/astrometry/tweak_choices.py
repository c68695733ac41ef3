"""What TweakReg's parameters mean to a joint alignment: the rule, the priors, and which sources take part.

A geometry of TweakReg is a choice of priors: what it leaves free gets a standard deviation beyond anything
that HST does wrong, what it holds gets one below the errors of the best fit. Everything else of a joint
solution stays: robust weights, stars that two images see, errors from the covariance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_model import ExposurePrior
from hapctl.processing.astrometry.peak_finding import DetectionSettings
from hapctl.processing.astrometry.source_list import SourceList, detection_settings
from hapctl.processing.astrometry.tweak_parameters import FindParameters, Geometry, TweakParameters
from hapctl.processing.dq_flags import bad_flags
from numpy.typing import NDArray

Array = NDArray[np.float64]
HELD_ROLL_DEG, HELD_SCALE = 1e-7, 1e-9
"""What a geometry holds: 0.2 micro-arcsec at 100 arcsec."""
FREE_ROLL_DEG, FREE_SCALE, FREE_SKEW = 0.2, 1e-3, 1e-3


@dataclass(frozen=True)
class _Freedom:
    roll: bool
    scale: bool
    skew: bool


_FREEDOMS = {
    "shift": _Freedom(False, False, False),
    "rshift": _Freedom(True, False, False),
    "rscale": _Freedom(True, True, False),
    "general": _Freedom(True, True, True),
}


def free_prior(number: int, geometry: Geometry, radius: float) -> ExposurePrior:
    """The prior of an image of its own by a geometry of TweakReg.

    Parameters
    ----------
    number : int
        Of the image: each is a guide-star set of its own.
    geometry : {"shift", "rshift", "rscale", "general"}
    radius : float
        How far it may be shifted, arcsec.
    """
    freedom = _FREEDOMS[geometry]
    roll = FREE_ROLL_DEG if freedom.roll else HELD_ROLL_DEG
    return ExposurePrior(
        guide_star_set=number,
        pointing=radius,
        roll_deg=roll,
        scale=FREE_SCALE if freedom.scale else HELD_SCALE,
        relative_pointing=None,
        relative_roll_deg=roll,
        skew=FREE_SKEW if freedom.skew else 0.0,
        firm=True,
    )


def search_radius(parameters: TweakParameters, scale: float) -> float:
    """How far the offset is searched, arcsec; ``scale`` is arcsec per pixel."""
    match = parameters.match
    if not match.use2dhist:
        return tolerance(parameters, scale)
    return match.searchrad * (scale if match.searchunits == "pixels" else 1.0)


def tolerance(parameters: TweakParameters, scale: float) -> float:
    """How well matches agree in the search, arcsec."""
    given = parameters.match.tolerance
    return AcceptanceRule().search_tolerance_arcsec if given is None else given * scale


def acceptance_rule(parameters: TweakParameters, scale: float) -> AcceptanceRule:
    """The rule of acceptance, with the numbers that the parameters give.

    Parameters
    ----------
    parameters : TweakParameters
    scale : float
        Arcsec per pixel of the first image.
    """
    rule, radius, agreement = AcceptanceRule(), search_radius(parameters, scale), tolerance(parameters, scale)
    numbers: dict[str, float] = {
        "search_radius_arcsec": radius,
        "relative_radius_arcsec": radius,
        "direct_radius_arcsec": min(rule.direct_radius_arcsec, radius),
        "set_radius_arcsec": min(rule.set_radius_arcsec, radius),
        "search_tolerance_arcsec": agreement,
        "relative_tolerance_arcsec": agreement,
        "most_shift_arcsec": max(rule.most_shift_arcsec, 1.2 * radius),
    }
    rule = replace(rule, name="tweak", **numbers)  # type: ignore[arg-type]
    least = parameters.match.minobj
    if least is not None:
        rule = replace(rule, least_stars=least, least_confirmed_stars=least)
    most = parameters.sources.nbright
    return rule if most is None else replace(rule, most_stars=most)


def finder_settings(find: FindParameters, detector: str) -> DetectionSettings:
    """The settings of the finder for a detector."""
    usual = detection_settings(detector)
    bad = usual.bad_bits
    if find.dqbits:
        bad = bad_flags(find.dqbits) & ~(usual.saturated_bits | usual.hot_bits)
    return replace(
        usual,
        threshold=find.threshold,
        fwhm=usual.fwhm if find.conv_width is None else find.conv_width,
        bad_bits=bad,
    )


def separated(sources: SourceList, least: float) -> SourceList:
    """The sources without those that have a brighter one nearer than so many pixels, on the same chip."""
    from scipy.spatial import cKDTree

    keep = np.ones(len(sources), dtype=np.bool_)
    for extver in np.unique(sources.extver) if least > 0 else ():
        here = np.nonzero(sources.extver == extver)[0]
        pairs = cKDTree(np.column_stack([sources.x, sources.y])[here]).query_pairs(
            least, output_type="ndarray"
        )
        keep[here[pairs.max(axis=1)]] = False  # lists come brightest first
    return chosen_sources(sources, keep)


def chosen_sources(sources: SourceList, keep: NDArray[np.bool_] | NDArray[np.intp]) -> SourceList:
    """The sources that a mask or indices select, in their order."""
    columns = {
        name: getattr(sources, name)[keep]
        for name in ("extver", "x", "y", "ra", "dec", "errors", "magnitudes", "snr")
    }
    return replace(sources, **columns)


def joined_sources(parts: Sequence[SourceList], most: int) -> SourceList:
    """The sources of several lists of one image, the brightest so many, brightest first."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("extver", "x", "y", "ra", "dec", "errors", "magnitudes", "snr")
    }
    joined = SourceList(**columns, detected=sum(part.detected for part in parts))
    return chosen_sources(joined, np.argsort(joined.magnitudes, kind="stable")[:most])
