"""Products in force that nothing makes any more, and how their time ends."""

from collections.abc import Sequence
from dataclasses import dataclass

from hapctl.archive.statements import execute
from sqlalchemy import Connection


@dataclass(frozen=True)
class ProductLeftBehind:
    """A stale product that is made no more: its exposures are out of use, or it has another name now."""

    product_id: int
    kind: str
    name: str
    path: str
    detector: str
    filter: str
    nx: int
    ny: int
    codes: Sequence[str]
    reasons: Sequence[str]


def products_left_behind(
    connection: Connection,
    folder: str,
    planned: Sequence[str],
    *,
    visit: str | None = None,
    tile: str | None = None,
    field: str | None = None,
    split_by: str | None = None,
) -> list[ProductLeftBehind]:
    """Return the stale products of a visit, tile or field in a folder whose names are not planned.

    A field is told by what the names of its mosaics begin with, after ``hst_``. Of layers and mosaics only
    those that are split in the same way are returned.
    """
    place = {"folder": folder, "visit": visit, "tile": tile, "field": field, "split_by": split_by or ""}
    parameters = {**place, "planned": list(planned)}
    rows = execute(connection, "products_left_behind", parameters).mappings()
    return [ProductLeftBehind(**row) for row in rows]


def retire_product(connection: Connection, run_id: int, product_id: int) -> None:
    """End the time of a product in force, with none in its place; its rows and files stay."""
    execute(connection, "close_product", {"product_id": product_id, "run_id": run_id})
