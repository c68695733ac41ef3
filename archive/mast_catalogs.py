"""Pan-STARRS1 DR2 from MAST's catalogs service, through astroquery.

astroquery's own session waits for ever and asks for a list of columns first; here it talks through
`bounded_http`. The service's pages are not ordered, so everything is asked on one page, and a second one must
be empty: an answer that was cut is an error. Importing this module opens no socket.
"""

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from hapctl.archive.bounded_http import Deadline, HttpError, fetch
from hapctl.archive.errors import AnswerTooLargeError
from hapctl.archive.gaia_columns import BadTableError, column_numbers, stars_from_table
from hapctl.archive.gaia_rows import NewAnswer
from hapctl.archive.remote_services import AttemptError, RemoteService, with_retries
from hapctl.archive.sky_region import Circle
from hapctl.archive.tap_answers import refuse_outside
from hapctl.archive.vizier_catalogs import PS1_EPOCH, julian_year, with_floor
from hapctl.processing.astrometry.reference_stars import ReferenceStars

if TYPE_CHECKING:
    import requests
    from astropy.table import Table

PAGE_ROWS = 50_000
LEAST_DETECTIONS = 3
"""Fewer single detections are mostly no objects at all (Flewelling et al. 2020, ApJS 251, 7)."""
MAGNITUDES = ("rMeanPSFMag", "iMeanPSFMag", "gMeanPSFMag", "zMeanPSFMag", "yMeanPSFMag")
COLUMNS = ("objID", "raMean", "decMean", "raMeanErr", "decMeanErr", "epochMean", "nDetections", *MAGNITUDES)
NOTHING = -999.0
REMEDY = "try later; --offline uses what the catalog holds; HAPCTL_SERVICES_MAST names another service"
NAME = "Pan-STARRS1 DR2"


def fetch_panstarrs(circle: Circle, release: str, service: RemoteService) -> NewAnswer:
    """Ask MAST for all mean objects of Pan-STARRS1 DR2 in a circle.

    Parameters
    ----------
    circle : Circle
    release : str
        ``ps1dr2``, as the database has it.
    service : RemoteService
        Such as ``https://catalogs.mast.stsci.edu``.

    Raises
    ------
    ServiceUnavailableError
        No whole answer after all attempts, or the service refuses what was asked.
    AnswerTooLargeError
        A full page.
    """
    stars = with_retries(lambda: _attempt(circle, service), service, NAME, REMEDY)
    question = (
        f"panstarrs/dr2/mean ra={circle.ra!r} dec={circle.dec!r} radius={circle.radius!r} "
        f"nDetections>={LEAST_DETECTIONS} columns={','.join(COLUMNS)}"
    )
    return NewAnswer(release, "mast", service.url, question, circle, stars)


def _attempt(circle: Circle, service: RemoteService) -> ReferenceStars:
    deadline = Deadline(service.timeout)
    table = _page(circle, service, deadline, 1)
    if len(table) >= PAGE_ROWS:
        raise AnswerTooLargeError(
            f"{circle} holds more than {PAGE_ROWS} objects of {NAME}", "ask for a smaller region"
        )
    if len(table) and (more := len(_page(circle, service, deadline, 2))):
        raise AttemptError(f"the answer was cut: after {len(table)} rows there are at least {more} more")
    try:
        stars = panstarrs_objects(table)
    except BadTableError as error:
        raise AttemptError(f"the answer can't be right: {error}") from error
    if outside := refuse_outside(stars, circle):
        raise AttemptError(outside)
    return stars


