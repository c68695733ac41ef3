"""Questions to the catalog: named ones with known answers, and free ones as a reader who can do no harm."""

import csv
import io
import time
from typing import Any

import psycopg
import pytest
from hapctl.archive.database import Catalog
from hapctl.archive.errors import RefusedByCatalogError, ServiceUnavailableError
from hapctl.archive.queries import named_queries
from hapctl.archive.reader import ask, reader_url
from hapctl.archive.server import ADMIN_ROLE, EmbeddedServer
from support.catalog_rows import Rows
from support.commands import Runner
from support.small_archive import SmallArchive, small_archive

OWNERS = "pg_stat_activity WHERE usename = 'hapctl_owner' AND datname = current_database()"


@pytest.fixture
def archive(catalog: Catalog) -> SmallArchive:
    with catalog.begin() as connection:
        return small_archive(Rows(connection))


def answer(run: Runner, name: str, *parameters: str) -> list[dict[str, Any]]:
    given = [part for parameter in parameters for part in ("--param", parameter)]
    result = run("query", name, *given, "--json")
    assert result.exit_code == 0, result.stderr
    return result.json()  # type: ignore[no-any-return]


def test_gaia_fraction_by_year(archive: SmallArchive, run_hapctl: Runner) -> None:
    acs = {"instrument": "ACS", "detector": "HRC", "year": 2006, "exposures": 3, "fitted_to_gaia": 2}
    wfc3 = {"instrument": "WFC3", "detector": "UVIS", "year": 2012, "exposures": 1, "fitted_to_gaia": 0}
    expected = [{**acs, "fraction": 0.667}, {**wfc3, "fraction": 0.0}]
    assert answer(run_hapctl, "gaia-fraction-by-year") == expected
    assert answer(run_hapctl, "gaia-fraction-by-year", "instrument=WFC3") == expected[1:]


def test_stale_products(archive: SmallArchive, run_hapctl: Runner) -> None:
    (stale,) = answer(run_hapctl, "stale-products")
    assert stale["product_id"] == archive.stale_product
    assert stale["codes"] == "new, solution"
    assert stale["reasons"] == "j8bt09jcq: another WCS solution is in force; j8bt09jdq: new exposure"
    assert answer(run_hapctl, "stale-products", "visit=j8bt06") == []


def test_weak_fits(archive: SmallArchive, run_hapctl: Runner) -> None:
    def found(*parameters: str) -> list[tuple[str, int]]:
        return [(row["rootname"], row["nmatches"]) for row in answer(run_hapctl, "weak-fits", *parameters)]

    assert found() == [("j8bt06abq", 6), ("ib6v01abq", 40)]
    assert found("max_rms_mas=50") == [("j8bt06abq", 6)]
    assert found("min_matches=6") == [("ib6v01abq", 40)]
    assert found("min_matches=29", "max_rms_mas=50") == [("j8bt06abq", 6), ("j8bt09jcq", 28)]


def test_why_a_visit_failed(archive: SmallArchive, run_hapctl: Runner) -> None:
    attempts = answer(run_hapctl, "why-visit-failed", "visit=J8BT09")
    assert [(row["rootname"], row["outcome"], row["code"]) for row in attempts] == [
        ("j8bt09jcq", "accepted", "accepted"),
        ("j8bt09jdq", "refused", "few_stars"),
    ]
    assert attempts[0]["wcsname"] == "IDC_abc-FIT_SVM_GAIADR3"
    assert attempts[1]["reason"] == "3 stars match, 8 are needed"
    assert attempts[0]["started"] == "2021-01-01T00:00:00+00:00"


def test_the_lineage_of_a_product(archive: SmallArchive, run_hapctl: Runner) -> None:
    lineage = answer(run_hapctl, "product-lineage", "product=hst_j8bt06_total_drz.fits")
    assert [(row["depth"], row["kind"], row["name"], row["command"]) for row in lineage] == [
        (0, "product", "hst_j8bt06_total_drz.fits", "align"),
        (1, "file", "j8bt06abq_flt", "ingest"),
        (1, "solution", "j8bt06abq IDC_abc-FIT_SVM_GAIADR3", "align"),
        (2, "reference query", "gaiadr3 from https://tap", "align"),
        (2, "solution", "j8bt06abq IDC_abc", "ingest"),
    ]
    assert all(len(row["sha256"]) == 64 for row in lineage)
    by_number = answer(run_hapctl, "product-lineage", f"product={archive.fresh_product}")
    by_path = answer(run_hapctl, "product-lineage", "product=/products/hst_j8bt06_total_drz.fits")
    assert by_number == by_path == lineage


