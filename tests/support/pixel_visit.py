"""Simulated visits from their pixels to aligned exposures, as the commands take them, and their truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from hapctl.archive.gaia_columns import read_table, stars_from_table
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_alignment import ExposureSources
from hapctl.processing.astrometry.joint_priors import PointingFacts, exposure_priors, facts_of
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.source_list import SourceList, source_list
from hapctl.processing.imaging.image_sources import find_sources
from hapctl.processing.simulation.gaia_extract import make_extract
from hapctl.processing.simulation.sky_sources import Stars
from hapctl.processing.simulation.visit import SimulatedVisit

GAIA_EPOCH = 2016.0
PERFECT_ERROR_MAS = 0.001


def measured_exposures(
    visit: SimulatedVisit, rule: AcceptanceRule, *, threads: int = 1
) -> list[ExposureSources]:
    """The exposures of a visit with their sources, and with what their headers say of their pointing."""
    starts, lists, facts = [], [], []
    for path in visit.files:
        header = fits.getheader(path)
        start = read_solutions(path)[0].solution
        starts.append(start)
        lists.append(_sources(path, start, float(header["EXPTIME"]), rule, threads))
        facts.append(_facts(start, visit.truth.visit, header))
    mjds = [exposure.epoch_mjd for exposure in visit.truth.exposures]
    return [
        ExposureSources(start.rootname, start, sources, mjd, stated.prior)
        for start, sources, mjd, stated in zip(starts, lists, mjds, exposure_priors(facts), strict=True)
    ]


def _sources(
    path: Path, start: WcsSolution, exposure_time: float, rule: AcceptanceRule, threads: int
) -> SourceList:
    found = find_sources(path, threads=threads).detections
    return source_list(
        start, [found[chip.extver] for chip in start.chips], exposure_time, most=rule.most_stars
    )


def _facts(start: WcsSolution, visit: str, header: fits.Header) -> PointingFacts:
    return facts_of(
        start,
        visit=visit,
        detector=header["DETECTOR"],
        start_mjd=float(header["EXPSTART"]),
        fgs_lock=header["FGSLOCK"],
    )


def gaia_stars(visit: SimulatedVisit) -> ReferenceStars:
    """The extract that was simulated with a visit."""
    return stars_from_table(read_table(visit.gaia_extract), GAIA_EPOCH)


def gaia_drawn_again(visit: SimulatedVisit, seed: int) -> ReferenceStars:
    """The same sky as Gaia would have it with other errors."""
    sky = Table.read(visit.sky_file)
    stars = Stars(*(np.asarray(sky[name], dtype=np.float64) for name in Stars.__dataclass_fields__))
    circle = visit.truth.covers
    return stars_from_table(make_extract(stars, circle.ra, circle.dec, circle.radius, seed).table, GAIA_EPOCH)


def perfect_stars(visit: SimulatedVisit, faintest: float = 30.0) -> ReferenceStars:
    """All stars of a visit's sky to a magnitude, where they are and as they move."""
    sky = Table.read(visit.sky_file)
    sky = sky[sky["g"] < faintest]
    sky["source_id"] = np.arange(len(sky)) + 1
    sky["ref_epoch"] = GAIA_EPOCH
    sky.rename_column("g", "phot_g_mean_mag")
    for name in ("ra_error", "dec_error", "parallax_error", "pmra_error", "pmdec_error"):
        sky[name] = PERFECT_ERROR_MAS
    return stars_from_table(sky, GAIA_EPOCH)


def position_errors(visit: SimulatedVisit, exposures: Sequence[ExposureSources]) -> tuple[np.ndarray, ...]:
    """S/N, errors of position (n, 2) and what was stated for them, pixels, of sources that are true stars."""
    from scipy.spatial import cKDTree

    truth = Table.read(visit.star_file)
    parts = []
    for exposure in exposures:
        sources = exposure.sources
        for chip in exposure.start.chips:
            stars = truth[(truth["rootname"] == exposure.rootname) & (truth["extver"] == chip.extver)]
            here = sources.extver == chip.extver
            places = np.column_stack([sources.x[here], sources.y[here]])
            true = np.column_stack([stars["x"], stars["y"]])
            distance, nearest = cKDTree(true).query(places)
            scale = 3600.0 * np.sqrt(abs(np.linalg.det(chip.cd_matrix)))
            known = distance < 1.0
            rows = (sources.snr[here], places - true[nearest], sources.errors[here] / scale)
            parts.append([column[known] for column in rows])
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
