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
from hapctl.processing.astrometry.joint_corrections import corrections_of, plane_fits, predicted_error
from hapctl.processing.astrometry.joint_equations import Layout, StarBlocks
from hapctl.processing.astrometry.joint_model import (
    Array,
    Indices,
    JointProblem,
    JointSettings,
    JointSolution,
)
from hapctl.processing.astrometry.joint_restraints import Restraint, restraint
from hapctl.processing.astrometry.plane import PlaneFit

__all__ = ["predicted_error", "solve_joint"]
_STARTING_STEPS = 50
_CHECKING_STEPS = 4  # from a start that the caller vouches for
_SCALED_STEPS = 12  # steps after which the scatter that residuals are measured by stays what it is
_SETTLED = 1e-7  # arcsec; rounding moves a frame that nothing but priors holds by a tenth of it
_LOST = 1e-3  # a star none of whose sources weighs more has lost them
_LEAST = 1e-9  # weight that keeps the star of rejected sources regular
_FRESH = 0.01  # mean change of the weights after which the equations are made anew


@dataclass(frozen=True)
class _State:
    """Where an iteration stands; `motion` is the field's beyond its prior, weights are the robust ones."""

    corrections: Array
    motion: Array
    stars: Array
    residuals: Array
    weights: Array
    catalog_weights: Array


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
    return solver.finished(solver.settled(solver.started(start)), star_errors=star_errors)


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
    catalog_covariance : ndarray, shape (m, 5, 5)
    """

    layout: Layout
    problem: JointProblem
    settings: JointSettings
    spread: Array
    catalog_covariance: Array

    @classmethod
    def of(cls, problem: JointProblem, settings: JointSettings) -> "_Solver":
        layout = equations.lay_out(problem, settings.floor)
        blocks = equations.star_blocks(layout, layout.weights, np.ones(len(layout.stars)))
        seen = equations.seen_factors(layout, equations.inverse_factors(blocks.normal))
        lever = 0.5 * layout.weights * np.sum(seen**2, axis=(1, 2))
        spread = np.sqrt(np.maximum(1.0 - lever, 1e-6) / layout.weights)
        known = np.linalg.inv(layout.precision + np.diag(equations.WEAK + _LEAST)).astype(np.float64)
        return cls(layout, problem, settings, spread, known)

    def started(self, start: Sequence[PlaneFit] | None) -> _State:
        """Least absolute deviations: of everything from the starting WCS, of the stars from a start given."""
        layout, size = self.layout, len(self.problem.exposures)
        corrections = np.zeros((size, 6)) if start is None else corrections_of(start, layout.centres)
        corrections[~layout.skewed, 4:] = 0.0
        state = self._with_stars(
            corrections, np.zeros(layout.common), np.ones(len(layout.rows)), np.ones(len(layout.stars))
        )
        if start is not None:
            for _ in range(_CHECKING_STEPS):  # medians of the stars alone
                state = self._weighed(state, None)
            return state
        for _ in range(_STARTING_STEPS):
            state, moved = self._stepped(state, self._normal(state))
            state = self._weighed(state, None)
            if moved < 5e-5:
                break
        return state

    def settled(self, state: _State) -> _State:
        """The redescending loss, until nothing moves."""
        scatter = (1.0, 1.0)
        normal: _Normal | None = None
        for turn in range(self.settings.steps):
            if turn < _SCALED_STEPS:
                scatter = self._scatter(state)
            state = self._weighed(state, scatter, revive=turn < _SCALED_STEPS)
            if normal is None or self._stale(normal, state):
                normal = self._normal(state)
            state, moved = self._stepped(state, normal)
            if moved < _SETTLED and turn > 2:
                break
        return state

    def _with_stars(self, corrections: Array, motion: Array, weights: Array, catalog: Array) -> _State:
        """The state in which every star is where it fits best."""
        layout = self.layout
        positions = equations.corrected(layout, corrections)
        effective = layout.weights * np.maximum(weights, _LEAST)
        blocks = equations.star_blocks(layout, effective, catalog)
        stars = equations.best_stars(layout, blocks, effective, positions, motion)
        residuals = positions - equations.placed(layout, stars)
        return _State(corrections, motion, stars, residuals, weights, catalog)

    def _revived(self, state: _State) -> Array:
        """Residuals, of stars that have lost all sources as if the sources alone were right, shape (n, 2).

        A rejected star follows its catalog row and its prior motion, from which its sources then stay away
        whatever the exposures do; they are believed again if they agree with each other.
        """
        layout = self.layout
        best = np.zeros(len(layout.stars))
        np.maximum.at(best, layout.star, state.weights)
        lost = best < _LOST
        alone = (self.spread**2 * layout.weights < 0.2) & (state.weights < _LOST)
        weights = np.where(lost[layout.star] | alone, 1.0, state.weights)
        rows = np.where(lost & layout.in_catalog, 0.0, state.catalog_weights)
        return self._with_stars(state.corrections, state.motion, weights, rows).residuals

    def _sizes(self, state: _State, *, revive: bool = False) -> tuple[Array, Array]:
        """Lengths of the residuals of sources and of catalog positions, in standard errors."""
        residuals = self._revived(state) if revive else state.residuals
        size = np.hypot(residuals[:, 0], residuals[:, 1]) / self.spread
        departure, covariance = self._departures(state)
        catalog = np.einsum("mi,mij,mj->m", departure, np.linalg.inv(covariance), departure)
        return size, np.sqrt(catalog)

    def _departures(self, state: _State) -> tuple[Array, Array]:
        """Sources' mean position of each star minus the catalog's, shape (m, 2), and its covariance.

        At the mean epoch of the star's sources, where they know it best.
        """
        layout = self.layout
        weights = layout.weights * np.maximum(state.weights, _LEAST)
        total = layout.by_star @ weights
        mean = layout.mean
        if layout.common and layout.field is not None:
            mean = mean + layout.field.response @ state.motion
        positions = equations.corrected(layout, state.corrections)
        apart = positions - equations.placed(layout, mean)
        factors, years = layout.parallax_factors[layout.exposure], layout.years[layout.exposure]
        columns = np.column_stack([apart, factors, years])
        averages = (layout.by_star @ (weights[:, None] * columns)) / total[:, None]
        seen = np.zeros((len(layout.stars), 2, 5))
        seen[:, 0, 0] = seen[:, 1, 1] = 1.0
        seen[:, :, 2] = averages[:, 2:4]
        seen[:, 0, 3] = seen[:, 1, 4] = averages[:, 4]
        covariance = seen @ self.catalog_covariance @ seen.transpose(0, 2, 1)
        covariance += np.eye(2) / (layout.by_star @ layout.weights)[:, None, None]
        return averages[:, :2], covariance

    def _weighed(self, state: _State, scatter: tuple[float, float] | None, *, revive: bool = False) -> _State:
        """New robust weights: of the starting loss, or of the redescending one in units of the scatter."""
        size, catalog = self._sizes(state, revive=revive)
        if scatter is None:
            weights, rows = losses.absolute(size), losses.absolute(catalog)
        else:
            weights, rows = losses.redescending(size / scatter[0]), losses.redescending(catalog / scatter[1])
        rows = np.where(self.layout.in_catalog, rows, 1.0)
        return self._with_stars(state.corrections, state.motion, weights, rows)

    def _scatter(self, state: _State) -> tuple[float, float]:
        """Robust scatter of sources and of catalog positions in units of their errors, at least 1."""
        size, catalog = self._sizes(state)
        several = self.layout.weights * self.spread**2 > 0.05  # others agree with their star whatever happens
        mine = size[several & (state.weights > 0)]
        theirs = catalog[self.layout.in_catalog & (state.catalog_weights > 0)]
        return losses.robust_scatter(mine), losses.robust_scatter(theirs)

    def _stale(self, normal: _Normal, state: _State) -> bool:
        sources = np.mean(np.abs(normal.weights - state.weights)) if len(state.weights) else 0.0
        rows = np.abs(normal.catalog_weights - state.catalog_weights)[self.layout.in_catalog]
        return bool(sources > _FRESH or (len(rows) and rows.max() > 0.1))

    def _blocks(self, state: _State) -> tuple[Array, StarBlocks]:
        effective = self.layout.weights * np.maximum(state.weights, _LEAST)
        return effective, equations.star_blocks(self.layout, effective, state.catalog_weights)

    def _normal(self, state: _State) -> _Normal:
        """The reduced equations: exposures, and the field's motion, after the stars are eliminated."""
        from scipy.linalg import cho_factor

        layout = self.layout
        effective, blocks = self._blocks(state)
        slopes = equations.derivatives(layout, state.corrections)
        factors = equations.inverse_factors(blocks.normal)
        size = layout.width * len(layout.centres)
        matrix = np.zeros((size + layout.common, size + layout.common))
        matrix[:size, :size] = equations.exposure_blocks(layout, slopes, effective)
        matrix[size:, size:] = equations.common_block(layout, state.catalog_weights)
        for _, columns, part in equations.couplings(layout, slopes, effective, blocks, factors):
            matrix[np.ix_(columns, columns)] -= part.T @ part
        priors, kept = self._restrained(state)
        matrix[:size, :size] += priors.precision[np.ix_(kept, kept)]
        empty = np.nonzero(np.diag(matrix) == 0)[0]  # skew of an exposure that has none
        matrix[empty, empty] = 1.0
        return _Normal(matrix, cho_factor(matrix), state.weights, state.catalog_weights)

    def _restrained(self, state: _State) -> tuple[Restraint, Indices]:
        """The priors of the exposures, and which of all their parameters are unknowns here."""
        size = len(self.problem.exposures)
        priors = restraint([exposure.prior for exposure in self.problem.exposures], state.corrections)
        kept: Indices = (6 * np.arange(size)[:, None] + np.arange(self.layout.width)).ravel()
        return priors, kept

    def _stepped(self, state: _State, normal: _Normal) -> tuple[_State, float]:
        """One step, and how far it moved any exposure, arcsec."""
        from scipy.linalg import cho_solve

        layout = self.layout
        priors, kept = self._restrained(state)
        effective = layout.weights * np.maximum(state.weights, _LEAST)
        slopes = equations.derivatives(layout, state.corrections)
        pull = -equations.source_gradient(layout, slopes, effective, state.residuals)
        pull -= (priors.precision @ state.corrections.ravel())[kept]
        shared = equations.common_gradient(layout, state.catalog_weights, state.stars, state.motion)
        right = np.concatenate([pull, shared])
        change = cho_solve(normal.factor, right)
        step = change[: len(kept)].reshape(-1, layout.width)
        corrections = state.corrections.copy()
        corrections[:, : layout.width] += step
        motion = state.motion + change[len(kept) :]
        moved = float(np.max(np.abs(step * self._reach()[: layout.width]))) if step.size else 0.0
        moved = max(moved, float(np.max(np.abs(change[len(kept) :]), initial=0.0)))
        return self._with_stars(corrections, motion, state.weights, state.catalog_weights), moved

    def _reach(self) -> Array:
        """Arcsec that the outermost source moves by a unit of each parameter, shape (6,)."""
        outermost = float(np.max(np.abs(self.layout.offsets), initial=1.0))
        return np.array([1.0, 1.0, outermost, outermost, outermost, outermost])

    def finished(self, state: _State, *, star_errors: bool) -> JointSolution:
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
            common_floor=settings.catalog_floor_rate * years if tied else np.zeros(len(years)),
            chi_squared=chi_squared,
            freedom=freedom,
            frame="catalog" if tied else "relative",
            **self._by_star(state, errors),
        )

    def _tied(self, state: _State) -> Array:
        """Whether each star ties the field to the catalog."""
        used = self.layout.by_star @ state.weights
        tied: Array = self.layout.in_catalog & (state.catalog_weights > 0) & (used > 0)
        return tied

    def _agreement(self, state: _State, priors: Restraint) -> tuple[float, int]:
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
        own = np.einsum("mi,mij,mj->m", apart, layout.precision, apart, optimize=True)
        total += float(np.sum(state.catalog_weights * own))
        rows = np.where(layout.in_catalog, state.catalog_weights, 0.0)
        known = layout.by_star @ state.weights + rows
        return total, round(2.0 * float(np.sum(known - np.minimum(known, 1.0))))

    def _star_errors(self, state: _State, full: Array) -> Array:
        """Standard errors of all stars' parameters, those of the exposures included, shape (m, 5)."""
        layout = self.layout
        effective, blocks = self._blocks(state)
        slopes = equations.derivatives(layout, state.corrections)
        factors = equations.inverse_factors(blocks.normal)
        root = np.linalg.cholesky(full + 1e-30 * np.eye(len(full)))
        variance = np.sum(factors**2, axis=1)
        for stars, columns, part in equations.couplings(layout, slopes, effective, blocks, factors):
            through = (part @ root[columns]).reshape(-1, 5, len(full))
            moved = factors[stars].transpose(0, 2, 1) @ through
            variance[stars] += np.sum(moved**2, axis=2)
        return np.sqrt(variance)

    def _by_star(self, state: _State, errors: Array) -> dict[str, Array]:
        """What is said of stars and sources, in the problem's order."""
        layout, priors = self.layout, self.problem.stars
        count, number = len(priors), len(self.problem.sources)
        stars, star_errors = np.full((count, 5), np.nan), np.full((count, 5), np.nan)
        residuals, weights = np.zeros((number, 2)), np.ones(number)
        catalog_residuals, rows = np.full((count, 2), np.nan), np.zeros(count)
        known = layout.in_catalog | (layout.by_star @ state.weights > 0)
        stars[layout.stars[known]], star_errors[layout.stars[known]] = state.stars[known], errors[known]
        residuals[layout.rows], weights[layout.rows] = state.residuals, state.weights
        mine = layout.in_catalog
        catalog_residuals[layout.stars[mine]] = state.stars[mine, :2] - layout.mean[mine, :2]
        rows[layout.stars[mine]] = state.catalog_weights[mine]
        unseen = priors.in_catalog & (np.bincount(self.problem.sources.star, minlength=count) == 0)
        stars[unseen] = priors.mean[unseen]
        rows[unseen] = 1.0
        return {
            "stars": stars,
            "star_errors": star_errors,
            "residuals": residuals,
            "weights": weights,
            "catalog_residuals": catalog_residuals,
            "catalog_weights": rows,
        }
