"""Exposures of a star field as lists of sources, with their true WCS and a Gaia-like catalog; no pixels."""

from dataclasses import dataclass, field, replace

import numpy as np
from hapctl.processing.astrometry.joint_alignment import ExposureSources
from hapctl.processing.astrometry.joint_model import Array, ExposurePrior
from hapctl.processing.astrometry.mapping import pixel_to_sky, sky_to_pixel
from hapctl.processing.astrometry.propagation import propagate
from hapctl.processing.astrometry.reference_stars import ReferenceStars, reference_stars
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.astrometry.source_list import SourceList

PIXEL = 0.05
SHAPE = (2048, 4096)
DAYS = 365.25


def camera(ra: float, dec: float, angle: float, rootname: str, scale: float = 1.0) -> WcsSolution:
    """Two chips like those of ACS/WFC, without distortion."""
    a = np.radians(angle)
    cd = scale * PIXEL / 3600.0 * np.array([[-np.cos(a), np.sin(a)], [np.sin(a), np.cos(a)]])
    chips = tuple(
        ChipWcs(extver, 3 - extver, SHAPE, (2048.5, y), (ra, dec), tuple(cd.ravel().tolist()))
        for extver, y in ((1, 2070.0), (2, -20.0))
    )
    return WcsSolution(rootname, "IDC_test0000j", chips)


@dataclass(frozen=True)
class Pointing:
    """Where and when an exposure is taken; offsets from the field's middle in arcsec."""

    east: float = 0.0
    north: float = 0.0
    angle: float = 30.0
    year: float = 2006.0
    prior: ExposurePrior = field(default_factory=lambda: ExposurePrior(0, 0.3))


@dataclass(frozen=True)
class StarField:
    """A field of stars; lengths in arcsec or mas as named.

    Attributes
    ----------
    stars : int
        In a square of twice `half_width`.
    catalog : int
        The brightest so many, or as many of a magnitude above 20.7 as there are, are in the catalog.
    catalog_error_mas : float or None
        Of positions; motions 1.0 times that per year. None: as Gaia DR3 by magnitude. 0: perfect.
    pointing_error, roll_error_deg : float
        Half widths of the errors of the header.
    own_error : bool
        Draw errors of the header for each exposure anew, not from the priors.
    cosmic_rays : int
        In each exposure.
    wrong : float
        Part of the catalog rows whose position is off by 20 to 60 mas.
    dispersion : float
        Of motions, mas per year.
    best_pixel : float
        Error of the brightest stars, pixels.
    """

    stars: int = 2000
    half_width: float = 130.0
    catalog: int = 200
    catalog_error_mas: float | None = None
    pointing_error: float = 1.0
    roll_error_deg: float = 0.05
    own_error: bool = True
    cosmic_rays: int = 150
    wrong: float = 0.0
    dispersion: float = 3.0
    best_pixel: float = 0.005
    ra: float = 53.1
    dec: float = -27.8


@dataclass(frozen=True)
class SimulatedField:
    """What was drawn."""

    exposures: tuple[ExposureSources, ...]
    truth: tuple[WcsSolution, ...]
    reference: ReferenceStars

    def errors_mas(self, solutions: dict[int, WcsSolution]) -> dict[int, Array]:
        """Solution minus truth over a grid on both chips, mas east and north, shape (n, 2) each."""
        return {number: wcs_error_mas(found, self.truth[number]) for number, found in solutions.items()}


def wcs_error_mas(found: WcsSolution, true: WcsSolution) -> Array:
    """One solution minus another over a grid on all chips, mas east and north, shape (n, 2)."""
    parts = []
    for mine, theirs in zip(found.chips, true.chips, strict=True):
        rows, columns = np.linspace(0, SHAPE[0] - 1, 9), np.linspace(0, SHAPE[1] - 1, 9)
        y, x = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
        ra, dec = pixel_to_sky(mine, x, y)
        true_ra, true_dec = pixel_to_sky(theirs, x, y)
        east = (ra - true_ra + 180.0) % 360.0 - 180.0
        parts.append(3.6e6 * np.column_stack([east * np.cos(np.radians(true_dec)), dec - true_dec]))
    return np.concatenate(parts)


def gaia_error_mas(magnitudes: Array) -> Array:
    """Position errors of Gaia DR3 by G magnitude, mas (Lindegren et al. 2021, A&A 649, A2, table 4)."""
    steps = [9.0, 12.0, 15.0, 17.0, 18.0, 19.0, 20.0, 21.0]
    return np.interp(magnitudes, steps, [0.014, 0.014, 0.020, 0.053, 0.10, 0.20, 0.40, 1.3])


def simulate_field(setup: StarField, pointings: list[Pointing], seed: int) -> SimulatedField:
    """Draw stars, exposures and catalog."""
    random = np.random.default_rng(seed)
    count = setup.stars
    magnitudes = np.sort(15.0 + 9.0 * random.random(count) ** 0.5)
    east, north = random.uniform(-setup.half_width, setup.half_width, (2, count)) / 3600.0
    dec = setup.dec + north
    ra = setup.ra + east / np.cos(np.radians(dec))
    motion = random.normal(0, setup.dispersion, (2, count)) + np.array([[3.0], [-2.0]])
    parallax = random.exponential(0.4, count)
    true = reference_stars(
        ra, dec, pmra=motion[0], pmdec=motion[1], parallax=parallax, phot_g_mean_mag=magnitudes
    )
    exposures, truth = [], []
    shared = _header_error(setup, random)
    for number, pointing in enumerate(pointings):
        error = (
            _header_error(setup, random) if setup.own_error else _drawn_error(pointing.prior, shared, random)
        )
        exposure, solution = _exposure(setup, pointing, true, number, error, random)
        exposures.append(exposure)
        truth.append(solution)
    return SimulatedField(tuple(exposures), tuple(truth), _catalog(setup, true, random))


