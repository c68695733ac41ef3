"""What Gaia is asked: releases, ADQL, repeated attempts, and checks that the answer is the whole one."""

import logging
import time
from dataclasses import dataclass

import numpy as np
import tenacity
from hapctl.archive.errors import AnswerTooLargeError, CatalogUsageError, ServiceUnavailableError
from hapctl.archive.gaia_columns import UNITS, BadTableError, stars_from_table
from hapctl.archive.sky_region import Circle
from hapctl.archive.tap import TapAnswer, TapError, run_query
from hapctl.processing.astrometry.reference_stars import CORRELATION_NAMES, ReferenceStars

COLUMNS = ("source_id", *UNITS, *CORRELATION_NAMES, "astrometric_params_solved", "duplicated_source")
LARGEST_ANSWER = 1_000_000
LONGEST_PAUSE = 60.0
OUTSIDE_DEG = 1e-6
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GaiaRelease:
    """A data release: name in the catalog, table of the service, epoch, and columns it lacks."""

    name: str
    table: str
    epoch: float
    lacking: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are asked for."""
        return tuple(name for name in COLUMNS if name not in self.lacking)


RELEASES = {
    "gaiadr3": GaiaRelease("gaiadr3", "gaiadr3.gaia_source", 2016.0),
    "gaiaedr3": GaiaRelease("gaiaedr3", "gaiaedr3.gaia_source", 2016.0),
    "gaiadr2": GaiaRelease("gaiadr2", "gaiadr2.gaia_source", 2015.5, ("ruwe",)),
}


@dataclass(frozen=True)
class GaiaService:
    """Where and how patiently Gaia is asked.

    Attributes
    ----------
    url : str
        TAP service.
    timeout : float
        Seconds until an attempt is given up.
    retries : int
        Further attempts after the first.
    pause : float
        Seconds before the first further attempt; doubled each time, up to a minute.
    """

    url: str
    timeout: float = 300.0
    retries: int = 3
    pause: float = 1.0


@dataclass(frozen=True)
class FetchedSources:
    """The whole answer to one question."""

    release: GaiaRelease
    service: str
    adql: str
    circle: Circle
    stars: ReferenceStars


def find_release(name: str) -> GaiaRelease:
    """Return a release by any of its spellings (``DR3``, ``GAIADR3``, ``gaiaedr3`` ...)."""
    plain = name.strip().lower().replace(" ", "").replace("-", "").replace("_", "")
    release = RELEASES.get(plain if plain.startswith("gaia") else f"gaia{plain}")
    if release is None:
        raise CatalogUsageError(f"the Gaia release '{name}' is not known", f"one of {', '.join(RELEASES)}")
    return release


def adql_for(release: GaiaRelease, circle: Circle) -> str:
    """The question for all sources in a circle."""
    return f"SELECT {', '.join(release.columns)} {_from_where(release, circle)}"


def fetch_sources(circle: Circle, release: GaiaRelease, service: GaiaService) -> FetchedSources:
    """Ask a TAP service for all Gaia sources in a circle.

    Their number is asked first, and the answer is taken only if it has just that number of rows, none of
    them twice or outside the circle, and no mark of an overflow.

    Parameters
    ----------
    circle : Circle
        Where; degrees, ICRS at the epoch of the release.
    release : GaiaRelease
        Which.
    service : GaiaService
        Whom, and how patiently.

    Raises
    ------
    ServiceUnavailableError
        After the last attempt, or at once where the service refuses the question itself.
    AnswerTooLargeError
        More than `LARGEST_ANSWER` sources.
    CatalogUsageError
        The URL is not one.
    """
    adql = adql_for(release, circle)
    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(service.retries + 1),
        wait=tenacity.wait_exponential(multiplier=service.pause, max=LONGEST_PAUSE),
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, TapError) and not error.lasting),
        before_sleep=_tell,
        reraise=True,
    )
    try:
        stars = attempts(_attempt, circle, release, service, adql)
    except TapError as error:
        remedy = "try later, or another service by HAPCTL_GAIA_URL; --offline uses what the catalog holds"
        raise ServiceUnavailableError(f"Gaia at {service.url}: {error}", remedy) from error
    return FetchedSources(release, service.url, adql, circle, stars)


def _from_where(release: GaiaRelease, circle: Circle) -> str:
    return f"FROM {release.table} WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), {circle.adql})"


def _attempt(circle: Circle, release: GaiaRelease, service: GaiaService, adql: str) -> ReferenceStars:
    started = time.monotonic()
    counting = f"SELECT COUNT(*) AS n {_from_where(release, circle)}"
    number = _count(run_query(service.url, counting, service.timeout))
    if number > LARGEST_ANSWER:
        raise AnswerTooLargeError(
            f"{circle} holds {number} Gaia sources, more than {LARGEST_ANSWER}", "ask for a smaller region"
        )
    left = max(service.timeout - (time.monotonic() - started), 0.001)
    answer = run_query(service.url, adql, left, maxrec=number + 1)
    return _checked(answer, number, circle, release)


def _count(answer: TapAnswer) -> int:
    if len(answer.table) != 1 or len(answer.table.colnames) != 1:
        raise TapError("the number of sources was asked, and the answer is something else")
    value = answer.table.columns[0][0]
    if np.ma.is_masked(value) or not np.issubdtype(answer.table.columns[0].dtype, np.integer) or value < 0:
        raise TapError("the number of sources was asked, and the answer is no number")
    return int(value)


def _checked(answer: TapAnswer, number: int, circle: Circle, release: GaiaRelease) -> ReferenceStars:
    rows = len(answer.table)
    if answer.overflow or rows != number:
        cut = ", and the service says that it cut them" if answer.overflow else ""
        raise TapError(f"the answer has {rows} rows in place of {number}{cut}")
    found = [name.lower() for name in answer.table.colnames]
    missing = [name for name in release.columns if name not in found]
    if missing:
        raise TapError(f"the answer lacks the columns {', '.join(missing)}")
    try:
        stars = stars_from_table(answer.table, release.epoch)
    except BadTableError as error:
        raise TapError(f"the answer can't be right: {error}") from error
    outside = ~Circle(circle.ra, circle.dec, circle.radius + OUTSIDE_DEG).contains(stars.ra, stars.dec)
    if outside.any():
        raise TapError(f"{np.count_nonzero(outside)} of {rows} rows lie outside the region that was asked")
    return stars


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0.0
    logger.warning("Gaia: %s; attempt %d in %.0f s", error, state.attempt_number + 1, pause)
