"""What goes into the alignment of a visit: exposures, where they begin, sources, reference stars."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Any

import numpy as np
from hapctl.archive.gaia import GaiaSources
from hapctl.archive.gaia_rows import answer_sha256
from hapctl.archive.preferences import starting_solutions
from hapctl.archive.products import EligibleExposure
from hapctl.archive.sky_region import Region, regions_around
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.detection import detect_sources
from hapctl.processing.astrometry.footprint import solution_polygons
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.plane import TangentPlane
from hapctl.processing.astrometry.propagation import propagate
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.source_list import (
    SourceList,
    detection_settings,
    middle_of,
    source_list,
)
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.pipeline.solution_store import solution_from_catalog
from numpy.typing import NDArray
from sqlalchemy import Connection

METHOD_VERSION = 2
"""Counts changes of finder, matching and fit that change results; part of the inputs' hash."""


@dataclass(frozen=True)
class AlignmentSet:
    """The exposures that are aligned together: one detector, and one kind of file (flt or flc).

    Attributes
    ----------
    detector, suffix : str
    exposures : tuple of EligibleExposure
    start_ids : tuple of int
        The solution each begins with.
    starts : tuple of WcsSolution
        The same, read from the catalog.
    """

    detector: str
    suffix: str
    exposures: tuple[EligibleExposure, ...]
    start_ids: tuple[int, ...]
    starts: tuple[WcsSolution, ...]

    @property
    def rootnames(self) -> list[str]:
        """Of the exposures, in order."""
        return [exposure.rootname for exposure in self.exposures]

    def middle_mjd(self, number: int) -> float:
        """MJD (UTC) of the middle of an exposure."""
        return 0.5 * (self.exposures[number].mjd_start + self.exposures[number].mjd_end)

    def plane(self, origin: LookupOrigin) -> TangentPlane:
        """The plane in the middle of the exposures."""
        return middle_of(self.starts, origin)


@dataclass(frozen=True)
class CatalogStars:
    """Reference stars at the epoch of a set, in its plane, brightest first.

    Attributes
    ----------
    stars : ReferenceStars
        As the catalog has them, in the order of `places`.
    places : StarList
    """

    stars: ReferenceStars
    places: StarList


def alignment_sets(connection: Connection, exposures: Sequence[EligibleExposure]) -> list[AlignmentSet]:
    """Sort exposures into sets that may be fitted together, each with its starting solution."""
    begin = starting_solutions(connection, [exposure.exposure_id for exposure in exposures])
    kinds = sorted(exposures, key=lambda e: (e.detector, e.suffix, e.rootname))
    sets = []
    for (detector, suffix), members in groupby(kinds, key=lambda e: (e.detector, e.suffix)):
        chosen = tuple(members)
        ids = tuple(begin[exposure.exposure_id] for exposure in chosen)
        starts = tuple(solution_from_catalog(connection, number) for number in ids)
        sets.append(AlignmentSet(detector, suffix, chosen, ids, starts))
    return sets


def reference_regions(
    sets: Sequence[AlignmentSet], margin_arcsec: float, origin: LookupOrigin
) -> tuple[Region, ...]:
    """The field of all exposures by their starting solutions, with a margin for the pointing.

    Made from the starting solutions, not from those in force, so that an alignment repeated asks the
    same question.
    """
    outlines = [np.concatenate(solution_polygons(start, origin)) for part in sets for start in part.starts]
    return regions_around(outlines, margin_arcsec)


def measured_sources(
    part: AlignmentSet, number: int, image: ExposureImage, rule: AcceptanceRule, origin: LookupOrigin
) -> SourceList:
    """Find the sources of an exposure, chip by chip.

    Raises
    ------
    UnusableFileError
        The file lacks a chip of the solution, or its pixels can't be read.
    """
    chips = {chip.extver: chip for chip in image.chips}
    settings = detection_settings(part.detector)
    found = []
    for wcs in part.starts[number].chips:
        if wcs.extver not in chips:
            raise UnusableFileError(
                f"{image.path}: no chip SCI,{wcs.extver}, which {part.starts[number].name} has",
                "put another solution in force (hapctl wcs list, activate)",
            )
        chip = chips[wcs.extver]
        science, error = chip.science(), chip.error()
        noise = np.zeros_like(science) if error is None else error
        found.append(detect_sources(science, noise, chip.quality(), settings))
    time = part.exposures[number].exposure_time
    return source_list(part.starts[number], found, time, most=rule.most_stars, origin=origin)


def catalog_stars(sources: GaiaSources, part: AlignmentSet, plane: TangentPlane) -> CatalogStars:
    """Reference stars at the mean epoch of a set, in its plane, brightest first; duplicates left out."""
    epoch = float(np.mean([part.middle_mjd(number) for number in range(len(part.exposures))]))
    stars = sources.stars[~sources.stars.duplicated_source]
    stars = stars[np.argsort(stars.phot_g_mean_mag, kind="stable")]
    moved = propagate(stars, epoch)
    errors = 1e-3 * np.sqrt(0.5 * (moved.ra_error**2 + moved.dec_error**2))
    places = StarList(plane.project_sky(moved.ra, moved.dec), errors, stars.phot_g_mean_mag)
    good = np.isfinite(places.points).all(axis=1) & np.isfinite(errors)
    return CatalogStars(stars[good], places.chosen(good))


def reference_positions(
    known: CatalogStars, rows: NDArray[np.intp], mjd: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right ascension and declination of some stars at the middle of an exposure, degrees.

    The mean motion of the field is that of all its stars, as in the fit.
    """
    moved = propagate(known.stars, mjd)
    return moved.ra[rows], moved.dec[rows]


def inputs_sha256(
    part: AlignmentSet,
    rule: AcceptanceRule,
    catalog: str | None,
    sources: GaiaSources | None,
    origin: LookupOrigin,
) -> str:
    """Content address of everything that decides the result of a set."""
    document: Mapping[str, Any] = {
        "method": METHOD_VERSION,
        "rule": [rule.name, rule.content()],
        "lookup_origin": origin,
        "catalog": catalog,
        "stars": None if sources is None else answer_sha256(sources.stars),
        "exposures": [
            [exposure.rootname, exposure.file_sha256, start.name, transformation_sha256(start)]
            for exposure, start in zip(part.exposures, part.starts, strict=True)
        ],
    }
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
