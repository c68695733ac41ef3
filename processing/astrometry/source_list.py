"""The sources of an exposure on the sky that may be matched: what detections become by a WCS."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.detection import Detections
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.peak_finding import DetectionSettings
from hapctl.processing.astrometry.plane import TangentPlane, sky_positions, unit_vectors
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin, WcsSolution
from numpy.typing import NDArray

Array = NDArray[np.float64]

GALAXY_ERROR = 0.15
"""Error of a galaxy's position, pixels."""
FEW_PSF_STARS = 20
UNDERSAMPLED = 1.4
PHASE_ERROR = 0.08
"""Pixels, in quadrature to the errors where the PSF is narrower (FWHM, pixels) and made of fewer stars: what
the place within a pixel does is not known then, nor which sources are compact galaxies. Eight WFC3/IR images
of GOODS-S agree with it (chi-squared per degree of freedom 0.85, without it 1.3)."""
LARGEST_ERROR = 0.3
"""Pixels; a source of a larger error is left out: it would say next to nothing of the exposure's place, and
agree with anything near it."""
CCD_BAD = 1 | 2 | 4 | 8 | 128 | 512 | 8192
"""DQ bits of CCD pixels that tell nothing: lost, filled, bad, masked, bad bias or flat, cosmic ray."""
_SETTINGS = {
    "WFC": DetectionSettings(fwhm=2.0, bad_bits=CCD_BAD),
    "HRC": DetectionSettings(fwhm=2.0, bad_bits=CCD_BAD),
    "SBC": DetectionSettings(fwhm=3.0, bad_bits=CCD_BAD, saturated_bits=256),
    "UVIS": DetectionSettings(fwhm=1.9, bad_bits=CCD_BAD),
    # 512 are blobs in the flat field and 8192 corrected cosmic rays: the pixels are good for positions
    "IR": DetectionSettings(fwhm=1.3, bad_bits=1 | 4 | 8 | 32 | 128, saturated_bits=256),
    # WFPC2, its three coarse chips too (1.3 pixels): 2 are borders, 8 the converter's end, 512 warm pixels
    "PC": DetectionSettings(
        fwhm=1.6, bad_bits=1 | 2 | 4 | 16 | 32 | 128 | 256, saturated_bits=8, hot_bits=512
    ),
    "CCD": DetectionSettings(fwhm=1.7, bad_bits=CCD_BAD),
}


def detection_settings(detector: str) -> DetectionSettings:
    """Return the settings of the finder for a detector (WFC, HRC, SBC, UVIS, IR, PC, CCD)."""
    return _SETTINGS.get(detector, DetectionSettings())


@dataclass(frozen=True)
class SourceList:
    """The sources of an exposure that may be matched, brightest first; arrays have shape (n,).

    Attributes
    ----------
    extver : ndarray of int
        Chip.
    x, y : ndarray
        0-based pixels.
    ra, dec : ndarray
        By the WCS given, degrees.
    errors : ndarray
        Standard error of a coordinate, arcsec.
    magnitudes : ndarray
        -2.5 log10 of the counts per second.
    snr : ndarray
    detected : int
        How many sources were found, usable or not.
    """

    extver: NDArray[np.int64]
    x: Array
    y: Array
    ra: Array
    dec: Array
    errors: Array
    magnitudes: Array
    snr: Array
    detected: int

    def __len__(self) -> int:
        return len(self.x)

    def in_plane(self, plane: TangentPlane) -> StarList:
        """The sources as a list of stars in a plane, in the same order."""
        return StarList(plane.project_sky(self.ra, self.dec), self.errors, self.magnitudes)


def source_list(
    solution: WcsSolution,
    detections: Sequence[Detections],
    exposure_time: float,
    *,
    most: int,
    origin: LookupOrigin = "hst",
) -> SourceList:
    """Bring the alignable detections of all chips to the sky.

    Galaxies come with an error of 0.15 pixel at least: a fit of the PSF finds their peaks no better. Sources
    of an error above 0.3 pixel are left out.

    Parameters
    ----------
    solution : WcsSolution
    detections : sequence of Detections
        One for each chip of the solution, in its order.
    exposure_time : float
        Seconds.
    most : int
        The brightest so many are kept.
    origin : {"hst", "fits"}
        Where lookup tables begin.
    """
    parts = [
        _chip_columns(chip, found.chosen(found.alignable), exposure_time, origin)
        for chip, found in zip(solution.chips, detections, strict=True)
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    brightest = np.argsort(columns[6], kind="stable")[:most]
    extver, x, y, ra, dec, errors, magnitudes, snr = (column[brightest] for column in columns)
    detected = sum(map(len, detections))
    return SourceList(extver.astype(np.int64), x, y, ra, dec, errors, magnitudes, snr, detected)


def _chip_columns(
    chip: ChipWcs, found: Detections, exposure_time: float, origin: LookupOrigin
) -> tuple[Array, ...]:
    ra, dec = pixel_to_sky(chip, found.x, found.y, origin)
    scale = 3600.0 * float(np.sqrt(abs(np.linalg.det(chip.cd_matrix))))
    errors = scale * np.sqrt(0.5 * (found.x_err**2 + found.y_err**2))
    if found.fwhm < UNDERSAMPLED and found.psf_stars < FEW_PSF_STARS:
        errors = np.hypot(errors, PHASE_ERROR * scale)
    errors = np.where(found.usable, errors, np.hypot(errors, GALAXY_ERROR * scale))
    magnitudes = -2.5 * np.log10(found.flux / max(exposure_time, 1e-3))
    extver = np.full(len(found), float(chip.extver))
    columns = extver, found.x, found.y, ra, dec, errors, magnitudes, found.snr
    good = errors <= LARGEST_ERROR * scale
    return tuple(column[good] for column in columns)


def middle_of(solutions: Sequence[WcsSolution], origin: LookupOrigin = "hst") -> TangentPlane:
    """The plane that touches the sky in the middle of all chips of some solutions."""
    vectors = [
        unit_vectors(
            *pixel_to_sky(chip, np.array([chip.shape[1] / 2]), np.array([chip.shape[0] / 2]), origin)
        )
        for solution in solutions
        for chip in solution.chips
    ]
    ra, dec = sky_positions(np.sum(vectors, axis=0))
    return TangentPlane(float(ra[0]), float(dec[0]))
