"""What a unit of work will need: memory from the plan of its products, time and memory from the past."""

from collections.abc import Sequence
from dataclasses import replace

from hapctl.archive.batches import PastWork, past_work
from hapctl.archive.database import Catalog
from hapctl.archive.errors import ArchiveError, ServiceUnavailableError
from hapctl.processing.errors import ProcessingError
from hapctl.processing.pipeline.unit_actions import mosaic_of
from hapctl.processing.pipeline.units import WorkUnit


def with_past_work(catalog: Catalog, units: Sequence[WorkUnit]) -> list[WorkUnit]:
    """Return units with the seconds that runs of the past took for the same target, or on average for others.

    What a unit says itself is kept; one of a kind never done stays without.
    """
    kinds = {(str(unit.action), kind) for unit in units for kind in unit.target}
    with catalog.begin() as connection:
        past = {key: past_work(connection, *key) for key in kinds}
    return [_with_seconds(unit, past) for unit in units]


def _with_seconds(unit: WorkUnit, past: dict[tuple[str, str], dict[str, PastWork]]) -> WorkUnit:
    if unit.seconds is not None:
        return unit
    ((kind, name),) = unit.target.items()
    known = past[unit.action, kind]
    if not known:
        return unit
    own = known.get(str(name))
    mean = sum(one.seconds for one in known.values()) / len(known)
    return replace(unit, seconds=own.seconds if own else mean)


def predicted_memory(catalog: Catalog, unit: WorkUnit) -> int:
    """Return the bytes a unit will need at its peak: its own word, or that of the plan; 0: not predicted.

    What can't be planned is not predicted: the unit itself will say why it can't be done.
    """
    planned = _mosaic_part(unit)
    if unit.memory_bytes or planned is None:
        return unit.memory_bytes
    try:
        report = mosaic_of(catalog, planned, dry_run=True)
    except ServiceUnavailableError:
        raise
    except (ArchiveError, ProcessingError, OSError):
        return 0
    return max((product.memory_bytes or 0 for product in report.products), default=0)


def _mosaic_part(unit: WorkUnit) -> WorkUnit | None:
    """Return the part of a unit that can be planned."""
    if unit.action == "process":
        return replace(unit, action="mosaic", options={"mosaic": unit.options["process"].mosaic})
    return unit if "mosaic" in unit.options else None
