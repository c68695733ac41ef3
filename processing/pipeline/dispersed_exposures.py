"""Grism and prism exposures: never fitted, they take the correction of their direct images.

The direct image is the exposure of the same visit and detector that is nearest in time. Both began with
WCSs of one kind, whose relative places are kept: the same transformation of the sky moves both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from hapctl.archive.preferences import starting_solutions
from hapctl.archive.statements import execute
from hapctl.processing.astrometry.headerlet import headerlet_name
from hapctl.processing.astrometry.plane import moved_solution
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.wcsname import parse_wcsname, wcstype_text
from hapctl.processing.pipeline.solution_store import solution_from_catalog
from numpy.typing import NDArray
from sqlalchemy import Connection

if TYPE_CHECKING:
    from hapctl.processing.pipeline.alignment_inputs import AlignmentSet

_FIGURES = ("RMS_RA", "RMS_DEC", "NMATCHES", "RELGEOM", "RELMATCH", "RELRMS_D", "RELRMS_R", "RELREFIM")


@dataclass(frozen=True)
class DispersedExposure:
    """A grism or prism exposure.

    Attributes
    ----------
    exposure_id : int
    rootname, visit, detector, suffix : str
    mjd : float
        Middle of the exposure.
    start_id : int
        The solution it begins with.
    start : WcsSolution
        The same, read from the catalog.
    """

    exposure_id: int
    rootname: str
    visit: str
    detector: str
    suffix: str
    mjd: float
    start_id: int
    start: WcsSolution


def dispersed_exposures(connection: Connection, exposure_ids: Sequence[int]) -> list[DispersedExposure]:
    """Return those of some grism exposures that have a usable solution in force and a known time."""
    rows = execute(connection, "dispersed_exposures", {"exposure_ids": list(exposure_ids)}).mappings().all()
    begin = starting_solutions(connection, [row["exposure_id"] for row in rows])
    return [
        DispersedExposure(
            **row,
            start_id=begin[row["exposure_id"]],
            start=solution_from_catalog(connection, begin[row["exposure_id"]]),
        )
        for row in rows
    ]


def direct_image(one: DispersedExposure, part: "AlignmentSet") -> int | None:
    """Number of the exposure that a grism exposure follows: same visit, detector and kind of start."""
    base = parse_wcsname(one.start.name)
    candidates = [
        (abs(part.middle_mjd(number) - one.mjd), number)
        for number, exposure in enumerate(part.exposures)
        if (exposure.visit, exposure.detector) == (one.visit, one.detector)
        and parse_wcsname(part.starts[number].name).reference == base.reference
    ]
    return min(candidates)[1] if candidates else None


def carried_solution(one: DispersedExposure, direct: WcsSolution, matrix: NDArray[np.float64]) -> WcsSolution:
    """The grism exposure's solution moved as its direct image was, named like that one's.

    Parameters
    ----------
    one : DispersedExposure
    direct : WcsSolution
        New, of the direct image.
    matrix : ndarray, shape (3, 3)
        What moved that: a transformation of directions.
    """
    moved = moved_solution(one.start, matrix)
    base, fitted = parse_wcsname(one.start.name), parse_wcsname(direct.name)
    name = replace(fitted, base=base.base, idc_root=base.idc_root, suffix="").compose()
    named = replace(moved, name=name, problem="")
    keywords = {key: value for key, value in one.start.keywords.items() if key not in _FIGURES}
    keywords |= {key: direct.keywords[key] for key in ("CRDER1", "CRDER2", "CATALOG")}
    keywords |= {"NMATCHES": 0, "FITGEOM": "N/A", "WCSTYPE": wcstype_text(name)}
    keywords |= {"HDRNAME": headerlet_name(named, one.suffix)}
    return replace(named, keywords=keywords)
