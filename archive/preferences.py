"""The order of preference among known solutions: a policy row, applied to the names of solutions.

The policy (kind ``preference``) holds two lists of patterns of WCSNAMEs, best first. ``start`` says where an
alignment begins: ``in-force`` stands for the solution in force, or, where that is a fit made here, for what
it began with. ``in_force`` says which solution of a newly ingested file is put in force: ``primary``
stands for the file's own choice. An operator's choice by hand comes before both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from hapctl.archive.errors import CatalogUsageError
from hapctl.archive.policies import active_policy
from hapctl.archive.statements import execute
from sqlalchemy import Connection

_GAIA = ("GAIADR3", "GAIAeDR3", "GAIADR2", "GAIADR1")
_MODES = ("MVM", "SVM", "EVM", "REL", "IMG")
_FITS = tuple(f"*-FIT_{mode}_{catalog}*" for catalog in _GAIA for mode in _MODES)
_A_PRIORI = ("*-HSC30", "*-GSC240", "IDC_*", "OPUS")


@dataclass(frozen=True)
class Preference:
    """Patterns of WCSNAMEs, best first.

    Attributes
    ----------
    start : tuple of str
        Where an alignment begins; a fit is never chosen by a pattern.
    in_force : tuple of str
        What is put in force at ingest.
    """

    start: tuple[str, ...] = ("in-force", *_A_PRIORI)
    in_force: tuple[str, ...] = ("primary", *_FITS, *_A_PRIORI, "*")
    name: str = "preference-default"

    def content(self) -> dict[str, Any]:
        """The lists alone, as they are kept in a policy row."""
        return {key: list(value) for key, value in asdict(self).items() if key != "name"}

    @classmethod
    def from_content(cls, name: str, content: Mapping[str, Any]) -> "Preference":
        """From a policy row.

        Raises
        ------
        CatalogUsageError
            The row holds something else than lists of patterns.
        """
        unknown = set(content) - {"start", "in_force"}
        if unknown:
            raise CatalogUsageError(
                f"preference {name}: unknown entries {', '.join(sorted(unknown))}",
                "it holds start and in_force, lists of patterns of WCSNAMEs",
            )
        lists = {key: _patterns(name, key, value) for key, value in content.items()}
        return cls(**lists, name=name)


def _patterns(name: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise CatalogUsageError(
            f"preference {name}: {key} is no list of patterns", 'such as ["in-force", "*-GSC240", "IDC_*"]'
        )
    return tuple(value)


def preference_in_force(connection: Connection) -> Preference:
    """Return the preference in force, or that of this software."""
    row = active_policy(connection, "preference")
    return Preference() if row is None else Preference.from_content(row.name, row.content)


@dataclass(frozen=True)
class Candidate:
    """A solution to choose from; ``is_primary`` tells whether it is the primary one of its file."""

    solution_id: int
    wcsname: str
    is_primary: bool


def preferred(candidates: Sequence[Candidate], order: Sequence[str]) -> Candidate | None:
    """Return the candidate that the order names first; of several, the first in `candidates`."""
    for pattern in order:
        for candidate in candidates:
            if candidate.is_primary if pattern == "primary" else fnmatchcase(candidate.wcsname, pattern):
                return candidate
    return None


def starting_solutions(connection: Connection, exposure_ids: Sequence[int]) -> dict[int, int]:
    """Return the solution an alignment of each exposure begins with, never a fit if it can be helped."""
    names = {"exposure_ids": list(exposure_ids)}
    rows = execute(connection, "starting_solutions", names).all()
    order = preference_in_force(connection).start
    known: dict[int, list[Candidate]] = {}
    if any(row.solution_id is None for row in rows) or order[0] != "in-force":
        for row in execute(connection, "known_starts", names):
            candidate = Candidate(row.solution_id, row.wcsname, row.is_primary)
            known.setdefault(row.exposure_id, []).append(candidate)
    return {row.exposure_id: _start(row, known.get(row.exposure_id, []), order) for row in rows}


def _start(row: Any, candidates: Sequence[Candidate], order: Sequence[str]) -> int:
    """The first of the order; by hand or where nothing fits, what is in force."""
    if row.by_hand and row.solution_id is not None:
        return int(row.solution_id)
    for pattern in order:
        if pattern == "in-force":
            if row.solution_id is not None:
                return int(row.solution_id)
            continue
        found = preferred(candidates, [pattern])
        if found is not None:
            return found.solution_id
    return int(row.active_id)