def _page(circle: Circle, service: RemoteService, deadline: Deadline, page: int) -> "Table":
    from requests.exceptions import HTTPError, JSONDecodeError, RequestException

    api = _service(service, deadline)
    asked: dict[str, Any] = {"ra": circle.ra, "dec": circle.dec, "radius": circle.radius}
    asked |= {"nDetections": [("gte", LEAST_DETECTIONS)], "columns": list(COLUMNS)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are no rows is no news
            return api.service_request("panstarrs", asked, pagesize=PAGE_ROWS, page=page, use_json=True)
    except HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        raise AttemptError(str(error), lasting=400 <= status < 500 and status not in (408, 429)) from error
    except (JSONDecodeError, ValueError, KeyError, TypeError, IndexError) as error:
        raise AttemptError(f"the answer is not what the service is known to send: {error}") from error
    except RequestException as error:
        raise AttemptError(str(error)) from error


def _service(service: RemoteService, deadline: Deadline) -> Any:
    """astroquery's client of MAST's catalogs, talking through `bounded_http`."""
    import requests
    from astroquery.mast.services import ServiceAPI

    session = requests.Session()
    session.trust_env = False
    adapter = _adapter(deadline)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    api = ServiceAPI(session=session)
    api.TIMEOUT = service.timeout + 60.0  # the deadline is ours; its own would come as another kind of error
    path = {"path": "panstarrs/{data_release}/{table}.json", "args": {"data_release": "dr2", "table": "mean"}}
    api.set_service_params({"panstarrs": path}, "catalogs", True)
    api.REQUEST_URL = f"{service.url.rstrip('/')}/api/v0.1/"
    return api


def _adapter(deadline: Deadline) -> "requests.adapters.BaseAdapter":
    import requests

    class Adapter(requests.adapters.BaseAdapter):
        """Sends what requests has prepared by `bounded_http.fetch`."""

        def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
            body: Any = request.body.encode() if isinstance(request.body, str) else request.body
            headers = {name: str(value) for name, value in request.headers.items()}
            try:
                answer = fetch(
                    str(request.url),
                    deadline,
                    method=str(request.method),
                    headers=headers,
                    body=body,
                )
            except HttpError as error:
                raise requests.exceptions.ConnectionError(str(error)) from error
            response = requests.Response()
            response.status_code, response.reason = answer.status, answer.reason
            response.headers.update(answer.headers)
            response.raw, response.url, response.request = io.BytesIO(answer.body), answer.url, request
            if answer.status >= 400:  # astroquery hides which, and what the service says of it
                reason = answer.body[:200].decode("utf-8", "replace")
                raise requests.exceptions.HTTPError(
                    f"status {answer.status} {answer.reason}: {reason}", response=response
                )
            return response

        def close(self) -> None:
            """Nothing is kept open."""

    return Adapter()


def panstarrs_objects(table: "Table") -> ReferenceStars:
    """Pan-STARRS1 DR2: mean positions at the mean epoch of each object; -999 is unknown."""
    from astropy.table import Table

    columns = {name.lower(): table[name] for name in table.colnames}
    if not len(table):
        columns = {name.lower(): np.zeros(0) for name in COLUMNS} | {"objid": np.zeros(0, dtype=np.int64)}
        columns = dict(Table(columns).columns)
    missing = [name for name in COLUMNS if name.lower() not in columns and name not in MAGNITUDES]
    if missing:
        raise BadTableError(f"it has no column {', '.join(missing)}")

    def numbers(name: str, unit: str) -> Any:
        if name.lower() not in columns:
            return np.full(len(table), np.nan)
        values = column_numbers(name, columns[name.lower()], unit)
        return np.where(values == NOTHING, np.nan, values)

    magnitude = np.full(len(table), np.nan)
    for name in MAGNITUDES:
        magnitude = np.where(np.isfinite(magnitude), magnitude, numbers(name, "mag"))
    made = {
        "source_id": columns["objid"],
        "ra": numbers("raMean", "deg"),
        "dec": numbers("decMean", "deg"),
        "ra_error": with_floor(1000.0 * numbers("raMeanErr", "arcsec")),
        "dec_error": with_floor(1000.0 * numbers("decMeanErr", "arcsec")),
        "ref_epoch": julian_year(numbers("epochMean", "d")),
        "phot_g_mean_mag": magnitude,
    }
    return stars_from_table(Table(made, masked=True), PS1_EPOCH)
