"""Where the sources of a chip may be: background, matched filter, local maxima."""

from dataclasses import dataclass
from math import erf, sqrt
from typing import Any

import numpy as np
from hapctl.ext import finding
from hapctl.processing.astrometry import effective_psf
from hapctl.processing.astrometry.background import background_mesh, segment_starts, spline_places
from numpy.typing import NDArray

Array = NDArray[np.float64]
EDGE = effective_psf.MODEL_RADIUS + 1
"""No peaks are looked for so near to an edge, pixels: a star's model must fit on the chip."""


@dataclass(frozen=True)
class DetectionSettings:
    """The numbers of the finder.

    Attributes
    ----------
    fwhm : float
        First guess of the stars' full width at half maximum, pixels; the chip's own is then measured.
    threshold : float
        Least signal-to-noise ratio of the fitted flux.
    max_sources : int
        The brightest so many are measured.
    bad_bits : int
        DQ bits of pixels that carry no information: by default 1 (lost), 4 (bad detector pixel),
        128 (bad bias), 512 (bad in the flat field), 8192 (cosmic ray found within the exposure).
    saturated_bits : int
        DQ bits of saturated pixels: 256 (full well), 2048 (A-to-D).
    hot_bits : int
        DQ bits of hot pixels: 16.
    mesh : int
        Side of the background mesh, pixels.
    """

    fwhm: float = 2.0
    threshold: float = 7.0
    max_sources: int = 5000
    bad_bits: int = 1 | 4 | 128 | 512 | 8192
    saturated_bits: int = 256 | 2048
    hot_bits: int = 16
    mesh: int = 64


@dataclass(frozen=True)
class SearchedChip:
    """A chip made ready for measuring, and where its sources may be.

    Attributes
    ----------
    image, variance : ndarray, shape (ny, nx), float32
        Background-subtracted image (bad pixels 0) and its variance (bad and saturated pixels infinite).
    saturated : ndarray, shape (ny, nx), bool
    column, row : ndarray of int, shape (n,)
        Local maxima of the filtered image, brightest first.
    brightness : ndarray, shape (n,), float32
        Their values there.
    """

    image: NDArray[np.float32]
    variance: NDArray[np.float32]
    saturated: NDArray[np.bool_]
    column: NDArray[np.intp]
    row: NDArray[np.intp]
    brightness: NDArray[np.float32]


def search_chip(
    science: NDArray[np.float32],
    error: NDArray[np.float32],
    quality: NDArray[np.integer],
    settings: DetectionSettings,
) -> SearchedChip:
    """Find where the sources of a chip may be, in one sweep over its pixels.

    The image is filtered with a Gaussian of the stars' width; a local maximum above 0.7 times the
    threshold counts, unless it is a cosmic ray's spike. Of more than ``max_sources`` the brightest stay,
    but in every part of the chip a share of them.

    Parameters
    ----------
    science, error : ndarray, shape (ny, nx)
        Image and its standard error, same units; an error that is not above 0 and finite is replaced by
        the scatter of the background.
    quality : ndarray of int, shape (ny, nx)
        DQ array; flags of 16 bits.
    settings : DetectionSettings

    Returns
    -------
    SearchedChip
    """
    science, error, flags = _stored(science, error, quality)
    mesh = background_mesh(science, flags, settings.bad_bits | settings.saturated_bits, settings.mesh)
    first_row, row_weights = spline_places(science.shape[0], mesh.level.shape[0])
    first_column, column_weights = spline_places(science.shape[1], mesh.level.shape[1])
    kernel = _kernel(settings.fwhm).astype(np.float32)
    image, variance = np.empty((2, *science.shape), dtype=np.float32)
    saturated = np.empty(science.shape, dtype=np.uint8)
    column, row, brightness = finding.searched(
        science.view(np.uint32),
        error.view(np.uint32),
        flags.view(np.uint16),
        not science.dtype.isnative,
        settings.bad_bits,
        settings.saturated_bits,
        max(mesh.scatter, 1e-20) ** 2,
        mesh.nodes(),
        first_row,
        row_weights,
        segment_starts(first_column, mesh.level.shape[1] + 1),
        np.ascontiguousarray(column_weights.T),
        kernel,
        EDGE,
        (0.7 * settings.threshold * float(np.sum(_kernel(settings.fwhm) ** 2))) ** 2,
        _sharpest(settings.fwhm),
        image,
        variance,
        saturated,
    )
    best = spread_brightest(column, row, brightness, science.shape, settings.max_sources)
    return SearchedChip(
        image,
        variance,
        saturated.view(np.bool_),
        column[best].astype(np.intp),
        row[best].astype(np.intp),
        brightness[best],
    )


