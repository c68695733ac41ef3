"""Two products compared: pixel by pixel where they share a lattice, else by the sources found in both.

Nothing is resampled: on other lattices only positions and fluxes of sources are compared.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from hapctl.processing.astrometry.fits_structure import read_fits, text
from hapctl.processing.astrometry.matching import match_mutual
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.image_planes import ImageRows
from hapctl.processing.imaging.image_sources import find_sources
from numpy.typing import NDArray

Image = NDArray[np.float32]

_BAND_ROWS = 256
_SAMPLE = 4_000_000
_TO_SCATTER = 1.4826
_WITHIN_PIXELS = 1.0
_APERTURE_PIXELS = 4.0
_LATTICE = 1e-4
"""Pixels by which points of two lattices may be apart at the corners of what they share."""


@dataclass(frozen=True)
class ComparedImage:
    """One of two products: its file and its grid."""

    path: Path
    grid: OutputGrid


@dataclass(frozen=True)
class PixelDifference:
    """Second minus first, over pixels with data in both; in units of the images.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of what both cover.
    pixels : int
        Pixels with data in both.
    only_first, only_second : int
        Pixels there with data in one only.
    equal : int
        Pixels with the same bits.
    median, scatter : float
        Of the difference: median, and 1.4826 times the median absolute deviation (of every n-th row where
        there are more than four million pixels). NaN without pixels.
    largest : float
        Largest absolute difference.
    ratio : float
        Sum of the second over sum of the first.
    units : tuple of str
        BUNIT of both.
    """

    shape: tuple[int, int]
    pixels: int
    only_first: int
    only_second: int
    equal: int
    median: float
    scatter: float
    largest: float
    ratio: float
    units: tuple[str, str]


@dataclass(frozen=True)
class SourceDifference:
    """Second minus first, of sources found in both within a pixel of the coarser; NaN without any.

    Attributes
    ----------
    first, second, matched : int
        Numbers of sources.
    ra_mas, dec_mas : float
        Median offsets, along great circles.
    scatter_ra_mas, scatter_dec_mas : float
        1.4826 times the median absolute deviation.
    flux_ratio, flux_scatter : float
        Median of second over first, and its scatter: in a circle of four pixels of the coarser, sky removed.
    units : tuple of str
        BUNIT of both.
    """

    first: int
    second: int
    matched: int
    ra_mas: float
    dec_mas: float
    scatter_ra_mas: float
    scatter_dec_mas: float
    flux_ratio: float
    flux_scatter: float
    units: tuple[str, str]


def lattice_offset(first: OutputGrid, second: OutputGrid) -> tuple[int, int] | None:
    """Return where pixel (0, 0) of the second lies in the first, (y, x); None: they share no lattice.

    Two grids share one if the pixels of the second lie on pixels of the first to 1e-4 pixel everywhere.
    """
    height, width = second.shape
    x, y = np.array([0.0, width - 1.0, 0.0, width - 1.0]), np.array([0.0, 0.0, height - 1.0, height - 1.0])
    seen_x, seen_y = first.sky_to_pixel(*second.pixel_to_sky(x, y))
    shift = np.array([seen_x - x, seen_y - y])
    whole = np.round(shift[:, :1])
    if not np.all(np.abs(shift - whole) < _LATTICE):
        return None
    return int(whole[1, 0]), int(whole[0, 0])


def compare_pixels(first: ComparedImage, second: ComparedImage, offset: tuple[int, int]) -> PixelDifference:
    """Compare the science images of two products of one lattice, band by band.

    Parameters
    ----------
    first, second : ComparedImage
    offset : tuple of int
        From `lattice_offset`.

    Raises
    ------
    UnusableFileError
        A file is no product.
    """
    dy, dx = offset
    y0, y1 = max(0, dy), min(first.grid.shape[0], dy + second.grid.shape[0])
    x0, x1 = max(0, dx), min(first.grid.shape[1], dx + second.grid.shape[1])
    shape = (max(0, y1 - y0), max(0, x1 - x0))
    units = (_unit(first.path), _unit(second.path))
    tally = _Tally(step=1 + shape[0] * shape[1] // _SAMPLE)
    with _Science(first.path) as one, _Science(second.path) as other:
        for start in range(y0, y1, _BAND_ROWS) if shape[1] else ():
            stop = min(start + _BAND_ROWS, y1)
            tally.add(
                one.rows(start, stop, x0, x1), other.rows(start - dy, stop - dy, x0 - dx, x1 - dx), start - y0
            )
    return tally.result(shape, units)


def compare_sources(
    first: ComparedImage, second: ComparedImage, *, threads: int = 1, memory_limit: int | None = None
) -> SourceDifference:
    """Compare positions and fluxes of the sources found in two products.

    Parameters
    ----------
    first, second : ComparedImage
    threads : int
    memory_limit : int, optional
        Bytes; more is refused before it begins.

    Raises
    ------
    UnusableFileError
        A file is no product.
    TooLargeError
    """
    catalogs = [
        find_sources(one.path, threads=threads, memory_limit=memory_limit).catalog for one in (first, second)
    ]
    points = [_on_plane(first.grid, one.ra, one.dec) for one in catalogs]
    coarser = max(first.grid.scale_arcsec, second.grid.scale_arcsec)
    pairs = match_mutual(points[0], points[1], _WITHIN_PIXELS * coarser)
    offsets = 1000.0 * (points[1][pairs[1]] - points[0][pairs[0]])
    fluxes = [
        _aperture_fluxes(image, one.x[pair], one.y[pair], _APERTURE_PIXELS * coarser)
        for image, one, pair in zip((first, second), catalogs, pairs, strict=True)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = fluxes[1] / fluxes[0]
    (ra, ra_scatter), (dec, dec_scatter) = _middle(offsets[:, 0]), _middle(offsets[:, 1])
    ratio, ratio_scatter = _middle(ratios[np.isfinite(ratios)])
    numbers = (len(catalogs[0].x), len(catalogs[1].x), len(pairs[0]))
    units = (_unit(first.path), _unit(second.path))
    return SourceDifference(*numbers, ra, dec, ra_scatter, dec_scatter, ratio, ratio_scatter, units)


def _aperture_fluxes(
    image: ComparedImage, x: NDArray[np.float64], y: NDArray[np.float64], radius_arcsec: float
) -> NDArray[np.float64]:
    """Return sums within a circle, less the median of the ring of 1.5 to 2.5 radii; NaN where data lack.

    A circle of one size on the sky, for the finder's fluxes depend on how wide it takes a star to be. Its
    edge is soft by a pixel, which cancels in ratios.
    """
    radius = radius_arcsec / image.grid.scale_arcsec
    reach = math.ceil(2.5 * radius) + 1
    with _Science(image.path) as opened:
        science = np.pad(opened.whole(), reach, constant_values=np.nan)
    return np.array([_aperture_flux(science, *place, radius, reach) for place in zip(x, y, strict=True)])


def _aperture_flux(science: Image, x: float, y: float, radius: float, reach: int) -> float:
    column, row = round(x), round(y)
    window = science[row : row + 2 * reach + 1, column : column + 2 * reach + 1].astype(np.float64)
    steps = np.arange(-reach, reach + 1)
    distance = np.hypot(steps[:, None] + (row - y), steps[None, :] + (column - x))
    ring = window[(distance > 1.5 * radius) & (distance < 2.5 * radius)]
    if np.isnan(ring).all():
        return float("nan")
    part = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    return float(np.sum(((window - np.nanmedian(ring)) * part)[part > 0]))


def _on_plane(grid: OutputGrid, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return offsets to the east and north of a tangent point, arcsec."""
    x, y = grid.sky_to_pixel(ra, dec)
    east = grid.cd[0] * (x + 1.0 - grid.crpix[0]) + grid.cd[1] * (y + 1.0 - grid.crpix[1])
    north = grid.cd[2] * (x + 1.0 - grid.crpix[0]) + grid.cd[3] * (y + 1.0 - grid.crpix[1])
    return 3600.0 * np.column_stack([east, north])


