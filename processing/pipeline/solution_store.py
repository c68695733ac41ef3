"""WCS solutions into the catalog and back: the only place that knows both forms.

What is stored is exact: every float, polynomial and table comes back as it went in, whatever happened to
the file it came from.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from hapctl.archive.exposures import lock_exposure
from hapctl.archive.sky_cells import cells_overlapping
from hapctl.archive.solutions import (
    Content,
    DistortionRow,
    Registered,
    SolutionPlace,
    SolutionRow,
    StoredChip,
    StoredSolution,
    TableRow,
    WcsChipRow,
    load_solution,
    model_solution_ids,
    record_solution_places,
    register_solutions,
)
from hapctl.processing.astrometry.chip_consistency import consistent
from hapctl.processing.astrometry.content_hash import distortion_sha256, table_sha256, transformation_sha256
from hapctl.processing.astrometry.footprint import (
    Ring,
    healpix_ranges,
    is_plausible,
    outline,
    s_region,
    solution_polygons,
)
from hapctl.processing.astrometry.solution import ChipWcs, LookupTable, WcsSolution
from hapctl.processing.astrometry.solution_problems import is_mapped, is_usable, repeated_chip
from hapctl.processing.astrometry.wcsname import absolute_frame_of, parse_wcsname
from numpy.typing import NDArray
from sqlalchemy import Connection


@dataclass(frozen=True)
class NewSolution:
    """A solution to record.

    Attributes
    ----------
    solution : WcsSolution
    headerlet : bytes or None
        Its bytes, if it was found or made as a headerlet.
    frame : str or None
        What its positions are good against; by default the absolute frame its name stands for, else a
        frame of its own within the visit (:func:`default_frame`).
    alignment_group_id : int or None
        The group it was fitted in.
    """

    solution: WcsSolution
    headerlet: bytes | None = None
    frame: str | None = None
    alignment_group_id: int | None = None


def record_solutions(
    connection: Connection, run_id: int, rootname: str, solutions: Sequence[NewSolution]
) -> list[Registered]:
    """Record solutions of an exposure with footprints and tiles, each once per name and transformation.

    Parameters
    ----------
    connection : Connection
        In a transaction; the exposure is locked here.
    run_id : int
        The run that records them.
    rootname : str
        The exposure.
    solutions : sequence of NewSolution

    Returns
    -------
    list of Registered
        solution_id of each, in order, and whether it is new.
    """
    exposure_id = lock_exposure(connection, rootname)
    rows, content = solution_rows(rootname, _judged(connection, exposure_id, solutions))
    return register_solutions(connection, run_id, exposure_id, rows, content)


def _judged(connection: Connection, exposure_id: int, new: Sequence[NewSolution]) -> list[NewSolution]:
    """Mark solutions whose chips don't lie beside each other as the exposure's distortion model has them."""
    if not any(len(one.solution.chips) > 1 for one in new):
        return list(new)
    known = (solution_from_catalog(connection, one) for one in model_solution_ids(connection, exposure_id))
    judged = consistent([one.solution for one in new], known)
    return [replace(one, solution=solution) for one, solution in zip(new, judged, strict=True)]


def record_headerlet_place(connection: Connection, run_id: int, solution_id: int, path: str) -> None:
    """Record that a solution lies as a headerlet file of its own at a path."""
    record_solution_places(connection, run_id, [SolutionPlace(solution_id, None, "headerlet", path)])


def default_frame(rootname: str, wcsname: str) -> str:
    """Return the frame of a solution as its name tells it.

    Absolute for Gaia; else good only against solutions of the same kind in the same visit, which share
    guide stars, a priori correction or relative fit.
    """
    absolute = absolute_frame_of(wcsname)
    if absolute:
        return absolute
    name, visit = parse_wcsname(wcsname), rootname[:6]
    if name.kind == "user":
        return f"visit {visit} {name.base}"
    if name.kind == "fit":
        return f"visit {visit} {name.mode} {name.reference}"
    return f"visit {visit} {name.reference or 'guide stars'}"


def solution_rows(rootname: str, solutions: Sequence[NewSolution]) -> tuple[list[SolutionRow], Content]:
    """Turn solutions into rows, with the distortions and tables they refer to."""
    keys = [[distortion_sha256(chip) for chip in new.solution.chips] for new in solutions]
    distinct: dict[str, ChipWcs] = {}
    for new, own in zip(solutions, keys, strict=True):
        distinct |= dict(zip(own, new.solution.chips, strict=True))
    distortions = {key: _distortion_row(key, chip) for key, chip in distinct.items()}
    content = Content(_table_rows(distinct.values()), distortions)
    return [_solution_row(rootname, new, own) for new, own in zip(solutions, keys, strict=True)], content


def _solution_row(rootname: str, new: NewSolution, distortions: Sequence[str]) -> SolutionRow:
    solution, name = new.solution, parse_wcsname(new.solution.name)
    rings = _rings_of(solution)
    drawable = bool(rings)
    return SolutionRow(
        wcsname=solution.name,
        transformation_sha256=transformation_sha256(solution, distortions),
        kind=name.kind,
        base=None if name.kind == "user" else name.base,
        idc_root=name.idc_root,
        mode=name.mode,
        catalog=name.reference,
        suffix=name.suffix,
        frame=new.frame or default_frame(rootname, solution.name),
        alignment_group_id=new.alignment_group_id,
        nmatches=_count(solution, "NMATCHES"),
        rms_ra_mas=_figure(solution, "RMS_RA"),
        rms_dec_mas=_figure(solution, "RMS_DEC"),
        fit_geometry=_fit_geometry(solution),
        keywords={key: _plain(value) for key, value in solution.keywords.items()},
        problem=solution.problem or (None if drawable else "it has no usable transformation"),
        footprint=healpix_ranges(rings),
        s_region=s_region(outline(rings)),
        headerlet=new.headerlet,
        chips=tuple(map(_chip_row, solution.chips, rings, distortions)) if drawable else (),
        tiles=tuple(cells_overlapping(rings)),
    )


def _rings_of(solution: WcsSolution) -> list[Ring]:
    """Return the outlines of the chips; none where one of them has none to be trusted."""
    usable = all(is_usable(chip) and is_mapped(chip) and min(chip.shape) > 0 for chip in solution.chips)
    if not usable or repeated_chip(solution.chips):
        return []
    with np.errstate(over="ignore", invalid="ignore"):  # coefficients that are finite may still be wild
        rings = solution_polygons(solution)
        plausible = all(map(is_plausible, solution.chips, rings))
    return rings if plausible else []


def _count(solution: WcsSolution, keyword: str) -> int | None:
    value = _figure(solution, keyword)
    return None if value is None else int(value)


def _figure(solution: WcsSolution, keyword: str) -> float | None:
    """Return a figure of the fit; HST writes -1 for a failed one, which is none."""
    value = solution.keywords.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def _fit_geometry(solution: WcsSolution) -> str | None:
    value = str(solution.keywords.get("FITGEOM", "")).strip()
    return None if value in ("", "N/A") else value


def _plain(value: str | float | int | bool) -> str | float | int | bool:
    """Return a keyword's value as JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.replace("\0", "") if isinstance(value, str) else value


