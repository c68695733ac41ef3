"""What is known of an exposure's pointing before a star is looked at, from the facts of its header.

Exposures taken under the same guide stars share the error of the guide stars' catalog and of the roll;
between them HST points to a few mas as long as the fine lock holds. How large the shared error is depends
on what the header's WCS rests on: guide stars of GSC1 (1 arcsec), of the catalogs tied to Gaia since October
2017 or re-measured in them (GSC240, HSC30: 0.3 arcsec), or a fit to Gaia.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hapctl.processing.astrometry.joint_model import Array, ExposurePrior
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.wcsname import GAIA_FRAMES, parse_wcsname

OLD_GUIDE_STARS = 1.0
NEW_GUIDE_STARS = 0.3
"""Arcsec per coordinate; guide stars of GSC1, and of GSC 2.4 and later."""
NEW_SINCE = 58027.0
"""MJD of 2017-10-01, from when guide stars are on Gaia's frame (GSSS: no offset for epochs after 2017.75)."""
FIT_FLOOR = 0.005
"""Arcsec; the archive's fits of one exposure to Gaia differ by as much, whatever their scatter says."""
ARM = 70.0
"""Arcsec; distance at which roll and scale of an earlier fit are as uncertain as its shift."""
KNOWN_SCALE = 3e-5
UNKNOWN_SCALE = 1e-3
"""Relative; the second where nothing says that updatewcs has applied velocity aberration and taken the
distortion of the filter (UPWCSVER): HRC frames of 2002 share one model among filters and differ by 3e-4."""
UNKNOWN_SKEW = 0.04
"""Pixels at the edge of the field, for the same exposures: what their distortion model leaves over is, where
they overlap others, mostly a skew. The four HRC frames have 6e-5 in one of its terms and 1.2e-4 in the other,
0.03 and 0.06 pixel; without skew chi-squared per degree of freedom is 1.5, with it 0.95."""
HALF_WIDTHS = {"WFC": 2048, "UVIS": 2048, "PC": 750}
"""Half the width of a field, pixels; 512 where it is not named."""
HOUR = 1.0 / 24.0
RELATIVE_POINTING = 0.005
RELATIVE_ROLL = 0.0003
GYRO_ROLL = 0.003
"""Degrees; roll between exposures under gyros drifts by as much as guide stars leave open."""


@dataclass(frozen=True)
class PointingFacts:
    """Plain facts of an exposure.

    Attributes
    ----------
    rootname, visit, detector : str
    start_mjd : float
        Begin of the exposure.
    fgs_lock : str
        FGSLOCK; empty where unknown.
    wcsname : str
        Of the starting WCS.
    updated : bool
        Whether updatewcs made it: velocity aberration is applied and the distortion is the filter's.
    fit_error : float or None
        Arcsec; standard error of the position where the starting WCS is a fit.
    covariance : ndarray, shape (4, 4), or None
        Of (xi, eta, roll, scale) where the fit's own is known.
    guide_stars : tuple of str
        Identifiers, dominant first; empty where unknown.
    """

    rootname: str
    visit: str
    detector: str
    start_mjd: float
    fgs_lock: str
    wcsname: str
    updated: bool
    fit_error: float | None = None
    covariance: Array | None = None
    guide_stars: tuple[str, ...] = ()

    @property
    def locked(self) -> bool:
        """Whether guide stars held the pointing all along."""
        return self.fgs_lock.strip().upper() == "FINE"


@dataclass(frozen=True)
class StatedPrior:
    """A prior, and in words what it rests on."""

    prior: ExposurePrior
    why: str


def facts_of(
    solution: WcsSolution,
    *,
    visit: str,
    detector: str,
    start_mjd: float,
    fgs_lock: str | None,
    covariance: Array | None = None,
    guide_stars: tuple[str, ...] = (),
) -> PointingFacts:
    """Collect the facts of an exposure from its starting WCS and what its header says besides."""
    words = solution.keywords
    return PointingFacts(
        rootname=solution.rootname,
        visit=visit,
        detector=detector,
        start_mjd=start_mjd,
        fgs_lock=fgs_lock or "",
        wcsname=solution.name,
        updated=bool(str(words.get("UPWCSVER", "")).strip()),
        fit_error=_fit_error(words),
        covariance=covariance,
        guide_stars=guide_stars,
    )


def _fit_error(words: Mapping[str, Any]) -> float | None:
    """Scatter of a fit over the root of its stars, arcsec; None where the header does not say."""
    rms, stars = (words.get("RMS_RA"), words.get("RMS_DEC")), words.get("NMATCHES", words.get("NMATCH"))
    numbers = (*rms, stars)
    if not all(isinstance(number, int | float) and number > 0 for number in numbers):
        return None
    return float(1e-3 * np.hypot(*np.array(rms, dtype=np.float64)) / np.sqrt(2.0 * float(stars or 1)))


