"""HiPS (IVOA Hierarchical Progressive Survey 1.0) of products: FITS tiles, through the `reproject` package.

The package lays out the tiles and their lower orders; each tile is given only the part of each product that
it covers, so memory does not depend on the size of products or on their number. Where products overlap the
first that knows a pixel counts (the layers of neighbouring sky tiles of one projection cell are one grid).
"""

import math
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from hapctl.processing.errors import RefusedError, TooLargeError, UsageProblemError
from hapctl.processing.imaging.observer import Progress, no_progress
from hapctl.processing.imaging.picture_layer import PictureLayer, science_image
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mocpy import MOC

TILE = 512
"""Pixels a side of a tile, as the standard recommends."""
FRAME = "equatorial"
_TILE_BYTES = 4 * TILE * TILE
_MOST_TILES = 250_000
"""Of the circle around all products: each costs milliseconds even where it is empty."""
_MARGIN = 3
_MOC_FINER = 3
"""The coverage is told in cells of an eighth of a tile's side."""

Image = NDArray[np.float32]


@dataclass(frozen=True)
class HipsTiles:
    """The FITS tiles that were written.

    Attributes
    ----------
    folder : Path
    order : int
        The deepest.
    tiles : tuple of int
        Numbers (nested) of the tiles of that order that hold data.
    """

    folder: Path
    order: int
    tiles: tuple[int, ...]


def order_of(scale_arcsec: float) -> int:
    """Return the lowest order whose pixels are no larger than those of a product.

    Examples
    --------
    >>> order_of(0.04)
    14
    """
    return max(3, math.ceil(math.log2(_side_degrees(0) / TILE * 3600.0 / scale_arcsec) - 1e-6))


def _side_degrees(order: int) -> float:
    """Return the side of a square of the area of a HEALPix cell (Gorski et al. 2005)."""
    return math.degrees(math.sqrt(math.pi / 3.0)) / 2**order


def check_reproject() -> None:
    """Refuse in time where the `reproject` package is not installed.

    Raises
    ------
    RefusedError
        It can't be imported.
    """
    try:
        import reproject.hips  # noqa: F401
    except ImportError as error:
        raise RefusedError(
            f"a HiPS is made with the Python package reproject, which can't be imported: {error}",
            "install hapctl with its extra: pip install 'hapctl[hips]'",
        ) from error


def write_hips(
    folder: Path, layers: Sequence[PictureLayer], order: int, progress: Progress = no_progress
) -> HipsTiles:
    """Write the FITS tiles of one filter, of all orders.

    Parameters
    ----------
    folder : path
        Where; must not exist.
    layers : sequence of PictureLayer
        Products of one filter, the preferred first.
    order : int
        Deepest order.
    progress : callable

    Raises
    ------
    UsageProblemError
        The products lie too far apart, or none has data.
    TooLargeError
        The disk has no room for the tiles.
    """
    from reproject.hips import reproject_to_hips

    shape, header, radius = _all_around(layers)
    _check_room(folder.parent, layers, radius, order)
    with ExitStack() as opened:
        sampler = _Sampler([_Source.opened(layer, opened) for layer in layers])
        reproject_to_hips(
            (np.broadcast_to(np.float32(0.0), shape), header),
            coord_system_out=FRAME,
            reproject_function=sampler,
            output_directory=str(folder),
            level=order,
            tile_size=TILE,
            progress_bar=lambda tiles: _counted(tiles, progress),
        )
    tiles = tile_numbers(folder, order)
    if not tiles:
        raise UsageProblemError("no pixel of these products is known: there is nothing to show")
    return HipsTiles(folder, order, tiles)


def _counted(tiles: Any, progress: Progress) -> Any:
    for number, tile in enumerate(tiles):
        yield tile
        progress("hips", number + 1, len(tiles))


def _all_around(layers: Sequence[PictureLayer]) -> tuple[tuple[int, int], fits.Header, float]:
    """Return a TAN image of few, large pixels that holds all layers: where the package looks for tiles.

    Returns
    -------
    shape : tuple of int
    header : Header
    radius : float
        Degrees from the middle to a corner.
    """
    outlines = [_outline(layer) for layer in layers]
    ra, dec = (np.radians(np.concatenate([one[axis] for one in outlines])) for axis in (0, 1))
    corners = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    middle = corners.mean(axis=1)
    apart = np.linalg.norm(np.cross(middle, corners.T), axis=1), middle @ corners
    radius = float(np.degrees(np.arctan2(*apart).max()))
    centre = (
        math.degrees(math.atan2(middle[1], middle[0])) % 360.0,
        math.degrees(math.atan2(middle[2], math.hypot(middle[0], middle[1]))),
    )
    if radius > 45.0:
        raise UsageProblemError(
            f"the tiles lie up to {2 * radius:.0f} degrees apart", "make a HiPS for each part of the sky"
        )
    side = 2.0 * math.degrees(math.tan(math.radians(radius))) / math.sqrt(2.0)
    pixels = 64
    header = fits.Header()
    for axis, (kind, value) in enumerate(zip(("RA---TAN", "DEC--TAN"), centre, strict=True), start=1):
        header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = kind, "deg"
        header[f"CRVAL{axis}"], header[f"CRPIX{axis}"] = value, 0.5 * (pixels + 1)
        header[f"CDELT{axis}"] = side / pixels * (-1.0 if axis == 1 else 1.0)
    header["RADESYS"] = "ICRS"
    return (pixels, pixels), header, radius


