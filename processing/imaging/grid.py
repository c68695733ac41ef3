"""Output grids: undistorted north-up TAN images, and what of them a chip covers.

Contract: crpix is 1-based and integer for grids made here, so that a tangent point is the centre of a
pixel and grids of one tangent point and scale share their pixels; pixel arguments are 0-based; angles
are ICRS degrees. All of it holds across RA 0 and at the poles (unit vectors, no RA arithmetic).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.astrometry.mapping import (
    Pair,
    TanPlane,
    distortion,
    homography,
    pixel_to_sky,
    plane_to_sky,
    sky_to_plane,
)
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

CdMatrix = tuple[float, float, float, float]
WIDEST_FIELD = 60.0  # degrees from the tangent point: beyond, a TAN image is no picture any more


@dataclass(frozen=True)
class OutputGrid:
    """A TAN image without distortion.

    Attributes
    ----------
    crval : tuple of float
        Tangent point (RA, Dec), degrees.
    crpix : tuple of float
        Its pixel, 1-based.
    cd : tuple of 4 float
        CD1_1, CD1_2, CD2_1, CD2_2 in degrees per pixel.
    shape : tuple of int
        (ny, nx).
    """

    crval: tuple[float, float]
    crpix: tuple[float, float]
    cd: CdMatrix
    shape: tuple[int, int]

    @property
    def scale_arcsec(self) -> float:
        """Side of a pixel at the tangent point, arcsec."""
        cd11, cd12, cd21, cd22 = self.cd
        return math.sqrt(abs(cd11 * cd22 - cd12 * cd21)) * 3600.0

    @property
    def plane(self) -> TanPlane:
        """The same pixels without their bounds."""
        return TanPlane(self.crval, self.crpix, self.cd)

    def header(self) -> "Header":
        """The WCS and NAXIS keywords as a FITS header."""
        from astropy.io.fits import Header

        header = Header()
        header["NAXIS"] = 2
        header["NAXIS1"], header["NAXIS2"] = self.shape[1], self.shape[0]
        header["WCSAXES"] = (2, "number of World Coordinate System axes")
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
        header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
        header["CRPIX1"], header["CRPIX2"] = self.crpix
        header["CRVAL1"], header["CRVAL2"] = self.crval
        header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = self.cd
        header["LONPOLE"], header["LATPOLE"] = 180.0, self.crval[1]
        header["RADESYS"] = "ICRS"
        return header

    def wcs(self) -> "WCS":
        """The grid as an ``astropy.wcs.WCS``."""
        from astropy.wcs import WCS

        return WCS(self.header())

    def pixel_to_sky(self, x: ArrayLike, y: ArrayLike) -> Pair:
        """0-based pixels to RA, Dec in degrees (arrays of one shape, float64)."""
        from_x = np.asarray(x, dtype=np.float64) - (self.crpix[0] - 1.0)
        from_y = np.asarray(y, dtype=np.float64) - (self.crpix[1] - 1.0)
        cd11, cd12, cd21, cd22 = self.cd
        return plane_to_sky(self.crval, cd11 * from_x + cd12 * from_y, cd21 * from_x + cd22 * from_y)

    def sky_to_pixel(self, ra: ArrayLike, dec: ArrayLike) -> Pair:
        """RA, Dec in degrees to 0-based pixels; NaN 90 degrees or more from the tangent point."""
        xi, eta = sky_to_plane(self.crval, ra, dec)
        inverse = np.linalg.inv(np.array(self.cd).reshape(2, 2))
        return (
            inverse[0, 0] * xi + inverse[0, 1] * eta + self.crpix[0] - 1.0,
            inverse[1, 0] * xi + inverse[1, 1] * eta + self.crpix[1] - 1.0,
        )

    def cut(self, y0: int, y1: int, x0: int, x1: int) -> "OutputGrid":
        """Rows y0 to y1 and columns x0 to x1 (the last ones excluded), on the same pixels."""
        if not (y0 < y1 and x0 < x1):
            raise UsageProblemError(
                f"a cut of rows {y0}:{y1} and columns {x0}:{x1} holds no pixels", "give ends above starts"
            )
        return replace(self, crpix=(self.crpix[0] - x0, self.crpix[1] - y0), shape=(y1 - y0, x1 - x0))


def chip_edges(chip: ChipWcs) -> Pair:
    """0-based pixel positions along the outer edge of a chip, one a pixel, corners included."""
    ny, nx = chip.shape
    along_x, along_y = np.arange(nx + 1) - 0.5, np.arange(ny + 1) - 0.5
    x = [along_x, np.full(ny + 1, nx - 0.5), along_x[::-1], np.full(ny + 1, -0.5)]
    y = [np.full(nx + 1, -0.5), along_y, np.full(nx + 1, ny - 0.5), along_y[::-1]]
    return np.concatenate(x), np.concatenate(y)


def edges_on_sky(chips: Iterable[ChipWcs], origin: LookupOrigin) -> Pair:
    """RA, Dec (degrees) along the distorted edges of all chips."""
    edges = [pixel_to_sky(chip, *chip_edges(chip), origin) for chip in chips]
    if not edges:
        raise UsageProblemError("no chips to make a grid for", "select at least one exposure")
    return np.concatenate([ra for ra, _ in edges]), np.concatenate([dec for _, dec in edges])


def mean_direction(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> tuple[float, float]:
    """The direction of the mean unit vector, degrees."""
    ra, dec = np.radians(ra), np.radians(dec)
    x, y, z = (np.cos(dec) * np.cos(ra)).mean(), (np.cos(dec) * np.sin(ra)).mean(), np.sin(dec).mean()
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


def bounds_on_plane(
    centre: tuple[float, float], ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Least and greatest xi and eta (degrees) of positions about a tangent point."""
    xi, eta = sky_to_plane(centre, ra, dec)
    limit = math.degrees(math.tan(math.radians(WIDEST_FIELD)))
    if not np.hypot(xi, eta).max() < limit:
        raise UnusableFileError(
            f"the chips lie more than {WIDEST_FIELD:.0f} degrees from their common centre",
            "make products of exposures that lie together",
        )
    return xi.min(), xi.max(), eta.min(), eta.max()


