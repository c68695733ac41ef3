"""HTTP requests that end: by a deadline for all of it, with a limit on the size of the answer.

The timeouts of the usual libraries hold for one packet only; a service that sends a byte now and then keeps
them waiting for ever. Nothing is kept, and no proxy or cookie is used.
"""

import http.client
import io
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

CONNECT_SECONDS = 15.0
REDIRECTS = 5
CHUNK = 65536


class HttpError(Exception):
    """No answer: no connection, not in time, broken off, or too large."""


class Deadline:
    """A point in time; everything that waits asks it how long it still may."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; raises `TimeoutError` when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


@dataclass(frozen=True)
class HttpAnswer:
    """Status, reason, headers (names in lower case) and body of an answer, and the URL it came from."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    url: str


def fetch(
    url: str,
    deadline: Deadline,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    most_bytes: int = 1 << 30,
) -> HttpAnswer:
    """Make one request; redirects of a GET are followed.

    Parameters
    ----------
    url : str
    deadline : Deadline
        For connection, request and answer together.
    headers, body
        Of the request.
    most_bytes : int
        Largest body that is read.

    Raises
    ------
    HttpError
    """
    try:
        for _ in range(REDIRECTS):
            answer = _once(url, deadline, method, dict(headers or {}), body, most_bytes)
            place = answer.headers.get("location")
            if method != "GET" or answer.status not in (301, 302, 303, 307, 308) or not place:
                return answer
            url = urljoin(url, place)
    except TimeoutError as error:
        raise HttpError(f"no answer within {deadline.seconds:.3g} s") from error
    except OSError as error:
        raise HttpError(f"no connection: {error.strerror or error}") from error
    except (http.client.HTTPException, ValueError) as error:
        raise HttpError(f"the answer breaks off or is not HTTP: {error or type(error).__name__}") from error
    raise HttpError(f"redirected more than {REDIRECTS} times")


def response_class(deadline: Deadline) -> Callable[..., http.client.HTTPResponse]:
    """Responses for an HTTP connection that keep to a deadline, however slowly the bytes come."""

    def make(sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        response.fp.close()
        response.fp = io.BufferedReader(_TimedReader(sock, deadline))
        return response

    return make


class _TimedReader(io.RawIOBase):
    """Reads a socket until a deadline, however slowly the bytes come."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.remaining())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _once(
    url: str, deadline: Deadline, method: str, headers: dict[str, str], body: bytes | None, most_bytes: int
) -> HttpAnswer:
    parts = urlsplit(url)
    connection = _connection(parts, deadline)
    try:
        connection.connect()
        connection.sock.settimeout(deadline.remaining())
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, headers | {"Accept-Encoding": "identity"})
        response = connection.getresponse()
        return HttpAnswer(
            response.status,
            response.reason,
            {name.lower(): value for name, value in response.getheaders()},
            _body(response, deadline, most_bytes),
            url,
        )
    finally:
        connection.close()


def _connection(parts: SplitResult, deadline: Deadline) -> http.client.HTTPConnection:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise http.client.InvalidURL(f"'{parts.geturl()}' is not the URL of a web service")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    timeout = min(CONNECT_SECONDS, deadline.remaining())
    connection = kind(parts.hostname, parts.port, timeout=timeout)
    connection.response_class = response_class(deadline)  # type: ignore[assignment]
    return connection


def _body(response: http.client.HTTPResponse, deadline: Deadline, most_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := response.read(CHUNK):
        deadline.remaining()
        parts.append(chunk)
        size += len(chunk)
        if size > most_bytes:
            raise HttpError(f"the answer is larger than {most_bytes} bytes")
    expected = response.length
    if expected:
        raise http.client.IncompleteRead(b"", expected)
    return b"".join(parts)
