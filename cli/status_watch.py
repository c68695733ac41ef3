"""``hapctl status --watch``: how far batches of work are, from the catalog alone."""

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hapctl.archive.batches import BatchState, UnitState
    from hapctl.archive.database import Catalog
    from rich.console import RenderableType

SECONDS_BETWEEN_LOOKS = 1.0
_TOLD = ("failed", "refused", "abandoned")
_MOST_LINES = 20


def show_batches(catalog: "Catalog", batch_id: int | None, *, watch: bool, as_json: bool) -> None:
    """Show the batch of a number, or those under way and the last; follow them on a terminal if asked."""
    from hapctl.archive.batches import batch_states

    states = batch_states(catalog, batch_id)
    if as_json:
        print_json({"batches": [batch_document(state) for state in states]})
    elif watch and sys.stdout.isatty():
        _follow(catalog, batch_id, states)
    else:
        for state in states:
            click.echo("\n".join(batch_lines(state)))


def _follow(catalog: "Catalog", batch_id: int | None, states: "Sequence[BatchState]") -> None:
    from hapctl.archive.batches import batch_states
    from rich.live import Live

    with Live(_picture(states), auto_refresh=False) as live:
        while any(state.outcome == "running" for state in states):
            time.sleep(SECONDS_BETWEEN_LOOKS)
            states = batch_states(catalog, batch_id)
            live.update(_picture(states), refresh=True)


def _picture(states: "Sequence[BatchState]") -> "RenderableType":
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    parts: list[RenderableType] = []
    for state in states:
        head, *rest = batch_lines(state)
        bar = ProgressBar(total=max(len(state.units), 1), completed=_ended(state), width=60)
        parts += [Text(head), bar, Text("\n".join(rest))]
    return Group(*parts)


def _ended(state: "BatchState") -> int:
    return sum(unit.ended is not None for unit in state.units)


def batch_document(state: "BatchState") -> dict[str, Any]:
    """Return a batch for ``--json``: counts by state, seconds left, and every unit."""
    fields = ("batch_id", "run_id", "command", "workers", "scheduler", "started", "ended", "outcome")
    return {
        **{name: getattr(state, name) for name in fields},
        "message": state.message,
        "seconds": state.seconds,
        "seconds_left": state.seconds_left,
        "counts": state.counts,
        "units": [asdict(unit) for unit in state.units],
    }


def batch_lines(state: "BatchState") -> list[str]:
    """Return what is said of a batch: how far it is, what is under way and where, what went wrong."""
    where = f"Dask cluster {state.scheduler}" if state.scheduler else f"{state.workers} at once"
    head = f"batch {state.batch_id}: {state.command}, {where}, run {state.run_id}, {state.outcome}"
    counts = ", ".join(f"{number} {name}" for name, number in state.counts.items())
    lines = [f"{head} after {duration(state.seconds)}", f"  {len(state.units)} units: {counts}"]
    if state.outcome == "running":
        lines.append(f"  {_left(state)}")
    lines += [f"  {_running(unit)}" for unit in state.of_state("running")[:_MOST_LINES]]
    wrong = state.of_state(*_TOLD)
    lines += [f"  {_wrong(unit)}" for unit in wrong[:_MOST_LINES]]
    if len(wrong) > _MOST_LINES:
        lines.append(f"  and {len(wrong) - _MOST_LINES} more (--json has all)")
    return lines


def _left(state: "BatchState") -> str:
    left = state.seconds_left
    return (
        "time left: not known before a first unit is done" if left is None else f"about {duration(left)} left"
    )


def _running(unit: "UnitState") -> str:
    words = f"running    {unit.name}  on {unit.host}, process {unit.pid}, for {duration(unit.seconds or 0.0)}"
    if unit.predicted_seconds:
        words += f" of about {duration(unit.predicted_seconds)}"
    if unit.predicted_memory_bytes:
        words += f", {unit.predicted_memory_bytes / 1e6:.0f} MB predicted"
    return words


def _wrong(unit: "UnitState") -> str:
    if unit.state == "abandoned":
        where = f"on {unit.host}, process {unit.pid}" if unit.host else "before it began"
        return f"abandoned  {unit.name}  {where}: run the same command again"
    remedy = f" ({unit.remedy})" if unit.remedy else ""
    return f"{unit.state:9}  {unit.name}  {unit.message}{remedy}"


def duration(seconds: float) -> str:
    """Return seconds in words: ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
