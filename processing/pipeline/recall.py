"""`product recall`: what came of a bad run, file, solution or product, taken out of use together.

- Products are no longer in force; the files of those made here go into ``quarantine/recall-N`` within their
  folder, those of imported ones stay where they are. Those that were in force wait for a rebuild
  (``mosaic --stale``), until nothing makes them any more.
- Of exposures whose solution in force is recalled, the one before it is in force again; where there is none,
  none is, and the exposure goes into no product. A recalled solution can't be put in force.
- Recalled masks, and answers of reference catalogs, are not used again.
- An exposure whose file is recalled goes into no product until another content is ingested.

All of it is one transaction, so a recall is made or it is not; only the files are moved afterwards, by this
command or the next. Rows and files stay: a release gives back what nothing has replaced since.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hapctl.archive.database import Catalog
from hapctl.archive.errors import CatalogUsageError, NotInCatalogError
from hapctl.archive.locks import advisory_lock
from hapctl.archive.recalls import (
    ChangedSolution,
    Descendant,
    Target,
    descendants,
    files_of_products,
    insert_moves,
    recall_in_force_of,
    record_recall,
    release_recall,
)
from hapctl.archive.recorded_products import product_number
from hapctl.archive.runs import Run, recorded_run
from hapctl.archive.statements import execute
from hapctl.archive.wcs_reports import find_solution, solutions_of
from hapctl.processing.imaging.product_file import file_sha256
from hapctl.processing.pipeline.publish import settle_pending
from hapctl.processing.pipeline.quarantine import finish_moves, into_quarantine, out_of_quarantine
from sqlalchemy import Connection


@dataclass(frozen=True)
class RecallReport:
    """What was, or is to be, recalled.

    Attributes
    ----------
    target : str
        run, file, solution or product.
    number : int
    nodes : tuple of Descendant
        It and all that came of it.
    recall_id : int or None
        None for a plan of what is not recalled yet.
    status : {"recalled", "unchanged", "to recall"}
        ``unchanged``: all of it is recalled already.
    solutions : tuple of ChangedSolution
    moved : tuple of str
        Files in quarantine now.
    run : int or None
    """

    target: Target
    number: int
    nodes: tuple[Descendant, ...]
    recall_id: int | None
    status: str
    solutions: tuple[ChangedSolution, ...] = ()
    moved: tuple[str, ...] = ()
    run: int | None = None

    @property
    def products(self) -> tuple[Descendant, ...]:
        """Products among what came of it."""
        return tuple(node for node in self.nodes if node.kind == "product")


@dataclass(frozen=True)
class ReleaseReport:
    """What a release gave back: products and solutions that are in force again, files in their places."""

    recall_id: int
    products: tuple[int, ...]
    rootnames: tuple[str, ...]
    moved: tuple[str, ...]
    run: int


def file_number(connection: Connection, name: str) -> int:
    """Return the ``file_id`` of a content given by SHA-256 (or eight or more of its first digits), or path.

    Of a path it is the content ingested from there last, whatever lies there now.

    Raises
    ------
    NotInCatalogError
        No such content is known.
    CatalogUsageError
        Several contents begin with these digits.
    """
    path = os.path.abspath(name)
    rows = execute(connection, "file_content_named", {"name": name.lower(), "path": path}).all()
    if not rows and Path(path).is_file():
        rows = execute(connection, "file_content_named", {"name": file_sha256(Path(path)), "path": ""}).all()
    if not rows:
        raise NotInCatalogError(
            f"no file {name} in the catalog", "give its path or SHA-256 ('hapctl exposure show')"
        )
    if len({row.file_id for row in rows}) > 1:
        found = ", ".join(sorted({row.sha256[:16] for row in rows}))
        raise CatalogUsageError(f"several files are meant by {name}: {found}", "give more digits")
    return int(rows[0].file_id)


def solution_number(connection: Connection, name: str, rootname: str | None) -> int:
    """Return the ``solution_id`` that a number, or NAME or NAME@run of an exposure, stands for.

    Raises
    ------
    NotInCatalogError
        There is none.
    CatalogUsageError
        A name without its exposure.
    """
    if name.isdecimal():
        return int(name)
    if rootname is None:
        raise CatalogUsageError(f"{name} is a solution of which exposure?", "add --exposure ROOTNAME")
    return find_solution(solutions_of(connection, rootname.lower()), rootname, name).solution_id


def target_number(connection: Connection, target: Target, name: str, rootname: str | None = None) -> int:
    """Return the number of what is to be recalled."""
    if target == "file":
        return file_number(connection, name)
    if target == "solution":
        return solution_number(connection, name, rootname)
    return product_number(connection, name) if target == "product" else int(name)


def plan_recall(catalog: Catalog, target: Target, number: int) -> RecallReport:
    """Return what a recall would take out of use; nothing changes."""
    with catalog.begin() as connection:
        nodes = tuple(descendants(connection, target, number))
        recall_id = recall_in_force_of(connection, target, number)
    new = any(not node.recalled for node in nodes)
    return RecallReport(target, number, nodes, recall_id, "to recall" if new else "unchanged")


def recall(
    catalog: Catalog, target: Target, number: int, reason: str, *, arguments: Sequence[str] = ()
) -> RecallReport:
    """Take a thing and all that came of it out of use; nothing changes where that is so already.

    Parameters
    ----------
    catalog : Catalog
    target : {"run", "file", "solution", "product"}
    number : int
    reason : str
        Why, in words; part of the record.
    arguments : sequence of str
        The command line, for the run.

    Raises
    ------
    NotInCatalogError
        There is no such thing.
    BusyError
        Another run works on a visit or tile of its products.
    """
    planned = plan_recall(catalog, target, number)
    parameters = {"target": target, "number": number, "reason": reason}
    with recorded_run(catalog, "product recall", parameters, arguments) as run:
        settle_pending(catalog, run)
        with _locks(run, planned.nodes):
            report = _recalled(catalog, run, target, number, reason)
        run.summary |= {"status": report.status, "recall_id": report.recall_id, **_counts(report.nodes)}
    return report


def _counts(nodes: Sequence[Descendant]) -> dict[str, int]:
    kinds = [node.kind for node in nodes]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _recalled(catalog: Catalog, run: Run, target: Target, number: int, reason: str) -> RecallReport:
    with catalog.begin() as connection:
        nodes = tuple(descendants(connection, target, number))  # again: now nobody else changes them
        if all(node.recalled for node in nodes):
            known = recall_in_force_of(connection, target, number)
            return RecallReport(target, number, nodes, known, "unchanged", run=run.id)
        recall_id, products, solutions = record_recall(connection, run.id, target, number, reason, nodes)
        files = files_of_products(connection, products)
        insert_moves(connection, run.id, recall_id, into_quarantine(files, recall_id))
    moved = finish_moves(catalog)
    return RecallReport(
        target, number, nodes, recall_id, "recalled", tuple(solutions), tuple(moved), run=run.id
    )


@contextmanager
def _locks(run: Run, nodes: Sequence[Descendant]) -> Iterator[None]:
    """Hold tiles and visits, in the order in which other commands take them."""
    tiles = sorted({node.sky_cell for node in nodes if node.sky_cell})
    visits = sorted({node.visit for node in nodes if node.visit})
    with ExitStack() as held:
        for name in tiles:
            held.enter_context(advisory_lock(run, "tile", name))
        for name in visits:
            held.enter_context(advisory_lock(run, "visit", name))
        yield


def release(catalog: Catalog, recall_id: int, reason: str, *, arguments: Sequence[str] = ()) -> ReleaseReport:
    """End a recall that was a mistake: what nothing has replaced since is in force again.

    Raises
    ------
    NotInCatalogError, RefusedByCatalogError
        No recall of that number; it is released already.
    """
    parameters = {"recall_id": recall_id, "reason": reason}
    with recorded_run(catalog, "product recall --release", parameters, arguments) as run:
        settle_pending(catalog, run)
        with catalog.begin() as connection:
            products, rootnames = release_recall(connection, run.id, recall_id, reason)
            files = files_of_products(connection, products)
            insert_moves(connection, run.id, recall_id, out_of_quarantine(files, recall_id))
        moved = finish_moves(catalog)
        run.summary |= {"recall_id": recall_id, "products": len(products), "solutions": len(rootnames)}
    return ReleaseReport(recall_id, tuple(products), tuple(rootnames), tuple(moved), run.id)
