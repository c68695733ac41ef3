"""Options that say which visits a command works on, and what they come to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hapctl.archive.database import Catalog
    from hapctl.archive.target_selection import VisitChoice
    from hapctl.cli.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = ("visits", "proposals", "where", "every_visit")
"""Names of the parameters that `target_options` adds."""


def target_options(command: Command) -> Command:
    """Add ``--visit``, ``--proposal``, ``--where`` and ``--all`` to a command (parameters `OPTIONS`)."""
    for option in (
        click.option("--all", "every_visit", is_flag=True, help="All visits of the catalog."),
        click.option(
            "--where",
            metavar="SQL",
            help="Visits with an exposure for which this holds; columns: the view visit_exposure.",
        ),
        click.option(
            "--proposal", "proposals", metavar="ID", type=int, multiple=True, help="Visits of a proposal."
        ),
        click.option(
            "--visit",
            "visits",
            metavar="IPPPSS",
            multiple=True,
            help="A visit, or a pattern such as 'j8bt*'.",
        ),
    ):
        command = option(command)
    return command


def visit_choice(
    visits: tuple[str, ...], proposals: tuple[int, ...], where: str | None, every_visit: bool
) -> "VisitChoice":
    """Return what the options ask for; false where they ask for nothing."""
    from hapctl.archive.target_selection import VisitChoice

    if where is not None and not where.strip():
        raise click.UsageError("--where is empty: write a condition, or --all")
    return VisitChoice(visits, proposals, where or "", every_visit)


def chosen_visits(
    catalog: "Catalog", settings: "Settings", choice: "VisitChoice", *, must_exist: bool = False
) -> list[str]:
    """Return the visits of a choice, in the order of their names (plain names: as given).

    With ``must_exist`` plain names that the catalog does not have are refused here, not where they are
    worked on.

    Raises
    ------
    NotInCatalogError
        None of the catalog's.
    """
    from hapctl.archive.target_selection import select_visits

    return select_visits(
        catalog,
        choice,
        reader=settings.reader,
        timeout_seconds=settings.query_timeout,
        must_exist=must_exist,
    )
