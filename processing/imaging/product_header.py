"""HAP keywords of a product and the table of what went into it (hap_reference 1.6, 3.8, 4.6).

Nothing here depends on when or where a product is made: the same inputs, parameters and run give the
same header, byte for byte.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
from astropy.io import fits
from hapctl.processing.astrometry.wcsname import wcstype_text
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.product_statistics import ProductStatistics

Kind = Literal["exposure", "filter", "total", "layer"]
Value = str | int | float | bool

HAP_LEVEL: Mapping[Kind, int] = {"exposure": 1, "filter": 2, "total": 2, "layer": 4}

PHOTOMETRY_KEYWORDS = ("PHOTMODE", "PHOTFLAM", "PHOTZPT", "PHOTPLAM", "PHOTBW")


@dataclass(frozen=True)
class InputChip:
    """One row of the table of inputs: a chip that was drizzled.

    ``context_bit`` counts from 0; plane ``context_bit // 32`` of CTX, bit ``context_bit % 32``. ``sky``
    is in electrons per pixel of the chip. ``mask_sha256`` is empty and ``mask_run`` 0 without a mask.
    ``keywords`` are those of the solution, ``photometry`` those of the chip; neither is a column.
    """

    rootname: str
    product_name: str
    file_name: str
    file_sha256: str
    extver: int
    chip: int
    context_bit: int
    filter: str
    exposure_time: float
    mjd_start: float
    mjd_end: float
    sky: float
    wcsname: str
    transformation_sha256: str
    frame: str
    solution_run: int
    mask_sha256: str
    mask_run: int
    keywords: Mapping[str, Value] = field(default_factory=dict)
    photometry: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class ProductDescription:
    """What the header of a product says, but for the statistics of its pixels.

    Attributes
    ----------
    name : str
        File name.
    kind : {"exposure", "filter", "total", "layer"}
    instrument, detector, filter : str
        As in HAP headers: upper case, combined filters joined by ``;``, ``detection`` for a total.
    proposals : tuple of int
    target : str
        TARGNAME, or ``MULTIPLE``.
    visit : str
        ipppss; empty for a layer.
    sky_cells : tuple of str
        Short names (``p0047x20y18``) of the tiles it touches; of a layer, its own.
    grid : OutputGrid
    full_pixels : int
        Pixels that NPIXFRAC is the fraction of (of a layer: those of the whole tile).
    s_region : str
    inputs : tuple of InputChip
        In order of ``context_bit``.
    wcs_policy : str
    run, policy : int
        Numbers of the run and of the policy of products.
    parameters_sha256, inputs_sha256, software : str
    """

    name: str
    kind: Kind
    instrument: str
    detector: str
    filter: str
    proposals: tuple[int, ...]
    target: str
    visit: str
    sky_cells: tuple[str, ...]
    grid: OutputGrid
    full_pixels: int
    s_region: str
    inputs: tuple[InputChip, ...]
    wcs_policy: str
    run: int
    policy: int
    parameters_sha256: str
    inputs_sha256: str
    software: str


def context_planes(chips: int) -> int:
    """Return the planes of CTX that many chips need (32 bits each)."""
    return max(1, -(-chips // 32))


def primary_header(product: ProductDescription, statistics: ProductStatistics) -> fits.Header:
    """Return the primary header; the number of cards does not depend on the statistics."""
    header = fits.PrimaryHDU().header
    for cards in (_identity, _times, _provenance):
        _add(header, cards(product))
    _add(header, _statistics(product, statistics))
    return header


def science_header(product: ProductDescription) -> fits.Header:
    """Return the header of SCI: pixels per second, one undistorted WCS, photometry where known."""
    height, width = product.grid.shape
    header = _image_header("SCI", -32, (width, height), product)
    _add(header, [("BUNIT", "ELECTRONS/S", "brightness units"), ("CCDCHIP", -999, "all chips")])
    _add(header, [("S_REGION", product.s_region, "")])
    _add(header, _solution(product.inputs))
    _add(header, photometry_cards(product))
    return header


def weight_header(product: ProductDescription) -> fits.Header:
    """Return the header of WHT: exposure time per output pixel, scaled by area (EXP weights)."""
    height, width = product.grid.shape
    header = _image_header("WHT", -32, (width, height), product)
    _add(header, [("BUNIT", "S", "exposure time"), ("WHTTYPE", "EXP", "kind of weight")])
    return header


def context_header(product: ProductDescription) -> fits.Header:
    """Return the header of CTX: one bit per input chip, a third axis beyond 32 of them."""
    height, width = product.grid.shape
    planes = context_planes(len(product.inputs))
    axes = (width, height) if planes == 1 else (width, height, planes)
    header = _image_header("CTX", 32, axes, product)
    _add(header, [("BUNIT", "UNITLESS", "bits of HDRTAB column CTXBIT")])
    return header


def _add(header: fits.Header, cards: Sequence[tuple[str, Value | None, str]]) -> None:
    for keyword, value, comment in cards:
        fits_beside = not isinstance(value, str) or max(len(value), 8) + len(comment) < 66
        header[keyword] = (value, comment) if comment and fits_beside else value


def _image_header(name: str, bitpix: int, axes: tuple[int, ...], product: ProductDescription) -> fits.Header:
    header = fits.Header()
    _add(
        header,
        [
            ("XTENSION", "IMAGE", "Image extension"),
            ("BITPIX", bitpix, "array data type"),
            ("NAXIS", len(axes), "number of array dimensions"),
            *((f"NAXIS{i}", size, "") for i, size in enumerate(axes, 1)),
            ("PCOUNT", 0, "number of parameters"),
            ("GCOUNT", 1, "number of groups"),
            ("INHERIT", True, "inherit the primary header"),
            ("EXTNAME", name, "extension name"),
            ("EXTVER", 1, "extension version number"),
        ],
    )
    header.extend(_wcs_cards(product.grid))
    return header


def _wcs_cards(grid: OutputGrid) -> list[tuple[str, Value, str]]:
    found = [
        (card.keyword, card.value, card.comment)
        for card in grid.header().cards
        if not card.keyword.startswith("NAXIS")
    ]
    _, cd12, _, cd22 = grid.cd
    angle = float(np.degrees(np.arctan2(cd12, cd22))) + 0.0
    return [
        *found,
        ("ORIENTAT", angle, "position angle of image y axis (deg. e of n)"),
        ("VAFACTOR", 1.0, "velocity aberration is in the inputs"),
    ]


def _identity(product: ProductDescription) -> list[tuple[str, Value, str]]:
    cards: list[tuple[str, Value, str]] = [
        ("NEXTEND", 4, "number of standard extensions"),
        ("FILENAME", product.name, "name of file"),
        ("TELESCOP", "HST", "telescope used to acquire data"),
        ("INSTRUME", product.instrument, "instrument used to acquire data"),
        ("DETECTOR", product.detector, "detector in use"),
        ("FILTER", product.filter, "filter elements"),
        ("ROOTNAME", product.name.removesuffix(".fits").rsplit("_", 1)[0], "rootname of the product"),
        ("TARGNAME", product.target, "proposer's target name"),
        ("PROPOSID", _listed(product.proposals), "PEP proposal identifier"),
        ("HAPLEVEL", HAP_LEVEL[product.kind], "classification level of this product"),
    ]
    if product.kind == "layer":
        return [*cards, ("SCELLID", product.sky_cells[0], "sky cell")]
    name = product.inputs[0].rootname[:8] if product.kind == "exposure" else product.visit
    cards.append(("IPPPSSOO", name, "exposure or visit of the product"))
    return [*cards, ("SKYCELL", "; ".join(product.sky_cells), "sky cells touched")]


def _listed(values: tuple[int, ...]) -> Value:
    return values[0] if len(values) == 1 else "; ".join(map(str, values))


def _times(product: ProductDescription) -> list[tuple[str, Value, str]]:
    from astropy.time import Time

    exposures = {chip.rootname: chip for chip in product.inputs}.values()
    start = min(chip.mjd_start for chip in exposures)
    end = max(chip.mjd_end for chip in exposures)
    total = float(sum(chip.exposure_time for chip in exposures))
    begun, ended = (Time([start, end], format="mjd", scale="utc")).isot
    return [
        ("EXPTIME", total, "exposure time of all inputs (seconds)"),
        ("TEXPTIME", total, "exposure time of all inputs (seconds)"),
        ("EXPSTART", start, "start of the first exposure (MJD)"),
        ("EXPEND", end, "end of the last exposure (MJD)"),
        ("DATE-BEG", str(begun), "starting date and time (UTC)"),
        ("DATE-END", str(ended), "ending date and time (UTC)"),
        ("EQUINOX", 2000.0, "equinox of celestial coord. system"),
        ("NDRIZIM", len(product.inputs), "chips drizzled onto the output"),
        ("NUMEXP", len(exposures), "exposures drizzled onto the output"),
    ]


def _provenance(product: ProductDescription) -> list[tuple[str, Value, str]]:
    frames = sorted({chip.frame for chip in product.inputs})
    return [
        ("PROD_VER", product.software, "software that made this file"),
        ("DRIZCORR", "COMPLETE", "drizzled"),
        ("DRIZPARS", f"hapctl product show {product.name}", ""),
        ("HAPRUN", product.run, "hapctl run that made it"),
        ("HAPPOLCY", product.policy, "hapctl policy of products"),
        ("HAPPARAM", product.parameters_sha256, ""),
        ("HAPINPUT", product.inputs_sha256, ""),
        ("WCSPOLCY", product.wcs_policy, "strict, absolute or any"),
        ("WCSFRAME", "; ".join(frames), "what positions are good against"),
    ]


def _statistics(product: ProductDescription, statistics: ProductStatistics) -> list[tuple[str, Value, str]]:
    return [
        ("NPIXFRAC", statistics.covered_pixels / product.full_pixels, "fraction of pixels with data"),
        ("MEANEXPT", statistics.mean_exposure_time, "mean exposure time per pixel with data"),
        ("MEDEXPT", statistics.median_exposure_time, "median exposure time per pixel with data"),
        ("MEANNEXP", statistics.mean_exposures, "mean number of exposures"),
        ("MEDNEXP", statistics.median_exposures, "median number of exposures"),
        ("MEANWHT", statistics.mean_weight, "mean weight over pixels with data"),
        ("MEDWHT", statistics.median_weight, "median weight over pixels with data"),
    ]


def _solution(inputs: Sequence[InputChip]) -> list[tuple[str, Value, str]]:
    """WCSNAME of all inputs, or MULTIPLE; of the fit keywords the worst, where every input has them."""
    names = {chip.wcsname for chip in inputs}
    cards: list[tuple[str, Value, str]] = [
        ("WCSNAME", _one(names), "coordinate system of the inputs"),
        ("WCSTYPE", _one({wcstype_text(name) for name in names}), ""),
    ]
    worst: tuple[tuple[str, Callable[..., Value], str], ...] = (
        ("NMATCHES", min, "sources of the fit, fewest of all inputs"),
        ("RMS_RA", max, "mas, largest of all inputs"),
        ("RMS_DEC", max, "mas, largest of all inputs"),
    )
    for keyword, choose, comment in worst:
        values = [chip.keywords.get(keyword) for chip in inputs]
        numbers = [value for value in values if isinstance(value, int | float) and value >= 0]
        if len(numbers) == len(inputs):
            cards.append((keyword, choose(numbers), comment))
    return cards


def _one(values: set[str]) -> str:
    return next(iter(values)) if len(values) == 1 else "MULTIPLE"


def photometry_cards(product: ProductDescription) -> list[tuple[str, Value, str]]:
    """Return the PHOT keywords where every input has a PHOTFLAM, averaged by exposure time; else none.

    A total mixes filters and has none; an input without photometry (PHOTFLAM 0) would make the
    zero point of the sum wrong, so then the product has none either.
    """
    flux = [_positive(chip.photometry.get("PHOTFLAM")) for chip in product.inputs]
    if product.kind == "total" or not all(flux):
        return []
    first = product.inputs[0].photometry
    cards: list[tuple[str, Value, str]] = []
    for keyword in PHOTOMETRY_KEYWORDS:
        values = [chip.photometry.get(keyword) for chip in product.inputs]
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        if len(numbers) == len(values):
            weights = [chip.exposure_time for chip in product.inputs]
            cards.append((keyword, _mean(numbers, weights), "mean by exposure time"))
        elif first.get(keyword) not in (None, ""):
            cards.append((keyword, str(first[keyword]).strip(), "of the first input"))
    return cards


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    if min(values) == max(values):
        return values[0]
    return float(np.average(values, weights=weights))


def _positive(value: Value | None) -> bool:
    return isinstance(value, int | float) and value > 0


_COLUMNS: dict[str, tuple[str, str, str]] = {
    # attribute: column, format (A: as wide as its longest value), unit
    "rootname": ("ROOTNAME", "A", ""),
    "product_name": ("HAPEXPNAME", "A", ""),
    "file_name": ("FILENAME", "A", ""),
    "file_sha256": ("FILESHA", "A", ""),
    "extver": ("EXTVER", "J", ""),
    "chip": ("CCDCHIP", "J", ""),
    "context_bit": ("CTXBIT", "J", ""),
    "filter": ("FILTER", "A", ""),
    "exposure_time": ("EXPTIME", "D", "s"),
    "mjd_start": ("EXPSTART", "D", "d"),
    "mjd_end": ("EXPEND", "D", "d"),
    "sky": ("MDRIZSKY", "D", "electron"),
    "wcsname": ("WCSNAME", "A", ""),
    "transformation_sha256": ("WCSSHA", "A", ""),
    "frame": ("WCSFRAME", "A", ""),
    "solution_run": ("WCSRUN", "K", ""),
    "mask_sha256": ("MASKSHA", "A", ""),
    "mask_run": ("MASKRUN", "K", ""),
}


def input_table(inputs: Sequence[InputChip]) -> fits.BinTableHDU:
    """Return the table of inputs, HDRTAB: one row a chip."""
    columns = []
    for item in fields(InputChip):
        if item.name not in _COLUMNS:
            continue
        name, code, unit = _COLUMNS[item.name]
        values = [getattr(chip, item.name) for chip in inputs]
        if code == "A":
            code = f"{max(1, *(len(value) for value in values))}A" if values else "1A"
        columns.append(fits.Column(name=name, format=code, unit=unit or None, array=np.array(values)))
    table = fits.BinTableHDU.from_columns(columns, name="HDRTAB")
    table.header["EXTVER"] = (1, "extension version number")
    return table
