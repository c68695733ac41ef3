"""``hapctl gaia`` as a user types it."""

import pytest
from astropy.table import Table
from hapctl.archive.database import open_catalog
from hapctl.archive.reference_catalogs import reference_sources
from hapctl.archive.sky_region import parse_region
from hapctl.processing.astrometry import propagation
from sqlalchemy import text
from support.data import data_file
from support.gaia_table import synthetic_sky, with_extract
from support.other_catalogs import two_mass_table
from support.tap_service import Faults, TapService, refused_url

REGION = "circle 150 -2 0.05"


@pytest.fixture(scope="module")
def sky():
    return synthetic_sky(150.0, -2.0, 0.05, 60)


@pytest.fixture
def service(sky, monkeypatch):
    with TapService({"gaiadr3.gaia_source": sky}) as running:
        monkeypatch.setenv("HAPCTL_GAIA_URL", running.url)
        monkeypatch.setenv("HAPCTL_GAIA_RETRIES", "0")
        yield running


@pytest.fixture
def runs(database_url):
    """Return the runs of the catalog: command, outcome, exit code."""

    def read():
        catalog = open_catalog(database_url)
        with catalog.begin() as connection:
            rows = connection.execute(
                text(
                    "SELECT command, outcome, exit_code FROM run JOIN run_end USING (run_id) ORDER BY run_id"
                )
            ).all()
        catalog.close()
        return [tuple(row) for row in rows]

    return read


def test_fetch_then_status(run_hapctl, service, runs):
    done = run_hapctl("gaia", "fetch", "--region", REGION, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    document = done.json()
    assert document["release"] == "gaiadr3"
    (field,) = document["regions"]
    assert field["status"] == "fetched"
    assert field["rows"] == 60
    again = run_hapctl("gaia", "fetch", "--region", REGION, "--json").json()
    assert again["regions"][0]["status"] == "known"
    assert again["regions"][0]["reference_query_ids"] == field["reference_query_ids"]
    assert len(service.queries) == 2
    status = run_hapctl("gaia", "status", "--json").json()
    (query,) = status["queries"]
    assert status["url"] == service.url
    assert (query["rows"], query["source"], query["release"]) == (60, "tap", "gaiadr3")
    assert query["question"] == service.queries[-1]
    assert query["run_id"] == document["run_id"]
    assert runs() == [("gaia fetch", "done", 0)] * 2


def test_refresh_asks_again(run_hapctl, service):
    run_hapctl("gaia", "fetch", "--region", REGION)
    done = run_hapctl("gaia", "fetch", "--region", REGION, "--refresh")
    assert done.stdout.startswith("fetched        60 sources of gaiadr3")
    assert len(service.queries) == 4
    assert len(run_hapctl("gaia", "status", "--json").json()["queries"]) == 2


def test_people_read_a_table(run_hapctl, service):
    assert "holds no reference sources" in run_hapctl("gaia", "status").stderr
    assert run_hapctl("gaia", "fetch", "--region", REGION).stdout.startswith("fetched ")
    shown = run_hapctl("gaia", "status")
    assert shown.stderr == ""
    assert "60 rows  circle 150.0 -2.0 0.05" in shown.stdout


def test_a_failing_service_is_exit_code_4(run_hapctl, service, runs):
    service.faults = Faults(failures=-1)
    done = run_hapctl("gaia", "fetch", "--region", REGION, "--json")
    assert done.exit_code == 4
    assert done.json()["error"]["exit_code"] == 4
    assert "status 500" in done.json()["error"]["message"]
    assert done.stderr.count("\n") == 1
    assert run_hapctl("gaia", "status", "--json").json()["queries"] == []
    assert runs() == [("gaia fetch", "failed", 4)]


def test_nobody_listens(run_hapctl, service, monkeypatch):
    monkeypatch.setenv("HAPCTL_GAIA_URL", refused_url())
    done = run_hapctl("gaia", "fetch", "--region", REGION)
    assert done.exit_code == 4
    assert "Connection refused" in done.stderr
    assert done.stdout == ""


def test_a_service_that_recovers(run_hapctl, service, monkeypatch):
    monkeypatch.setenv("HAPCTL_GAIA_RETRIES", "1")
    service.faults = Faults(failures=1)
    done = run_hapctl("gaia", "fetch", "--region", REGION, "--json")
    assert done.exit_code == 0
    assert done.json()["regions"][0]["rows"] == 60


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("fetch",), 2),
        (("fetch", "--region", "box 1 2 3"), 2),
        (("fetch", "--region", REGION, "--release", "DR9"), 2),
        (("fetch", "--visit", "j8bt99"), 3),
        (("load", "nothing.ecsv", "--release", "DR3", "--covers", REGION), 3),
        (("load", "nothing.ecsv", "--release", "DR3", "--covers", "everything"), 2),
        (("load", "nothing.ecsv", "--release", "DR3"), 2),
    ],
)
def test_other_requests_have_their_exit_codes(run_hapctl, service, arguments, code):
    done = run_hapctl("gaia", *arguments, "--json")
    assert done.exit_code == code
    assert done.json()["error"]["exit_code"] == code
    assert service.requests == []


