"""Asynchronous TAP queries through astroquery's TapPlus, with an end in sight.

TapPlus itself waits for ever, prints errors on stdout and drops the overflow mark of an answer. Here it
talks through connections that keep to a deadline and turn every HTTP error into `TapError` before it
could be printed; the answer is read with its QUERY_STATUS. One call is one attempt: retrying is the
caller's business. Importing this module opens no socket (``import astroquery.gaia`` would).
"""

import gzip
import http.client
import io
import re
import struct
import time
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlencode, urlsplit
from xml.parsers.expat import ExpatError

from hapctl.archive.bounded_http import Deadline, response_class
from hapctl.archive.errors import CatalogUsageError
from hapctl.archive.remote_services import AttemptError

if TYPE_CHECKING:
    from astropy.table import Table

REDIRECTS = 5
FIRST_POLL_SECONDS = 0.05
POLL_SECONDS = 5.0
GOODBYE_SECONDS = 5.0
WORKING_PHASES = {"PENDING", "QUEUED", "EXECUTING", "HELD", "SUSPENDED"}
TAG = re.compile(r"<[^>]*>")
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OSError,
    EOFError,
    zlib.error,
    struct.error,
    ExpatError,
)


class TapError(AttemptError):
    """An attempt to ask a TAP service failed."""


@dataclass(frozen=True)
class TapAnswer:
    """Rows of an answer, and whether the service says that it cut them (QUERY_STATUS OVERFLOW)."""

    table: "Table"
    overflow: bool


def run_query(url: str, adql: str, timeout: float, maxrec: int | None = None) -> TapAnswer:
    """Run one asynchronous query, once.

    Parameters
    ----------
    url : str
        The TAP service, such as ``https://gea.esac.esa.int/tap-server/tap``.
    adql : str
        The query.
    timeout : float
        Seconds for all of it: queue, execution, transfer.
    maxrec : int, optional
        MAXREC, the row limit asked for.

    Raises
    ------
    TapError
        No connection, no answer in time, an HTTP error, a failed job, or an answer that is no VOTable.
    CatalogUsageError
        The URL is not one.
    """
    parts = _split(url)
    deadline = Deadline(timeout)
    with _connections(parts, deadline) as connections:
        service = _Service(url, parts, connections)
        try:
            with _failures(deadline):
                job = service.launch(adql, maxrec)
                service.wait(job, deadline)
                answer = service.result(job)
        finally:
            service.forget()
    return _read(answer)


class _Service:
    """TapPlus on connections with a deadline; remembers its job in order to remove it."""

    def __init__(self, url: str, parts: SplitResult, connections: "_Connections") -> None:
        from astroquery.utils.tap.conn.tapconn import TapConn
        from astroquery.utils.tap.core import TapPlus

        folders, _, last = parts.path.strip("/").rpartition("/")
        self.connections = connections
        self.connection = TapConn(
            parts.scheme == "https",
            parts.hostname,
            server_context=f"/{folders}" if folders else "",
            tap_context=f"/{last}" if last else "",
            port=connections.port,
            sslport=connections.port,
            connhandler=connections,
        )
        self.host = parts.netloc
        self.tap = TapPlus(url=url, connhandler=self.connection)
        self.job: Any = None

    def launch(self, adql: str, maxrec: int | None) -> Any:
        self.job = self.tap.launch_job_async(adql, background=True, maxrec=maxrec)
        return self.job

    def wait(self, job: Any, deadline: Deadline) -> None:
        """Poll until the job is complete, at growing intervals."""
        pause = FIRST_POLL_SECONDS
        while True:
            phase = str(job.get_phase(update=True)).strip().upper()
            if phase == "COMPLETED":
                return
            if phase == "ERROR":
                reason = str(job.get_error()).removeprefix("Error 200:")  # astroquery puts the status there
                raise TapError(f"the query failed: {_dali_message(reason)}")
            if phase not in WORKING_PHASES:
                raise TapError(f"the job ended in phase {phase[:30]}")
            time.sleep(min(pause, deadline.remaining()))
            pause = min(2 * pause, POLL_SECONDS)

    def result(self, job: Any) -> bytes:
        """Bytes of the result; other hosts are not followed."""
        place = f"async/{job.jobid}/results/result"
        for _ in range(REDIRECTS):
            response = self.connection.execute_tapget(place)
            if response.status == 200:
                return bytes(response.read())
            place = response.getheader("Location") or ""
            if urlsplit(place).netloc not in ("", self.host):
                break
        raise TapError(f"the result is not where it should be (status {response.status})")

    def forget(self) -> None:
        """Ask the service to stop and remove the job, whatever became of it; its answer does not matter."""
        if self.job is None:
            return
        self.connections.deadline = Deadline(GOODBYE_SECONDS)
        with suppress(TapError, OSError, http.client.HTTPException):
            self.connection.execute_tappost(f"async/{self.job.jobid}", urlencode({"ACTION": "DELETE"}))


