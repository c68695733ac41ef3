"""What the catalog knows to be stale, grouped by how it is made again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hapctl.archive.statements import execute
from sqlalchemy import Connection

TargetKind = Literal["visit", "tile", "field"]


@dataclass(frozen=True)
class StaleProduct:
    """A product in force that is not what would be made now."""

    product_id: int
    kind: str
    name: str
    path: str
    codes: Sequence[str]
    reasons: Sequence[str]


@dataclass(frozen=True)
class StaleGroup:
    """Products that one command makes together, of which some are stale, or that lack an exposure.

    Attributes
    ----------
    target_kind : {"visit", "tile", "field"}
    target : str
        The visit, the name of the tile, or the field as JSON.
    folder : str
    request : mapping
        How the newest of them was asked for.
    products : tuple of StaleProduct
        Empty where only exposures are new.
    unused : tuple of str
        Rootnames of exposures that are in none of the products and were left out of none.
    field : mapping or None
        The field, as the products keep it.
    """

    target_kind: TargetKind
    target: str
    folder: str
    request: Mapping[str, Any]
    products: tuple[StaleProduct, ...]
    unused: tuple[str, ...]
    field: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        if self.field is None:
            return f"{self.target_kind} {self.target}"
        return f"field {self.field['ra']:.5f} {self.field['dec']:+.5f}"


def stale_groups(
    connection: Connection,
    *,
    visits: Sequence[str] | None = None,
    tiles: Sequence[str] | None = None,
    folder: str | None = None,
    changed: Sequence[int] = (),
    missing: Sequence[int] = (),
) -> list[StaleGroup]:
    """Return the groups of products where something is to be made again: visits, tiles, fields.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    visits, tiles : sequence of str, optional
        Products of these only; of both, where both are given. Without any, all products.
    folder : str, optional
        Products in this folder only.
    changed : sequence of int
        Products that rules which are not in force yet would make otherwise.
    missing : sequence of int
        Products of which a file is known to be missing, recorded or not.
    """
    names = {
        "visits": None if visits is None else list(visits),
        "tiles": None if tiles is None else list(tiles),
        "folder": folder,
        "changed": list(changed),
        "missing": list(missing),
    }
    return [_group(dict(row)) for row in execute(connection, "stale_groups", names).mappings()]


def _group(row: Mapping[str, Any]) -> StaleGroup:
    products = tuple(StaleProduct(**product) for product in row["products"])
    return StaleGroup(**{**row, "products": products, "unused": tuple(row["unused"])})
