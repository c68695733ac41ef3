"""Exposures taken from the catalog and opened: solution, pixels, sky, each found once a run."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from hapctl.archive.database import Catalog
from hapctl.archive.products import EligibleExposure
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin, WcsSolution
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.defaults import SkyParameters
from hapctl.processing.imaging.grid import native_scale
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.product_file import file_sha256
from hapctl.processing.imaging.sky import exposure_sky, sky_level
from hapctl.processing.pipeline.solution_store import solution_from_catalog

Masks = dict[int, PackedMask]


class OpenExposures:
    """Opens exposures on demand and keeps what was found; a context manager.

    Parameters
    ----------
    catalog : Catalog
    origin : {"hst", "fits"}
        Where lookup tables begin.
    """

    def __init__(self, catalog: Catalog, origin: LookupOrigin) -> None:
        self.catalog = catalog
        self.origin = origin
        self._stack = ExitStack()
        self._solutions: dict[int, WcsSolution] = {}
        self._images: dict[int, ExposureImage] = {}
        self._skies: dict[tuple[int, SkyParameters], tuple[float, ...]] = {}

    def solution(self, exposure: EligibleExposure) -> WcsSolution:
        """Return the solution in force, with its exact floats, from the catalog alone."""
        if exposure.solution_id not in self._solutions:
            with self.catalog.begin() as connection:
                found = solution_from_catalog(connection, exposure.solution_id)
            self._solutions[exposure.solution_id] = found
        return self._solutions[exposure.solution_id]

    def chip_wcs(self, exposures: tuple[EligibleExposure, ...]) -> list[ChipWcs]:
        """Return the WCS of all chips of some exposures, in order."""
        return [chip for exposure in exposures for chip in self.solution(exposure).chips]

    def image(self, exposure: EligibleExposure) -> ExposureImage:
        """Return the open file of an exposure, its content proven to be what was ingested.

        Raises
        ------
        UnusableFileError
            No place has the file, or its content is another.
        """
        if exposure.file_id not in self._images:
            opened = ExposureImage(_verified_path(exposure))
            self._stack.callback(opened.close)
            self._images[exposure.file_id] = opened
        return self._images[exposure.file_id]

    def sky(self, exposure: EligibleExposure, parameters: SkyParameters) -> tuple[float, ...]:
        """Return the sky of each chip, electrons per pixel; zeros where none is subtracted."""
        key = (exposure.file_id, parameters)
        if key not in self._skies:
            self._skies[key] = self._measured_sky(exposure, parameters)
        return self._skies[key]

    def _measured_sky(self, exposure: EligibleExposure, parameters: SkyParameters) -> tuple[float, ...]:
        image = self.image(exposure)
        if not parameters.subtract:
            return (0.0,) * len(image.chips)
        levels = [
            sky_level(chip.science(), chip.good(parameters.bits), parameters.statistic)
            for chip in image.chips
        ]
        return exposure_sky(levels, [native_scale(chip) for chip in self._paired(exposure)])

    def _paired(self, exposure: EligibleExposure) -> list[ChipWcs]:
        """Return the WCS of each chip of the file, in the order of the file."""
        by_extver = {chip.extver: chip for chip in self.solution(exposure).chips}
        chips = self.image(exposure).chips
        missing = [chip.extver for chip in chips if chip.extver not in by_extver]
        if missing:
            raise UnusableFileError(
                f"{exposure.rootname}: solution {exposure.wcsname} has no chip SCI,{missing[0]}",
                "put another solution in force (hapctl wcs list, activate)",
            )
        return [by_extver[chip.extver] for chip in chips]

    def prepared(
        self,
        exposure: EligibleExposure,
        parameters: SkyParameters,
        masks: Masks | None = None,
        first_bit: int = 0,
    ) -> list[PreparedChip]:
        """Return the chips of an exposure ready for drizzling; context bits count from ``first_bit``."""
        image, sky = self.image(exposure), self.sky(exposure, parameters)
        return [
            PreparedChip(pixels, wcs, level, first_bit + i, (masks or {}).get(pixels.extver))
            for i, (pixels, wcs, level) in enumerate(
                zip(image.chips, self._paired(exposure), sky, strict=True)
            )
        ]

    def __enter__(self) -> "OpenExposures":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _verified_path(exposure: EligibleExposure) -> Path:
    present = [path for path in map(Path, exposure.paths) if path.is_file()]
    if not present:
        where = exposure.paths[0] if exposure.paths else "no known place"
        raise UnusableFileError(
            f"{exposure.rootname}: its file is not there ({where})",
            "say where the root is now (hapctl root move), or ingest the file again",
        )
    for path in present:
        if path.stat().st_size == exposure.size_bytes and file_sha256(path) == exposure.file_sha256:
            return path
    raise UnusableFileError(
        f"{present[0]}: its content is no longer what was ingested", "ingest it again, or restore the file"
    )
