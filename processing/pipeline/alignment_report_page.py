"""The page of a report: one HTML document that needs nothing else, no network, no scripts."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from string import Template

import numpy as np
from hapctl.archive.alignment_reports import ReportedAttempt
from hapctl.processing.pipeline.alignment_report_data import AlignmentReport, UsedAnswer
from hapctl.processing.pipeline.alignment_report_words import (
    Step,
    asked,
    movement,
    named,
    steps,
    verdict,
)

MARK = '<meta name="generator" content="hapctl align report">'
"""Tells a page of ours from any other file."""
UNKNOWN = "-"
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
$mark
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 70rem;
  margin: 0 auto; padding: 0 1rem 3rem; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; margin: 1.2rem 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #ccc; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .4rem 0; }
.verdict { border-left: .4rem solid #009e73; background: #eef8f4; padding: .6rem .8rem; font-size: 1.05rem; }
.verdict.partly { border-color: #e69f00; background: #fdf6e6; }
.verdict.refused, .refusal { border-left: .4rem solid #d55e00; background: #fdf0e8; }
.refusal { padding: .5rem .8rem; margin: .6rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid #ddd; }
th { background: #f3f3f3; }
td.short { white-space: nowrap; }
td.reason { min-width: 18rem; }
.accepted, .unchanged { color: #00664b; font-weight: 600; }
.refused-word { color: #a84300; font-weight: 600; }
figure { margin: .8rem 0; }
figcaption, .note { font-size: .85rem; color: #444; }
img { max-width: 100%; height: auto; }
summary { cursor: pointer; font-weight: 600; margin: .8rem 0; }
code { background: #f3f3f3; padding: 0 .2rem; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


@dataclass(frozen=True)
class Picture:
    """A picture of the page: a PNG with its title and caption under a heading."""

    group: str
    title: str
    caption: str
    png: bytes
    is_folded: bool = False


def page(report: AlignmentReport, pictures: Sequence[Picture], notes: Sequence[str] = ()) -> str:
    """The whole page.

    Parameters
    ----------
    report : AlignmentReport
    pictures : sequence of Picture
    notes : sequence of str
        What is not shown, and why.
    """
    subject = report.subject
    title = f"Alignment of visit {subject.visit}" if subject.visit else f"Alignment: {subject.name}"
    parts = [
        _run_line(report),
        f'<p class="verdict {_kind(report)}">{escape(verdict(report))}</p>',
        f"<p>{escape(asked(report))}</p>",
        _refusals(report),
        _exposures(report),
        _groups(report),
        _ladder(report),
        _catalogs(report.answers),
        _pictures(pictures, notes),
        _left_out(report),
        _others(report),
        _further(report),
    ]
    return _PAGE.substitute(mark=MARK, title=escape(title), body="\n".join(part for part in parts if part))


def _kind(report: AlignmentReport) -> str:
    if not report.accepted:
        return "refused"
    whole = len(report.accepted) == len(report.final) and all(a.catalog for a in report.accepted)
    return "accepted" if whole else "partly"


def _run_line(report: AlignmentReport) -> str:
    run = report.run
    words = (
        f"Run {run.run_id}, {run.started:%Y-%m-%d %H:%M:%S} UTC, hapctl {run.hapctl_version}, "
        f"by {run.operator} on {run.host}"
    )
    if run.outcome in ("failed", "interrupted"):
        words += f"; the run {'has ' if run.outcome == 'failed' else 'was '}{run.outcome}: {run.message}"
    return f'<p class="note">{escape(words)}<br><code>hapctl {escape(" ".join(run.arguments))}</code></p>'


def _refusals(report: AlignmentReport) -> str:
    found = steps(report.refused)
    if not found:
        return ""
    return "<h2>Refused</h2>\n" + "\n".join(_refusal(step) for step in found)


def _refusal(step: Step) -> str:
    first = step.first
    target = first.catalog or "each other"
    head = f"{_step_words(first)}{target}: {first.code}"
    figures = [
        ("detected", [f"{attempt.n_detected}" for attempt in step.attempts]),
        ("stars of the catalog in the field", [_in_field(attempt) for attempt in step.attempts]),
        ("part of the field it covers", [_figure(a.covered_fraction, "{:.0%}") for a in step.attempts]),
        ("score", [_figure(attempt.score, "{:.0f}") for attempt in step.attempts]),
        ("best decoy", [_figure(attempt.best_decoy_score, "{:.0f}") for attempt in step.attempts]),
        ("log10 of the matches by chance", [_metric(a, "log10_expected", "{:.1f}") for a in step.attempts]),
        ("rms, mas", [_metric(attempt, "rms_mas", "{:.1f}") for attempt in step.attempts]),
    ]
    numbers = "; ".join(
        f"{name} {', '.join(dict.fromkeys(values))}" for name, values in figures if set(values) != {UNKNOWN}
    )
    return (
        f'<div class="refusal"><strong>{escape(head)}</strong> ({escape(named(step.rootnames))})'
        f'<br>{escape(first.reason)}<br><span class="note">{escape(numbers)}</span></div>'
    )


def _in_field(attempt: ReportedAttempt) -> str:
    return UNKNOWN if attempt.catalog is None else str(attempt.n_reference)


def _step_words(attempt: ReportedAttempt) -> str:
    if attempt.ladder_step is None:
        return ""
    search = attempt.metrics.get("method")
    return f"Step {attempt.ladder_step}{f', {search}' if search else ''}, to "


def _exposures(report: AlignmentReport) -> str:
    head = (
        *("exposure", "detector, filter", "begun with", "new solution", "in force now", "stars", "rms, mas"),
        *(
            "predicted error, mas",
            "shift, arcsec",
            "roll, degree",
            "scale, ppm",
            "skew, ppm",
            "guide-star set",
        ),
    )
    rows = [_exposure(report, attempt) for attempt in report.final.values()]
    note = (
        "Stars: those of the catalog, and all that were used. In brackets: how many standard deviations of "
        "what was known beforehand; of a guide-star set the distance from its mean."
    )
    return f'<h2>Exposures</h2>\n{table(head, rows)}\n<p class="note">{escape(note)}</p>'


def _exposure(report: AlignmentReport, attempt: ReportedAttempt) -> list[str]:
    member = report.member(attempt)
    own, used = (attempt.metrics.get(key) for key in ("catalog_stars_used", "stars_used"))
    cells = [
        f'<td class="short"><strong>{escape(attempt.rootname)}</strong><br>{_outcome(attempt)}</td>',
        _cell(f"{attempt.detector} {attempt.filter.upper()}"),
        _cell(attempt.from_wcsname),
        _cell(attempt.wcsname or "none"),
        _cell(_in_force(attempt)),
        _short(UNKNOWN if used is None else f"{own}, {used}"),
        _short(f"{_figure(attempt.rms_ra_mas, '{:.2f}')} / {_figure(attempt.rms_dec_mas, '{:.2f}')}"),
    ]
    if member is None:
        return [*cells, _short(_metric(attempt, "predicted_error_mas", "{:.2f}")), *[_short(UNKNOWN)] * 5]
    moved = movement(member, report.members)
    in_set = f"{member.guide_star_set}"
    if np.isfinite(moved.from_set_mas):
        in_set += f": {moved.from_set_mas:.2f} mas{_sigmas(moved.from_set_sigma)}"
    return [
        *cells,
        _short(f"{member.predicted_error_mas:.2f}"),
        _short(f"{moved.east:+.4f} E, {moved.north:+.4f} N{_sigmas(moved.shift_sigma)}"),
        _short(f"{moved.roll_deg:+.5f}{_sigmas(moved.roll_sigma)}"),
        _short(f"{moved.scale_ppm:+.1f}{_sigmas(moved.scale_sigma)}"),
        _short(f"{moved.skew_ppm:.1f}" if moved.skew_ppm else "none"),
        f'<td class="short" title="{escape(str(member.prior.get("why", "")))}">{escape(in_set)}</td>',
    ]


def _in_force(attempt: ReportedAttempt) -> str:
    if attempt.active_wcsname is None:
        return "none"
    if attempt.active_solution_id == attempt.solution_id:
        return f"the new one, frame {attempt.active_frame}"
    return f"{attempt.active_wcsname}, frame {attempt.active_frame}"


def _groups(report: AlignmentReport) -> str:
    if not report.groups:
        return ""
    head = (
        *("group", "kind", "stars", "of the catalog", "rms to it, mas", "chi-squared / freedom"),
        "errors multiplied by",
    )
    rows = []
    for group in report.groups:
        figures = group.figures
        rows.append(
            [
                _short(str(group.alignment_group_id)),
                _short(f"{group.kind}{f', {group.catalog}' if group.catalog else ''}"),
                _short(_value(figures.get("stars"), "{}")),
                _short(_value(figures.get("catalog_stars"), "{}")),
                _short(_value(figures.get("catalog_rms_mas"), "{:.2f}")),
                _short(f"{_value(figures.get('chi_squared'), '{:.0f}')} / {figures.get('freedom', UNKNOWN)}"),
                _short(_value(figures.get("rescaling"), "{:.3f}")),
            ]
        )
    known = [f"{m.rootname}: {m.prior.get('why', 'not said')}" for m in report.members]
    items = "".join(f"<li>{escape(one)}</li>" for one in known)
    return (
        f"<h2>Joint solutions</h2>\n{table(head, rows)}\n<details><summary>What was known of the pointings "
        f"before</summary><ul>{items}</ul></details>"
    )


def _ladder(report: AlignmentReport) -> str:
    head = (
        *("step", "catalog", "search", "exposures", "outcome", "code", "stars", "score / decoy"),
        *("log10 by chance", "reason"),
    )
    rows = [_ladder_row(step) for step in steps(report.attempts)]
    return f"<h2>Every attempt</h2>\n{table(head, rows)}"


def _ladder_row(step: Step) -> list[str]:
    first = step.first
    scores = dict.fromkeys(
        f"{_figure(a.score, '{:.0f}')} / {_figure(a.best_decoy_score, '{:.0f}')}" for a in step.attempts
    )
    return [
        _short(_value(first.ladder_step, "{}")),
        _short(first.catalog or "none"),
        _short(str(first.metrics.get("method") or UNKNOWN)),
        _cell(", ".join(step.rootnames)),
        f'<td class="short">{_outcome(first)}</td>',
        _short(first.code),
        _short(", ".join(dict.fromkeys(str(attempt.nmatches) for attempt in step.attempts))),
        _short(", ".join(scores)),
        _short(", ".join(dict.fromkeys(_metric(a, "log10_expected", "{:.1f}") for a in step.attempts))),
        f'<td class="reason">{escape(first.reason)}</td>',
    ]


def _outcome(attempt: ReportedAttempt) -> str:
    name = attempt.outcome if attempt.accepted else "refused-word"
    return f'<span class="{escape(name)}">{escape(attempt.outcome)}</span>'


def _catalogs(answers: Sequence[UsedAnswer]) -> str:
    if not answers:
        return "<h2>Reference catalogs</h2>\n<p>No answer of a catalog was used.</p>"
    head = ("query", "catalog", "from", "region", "rows", "removed by cleaning", "fetched", "SHA-256")
    rows = [_answer(one) for one in answers]
    return f"<h2>Reference catalogs</h2>\n{table(head, rows)}"


def _answer(one: UsedAnswer) -> list[str]:
    answer = one.answer
    codes = ", ".join(f"{count} {code}" for code, count in sorted(one.removed.items()))
    removed = sum(one.removed.values())
    return [
        _short(str(answer.reference_query_id)),
        _short(answer.release),
        _cell(f"{answer.source}: {answer.service}"),
        _cell(answer.region),
        _short(str(answer.n_rows)),
        _cell(f"{removed}{f' ({codes})' if codes else ''}"),
        _short(f"{answer.fetched:%Y-%m-%d %H:%M} (run {answer.run_id})"),
        _short(f"{answer.answer_sha256[:12]}…"),
    ]


def _pictures(pictures: Sequence[Picture], notes: Sequence[str]) -> str:
    parts = ["<h2>Pictures</h2>"]
    for group in dict.fromkeys(picture.group for picture in pictures):
        mine = [picture for picture in pictures if picture.group == group]
        figures = "\n".join(_picture(picture) for picture in mine)
        if mine[0].is_folded:
            parts.append(f"<details><summary>{escape(group)}</summary>\n{figures}\n</details>")
        else:
            parts.append(f"<h3>{escape(group)}</h3>\n{figures}")
    if not pictures:
        parts.append("<p>No star was matched: there is nothing to draw.</p>")
    parts += [f'<p class="note">{escape(note)}</p>' for note in notes]
    return "\n".join(parts)


def _picture(picture: Picture) -> str:
    data = b64encode(picture.png).decode("ascii")
    words = f"<strong>{escape(picture.title)}.</strong> {escape(picture.caption)}"
    return (
        f'<figure><img alt="{escape(picture.title)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _left_out(report: AlignmentReport) -> str:
    if not report.left_out:
        return ""
    rows = [[_short(one.rootname), _short(one.code), _cell(one.reason)] for one in report.left_out]
    return f"<h2>Not aligned</h2>\n{table(('exposure', 'code', 'reason'), rows)}"


def _others(report: AlignmentReport) -> str:
    if not report.others:
        return ""
    rows = [
        [
            _short(str(one.run_id)),
            _short(f"{one.started:%Y-%m-%d %H:%M:%S}"),
            _cell(named(one.rootnames)),
            _cell(", ".join(one.wcsnames or []) or "none"),
            _short(str(one.refused)),
        ]
        for one in report.others
    ]
    head = ("run", "started, UTC", "exposures", "solutions", "attempts refused")
    return f"<h2>Other runs on these exposures</h2>\n{table(head, rows)}"


def _further(report: AlignmentReport) -> str:
    lines = [f"hapctl wcs why {rootname}" for rootname in list(report.final)[:12]]
    lines += [f"hapctl query why-visit-failed --param visit={v}" for v in _visits(report)]
    items = "".join(f"<li><code>{escape(line)}</code></li>" for line in lines)
    return f"<h2>To ask further</h2>\n<ul>{items}</ul>"


def _visits(report: AlignmentReport) -> list[str]:
    return sorted({attempt.visit for attempt in report.attempts})


def table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls sideways on a narrow screen; the cells are HTML already, the head is text."""
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="wide"><table>\n<tr>{titles}</tr>\n{body}\n</table></div>'


def _cell(words: str) -> str:
    return f"<td>{escape(words)}</td>"


def _short(words: str) -> str:
    return f'<td class="short">{escape(words)}</td>'


def _sigmas(value: float) -> str:
    return f" ({value:.1f})" if np.isfinite(value) else " (held)"


def _figure(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else form.format(value)


def _value(value: object, form: str) -> str:
    return UNKNOWN if value is None else form.format(value)


def _metric(attempt: ReportedAttempt, name: str, form: str) -> str:
    value = attempt.metrics.get(name)
    return UNKNOWN if value is None else form.format(value)
