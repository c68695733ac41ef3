"""The output grid of a drizzle from its parameters: scale, rotation, centre, size, or a reference.

Grids made here have an integer CRPIX unless one is given: the tangent point is the centre of a pixel, so
that grids of one tangent point, scale and rotation share their pixels. (AstroDrizzle's is fractional.)
"""

import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.errors import MissingFileError, UnusableFileError, UsageProblemError
from hapctl.processing.imaging.grid import (
    WIDEST_FIELD,
    OutputGrid,
    bounds_on_plane,
    edges_on_sky,
    native_scale,
    north_up_grid,
    oriented_grid,
    storable,
    turned_cd,
)
from hapctl.processing.imaging.parameters import FinalParameters

_WITH_EXTENSION = re.compile(r"(?P<file>.+?)\[(?P<extension>[^\[\]]+)\]$")
_DISTORTED = ("A_ORDER", "B_ORDER", "CPDIS1", "CPDIS2", "D2IMDIS1", "D2IMDIS2", "AXISCORR", "PV2_1")
_SIZES = (("NAXIS1", "NAXIS2"), ("NPIX1", "NPIX2"), ("TG_NAX1", "TG_NAX2"))
_EXCLUDED_BY_REFERENCE = ("scale", "rotation", "ra", "dec", "shape", "crpix")


def final_grid(chips: Sequence[ChipWcs], final: FinalParameters, origin: LookupOrigin = "hst") -> OutputGrid:
    """Return the grid that the final image is made on.

    Parameters
    ----------
    chips : sequence of ChipWcs
        Of all inputs; IDCSCALE of the first is the scale where none is given.
    final : FinalParameters
        `reference` is taken exactly, with its size. Else: `rotation` is 0 by default; `ra` and `dec` are
        the tangent point and the middle of the image, by default the middle of what the chips cover;
        `shape` is what covers all chips by default; `crpix` (1-based) needs a `shape`, and is the pixel in
        the middle by default (the right or upper one of two).
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    OutputGrid

    Raises
    ------
    UsageProblemError
        Half of a pair is given, or something beside a reference.
    UnusableFileError
        The reference is distorted, has no size or no WCS; or there is no scale.
    """
    check_grid_parameters(final)
    if final.reference:
        return reference_grid(final.reference)
    if final.ra is None and final.shape is None:
        if not final.rotation:
            return north_up_grid(chips, final.scale, origin)
        return oriented_grid(chips, final.scale, final.rotation, origin)
    return _placed(chips, final, origin)


def check_grid_parameters(final: FinalParameters) -> None:
    """Refuse parameters of the grid that contradict one another or are incomplete.

    Raises
    ------
    UsageProblemError
    """
    beside = [name for name in _EXCLUDED_BY_REFERENCE if getattr(final, name) is not None]
    if final.reference and beside:
        raise UsageProblemError(
            f"final.reference with final.{beside[0]}: a reference is taken exactly", "give one of them"
        )
    if (final.ra is None) != (final.dec is None):
        given, other = ("ra", "dec") if final.dec is None else ("dec", "ra")
        raise UsageProblemError(f"final.{given} without final.{other}", "give both or none")
    if final.crpix is not None and final.shape is None:
        raise UsageProblemError("final.crpix without final.shape", "give both or none")


