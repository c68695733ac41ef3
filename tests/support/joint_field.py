"""Fields of stars as a joint solution sees them, drawn from its own model with a known truth."""

from dataclasses import dataclass, field

import numpy as np
from hapctl.processing.astrometry.joint_corrections import plane_fits
from hapctl.processing.astrometry.joint_model import (
    Array,
    ExposurePrior,
    FieldPrior,
    JointExposure,
    JointProblem,
    JointSolution,
    JointSources,
    StarPriors,
)


@dataclass(frozen=True)
class JointField:
    """What is drawn; lengths in arcsec.

    `catalog` stars of the `stars` are in the catalog, of which the part `wrong` is far off; the part
    `strange` of all sources is, too. `years` are the exposures' epochs, from that of the catalog.
    """

    stars: int = 100
    catalog: int = 15
    years: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    prior: ExposurePrior = field(default_factory=lambda: ExposurePrior(0, 0.3))
    wrong: float = 0.0
    strange: float = 0.0
    far: float = 0.08
    source_error: float = 0.0008
    catalog_error: float = 0.0005
    motion_error: float = 0.0001
    dispersion: float = 0.003
    floor: float = 0.0005

    def draw(self, seed: int) -> tuple[JointProblem, Array]:
        """A problem, and the true corrections, shape (k, 6)."""
        random = np.random.default_rng(seed)
        true = self._corrections(random)
        stars = np.zeros((self.stars, 5))
        stars[:, :2] = random.uniform(-100, 100, (self.stars, 2))
        stars[:, 2] = random.normal(0, 0.0003, self.stars)
        moving = np.array([0.002, -0.001])
        unknown = random.normal(
            0, self.dispersion / 4.0, 2
        )  # the field's mean is not that of its catalog stars
        stars[:, 3:] = moving + unknown + random.normal(0, self.dispersion, (self.stars, 2))
        size = len(self.years)
        centres = random.uniform(-20, 20, (size, 2))
        factors = random.uniform(-0.7, 0.7, (size, 2))
        exposures = [
            JointExposure(f"jfield{n:02d}q", 2016.0 + self.years[n], centres[n], factors[n], self.prior)
            for n in range(size)
        ]
        sources = self._sources(random, stars, true, exposures)
        return JointProblem(exposures, sources, self._priors(random, stars, moving), 2016.0), true

    def _corrections(self, random: np.random.Generator) -> Array:
        prior, size = self.prior, len(self.years)
        true = np.zeros((size, 6))
        true[:, :2] = random.normal(0, prior.pointing, 2)
        if prior.relative_pointing is None:
            true[:, :2] = random.normal(0, prior.pointing, (size, 2))
        else:
            true[:, :2] += random.normal(0, prior.relative_pointing, (size, 2))
        true[:, 2] = np.radians(random.normal(0, prior.roll_deg))
        true[:, 2] += np.radians(random.normal(0, prior.relative_roll_deg, size))
        true[:, 3] = random.normal(0, prior.scale, size)
        true[:, 4:] = random.normal(0, prior.skew, (size, 2)) if prior.skew else 0.0
        return true

    def _sources(
        self, random: np.random.Generator, stars: Array, true: Array, exposures: list[JointExposure]
    ) -> JointSources:
        fits = plane_fits(true, np.array([exposure.centre for exposure in exposures]))
        stated = self.source_error * 10 ** random.uniform(0, 0.6, len(stars))
        columns: list[tuple[Array, ...]] = []
        for number, (fit, exposure) in enumerate(zip(fits, exposures, strict=True)):
            seen = np.nonzero(random.random(len(stars)) < 0.9)[0]
            own = stars[seen]
            places = own[:, :2] + own[:, 2:3] * exposure.parallax_factors
            places = places + own[:, 3:] * (exposure.epoch - 2016.0)
            noise = np.hypot(stated[seen], self.floor)[:, None] * random.normal(0, 1, places.shape)
            strange = random.random(len(seen)) < self.strange
            noise[strange] += _far(random, int(strange.sum()), self.far)
            measured = (places + noise - fit.shift) @ np.linalg.inv(fit.matrix).T
            columns.append((np.full(len(seen), number), seen, measured, stated[seen]))
        exposure, star, points, errors = (np.concatenate(column) for column in zip(*columns, strict=True))
        return JointSources(exposure, star, points, errors)

    def _priors(self, random: np.random.Generator, stars: Array, moving: Array) -> StarPriors:
        size = len(stars)
        known = np.zeros(size, dtype=bool)
        known[random.choice(size, self.catalog, replace=False)] = True
        errors = np.array([self.catalog_error] * 2 + [0.0001] + [self.motion_error] * 2)
        mean = np.zeros((size, 5))
        mean[:, :2], mean[:, 3:] = np.nan, moving
        mean[known] = stars[known] + errors * random.normal(0, 1, (int(known.sum()), 5))
        wrong = np.nonzero(known)[0][: round(self.wrong * self.catalog)]
        mean[wrong, :2] += _far(random, len(wrong), self.far)
        population = np.array([0.0003, self.dispersion, self.dispersion])
        precision = np.zeros((size, 5, 5))
        precision[:, 2:, 2:] = np.diag(1.0 / population**2)
        precision[known] = np.diag(1.0 / errors**2)
        response = np.zeros((size, 5, 2))
        response[~known, 3:] = np.eye(2)
        mean_field = FieldPrior(
            np.array([0.0, *moving]), np.diag(1.0 / population**2), self.dispersion / 4.0, response
        )
        return StarPriors(mean, precision, known, mean_field)


def _far(random: np.random.Generator, count: int, distance: float) -> Array:
    """Displacements in any direction by at least half the distance."""
    angle = random.uniform(0, 2 * np.pi, count)
    length = distance * random.uniform(0.5, 1.5, count)
    return length[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


def normalised_square(solution: JointSolution, true: Array) -> float:
    """Squared error of all unknowns by the full covariance, over their number."""
    unknown = np.nonzero(np.diag(solution.covariance) > 0)[0]
    apart = (solution.corrections - true).ravel()[unknown]
    covariance = solution.covariance[np.ix_(unknown, unknown)]
    return float(apart @ np.linalg.solve(covariance, apart)) / len(unknown)
