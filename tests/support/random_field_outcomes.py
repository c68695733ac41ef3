"""A random field taken the whole way, from sources to judged solutions, and compared with its truth."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.group_matching import associate
from hapctl.processing.astrometry.joint_alignment import ExposureOutcome, ExposureSources, align_jointly
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.solution import WcsSolution
from numpy.linalg import LinAlgError
from numpy.typing import NDArray
from support.random_fields import (
    PLANE,
    RandomField,
    random_field,
    sky_catalog,
    sky_sources,
    starting_solution,
)

Array = NDArray[np.float64]
SIGMAS, FLOOR_MAS = 5.0, 5.0
TORN_MAS = 20.0
WHOLE = 10
"""Every so many fields of the benchmark a relative solution is made too where the catalog gives none."""
_FIGURES = ("catalog_log10_chance", "roll_freedom", "single_star_mas", "predicted_mas", "log10_hidden")
_MJD_2000 = 51544.5


@dataclass(frozen=True)
class ExposureRow:
    """One exposure: what became of it, its rms error and the one predicted, mas; 0 outside the frame."""

    frame: str
    code: str
    stars: int
    error_mas: float
    predicted_mas: float
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def false(self) -> bool:
        """Accepted, and wrong."""
        return self.frame == "catalog" and self.error_mas > SIGMAS * self.predicted_mas + FLOOR_MAS


@dataclass(frozen=True)
class FieldOutcome:
    """One field: its kind, its exposures, and how far they lie wrong on each other, mas."""

    true_stars: int
    kind: str
    exposures: tuple[ExposureRow, ...]
    torn_mas: float
    decoys: bool

    @property
    def false(self) -> bool:
        """Whether any exposure was accepted and is wrong."""
        return any(exposure.false for exposure in self.exposures)

    def row(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"false": self.false, "torn": self.torn_mas > TORN_MAS}


def field_outcome(
    seed: int, rule: AcceptanceRule | None = None, true_stars: int | None = None
) -> FieldOutcome:
    """Draw a field, align it, compare it with its truth."""
    return aligned_outcome(random_field(seed, true_stars), rule or AcceptanceRule())


def seed_row(seed: int) -> dict[str, Any]:
    """A field as a row of the benchmark, with the processor seconds it took; an error is a row too."""
    started = time.process_time()
    try:
        row = (field_outcome if seed % WHOLE == 0 else quick_outcome)(seed).row()
    except (ValueError, LinAlgError) as problem:
        row = {"true_stars": -1, "exposures": [], "false": False, "torn": False, "decoys": False}
        row["broken"] = repr(problem)
    return row | {"seed": seed, "seconds": round(time.process_time() - started, 3)}


def quick_outcome(seed: int, rule: AcceptanceRule | None = None) -> FieldOutcome:
    """The same without a solution where the association finds no group on the catalog.

    Such a field has no exposure in the catalog's frame whatever its solution would be: the outcome of
    `field_outcome` is the same but for `torn_mas`.
    """
    field, chosen = random_field(seed), rule or AcceptanceRule()
    sets = [prior.guide_star_set for prior in field.priors]
    epochs = [field.epoch] * len(field.lists)
    found = associate(field.lists, epochs, [field.catalog] * len(field.lists), chosen, sets=sets)
    matches = [match for match in found.absolute if match is not None]
    if any(match.verdict.accepted for match in matches):
        return aligned_outcome(field, chosen)
    rows = [ExposureRow("none", "", 0, 0.0, 0.0)] * len(field.lists)
    for members, match in zip(found.groups, matches, strict=True):
        stars = 0 if match.evidence is None else match.evidence.stars
        for number in members:
            frame = "relative" if len(members) > 1 else "none"
            rows[number] = ExposureRow(frame, match.verdict.code, stars, 0.0, 0.0)
    decoys = any(match.evidence is not None and bool(match.evidence.decoys) for match in matches)
    return FieldOutcome(field.true_stars, field.kind, tuple(rows), 0.0, decoys)


def aligned_outcome(field: RandomField, rule: AcceptanceRule) -> FieldOutcome:
    """Align a field and compare it with its truth."""
    starts = [starting_solution(field, number) for number in range(len(field.lists))]
    mjd = _MJD_2000 + 365.25 * (field.epoch - 2000.0)
    exposures = [
        ExposureSources(start.rootname, start, sky_sources(field, number), mjd, field.priors[number])
        for number, start in enumerate(starts)
    ]
    outcomes = align_jointly(exposures, sky_catalog(field), rule).outcomes
    rows = tuple(_row(field, number, starts[number], outcome) for number, outcome in enumerate(outcomes))
    decoys = any(own.evidence is not None and bool(own.evidence.decoys) for own in outcomes)
    return FieldOutcome(field.true_stars, field.kind, rows, _torn_mas(field, starts, outcomes), decoys)


def _places(solution: WcsSolution) -> Array:
    """Corners and middle of the chip in the plane, arcsec, shape (5, 2)."""
    ny, nx = solution.chips[0].shape
    x, y = np.array([0.0, nx - 1, 0.0, nx - 1, nx / 2]), np.array([0.0, 0.0, ny - 1, ny - 1, ny / 2])
    return PLANE.project_sky(*pixel_to_sky(solution.chips[0], x, y))


def _row(field: RandomField, number: int, start: WcsSolution, outcome: ExposureOutcome) -> ExposureRow:
    stars = 0 if outcome.evidence is None else outcome.evidence.stars
    if outcome.frame != "catalog" or outcome.solution is None:
        return ExposureRow(outcome.frame, outcome.verdict.code, stars, 0.0, 0.0)
    away = _places(outcome.solution) - field.pointing[number](_places(start))
    rms = 1e3 * float(np.sqrt(np.mean(np.sum(away**2, axis=1))))
    predicted = outcome.predicted_error_mas
    known = {} if outcome.evidence is None else outcome.evidence.figures
    figures = {name: round(known[name], 3) for name in _FIGURES if name in known}
    return ExposureRow(
        outcome.frame, outcome.verdict.code, stars, round(rms, 4), round(predicted, 4), figures
    )


def _torn_mas(field: RandomField, starts: list[WcsSolution], outcomes: tuple[ExposureOutcome, ...]) -> float:
    """Largest error of an exposure as seen from the first of its group, mas: what is common is taken away."""
    worst = 0.0
    for group in {
        outcome.group for outcome in outcomes if outcome.solution is not None and outcome.group >= 0
    }:
        members = [n for n, own in enumerate(outcomes) if own.group == group and own.solution is not None]
        placed = {n: _placed(outcomes[n]) for n in members}
        true = {n: field.pointing[n](_places(starts[n])) for n in members}
        common = _similarity(true[members[0]], placed[members[0]])
        for n in members:
            away = placed[n] - _applied(common, true[n])
            worst = max(worst, 1e3 * float(np.sqrt(np.mean(np.sum(away**2, axis=1)))))
    return round(worst, 3)


def _placed(outcome: ExposureOutcome) -> Array:
    if outcome.solution is None:
        raise AssertionError("only exposures with a solution are compared")
    return _places(outcome.solution)


def _similarity(start: Array, end: Array) -> Array:
    """The complex numbers a, b of ``end = a start + b`` by least squares."""
    z, w = start @ np.array([1.0, 1j]), end @ np.array([1.0, 1j])
    return np.linalg.lstsq(np.column_stack([z, np.ones_like(z)]), w, rcond=None)[0]


def _applied(numbers: Array, points: Array) -> Array:
    moved = numbers[0] * (points @ np.array([1.0, 1j])) + numbers[1]
    return np.column_stack([moved.real, moved.imag])
