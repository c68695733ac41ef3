"""`hapctl align` with a Gaia service at hand, slow, wrong or down."""

from collections.abc import Iterator
from typing import Any

import pytest
from astropy.table import Table
from hapctl.archive.database import Catalog
from sqlalchemy import text
from support.commands import Runner
from support.data import data_file
from support.gaia_table import with_extract
from support.sky_visit import SkyVisit, sky_visit
from support.tap_service import Faults, TapService, refused_url

TABLES = ("reference_query", "reference_source", "alignment_attempt", "alignment_group", "star_match")


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> SkyVisit:
    return sky_visit(tmp_path_factory.mktemp("visit"), seed=6)


@pytest.fixture(scope="module")
def sky(visit: SkyVisit) -> Table:
    """The visit's stars within a sky of ten times as many others."""
    return with_extract(Table.read(visit.extract))


@pytest.fixture
def service(sky: Table, monkeypatch: pytest.MonkeyPatch) -> Iterator[TapService]:
    with TapService({"gaiadr3.gaia_source": sky}) as running:
        monkeypatch.setenv("HAPCTL_GAIA_URL", running.url)
        monkeypatch.setenv("HAPCTL_GAIA_RETRIES", "0")
        yield running


def no_other_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the services of other catalogs be down."""
    monkeypatch.setenv("HAPCTL_SERVICES_VIZIER", refused_url())
    monkeypatch.setenv("HAPCTL_SERVICES_RETRIES", "0")


def counts(catalog: Catalog) -> dict[str, int]:
    with catalog.begin() as connection:
        return {
            table: int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
            for table in TABLES
        }


def unreached(catalog: Catalog) -> set[tuple[str, str]]:
    """Catalog and code of the refusals."""
    with catalog.begin() as connection:
        rows = connection.execute(
            text("SELECT DISTINCT catalog, code FROM alignment_attempt WHERE outcome = 'refused'")
        )
        return {(row.catalog, row.code) for row in rows}


def last_run(catalog: Catalog) -> Any:
    with catalog.begin() as connection:
        return connection.execute(
            text(
                "SELECT command, outcome, exit_code FROM run JOIN run_end USING (run_id) ORDER BY run_id DESC"
            )
        ).first()


def test_gaia_is_asked_once_and_used_again(
    run_hapctl: Runner, catalog: Catalog, visit: SkyVisit, service: TapService
) -> None:
    run_hapctl("ingest", *visit.files)
    first = run_hapctl("align", "--visit", visit.visit, "--json")
    assert first.exit_code == 0, first.stderr
    assert first.json()["visits"][0]["outcome"] == "accepted"
    assert all(exposure["nmatches"] > 30 for exposure in first.json()["visits"][0]["exposures"])
    asked, rows = len(service.queries), counts(catalog)
    assert asked > 0
    again = run_hapctl("align", "--visit", visit.visit, "--json").json()["visits"][0]
    offline = run_hapctl("align", "--visit", visit.visit, "--offline", "--json").json()["visits"][0]
    assert again["outcome"] == offline["outcome"] == "unchanged"
    assert len(service.queries) == asked
    after = counts(catalog)
    assert {name: after[name] for name in TABLES if name != "alignment_attempt"} == {
        name: rows[name] for name in TABLES if name != "alignment_attempt"
    }


def test_a_service_that_is_down_leaves_nothing_half_recorded(
    run_hapctl: Runner, catalog: Catalog, visit: SkyVisit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAPCTL_GAIA_URL", refused_url())
    monkeypatch.setenv("HAPCTL_GAIA_RETRIES", "0")
    no_other_service(monkeypatch)
    run_hapctl("ingest", *visit.files)
    before = counts(catalog)
    result = run_hapctl("align", "--visit", visit.visit, "--json")
    assert result.exit_code == 4
    assert result.json()["error"]["exit_code"] == 4
    assert unreached(catalog) == {("GAIADR3", "service"), ("GSC242", "service"), ("2MASS", "service")}
    assert {**counts(catalog), "alignment_attempt": 0} == before
    assert tuple(last_run(catalog)) == ("align", "failed", 4)
    relative = run_hapctl("align", "--visit", visit.visit, "--catalog", "none")
    assert relative.exit_code == 0


def test_a_truncated_answer_is_no_answer(
    run_hapctl: Runner, catalog: Catalog, visit: SkyVisit, service: TapService
) -> None:
    run_hapctl("ingest", *visit.files)
    before = counts(catalog)
    service.faults = Faults(drop_rows=5)
    assert run_hapctl("align", "--visit", visit.visit, "--catalog", "GAIADR3").exit_code == 4
    assert unreached(catalog) == {("GAIADR3", "service")}
    assert {**counts(catalog), "alignment_attempt": 0} == before


def test_the_real_core_of_47_tuc_from_the_service(
    run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract = Table.read(data_file("hrc_47tuc/gaia_dr3_47tuc_core.ecsv"))
    run_hapctl("ingest", *(data_file(f"hrc_47tuc/{name}_flt.fits") for name in ("j8bt06nyq", "j8bt06o6q")))
    run_hapctl("ingest", data_file("hrc_47tuc/j8bt09jcq_flt.fits"))
    with TapService({"gaiadr3.gaia_source": with_extract(extract)}) as service:
        monkeypatch.setenv("HAPCTL_GAIA_URL", service.url)
        no_other_service(monkeypatch)
        result = run_hapctl("align", "--visit", "j8bt09", "--visit", "j8bt06", "--json")
    assert result.exit_code == 0, result.stderr
    ultraviolet, optical = result.json()["visits"]
    [exposure] = ultraviolet["exposures"]
    assert exposure["wcsname"] == "IDC_n721640fj-FIT_SVM_GAIADR3"
    assert 15 <= exposure["nmatches"] <= 32
    assert max(exposure["rms_ra_mas"], exposure["rms_dec_mas"]) < 12.0
    assert {e["wcsname"] for e in optical["exposures"]} == {"IDC_n721640fj-FIT_SVM_NONE"}
    assert all("refused before: " in e["reason"] for e in optical["exposures"])
