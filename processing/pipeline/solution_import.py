"""Headerlets from anywhere into the catalog: checked against their exposure, registered, never put in force.

The same for headerlet files of a folder and for those of a service. What a headerlet must not be trusted for
(another exposure's, chips of different names, chips that do not belong together, a missing table) is said in
the ``problem`` of its row, or it is rejected with a reason; one bad headerlet stops no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.wcs_reports import SolutionLine, exposure_line, solutions_of
from hapctl.processing.astrometry.chip_consistency import consistent
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.headerlet import read_headerlet
from hapctl.processing.astrometry.reading import ChipShapes
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.wcsname import parse_wcsname
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.pipeline.solution_store import (
    NewSolution,
    record_headerlet_place,
    record_solutions,
    solution_from_catalog,
)
from sqlalchemy import Connection

LARGEST_HEADERLET = 64 * 1024 * 1024
"""Bytes; those of the archive have up to 1 MB, of four chips with tables."""

ImportStatus = Literal["new", "known", "inconsistent", "rejected"]


@dataclass(frozen=True)
class Headerlet:
    """A headerlet and where it comes from.

    Attributes
    ----------
    source : str
        Path of the file, or the question to the service; kept as the solution's place.
    content : bytes
    """

    source: str
    content: bytes


@dataclass(frozen=True)
class ImportedSolution:
    """What became of a headerlet.

    Attributes
    ----------
    source : str
    rootname : str
        The exposure it says it belongs to; empty where it can't be read.
    wcsname : str
        Empty where it can't be read.
    status : {"new", "known", "inconsistent", "rejected"}
        ``inconsistent``: registered (now or before) with a problem, so that it is never put in force;
        ``rejected``: not registered.
    reason : str
        Why it is inconsistent or rejected.
    same_distortion : bool
        Whether it rests on the distortion table of the solution in force; only such may be preferred to it.
    solution_id : int or None
        Its row; None where there is none.
    """

    source: str
    rootname: str
    wcsname: str
    status: ImportStatus
    reason: str = ""
    same_distortion: bool = False
    solution_id: int | None = None


@dataclass(frozen=True)
class _Exposure:
    """What a headerlet of an exposure is checked against."""

    rootname: str
    lines: Sequence[SolutionLine]
    models: Sequence[WcsSolution]
    idc_root: str | None

    @property
    def shapes(self) -> ChipShapes | None:
        """Chips and shapes by SCI version, as the file has them."""
        if not self.models:
            return None
        return {chip.extver: (chip.chip, chip.shape) for chip in self.models[0].chips}


def import_headerlets(
    connection: Connection,
    run_id: int | None,
    headerlets: Sequence[Headerlet],
    *,
    rootname: str | None = None,
) -> list[ImportedSolution]:
    """Check headerlets and register them as solutions of their exposures.

    Parameters
    ----------
    connection : Connection
        In a transaction, which makes all of it whole.
    run_id : int or None
        The run that registers them; None only checks (a dry run).
    headerlets : sequence of Headerlet
    rootname : str, optional
        The exposure they were asked for; a headerlet of another one is rejected. By default each says itself
        (DESTIM).

    Returns
    -------
    list of ImportedSolution
        One for each headerlet, in order.
    """
    known: dict[str, _Exposure] = {}
    return [_imported(connection, run_id, item, rootname, known) for item in headerlets]


def _imported(
    connection: Connection,
    run_id: int | None,
    item: Headerlet,
    rootname: str | None,
    known: dict[str, _Exposure],
) -> ImportedSolution:
    destination = wcsname = ""
    try:
        first = _read(item, None)
        destination, wcsname = first.rootname, first.name
        if rootname is not None and destination != rootname.lower():
            raise UnusableFileError(
                f"it belongs to {destination or 'no exposure'}, not to {rootname.lower()}"
            )
        if destination not in known:
            known[destination] = _exposure(connection, destination)
        exposure = known[destination]
        solution = _read(item, exposure.shapes)
    except (UnusableFileError, NotInCatalogError) as error:
        reason = error.message.removeprefix("headerlet: ")
        return ImportedSolution(item.source, destination, wcsname, "rejected", reason)
    (judged,) = consistent([solution], exposure.models)
    same = exposure.idc_root is not None and parse_wcsname(solution.name).idc_root == exposure.idc_root
    before = _same_row(solution, exposure)
    number, is_new = (
        (before, before is None) if run_id is None else _registered(connection, run_id, solution, item)
    )
    status: ImportStatus = "inconsistent" if judged.problem else "new" if is_new else "known"
    return ImportedSolution(
        item.source, solution.rootname, solution.name, status, judged.problem, same, number
    )


def _read(item: Headerlet, shapes: ChipShapes | None) -> WcsSolution:
    if len(item.content) > LARGEST_HEADERLET:
        raise UnusableFileError(f"it has {len(item.content)} bytes, more than {LARGEST_HEADERLET}")
    return read_headerlet(item.content, shapes)


def _exposure(connection: Connection, rootname: str) -> _Exposure:
    """Read what is known of an exposure: its solutions, the one in force first.

    Raises
    ------
    NotInCatalogError
        No exposure of that name.
    """
    line = exposure_line(connection, rootname)
    lines = sorted(solutions_of(connection, line.rootname), key=lambda row: not row.in_force)
    sound = [row for row in lines if row.problem is None]
    models = [solution_from_catalog(connection, row.solution_id) for row in _models(sound)]
    root = parse_wcsname(lines[0].wcsname).idc_root if lines and lines[0].in_force else None
    return _Exposure(line.rootname, lines, models, root)


def _models(lines: Sequence[SolutionLine]) -> list[SolutionLine]:
    """The first solution, which tells the chips, and those of distortion models alone (IDC)."""
    return [row for number, row in enumerate(lines) if not number or row.kind == "idc"]


def _same_row(solution: WcsSolution, exposure: _Exposure) -> int | None:
    """The row of a solution that is registered already."""
    sha256 = transformation_sha256(solution)
    same = [
        row for row in exposure.lines if (row.wcsname, row.transformation_sha256) == (solution.name, sha256)
    ]
    return same[0].solution_id if same else None


def _registered(
    connection: Connection, run_id: int, solution: WcsSolution, item: Headerlet
) -> tuple[int, bool]:
    (row,) = record_solutions(
        connection, run_id, solution.rootname, [NewSolution(solution, headerlet=item.content)]
    )
    record_headerlet_place(connection, run_id, row.solution_id, item.source)
    return row.solution_id, row.is_new
