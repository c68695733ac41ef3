"""WCS solutions as rows: registered once per content, found in places, put in force and read back.

The archive knows no pixels: transformations come as numbers, outlines as polygons, tiles as names; the
pipeline (``solution_store``) turns WcsSolution into these rows and back.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

from hapctl.archive.errors import NotInCatalogError, RefusedByCatalogError
from hapctl.archive.sky_cells import SkyCell
from hapctl.archive.statements import execute
from sqlalchemy import Connection

_LIST = "see 'hapctl wcs list ROOTNAME'"


@dataclass(frozen=True)
class TableRow:
    """A lookup table; ``nodes`` are rows of big-endian float32."""

    sha256: str
    nx: int
    ny: int
    crpix1: float
    crpix2: float
    crval1: float
    crval2: float
    cdelt1: float
    cdelt2: float
    nodes: bytes


@dataclass(frozen=True)
class DistortionRow:
    """The distortion of a chip; polynomials row by row, tables by their SHA-256."""

    sha256: str
    sip_order: int
    sip_a: list[float]
    sip_b: list[float]
    npol_x: str | None
    npol_y: str | None
    d2im_x: str | None
    d2im_y: str | None
    idcscale: float | None


@dataclass(frozen=True)
class WcsChipRow:
    """The transformation of one chip, with the SHA-256 of its distortion and its outline."""

    extver: int
    chip: int
    nx: int
    ny: int
    crpix1: float
    crpix2: float
    crval1: float
    crval2: float
    cd1_1: float
    cd1_2: float
    cd2_1: float
    cd2_2: float
    ctype1: str
    ctype2: str
    distortion_sha256: str
    polygon: list[float]


@dataclass(frozen=True)
class SolutionRow:
    """A solution with its chips; columns of ``wcs_solution`` of the same names.

    ``footprint`` holds half-open HEALPix ranges of order 29, ``tiles`` the sky cells with the part of the
    footprint's area in each.
    """

    wcsname: str
    transformation_sha256: str
    kind: str
    base: str | None
    idc_root: str | None
    mode: str | None
    catalog: str | None
    suffix: str
    frame: str
    alignment_group_id: int | None
    nmatches: int | None
    rms_ra_mas: float | None
    rms_dec_mas: float | None
    fit_geometry: str | None
    keywords: Mapping[str, Any]
    problem: str | None
    footprint: list[tuple[int, int]]
    s_region: str
    headerlet: bytes | None
    chips: tuple[WcsChipRow, ...]
    tiles: tuple[tuple[SkyCell, float], ...]


@dataclass(frozen=True)
class Content:
    """Lookup tables and distortions that solutions refer to, by SHA-256."""

    tables: Mapping[str, TableRow]
    distortions: Mapping[str, DistortionRow]


@dataclass(frozen=True)
class Registered:
    """A solution in the catalog, and whether it was new."""

    solution_id: int
    is_new: bool


@dataclass(frozen=True)
class SolutionPlace:
    """Where a solution stands: primary, alternate or hdrlet of a file, or a headerlet of its own."""

    solution_id: int
    file_id: int | None
    place: str
    key: str


@dataclass(frozen=True)
class StoredChip:
    """A chip of a stored solution with its distortion."""

    chip: WcsChipRow
    distortion: DistortionRow


@dataclass(frozen=True)
class StoredSolution:
    """A solution read back: what WcsSolution needs, and its headerlet if it has one."""

    solution_id: int
    exposure_id: int
    rootname: str
    wcsname: str
    frame: str
    keywords: dict[str, Any]
    problem: str
    headerlet: bytes | None
    chips: tuple[StoredChip, ...]
    tables: Mapping[str, TableRow]


def register_solutions(
    connection: Connection, run_id: int, exposure_id: int, rows: Sequence[SolutionRow], content: Content
) -> list[Registered]:
    """Record solutions of an exposure, each once per name and transformation.

    Parameters
    ----------
    connection : Connection
        In a transaction that holds the exposure's lock (``lock_exposure``).
    run_id, exposure_id : int
        The run that records them, and the exposure.
    rows : sequence of SolutionRow
        In any order; the same solution may come twice.
    content : Content
        Every distortion and table the rows refer to.

    Returns
    -------
    list of Registered
        One for each row, in order.
    """
    before = _known(connection, exposure_id)
    new = _merged([row for row in rows if (row.wcsname, row.transformation_sha256) not in before])
    if new:
        _insert_content(connection, run_id, new, content)
        insert_tiles(connection, run_id, {cell for row in new for cell, _ in row.tiles})
        names = {"run_id": run_id, "exposure_id": exposure_id}
        execute(connection, "insert_solution", [{**_columns(row), **names} for row in new])
    known = _known(connection, exposure_id) if new else before
    ids = [known[row.wcsname, row.transformation_sha256] for row in new]
    _insert_parts(connection, ids, new)
    return [
        Registered(known[key], key not in before)
        for key in ((row.wcsname, row.transformation_sha256) for row in rows)
    ]


def _known(connection: Connection, exposure_id: int) -> dict[tuple[str, str], int]:
    rows = execute(connection, "known_solutions", {"exposure_id": exposure_id})
    return {(row.wcsname, row.transformation_sha256): row.solution_id for row in rows}


def _merged(rows: Sequence[SolutionRow]) -> list[SolutionRow]:
    """Drop repetitions; of equal solutions the one with headerlet bytes is kept."""
    kept: dict[tuple[str, str], SolutionRow] = {}
    for row in rows:
        key = (row.wcsname, row.transformation_sha256)
        if key not in kept or (kept[key].headerlet is None and row.headerlet is not None):
            kept[key] = row
    return list(kept.values())


def _columns(row: SolutionRow) -> dict[str, Any]:
    columns = {field.name: getattr(row, field.name) for field in fields(row)}
    del columns["chips"], columns["tiles"]
    ranges = ",".join(f"[{low},{high})" for low, high in row.footprint)
    columns["footprint"] = "{" + ranges + "}"
    columns["keywords"] = json.dumps(dict(row.keywords), default=str)
    columns["headerlet_sha256"] = None if row.headerlet is None else sha256(row.headerlet).hexdigest()
    return columns


def _insert_content(
    connection: Connection, run_id: int, rows: Sequence[SolutionRow], content: Content
) -> None:
    """Insert what is missing in order of content, so that two ingests never wait for each other in a ring."""
    used = sorted({chip.distortion_sha256 for row in rows for chip in row.chips})
    missing = _missing(connection, "missing_distortions", used)
    distortions = [content.distortions[key] for key in missing]
    tables = {key for row in distortions for key in (row.npol_x, row.npol_y, row.d2im_x, row.d2im_y) if key}
    for key in _missing(connection, "missing_tables", sorted(tables)):
        execute(connection, "insert_lookup_table", {**vars(content.tables[key]), "run_id": run_id})
    if distortions:
        execute(connection, "insert_distortion", [{**vars(row), "run_id": run_id} for row in distortions])


def _missing(connection: Connection, statement: str, keys: Sequence[str]) -> list[str]:
    return list(execute(connection, statement, {"keys": list(keys)}).scalars()) if keys else []


def insert_tiles(connection: Connection, run_id: int, cells: set[SkyCell]) -> None:
    """Make the rows of tiles that are not there yet."""
    known = set(execute(connection, "known_tiles", {"ids": [cell.cell_id for cell in cells]}).scalars())
    missing = sorted((cell for cell in cells if cell.cell_id not in known), key=lambda cell: cell.cell_id)
    if not missing:
        return
    planes = {cell.projection_cell.number: cell.projection_cell for cell in missing}
    names = ("projection_cell", "ra", "dec")
    rows = [dict(zip(names, (plane.number, plane.ra, plane.dec), strict=True)) for plane in planes.values()]
    execute(connection, "insert_projection_cell", rows)
    columns = ("sky_cell_id", "name", "projection_cell", "x", "y")
    values = [(cell.cell_id, cell.name, cell.projection_cell.number, cell.x, cell.y) for cell in missing]
    execute(connection, "insert_sky_cell", [dict(zip(columns, value, strict=True)) for value in values])


def _insert_parts(connection: Connection, ids: Sequence[int], rows: Sequence[SolutionRow]) -> None:
    pairs = list(zip(ids, rows, strict=True))
    chips = [_chip_columns(number, chip) for number, row in pairs for chip in row.chips]
    tiles = [
        {"solution_id": number, "sky_cell_id": cell.cell_id, "fraction": fraction}
        for number, row in pairs
        for cell, fraction in row.tiles
    ]
    if chips:
        execute(connection, "insert_wcs_chip", chips)
    if tiles:
        execute(connection, "insert_solution_sky_cell", tiles)


def _chip_columns(solution_id: int, chip: WcsChipRow) -> dict[str, Any]:
    # As a literal: the driver takes ten times longer over a list of floats.
    polygon = "{" + ",".join(map(repr, chip.polygon)) + "}"
    return {**vars(chip), "solution_id": solution_id, "polygon": polygon}


def record_solution_places(connection: Connection, run_id: int, places: Sequence[SolutionPlace]) -> None:
    """Record where solutions were found; a place that is known is left alone."""
    if places:
        execute(connection, "insert_wcs_location", [{**vars(place), "run_id": run_id} for place in places])


def activate(
    connection: Connection, run_id: int, chosen: Mapping[int, int], reason: str, origin: str = "align"
) -> list[int]:
    """Put solutions in force, all in this transaction; what was in force before ends now.

    A member of an alignment group that is in force without the others has a frame of its own, until they
    are in force, too: the last of them gives all the frame of the group.

    Parameters
    ----------
    connection : Connection
        In a transaction; the exposures are locked here, in order of their ids.
    run_id : int
        The run that does it.
    chosen : mapping of int to int
        exposure_id -> solution_id.
    reason : str
        Why, in words.
    origin : str
        ingest, align or manual.

    Returns
    -------
    list of int
        The exposures whose solution changed; one that is in force already stays as it is.

    Raises
    ------
    NotInCatalogError
        A solution is not one of that exposure.
    RefusedByCatalogError
        A solution must never be put in force; nothing was changed by this statement.
    """
    alone = execute(connection, "members_alone", _lists(chosen)).all()
    wanted = {**{row.exposure_id: row.solution_id for row in alone}, **chosen}
    execute(connection, "lock_exposures", {"exposure_ids": sorted(wanted)})
    rows = execute(connection, "solutions_to_change", _lists(wanted)).all()
    for row in rows:
        _check_eligible(row)
    changed = [row for row in rows if (row.active_id, row.active_frame) != (row.solution_id, row.frame)]
    for row in changed:
        own = row.exposure_id in chosen
        words = (origin, reason) if own else (row.active_origin, "all of its group are in force now")
        _put_in_force(connection, run_id, row, *words)
    return [row.exposure_id for row in changed if row.exposure_id in chosen]


def _lists(chosen: Mapping[int, int]) -> dict[str, list[int]]:
    ids = sorted(chosen)
    return {"exposure_ids": ids, "solution_ids": [chosen[key] for key in ids]}


def _put_in_force(connection: Connection, run_id: int, row: Any, origin: str, reason: str) -> None:
    values = {"exposure_id": row.exposure_id, "solution_id": row.solution_id, "run_id": run_id}
    if row.active_id is not None:
        execute(connection, "close_active", values)
    words = {"origin": origin, "reason": reason, "frame": row.frame}
    execute(connection, "put_solution_in_force", {**values, **words})


def _check_eligible(row: Any) -> None:
    if row.wcsname is None:
        raise NotInCatalogError(f"solution {row.solution_id} is not one of {row.rootname}", _LIST)
    if row.problem is not None:
        raise RefusedByCatalogError(
            f"{row.wcsname} of {row.rootname} must not be put in force: {row.problem}",
            "choose another solution",
        )


def model_solution_ids(connection: Connection, exposure_id: int) -> list[int]:
    """Return the solutions of an exposure that its distortion models alone made (IDC), oldest first."""
    return list(execute(connection, "model_solutions", {"exposure_id": exposure_id}).scalars())


def load_solution(connection: Connection, solution_id: int) -> StoredSolution:
    """Read a solution back, complete.

    Raises
    ------
    NotInCatalogError
        No solution of that number.
    """
    row = execute(connection, "load_solution", {"solution_id": solution_id}).one_or_none()
    if row is None:
        raise NotInCatalogError(
            f"no WCS solution {solution_id} in the catalog", "see 'hapctl wcs list ROOTNAME'"
        )
    chips = tuple(
        _stored_chip(chip) for chip in execute(connection, "load_wcs_chips", {"solution_id": solution_id})
    )
    keys = {key for chip in chips for key in _table_keys(chip.distortion)}
    tables = execute(connection, "load_tables", {"keys": sorted(keys)}).all()
    return StoredSolution(
        solution_id=solution_id,
        exposure_id=row.exposure_id,
        rootname=row.rootname,
        wcsname=row.wcsname,
        frame=row.frame,
        keywords=row.keywords,
        problem=row.problem or "",
        headerlet=None if row.headerlet is None else bytes(row.headerlet),
        chips=chips,
        tables={table.sha256: _stored_table(table) for table in tables},
    )


def _table_keys(row: DistortionRow) -> list[str]:
    return [key for key in (row.npol_x, row.npol_y, row.d2im_x, row.d2im_y) if key is not None]


def _stored_chip(row: Any) -> StoredChip:
    columns = row._mapping
    chip = {field.name: columns[field.name] for field in fields(WcsChipRow)}
    names = [field.name for field in fields(DistortionRow) if field.name != "sha256"]
    distortion = {name: columns[name] for name in names}
    return StoredChip(WcsChipRow(**chip), DistortionRow(sha256=columns["distortion_sha256"], **distortion))


def _stored_table(row: Any) -> TableRow:
    columns = {field.name: row._mapping[field.name] for field in fields(TableRow)}
    return TableRow(**{**columns, "nodes": bytes(columns["nodes"])})