def _chip_row(chip: ChipWcs, ring: Ring, distortion: str) -> WcsChipRow:
    return WcsChipRow(
        extver=chip.extver,
        chip=chip.chip,
        nx=chip.shape[1],
        ny=chip.shape[0],
        crpix1=chip.crpix[0],
        crpix2=chip.crpix[1],
        crval1=chip.crval[0],
        crval2=chip.crval[1],
        cd1_1=chip.cd[0],
        cd1_2=chip.cd[1],
        cd2_1=chip.cd[2],
        cd2_2=chip.cd[3],
        ctype1=chip.ctype[0],
        ctype2=chip.ctype[1],
        distortion_sha256=distortion,
        polygon=ring.ravel().tolist(),
    )


def _table_rows(chips: Iterable[ChipWcs]) -> dict[str, TableRow]:
    tables = {id(table): table for chip in chips for table in (*chip.npol, *chip.d2im) if table is not None}
    rows = [_table_row(table) for table in tables.values()]
    return {row.sha256: row for row in rows}


def _table_row(table: LookupTable) -> TableRow:
    return TableRow(
        sha256=table_sha256(table),
        nx=table.values.shape[1],
        ny=table.values.shape[0],
        crpix1=table.crpix[0],
        crpix2=table.crpix[1],
        crval1=table.crval[0],
        crval2=table.crval[1],
        cdelt1=table.cdelt[0],
        cdelt2=table.cdelt[1],
        nodes=table.values.astype(">f4").tobytes(),
    )