def guide_stars(header: Mapping[str, Any]) -> tuple[str, ...]:
    """Identifiers of the guide stars in the primary header of an engineering file, dominant first.

    Parameters
    ----------
    header : mapping
        Of an spt file (DGESTAR, SGESTAR) or of a jitter file (GSD_ID, GSR_ID).

    Returns
    -------
    tuple of str
        Empty where the header names none.
    """
    for names in (("DGESTAR", "SGESTAR"), ("GSD_ID", "GSR_ID")):
        found = tuple(str(header.get(name) or "").strip() for name in names)
        if found[0] and found[0].upper() not in ("N/A", "NONE"):
            return tuple(star for star in found if star and star.upper() not in ("N/A", "NONE"))
    return ()


def guide_star_sets(facts: Sequence[PointingFacts]) -> tuple[int, ...]:
    """Number the guide-star sets of exposures.

    A set is of one visit and detector, under one lock and, where they are known, the same guide stars;
    where they are not, it ends when more than an hour passes between two starts.

    Parameters
    ----------
    facts : sequence of PointingFacts
        In any order.

    Returns
    -------
    tuple of int
        For each exposure, from 0 in order of time.
    """
    numbers = [0] * len(facts)
    last: dict[tuple[str, str], tuple[PointingFacts, int]] = {}
    count = 0
    for place in sorted(range(len(facts)), key=lambda n: (facts[n].start_mjd, facts[n].rootname)):
        own = facts[place]
        before = last.get((own.visit, own.detector))
        if before is not None and _continues(before[0], own):
            numbers[place] = before[1]
        else:
            numbers[place] = count
            count += 1
        last[own.visit, own.detector] = (own, numbers[place])
    return tuple(numbers)


def _continues(before: PointingFacts, own: PointingFacts) -> bool:
    if before.fgs_lock.strip().upper() != own.fgs_lock.strip().upper():
        return False
    if before.guide_stars and own.guide_stars:
        return before.guide_stars == own.guide_stars
    return own.start_mjd - before.start_mjd <= HOUR


def exposure_priors(facts: Sequence[PointingFacts]) -> tuple[StatedPrior, ...]:
    """Say what is known of each exposure's pointing.

    Parameters
    ----------
    facts : sequence of PointingFacts
        Of all exposures that will be solved together.

    Returns
    -------
    tuple of StatedPrior
        In the order of the facts.
    """
    sets = guide_star_sets(facts)
    return tuple(_stated(own, number) for own, number in zip(facts, sets, strict=True))


def _stated(facts: PointingFacts, number: int) -> StatedPrior:
    skew = 0.0 if facts.updated else UNKNOWN_SKEW / HALF_WIDTHS.get(facts.detector, 512)
    scale = KNOWN_SCALE if facts.updated else UNKNOWN_SCALE
    on_scale = "scale by updatewcs" if facts.updated else "scale and skew not vouched for by updatewcs"
    fitted = _fit_covariance(facts, scale)
    pointing, rests_on = _pointing(facts)
    prior = ExposurePrior(
        guide_star_set=number,
        pointing=pointing,
        scale=scale,
        relative_pointing=RELATIVE_POINTING if facts.locked else None,
        relative_roll_deg=RELATIVE_ROLL if facts.locked else GYRO_ROLL,
        skew=skew if fitted is None else 0.0,
        covariance=fitted,
    )
    if fitted is not None:
        error = 1e3 * float(np.sqrt(fitted[0, 0]))
        return StatedPrior(prior, f"{facts.wcsname} is a fit to Gaia, good to {error:.1f} mas")
    lock = facts.fgs_lock.strip() or "unknown"
    return StatedPrior(prior, f"{rests_on}, FGSLOCK {lock}, guide-star set {number}, {on_scale}")


def _pointing(facts: PointingFacts) -> tuple[float, str]:
    """Error of the guide stars, arcsec per coordinate, and what it rests on."""
    name = parse_wcsname(facts.wcsname)
    on_sky = name.kind == "a_priori" or (name.kind == "fit" and name.reference != "NONE")
    if on_sky:
        return NEW_GUIDE_STARS, f"{name.reference} in {facts.wcsname}"
    if facts.start_mjd >= NEW_SINCE:
        return NEW_GUIDE_STARS, "guide stars on Gaia's frame"
    return OLD_GUIDE_STARS, "guide stars of GSC1"


def _fit_covariance(facts: PointingFacts, scale: float) -> Array | None:
    """Of a start that is a fit to Gaia; None of any other.

    Where the fit's own covariance is not known, of its stated scatter, with a floor; the same at `ARM` by
    roll and by scale.
    """
    name = parse_wcsname(facts.wcsname)
    if name.kind != "fit" or (name.reference or "").upper() not in GAIA_FRAMES:
        return None
    if facts.covariance is not None:
        return facts.covariance
    if facts.fit_error is None:
        return None
    shift = float(np.hypot(facts.fit_error, FIT_FLOOR))
    return np.diag([shift**2, shift**2, (shift / ARM) ** 2, max(shift / ARM, scale) ** 2])
