"""Where the iteration of a joint solution stands, and what it says of stars and sources."""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.joint_layout import Layout
from hapctl.processing.astrometry.joint_model import Array, JointProblem
from hapctl.processing.astrometry.joint_stars import StarBlocks


@dataclass(frozen=True)
class State:
    """Where an iteration stands; `motion` is the field's beyond its prior, weights are the robust ones."""

    corrections: Array
    motion: Array
    blocks: StarBlocks
    stars: Array
    residuals: Array
    weights: Array
    catalog_weights: Array


def by_star(layout: Layout, problem: JointProblem, state: State, errors: Array) -> dict[str, Array]:
    """What is said of stars and sources, in the problem's order."""
    priors = problem.stars
    count, number = len(priors), len(problem.sources)
    stars, star_errors = np.full((count, 5), np.nan), np.full((count, 5), np.nan)
    residuals, weights = np.zeros((number, 2)), np.ones(number)
    catalog_residuals, rows = np.full((count, 2), np.nan), np.zeros(count)
    known = layout.in_catalog | (layout.by_star @ state.weights > 0)
    stars[layout.stars[known]], star_errors[layout.stars[known]] = state.stars[known], errors[known]
    residuals[layout.rows], weights[layout.rows] = state.residuals, state.weights
    mine = layout.in_catalog
    catalog_residuals[layout.stars[mine]] = state.stars[mine, :2] - layout.mean[mine, :2]
    rows[layout.stars[mine]] = state.catalog_weights[mine]
    unseen = priors.in_catalog & (np.bincount(problem.sources.star, minlength=count) == 0)
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
