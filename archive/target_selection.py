"""Which visits a command works on: by name or pattern, by proposal, by a condition, or all."""

from dataclasses import dataclass

from hapctl.archive.database import Catalog
from hapctl.archive.errors import CatalogUsageError, NotInCatalogError
from hapctl.archive.reader import ask, reader_url
from hapctl.archive.statements import execute
from sqlalchemy import Connection

VIEW = "visit_exposure"
"""The view whose columns a condition may name."""

_WILDCARDS = frozenset("*?")
_REMEDY = f"'hapctl sql -c \"SELECT DISTINCT visit FROM {VIEW}\"' lists the visits in the catalog"


@dataclass(frozen=True)
class VisitChoice:
    """What visits are asked for; the kinds narrow each other, several of one kind add up.

    Attributes
    ----------
    patterns : tuple of str
        Names of visits, or patterns with ``*`` and ``?``.
    proposals : tuple of int
    where : str
        A condition in SQL over the columns of the view ``visit_exposure``: a visit is chosen when it holds
        for any of its exposures; empty for none.
    every : bool
        All visits of the catalog.
    """

    patterns: tuple[str, ...] = ()
    proposals: tuple[int, ...] = ()
    where: str = ""
    every: bool = False

    def __bool__(self) -> bool:
        return bool(self.patterns or self.proposals or self.where or self.every)

    @property
    def is_by_name(self) -> bool:
        """Whether it is a list of names, and nothing has to be asked."""
        others = self.proposals or self.where or self.every
        return bool(self.patterns) and not others and not any(map(_is_pattern, self.patterns))


def select_visits(
    catalog: Catalog,
    choice: VisitChoice,
    *,
    reader: str = "",
    timeout_seconds: float = 60.0,
    must_exist: bool = False,
) -> list[str]:
    """Return the visits that were asked for, by name.

    A list of plain names is given back as it is: what is missing then fails where it is worked on, and the
    others are not kept from their work.

    Parameters
    ----------
    reader : str
        The user's own URL for readers (see `hapctl.archive.reader.reader_url`); only a condition needs it.
    timeout_seconds : float
        Limit of the condition.
    must_exist : bool
        Also plain names are asked for: of those who work on none of them, and would say that all is well.

    Raises
    ------
    NotInCatalogError
        There is no such visit.
    CatalogUsageError
        The condition is wrong.
    RefusedByCatalogError
        The condition does what a reader may not, or takes too long.
    """
    if choice.is_by_name and not must_exist:
        return list(dict.fromkeys(name.lower() for name in choice.patterns))
    with catalog.begin() as connection:
        visits = _named_visits(connection, choice)
    if choice.where.strip() and visits:
        fulfilling = _where(reader_url(catalog.url, reader), choice.where, timeout_seconds)
        visits = [visit for visit in visits if visit in fulfilling]
    if not visits:
        raise NotInCatalogError(f"no visit in the catalog with {_words(choice)}", _REMEDY)
    return visits


def _named_visits(connection: Connection, choice: VisitChoice) -> list[str]:
    for pattern in choice.patterns:
        if not _visits(connection, (pattern,), ()):
            raise NotInCatalogError(f"no visit in the catalog is named {pattern}", _REMEDY)
    return _visits(connection, choice.patterns, choice.proposals)


def _visits(connection: Connection, patterns: tuple[str, ...], proposals: tuple[int, ...]) -> list[str]:
    names = {"patterns": [_like(pattern) for pattern in patterns], "proposals": list(proposals)}
    return list(execute(connection, "select_visits", names).scalars())


def _is_pattern(text: str) -> bool:
    return not _WILDCARDS.isdisjoint(text)


def _like(pattern: str) -> str:
    """The pattern in the words of LIKE, with nothing of LIKE's own in it."""
    plain = pattern.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return plain.replace("*", "%").replace("?", "_")


def _where(url: str, condition: str, timeout_seconds: float) -> set[str]:
    """The visits for which a condition holds, asked as the reader, who can change nothing."""
    # The bracket stands on a line of its own: a comment at the end of the condition does not swallow it.
    statement = f"SELECT DISTINCT visit FROM {VIEW} WHERE (\n{condition}\n)"
    try:
        with ask(url, statement, None, timeout_seconds) as answer:
            return {str(row[0]) for row in answer.rows}
    except CatalogUsageError as error:
        raise CatalogUsageError(
            f"--where: {error.message}",
            f"write a condition over the columns of the view {VIEW}, such as \"detector = 'WFC'\"",
        ) from error


def _words(choice: VisitChoice) -> str:
    parts = [f"the name {' or '.join(choice.patterns)}"] if choice.patterns else []
    parts += [f"proposal {' or '.join(map(str, choice.proposals))}"] if choice.proposals else []
    parts += [f"({choice.where})"] if choice.where else []
    return ", ".join(parts) or "exposures"
