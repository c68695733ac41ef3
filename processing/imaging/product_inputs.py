"""The table of what went into a product, HDRTAB: one row a chip.

HAP names the exposure's own product in HAPEXPNAME, in layers of tiles in SVMROOTNAME (there it fills every
row with the names of all exposures [BUG]; here each row has its own).
"""

import numpy as np
from astropy.io import fits
from hapctl.processing.imaging.input_keywords import keyword_columns
from hapctl.processing.imaging.product_description import Kind, ProductDescription

_COLUMNS: dict[str, tuple[str, str, str]] = {
    # attribute: column, format (A: as wide as its longest value), unit; in the order of the table
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
    "idcscale": ("IDCSCALE", "D", "arcsec"),
    "flux_factor": ("FLUXFACT", "D", ""),
    "wcsname": ("WCSNAME", "A", ""),
    "transformation_sha256": ("WCSSHA", "A", ""),
    "frame": ("WCSFRAME", "A", ""),
    "solution_run": ("WCSRUN", "K", ""),
    "mask_sha256": ("MASKSHA", "A", ""),
    "mask_run": ("MASKRUN", "K", ""),
}
_OF_MANY_VISITS: tuple[Kind, ...] = ("layer", "mosaic")
_OF_THE_CATALOG = frozenset(
    (
        "product_name",
        "file_sha256",
        "transformation_sha256",
        "frame",
        "solution_run",
        "mask_sha256",
        "mask_run",
    )
)


def input_table(product: ProductDescription) -> fits.BinTableHDU:
    """Return the table of inputs; without a run, columns that only a catalog could fill are left out."""
    columns = [
        _column(attribute, product)
        for attribute in _COLUMNS
        if product.run or attribute not in _OF_THE_CATALOG
    ]
    columns += keyword_columns([chip.header for chip in product.inputs])
    table = fits.BinTableHDU(name="HDRTAB")
    # Not with data at once: astropy then loads astropy.table, and with it whatever is plugged into that.
    table.data = fits.FITS_rec.from_columns(fits.ColDefs(columns))
    table.header["EXTVER"] = (1, "extension version number")
    return table


def _column(attribute: str, product: ProductDescription) -> fits.Column:
    name, code, unit = _COLUMNS[attribute]
    if attribute == "product_name" and product.kind in _OF_MANY_VISITS:
        name = "SVMROOTNAME"
    values = [getattr(chip, attribute) for chip in product.inputs]
    if code == "A":
        code = f"{max(1, *(len(value) for value in values))}A" if values else "1A"
    return fits.Column(name=name, format=code, unit=unit or None, array=np.array(values))
