"""One solution of all exposures at once: robust least squares with everything known beforehand as a prior.

The loss is redescending: sources, and rows of the catalog, that lie far from where all others put them
weigh nothing. Up to `joint_losses.CORE` standard errors it is quadratic, so that on clean data the solution
and its errors are those of least squares exactly. It starts from the convex loss of least absolute
deviations, which is the median of many unknowns: where the majority is right, so is the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hapctl.processing.astrometry import joint_equations as equations
from hapctl.processing.astrometry import joint_losses as losses
from hapctl.processing.astrometry.joint_catalog import Departures, departures, error_factor
from hapctl.processing.astrometry.joint_corrections import corrections_of, plane_fits, predicted_error
from hapctl.processing.astrometry.joint_layout import WEAK, Layout, lay_out
from hapctl.processing.astrometry.joint_model import (
    Array,
    Indices,
    JointProblem,
    JointSettings,
    JointSolution,
)
from hapctl.processing.astrometry.joint_restraints import Restraint, restraint
from hapctl.processing.astrometry.joint_stars import StarBlocks, best_stars, own_part, placed, star_blocks
from hapctl.processing.astrometry.joint_state import State, by_star
from hapctl.processing.astrometry.plane import PlaneFit

__all__ = ["predicted_error", "solve_joint"]
_STARTING_STEPS = 50
_CHECKING_STEPS = 4  # from a start that the caller vouches for
_NARROW = 1.3  # scatter, in stated errors, with which a median is taken for good
_SHRINKING = 0.8  # of the scatter, from step to step, where it is not
_FACTOR_STEPS = 4
_SAME = 1.02  # change of the catalog's factor that is worth another solution
_SCALED_STEPS = 12  # steps after which the scatter that residuals are measured by stays what it is
_LOST = 1e-3  # a star none of whose sources weighs more has lost them
_LEAST = 1e-9  # weight that keeps the star of rejected sources regular
_FRESH = 0.01  # mean change of the weights after which the equations are made anew


@dataclass(frozen=True)
class _Normal:
    """Reduced equations of exposures and common unknowns, priors included, and what they were made for."""

    matrix: Array
    factor: Any
    weights: Array
    catalog_weights: Array


def solve_joint(
    problem: JointProblem,
    settings: JointSettings,
    start: Sequence[PlaneFit] | None = None,
    *,
    star_errors: bool = True,
) -> JointSolution:
    """Solve for all exposures and all stars at once.

    Parameters
    ----------
    problem : JointProblem
    settings : JointSettings
    start : sequence of PlaneFit, optional
        Where to begin, for each exposure, good to a few times the errors of its sources; by default the
        median of everything is sought, from the starting WCS.
    star_errors : bool
        Work out the errors of the stars too, which takes as long as a step; they are NaN otherwise.

    Returns
    -------
    JointSolution
        The same for the same input, bit by bit.

    Raises
    ------
    ValueError
        Two sources of one exposure belong to one star.
    """
    solver = _Solver.of(problem, settings)
    state = solver.settled(solver.started(start))
    for _ in range(_FACTOR_STEPS):
        factor = solver.catalog_factor(state)
        if factor < solver.factor * _SAME:
            break
        solver = _Solver.of(problem, settings, factor)
        state = solver.settled(state)
    return solver.finished(state, star_errors=star_errors)


@dataclass(frozen=True)
class _Solver:
    """The steps of one solution.

    Attributes
    ----------
    layout : Layout
    problem : JointProblem
    settings : JointSettings
    spread : ndarray, shape (n,)
        Standard error of a coordinate of each residual: that of the source less the source's own part in its
        star. Of sources at full weight, so that two that contradict each other both stay rejected.
    catalog : Layout
        Of the c stars of the catalog.
    catalog_covariance : ndarray, shape (c, 5, 5)
    factor : float
        Of the catalog's errors, which is in its covariance.
    """

    layout: Layout
    problem: JointProblem
    settings: JointSettings
    spread: Array
    catalog: Layout
    catalog_covariance: Array
    factor: float

    @classmethod
    def of(cls, problem: JointProblem, settings: JointSettings, factor: float = 1.0) -> "_Solver":
        layout = lay_out(problem, settings.floor, factor)
        blocks = star_blocks(layout, layout.weights, np.ones(len(layout.stars)))
        spread = np.sqrt(np.maximum(1.0 - own_part(layout, blocks), 1e-6) / layout.weights)
        catalog = layout.part(layout.in_catalog)
        known = np.linalg.inv(catalog.precision + np.diag(WEAK + _LEAST)).astype(np.float64)
        return cls(layout, problem, settings, spread, catalog, known, factor)

    def started(self, start: Sequence[PlaneFit] | None) -> State:
        """Least absolute deviations: of everything from the starting WCS, of the stars from a start given."""
        layout, size = self.layout, len(self.problem.exposures)
        corrections = np.zeros((size, 6)) if start is None else corrections_of(start, layout.centres)
        corrections[~layout.skewed, 4:] = 0.0
        state = self._with_stars(
            corrections, np.zeros(layout.common), np.ones(len(layout.rows)), np.ones(len(layout.stars))
        )
        if start is not None:
            for _ in range(_CHECKING_STEPS):  # medians of the stars alone
                state = self._median(state)
            return state
        for _ in range(_STARTING_STEPS):
            state, moved = self._stepped(state, self._normal(state))
            state = self._median(state)
            if moved < 5e-5:
                break
        return self._narrowed(state)

    def _narrowed(self, state: State) -> State:
        """The median, freed step by step from what pulls it where nearly half of everything is wrong.

        Residuals are measured by a scatter that shrinks to the stated errors (graduated non-convexity: Black
        & Rangarajan 1996, IJCV 19, 57): what agrees takes over from what is merely in the middle.
        """
        unit = max(self._scatter(state, *self._sizes(state)))
        while unit > _NARROW:
            unit = max(_SHRINKING * unit, _NARROW)
            sizes = self._sizes(state)
            weights, rows = (losses.fading(size / unit) for size in sizes)
            state = self._with_stars(state.corrections, state.motion, weights, rows)
            state, _ = self._stepped(state, self._normal(state))
        return state

    def settled(self, state: State) -> State:
        """The redescending loss, until nothing moves."""
        scatter, part, last = (1.0, 1.0), 1.0, np.inf
        normal: _Normal | None = None
        for turn in range(self.settings.steps):
            early = turn < _SCALED_STEPS
            sizes = self._sizes(state)
            if early:
                scatter = self._scatter(state, *sizes)
                sizes = self._revived_sizes(state, sizes[0]), sizes[1]
            weights, rows = (
                losses.redescending(size / unit) for size, unit in zip(sizes, scatter, strict=True)
            )
            state = self._with_stars(state.corrections, state.motion, weights, rows)
            if normal is None or self._stale(normal, state):
                normal = self._normal(state)
            state, moved = self._stepped(state, normal, part)
            if moved < self.settings.settled and turn > 2:
                break
            part = (
                0.5 * part if moved > last else min(1.0, 2.0 * part)
            )  # a few stars may set a field swinging
            last = moved
        return state

    def _with_stars(
        self,
        corrections: Array,
        motion: Array,
        weights: Array,
        catalog: Array,
        blocks: StarBlocks | None = None,
    ) -> State:
        """The state in which every star is where it fits best; `blocks` where the weights are not new."""
        layout = self.layout
        positions = equations.corrected(layout, corrections)
        if blocks is None:
            blocks = star_blocks(layout, layout.weights * np.maximum(weights, _LEAST), catalog)
        stars = best_stars(layout, blocks, positions, motion)
        residuals = positions - placed(layout, stars)
        return State(corrections, motion, blocks, stars, residuals, weights, catalog)

    def _revived_sizes(self, state: State, size: Array) -> Array:
        """Lengths of the residuals, of stars that have lost all sources as if the sources alone were right.

        A rejected star follows its catalog row and its prior motion, from which its sources then stay away
        whatever the exposures do; they are believed again if they agree with each other.
        """
        layout = self.layout
        lost = layout.by_star @ (state.weights >= _LOST) == 0
        alone = (self.spread**2 * layout.weights < 0.2) & (state.weights < _LOST)
        affected = lost | (layout.by_star @ alone > 0)
        if not affected.any():
            return size
        part = layout.part(affected)
        weights = np.where(lost[part.stars][part.star] | alone[part.rows], 1.0, state.weights[part.rows])
        catalog = np.where(lost & layout.in_catalog, 0.0, state.catalog_weights)[part.stars]
        blocks = star_blocks(part, part.weights * np.maximum(weights, _LEAST), catalog)
        positions = equations.corrected(part, state.corrections)
        stars = best_stars(part, blocks, positions, state.motion)
        residuals = positions - placed(part, stars)
        revived = size.copy()
        revived[part.rows] = np.hypot(residuals[:, 0], residuals[:, 1]) / self.spread[part.rows]
        return revived

    def _sizes(self, state: State) -> tuple[Array, Array]:
        """Lengths of the residuals of sources and of catalog positions (0 where none), in standard errors."""
        size = np.hypot(state.residuals[:, 0], state.residuals[:, 1]) / self.spread
        rows = np.zeros(len(self.layout.stars))
        rows[self.catalog.stars] = self._departures(state).sizes()
        return size, rows

    def _departures(self, state: State) -> Departures:
        """Of the catalog's stars."""
        catalog = self.catalog
        weights = catalog.weights * np.maximum(state.weights[catalog.rows], _LEAST)
        residuals, stars = state.residuals[catalog.rows], state.stars[catalog.stars]
        return departures(catalog, self.catalog_covariance, weights, residuals, stars, state.motion)

    def _median(self, state: State) -> State:
        """New robust weights, of the starting loss."""
        size, catalog = self._sizes(state)
        weights, rows = losses.absolute(size), losses.absolute(catalog)
        return self._with_stars(state.corrections, state.motion, weights, rows)

    def _scatter(self, state: State, size: Array, catalog: Array) -> tuple[float, float]:
        """Robust scatter of sources and of catalog positions in units of their errors, at least 1."""
        several = self.layout.weights * self.spread**2 > 0.05  # others agree with their star whatever happens
        mine = size[several & (state.weights > 0)]
        theirs = catalog[self.layout.in_catalog & (state.catalog_weights > 0)]
        return losses.robust_scatter(mine), losses.robust_scatter(theirs)

    def catalog_factor(self, state: State) -> float:
        """The factor of the errors that the catalog states, as the solution shows it."""
        scatter = self._scatter(state, *self._sizes(state))
        trust = np.where(self._tied(state), state.catalog_weights, 0.0)[self.catalog.stars]
        found = self._departures(state)
        return self.factor * error_factor(found, trust, scatter[0], self.settings.least_freedom)

    def _stale(self, normal: _Normal, state: State) -> bool:
        sources = np.mean(np.abs(normal.weights - state.weights)) if len(state.weights) else 0.0
        rows = np.abs(normal.catalog_weights - state.catalog_weights)[self.layout.in_catalog]
        return bool(sources > _FRESH or (len(rows) and rows.max() > 0.1))

    def _normal(self, state: State) -> _Normal:
        """The reduced equations: exposures, and the field's motion, after the stars are eliminated."""
        from scipy.linalg import cho_factor

        layout = self.layout
        size = layout.width * len(layout.centres)
        matrix = np.zeros((size + layout.common, size + layout.common))
        matrix[:size, :size] = equations.exposure_blocks(layout, state.corrections, state.blocks.weights)
        matrix[size:, size:] = equations.common_block(layout, state.catalog_weights)
        for _, columns, part in equations.couplings(layout, state.corrections, state.blocks):
            matrix[np.ix_(columns, columns)] -= equations.gram(part)
        priors, kept = self._restrained(state)
        matrix[:size, :size] += priors.precision[np.ix_(kept, kept)]
        empty = np.nonzero(np.diag(matrix) == 0)[0]  # skew of an exposure that has none
        matrix[empty, empty] = 1.0
        return _Normal(matrix, cho_factor(matrix), state.weights, state.catalog_weights)

    def _restrained(self, state: State) -> tuple[Restraint, Indices]:
        """The priors of the exposures, and which of all their parameters are unknowns here."""
        size = len(self.problem.exposures)
        priors = restraint([exposure.prior for exposure in self.problem.exposures], state.corrections)
        kept: Indices = (6 * np.arange(size)[:, None] + np.arange(self.layout.width)).ravel()
        return priors, kept

    def _stepped(self, state: State, normal: _Normal, part: float = 1.0) -> tuple[State, float]:
        """One step, or a part of it, and how far it moved any exposure, arcsec."""
        from scipy.linalg import cho_solve

        layout = self.layout
        priors, kept = self._restrained(state)
        pull = -equations.source_gradient(layout, state.corrections, state.blocks.weights, state.residuals)
        pull -= (priors.precision @ state.corrections.ravel())[kept]
        shared = equations.common_gradient(layout, state.catalog_weights, state.stars, state.motion)
        right = np.concatenate([pull, shared])
        change = part * cho_solve(normal.factor, right)
        step = change[: len(kept)].reshape(-1, layout.width)
        corrections = state.corrections.copy()
        corrections[:, : layout.width] += step
        motion = state.motion + change[len(kept) :]
        moved = float(np.max(np.abs(step * self._reach()[: layout.width]))) if step.size else 0.0
        moved = max(moved, float(np.max(np.abs(change[len(kept) :]), initial=0.0)))
        return self._with_stars(
            corrections, motion, state.weights, state.catalog_weights, state.blocks
        ), moved

    def _reach(self) -> Array:
        """Arcsec that the outermost source moves by a unit of each parameter, shape (6,)."""
        outermost = float(np.max(np.abs(self.layout.offsets), initial=1.0))
        return np.array([1.0, 1.0, outermost, outermost, outermost, outermost])

    def finished(self, state: State, *, star_errors: bool) -> JointSolution:
        """The solution with its errors, in the problem's order."""
        layout, problem, settings = self.layout, self.problem, self.settings
        normal, (priors, kept) = self._normal(state), self._restrained(state)
        full = np.linalg.inv(normal.matrix)
        full = 0.5 * (full + full.T)
        fixed = (np.arange(len(full)) < len(kept)) & (np.arange(len(full)) % layout.width > 3)
        fixed[: len(kept)] &= np.repeat(~layout.skewed, layout.width)
        full[fixed, fixed] = 0.0
        chi_squared, freedom = self._agreement(state, priors)
        rescaling = losses.rescaling(chi_squared, freedom, settings.least_freedom)
        size = 6 * len(problem.exposures)
        covariance = np.zeros((size, size))
        covariance[np.ix_(kept, kept)] = rescaling**2 * full[: len(kept), : len(kept)]
        errors = np.full((len(layout.stars), 5), np.nan)
        if star_errors:
            errors = rescaling * self._star_errors(state, full)
        tied = bool(np.any(self._tied(state)))
        years = np.abs(layout.years + problem.reference_epoch - settings.catalog_epoch)
        return JointSolution(
            fits=plane_fits(state.corrections, layout.centres),
            centres=layout.centres,
            corrections=state.corrections,
            covariance=covariance,
            rescaling=rescaling,
            catalog_factor=self.factor,
            common_floor=settings.catalog_floor_rate * years if tied else np.zeros(len(years)),
            chi_squared=chi_squared,
            freedom=freedom,
            frame="catalog" if tied else "relative",
            **by_star(layout, problem, state, errors),
        )

    def _tied(self, state: State) -> Array:
        """Whether each star ties the field to the catalog."""
        used = self.layout.by_star @ state.weights
        tied: Array = self.layout.in_catalog & (state.catalog_weights > 0) & (used > 0)
        return tied

    def _agreement(self, state: State, priors: Restraint) -> tuple[float, int]:
        """Weighted chi-squared with all priors, and its degrees of freedom.

        Every prior that holds an unknown is a datum too, so that only positions count: two for each source
        and each catalog row, less two for each star.
        """
        layout, field = self.layout, self.layout.field
        effective = layout.weights * state.weights
        total = float(np.sum(effective * np.sum(state.residuals**2, axis=1))) + priors.chi_squared
        apart = state.stars - layout.mean
        if layout.common and field is not None:
            apart = apart - field.response @ state.motion
            total += float(np.sum(state.motion**2)) / field.motion_error**2
        own = np.sum(apart * (layout.precision @ apart[:, :, None])[:, :, 0], axis=1)
        total += float(np.sum(state.catalog_weights * own))
        rows = np.where(layout.in_catalog, state.catalog_weights, 0.0)
        known = layout.by_star @ state.weights + rows
        return total, round(2.0 * float(np.sum(known - np.minimum(known, 1.0))))

    def _star_errors(self, state: State, full: Array) -> Array:
        """Standard errors of all stars' parameters, those of the exposures included, shape (m, 5)."""
        layout = self.layout
        factors = state.blocks.factors
        variance = np.sum(factors**2, axis=1)
        for stars, columns, part in equations.couplings(layout, state.corrections, state.blocks):
            moved = factors[stars].transpose(0, 2, 1) @ part.reshape(-1, 5, len(columns))
            variance[stars] += np.sum((moved @ full[np.ix_(columns, columns)]) * moved, axis=2)
        return np.sqrt(variance)
