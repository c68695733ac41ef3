"""What goes into an alignment: exposures, where they begin, what is known of them, their sources."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from hapctl.archive.alignments import pointing_facts
from hapctl.archive.gaia_rows import answer_sha256
from hapctl.archive.preferences import starting_solutions
from hapctl.archive.products import EligibleExposure
from hapctl.archive.reference_answers import ReferenceSources
from hapctl.archive.sky_region import Region, regions_around
from hapctl.processing.astrometry.acceptance import AcceptanceRule, Verdict
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.detection import Detections
from hapctl.processing.astrometry.footprint import solution_polygons
from hapctl.processing.astrometry.joint_alignment import ExposureSources
from hapctl.processing.astrometry.joint_model import ExposurePrior
from hapctl.processing.astrometry.joint_priors import StatedPrior
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.source_list import SourceList, detection_settings, source_list
from hapctl.processing.astrometry.trailing import is_trailed
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.image_sources import chip_detections
from hapctl.processing.pipeline.alignment_ladder import Rung
from hapctl.processing.pipeline.alignment_priors import known_priors
from hapctl.processing.pipeline.alignment_targets import Chosen
from hapctl.processing.pipeline.dispersed_exposures import (
    DispersedExposure,
    direct_image,
    dispersed_exposures,
)
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.solution_store import solution_from_catalog
from sqlalchemy import Connection

METHOD_VERSION = 5
"""Counts changes of finder, matching and fit that change results; part of the inputs' hash."""
NEVER_CORRECTED = ("IR", "SBC")
"""Detectors without charge transfer: their files are good with those that are corrected for it."""


@dataclass(frozen=True)
class AlignmentSet:
    """The exposures that are fitted together: all detectors and filters, but one kind of file (flt or flc).

    Attributes
    ----------
    exposures : tuple of EligibleExposure
    start_ids : tuple of int
        The solution each begins with.
    starts : tuple of WcsSolution
        The same, read from the catalog.
    priors : tuple of StatedPrior
        What is known of each before a star is looked at.
    dispersed : tuple of DispersedExposure
        Grism exposures that follow exposures of the set.
    """

    exposures: tuple[EligibleExposure, ...]
    start_ids: tuple[int, ...]
    starts: tuple[WcsSolution, ...]
    priors: tuple[StatedPrior, ...]
    dispersed: tuple[DispersedExposure, ...] = ()

    def __len__(self) -> int:
        return len(self.exposures)

    @property
    def rootnames(self) -> list[str]:
        """Of the exposures, in order."""
        return [exposure.rootname for exposure in self.exposures]

    @property
    def kind(self) -> str:
        """The kind of file: the suffix of those that may be corrected for charge transfer."""
        names = [e.suffix for e in self.exposures if e.detector not in NEVER_CORRECTED]
        return names[0] if names else self.exposures[0].suffix

    @property
    def detector(self) -> str | None:
        """The detector, if there is only one."""
        names = {exposure.detector for exposure in self.exposures}
        return names.pop() if len(names) == 1 else None

    def middle_mjd(self, number: int) -> float:
        """MJD (UTC) of the middle of an exposure."""
        return 0.5 * (self.exposures[number].mjd_start + self.exposures[number].mjd_end)


@dataclass(frozen=True)
class Measured:
    """What was found in an exposure.

    Attributes
    ----------
    sources : SourceList
    refusal : Verdict or None
        Why it can't take part.
    """

    sources: SourceList
    refusal: Verdict | None


def alignment_sets(
    connection: Connection, chosen: Chosen, jit_folder: Path | None = None
) -> list[AlignmentSet]:
    """Sort exposures into sets that may be fitted together, each with its starting solution and prior."""
    exposures = chosen.aligned
    dispersed = dispersed_exposures(connection, [one.exposure_id for one in chosen.dispersed])
    ids = [exposure.exposure_id for exposure in exposures]
    begin, facts = starting_solutions(connection, ids), pointing_facts(connection, ids)
    sets = []
    for members in _by_kind_of_file(exposures):
        numbers = tuple(begin[exposure.exposure_id] for exposure in members)
        starts = tuple(solution_from_catalog(connection, number) for number in numbers)
        known = [facts[exposure.exposure_id] for exposure in members]
        priors = known_priors(members, starts, known, jit_folder)
        part = AlignmentSet(members, numbers, starts, priors)
        mine = tuple(one for one in dispersed if direct_image(one, part) is not None)
        dispersed = [one for one in dispersed if one not in mine]
        sets.append(replace(part, dispersed=mine))
    return sets


def _by_kind_of_file(exposures: Sequence[EligibleExposure]) -> list[tuple[EligibleExposure, ...]]:
    """Exposures by suffix; those of detectors without charge transfer join the largest kind."""
    kinds: dict[str, list[EligibleExposure]] = {}
    free = [exposure for exposure in exposures if exposure.detector in NEVER_CORRECTED]
    for exposure in exposures:
        if exposure not in free:
            kinds.setdefault(exposure.suffix, []).append(exposure)
    if free:
        largest = max(kinds, key=lambda suffix: (len(kinds[suffix]), suffix), default=free[0].suffix)
        kinds.setdefault(largest, []).extend(free)
    return [tuple(sorted(kinds[suffix], key=lambda e: e.rootname)) for suffix in sorted(kinds)]


