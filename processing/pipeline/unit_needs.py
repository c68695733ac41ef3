"""Which units of a batch come after which: a layer after the visits that make the masks of its exposures."""

from collections.abc import Iterable

from hapctl.archive.database import Catalog
from hapctl.archive.products import eligible_exposures
from hapctl.archive.sky_cells import sky_cell
from hapctl.processing.pipeline.units import WorkUnit


def after_visits(catalog: Catalog, tile: str, units: Iterable[WorkUnit]) -> tuple[str, ...]:
    """Return the names of those units of visits whose exposures may go into the layers of a tile."""
    cell = sky_cell(tile)
    with catalog.begin() as connection:
        exposures = eligible_exposures(connection, sky_cell_id=cell.cell_id)
    visits = {exposure.visit for exposure in exposures}
    return tuple(unit.name for unit in units if unit.target.get("visit") in visits)
