"""Grism and prism exposures of a visit: products that are copies with the WCS of their direct images."""

from collections.abc import Mapping, Sequence
from typing import Any

from hapctl.archive.products import EligibleExposure
from hapctl.processing.imaging.grid import OutputGrid, native_scale, turned_cd
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.product_names import exposure_file_name
from hapctl.processing.pipeline.engine import software_name
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
    parameters = {
        "engine": GRISM_ENGINE,
        "software": software_name(),
        "lookup_origin": options.origin,  # of its outline on the sky
    }
    planned = []
    for one in exposures:
        if one.absolute or options.wcs_policy != "absolute":
            chip = opened.solution(one).chips[0]
            planned.append(planned_grism(one, native_scale(chip), chip.shape, parameters))
    return planned


def planned_grism(
    exposure: EligibleExposure,
    scale_arcsec: float,
    shape: tuple[int, int],
    parameters: Mapping[str, Any],
) -> PlannedProduct:
    """Return the product of a grism exposure, from the scale and (ny, nx) of its first chip."""
    # nothing is drizzled onto this grid: it tells size and scale alone
    grid = OutputGrid((0.0, 0.0), (1.0, 1.0), turned_cd(scale_arcsec), shape)
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
        full_pixels=shape[0] * shape[1],
        members=(),
        exposures=(exposure,),
        exclusions=(),
        masked=False,
        drizzle=DrizzleParameters(),
        parameters=parameters,
    )
