"""Real exposures aligned without some of their stars, which then tell how well the solutions agree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_alignment import ExposureSources, JointAlignment, align_jointly
from hapctl.processing.astrometry.joint_priors import exposure_priors, facts_of
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.source_list import SourceList, detection_settings, source_list
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.image_sources import chip_detections
from hapctl.processing.pipeline.tweak_inputs import image_facts
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
FEW_DECOYS = 20  # the judge has tests of its own
COLUMNS = ("extver", "x", "y", "ra", "dec", "errors", "magnitudes", "snr")


@dataclass(frozen=True)
class HeldOutPair:
    """Stars of two exposures that took no part in the fits; mas.

    Attributes
    ----------
    first, second : int
        Numbers of the exposures.
    offsets : ndarray, shape (n, 2)
        Of the same star by the new solutions, first minus second.
    places : ndarray, shape (n, 2)
        In the plane, arcsec.
    """

    first: int
    second: int
    offsets: Array
    places: Array

    def median(self) -> float:
        """Length of the median offset."""
        return float(np.hypot(*np.median(self.offsets, axis=0)))

    def scatter(self) -> float:
        """Robust scatter, the larger of the two coordinates."""
        away = np.abs(self.offsets - np.median(self.offsets, axis=0))
        return float(1.4826 * np.median(away, axis=0).max())

    def worst_quadrant(self) -> float:
        """Length of the largest median offset of a quarter of the overlap with ten stars at least."""
        east, north = (self.places > np.median(self.places, axis=0)).T
        quarter = 2 * east + north
        parts = [self.offsets[quarter == q] for q in range(4) if np.count_nonzero(quarter == q) >= 10]
        return max(float(np.hypot(*np.median(part, axis=0))) for part in parts)

    def mean(self) -> tuple[float, float]:
        """Length of the mean offset, and in how many standard errors, the larger of the two coordinates."""
        mean = self.offsets.mean(axis=0)
        error = self.offsets.std(axis=0, ddof=1) / np.sqrt(len(self.offsets))
        return float(np.hypot(*mean)), float(np.abs(mean / error).max())


def measured(paths: Sequence[Path]) -> list[ExposureSources]:
    """Find the sources of exposures, as `hapctl align` does."""
    rule, found = AcceptanceRule(), []
    for path in paths:
        start, facts = read_solutions(path)[0].solution, image_facts(path)
        with ExposureImage(path) as image:
            chips = [chip_detections(chip, detection_settings(facts.detector)) for chip in image.chips]
        sources = source_list(start, chips, facts.exposure_time, most=rule.most_stars)
        known = facts_of(
            start,
            visit=facts.visit,
            detector=facts.detector,
            start_mjd=facts.start_mjd,
            fgs_lock=facts.fgs_lock,
        )
        found.append((facts, start, sources, known))
    priors = exposure_priors([known for *_, known in found])
    return [
        ExposureSources(facts.name, start, sources, facts.mjd, stated.prior)
        for (facts, start, sources, _), stated in zip(found, priors, strict=True)
    ]


def chosen(sources: SourceList, keep: NDArray[np.bool_]) -> SourceList:
    """Some of the sources of a list."""
    return replace(sources, **{name: getattr(sources, name)[keep] for name in COLUMNS})


def stars_of(exposures: Sequence[ExposureSources], aligned: JointAlignment) -> list[Indices]:
    """The star of each source of each exposure; -1 for none."""
    stars = []
    for exposure, outcome in zip(exposures, aligned.outcomes, strict=True):
        own = np.full(len(exposure.sources), -1, dtype=np.intp)
        own[outcome.matches.source] = outcome.matches.star
        stars.append(own)
    return stars


def without(
    exposures: Sequence[ExposureSources],
    stars: Sequence[Indices],
    held_out: Indices,
    reference: ReferenceStars | None = None,
) -> tuple[JointAlignment, list[HeldOutPair]]:
    """Align without some stars, and compare them by the solutions; pairs that share none are left out."""
    fitted = [
        replace(one, sources=chosen(one.sources, ~np.isin(own, held_out)))
        for one, own in zip(exposures, stars, strict=True)
    ]
    aligned = align_jointly(fitted, reference, AcceptanceRule(decoys=FEW_DECOYS))
    places = []
    for exposure, own, outcome in zip(exposures, stars, aligned.outcomes, strict=True):
        mine = np.isin(own, held_out) & (outcome.fit is not None)
        points = exposure.sources.in_plane(aligned.plane).points[mine]
        places.append((own[mine], points if outcome.fit is None else outcome.fit(points)))
    pairs = []
    for first, second in combinations(range(len(exposures)), 2):
        _, one, other = np.intersect1d(places[first][0], places[second][0], return_indices=True)
        if len(one) and aligned.outcomes[first].group == aligned.outcomes[second].group:
            here, there = places[first][1][one], places[second][1][other]
            pairs.append(HeldOutPair(first, second, 1e3 * (here - there), here))
    return aligned, pairs
