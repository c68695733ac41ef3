"""An alignment in words: what was asked, the verdict in one sentence, what moved by how many sigmas."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.archive.alignment_reports import ReportedAttempt, ReportedMember
from hapctl.processing.pipeline.alignment_report_data import AlignmentReport

_NAMED = 6


@dataclass(frozen=True)
class Movement:
    """A correction against what was known beforehand; sigmas are NaN where the prior allows none.

    Attributes
    ----------
    east, north : float
        Arcsec.
    shift_sigma : float
        The larger of the two coordinates.
    roll_deg, roll_sigma : float
        From east to north about the centre of the exposure.
    scale_ppm, scale_sigma : float
    skew_ppm : float
        The larger of the two terms; 0 where skew was left out.
    from_set_mas, from_set_sigma : float
        Distance from the mean of the guide-star set, and the larger coordinate in sigmas of the relative
        pointing; NaN without another exposure in the set, or without a fine lock.
    """

    east: float
    north: float
    shift_sigma: float
    roll_deg: float
    roll_sigma: float
    scale_ppm: float
    scale_sigma: float
    skew_ppm: float
    from_set_mas: float
    from_set_sigma: float


@dataclass(frozen=True)
class Step:
    """Attempts that ended alike: one step of the ladder, one outcome, one reason, several exposures."""

    attempts: tuple[ReportedAttempt, ...]

    @property
    def first(self) -> ReportedAttempt:
        """What all of them share is read from the first."""
        return self.attempts[0]

    @property
    def rootnames(self) -> list[str]:
        """Of the exposures."""
        return [attempt.rootname for attempt in self.attempts]


def movement(member: ReportedMember, members: Sequence[ReportedMember]) -> Movement:
    """How far an exposure moved, in sigmas of what was known.

    Parameters
    ----------
    member : ReportedMember
    members : sequence of ReportedMember
        Of all groups; those of the same guide-star set are compared.
    """
    east, north, roll, scale = member.correction[:4]
    pointing, roll_sigma, scale_sigma = _prior_sigmas(member)
    distance, sigmas = _from_set(member, members)
    return Movement(
        east=east,
        north=north,
        shift_sigma=_ratio(max(abs(east), abs(north)), pointing),
        roll_deg=float(np.degrees(roll)),
        roll_sigma=_ratio(abs(float(np.degrees(roll))), roll_sigma),
        scale_ppm=1e6 * scale,
        scale_sigma=_ratio(abs(scale), scale_sigma),
        skew_ppm=1e6 * max(map(abs, member.correction[4:6])),
        from_set_mas=distance,
        from_set_sigma=sigmas,
    )


def _prior_sigmas(member: ReportedMember) -> tuple[float, float, float]:
    """Standard deviations known beforehand: arcsec per coordinate, degrees, relative."""
    prior = member.prior
    if prior.get("covariance"):
        sigmas = np.sqrt(np.diag(np.reshape(prior["covariance"], (4, 4))))
        return float(sigmas[:2].max()), float(np.degrees(sigmas[2])), float(sigmas[3])
    pointing = np.hypot(prior["pointing"], prior.get("relative_pointing") or 0.0)
    roll = np.hypot(prior["roll_deg"], prior.get("relative_roll_deg") or 0.0)
    return float(pointing), float(roll), float(prior["scale"])


def _from_set(member: ReportedMember, members: Sequence[ReportedMember]) -> tuple[float, float]:
    relative = member.prior.get("relative_pointing")
    same = [
        one.correction[:2]
        for one in members
        if (one.alignment_group_id, one.guide_star_set) == (member.alignment_group_id, member.guide_star_set)
    ]
    if len(same) < 2 or not relative:
        return float("nan"), float("nan")
    offset = np.asarray(member.correction[:2]) - np.mean(same, axis=0)
    # The mean of n takes part of the offset with it.
    expected = relative * np.sqrt(1.0 - 1.0 / len(same))
    return 1e3 * float(np.hypot(*offset)), float(np.abs(offset).max() / expected)


def _ratio(value: float, sigma: float) -> float:
    return value / sigma if sigma > 0 else float("nan")


def steps(attempts: Sequence[ReportedAttempt]) -> list[Step]:
    """Attempts with the same step, outcome and reason together, in the order of the first."""
    found: dict[tuple[object, ...], list[ReportedAttempt]] = {}
    for attempt in attempts:
        key = (
            attempt.ladder_step,
            attempt.catalog,
            attempt.method,
            attempt.metrics.get("method"),
            attempt.outcome,
            attempt.code,
            attempt.reason,
        )
        found.setdefault(key, []).append(attempt)
    return [Step(tuple(alike)) for alike in found.values()]


def asked(report: AlignmentReport) -> str:
    """What the run was asked for."""
    given = report.run.parameters
    scope = next((name for name in ("visit", "tile", "exposures") if given.get(name)), None)
    what = "an alignment" if scope is None else f"{_SCOPES[scope]} {given[scope]}"
    words = [f"Run {report.run.run_id} was asked to align {what}"]
    if given.get("catalog") == "NONE":
        words.append("its exposures to each other only")
    elif given.get("catalog"):
        words.append(f"to {given['catalog']}")
    else:
        words.append(f"by the ladder {report.attempts[0].ladder or 'in force'}")
    if given.get("offline"):
        words.append("without asking a service")
    if given.get("changes"):
        changes = ", ".join(f"{key} = {value}" for key, value in sorted(given["changes"].items()))
        words.append(f"with changed rules ({changes})")
    return ", ".join(words) + f"; it was judged by {report.attempts[0].policy}."


_SCOPES = {"visit": "the visit", "tile": "the tile", "exposures": "the exposures"}


def verdict(report: AlignmentReport) -> str:
    """The outcome in one sentence."""
    accepted, total = report.accepted, len(report.final)
    tied = [one for one in accepted if one.catalog is not None]
    count = _count(len(accepted), total)
    if not accepted:
        return f"Refused: the solutions in force before stay in force; {_last_reason(report)}."
    if len(tied) == len(accepted):
        words = f"Accepted: {count} tied to {_catalogs(tied)}{_stars(report, tied)}{_error(report)}"
    elif tied:
        others = [one.rootname for one in accepted if one not in tied]
        mine = named([one.rootname for one in tied])
        words = f"Accepted in part: tied to {_catalogs(tied)}{_stars(report, tied)}: {mine}; to each other "
        words += f"only: {named(others)}"
    else:
        words = f"To each other only {count} aligned: no catalog ties them to the sky{_why_no_tie(report)}"
    left = [one.rootname for one in report.final.values() if not one.accepted]
    if left:
        words += f"; refused: {named(left)}"
    return words + _not_in_force(accepted) + "."


def _count(accepted: int, total: int) -> str:
    if accepted < total:
        return f"{accepted} of {total} exposures {'is' if accepted == 1 else 'are'}"
    return {1: "the exposure is", 2: "both exposures are"}.get(total, f"all {total} exposures are")


def named(rootnames: Sequence[str]) -> str:
    """Rootnames in a sentence; of many only some."""
    shown = list(rootnames[:_NAMED])
    if len(rootnames) > len(shown):
        return f"{', '.join(shown)} and {len(rootnames) - len(shown)} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _catalogs(attempts: Sequence[ReportedAttempt]) -> str:
    return " and ".join(dict.fromkeys(str(attempt.catalog) for attempt in attempts))


def _stars(report: AlignmentReport, attempts: Sequence[ReportedAttempt]) -> str:
    """By how many stars of the catalog, and which exposures have none of their own."""
    total = sum(int(group.figures.get("catalog_stars") or 0) for group in report.groups)
    without = [one.rootname for one in attempts if not one.metrics.get("catalog_stars_used")]
    words = f" by {total} of its stars" if total else ""
    return words + (f" ({named(without)} through other exposures)" if without else "")


def _error(report: AlignmentReport) -> str:
    known = [report.member(attempt) for attempt in report.accepted]
    errors = [member.predicted_error_mas for member in known if member is not None]
    if not errors:
        return ""
    low, high = f"{min(errors):.2f}", f"{max(errors):.2f}"
    return f", predicted error {low} mas" if low == high else f", predicted error {low} to {high} mas"


def _why_no_tie(report: AlignmentReport) -> str:
    refused = [attempt for attempt in report.refused if attempt.catalog is not None]
    if not refused:
        return ""
    fitted = [attempt for attempt in refused if attempt.code != "service"]
    last = (fitted or refused)[-1]
    return f" ({last.catalog}: {last.reason})"


def _last_reason(report: AlignmentReport) -> str:
    reasons = dict.fromkeys(attempt.reason for attempt in report.final.values())
    return "; ".join(list(reasons)[:2])


def _not_in_force(accepted: Sequence[ReportedAttempt]) -> str:
    other = [one.rootname for one in accepted if one.active_solution_id != one.solution_id]
    return f"; another solution is in force now for {named(other)}" if other else ""
