"""Intermediate products written to a folder as the steps make them: what ``--keep`` asks for.

Names are those of AstroDrizzle where it has such files: ``ROOT_single_sci.fits``, ``ROOT_single_wht.fits``,
``median.fits`` (of several filters with their names), ``ROOT_sciN_blt.fits``, ``ROOT_crmask.fits``; and
``ROOT_static_mask.fits``, ``ROOT_untested.fits``, ``depth.fits`` (exposures that see a pixel), ``skies.txt``
(as ``sky.file`` takes it). Files are written aside and get their names when all is done.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import TracebackType

import numpy as np
from astropy.io import fits
from hapctl.processing.imaging.compare_groups import CompareGroup
from hapctl.processing.imaging.durable import sync_folder, told_where
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.observer import Observer, Rows
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.product_file import aside
from numpy.typing import NDArray

_BLOCK = 2880
_BITPIX = {"f4": -32, "i2": 16}


class RowImage:
    """A FITS image that takes its pixels in any order, from several threads.

    Parameters
    ----------
    path : Path
        Its name once it is finished.
    shape : tuple of int
        (ny, nx).
    kind : {"f4", "i2"}
    header : Header
        Further cards.
    fill : float
        What pixels are that nobody writes.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int], kind: str, header: fits.Header, fill: float
    ) -> None:
        self.path = path
        self._shape = shape
        self._dtype = np.dtype(f">{kind}")
        head = _head(shape, _BITPIX[kind], header)
        self._start = len(head)
        self._descriptor = os.open(aside(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.pwrite(self._descriptor, head, 0)
            self._fill(fill)
        except OSError:
            self.abandon()
            raise

    def _fill(self, fill: float) -> None:
        row = np.full(self._shape[1], fill, dtype=self._dtype).tobytes()
        rows = max(1, (1 << 22) // len(row))
        for first in range(0, self._shape[0], rows):
            count = min(rows, self._shape[0] - first)
            os.pwrite(self._descriptor, row * count, self._start + first * len(row))
        end = self._start + self._shape[0] * len(row)
        os.ftruncate(self._descriptor, -(-end // _BLOCK) * _BLOCK)

    def put(self, y0: int, x0: int, rows: NDArray[np.generic]) -> None:
        """Write a rectangle whose first pixel is (y0, x0)."""
        raw = rows.astype(self._dtype)
        size = self._dtype.itemsize
        for number, row in enumerate(raw):
            place = (y0 + number) * self._shape[1] + x0
            os.pwrite(self._descriptor, row.tobytes(), self._start + place * size)

    def close(self) -> None:
        """Sync to disk."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1

    def abandon(self) -> None:
        """Remove it, finished or not."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        aside(self.path).unlink(missing_ok=True)


def _head(shape: tuple[int, int], bitpix: int, cards: fits.Header) -> bytes:
    header = fits.Header()
    header["SIMPLE"], header["BITPIX"], header["NAXIS"] = True, bitpix, 2
    header["NAXIS1"], header["NAXIS2"] = shape[1], shape[0]
    header.extend([card for card in cards.cards if not card.keyword.startswith("NAXIS")])
    text: str = header.tostring(endcard=True, padding=True)
    return text.encode("ascii")


@dataclass
class KeptImages(Observer):
    """Keeps what the steps make; use as a context manager, so that a failure leaves nothing behind.

    Attributes
    ----------
    folder : Path
    exposures : sequence of sequences of PreparedChip
    others : Observer
        Sees everything as well.
    """

    folder: Path
    exposures: Sequence[Sequence[PreparedChip]]
    others: Observer = field(default_factory=Observer)
    takes_images = True
    _images: dict[str, RowImage] = field(default_factory=dict)
    _masks: dict[str, dict[int, PackedMask]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def progress(self, step: str, done: int, total: int) -> None:
        """Pass on."""
        self.others.progress(step, done, total)

    def static_mask(self, exposure: int, chip: int, mask: PackedMask) -> None:
        """Keep the static mask of a chip."""
        self.keep_mask(exposure, chip, "static_mask", mask)

    def skies(self, exposures: Sequence[Sequence[PreparedChip]]) -> None:
        """Keep the skies, in units of SCI."""
        lines = ["# file, sky of each chip in units of SCI"]
        for chips in exposures:
            values = " ".join(
                repr(chip.sky / (chip.flux_factor * chip.pixels.electrons_per_unit)) for chip in chips
            )
            lines.append(f"{chips[0].pixels.path.name} {values}")
        aside(self.folder / "skies.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def root(self, exposure: int) -> str:
        """Return what the names of an exposure's files begin with; files of one name are numbered."""
        roots = [root_of(chips[0].pixels.path) for chips in self.exposures]
        own = roots[exposure]
        return own if roots.count(own) == 1 else f"{own}_{exposure + 1}"

    def keep_mask(self, exposure: int, chip: int, kind: str, mask: PackedMask) -> None:
        """Keep a mask of a chip."""
        extver = self.exposures[exposure][chip].pixels.extver
        with self._lock:
            self._masks.setdefault(f"{self.root(exposure)}_{kind}", {})[extver] = mask

    def image(
        self, name: str, shape: tuple[int, int], kind: str, fill: float, header: fits.Header
    ) -> RowImage:
        """Return the image of a name; made when it is first asked for."""
        with self._lock:
            if name not in self._images:
                self._images[name] = RowImage(self.folder / f"{name}.fits", shape, kind, header, fill)
            return self._images[name]

    def finish(self) -> tuple[Path, ...]:
        """Give the files their names; return them, sorted."""
        with told_where(self.folder):
            for image in self._images.values():
                image.close()
            for name, masks in self._masks.items():
                path = self.folder / f"{name}.fits"
                _write_masks(aside(path), masks)
            paths = [path for path in self._paths() if aside(path).exists()]
            for path in paths:
                os.replace(aside(path), path)
            sync_folder(self.folder)
        self._images.clear()
        return tuple(sorted(paths))

    def _paths(self) -> list[Path]:
        names = [*(f"{name}.fits" for name in (*self._images, *self._masks)), "skies.txt"]
        return [self.folder / name for name in names]

    def __enter__(self) -> "KeptImages":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for image in self._images.values():
            image.abandon()
        for path in self._paths():
            aside(path).unlink(missing_ok=True)


@dataclass
class KeptGroup(Observer):
    """Keeps what the comparison of a group of exposures makes, under the numbers of all exposures.

    Attributes
    ----------
    keeper : KeptImages
    group : CompareGroup
    """

    keeper: KeptImages
    group: CompareGroup
    takes_images = True

    def progress(self, step: str, done: int, total: int) -> None:
        """Pass on."""
        self.keeper.progress(step, done, total)

    def single(self, exposure: int, y0: int, x0: int, sci: Rows, wht: Rows) -> None:
        """Keep a part of a single drizzle."""
        root = self.keeper.root(self.group.members[exposure])
        self._on_grid(f"{root}_single_sci", "f4", np.nan, "ELECTRONS/S").put(y0, x0, sci)
        self._on_grid(f"{root}_single_wht", "f4", 0.0, "S").put(y0, x0, wht)

    def combined(self, y0: int, x0: int, plane: Rows, depth: NDArray[np.uint16]) -> None:
        """Keep a part of the combined plane and of its depth."""
        ending = f"_{self.group.label}" if self.group.label else ""
        self._on_grid(f"median{ending}", "f4", np.nan, "ELECTRONS/S").put(y0, x0, plane)
        self._on_grid(f"depth{ending}", "i2", 0, "EXPOSURES").put(y0, x0, depth)

    def blotted(self, exposure: int, chip: int, y0: int, rows: Rows) -> None:
        """Keep rows of a blotted plane."""
        number = self.group.members[exposure]
        pixels = self.keeper.exposures[number][chip].pixels
        name = f"{self.keeper.root(number)}_sci{pixels.extver}_blt"
        header = fits.Header({"BUNIT": "ELECTRONS"})
        self.keeper.image(name, pixels.shape, "f4", np.nan, header).put(y0, 0, rows)

    def masks(self, exposure: int, chip: int, hits: PackedMask, untested: PackedMask) -> None:
        """Keep the cosmic-ray mask of a chip and its untested pixels."""
        number = self.group.members[exposure]
        self.keeper.keep_mask(number, chip, "crmask", hits)
        self.keeper.keep_mask(number, chip, "untested", untested)

    def _on_grid(self, name: str, kind: str, fill: float, unit: str) -> RowImage:
        header = self.group.grid.header()
        header["BUNIT"] = unit
        return self.keeper.image(name, self.group.grid.shape, kind, fill, header)


def _write_masks(path: Path, masks: Mapping[int, PackedMask]) -> None:
    """Write a byte image for each chip, MASK with its EXTVER: 1 where set."""
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for extver, mask in sorted(masks.items()):
        image = mask.rows(0, mask.shape[0]).astype(np.uint8)
        hdu = fits.CompImageHDU(image, name="MASK", compression_type="PLIO_1")
        hdu.header["EXTVER"] = extver
        hdus.append(hdu)
    with open(path, "wb") as file:
        hdus.writeto(file)
        file.flush()
        os.fsync(file.fileno())


def root_of(path: Path) -> str:
    """Return the name of a file without what says that it is FITS."""
    return path.name.removesuffix(".gz").removesuffix(".fits")
