"""Every rule of the schema, tried to be broken: CHECK, UNIQUE, EXCLUDE, foreign keys, NOT NULL, triggers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.models import METADATA
from hapctl.archive.server import EmbeddedServer
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from support.catalog_rows import DEFAULTS, EPOCH, Row, Rows, in_force, past
from support.rule_cases import ALSO, CHECKS, DAY
from support.servers import cloned_database

TIMED = [table for table, values in DEFAULTS.items() if "during" in values]


@pytest.fixture(scope="module")
def database(any_server: EmbeddedServer) -> Iterator[Catalog]:
    """Give a catalog for all tests of this module: each undoes what it did."""
    with cloned_database(any_server) as url:
        catalog = open_catalog(url)
        yield catalog
        catalog.close()


@pytest.fixture
def rows(database: Catalog) -> Iterator[Rows]:
    """Give rows of every table, in a transaction that is undone."""
    with database.engine.connect() as connection:
        found = Rows(connection)
        found.add_all()
        yield found
        connection.rollback()


def refusal(rows: Rows, table: str, values: Row) -> Any:
    """Insert a row that must be refused; return what the server says of it."""
    with pytest.raises(IntegrityError) as caught, rows.connection.begin_nested():
        rows.insert(table, values)
    return caught.value.orig.diag  # type: ignore[union-attr]


def fresh(rows: Rows, table: str, **given: Any) -> Row:
    """Return the values of a valid row that differs from the one there where it must."""
    other: dict[str, Row] = {
        "visit": {"visit": "j8bt06"},
        "exposure": {"rootname": "j8bt09jdq"},
        "sky_cell": {"sky_cell_id": 1889 * 441 + 18 * 21 + 7, "name": "skycell-p1889x08y19", "x": 8},
        "projection_cell": {"projection_cell": 1890},
        "chip": {"extver": 2},
        "wcs_chip": {"extver": 2},
        "wcs_location": {"key": "b_hlet.fits"},
        "reference_source": {"source_id": "2"},
        "star_match": {"star": 2},
        "product_file": {"kind": "preview"},
        "archive_root_path": {"path": "/other"},
        "file_location": {"path": "b.fits"},
        "exposure_file_current": {"suffix": "flc"},
    }
    if table in ("product_input", "product_exclusion", "product_pending", "product_claimed_input"):
        rows.add("product")
    if table == "recall_release" or table.startswith("recalled_"):
        rows.add("recall")
    if table == "recalled_product_dropped":
        rows.add("recalled_product")
    if table == "alignment_member":
        rows.add("alignment_group")
    if table == "work_batch":
        rows.add("run")
    if table == "work_unit_end":
        rows.add("work_unit")
    if table in TIMED and "during" not in given:
        given = {
            "during": past(EPOCH - 2 * DAY, EPOCH - DAY),
            "closed_run_id": rows.last["run"]["run_id"],
            **given,
        }
    return {**rows.values(table), **other.get(table, {}), **given}


def test_every_check_refuses_what_it_forbids(rows: Rows) -> None:
    for name, table, change in CHECKS:
        told = refusal(rows, table, fresh(rows, table, **change)).constraint_name
        assert told in (name, ALSO.get(name)), (name, change)


def test_rules_that_hide_behind_another_hold_alone(rows: Rows) -> None:
    for name, table, change in CHECKS:
        if name in ALSO:
            with rows.connection.begin_nested() as nested:
                drop_other_checks(rows, table, name)
                assert refusal(rows, table, fresh(rows, table, **change)).constraint_name == name
                nested.rollback()


def drop_other_checks(rows: Rows, table: str, kept: str) -> None:
    query = text("SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = CAST(:t AS regclass)")
    for name in set(rows.connection.scalars(query, {"t": table})) - {kept}:
        rows.connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))


def test_time_ranges_are_not_empty_and_closed_by_a_run(rows: Rows) -> None:
    run_id = rows.last["run"]["run_id"]
    for table in TIMED:
        bad = {
            f"{table}_during_check": {"during": past(EPOCH, EPOCH), "closed_run_id": run_id},
            f"{table}_check": {"during": past(EPOCH - DAY, EPOCH), "closed_run_id": None},
        }
        for name, change in bad.items():
            assert refusal(rows, table, fresh(rows, table, **change)).constraint_name == name
        change = {"during": in_force(EPOCH), "closed_run_id": run_id}
        assert refusal(rows, table, fresh(rows, table, **change)).constraint_name == f"{table}_check"


def test_no_check_was_forgotten(rows: Rows) -> None:
    query = text("""SELECT conname FROM pg_constraint
                    WHERE contype = 'c' AND connamespace = 'public'::regnamespace""")
    tried = {name for name, _, _ in CHECKS} | {
        f"{table}{end}" for table in TIMED for end in ("_check", "_during_check")
    }
    assert set(rows.connection.scalars(query)) == tried


UNIQUE: dict[str, Row] = {
    "policy_kind_name_version_key": {},
    "exposure_rootname_key": {},
    "exposure_file_exposure_id_suffix_sha256_key": {},
    "distortion_model_sha256_key": {},
    "alignment_group_one": {},
    "wcs_solution_exposure_id_wcsname_transformation_sha256_key": {},
    "wcs_location_solution_id_file_id_place_key_key": {},
    "sky_cell_name_key": {},
    "product_key_folder_name_key": {},
    "product_file_product_id_kind_key": {},
    "product_file_kept_path_key": {"product_file_id": 0},
    "exposure_file_current_one": {"during": in_force(EPOCH + DAY)},
    "archive_root_path_one": {"during": in_force(EPOCH + DAY)},
    "file_location_one": {"during": in_force(EPOCH + DAY)},
    "wcs_active_now": {"during": in_force(EPOCH + DAY)},
    "work_batch_run_id_key": {},
    "work_unit_batch_id_name_key": {"number": 0},
}


def unique_rules(rows: Rows) -> list[tuple[str, str]]:
    """Return the unique indexes that a row can offend while its primary key is new."""
    query = text("""
        SELECT c.relname AS table_name, i.relname AS rule
        FROM pg_index x
        JOIN pg_class c ON c.oid = x.indrelid
        JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indisunique AND NOT x.indisprimary AND c.relnamespace = 'public'::regnamespace
          AND NOT EXISTS (SELECT FROM pg_index p
                          WHERE p.indrelid = x.indrelid AND p.indisprimary
                            AND CAST(p.indkey AS int2[]) <@ CAST(x.indkey AS int2[]))
        ORDER BY 1, 2""")
    return [tuple(row) for row in rows.connection.execute(query)]  # type: ignore[misc]


def twin(rows: Rows, table: str) -> Row:
    """Return the values of the row there, without its number."""
    model = METADATA.tables[table]
    return {name: value for name, value in rows.last[table].items() if model.columns[name].identity is None}


def test_what_is_unique_is_refused_twice(rows: Rows) -> None:
    rules = unique_rules(rows)
    assert {rule for _, rule in rules} == set(UNIQUE)
    for table, rule in rules:
        change = dict(UNIQUE[rule])
        if rule == "sky_cell_name_key":
            rows.connection.execute(text("ALTER TABLE sky_cell DROP CONSTRAINT sky_cell_check"))
            change = {"sky_cell_id": 1}
        if rule == "wcs_active_now":
            drop_exclusion(rows, table)
        if rule == "archive_root_path_one":
            change["root_id"] = rows.add("archive_root")["root_id"]
        assert refusal(rows, table, {**twin(rows, table), **change}).constraint_name == rule


def drop_exclusion(rows: Rows, table: str) -> None:
    query = text("SELECT conname FROM pg_constraint WHERE contype = 'x' AND conrelid = CAST(:t AS regclass)")
    name = rows.connection.scalar(query, {"t": table})
    rows.connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))


def test_the_same_headerlet_place_is_unique_without_a_file(rows: Rows) -> None:
    assert rows.last["wcs_location"]["file_id"] is None
    assert refusal(rows, "wcs_location", twin(rows, "wcs_location")).sqlstate == "23505"


def test_two_time_ranges_of_one_thing_do_not_overlap(rows: Rows) -> None:
    query = text("SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'x'")
    rules = rows.connection.execute(query).all()
    assert {table for table, _ in rules} == set(TIMED) - {"exposure_file_current", "file_location"}
    run_id = rows.last["run"]["run_id"]
    for table, rule in rules:
        overlap = {"during": past(EPOCH - DAY, EPOCH + DAY), "closed_run_id": run_id}
        told = refusal(rows, table, {**twin(rows, table), **overlap})
        assert (told.constraint_name, told.sqlstate) == (rule, "23P01")
        before = {"during": past(EPOCH - DAY, EPOCH), "closed_run_id": run_id}
        rows.insert(table, {**twin(rows, table), **before})


def test_policies_of_different_kinds_are_in_force_together(rows: Rows) -> None:
    for kind in ("acceptance", "ladder", "preference"):
        policy_id = rows.add("policy", kind=kind)["policy_id"]
        rows.add("policy_active", kind=kind, policy_id=policy_id)


def test_every_reference_must_exist(rows: Rows) -> None:
    nothing: dict[str, Any] = {"BIGINT": 999_999_999, "INTEGER": 999_999, "TEXT": "zzzzzz"}
    tried = set()
    for table in DEFAULTS:
        if table == "product_file_kept":  # of the last file there is a row already
            rows.add("product_file", kind="preview")
        for constraint in METADATA.tables[table].foreign_key_constraints:
            broken = constraint.elements[-1].parent
            change = fresh(rows, table)
            for element in constraint.elements:
                target = rows.last.get(element.column.table.name)
                if change.get(element.parent.name) is None and target:
                    change[element.parent.name] = target[element.column.name]
            change[broken.name] = nothing[str(broken.type)]
            change |= fitting(table, broken.name)
            told = refusal(rows, table, change)
            assert told.sqlstate == "23503", (table, broken.name)
            tried.add((table, tuple(sorted(constraint.column_keys))))
    query = text("SELECT count(*) FROM pg_constraint WHERE contype = 'f'")
    assert len(tried) == rows.connection.scalar(query)


def fitting(table: str, column: str) -> Row:
    """Return what must change too, so that only the reference is wrong."""
    return {
        ("exposure", "visit"): {"rootname": "zzzzzz001"},
        ("sky_cell", "projection_cell"): {
            **{"projection_cell": 5, "sky_cell_id": 5 * 441 + 18 * 21 + 7, "name": "skycell-p0005x08y19"}
        },
        ("product", "sky_cell_id"): {"kind": "layer", "visit": None},
        **{
            ("recall", f"{target}_id"): {"target": target, "recalled_run_id": None}
            for target in ("file", "solution", "product")
        },
        ("alignment_attempt", "solution_id"): {"outcome": "accepted"},
        ("alignment_attempt", "ladder_policy_id"): {"ladder_step": 1},
        ("wcs_location", "file_id"): {"place": "primary"},
    }.get((table, column), {})


def test_what_must_be_there_must_be_there(rows: Rows) -> None:
    for table in DEFAULTS:
        for column in METADATA.tables[table].columns:
            if not column.nullable and column.identity is None:
                told = refusal(rows, table, {**fresh(rows, table), column.name: None})
                assert (told.sqlstate, told.column_name) == ("23502", column.name), table


def test_facts_are_append_only_for_their_owner_too(rows: Rows) -> None:
    query = text("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'append_only'")
    tables = set(rows.connection.scalars(query))
    changing = {"exposure", "product_pending", "recall_pending"}
    assert tables == set(DEFAULTS) - set(TIMED) - changing
    for table in sorted(tables):
        column = next(c.name for c in METADATA.tables[table].columns if c.identity is None)
        for statement in (
            f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
        ):
            assert told_by(rows, statement) == "23001", statement


def test_an_exposure_may_learn_but_not_go(rows: Rows) -> None:
    rows.connection.execute(text("UPDATE exposure SET target_name = 'NGC 104'"))
    rows.add("exposure", rootname="j8bt09jdq")
    assert told_by(rows, "DELETE FROM exposure WHERE rootname = 'j8bt09jdq'") == "23001"


def told_by(rows: Rows, statement: str) -> str | None:
    """Return the SQLSTATE of a statement that must fail."""
    with pytest.raises(DBAPIError) as caught, rows.connection.begin_nested():
        rows.connection.execute(text(statement))
    return getattr(caught.value.orig, "sqlstate", None)


def test_what_is_in_force_may_be_closed_once_and_nothing_else(rows: Rows) -> None:
    run_id = rows.last["run"]["run_id"]
    for table in TIMED:
        key = next(iter(METADATA.tables[table].primary_key.columns)).name
        update, by = f"UPDATE {table} SET during = tstzrange", f"closed_run_id = {run_id}"
        close = f"{update}(lower(during), now()), {by}"
        for statement in (
            f"UPDATE {table} SET run_id = run_id + 1",
            f"{update}(lower(during) - interval '1 s', now()), {by}",
            f"{close}, {key} = DEFAULT",
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
        ):
            assert told_by(rows, statement) in ("23001", "428C9"), statement
        rows.connection.execute(text(close))
        assert told_by(rows, close) == "23001"
        assert (
            told_by(rows, f"UPDATE {table} SET during = tstzrange(lower(during), NULL), closed_run_id = NULL")
            == "23001"
        )


def test_a_solution_with_a_problem_is_never_in_force(rows: Rows) -> None:
    other = rows.add("exposure", rootname="j8bt09jdq")
    rows.add("wcs_solution", problem="chips carry different WCSNAMEs")
    told = refusal_of_any(rows, "wcs_active", rows.values("wcs_active", exposure_id=other["exposure_id"]))
    assert "cannot be put in force: chips carry different WCSNAMEs" in told


def test_what_was_recalled_is_not_in_force_until_the_release(rows: Rows) -> None:
    exposure = rows.add("exposure", rootname="j8bt09jdq")["exposure_id"]
    rows.add("wcs_solution")
    rows.add("product_key")
    rows.add("product")
    tables = {"wcs_active": {"exposure_id": exposure}, "product_current": {}}
    recall = rows.add("recall")
    rows.add("recalled_solution")
    rows.add("recalled_product")
    for table, given in tables.items():
        assert "it was recalled" in refusal_of_any(rows, table, rows.values(table, **given))
    rows.add("recall_release", recall_id=recall["recall_id"])
    for table, given in tables.items():
        rows.add(table, **given)


def refusal_of_any(rows: Rows, table: str, values: Row) -> str:
    with pytest.raises(DBAPIError) as caught, rows.connection.begin_nested():
        rows.insert(table, values)
    return str(caught.value.orig)


def test_a_solution_of_another_exposure_is_refused(rows: Rows) -> None:
    other = rows.add("exposure", rootname="j8bt09jdq")
    values = rows.values("wcs_active", exposure_id=other["exposure_id"])
    assert refusal(rows, "wcs_active", values).sqlstate == "23503"


def test_no_trigger_was_forgotten(rows: Rows) -> None:
    query = text("SELECT DISTINCT tgname FROM pg_trigger WHERE NOT tgisinternal")
    assert set(rows.connection.scalars(query)) == {
        *("append_only", "append_only_truncate", "closing_only", "closing_only_truncate", "consistent_only"),
        *("kept", "not_recalled"),
    }


def test_a_group_may_have_a_thousand_exposures(rows: Rows) -> None:
    """Their names do not fit into the entry of an index."""
    random = np.random.default_rng(1)
    names = " ".join(f"j{number:08d}" for number in random.integers(0, 10**8, 1000))
    rows.add("alignment_group", scope="exposures", scope_name=names, visit=None, inputs_sha256="f" * 64)
