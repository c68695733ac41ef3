"""The rule that accepts or refuses a fit: named, versioned numbers applied to evidence.

A rule is data (a policy row of the catalog); this module only compares. Every limit that is broken
is reported, with the figure and the limit, as text and as a code.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from hapctl.processing.astrometry.list_alignment import MatchSettings
from hapctl.processing.errors import UsageProblemError

_RETIRED = frozenset({"minimum_stars", "most_log10_chance"})
"""Entries of rules of version 1 that nothing is judged by any more."""


@dataclass(frozen=True)
class AcceptanceRule:
    """The numbers by which matches are made and judged.

    Attributes
    ----------
    name, version : str, int
        What the policy row is called.
    search_radius_arcsec, search_roll_deg, search_tolerance_arcsec : float
        Reach and tolerance of the search for the offset to the catalog.
    relative_radius_arcsec, relative_roll_deg, relative_tolerance_arcsec : float
        The same between exposures of different guide-star sets.
    relative_match_arcsec, absolute_match_arcsec : float
        The tightest tolerance of a match.
    error_floor_mas : float
        Added in quadrature to the error of every pair: what distortion models leave. With 0.5 mas the joint
        fit of real ACS/HRC frames of 47 Tuc has a reduced chi-squared of 0.9, without it 3.8; simulated
        visits, whose distortion is known exactly, have 0.8 and 1.0 (bench_pixels).
    magnitude_limit : float
        Pairs whose magnitude difference departs more from the usual are left out.
    most_stars : int
        The brightest so many sources of an exposure take part.
    decoys : int
        Number of decoys; none may score as high as the true list.
    most_rotation_deg, most_scale_change, most_shift_arcsec : float
        Limits of a plausible correction to the starting WCS; the first two of relative fits too.
    most_rms_mas : float
        Of either coordinate.
    worst_exposure_sigma, worst_exposure_floor_mas : float
        The mean residual of each exposure with matched stars stays within so many of its standard
        errors, or within the floor.
    least_coverage : float
        Part of the footprint that the reference catalog must cover.
    direct_radius_arcsec, direct_roll_deg : float
        Reach within which positions are first taken as they are, before the search.
    set_radius_arcsec, set_roll_deg : float
        The same between exposures of one guide-star set.
    motion_mas_per_year : float
        Growth of tolerances with the years between exposures, for stars of no catalog.
    least_stars, least_confirmed_stars : int
        Least number of stars that tie an exposure or a group; the second where all of them are seen in two
        exposures, and so are no cosmic rays.
    most_log10_expected : float
        Decimal logarithm of the expected number of chance matches of so many stars.
    sure_log10_expected : float
        Below this, decoys are not asked.
    strong_log10_expected : float
        Below this, the evidence is strong: it may contradict a prior.
    most_prior_sigma : float
        A correction stays within so many standard deviations of its prior, unless the evidence is strong.
    most_chi_log10_chance : float
        Decimal logarithm of the chance of residuals as large as those of a group's catalog stars.
    most_roll_freedom : float
        Standard error of the roll by the stars alone, over the prior's: beyond this the prior says what the
        roll is, and where the prior is wrong nothing would tell.
    harmless_roll_mas : float
        A roll wrong by `most_prior_sigma` that moves no source by more is not asked about.
    most_single_star_sigma, single_star_floor_mas : float
        Without any one star of the catalog the solution changes by no more than so many predicted errors
        and the floor: else one star that is wrong would not be noticed.
    wrong_star, wrong_roll : float
        Probability, before the stars are compared, that a matched star of the catalog is wrong, and that the
        roll of the guide stars is.
    wrong_star_arcsec, wrong_roll_deg : float
        By how much, as standard deviations of a coordinate and of the roll.
    most_log10_hidden : float
        Decimal logarithm of the chance, with this, that the solution is further off than
        `hidden_sigma` predicted errors and `hidden_floor_mas`.
    hidden_sigma, hidden_floor_mas : float
    least_improvement : float
        Chi-squared of the previous solution less that of the new one, for the same stars, is at least this.
    least_focus_ratio : float
        Correlation of the exposures in their overlap, after over before (`imaging.overlap_similarity`).
    """

    name: str = "align-default"
    version: int = 3
    search_radius_arcsec: float = 5.0
    search_roll_deg: float = 0.12
    search_tolerance_arcsec: float = 0.1
    relative_radius_arcsec: float = 5.0
    relative_roll_deg: float = 0.12
    relative_tolerance_arcsec: float = 0.1
    relative_match_arcsec: float = 0.01
    absolute_match_arcsec: float = 0.02
    error_floor_mas: float = 0.5
    magnitude_limit: float = 3.0
    most_stars: int = 2000
    decoys: int = 200
    most_rotation_deg: float = 0.2
    most_scale_change: float = 1e-3
    most_shift_arcsec: float = 6.0
    most_rms_mas: float = 100.0
    worst_exposure_sigma: float = 5.0
    worst_exposure_floor_mas: float = 3.0
    least_coverage: float = 0.5
    direct_radius_arcsec: float = 0.3
    direct_roll_deg: float = 0.006
    set_radius_arcsec: float = 0.3
    set_roll_deg: float = 0.006
    motion_mas_per_year: float = 5.0
    least_stars: int = 4
    least_confirmed_stars: int = 3
    most_log10_expected: float = -5.0
    sure_log10_expected: float = -40.0
    strong_log10_expected: float = -12.0
    most_prior_sigma: float = 5.0
    most_chi_log10_chance: float = -6.0
    most_roll_freedom: float = 1.0
    harmless_roll_mas: float = 5.0
    most_single_star_sigma: float = 2.5
    single_star_floor_mas: float = 2.0
    wrong_star: float = 0.05
    wrong_roll: float = 0.1
    wrong_star_arcsec: float = 0.02
    wrong_roll_deg: float = 0.03
    most_log10_hidden: float = -4.0
    hidden_sigma: float = 5.0
    hidden_floor_mas: float = 5.0
    least_improvement: float = 0.0
    least_focus_ratio: float = 0.85

    def content(self) -> dict[str, Any]:
        """The numbers alone, as they are kept in a policy row."""
        numbers = asdict(self)
        del numbers["name"], numbers["version"]
        return numbers

    @classmethod
    def from_content(cls, name: str, version: int, content: Mapping[str, Any]) -> "AcceptanceRule":
        """From a policy row; what it lacks is as in the default rule.

        Rows of version 1 chose a geometry by the number of stars and judged the search's peak: priors and
        the expected chance matches have taken the place of these entries, which are passed over.

        Raises
        ------
        UsageProblemError
            The row names something that this software does not know.
        """
        unknown = set(content) - {f.name for f in fields(cls)} - _RETIRED
        if unknown:
            raise UsageProblemError(
                f"policy {name} version {version}: unknown entries {', '.join(sorted(unknown))}",
                "correct the policy, or use the hapctl that wrote it",
            )
        return replace(cls(name, version), **{k: v for k, v in content.items() if k not in _RETIRED})

    def absolute_settings(self) -> MatchSettings:
        """How the stars of a group are matched with a catalog."""
        return MatchSettings(
            radius=self.search_radius_arcsec,
            roll_deg=self.search_roll_deg,
            tolerance=self.search_tolerance_arcsec,
            floor=self.error_floor_mas / 1e3,
            least_tolerance=self.absolute_match_arcsec,
            magnitude_limit=self.magnitude_limit,
        )

    def relative_settings(self) -> MatchSettings:
        """How the stars of exposures are matched with each other."""
        return replace(
            self.absolute_settings(),
            radius=self.relative_radius_arcsec,
            roll_deg=self.relative_roll_deg,
            tolerance=self.relative_tolerance_arcsec,
            least_tolerance=self.relative_match_arcsec,
        )


@dataclass(frozen=True)
class ExposureResidual:
    """How far one exposure of a group lies from the catalog after the fit.

    Attributes
    ----------
    rootname : str
    stars : int
        Its own stars that were used.
    mean_mas : float
        Length of its weighted mean residual.
    error_mas : float
        Standard error of a coordinate of that mean.
    """

    rootname: str
    stars: int
    mean_mas: float
    error_mas: float


@dataclass(frozen=True)
class Departure:
    """A correction in units of what is allowed beforehand.

    Attributes
    ----------
    what : str
        In words, as ``roll of the guide-star set``.
    code : str
        Of a refusal for it.
    sigma : float
        Standard deviations of the prior.
    """

    what: str
    code: str
    sigma: float


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a fit.

    Attributes
    ----------
    stars : int
        Used by the fit.
    decoy_score : int
        The most stars that a decoy matched.
    log10_chance : float
        Of the search's peak, for the record; 0 is certain, or no histogram was made.
    rotation_deg, scale : float
        Of the fit; scale 1 changes nothing.
    shift_arcsec : float
        At the middle of the stars.
    rms_mas : float
        The larger of the two coordinates.
    exposures : tuple of ExposureResidual
        Empty for a relative fit.
    figures : dict
        More that was found on the way, for the record; nothing is judged by it.
    method : str
        ``relative``, ``direct`` or ``histogram``.
    log10_expected : float or None
        Decimal logarithm of the expected number of chance matches; None where it is not known.
    confirmed : int
        Stars among `stars` that are seen in two exposures or more.
    decoys : int
        Decoys tried.
    departures : tuple of Departure
    chi_log10_chance : float or None
        Decimal logarithm of the chance of residuals as large as those of the catalog's stars.
    roll_freedom : float or None
        Standard error of the roll by the stars alone, over the prior's.
    single_star_mas, predicted_mas : float or None
        Change without the star on which the solution depends most, and the error predicted there.
    log10_hidden : float or None
        Decimal logarithm of the chance that a wrong star or a wrong roll hides in the solution; None where
        so many stars outvote any.
    improvement : float or None
        Chi-squared of the same stars under the solution before, less that under the new one.
    """

    stars: int
    decoy_score: int
    log10_chance: float
    rotation_deg: float
    scale: float
    shift_arcsec: float
    rms_mas: float
    exposures: tuple[ExposureResidual, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    method: str = "histogram"
    log10_expected: float | None = None
    confirmed: int = 0
    decoys: int = 0
    departures: tuple[Departure, ...] = ()
    chi_log10_chance: float | None = None
    roll_freedom: float | None = None
    single_star_mas: float | None = None
    predicted_mas: float | None = None
    log10_hidden: float | None = None
    improvement: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Accepted, or refused with reasons.

    Attributes
    ----------
    accepted : bool
    code : str
        ``accepted`` or the code of the first limit broken.
    reason : str
        Words with figures; all limits broken.
    """

    accepted: bool
    code: str
    reason: str


def refused(code: str, reason: str) -> Verdict:
    """A refusal before there was any fit to judge."""
    return Verdict(False, code, reason)


def implausible(evidence: Evidence, rule: AcceptanceRule) -> list[tuple[str, str]]:
    """Codes and words of the limits on a correction and its scatter that are broken."""
    limits = [
        ("rotation-limit", "rotation", abs(evidence.rotation_deg), rule.most_rotation_deg, "degree", 1.0),
        ("scale-limit", "scale change", abs(evidence.scale - 1.0), rule.most_scale_change, "x 1e-6", 1e6),
        ("shift-limit", "shift", evidence.shift_arcsec, rule.most_shift_arcsec, "arcsec", 1.0),
        ("rms-limit", "rms", evidence.rms_mas, rule.most_rms_mas, "mas", 1.0),
    ]
    return [
        (code, f"{what} {value * factor:.4g} {unit} exceeds the limit of {limit * factor:g} {unit}")
        for code, what, value, limit, unit, factor in limits
        if not value <= limit
    ]


def _allowed_mas(exposure: ExposureResidual, rule: AcceptanceRule) -> float:
    return max(rule.worst_exposure_sigma * exposure.error_mas, rule.worst_exposure_floor_mas)


def disagrees(exposure: ExposureResidual, rule: AcceptanceRule) -> bool:
    """Whether an exposure lies elsewhere than the others, by its own stars."""
    return exposure.stars > 0 and exposure.mean_mas > _allowed_mas(exposure, rule)


def disagreeing(evidence: Evidence, rule: AcceptanceRule) -> list[tuple[str, str]]:
    """Codes and words of the exposures that lie elsewhere than the others."""
    broken = []
    for exposure in evidence.exposures:
        if disagrees(exposure, rule):
            allowed = _allowed_mas(exposure, rule)
            text = (
                f"{exposure.rootname} lies {exposure.mean_mas:.1f} mas from the catalog by its own "
                f"{exposure.stars} stars, {allowed:.1f} mas are allowed"
            )
            broken.append(("worst-exposure", text))
    return broken
