"""`mosaic --tile`: a layer per instrument, detector and filter on the grid of a sky tile."""

from collections.abc import Sequence
from functools import partial

from hapctl.archive.database import Catalog
from hapctl.archive.products import eligible_exposures, left_out_exposures
from hapctl.archive.sky_cells import SkyCell, sky_cell
from hapctl.processing.errors import NothingLeftError
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.product_names import layer_scales
from hapctl.processing.imaging.visit_grid import coarse_grid
from hapctl.processing.pipeline.layer_plan import LayerPlace, planned_layers
from hapctl.processing.pipeline.mosaic_run import MosaicReport, Target, run_mosaic
from hapctl.processing.pipeline.mosaic_visit import reasons_in_words
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.planned import MosaicOptions, PlannedProduct
from hapctl.processing.pipeline.wcs_policy import chosen_by_policy


def mosaic_tile(
    catalog: Catalog,
    name: str,
    options: MosaicOptions,
    *,
    dry_run: bool = False,
    arguments: Sequence[str] = (),
    observer: Observer | None = None,
) -> MosaicReport:
    """Make the layers of a tile, or find them current; missing masks of their visits are made first.

    Parameters and errors as for `mosaic_visit`; NotInCatalogError where there is no such tile.
    """
    cell = sky_cell(name)
    target = Target(
        "tile", cell.name, {"tile": cell.name}, lambda opened, ruled: plan_tile(opened, cell, ruled)
    )
    return run_mosaic(catalog, target, options, dry_run=dry_run, arguments=arguments, observer=observer)


def plan_tile(opened: OpenExposures, cell: SkyCell, options: MosaicOptions) -> list[PlannedProduct]:
    """Return the layers of a tile: those whose exposures have pixels in it."""
    with opened.catalog.begin() as connection:
        eligible = eligible_exposures(connection, sky_cell_id=cell.cell_id)
        left_out = left_out_exposures(connection, sky_cell_id=cell.cell_id)
    if not eligible and not left_out:
        raise NothingLeftError(
            f"{cell.name}: no exposure in the catalog touches it", "see 'hapctl tile find'"
        )
    if not eligible:
        raise NothingLeftError(
            f"{cell.name}: none of the {len(left_out)} exposures that touch it may be mosaicked: "
            f"{reasons_in_words(left_out)}",
            "see 'hapctl tile show'",
        )
    choice = chosen_by_policy(eligible, options.wcs_policy, cell.name)
    planned = planned_layers(opened, options, _place(cell, options), choice, left_out)
    if not planned:
        raise NothingLeftError(f"{cell.name}: no exposure has pixels in it")
    return planned


def _place(cell: SkyCell, options: MosaicOptions) -> LayerPlace:
    return LayerPlace(
        kind="layer",
        name=cell.name,
        grids=partial(_grids, cell),
        sky_cell_id=cell.cell_id,
        sky_cells=(cell.name.removeprefix("skycell-"),),
        whole=options.full_cell,
    )


def _grids(cell: SkyCell, instrument: str, detector: str) -> list[tuple[bool, OutputGrid]]:
    return [(coarse, tile_grid(cell, coarse)) for coarse in layer_scales(instrument, detector)]


def tile_grid(cell: SkyCell, coarse: bool = False) -> OutputGrid:
    """Return the full grid of a tile: 21954 pixels of 0.04 arcsec a side, or 7318 of 0.12 (coarse)."""
    fine = OutputGrid(cell.crval, cell.crpix, cell.cd, cell.shape)
    return coarse_grid(fine) if coarse else fine
