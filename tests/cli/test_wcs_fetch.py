"""``hapctl wcs fetch`` with real headerlets of the archive, from a service on loopback."""

from dataclasses import replace

import pytest
from hapctl.archive.wcs_reports import solutions_of
from hapctl.processing.astrometry.headerlet import headerlet_bytes, read_headerlet
from hapctl.processing.astrometry.reading import read_solutions
from sqlalchemy import text
from support.data import data_file
from support.http_service import HttpFaults, HttpService, astrometry_answers
from support.tap_service import refused_url

FILE = "headers/sample_ipppssoot_flc.fits"
ROOT = "ib4606c5q"
NEW = "IDC_2731450pi-HSC31"


@pytest.fixture(scope="module")
def headerlets():
    """Those of the file by name, one of them new: an a priori solution moved by 50 mas."""
    found = {
        item.solution.name: item.headerlet_bytes
        for item in read_solutions(data_file(FILE))
        if item.headerlet_bytes is not None
    }
    return found | {NEW: renamed(found["IDC_2731450pi-HSC30"], NEW, 50.0 / 3.6e6)}


def renamed(content, name, north=0.0, **changes):
    solution = read_headerlet(content)
    chips = tuple(replace(c, crval=(c.crval[0], c.crval[1] + north)) for c in solution.chips)
    return headerlet_bytes(replace(solution, name=name, chips=chips, **changes))


@pytest.fixture
def serve(monkeypatch):
    """Serve headerlets of the exposure; returns the service."""
    running = []

    def start(headerlets, **options):
        service = HttpService(astrometry_answers({ROOT: headerlets}, **options))
        service.__enter__()
        running.append(service)
        monkeypatch.setenv("ASTROMETRY_SERVICE_URL", service.url)
        monkeypatch.setenv("HAPCTL_SERVICES_RETRIES", "0")
        return service

    yield start
    for service in running:
        service.__exit__(None, None, None)


@pytest.fixture
def hapctl(run_hapctl):
    assert run_hapctl("ingest", data_file(FILE), "--json").exit_code == 0
    return run_hapctl


def rows(catalog):
    with catalog.begin() as connection:
        return {row.solution_id: row for row in solutions_of(connection, ROOT)}


def runs(catalog):
    with catalog.begin() as connection:
        found = connection.execute(
            text("SELECT outcome, exit_code FROM run JOIN run_end USING (run_id) WHERE command = 'wcs fetch'")
        )
        return [tuple(row) for row in found]