def _header_error(setup: StarField, random: np.random.Generator) -> Array:
    """East, north (arcsec), roll (degrees) and scale by which the header is wrong."""
    limits = [setup.pointing_error, setup.pointing_error, setup.roll_error_deg, 3e-5]
    return random.uniform(-1, 1, 4) * limits


def _drawn_error(prior: ExposurePrior, shared: Array, random: np.random.Generator) -> Array:
    own = np.array([prior.relative_pointing or 0.0] * 2 + [prior.relative_roll_deg, prior.scale])
    return shared * [1, 1, 1, 0] + random.normal(0, 1, 4) * own


def _exposure(
    setup: StarField,
    pointing: Pointing,
    stars: ReferenceStars,
    number: int,
    error: Array,
    random: np.random.Generator,
) -> tuple[ExposureSources, WcsSolution]:
    rootname = f"jsim{number:02d}qrq"
    dec = setup.dec + pointing.north / 3600.0
    ra = setup.ra + pointing.east / 3600.0 / np.cos(np.radians(dec))
    truth = camera(ra, dec, pointing.angle, rootname)
    wrong_dec = dec + error[1] / 3600.0
    wrong_ra = ra + error[0] / 3600.0 / np.cos(np.radians(dec))
    header = camera(wrong_ra, wrong_dec, pointing.angle + error[2], rootname, 1.0 + error[3])
    mjd = 51544.5 + (pointing.year - 2000.0) * DAYS
    seen = propagate(stars, mjd)
    columns = []
    for chip, true_chip in zip(header.chips, truth.chips, strict=True):
        x, y = sky_to_pixel(true_chip, seen.ra, seen.dec)
        inside = (x > 0) & (x < SHAPE[1] - 1) & (y > 0) & (y < SHAPE[0] - 1) & (random.random(len(x)) < 0.92)
        stated = pixel_error(stars.phot_g_mean_mag[inside], setup.best_pixel)
        rays = setup.cosmic_rays // 2
        x = np.concatenate(
            [x[inside] + random.normal(0, 1, len(stated)) * stated, random.uniform(0, SHAPE[1], rays)]
        )
        y = np.concatenate(
            [y[inside] + random.normal(0, 1, len(stated)) * stated, random.uniform(0, SHAPE[0], rays)]
        )
        stated = np.concatenate([stated, np.full(rays, 0.05)])
        magnitudes = np.concatenate([stars.phot_g_mean_mag[inside] - 25.0, random.uniform(-6, -1, rays)])
        sky = pixel_to_sky(chip, x, y)
        columns.append((np.full(len(x), chip.extver), x, y, *sky, PIXEL * stated, magnitudes, 1.0 / stated))
    merged = [np.concatenate(column) for column in zip(*columns, strict=True)]
    order = np.argsort(merged[6], kind="stable")
    sources = SourceList(*(column[order] for column in merged), detected=len(order))
    return ExposureSources(rootname, header, sources, mjd, pointing.prior), truth


def pixel_error(magnitudes: Array, best: float) -> Array:
    """Error of a coordinate, pixels: S/N 100 at magnitude 20.5, and a floor."""
    snr = 100.0 * 10 ** (-0.2 * (magnitudes - 20.5))
    return np.hypot(best, 1.0 / snr)


def _catalog(setup: StarField, true: ReferenceStars, random: np.random.Generator) -> ReferenceStars:
    chosen = np.nonzero(true.phot_g_mean_mag < 20.7)[0]
    if setup.catalog < len(chosen):
        chosen = np.sort(random.choice(chosen, setup.catalog, replace=False))
    stars, size = true[chosen], len(chosen)
    if setup.catalog_error_mas is None:
        errors = gaia_error_mas(stars.phot_g_mean_mag)
    else:
        errors = np.full(size, max(setup.catalog_error_mas, 1e-4))
    noise = random.normal(0, 1, (5, size)) * errors
    wrong = np.nonzero(random.random(size) < setup.wrong)[0]
    turn = random.uniform(0, 2 * np.pi, len(wrong))
    away = random.uniform(20, 60, len(wrong))
    noise[0, wrong] += away * np.cos(turn)
    noise[1, wrong] += away * np.sin(turn)
    return replace(
        stars,
        source_id=np.arange(size).astype(str),
        ra=stars.ra + noise[0] / 3.6e6 / np.cos(np.radians(stars.dec)),
        dec=stars.dec + noise[1] / 3.6e6,
        ra_error=errors,
        dec_error=errors,
        parallax=stars.parallax + noise[2],
        parallax_error=errors,
        pmra=stars.pmra + noise[3],
        pmdec=stars.pmdec + noise[4],
        pmra_error=errors,
        pmdec_error=errors,
        correlations=np.zeros((size, 10)),
    )
