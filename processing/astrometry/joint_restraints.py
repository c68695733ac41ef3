"""What is known of the exposures beforehand, as the quadratic form that a joint solution minimises too.

Exposures of a guide-star set share the error of its guide stars, and depart from it by their own relative
error; the shared part is eliminated exactly. A prior that the stars contradict is released: beyond `TRUSTED`
standard deviations its weight falls with the square of the departure, so that a header which is off by two
hundred times what its origin promises does not pull the solution, and one that keeps its promise is
used as it stands.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.joint_model import Array, ExposurePrior, Indices

TRUSTED = 4.0
"""Departure, in standard deviations of a coordinate, up to which a prior is taken at its word."""
_ALIKE = ((0, 1), (2,), (3,), (4, 5))
"""Parameters that are judged together: pointing, roll, scale, skew."""


@dataclass(frozen=True)
class Restraint:
    """A quadratic form ``x.T @ precision @ x`` of all exposures' parameters.

    Attributes
    ----------
    precision : ndarray, shape (6 k, 6 k)
        Zero rows for the skew of exposures that have none.
    chi_squared : float
        At the parameters for which the priors were weighed.
    """

    precision: Array
    chi_squared: float


def restraint(priors: Sequence[ExposurePrior], corrections: Array | None = None) -> Restraint:
    """The priors of all exposures.

    Parameters
    ----------
    priors : sequence of ExposurePrior
    corrections : ndarray, shape (k, 6), optional
        By which priors that are contradicted are released; none is by default.

    Returns
    -------
    Restraint
    """
    size = len(priors)
    values = np.zeros((size, 6)) if corrections is None else corrections
    firm = np.array([prior.firm for prior in priors], dtype=np.bool_)
    judged = np.where(firm[:, None], 0.0, values)  # a firm prior is as if nothing contradicted it
    precision = np.zeros((size, 6, size, 6))
    for number, prior in enumerate(priors):
        if prior.covariance is not None:
            precision[number, :, number, :] = _fitted_precision(prior, prior.covariance, judged[number])
    for members in _sets(priors):
        block = _set_precision([priors[n] for n in members], judged[members])
        precision[members[:, None], :, members[None, :], :] = block
    flat = precision.reshape(6 * size, 6 * size)
    return Restraint(flat, float(values.ravel() @ flat @ values.ravel()))


def _fitted_precision(prior: ExposurePrior, covariance: Array, values: Array) -> Array:
    """Of an exposure whose start is a fit, shape (6, 6)."""
    precision = np.zeros((6, 6))
    precision[:4, :4] = np.linalg.inv(covariance)
    precision *= _released(float(values @ precision @ values) / 4.0)
    if prior.skew > 0:
        precision[[4, 5], [4, 5]] = 1.0 / prior.skew**2
    return precision


def _sets(priors: Sequence[ExposurePrior]) -> Iterator[Indices]:
    """Numbers of the exposures of each guide-star set, without those whose start is a fit."""
    of_set: dict[int, list[int]] = {}
    for number, prior in enumerate(priors):
        if prior.covariance is None:
            of_set.setdefault(prior.guide_star_set, []).append(number)
    return (np.array(members, dtype=np.intp) for members in of_set.values())


def _set_precision(priors: Sequence[ExposurePrior], values: Array) -> Array:
    """The form of one guide-star set, shape (n, n, 6, 6): the shared error is eliminated."""
    own, relative, shared = _own(priors), _relative(priors), _shared(priors)
    departures, common = _kept_or_released(relative, shared, values)
    total = departures.sum(axis=0) + common
    alone = own * _released_rows(own * values**2) + departures
    block = np.zeros((len(priors), len(priors), 6, 6))
    shares = np.divide(departures, np.sqrt(total), out=np.zeros_like(departures), where=total > 0)
    for parameter in range(6):
        of_set = np.diag(alone[:, parameter]) - np.outer(shares[:, parameter], shares[:, parameter])
        block[:, :, parameter, parameter] = of_set
    return block


def _kept_or_released(relative: Array, shared: Array, values: Array) -> tuple[Array, Array]:
    """Precisions about the shared error, and of it, less what the values contradict."""
    middle = _shared_error(relative, shared, values)
    squares, square = relative * (values - middle) ** 2, shared * middle**2
    if squares.max() <= TRUSTED**2 and square.max() <= TRUSTED**2:
        return relative, shared
    middle = np.median(values, axis=0)
    departures, common = relative, shared
    for _ in range(10):  # the shared error and what is released depend on each other
        departures = relative * _released_rows(relative * (values - middle) ** 2)
        common = shared * _released_rows((shared * middle**2)[None, :])[0]
        middle = _shared_error(departures, common, values)
    return departures, common


def _shared_error(relative: Array, shared: Array, values: Array) -> Array:
    """The likeliest error of the guide stars, given the corrections of their exposures, shape (6,)."""
    total = relative.sum(axis=0) + shared
    pulled = (relative * values).sum(axis=0)
    error: Array = np.divide(pulled, total, out=np.zeros(6), where=total > 0)
    return error


def _own(priors: Sequence[ExposurePrior]) -> Array:
    """Precisions about zero, shape (n, 6): scale, skew, and the pointing of an exposure on its own."""
    rows = np.zeros((len(priors), 6))
    for row, prior in zip(rows, priors, strict=True):
        if prior.relative_pointing is None:
            row[:2] = 1.0 / prior.pointing**2
        row[3] = 1.0 / prior.scale**2
        if prior.skew > 0:
            row[4:] = 1.0 / prior.skew**2
    return rows


def _relative(priors: Sequence[ExposurePrior]) -> Array:
    """Precisions about the error that the set shares, shape (n, 6)."""
    rows = np.zeros((len(priors), 6))
    for row, prior in zip(rows, priors, strict=True):
        if prior.relative_pointing is not None:
            row[:2] = 1.0 / prior.relative_pointing**2
        row[2] = 1.0 / np.radians(prior.relative_roll_deg) ** 2
    return rows


def _shared(priors: Sequence[ExposurePrior]) -> Array:
    """Precisions of the shared error, shape (6,): of the least certain exposure of the set."""
    pointing = max(prior.pointing for prior in priors)
    roll = np.radians(max(prior.roll_deg for prior in priors))
    return np.array([1.0 / pointing**2, 1.0 / pointing**2, 1.0 / roll**2, 0.0, 0.0, 0.0])


def _released_rows(squared: Array) -> Array:
    """Weights of the priors of each row, shape (n, 6), from squared departures in standard deviations."""
    weights = np.empty_like(squared)
    for alike in _ALIKE:
        mean = squared[:, alike].mean(axis=1)
        weights[:, alike] = _released(mean)[:, None]
    return weights


def _released(squared: Array | float) -> Array:
    """1 up to `TRUSTED` standard deviations, beyond falling with the square of the departure."""
    weights: Array = TRUSTED**2 / np.maximum(squared, TRUSTED**2)
    return weights
