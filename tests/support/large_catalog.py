"""A catalog with very many products, filled by the server: visits of four exposures, five products each.

Of each visit there are a product of one exposure, one of the filter, the total, and two layers of a tile of
its own: all but the first have four inputs. Nothing is stale: the rules of this software are in force. Of
files there are rows only.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from hapctl.archive.models import METADATA
from hapctl.processing.imaging.product_seed import hap_rules
from hapctl.processing.pipeline.product_policies import OWN_NAME, policy_content
from sqlalchemy import Connection, text
from support.catalog_rows import EPOCH, Rows, past

PRODUCTS = 5
FOLDER = "/archive/products"
_TABLES: Mapping[str, dict[str, Any]] = {
    "run": {},
    "policy": {"name": OWN_NAME, "content": policy_content(hap_rules())},
    "policy_active": {},
    "visit": {"proposal_id": None},
    "exposure": {"mjd_start": 53807.0, "mjd_end": 53807.01, "exposure_time": 300.0},
    "exposure_file": {},
    "exposure_file_current": {},
    "distortion_model": {},
    "wcs_solution": {},
    "wcs_chip": {
        **{"crpix1": 512.0, "crpix2": 512.0, "crval1": 10.0, "crval2": 20.0, "cd1_1": -7e-6, "cd1_2": 0.0},
        **{"cd2_1": 0.0, "cd2_2": 7e-6, "ctype1": "RA---TAN", "ctype2": "DEC--TAN"},
    },
    "wcs_active": {},
    "exposure_mask": {},
    "exposure_mask_current": {},
    "projection_cell": {"projection_cell": 0},
    "sky_cell": {"sky_cell_id": 0, "name": "skycell-p0000x01y01", "x": 1, "y": 1},
    "solution_sky_cell": {},
    "product_key": {"folder": FOLDER},
    "product": {"visit": "j8bt09"},
    "product_file": {"path": f"{FOLDER}/first.fits"},
    "product_current": {"during": past(EPOCH, EPOCH + timedelta(days=1)), "closed_run_id": 1},
}

# g counts from 1 in each statement; t is the first row of its table, which gives all other values.
_VISIT = "'v' || lpad({}::text, 5, '0')"
_EXPOSURE_VISIT = _VISIT.format("((g - 1) / 4 + 1)")
_PRODUCT_VISIT = _VISIT.format("((g - 1) / 5 + 1)")
_KIND = "((g - 1) % 5)"
_NAME = f"{_PRODUCT_VISIT} || '_' || {_KIND} || '_drz.fits'"
_TILE_NAME = """'skycell-p' || lpad((g / 441)::text, 4, '0') || 'x' || lpad((g % 21 + 1)::text, 2, '0')
    || 'y' || lpad((g % 441 / 21 + 1)::text, 2, '0')"""
_MEMBERS = """CASE WHEN (g - 1) % 5 < 3 THEN (
        SELECT jsonb_build_object('members', jsonb_agg(jsonb_build_array(n, n) ORDER BY n))
        FROM generate_series(first + 4 * ((g - 1) / 5) + 1, first + 4 * ((g - 1) / 5) + 4) n)
    ELSE CAST('{}' AS jsonb) END"""


_TILE = {"sky_cell_id": "g", "projection_cell": "g / 441", "x": "g % 21 + 1", "y": "g % 441 / 21 + 1"}


def fill_products(connection: Connection, visits: int) -> int:
    """Write visits with exposures, solutions in force, masks and products; return the number of products.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a transaction, on an empty catalog; a first row of each table is made besides, all others like it.
    visits : int
        At most 99999.
    """
    rows = Rows(connection)
    for table, values in _TABLES.items():
        rows.add(table, **values)
    for table, number, given in (*_exposures(visits), *_products(visits)):
        _like_the_first(connection, table, number, given)
    connection.execute(text(_EDGES), {"products": PRODUCTS * visits})
    return PRODUCTS * visits


_Series = tuple[str, int, dict[str, str]]


def _exposures(visits: int) -> list[_Series]:
    number, of_exposure = 4 * visits, {"exposure_id": "first + g"}
    rootname = f"{_EXPOSURE_VISIT} || 'a' || ((g - 1) % 4) || 'q'"
    of_file, of_solution = (
        {**of_exposure, "file_id": "first + g"},
        {**of_exposure, "solution_id": "first + g"},
    )
    of_mask = {**of_exposure, "mask_id": "first + g"}
    cell = {"solution_id": "first + g", "sky_cell_id": "(g - 1) / 4 + 1"}
    return [
        ("visit", visits, {"visit": _VISIT.format("g")}),
        ("exposure", number, {**of_exposure, "rootname": rootname, "visit": _EXPOSURE_VISIT}),
        ("exposure_file", number, {**of_file, "sha256": _SHA}),
        ("exposure_file_current", number, of_file),
        ("wcs_solution", number, of_solution),
        ("wcs_chip", number, {"solution_id": "first + g"}),
        ("wcs_active", number, of_solution),
        ("exposure_mask", number, {**of_file, **of_solution, **of_mask}),
        ("exposure_mask_current", number, of_mask),
        ("projection_cell", visits // 441, {"projection_cell": "g"}),
        ("sky_cell", visits, {**_TILE, "name": _TILE_NAME}),
        ("solution_sky_cell", number, cell),
    ]


def _products(visits: int) -> list[_Series]:
    number, layer = PRODUCTS * visits, "(g - 1) % 5 >= 3"
    of_key, of_product = {"product_key_id": "first + g"}, {"product_id": "first + g"}
    values = {
        "name": _NAME,
        "kind": f"(ARRAY['exposure', 'filter', 'total', 'layer', 'layer'])[{_KIND} + 1]",
        "visit": f"CASE WHEN {layer} THEN NULL ELSE {_PRODUCT_VISIT} END",
        "sky_cell_id": f"CASE WHEN {layer} THEN (g - 1) / 5 + 1 END",
        "filter": f"CASE WHEN {_KIND} = 2 THEN 'detection' ELSE 'f606w' END",
        "grid": _MEMBERS,
    }
    now = {"during": "tstzrange(clock_timestamp(), NULL)", "closed_run_id": "CAST(NULL AS bigint)"}
    return [
        ("product_key", number, {**of_key, "name": _NAME}),
        ("product", number, {**of_key, **of_product, **values}),
        ("product_file", number, {**of_product, "path": f"'{FOLDER}/' || {_NAME}"}),
        ("product_current", number, {**of_key, **of_product, **now}),
    ]


_SHA = "lpad(to_hex(g), 64, '0')"

_EDGES = """INSERT INTO product_input (product_id, exposure_id, file_id, solution_id, mask_id)
    SELECT 1000 + g, e, e, e, CASE WHEN (g - 1) % 5 = 0 THEN NULL ELSE e END
    FROM generate_series(1, :products) g
    CROSS JOIN LATERAL (
        SELECT 1001 + 4 * ((g - 1) / 5) AS first, CASE (g - 1) % 5 WHEN 0 THEN 0 ELSE 3 END AS more) v
    CROSS JOIN LATERAL generate_series(v.first, v.first + v.more) e"""


def _like_the_first(connection: Connection, table: str, number: int, given: dict[str, str]) -> None:
    """Insert rows that differ from the first of their table in what is given, as SQL of g and first."""
    columns = METADATA.tables[table].columns
    chosen = [one.name for one in columns if one.name in given or one.identity is None]
    values = ", ".join(given.get(name, f't."{name}"') for name in chosen)
    names = ", ".join(f'"{name}"' for name in chosen)
    connection.execute(
        text(
            f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} "
            f"FROM (SELECT * FROM {table} LIMIT 1) t, generate_series(1, :number) g, "
            "(VALUES (CAST(1000 AS bigint))) f (first)"
        ),
        {"number": number},
    )
