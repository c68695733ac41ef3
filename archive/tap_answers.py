"""Whole answers of TAP services: counted first, asked for again after passing troubles, checked.

An answer is taken only if it has just the number of rows that was counted, none of them outside the circle,
and no mark of an overflow.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hapctl.archive.errors import AnswerTooLargeError
from hapctl.archive.gaia_columns import BadTableError
from hapctl.archive.remote_services import RemoteService, with_retries
from hapctl.archive.sky_region import Circle
from hapctl.archive.tap import TapAnswer, TapError, run_query
from hapctl.processing.astrometry.reference_stars import ReferenceStars

if TYPE_CHECKING:
    from astropy.table import Table

LARGEST_ANSWER = 1_000_000
OUTSIDE_DEG = 1e-6


@dataclass(frozen=True)
class TapTable:
    """A table of a TAP service and how its rows become stars.

    Attributes
    ----------
    name : str
        What it is called in messages, such as ``Gaia``.
    table : str
        As ADQL writes it.
    columns : tuple of str
        As ADQL writes them; empty: all there are.
    position : tuple of str
        The columns of right ascension and declination.
    stars : callable
        From the table of an answer to checked stars; raises `BadTableError`.
    joined : str
        What follows the table in the question for rows; it must neither add rows nor take any away.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    position: tuple[str, str]
    stars: Callable[["Table"], ReferenceStars]
    joined: str = ""

    def adql(self, circle: Circle) -> str:
        """The question for all rows in a circle."""
        return f"SELECT {', '.join(self.columns) or '*'} {self._from_where(circle, self.joined)}"

    def counting_adql(self, circle: Circle) -> str:
        """The question for their number."""
        return f"SELECT COUNT(*) AS n {self._from_where(circle)}"

    def _from_where(self, circle: Circle, joined: str = "") -> str:
        ra, dec = self.position
        return f"FROM {self.table}{joined} WHERE 1 = CONTAINS(POINT('ICRS', {ra}, {dec}), {circle.adql})"


def whole_answer(table: TapTable, circle: Circle, service: RemoteService, remedy: str) -> ReferenceStars:
    """Ask a TAP service for all rows of a table in a circle.

    Raises
    ------
    AnswerTooLargeError
        More rows than `LARGEST_ANSWER`.
    ServiceUnavailableError
        No whole answer after all attempts, or the service refuses what was asked; says `remedy`.
    """
    return with_retries(lambda: _attempt(table, circle, service), service, table.name, remedy)


def refuse_outside(stars: ReferenceStars, circle: Circle) -> str:
    """Say how many stars lie outside the circle that was asked; empty where none does."""
    wider = Circle(circle.ra, circle.dec, circle.radius + OUTSIDE_DEG)
    outside = int(np.count_nonzero(~wider.contains(stars.ra, stars.dec)))
    return f"{outside} of {len(stars)} rows lie outside the region that was asked" if outside else ""


def _attempt(table: TapTable, circle: Circle, service: RemoteService) -> ReferenceStars:
    started = time.monotonic()
    number = _count(run_query(service.url, table.counting_adql(circle), service.timeout))
    if number > LARGEST_ANSWER:
        raise AnswerTooLargeError(
            f"{circle} holds {number} {table.name} sources, more than {LARGEST_ANSWER}",
            "ask for a smaller region",
        )
    left = max(service.timeout - (time.monotonic() - started), 0.001)
    return _checked(
        run_query(service.url, table.adql(circle), left, maxrec=number + 1), number, circle, table
    )


def _count(answer: TapAnswer) -> int:
    if len(answer.table) != 1 or len(answer.table.colnames) != 1:
        raise TapError("the number of sources was asked, and the answer is something else")
    value = answer.table.columns[0][0]
    if np.ma.is_masked(value) or not np.issubdtype(answer.table.columns[0].dtype, np.integer) or value < 0:
        raise TapError("the number of sources was asked, and the answer is no number")
    return int(value)


def _checked(answer: TapAnswer, number: int, circle: Circle, table: TapTable) -> ReferenceStars:
    rows = len(answer.table)
    if answer.overflow or rows != number:
        cut = ", and the service says that it cut them" if answer.overflow else ""
        raise TapError(f"the answer has {rows} rows in place of {number}{cut}")
    found = [name.lower() for name in answer.table.colnames]
    missing = [name for name in table.columns if name.strip('"').lower() not in found]
    if missing:
        raise TapError(f"the answer lacks the columns {', '.join(missing)}")
    try:
        stars = table.stars(answer.table)
    except BadTableError as error:
        raise TapError(f"the answer can't be right: {error}") from error
    if outside := refuse_outside(stars, circle):
        raise TapError(outside)
    return stars
