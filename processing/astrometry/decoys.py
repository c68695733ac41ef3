"""Decoys: reference lists that cannot be right, to see how well a wrong one can score.

Each is the true list mirrored, turned or shifted beyond the reach of the search, wrapped round in
its own bounding box so that the density stays what it is. A match counts for something only if none
of them scores as high. Positions are tangent-plane coordinates in arcsec.
"""

from collections.abc import Iterator

import numpy as np
from hapctl.processing.astrometry.list_alignment import StarList
from numpy.typing import NDArray

Array = NDArray[np.float64]


def decoy_lists(
    reference: StarList, radius: float, count: int, seed: int = 0, box: tuple[Array, Array] | None = None
) -> Iterator[StarList]:
    """Make decoys of a reference list.

    Parameters
    ----------
    reference : StarList
    radius : float
        Radius of the search, arcsec; a decoy that is only shifted lies beyond twice that.
    count : int
        How many.
    seed : int
        The same seed gives the same decoys.
    box : tuple of ndarray, optional
        Least and greatest corner of the box in which the list wraps round; its own by default.

    Yields
    ------
    StarList
        Four kinds in turn: mirrored; turned by 180 degrees; both; shifted only. Each is also
        shifted at random. Where the box is too small for the last kind it is left out.
    """
    random = np.random.default_rng(seed)
    low, high = box or (reference.points.min(axis=0), reference.points.max(axis=0))
    size = np.maximum(high - low, 1e-6)
    signs = [(-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)]
    if np.all(size > 4.5 * radius):
        signs.append((1.0, 1.0))
    for number in range(count):
        sign = np.array(signs[number % len(signs)])
        shift = _shift(random, size, radius, plain=bool(np.all(sign > 0)))
        points = low + np.mod(sign * (reference.points - low) + shift, size)
        yield StarList(points, reference.errors, reference.magnitudes)


def _shift(random: np.random.Generator, size: Array, radius: float, *, plain: bool) -> Array:
    """Anywhere in the box; of a decoy that is only shifted, beyond twice the radius in both directions."""
    part = random.uniform(0.0, 1.0, 2)
    if not plain:
        return part * size
    margin = 2.1 * radius
    return margin + part * (size - 2.0 * margin)