def test_the_wcs_on_a_date(archive: SmallArchive, run_hapctl: Runner) -> None:
    def wcs(moment: str) -> list[tuple[str, str, str | None]]:
        rows = answer(run_hapctl, "wcs-on-date", "rootname=J8BT09JCQ", f"moment={moment}")
        return [(row["wcsname"], row["since"], row["until"]) for row in rows]

    before, change = "2020-01-01T00:00:00+00:00", "2021-01-01T00:00:00+00:00"
    assert wcs("2019-12-31") == []
    assert wcs("2020-06-01") == [("IDC_abc", before, change)]
    assert wcs("2021-01-01T00:00:00+00:01") == [("IDC_abc", before, change)]
    assert wcs("2021-01-01") == [("IDC_abc-FIT_SVM_GAIADR3", change, None)]


def test_every_named_query_says_what_it_answers(run_hapctl: Runner) -> None:
    listed = run_hapctl("query", "--list", "--json").json()
    assert [query["name"] for query in listed] == [
        *("gaia-fraction-by-year", "guide-star-sets", "product-lineage", "residuals-by-epoch"),
        *("residuals-by-magnitude", "stale-products", "wcs-on-date", "weak-fits", "why-visit-failed"),
    ]
    for query in named_queries():
        assert query.title
        assert query.sentence.endswith((".", '"?', "one."))
        assert all(f":{parameter.name}" in query.sql for parameter in query.parameters)
        assert query.statement().count("%(") >= len(query.parameters)
    text = run_hapctl("query", "--list").stdout
    assert "weak-fits\n    Lists the exposures whose WCS in force was fitted with few stars" in text
    assert "min_matches (integer, default 10): a fit with fewer matched stars is weak" in text
    assert "visit (text, must be given): the visit, ipppss" in text


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("weak-fit",), 3, "there is no query named 'weak-fit' (did you mean 'weak-fits'?)"),
        (("why-visit-failed",), 2, "query why-visit-failed needs 'visit' (hapctl query why-visit-failed"),
        (("weak-fits", "--param", "x=1"), 2, "query weak-fits has no parameter 'x'"),
        (("weak-fits", "--param", "min_matches=few"), 2, "min_matches = 'few' is no integer"),
        (
            ("wcs-on-date", "--param", "rootname=a", "--param", "moment=noon"),
            2,
            "moment = 'noon' is no moment",
        ),
        (("weak-fits", "--param", "min_matches"), 2, "--param min_matches: write NAME=VALUE"),
        (("weak-fits", "--csv", "--json"), 2, "--csv and --json exclude each other"),
    ],
)
def test_a_wrong_question_is_explained(
    run_hapctl: Runner, arguments: tuple[str, ...], code: int, told: str
) -> None:
    result = run_hapctl("query", *arguments)
    assert (result.exit_code, result.stdout) == (code, "") or "--json" in arguments
    assert told in result.stderr


def test_parameters_are_values_never_sql(archive: SmallArchive, run_hapctl: Runner) -> None:
    assert answer(run_hapctl, "stale-products", "visit=' OR true --") == []


def test_csv_and_table(archive: SmallArchive, run_hapctl: Runner) -> None:
    text = run_hapctl("query", "weak-fits", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["rootname"] for row in rows] == ["j8bt06abq", "ib6v01abq"]
    table = run_hapctl("query", "weak-fits").stdout
    assert "j8bt06abq" in table
    assert "nmatches" in table
    empty = run_hapctl("query", "stale-products", "--param", "visit=none")
    assert (empty.stdout, empty.stderr) == ("", "no rows\n")


def test_sql_gives_a_list_of_objects(archive: SmallArchive, run_hapctl: Runner) -> None:
    statement = "SELECT rootname, nmatches FROM active_solution WHERE frame LIKE 'GAIA-%' ORDER BY 1"
    expected = [{"rootname": "j8bt06abq", "nmatches": 6}, {"rootname": "j8bt09jcq", "nmatches": 28}]
    assert run_hapctl("sql", "--json", "-c", statement).json() == expected
    assert run_hapctl("sql", "--json", stdin=statement + ";\n").json() == expected
    assert run_hapctl("sql", "--json", "-c", f"SELECT * FROM ({statement}) q LIMIT 0").json() == []


