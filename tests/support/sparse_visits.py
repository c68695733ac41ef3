"""Simulated visits with a handful of catalog stars, some of them wrong, from pixels to verdicts."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.table import Table
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_alignment import JointAlignment, align_jointly
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.truth import AlignmentError, alignment_error
from hapctl.processing.simulation.visit import SimulatedVisit, simulate_visit
from support.pixel_visit import gaia_stars, measured_exposures
from support.random_field_outcomes import ExposureRow

TRUE_STARS = (15, 15, 15, 8, 8, 8, 8, 4, 4, 4, 4, 4, 3, 3, 3, 2, 2, 0, 0, 0)
"""Stars of each field that are in the catalog where they are, on the chips, not saturated."""
SHAPE = (1024, 2048)
EXPOSURE_TIME = 400.0
SPREAD_ARCSEC = (0.05, 5.0)
"""How far a wrong star is from a true one."""


@dataclass(frozen=True)
class SparseOutcome:
    """One field: how many stars of its catalog are true and wrong, and what became of its exposures.

    Attributes
    ----------
    true_stars, wrong_stars : int
    sources : int
        Of the first exposure.
    exposures : tuple of ExposureRow
    torn_mas : float
        The largest mean distance between two aligned exposures; 0 where there are not two.
    """

    true_stars: int
    wrong_stars: int
    sources: int
    exposures: tuple[ExposureRow, ...]
    torn_mas: float

    @property
    def false(self) -> bool:
        """Whether any exposure was accepted and is wrong."""
        return any(exposure.false for exposure in self.exposures)


def wrong_stars(number: int) -> int:
    """How many wrong stars a field's catalog has: none in every third."""
    return (0, 1, 3)[number % 3] if TRUE_STARS[number] else 6


def sparse_outcome(folder: Path, number: int) -> SparseOutcome:
    """Simulate a field, align it, and compare it with the truth.

    Parameters
    ----------
    folder : Path
        Where the visit is written.
    number : int
        Of the field, below ``len(TRUE_STARS)``.
    """
    plan = VisitPlan(
        filters=("F606W",),
        exposures=2 + number % 2,
        seed=700 + number,
        stars=600,
        chip_shape=SHAPE,
        exposure_time=EXPOSURE_TIME,
        pointing_error=0.6,
        roll_error=0.004,
    )
    visit = simulate_visit(folder, plan)
    catalog = sparse_catalog(visit, TRUE_STARS[number], wrong_stars(number), number)
    rule = AcceptanceRule()
    exposures = measured_exposures(visit, rule)
    alignment = align_jointly(exposures, catalog, rule)
    rows, torn = judged(visit, alignment)
    return SparseOutcome(
        TRUE_STARS[number], wrong_stars(number), len(exposures[0].sources), rows, torn_mas=torn
    )


def sparse_catalog(visit: SimulatedVisit, true: int, wrong: int, seed: int) -> ReferenceStars:
    """Some stars of the extract that all exposures see, and some more that are elsewhere."""
    random = np.random.default_rng(seed)
    extract = gaia_stars(visit)
    seen = Table.read(visit.star_file)
    seen = seen[(seen["source_id"] > 0) & ~np.asarray(seen["saturated"], dtype=bool)]
    names, times = np.unique(np.asarray(seen["source_id"]), return_counts=True)
    everywhere = names[times == len(visit.files)]
    rows = np.nonzero(np.isin(extract.source_id, everywhere))[0]
    chosen = random.permutation(rows)[: true + wrong]
    stars = extract[np.sort(chosen)]
    moved = np.isin(stars.source_id, extract.source_id[chosen[true:]])
    return elsewhere(stars, moved, random)


def elsewhere(stars: ReferenceStars, moved: np.ndarray, random: np.random.Generator) -> ReferenceStars:
    """The stars, some of them displaced by far more than their errors."""
    count = int(np.count_nonzero(moved))
    distance = np.exp(random.uniform(*np.log(SPREAD_ARCSEC), count)) / 3600.0
    angle = random.uniform(0.0, 2.0 * np.pi, count)
    ra, dec = stars.ra.copy(), stars.dec.copy()
    ra[moved] += distance * np.sin(angle) / np.cos(np.radians(dec[moved]))
    dec[moved] += distance * np.cos(angle)
    return replace(stars, ra=ra, dec=dec)


def judged(visit: SimulatedVisit, alignment: JointAlignment) -> tuple[tuple[ExposureRow, ...], float]:
    """What became of the exposures, and how far they lie apart on the mean, mas."""
    rows, errors = [], []
    for outcome in alignment.outcomes:
        error = None if outcome.solution is None else alignment_error(visit.truth, outcome.solution)
        tied = error is not None and outcome.frame == "catalog"
        stars = int(np.count_nonzero(outcome.matches.reference >= 0))
        rows.append(
            ExposureRow(
                outcome.frame,
                outcome.verdict.code,
                stars,
                error.rms_mas if tied and error else 0.0,
                outcome.predicted_error_mas if tied else 0.0,
            )
        )
        if error is not None:
            errors.append(error)
    return tuple(rows), _apart(errors)


def _apart(errors: list[AlignmentError]) -> float:
    """The largest distance between the mean errors of two exposures."""
    means = np.array([[error.mean_east_mas, error.mean_north_mas] for error in errors]).reshape(-1, 2)
    between = means[:, None] - means[None, :]
    return float(np.hypot(between[..., 0], between[..., 1]).max(initial=0.0))
