"""The TAP client against a real service on loopback, in order and out of order."""

import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hapctl.archive.bounded_http import Deadline, HttpError, fetch
from hapctl.archive.errors import CatalogUsageError
from hapctl.archive.tap import TapError, run_query
from support.gaia_table import synthetic_sky
from support.tap_service import Faults, TapService, refused_url

WHERE = "FROM gaiadr3.gaia_source WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 150, 2, 0.05))"
QUERY = f"SELECT source_id, ra, dec, pmra, duplicated_source, astrometric_params_solved {WHERE}"


@pytest.fixture(scope="module")
def sky():
    return synthetic_sky(150.0, 2.0, 0.05, 120)


@pytest.fixture
def service(sky):
    with TapService({"gaiadr3.gaia_source": sky}) as running:
        yield running


def test_an_answer_is_that_of_the_table(service, sky):
    answer = run_query(service.url, QUERY, 20.0)
    assert not answer.overflow
    assert len(answer.table) == 120
    assert len(service.tables["gaiadr3.gaia_source"]) > 10 * len(answer.table)
    expected = sky[np.isin(sky["source_id"], answer.table["source_id"])]
    expected.sort("source_id")
    answer.table.sort("source_id")
    for name in answer.table.colnames:
        assert answer.table[name].dtype == expected[name].dtype
        assert (np.ma.getmaskarray(answer.table[name]) == expected[name].mask).all()
        assert (np.ma.asarray(answer.table[name]) == np.ma.asarray(expected[name])).all()
    assert expected["pmra"].mask.any()


def test_the_job_is_asynchronous_and_removed(service):
    service.faults = Faults(delay=0.3)
    run_query(service.url, QUERY, 20.0)
    assert service.requests[0] == "POST /async"
    assert service.requests.count("GET /async/1O/phase") > 1
    assert service.requests[-1] == "POST /async/1O"
    assert service.jobs == {}


def test_a_cut_answer_says_so(service):
    cut = run_query(service.url, QUERY, 20.0, maxrec=10)
    assert len(cut.table) == 10
    assert cut.overflow


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (Faults(failures=-1), "status 500"),
        (Faults(job_error=True), "the database is out of connections"),
        (Faults(malformed=True), "not a VOTable"),
        (Faults(html=True), "not a VOTable"),
    ],
)
def test_failures_have_a_reason_and_print_nothing(service, faults, message, capsys):
    service.faults = faults
    with pytest.raises(TapError, match=message) as caught:
        run_query(service.url, QUERY, 20.0)
    assert not caught.value.lasting
    assert capsys.readouterr() == ("", "")
    assert service.jobs == {}


@pytest.mark.parametrize(
    "faults",
    [Faults(endless=True), Faults(delay=30.0), Faults(answer_delay=30.0), Faults(drip=0.02)],
    ids=["never done", "slow job", "slow answer", "byte by byte"],
)
def test_a_service_that_hangs_does_not_hang_us(service, faults):
    service.faults = faults
    started = time.monotonic()
    with pytest.raises(TapError, match=r"no answer within 0\.5 s"):
        run_query(service.url, QUERY, 0.5)
    # saying goodbye to a service that answers nothing may take its own time, but no more
    assert time.monotonic() - started < (7.0 if faults.answer_delay else 1.5)


def test_a_hanging_job_is_removed_from_the_service(service):
    service.faults = Faults(endless=True)
    with pytest.raises(TapError):
        run_query(service.url, QUERY, 0.3)
    assert service.jobs == {}


def test_a_mistake_in_the_query_is_told(service):
    with pytest.raises(TapError, match="the query failed: unknown column 'colour'"):
        run_query(service.url, QUERY.replace("pmra", "colour"), 20.0)


def test_refused_by_the_service_is_lasting(service):
    with pytest.raises(TapError, match="status 404") as caught:
        run_query(service.url.replace("/tap-server/tap", "/elsewhere"), QUERY, 20.0)
    assert caught.value.lasting


def test_nobody_listens():
    with pytest.raises(TapError, match="Connection refused"):
        run_query(refused_url(), QUERY, 20.0)


def test_a_listener_that_never_speaks():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(TapError, match=r"within 0\.3 s"):
            run_query(f"http://127.0.0.1:{silent.getsockname()[1]}/tap-server/tap", QUERY, 0.3)


def test_https_is_not_spoken_by_everyone(service):
    with pytest.raises(TapError, match="no connection"):
        run_query(service.url.replace("http:", "https:"), QUERY, 5.0)


@pytest.fixture
def certificate(tmp_path):
    """A certificate of loopback, with its key, valid for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "loopback.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path


def test_https_with_a_certificate_that_is_trusted(sky, certificate, monkeypatch):
    with TapService({"gaiadr3.gaia_source": sky}, certificate=certificate) as service:
        with pytest.raises(TapError, match="certificate verify failed"):
            run_query(service.url, QUERY, 5.0)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert len(run_query(service.url, QUERY, 20.0).table) == 120
        service.faults = Faults(drip=0.02)
        with pytest.raises(TapError, match=r"no answer within 0\.5 s"):
            run_query(service.url, QUERY, 0.5)


def test_any_request_over_https(sky, certificate, monkeypatch):
    with TapService({"gaiadr3.gaia_source": sky}, certificate=certificate) as service:
        with pytest.raises(HttpError, match=r"no connection.*certificate verify failed"):
            fetch(f"{service.url}/elsewhere", Deadline(5.0))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        answer = fetch(f"{service.url}/elsewhere", Deadline(5.0))
        assert (answer.status, answer.body, answer.headers["content-type"]) == (
            404,
            b"not here",
            "text/plain",
        )
        with pytest.raises(HttpError, match="larger than 4 bytes"):
            fetch(f"{service.url}/elsewhere", Deadline(5.0), most_bytes=4)


@pytest.mark.parametrize(
    "url", ["", "mast.stsci.edu/path", "ftp://host/path", "http://", "http://host:port/"]
)
def test_a_request_of_no_url_is_an_http_error(url):
    with pytest.raises(HttpError, match=r"not the URL|not HTTP"):
        fetch(url, Deadline(1.0))


@pytest.mark.parametrize("url", ["", "gea.esac.esa.int", "ftp://host/tap", "http://", "http://host:port/tap"])
def test_other_urls_are_usage_errors(url):
    with pytest.raises(CatalogUsageError, match="not the URL"):
        run_query(url, QUERY, 1.0)


def test_importing_opens_no_socket_and_prints_nothing():
    program = (
        "import socket, sys\n"
        "def refuse(*args): raise SystemExit('a socket was opened')\n"
        "socket.socket.connect = refuse\n"
        "import hapctl.archive.gaia, hapctl.archive.tap, hapctl.archive.astrometry_service\n"
        "from astroquery.utils.tap.core import TapPlus\n"
        "assert 'astroquery.gaia' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
