"""Rows for tests: each table has a valid row by default, references point to the last row made."""

import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from hapctl.archive.models import METADATA
from sqlalchemy import Connection, Table, insert, text
from sqlalchemy.dialects.postgresql import Range

SHA = "0123456789abcdef" * 4
EPOCH = datetime(2006, 3, 13, 12, tzinfo=UTC)
Row = dict[str, Any]
_numbers = itertools.count(1)


def sha() -> str:
    """Return a checksum nobody has had."""
    return f"{next(_numbers):064x}"


def in_force(since: datetime | None = None) -> "Range[datetime]":
    """Return an open-ended time range."""
    return Range(since or EPOCH, None)


def past(since: datetime, until: datetime) -> "Range[datetime]":
    """Return a closed time range."""
    return Range(since, until)


_FILE: Row = {"sha256": sha, "size_bytes": 1000}
_CHIP: Row = {"extver": 1, "chip": 1, "nx": 1024, "ny": 1024}
_TABLE: Row = {f"{name}{axis}": 1.0 for name in ("crpix", "crval", "cdelt") for axis in (1, 2)}
DEFAULTS: Mapping[str, Row] = {
    "run": {
        **{
            "command": "test",
            "parameters": {},
            "parameters_sha256": SHA,
            "hapctl_version": "0",
            "software": {},
        },
        **{"host": "h", "cpu": "c", "operator": "o", "pid": 1, "backend_pid": 1, "backend_start": EPOCH},
    },
    "run_end": {"outcome": "done", "exit_code": 0, "peak_memory_bytes": 1},
    "policy": {"kind": "products", "name": "default", "version": lambda: next(_numbers), "content": {}},
    "policy_active": {"kind": "products", "during": in_force},
    "proposal": {"proposal_id": lambda: next(_numbers)},
    "visit": {"visit": "j8bt09", "instrument": "ACS"},
    "exposure": {
        **{"rootname": "j8bt09jcq", "instrument": "ACS", "detector": "HRC", "filter": "f606w"},
        **{"updated_run_id": lambda: None, "t_mid": EPOCH},
    },
    "exposure_withdrawal": {"reason": "bad", "during": in_force},
    "exposure_file": {**_FILE, "suffix": "flt", "primary_header": {}},
    "exposure_file_current": {"suffix": "flt", "during": in_force},
    "archive_root": {},
    "archive_root_path": {"path": "/data", "during": in_force},
    "file_location": {"path": "a.fits", "size_bytes": 1000, "mtime_ns": 0, "during": in_force},
    "chip": _CHIP,
    "lookup_table": {**_TABLE, "sha256": sha, "nx": 1, "ny": 1, "nodes": bytes(4)},
    "distortion_model": {"sha256": sha, "sip_order": 0, "sip_a": [], "sip_b": []},
    "alignment_group": {
        **{"scope": "visit", "scope_name": "j8bt09", "detector": "HRC", "kind": "absolute"},
        **{"catalog": "GAIADR3", "inputs_sha256": sha},
    },
    "wcs_solution": {
        **{"wcsname": "IDC_abc", "base": "IDC_abc", "idc_root": "abc", "kind": "idc", "frame": "idc:abc"},
        **{"transformation_sha256": sha, "footprint": [Range(0, 16)], "s_region": "POLYGON ICRS 0 0 1 0 1 1"},
    },
    "alignment_member": {
        **{"guide_star_set": 0, "prior": {}, "centre": [0.0, 0.0], "correction": [0.0] * 6},
        **{"covariance": [0.0] * 36, "predicted_error_mas": 1.0, "common_floor_mas": 0.3},
    },
    "wcs_chip": {
        **_CHIP,
        **{f"{name}{axis}": 1.0 for name in ("crpix", "crval", "cd1_", "cd2_") for axis in (1, 2)},
        **{"ctype1": "RA---TAN-SIP", "ctype2": "DEC--TAN-SIP", "polygon": [0.0, 0.0, 1.0, 0.0, 1.0, 1.0]},
    },
    "wcs_location": {"place": "headerlet", "key": "a_hlet.fits"},
    "wcs_active": {"during": in_force, "origin": "ingest", "reason": "first"},
    "projection_cell": {"projection_cell": 1889, "ra": 10.0, "dec": 20.0},
    "sky_cell": {"sky_cell_id": 1889 * 441 + 18 * 21 + 6, "name": "skycell-p1889x07y19", "x": 7, "y": 19},
    "solution_sky_cell": {"fraction": 0.5},
    "reference_query": {
        **{"release": "gaiadr3", "source": "tap", "service": "https://tap", "question": "SELECT 1"},
        **{"region": "CIRCLE 0 0 1", "coverage": [Range(0, 16)], "n_rows": 0, "answer_sha256": sha},
    },
    "reference_source": {"source_id": "1", "healpix": 3, "ra": 10.0, "dec": 20.0, "ref_epoch": 2016.0},
    "alignment_attempt": {
        **{"method": "absolute", "catalog": "GAIADR3", "geometry": "rscale", "outcome": "refused"},
        **{"code": "few_stars", "reason": "3 stars", "n_detected": 5, "n_reference": 4, "nmatches": 3},
        "from_solution_id": lambda: None,
    },
    "attempt_reference_query": {},
    "star_match": {
        **{"star": 1, "extver": 1, "used": True, "error_mas": 1.0, "weight": 1.0},
        **dict.fromkeys(("x", "y", "ra", "dec", "reference_ra", "reference_dec"), 1.0),
        **{"residual_ra_mas": 1.0, "residual_dec_mas": 1.0},
    },
    "exposure_mask": {
        **{**_FILE, "path": "m.fits.gz", "n_flagged": 0, "inputs_sha256": sha},
        **{"parameters": {}, "parameters_sha256": SHA},
    },
    "exposure_mask_current": {"during": in_force},
    "product_key": {"folder": "/products", "name": lambda: f"p{next(_numbers)}.fits"},
    "product": {
        **{"kind": "total", "name": "p.fits", "instrument": "ACS", "detector": "HRC", "filter": "total"},
        **{
            "pixel_scale": 0.025,
            "nx": 10,
            "ny": 10,
            "grid": {},
            "s_region": "POLYGON",
            "wcs_policy": "strict",
        },
        **{"inputs_sha256": sha, "parameters": {}, "parameters_sha256": SHA, "pixels_sha256": sha},
    },
    "product_input": {},
    "product_claimed_input": {"number": 0, "file_name": "j8bt09jcq_flt.fits"},
    "product_exclusion": {"code": "no_frame", "reason": "no absolute frame"},
    "product_file": {**_FILE, "kind": "fits", "path": "/products/p.fits"},
    "product_file_check": {"state": "ok"},
    "product_file_kept": {"path": lambda: f"/products/replaced/p_{next(_numbers)}.fits"},
    "product_policy_same": {},
    "product_pending": {"moves": []},
    "product_current": {"during": in_force},
    "file_change": {
        **{"path": "/data/a.fits", "description": "apply", "undo": b"x"},
        **{"before_sha256": sha, "after_sha256": sha},
    },
    "file_change_undone": {"outcome": "restored"},
    "recall": {"target": "run", "reason": "bad"},
    "recall_release": {"reason": "a mistake"},  # so that what the rows below name may be in force
    "recalled_file": {},
    "recalled_query": {},
    "recalled_solution": {},
    "recalled_mask": {"was_current": True},
    "recalled_product": {"was_current": True},
    "recalled_product_dropped": {},
    "recall_pending": {"moves": []},
    "work_batch": {"command": "mosaic", "workers": 1},
    "work_unit": {
        **{"number": lambda: next(_numbers), "name": lambda: f"mosaic visit {next(_numbers)}"},
        **{"action": "mosaic", "target": {"visit": "j8bt09"}},
    },
    "work_unit_start": {"host": "h", "pid": 1, "backend_pid": 1, "backend_start": EPOCH},
    "work_unit_end": {"status": "done", "exit_code": 0, "seconds": 1.0, "peak_memory_bytes": 1},
}
# Optional references that a valid row of that kind has all the same.
_FILLED = {
    *(("product", "visit"), ("product", "policy_id"), ("exposure", "proposal_id")),
    ("visit", "proposal_id"),
    *(("alignment_group", "visit"), ("recall", "recalled_run_id")),
}


