"""Products and masks as they were recorded: inputs, solutions, masks and parameters of then, not of now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hapctl.archive.errors import CatalogUsageError, NotInCatalogError
from hapctl.archive.products import EligibleExposure, NewExclusion, NewFile
from hapctl.archive.statements import execute
from sqlalchemy import Connection

_SEQUENCES = ("filter_elements", "paths", "sky_cells")


@dataclass(frozen=True)
class RecordedProduct:
    """A product, in force or of the past; the names are those of the table ``product``.

    ``exposures`` are its inputs with the file, solution and mask that went in, ``members`` the exposures that
    defined the grid of a visit.
    """

    product_id: int
    kind: str
    name: str
    folder: str
    visit: str | None
    sky_cell: str | None
    sky_cell_id: int | None
    instrument: str
    detector: str
    filter: str
    pixel_scale: float
    nx: int
    ny: int
    grid: Mapping[str, Any]
    wcs_policy: str | None
    inputs_sha256: str
    parameters: Mapping[str, Any]
    parameters_sha256: str
    policy_id: int | None
    pixels_sha256: str
    origin: str
    request: Mapping[str, Any]
    label: str
    run_id: int
    moment: datetime
    hapctl_version: str
    in_force: bool
    exposures: tuple[EligibleExposure, ...]
    members: tuple[EligibleExposure, ...]
    exclusions: tuple[NewExclusion, ...]
    files: tuple[NewFile, ...]


@dataclass(frozen=True)
class RecordedMask:
    """A cosmic-ray mask with what it was made from; ``moment`` is the start of its run."""

    mask_id: int
    exposure_id: int
    rootname: str
    file_id: int
    solution_id: int
    inputs_sha256: str
    parameters: Mapping[str, Any]
    parameters_sha256: str
    path: str
    sha256: str
    n_flagged: int
    run_id: int
    moment: datetime


def product_number(connection: Connection, name: str) -> int:
    """Return the ``product_id`` that a number, a file name or a path stands for.

    A name stands for the product in force; where none is, the numbers of those of the past are named.

    Raises
    ------
    NotInCatalogError
        No product has that number or name, or only ones of the past have the name.
    CatalogUsageError
        Several folders have one of that name in force; the message names the paths.
    """
    if name.isdecimal():
        return int(name)
    rows = execute(connection, "products_named", {"name": name}).all()
    current = [row for row in rows if row.in_force]
    if len(current) == 1:
        return int(current[0].product_id)
    if current:
        paths = ", ".join(row.path for row in current)
        raise CatalogUsageError(f"{len(current)} products are called {name}: {paths}", "give the path")
    if rows:
        numbers = ", ".join(str(row.product_id) for row in rows)
        raise NotInCatalogError(f"no product {name} is in force now", f"there were {numbers}: give a number")
    raise NotInCatalogError(f"no product {name} in the catalog", "see 'hapctl product list'")


def recorded_product(connection: Connection, product_id: int) -> RecordedProduct:
    """Read a product with all that was recorded of how it was made.

    Raises
    ------
    NotInCatalogError
        No product of that number.
    """
    row = execute(connection, "recorded_product", {"product_id": product_id}).mappings().one_or_none()
    if row is None:
        raise NotInCatalogError(f"no product {product_id} in the catalog", "see 'hapctl product list'")
    return RecordedProduct(
        **{name: value for name, value in row.items() if name not in _PARTS},
        exposures=recorded_exposures(connection, row["inputs"], row["moment"]),
        members=recorded_exposures(connection, row["members"], row["moment"]),
        exclusions=tuple(NewExclusion(*one) for one in row["exclusions"]),
        files=tuple(NewFile(**one) for one in row["files"]),
    )


_PARTS = ("inputs", "members", "exclusions", "files")


def recorded_exposures(
    connection: Connection, keys: Iterable[Sequence[int | None]], moment: datetime
) -> tuple[EligibleExposure, ...]:
    """Return exposures with a given file, solution and mask, by rootname.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    keys : iterable of (exposure_id, file_id, solution_id, mask_id)
    moment : datetime
        When the solutions were used: their frames are those of then.
    """
    names = ("exposure_ids", "file_ids", "solution_ids", "mask_ids")
    columns = dict(zip(names, map(list, zip(*keys, strict=True)), strict=False))
    if not columns:
        return ()
    rows = execute(connection, "recorded_exposures", {**columns, "moment": moment}).mappings()
    return tuple(
        EligibleExposure(**{**row, **{name: tuple(row[name]) for name in _SEQUENCES}}) for row in rows
    )


def recorded_masks(connection: Connection, mask_ids: Iterable[int]) -> list[RecordedMask]:
    """Return masks by number, in order of their exposures."""
    rows = execute(connection, "recorded_masks", {"mask_ids": list(mask_ids)}).mappings()
    return [RecordedMask(**row) for row in rows]


def mask_companions(connection: Connection, mask: RecordedMask) -> tuple[EligibleExposure, ...]:
    """Return the exposures that were compared with each other for a mask, its own among them."""
    rows = execute(connection, "mask_companions", {"mask_id": mask.mask_id}).all()
    keys = [(row.exposure_id, row.file_id, row.solution_id, row.mask_id) for row in rows]
    return recorded_exposures(connection, keys, mask.moment)
