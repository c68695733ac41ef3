"""Catalogs of sources for people: made by the finder or read from a list, filtered, plotted, saved.

A catalog never changes: what narrows it or adds to it returns a new one. Columns that a list does not have
are NaN (flags: 0). Pixels are 0-based; files say where theirs begin (`catalog_files`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.astrometry.detection import UNFIT, Detections, SourceFlag, detect_sources
from hapctl.processing.astrometry.ds9_regions import RegionList
from hapctl.processing.astrometry.mapping import pixel_to_sky, sky_to_pixel
from hapctl.processing.astrometry.peak_finding import DetectionSettings, peak_of, roundness_of
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin, WcsSolution
from hapctl.processing.errors import UsageProblemError
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from hapctl.processing.astrometry.source_list import SourceList

Array = NDArray[np.float64]
Range = tuple[float | None, float | None]
"""Least and greatest value that stay; None leaves an end open."""

FLOAT_COLUMNS = (
    "x", "y", "x_err", "y_err", "ra", "dec", "flux", "snr", "magnitude", "peak", "sharpness", "roundness",
)  # fmt: skip


@dataclass(frozen=True)
class SourceCatalog:
    """Sources of a chip, an exposure, a product, or of a user's list; arrays have shape (n,).

    Attributes
    ----------
    x, y : ndarray
        0-based pixels of the chip; NaN in a list of sky positions.
    extver : ndarray of int
        Version of the SCI extension; 0 where a list does not say.
    x_err, y_err : ndarray
        Standard errors, pixels.
    ra, dec : ndarray
        ICRS degrees; NaN without a WCS.
    flux, snr : ndarray
        Flux (units of the image) and its ratio to its error.
    magnitude : ndarray
        -2.5 log10 of the flux per second, or the list's own.
    peak : ndarray
        The pixel that holds the position, units of the image, background and all.
    sharpness, roundness : ndarray
        As `detection.Detections` and `peak_finding.roundness_of` define them; a star has about 1 and 0.
    flags : ndarray, int32
        `SourceFlag` bits; a list's own are taken as such.
    name : str
        The file, for titles and messages.
    shapes : mapping of int to tuple
        (ny, nx) of the chips searched, by extver, where known.

    Examples
    --------
    >>> catalog = SourceCatalog.from_columns(x=[10.0, 20.5], y=[3.0, 4.0], flux=[100.0, 900.0])
    >>> catalog.brightest(1).x
    array([20.5])
    """

    x: Array
    y: Array
    extver: NDArray[np.int64]
    x_err: Array
    y_err: Array
    ra: Array
    dec: Array
    flux: Array
    snr: Array
    magnitude: Array
    peak: Array
    sharpness: Array
    roundness: Array
    flags: NDArray[np.int32]
    name: str = ""
    shapes: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def from_columns(
        cls,
        *,
        extver: ArrayLike = 0,
        flags: ArrayLike = 0,
        name: str = "",
        shapes: Mapping[int, tuple[int, int]] | None = None,
        **columns: ArrayLike,
    ) -> "SourceCatalog":
        """Make a catalog of the columns there are (`FLOAT_COLUMNS`); the others become NaN.

        Raises
        ------
        UsageProblemError
            A column is unknown, their lengths differ, or there is neither x, y nor ra, dec.
        """
        unknown = set(columns) - set(FLOAT_COLUMNS)
        if unknown or not ({"x", "y"} <= set(columns) or {"ra", "dec"} <= set(columns)):
            raise UsageProblemError(
                f"columns {', '.join(sorted(columns))} make no catalog", "give x and y, or ra and dec"
            )
        arrays = {key: np.asarray(value, dtype=np.float64).ravel() for key, value in columns.items()}
        count = len(next(iter(arrays.values())))
        if any(len(array) != count for array in arrays.values()):
            raise UsageProblemError("columns of a catalog differ in length", "give one value for each source")
        missing = np.full(count, np.nan)
        return cls(
            **{key: arrays.get(key, missing) for key in FLOAT_COLUMNS},
            extver=np.broadcast_to(np.asarray(extver, dtype=np.int64), count).copy(),
            flags=np.broadcast_to(np.asarray(flags, dtype=np.int32), count).copy(),
            name=name,
            shapes=dict(shapes or {}),
        )

    @classmethod
    def from_detections(
        cls,
        found: Detections,
        *,
        extver: int = 1,
        exposure_time: float = 1.0,
        image: NDArray[np.float32] | None = None,
        name: str = "",
    ) -> "SourceCatalog":
        """Make a catalog of what the finder found on one chip.

        Parameters
        ----------
        found : Detections
        extver : int
        exposure_time : float
            Seconds.
        image : ndarray, shape (ny, nx), optional
            The pixels, for peak and roundness.
        name : str
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            magnitude = -2.5 * np.log10(found.flux / exposure_time)
        columns = {key: getattr(found, key) for key in FLOAT_COLUMNS if hasattr(found, key)}
        if image is not None:
            columns["roundness"] = roundness_of(image, found.x, found.y)
            columns["peak"] = peak_of(image, found.x, found.y)
        return cls.from_columns(
            **columns,
            magnitude=magnitude,
            flags=found.flags,
            extver=extver,
            name=name,
            shapes={} if image is None else {extver: (image.shape[0], image.shape[1])},
        )

    @classmethod
    def from_chip(
        cls,
        science: NDArray[np.float32],
        error: NDArray[np.float32] | None = None,
        quality: NDArray[np.integer] | None = None,
        settings: DetectionSettings | None = None,
        *,
        extver: int = 1,
        exposure_time: float = 1.0,
        name: str = "",
    ) -> "SourceCatalog":
        """Find and measure the sources of an image.

        Parameters
        ----------
        science, error, quality : ndarray, shape (ny, nx)
            As `detection.detect_sources` takes them; without errors the scatter of the background is
            taken, without quality all finite pixels are good.
        settings : DetectionSettings, optional
        extver : int
        exposure_time : float
            Seconds; magnitudes are of the flux over it.
        name : str
        """
        noise = np.zeros_like(science) if error is None else error
        flags = np.zeros(science.shape, dtype=np.uint16) if quality is None else quality
        found = detect_sources(science, noise, flags, settings)
        return cls.from_detections(
            found, extver=extver, exposure_time=exposure_time, image=science, name=name
        )

    @classmethod
    def joined(cls, catalogs: Sequence["SourceCatalog"], name: str = "") -> "SourceCatalog":
        """Put catalogs of several chips one after another."""
        if not catalogs:
            return cls.from_columns(x=[], y=[], name=name)
        columns = {key: np.concatenate([getattr(c, key) for c in catalogs]) for key in _columns()}
        shapes = {extver: shape for c in catalogs for extver, shape in c.shapes.items()}
        return cls(**columns, name=name or catalogs[0].name, shapes=shapes)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which sources bear no flag that keeps them from a fit."""
        return (self.flags & int(UNFIT)) == 0

    @property
    def has_pixels(self) -> bool:
        """Whether every source has a place on a chip."""
        return bool(np.isfinite(self.x).all() and np.isfinite(self.y).all())

    @property
    def has_sky(self) -> bool:
        """Whether every source has a place on the sky."""
        return bool(np.isfinite(self.ra).all() and np.isfinite(self.dec).all())

    def by_chip(self) -> "Iterator[tuple[int, SourceCatalog]]":
        """Each extver with its sources, in order."""
        for extver in np.unique(self.extver):
            yield int(extver), self.chosen(self.extver == extver)

    def chosen(self, keep: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "SourceCatalog":
        """The sources that a mask, indices or a slice select, in their order."""
        return replace(self, **{key: getattr(self, key)[keep] for key in _columns()})

    def filtered(
        self,
        *,
        flux: Range | None = None,
        snr: Range | None = None,
        magnitude: Range | None = None,
        peak: Range | None = None,
        sharpness: Range | None = None,
        roundness: Range | None = None,
        without: SourceFlag | int = 0,
        box: tuple[float, float, float, float] | None = None,
    ) -> "SourceCatalog":
        """The sources within all ranges given, ends included; a source without a value goes.

        Parameters
        ----------
        flux, snr, magnitude, peak, sharpness, roundness : (least, greatest), optional
            None leaves an end open.
        without : SourceFlag
            Sources with one of these flags go.
        box : (x0, y0, x1, y1), optional
            0-based pixels, ends included, on every chip.
        """
        ranges = {"flux": flux, "snr": snr, "magnitude": magnitude, "peak": peak}
        ranges |= {"sharpness": sharpness, "roundness": roundness}
        if box is not None:
            ranges |= {"x": (box[0], box[2]), "y": (box[1], box[3])}
        keep = (self.flags & int(without)) == 0
        for column, limits in ranges.items():
            if limits is not None and limits != (None, None):
                keep &= _within(getattr(self, column), limits)
        return self.chosen(keep)

    def brightest(self, count: int) -> "SourceCatalog":
        """The brightest so many by flux, brightest first; by magnitude where there is no flux.

        TweakReg's nbright.
        """
        key = -self.flux if np.isfinite(self.flux).any() else self.magnitude
        return self.chosen(np.argsort(key, kind="stable")[: max(count, 0)])

    def included(self, regions: RegionList, extver: int | None = None) -> "SourceCatalog":
        """The sources inside the shapes of a region file, without those of its shapes marked ``-``.

        Where all shapes are marked ``-`` everything else stays (as TweakReg's exclusions do).

        Parameters
        ----------
        regions : RegionList
        extver : int, optional
            Only the sources of this chip are looked at; the others stay.
        """
        return self.chosen(self._judged(regions.included, regions, extver))

    def excluded(self, regions: RegionList, extver: int | None = None) -> "SourceCatalog":
        """The sources outside all shapes, whatever their sign; parameters as in `included`."""
        return self.chosen(~self._judged(regions.touched, regions, extver, others=False))

    def with_sky(self, solution: WcsSolution, origin: LookupOrigin = "hst") -> "SourceCatalog":
        """The same sources with ra and dec by a WCS.

        Raises
        ------
        UsageProblemError
            A source lies on a chip that the solution lacks, or has no pixels.
        """
        ra, dec = np.full(len(self), np.nan), np.full(len(self), np.nan)
        for chip, here in self._on_chips(solution):
            ra[here], dec[here] = pixel_to_sky(chip, self.x[here], self.y[here], origin)
        return replace(self, ra=ra, dec=dec)

    def with_pixels(self, chip: ChipWcs, origin: LookupOrigin = "hst") -> "SourceCatalog":
        """The sources of a list of sky positions that fall on a chip, with their pixels."""
        x, y = sky_to_pixel(chip, self.ra, self.dec, origin)
        ny, nx = chip.shape
        inside = (x >= -0.5) & (x < nx - 0.5) & (y >= -0.5) & (y < ny - 0.5)
        extver = np.full(len(self), chip.extver, dtype=np.int64)
        shapes = {**self.shapes, chip.extver: chip.shape}
        return replace(self, x=x, y=y, extver=extver, shapes=shapes).chosen(inside)

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write DS9 regions where the name ends in ``.reg``, else ECSV (`catalog_files.write_catalog`)."""
        from hapctl.processing.astrometry.catalog_files import write_catalog

        return write_catalog(path, self, overwrite=overwrite)

    def plot(self, path: Path | str, images: Mapping[int, NDArray[np.float32]] | None = None) -> None:
        """Draw the sources, on the chips' images if given, as PNG, PDF or SVG (`catalog_plots`)."""
        from hapctl.processing.astrometry.catalog_plots import source_picture
        from hapctl.processing.astrometry.figure_style import save

        save(source_picture(self, images), Path(path))

    def source_list(
        self,
        solution: WcsSolution,
        *,
        default_error: float = 0.1,
        most: int | None = None,
        origin: LookupOrigin = "hst",
    ) -> "SourceList":
        """The sources on the sky by a WCS, brightest first, as matching takes them.

        Parameters
        ----------
        solution : WcsSolution
        default_error : float
            Pixels per coordinate, for sources without errors.
        most : int, optional
            The brightest so many are kept.
        """
        from hapctl.processing.astrometry.source_list import SourceList

        ordered = self.brightest(len(self) if most is None else most).with_sky(solution, origin)
        scale = np.zeros(len(ordered))
        for chip, here in ordered._on_chips(solution):
            scale[here] = 3600.0 * np.sqrt(abs(np.linalg.det(chip.cd_matrix)))
        errors = np.sqrt(0.5 * (ordered.x_err**2 + ordered.y_err**2))
        errors = scale * np.where(np.isfinite(errors), errors, default_error)
        return SourceList(
            ordered.extver, ordered.x, ordered.y, ordered.ra, ordered.dec,
            errors, ordered.magnitude, ordered.snr, len(self),
        )  # fmt: skip

    def _on_chips(self, solution: WcsSolution) -> Iterator[tuple[ChipWcs, NDArray[np.bool_]]]:
        if not self.has_pixels:
            raise UsageProblemError(f"{self.name or 'the catalog'} has no pixels", "give a list of x and y")
        chips = {chip.extver: chip for chip in solution.chips}
        if len(chips) == 1 and not self.extver.any():
            yield solution.chips[0], np.ones(len(self), dtype=bool)
            return
        for extver in np.unique(self.extver):
            if int(extver) not in chips:
                raise UsageProblemError(
                    f"{self.name or 'the catalog'}: {solution.rootname} has no chip SCI,{extver}",
                    "say by a column extver, or when reading the list, on which chip the sources lie",
                )
            yield chips[int(extver)], self.extver == extver

    def _judged(
        self,
        judge: Callable[[Array, Array, Array, Array], NDArray[np.bool_]],
        regions: RegionList,
        extver: int | None,
        others: bool = True,
    ) -> NDArray[np.bool_]:
        if regions.in_pixels and not self.has_pixels:
            raise UsageProblemError(f"{regions.name}: the catalog has no pixels", "give regions on the sky")
        if regions.on_sky and not self.has_sky:
            raise UsageProblemError(f"{regions.name}: the catalog has no sky positions", "give it a WCS")
        looked_at = np.ones(len(self), dtype=bool) if extver is None else self.extver == extver
        result = np.full(len(self), others)
        result[looked_at] = judge(
            self.x[looked_at], self.y[looked_at], self.ra[looked_at], self.dec[looked_at]
        )
        return result


def _columns() -> tuple[str, ...]:
    return tuple(f.name for f in fields(SourceCatalog) if f.name not in ("name", "shapes"))


def _within(values: Array, limits: Range) -> NDArray[np.bool_]:
    least, greatest = limits
    inside = np.isfinite(values)
    if least is not None:
        inside &= values >= least
    if greatest is not None:
        inside &= values <= greatest
    return inside
