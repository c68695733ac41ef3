"""What the catalog says of products: lists, one in full, and where it came from."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hapctl.archive.errors import CatalogUsageError, NotInCatalogError
from hapctl.archive.statements import execute
from sqlalchemy import Connection


def list_products(
    connection: Connection,
    *,
    visits: Sequence[str] | None = None,
    tile: str | None = None,
    kinds: Sequence[str] = (),
    run: int | None = None,
    before: datetime | None = None,
    stale_only: bool = False,
) -> list[dict[str, Any]]:
    """Return the products in force, each with the reasons why it is stale, if it is.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    visits : sequence of str, optional
        Of these visits.
    tile : str, optional
        Layers of this sky tile.
    kinds : sequence of str
        Of these kinds.
    run : int, optional
        Made by this run.
    before : datetime, optional
        In force since an earlier time.
    stale_only : bool
    """
    names = {
        "visits": None if visits is None else list(visits),
        "tile": tile,
        "kinds": list(kinds) or None,
        "run": run,
        "before": before,
        "stale_only": stale_only,
    }
    return [dict(row) for row in execute(connection, "list_products", names).mappings()]


def show_product(connection: Connection, name: str) -> dict[str, Any]:
    """Return all that is known of the product in force under a file name or path.

    Raises
    ------
    NotInCatalogError
        There is none.
    CatalogUsageError
        Several folders hold one of that name; the message names the paths.
    """
    rows = execute(connection, "show_product", {"name": name})
    found = [dict(row) for row in rows.mappings()]
    if not found:
        raise NotInCatalogError(f"no product {name} is in force", "see 'hapctl product list'")
    if len(found) > 1:
        paths = ", ".join(row["path"] for row in found)
        raise CatalogUsageError(f"{len(found)} products are called {name}: {paths}", "give the path")
    return found[0]


def product_history(connection: Connection, product_id: int) -> list[dict[str, Any]]:
    """Return all products that were ever at the place of a product, newest first, with their times."""
    rows = execute(connection, "product_history", {"product_id": product_id})
    return [dict(row) for row in rows.mappings()]


def product_lineage(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Return what the product in force under a name was made from, one row an input and Gaia query.

    Raises
    ------
    NotInCatalogError, CatalogUsageError
        As `show_product`.
    """
    product_id = show_product(connection, name)["product_id"]
    rows = execute(connection, "lineage_of_product", {"product_id": product_id})
    return [dict(row) for row in rows.mappings()]


def claimed_inputs(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Return what an imported product in force says went in, chip by chip; empty for one made here.

    Raises
    ------
    NotInCatalogError, CatalogUsageError
        As `show_product`.
    """
    return list(show_product(connection, name)["claimed_inputs"])
