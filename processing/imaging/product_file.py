"""The files of a product, written band by band: one with all images, or one for each.

The places of all parts are known before the first band, so a band goes straight to disk and nothing is
held. The headers, with the statistics and checksums, are written last. Same pixels and same description
give the same bytes.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from hapctl.processing.imaging.compressed_file import CompressedFile, Compression
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.durable import sync_folder
from hapctl.processing.imaging.fits_parts import FilePart, PartsFile
from hapctl.processing.imaging.product_description import Layer, ProductDescription, context_planes
from hapctl.processing.imaging.product_header import lone_header, primary_header
from hapctl.processing.imaging.product_images import image_header
from hapctl.processing.imaging.product_inputs import input_table
from hapctl.processing.imaging.product_statistics import ProductStatistics, StatisticsGatherer
from hapctl.processing.imaging.product_units import in_units
from hapctl.processing.imaging.stopwatch import Stopwatch
from numpy.typing import NDArray

_SUFFIX: dict[Layer, str] = {"SCI": "sci", "WHT": "wht", "CTX": "ctx", "VAR": "var", "ERR": "err"}


@dataclass(frozen=True)
class WrittenProduct:
    """A product as written.

    Attributes
    ----------
    path : Path
        Of the file, or of the science image.
    pixels_sha256 : str
        Of the pixels of SCI, WHT, CTX and VAR, whatever the headers say and however they are spread on files.
    statistics : ProductStatistics
    paths : tuple of Path
        All files.
    """

    path: Path
    pixels_sha256: str
    statistics: ProductStatistics
    paths: tuple[Path, ...] = ()


class BandWriter(ABC):
    """Writes the bands of a product; what its two kinds share.

    Use as a context manager, so that a failure leaves nothing behind.
    """

    def __init__(self, product: ProductDescription) -> None:
        self.product = product
        self._statistics = _gatherer(product)
        self._row = 0
        self._files: list[PartsFile] = []
        self._places: dict[Layer, tuple[PartsFile, FilePart]] = {}

    def write(
        self,
        science: NDArray[np.float32],
        weight: NDArray[np.float32],
        context: NDArray[np.int32],
        variance: NDArray[np.float32] | None = None,
    ) -> None:
        """Write the next band, in the units of the product.

        Parameters
        ----------
        science, weight : ndarray, shape (rows, nx), float32
        context : ndarray, shape (planes, rows, nx), int32
            No planes for a product without context.
        variance : ndarray, shape (rows, nx), float32, optional
            For a product with VAR or ERR.
        """
        if variance is None and (self.product.final.variance or self.product.final.error):
            raise ValueError(f"{self.product.name}: a band without variance")
        self._statistics.add(weight, context)
        for layer, (file, part) in self._places.items():
            for number, plane in enumerate(_planes(layer, science, weight, context, variance)):
                file.put(part, number, self._row, plane)
        self._row += science.shape[0]

    def finish(self) -> WrittenProduct:
        """Write headers and table, and sync to disk."""
        if self._row != self.product.grid.shape[0]:
            raise ValueError(f"{self._row} of {self.product.grid.shape[0]} rows were written")
        statistics = self._statistics.result()
        self._head(statistics)
        for file in self._files:
            file.finish()
        digests = [part.digest() for layer, (_, part) in self._places.items() if layer != "ERR"]
        pixels = hashlib.sha256(b"".join(digests)).hexdigest()
        paths = tuple(file.path for file in self._files)
        return WrittenProduct(paths[0], pixels, statistics, paths)

    @abstractmethod
    def _head(self, statistics: ProductStatistics) -> None:
        """Put the statistics into the headers."""

    def _open(self) -> None:
        """Make the files, or none of them."""
        try:
            for file in self._files:
                file.open()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Remove what is not finished."""
        for file in self._files:
            file.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()


class ProductWriter(BandWriter):
    """Writes one file: PRIMARY, SCI, WHT, CTX, VAR, ERR (those the product has), HDRTAB.

    Parameters
    ----------
    path : path
        Where to write; an older file there (of a killed run) is overwritten.
    product : ProductDescription
    compress : {"rice", "gzip"}, optional
        Tile compression of its images (`compressed_file`).

    Raises
    ------
    TooLargeError
        The disk has no room for the file.
    """

    def __init__(self, path: Path, product: ProductDescription, compress: Compression | None = None) -> None:
        super().__init__(product)
        self.path = path
        self._file = _whole_file(path, product, compress)
        self._files = [self._file]
        self._places = {
            layer: (self._file, part)
            for layer, part in zip(product.layers, self._file.parts[1:], strict=True)
        }
        self._open()

    def _head(self, statistics: ProductStatistics) -> None:
        self._file.parts[0].header = primary_header(self.product, statistics)


