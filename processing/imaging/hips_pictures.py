"""PNG tiles of a HiPS, grey of one filter and colour of several, from its FITS tiles; Allsky and preview.

A tile of any order is painted from the FITS tile of that order with the same levels, so that zooming does
not change colours. What is unknown is transparent.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from hapctl.processing.imaging.hips import TILE, each_tile, tile_path
from hapctl.processing.imaging.observer import Progress, no_progress
from hapctl.processing.imaging.stretch import ColourLevels, GreyLevels, colour, grey
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

ALLSKY_ORDER = 3
_ALLSKY_TILE, _ALLSKY_COLUMNS = 64, 27  # HiPS 1.0, 4.3.2
_PREVIEW = 256


def paint_grey(folder: Path, order: int, levels: GreyLevels, progress: Progress = no_progress) -> None:
    """Write a PNG beside each FITS tile; tiles of lower orders become float32, as the deepest are.

    Parameters
    ----------
    folder : path
        The HiPS.
    order : int
        The deepest.
    levels : GreyLevels
    progress : callable
    """
    tiles = each_tile(folder, order)
    for count, (level, number) in enumerate(tiles):
        image = _image(tile_path(folder, level, number))
        assert image is not None
        if level < order:
            _as_float32(tile_path(folder, level, number))
        known = np.isfinite(image)
        shade = grey(image, levels)
        _save(tile_path(folder, level, number, "png"), np.dstack([shade, np.where(known, 255, 0)]))
        progress("pictures", count + 1, len(tiles))


def paint_colour(
    folder: Path, filters: Sequence[Path], order: int, levels: ColourLevels, progress: Progress = no_progress
) -> None:
    """Write the PNG tiles of a colour HiPS from the FITS tiles of several filters.

    Parameters
    ----------
    folder : path
        Of the colour HiPS.
    filters : sequence of path
        HiPS of the filters, from short to long wavelength, all of one deepest order.
    order : int
    levels : ColourLevels
    progress : callable
    """
    tiles = sorted({tile for one in filters for tile in each_tile(one, order)})
    unknown = np.full((TILE, TILE), np.nan, dtype=np.float32)
    for count, (level, number) in enumerate(tiles):
        found = [_image(tile_path(one, level, number)) for one in filters]
        images = [unknown if image is None else image for image in found]
        known = np.isfinite(images).any(axis=0)
        place = tile_path(folder, level, number, "png")
        place.parent.mkdir(parents=True, exist_ok=True)
        _save(place, np.dstack([colour(images, levels), np.where(known, 255, 0)]))
        progress("colour", count + 1, len(tiles))


def write_overviews(folder: Path) -> None:
    """Write Allsky.png of order 3, and preview.jpg of a tile that the data fill."""
    from PIL import Image

    columns = _ALLSKY_COLUMNS
    rows = -(-12 * 4**ALLSKY_ORDER // columns)
    allsky = Image.new("RGBA", (columns * _ALLSKY_TILE, rows * _ALLSKY_TILE))
    for path in (folder / f"Norder{ALLSKY_ORDER}").glob("Dir*/Npix*.png"):
        row, column = divmod(int(path.stem[4:]), columns)
        with Image.open(path) as tile:
            small = tile.convert("RGBA").resize((_ALLSKY_TILE, _ALLSKY_TILE), Image.Resampling.BOX)
        allsky.paste(small, (column * _ALLSKY_TILE, row * _ALLSKY_TILE))
    allsky.save(folder / f"Norder{ALLSKY_ORDER}" / "Allsky.png")
    _best_tile(folder).resize((_PREVIEW, _PREVIEW)).save(folder / "preview.jpg", quality=90)


def _best_tile(folder: Path) -> "Image":
    """Return the fullest tile of the lowest order in which one is half full, else the fullest of all."""
    from PIL import Image as Pictures

    orders = sorted(int(path.name.removeprefix("Norder")) for path in folder.glob("Norder*"))
    best: tuple[float, Image] = (-1.0, Pictures.new("RGB", (TILE, TILE)))
    for order in orders:
        for path in sorted((folder / f"Norder{order}").glob("Dir*/Npix*.png")):
            with Pictures.open(path) as tile:
                picture = tile.convert("RGBA")
            full = float((np.asarray(picture)[..., 3] > 0).mean())
            if full > best[0]:
                best = full, picture.convert("RGB")
        if best[0] >= 0.5:
            break
    return best[1]


def _image(path: Path) -> NDArray[np.float32] | None:
    if not path.exists():
        return None
    with fits.open(path, memmap=False) as hdus:
        return np.asarray(hdus[0].data, dtype=np.float32)


def _as_float32(path: Path) -> None:
    with fits.open(path, memmap=False) as hdus:
        image, header = hdus[0].data.astype(np.float32), hdus[0].header
    fits.PrimaryHDU(image, header).writeto(path, overwrite=True)


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a tile; the highest row first, as in the PNG tiles of the standard."""
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(pixels[::-1].astype(np.uint8))).save(path)
