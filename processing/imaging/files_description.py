"""What the header of a product made of files says: from the headers of its inputs alone."""

import hashlib
import math
from collections.abc import Iterable
from importlib.metadata import version

from hapctl.processing.astrometry.exposure import hap_filter
from hapctl.processing.astrometry.fits_structure import Header, number, text
from hapctl.processing.astrometry.footprint import s_region
from hapctl.processing.imaging.flux_scale import FluxScale
from hapctl.processing.imaging.grid import OutputGrid, native_scale
from hapctl.processing.imaging.input_files import InputExposure
from hapctl.processing.imaging.input_keywords import kept_keywords
from hapctl.processing.imaging.open_files import OpenFiles
from hapctl.processing.imaging.outline import outline_polygons
from hapctl.processing.imaging.parameters import DRIZZLE, DrizzleParameters
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.product_description import InputChip, ProductDescription
from hapctl.processing.imaging.variance import product_noise_correlation
from hapctl.processing.parameter_file import toml_text

_LONGEST = 60


def describe(
    opened: OpenFiles, parameters: DrizzleParameters, grid: OutputGrid, name: str
) -> ProductDescription:
    """Describe the product of open files.

    Parameters
    ----------
    opened : OpenFiles
        With what was measured, where it was.
    parameters : DrizzleParameters
    grid : OutputGrid
    name : str
        Of its file.
    """
    origin, final = parameters.lookup_origin, parameters.final
    one_filter = len({(_detector(one), filter_of(one)) for one in opened.inputs}) == 1
    rows = tuple(
        _row(one, chip, scale, one_filter)
        for one, chips, scale in zip(opened.inputs, opened.exposures, opened.scales, strict=True)
        for chip in chips
    )
    chips = [chip for exposure in opened.exposures for chip in exposure]
    return ProductDescription(
        name=name,
        kind="drizzle",
        instrument=_joined(text(one.header, "INSTRUME").upper() for one in opened.inputs),
        detector=_joined(_detector(one) for one in opened.inputs),
        filter=_joined(filter_of(one) for one in opened.inputs),
        grid=grid,
        inputs=rows,
        final=final,
        noise_correlation=product_noise_correlation(chips, grid, final.kernel, final.pixfrac, origin),
        proposals=tuple(sorted({int(found) for one in opened.inputs if (found := _proposal(one)) > 0})),
        target=_joined((text(one.header, "TARGNAME") for one in opened.inputs), "MULTIPLE"),
        s_region=s_region(outline_polygons(opened.chip_wcs, grid, origin=origin)),
        parameters_sha256=hashlib.sha256(toml_text(DRIZZLE, parameters).encode()).hexdigest(),
        software=f"hapctl {version('hapctl')}",
    )


def filter_of(one: InputExposure) -> str:
    """Return the filter of an exposure, upper case, elements joined by ``;``, without clear ones."""
    return hap_filter(one.filters).upper().replace("-", ";")


def detector_of(header: Header) -> str:
    """Return the detector of a primary header; PC for all of WFPC2, empty where none is named."""
    if text(header, "INSTRUME").upper() == "WFPC2":
        return "PC"
    return text(header, "DETECTOR").upper()


def _detector(one: InputExposure) -> str:
    return detector_of(one.header)


def _proposal(one: InputExposure) -> float:
    found = number(one.header, "PROPOSID", 0.0)
    return found if math.isfinite(found) else 0.0


def _joined(values: Iterable[str], several: str = "") -> str:
    """Return different values joined by ``;``; `several`, or MULTIPLE, where that is long."""
    found = [value for value in dict.fromkeys(values) if value]
    if len(found) > 1 and several:
        return several
    joined = ";".join(found)
    return joined if len(joined) <= _LONGEST else "MULTIPLE"


def _row(one: InputExposure, chip: PreparedChip, scale: FluxScale, one_filter: bool) -> InputChip:
    pixels = chip.pixels
    start, end = (_time(one, chip, keyword) for keyword in ("EXPSTART", "EXPEND"))
    return InputChip(
        rootname=one.solution.rootname or pixels.path.name,
        file_name=pixels.path.name,
        extver=pixels.extver,
        chip=pixels.chip,
        context_bit=chip.context_bit,
        exposure_time=chip.exposure_time,
        mjd_start=start,
        mjd_end=end,
        sky=chip.sky,
        filter=filter_of(one),
        wcsname=one.solution.name,
        idcscale=native_scale(chip.wcs),
        flux_factor=chip.flux_factor,
        header=kept_keywords(one.header, pixels.header, one.solution.keywords),
        keywords=one.solution.keywords,
        photometry=scale.photometry if one_filter else {},
    )


def _time(one: InputExposure, chip: PreparedChip, keyword: str) -> float:
    for value in (one.header.get(keyword), chip.pixels.header.get(keyword)):
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return 0.0