def test_values_of_every_kind_become_json(run_hapctl: Runner) -> None:
    statement = """SELECT 1 AS a, 2.5 AS a, 3::numeric AS whole, 'NaN'::float8 AS nan, NULL AS nothing,
                   timestamptz '2020-01-02 03:04:05.6Z' AS moment, date '2020-01-02' AS day,
                   tstzrange('2020-01-01Z', NULL) AS during, '{[1,5)}'::int8multirange AS cells,
                   '{"k": [1]}'::jsonb AS document, ARRAY[1.5::float8] AS list, '\\x00ff'::bytea AS bytes,
                   9007199254740993::bigint AS large, true AS yes"""
    (row,) = run_hapctl("sql", "--json", "-c", statement).json()
    assert row == {
        **{"a": 1, "a_2": 2.5, "whole": 3, "nan": None, "nothing": None, "day": "2020-01-02"},
        **{"moment": "2020-01-02T03:04:05.6+00:00", "during": '["2020-01-01 00:00:00+00",)'},
        **{"cells": "{[1,5)}", "document": {"k": [1]}, "list": [1.5], "bytes": "\\x00ff"},
        **{"large": 9007199254740993, "yes": True},
    }


@pytest.mark.parametrize(
    ("statement", "code", "told"),
    [
        ("SELECT nothing", 2, 'column "nothing" does not exist'),
        ("SELEC 1", 2, "syntax error"),
        ("SELECT 1; SELECT 2", 2, "more than one statement was given (give one at a time)"),
        ("COPY visit TO STDOUT", 2, "COPY"),
        ("INSERT INTO proposal VALUES (1, 1)", 1, "a reader may not do that"),
        ("UPDATE exposure SET detector = 'x'", 1, "a reader may not do that"),
        ("DROP TABLE star_match", 1, "a reader may not do that"),
        ("CREATE TABLE mine (a int)", 1, "a reader may not do that"),
        ("CREATE TEMPORARY TABLE mine (a int)", 1, "a reader may not do that"),
        ("TRUNCATE run CASCADE", 1, "a reader may not do that"),
        ("COPY (SELECT 1) TO PROGRAM 'id'", 1, "a reader may not do that"),
        ("COPY (SELECT 1) TO '/tmp/x'", 1, "a reader may not do that"),
        ("SELECT pg_read_file('/etc/passwd')", 1, "a reader may not do that"),
        ("SET ROLE hapctl_owner", 1, "a reader may not do that"),
        ("SET SESSION AUTHORIZATION hapctl_owner", 1, "a reader may not do that"),
        ("SET SESSION AUTHORIZATION postgres", 1, "a reader may not do that"),
        ("SET TRANSACTION READ WRITE", 2, "read-write mode"),
        ("DO $$ BEGIN SET TRANSACTION READ WRITE; PERFORM lo_create(0); END $$", 2, "read-write mode"),
        (f"SELECT pg_terminate_backend(pid) FROM {OWNERS}", 1, "a reader may not do that"),
        ("DO $$ BEGIN INSERT INTO proposal VALUES (1, 1); END $$", 1, "a reader may not do that"),
    ],
)
def test_a_reader_only_reads(run_hapctl: Runner, statement: str, code: int, told: str) -> None:
    result = run_hapctl("sql", "--json", "-c", statement)
    assert (result.exit_code, result.json()["error"]["exit_code"]) == (code, code), result.stderr
    assert told in result.json()["error"]["message"] + result.stderr


