"""Random fields of ACS/WFC exposures as lists of sources, with a known truth, for thousands of alignments.

Stars, galaxies, blends, cosmic rays, heavy-tailed errors, pointing errors to 1 arcsec and 0.05 degree, and a
catalog of which some rows are wrong, or all. Everything lies in one tangent plane.
"""

from dataclasses import dataclass, replace

import numpy as np
from hapctl.processing.astrometry.joint_model import ExposurePrior
from hapctl.processing.astrometry.list_alignment import StarList
from hapctl.processing.astrometry.plane import (
    PlaneFit,
    TangentPlane,
    moved_solution,
    sky_matrix,
    sky_positions,
)
from hapctl.processing.astrometry.reference_stars import ReferenceStars, reference_stars
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.source_list import SourceList
from numpy.typing import NDArray
from support.synthetic_chips import plain_chip

Array = NDArray[np.float64]
HALF = 101.0  # arcsec, half the side of ACS/WFC
STAR_COUNTS = (15, 8, 4, 3, 2, 0)
_DRAWN = (15, 8, 4, 4, 3, 3, 3, 2, 2, 0, 0, 0)  # fields where a wrong match could pass come more often
PIXEL = 0.05
CORNERS = HALF * np.array([[-0.95, -0.95], [0.95, -0.95], [-0.95, 0.95], [0.95, 0.95], [0.0, 0.0]])


@dataclass(frozen=True)
class RandomField:
    """Exposures of one field and a catalog.

    Attributes
    ----------
    true_stars : int
        Rows of the catalog that are right and lie in the field.
    lists : list of StarList
        Sources of each exposure by its starting WCS.
    owners : list of ndarray of int
        True star or galaxy of each source; -1 for a cosmic ray.
    pointing : list of PlaneFit
        What takes the starting positions to the true ones.
    centres : list of ndarray
        Of the exposures.
    catalog : StarList
        At the epoch of the exposures.
    motion_errors : ndarray, shape (m,)
        Of the catalog, arcsec per year.
    row_owner : ndarray of int
        True star of each row of the catalog; -1 where it is wrong.
    priors : list of ExposurePrior
    epoch : float
        Julian year.
    kind : str
        How the catalog was made.
    """

    true_stars: int
    lists: list[StarList]
    owners: list[NDArray[np.intp]]
    pointing: list[PlaneFit]
    centres: list[Array]
    catalog: StarList
    catalog_epoch_errors: Array
    motion_errors: Array
    row_owner: NDArray[np.intp]
    priors: list[ExposurePrior]
    epoch: float
    kind: str


