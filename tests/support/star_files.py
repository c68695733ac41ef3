"""Star fields as files: an exposure of two chips, a drizzled product, and a plain image, with a WCS."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from support.exposure_files import PRIMARY
from support.star_field import StarField, star_field


def wcs_cards(shape: tuple[int, int], dec: float, scale: float = 0.05) -> dict[str, object]:
    """A TAN WCS, north up, whose reference pixel is the middle."""
    return {
        **{"WCSAXES": 2, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "WCSNAME": "IDC_test"},
        **{"CRPIX1": shape[1] / 2 + 0.5, "CRPIX2": shape[0] / 2 + 0.5, "CRVAL1": 150.0, "CRVAL2": dec},
        **{"CD1_1": -scale / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale / 3600},
    }


def exposure_of_stars(
    path: Path, *, shape: tuple[int, int] = (250, 400), wcs: bool = True
) -> list[StarField]:
    """Write an exposure of two chips; a source of each chip is where its star field says."""
    fields = [star_field(shape=shape, stars=80, cosmic_rays=20, seed=seed) for seed in (21, 22)]
    primary = fits.PrimaryHDU(header=fits.Header({**PRIMARY, "ROOTNAME": "jstars01q"}))
    hdus = fits.HDUList([primary])
    for extver, field in enumerate(fields, start=1):
        for name, data in (("SCI", field.science), ("ERR", field.error), ("DQ", field.quality)):
            hdu = fits.ImageHDU(data, name=name, ver=extver)
            if name == "SCI":
                hdu.header.update(
                    {"CCDCHIP": 3 - extver, "BUNIT": "ELECTRONS", "LTV1": -100.0, "LTM1_1": 1.0}
                )
                hdu.header.update(wcs_cards(shape, 2.0 + 0.01 * extver) if wcs else {})
            hdus.append(hdu)
    hdus.writeto(path)
    return fields


def product_of_stars(path: Path, *, shape: tuple[int, int] = (300, 300), seconds: float = 500.0) -> StarField:
    """Write a product in electrons per second with a weight map; its lower left corner has no data."""
    field = star_field(shape=shape, stars=100, seed=31)
    weight = np.full(shape, seconds, dtype=np.float32)
    weight[:100, :100] = 0.0
    science = (field.science / seconds).astype(np.float32)
    science[weight == 0] = np.nan
    header = fits.Header({**wcs_cards(shape, 2.0), "BUNIT": "ELECTRONS/S"})
    primary = fits.PrimaryHDU(header=fits.Header({**PRIMARY, "EXPTIME": seconds, "ROOTNAME": "jstars"}))
    sci, wht = fits.ImageHDU(science, header, name="SCI"), fits.ImageHDU(weight, name="WHT")
    fits.HDUList([primary, sci, wht]).writeto(path)
    return field