def _stored(*arrays: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The arrays as the kernel takes them: float32 and 16 bits, of one byte order, columns contiguous.

    What was read from a FITS file as it lies there stays so.
    """
    order = ">" if [array.dtype.str for array in arrays[:2]] == [">f4", ">f4"] else "="
    science, error, flags = (
        array.astype(kind, copy=False)
        for array, kind in zip(
            arrays, (f"{order}f4", f"{order}f4", f"{order}{_flag_type(arrays[2])}"), strict=True
        )
    )
    return _contiguous(science), _contiguous(error), _contiguous(flags)


def _flag_type(quality: NDArray[Any]) -> str:
    return "i2" if quality.dtype.kind == "i" and quality.dtype.itemsize == 2 else "u2"


def _contiguous(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.strides[1] == array.itemsize else np.ascontiguousarray(array)


def spread_brightest(
    column: NDArray[np.integer],
    row: NDArray[np.integer],
    brightness: NDArray[np.floating],
    shape: tuple[int, ...],
    most: int,
) -> NDArray[np.intp]:
    """The brightest of some peaks, brightest first, not all of them in one crowded corner.

    Half the places go to the brightest; the others are shared by 8 x 8 parts of the chip, each of which
    takes its own brightest, so that a fit sees the entire chip.

    Returns
    -------
    ndarray of int
        Indices, `most` of them at the most.
    """
    order = np.argsort(-brightness, kind="stable")
    if len(order) <= most:
        return order
    part = (8 * row[order].astype(np.int64) // shape[0]) * 8 + 8 * column[order].astype(np.int64) // shape[1]
    by_part = np.argsort(part, kind="stable")
    first = np.searchsorted(part[by_part], part[by_part])
    rank = np.empty(len(order), dtype=np.int64)
    rank[by_part] = np.arange(len(order)) - first
    rank[: most // 2] = -1
    chosen = np.argsort(rank, kind="stable")[:most]
    return order[np.sort(chosen)]


def _kernel(fwhm: float) -> Array:
    half = max(1, round(1.2 * fwhm))
    profile = np.exp(-0.5 * (np.arange(-half, half + 1) * 2.3548200450309493 / fwhm) ** 2)
    return profile / profile.sum()


def _sharpest(fwhm: float) -> float:
    """The largest ratio of peak pixel to filtered image that is believed of a star a fifth narrower."""
    kernel = _kernel(fwhm)
    half = len(kernel) // 2
    edges = (np.arange(-half, half + 2) - 0.5) * 2.3548200450309493 / (0.8 * fwhm)
    star = np.diff([0.5 * erf(edge / sqrt(2.0)) for edge in edges])
    return 1.3 * float(star[half] / np.sum(kernel * star)) ** 2


def roundness_of(image: NDArray[np.float32], x: Array, y: Array) -> Array:
    """How much sharper sources are along x than along y, from -2 to 2; stars are near 0.

    From the 3 x 3 pixels round each, as DAOFIND compares the heights of two marginal fits (Stetson 1987,
    PASP 99, 191): 2 (a - b) / (a + b), where a and b are the curvatures of the sums over rows and columns.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
    x, y : ndarray, shape (n,)
        0-based pixels.

    Returns
    -------
    ndarray, shape (n,)
        NaN where a pixel is missing or there is no peak.
    """
    ny, nx = image.shape
    column = np.clip(np.rint(x).astype(np.intp), 1, max(nx - 2, 1))
    row = np.clip(np.rint(y).astype(np.intp), 1, max(ny - 2, 1))
    steps = np.arange(-1, 2)
    squares = image[row[:, None, None] + steps[:, None], column[:, None, None] + steps].astype(np.float64)
    along_x, along_y = squares.sum(axis=1), squares.sum(axis=2)
    a, b = (2 * sums[:, 1] - sums[:, 0] - sums[:, 2] for sums in (along_x, along_y))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((a > 0) & (b > 0), 2.0 * (a - b) / (a + b), np.nan)


def peak_of(image: NDArray[np.float32], x: Array, y: Array) -> Array:
    """The pixels in which positions (0-based) lie, shape (n,)."""
    ny, nx = image.shape
    column = np.clip(np.rint(x).astype(np.intp), 0, nx - 1)
    row = np.clip(np.rint(y).astype(np.intp), 0, ny - 1)
    return image[row, column].astype(np.float64)
