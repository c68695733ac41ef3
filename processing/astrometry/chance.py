"""How many matches unrelated lists of stars would give by chance, over a whole search of shifts and rolls."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_SHAPE = 1.2
"""Exact over simple volume of matching patterns: 1.20, 0.99, 0.72, 0.43 for 3 to 6 stars (Monte Carlo)."""


@dataclass(frozen=True)
class SearchFigures:
    """What the chance of a match depends on.

    Attributes
    ----------
    reference : int
        Reference stars that the search could have matched.
    density : float
        Sources per square arcsec, near the reference stars.
    radius : float
        Largest shift searched, arcsec.
    roll_deg : float
        Largest roll searched, degrees, either way.
    separation : float
        Typical distance of two reference stars, arcsec.
    tolerance : float
        Largest residual of a pair, arcsec.
    trials : int
        Searches made, of which the best counts.
    """

    reference: int
    density: float
    radius: float
    roll_deg: float
    separation: float
    tolerance: float
    trials: int = 1

    def log10_expected(self, matched: int) -> float:
        """Decimal logarithm of the expected number of chance matches of so many stars.

        E_k = 1.2 C(N, k) (rho pi R^2) (8 rho theta d t) (2.25 rho pi t^2)^(k - 2): the first star may fall
        anywhere in the search, the second along the arc that the rolls sweep (but never more often
        than the first), every other on its place. The number of ways to name the first two, k (k - 1),
        must not be counted: it is one match whichever two are named. By Monte Carlo the expression without
        it is exact to 1 % for 4 stars and an upper bound for more (factor 1.4 for 5, 2.3 for 6); 1.2
        makes it one for 3 too.
        """
        from scipy.special import gammaln

        if matched < 2 or self.density <= 0:
            return float(np.log10(max(self.trials * self.reference, 1)))
        k, total = min(matched, self.reference), self.reference
        subsets = (gammaln(total + 1) - gammaln(k + 1) - gammaln(total - k + 1)) / np.log(10.0)
        third = 2.25 * self.density * np.pi * self.tolerance**2
        arc = 8.0 * self.density * np.radians(self.roll_deg) * self.separation * self.tolerance
        first = self.density * np.pi * (self.radius + self.tolerance) ** 2
        second = min(max(arc, 4.0 * self.density * np.pi * self.tolerance**2), first)
        places = np.log10(first) + np.log10(second) + (k - 2) * np.log10(third)
        return float(np.log10(_SHAPE * self.trials) + subsets + places)

    def figures(self) -> dict[str, float]:
        """As plain numbers, under names that tell of the search."""
        return {f"search_{name}": float(value) for name, value in asdict(self).items()}

    @classmethod
    def from_figures(cls, figures: Mapping[str, float]) -> "SearchFigures":
        """From what `figures` gave."""
        plain: dict[str, Any] = {f.name: figures[f"search_{f.name}"] for f in fields(cls)}
        return cls(**plain | {"reference": int(plain["reference"]), "trials": int(plain["trials"])})


def local_density(places: Array, sources: Array) -> float:
    """Mean density of sources near some places, per square arcsec.

    Parameters
    ----------
    places, sources : ndarray, shape (n, 2) and (m, 2)
        Arcsec in one plane. About ten sources are looked at round each place.

    Returns
    -------
    float
        Not less than the mean density over the box of the sources, nor than of one source in it.
    """
    from scipy.spatial import cKDTree

    size = np.maximum(np.ptp(sources, axis=0), 1.0)
    overall = len(sources) / float(np.prod(size))
    reach = np.sqrt(10.0 / (np.pi * overall))
    near = cKDTree(sources).query_ball_point(places, reach, return_length=True)
    return max(overall, float(np.mean(near)) / (np.pi * reach**2))
