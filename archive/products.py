"""Rows of masks and products: what may go in, what went in, what is in force, what is pending."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hapctl.archive.runs import canonical_json
from hapctl.sql import read_sql
from sqlalchemy import Connection, CursorResult, text


@dataclass(frozen=True)
class EligibleExposure:
    """An exposure that may be mosaicked now, with file, solution and mask in force.

    ``paths`` are the places where its file was seen, newest first; ``sky_cells`` the names of the tiles
    its solution touches; ``absolute`` tells whether its frame is one of Gaia's.
    """

    exposure_id: int
    rootname: str
    visit: str
    proposal_id: int | None
    instrument: str
    detector: str
    filter: str
    filter_elements: tuple[str, ...]
    target_name: str | None
    exposure_time: float
    mjd_start: float
    mjd_end: float
    file_id: int
    suffix: str
    file_sha256: str
    size_bytes: int
    solution_id: int
    wcsname: str
    frame: str
    idc_root: str | None
    absolute: bool
    transformation_sha256: str
    keywords: Mapping[str, Any]
    solution_run: int
    mask_id: int | None
    paths: tuple[str, ...]
    sky_cells: tuple[str, ...]


@dataclass(frozen=True)
class LeftOutExposure:
    """An exposure that may not be mosaicked, with the reason as a code and in words."""

    exposure_id: int
    rootname: str
    visit: str
    proposal_id: int | None
    mjd_start: float | None
    instrument: str
    detector: str
    filter: str
    code: str
    reason: str


@dataclass(frozen=True)
class MaskRow:
    """A cosmic-ray mask that exists."""

    mask_id: int
    path: str
    sha256: str
    n_flagged: int
    run_id: int


@dataclass(frozen=True)
class NewMask:
    """A mask to be recorded."""

    exposure_id: int
    file_id: int
    solution_id: int
    inputs_sha256: str
    parameters: Mapping[str, Any]
    parameters_sha256: str
    path: str
    sha256: str
    size_bytes: int
    n_flagged: int


@dataclass(frozen=True)
class StaleReason:
    """Why a product is not what would be made now, as a code and in words."""

    code: str
    words: str


@dataclass(frozen=True)
class ProductInForce:
    """The product in force at a place; ``files`` maps fits and preview to path, sha256 and size.

    One that another pipeline made has no policies.
    """

    product_id: int
    inputs_sha256: str
    parameters_sha256: str
    policy_id: int | None
    pixels_sha256: str
    wcs_policy: str | None
    request: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class NewInput:
    """An edge from a product to (exposure, file, solution, mask)."""

    exposure_id: int
    file_id: int
    solution_id: int
    mask_id: int | None
    sky: Sequence[float]


@dataclass(frozen=True)
class NewExclusion:
    """What a rule left out; without solution where the exposure may not be mosaicked at all."""

    exposure_id: int
    solution_id: int | None
    code: str
    reason: str


@dataclass(frozen=True)
class NewFile:
    """A file of a product at its final place."""

    kind: str
    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class NewProduct:
    """A product to be recorded; the names are those of the table ``product``.

    ``request`` holds the options it was asked for with; ``label`` says which part of a split layer it is.
    """

    folder: str
    name: str
    kind: str
    visit: str | None
    sky_cell_id: int | None
    instrument: str
    detector: str
    filter: str
    pixel_scale: float
    nx: int
    ny: int
    grid: Mapping[str, Any]
    s_region: str
    wcs_policy: str
    inputs_sha256: str
    parameters: Mapping[str, Any]
    parameters_sha256: str
    policy_id: int
    pixels_sha256: str
    inputs: Sequence[NewInput]
    exclusions: Sequence[NewExclusion]
    files: Sequence[NewFile]
    request: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True)
class PendingProduct:
    """A product whose run ended before its files were known to be in place.

    ``moves`` holds, for each file, ``from``, ``to``, ``backup`` and ``sha256``.
    """

    product_id: int
    name: str
    moves: tuple[Mapping[str, str], ...]
    run_id: int


def _statement(name: str) -> Any:
    return text(read_sql(f"statements/{name}.sql"))


def eligible_exposures(
    connection: Connection,
    *,
    visit: str | None = None,
    sky_cell_id: int | None = None,
    rootnames: Sequence[str] = (),
    footprint: str | None = None,
) -> list[EligibleExposure]:
    """Return the exposures of a visit, touching a tile, named, or near a field, that may be mosaicked now.

    By rootname. ``footprint`` holds HEALPix ranges of order 29 as PostgreSQL writes a multirange.
    """
    names = {
        "visit": visit,
        "sky_cell_id": sky_cell_id,
        "rootnames": list(rootnames),
        "footprint": footprint,
    }
    return _exposures(connection.execute(_statement("eligible_exposures"), names))


def _exposures(rows: CursorResult[Any]) -> list[EligibleExposure]:
    sequences = ("filter_elements", "paths", "sky_cells")
    return [
        EligibleExposure(**{**row, **{name: tuple(row[name]) for name in sequences}})
        for row in rows.mappings()
    ]


def grism_exposures(connection: Connection, visit: str) -> list[EligibleExposure]:
    """Return the grism and prism exposures of a visit that products are made of now, by rootname.

    Their solution is that of their direct images: the view ``grism_exposure`` says how it is chosen.
    """
    return _exposures(connection.execute(_statement("grism_exposures"), {"visit": visit}))


def left_out_exposures(
    connection: Connection,
    *,
    visit: str | None = None,
    sky_cell_id: int | None = None,
    rootnames: Sequence[str] = (),
    footprint: str | None = None,
) -> list[LeftOutExposure]:
    """Return the exposures of a visit, touching a tile, named, or near a field, that may not be mosaicked.

    ``footprint`` holds HEALPix ranges of order 29 as PostgreSQL writes a multirange.
    """
    names = {
        "visit": visit,
        "sky_cell_id": sky_cell_id,
        "rootnames": list(rootnames),
        "footprint": footprint,
    }
    rows = connection.execute(_statement("left_out_exposures"), names).mappings()
    return [LeftOutExposure(**row) for row in rows]


def visit_exists(connection: Connection, visit: str) -> bool:
    """Tell whether any exposure of a visit was ingested."""
    found = connection.scalar(
        text("SELECT EXISTS (SELECT FROM exposure WHERE visit = :visit)"), {"visit": visit}
    )
    return bool(found)


def find_mask(
    connection: Connection, exposure: EligibleExposure, inputs_sha256: str, parameters_sha256: str
) -> MaskRow | None:
    """Return the newest mask made of an exposure from these inputs and parameters, if any."""
    row = (
        connection.execute(
            _statement("mask_of_inputs"),
            {
                "exposure_id": exposure.exposure_id,
                "file_id": exposure.file_id,
                "solution_id": exposure.solution_id,
                "inputs_sha256": inputs_sha256,
                "parameters_sha256": parameters_sha256,
            },
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else MaskRow(**row)


def insert_mask(connection: Connection, run_id: int, mask: NewMask) -> int:
    """Record a mask; return its ``mask_id``."""
    row = {**asdict(mask), "parameters": canonical_json(mask.parameters), "run_id": run_id}
    return int(connection.execute(_statement("insert_mask"), row).scalar_one())


def put_masks_in_force(connection: Connection, run_id: int, masks: Mapping[int, int | None]) -> None:
    """Put masks (by exposure_id) in force; None: the exposure has none from now on."""
    for exposure_id, mask_id in sorted(masks.items()):
        row = {"exposure_id": exposure_id, "mask_id": mask_id, "run_id": run_id}
        connection.execute(_statement("close_mask"), row)
        if mask_id is not None:
            connection.execute(_statement("put_mask_in_force"), row)


def product_in_force(connection: Connection, folder: str, name: str) -> ProductInForce | None:
    """Return the product in force at a place, if any."""
    row = (
        connection.execute(_statement("product_in_force"), {"folder": folder, "name": name})
        .mappings()
        .one_or_none()
    )
    return None if row is None else ProductInForce(**row)


def stale_reasons(connection: Connection, product_ids: Iterable[int]) -> dict[int, list[StaleReason]]:
    """Return why each of these products is stale; products that are not stale are left out."""
    reasons: dict[int, list[StaleReason]] = {}
    for row in connection.execute(_statement("stale_reasons"), {"product_ids": list(product_ids)}):
        reasons.setdefault(int(row.product_id), []).append(StaleReason(str(row.code), str(row.reason)))
    return reasons


def why_recalled(connection: Connection, folder: str, name: str) -> StaleReason | None:
    """Return why the product at a place is recalled, where nothing has taken its place since."""
    row = connection.execute(_statement("why_recalled"), {"folder": folder, "name": name}).first()
    return None if row is None else StaleReason(row.code, row.reason)


def insert_pending_product(
    connection: Connection, run_id: int, product: NewProduct, moves: Sequence[Mapping[str, str]]
) -> int:
    """Record a product with inputs, exclusions and files, pending until its files are moved."""
    place = {"folder": product.folder, "name": product.name, "run_id": run_id}
    key = connection.execute(_statement("product_key"), place).scalar_one()
    row = {
        **{name: value for name, value in vars(product).items() if name not in _LISTS},
        "product_key_id": key,
        "grid": canonical_json(product.grid),
        "parameters": canonical_json(product.parameters),
        "request": canonical_json(product.request),
        "run_id": run_id,
    }
    product_id = int(connection.execute(_statement("insert_product"), row).scalar_one())
    for table in _LISTS:
        rows = [{**asdict(item), "product_id": product_id} for item in getattr(product, table)]
        if rows:
            connection.execute(_statement(_LISTS[table]), rows)
    connection.execute(
        _statement("insert_pending"),
        {"product_id": product_id, "moves": canonical_json(list(moves)), "run_id": run_id},
    )
    return product_id


_LISTS = {
    "inputs": "insert_product_input",
    "exclusions": "insert_product_exclusion",
    "files": "insert_product_file",
}


def put_product_in_force(connection: Connection, run_id: int, product_id: int) -> None:
    """Make a pending product the one in force at its place; the one before it is closed."""
    row = {"product_id": product_id, "run_id": run_id}
    connection.execute(_statement("close_product"), row)
    connection.execute(_statement("put_product_in_force"), row)
    drop_pending(connection, product_id)


def drop_pending(connection: Connection, product_id: int) -> None:
    """Forget that a product is pending."""
    connection.execute(
        text("DELETE FROM product_pending WHERE product_id = :product_id"), {"product_id": product_id}
    )


def pending_products(connection: Connection) -> list[PendingProduct]:
    """Return the products left pending by runs that are gone."""
    rows = connection.execute(_statement("pending_products")).mappings()
    return [PendingProduct(**{**row, "moves": tuple(row["moves"])}) for row in rows]
