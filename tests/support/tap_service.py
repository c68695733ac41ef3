"""A small real TAP service on loopback: UWS jobs and sync queries, VOTable answers, faults on request.

``with TapService(tables) as service:`` serves at ``service.url`` until the block ends; ``service.faults``
may be replaced at any time. It refuses what a real service refuses (unknown columns and tables) and cuts
answers at MAXREC with QUERY_STATUS OVERFLOW.
"""

import gzip
import io
import socket
import ssl
import threading
import time
import warnings
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from astropy.io.votable import from_table
from astropy.io.votable.tree import Info
from astropy.table import Table, vstack
from support.adql import QueryError, execute

SYNC_LIMIT = 2000  # rows of a synchronous answer, as at the Gaia archive
PATH = "/tap-server/tap"


@dataclass(frozen=True)
class Faults:
    """What the service does wrong; the defaults are a service in order.

    Attributes
    ----------
    delay : float
        Seconds a job stays in phase EXECUTING.
    answer_delay, drip : float
        Seconds before any HTTP answer; seconds between the single bytes of a result.
    failures : int
        How many requests are answered by status 500 before the service recovers (-1: all).
    drop_rows : int
        Rows silently missing from an answer; with `overflow` they are owned up to.
    count_error : int
        Added to every COUNT(*).
    stray_rows : int
        Rows from elsewhere on the sky added to an answer, within the right number.
    repeat_rows : bool
        The last row is the first one again.
    malformed, html, endless, job_error : bool
        A VOTable cut in the middle; a page in place of a VOTable; a job never done; a job that ends in ERROR.
    """

    delay: float = 0.0
    answer_delay: float = 0.0
    drip: float = 0.0
    failures: int = 0
    drop_rows: int = 0
    overflow: bool = False
    count_error: int = 0
    stray_rows: int = 0
    repeat_rows: bool = False
    malformed: bool = False
    html: bool = False
    endless: bool = False
    job_error: bool = False


@dataclass
class Job:
    """A UWS job."""

    number: str
    parameters: dict[str, str]
    phase: str = "PENDING"
    result: bytes = b""
    error: str = ""


@dataclass
class TapService:
    """The service; give it tables by their ADQL names in lower case, and a PEM file to speak https."""

    tables: dict[str, Table]
    faults: Faults = field(default_factory=Faults)
    queries: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    certificate: Path | None = None

    def __enter__(self) -> "TapService":
        self.stopping = threading.Event()
        self.failed = 0
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"service": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://127.0.0.1:{self.server.server_address[1]}{PATH}"

    # -- jobs
    def create(self, parameters: dict[str, str]) -> Job:
        with self.lock:
            job = Job(f"{len(self.jobs) + 1}O", parameters)
            self.jobs[job.number] = job
        if parameters.get("PHASE") == "RUN":
            self.start(job)
        return job

    def start(self, job: Job) -> None:
        job.phase = "EXECUTING"
        if self.faults.endless:
            return
        if self.faults.delay:
            threading.Thread(target=self._run, args=(job,), daemon=True).start()
        else:
            self._run(job)

    def _run(self, job: Job) -> None:
        self.stopping.wait(self.faults.delay)
        if job.phase != "EXECUTING":
            return
        try:
            if self.faults.job_error:
                raise QueryError("the database is out of connections")
            job.result = self.answer(job.parameters, None)
            job.phase = "COMPLETED"
        except QueryError as error:
            job.error = str(error)
            job.phase = "ERROR"

    # -- answers
    def answer(self, parameters: dict[str, str], limit: int | None) -> bytes:
        query = parameters.get("QUERY", "")
        self.queries.append(query)
        rows = execute(query, self.tables)
        counting = rows.colnames in (["n"], ["count_all"]) or "COUNT(*)" in query.upper().split("FROM")[0]
        if counting:
            rows[rows.colnames[0]] += self.faults.count_error
            return votable_bytes(rows, False)
        limits = [int(text) for text in (parameters.get("MAXREC"),) if text] + ([limit] if limit else [])
        wanted = min([len(rows), *limits])
        rows, cut = rows[:wanted], wanted < len(rows)
        return self._spoil(rows, cut)

    def _spoil(self, rows: Table, cut: bool) -> bytes:
        faults = self.faults
        if faults.html:
            return b"<!DOCTYPE html><html><body><h1>Maintenance</h1></body></html>"
        if faults.stray_rows:
            strays = rows[: faults.stray_rows].copy()
            strays["dec"] = -strays["dec"]
            rows = vstack([rows[faults.stray_rows :], strays])
        if faults.repeat_rows and len(rows) > 1:
            rows = vstack([rows[:-1], rows[:1]])
        rows = rows[: max(0, len(rows) - faults.drop_rows)]
        answer = votable_bytes(rows, cut or faults.overflow)
        return answer[: int(len(answer) * 0.6)] if faults.malformed else answer


