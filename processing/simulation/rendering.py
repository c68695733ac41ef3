"""Light on the detector: where sources fall, the undersampled PSF, galaxies. No noise here."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.simulation.sky_sources import Floats, Galaxies
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.wcs import WCS

PsfComponents = tuple[tuple[float, float], ...]
"""(share of the light, sigma in pixels): core, shoulder, halo."""

STAMP_RADII = (9, 16, 28, 48)
PREFILTER_MARGIN = 200.0
GALAXY_OVERSAMPLING = 5


@dataclass(frozen=True)
class Placement:
    """Where sources fall on a chip.

    Attributes
    ----------
    index : ndarray of int64
        Which sources.
    x, y : ndarray of float64
        Pixels, 0-based.
    jacobian : ndarray, shape (n, 2, 2)
        East and north arcsec per pixel in x and in y.
    plate_scale : float
        Arcsec per nominal pixel.
    """

    index: NDArray[np.int64]
    x: Floats
    y: Floats
    jacobian: Floats
    plate_scale: float

    @property
    def pixel_area(self) -> Floats:
        """Area of the pixel there in units of the nominal one."""
        return np.abs(np.linalg.det(self.jacobian)) / self.plate_scale**2


def place(
    wcs: "WCS", ra: Floats, dec: Floats, shape: tuple[int, int], margin: float, plate_scale: float
) -> Placement:
    """Place sources on a chip with astropy.

    Parameters
    ----------
    wcs : WCS
        The true WCS, its lookup tables read as HST means them.
    ra, dec : ndarray
        Degrees.
    shape : tuple of int
        (ny, nx).
    margin : float
        Sources up to so many pixels outside are kept: their wings reach in.
    plate_scale : float
        Arcsec per nominal pixel.
    """
    near = _near(wcs, ra, dec, shape)
    if near.size == 0:
        return Placement(near, np.empty(0), np.empty(0), np.empty((0, 2, 2)), plate_scale)
    x, y = wcs.all_world2pix(ra[near], dec[near], 0, tolerance=1e-8, maxiter=60, quiet=True)
    ny, nx = shape
    kept = (x > -0.5 - margin) & (x < nx - 0.5 + margin) & (y > -0.5 - margin) & (y < ny - 0.5 + margin)
    x, y = x[kept], y[kept]
    return Placement(near[kept], x, y, _jacobian(wcs, x, y), plate_scale)


def _near(wcs: "WCS", ra: Floats, dec: Floats, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Sources that the linear part of the WCS puts near the chip (and on this side of the sky)."""
    crval = np.radians(wcs.wcs.crval)
    a, d = np.radians(ra), np.radians(dec)
    cosine = np.sin(crval[1]) * np.sin(d) + np.cos(crval[1]) * np.cos(d) * np.cos(a - crval[0])
    x, y = wcs.wcs_world2pix(np.where(cosine > 0.9, ra, wcs.wcs.crval[0]), dec, 0)
    ny, nx = shape
    m = PREFILTER_MARGIN
    inside = (cosine > 0.9) & (x > -m) & (x < nx + m) & (y > -m) & (y < ny + m)
    return np.flatnonzero(inside).astype(np.int64)


def _jacobian(wcs: "WCS", x: Floats, y: Floats) -> Floats:
    columns = []
    for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
        ra1, dec1 = wcs.all_pix2world(x - dx, y - dy, 0)
        ra2, dec2 = wcs.all_pix2world(x + dx, y + dy, 0)
        east = ((ra2 - ra1 + 180.0) % 360.0 - 180.0) * np.cos(np.radians((dec1 + dec2) / 2))
        columns.append(np.array([east, dec2 - dec1]) * 3600.0)
    return np.moveaxis(np.array(columns), (0, 1, 2), (2, 1, 0))


def psf_widths(x: float, y: float, shape: tuple[int, int], focus: float) -> tuple[float, float]:
    """Relative widths of the PSF in x and y at a place on the chip: a smooth change of some 10 %."""
    u, v = 2.0 * x / shape[1] - 1.0, 2.0 * y / shape[0] - 1.0
    return focus * (1.0 + 0.05 * u * u + 0.03 * v), focus * (1.0 + 0.04 * v * v - 0.03 * u)


