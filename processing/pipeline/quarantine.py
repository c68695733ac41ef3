"""Files of recalled products: moved into quarantine, and back when a recall is released.

What is to be moved is committed with the recall and forgotten when it is done, so that the next command
finishes what a killed one left. A file is moved only while it is the one that was recalled: what has taken
its place since stays where it is. Nothing is deleted.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hapctl.archive.database import Catalog
from hapctl.archive.recalls import RecalledFile, drop_moves, pending_moves
from hapctl.processing.imaging.durable import sync_folder
from hapctl.processing.imaging.product_file import file_sha256

QUARANTINE = "quarantine"
"""Folder within that of the products."""

Move = Mapping[str, str]


def into_quarantine(files: Iterable[RecalledFile], recall_id: int) -> list[Move]:
    """Return the moves of the files of recalled products into quarantine."""
    return [{"from": file.path, "to": str(_place(file, recall_id)), "sha256": file.sha256} for file in files]


def out_of_quarantine(files: Iterable[RecalledFile], recall_id: int) -> list[Move]:
    """Return the moves of the files of released products back into their places."""
    return [{"from": str(_place(file, recall_id)), "to": file.path, "sha256": file.sha256} for file in files]


def _place(file: RecalledFile, recall_id: int) -> Path:
    return Path(file.folder) / QUARANTINE / f"recall-{recall_id}" / Path(file.path).name


def finish_moves(catalog: Catalog) -> list[str]:
    """Make all moves that are pending; return the files that were moved.

    Those in folders that are not there now (an unmounted disk) stay pending.
    """
    with catalog.begin() as connection:
        pending = pending_moves(connection)
    moved: list[str] = []
    for entry in pending:
        if not all(_home(move).is_dir() for move in entry.moves):
            continue
        moved += [move["to"] for move in entry.moves if _moved(move)]
        for folder in {Path(move[end]).parent for move in entry.moves for end in ("from", "to")}:
            if folder.is_dir():
                sync_folder(folder)
        with catalog.begin() as connection:
            drop_moves(connection, entry.recall_pending_id)
    return moved


def _home(move: Move) -> Path:
    """Return the folder of the products: above the quarantine."""
    parent = Path(move["from"]).parent
    return parent.parent.parent if parent.parent.name == QUARANTINE else parent


def _moved(move: Move) -> bool:
    source, place = Path(move["from"]), Path(move["to"])
    if not source.is_file() or place.exists() or file_sha256(source) != move["sha256"]:
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, place)
    return True
