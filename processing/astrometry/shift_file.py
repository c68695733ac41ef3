"""Shift files, as TweakReg writes them and IRAF's MultiDrizzle read them, and the frame their pixels are of.

The frame is a tangent plane without distortion that touches the sky in the middle of the images, with the
pixels and the orientation of the first chip. A row says where the image lies by its old WCS: a star at p by
the new WCS is at p0 + (dx, dy) + scale * R (p - p0) by the old one, p0 the tangent point (CRPIX) and R the
rotation (x, y) -> (x cos + y sin, y cos - x sin), from y towards x.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io import fits

Array = NDArray[np.float64]
_MARGIN = 10


@dataclass(frozen=True)
class ShiftFrame:
    """Pixels in a tangent plane.

    Attributes
    ----------
    plane : TangentPlane
    scale : float
        Arcsec per pixel.
    orientation : float
        Position angle of the y axis, degrees east of north.
    crpix : tuple of float
        The tangent point, 1-based pixels.
    shape : tuple of int
        (ny, nx).
    """

    plane: TangentPlane
    scale: float
    orientation: float
    crpix: tuple[float, float] = (0.0, 0.0)
    shape: tuple[int, int] = (0, 0)

    @property
    def axes(self) -> Array:
        """Pixels per arcsec, shape (2, 2): takes (xi, eta) to offsets in x and y."""
        c, s = math.cos(math.radians(self.orientation)), math.sin(math.radians(self.orientation))
        return np.array([[-c, s], [s, c]]) / self.scale

    def pixels(self, points: Array) -> Array:
        """1-based pixels, shape (n, 2), of places in the plane (arcsec)."""
        return points @ self.axes.T + np.array(self.crpix)

    def offset(self, dx: float, dy: float) -> Array:
        """The shift in the plane, arcsec, of an offset in pixels."""
        return np.linalg.solve(self.axes, np.array([dx, dy]))

    def header(self) -> "fits.Header":
        """The header of an extension WCS that says what the frame is (TweakReg's outwcs)."""
        from astropy.io import fits

        cd = np.linalg.inv(self.axes) / 3600.0
        cards: list[tuple[str, object, str]] = [
            ("WCSAXES", 2, "number of coordinate axes"),
            ("CRPIX1", self.crpix[0], "tangent point, x"),
            ("CRPIX2", self.crpix[1], "tangent point, y"),
            *((f"CD{i}_{j}", float(cd[i - 1, j - 1]), "degrees per pixel") for i in (1, 2) for j in (1, 2)),
            ("CUNIT1", "deg", ""),
            ("CUNIT2", "deg", ""),
            ("CTYPE1", "RA---TAN", "right ascension, gnomonic projection"),
            ("CTYPE2", "DEC--TAN", "declination, gnomonic projection"),
            ("CRVAL1", self.plane.ra, "degrees"),
            ("CRVAL2", self.plane.dec, "degrees"),
            ("RADESYS", "ICRS", ""),
            ("EXTNAME", "WCS", ""),
            ("EXTVER", 1, ""),
            ("NPIX1", self.shape[1], "length of axis 1"),
            ("NPIX2", self.shape[0], "length of axis 2"),
            ("PIXVALUE", 0.0, "values of pixels in array"),
            ("ORIENTAT", self.orientation, "position angle of y, degrees"),
        ]
        return fits.Header(cards)


def shift_frame(
    solutions: Sequence[WcsSolution], plane: TangentPlane, origin: LookupOrigin = "hst"
) -> ShiftFrame:
    """The frame of some images: pixels and orientation of the first chip, as large as all of them."""
    first = solutions[0].chips[0]
    scale = 3600.0 * math.sqrt(abs(float(np.linalg.det(first.cd_matrix))))
    frame = ShiftFrame(plane, scale, math.degrees(math.atan2(first.cd[1], first.cd[3])))
    corners = np.concatenate([frame.pixels(_corners(one, plane, origin)) for one in solutions])
    low, high = corners.min(axis=0) - _MARGIN, corners.max(axis=0) + _MARGIN
    crpix = tuple(float(value) for value in np.ceil(-low))
    nx, ny = np.ceil(high + np.array(crpix)).astype(int)
    return ShiftFrame(plane, scale, frame.orientation, (crpix[0], crpix[1]), (int(ny), int(nx)))


def _corners(solution: WcsSolution, plane: TangentPlane, origin: LookupOrigin) -> Array:
    found = []
    for chip in solution.chips:
        ny, nx = chip.shape
        x, y = np.array([-0.5, nx - 0.5, nx - 0.5, -0.5]), np.array([-0.5, -0.5, ny - 0.5, ny - 0.5])
        found.append(plane.project_sky(*pixel_to_sky(chip, x, y, origin)))
    return np.concatenate(found)


@dataclass(frozen=True)
class ShiftRow:
    """Where an image lay: pixels, degrees (0 to 360, y towards x), a factor, and the rms of its stars."""

    name: str
    dx: float
    dy: float
    rotation: float
    scale: float
    x_rms: float
    y_rms: float


def shift_row(name: str, frame: ShiftFrame, fit: PlaneFit, residuals: Array) -> ShiftRow:
    """The row of an image.

    Parameters
    ----------
    name : str
        Of the file.
    frame : ShiftFrame
    fit : PlaneFit
        In the frame's plane: takes places by the old WCS to those by the new one.
    residuals : ndarray, shape (n, 2)
        Of the stars used, mas east and north.
    """
    back = np.linalg.inv(fit.matrix)
    dx, dy = -frame.axes @ back @ fit.shift
    turned = frame.axes @ back @ np.linalg.inv(frame.axes)
    rotation = math.degrees(math.atan2(turned[0, 1] - turned[1, 0], turned[0, 0] + turned[1, 1])) % 360.0
    rms = (
        np.sqrt(np.mean((residuals @ frame.axes.T / 1000.0) ** 2, axis=0)) if len(residuals) else np.zeros(2)
    )
    return ShiftRow(name, float(dx), float(dy), rotation, 1.0 / fit.scale, float(rms[0]), float(rms[1]))


def shift_text(rows: Sequence[ShiftRow], outwcs: str) -> str:
    """The shift file; ``outwcs`` is the file that holds the frame."""
    lines = ["# frame: output", f"# refimage: {outwcs}[wcs]", "# form: delta", "# units: pixels"]
    lines += [
        f"{one.name}    {one.dx:.6f}  {one.dy:.6f}    {one.rotation:.6f}     {one.scale:.6f}   "
        f"{one.x_rms:.6f}  {one.y_rms:.6f}"
        for one in rows
    ]
    return "\n".join(lines) + "\n"


def frame_bytes(frame: ShiftFrame) -> bytes:
    """The FITS file that says what the frame is."""
    import io

    from astropy.io import fits

    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(header=frame.header(), name="WCS")]).writeto(stream)
    return stream.getvalue()
