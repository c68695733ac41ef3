"""`hapctl tile`: the sky tiles of the HAP tessellation. Geometry alone, no catalog is opened."""

from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json

if TYPE_CHECKING:
    from hapctl.archive.sky_cells import SkyCell

# A negative declination must not be taken for an option.
_NUMBERS = {"ignore_unknown_options": True}


@click.group()
def tile() -> None:
    """Find and show sky tiles."""


@tile.command("find", context_settings=_NUMBERS)
@click.argument("ra", type=float)
@click.argument("dec", type=float)
@json_option
def find(ra: float, dec: float, as_json: bool) -> None:
    """List the sky tiles that hold a position; RA and DEC in degrees, ICRS.

    \b
    hapctl tile find 5.67 -72.07
    """
    from hapctl.archive.sky_cells import cells_containing

    cells = cells_containing(ra, dec)
    if as_json:
        print_json({"tiles": [_tile(cell) for cell in cells]})
        return
    for cell in cells:
        click.echo(cell.name)


@tile.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show the grid of a sky tile: reference pixel and position, size, corners.

    \b
    hapctl tile show skycell-p1889x07y19 --json
    """
    from hapctl.archive.sky_cells import sky_cell

    cell = sky_cell(name)
    document = {
        **_tile(cell),
        "crval": list(cell.crval),
        "crpix": list(cell.crpix),
        "cd": list(cell.cd),
        "naxis": list(cell.shape[::-1]),
        "centre": list(cell.centre),
        "corners": [list(corner) for corner in cell.corners],
    }
    if as_json:
        print_json(document)
        return
    for key, value in document.items():
        click.echo(f"{key:16} {value}")


def _tile(cell: "SkyCell") -> dict[str, Any]:
    return {"name": cell.name, "projection_cell": cell.projection_cell.number, "x": cell.x, "y": cell.y}
