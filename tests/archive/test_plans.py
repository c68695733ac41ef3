"""What is asked often is answered by index: a large catalog is not read through."""

import pytest
from hapctl.archive.database import Catalog
from sqlalchemy import Connection, text

IN_FORCE = [
    ("exposure_mask_current", "exposure_id"),
    ("exposure_withdrawal", "exposure_id"),
    ("product_current", "product_key_id"),
    ("wcs_active", "exposure_id"),
]


def plan(connection: Connection, query: str) -> str:
    """Return the plan of a query where reading a whole table is the last resort."""
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    return "\n".join(connection.scalars(text(f"EXPLAIN {query}")))


@pytest.mark.parametrize(("table", "column"), IN_FORCE)
def test_what_is_in_force_is_found_by_index(any_catalog: Catalog, table: str, column: str) -> None:
    with any_catalog.begin() as connection:
        found = plan(connection, f"SELECT FROM {table} WHERE {column} = 1 AND upper_inf(during)")
    assert f"{table}_now" in found
    assert "Seq Scan" not in found


def test_the_solutions_of_a_known_file_are_counted_by_index(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        assert "wcs_location_file" in plan(connection, "SELECT count(*) FROM wcs_location WHERE file_id = 1")


@pytest.mark.parametrize("view", ["stale_product_reason", "stale_product", "product_lineage"])
def test_one_product_is_judged_without_reading_the_others(any_catalog: Catalog, view: str) -> None:
    with any_catalog.begin() as connection:
        found = plan(connection, f"SELECT * FROM {view} WHERE product_id = 1")
    assert "CTE Scan" not in found
    read_through = {line.split(" on ")[1].split()[0] for line in found.splitlines() if "Seq Scan on" in line}
    assert read_through <= {"policy_active"}