def test_solutions_are_registered_and_none_is_put_in_force(hapctl, catalog, serve, headerlets):
    service = serve(headerlets, best=NEW)
    before = rows(catalog)
    done = hapctl("wcs", "fetch", ROOT, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    (exposure,) = done.json()["exposures"]
    assert (exposure["rootname"], exposure["status"], exposure["best"]) == (ROOT, "fetched", NEW)
    results = {item["wcsname"]: item for item in exposure["solutions"]}
    assert results[NEW]["status"] == "new"
    assert results[NEW]["same_distortion"]
    assert results["OPUS"]["status"] == "known"
    assert not results["OPUS"]["same_distortion"]
    assert results["IDC_2731450pi-FIT_REL_GAIAeDR3"]["status"] == "inconsistent"
    assert "different names" in results["IDC_2731450pi-FIT_REL_GAIAeDR3"]["reason"]
    after = rows(catalog)
    (new,) = [row for number, row in after.items() if number not in before]
    assert (new.wcsname, new.kind, new.in_force, new.run_id) == (NEW, "a_priori", False, done.json()["run"])
    assert new.places == [f"headerlet {service.url}/observation/read/{ROOT}?wcsname={NEW}"]
    assert [n for n, row in after.items() if row.in_force] == [n for n, row in before.items() if row.in_force]
    assert runs(catalog) == [("done", 0)]
    again = hapctl("wcs", "fetch", "--visit", ROOT[:6], "--json")
    assert {item["status"] for item in again.json()["exposures"][0]["solutions"]} == {"known", "inconsistent"}
    assert rows(catalog).keys() == after.keys()


def test_a_dry_run_registers_nothing(hapctl, catalog, serve, headerlets):
    serve(headerlets, best=NEW)
    before = rows(catalog)
    done = hapctl("wcs", "fetch", ROOT, "--dry-run")
    assert done.exit_code == 0
    assert f"{ROOT}  new           {NEW}  (best by the service)" in done.stdout
    assert f"{ROOT}  known         OPUS  (other distortion table)" in done.stdout
    assert done.stderr.startswith("1 exposures: 1 inconsistent, ")
    assert rows(catalog).keys() == before.keys()
    assert runs(catalog) == []


def test_headerlets_that_lie_are_rejected_one_by_one(hapctl, catalog, serve, headerlets):
    sound = headerlets["IDC_2731450pi-HSC30"]
    serve(
        {
            NEW: headerlets[NEW],
            "other": renamed(sound, "IDC_2731450pi-HSC32", rootname="j8bt09jcq"),
            "cut": sound[: len(sound) // 2],
            "page": b"<html><body>Session expired</body></html>",
            "none": b"",
        }
    )
    done = hapctl("wcs", "fetch", ROOT, "--json")
    assert done.exit_code == 0
    results = {item["source"].split("wcsname=")[1]: item for item in done.json()["exposures"][0]["solutions"]}
    assert results[NEW]["status"] == "new"
    assert {results[name]["status"] for name in ("other", "cut", "page", "none")} == {"rejected"}
    assert results["other"]["reason"] == f"it belongs to j8bt09jcq, not to {ROOT}"
    assert "truncated" in results["cut"]["reason"]
    assert "in place of a headerlet there is '<html>" in results["page"]["reason"]
    assert results["none"]["reason"] == "the service has no headerlet of it"


def test_chips_that_do_not_belong_together_are_never_put_in_force(hapctl, catalog, serve, headerlets):
    solution = read_headerlet(headerlets["IDC_2731450pi-HSC30"])
    first, second = solution.chips
    apart = replace(second, crpix=(second.crpix[0] + 2.0, second.crpix[1]))
    serve({NEW: headerlet_bytes(replace(solution, name=NEW, chips=(first, apart)))})
    done = hapctl("wcs", "fetch", ROOT, "--json")
    (result,) = done.json()["exposures"][0]["solutions"]
    assert result["status"] == "inconsistent"
    assert rows(catalog)[result["solution_id"]].problem.startswith("inconsistent: SCI,2 lies 7")
    refused = hapctl("wcs", "activate", ROOT, NEW, "--reason", "try")
    assert refused.exit_code == 1


def test_an_exposure_the_service_does_not_know(hapctl, catalog, serve):
    service = serve({})
    service.answer = astrometry_answers({})
    done = hapctl("wcs", "fetch", ROOT)
    assert (done.exit_code, done.stdout) == (0, f"{ROOT}  the service does not know it\n")
    assert runs(catalog) == [("done", 0)]


@pytest.mark.parametrize(
    ("faults", "message"),
    [(HttpFaults(failures=-1), "availability: status 503"), (HttpFaults(hang_up=True), "availability: ")],
)
def test_a_service_that_fails_is_exit_code_4(hapctl, catalog, serve, headerlets, faults, message):
    serve(headerlets).faults = faults
    before = rows(catalog)
    done = hapctl("wcs", "fetch", ROOT, "--json")
    assert done.exit_code == 4
    assert message in done.json()["error"]["message"]
    assert rows(catalog).keys() == before.keys()
    assert runs(catalog) == [("failed", 4)]


def test_nobody_listens(hapctl, monkeypatch):
    monkeypatch.setenv("ASTROMETRY_SERVICE_URL", refused_url())
    monkeypatch.setenv("HAPCTL_SERVICES_RETRIES", "0")
    done = hapctl("wcs", "fetch", ROOT)
    assert done.exit_code == 4
    assert "Connection refused" in done.stderr


def test_what_is_asked_must_be_here(hapctl, serve):
    service = serve({})
    assert hapctl("wcs", "fetch").exit_code == 2
    assert hapctl("wcs", "fetch", "j8bt09jcq").exit_code == 3
    assert hapctl("wcs", "fetch", "--visit", "j8bt09").exit_code == 3
    assert service.requests == []
