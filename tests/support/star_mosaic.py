"""Exposures of one patch of sky, dithered or as a mosaic, in one epoch or many: lists with a known truth."""

from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.plane import PlaneFit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
HALF = 100.0


@dataclass(frozen=True)
class StarMosaic:
    """Exposures with pointing errors.

    Attributes
    ----------
    lists : list of StarList
        By the starting WCS.
    owners : list of ndarray of int
        True star of each source; -1 for a cosmic ray.
    epochs : list of float
    catalogs : list of StarList
        At each epoch.
    rows : ndarray of int
        True star of each row of the catalog.
    sets : list of int
    pointing : list of PlaneFit
        What takes the starting positions to the true ones.
    """

    lists: list[StarList]
    owners: list[Indices]
    epochs: list[float]
    catalogs: list[StarList]
    rows: Indices
    sets: list[int]
    pointing: list[PlaneFit]

    def wrong(self, star: tuple[Indices, ...]) -> tuple[int, int]:
        """Sources that share a star with another true star's, and sources that have a star at all."""
        stars = np.concatenate([own[own >= 0] for own in star])
        owner = np.concatenate([true[own >= 0] for own, true in zip(star, self.owners, strict=True)])
        order = np.lexsort((owner, stars))
        pairs, counts = np.unique(np.column_stack([stars, owner])[order], axis=0, return_counts=True)
        most = np.zeros(int(stars.max(initial=-1)) + 1, dtype=int)
        np.maximum.at(most, pairs[:, 0], counts)
        return len(stars) - int(most.sum()), len(stars)


def star_mosaic(
    seed: int,
    *,
    exposures: int = 4,
    stars: int = 1500,
    known: int = 15,
    rays: int = 300,
    sets: int = 2,
    width: float = 0.0,
    years: float = 0.0,
    motion: float = 0.003,
    roll_deg: float = 0.05,
) -> StarMosaic:
    """Draw exposures; ``width`` is that of the mosaic beyond one field, ``years`` the span of epochs."""
    random = np.random.default_rng(seed)
    places = random.uniform(-HALF - width, HALF + width, (stars, 2))
    magnitudes = np.sort(18 + 8 * np.sqrt(random.random(stars)))
    errors = 0.0005 * 10 ** (0.2 * np.clip(magnitudes - 20, -2, 7))
    motions = random.normal(0, motion, (stars, 2))
    common = [
        PlaneFit.similarity(random.normal(0, 0.4, 2), random.uniform(-roll_deg, roll_deg))
        for _ in range(sets)
    ]
    epochs = [2005.0 + years * number / max(exposures - 1, 1) for number in range(exposures)]
    rows = np.sort(random.choice(np.nonzero(magnitudes < 22)[0], known, replace=False))
    noise = random.normal(0, 0.001, (known, 2))
    lists, owners, catalogs, pointing = [], [], [], []
    for number, epoch in enumerate(epochs):
        fit = common[number % sets]
        fit = PlaneFit(fit.shift + random.normal(0, 0.003, 2), fit.matrix)
        centre = random.uniform(-width, width, 2) + random.uniform(-2, 2, 2)
        now = places + motions * (epoch - 2005.0)
        seen = np.nonzero((np.abs(now - centre) < HALF).all(axis=1) & (random.random(stars) < 0.95))[0]
        measured = now[seen] + random.normal(0, 1, (len(seen), 2)) * errors[seen, None]
        points = np.concatenate([measured, centre + random.uniform(-HALF, HALF, (rays, 2))])
        bright = np.concatenate([magnitudes[seen] - 25.0, random.uniform(-7, 1, rays)])
        order = np.argsort(bright, kind="stable")
        started = (points - fit.shift) @ np.linalg.inv(fit.matrix).T
        stated = np.concatenate([errors[seen], np.full(rays, 0.005)])
        lists.append(StarList(started[order], stated[order], bright[order]))
        owners.append(np.concatenate([seen, np.full(rays, -1)])[order])
        catalogs.append(StarList(now[rows] + noise, np.full(known, 0.001), magnitudes[rows] - 0.2))
        pointing.append(fit)
    return StarMosaic(
        lists, owners, epochs, catalogs, rows, [number % sets for number in range(exposures)], pointing
    )
