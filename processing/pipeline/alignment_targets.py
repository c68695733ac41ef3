"""What is aligned together: a visit, all exposures on a tile, or a list of exposures."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from hapctl.archive.alignments import Scope
from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.exposures import exposures_named
from hapctl.archive.locks import advisory_lock
from hapctl.archive.products import (
    EligibleExposure,
    LeftOutExposure,
    eligible_exposures,
    left_out_exposures,
    visit_exists,
)
from hapctl.archive.runs import Run
from hapctl.archive.sky_cells import sky_cell
from hapctl.processing.astrometry.wcsname import Mode
from hapctl.processing.errors import NoViableDataError, UsageProblemError
from sqlalchemy import Connection

DISPERSED = "dispersed"
"""Exclusion code of grism and prism exposures."""


@dataclass(frozen=True)
class Target:
    """What is to be aligned.

    Attributes
    ----------
    scope : {"visit", "tile", "exposures"}
    name : str
        The visit, the sky cell, or the rootnames with blanks between.
    """

    scope: Scope
    name: str

    @classmethod
    def of_visit(cls, visit: str) -> "Target":
        """All exposures of a visit."""
        return cls("visit", visit.lower())

    @classmethod
    def of_tile(cls, name: str) -> "Target":
        """All exposures whose solution in force touches a sky cell.

        Raises
        ------
        CatalogUsageError
            The name is none of a sky cell.
        """
        return cls("tile", sky_cell(name).name)

    @classmethod
    def of_exposures(cls, rootnames: Sequence[str]) -> "Target":
        """A list of exposures.

        Raises
        ------
        UsageProblemError
            The list is empty.
        """
        names = sorted({name.lower() for name in rootnames})
        if not names:
            raise UsageProblemError("no exposure is named", "hapctl align --exposures j8bt06nyq j8bt06o6q")
        return cls("exposures", " ".join(names))

    @property
    def rootnames(self) -> tuple[str, ...]:
        """Those named, of a list of exposures."""
        return tuple(self.name.split()) if self.scope == "exposures" else ()

    @property
    def visit(self) -> str | None:
        """The visit, if it is one."""
        return self.name if self.scope == "visit" else None

    def mode(self, exposures: int) -> Mode:
        """How WCSNAME says it: SVM, MVM, REL for several exposures, IMG for one."""
        modes: dict[Scope, Mode] = {"visit": "SVM", "tile": "MVM"}
        return modes.get(self.scope, "REL" if exposures > 1 else "IMG")


@dataclass(frozen=True)
class Chosen:
    """The exposures of a target.

    Attributes
    ----------
    aligned : tuple of EligibleExposure
        To be fitted.
    dispersed : tuple of LeftOutExposure
        Grism exposures: they follow their direct images.
    left_out : tuple of LeftOutExposure
    timeless : tuple of EligibleExposure
        Their time is unknown.
    """

    aligned: tuple[EligibleExposure, ...]
    dispersed: tuple[LeftOutExposure, ...]
    left_out: tuple[LeftOutExposure, ...]
    timeless: tuple[EligibleExposure, ...]

    @property
    def visits(self) -> set[str]:
        """Visits of all of them that an alignment may change."""
        return {one.visit for one in self.aligned} | {one.visit for one in self.dispersed}


def chosen_exposures(connection: Connection, target: Target) -> Chosen:
    """Find the exposures of a target.

    Raises
    ------
    NotInCatalogError
        The visit, the tile or one of the exposures is not in the catalog.
    NoViableDataError
        None of the exposures may be aligned.
    """
    _check(connection, target)
    tile = sky_cell(target.name).cell_id if target.scope == "tile" else None
    eligible = eligible_exposures(
        connection, visit=target.visit, sky_cell_id=tile, rootnames=target.rootnames
    )
    left = left_out_exposures(connection, visit=target.visit, sky_cell_id=tile, rootnames=target.rootnames)
    if target.scope == "tile" and not eligible and not left:
        raise NotInCatalogError(f"no exposure in the catalog touches {target.name}", "ingest files of it")
    aligned = [one for one in eligible if one.mjd_start is not None and one.mjd_end is not None]
    chosen = Chosen(
        tuple(aligned),
        tuple(one for one in left if one.code == DISPERSED),
        tuple(one for one in left if one.code != DISPERSED),
        tuple(one for one in eligible if one not in aligned),
    )
    if not aligned:
        reasons = [f"{one.rootname}: {one.reason}" for one in left]
        reasons += [f"{one.rootname}: its time is unknown (EXPSTART, EXPEND)" for one in chosen.timeless]
        raise NoViableDataError(f"{target.name}: no exposure may be aligned ({'; '.join(reasons)})")
    return chosen


def _check(connection: Connection, target: Target) -> None:
    if target.scope == "visit" and not visit_exists(connection, target.name):
        raise NotInCatalogError(
            f"no exposure of visit {target.name} in the catalog", "ingest its files first"
        )
    missing = set(target.rootnames) - exposures_named(connection, target.rootnames)
    if missing:
        raise NotInCatalogError(
            f"no exposure {', '.join(sorted(missing))} in the catalog", "ingest its file first: hapctl ingest"
        )


@contextmanager
def locked_exposures(
    catalog: Catalog, run: Run, target: Target, on_wait: Callable[[str], None]
) -> Iterator[Chosen]:
    """Give the exposures of a target while all their visits are locked.

    Locks are taken in the order of the visits' names, so that two runs never wait for each other in a ring;
    where meanwhile an exposure of yet another visit has come to the tile, it waits for the next run.
    """
    with catalog.begin() as connection:
        first = chosen_exposures(connection, target)
    with ExitStack() as locks:
        for visit in sorted(first.visits):
            locks.enter_context(advisory_lock(run, "visit", visit, on_wait=on_wait))
        with catalog.begin() as connection:
            now = chosen_exposures(connection, target)
        yield Chosen(
            tuple(one for one in now.aligned if one.visit in first.visits),
            tuple(one for one in now.dispersed if one.visit in first.visits),
            now.left_out,
            now.timeless,
        )
