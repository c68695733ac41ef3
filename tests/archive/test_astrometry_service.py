"""The client of MAST's astrometry service, against a service on loopback in every trouble."""

import time

import pytest
from hapctl.archive import astrometry_service
from hapctl.archive.astrometry_service import AstrometryService, KnownSolution
from hapctl.archive.errors import CatalogUsageError, ServiceUnavailableError
from hapctl.archive.remote_services import RemoteService
from support.http_service import HttpFaults, HttpService, astrometry_answers
from support.tap_service import refused_url

FITS = b"SIMPLE  =                    T" + b" " * 2850
NAMES = ("OPUS", "IDC_2731450pi", "IDC_2731450pi-GSC240")
HEADERLETS = {"ib4606c5q": dict.fromkeys(NAMES, FITS) | {"IDC_2731450pi-HSC30": b""}}


@pytest.fixture
def service():
    with HttpService(astrometry_answers(HEADERLETS, best="IDC_2731450pi-GSC240")) as running:
        yield running


def client(url, **changes):
    return AstrometryService(RemoteService(url, **({"timeout": 10.0, "retries": 1, "pause": 0.01} | changes)))


def test_the_solutions_of_an_exposure(service):
    asked = client(service.url + "/")
    asked.check()
    known = asked.solutions_of("IB4606C5Q")
    assert known.rootname == "ib4606c5q"
    assert known.solutions[:2] == (KnownSolution("100", "OPUS"), KnownSolution("101", "IDC_2731450pi"))
    assert known.best == "IDC_2731450pi-GSC240"
    assert asked.headerlet("ib4606c5q", "OPUS") == FITS
    assert service.requests == [
        "GET /availability",
        "GET /observation/read/ib4606c5q",
        "GET /observation/read/ib4606c5q?wcsname=OPUS",
    ]


def test_what_is_not_there_is_no_trouble(service):
    """404 is asked once; it is not the same as a service that fails."""
    assert client(service.url).solutions_of("j8bt09jcq") is None
    assert client(service.url).headerlet("ib4606c5q", "IDC_2731450pi-HSC30") is None
    assert client(service.url).headerlet("ib4606c5q", "no such+name&x=1") is None
    assert len(service.requests) == 3
    assert service.requests[-1].endswith("?wcsname=no%20such%2Bname%26x%3D1")


@pytest.mark.parametrize(
    ("faults", "message", "requests"),
    [
        (HttpFaults(failures=-1, status=500), "status 500", 2),
        (HttpFaults(failures=-1, status=503), "status 503", 2),
        (HttpFaults(failures=-1, status=429), "status 429", 2),
        (HttpFaults(failures=-1, status=403), "status 403", 1),
        (HttpFaults(html=True), "in place of XML there is", 2),
        (HttpFaults(cut=0.5), "breaks off", 2),
        (HttpFaults(hang_up=True), "breaks off|no connection", 2),
        (HttpFaults(delay=2.0), "no answer within 0.3 s", 2),
        (HttpFaults(drip=0.02), "no answer within 0.3 s", 2),
        (HttpFaults(redirects=99), "redirected more than 5 times", 10),
    ],
)
def test_trouble_is_bounded_and_told(service, faults, message, requests):
    service.faults = faults
    begun = time.monotonic()
    with pytest.raises(ServiceUnavailableError, match=message) as caught:
        client(service.url, timeout=0.3 if "within" in message else 10.0).solutions_of("ib4606c5q")
    assert time.monotonic() - begun < 5.0
    assert caught.value.message.startswith(f"the astrometry service at {service.url}: ib4606c5q: ")
    assert "ASTROMETRY_SERVICE_URL" in caught.value.remedy
    assert len(service.requests) == requests


def test_a_service_that_recovers(service, caplog):
    service.faults = HttpFaults(failures=2)
    assert client(service.url, retries=2).solutions_of("ib4606c5q") is not None
    assert [record.getMessage()[:22] for record in caplog.records] == ["ib4606c5q: status 503 "] * 2


def test_one_redirect_is_followed(service):
    service.faults = HttpFaults(redirects=1)
    assert client(service.url).headerlet("ib4606c5q", "OPUS") == FITS


def test_nobody_listens_or_no_url():
    with pytest.raises(ServiceUnavailableError, match="no connection: Connection refused"):
        client(refused_url()).check()
    with pytest.raises(CatalogUsageError, match="'mast' is not the URL of a web service"):
        client("mast").check()


def test_another_service_at_the_url(service):
    with pytest.raises(ServiceUnavailableError, match="availability: status 404"):
        client(service.url + "/elsewhere").check()


XML = {
    "broken": (b"<observation><solution>", "in place of XML there is '<observation><solution>"),
    "a page": (b"<html><body>Log in</body></html>", "a web page"),
    "nothing": (b" ", "in place of XML there is nothing"),
    "words": (b"no route to host", "in place of XML there is 'no route to host'"),
    "a bomb": (
        b'<!DOCTYPE a [<!ENTITY x "' + b"y" * 1000 + b'"><!ENTITY z "' + b"&x;" * 1000 + b'"><!ENTITY w "'
        + b"&z;" * 1000 + b'">]><a>&w;</a>',
        "in place of XML there is",
    ),
    "too many": (
        b"<o>" + b"".join(b"<solution><wcsName>N%d</wcsName></solution>" % n for n in range(300)) + b"</o>",
        "it tells of 300 solutions",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", XML)
def test_bad_xml_is_told(name):
    content, message = XML[name]
    with (
        HttpService(astrometry_answers(HEADERLETS, xml=content)) as service,
        pytest.raises(ServiceUnavailableError, match=message),
    ):
        client(service.url, retries=0).solutions_of("ib4606c5q")


def test_xml_of_other_forms():
    """Namespaces, a best solution by name, solutions without a name, one twice."""
    content = (
        b'<x:observation xmlns:x="urn:a"><x:solution><x:wcsName>OPUS</x:wcsName></x:solution>'
        b"<x:solution><x:solutionID>7</x:solutionID></x:solution>"
        b"<x:solution><x:solutionID>8</x:solutionID><x:wcsName> OPUS </x:wcsName></x:solution>"
        b"<x:bestSolutionID>OPUS</x:bestSolutionID></x:observation>"
    )
    with HttpService(astrometry_answers(HEADERLETS, xml=content)) as service:
        known = client(service.url).solutions_of("ib4606c5q")
    assert known.solutions == (KnownSolution("", "OPUS"),)
    assert known.best == "OPUS"
    with HttpService(astrometry_answers(HEADERLETS, xml=b"<observation/>")) as service:
        assert client(service.url).solutions_of("ib4606c5q").solutions == ()


def test_what_is_no_headerlet_is_told(service, monkeypatch):
    service.faults = HttpFaults(html=True)
    with pytest.raises(ServiceUnavailableError, match="in place of a headerlet there is '<!DOCTYPE html>"):
        client(service.url, retries=0).headerlet("ib4606c5q", "OPUS")
    service.faults = HttpFaults()
    monkeypatch.setattr(astrometry_service, "LARGEST_HEADERLET", 100)
    with pytest.raises(ServiceUnavailableError, match="larger than 100 bytes"):
        client(service.url, retries=0).headerlet("ib4606c5q", "OPUS")