def _distortion_row(key: str, chip: ChipWcs) -> DistortionRow:
    npol_x, npol_y = (_key(table) for table in chip.npol)
    d2im_x, d2im_y = (_key(table) for table in chip.d2im)
    return DistortionRow(
        sha256=key,
        sip_order=0 if chip.sip_a is None else len(chip.sip_a) - 1,
        sip_a=_flat(chip.sip_a),
        sip_b=_flat(chip.sip_b),
        npol_x=npol_x,
        npol_y=npol_y,
        d2im_x=d2im_x,
        d2im_y=d2im_y,
        idcscale=chip.idcscale,
    )


def _key(table: LookupTable | None) -> str | None:
    return None if table is None else table_sha256(table)


def _flat(coefficients: NDArray[np.float64] | None) -> list[float]:
    return [] if coefficients is None else [float(value) for value in coefficients.ravel()]


def solution_from_catalog(connection: Connection, solution_id: int) -> WcsSolution:
    """Read a solution from the catalog alone, exact to the last bit.

    Parameters
    ----------
    connection : Connection
    solution_id : int

    Raises
    ------
    NotInCatalogError
        No solution of that number.
    """
    return _from_stored(load_solution(connection, solution_id))


def _from_stored(stored: StoredSolution) -> WcsSolution:
    tables = {key: _lookup_table(row) for key, row in stored.tables.items()}
    return WcsSolution(
        rootname=stored.rootname,
        name=stored.wcsname,
        chips=tuple(_chip(chip, tables) for chip in stored.chips),
        keywords=stored.keywords,
        problem=stored.problem,
    )


def _lookup_table(row: TableRow) -> LookupTable:
    values = np.frombuffer(row.nodes, dtype=">f4").reshape(row.ny, row.nx).astype(np.float32)
    return LookupTable(values, (row.crpix1, row.crpix2), (row.crval1, row.crval2), (row.cdelt1, row.cdelt2))


def _chip(stored: StoredChip, tables: dict[str, LookupTable]) -> ChipWcs:
    chip, distortion = stored.chip, stored.distortion
    size = distortion.sip_order + 1
    return ChipWcs(
        extver=chip.extver,
        chip=chip.chip,
        shape=(chip.ny, chip.nx),
        crpix=(chip.crpix1, chip.crpix2),
        crval=(chip.crval1, chip.crval2),
        cd=(chip.cd1_1, chip.cd1_2, chip.cd2_1, chip.cd2_2),
        ctype=(chip.ctype1, chip.ctype2),
        sip_a=np.array(distortion.sip_a).reshape(size, size) if distortion.sip_a else None,
        sip_b=np.array(distortion.sip_b).reshape(size, size) if distortion.sip_b else None,
        npol=(_table_of(distortion.npol_x, tables), _table_of(distortion.npol_y, tables)),
        d2im=(_table_of(distortion.d2im_x, tables), _table_of(distortion.d2im_y, tables)),
        idcscale=distortion.idcscale,
    )


def _table_of(key: str | None, tables: dict[str, LookupTable]) -> LookupTable | None:
    return None if key is None else tables[key]
