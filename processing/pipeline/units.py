"""Units of work: what a batch hands to a worker, and what comes back. Plain data, nothing of this process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal["ingest", "align", "mosaic", "process"]
UnitStatus = Literal["done", "unchanged", "refused", "failed", "skipped"]


@dataclass(frozen=True)
class WorkUnit:
    """A piece of work that one worker does alone.

    Attributes
    ----------
    name : str
        Of the batch's own, such as ``mosaic visit j8bt06``.
    action : {"ingest", "align", "mosaic", "process"}
    target : mapping
        What is worked on: ``{"visit": "j8bt06"}``, ``{"tile": ...}``, ``{"files": [...]}`` ...
    options : mapping
        Plain data that the action reads: what `pickle` takes to another process (numbers, texts, paths,
        frozen dataclasses of them).
    after : tuple of str
        Names of units that must have ended well before.
    memory_bytes : int
        Predicted peak; 0: not predicted.
    seconds : float or None
        Predicted from runs of the past; None: there are none to go by.
    """

    name: str
    action: Action
    target: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    memory_bytes: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class UnitOutcome:
    """How a unit ended.

    Attributes
    ----------
    name : str
    status : {"done", "unchanged", "refused", "failed", "skipped"}
        ``unchanged``: all was current; ``skipped``: a unit it comes after did not end well.
    exit_code : int
        That of the command that does this unit alone.
    message, remedy : str
        In one line; empty where it ended well.
    runs : tuple of int
        Runs it recorded.
    seconds : float
        Elapsed.
    peak_bytes : int
        Peak memory of its process; 0: not measured.
    report : mapping
        The JSON document of the command that does this unit alone, where the action makes one.
    result : object or None
        What the function of the action returned (`MosaicReport`, `TargetResult` ...), for a command that
        makes its own document of it; None where it raised.
    """

    name: str
    status: UnitStatus
    exit_code: int = 0
    message: str = ""
    remedy: str = ""
    runs: tuple[int, ...] = ()
    seconds: float = 0.0
    peak_bytes: int = 0
    report: Mapping[str, Any] = field(default_factory=dict)
    result: object | None = None

    @property
    def ended_well(self) -> bool:
        """Whether units that come after it may begin."""
        return self.status in ("done", "unchanged")
