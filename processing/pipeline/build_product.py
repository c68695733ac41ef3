"""From a planned product to the product in force: drizzle, write aside, preview, publish."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from hapctl.archive.database import Catalog
from hapctl.archive.exposures import rootnames_of
from hapctl.archive.products import (
    NewFile,
    NewInput,
    NewProduct,
    ProductInForce,
    StaleReason,
    product_in_force,
    stale_reasons,
    why_recalled,
)
from hapctl.processing.astrometry.footprint import s_region
from hapctl.processing.errors import RefusedError
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.outline import outline_polygons
from hapctl.processing.imaging.parallel import do_parts
from hapctl.processing.imaging.preview import write_colour, write_preview
from hapctl.processing.imaging.product_bands import product_bands
from hapctl.processing.imaging.product_description import ProductDescription
from hapctl.processing.imaging.product_file import ProductWriter, WrittenProduct
from hapctl.processing.pipeline.engine import software_name
from hapctl.processing.pipeline.exposure_files import (
    exposure_paths,
    write_exposure_files,
    write_grism_product,
)
from hapctl.processing.pipeline.finishing import Finisher, Making
from hapctl.processing.pipeline.pace import Pace
from hapctl.processing.pipeline.planned import MosaicOptions, PlannedProduct
from hapctl.processing.pipeline.publish import aside, publish, tidy, written_file
from hapctl.processing.pipeline.workshop import ProductPixels, Workshop, product_pixels

Status = Literal["made", "unchanged", "retired", "to make", "to retire"]


@dataclass(frozen=True)
class ProductResult:
    """What became of one product.

    ``why`` says why it was (or is to be) made or retired, ``codes`` the same in a word each; ``drizzle`` are
    all its parameters, by step (of a ``filter`` those by which its cosmic rays are found, too), empty for a
    retired one.
    """

    kind: str
    name: str
    path: Path
    preview: Path | None
    status: Status
    why: tuple[str, ...]
    exposures: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    detector: str
    filter: str
    shape: tuple[int, int]
    product_id: int | None = None
    pixels_sha256: str | None = None
    bytes: int | None = None
    memory_bytes: int | None = None
    scratch_bytes: int | None = None
    input_pixels: int | None = None
    drizzle: Mapping[str, Any] = field(default_factory=dict)
    codes: tuple[str, ...] = ()


def reasons_to_make(
    catalog: Catalog,
    planned: PlannedProduct,
    options: MosaicOptions,
    masks: Mapping[str, str] | None,
) -> tuple[tuple[StaleReason, ...], ProductInForce | None]:
    """Return why a product must be made (nothing: it is current), and the one in force.

    Parameters
    ----------
    masks : mapping of str to str, or None
        SHA-256 of the masks by rootname; None: some are still to be made.
    """
    with catalog.begin() as connection:
        current = product_in_force(connection, str(options.output), planned.name)
        if current is None:
            recalled = why_recalled(connection, str(options.output), planned.name)
            return (recalled or StaleReason("none", "there is none"),), None
        if current.policy_id is None:
            raise RefusedError(
                f"{options.output / planned.name} is product {current.product_id}, made by another pipeline",
                "give another --output",
            )
        reasons = stale_reasons(connection, [current.product_id]).get(current.product_id, [])
    if planned.masked and masks is None:
        reasons.append(StaleReason("masks", "cosmic-ray masks are to be made"))
    elif planned.inputs_sha256(masks if planned.masked and masks else {}) != current.inputs_sha256:
        reasons.append(StaleReason("inputs", "other inputs"))
    told = any(reason.code == "policy" for reason in reasons)
    if planned.parameters_sha256 != current.parameters_sha256 and not told:
        reasons.append(StaleReason("parameters", "other parameters"))
    if options.wcs_policy != current.wcs_policy:
        reasons.append(StaleReason("wcs-policy", f"was made under the policy {current.wcs_policy}"))
    if (compress := current.request.get("compress")) != options.compress:
        reasons.append(StaleReason("compress", f"its images are {_packed(compress)}"))
    for kind in sorted(set(exposure_paths(planned, options)) - set(current.files)):
        reasons.append(StaleReason("files", f"its {kind} file was not made before"))
    problems = [problem for kind in current.files if (problem := _file_problem(kind, current.files[kind]))]
    seen = {reason.words for reason in reasons}
    reasons += [one for one in problems if one.words.replace(" is ", " was found ") not in seen]
    return tuple(dict.fromkeys(reasons)), current


def _packed(compress: str | None) -> str:
    return f"compressed by {compress}" if compress else "not compressed"


def _file_problem(kind: str, file: Mapping[str, Any]) -> StaleReason | None:
    path = Path(file["path"])
    if not path.is_file():
        return StaleReason("missing", f"its {kind} file is missing")
    if path.stat().st_size != file["size"]:
        return StaleReason("damaged", f"its {kind} file is damaged")
    return None


def make_products(
    shop: Workshop, planned: Sequence[PlannedProduct], colours: Sequence[Sequence[Path]], pace: Pace
) -> list[ProductResult]:
    """Make or keep products in order, each finished while the next is drizzled.

    Parameters
    ----------
    shop : Workshop
    planned : sequence of PlannedProduct
    colours : sequence of sequences of path
        Of each, what `make_or_keep` takes.
    pace : Pace
        Gets how long making one takes. What is finished meanwhile is the one before: its seconds count for
        the later one, but no second counts twice.
    """
    with Finisher[ProductResult](shop.options.threads) as finisher:
        for number, (one, shown) in enumerate(zip(planned, colours, strict=True), 1):
            with pace.counted(one.kind) as pixels:
                if finisher.begin(make_or_keep(shop, one, shown), _made_address(shop, one)):
                    pixels.append(input_pixels(shop.opened.shapes(one.exposures)))
                if number == len(planned):
                    finisher.wait()
        return finisher.results()


def input_pixels(shapes: Sequence[Sequence[tuple[int, int]]]) -> int:
    """Return the number of pixels of all chips of some exposures."""
    return sum(height * width for chips in shapes for height, width in chips)


def make_or_keep(
    shop: Workshop, planned: PlannedProduct, colours: Sequence[Path] = ()
) -> Making[ProductResult]:
    """Make a product unless the one in force is what would be made.

    Parameters
    ----------
    shop : Workshop
    planned : PlannedProduct
    colours : sequence of path
        Filter products, from short to long wavelength, for a preview in colour (a total).

    Yields
    ------
    None
        Once, when the pixels are written (`finishing`); not where the product is kept.
    """
    masks = _masks_in_use(shop, planned)
    why, current = reasons_to_make(shop.catalog, planned, shop.options, masks)
    if current is not None and not why:
        for file in current.files.values():
            tidy(Path(file["path"]))
        return result_of(planned, shop.options, "unchanged", why, current.product_id, current.pixels_sha256)
    row = yield from written_aside(shop, planned, masks, colours)
    product_id = publish(shop.catalog, shop.run, row, keep_replaced=shop.options.keep_replaced)
    return result_of(planned, shop.options, "made", why, product_id, row.pixels_sha256)


def result_of(
    planned: PlannedProduct,
    options: MosaicOptions,
    status: Status,
    why: Sequence[StaleReason],
    product_id: int | None = None,
    pixels_sha256: str | None = None,
    **sizes: int,
) -> ProductResult:
    """Describe what became of a planned product."""
    path = options.output / planned.name
    return ProductResult(
        planned.kind,
        planned.name,
        path,
        path.with_suffix(".png") if planned.drizzled else None,
        status,
        tuple(reason.words for reason in why),
        tuple(exposure.rootname for exposure in planned.exposures),
        tuple((exclusion.code, exclusion.reason) for exclusion in planned.exclusions),
        planned.detector,
        planned.filter,
        planned.grid.shape,
        product_id,
        pixels_sha256,
        **sizes,
        drizzle=asdict(planned.drizzle) if planned.drizzled else {},
        codes=tuple(dict.fromkeys(reason.code for reason in why)),
    )


def _made_address(shop: Workshop, planned: PlannedProduct) -> str:
    """Return the address of the pixels that a product is to have."""
    return planned.pixels_address(_masks_in_use(shop, planned))


def _masks_in_use(shop: Workshop, planned: PlannedProduct) -> dict[str, str]:
    """SHA-256 of the masks that go in, by rootname."""
    if not planned.masked:
        return {}
    names = [one.rootname for one in planned.exposures if one.rootname in shop.masks]
    return {name: shop.masks[name].sha256 for name in names}


def written_aside(
    shop: Workshop, planned: PlannedProduct, masks: Mapping[str, str], colours: Sequence[Path]
) -> Making[NewProduct]:
    """Make a product and write its files aside; return the row that is to record it.

    Parameters as for `make_or_keep`; ``masks`` holds the SHA-256 of the masks that go in, by rootname. Yields
    when the pixels are written; closed there, or after an error, it leaves no file.
    """
    if not planned.drizzled:
        yield
        return write_grism_product(shop, planned)
    final = shop.options.output / planned.name
    picture = final.with_suffix(".png")
    address = planned.pixels_address(masks)
    pixels = shop.made.get(address) or product_pixels(shop, planned, masks)
    description = _description(shop, planned, pixels, masks)
    with ExitStack() as failed:  # what is half made must not fill the disk
        failed.callback(aside(final).unlink, missing_ok=True)
        failed.callback(aside(picture).unlink, missing_ok=True)
        written = yield from _write(shop, aside(final), description, pixels.bands())
        files = _hashed_and_shown(shop, final, colours)
        with shop.clock.step("write"):
            files += write_exposure_files(shop, planned, failed)
        failed.pop_all()
    if shop.options.compress != "rice":  # what was rounded must not be rounded again
        shop.made[address] = replace(pixels, bands=partial(product_bands, final))
    return _row(shop, planned, description, written, masks, files)


def _hashed_and_shown(shop: Workshop, final: Path, colours: Sequence[Path]) -> list[NewFile]:
    """Make the picture of a product that lies aside while another thread reads it for its checksum."""
    picture = final.with_suffix(".png")

    def show() -> NewFile:
        if len(colours) > 1:
            write_colour(aside(picture), colours, final.stem)
        else:
            write_preview(aside(picture), aside(final))
        return written_file("preview", picture)

    def timed(work: Callable[[], NewFile]) -> NewFile:
        with shop.clock.step("write"):
            return work()

    works: list[Callable[[], NewFile]] = [partial(written_file, "fits", final), show]
    return do_parts(timed, works, shop.options.threads)


def _description(
    shop: Workshop, planned: PlannedProduct, pixels: ProductPixels, masks: Mapping[str, str]
) -> ProductDescription:
    outline = outline_polygons(
        shop.opened.chip_wcs(planned.exposures), planned.grid, origin=shop.options.origin
    )
    targets = {exposure.target_name or "" for exposure in planned.exposures}
    proposals = {exposure.proposal_id for exposure in planned.exposures if exposure.proposal_id}
    return ProductDescription(
        name=planned.name,
        kind=planned.kind,
        instrument=planned.instrument,
        detector=planned.detector,
        filter=planned.filter_text,
        proposals=tuple(sorted(proposals)),
        target=targets.pop() if len(targets) == 1 else "MULTIPLE",
        visit=planned.visit or "",
        sky_cells=planned.sky_cells,
        grid=planned.grid,
        full_pixels=planned.full_pixels,
        s_region=s_region(outline),
        left_out=_left_out(shop, planned),
        inputs=pixels.rows,
        final=planned.drizzle.final,
        noise_correlation=pixels.noise_correlation,
        wcs_policy=shop.options.wcs_policy,
        run=shop.run.id,
        policy=shop.policy_id,
        parameters_sha256=planned.parameters_sha256,
        inputs_sha256=planned.inputs_sha256(masks),
        software=software_name(),
    )


def _left_out(shop: Workshop, planned: PlannedProduct) -> tuple[tuple[str, str], ...]:
    """Rootname and code of what a rule left out, in order of the rootnames."""
    with shop.catalog.begin() as connection:
        names = rootnames_of(connection, [one.exposure_id for one in planned.exclusions])
    return tuple(sorted((names[one.exposure_id], one.code) for one in planned.exclusions))


def _write(
    shop: Workshop, path: Path, description: ProductDescription, bands: Iterable[Band]
) -> Making[WrittenProduct]:
    with ProductWriter(path, description, shop.options.compress) as writer:
        for band in bands:
            with shop.clock.step("write"):
                writer.write(band.sci, band.wht, band.ctx, band.var)
        yield
        with shop.clock.step("write"):
            return writer.finish()


def _row(
    shop: Workshop,
    planned: PlannedProduct,
    description: ProductDescription,
    written: WrittenProduct,
    masks: Mapping[str, str],
    files: Sequence[NewFile],
) -> NewProduct:
    height, width = planned.grid.shape
    inputs = [
        NewInput(
            exposure.exposure_id,
            exposure.file_id,
            exposure.solution_id,
            shop.masks[exposure.rootname].mask_id if exposure.rootname in masks else None,
            _sky_rates(description, exposure.rootname),
        )
        for exposure in planned.exposures
    ]
    return NewProduct(
        folder=str(shop.options.output),
        name=planned.name,
        kind=planned.kind,
        visit=planned.visit,
        sky_cell_id=planned.sky_cell_id,
        instrument=planned.instrument,
        detector=planned.detector,
        filter=planned.filter,
        pixel_scale=planned.grid.scale_arcsec,
        nx=width,
        ny=height,
        grid=planned.catalog_grid(),
        s_region=description.s_region,
        wcs_policy=shop.options.wcs_policy,
        inputs_sha256=description.inputs_sha256,
        parameters=planned.parameters,
        parameters_sha256=planned.parameters_sha256,
        policy_id=shop.policy_id,
        pixels_sha256=written.pixels_sha256,
        inputs=inputs,
        exclusions=planned.exclusions,
        files=files,
        request=shop.options.request(),
        label=planned.label,
    )


def _sky_rates(description: ProductDescription, rootname: str) -> list[float]:
    return [chip.sky / chip.exposure_time for chip in description.inputs if chip.rootname == rootname]
