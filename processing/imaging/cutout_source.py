"""A product that cut-outs are taken from: its headers, its images by rows, its table of inputs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.processing.errors import MissingFileError, UnusableFileError
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.image_planes import FileBytes, ImagePlane, image_plane
from numpy.typing import NDArray

IMAGES = ("SCI", "WHT", "CTX", "VAR", "ERR")
_POWERS = {"SCI": 1, "ERR": 1, "VAR": 2}


@dataclass(frozen=True)
class CutImage:
    """An image of a product: its header, and where each of its planes lies."""

    header: fits.Header
    planes: tuple[ImagePlane, ...]


@dataclass(frozen=True)
class CutSource:
    """An open product.

    Attributes
    ----------
    path : Path
    primary : Header
    images : mapping of str to CutImage
        By EXTNAME, in the order of the file.
    table : BinTableHDU or None
        Of inputs.
    grid : OutputGrid
    """

    path: Path
    primary: fits.Header
    images: Mapping[str, CutImage]
    table: fits.BinTableHDU | None
    grid: OutputGrid

    def planes(self, name: str) -> int:
        """Number of planes of an image; 0 where there is none."""
        return len(self.images[name].planes) if name in self.images else 0

    @property
    def sensitivity(self) -> float:
        """PHOTFLAM of SCI; NaN where it says none."""
        value = self.images["SCI"].header.get("PHOTFLAM")
        usable = isinstance(value, int | float) and math.isfinite(value) and value > 0
        return float(value) if usable and value is not None else math.nan

    def power(self, name: str) -> int:
        """Which power of a change of the flux scale an image takes: weights that are inverse variances -2."""
        if name == "WHT" and self.images["WHT"].header.get("WHTTYPE", "EXP") != "EXP":
            return -2
        return _POWERS.get(name, 0)

    def origin(self, grid: OutputGrid) -> tuple[int, int]:
        """Row and column (0-based) of the product at the first pixel of a grid on its pixels."""
        return round(self.grid.crpix[1] - grid.crpix[1]), round(self.grid.crpix[0] - grid.crpix[0])

    def window(self, grid: OutputGrid) -> tuple[int, int, int, int] | None:
        """Rows y0 to y1 and columns x0 to x1 of a grid that the product has; None where it has none."""
        y, x = self.origin(grid)
        y0, y1 = max(0, -y), min(grid.shape[0], self.grid.shape[0] - y)
        x0, x1 = max(0, -x), min(grid.shape[1], self.grid.shape[1] - x)
        return (y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None

    def rows(
        self, name: str, plane: int, grid: OutputGrid, first: int, last: int, fill: float
    ) -> NDArray[np.generic]:
        """Return rows of an image on a grid; ``fill`` where the product does not reach."""
        dtype = np.int32 if name == "CTX" else np.float32
        pixels = np.full((last - first, grid.shape[1]), fill, dtype=dtype)
        window = self.window(grid)
        if window is not None:
            y0, y1, x0, x1 = window
            low, high = max(first, y0), min(last, y1)
            if low < high:
                y, x = self.origin(grid)
                found = self.images[name].planes[plane].read(low + y, high + y, dtype, slice(x0 + x, x1 + x))
                pixels[low - first : high - first, x0:x1] = found
        return pixels

    def weighted(self, grid: OutputGrid, first: int, last: int) -> NDArray[np.bool_]:
        """Return which pixels of a grid have weight."""
        weight = self.rows("WHT", 0, grid, first, last, 0.0)
        return np.asarray(weight, dtype=np.float32) > 0.0

    def bits(self, grid: OutputGrid, first: int, last: int, owned: NDArray[np.bool_]) -> set[int]:
        """Return the bits of CTX in use in some pixels."""
        found: set[int] = set()
        for number in range(self.planes("CTX")):
            context = self.rows("CTX", number, grid, first, last, 0)[owned]
            used = int(np.bitwise_or.reduce(context.view(np.uint32), initial=0))
            found |= {32 * number + bit for bit in range(32) if used >> bit & 1}
        return found


def factors_to_one_scale(sources: Sequence[CutSource]) -> tuple[float, ...]:
    """Return what SCI of each product is multiplied by to be on the flux scale of the first.

    Layers of neighbouring tiles hold different exposures, so that their mean PHOTFLAM differ. All 1 where
    some product says none.
    """
    values = [one.sensitivity for one in sources]
    known = all(map(math.isfinite, values))
    return tuple(value / values[0] if known else 1.0 for value in values)


@contextmanager
def opened_sources(paths: Sequence[Path]) -> Iterator[list[CutSource]]:
    """Open products that are to be cut; they are closed at the end.

    Raises
    ------
    MissingFileError
        One is not there.
    UnusableFileError
        One is no product: SCI and WHT images with one undistorted WCS.
    """
    with ExitStack() as stack:
        yield [_opened(path, stack) for path in paths]


def _opened(path: Path, stack: ExitStack) -> CutSource:
    if not path.is_file():
        raise MissingFileError(f"{path} is not there", "make it again (hapctl mosaic)")
    source = FileBytes(path)
    stack.callback(source.close)
    try:
        with source.open_fits() as hdus:
            images = {
                hdu.name: CutImage(hdu.header.copy(), _planes(source, hdu))
                for hdu in hdus
                if hdu.name in IMAGES
            }
            table = next((hdu.copy() for hdu in hdus if hdu.name == "HDRTAB"), None)
            primary = hdus[0].header.copy()
    except OSError as error:
        raise UnusableFileError(f"{path}: no FITS file: {error}", "make it again (hapctl mosaic)") from error
    if not {"SCI", "WHT"} <= set(images):
        raise UnusableFileError(f"{path}: no product with SCI and WHT in one file", "name another product")
    return CutSource(path, primary, images, table, _grid(path, images["SCI"]))


def _planes(source: FileBytes, hdu: fits.hdu.base._BaseHDU) -> tuple[ImagePlane, ...]:
    axes = int(hdu.header["NAXIS"])
    first = image_plane(source, hdu, hdu.name, axes)
    size = first.shape[0] * first.shape[1] * first.dtype.itemsize
    count = int(hdu.header["NAXIS3"]) if axes == 3 else 1
    return tuple(first.moved(hdu.name, size * number) for number in range(count))


def _grid(path: Path, image: CutImage) -> OutputGrid:
    header = image.header
    try:
        return OutputGrid(
            crval=(float(header["CRVAL1"]), float(header["CRVAL2"])),
            crpix=(float(header["CRPIX1"]), float(header["CRPIX2"])),
            cd=(
                float(header["CD1_1"]),
                float(header.get("CD1_2", 0.0)),
                float(header.get("CD2_1", 0.0)),
                float(header["CD2_2"]),
            ),
            shape=image.planes[0].shape,
        )
    except KeyError as error:
        raise UnusableFileError(
            f"{path}: SCI has no {error.args[0]!r}: no WCS of a product", "name another product"
        ) from error