def random_field(seed: int, true_stars: int | None = None) -> RandomField:
    """Draw a field.

    Parameters
    ----------
    seed : int
    true_stars : int, optional
        One of `STAR_COUNTS`; in turn with the seed by default, few ones more often.
    """
    random = np.random.default_rng([20_000, seed])
    wanted = _DRAWN[seed % len(_DRAWN)] if true_stars is None else true_stars
    exposures = int(random.choice([1, 2, 4], p=[0.35, 0.4, 0.25]))
    sky = _Sky(random, wanted)
    sets = np.zeros(exposures, dtype=int)
    if exposures > 1 and random.random() < 0.25:
        sets[exposures // 2 :] = 1
    common = [_pointing_error(random) for _ in range(2)]
    pointing = [_member_error(random, common[number]) for number in sets]
    centres = [random.uniform(-3, 3, 2) for _ in range(exposures)]
    rays = int(10 ** random.uniform(1.3, 2.9))
    drawn = [_exposure(random, sky, fit, centre, rays) for fit, centre in zip(pointing, centres, strict=True)]
    catalog, position_errors, motion_errors, owner, kind = _catalog(random, sky, wanted)
    return RandomField(
        true_stars=wanted,
        lists=[sources for sources, _ in drawn],
        owners=[owners for _, owners in drawn],
        pointing=pointing,
        centres=centres,
        catalog=catalog,
        catalog_epoch_errors=position_errors,
        motion_errors=motion_errors,
        row_owner=owner,
        priors=[ExposurePrior(int(number), pointing=1.0) for number in sets],
        epoch=sky.epoch,
        kind=kind,
    )


class _Sky:
    """What is there: the catalog's stars first, then others, then galaxies."""

    def __init__(self, random: np.random.Generator, bright: int) -> None:
        self.epoch = float(random.uniform(2003, 2024))
        faint = int(10 ** random.uniform(0.8, 3.0))
        galaxies = int(10 ** random.uniform(1.0, 2.3))
        count = bright + faint + galaxies
        self.bright = bright
        self.points = random.uniform(-HALF - 4, HALF + 4, (count, 2))
        self.points[:bright] = random.uniform(-HALF + 6, HALF - 6, (bright, 2))
        if random.random() < 0.3:  # a cluster
            clumped = random.random(count) < 0.6
            clumped[:bright] &= random.random(bright) < 0.5
            self.points[clumped] = np.clip(random.normal(0, 25, (np.count_nonzero(clumped), 2)), -HALF, HALF)
        self.magnitudes = np.concatenate(
            [random.uniform(17, 21, bright), 19 + 7 * np.sqrt(random.random(faint + galaxies))]
        )
        self.is_galaxy = np.arange(count) >= bright + faint
        self.displaced = _blends(random, self.points, self.magnitudes)
        self.displaced[self.is_galaxy] += random.normal(0, 0.003, (galaxies, 2))

    def errors(self) -> Array:
        """Standard errors of one measurement, arcsec."""
        snr = 30.0 * 10 ** (0.4 * (24.0 - self.magnitudes))
        noise = PIXEL * np.hypot(0.036 * 30.0 / np.minimum(snr, 600.0), 0.005)
        return np.where(self.is_galaxy, np.hypot(noise, 0.15 * PIXEL), noise)


def _blends(random: np.random.Generator, points: Array, magnitudes: Array) -> Array:
    """Displacements by neighbours that were not told apart, the same in all exposures."""
    from scipy.spatial import cKDTree

    shift = np.zeros_like(points)
    for one, two in cKDTree(points).query_pairs(0.15):
        part = 10 ** (-0.4 * (magnitudes[two] - magnitudes[one]))
        middle = (points[one] + part * points[two]) / (1 + part)
        shift[one], shift[two] = middle - points[one], middle - points[two]
    unseen = random.random(len(points)) < 0.02
    shift[unseen] += random.normal(0, 0.01, (int(np.count_nonzero(unseen)), 2))
    return shift


def _pointing_error(random: np.random.Generator) -> PlaneFit:
    shift = np.clip(random.normal(0, 0.5, 2), -1, 1)
    roll = random.normal(0, 0.003) if random.random() < 0.75 else random.uniform(-0.05, 0.05)
    return PlaneFit.similarity(shift, roll)


def _member_error(random: np.random.Generator, common: PlaneFit) -> PlaneFit:
    own = PlaneFit.similarity(random.normal(0, 0.003, 2), random.normal(0, 2e-4), 1 + random.normal(0, 2e-5))
    return own.after(common)


def _exposure(
    random: np.random.Generator, sky: _Sky, fit: PlaneFit, centre: Array, rays: int
) -> tuple[StarList, NDArray[np.intp]]:
    stated = sky.errors()
    heavy = np.where(random.random(len(stated)) < 0.02, 5.0, 1.0)
    places = sky.points + sky.displaced + random.normal(0, 1, (len(stated), 2)) * (stated * heavy)[:, None]
    seen = (np.abs(places - centre) < HALF).all(axis=1) & (random.random(len(stated)) < 0.93)
    owners = np.nonzero(seen)[0]
    spots = centre + random.uniform(-HALF, HALF, (rays, 2))
    points = np.concatenate([places[owners], spots])
    errors = np.concatenate([stated[owners], random.uniform(0.0005, 0.005, rays)])
    magnitudes = np.concatenate(
        [sky.magnitudes[owners] + random.normal(0, 0.03, len(owners)), random.uniform(18, 25, rays)]
    )
    owner = np.concatenate([owners, np.full(rays, -1)])
    order = np.argsort(magnitudes, kind="stable")
    back = np.linalg.inv(fit.matrix)
    started = (points - fit.shift) @ back.T
    return StarList(started[order], errors[order], magnitudes[order] - 25.6), owner[order]


def _catalog(
    random: np.random.Generator, sky: _Sky, wanted: int
) -> tuple[StarList, Array, Array, NDArray[np.intp], str]:
    """Right rows, wrong ones among them, or an unrelated list."""
    years = abs(sky.epoch - 2016.0)
    if wanted == 0:
        kind = str(random.choice(["unrelated", "unrelated", "empty"]))
        count = 0 if kind == "empty" else int(random.choice([3, 5, 8, 15, 40, 120]))
        points = random.uniform(-HALF - 5, HALF + 5, (count, 2))
        owner, magnitudes = np.full(count, -1), random.uniform(17, 21, count)
    else:
        kind = "true"
        wrong = int(random.choice([0, 0, 1, 2, wanted // 2 + 1]))
        owner = np.concatenate([np.arange(wanted), np.full(wrong, -1)])
        near = sky.points[random.integers(0, len(sky.points), wrong)]
        size = 10 ** random.uniform(-2.0, 0.0, wrong)
        turn = random.uniform(0, 2 * np.pi, wrong)
        near = near + size[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
        far = random.uniform(-HALF, HALF, (wrong, 2))
        points = np.concatenate([sky.points[:wanted], np.where(random.random((wrong, 1)) < 0.5, near, far)])
        magnitudes = np.concatenate([sky.magnitudes[:wanted], random.uniform(17, 21, wrong)])
    position = 1e-3 * 0.03 * 10 ** (0.25 * np.clip(magnitudes - 15, 0, 6))
    motion = position.copy()
    errors = np.hypot(position, motion * years)
    larger = np.where(random.random(len(points)) < 0.05, 3.0, 1.0)
    points = points + random.normal(0, 1, points.shape) * (errors * larger)[:, None]
    order = np.argsort(magnitudes, kind="stable")
    catalog = StarList(points[order], errors[order], magnitudes[order])
    return catalog, position[order], motion[order], owner[order], kind


def mean_error(field: RandomField, number: int, fit: PlaneFit) -> Array:
    """Distances between the places that a fit and the truth give corners and centre, arcsec, shape (5,)."""
    back = np.linalg.inv(field.pointing[number].matrix)
    started = (CORNERS + field.centres[number] - field.pointing[number].shift) @ back.T
    away: Array = fit(started) - (CORNERS + field.centres[number])
    return np.hypot(away[:, 0], away[:, 1])


def started_corners(field: RandomField, number: int) -> Array:
    """Corners and centre of an exposure by its starting WCS, shape (5, 2)."""
    back = np.linalg.inv(field.pointing[number].matrix)
    started: Array = (CORNERS + field.centres[number] - field.pointing[number].shift) @ back.T
    return started


PLANE = TangentPlane(150.0, 2.0)


def starting_solution(field: RandomField, number: int) -> WcsSolution:
    """The WCS of an exposure before the alignment: a TAN chip moved by the inverse of its pointing error."""
    size = round(2 * HALF / PIXEL)
    ra, dec = sky_positions(PLANE.deproject(field.centres[number][None, :]))
    chip = plain_chip((size, size), (float(ra[0]), float(dec[0])), PIXEL)
    true = WcsSolution(f"jrand{number}abq", "IDC_rand1234o", (chip,))
    fit = field.pointing[number]
    matrix = np.linalg.inv(fit.matrix)
    return moved_solution(true, sky_matrix(PlaneFit(-matrix @ fit.shift, matrix), PLANE))


def sky_sources(field: RandomField, number: int) -> SourceList:
    """The sources of an exposure on the sky by its starting WCS."""
    sources = field.lists[number]
    ra, dec = sky_positions(PLANE.deproject(sources.points))
    count = len(sources)
    none = np.zeros(count)
    return SourceList(
        np.ones(count, dtype=np.int64),
        none,
        none,
        ra,
        dec,
        sources.errors,
        sources.magnitudes,
        none + 50,
        count,
    )


def sky_catalog(field: RandomField) -> ReferenceStars:
    """The catalog at epoch 2016, motions none but for their errors."""
    ra, dec = sky_positions(PLANE.deproject(field.catalog.points))
    position, motion = 1e3 * field.catalog_epoch_errors, 1e3 * field.motion_errors
    return reference_stars(
        ra,
        dec,
        ra_error=position,
        dec_error=position,
        parallax=0.0,
        parallax_error=0.01,
        pmra=0.0,
        pmdec=0.0,
        pmra_error=motion,
        pmdec_error=motion,
        correlations=0.0,
        phot_g_mean_mag=field.catalog.magnitudes,
        ruwe=1.0,
        params_solved=31,
    )


def turned_off(field: RandomField) -> RandomField:
    """The same field with its catalog mirrored: nothing of it is right."""
    catalog = field.catalog
    mirrored = StarList(catalog.points * np.array([-1.0, 1.0]), catalog.errors, catalog.magnitudes)
    return replace(field, catalog=mirrored, row_owner=np.full(len(catalog), -1), kind="mirrored")
