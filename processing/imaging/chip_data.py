"""Pixels of an exposure file, read by blocks of rows: SCI, ERR and DQ of every chip.

Nothing is held beyond the rows asked for (`image_planes`). Reads may come from several threads at once.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
from astropy.io import fits
from hapctl.processing.dq_flags import ALL_FLAGS, Bits, bad_flags
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.detector_units import (
    chip_number,
    electrons_per_unit,
    exposure_seconds,
    read_noise,
)
from hapctl.processing.imaging.image_planes import FileBytes, ImagePlane, image_plane
from hapctl.processing.imaging.wfpc2_planes import (
    Planes,
    is_waiver,
    quality_file,
    quality_planes,
    waiver_planes,
)
from numpy.typing import NDArray

_ALL_COLUMNS = slice(None)
_NO_FLAGS = np.empty((0, 0), dtype=np.uint16)


@dataclass(frozen=True)
class ChipPixels:
    """The arrays of one chip.

    Attributes
    ----------
    extver, chip : int
        Version of the SCI extension; CCDCHIP (WFPC2: DETECTOR).
    shape : tuple of int
        (ny, nx).
    header : fits.Header
        Of the SCI extension.
    exposure_time : float
        Seconds.
    electrons_per_unit : float
        What a SCI value is multiplied by to give electrons.
    read_noise : float
        Electrons, of the amplifiers that read this chip; 0 where the header has none.
    primary : fits.Header
        Of the file.
    reset_bits : int
        DQ flags that are cleared as they are read.
    """

    extver: int
    chip: int
    shape: tuple[int, int]
    header: fits.Header = field(repr=False)
    exposure_time: float
    electrons_per_unit: float
    read_noise: float
    _science: ImagePlane = field(repr=False)
    _error: ImagePlane | None = field(repr=False)
    _quality: ImagePlane | None = field(repr=False)
    primary: fits.Header = field(default_factory=fits.Header, repr=False)
    reset_bits: int = 0

    @property
    def path(self) -> Path:
        """The file that holds the chip."""
        return self._science.source.path

    def science(
        self, first: int = 0, last: int | None = None, columns: slice = _ALL_COLUMNS, step: int = 1
    ) -> NDArray[np.float32]:
        """Return rows ``first:last:step`` of SCI in electrons, float32."""
        rows = self._science.read(first, self.shape[0] if last is None else last, np.float32, columns, step)
        return self._in_electrons(rows)

    def error(
        self, first: int = 0, last: int | None = None, columns: slice = _ALL_COLUMNS
    ) -> NDArray[np.float32] | None:
        """Return rows of ERR in electrons, float32; None where the file has no ERR."""
        if self._error is None:
            return None
        return self._in_electrons(
            self._error.read(first, self.shape[0] if last is None else last, np.float32, columns)
        )

    def stored_error(self, first: int, last: int, left: int, right: int) -> NDArray[np.uint32] | None:
        """Return ERR of a block as `stored_block` does SCI; None where it is stored in another form."""
        if self._error is None or not self._error.plain(">f4"):
            return None
        return self._error.stored(first, last, left, right).view(np.uint32)

    def quality(
        self, first: int = 0, last: int | None = None, columns: slice = _ALL_COLUMNS, step: int = 1
    ) -> NDArray[np.uint16]:
        """Return rows ``first:last:step`` of DQ, uint16; zeros where the file has no DQ."""
        last = self.shape[0] if last is None else last
        if self._quality is None:
            return np.zeros((len(range(first, last, step)), self.shape[1]), dtype=np.uint16)[:, columns]
        # int16 on disk: the sign bit is a flag like any other
        flags = self._quality.read(first, last, np.int32, columns, step).astype(np.uint16)
        return flags & np.uint16(ALL_FLAGS & ~self.reset_bits) if self.reset_bits else flags

    def good(
        self,
        bits: Bits,
        first: int = 0,
        last: int | None = None,
        columns: slice = _ALL_COLUMNS,
        step: int = 1,
    ) -> NDArray[np.bool_]:
        """Return where DQ holds no flag but those of ``bits`` (`bad_flags`), rows ``first:last:step``."""
        bad = bad_flags(bits) & ~self.reset_bits
        if bad == 0:
            last = self.shape[0] if last is None else last
            return np.ones((len(range(first, last, step)), self.shape[1]), dtype=np.bool_)[:, columns]
        return (self.quality(first, last, columns, step) & np.uint16(bad)) == 0

    def rejected_flags(self, bits: Bits) -> int:
        """Return the DQ flags that make a pixel bad: 0 where none counts or the file has no DQ."""
        return bad_flags(bits) & ~self.reset_bits if self._quality is not None else 0

    def stored_block(
        self, bad: int, first: int, last: int, left: int, right: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint16]] | None:
        """Return SCI and DQ of a block as they lie in the file, for kernels that take them so.

        Parameters
        ----------
        bad : int
            Flags asked for (`rejected_flags`).

        Returns
        -------
        raw : ndarray, shape (last - first, right - left), uint32
            Bytes of big-endian float32.
        flags : ndarray, uint16
            Big-endian; shape (0, 0) where no flag counts.

        None where the file stores them in another form.
        """
        if not self._science.plain(">f4"):
            return None
        if not bad or self._quality is None:
            return self._science.stored(first, last, left, right).view(np.uint32), _NO_FLAGS
        if not self._quality.plain(">i2"):
            return None
        return (
            self._science.stored(first, last, left, right).view(np.uint32),
            self._quality.stored(first, last, left, right).view(np.uint16),
        )

    def _in_electrons(self, rows: NDArray[np.generic]) -> NDArray[np.float32]:
        electrons = rows.astype(np.float32, copy=False)
        if self.electrons_per_unit != 1.0:
            electrons *= np.float32(self.electrons_per_unit)
        return electrons


class ExposureImage:
    """An open exposure file: primary header and chips in order of extver.

    Parameters
    ----------
    path : path
        A multi-extension file with SCI, ERR and DQ, plain or gzipped. The flags of WFPC2 are read from the
        c1m file beside a c0m; WFPC2's old cubes (c0f, with c1f) are read as well.

    Raises
    ------
    UnusableFileError
        The file is damaged or has no SCI image.

    Examples
    --------
    >>> with ExposureImage("j8bt06nyq_flt.fits") as exposure:  # doctest: +SKIP
    ...     rows = exposure.chips[0].science(0, 64)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._bytes = FileBytes(self.path)
        try:
            self.header, self.chips = _read_structure(self._bytes)
        except UnusableFileError:
            self.close()
            raise
        except (OSError, KeyError, ValueError, TypeError) as error:
            self.close()
            raise UnusableFileError(f"{self.path}: cannot be read as an exposure: {error}") from error

    @property
    def exposure_time(self) -> float:
        """Seconds of the whole exposure."""
        return float(self.header.get("EXPTIME") or sum(chip.exposure_time for chip in self.chips[:1]))

    def close(self) -> None:
        """Release the scratch space of a gzipped file."""
        self._bytes.close()

    def __enter__(self) -> "ExposureImage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read_structure(source: FileBytes) -> tuple[fits.Header, tuple[ChipPixels, ...]]:
    with source.open_fits() as hdus:
        primary = hdus[0].header.copy()
        planes, headers = waiver_planes(source, hdus) if is_waiver(hdus) else _extensions(source, hdus)
    if not headers:
        raise UnusableFileError(f"{source.path}: no SCI image")
    flags = quality_file(source.path) if primary.get("INSTRUME") == "WFPC2" else None
    if flags is not None and ("DQ", min(headers)) not in planes:
        planes.update(quality_planes(source.beside(flags)))
    return primary, tuple(_chip(primary, headers[ver], planes, ver) for ver in sorted(headers))


