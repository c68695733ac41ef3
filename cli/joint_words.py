"""A joint solution of many exposures in words: who took part, what was known before, how well it is now."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hapctl.archive.wcs_reports import MembershipLine

_NAMED = 6
"""Exposures named; of more, only the number is given."""


def named(rootnames: Sequence[str]) -> str:
    """Rootnames in a sentence."""
    shown = list(rootnames[:_NAMED])
    if len(rootnames) > len(shown):
        return f"{', '.join(shown)} and {len(rootnames) - len(shown)} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def joint_words(member: "MembershipLine") -> list[str]:
    """Sentences on the joint solution that an exposure took part in."""
    return [_group_words(member), _prior_words(member), _error_words(member)]


def _group_words(member: "MembershipLine") -> str:
    figures = member.figures
    what = {"visit": "visit", "tile": "tile", "exposures": "list"}[member.scope]
    others = f" with {named(member.members)}" if member.members else " alone"
    name = "" if member.scope == "exposures" else f" {member.scope_name}"
    words = f"It was solved for{others} (of the {what}{name}): {figures.get('stars', 0)} stars"
    if member.catalog is not None:
        words += f", {figures.get('catalog_stars', 0)} of them of {member.catalog}"
        if figures.get("catalog_rms_mas") is not None:
            words += f" with an rms of {figures['catalog_rms_mas']:.1f} mas"
    if figures.get("freedom"):
        words += (
            f"; chi-squared {figures['chi_squared']:.0f} for {figures['freedom']} degrees of freedom, errors "
            f"multiplied by {figures['rescaling']:.2f}"
        )
    return words + "."


def _prior_words(member: "MembershipLine") -> str:
    prior: dict[str, Any] = member.prior
    if prior.get("covariance"):
        known = "by the covariance of the fit it began with"
    else:
        known = (
            f"to {prior['pointing']:g} arcsec in pointing, {prior['roll_deg']:g} degree in roll and "
            f"{prior['scale']:g} in scale"
        )
    words = f"Before a star was looked at it was known {known} ({prior.get('why', 'no reason given')})"
    if member.set_members and prior.get("relative_pointing"):
        words += (
            f"; against {named(member.set_members)}, of its guide-star set, to "
            f"{1e3 * prior['relative_pointing']:g} mas"
        )
    elif member.set_members:
        shares = "shares" if len(member.set_members) == 1 else "share"
        words += (
            f"; {named(member.set_members)} {shares} its guide-star set, without a fine lock between them"
        )
    return words + "."


def _error_words(member: "MembershipLine") -> str:
    words = f"Its positions are predicted to be right to {member.predicted_error_mas:.2f} mas"
    if member.catalog is None:
        return f"{words} on the sky, to which no catalog ties the group."
    return f"{words}, {member.common_floor_mas:.2f} mas a coordinate of which are the catalog's own."
