"""The layers of a tile and the mosaics of a field, planned alike: one by camera, filter and scale.

Split by epoch, each calendar year (UTC, at the start of an exposure) has a layer of its own, labelled
``y2012``; by proposal each proposal, labelled ``p09019``. Years have fixed ends on purpose: bins that follow
from gaps between exposures would move with a new one, and make layers stale that it is no part of. The view
``stale_product_reason`` knows the same labels.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from hapctl.archive.products import EligibleExposure, LeftOutExposure, NewExclusion
from hapctl.processing.imaging.grid import OutputGrid, covered_window
from hapctl.processing.imaging.product_names import layer_name, product_suffix
from hapctl.processing.pipeline.engine import software_name
from hapctl.processing.pipeline.filter_rules import without_problem
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.planned import (
    MosaicOptions,
    PlannedProduct,
    Split,
    drizzle_parameters,
    exclusions_of,
    header_filter,
    in_order,
    product_parameters,
)
from hapctl.processing.pipeline.wcs_policy import Choice

Layer = tuple[str, str, str, str]
"""Instrument, detector, filter, label."""

OUTSIDE = "outside-field"
"""Code of exposures whose footprint, in HEALPix cells, comes near a field that none of their pixels is in."""
_MJD_ZERO = datetime(1858, 11, 17)


class Scales(Protocol):
    """Gives the full grids of a detector, each with whether it is coarse."""

    def __call__(self, instrument: str, detector: str) -> Sequence[tuple[bool, OutputGrid]]: ...


@dataclass(frozen=True)
class LayerPlace:
    """Where layers lie.

    Attributes
    ----------
    kind : {"layer", "mosaic"}
        Of a tile, of a field.
    name : str
        What their names begin with, after ``hst_``.
    grids : callable
        The full grids of an instrument and detector.
    sky_cell_id : int or None
    sky_cells : tuple of str
        Short names of the tiles touched.
    whole : bool
        Products cover the full grid, else the part with data.
    region : mapping
        Of a field: what its row keeps beside the grid, so that it can be found and made again.
    """

    kind: Literal["layer", "mosaic"]
    name: str
    grids: Scales
    sky_cell_id: int | None
    sky_cells: tuple[str, ...]
    whole: bool
    region: dict[str, Any] = field(default_factory=dict)


def split_label(exposure: EligibleExposure | LeftOutExposure, split_by: Split | None) -> str:
    """Return which part of a split layer an exposure goes into; empty where layers are not split."""
    if split_by is None:
        return ""
    if split_by == "proposal":
        return f"p{exposure.proposal_id or 0:05d}"
    if exposure.mjd_start is None:  # a file that says little, which is left out of all products
        return "y0000"
    return f"y{(_MJD_ZERO + timedelta(days=exposure.mjd_start)).year}"


def planned_layers(
    opened: OpenExposures,
    options: MosaicOptions,
    place: LayerPlace,
    choice: Choice,
    left_out: Sequence[LeftOutExposure],
    near: Sequence[EligibleExposure] = (),
) -> list[PlannedProduct]:
    """Return the layers whose exposures have pixels in the place, in order of their names.

    Parameters
    ----------
    opened : OpenExposures
    options : MosaicOptions
    place : LayerPlace
    choice : Choice
        What the policy lets in.
    left_out : sequence of LeftOutExposure
    near : sequence of EligibleExposure
        Those that come near a field and have no pixel in it: recorded as left out, so that nobody takes them
        for new.
    """
    layers: dict[Layer, list[EligibleExposure]] = defaultdict(list)
    for exposure in without_problem(choice.used, "layer"):
        layers[_layer(exposure, options)].append(exposure)
    maker = _Layers(opened, options, place, choice, left_out, near)
    return [
        found
        for layer, exposures in sorted(layers.items())
        for coarse, grid in place.grids(layer[0], layer[1])
        if (found := maker.planned(layer, tuple(exposures), coarse, grid)) is not None
    ]


def _layer(exposure: EligibleExposure | LeftOutExposure, options: MosaicOptions) -> Layer:
    label = split_label(exposure, options.split_by)
    return exposure.instrument, exposure.detector, exposure.filter, label


@dataclass(frozen=True)
class _Layers:
    """Plans the layers of one place."""

    opened: OpenExposures
    options: MosaicOptions
    place: LayerPlace
    choice: Choice
    left_out: Sequence[LeftOutExposure]
    near: Sequence[EligibleExposure]

    def planned(
        self, layer: Layer, exposures: tuple[EligibleExposure, ...], coarse: bool, full: OutputGrid
    ) -> PlannedProduct | None:
        """Return a layer; None where no pixel of the place is touched."""
        instrument, detector, filter_name, label = layer
        window = covered_window(full, self.opened.chip_wcs(exposures), self.options.origin)
        if window is None:
            return None
        y0, y1, x0, x1 = window
        drizzle = drizzle_parameters(self.options, "layer", exposures)
        suffix = product_suffix([f"_{exposure.suffix}" for exposure in exposures])
        return PlannedProduct(
            kind=self.place.kind,
            name=layer_name(self.place.name, instrument, detector, filter_name, suffix, coarse, label),
            visit=None,
            sky_cell_id=self.place.sky_cell_id,
            sky_cells=self.place.sky_cells,
            instrument=instrument,
            detector=detector,
            filter=filter_name,
            filter_text=header_filter(exposures),
            grid=full if self.place.whole else full.cut(*window),
            full_pixels=full.shape[0] * full.shape[1],
            members=(),
            exposures=exposures,
            exclusions=self._exclusions(layer),
            masked=True,
            drizzle=drizzle,
            parameters=product_parameters(drizzle, True, software_name()),
            label=label,
            region=self.place.region,
            data_pixels=(y1 - y0) * (x1 - x0),
        )

    def _exclusions(self, layer: Layer) -> tuple[NewExclusion, ...]:
        unusable, refused = self._of(layer, self.left_out), self._of(layer, self.choice.left_out)
        outside = [
            NewExclusion(one.exposure_id, one.solution_id, OUTSIDE, "no pixel lies in the field")
            for one in self._of(layer, self.near)
        ]
        return in_order(exclusions_of(unusable, self.choice, refused), outside)

    def _of(self, layer: Layer, exposures: Iterable[Any]) -> list[Any]:
        return [one for one in exposures if _layer(one, self.options) == layer]
