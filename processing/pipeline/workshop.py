"""What goes into the pixels of a product: exposures opened, their masks and sky, the drizzle of them all."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.products import EligibleExposure, MaskRow
from hapctl.archive.runs import Run
from hapctl.processing.errors import NoViableDataError
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.flux_scale import FluxScale
from hapctl.processing.imaging.grid import native_scale
from hapctl.processing.imaging.input_keywords import kept_keywords
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.passes import drizzle_exposures, measure_exposures
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.product_description import InputChip
from hapctl.processing.imaging.product_names import exposure_product_name, product_suffix
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.imaging.variance import product_noise_correlation
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.planned import MosaicOptions, PlannedProduct


@dataclass(frozen=True)
class ProductPixels:
    """Where the pixels of a product come from.

    Attributes
    ----------
    rows : tuple of InputChip
        What goes in.
    noise_correlation : float
        R of the product.
    bands : callable
        Gives its bands, anew at each call.
    """

    rows: tuple[InputChip, ...]
    noise_correlation: float
    bands: Callable[[], Iterator[Band]]


@dataclass(frozen=True)
class Workshop:
    """What making products needs: catalog, run, open exposures, options, masks by rootname, policy, watch.

    ``made`` holds the pixels of the products of this run by their address: the total of one filter is that
    filter's product under another header, and is copied.
    """

    catalog: Catalog
    run: Run
    opened: OpenExposures
    options: MosaicOptions
    masks: Mapping[str, MaskRow]
    policy_id: int
    observer: Observer
    clock: Stopwatch
    made: dict[str, ProductPixels] = field(default_factory=dict)


def product_pixels(shop: Workshop, planned: PlannedProduct, masks: Mapping[str, str]) -> ProductPixels:
    """Measure the sky of all inputs and prepare their drizzle."""
    used = {name: row for name, row in shop.masks.items() if name in masks}
    paths = {name: shop.options.home / row.path for name, row in used.items()}
    found = shop.opened.masks(planned.exposures, paths, shop.options.output)
    watch: dict[str, Any] = {"observer": shop.observer, "clock": shop.clock}
    # static masks lie in the files of masks, and there flags of earlier tests are cleared, chip by chip
    drizzle = replace(
        planned.drizzle,
        static_mask=replace(planned.drizzle.static_mask, enabled=False),
        cosmic_rays=replace(planned.drizzle.cosmic_rays, reset_bits=0),
    )
    exposures = measure_exposures(
        shop.opened.prepared(planned.exposures, found), drizzle, threads=shop.options.threads, **watch
    )
    chips = [chip for members in exposures for chip in members]
    if not any(chip.exposure_time > 0 for chip in chips):
        raise NoViableDataError(f"{planned.name}: no input has any exposure time")
    scales = shop.opened.flux_scales(planned.exposures)
    rows = tuple(
        _input_chip(shop, exposure, chip, used.get(exposure.rootname), scale)
        for exposure, members, scale in zip(planned.exposures, exposures, scales, strict=True)
        for chip in members
    )
    final = planned.drizzle.final
    ratio = product_noise_correlation(chips, planned.grid, final.kernel, final.pixfrac, shop.options.origin)
    bands = partial(
        drizzle_exposures, exposures, planned.grid, drizzle, threads=shop.options.threads, **watch
    )
    return ProductPixels(rows, ratio, bands)


def _input_chip(
    shop: Workshop,
    exposure: EligibleExposure,
    chip: PreparedChip,
    mask: MaskRow | None,
    scale: FluxScale,
) -> InputChip:
    image, solution = shop.opened.image(exposure), shop.opened.solution(exposure)
    return InputChip(
        rootname=exposure.rootname,
        product_name=_exposure_name(exposure).removesuffix(".fits"),
        file_name=image.path.name,
        file_sha256=exposure.file_sha256,
        extver=chip.pixels.extver,
        chip=chip.pixels.chip,
        context_bit=chip.context_bit,
        filter=exposure.filter.upper(),
        exposure_time=chip.exposure_time,
        mjd_start=exposure.mjd_start,
        mjd_end=exposure.mjd_end,
        sky=chip.sky,
        idcscale=native_scale(chip.wcs),
        flux_factor=chip.flux_factor,
        wcsname=exposure.wcsname,
        transformation_sha256=exposure.transformation_sha256,
        frame=exposure.frame,
        solution_run=exposure.solution_run,
        mask_sha256=mask.sha256 if mask else "",
        mask_run=mask.run_id if mask else 0,
        header=kept_keywords(image.header, chip.pixels.header, solution.keywords),
        keywords=solution.keywords,
        photometry=scale.photometry,
    )


def _exposure_name(exposure: EligibleExposure) -> str:
    return exposure_product_name(
        exposure.proposal_id or 0,
        exposure.rootname,
        exposure.instrument,
        exposure.detector,
        exposure.filter,
        product_suffix([f"_{exposure.suffix}"]),
    )