def _placed(chips: Sequence[ChipWcs], final: FinalParameters, origin: LookupOrigin) -> OutputGrid:
    """Return a grid whose middle or size is given."""
    scale = native_scale(chips[0]) if final.scale is None else final.scale
    rotation = final.rotation or 0.0
    if final.ra is None or final.dec is None:
        crval = oriented_grid(chips, scale, rotation, origin).crval
    else:
        crval = (storable(final.ra % 360.0), storable(final.dec))
    cd = turned_cd(scale, rotation)
    nx, ny = final.shape or _covering(chips, crval, cd, origin)
    crpix = final.crpix or (nx // 2 + 1.0, ny // 2 + 1.0)
    return OutputGrid(crval, crpix, cd, (ny, nx))


def _covering(
    chips: Sequence[ChipWcs],
    crval: tuple[float, float],
    cd: tuple[float, float, float, float],
    origin: LookupOrigin,
) -> tuple[int, int]:
    """Return the columns and rows, odd, of an image about a point that covers all chips."""
    ra, dec = edges_on_sky(chips, origin)
    try:
        bounds_on_plane(crval, ra, dec)
    except UnusableFileError as error:
        raise UsageProblemError(
            f"final.ra and final.dec lie {WIDEST_FIELD:.0f} degrees or more from the inputs", "correct them"
        ) from error
    x, y = OutputGrid(crval, (1.0, 1.0), cd, (1, 1)).sky_to_pixel(ra, dec)
    columns, rows = (2 * math.ceil(float(np.abs(offset).max()) - 0.5) + 1 for offset in (x, y))
    return columns, rows


def reference_grid(reference: str) -> OutputGrid:
    """Return the WCS and size of an undistorted image or headerlet, exactly.

    Parameters
    ----------
    reference : str
        ``file``, or ``file[extension]`` with a number, a name, or name,version. By default the first SCI,
        SIPWCS or other extension with a celestial WCS. Size: NAXISn, else NPIXn, else TG_NAXn.

    Raises
    ------
    MissingFileError
        The file or the extension is not there.
    UnusableFileError
        It is no FITS file, or its WCS is distorted, is no TAN projection, or has no size.
    """
    match = _WITH_EXTENSION.match(reference)
    path = Path(match["file"] if match else reference).expanduser()
    if not path.is_file():
        raise MissingFileError(f"the reference {path} is not there", "check final.reference")
    header = _reference_header(path, match["extension"] if match else None)
    _refuse_distorted(header, reference)
    return OutputGrid(*_linear_wcs(header, reference), _size(header, reference))


def _reference_header(path: Path, extension: str | None) -> fits.Header:
    try:
        with fits.open(path, memmap=False) as hdus:
            if extension is not None:
                return hdus[_extension_key(extension)].header.copy()
            celestial = [hdu for hdu in hdus if str(hdu.header.get("CTYPE1", "")).startswith("RA--")]
            preferred = sorted(celestial, key=lambda hdu: (hdu.name != "SCI", hdu.name != "SIPWCS"))
            if not preferred:
                raise UnusableFileError(f"the reference {path} has no WCS", "name another file or extension")
            return preferred[0].header.copy()
    except (KeyError, IndexError) as error:
        raise MissingFileError(
            f"the reference {path} has no extension {extension}", "check final.reference"
        ) from error
    except OSError as error:
        raise UnusableFileError(f"the reference {path} can't be read: {error}", "name a FITS file") from error


def _extension_key(extension: str) -> int | str | tuple[str, int]:
    name, _, version = (part.strip() for part in extension.partition(","))
    if name.isdecimal():
        return int(name)
    return (name, int(version)) if version.isdecimal() else name


def _refuse_distorted(header: fits.Header, reference: str) -> None:
    kinds = (str(header.get("CTYPE1", "")).strip(), str(header.get("CTYPE2", "")).strip())
    if kinds == ("", ""):
        raise UnusableFileError(f"the reference {reference} has no WCS", "name another extension")
    distortion = next((name for name in _DISTORTED if name in header), "")
    if distortion or any(kind.endswith("-SIP") for kind in kinds):
        raise UnusableFileError(
            f"the reference {reference} has distortion ({distortion or kinds[0]})", "name a drizzled image"
        )
    if kinds != ("RA---TAN", "DEC--TAN") or float(header.get("LONPOLE", 180.0)) != 180.0:
        raise UnusableFileError(
            f"the reference {reference} is no TAN image of RA and Dec ({', '.join(kinds)})",
            "name a drizzled image",
        )


def _linear_wcs(
    header: fits.Header, reference: str
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float, float, float]]:
    """Return crval, crpix and cd."""
    from astropy.wcs import WCS, FITSFixedWarning  # takes longer to load than all else: for references only

    unusable = UnusableFileError(
        f"the WCS of the reference {reference} has no usable numbers", "name another"
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(header, naxis=2)
    except ValueError as error:  # of WCSLIB: a singular matrix, contradictions
        raise unusable from error
    cd = [float(value) for value in np.asarray(wcs.pixel_scale_matrix).ravel()]
    numbers = [*map(float, wcs.wcs.crval), *map(float, wcs.wcs.crpix), *cd]
    if not all(math.isfinite(value) for value in numbers) or cd[0] * cd[3] == cd[1] * cd[2]:
        raise unusable
    return (numbers[0], numbers[1]), (numbers[2], numbers[3]), (cd[0], cd[1], cd[2], cd[3])


def _size(header: fits.Header, reference: str) -> tuple[int, int]:
    """Return (ny, nx)."""
    for across, up in _SIZES:
        nx, ny = int(header.get(across) or 0), int(header.get(up) or 0)
        if nx > 0 and ny > 0:
            return ny, nx
    raise UnusableFileError(
        f"the reference {reference} has no size", "give final.ra, dec, scale and shape in its place"
    )
