"""What the catalog says of products: lists, one in full, and where it came from."""

from typing import Any

from hapctl.archive.errors import CatalogUsageError, NotInCatalogError
from hapctl.sql import read_sql
from sqlalchemy import Connection, text


def list_products(
    connection: Connection,
    *,
    visit: str | None = None,
    tile: str | None = None,
    stale_only: bool = False,
) -> list[dict[str, Any]]:
    """Return the products in force, each with the reasons why it is stale, if it is."""
    rows = connection.execute(
        text(read_sql("statements/list_products.sql")),
        {"visit": visit, "tile": tile, "stale_only": stale_only},
    )
    return [dict(row) for row in rows.mappings()]


def show_product(connection: Connection, name: str) -> dict[str, Any]:
    """Return all that is known of the product in force under a file name or path.

    Raises
    ------
    NotInCatalogError
        There is none.
    CatalogUsageError
        Several folders hold one of that name; the message names the paths.
    """
    rows = connection.execute(text(read_sql("statements/show_product.sql")), {"name": name})
    found = [dict(row) for row in rows.mappings()]
    if not found:
        raise NotInCatalogError(f"no product {name} is in force", "see 'hapctl product list'")
    if len(found) > 1:
        paths = ", ".join(row["path"] for row in found)
        raise CatalogUsageError(f"{len(found)} products are called {name}: {paths}", "give the path")
    return found[0]


def product_lineage(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Return what the product in force under a name was made from, one row an input and Gaia query.

    Raises
    ------
    NotInCatalogError, CatalogUsageError
        As `show_product`.
    """
    product_id = show_product(connection, name)["product_id"]
    statement = text(read_sql("statements/lineage_of_product.sql"))
    rows = connection.execute(statement, {"product_id": product_id})
    return [dict(row) for row in rows.mappings()]
