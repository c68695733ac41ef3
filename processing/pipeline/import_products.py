"""Products that exist already, of the archive's pipelines, as rows of the catalog: comparable and recallable.

A product is known by its place (folder and name) and content. What it claims to be made from is kept as it is
told and linked to the exposures and solutions of the catalog where these are known. It has no policy of ours
and never goes stale by one; nothing made here takes its place.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from hapctl.archive.imported_products import (
    Claim,
    ImportedProduct,
    known_import,
    link_claims,
    put_import_in_force,
)
from hapctl.archive.runs import parameters_sha256
from hapctl.archive.sky_cells import sky_cell
from hapctl.processing.imaging.foreign_product import ClaimedInput, ForeignProduct, read_foreign_product
from hapctl.processing.imaging.product_file import file_sha256
from sqlalchemy import Connection

Outcome = Literal["new", "unchanged", "updated", "rejected"]


def import_product(connection: Connection, run_id: int, path: Path) -> tuple[Outcome, str]:
    """Record a drizzled product that another pipeline made, and put it in force at its place.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a transaction.
    run_id : int
    path : Path

    Returns
    -------
    outcome : {"new", "unchanged", "updated", "rejected"}
        ``unchanged`` too for a product that was made here: it is in the catalog already.
    words : str
        Which product it is.

    Raises
    ------
    UnusableFileError
        It is damaged, or no product that can be understood.
    """
    folder, sha256 = str(path.parent), file_sha256(path)
    known = known_import(connection, folder, path.name, sha256)
    if known is not None and known.made_here:
        return "unchanged", f"product {known.product_id}, made here"
    if known is not None and known.recalled is not None:
        return "unchanged", f"product {known.product_id} ({known.kind}) is recalled: {known.recalled}"
    if known is not None and known.same_content:
        return "unchanged", f"product {known.product_id} ({known.kind})"
    found = read_foreign_product(path)
    row = _row(found, folder, path, sha256)
    product_id = put_import_in_force(connection, run_id, row, link_claims(connection, _claims(found.inputs)))
    outcome: Outcome = "new" if known is None else "updated"
    return outcome, f"product {product_id} ({found.kind}) of {_software(found)}"


def _software(found: ForeignProduct) -> str:
    return str(found.parameters.get("PROD_VER", "")).strip() or "unnamed software"


def _claims(inputs: Sequence[ClaimedInput]) -> list[Claim]:
    return [Claim(number, **asdict(one)) for number, one in enumerate(inputs)]


def _row(found: ForeignProduct, folder: str, path: Path, sha256: str) -> ImportedProduct:
    height, width = found.grid.shape
    inputs = [[one.file_name, one.extver, one.wcsname] for one in found.inputs]
    return ImportedProduct(
        folder=folder,
        name=path.name,
        kind=found.kind,
        visit=found.visit,
        sky_cell=sky_cell(found.tile) if found.tile else None,
        instrument=found.instrument,
        detector=found.detector,
        filter=found.filter,
        pixel_scale=found.grid.scale_arcsec,
        nx=width,
        ny=height,
        grid=asdict(found.grid),
        s_region=found.s_region,
        inputs_sha256=parameters_sha256({"claimed": inputs}),
        parameters=found.parameters,
        parameters_sha256=parameters_sha256(found.parameters),
        pixels_sha256=found.pixels_sha256,
        path=str(path),
        sha256=sha256,
        size_bytes=path.stat().st_size,
    )
