"""A small real HTTP service on loopback, with faults on request; what it answers is a function.

``with HttpService(answer) as service:`` serves at ``service.url`` until the block ends; ``service.faults``
may be replaced at any time.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table


@dataclass(frozen=True)
class Reply:
    """An answer: status, body, kind of content."""

    status: int
    body: bytes
    kind: str = "text/plain"


@dataclass(frozen=True)
class Asked:
    """A request: method, path, query (last value of each name), body."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class HttpFaults:
    """What the service does wrong; the defaults are a service in order.

    Attributes
    ----------
    failures : int
        How many requests are answered by `status` before the service recovers (-1: all).
    status : int
        Of those.
    delay, drip : float
        Seconds before an answer; seconds between its single bytes.
    html : bool
        A page in place of every answer, with status 200.
    cut : float
        Part of the body that is sent, with the length of the whole announced.
    hang_up : bool
        The connection is closed without an answer.
    redirects : int
        How many times a request is sent on to the same place.
    """

    failures: int = 0
    status: int = 503
    delay: float = 0.0
    drip: float = 0.0
    html: bool = False
    cut: float = 1.0
    hang_up: bool = False
    redirects: int = 0


@dataclass
class HttpService:
    """The service; `requests` lists what it was asked (method, path and query)."""

    answer: Callable[[Asked], Reply]
    faults: HttpFaults = field(default_factory=HttpFaults)
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> "HttpService":
        self.stopping = threading.Event()
        self.failed = self.redirected = 0
        handler = type("Handler", (_Handler,), {"service": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
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
        return f"http://127.0.0.1:{self.server.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: HttpService

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output quiet."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _serve(self, body: bytes) -> None:
        service, faults, url = self.service, self.service.faults, urlsplit(self.path)
        service.requests.append(f"{self.command} {self.path}")
        service.stopping.wait(faults.delay)
        if faults.hang_up:
            self.close_connection = True
            self.connection.close()
            return
        if service.redirected < faults.redirects:
            service.redirected += 1
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if faults.failures < 0 or service.failed < faults.failures:
            service.failed += 1
            self._send(Reply(faults.status, b"<html><body>Trouble</body></html>", "text/html"))
            return
        if faults.html:
            self._send(Reply(200, b"<!DOCTYPE html><html><body>Maintenance</body></html>", "text/html"))
            return
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self._send(service.answer(Asked(self.command, url.path, query, body)))

    def _send(self, reply: Reply) -> None:
        faults = self.service.faults
        try:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            part = reply.body[: int(len(reply.body) * faults.cut)]
            if not faults.drip:
                self.wfile.write(part)
            for byte in part if faults.drip else b"":
                if self.service.stopping.is_set():
                    return
                self.wfile.write(bytes([byte]))
                time.sleep(faults.drip)
            self.close_connection = faults.cut < 1.0
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client gave up, as it should when we are slow


TYPES = {"i": "long", "f": "double", "U": "char"}


def mast_catalogs(objects: Table, *, cap: int | None = None, stray: bool = False) -> Callable[[Asked], Reply]:
    """Answer as MAST's catalogs do for Pan-STARRS1 DR2.

    Parameters
    ----------
    objects : Table
        Mean objects with the service's column names; -999 is unknown.
    cap : int, optional
        Most rows of a page, whatever is asked: a service that cuts in silence.
    stray : bool
        The last row of a page lies elsewhere.
    """

    def answer(asked: Asked) -> Reply:
        if asked.path != "/api/v0.1/panstarrs/dr2/mean.json" or asked.method != "POST":
            return Reply(404, b'{"message": "no such resource"}', "application/json")
        form = json.loads(asked.body)
        unknown = [name for name in form["columns"] if name not in objects.colnames]
        if unknown:
            return Reply(400, json.dumps({"message": f"unknown {unknown}"}).encode(), "application/json")
        near = SkyCoord(objects["raMean"], objects["decMean"], unit="deg").separation(
            SkyCoord(form["ra"], form["dec"], unit="deg")
        )
        chosen = (near.deg <= form["radius"]) & (objects["nDetections"] >= int(form["nDetections.gte"]))
        rows = objects[form["columns"]][chosen]
        size = min(int(form["pagesize"]), cap or 10**9)
        first = (int(form["page"]) - 1) * size
        return Reply(200, _document(rows[first : first + size], stray), "application/json")

    return answer


def _document(rows: Table, stray: bool) -> bytes:
    if stray and len(rows):
        rows = rows.copy()
        rows["decMean"][-1] = -rows["decMean"][-1] - 1.0
    info = [{"name": name, "type": TYPES[rows[name].dtype.kind]} for name in rows.colnames]
    data = [[value.item() if isinstance(value, np.generic) else value for value in row] for row in rows]
    return json.dumps({"info": info, "data": data}).encode()


def astrometry_answers(
    headerlets: dict[str, dict[str, bytes]], *, best: str = "", xml: bytes | None = None
) -> Callable[[Asked], Reply]:
    """Answer as MAST's astrometry service does.

    Parameters
    ----------
    headerlets : dict
        rootname -> WCSNAME -> bytes; empty bytes: named, and not there.
    best : str
        WCSNAME of the solution flagged as best.
    xml : bytes, optional
        In place of the description of any exposure.
    """

    def answer(asked: Asked) -> Reply:
        path = asked.path.strip("/")
        if path == "availability":
            return Reply(200, b"<availability><available>true</available></availability>", "text/xml")
        rootname = path.removeprefix("observation/read/")
        known = headerlets.get(rootname)
        if known is None:
            return Reply(404, b"no such observation")
        if "wcsname" in asked.query:
            content = known.get(asked.query["wcsname"], b"")
            return Reply(200, content, "application/fits") if content else Reply(404, b"no such solution")
        return Reply(200, xml or _observation(rootname, list(known), best), "text/xml")

    return answer


def _observation(rootname: str, names: list[str], best: str) -> bytes:
    parts = [
        f"<solution><solutionID>{100 + number}</solutionID><wcsName>{name}</wcsName></solution>"
        for number, name in enumerate(names)
    ]
    chosen = f"<bestSolutionID>{100 + names.index(best)}</bestSolutionID>" if best else ""
    text = f"<observation><ippssoot>{rootname}</ippssoot>{''.join(parts)}{chosen}</observation>"
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
