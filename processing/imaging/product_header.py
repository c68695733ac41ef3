"""The primary header of a product, and the header of an image that stands alone (hap_reference 1.6, 3.8).

Nothing here depends on when or where a product is made: the same inputs, parameters and run give the
same header, byte for byte.
"""

from collections.abc import Mapping

from astropy.io import fits
from hapctl.processing.imaging.product_description import (
    PHOTOMETRY_KEYWORDS,
    InputChip,
    Kind,
    Layer,
    ProductDescription,
    Value,
    context_planes,
)
from hapctl.processing.imaging.product_images import Card, add_cards, image_header, science_header
from hapctl.processing.imaging.product_statistics import ProductStatistics

__all__ = [
    "HAP_LEVEL",
    "PHOTOMETRY_KEYWORDS",
    "InputChip",
    "Kind",
    "ProductDescription",
    "context_planes",
    "lone_header",
    "primary_header",
    "science_header",
]

HAP_LEVEL: Mapping[Kind, int] = {
    "exposure": 1,
    "filter": 2,
    "total": 2,
    "grism": 1,
    "layer": 4,
    "mosaic": 4,
}
"""``drizzle`` has none: it is no product of HAP."""
_NAMED = 99
"""Exposures left out that are named; of more, only the number is given."""
_OF_EXTENSIONS = ("XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "PCOUNT", "GCOUNT", "INHERIT")


def primary_header(product: ProductDescription, statistics: ProductStatistics) -> fits.Header:
    """Return the primary header; the number of cards does not depend on the statistics."""
    header = fits.PrimaryHDU().header
    add_cards(header, _common_cards(product, statistics, product.name, len(product.layers) + 1))
    return header


def lone_header(
    product: ProductDescription, layer: Layer, name: str, statistics: ProductStatistics
) -> fits.Header:
    """Return the header of an image that is a file's primary one: both headers in one.

    Parameters
    ----------
    product : ProductDescription
    layer : {"SCI", "WHT", "CTX", "VAR", "ERR"}
        SCI is followed by the table of inputs.
    name : str
        Of the file.
    statistics : ProductStatistics
    """
    image = image_header(product, layer)
    header = fits.Header()
    add_cards(header, [("SIMPLE", True, "conforms to FITS standard")])
    for keyword in ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3"):
        if keyword in image:
            header[keyword] = (image[keyword], image.comments[keyword])
    add_cards(header, [("EXTEND", True, "")])
    add_cards(header, _common_cards(product, statistics, name, int(layer == "SCI")))
    for card in image.cards:
        if card.keyword not in _OF_EXTENSIONS:
            header.append(card, end=True)
    return header


def _common_cards(
    product: ProductDescription, statistics: ProductStatistics, name: str, extensions: int
) -> list[Card]:
    return [
        ("NEXTEND", extensions, "number of standard extensions"),
        ("FILENAME", name, "name of file"),
        *_identity(product),
        *_times(product),
        *_provenance(product),
        *_drizzle(product),
        *_statistics(product, statistics),
    ]


def _identity(product: ProductDescription) -> list[Card]:
    cards: list[Card] = [
        ("TELESCOP", "HST", "telescope used to acquire data"),
        ("INSTRUME", product.instrument, "instrument used to acquire data"),
        ("DETECTOR", product.detector, "detector in use"),
        ("FILTER", product.filter, "filter elements"),
        ("ROOTNAME", product.name.removesuffix(".fits").rsplit("_", 1)[0], "rootname of the product"),
        ("TARGNAME", product.target, "proposer's target name"),
        *_target_position(product),
        ("PROPOSID", _listed(product.proposals), "PEP proposal identifier"),
    ]
    if product.kind == "drizzle":
        return cards
    cards.append(("HAPLEVEL", HAP_LEVEL[product.kind], "classification level of this product"))
    if product.kind == "layer":
        return [*cards, ("SCELLID", product.sky_cells[0], "sky cell")]
    if product.kind == "mosaic":
        return [*cards, ("SKYCELL", "; ".join(product.sky_cells), "sky cells touched")]
    name = product.inputs[0].rootname[:8] if product.kind == "exposure" else product.visit
    cards.append(("IPPPSSOO", name, "exposure or visit of the product"))
    return [*cards, ("SKYCELL", "; ".join(product.sky_cells), "sky cells touched")]


def _target_position(product: ProductDescription) -> list[Card]:
    """RA_TARG and DEC_TARG where all inputs agree on them; HAP gives those of one of its inputs."""
    places = {(chip.header.get("RA_TARG"), chip.header.get("DEC_TARG")) for chip in product.inputs}
    ra, dec = places.pop()
    if places or ra is None or dec is None:
        return []
    return [
        ("RA_TARG", ra, "right ascension of the target (deg) (J2000)"),
        ("DEC_TARG", dec, "declination of the target (deg) (J2000)"),
    ]


def _listed(values: tuple[int, ...]) -> Value:
    return values[0] if len(values) == 1 else "; ".join(map(str, values))


def _times(product: ProductDescription) -> list[Card]:
    from astropy.time import Time

    exposures = product.exposures.values()
    start = min(chip.mjd_start for chip in exposures)
    end = max(chip.mjd_end for chip in exposures)
    begun, ended = (Time([start, end], format="mjd", scale="utc")).isot
    return [
        ("EXPTIME", product.exposure_time, "exposure time of all inputs (seconds)"),
        ("TEXPTIME", product.exposure_time, "exposure time of all inputs (seconds)"),
        ("EXPSTART", start, "start of the first exposure (MJD)"),
        ("EXPEND", end, "end of the last exposure (MJD)"),
        ("DATE-OBS", str(begun)[:10], "UT date of the start of the first exposure"),
        ("TIME-OBS", str(begun)[11:19], "UT time of the start of the first exposure"),
        ("DATE-BEG", str(begun), "starting date and time (UTC)"),
        ("DATE-END", str(ended), "ending date and time (UTC)"),
        ("EQUINOX", 2000.0, "equinox of celestial coord. system"),
        ("NDRIZIM", len(product.inputs), "chips drizzled onto the output"),
        ("NUMEXP", len(exposures), "exposures drizzled onto the output"),
    ]


def _provenance(product: ProductDescription) -> list[Card]:
    cards: list[Card] = [
        ("PROD_VER", product.software, "software that made this file"),
        ("DRIZCORR", "COMPLETE", "drizzled"),
    ]
    if product.run:
        frames = sorted({chip.frame for chip in product.inputs})
        cards += [
            ("DRIZPARS", f"hapctl product show {product.name}", ""),
            ("HAPRUN", product.run, "hapctl run that made it"),
            ("HAPPOLCY", product.policy, "hapctl policy of products"),
            ("WCSPOLCY", product.wcs_policy, "strict, absolute or any"),
            ("WCSFRAME", "; ".join(frames), "what positions are good against"),
            *_left_out(product.left_out),
        ]
    sums = (("HAPPARAM", product.parameters_sha256), ("HAPINPUT", product.inputs_sha256))
    return cards + [(keyword, value, "") for keyword, value in sums if value]


def _left_out(exposures: tuple[tuple[str, str], ...]) -> list[Card]:
    """How many exposures were left out, and the first of them with the code of the reason."""
    named = [
        (f"HAPOUT{number:02d}", f"{rootname}: {code}", "left out")
        for number, (rootname, code) in enumerate(exposures[:_NAMED], 1)
    ]
    return [("HAPNOUT", len(exposures), "exposures left out (see hapctl product show)"), *named]


def _drizzle(product: ProductDescription) -> list[Card]:
    """How all inputs were drizzled, under AstroDrizzle's keywords for its first."""
    final, scale = product.final, product.grid.scale_arcsec
    fill = "NaN" if final.fill_value is None else final.fill_value
    cards: list[Card] = [
        ("D001KERN", final.kernel, "kernel, of all inputs"),
        ("D001PIXF", final.pixfrac, "pixfrac, of all inputs"),
        ("D001SCAL", scale, "output pixel (arcsec)"),
        ("D001OUUN", final.units, "units: cps or counts"),
        ("D001FVAL", fill, "SCI where nothing contributes"),
    ]
    native = product.inputs[0].idcscale
    return [*cards, ("D001ISCL", native, "IDCSCALE of the first input (arcsec)")] if native else cards


def _statistics(product: ProductDescription, statistics: ProductStatistics) -> list[Card]:
    height, width = product.grid.shape
    depth: list[Card] = [
        ("MEANEXPT", statistics.mean_exposure_time, "mean exposure time per pixel with data"),
        ("MEDEXPT", statistics.median_exposure_time, "median exposure time per pixel with data"),
        ("MEANNEXP", statistics.mean_exposures, "mean number of exposures"),
        ("MEDNEXP", statistics.median_exposures, "median number of exposures"),
    ]
    covered = statistics.covered_pixels / (product.full_pixels or height * width)
    return [
        ("NPIXFRAC", covered, "fraction of pixels with data"),
        *(depth if product.final.context else []),
        ("MEANWHT", statistics.mean_weight, "mean weight over pixels with data"),
        ("MEDWHT", statistics.median_weight, "median weight over pixels with data"),
    ]
