"""`mosaic --center RA DEC --size W`: mosaics of a field within a projection cell, on its pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hapctl.archive.database import Catalog
from hapctl.archive.products import EligibleExposure, eligible_exposures, left_out_exposures
from hapctl.processing.errors import NothingLeftError
from hapctl.processing.imaging.grid import OutputGrid, chip_edges, map_to_grid
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.pipeline.field_grid import Field, FieldPlace, place_of_field
from hapctl.processing.pipeline.layer_plan import LayerPlace, planned_layers
from hapctl.processing.pipeline.mosaic_run import MosaicReport, Target, run_mosaic
from hapctl.processing.pipeline.mosaic_visit import reasons_in_words
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.planned import MosaicOptions, PlannedProduct
from hapctl.processing.pipeline.wcs_policy import chosen_by_policy
from numpy.typing import NDArray


def mosaic_field(
    catalog: Catalog,
    field: Field,
    options: MosaicOptions,
    *,
    dry_run: bool = False,
    arguments: Sequence[str] = (),
    observer: Observer | None = None,
) -> MosaicReport:
    """Make the mosaics of a field, or find them current; missing masks of their visits are made first.

    Parameters and errors as for `mosaic_visit`; RefusedError where no projection cell holds the field.
    """
    place = place_of_field(field)
    target = field_target(place)
    return run_mosaic(catalog, target, options, dry_run=dry_run, arguments=arguments, observer=observer)


def field_target(place: FieldPlace) -> Target:
    """Return what is asked for, with its lock and its plan."""
    parameters = {"field": {**place.field.as_request(), "name": place.name}}
    return Target("field", place.name, parameters, lambda opened, ruled: plan_field(opened, place, ruled))


def plan_field(opened: OpenExposures, place: FieldPlace, options: MosaicOptions) -> list[PlannedProduct]:
    """Return the mosaics of a field: those whose exposures have pixels in it."""
    footprint = place.footprint()
    with opened.catalog.begin() as connection:
        found = eligible_exposures(connection, footprint=footprint)
        left_out = left_out_exposures(connection, footprint=footprint)
    eligible = [one for one in found if _is_in(opened, one, place, options)]
    if not eligible:
        reasons = f": {reasons_in_words(left_out)}" if left_out else ""
        raise NothingLeftError(
            f"{place.name}: no exposure that may be mosaicked has pixels in the field{reasons}",
            "see 'hapctl query' for where the exposures lie, or give another --center or --size",
        )
    choice = chosen_by_policy(eligible, options.wcs_policy, place.name)
    near = [one for one in found if one not in eligible]
    return planned_layers(opened, options, _layer_place(place, footprint), choice, left_out, near)


def _layer_place(place: FieldPlace, footprint: str) -> LayerPlace:
    region: dict[str, Any] = {"field": place.field.as_request(), "footprint": footprint}
    return LayerPlace(
        kind="mosaic",
        name=place.name,
        grids=place.grids,
        sky_cell_id=None,
        sky_cells=tuple(tile.name.removeprefix("skycell-") for tile in place.tiles()),
        whole=True,
        region=region,
    )


def _is_in(
    opened: OpenExposures, exposure: EligibleExposure, place: FieldPlace, options: MosaicOptions
) -> bool:
    """Whether an exposure has pixels in the field; its finest grid decides."""
    grid = place.grids(exposure.instrument, exposure.detector)[-1][1]
    chips = opened.chip_wcs([exposure])
    return any(_touches(grid, *map_to_grid(chip, grid, *chip_edges(chip), options.origin)) for chip in chips)


def _touches(grid: OutputGrid, x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    """Whether an outline, sampled about once a pixel, has an edge in a grid or surrounds its middle."""
    height, width = grid.shape
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return False
    if ((x > -1.0) & (x < width) & (y > -1.0) & (y < height)).any():
        return True
    middle_x, middle_y = 0.5 * (width - 1), 0.5 * (height - 1)
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    crosses = (y > middle_y) != (next_y > middle_y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x + (middle_y - y) / (next_y - y) * (next_x - x)
    return bool(np.count_nonzero(crosses & (at > middle_x)) % 2)
