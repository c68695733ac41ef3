"""The files that belong to one exposure: the headerlet of its solution, and its calibrated file with it.

An exposure product has a headerlet beside its image, and on request (``calibrated``) the calibrated file. A
grism product is the calibrated file, with its headerlet: no image of the sky can be made of it.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from hapctl.archive.products import EligibleExposure, NewFile, NewInput, NewProduct
from hapctl.processing.astrometry.footprint import outline, s_region, solution_polygons
from hapctl.processing.imaging.exposure_copy import ExposureCopy, write_exposure_copy
from hapctl.processing.imaging.product_names import exposure_file_name
from hapctl.processing.pipeline.planned import MosaicOptions, PlannedProduct, short_cells
from hapctl.processing.pipeline.publish import aside, written_file
from hapctl.processing.pipeline.wcs_exchange import stored_headerlet
from hapctl.processing.pipeline.workshop import Workshop
from hapctl.processing.whole_files import write_whole


def exposure_paths(planned: PlannedProduct, options: MosaicOptions) -> dict[str, Path]:
    """Return the places of the files beside the product, by their kind; empty for products of several."""
    if planned.kind not in ("exposure", "grism"):
        return {}
    exposure = planned.exposures[0]
    paths = {"headerlet": options.output / _name(exposure, "hlet")}
    if planned.kind == "exposure" and options.calibrated:
        paths["calibrated"] = options.output / _name(exposure, exposure.suffix)
    return paths


def _name(exposure: EligibleExposure, suffix: str) -> str:
    return exposure_file_name(
        exposure.proposal_id or 0,
        exposure.rootname,
        exposure.instrument,
        exposure.detector,
        exposure.filter,
        suffix,
    )


def write_exposure_files(shop: Workshop, planned: PlannedProduct, failed: ExitStack) -> list[NewFile]:
    """Write the files beside an exposure or grism product aside.

    Parameters
    ----------
    shop : Workshop
    planned : PlannedProduct
    failed : ExitStack
        Gets what removes them again.
    """
    exposure = planned.exposures[0]
    files = []
    for kind, final in exposure_paths(planned, shop.options).items():
        failed.callback(aside(final).unlink, missing_ok=True)
        if kind == "headerlet":
            with shop.catalog.begin() as connection:
                content = stored_headerlet(connection, exposure.solution_id, exposure.suffix)
            write_whole(aside(final), content)
        else:
            _copy(shop, planned, exposure, final)
        files.append(written_file(kind, final))
    return files


def _copy(shop: Workshop, planned: PlannedProduct, exposure: EligibleExposure, final: Path) -> ExposureCopy:
    cards: dict[str, str | int | float | bool] = {
        "FILENAME": final.name,
        "HAPLEVEL": 1,
        "IPPPSSOO": exposure.rootname[:8],
        "SKYCELL": "; ".join(short_cells((exposure,))),
        "PROD_VER": str(planned.parameters["software"]),
        "HAPRUN": shop.run.id,
        "HAPPOLCY": shop.policy_id,
        "WCSPOLCY": shop.options.wcs_policy,
        "WCSFRAME": exposure.frame,
        "HAPPARAM": planned.parameters_sha256,
        "HAPINPUT": planned.inputs_sha256({}),
    }
    source, solution = shop.opened.source(exposure), shop.opened.solution(exposure)
    return write_exposure_copy(source, aside(final), solution, cards)


def write_grism_product(shop: Workshop, planned: PlannedProduct) -> NewProduct:
    """Write a grism product and its headerlet aside; return its row, which has no grid and no mask."""
    exposure, final = planned.exposures[0], shop.options.output / planned.name
    with ExitStack() as failed, shop.clock.step("write"):
        failed.callback(aside(final).unlink, missing_ok=True)
        copy = _copy(shop, planned, exposure, final)
        files = [written_file("fits", final), *write_exposure_files(shop, planned, failed)]
        failed.pop_all()
    return _row(shop, planned, copy, files)


def _row(shop: Workshop, planned: PlannedProduct, copy: ExposureCopy, files: Sequence[NewFile]) -> NewProduct:
    exposure, solution = planned.exposures[0], shop.opened.solution(planned.exposures[0])
    height, width = planned.grid.shape
    return NewProduct(
        folder=str(shop.options.output),
        name=planned.name,
        kind=planned.kind,
        visit=planned.visit,
        sky_cell_id=None,
        instrument=planned.instrument,
        detector=planned.detector,
        filter=planned.filter,
        pixel_scale=planned.grid.scale_arcsec,
        nx=width,
        ny=height,
        grid=planned.catalog_grid(),
        s_region=s_region(outline(solution_polygons(solution, shop.options.origin))),
        wcs_policy=shop.options.wcs_policy,
        inputs_sha256=planned.inputs_sha256({}),
        parameters=planned.parameters,
        parameters_sha256=planned.parameters_sha256,
        policy_id=shop.policy_id,
        pixels_sha256=copy.pixels_sha256,
        inputs=[NewInput(exposure.exposure_id, exposure.file_id, exposure.solution_id, None, [])],
        exclusions=planned.exclusions,
        files=files,
        request=shop.options.request(),
        label=planned.label,
    )
