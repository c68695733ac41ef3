"""Grism and prism exposures of a visit: products that are copies with the WCS of their direct images."""

from collections.abc import Sequence

from hapctl.archive.products import EligibleExposure
from hapctl.processing.imaging.grid import OutputGrid, native_scale, turned_cd
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.product_names import exposure_file_name
from hapctl.processing.pipeline.build_product import software_name
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.planned import MosaicOptions, PlannedProduct, header_filter, short_cells

GRISM_ENGINE = 1
"""Raised when the same exposure and solution give another file."""


def plan_grisms(
    opened: OpenExposures, exposures: Sequence[EligibleExposure], options: MosaicOptions
) -> list[PlannedProduct]:
    """Return a product for each grism exposure; under the policy ``absolute`` for those in an absolute frame.

    Parameters
    ----------
    opened : OpenExposures
    exposures : sequence of EligibleExposure
        Those of `hapctl.archive.products.grism_exposures`.
    options : MosaicOptions
    """
    return [_planned(opened, one) for one in exposures if one.absolute or options.wcs_policy != "absolute"]


def _planned(opened: OpenExposures, exposure: EligibleExposure) -> PlannedProduct:
    chip = opened.solution(exposure).chips[0]
    # of a product that is not drizzled the grid tells size and scale of its first chip alone
    grid = OutputGrid(chip.crval, chip.crpix, turned_cd(native_scale(chip)), chip.shape)
    return PlannedProduct(
        kind="grism",
        name=exposure_file_name(
            exposure.proposal_id or 0,
            exposure.rootname,
            exposure.instrument,
            exposure.detector,
            exposure.filter,
            exposure.suffix,
        ),
        visit=exposure.visit,
        sky_cell_id=None,
        sky_cells=short_cells((exposure,)),
        instrument=exposure.instrument,
        detector=exposure.detector,
        filter=exposure.filter,
        filter_text=header_filter((exposure,)),
        grid=grid,
        full_pixels=chip.shape[0] * chip.shape[1],
        members=(),
        exposures=(exposure,),
        exclusions=(),
        masked=False,
        drizzle=DrizzleParameters(),
        parameters={"engine": GRISM_ENGINE, "software": software_name()},
    )
