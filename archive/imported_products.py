"""Rows of products that another pipeline made, and of what they claim went in."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hapctl.archive.runs import canonical_json
from hapctl.archive.sky_cells import SkyCell
from hapctl.archive.solutions import insert_tiles
from hapctl.archive.statements import execute
from sqlalchemy import Connection


@dataclass(frozen=True)
class Claim:
    """What a product says of one of its inputs; the columns of ``product_claimed_input``."""

    number: int
    file_name: str
    rootname: str
    extver: int | None
    wcsname: str
    exposure_time: float | None


@dataclass(frozen=True)
class LinkedClaim:
    """A claim with the exposure and the solution of the catalog that it means, where they are known."""

    claim: Claim
    exposure_id: int | None
    solution_id: int | None


@dataclass(frozen=True)
class ImportedProduct:
    """A product to be recorded, with its one file; the names are those of the table ``product``."""

    folder: str
    name: str
    kind: str
    visit: str | None
    sky_cell: SkyCell | None
    instrument: str
    detector: str
    filter: str
    pixel_scale: float
    nx: int
    ny: int
    grid: Mapping[str, Any]
    s_region: str
    inputs_sha256: str
    parameters: Mapping[str, Any]
    parameters_sha256: str
    pixels_sha256: str
    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class KnownImport:
    """The product in force at a place, or one of the same content there that was recalled.

    ``recalled`` says why it is recalled, ``same_content`` whether its file has the checksum asked for.
    """

    product_id: int
    kind: str
    made_here: bool
    same_content: bool
    recalled: str | None


def known_import(connection: Connection, folder: str, name: str, sha256: str) -> KnownImport | None:
    """Return what the catalog has at a place; None where nothing of use."""
    values = {"folder": folder, "name": name, "sha256": sha256}
    row = execute(connection, "known_import", values).mappings().one_or_none()
    return None if row is None else KnownImport(**row)


def link_claims(connection: Connection, claims: Sequence[Claim]) -> list[LinkedClaim]:
    """Find the exposures and solutions that claims mean.

    An exposure by its rootname (or the eight letters of it that HAP's names have, where only one begins so);
    its solution by the name, where it has one of that name only.
    """
    names = {"rootnames": [one.rootname for one in claims], "wcsnames": [one.wcsname for one in claims]}
    rows = execute(connection, "link_claims", names).all()
    return [
        LinkedClaim(claim, row.exposure_id, row.solution_id) for claim, row in zip(claims, rows, strict=True)
    ]


def put_import_in_force(
    connection: Connection, run_id: int, product: ImportedProduct, claims: Sequence[LinkedClaim]
) -> int:
    """Record an imported product and put it in force at its place; return its ``product_id``."""
    if product.sky_cell is not None:
        insert_tiles(connection, run_id, {product.sky_cell})
    place = {"folder": product.folder, "name": product.name, "run_id": run_id}
    row = {
        **vars(product),
        "product_key_id": execute(connection, "product_key", place).scalar_one(),
        "sky_cell_id": product.sky_cell.cell_id if product.sky_cell else None,
        "grid": canonical_json(product.grid),
        "parameters": canonical_json(product.parameters),
        "run_id": run_id,
    }
    del row["sky_cell"]
    product_id = int(execute(connection, "insert_imported_product", row).scalar_one())
    file = {name: row[name] for name in ("path", "sha256", "size_bytes")}
    execute(connection, "insert_product_file", {**file, "product_id": product_id, "kind": "fits"})
    rows = [
        {
            **asdict(one.claim),
            "product_id": product_id,
            "exposure_id": one.exposure_id,
            "solution_id": one.solution_id,
        }
        for one in claims
    ]
    if rows:
        execute(connection, "insert_claimed_input", rows)
    values = {"product_id": product_id, "run_id": run_id}
    execute(connection, "close_product", values)
    execute(connection, "put_product_in_force", values)
    return product_id