def test_load_a_file(run_hapctl, database_url, tmp_path, sky, runs):
    path = tmp_path / "extract.fits"
    sky["source_id", "ra", "dec", "ra_error", "dec_error", "phot_g_mean_mag"].write(path)
    arguments = ("gaia", "load", path, "--release", "DR3", "--covers", REGION, "--json")
    first = run_hapctl(*arguments)
    assert first.exit_code == 0
    assert (first.json()["status"], first.json()["rows"]) == ("loaded", len(sky))
    assert first.json()["rows_outside"] == len(sky) - 60
    assert run_hapctl(*arguments).json()["status"] == "unchanged"
    catalog = open_catalog(database_url)
    found = reference_sources(catalog, first.json()["run_id"], [parse_region(REGION)], offline=True)
    catalog.close()
    assert len(found.stars) == 60
    assert runs() == [("gaia load", "done", 0)] * 2
    (query,) = run_hapctl("gaia", "status", "--json").json()["queries"]
    assert (query["source"], query["service"]) == ("file", "extract.fits")


def test_a_bad_file_is_refused(run_hapctl, tmp_path, runs):
    path = tmp_path / "bad.csv"
    path.write_text("source_id,ra,dec\n1,150.0,\n")
    done = run_hapctl("gaia", "load", path, "--release", "DR3", "--covers", REGION)
    assert done.exit_code == 1
    assert "dec is not a number in 1 of 1 rows" in done.stderr
    assert runs() == [("gaia load", "refused", 1)]


def test_the_help_states_the_default_errors(run_hapctl):
    shown = " ".join(run_hapctl("gaia", "load", "--help").stdout.split())
    assert f"{propagation.POSITION_ERROR_MAS} mas for a position" in shown
    assert f"{propagation.ERROR_RATIO} times the error of the position" in shown
    assert f"{propagation.PARALLAX_ERROR_MAS:g} mas for a parallax that is unknown" in shown


def test_load_the_real_extract(run_hapctl):
    path = data_file("hrc_47tuc/gaia_dr3_47tuc_core.ecsv")
    covers = "circle 6.0236 -72.0813 0.008333333"
    done = run_hapctl("gaia", "load", path, "--release", "DR3", "--covers", covers, "--json")
    assert (done.exit_code, done.json()["rows"], done.json()["rows_outside"]) == (0, 112, 0)


def test_a_real_visit_is_fetched(run_hapctl, service):
    """The field of visit j8bt09, from the real sources of 47 Tuc served among a sky of others."""
    extract = Table.read(data_file("hrc_47tuc/gaia_dr3_47tuc_core.ecsv"), format="ascii.ecsv")
    service.tables["gaiadr3.gaia_source"] = with_extract(extract)
    frame = data_file("hrc_47tuc/j8bt09jcq_flt.fits")
    assert run_hapctl("ingest", frame, "--json").exit_code == 0
    done = run_hapctl("gaia", "fetch", "--visit", "j8bt09", "--json")
    assert done.exit_code == 0
    (field,) = done.json()["regions"]
    radius = float(field["region"].split()[3]) * 3600
    assert 20.5 < radius < 30.0  # half the diagonal of the detector, and 5 arcsec
    assert 60 < field["rows"] < 112
    assert "CIRCLE('ICRS', 6.0" in service.queries[-1]
    again = run_hapctl("gaia", "fetch", "--visit", "J8BT09", "--json").json()
    assert again["regions"][0]["status"] == "known"


def test_other_catalogs_are_fetched_and_listed(run_hapctl, monkeypatch):
    with TapService({"ii/246/out": two_mass_table()}) as vizier:
        monkeypatch.setenv("HAPCTL_SERVICES_VIZIER", vizier.url)
        region = "circle 150 2 0.05"
        done = run_hapctl("gaia", "fetch", "--region", region, "--catalog", "2mass", "--json")
        assert (done.exit_code, done.stderr) == (0, "")
        assert (done.json()["release"], done.json()["regions"][0]["rows"]) == ("2mass", 200)
        assert "200 rows  circle 150.0 2.0 0.05" in run_hapctl("gaia", "status").stdout
        vizier.faults = Faults(failures=-1)
        monkeypatch.setenv("HAPCTL_SERVICES_RETRIES", "0")
        failed = run_hapctl("gaia", "fetch", "--region", region, "--catalog", "GSC242", "--json")
    assert failed.exit_code == 4
    assert failed.json()["error"]["message"].startswith("GSC 2.4.2 at http://127.0.0.1")
    assert "HAPCTL_SERVICES_VIZIER" in failed.json()["error"]["remedy"]