class Rows:
    """Writes rows into a catalog; what is not given is valid, references are to the last row made."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.last: dict[str, Row] = {}

    def values(self, table: str, **given: Any) -> Row:
        """Return the values of a valid row."""
        values = {name: self._value(value) for name, value in DEFAULTS[table].items()}
        values |= self._references(METADATA.tables[table], values | given)
        return values | given

    def add(self, table: str, **given: Any) -> Row:
        """Insert a row and return it, with its number."""
        return self.insert(table, self.values(table, **given))

    def insert(self, table: str, values: Row) -> Row:
        """Insert exactly these values and return the row."""
        model = METADATA.tables[table]
        row = self.connection.execute(insert(model).returning(*model.columns), values).mappings().one()
        self.last[table] = dict(row)
        return self.last[table]

    def add_all(self) -> None:
        """Insert one row of each table."""
        for table in DEFAULTS:
            self.add(table)

    def now(self) -> datetime:
        """Return the server's clock."""
        return self.connection.execute(text("SELECT clock_timestamp()")).scalar_one()

    @staticmethod
    def _value(value: Any) -> Any:
        return value() if isinstance(value, Callable) else value  # type: ignore[arg-type]

    def _references(self, table: Table, values: Row) -> Row:
        found: Row = {}
        for constraint in table.foreign_key_constraints:
            for element in constraint.elements:
                column, target = element.parent, element.column
                wanted = not column.nullable or (table.name, column.name) in _FILLED
                if wanted and values.get(column.name) is None and target.table.name in self.last:
                    found[column.name] = self.last[target.table.name][target.name]
        return found