def north_up_grid(
    chips: Sequence[ChipWcs], scale_arcsec: float | None = None, origin: LookupOrigin = "hst"
) -> OutputGrid:
    """The north-up TAN grid that covers the distorted edges of chips: `oriented_grid` at position angle 0."""
    return oriented_grid(chips, scale_arcsec, 0.0, origin)


def oriented_grid(
    chips: Sequence[ChipWcs],
    scale_arcsec: float | None = None,
    rotation: float | None = None,
    origin: LookupOrigin = "hst",
) -> OutputGrid:
    """The TAN grid of an orientation that covers the distorted edges of chips.

    Parameters
    ----------
    chips : sequence of ChipWcs
    scale_arcsec : float, optional
        Side of an output pixel; IDCSCALE of the first chip by default (native scale).
    rotation : float, optional
        Position angle of the y axis, degrees; that of the first chip by default.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    OutputGrid
        The tangent point is the middle of the covered rectangle and the centre of a pixel.

    Raises
    ------
    UsageProblemError
        Without chips, or with a scale that is no positive number.
    UnusableFileError
        If no scale is given and the first chip has SIP but no IDCSCALE, or if chips lie too far apart.
    """
    ra, dec = edges_on_sky(chips, origin)
    scale = native_scale(chips[0]) if scale_arcsec is None else scale_arcsec
    if not (math.isfinite(scale) and scale > 0.0):
        raise UsageProblemError(f"a scale of {scale} arcsec per pixel", "give a positive scale")
    cd = turned_cd(scale, position_angle(chips[0]) if rotation is None else rotation)
    return covering_grid(middle_of(ra, dec, cd), cd, ra, dec)


def position_angle(chip: ChipWcs) -> float:
    """Position angle of the y axis of a chip, degrees east of north (ORIENTAT)."""
    (_, cd12), (_, cd22) = np.asarray(chip.cd_matrix, dtype=np.float64)
    return math.degrees(math.atan2(cd12, cd22))


def turned_cd(scale_arcsec: float, rotation: float = 0.0) -> CdMatrix:
    """CD of square pixels, east to the left of north, whose y axis lies at a position angle (degrees)."""
    step, angle = scale_arcsec / 3600.0, math.radians(rotation)
    sine, cosine = math.sin(angle), math.cos(angle)
    return (storable(-step * cosine), storable(step * sine), storable(step * sine), storable(step * cosine))