def _extensions(source: FileBytes, hdus: fits.HDUList) -> tuple[Planes, dict[int, fits.Header]]:
    planes: Planes = {}
    headers: dict[int, fits.Header] = {}
    for hdu in hdus[1:]:
        key = (hdu.name, int(hdu.ver))
        if hdu.name in ("SCI", "ERR", "DQ") and key not in planes:
            planes[key] = image_plane(source, hdu, f"{hdu.name},{hdu.ver}")
            if hdu.name == "SCI":
                headers[key[1]] = hdu.header.copy()
    return planes, headers


def _chip(primary: fits.Header, header: fits.Header, planes: Planes, extver: int) -> ChipPixels:
    science = planes["SCI", extver]
    for name in ("ERR", "DQ"):
        if (name, extver) in planes and planes[name, extver].shape != science.shape:
            raise UnusableFileError(f"{science.source.path}[{name},{extver}]: shape differs from SCI")
    try:
        exposure_time = exposure_seconds(primary, header)
        units = (electrons_per_unit(primary, header, exposure_time), read_noise(primary, header))
    except UnusableFileError as error:
        where = f"{science.source.path}[SCI,{extver}]"
        raise UnusableFileError(f"{where}: {error.message}", error.remedy) from error
    return ChipPixels(
        extver,
        chip_number(header),
        science.shape,
        header,
        exposure_time,
        *units,
        science,
        planes.get(("ERR", extver)),
        planes.get(("DQ", extver)),
        primary,
    )
