"""Values of a rule from files: HAP's JSON of AstroDrizzle, AstroDrizzle's ``.cfg``, or TOML of ``drizzle``.

What has no counterpart, and what products take from elsewhere (their grid, their units), is told with the
reason; nothing is dropped in silence.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hapctl.processing.errors import MissingFileError, UsageProblemError
from hapctl.processing.imaging.parameter_import import import_cfg, imported
from hapctl.processing.imaging.parameters import DRIZZLE
from hapctl.processing.imaging.product_rules import product_parameter
from hapctl.processing.parameter_cfg import Imported
from hapctl.processing.parameter_file import Change, read_parameter_file, toml_value


@dataclass(frozen=True)
class ImportedValues:
    """Parameters that a rule may set, from a file, and what is to be said of the others."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def import_values(path: Path) -> ImportedValues:
    """Read what a file sets, as values of a rule of products.

    Parameters
    ----------
    path : Path
        ``.json``: one of HAP's files for AstroDrizzle; ``.cfg``: as TEAL writes it; else TOML.

    Raises
    ------
    MissingFileError
        It can't be read.
    UsageProblemError
        It is no such file, sets nothing that a rule may set, or a value in it will not do.
    """
    found = _read(path)
    notes: list[str] = []
    changes = tuple(one for one in found.changes if not _left_out(one, notes))
    if not changes:
        raise UsageProblemError(f"{path} sets nothing that a rule may set", "; ".join(notes))
    return ImportedValues(changes, (*found.notes, *notes))


def _read(path: Path) -> Imported:
    if path.suffix == ".json":
        return imported(dict(_cells(_document(path))), str(path))
    if path.suffix == ".cfg":
        return import_cfg(path)
    return Imported(tuple(read_parameter_file(DRIZZLE, path)), ())


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingFileError(f"{path} can't be read: {error.strerror}", "check the path") from error
    except ValueError as error:
        raise UsageProblemError(
            f"{path} is not JSON: {error}", "give one of HAP's *_astrodrizzle_*.json"
        ) from error
    steps = isinstance(document, dict) and any(str(key).startswith("STEP ") for key in document)
    if not steps:
        raise UsageProblemError(
            f"{path} has no steps of AstroDrizzle", "give one of HAP's *_astrodrizzle_*.json"
        )
    return dict(document)


def _cells(document: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Give the names and values of all steps, as a ``.cfg`` has them."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _cells(value)
        else:
            yield name.lower(), None if value is None else str(value)


def _left_out(change: Change, notes: list[str]) -> bool:
    """Tell whether no rule may set a parameter; a note says why unless its value is of no effect."""
    name = change.parameter.full_name
    try:
        product_parameter(name)
    except UsageProblemError as error:
        if change.value not in (change.parameter.default, 0.0):
            notes.append(f"{name} = {toml_value(change.value)} is left out: {error.remedy}")
        return True
    return False
