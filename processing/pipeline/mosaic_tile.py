"""`mosaic --tile`: a layer per instrument, detector and filter on the grid of a sky tile."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from hapctl.archive.database import Catalog
from hapctl.archive.products import (
    EligibleExposure,
    LeftOutExposure,
    eligible_exposures,
    left_out_exposures,
)
from hapctl.archive.sky_cells import SkyCell, sky_cell
from hapctl.processing.errors import NothingLeftError
from hapctl.processing.imaging.grid import OutputGrid, covered_window
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.product_names import layer_name, layer_scales, product_suffix
from hapctl.processing.pipeline.build_product import software_name
from hapctl.processing.pipeline.mosaic_run import MosaicReport, Target, run_mosaic
from hapctl.processing.pipeline.mosaic_visit import reasons_in_words
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.planned import (
    MosaicOptions,
    PlannedProduct,
    drizzle_parameters,
    exclusions_of,
    header_filter,
    product_parameters,
)
from hapctl.processing.pipeline.wcs_policy import Choice, chosen_by_policy

COARSE_BINNING = 3
"""A coarse layer has pixels three times larger (0.12 arcsec)."""

Layer = tuple[str, str, str]


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
    target = Target("tile", cell.name, {"tile": cell.name}, lambda opened: plan_tile(opened, cell, options))
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
    layers: dict[Layer, list[EligibleExposure]] = defaultdict(list)
    for exposure in choice.used:
        layers[_layer(exposure)].append(exposure)
    maker = _Layers(opened, options, cell, choice, left_out)
    planned = [
        found
        for layer, exposures in sorted(layers.items())
        for coarse in layer_scales(layer[0], layer[1])
        if (found := maker.planned(layer, tuple(exposures), coarse)) is not None
    ]
    if not planned:
        raise NothingLeftError(f"{cell.name}: no exposure has pixels in it")
    return planned


def _layer(exposure: EligibleExposure | LeftOutExposure) -> Layer:
    return exposure.instrument, exposure.detector, exposure.filter


def tile_grid(cell: SkyCell, coarse: bool = False) -> OutputGrid:
    """Return the full grid of a tile: 21954 pixels of 0.04 arcsec a side, or 7318 of 0.12 (coarse)."""
    step = COARSE_BINNING if coarse else 1
    return OutputGrid(
        crval=cell.crval,
        crpix=(cell.crpix[0] / step, cell.crpix[1] / step),
        cd=(cell.cd[0] * step, cell.cd[1] * step, cell.cd[2] * step, cell.cd[3] * step),
        shape=(cell.shape[0] // step, cell.shape[1] // step),
    )


@dataclass(frozen=True)
class _Layers:
    """Plans the layers of one tile."""

    opened: OpenExposures
    options: MosaicOptions
    cell: SkyCell
    choice: Choice
    left_out: Sequence[LeftOutExposure]

    def planned(
        self, layer: Layer, exposures: tuple[EligibleExposure, ...], coarse: bool
    ) -> PlannedProduct | None:
        """Return a layer cut to its data; None where no pixel of the tile is touched."""
        instrument, detector, filter_name = layer
        full = tile_grid(self.cell, coarse)
        window = covered_window(full, self.opened.chip_wcs(exposures), self.options.origin)
        if window is None:
            return None
        drizzle = drizzle_parameters(self.options, "layer", exposures)
        suffix = product_suffix([f"_{exposure.suffix}" for exposure in exposures])
        return PlannedProduct(
            kind="layer",
            name=layer_name(self.cell.name, instrument, detector, filter_name, suffix, coarse),
            visit=None,
            sky_cell_id=self.cell.cell_id,
            sky_cells=(self.cell.name.removeprefix("skycell-"),),
            instrument=instrument,
            detector=detector,
            filter=filter_name,
            filter_text=header_filter(exposures),
            grid=full.cut(*window),
            full_pixels=full.shape[0] * full.shape[1],
            members=(),
            exposures=exposures,
            exclusions=exclusions_of(
                [one for one in self.left_out if _layer(one) == layer],
                self.choice,
                [one for one in self.choice.left_out if _layer(one) == layer],
            ),
            masked=True,
            drizzle=drizzle,
            parameters=product_parameters(drizzle, True, software_name()),
        )