def _outline(layer: PictureLayer) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    height, width = layer.grid.shape
    x, y = (
        np.array([-0.5, width - 0.5, width - 0.5, -0.5]),
        np.array([-0.5, -0.5, height - 0.5, height - 0.5]),
    )
    return layer.grid.pixel_to_sky(x, y)


def _check_room(folder: Path, layers: Sequence[PictureLayer], radius: float, order: int) -> None:
    side = _side_degrees(order)
    searched = math.pi * (1.5 * radius / side) ** 2
    if searched > _MOST_TILES:
        raise UsageProblemError(
            f"the products lie up to {2 * radius:.1f} degrees apart: {searched:.0f} tiles would be looked at",
            "make a HiPS for each group of neighbours",
        )
    pixels = sum(
        layer.grid.shape[0] * layer.grid.shape[1] * (layer.grid.scale_arcsec / 3600) ** 2 for layer in layers
    )
    needed = int(1.5 * (pixels / side**2 + 4 * math.sqrt(pixels) / side + 4) * _TILE_BYTES)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TooLargeError(
            f"the tiles would need up to {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {folder}",
            "free space, or give another --output",
        )


@dataclass(frozen=True)
class _Source:
    """A product open for reading."""

    layer: PictureLayer
    section: Any

    @classmethod
    def opened(cls, layer: PictureLayer, stack: ExitStack) -> "_Source":
        hdus = stack.enter_context(fits.open(layer.path, memmap=False, lazy_load_hdus=True))
        return cls(layer, science_image(hdus).section)

    def window(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> tuple[int, int, int, int] | None:
        """Return rows and columns (ends excluded) around an outline on the sky; None where none is inside."""
        x, y = self.layer.grid.sky_to_pixel(ra, dec)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return None
        height, width = self.layer.grid.shape
        x0, x1 = max(0, int(x.min()) - _MARGIN), min(width, int(x.max()) + _MARGIN + 1)
        y0, y1 = max(0, int(y.min()) - _MARGIN), min(height, int(y.max()) + _MARGIN + 1)
        return (y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None


class _Sampler:
    """What `reproject` calls for each tile in place of a reprojection of one whole image."""

    def __init__(self, sources: Sequence[_Source]) -> None:
        self._sources = sources

    def __call__(self, _: object, header: fits.Header) -> tuple[Image, Image]:
        from astropy.wcs import WCS
        from reproject import reproject_interp

        shape = (header["NAXIS2"], header["NAXIS1"])
        tile = WCS(header)
        steps = np.linspace(-0.5, shape[0] - 0.5, 9)
        low, high = np.full(9, steps[0]), np.full(9, steps[-1])
        edges = np.concatenate([steps, steps, low, high]), np.concatenate([low, high, steps, steps])
        ra, dec = tile.wcs_pix2world(*edges, 0)
        image = np.full(shape, np.nan, dtype=np.float32)
        for source in self._sources:
            window = source.window(ra, dec)
            if window is None or not np.isnan(image).any():
                continue
            y0, y1, x0, x1 = window
            pixels = np.asarray(source.section[y0:y1, x0:x1], dtype=np.float32)
            if min(pixels.shape) < 2 or not np.isfinite(pixels).any():
                continue
            part = reproject_interp(
                (pixels, source.layer.grid.cut(y0, y1, x0, x1).wcs()),
                tile,
                shape_out=shape,
                return_footprint=False,
            )
            image = np.where(np.isnan(image), part, image).astype(np.float32)
        return image, np.isfinite(image).astype(np.float32)


def tile_numbers(folder: Path, order: int) -> tuple[int, ...]:
    """Return the numbers of the FITS tiles of an order, ascending."""
    return tuple(sorted(int(path.stem[4:]) for path in (folder / f"Norder{order}").glob("Dir*/Npix*.fits")))


def tile_path(folder: Path, order: int, number: int, suffix: str = "fits") -> Path:
    """Return where a tile lies (HiPS 1.0, 4.1)."""
    return folder / f"Norder{order}" / f"Dir{number // 10000 * 10000}" / f"Npix{number}.{suffix}"


def coverage(tiles: HipsTiles) -> "MOC":
    """Return where tiles hold data, in cells of an eighth of a tile's side."""
    from astropy import units as u
    from astropy.wcs import WCS
    from astropy_healpix import HEALPix
    from mocpy import MOC

    cells = 2**_MOC_FINER
    order = tiles.order + _MOC_FINER
    healpix = HEALPix(nside=2**order, order="nested")
    block = TILE // cells
    centres = (np.arange(cells) + 0.5) * block - 0.5
    x, y = (axis.ravel() for axis in np.meshgrid(centres, centres))
    found = []
    for number in tiles.tiles:
        with fits.open(tile_path(tiles.folder, tiles.order, number), memmap=False) as hdus:
            known = np.isfinite(hdus[0].data).reshape(cells, block, cells, block).any(axis=(1, 3)).ravel()
            ra, dec = WCS(hdus[0].header).wcs_pix2world(x[known], y[known], 0)
        found.append(healpix.lonlat_to_healpix(ra * u.deg, dec * u.deg))
    numbers = np.concatenate(found).astype(np.uint64)
    return MOC.from_healpix_cells(numbers, np.full(len(numbers), order, dtype=np.uint8), max_depth=order)


def each_tile(folder: Path, order: int) -> list[tuple[int, int]]:
    """Return order and number of all FITS tiles down to an order."""
    return [(level, number) for level in range(order + 1) for number in tile_numbers(folder, level)]
