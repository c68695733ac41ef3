"""The WCS of an exposure as plain data: chips, SIP polynomials, lookup tables.

These classes are what the mapping kernel, the fits, the headerlets and the catalog exchange. They
hold what the header says, in the header's own conventions (FITS pixels, 1-based CRPIX, degrees);
nothing is corrected on reading.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LookupOrigin = Literal["hst", "fits"]
"""Where node 0 of a lookup table lies: as HST writes its tables, or as astropy >= 6.1 reads them."""


@dataclass(frozen=True)
class LookupTable:
    """A distortion lookup table (NPOL or D2IM) of one axis of one chip.

    Attributes
    ----------
    values : ndarray, shape (ny, nx), float32
        Corrections in pixels at the nodes; row index along detector y. A 1-D table has shape (1, nx).
    crpix, crval, cdelt : tuple of float
        The table's own keywords, (x, y), as the file has them; missing CRPIX and CRVAL are 0, CDELT 1.
    """

    values: NDArray[np.float32]
    crpix: tuple[float, float]
    crval: tuple[float, float]
    cdelt: tuple[float, float]


@dataclass(frozen=True)
class ChipWcs:
    """The WCS of one SCI extension.

    Attributes
    ----------
    extver : int
        Version of the SCI extension (the imset).
    chip : int
        CCDCHIP (WFPC2: DETECTOR); 1 where the header has none.
    shape : tuple of int
        (ny, nx) of the science array.
    crpix, crval : tuple of float
        Reference pixel (1-based) and its position (degrees, ICRS).
    cd : tuple of 4 float
        CD1_1, CD1_2, CD2_1, CD2_2 in degrees per pixel.
    sip_a, sip_b : ndarray, shape (n, n), float64, or None
        SIP coefficients, ``sip_a[p, q]`` multiplies u**p v**q; None without SIP.
    npol, d2im : tuple of 2 LookupTable or None
        Tables for x and y; both are evaluated at raw (d2im) and D2IM-corrected (npol) pixels and added.
    ctype : tuple of str
        As in the header (``RA---TAN-SIP`` or ``RA---TAN``).
    idcscale : float or None
        Plate scale of the distortion model, arcsec per pixel.
    """

    extver: int
    chip: int
    shape: tuple[int, int]
    crpix: tuple[float, float]
    crval: tuple[float, float]
    cd: tuple[float, float, float, float]
    ctype: tuple[str, str] = ("RA---TAN", "DEC--TAN")
    sip_a: NDArray[np.float64] | None = None
    sip_b: NDArray[np.float64] | None = None
    npol: tuple[LookupTable | None, LookupTable | None] = (None, None)
    d2im: tuple[LookupTable | None, LookupTable | None] = (None, None)
    idcscale: float | None = None

    @property
    def cd_matrix(self) -> NDArray[np.float64]:
        """The CD matrix, shape (2, 2), degrees per pixel."""
        return np.array(self.cd, dtype=np.float64).reshape(2, 2)


@dataclass(frozen=True)
class WcsSolution:
    """One WCS of an exposure: all its chips, under one name.

    Attributes
    ----------
    rootname : str
        ipppssoot of the exposure, lower case.
    name : str
        WCSNAME; ``OPUS`` where the header has none.
    chips : tuple of ChipWcs
        In order of extver.
    keywords : dict
        Fit and provenance keywords of the first chip that are not part of the transformation
        (RMS_RA, RMS_DEC, NMATCHES, FITGEOM, WCSTYPE, HDRNAME, IDCTAB, NPOLFILE, D2IMFILE, SIPNAME,
        ...), present ones only.
    problem : str
        Empty, or why this solution must never be put in force (chips with different names, NaN, ...).
    """

    rootname: str
    name: str
    chips: tuple[ChipWcs, ...]
    keywords: dict[str, str | float | int | bool] = field(default_factory=dict)
    problem: str = ""
