"""Recalls: what came of a bad run, file, solution or product, taken out of use, and given back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hapctl.archive.errors import NotInCatalogError, RefusedByCatalogError
from hapctl.archive.products import put_masks_in_force
from hapctl.archive.runs import canonical_json
from hapctl.archive.solutions import activate
from hapctl.archive.statements import execute
from sqlalchemy import Connection

Target = Literal["run", "file", "solution", "product"]
TARGETS: tuple[Target, ...] = get_args(Target)

_TABLES = {"file": "recall_files", "query": "recall_queries", "solution": "recall_solutions"}


@dataclass(frozen=True)
class Descendant:
    """A node of what came of something.

    Attributes
    ----------
    kind : str
        run, file, query, attempt, solution, mask or product.
    number : int
    label : str
        What it is, in words.
    parents : tuple of (str, int)
        What it came from, of all that is recalled together; empty for the first.
    visit, sky_cell, rootname : str or None
    in_force : bool or None
        None for what is never in force.
    recalled : bool
        By a recall that is in force; true of what can't be recalled itself.
    """

    kind: str
    number: int
    label: str
    parents: tuple[tuple[str, int], ...]
    visit: str | None
    sky_cell: str | None
    rootname: str | None
    in_force: bool | None
    recalled: bool

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from others."""
        return self.kind, self.number


@dataclass(frozen=True)
class RecalledFile:
    """A file of a recalled product, with the folder of that product."""

    product_id: int
    folder: str
    path: str
    sha256: str


@dataclass(frozen=True)
class PendingMoves:
    """Files that are still to be moved to quarantine or back; each move has from, to and sha256."""

    recall_pending_id: int
    moves: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class ChangedSolution:
    """An exposure whose solution in force was recalled; ``now`` is None where it has none."""

    rootname: str
    before: str
    now: str | None


def descendants(connection: Connection, target: Target, number: int) -> list[Descendant]:
    """Return a thing and all that came of it, by kind and number.

    Raises
    ------
    NotInCatalogError
        There is no such thing.
    """
    found: dict[tuple[str, int], list[Any]] = {}
    for row in execute(connection, "recall_descendants", {"kind": target, "id": number}):
        found.setdefault((row.kind, row.id), []).append(row)
    first = found.get((target, number))
    if first is None or first[0].label is None:
        raise NotInCatalogError(f"no {target} {number} in the catalog", "see 'hapctl product lineage'")
    return [_descendant(rows) for rows in found.values()]


def _descendant(rows: Sequence[Any]) -> Descendant:
    row = rows[0]
    parents = tuple((one.from_kind, one.from_id) for one in rows if one.from_kind is not None)
    return Descendant(
        *(row.kind, row.id, row.label, parents, row.visit, row.sky_cell, row.rootname),
        row.in_force,
        row.recalled,
    )


def recall_in_force_of(connection: Connection, target: Target, number: int) -> int | None:
    """Return the newest recall of just this that is in force, if any."""
    found = execute(connection, "recall_in_force_of", {"target": target, "id": number})
    number_found: int | None = found.scalar_one_or_none()
    return number_found


def record_recall(
    connection: Connection,
    run_id: int,
    target: Target,
    number: int,
    reason: str,
    nodes: Iterable[Descendant],
) -> tuple[int, list[int], list[ChangedSolution]]:
    """Record a recall with all that came of something, and take it out of force, all in this transaction.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    run_id : int
    target : {"run", "file", "solution", "product"}
    number : int
    reason : str
    nodes : iterable of Descendant
        From `descendants`; those recalled already are left as they are.

    Returns
    -------
    recall_id : int
    products : list of int
        ``product_id`` of the products that were in force.
    solutions : list of ChangedSolution
        Exposures for which another solution, or none, is in force now.
    """
    values = {"target": target, "id": number, "reason": reason, "run_id": run_id}
    recall_id = int(execute(connection, "insert_recall", values).scalar_one())
    ids: dict[str, list[int]] = {}
    for node in nodes:
        if not node.recalled:
            ids.setdefault(node.kind, []).append(node.number)
    for kind, statement in _TABLES.items():
        execute(connection, statement, {"recall_id": recall_id, "ids": ids.get(kind, [])})
    _close_masks(connection, run_id, recall_id, ids.get("mask", []))
    products = _close_products(connection, run_id, recall_id, ids.get("product", []))
    return recall_id, products, _replace_solutions(connection, run_id, recall_id, reason)


def _close_masks(connection: Connection, run_id: int, recall_id: int, mask_ids: list[int]) -> None:
    rows = execute(connection, "recall_masks", {"recall_id": recall_id, "ids": mask_ids}).all()
    put_masks_in_force(connection, run_id, {row.exposure_id: None for row in rows if row.was_current})


def _close_products(connection: Connection, run_id: int, recall_id: int, ids: list[int]) -> list[int]:
    rows = execute(connection, "recall_products", {"recall_id": recall_id, "ids": ids}).all()
    products = [int(row.product_id) for row in rows if row.was_current]
    for product_id in products:
        execute(connection, "close_product", {"product_id": product_id, "run_id": run_id})
    return products