class _Connections:
    """What TapConn asks for connections; they keep to a deadline and are closed at the end."""

    def __init__(self, parts: SplitResult, deadline: Deadline) -> None:
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.deadline = deadline
        self.open: list[http.client.HTTPConnection] = []

    def get_connection(
        self, *, ishttps: bool = False, cookie: str | None = None, verbose: bool = False
    ) -> http.client.HTTPConnection:
        return self._make(ishttps or cookie is not None)

    def get_connection_secure(self, verbose: bool = False) -> http.client.HTTPConnection:
        return self._make(True)

    def _make(self, secure: bool) -> http.client.HTTPConnection:
        kind = _SecureConnection if secure else _PlainConnection
        connection = kind(self.host, self.port, timeout=self.deadline.remaining())
        connection.response_class = response_class(self.deadline)  # type: ignore[assignment]
        self.open.append(connection)
        return connection


class _Checked:
    """A connection whose HTTP errors are `TapError`."""

    def getresponse(self) -> http.client.HTTPResponse:
        response: http.client.HTTPResponse = super().getresponse()  # type: ignore[misc]
        if response.status == 303 and not response.getheader("Location"):
            raise TapError("a redirect without a place to go to")
        if response.status < 400:
            return response
        text = _dali_message(response.read(65536).decode("utf-8", "replace"))
        lasting = response.status < 500 and response.status not in (408, 429)
        raise TapError(f"status {response.status} {response.reason}: {text}", lasting)


class _PlainConnection(_Checked, http.client.HTTPConnection):
    pass


class _SecureConnection(_Checked, http.client.HTTPSConnection):
    pass


@contextmanager
def _connections(parts: SplitResult, deadline: Deadline) -> Iterator[_Connections]:
    connections = _Connections(parts, deadline)
    try:
        yield connections
    finally:
        for connection in connections.open:
            connection.close()


@contextmanager
def _failures(deadline: Deadline) -> Iterator[None]:
    """Turn all that a connection can raise into `TapError`."""
    from requests.exceptions import RequestException

    try:
        yield
    except TimeoutError as error:
        raise TapError(f"no answer within {deadline.seconds:.3g} s") from error
    except RequestException as error:
        raise TapError(f"the service did not take the job: {error}") from error
    except OSError as error:
        raise TapError(f"no connection: {error.strerror or error}") from error
    except (http.client.HTTPException, UnicodeDecodeError) as error:
        raise TapError(f"the answer breaks off or is not HTTP: {error or type(error).__name__}") from error


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise CatalogUsageError(
            f"'{url}' is not the URL of a TAP service", "check HAPCTL_GAIA_URL or gaia.url"
        )
    return parts


def _dali_message(text: str) -> str:
    """What an error document says, without its tags."""
    start = text.find('name="QUERY_STATUS"')
    inner = text[text.find(">", start) + 1 : text.find("</INFO>", start)] if start >= 0 else text
    return " ".join(TAG.sub(" ", inner).split()) or "no reason given"


def _read(content: bytes) -> TapAnswer:
    """Read a VOTable, plain or gzipped."""
    from astropy.io.votable import parse

    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = parse(io.BytesIO(content), verify="ignore")
            table = document.get_first_table().to_table(use_names_over_ids=True)
    except UNREADABLE as error:
        raise TapError(f"the answer is not a VOTable: {error or type(error).__name__}") from error
    states = [
        str(info.value).upper()
        for resource in document.resources
        for info in (*resource.infos, *(info for part in resource.tables for info in part.infos))
        if info.name == "QUERY_STATUS"
    ]
    if "ERROR" in states:
        raise TapError("the answer says that the query failed")
    return TapAnswer(table, "OVERFLOW" in states)
