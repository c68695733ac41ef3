"""The headers of the images of a product: SCI, WHT, CTX, VAR and ERR (hap_reference 1.6, 3.8).

SCI is per second, or counts of the total exposure time (EXPTIME of the primary header), of electrons either
way. WHT of EXP weights is the sum of seconds (seconds squared, exposures) over the shares of input pixels, so
that full coverage by one exposure gives its weight times s^2, s being output over detector scale. WHT of ERR
and IVM weights is an inverse variance in the units of SCI (`hapctl.processing.imaging.weights`). VAR is the
variance of each pixel by itself, ERR its root; sums over apertures need NOISER too.
"""

from collections.abc import Callable, Sequence

import numpy as np
from astropy.io import fits
from hapctl.processing.astrometry.wcsname import wcstype_text
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.product_description import (
    PHOTOMETRY_KEYWORDS,
    InputChip,
    Layer,
    ProductDescription,
    Value,
    context_planes,
)

Card = tuple[str, Value, str]

_EXPOSURE_UNIT = {"exptime": "S", "expsq": "S**2", "number": ""}


def image_header(product: ProductDescription, layer: Layer) -> fits.Header:
    """Return the header of one image of a product, as an extension.

    Parameters
    ----------
    product : ProductDescription
    layer : {"SCI", "WHT", "CTX", "VAR", "ERR"}
    """
    makers: dict[Layer, Callable[[ProductDescription], list[Card]]] = {
        "SCI": _science_cards,
        "WHT": _weight_cards,
        "CTX": lambda _: [("BUNIT", "UNITLESS", "bits of HDRTAB column CTXBIT")],
        "VAR": _variance_cards,
        "ERR": _error_cards,
    }
    header = _extension_header(layer, product)
    add_cards(header, makers[layer](product))
    return header


def science_header(product: ProductDescription) -> fits.Header:
    """Return the header of SCI: one undistorted WCS, photometry where known."""
    return image_header(product, "SCI")


def add_cards(header: fits.Header, cards: Sequence[tuple[str, Value | None, str]]) -> None:
    """Append cards; a comment that would not fit beside its value is left out."""
    for keyword, value, comment in cards:
        fits_beside = not isinstance(value, str) or max(len(value), 8) + len(comment) < 66
        header[keyword] = (value, comment) if comment and fits_beside else value


def science_unit(product: ProductDescription) -> str:
    """Return BUNIT of SCI."""
    return "ELECTRONS/S" if product.final.units == "cps" else "ELECTRONS"


def weight_unit(product: ProductDescription) -> str:
    """Return BUNIT of WHT; empty for a number of exposures."""
    if product.final.weight == "EXP":
        return _EXPOSURE_UNIT[product.final.weight_scale]
    return "(ELECTRONS/S)**-2" if product.final.units == "cps" else "ELECTRONS**-2"


def _science_cards(product: ProductDescription) -> list[Card]:
    return [
        ("BUNIT", science_unit(product), "brightness units"),
        ("CCDCHIP", -999, "all chips"),
        *_correlation(product),
        ("S_REGION", product.s_region, ""),
        *_solution(product.inputs),
        *photometry_cards(product),
    ]


def _weight_cards(product: ProductDescription) -> list[Card]:
    final = product.final
    comment = "sum of weights" if final.weight == "EXP" else "inverse variance, no correlation"
    cards: list[Card] = [
        ("BUNIT", weight_unit(product), comment),
        ("WHTTYPE", final.weight, "kind of weight"),
    ]
    if final.weight == "EXP":
        cards.append(("WHTSCALE", final.weight_scale, "exptime, expsq or number"))
    return cards


def _variance_cards(product: ProductDescription) -> list[Card]:
    unit = "(ELECTRONS/S)**2" if product.final.units == "cps" else "ELECTRONS**2"
    return [("BUNIT", unit, "variance of SCI"), *_correlation(product)]


def _error_cards(product: ProductDescription) -> list[Card]:
    return [("BUNIT", science_unit(product), "square root of VAR"), *_correlation(product)]


def _correlation(product: ProductDescription) -> list[Card]:
    if product.noise_correlation is None:
        return []
    return [("NOISER", product.noise_correlation, "R: var. of sums = R**2 sum(VAR), wide apertures")]


def _extension_header(name: Layer, product: ProductDescription) -> fits.Header:
    height, width = product.grid.shape
    planes = context_planes(len(product.inputs)) if name == "CTX" else 1
    axes = (width, height) if planes == 1 else (width, height, planes)
    header = fits.Header()
    add_cards(
        header,
        [
            ("XTENSION", "IMAGE", "Image extension"),
            ("BITPIX", 32 if name == "CTX" else -32, "array data type"),
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


def _wcs_cards(grid: OutputGrid) -> list[Card]:
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


def _solution(inputs: Sequence[InputChip]) -> list[Card]:
    """WCSNAME of all inputs, or MULTIPLE; of the fit keywords the worst, where every input has them."""
    names = {chip.wcsname for chip in inputs}
    if names == {""}:
        return []
    cards: list[Card] = [
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


def photometry_cards(product: ProductDescription) -> list[Card]:
    """Return the PHOT keywords where every input has a PHOTFLAM, averaged by exposure time; else none.

    A total, and what mixes filters, has none; an input without photometry (PHOTFLAM 0) would make the
    zero point of the sum wrong, so then the product has none either.
    """
    flux = [_positive(chip.photometry.get("PHOTFLAM")) for chip in product.inputs]
    filters = {chip.filter for chip in product.inputs}
    if product.kind == "total" or len(filters) > 1 or not all(flux):
        return []
    first = product.inputs[0].photometry
    cards: list[Card] = []
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
