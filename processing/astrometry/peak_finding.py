"""Where the sources of a chip may be: background, matched filter, local maxima, stars for the PSF."""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry import effective_psf
from hapctl.processing.astrometry.effective_psf import EffectivePsf
from hapctl.processing.astrometry.psf_building import build_psf
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]


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


def prepared(
    science: NDArray[np.float32],
    error: NDArray[np.float32],
    quality: NDArray[np.integer],
    settings: DetectionSettings,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Background-subtracted image (bad pixels 0), variance (bad pixels infinite), saturated pixels."""
    import sep

    data = np.ascontiguousarray(science, dtype=np.float32)
    saturated = (quality & settings.saturated_bits) != 0
    bad = ((quality & settings.bad_bits) != 0) | ~np.isfinite(data)
    mesh = min(settings.mesh, *data.shape)
    background = sep.Background(
        np.where(bad, np.float32(0), data), mask=bad | saturated, bw=mesh, bh=mesh, fw=3, fh=3
    )
    image = data - background.back(dtype=np.float32)
    image[bad] = 0.0
    variance = np.square(error, dtype=np.float32)
    least = np.float32(max(background.globalrms, 1e-20)) ** 2
    variance[~(np.isfinite(variance) & (variance > 0))] = least
    variance[bad | saturated] = np.inf
    return image, variance, saturated


def filtered(image: NDArray[np.float32], fwhm: float) -> NDArray[np.float32]:
    """The image filtered with a Gaussian of the stars' width, in the middle of nine pixels at least."""
    from scipy.ndimage import correlate1d

    kernel = _kernel(fwhm).astype(np.float32)
    once = correlate1d(image, kernel, axis=0, mode="constant")
    twice: NDArray[np.float32] = correlate1d(once, kernel, axis=1, mode="constant")
    return twice


def _kernel(fwhm: float) -> Array:
    half = max(1, round(1.2 * fwhm))
    profile = np.exp(-0.5 * (np.arange(-half, half + 1) * 2.3548200450309493 / fwhm) ** 2)
    return profile / profile.sum()


def peaks(
    filtered: NDArray[np.float32],
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    settings: DetectionSettings,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Local maxima above the threshold, cosmic-ray spikes left out early, brightest first."""
    edge = effective_psf.MODEL_RADIUS + 1
    gain = float(np.sum(_kernel(settings.fwhm) ** 2))
    inner = (slice(edge, -edge), slice(edge, -edge))
    level = np.float32(0.7 * settings.threshold * gain)
    above = filtered[inner] > level * np.sqrt(np.where(np.isfinite(variance[inner]), variance[inner], 0))
    row, column = (index + edge for index in np.nonzero(above))
    centre = filtered[row, column]
    top = np.ones(len(row), dtype=bool)
    for step_y, step_x in [(-1, -1), (-1, 0), (-1, 1), (0, -1)]:
        top &= centre > filtered[row + step_y, column + step_x]
        top &= centre >= filtered[row - step_y, column - step_x]
    row, column, centre = row[top], column[top], centre[top]
    order = np.argsort(-centre, kind="stable")
    row, column = row[order], column[order]
    spiky = _spikes(image, row, column) | (
        image[row, column] > _sharpest(settings.fwhm) * filtered[row, column]
    )
    return column[~spiky][: settings.max_sources], row[~spiky][: settings.max_sources]


def _sharpest(fwhm: float) -> float:
    """The largest ratio of peak pixel to filtered image that is believed of a star a fifth narrower."""
    kernel = _kernel(fwhm)
    half = len(kernel) // 2
    edges = np.arange(-half, half + 2) - 0.5
    star = np.diff(ndtr(edges * 2.3548200450309493 / (0.8 * fwhm)))
    return 1.3 * float(star[half] / np.sum(kernel * star)) ** 2


def _spikes(image: NDArray[np.float32], row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Peaks with more than nine tenths of the light of their 3 x 3 pixels in one or two pixels."""
    squares = effective_psf.stamps(image, column, row, 1).reshape(len(row), 9)
    squares.sort(axis=1)
    total = np.maximum(squares, 0).sum(axis=1)
    spiky: NDArray[np.bool_] = squares[:, 7:].sum(axis=1) > 0.9 * total
    return spiky


def chip_psf(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    filtered: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    column: NDArray[np.intp],
    row: NDArray[np.intp],
    settings: DetectionSettings,
) -> EffectivePsf:
    """The effective PSF from bright stars without a rival within reach; a Gaussian where there are few."""
    best = _model_stars(filtered, saturated, column, row)
    psf = effective_psf.gaussian_psf(settings.fwhm)
    for count in (60, 300):
        some = best[:count]
        x, y = column[some].astype(np.float64), row[some].astype(np.float64)
        psf = build_psf(image, variance, x, y, psf.fwhm)
    if not 0.65 * settings.fwhm < psf.fwhm < 1.8 * settings.fwhm:
        return effective_psf.gaussian_psf(settings.fwhm)  # made from galaxies, clipped or quantised pixels
    return psf


def _model_stars(
    filtered: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    column: NDArray[np.intp],
    row: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Indices of stars fit to make a PSF from: no saturated pixel, no neighbour of a tenth within reach."""
    from scipy.spatial import cKDTree

    radius = effective_psf.MODEL_RADIUS
    touched = (effective_psf.stamps(saturated.astype(np.float32), column, row, radius) > 0).any(axis=(1, 2))
    tree = cKDTree(np.column_stack([column, row]))
    pairs = tree.query_pairs(1.8 * radius, output_type="ndarray")
    brightness = filtered[row, column]
    rivalled = np.zeros(len(column), dtype=bool)
    for star, other in ((0, 1), (1, 0)):
        rival = brightness[pairs[:, other]] > 0.1 * brightness[pairs[:, star]]
        rivalled[pairs[rival, star]] = True
    return np.nonzero(~touched & ~rivalled)[0]


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
