"""The products in force that cut-outs are taken from."""

from collections.abc import Sequence
from dataclasses import dataclass

from hapctl.archive.statements import execute
from sqlalchemy import Connection


@dataclass(frozen=True)
class SourceProduct:
    """A product in force; ``sky_cell`` is the tile of a layer, ``pixel_scale`` in arcsec."""

    kind: str
    name: str
    path: str
    sky_cell: str | None
    instrument: str
    detector: str
    filter: str
    label: str
    pixel_scale: float


def cutout_sources(
    connection: Connection,
    *,
    visit: str | None = None,
    tiles: Sequence[str] = (),
    names: Sequence[str] = (),
) -> list[SourceProduct]:
    """Return the products of a visit, of tiles, or of file names or paths, by path."""
    asked = {"visit": visit, "tiles": list(tiles), "names": list(names)}
    return [SourceProduct(**row) for row in execute(connection, "cutout_sources", asked).mappings()]