def middle_of(ra: NDArray[np.float64], dec: NDArray[np.float64], cd: CdMatrix) -> tuple[float, float]:
    """The middle (RA, Dec, degrees) of the rectangle along the axes of a CD matrix that holds positions."""
    mean = mean_direction(ra, dec)
    bounds_on_plane(mean, ra, dec)  # refuses positions that lie too far apart
    x, y = OutputGrid(mean, (1.0, 1.0), cd, (1, 1)).sky_to_pixel(ra, dec)
    x_middle, y_middle = 0.5 * (x.min() + x.max()), 0.5 * (y.min() + y.max())
    found = plane_to_sky(mean, cd[0] * x_middle + cd[1] * y_middle, cd[2] * x_middle + cd[3] * y_middle)
    return storable(float(found[0])), storable(float(found[1]))


def covering_grid(
    crval: tuple[float, float], cd: CdMatrix, ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> OutputGrid:
    """The smallest grid that holds positions and has a tangent point as the centre of a pixel, inside or not.

    Parameters
    ----------
    crval : tuple of float
        Tangent point (RA, Dec), degrees.
    cd : tuple of 4 float
        Degrees per pixel.
    ra, dec : ndarray, shape (n,), float64
        Degrees.
    """
    bounds_on_plane(crval, ra, dec)
    x, y = OutputGrid(crval, (1.0, 1.0), cd, (1, 1)).sky_to_pixel(ra, dec)
    (left, right), (below, above) = pixel_range(x), pixel_range(y)
    return OutputGrid(crval, (1.0 - left, 1.0 - below), cd, (above - below + 1, right - left + 1))


def pixel_range(along: NDArray[np.float64]) -> tuple[int, int]:
    """First and last pixel that positions fall into; an upper edge belongs to the pixel below it."""
    return math.floor(float(along.min()) + 0.5), math.ceil(float(along.max()) - 0.5)


def storable(value: float) -> float:
    """Return a number of a WCS as the 20 characters of a FITS card hold it: as it is, or to 14 digits.

    Grids made here consist of such numbers, so that a product taken as a reference gives the same grid.
    """
    if abs(value) < 1e-99:  # a third digit in the exponent leaves no room
        return 0.0
    return value if len(repr(abs(value))) < 20 else float(f"{value:.13e}")


def native_scale(chip: ChipWcs) -> float:
    """IDCSCALE of a chip, arcsec per pixel; from the CD matrix only where no distortion is in the WCS."""
    if chip.idcscale is None and chip.sip_a is None and chip.sip_b is None:
        return 3600.0 * math.sqrt(abs(float(np.linalg.det(chip.cd_matrix))))
    if chip.idcscale is None or not chip.idcscale > 0.0:
        raise UnusableFileError(
            f"SCI,{chip.extver} has no IDCSCALE, the pixel scale of its distortion model",
            "put a solution in force that was made with an IDCTAB (hapctl wcs list)",
        )
    return chip.idcscale


def map_to_grid(
    chip: ChipWcs, grid: OutputGrid, x: ArrayLike, y: ArrayLike, origin: LookupOrigin = "hst"
) -> Pair:
    """Detector pixels straight to output pixels, both 0-based, exactly (closed form, no sampled map).

    Parameters
    ----------
    chip : ChipWcs
    grid : OutputGrid
    x, y : array_like of float64
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    x, y : ndarray of float64
        NaN 90 degrees or more from the tangent point of the grid.
    """
    return distortion(chip, origin).project(homography(chip, grid.plane), x, y)


def covered_window(
    grid: OutputGrid, chips: Iterable[ChipWcs], origin: LookupOrigin = "hst"
) -> tuple[int, int, int, int] | None:
    """The (y0, y1, x0, x1) of a grid that chips may touch, for ``grid.cut``; None if they touch nothing."""
    windows = [window for chip in chips if (window := chip_window(grid, chip, origin)) is not None]
    if not windows:
        return None
    y0, y1, x0, x1 = zip(*windows, strict=True)
    return min(y0), max(y1), min(x0), max(x1)


def chip_window(
    grid: OutputGrid, chip: ChipWcs, origin: LookupOrigin = "hst"
) -> tuple[int, int, int, int] | None:
    """The window of one chip, cut to the grid."""
    x, y = map_to_grid(chip, grid, *chip_edges(chip), origin)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    ny, nx = grid.shape
    x0, x1 = max(math.floor(x.min() + 0.5), 0), min(math.floor(x.max() + 0.5) + 1, nx)
    y0, y1 = max(math.floor(y.min() + 0.5), 0), min(math.floor(y.max() + 0.5) + 1, ny)
    return (y0, y1, x0, x1) if x0 < x1 and y0 < y1 else None
