"""Named questions to the catalog: each a .sql file of ``sql/queries`` whose head says what it answers.

The head is made of comment lines::

    -- title: Fits in force that deserve a second look
    -- sentence: One or two sentences, which may go on
    --     in indented lines.
    -- param min_matches integer = 10: what it means

A parameter without a default must be given. In the SQL it is written ``:min_matches``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from hapctl.archive.errors import CatalogUsageError, NotInCatalogError
from hapctl.sql import list_sql, read_sql

Value = str | int | float
_HEAD = re.compile(r"^-- (title|sentence): (.+(?:\n--    .+)*)", re.MULTILINE)
_PARAMETER = re.compile(r"^-- param (\w+) (\w+)(?: = (.*?))?: (.+)$", re.MULTILINE)
_PLACE = re.compile(r"(?<![:\w]):([a-z_]+)\b")


@dataclass(frozen=True)
class QueryParameter:
    """A parameter of a named query; `default` is None where it must be given."""

    name: str
    kind: str
    default: str | None
    meaning: str


@dataclass(frozen=True)
class NamedQuery:
    """A named query: what it answers, what it takes, and its SQL."""

    name: str
    title: str
    sentence: str
    parameters: tuple[QueryParameter, ...]
    sql: str

    def statement(self) -> str:
        """Return the SQL with the places of psycopg, ``%(name)s``."""
        return _PLACE.sub(r"%(\1)s", self.sql.replace("%", "%%"))

    def values(self, given: Mapping[str, str]) -> dict[str, Value]:
        """Return a value for each parameter: given, or by default.

        Raises
        ------
        CatalogUsageError
            One is unknown, missing, or not of its type.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise CatalogUsageError(f"query {self.name} has no parameter '{name}'", self.usage())
        return {name: self._value(parameter, given.get(name)) for name, parameter in known.items()}

    def usage(self) -> str:
        """Return how to call it, in one line."""
        parameters = [
            f"--param {p.name}={p.kind.upper() if p.default is None else p.default}" for p in self.parameters
        ]
        return " ".join(["hapctl query", self.name, *parameters])

    def _value(self, parameter: QueryParameter, given: str | None) -> Value:
        text = parameter.default if given is None else given
        if text is None:
            raise CatalogUsageError(f"query {self.name} needs '{parameter.name}'", self.usage())
        try:
            return _PARSERS[parameter.kind](text)
        except ValueError as error:
            raise CatalogUsageError(
                f"{parameter.name} = '{text}' is no {parameter.kind}", f"{parameter.meaning}"
            ) from error


def named_queries() -> list[NamedQuery]:
    """Return all named queries, by name."""
    return [_read(file.removesuffix(".sql")) for file in list_sql("queries")]


def named_query(name: str) -> NamedQuery:
    """Return the query of that name; raise `NotInCatalogError` with the nearest name where there is none."""
    names = [file.removesuffix(".sql") for file in list_sql("queries")]
    if name not in names:
        close = get_close_matches(name, names, 1)
        raise NotInCatalogError(
            f"there is no query named '{name}'",
            f"did you mean '{close[0]}'?" if close else "'hapctl query --list' shows all",
        )
    return _read(name)


def _read(name: str) -> NamedQuery:
    script = read_sql(f"queries/{name}.sql")
    head = {key: re.sub(r"\n--\s+", " ", words) for key, words in _HEAD.findall(script)}
    parameters = tuple(
        QueryParameter(parameter, kind, default if has_default else None, meaning)
        for parameter, kind, default, meaning in _PARAMETER.findall(script)
        for has_default in [f"-- param {parameter} {kind} = " in script]
    )
    body = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
    return NamedQuery(name, head["title"], head["sentence"], parameters, body.strip().rstrip(";"))


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).isoformat()


_PARSERS: dict[str, Callable[[str], Value]] = {
    "text": str,
    "integer": int,
    "number": float,
    "moment": _moment,
}
