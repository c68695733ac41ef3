"""Files of products as the catalog knows them, and what was seen of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hapctl.archive.statements import execute
from sqlalchemy import Connection

FileState = Literal["ok", "missing", "damaged"]


@dataclass(frozen=True)
class ProductFile:
    """A file of a product in force; ``origin`` tells whether it was made here or imported."""

    product_file_id: int
    product_id: int
    kind: str
    path: str
    sha256: str
    size_bytes: int
    origin: str


def files_in_force(
    connection: Connection,
    *,
    names: Sequence[str] = (),
    visits: Sequence[str] | None = None,
    tile: str | None = None,
) -> list[ProductFile]:
    """Return the files of products in force: of names or paths, of visits, of a sky tile; else of all."""
    wanted = {
        "names": list(names) or None,
        "visits": None if visits is None else list(visits),
        "tile": tile,
    }
    return [ProductFile(**row) for row in execute(connection, "files_to_verify", wanted).mappings()]


def record_checks(
    connection: Connection,
    run_id: int,
    states: Iterable[tuple[ProductFile, FileState]],
    *,
    contents_read: bool = True,
) -> None:
    """Record what was seen of files; a product with a missing or damaged one is stale.

    Where contents were not read, a file of the right size that was seen damaged stays damaged.
    """
    rows = [
        {
            "product_file_id": file.product_file_id,
            "state": state,
            "run_id": run_id,
            "contents_read": contents_read,
        }
        for file, state in states
    ]
    if rows:
        execute(connection, "insert_product_file_check", rows)


def file_names_in_force(connection: Connection) -> dict[str, list[str]]:
    """Return the names of all files of products in force that were made here, by folder."""
    rows = execute(connection, "product_file_names")
    return {str(row.folder): str(row.names).split("\n") for row in rows}


def products_of_files(connection: Connection, paths: Sequence[str]) -> list[int]:
    """Return the products in force that have one of these files."""
    return [int(row.product_id) for row in execute(connection, "products_of_files", {"paths": list(paths)})]


@dataclass(frozen=True)
class ReplacedFile:
    """A file in whose place another is put."""

    path: str
    product_file_id: int
    product_id: int
    size_bytes: int


def files_to_keep(connection: Connection, paths: Sequence[str]) -> list[ReplacedFile]:
    """Return the files of products that were in force last at some paths."""
    return [
        ReplacedFile(**row) for row in execute(connection, "files_to_keep", {"paths": list(paths)}).mappings()
    ]


def record_kept(connection: Connection, run_id: int, product_file_id: int, path: str) -> None:
    """Record where a file lies since another took its place."""
    row = {"product_file_id": product_file_id, "path": path, "run_id": run_id}
    execute(connection, "insert_file_kept", row)