def _replace_solutions(
    connection: Connection, run_id: int, recall_id: int, reason: str
) -> list[ChangedSolution]:
    """Put in force what was before the recalled solutions; nothing where that is recalled, too."""
    rows = execute(connection, "recalled_in_force", {"recall_id": recall_id}).all()
    for row in rows:
        if row.before_id is None:
            execute(connection, "close_active", {"exposure_id": row.exposure_id, "run_id": run_id})
    for origin in sorted({row.before_origin for row in rows if row.before_id is not None}):
        chosen = {row.exposure_id: row.before_id for row in rows if row.before_origin == origin}
        words = f"recall {recall_id} ({reason}): it was in force before"
        activate(connection, run_id, chosen, words, origin)
    return [ChangedSolution(row.rootname, row.wcsname, row.before_name) for row in rows]


def files_of_products(connection: Connection, product_ids: Iterable[int]) -> list[RecalledFile]:
    """Return the files of products made here; those of imported ones are not ours to move."""
    rows = execute(connection, "files_of_products", {"ids": list(product_ids)}).mappings()
    return [RecalledFile(**row) for row in rows]


def insert_moves(
    connection: Connection, run_id: int, recall_id: int, moves: Sequence[Mapping[str, str]]
) -> None:
    """Record what files are to be moved; nothing where there is nothing to move."""
    if moves:
        values = {"recall_id": recall_id, "moves": canonical_json(list(moves)), "run_id": run_id}
        execute(connection, "insert_recall_pending", values)


def pending_moves(connection: Connection) -> list[PendingMoves]:
    """Return the moves that are still to be made, in order."""
    rows = execute(connection, "recall_pending").all()
    return [PendingMoves(row.recall_pending_id, tuple(row.moves)) for row in rows]


def drop_moves(connection: Connection, recall_pending_id: int) -> None:
    """Forget moves that were made."""
    execute(connection, "drop_recall_pending", {"recall_pending_id": recall_pending_id})


def list_recalls(connection: Connection) -> list[dict[str, Any]]:
    """Return all recalls, newest first, with what they hold and the paths that wait for a rebuild."""
    return [dict(row) for row in execute(connection, "list_recalls").mappings()]


def release_recall(
    connection: Connection, run_id: int, recall_id: int, reason: str
) -> tuple[list[int], list[str]]:
    """End a recall that was a mistake, and put in force again what nothing has replaced since.

    Returns
    -------
    products : list of int
        ``product_id`` of the products in force again.
    rootnames : list of str
        Exposures whose recalled solution is in force again.

    Raises
    ------
    NotInCatalogError
        No recall of that number.
    RefusedByCatalogError
        It is released already.
    """
    known = {row["recall_id"]: row for row in list_recalls(connection)}
    if recall_id not in known:
        raise NotInCatalogError(f"no recall {recall_id} in the catalog", "see 'hapctl product recall --list'")
    if known[recall_id]["released"] is not None:
        raise RefusedByCatalogError(
            f"recall {recall_id} was released already, by run {known[recall_id]['release_run_id']}",
            "see 'hapctl product recall --list'",
        )
    values = {"recall_id": recall_id, "reason": reason, "run_id": run_id}
    execute(connection, "insert_recall_release", values)
    solutions = _restore_solutions(connection, run_id, recall_id)
    masks = execute(connection, "release_masks", {"recall_id": recall_id}).all()
    put_masks_in_force(connection, run_id, {row.exposure_id: row.mask_id for row in masks})
    products = list(execute(connection, "release_products", {"recall_id": recall_id}).scalars())
    for product_id in products:
        execute(connection, "put_product_in_force", {"product_id": product_id, "run_id": run_id})
    return products, solutions


def _restore_solutions(connection: Connection, run_id: int, recall_id: int) -> list[str]:
    rows = execute(connection, "release_solutions", {"recall_id": recall_id}).all()
    for origin in sorted({row.origin for row in rows}):
        chosen = {row.exposure_id: row.solution_id for row in rows if row.origin == origin}
        activate(connection, run_id, chosen, f"recall {recall_id} was released", origin)
    return [row.rootname for row in rows]


def drop_recalled(
    connection: Connection,
    run_id: int,
    folder: str,
    planned: Sequence[str],
    *,
    visit: str | None,
    tile: str | None,
    field: str | None,
) -> None:
    """Let recalled products of a visit, tile or field wait no longer that are not planned any more."""
    place = {"visit": visit, "tile": tile, "field": field}
    execute(
        connection, "drop_recalled", {**place, "folder": folder, "planned": list(planned), "run_id": run_id}
    )


def recalled_content(connection: Connection, file_id: int) -> str | None:
    """Return why a content of a file is recalled; None where it is not."""
    found: str | None = execute(connection, "recalled_content", {"file_id": file_id}).scalar_one_or_none()
    return found


def recalled_solutions(connection: Connection, exposure_id: int) -> set[int]:
    """Return the solutions of an exposure that are recalled."""
    return set(execute(connection, "recalled_solutions", {"exposure_id": exposure_id}).scalars())
