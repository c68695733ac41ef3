"""The catalog as a database: reached, refused, explained."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import hapctl.archive.database as database_module
import psycopg
import pytest
from hapctl.archive.database import (
    Catalog,
    create_database,
    database_exists,
    open_catalog,
    parse_url,
)
from hapctl.archive.errors import CatalogUsageError, ServiceUnavailableError
from hapctl.archive.schema import software_version
from hapctl.archive.server import ADMIN_ROLE, EmbeddedServer
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError
from support.commands import Runner


def test_a_fresh_catalog_is_empty_and_speaks_utc(any_catalog: Catalog) -> None:
    with any_catalog.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stale_product")) == 0
        assert connection.scalar(text("SHOW timezone")) == "UTC"
        assert connection.scalar(text("SHOW application_name")) == "hapctl"


def test_begin_commits_at_the_end_and_undoes_on_an_error(catalog: Catalog) -> None:
    def write(then: Callable[[], None]) -> None:
        with catalog.begin() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS mine (a int)"))
            then()

    def fail() -> None:
        raise KeyError

    exists = text("SELECT to_regclass('mine') IS NOT NULL")
    with pytest.raises(KeyError):
        write(fail)
    with catalog.begin() as connection:
        assert connection.scalar(exists) is False
    write(lambda: None)
    with catalog.begin() as connection:
        assert connection.scalar(exists) is True


def test_a_wrong_statement_is_no_trouble_of_the_server(catalog: Catalog) -> None:
    with pytest.raises(ProgrammingError), catalog.begin() as connection:
        connection.execute(text("SELECT nothing"))


def test_a_server_that_went_away_is_exit_code_4(catalog: Catalog, database_server: EmbeddedServer) -> None:
    def lose_the_session() -> None:
        with catalog.begin() as connection:
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
            with psycopg.connect(database_server.url(ADMIN_ROLE, "postgres")) as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
            connection.execute(text("SELECT 1"))

    with pytest.raises(ServiceUnavailableError, match="is not available"):
        lose_the_session()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://127.0.0.1:1/db", "refused"),
        ("postgresql:///db?host=/nowhere", "No such file"),
        ("postgresql://127.0.0.1:1/db?connect_timeout=1", "refused"),
    ],
)
def test_a_server_that_does_not_answer_is_named(url: str, told: str) -> None:
    with pytest.raises(ServiceUnavailableError, match=told) as caught:
        open_catalog(url)
    assert caught.value.exit_code == 4
    assert "hapctl doctor" in caught.value.remedy


@pytest.mark.parametrize(
    "url", ["postgresql://me:very-secret@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db?password=very-secret"]
)
def test_no_password_is_ever_shown(url: str) -> None:
    with pytest.raises(ServiceUnavailableError) as caught:
        open_catalog(url)
    assert "very-secret" not in caught.value.message
    assert "***" in caught.value.message


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/db", "sqlite://", "postgresql://h:port/d"])
def test_what_is_no_url_of_postgresql_is_a_usage_error(url: str) -> None:
    with pytest.raises(CatalogUsageError) as caught:
        parse_url(url)
    assert "postgresql://user@host:5432/database" in caught.value.remedy


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_spelling_of_the_scheme_is_understood(scheme: str) -> None:
    assert str(parse_url(f"{scheme}://h/d")) == "postgresql+psycopg://h/d"


def test_an_old_server_is_refused(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "OLDEST_POSTGRESQL", 99)
    with pytest.raises(ServiceUnavailableError, match="the server is PostgreSQL 18, the catalog needs 99"):
        open_catalog(catalog.url)


def test_a_database_is_made_where_there_is_none(any_server: EmbeddedServer) -> None:
    url = any_server.url(ADMIN_ROLE, 'made "by" test')
    assert not database_exists(url)
    create_database(url)
    try:
        assert database_exists(url)
    finally:
        with psycopg.connect(any_server.url(ADMIN_ROLE, "postgres"), autocommit=True) as connection:
            connection.execute('DROP DATABASE "made ""by"" test"')


def test_init_makes_database_and_schema_and_may_be_repeated(
    hapctl_home: Path, any_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, run_anywhere: Runner
) -> None:
    url = any_server.url(ADMIN_ROLE, "made_by_init")
    monkeypatch.setenv("HAPCTL_DATABASE_URL", url)
    assert run_anywhere("status").exit_code == 4
    try:
        first, again = run_anywhere("init", "--json"), run_anywhere("init", "--json")
        assert (first.json()["created"], first.json()["schema"]) == (True, software_version().revision)
        assert (again.json()["created"], again.json()["schema_before"]) == (
            False,
            software_version().revision,
        )
        assert run_anywhere("status").exit_code == 0
        assert run_anywhere("db", "upgrade").exit_code == 0
        refused = run_anywhere("db", "stop")
        assert refused.exit_code == 2
        assert "a server of your own is named (environment HAPCTL_DATABASE_URL)" in refused.stderr
    finally:
        with psycopg.connect(any_server.url(ADMIN_ROLE, "postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE made_by_init WITH (FORCE)")


def test_the_libpq_variables_lead_to_the_server(
    hapctl_home: Path,
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    run_anywhere: Runner,
) -> None:
    parts = urlsplit(database_url)
    socket = parts.query.split("host=")[1].split("&")[0]
    database = parts.path.strip("/")
    for name, value in (("HOST", socket), ("PORT", "5432"), ("USER", "hapctl_owner"), ("DATABASE", database)):
        monkeypatch.setenv(f"PG{name}", value)
    assert run_anywhere("status", "--json").json()["counts"]["runs"] == 0
    assert run_anywhere("sql", "--json", "-c", "SELECT current_user AS me").json() == [
        {"me": "hapctl_reader"}
    ]
    for name in ("HOST", "PORT", "USER", "DATABASE"):
        monkeypatch.delenv(f"PG{name}")
    service = tmp_path / "services"
    service.write_text(f"[hap]\nhost={socket}\nport=5432\nuser=hapctl_owner\ndbname={database}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    monkeypatch.setenv("PGSERVICE", "hap")
    assert run_anywhere("status", "--json").json()["counts"]["runs"] == 0
    assert run_anywhere("--database", "postgresql:///db?host=/nowhere", "status").exit_code == 4


def test_the_libpq_variables_name_the_database_that_is_made(
    database_server: EmbeddedServer, run_anywhere: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", str(database_server.sockets))
    monkeypatch.setenv("PGDATABASE", "made_by_libpq")
    monkeypatch.setenv("PGUSER", ADMIN_ROLE)
    try:
        assert run_anywhere("init", "--json").json()["created"] is True
        assert run_anywhere("db", "status", "--json").exit_code == 0
    finally:
        with psycopg.connect(database_server.url(ADMIN_ROLE, "postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS made_by_libpq WITH (FORCE)")


def test_who_may_not_create_a_database_is_told_who_may(
    database_server: EmbeddedServer, run_anywhere: Runner
) -> None:
    result = run_anywhere("--database", database_server.url(database="not_there"), "init", "--json")
    assert result.exit_code == 1
    assert "CREATE DATABASE not_there OWNER" in result.json()["error"]["remedy"]


def test_a_missing_role_is_no_missing_database(database_server: EmbeddedServer) -> None:
    with pytest.raises(ServiceUnavailableError, match='role "nobody_here" does not exist'):
        database_exists(database_server.url("nobody_here"))


def test_a_url_for_elsewhere_says_what_the_variables_say(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(database_url)
    monkeypatch.setenv("PGHOST", str(url.query["host"]))
    monkeypatch.setenv("PGPORT", str(url.query["port"]))
    monkeypatch.setenv("PGUSER", str(url.username))
    monkeypatch.setenv("PGDATABASE", str(url.database))
    named = open_catalog("postgresql://")
    elsewhere = named.url_elsewhere()
    named.close()
    for variable in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE"):
        monkeypatch.delenv(variable)
    opened = open_catalog(elsewhere)
    with opened.connect() as connection:
        assert connection.scalar(text("SELECT current_database()")) == url.database
    opened.close()
    opened = open_catalog(database_url)
    assert opened.url_elsewhere() == database_url
    opened.close()
