"""The schema: the migrations, the views, the models and the version check agree with each other."""

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import hapctl.archive.schema as schema_module
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.errors import RefusedByCatalogError, SchemaMismatchError
from hapctl.archive.models import METADATA
from hapctl.archive.schema import (
    alembic_config,
    database_version,
    revisions,
    run_script,
    upgrade_schema,
    view_names,
)
from hapctl.archive.server import ADMIN_ROLE, EmbeddedServer
from hapctl.sql import list_sql
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from support.catalog_rows import SHA
from support.servers import cloned_database


@pytest.fixture
def empty_url(any_server: EmbeddedServer) -> Iterator[str]:
    """Give the URL of a database without any schema."""
    with cloned_database(any_server, template="template1") as url:
        yield url


@pytest.fixture
def empty_catalog(empty_url: str) -> Iterator[Catalog]:
    catalog = open_catalog(empty_url, check_schema=False)
    yield catalog
    catalog.close()


def dump(server: EmbeddedServer, url: str) -> str:
    """Return the schema as pg_dump tells it, without what differs by call."""
    program = server._binaries() / "pg_dump"
    done = subprocess.run([program, "--schema-only", url], capture_output=True, text=True, check=True)
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.MULTILINE)


def differences(catalog: Catalog) -> list[object]:
    """Return what Alembic would change to fit the models; the comments are the SQL's own."""

    def is_ours(diff: object) -> bool:
        kinds = [entry[0] for entry in diff] if isinstance(diff, list) else [diff[0]]  # type: ignore[index]
        return not set(kinds) <= {"modify_comment", "add_table_comment", "remove_table_comment"}

    with catalog.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [diff for diff in compare_metadata(context, METADATA) if is_ours(diff)]


def test_a_fresh_schema_equals_one_upgraded_step_by_step(
    any_server: EmbeddedServer, empty_catalog: Catalog, any_catalog: Catalog
) -> None:
    for revision in revisions():
        upgrade_schema(empty_catalog, revision)
    stepwise = dump(any_server, empty_catalog.url)
    assert "CREATE TABLE public.wcs_solution" in stepwise
    assert "EXCLUDE USING gist" in stepwise
    assert stepwise == dump(any_server, any_catalog.url)


def test_groups_of_the_first_schema_are_groups_of_their_visit(empty_catalog: Catalog) -> None:
    upgrade_schema(empty_catalog, "0001")
    with empty_catalog.begin() as connection:
        run_script(
            connection,
            f"""
            INSERT INTO run (command, parameters, parameters_sha256, hapctl_version, software, host, cpu,
                             operator, pid, backend_pid, backend_start)
            VALUES ('test', '{{}}', '{SHA}', '1', '{{}}', 'h', 'c', 'o', 1, 1, now());
            INSERT INTO policy (kind, name, version, content, run_id)
            VALUES ('acceptance', 'a', 1, '{{}}', 1);
            INSERT INTO visit (visit, instrument, run_id) VALUES ('j8bt09', 'ACS', 1);
            INSERT INTO alignment_group (visit, detector, kind, inputs_sha256, policy_id, run_id)
            VALUES ('j8bt09', 'WFC', 'relative', '{SHA}', 1, 1);""",
        )
    upgrade_schema(empty_catalog)
    with empty_catalog.begin() as connection:
        columns = "visit, detector, scope, scope_name, part"
        row = connection.execute(text(f"SELECT {columns} FROM alignment_group")).one()
        with pytest.raises(DBAPIError, match="append-only"), connection.begin_nested():
            run_script(connection, "UPDATE alignment_group SET part = 1")
    assert tuple(row) == ("j8bt09", "WFC", "visit", "j8bt09", 0)


def test_an_upgrade_repeated_changes_nothing(any_server: EmbeddedServer, any_catalog: Catalog) -> None:
    before = dump(any_server, any_catalog.url)
    change = upgrade_schema(any_catalog)
    assert change.before == change.after == revisions()[-1]
    assert dump(any_server, any_catalog.url) == before


def test_two_upgrades_at_once_wait_for_each_other(empty_url: str) -> None:
    def upgrade(_: int) -> bool:
        catalog = open_catalog(empty_url, check_schema=False)
        try:
            return upgrade_schema(catalog).changed
        finally:
            catalog.close()

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(upgrade, range(3))) == [False, False, True]


def test_the_models_say_what_the_sql_makes(any_catalog: Catalog) -> None:
    assert differences(any_catalog) == []


