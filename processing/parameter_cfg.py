"""Configurations as TEAL wrote them (``.cfg``): names and values, whatever their section."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hapctl.processing.errors import UsageProblemError
from hapctl.processing.parameter_file import Change

Cells = Mapping[str, str | None]
"""Names and values as text; None where there is no value."""
NOTHING = ("", "NONE", "INDEF", "NAN")

_SECTION = re.compile(r"\s*\[+\s*(.*?)\s*\]+\s*(#.*)?$")
_ENTRY = re.compile(
    r"""\s*(?P<name>[\w]+)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>[^#]*))\s*(#.*)?$"""
)


@dataclass(frozen=True)
class Imported:
    """What an import gave.

    Attributes
    ----------
    changes : tuple of Change
    notes : tuple of str
        What was converted, and what has no counterpart and why: a line each.
    """

    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def read_cfg(path: Path, title: str, *tasks: str) -> tuple[str, dict[str, str | None]]:
    """Read the names and values of a task's configuration.

    Parameters
    ----------
    path : Path
    title : str
        The task as people name it.
    *tasks : str
        What TEAL calls it and its parts; a file that says nothing is the first one's.

    Returns
    -------
    task : str
    cells : dict

    Raises
    ------
    UsageProblemError
        It can't be read, or is another task's.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageProblemError(f"{path} can't be read: {error.strerror}", "check --import-cfg") from error
    cells = dict(cfg_entries(text))
    task = cells.get("_task_name_") or tasks[0]
    if task not in tasks:
        raise UsageProblemError(f"{path} holds the parameters of {task}", f"give a configuration of {title}")
    return task, {name: value for name, value in cells.items() if not name.startswith("_")}


def cfg_entries(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield names and values of a configuration, whatever their section; None for no value.

    A comment begins at ``#`` outside quotes. The section of rules is code for TEAL, and is left out.
    """
    section = ""
    for line in text.splitlines():
        if heading := _SECTION.match(line):
            section = heading[1].strip("\"' ")
        elif section != "_RULES_" and (entry := _ENTRY.match(line)):
            values = (entry["double"], entry["single"], entry["plain"])
            value = next(one for one in values if one is not None).strip()
            yield entry["name"].lower(), None if value.upper() in NOTHING else value