class SeparateWriter(BandWriter):
    """Writes a file for each image: OUT_sci.fits (with the table of inputs), OUT_wht.fits and so on.

    The files are written aside and get their names when all are complete.

    Parameters
    ----------
    root : path
        OUT; ``.fits`` at its end is left out.
    product : ProductDescription

    Raises
    ------
    TooLargeError
        The disk has no room for the files.
    """

    def __init__(self, root: Path, product: ProductDescription) -> None:
        super().__init__(product)
        self._final = separate_paths(root, product)
        self._files = _lone_files(root, product)
        self._places = {
            layer: (file, file.parts[0]) for layer, file in zip(product.layers, self._files, strict=True)
        }
        self._open()

    def _head(self, statistics: ProductStatistics) -> None:
        for (layer, (_, part)), path in zip(self._places.items(), self._final, strict=True):
            part.header = lone_header(self.product, layer, path.name, statistics)

    def finish(self) -> WrittenProduct:
        """Write headers and table, sync to disk, and give the files their names."""
        written = super().finish()
        for file, final in zip(self._files, self._final, strict=True):
            os.replace(file.path, final)
        sync_folder(self._final[0].parent)
        return WrittenProduct(self._final[0], written.pixels_sha256, written.statistics, self._final)


def write_product(
    path: Path,
    product: ProductDescription,
    bands: Iterable[Band],
    *,
    separate: bool = False,
    clock: Stopwatch | None = None,
) -> WrittenProduct:
    """Write a product whole or not at all, in the units its description asks for.

    Parameters
    ----------
    path : path
        Of the file; with ``separate``, OUT or OUT.fits of OUT_sci.fits and the others.
    product : ProductDescription
    bands : iterable of Band
        Per second, from the bottom up, as `drizzle_bands` gives them.
    separate : bool
        A file for each image in place of one with all.
    clock : Stopwatch, optional
        Gets the seconds of the step ``write``.

    Returns
    -------
    WrittenProduct

    Raises
    ------
    TooLargeError
        The disk has no room.
    """
    clock = clock or Stopwatch()
    writer = SeparateWriter(path, product) if separate else ProductWriter(aside(path), product)
    with writer:
        for band in bands:
            with clock.step("write"):
                band = in_units(band, product.final, product.exposure_time)
                writer.write(band.sci, band.wht, band.ctx, band.var)
        with clock.step("write"):
            written = writer.finish()
            if separate:
                return written
            os.replace(written.path, path)
            sync_folder(path.absolute().parent)
    return WrittenProduct(path, written.pixels_sha256, written.statistics, (path,))


def separate_paths(root: Path, product: ProductDescription) -> tuple[Path, ...]:
    """Return the files that `SeparateWriter` makes, in the order of ``product.layers``."""
    stem = root.name.removesuffix(".fits")
    return tuple(root.with_name(f"{stem}_{_SUFFIX[layer]}.fits") for layer in product.layers)


def predicted_bytes(product: ProductDescription, *, separate: bool = False) -> int:
    """Return the size of the product's file, or of its separate files together, exactly."""
    files = _lone_files(Path("x"), product) if separate else [_whole_file(Path("x"), product)]
    return sum(file.size for file in files)


def aside(path: Path) -> Path:
    """Return where a file is written before it goes to its final place; in the same folder."""
    return path.with_name(f".{path.name}.partial")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks of 1 MiB."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _whole_file(path: Path, product: ProductDescription, compress: Compression | None = None) -> PartsFile:
    table = input_table(product)
    file = CompressedFile(path, table, compress) if compress else PartsFile(path, table)
    file.add(primary_header(product, ProductStatistics()))
    for layer in product.layers:
        file.add(image_header(product, layer), *_size(product, layer))
    return file


def _lone_files(root: Path, product: ProductDescription) -> list[PartsFile]:
    files = []
    for layer, path in zip(product.layers, separate_paths(root, product), strict=True):
        file = PartsFile(aside(path), input_table(product) if layer == "SCI" else None)
        file.add(lone_header(product, layer, path.name, ProductStatistics()), *_size(product, layer))
        files.append(file)
    return files


def _size(product: ProductDescription, layer: Layer) -> tuple[int, tuple[int, int]]:
    """Planes, and the shape of one."""
    return (context_planes(len(product.inputs)) if layer == "CTX" else 1), product.grid.shape


def _planes(
    layer: Layer,
    science: NDArray[np.float32],
    weight: NDArray[np.float32],
    context: NDArray[np.int32],
    variance: NDArray[np.float32] | None,
) -> Iterable[NDArray[np.generic]]:
    if layer == "CTX":
        return context
    if layer == "ERR":
        assert variance is not None
        return (np.sqrt(variance),)
    image = {"SCI": science, "WHT": weight, "VAR": variance}[layer]
    assert image is not None
    return (image,)


def _gatherer(product: ProductDescription) -> StatisticsGatherer:
    bits: dict[str, list[int]] = {}
    for chip in product.inputs:
        bits.setdefault(chip.rootname, []).append(chip.context_bit)
    times = [product.exposure_times[rootname] for rootname in bits]
    return StatisticsGatherer(list(bits.values()), times)
