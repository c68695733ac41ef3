"""What trailer logs and manifests are made from: the rows of a product, and the files of a visit or tile."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.statements import execute
from sqlalchemy import Connection


@dataclass(frozen=True)
class ProductFiles:
    """A product in force and the names of its files."""

    name: str
    instrument: str
    files: tuple[str, ...]


def trailer_rows(connection: Connection, product_id: int) -> Mapping[str, Any]:
    """Return all that the trailer log of a product tells, as one row of the statement ``trailer_of_product``.

    Raises
    ------
    NotInCatalogError
        There is no such product.
    """
    row = execute(connection, "trailer_of_product", {"product_id": product_id}).mappings().one_or_none()
    if row is None:
        raise NotInCatalogError(f"no product {product_id} in the catalog", "see 'hapctl product list'")
    return dict(row)


def files_of_target(
    connection: Connection, folder: str, *, visit: str | None = None, tile: str | None = None
) -> list[ProductFiles]:
    """Return the products in force of a visit or a tile that lie in a folder, by name."""
    rows = execute(connection, "files_of_target", {"folder": folder, "visit": visit, "tile": tile})
    return [ProductFiles(row.name, row.instrument, tuple(row.files)) for row in rows]
