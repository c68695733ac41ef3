"""Chips read with astropy alone, from the real files: an independent way to the same ChipWcs."""

import gzip
import io
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.processing.astrometry.solution import ChipWcs, LookupTable


def read_chips(
    hdus: fits.HDUList, extname: str = "SCI", shape: tuple[int, int] | None = None
) -> list[ChipWcs]:
    """Every chip of an open exposure (or of a headerlet's SIPWCS extensions, with the shape given)."""
    return [chip_of(hdus, hdu.header, shape) for hdu in hdus if hdu.name == extname]


def astropy_as_read(hdus: fits.HDUList, extver: int) -> WCS:
    """What astropy makes of the file itself (lookup origin ``fits``)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WCS(hdus["SCI", extver].header.copy(), hdus)


def embedded_headerlet(path: Path, number: int) -> fits.HDUList:
    """HDRLET ``number`` of a file, opened."""
    with fits.open(path) as hdus:
        raw = bytes(hdus["HDRLET", number].data)
    return fits.open(io.BytesIO(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw))


def chip_of(hdus: fits.HDUList, header: fits.Header, shape: tuple[int, int] | None = None) -> ChipWcs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(header.copy(), hdus)
    cd = wcs.pixel_scale_matrix
    return ChipWcs(
        extver=header.get("EXTVER", 1),
        chip=header.get("CCDCHIP", 1),
        shape=shape or (header["NAXIS2"], header["NAXIS1"]),
        crpix=tuple(float(value) for value in wcs.wcs.crpix),
        crval=tuple(float(value) for value in wcs.wcs.crval),
        cd=(cd[0, 0], cd[0, 1], cd[1, 0], cd[1, 1]),
        ctype=tuple(wcs.wcs.ctype),
        sip_a=None if wcs.sip is None else wcs.sip.a,
        sip_b=None if wcs.sip is None else wcs.sip.b,
        npol=(table_of(wcs.cpdis1), table_of(wcs.cpdis2)),
        d2im=(table_of(wcs.det2im1), table_of(wcs.det2im2)),
        idcscale=header.get("IDCSCALE"),
    )


def table_of(table: object) -> LookupTable | None:
    if table is None:
        return None
    return LookupTable(
        values=np.array(table.data, dtype=np.float32),
        crpix=tuple(table.crpix),
        crval=tuple(table.crval),
        cdelt=tuple(table.cdelt),
    )
