"""Exposures taken from the catalog and opened: solution, pixels, flux scale, each found once a run."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from hapctl.archive.database import Catalog
from hapctl.archive.products import EligibleExposure
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin, WcsSolution
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.flux_epochs import FluxMember, check_epochs, on_one_scale
from hapctl.processing.imaging.flux_scale import FluxScale, check_one_scale, flux_scale
from hapctl.processing.imaging.mask_file import PackedMask, read_mask
from hapctl.processing.imaging.plane_store import new_masks
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.product_file import file_sha256
from hapctl.processing.pipeline.solution_store import solution_from_catalog

COSMIC_RAY_FLAG = 4096
"""DQ flag of cosmic rays found before: a mask of ours counts in its place, if the chip was tested at all."""


@dataclass(frozen=True)
class MaskInUse:
    """What a drizzle takes of the masks of a chip: two bits a pixel, and whether any pixel was tested."""

    hits: PackedMask
    static: PackedMask
    tested: bool


Masks = Mapping[int, MaskInUse]
"""By EXTVER."""


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

    def solution(self, exposure: EligibleExposure) -> WcsSolution:
        """Return the solution in force, with its exact floats, from the catalog alone."""
        if exposure.solution_id not in self._solutions:
            with self.catalog.begin() as connection:
                found = solution_from_catalog(connection, exposure.solution_id)
            self._solutions[exposure.solution_id] = found
        return self._solutions[exposure.solution_id]

    def chip_wcs(self, exposures: Sequence[EligibleExposure]) -> list[ChipWcs]:
        """Return the WCS of all chips of some exposures, in order."""
        return [chip for exposure in exposures for chip in self.solution(exposure).chips]

    def shapes(self, exposures: Sequence[EligibleExposure]) -> list[list[tuple[int, int]]]:
        """Return (ny, nx) of the chips of some exposures, from the catalog alone."""
        return [[chip.shape for chip in self.solution(exposure).chips] for exposure in exposures]

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

    def source(self, exposure: EligibleExposure) -> Path:
        """Return the place of the file of an exposure, its content proven to be what was ingested.

        Raises
        ------
        UnusableFileError
            No place has the file, or its content is another.
        """
        return _verified_path(exposure)

    def flux_scale(self, exposure: EligibleExposure) -> FluxScale:
        """Return how the chips of an exposure come to one flux scale."""
        image = self.image(exposure)
        return flux_scale(image.header, [chip.header for chip in image.chips])

    def flux_scales(self, exposures: Sequence[EligibleExposure]) -> list[FluxScale]:
        """Return how the chips of exposures that are combined come to one flux scale, filter by filter.

        Raises
        ------
        RefusedError
            Those of some can't be brought to the scale of the others.
        """
        members = [
            FluxMember(
                one.rootname,
                (one.instrument, one.detector, one.filter),
                one.exposure_time,
                self.flux_scale(one),
            )
            for one in exposures
        ]
        check_one_scale({one.name: one.scale for one in members})
        check_epochs(members)
        return on_one_scale(members)

    def masks(
        self, exposures: Sequence[EligibleExposure], paths: Mapping[str, Path], scratch: Path
    ) -> dict[str, Masks]:
        """Read masks, for `prepared`: many of them into an unlinked scratch file.

        Parameters
        ----------
        exposures : sequence of EligibleExposure
        paths : mapping of str to Path
            Files of masks by rootname; exposures without one are left out.
        scratch : Path
            Folder of the scratch file.

        Raises
        ------
        TooLargeError
            The disk has no room for the scratch file.
        UnusableFileError
            A file is damaged, or is not of the chips of its exposure.
        """
        masked = [one for one in exposures if one.rootname in paths]
        shapes = [shape for chips in self.shapes(masked) for shape in chips]
        rooms = iter(new_masks([shape for shape in shapes for _ in ("hits", "static")], folder=scratch))
        found: dict[str, Masks] = {}
        for exposure in masked:
            path, masks = paths[exposure.rootname], read_mask(paths[exposure.rootname])
            kept = {}
            for chip in self.solution(exposure).chips:
                mask, hits, static = masks.get(chip.extver), next(rooms), next(rooms)
                if mask is None or mask.hits.shape != hits.shape:
                    raise UnusableFileError(
                        f"{path}: no mask of SCI,{chip.extver} of {exposure.rootname}",
                        "make it again (mosaic)",
                    )
                hits.bits[:] = mask.hits.bits
                if mask.static is not None:
                    static.bits[:] = mask.static.bits
                kept[chip.extver] = MaskInUse(hits, static, mask.tested)
            found[exposure.rootname] = kept
        return found

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
        self, exposures: Sequence[EligibleExposure], masks: Mapping[str, Masks] | None = None
    ) -> list[list[PreparedChip]]:
        """Return the chips of exposures, all but their sky; context bits count through the set.

        Parameters
        ----------
        exposures : sequence of EligibleExposure
        masks : mapping of str to mapping of int to MaskInUse, optional
            By rootname and EXTVER.

        Raises
        ------
        RefusedError
            Some can't be brought to the flux scale of the others.
        """
        found: list[list[PreparedChip]] = []
        for exposure, scale in zip(exposures, self.flux_scales(exposures), strict=True):
            first_bit = sum(map(len, found))
            found.append(self._chips(exposure, scale, (masks or {}).get(exposure.rootname, {}), first_bit))
        return found

    def _chips(
        self, exposure: EligibleExposure, scale: FluxScale, masks: Masks, first_bit: int
    ) -> list[PreparedChip]:
        chips = []
        parts = zip(self.image(exposure).chips, self._paired(exposure), scale.factors, strict=True)
        for number, (pixels, wcs, factor) in enumerate(parts):
            chip = PreparedChip(pixels, wcs, context_bit=first_bit + number, flux_factor=factor)
            mask = masks.get(pixels.extver)
            if mask is not None:
                reset = COSMIC_RAY_FLAG if mask.tested else 0
                pixels = replace(pixels, reset_bits=reset)
                chip = replace(chip, pixels=pixels, hits=mask.hits, static=mask.static)
            chips.append(chip)
        return chips

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