def reference_regions(
    sets: Sequence[AlignmentSet], margin_arcsec: float, origin: LookupOrigin
) -> tuple[Region, ...]:
    """The field of all exposures by their starting solutions, with a margin for the pointing.

    Made from the starting solutions, not from those in force, so that an alignment repeated asks the
    same question.
    """
    outlines = [np.concatenate(solution_polygons(start, origin)) for part in sets for start in part.starts]
    return regions_around(outlines, margin_arcsec)


def mean_epoch(sets: Sequence[AlignmentSet]) -> float:
    """Mean epoch of all exposures, Julian year."""
    middles = [part.middle_mjd(number) for part in sets for number in range(len(part))]
    return 2000.0 + (float(np.mean(middles)) - 51544.5) / 365.25


def measured_set(
    opened: OpenExposures,
    part: AlignmentSet,
    rule: AcceptanceRule,
    origin: LookupOrigin,
    threads: int,
    on_progress: Callable[[str], None],
) -> list[Measured]:
    """Find the sources of all exposures of a set, several at once.

    Raises
    ------
    UnusableFileError
        A file lacks a chip of the solution, or its pixels can't be read.
    """

    def measured(number: int) -> Measured:
        on_progress(f"finding sources of {part.exposures[number].rootname}")
        return _measured(part, number, images[number], rule, origin)

    images = [opened.image(exposure) for exposure in part.exposures]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(measured, range(len(part))))


def _measured(
    part: AlignmentSet, number: int, image: ExposureImage, rule: AcceptanceRule, origin: LookupOrigin
) -> Measured:
    exposure, start = part.exposures[number], part.starts[number]
    found = _detections(exposure, start, image)
    sources = source_list(start, found, exposure.exposure_time, most=rule.most_stars, origin=origin)
    return Measured(sources, _unfit(exposure, found, sources))


def _detections(exposure: EligibleExposure, start: WcsSolution, image: ExposureImage) -> list[Detections]:
    chips = {chip.extver: chip for chip in image.chips}
    settings = detection_settings(exposure.detector)
    found = []
    for wcs in start.chips:
        if wcs.extver not in chips:
            raise UnusableFileError(
                f"{image.path}: no chip SCI,{wcs.extver}, which {start.name} has",
                "put another solution in force (hapctl wcs list, activate)",
            )
        found.append(chip_detections(chips[wcs.extver], settings))
    return found


def _unfit(exposure: EligibleExposure, found: Sequence[Detections], sources: SourceList) -> Verdict | None:
    """Why an exposure can't be aligned, if it can't."""
    if is_trailed(found):
        axes = ", ".join(f"{chip.elongation:.2f}" for chip in found)
        reason = (
            f"{exposure.rootname} is trailed: its sources are elongated {axes} times in one direction on its "
            "chips; the telescope moved"
        )
        return Verdict(False, "trailed", reason)
    if len(sources) == 0:
        saturated = sum(int(np.count_nonzero(~chip.usable)) for chip in found)
        detail = f"{saturated} were found, none of them usable" if saturated else "none was found"
        return Verdict(False, "no-sources", f"{exposure.rootname} shows no source to align with: {detail}")
    return None


def exposure_sources(part: AlignmentSet, number: int, sources: SourceList, rung: Rung) -> ExposureSources:
    """An exposure as the alignment takes it, on a rung of the ladder."""
    start = part.starts[number]
    prior = rung.prior_for(part.priors[number].prior)
    return ExposureSources(start.rootname, start, sources, part.middle_mjd(number), prior)


def inputs_sha256(
    part: AlignmentSet,
    rule: AcceptanceRule,
    rung: Rung,
    catalog: str | None,
    sources: ReferenceSources | None,
    mode: str,
    origin: LookupOrigin,
) -> str:
    """Content address of everything that decides the result of a set on a rung."""
    document: Mapping[str, Any] = {
        "method": METHOD_VERSION,
        "rule": [rule.name, rung.rule_for(rule).content()],
        "rung": [rung.method, rung.geometry],
        "mode": mode,
        "lookup_origin": origin,
        "catalog": catalog,
        "stars": None if sources is None else answer_sha256(sources.stars),
        "exposures": [
            [exposure.rootname, exposure.file_sha256, start.name, transformation_sha256(start)]
            for exposure, start in zip(part.exposures, part.starts, strict=True)
        ],
        "priors": [prior_document(known.prior) for known in part.priors],
        "dispersed": [[one.rootname, transformation_sha256(one.start)] for one in part.dispersed],
    }
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def prior_document(prior: ExposurePrior) -> dict[str, Any]:
    """A prior as plain data."""
    document = asdict(prior)
    document["covariance"] = None if prior.covariance is None else prior.covariance.ravel().tolist()
    return document
