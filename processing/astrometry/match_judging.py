"""The rule applied to a match that priors hold, not a geometry: chance, stars, plausibility, agreement."""

from hapctl.processing.astrometry.acceptance import (
    AcceptanceRule,
    Evidence,
    Verdict,
    disagreeing,
    implausible,
)

Broken = list[tuple[str, str]]


def judge_match(evidence: Evidence, rule: AcceptanceRule) -> Verdict:
    """Apply a rule to the evidence of a match.

    Parameters
    ----------
    evidence : Evidence
        With `log10_expected`.
    rule : AcceptanceRule

    Returns
    -------
    Verdict
        The code is that of the first limit broken, the reason tells all of them with their figures.
    """
    broken = [*_too_few(evidence, rule), *_by_chance(evidence, rule), *implausible(evidence, rule)]
    broken += [*_departing(evidence, rule), *disagreeing(evidence, rule), *_no_better(evidence, rule)]
    if broken:
        return Verdict(False, broken[0][0], "; ".join(text for _, text in broken))
    return Verdict(True, "accepted", _summary(evidence))


def _summary(evidence: Evidence) -> str:
    decoys = f"; none of {evidence.decoys} decoys matched as many" if evidence.decoys else ""
    return (
        f"{evidence.stars} stars ({evidence.method}), rms {evidence.rms_mas:.1f} mas in a coordinate, "
        f"10^{evidence.log10_expected:.1f} chance matches expected{decoys}"
    )


def _too_few(evidence: Evidence, rule: AcceptanceRule) -> Broken:
    confirmed = evidence.confirmed >= evidence.stars
    least = rule.least_confirmed_stars if confirmed else rule.least_stars
    if evidence.stars >= least:
        return []
    text = f"{evidence.stars} stars matched, {least} are needed"
    if not confirmed:
        text += (
            f" ({rule.least_confirmed_stars} where all are seen in two exposures; {evidence.confirmed} are)"
        )
    return [("too-few-stars", text)]


def _by_chance(evidence: Evidence, rule: AcceptanceRule) -> Broken:
    broken = []
    expected = evidence.log10_expected
    if expected is None or not expected <= rule.most_log10_expected:
        found = "an unknown number of" if expected is None else f"10^{expected:.1f}"
        text = f"{found} chance matches of {evidence.stars} stars are expected"
        broken.append(("chance-limit", f"{text}, 10^{rule.most_log10_expected:g} are allowed"))
    if evidence.decoys and evidence.decoy_score >= evidence.stars:
        text = f"one of {evidence.decoys} decoys matched {evidence.decoy_score} stars, the true list"
        broken.append(("decoy-scores-as-high", f"{text} {evidence.stars}"))
    return broken


def _departing(evidence: Evidence, rule: AcceptanceRule) -> Broken:
    """Priors contradicted; strong evidence may contradict them, within the limits of the rule."""
    if evidence.log10_expected is not None and evidence.log10_expected <= rule.strong_log10_expected:
        return []
    return [
        (
            departure.code,
            f"{departure.what} departs by {departure.sigma:.1f} standard deviations from what is known, "
            f"{rule.most_prior_sigma:g} are allowed without strong evidence",
        )
        for departure in evidence.departures
        if not departure.sigma <= rule.most_prior_sigma
    ]


def _no_better(evidence: Evidence, rule: AcceptanceRule) -> Broken:
    broken = []
    chance, gain, free = evidence.chi_log10_chance, evidence.improvement, evidence.roll_freedom
    if free is not None and not free <= rule.most_roll_freedom:
        text = f"the stars know the roll {free:.1f} times worse than what is known beforehand"
        broken.append(("roll-unknown", f"{text}, {rule.most_roll_freedom:g} times is allowed"))
    if chance is not None and not chance >= rule.most_chi_log10_chance:
        text = f"residuals as large as these have a chance of 10^{chance:.1f} by the stated errors"
        broken.append(("residual-limit", f"{text}, 10^{rule.most_chi_log10_chance:g} is allowed"))
    broken += [*_hanging(evidence, rule), *_hidden(evidence, rule)]
    if gain is not None and not gain >= rule.least_improvement:
        text = f"chi-squared of the catalog's stars falls by {gain:.1f} from the solution before"
        broken.append(("no-improvement", f"{text}, {rule.least_improvement:g} is asked"))
    return broken


def _hanging(evidence: Evidence, rule: AcceptanceRule) -> Broken:
    change, predicted = evidence.single_star_mas, evidence.predicted_mas
    if change is None or predicted is None:
        return []
    allowed = rule.most_single_star_sigma * predicted + rule.single_star_floor_mas
    if change <= allowed:
        return []
    text = f"without one of its {evidence.stars} stars the solution moves by {change:.1f} mas"
    return [("single-star", f"{text}, {allowed:.1f} mas are allowed")]


def _hidden(evidence: Evidence, rule: AcceptanceRule) -> Broken:
    chance = evidence.log10_hidden
    if chance is None or chance <= rule.most_log10_hidden:
        return []
    text = (
        f"with a chance of 10^{chance:.1f} a wrong star or roll hides among {evidence.stars} stars and the "
        f"solution is off by more than {rule.hidden_sigma:g} predicted errors and {rule.hidden_floor_mas:g}"
    )
    return [("hidden-error", f"{text} mas, 10^{rule.most_log10_hidden:g} is allowed")]
