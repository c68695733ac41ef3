"""Input files made into prepared exposures: pixels, WCS, flux scales, moving targets."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType

from hapctl.processing.astrometry.exposure import hap_filter
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.errors import RefusedError, UnusableFileError
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.flux_epochs import FluxMember, on_one_scale
from hapctl.processing.imaging.flux_scale import FluxScale, check_one_scale, flux_scale
from hapctl.processing.imaging.grid import native_scale
from hapctl.processing.imaging.input_files import InputExposure
from hapctl.processing.imaging.moving_target import align_on_target, is_moving, target_position
from hapctl.processing.imaging.prepared import PreparedChip

Exposure = tuple[PreparedChip, ...]


@dataclass(frozen=True)
class OpenFiles:
    """Exposures open for drizzling; use as a context manager.

    Attributes
    ----------
    inputs : tuple of InputExposure
    exposures : tuple of tuples of PreparedChip
        The chips of each; context bits run over all of them.
    scales : tuple of FluxScale
        How the chips of each came to one flux scale.
    notes : tuple of str
        What was done to them that a user should know.
    """

    inputs: tuple[InputExposure, ...]
    exposures: tuple[Exposure, ...]
    scales: tuple[FluxScale, ...]
    notes: tuple[str, ...]
    _stack: ExitStack

    @property
    def chip_wcs(self) -> list[ChipWcs]:
        """The WCS of all chips, in order."""
        return [chip.wcs for exposure in self.exposures for chip in exposure]

    def __enter__(self) -> "OpenFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def open_files(inputs: list[InputExposure]) -> OpenFiles:
    """Open exposures by the primary WCS of their files.

    Parameters
    ----------
    inputs : list of InputExposure

    Returns
    -------
    OpenFiles
        UVIS and WFPC2 chips brought to one flux scale unless the file says they are, and so are exposures
        of one filter with different PHOTFLAM; solutions of a moving target carried so that the target
        falls together.

    Raises
    ------
    UnusableFileError
        A file can't be read, or has no WCS or IDCSCALE for a chip.
    RefusedError
        Some exposures are of a moving target, or their flux scales can't be made one.
    """
    with ExitStack() as stack:
        images = [stack.enter_context(ExposureImage(one.file.path)) for one in inputs]
        scales = [flux_scale(image.header, [chip.header for chip in image.chips]) for image in images]
        check_one_scale({str(image.path): scale for image, scale in zip(images, scales, strict=True)})
        scales = on_one_scale([_member(*one) for one in zip(inputs, images, scales, strict=True)])
        solutions, notes = _on_target(inputs, images)
        exposures: list[Exposure] = []
        for image, solution, scale in zip(images, solutions, scales, strict=True):
            first_bit = sum(map(len, exposures))
            exposures.append(_prepared(image, solution, scale, first_bit))
        notes += [
            f"{image.path.name}: chips brought to one flux scale"
            for image, scale in zip(images, scales, strict=True)
            if scale.equalised == "here"
        ]
        return OpenFiles(tuple(inputs), tuple(exposures), tuple(scales), tuple(notes), stack.pop_all())


def _member(one: InputExposure, image: ExposureImage, scale: FluxScale) -> FluxMember:
    """An exposure among those of its filter; one whose headers name none is alone."""
    camera = tuple(str(image.header.get(key, "")) for key in ("INSTRUME", "DETECTOR"))
    group = (*camera, hap_filter(one.filters)) if one.filters else (str(image.path),)
    return FluxMember(str(image.path), group, image.exposure_time, scale)


def _on_target(
    inputs: list[InputExposure], images: list[ExposureImage]
) -> tuple[list[WcsSolution], list[str]]:
    """Return the solutions, those of a moving target aligned on it."""
    solutions = [one.solution for one in inputs]
    moving = [is_moving(image.header) for image in images]
    if not any(moving):
        return solutions, []
    if not all(moving):
        still, following = images[moving.index(False)].path, images[moving.index(True)].path
        raise RefusedError(
            f"{following} follows a moving target (MTFLAG), {still} does not", "drizzle them apart"
        )
    targets = [
        target_position(image.header, image.chips[0].header, one.solution.rootname or image.path.name)
        for image, one in zip(images, inputs, strict=True)
    ]
    aligned = align_on_target(solutions, targets)
    notes = [f"aligned on the moving target by its {aligned.source} positions"] if len(inputs) > 1 else []
    return list(aligned.solutions), notes


def _prepared(image: ExposureImage, solution: WcsSolution, scale: FluxScale, first_bit: int) -> Exposure:
    by_extver = {chip.extver: chip for chip in solution.chips}
    chips = []
    for number, (pixels, factor) in enumerate(zip(image.chips, scale.factors, strict=True)):
        if pixels.extver not in by_extver:
            raise UnusableFileError(
                f"{image.path}: no WCS of SCI,{pixels.extver}", "update the WCS of the file"
            )
        wcs = by_extver[pixels.extver]
        try:
            native_scale(wcs)
            chip = PreparedChip(pixels, wcs, context_bit=first_bit + number)
        except UnusableFileError as error:
            raise UnusableFileError(
                f"{image.path}: {error.message}", "update the WCS of the file (stwcs.updatewcs)"
            ) from error
        chips.append(replace(chip, flux_factor=factor))
    return tuple(chips)
