"""Cut-outs of products: all images of a field, on the pixels of the product, with the inputs that touch it.

Several products on the same pixels (layers of tiles of one projection cell) give one cut-out: of each pixel
the first with data, on the flux scale (PHOTFLAM) of the first product. Pixels are copied to the bit, but for
those of other products whose PHOTFLAM is another, by bands of rows, so memory does not depend on the size
of product or cut-out; beyond the products SCI, VAR and ERR are NaN, WHT and CTX 0. Inputs without a
pixel in the cut-out are left out of its table, and the bits of CTX are numbered anew.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.processing.astrometry.footprint import s_region
from hapctl.processing.errors import NoViableDataError, UnusableFileError, UsageProblemError
from hapctl.processing.imaging.compressed_file import CompressedFile, Compression
from hapctl.processing.imaging.cutout_inputs import CutInputs, joined_inputs, recoded
from hapctl.processing.imaging.cutout_source import CutSource, factors_to_one_scale, opened_sources
from hapctl.processing.imaging.durable import sync_folder
from hapctl.processing.imaging.fits_parts import FilePart, PartsFile
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.outline import covered_polygons, outline_factor
from hapctl.processing.imaging.product_description import PHOTOMETRY_KEYWORDS
from hapctl.processing.imaging.product_file import aside, file_sha256
from hapctl.processing.imaging.product_images import Card, add_cards
from numpy.typing import NDArray

_BAND_PIXELS = 1 << 21


@dataclass(frozen=True)
class Cutout:
    """A cut-out as written.

    Attributes
    ----------
    path : Path
    sha256 : str
        Of the file.
    bytes : int
    shape : tuple of int
        (ny, nx).
    covered_pixels : int
        With weight.
    products : tuple of str
        File names of the products with pixels in it.
    inputs : tuple of str
        Rootnames of the exposures with pixels in it; empty where the product does not say.
    """

    path: Path
    sha256: str
    bytes: int
    shape: tuple[int, int]
    covered_pixels: int
    products: tuple[str, ...]
    inputs: tuple[str, ...]


def cutout_grid(grid: OutputGrid, center: tuple[float, float], size: tuple[float, float]) -> OutputGrid:
    """Return the grid of a cut-out on the pixels of a product.

    Parameters
    ----------
    grid : OutputGrid
        Of the product.
    center : tuple of float
        RA, Dec, degrees.
    size : tuple of float
        Width and height along the axes of the product, arcsec.

    Raises
    ------
    UsageProblemError
        No positive size, or a position on the other side of the sky.
    """
    if not all(np.isfinite(side) and side > 0.0 for side in size):
        raise UsageProblemError(f"a size of {size[0]:g} x {size[1]:g} arcsec", "give positive numbers")
    x, y = (float(value) for value in grid.sky_to_pixel(*center))
    if not (np.isfinite(x) and np.isfinite(y)):
        raise UsageProblemError(
            f"{center[0]:.5f} {center[1]:.5f} is more than 90 degrees from the product",
            "give another --center",
        )
    nx, ny = (max(1, round(side / grid.scale_arcsec)) for side in size)
    x0, y0 = (int(np.floor(at - 0.5 * (count - 1) + 0.5)) for at, count in ((x, nx), (y, ny)))
    return grid.cut(y0, y0 + ny, x0, x0 + nx)


def write_cutout(
    path: Path,
    products: Sequence[Path],
    center: tuple[float, float],
    size: tuple[float, float],
    *,
    compress: Compression | None = None,
    run: int = 0,
) -> Cutout:
    """Cut a field out of a product, or of several on the same pixels; the file is whole or not there.

    Parameters
    ----------
    path : path
        Of the cut-out; an older one is replaced.
    products : sequence of path
        The first counts where several have data.
    center, size : tuple of float
        As for `cutout_grid`.
    compress : {"rice", "gzip"}, optional
    run : int
        Number of the run; 0 without a catalog.

    Raises
    ------
    NoViableDataError
        No pixel of the field has data.
    UnusableFileError
        A file is no product, or the products do not share their pixels.
    TooLargeError
        The disk has no room.
    """
    with opened_sources(products) as sources:
        check_one_lattice(sources)
        grid = cutout_grid(sources[0].grid, center, size)
        cut = _Cut(tuple(one for one in sources if one.window(grid) is not None), grid)
        if not cut.sources:
            raise NoViableDataError(f"no pixel of {products[0].name} lies in the field", "give another field")
        seen = cut.seen()
        if not seen.covered:
            raise NoViableDataError(f"{products[0].name} has no data in the field", "give another field")
        tables = [(one.table, bits) for one, bits in zip(cut.sources, seen.bits, strict=True)]
        inputs = joined_inputs(tables, cut.factors)
        file = _file(path, cut, inputs, seen, compress, run)
        _write(file, cut, inputs)
    os.replace(file.path, path)
    sync_folder(path.absolute().parent)
    return Cutout(
        path,
        file_sha256(path),
        path.stat().st_size,
        grid.shape,
        seen.covered,
        tuple(one.path.name for one in cut.sources),
        inputs.rootnames,
    )


@dataclass(frozen=True)
class _Seen:
    """What a first look finds: pixels with weight, bits of CTX in use by source, the outline."""

    covered: int
    bits: tuple[frozenset[int], ...]
    s_region: str


@dataclass(frozen=True)
class _Cut:
    """Sources that reach into a cut-out, and its grid."""

    sources: tuple[CutSource, ...]
    grid: OutputGrid

    @property
    def factors(self) -> tuple[float, ...]:
        """What SCI of each source is multiplied by."""
        return factors_to_one_scale(self.sources)

    @property
    def bands(self) -> Iterator[tuple[int, int]]:
        """First row, and the one after the last, of each band."""
        height, width = self.grid.shape
        step = max(1, _BAND_PIXELS // width)
        for first in range(0, height, step):
            yield first, min(first + step, height)

    def owners(self, first: int, last: int) -> list[NDArray[np.bool_]]:
        """Which pixels of a band come from which source: the first with weight; else the first there is."""
        free = np.ones((last - first, self.grid.shape[1]), dtype=np.bool_)
        owned = []
        for source in self.sources:
            owned.append(free & source.weighted(self.grid, first, last))
            free &= ~owned[-1]
        owned[0] |= free
        return owned

    def seen(self) -> _Seen:
        """Look at weights and context once."""
        factor = outline_factor(self.grid)
        height, width = self.grid.shape
        bins = np.zeros((-(-height // factor), -(-width // factor)), dtype=np.bool_)
        bits: list[set[int]] = [set() for _ in self.sources]
        covered = 0
        for first, last in self.bands:
            for number, (source, owned) in enumerate(
                zip(self.sources, self.owners(first, last), strict=True)
            ):
                owned &= source.weighted(self.grid, first, last)
                covered += int(np.count_nonzero(owned))
                y, x = np.nonzero(owned)
                bins[(y + first) // factor, x // factor] = True
                bits[number] |= source.bits(self.grid, first, last, owned)
        outline = covered_polygons(bins, factor, self.grid) if covered else []
        return _Seen(covered, tuple(map(frozenset, bits)), s_region(outline))

    def image(self, name: str, plane: int, first: int, last: int) -> NDArray[np.generic]:
        """Return a band of an image other than CTX."""
        fill = 0.0 if name == "WHT" else np.nan
        pixels = np.full((last - first, self.grid.shape[1]), fill, dtype=np.float32)
        parts = zip(self.sources, self.owners(first, last), self.factors, strict=True)
        for source, owned, factor in parts:
            pixels[owned] = source.rows(name, plane, self.grid, first, last, fill)[owned]
            if factor != 1.0:
                pixels[owned] *= np.float32(factor ** source.power(name))
        return pixels

    def context(self, inputs: CutInputs, first: int, last: int) -> NDArray[np.int32]:
        """Return a band of CTX, its bits numbered anew."""
        context = np.zeros((inputs.planes, last - first, self.grid.shape[1]), dtype=np.int32)
        parts = zip(self.sources, self.owners(first, last), inputs.codes, strict=True)
        for source, owned, code in parts:
            planes = [
                source.rows("CTX", number, self.grid, first, last, 0)
                for number in range(source.planes("CTX"))
            ]
            context |= recoded(np.array(planes, dtype=np.int32), code, inputs.planes) * owned
        return context


def _file(
    path: Path, cut: _Cut, inputs: CutInputs, seen: _Seen, compress: Compression | None, run: int
) -> PartsFile:
    file = (
        CompressedFile(aside(path), inputs.table, compress)
        if compress
        else PartsFile(aside(path), inputs.table)
    )
    file.add(_primary(path, cut, inputs, seen, run))
    for name in cut.sources[0].images:
        planes = inputs.planes if name == "CTX" else 1
        file.add(_image_header(cut, name, planes, seen), planes, cut.grid.shape)
    return file


def _write(file: PartsFile, cut: _Cut, inputs: CutInputs) -> None:
    with ExitStack() as failed:
        failed.callback(file.abandon)
        file.open()
        parts = dict(zip(cut.sources[0].images, file.parts[1:], strict=True))
        for first, last in cut.bands:
            for name, part in parts.items():
                _put(file, part, cut, inputs, name, first, last)
        file.finish()


def _put(
    file: PartsFile, part: FilePart, cut: _Cut, inputs: CutInputs, name: str, first: int, last: int
) -> None:
    if name == "CTX":
        for number, plane in enumerate(cut.context(inputs, first, last)):
            file.put(part, number, first, plane)
    else:
        file.put(part, 0, first, cut.image(name, 0, first, last))


def _primary(path: Path, cut: _Cut, inputs: CutInputs, seen: _Seen, run: int) -> fits.Header:
    header = cut.sources[0].primary.copy()
    height, width = cut.grid.shape
    cards: list[Card] = [
        ("NEXTEND", len(cut.sources[0].images) + (inputs.table is not None), "number of standard extensions"),
        ("FILENAME", path.name, "name of file"),
        ("ROOTNAME", path.name.removesuffix(".fits"), "rootname of the cut-out"),
        ("NPIXFRAC", seen.covered / (height * width), "fraction of pixels with data"),
        ("CUTFROM", "; ".join(one.path.name for one in cut.sources), ""),
    ]
    tiles = [str(one.primary.get("SCELLID", "")) for one in cut.sources]
    if len(tiles) > 1 and all(tiles):
        cards.append(("SCELLID", "; ".join(tiles), ""))
    if inputs.rootnames:
        cards.append(("NUMEXP", len(inputs.rootnames), "exposures with pixels in the cut-out"))
        cards.append(("NDRIZIM", inputs.rows, "chips with pixels in the cut-out"))
    if run:
        cards.append(("CUTRUN", run, "hapctl run that cut it out"))
    _forget(header, [keyword for keyword, value, _ in cards if isinstance(value, str)])  # with their comments
    add_cards(header, cards)
    _forget(
        header, ("CHECKSUM", "DATASUM", "MEANEXPT", "MEDEXPT", "MEANNEXP", "MEDNEXP", "MEANWHT", "MEDWHT")
    )
    return header


def _image_header(cut: _Cut, name: str, planes: int, seen: _Seen) -> fits.Header:
    header = cut.sources[0].images[name].header.copy()
    _forget(header, ("CHECKSUM", "DATASUM", "NAXIS3"))
    height, width = cut.grid.shape
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, width, height
    if planes > 1:
        header["NAXIS"] = 3
        header.set("NAXIS3", planes, after="NAXIS2")
    header["CRPIX1"], header["CRPIX2"] = cut.grid.crpix
    if len(cut.sources) == 1:
        from_x, from_y = (a - b for a, b in zip(cut.grid.crpix, cut.sources[0].grid.crpix, strict=True))
        add_cards(
            header,
            [
                ("LTV1", float(header.get("LTV1", 0.0)) + from_x, "x here = x of the product + LTV1"),
                ("LTV2", float(header.get("LTV2", 0.0)) + from_y, "y here = y of the product + LTV2"),
                ("LTM1_1", 1.0, ""),
                ("LTM2_2", 1.0, ""),
            ],
        )
    if name == "SCI":
        header["S_REGION"] = seen.s_region
        if not all(one.sensitivity > 0.0 for one in cut.sources):  # some in electrons, on no common scale
            _forget(header, PHOTOMETRY_KEYWORDS)
    return header


def _forget(header: fits.Header, keywords: Sequence[str]) -> None:
    for keyword in keywords:
        header.remove(keyword, ignore_missing=True)


def check_one_lattice(sources: Sequence[CutSource]) -> None:
    """Refuse products that do not share their pixels.

    Raises
    ------
    UnusableFileError
    """
    first = sources[0]
    for other in sources[1:]:
        offsets = np.subtract(other.grid.crpix, first.grid.crpix)
        same = other.grid.crval == first.grid.crval and other.grid.cd == first.grid.cd
        if (
            not same
            or np.abs(offsets - np.rint(offsets)).max() > 1e-6
            or set(other.images) != set(first.images)
        ):
            raise UnusableFileError(
                f"{other.path.name} has other pixels or images than {first.path.name}",
                "cut them out one by one",
            )
