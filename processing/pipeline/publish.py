"""From a product written aside to the product in force, safely (the pending protocol).

1. The files are written beside their final places, under hidden names, and synced.
2. One transaction records the product and, as pending, what is to be moved where, with checksums.
3. The files are renamed; what stood there before is kept as a hidden link, and on request as a file in the
   folder ``replaced``, with the number of its product.
4. One transaction puts the product in force and ends its pending.
5. What stood there before is removed.

A run killed at any point leaves the old product or the new one; the next command finishes what can be
finished (all new files are there) and undoes the rest (`settle_pending`).
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hapctl.archive.database import Catalog
from hapctl.archive.locks import advisory_lock
from hapctl.archive.product_files import files_to_keep, record_kept
from hapctl.archive.products import (
    NewFile,
    NewProduct,
    PendingProduct,
    drop_pending,
    insert_pending_product,
    pending_products,
    put_product_in_force,
)
from hapctl.archive.runs import Run
from hapctl.processing.imaging.durable import sync_folder
from hapctl.processing.imaging.product_file import aside, file_sha256
from hapctl.processing.pipeline.quarantine import finish_moves

Move = Mapping[str, str]
KEPT_FOLDER = "replaced"
"""Beside products: files of those that were replaced, on request."""


@dataclass(frozen=True)
class Settled:
    """What became of the pending products of runs that are gone."""

    finished: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def _backup(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def written_file(kind: str, final: Path) -> NewFile:
    """Return the row of a file that lies aside, waiting for its final place."""
    written = aside(final)
    return NewFile(kind, str(final), file_sha256(written), written.stat().st_size)


def tidy(path: Path) -> None:
    """Remove what a killed run left beside a file that is in force."""
    aside(path).unlink(missing_ok=True)
    _backup(path).unlink(missing_ok=True)


def publish(catalog: Catalog, run: Run, product: NewProduct, *, keep_replaced: bool = False) -> int:
    """Put a product whose files lie aside in force; return its ``product_id``.

    Parameters
    ----------
    catalog : Catalog
    run : Run
    product : NewProduct
    keep_replaced : bool
        Files in whose place the new ones are put stay, in the folder ``replaced`` beside them.
    """
    kept = _kept_places(catalog, product) if keep_replaced else {}
    moves = [
        {
            "from": str(aside(Path(file.path))),
            "to": file.path,
            "backup": str(_backup(Path(file.path))),
            "sha256": file.sha256,
            **kept.get(file.path, {}),
        }
        for file in product.files
    ]
    for file in product.files:
        _backup(Path(file.path)).unlink(missing_ok=True)
    with catalog.begin() as connection:
        product_id = insert_pending_product(connection, run.id, product, moves)
    _move(moves)
    _put_in_force(catalog, run, product_id, moves)
    return product_id


def _kept_places(catalog: Catalog, product: NewProduct) -> dict[str, dict[str, str]]:
    """Return where the files of the product before go, by path; what is not as it was written is not kept."""
    with catalog.begin() as connection:
        found = files_to_keep(connection, [file.path for file in product.files])
    places = {}
    for file in found:
        path = Path(file.path)
        if path.is_file() and path.stat().st_size == file.size_bytes:
            place = path.parent / KEPT_FOLDER / f"{path.stem}_{file.product_id}{path.suffix}"
            places[file.path] = {"kept": str(place), "kept_file": str(file.product_file_id)}
    return places


def settle_pending(catalog: Catalog, run: Run) -> Settled:
    """Finish or undo what killed runs left pending, moves into quarantine first.

    Products in folders that are not there now (an unmounted disk) stay pending.
    """
    finish_moves(catalog)
    with catalog.begin() as connection:
        found = pending_products(connection)
    if not found:
        return Settled()
    outcomes: dict[str, list[str]] = {"finished": [], "undone": [], "left": []}
    with advisory_lock(run, "pending", "products"):
        with catalog.begin() as connection:
            found = pending_products(connection)
        for pending in found:
            outcomes[_settle(catalog, run, pending)].append(pending.name)
    return Settled(**{name: tuple(names) for name, names in outcomes.items()})


def _settle(catalog: Catalog, run: Run, pending: PendingProduct) -> str:
    if not all(Path(move["to"]).parent.is_dir() for move in pending.moves):
        return "left"
    if all(
        _is_there(Path(move["from"]), move) or _is_there(Path(move["to"]), move) for move in pending.moves
    ):
        _move(pending.moves)
        _put_in_force(catalog, run, pending.product_id, pending.moves)
        return "finished"
    for move in pending.moves:
        _undo(move)
    _sync_folders(pending.moves)
    with catalog.begin() as connection:
        drop_pending(connection, pending.product_id)
    return "undone"


def _undo(move: Move) -> None:
    if Path(move["backup"]).exists():
        os.replace(move["backup"], move["to"])
    elif not Path(move["from"]).exists() and _is_there(Path(move["to"]), move):
        Path(move["to"]).unlink()  # else it is the old one, with the content of the new (a headerlet)
    Path(move["from"]).unlink(missing_ok=True)
    if "kept" in move:
        Path(move["kept"]).unlink(missing_ok=True)


def _is_there(path: Path, move: Move) -> bool:
    return path.is_file() and file_sha256(path) == move["sha256"]


def _move(moves: Sequence[Move]) -> None:
    for move in moves:
        if not Path(move["from"]).exists():
            continue  # moved before the run was killed
        if Path(move["to"]).exists() and not Path(move["backup"]).exists():
            _keep(Path(move["to"]), Path(move["backup"]))
        if "kept" in move:
            _keep_replaced(Path(move["backup"]), Path(move["kept"]))
        os.replace(move["from"], move["to"])
    _sync_folders(moves)


def _keep_replaced(backup: Path, place: Path) -> None:
    """Keep a file that is replaced; a half-made copy never stands under its name."""
    if place.exists() or not backup.exists():
        return
    place.parent.mkdir(exist_ok=True)
    aside(place).unlink(missing_ok=True)
    _keep(backup, aside(place))
    os.replace(aside(place), place)


def _keep(path: Path, backup: Path) -> None:
    try:
        os.link(path, backup)
    except OSError:  # a file system without hard links
        shutil.copy2(path, backup)


def _put_in_force(catalog: Catalog, run: Run, product_id: int, moves: Sequence[Move]) -> None:
    with catalog.begin() as connection:
        put_product_in_force(connection, run.id, product_id)
        for move in moves:
            if "kept" in move:
                record_kept(connection, run.id, int(move["kept_file"]), move["kept"])
    drop_backups(moves)


def drop_backups(moves: Sequence[Move]) -> None:
    """Remove what stood at the places of files that are in force now."""
    for move in moves:
        Path(move["backup"]).unlink(missing_ok=True)


def _sync_folders(moves: Sequence[Move]) -> None:
    places = [move[name] for move in moves for name in ("to", "kept") if name in move]
    for folder in sorted({os.path.dirname(place) for place in places}):
        if os.path.isdir(folder):
            sync_folder(Path(folder))
