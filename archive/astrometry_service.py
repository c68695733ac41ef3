"""MAST's astrometry service: the known WCS solutions of an exposure, as headerlets.

The protocol is that of the archive's own pipeline: ``availability``; ``observation/read/<rootname>`` answers
with XML (``solution`` elements with ``solutionID`` and ``wcsName``, one ``bestSolutionID``), or 404 for an
exposure it does not know; ``observation/read/<rootname>?wcsname=<name>`` answers with a headerlet. What is
told here is what the service says; whether a headerlet is what it should be is judged where it is registered.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from hapctl.archive.bounded_http import Deadline, HttpAnswer, HttpError, fetch
from hapctl.archive.errors import CatalogUsageError
from hapctl.archive.remote_services import Answer, AttemptError, RemoteService, with_retries

LARGEST_XML = 4 * 1024 * 1024
LARGEST_HEADERLET = 64 * 1024 * 1024
MOST_SOLUTIONS = 200
PASSING = {408, 425, 429}
FITS_START = b"SIMPLE  ="
REMEDY = "try later; ASTROMETRY_SERVICE_URL or services.astrometry names another service"


@dataclass(frozen=True)
class KnownSolution:
    """A solution that the service has of an exposure: its number there, and its WCSNAME."""

    number: str
    wcsname: str


@dataclass(frozen=True)
class ExposureSolutions:
    """What the service knows of an exposure; ``best`` is the WCSNAME it prefers, empty where it has none."""

    rootname: str
    solutions: tuple[KnownSolution, ...]
    best: str


@dataclass(frozen=True)
class AstrometryService:
    """A client of the service.

    Attributes
    ----------
    remote : RemoteService
        Its URL, the seconds for one request with its answer, and how often a request is repeated.
    """

    remote: RemoteService

    def check(self) -> None:
        """Ask whether the service is there.

        Raises
        ------
        ServiceUnavailableError
            It is not, or there is something else at its URL.
        CatalogUsageError
            The URL is not one.
        """
        if not self.remote.url.startswith(("http://", "https://")):
            raise CatalogUsageError(
                f"'{self.remote.url}' is not the URL of a web service",
                "check ASTROMETRY_SERVICE_URL or services.astrometry",
            )
        self._tried("availability", lambda: self._ask("availability", LARGEST_XML))

    def solutions_of(self, rootname: str) -> ExposureSolutions | None:
        """Ask which solutions there are of an exposure.

        Parameters
        ----------
        rootname : str
            ipppssoot.

        Returns
        -------
        ExposureSolutions or None
            None where the service does not know the exposure.

        Raises
        ------
        ServiceUnavailableError
            No sensible answer after all attempts.
        """
        path = _path(rootname)

        def attempt() -> ExposureSolutions | None:
            try:
                return _solutions_in(self._ask(path, LARGEST_XML).body, rootname.lower())
            except AttemptError as error:
                if error.status == 404:
                    return None
                raise

        return self._tried(rootname, attempt)

    def headerlet(self, rootname: str, wcsname: str) -> bytes | None:
        """Ask for the headerlet of a solution.

        Returns
        -------
        bytes or None
            A FITS file by its first bytes; None where the service has none.

        Raises
        ------
        ServiceUnavailableError
            No headerlet after all attempts.
        """
        path = f"{_path(rootname)}?{urlencode({'wcsname': wcsname}, quote_via=quote)}"

        def attempt() -> bytes | None:
            try:
                body = self._ask(path, LARGEST_HEADERLET).body
            except AttemptError as error:
                if error.status == 404:
                    return None
                raise
            if not body.startswith(FITS_START):
                raise AttemptError(f"in place of a headerlet there is {_beginning(body)}")
            return body

        return self._tried(f"{rootname} {wcsname}", attempt)

    def _ask(self, path: str, most_bytes: int) -> HttpAnswer:
        url = f"{self.remote.url.rstrip('/')}/{path}"
        try:
            answer = fetch(url, Deadline(self.remote.timeout), most_bytes=most_bytes)
        except HttpError as error:
            raise AttemptError(str(error)) from error
        if answer.status != 200:
            lasting = answer.status < 500 and answer.status not in PASSING
            raise AttemptError(
                f"status {answer.status} {answer.reason}", lasting=lasting, status=answer.status
            )
        return answer

    def _tried(self, what: str, attempt: Callable[[], Answer]) -> Answer:
        return with_retries(attempt, self.remote, "the astrometry service", REMEDY, what)


def _path(rootname: str) -> str:
    return f"observation/read/{quote(rootname.lower(), safe='')}"


def _solutions_in(content: bytes, rootname: str) -> ExposureSolutions:
    """Read the XML of an exposure, whatever its namespaces."""
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise AttemptError(f"in place of XML there is {_beginning(content)} ({error})") from error
    found: dict[str, KnownSolution] = {}
    best = ""
    for element in root.iter():
        if _tag(element) == "solution":
            fields = {_tag(field): (field.text or "").strip() for field in element.iter()}
            number, wcsname = fields.get("solutionID", ""), fields.get("wcsName", "")
            if wcsname:
                found.setdefault(wcsname, KnownSolution(number, wcsname))
        elif _tag(element) == "bestSolutionID":
            best = (element.text or "").strip()
    if len(found) > MOST_SOLUTIONS:
        raise AttemptError(f"it tells of {len(found)} solutions, which can't be", lasting=True)
    if _tag(root).lower() == "html":
        raise AttemptError("in place of XML there is a web page")
    names = {known.number: known.wcsname for known in found.values()}
    preferred = names.get(best, best if best in found else "")
    return ExposureSolutions(rootname, tuple(found.values()), preferred)


def _tag(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _beginning(content: bytes) -> str:
    """The first words of an answer, to be shown."""
    words = " ".join(content[:60].decode("ascii", "replace").split())
    return f"'{words}'" if words else "nothing"