def votable_bytes(rows: Table, overflow: bool) -> bytes:
    """Write rows as the result of a TAP query (BINARY2, as the Gaia archive does)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the ID that is made for a name like 2MASS
        document = from_table(Table(rows, masked=True))
    resource = document.resources[0]
    resource.type = "results"
    resource.infos.append(Info(name="QUERY_STATUS", value="OK"))
    resource.tables[0].format = "binary2"
    stream = io.BytesIO()
    document.to_xml(stream)
    text = stream.getvalue()
    if overflow:
        end = text.rindex(b"</RESOURCE>")
        text = text[:end] + b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n ' + text[end:]
    return text


def error_bytes(message: str) -> bytes:
    """Write the error document of DALI."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.4" '
        'xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">'
        f'<INFO name="QUERY_STATUS" value="ERROR">{escape(message)}</INFO></RESOURCE></VOTABLE>'
    ).encode()


def refused_url() -> str:
    """A URL on loopback where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}{PATH}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: TapService

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output quiet."""

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._serve({name.upper(): values[-1] for name, values in parse_qs(body).items()})

    def do_DELETE(self) -> None:
        self._serve({"ACTION": "DELETE"})

    def _serve(self, form: dict[str, str]) -> None:
        service, url = self.service, urlsplit(self.path)
        service.requests.append(f"{self.command} {url.path.removeprefix(PATH)}")
        if service.faults.answer_delay:
            service.stopping.wait(service.faults.answer_delay)
        with service.lock:
            failing = service.faults.failures < 0 or service.failed < service.faults.failures
            service.failed += failing
        if failing:
            return self._send(500, b"<html><body>Internal Server Error</body></html>", "text/html")
        query = {name.upper(): values[-1] for name, values in parse_qs(url.query).items()}
        parts = url.path.removeprefix(PATH).strip("/").split("/")
        if parts[0] == "sync":
            return self._sync(query | form)
        if parts[0] == "async":
            return self._async(parts[1:], query | form)
        return self._send(404, b"not here", "text/plain")

    def _sync(self, form: dict[str, str]) -> None:
        try:
            self._send(200, self.service.answer(form, SYNC_LIMIT), "application/x-votable+xml")
        except QueryError as error:
            self._send(400, error_bytes(str(error)), "application/x-votable+xml")

    def _async(self, parts: list[str], form: dict[str, str]) -> None:
        if not parts:
            return self._redirect(self.service.create(form))
        job = self.service.jobs.get(parts[0])
        if job is None:
            return self._send(404, b"no such job", "text/plain")
        if form.get("ACTION") == "DELETE":
            del self.service.jobs[job.number]
            return self._redirect(None)
        return self._job(job, "/".join(parts[1:]), form)

    def _job(self, job: Job, what: str, form: dict[str, str]) -> None:
        if what == "phase":
            return self._phase(job, form.get("PHASE"))
        if what == "results/result" and job.phase == "COMPLETED":
            return self._send(200, job.result, "application/x-votable+xml", as_result=True)
        if what == "error" and job.phase == "ERROR":
            return self._send(200, error_bytes(job.error), "application/x-votable+xml")
        if what == "":
            return self._send(200, self._description(job), "text/xml")
        return self._send(404, b"no such resource", "text/plain")

    def _phase(self, job: Job, wanted: str | None) -> None:
        if wanted is None:
            return self._send(200, job.phase.encode(), "text/plain")
        if wanted == "RUN" and job.phase == "PENDING":
            self.service.start(job)
        elif wanted == "ABORT" and job.phase in ("PENDING", "EXECUTING"):
            job.phase = "ABORTED"
        return self._redirect(job)

    def _description(self, job: Job) -> bytes:
        result = (
            f'<uws:result id="result" xlink:href="{self.service.url}/async/{job.number}/results/result"/>'
            if job.phase == "COMPLETED"
            else ""
        )
        error = f"<uws:message>{escape(job.error)}</uws:message>" if job.error else ""
        summary = (
            f'<uws:errorSummary type="fatal" hasDetail="true">{error}</uws:errorSummary>' if error else ""
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" '
            f'xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'version="1.1"><uws:jobId>{job.number}</uws:jobId><uws:phase>{job.phase}</uws:phase>'
            "<uws:executionDuration>7200</uws:executionDuration>"
            f"<uws:results>{result}</uws:results>{summary}</uws:job>"
        ).encode()

    def _redirect(self, job: Job | None) -> None:
        self.send_response(303)
        self.send_header("Location", f"{self.service.url}/async" + (f"/{job.number}" if job else ""))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, status: int, body: bytes, kind: str, as_result: bool = False) -> None:
        """Answer; a result goes compressed and in chunks, as the Gaia archive sends it."""
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if as_result:
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self._write_chunks(gzip.compress(body, 1), self.service.faults.drip)
            else:
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True  # the client gave up, as it should when we are slow

    def _write_chunks(self, body: bytes, pause: float) -> None:
        size = 1 if pause else 4096
        for start in range(0, len(body), size):
            if self.service.stopping.is_set():
                return
            chunk = body[start : start + size]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            time.sleep(pause)
        self.wfile.write(b"0\r\n\r\n")