def add_star(
    image: NDArray[np.float64],
    x: float,
    y: float,
    electrons: float,
    widths: tuple[float, float],
    components: PsfComponents,
) -> None:
    """Add a star: a sum of Gaussians, each integrated exactly over every pixel.

    Parameters
    ----------
    image : ndarray, shape (ny, nx), float64
        Changed in place.
    x, y : float
        Centre, 0-based pixels; it may lie outside.
    electrons : float
        Total light.
    widths : tuple of float
        Factors on the widths of the components in x and y.
    components : tuple of (share, sigma)
        Shares of the light and widths in pixels.
    """
    radius = STAMP_RADII[int(np.searchsorted((3e3, 1e5, 1e6), electrons))]
    ny, nx = image.shape
    y0, y1 = max(0, round(y) - radius), min(ny, round(y) + radius + 1)
    x0, x1 = max(0, round(x) - radius), min(nx, round(x) + radius + 1)
    if y0 >= y1 or x0 >= x1:
        return
    for share, sigma in components:
        along_x = _pixel_shares(x0, x1, x, sigma * widths[0])
        along_y = _pixel_shares(y0, y1, y, sigma * widths[1])
        image[y0:y1, x0:x1] += electrons * share * along_y[:, None] * along_x[None, :]


def _pixel_shares(start: int, stop: int, centre: float, sigma: float) -> Floats:
    """Shares of a Gaussian's light in the pixels of a row."""
    from scipy.special import ndtr

    edges = np.arange(start, stop + 1) - 0.5
    return np.diff(ndtr((edges - centre) / sigma))


def add_stars(
    image: NDArray[np.float64],
    placement: Placement,
    electrons: Floats,
    psf_scale: float,
    components: PsfComponents,
) -> None:
    """Add the stars of a placement, each with its electrons and the PSF of its place (in place)."""
    for x, y, light in zip(placement.x, placement.y, electrons, strict=True):
        widths = psf_widths(float(x), float(y), image.shape, psf_scale)
        add_star(image, float(x), float(y), float(light), widths, components)


def add_galaxies(
    image: NDArray[np.float64], galaxies: Galaxies, placement: Placement, electrons: Floats, psf_scale: float
) -> None:
    """Add Sersic profiles, shaped on the sky, seen through the chip's local distortion and the PSF's core."""
    for k, i in enumerate(placement.index):
        centre = (float(placement.x[k]), float(placement.y[k]))
        _add_galaxy(image, galaxies, int(i), centre, placement, k, float(electrons[k]), psf_scale)


def _add_galaxy(
    image: NDArray[np.float64],
    galaxies: Galaxies,
    i: int,
    centre: tuple[float, float],
    placement: Placement,
    k: int,
    electrons: float,
    psf_scale: float,
) -> None:
    from scipy.ndimage import gaussian_filter

    size, jacobian = galaxies.half_light_arcsec[i], placement.jacobian[k]
    radius = int(np.clip(5.0 * size / placement.plate_scale, 10, 90))
    x0, y0 = round(centre[0]) - radius, round(centre[1]) - radius
    n, fine = 2 * radius + 1, GALAXY_OVERSAMPLING if size < 0.3 else 3
    offsets = (np.arange(n * fine) + 0.5) / fine - 0.5
    dx, dy = offsets[None, :] + x0 - centre[0], offsets[:, None] + y0 - centre[1]
    profile = _sersic(
        galaxies, i, jacobian[0, 0] * dx + jacobian[0, 1] * dy, jacobian[1, 0] * dx + jacobian[1, 1] * dy
    )
    stamp = profile.reshape(n, fine, n, fine).mean(axis=(1, 3))
    stamp = gaussian_filter(stamp, 0.75 * psf_scale)
    _add_stamp(image, stamp * (electrons / stamp.sum()), x0, y0)


def _sersic(galaxies: Galaxies, i: int, east: Floats, north: Floats) -> Floats:
    """Sersic profile on the sky; b from Ciotti and Bertin (1999), first two terms."""
    n = galaxies.sersic_index[i]
    b = 2.0 * n - 1.0 / 3.0 + 4.0 / (405.0 * n)
    angle = np.radians(galaxies.position_angle[i])
    major = east * np.sin(angle) + north * np.cos(angle)
    minor = (east * np.cos(angle) - north * np.sin(angle)) / galaxies.axis_ratio[i]
    r = np.sqrt(major**2 + minor**2 + 1e-6) / galaxies.half_light_arcsec[i]
    return np.asarray(np.exp(-b * (r ** (1.0 / n) - 1.0)))


def _add_stamp(image: NDArray[np.float64], stamp: Floats, x0: int, y0: int) -> None:
    ny, nx = image.shape
    ya, yb, xa, xb = max(0, y0), min(ny, y0 + len(stamp)), max(0, x0), min(nx, x0 + len(stamp))
    if ya < yb and xa < xb:
        image[ya:yb, xa:xb] += stamp[ya - y0 : yb - y0, xa - x0 : xb - x0]
