"""Before and after an alignment from the catalog: the same stars in the exposures, as frames that blink."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from hapctl.archive.alignment_reports import ReportedAttempt
from hapctl.archive.database import Catalog
from hapctl.archive.products import eligible_exposures
from hapctl.processing.astrometry.blink_plots import Cutout, blink_bytes, cutout_frame
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.pipeline.alignment_report_data import AlignmentReport
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.tweak_blink import LEAST_HALF, MOST_HALF, STARS, cutout_row
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST_EXPOSURES = 6


def blink(catalog: Catalog, report: AlignmentReport, origin: LookupOrigin = "hst") -> bytes | str:
    """An animated PNG of up to six stars by the old and the new WCS, or in words why there is none.

    Parameters
    ----------
    catalog : Catalog
        Tells where the files are.
    report : AlignmentReport
    origin : {"hst", "fits"}
    """
    attempts = [one for one in report.accepted if (report.stars_of(one).weight > 0).any()][:MOST_EXPOSURES]
    if not attempts:
        return "nothing was aligned by stars of its own"
    places = _places(report, attempts)
    if not len(places):
        return "the rows do not number the stars"
    rootnames = [attempt.rootname for attempt in attempts]
    with catalog.begin() as connection:
        exposures = {one.rootname: one for one in eligible_exposures(connection, rootnames=rootnames)}
    missing = [rootname for rootname in rootnames if rootname not in exposures]
    if missing:
        return f"{', '.join(missing)} may not be used any more"
    try:
        with OpenExposures(catalog, origin) as opened:
            paths = {name: opened.image(one).path for name, one in exposures.items()}
            return _drawn(report, attempts, paths, places, origin)
    except UnusableFileError as error:
        return error.message


def _drawn(
    report: AlignmentReport,
    attempts: Sequence[ReportedAttempt],
    paths: Mapping[str, Path],
    places: Array,
    origin: LookupOrigin,
) -> bytes:
    shift = max(_shift_arcsec(attempt) for attempt in attempts)
    half = float(np.clip(1.3 * shift, LEAST_HALF, MOST_HALF))
    rows: dict[str, list[list[Cutout | None]]] = {"before": [], "after": []}
    for attempt in attempts:
        numbers = {"before": attempt.from_solution_id, "after": attempt.solution_id or 0}
        for title, number in numbers.items():
            path, solution = paths[attempt.rootname], report.solutions[number]
            rows[title].append(cutout_row(path, solution, places, half, origin))
    names = [attempt.rootname for attempt in attempts]
    stars = [f"{ra:.5f} {dec:+.5f}" for ra, dec in places]
    frames = [
        cutout_frame(cutouts, row_names=names, column_names=stars, title=title)
        for title, cutouts in rows.items()
    ]
    return blink_bytes(frames, dpi=80)


def _shift_arcsec(attempt: ReportedAttempt) -> float:
    return 1e-3 * float(np.hypot(attempt.shift_ra_mas or 0.0, attempt.shift_dec_mas or 0.0))


def _places(report: AlignmentReport, attempts: Sequence[ReportedAttempt]) -> Array:
    """Right ascension and declination of stars, shape (n, 2): those most exposures have, bright ones first.

    Numbers of stars are those of one group: the one with the most exposures.
    """
    groups = [attempt.alignment_group_id for attempt in attempts]
    main = max(groups, key=groups.count)
    parts = [report.stars_of(one) for one in attempts if one.alignment_group_id == main]
    numbers = np.concatenate([part.group_star for part in parts])
    positions = np.concatenate([np.column_stack([part.reference_ra, part.reference_dec]) for part in parts])
    magnitudes = np.concatenate([part.instrumental_magnitude for part in parts])
    good = (np.concatenate([part.weight for part in parts]) > 0) & (numbers >= 0) & np.isfinite(magnitudes)
    if not good.any():
        return np.zeros((0, 2))
    stars, first, seen = np.unique(numbers[good], return_index=True, return_counts=True)
    brightness = np.array([magnitudes[good][numbers[good] == star].min() for star in stars])
    order = np.lexsort((brightness, -seen))[:STARS]
    return positions[good][first[order]]