def _middle(values: NDArray[np.floating]) -> tuple[float, float]:
    if not len(values):
        return float("nan"), float("nan")
    median = float(np.median(values))
    return median, float(_TO_SCATTER * np.median(np.abs(values - median)))


class _Science:
    """The science image of a product, NaN where it has no weight."""

    def __init__(self, path: Path) -> None:
        names = [extension.name for extension in read_fits(path)]
        self._opened = ExitStack()
        self._science = self._opened.enter_context(ImageRows(path, _science_place(names)))
        self._weight = self._opened.enter_context(ImageRows(path, "WHT")) if "WHT" in names else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def whole(self) -> Image:
        """Return all of it, float32."""
        height, width = self._science.shape
        return self.rows(0, height, 0, width)

    def rows(self, y0: int, y1: int, x0: int, x1: int) -> Image:
        """Return rows and columns, float32."""
        science = self._science.read(y0, y1)[:, x0:x1]
        if self._weight is None:
            return science
        weight = self._weight.read(y0, y1)[:, x0:x1]
        return np.where(weight > 0, science, np.float32(np.nan))


def _science_place(names: Sequence[str]) -> int:
    return names.index("SCI") if "SCI" in names else 0


class _Tally:
    """What is gathered of the bands: sums of all pixels, differences of every ``step``-th row."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._both = self._only_first = self._only_second = self._equal = 0
        self._largest = 0.0
        self._sums = [0.0, 0.0]
        self._kept: list[Image] = []

    def add(self, first: Image, second: Image, row: int) -> None:
        """Add a band that begins at a row."""
        here, there = np.isfinite(first), np.isfinite(second)
        both = here & there
        self._both += int(both.sum())
        self._only_first += int((here & ~there).sum())
        self._only_second += int((there & ~here).sum())
        self._equal += int((first[both] == second[both]).sum())
        for place, image in enumerate((first, second)):
            self._sums[place] += float(image[both].sum(dtype=np.float64))
        self._gather(first, second, both, -row % self._step)

    def _gather(self, first: Image, second: Image, both: NDArray[np.bool_], start: int) -> None:
        difference = second - first
        if both.any():
            self._largest = max(self._largest, float(np.abs(difference[both]).max()))
        self._kept.append(difference[start :: self._step][both[start :: self._step]])

    def result(self, shape: tuple[int, int], units: tuple[str, str]) -> PixelDifference:
        """Return the figures."""
        median, scatter = _middle(np.concatenate([*self._kept, np.empty(0, np.float32)]))
        first, second = self._sums
        return PixelDifference(
            *(shape, self._both, self._only_first, self._only_second, self._equal, median, scatter),
            self._largest if self._both else float("nan"),
            second / first if first else float("nan"),
            units,
        )


def _unit(path: Path) -> str:
    return next(_units(path), "")


def _units(path: Path) -> Iterator[str]:
    """Find BUNIT: of SCI, else of the primary header."""
    extensions = read_fits(path)
    for extension in sorted(extensions, key=lambda one: one.name != "SCI"):
        if unit := text(extension.header, "BUNIT"):
            yield unit.upper()
