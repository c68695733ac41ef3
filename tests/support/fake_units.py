"""Quick units of work for tests of batches, and an action that does as their options say."""

import os
import platform
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.runs import recorded_run
from hapctl.processing.errors import RefusedError
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.pipeline.units import UnitOutcome, WorkUnit


def unit(name: str, after: Iterable[str] = (), memory: int = 0, **options: Any) -> WorkUnit:
    """Return a unit; options are those of `act`."""
    return WorkUnit(name, "mosaic", {"visit": name}, options, tuple(after), memory)


def act(catalog: Catalog, unit: WorkUnit, _observer: Observer) -> UnitOutcome:
    """Note begin and end in the file ``log``, and do what the options say.

    ``seconds``: work so long; ``record``: as a recorded run; ``refuse``, ``fail``: raise; ``kill``: kill this
    process unless the file of that name is there, which it makes; ``kill_always``.
    """
    options = unit.options
    if "done" in options and Path(options["done"]).exists():
        return UnitOutcome(unit.name, "unchanged")
    _log(options, "begin", unit)
    if options.get("kill_always") or ("kill" in options and _first(Path(options["kill"]))):
        os.kill(os.getpid(), signal.SIGKILL)
    if options.get("record"):
        with recorded_run(catalog, "mosaic", {"visit": unit.target["visit"]}):
            time.sleep(options.get("seconds", 0))
    else:
        time.sleep(options.get("seconds", 0))
    if options.get("refuse"):
        raise RefusedError("it is refused", "ask for another")
    if options.get("fail"):
        raise ZeroDivisionError("a bug")
    if "done" in options:
        Path(options["done"]).touch()
    _log(options, "end", unit)
    return UnitOutcome(
        unit.name, "done", result={"pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS")}
    )


def _first(flag: Path) -> bool:
    if flag.exists():
        return False
    flag.touch()
    return True


def _log(options: Any, what: str, unit: WorkUnit) -> None:
    if "log" in options:
        with Path(options["log"]).open("a") as file:
            file.write(f"{what} {unit.name.replace(' ', '_')} {os.getpid()} {platform.node()}\n")


def logged(path: Path) -> list[tuple[str, str]]:
    """Return (begin or end, name) in the order in which they happened."""
    return [(line.split()[0], line.split()[1]) for line in path.read_text().splitlines()]