def session(statements: list[str], url: str) -> str:
    """Run statements as a reader's session of its own, without hapctl's care; return the last answer."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return str(row[0]) if row else ""


def test_no_way_leads_back_to_a_stronger_role(database_url: str, database_server: EmbeddedServer) -> None:
    url = reader_url(database_url)
    assert session(["RESET ROLE", "SELECT current_user"], url) == "hapctl_reader"
    assert session(["RESET SESSION AUTHORIZATION", "SELECT session_user"], url) == "hapctl_reader"
    assert session(["SET ROLE NONE", "SELECT current_user"], url) == "hapctl_reader"
    for role in ("hapctl_owner", ADMIN_ROLE, "pg_execute_server_program", "pg_write_all_data"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session([f"SET ROLE {role}"], url)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        session(["SET default_transaction_read_only = off", "INSERT INTO proposal VALUES (1, 1)"], url)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_sleep(30)",
        "SELECT set_config('statement_timeout', '0', false), pg_sleep(30)",
        "DO $$ BEGIN SET statement_timeout = 0; PERFORM pg_sleep(30); END $$",
        "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000) b",
    ],
)
def test_the_time_limit_can_not_be_switched_off(run_hapctl: Runner, statement: str) -> None:
    started = time.monotonic()
    result = run_hapctl("sql", "--timeout", "0.3", "-c", statement)
    assert time.monotonic() - started < 15
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the question took longer than 0.3 s" in result.stderr


def test_the_client_keeps_the_limit_where_the_server_does_not(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hapctl.archive.reader._prepare", lambda connection, seconds: None)
    started = time.monotonic()
    url = reader_url(database_url)
    with (
        pytest.raises(RefusedByCatalogError, match="longer"),
        ask(url, "SELECT pg_sleep(30)", None, 0.2) as _,
    ):
        pass
    assert 1 < time.monotonic() - started < 10


def test_the_limit_covers_the_reading_of_rows(database_url: str) -> None:
    url = reader_url(database_url)
    slow = "SELECT repeat('x', 10000) FROM generate_series(1, 1000000)"

    def read_slowly() -> None:
        with ask(url, slow, None, 0.5) as found:
            for _ in found.rows:
                time.sleep(0.001)

    with pytest.raises(RefusedByCatalogError, match="longer"):
        read_slowly()


def test_a_superuser_is_not_let_in(database_server: EmbeddedServer) -> None:
    url = database_server.url(ADMIN_ROLE, "hapctl")
    with pytest.raises(RefusedByCatalogError, match="not asked as a superuser"), ask(url, "SELECT 1"):
        pass


def test_a_reader_who_can_not_log_in_is_told(database_server: EmbeddedServer) -> None:
    url = database_server.url("hapctl_nobody", "hapctl")
    with (
        pytest.raises(ServiceUnavailableError, match="the reader can't log in") as caught,
        ask(url, "SELECT 1"),
    ):
        pass
    assert "HAPCTL_READER_URL" in caught.value.remedy


def test_the_readers_url_carries_no_password_of_the_owner() -> None:
    url = reader_url("postgresql://owner:secret@host:5433/db?sslmode=require")
    assert url == "postgresql://hapctl_reader@host:5433/db?sslmode=require"
    assert reader_url("postgresql://owner@host/db", "postgresql://me@host/db") == "postgresql://me@host/db"


def test_half_an_answer_is_never_printed(run_hapctl: Runner) -> None:
    statement = "SELECT 1 / (500 - n) FROM generate_series(1, 1000) n"
    result = run_hapctl("sql", "--csv", "-c", statement)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "division by zero" in result.stderr


def test_nan_inside_lists_and_documents_becomes_null(run_hapctl: Runner) -> None:
    statement = "SELECT ARRAY['NaN', 1.5]::float8[] AS a, ARRAY['-Infinity']::numeric[] AS b"
    assert run_hapctl("sql", "--json", "-c", statement).json() == [{"a": [None, 1.5], "b": [None]}]
    assert run_hapctl("sql", "--csv", "-c", statement).stdout == 'a,b\n"[null, 1.5]",[null]\n'


def test_a_moment_before_christ_keeps_its_form(run_hapctl: Runner) -> None:
    (row,) = run_hapctl("sql", "--json", "-c", "SELECT timestamptz '0044-03-15 12:00Z BC' AS ides").json()
    assert row["ides"] == "0044-03-15T12:00:00+00 BC"


@pytest.mark.parametrize("statement", ["", ";", "-- only a comment"])
def test_no_statement_is_a_usage_error(run_hapctl: Runner, statement: str) -> None:
    result = run_hapctl("sql", "--json", "-c", statement)
    assert (result.exit_code, result.json()["error"]["message"]) == (2, "no statement was given")
