"""The combined plane as each chip would see it: mapped exactly, interpolated, in electrons.

Contract: the value of a chip pixel is that of the plane at the place its centre maps to, times exposure time
over s^2, s being output scale over IDCSCALE. It depends on the pixel and the plane alone, so rows can be
asked for in any order, any number at a time and from several threads; of a plane in a scratch file only what
lies under them is touched.

Interpolation: Lagrange polynomials through 2 (linear), 4 (poly3) and 6 (poly5) points an axis, as in
AstroDrizzle; lanczos3 with its weights normalised to 1 (AstroDrizzle's are not, and come from a table);
sinc through 15 points with the taper of IRAF. Put right: AstroDrizzle's sinc takes its weights one place off
(index -1), is not centred and fails at edges; its other kinds reflect the image at its edge and take missing
pixels as 0.

Where the plane is unknown (NaN) or ends: a place whose points are not all known gets the bilinear value of
the known ones among its four nearest pixels, with their weights normalised, as long as these make up half of
all: so the comparison goes on to the edges of gaps and holes. Farther out it is NaN. ``nearest`` is known
where its one pixel is.
"""

from dataclasses import dataclass, field

import numpy as np
from hapctl.ext import blot as kernel
from hapctl.ext.mapping import ChipDistortion
from hapctl.processing.astrometry.mapping import distortion, homography
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.grid import OutputGrid, native_scale
from hapctl.processing.imaging.parameters import BlotParameters
from hapctl.processing.imaging.prepared import PreparedChip
from numpy.typing import ArrayLike, NDArray

Plane = NDArray[np.float32]

_NUMBER: dict[str, int] = {
    name: number for number, name in enumerate(("nearest", "linear", "poly3", "poly5", "lanczos3", "sinc"))
}


@dataclass(frozen=True)
class PlaneWindow:
    """A part of a plane.

    Attributes
    ----------
    y0, x0 : int
        Row and column of the grid that its first pixel is; what lies outside of it is unknown.
    values : ndarray, float32
    """

    y0: int
    x0: int
    values: Plane = field(repr=False)


@dataclass(frozen=True)
class Blot:
    """What all rows of a chip share.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of the chip.
    distortion : ChipDistortion
    matrix : ndarray, shape (3, 3), float64
        Homography to the pixels of the grid.
    factor : float
        Electrons per chip pixel for a value of 1 in the plane.
    parameters : BlotParameters
    """

    shape: tuple[int, int]
    distortion: ChipDistortion = field(repr=False)
    matrix: NDArray[np.float64] = field(repr=False)
    factor: float
    parameters: BlotParameters

    def rows(self, plane: Plane | PlaneWindow, first: int, last: int) -> Plane:
        """Return rows ``first:last`` of the chip, shape (last - first, nx), float32.

        Parameters
        ----------
        plane : ndarray, shape of the grid, or PlaneWindow, float32
            Per second and output pixel; NaN where unknown.
        first, last : int
        """
        if not 0 <= first <= last <= self.shape[0]:
            raise UsageProblemError(
                f"rows {first}:{last} of a chip of {self.shape[0]} rows", "ask for rows of the chip"
            )
        window = plane if isinstance(plane, PlaneWindow) else PlaneWindow(0, 0, plane)
        seen = np.empty((last - first, self.shape[1]), dtype=np.float32)
        kernel.blot_rows(
            self.distortion,
            self.matrix,
            np.ascontiguousarray(window.values, dtype=np.float32),
            window.y0,
            window.x0,
            _NUMBER[self.parameters.interpolation],
            self.parameters.sinc_scale,
            self.factor,
            first,
            seen,
        )
        return seen


def prepare_blot(
    chip: ChipWcs,
    grid: OutputGrid,
    exposure_time: float = 1.0,
    parameters: BlotParameters | None = None,
    origin: LookupOrigin = "hst",
) -> Blot:
    """Set up the map of a chip to a grid.

    Parameters
    ----------
    chip : ChipWcs
        IDCSCALE must be known.
    grid : OutputGrid
    exposure_time : float
        Seconds: the plane is per second.
    parameters : BlotParameters, optional
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Raises
    ------
    UnusableFileError
        If the chip has no IDCSCALE, no TAN projection or a WCS that is not finite.
    """
    ratio = grid.scale_arcsec / native_scale(chip)
    return Blot(
        shape=(chip.shape[0], chip.shape[1]),
        distortion=distortion(chip, origin),
        matrix=homography(chip, grid.plane),
        factor=exposure_time / ratio**2,
        parameters=parameters or BlotParameters(),
    )


def blot_rows(
    plane: Plane | PlaneWindow,
    grid: OutputGrid,
    chip: PreparedChip,
    first: int,
    last: int,
    parameters: BlotParameters | None = None,
    origin: LookupOrigin = "hst",
) -> Plane:
    """Look at a plane through rows of a chip (`Blot.rows`; `prepare_blot` once is better for many rows).

    Returns
    -------
    ndarray, shape (last - first, nx), float32
        Electrons per pixel of this exposure, without sky; NaN where the plane is unknown.
    """
    return prepare_blot(chip.wcs, grid, chip.exposure_time, parameters, origin).rows(plane, first, last)


def blot(
    plane: Plane | PlaneWindow,
    grid: OutputGrid,
    chip: PreparedChip,
    parameters: BlotParameters | None = None,
    origin: LookupOrigin = "hst",
) -> Plane:
    """Look at a plane through a whole chip; as ``blot_rows``."""
    return blot_rows(plane, grid, chip, 0, chip.shape[0], parameters, origin)


def interpolate(plane: Plane, x: ArrayLike, y: ArrayLike, parameters: BlotParameters | None = None) -> Plane:
    """Return the values of a plane at 0-based positions.

    Parameters
    ----------
    plane : ndarray, float32
        NaN where unknown.
    x, y : array_like of float64
        Of one shape; NaN gives NaN.
    parameters : BlotParameters, optional

    Returns
    -------
    ndarray, shape of x and y, float32
    """
    chosen = parameters or BlotParameters()
    x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    values = np.empty(x.size, dtype=np.float32)
    kernel.interpolate(
        np.ascontiguousarray(plane, dtype=np.float32),
        np.ascontiguousarray(x).ravel(),
        np.ascontiguousarray(y).ravel(),
        _NUMBER[chosen.interpolation],
        chosen.sinc_scale,
        values,
    )
    return values.reshape(x.shape)