def test_the_comparison_with_the_models_sees_a_difference(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        run_script(connection, "ALTER TABLE visit ADD COLUMN extra text; DROP INDEX product_visit")
    assert len(differences(catalog)) == 2


def test_each_migration_file_has_one_revision(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    found = [script.revision for script in scripts.walk_revisions()]
    assert sorted(found) == revisions()
    assert len(list_sql("migrations")) == len(found)


def test_every_table_column_and_view_is_described(catalog: Catalog) -> None:
    query = text("""
        SELECT c.relname, a.attname
        FROM pg_class c
        LEFT JOIN pg_attribute a
            ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r'
        WHERE c.relkind IN ('r', 'v') AND c.relnamespace::regnamespace::text IN ('public', 'ivoa')
          AND c.relname <> 'alembic_version'
          AND (obj_description(c.oid, 'pg_class') IS NULL
               OR (c.relkind = 'r' AND col_description(c.oid, a.attnum) IS NULL))""")
    with catalog.begin() as connection:
        assert connection.execute(query).all() == []


def test_the_view_active_solution_has_the_promised_columns(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        columns = tuple(connection.execute(text("SELECT * FROM active_solution")).keys())
    assert columns == (
        *("rootname", "visit", "instrument", "detector", "filter", "wcsname", "mode", "catalog", "frame"),
        *("nmatches", "rms_ra_mas", "rms_dec_mas", "run_id", "since"),
    )


def test_an_empty_database_says_init(empty_url: str) -> None:
    with pytest.raises(SchemaMismatchError) as caught:
        open_catalog(empty_url)
    assert caught.value.remedy == "run 'hapctl init'"


def test_a_newer_schema_says_install(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        run_script(connection, "UPDATE alembic_version SET version_num = '9999'")
    for attempt in (lambda: open_catalog(catalog.url), lambda: upgrade_schema(catalog)):
        with pytest.raises(SchemaMismatchError, match="schema 9999, newer than") as caught:
            attempt()
        assert "install the newer hapctl" in caught.value.remedy


def test_an_older_schema_says_upgrade(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    have = revisions()
    monkeypatch.setattr(schema_module, "revisions", lambda: [*have, "9998"])
    told = f"schema {have[-1]}, this hapctl works with 9998"
    with pytest.raises(SchemaMismatchError, match=told) as caught:
        open_catalog(catalog.url)
    assert caught.value.remedy == "run 'hapctl db upgrade'"


def test_older_views_say_upgrade_and_are_made_anew(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        run_script(connection, "COMMENT ON TABLE alembic_version IS 'views of old'; DROP VIEW stale_product")
    with pytest.raises(SchemaMismatchError, match="older views"):
        open_catalog(catalog.url)
    upgrade_schema(catalog)
    open_catalog(catalog.url).close()
    with catalog.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stale_product")) == 0


def old_view(catalog: Catalog, more: str = "") -> None:
    """Leave a view with a column that its successor lacks, so that it can't be replaced."""
    with catalog.begin() as connection:
        run_script(
            connection,
            "DROP VIEW wcs_history; CREATE VIEW wcs_history AS SELECT 1 AS gone; "
            f"COMMENT ON TABLE alembic_version IS 'views of old'; {more}",
        )


def test_a_view_with_other_columns_is_replaced(any_server: EmbeddedServer, any_catalog: Catalog) -> None:
    before = dump(any_server, any_catalog.url)
    old_view(any_catalog)
    upgrade_schema(any_catalog)
    assert dump(any_server, any_catalog.url) == before


def test_a_view_of_the_users_own_is_never_dropped(catalog: Catalog) -> None:
    old_view(catalog, "CREATE VIEW mine AS SELECT * FROM wcs_history")
    with pytest.raises(RefusedByCatalogError, match="a view of your own"):
        upgrade_schema(catalog)
    with catalog.begin() as connection:
        assert connection.scalar(text("SELECT gone FROM mine")) == 1
        assert database_version(connection).views == "of old"


def test_all_views_are_known_by_name(catalog: Catalog) -> None:
    ours = "relkind = 'v' AND relowner = current_user::regrole"
    query = text(f"SELECT oid::regclass::text FROM pg_class WHERE {ours}")
    with catalog.begin() as connection:
        assert set(connection.scalars(query)) == set(view_names())


def test_without_the_right_to_make_roles_the_remedy_is_named(
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schema_module, "READER_ROLE", "hapctl_reader_of_another_name")
    change = upgrade_schema(catalog)
    assert "CREATE ROLE hapctl_reader_of_another_name LOGIN" in change.reader_remedy


def test_with_the_right_to_make_roles_the_reader_is_made(
    database_server: EmbeddedServer, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_module, "READER_ROLE", "hapctl_reader_made")
    admin = database_server.url(ADMIN_ROLE, "postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("ALTER ROLE hapctl_owner CREATEROLE")
        try:
            assert upgrade_schema(catalog).reader_remedy == ""
            query = "SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = 'hapctl_reader_made'"
            assert connection.execute(query).fetchone() == (True, False)
        finally:
            connection.execute("ALTER ROLE hapctl_owner NOCREATEROLE")
            connection.execute("DROP ROLE IF EXISTS hapctl_reader_made")
