"""The layers in force of sky tiles, for those who show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hapctl.sql import read_sql
from sqlalchemy import Connection, text


@dataclass(frozen=True)
class TileLayer:
    """A layer in force; ``stale`` tells whether it would be made differently now."""

    product_id: int
    sky_cell: str
    name: str
    path: Path
    instrument: str
    detector: str
    filter: str
    pixel_scale: float
    pixels_sha256: str
    stale: bool


def layers_of_tiles(connection: Connection, tiles: Sequence[str]) -> list[TileLayer]:
    """Return the unsplit layers in force of some tiles, newest first."""
    rows = connection.execute(text(read_sql("statements/layers_of_tiles.sql")), {"tiles": list(tiles)})
    return [TileLayer(**{**row, "path": Path(row["path"])}) for row in rows.mappings()]
