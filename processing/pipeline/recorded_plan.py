"""Products and masks as they were recorded, planned again: what a rebuild works from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

from hapctl.archive.database import Catalog
from hapctl.archive.products import EligibleExposure
from hapctl.archive.recorded_products import RecordedMask, RecordedProduct, mask_companions
from hapctl.archive.runs import parameters_sha256
from hapctl.archive.sky_cells import sky_cell
from hapctl.processing.errors import RefusedError
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.parameters import DrizzleParameters, FinalParameters, SkyParameters
from hapctl.processing.imaging.product_description import Kind
from hapctl.processing.imaging.product_file import file_sha256
from hapctl.processing.pipeline.engine import ENGINE
from hapctl.processing.pipeline.grism_plan import GRISM_ENGINE, planned_grism
from hapctl.processing.pipeline.masks import MASK_ENGINE, MaskGroup
from hapctl.processing.pipeline.planned import PlannedProduct, header_filter, short_cells

Step = TypeVar("Step")

_SAME_SOFTWARE = "use the version of hapctl that made it ('hapctl product show' names it)"
_COARSEST_FINE = 0.1  # arcsec: pixels of coarse layers are larger


def check_rebuildable(product: RecordedProduct) -> None:
    """Refuse what this software can't make as it was.

    Raises
    ------
    RefusedError
        Another pipeline made it, or another engine, or nothing that went in is recorded.
    """
    what = f"product {product.product_id} ({product.name})"
    if product.origin != "made":
        raise RefusedError(
            f"{what} was made elsewhere and imported: how is not recorded", "ingest its exposures"
        )
    engine, ours = product.parameters.get("engine"), GRISM_ENGINE if product.kind == "grism" else ENGINE
    if engine != ours:
        raise RefusedError(
            f"{what} was made by engine {engine} (hapctl {product.hapctl_version}), this is engine {ours}",
            _SAME_SOFTWARE,
        )
    if not product.exposures:
        raise RefusedError(f"{what}: no input of it is recorded", "make it anew (hapctl mosaic)")


def check_inputs(product: RecordedProduct, exposures: Iterable[EligibleExposure]) -> None:
    """Refuse where the content of an input is nowhere to be found any more.

    Raises
    ------
    RefusedError
        The message names each file that is gone or is another now, with what the remedy is.
    """
    problems = [problem for one in exposures if (problem := _problem_of(one))]
    if problems:
        raise RefusedError(
            f"product {product.product_id} ({product.name}) can't be made as it was: {'; '.join(problems)}",
            "put the file back, or ingest it where it lies now",
        )


def _problem_of(exposure: EligibleExposure) -> str:
    name = f"{exposure.rootname}_{exposure.suffix} (sha256 {exposure.file_sha256[:12]})"
    present = [path for path in map(Path, exposure.paths) if path.is_file()]
    if not present:
        return f"{name} is not at {exposure.paths[0] if exposure.paths else 'any known place'}"
    if any(
        path.stat().st_size == exposure.size_bytes and file_sha256(path) == exposure.file_sha256
        for path in present
    ):
        return ""
    return f"{name} is no longer what lies at {present[0]}"


def recorded_drizzle(parameters: Mapping[str, Any]) -> DrizzleParameters:
    """Return how a product was drizzled: its sky and its final image, as recorded.

    Raises
    ------
    RefusedError
        A parameter is recorded that this software does not know.
    """
    return DrizzleParameters(
        sky=recorded_step(SkyParameters, parameters["sky"]),
        final=recorded_step(FinalParameters, parameters["final"]),
        lookup_origin=parameters["lookup_origin"],
    )


def recorded_step(step: type[Step], values: Mapping[str, Any]) -> Step:
    """Return a step from its plain data; what was not recorded then has its default."""
    known = {one.name for one in fields(cast(Any, step))}
    if unknown := sorted(set(values) - known):
        raise RefusedError(
            f"parameters are recorded that this software does not know: {', '.join(unknown)}", _SAME_SOFTWARE
        )
    return step(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    )


def recorded_plan(product: RecordedProduct) -> PlannedProduct:
    """Return the plan by which a product was made."""
    if product.kind == "grism":
        (exposure,), shape = product.exposures, (product.ny, product.nx)
        return planned_grism(exposure, product.pixel_scale, shape, product.parameters)
    grid = output_grid(product.grid)
    cells = (
        (product.sky_cell.removeprefix("skycell-"),) if product.sky_cell else short_cells(product.exposures)
    )
    return PlannedProduct(
        kind=cast(Kind, product.kind),
        name=product.name,
        visit=product.visit,
        sky_cell_id=product.sky_cell_id,
        sky_cells=cells,
        instrument=product.instrument,
        detector=product.detector,
        filter=product.filter,
        filter_text="detection" if product.kind == "total" else header_filter(product.exposures),
        grid=grid,
        full_pixels=_full_pixels(product, grid),
        members=product.members,
        exposures=product.exposures,
        exclusions=product.exclusions,
        masked=bool(product.parameters["cosmic_ray_masks"]),
        drizzle=recorded_drizzle(product.parameters),
        parameters=product.parameters,
        label=product.label,
        region={name: product.grid[name] for name in ("field", "footprint") if name in product.grid},
    )


def output_grid(values: Mapping[str, Any]) -> OutputGrid:
    """Return a grid from the plain data that the catalog keeps of it."""
    return OutputGrid(
        crval=tuple(values["crval"]),
        crpix=tuple(values["crpix"]),
        cd=tuple(values["cd"]),
        shape=tuple(values["shape"]),
    )


def _full_pixels(product: RecordedProduct, grid: OutputGrid) -> int:
    """Return what NPIXFRAC refers to: the whole tile for a layer, else the product itself."""
    if product.sky_cell is None:
        return grid.shape[0] * grid.shape[1]
    height, width = sky_cell(product.sky_cell).shape
    step = 3 if product.pixel_scale > _COARSEST_FINE else 1
    return (height // step) * (width // step)


def recorded_group(catalog: Catalog, mask: RecordedMask) -> MaskGroup:
    """Return the exposures that were compared for a mask, with the parameters of then.

    Raises
    ------
    RefusedError
        Another engine made it, or what was compared is not recorded whole.
    """
    what = f"the mask of {mask.rootname} (mask {mask.mask_id})"
    if mask.parameters.get("engine") != MASK_ENGINE:
        raise RefusedError(
            f"{what} is gone, and was made by engine {mask.parameters.get('engine')} of masks, "
            f"this is {MASK_ENGINE}",
            f"bring {mask.path} back, or {_SAME_SOFTWARE}",
        )
    with catalog.begin() as connection:
        exposures = mask_companions(connection, mask)
    inputs = [[one.rootname, one.file_sha256, one.transformation_sha256] for one in exposures]
    if parameters_sha256({"exposures": inputs}) != mask.inputs_sha256:
        raise RefusedError(
            f"{what} is gone, and not all exposures it was compared with are recorded",
            f"bring {mask.path} back",
        )
    return MaskGroup(
        exposures, _comparison(mask.parameters), mask.parameters, mask.parameters_sha256, mask.inputs_sha256
    )


def _comparison(values: Mapping[str, Any]) -> DrizzleParameters:
    usual = DrizzleParameters()
    steps = {
        name: recorded_step(type(getattr(usual, name)), step)
        for name, step in values.items()
        if isinstance(step, Mapping)
    }
    return DrizzleParameters(**steps, lookup_origin=values["lookup_origin"])


def input_exposures(product: RecordedProduct, groups: Sequence[MaskGroup]) -> list[EligibleExposure]:
    """Return all exposures whose files a rebuild reads: of the product, and of the masks made again."""
    every = [*product.exposures, *(one for group in groups for one in group.exposures)]
    return list({one.file_id: one for one in every}.values())
