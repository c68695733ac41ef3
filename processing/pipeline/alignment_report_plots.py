"""The pictures of a report: figures from the rows of an alignment, each with what it shows in words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hapctl.archive.alignment_reports import ReportedAttempt, StarRows
from hapctl.processing.astrometry.alignment_plots import (
    offset_histogram,
    offsets_between,
    residual_vectors,
    residuals_against,
    transfer_map,
)
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import TangentPlane
from hapctl.processing.astrometry.propagation import propagate
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.star_residuals import (
    JULIAN_EPOCH_MJD,
    JULIAN_YEAR,
    StarResiduals,
    detector_vectors,
    joined,
    selected,
)
from hapctl.processing.astrometry.wcs_comparison import difference_figure
from hapctl.processing.pipeline.alignment_report_data import AlignmentReport
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
LEAST_YEARS = 0.02
"""Exposures nearer in time than this are of one epoch: no star moves enough."""
MOST_EXPOSURES = 6
"""Exposures with pictures of their own on a page: those known worst."""
LEAST_CATALOG_STARS = 3
MJD_OF_UNIX_EPOCH = 40587.0


@dataclass(frozen=True)
class Plot:
    """A picture yet to be drawn; ``group`` is the heading it stands under."""

    name: str
    group: str
    title: str
    caption: str
    draw: Callable[[], "Figure"]


def plots(
    report: AlignmentReport, *, most_exposures: int | None = MOST_EXPOSURES, origin: LookupOrigin = "hst"
) -> Iterator[Plot]:
    """The pictures of a report, those of the whole alignment first.

    Parameters
    ----------
    report : AlignmentReport
    most_exposures : int or None
        Of so many exposures there are pictures of their own; None: of all.
    origin : {"hst", "fits"}
        Where lookup tables begin.
    """
    drawn = [attempt for attempt in report.final.values() if len(report.stars_of(attempt))]
    if not drawn:
        return
    reference = report.reference()
    to_catalog = _joined(report, drawn, reference, against_catalog=True)
    to_stars = _joined(report, drawn, reference, against_catalog=False)
    name = _catalog_name(drawn)
    if len(to_catalog):
        yield from _residual_plots("catalog", to_catalog, f"the stars of {name}")
    if len(to_stars) > len(to_catalog) or (len(drawn) > 1 and len(to_stars)):
        yield from _residual_plots("solution", to_stars, "the stars of the joint solution")
    yield from _transfer_plots(drawn, to_stars if len(drawn) > 1 else to_catalog)
    for attempt in _worst(report, drawn)[:most_exposures]:
        yield from _exposure_plots(report, attempt, reference, origin)


def _catalog_name(drawn: list[ReportedAttempt]) -> str:
    names = dict.fromkeys(attempt.catalog for attempt in drawn if attempt.catalog)
    return " and ".join(str(name) for name in names) or "the catalog"


def _worst(report: AlignmentReport, drawn: list[ReportedAttempt]) -> list[ReportedAttempt]:
    """The exposures whose places are known worst first; refused ones before all."""

    def order(attempt: ReportedAttempt) -> tuple[bool, float, str]:
        member = report.member(attempt)
        error = np.inf if member is None else member.predicted_error_mas
        return attempt.accepted, -error, attempt.rootname

    return sorted(drawn, key=order)


def _residual_plots(kind: str, stars: StarResiduals, target: str) -> Iterator[Plot]:
    group = f"Residuals against {target}"
    count, rms = int(np.count_nonzero(stars.used)), stars.weighted_rms
    epochs = ("epochs",) if len(stars) and np.ptp(stars.epochs) > LEAST_YEARS else ()
    yield Plot(
        f"vectors_{kind}",
        group,
        "Over the field",
        f"Measured minus expected position of {count} measurements in all exposures as arrows, and their "
        f"scatter; weighted rms {rms[0]:.2f} mas east, {rms[1]:.2f} mas north. Arrows that turn or grow "
        "over the field tell of a distortion that is left; an arrow on its own of a wrong match.",
        lambda: residual_vectors(stars, title=f"residuals against {target}"),
    )
    yield Plot(
        f"place_{kind}",
        group,
        "Against x and y",
        "Residuals against the place on the detector, with medians in bins (squares). A slope tells of a "
        "scale or roll that is left; a wave of the distortion model.",
        lambda: residuals_against(stars, quantities=("x", "y"), title=f"residuals against {target}"),
    )
    yield Plot(
        f"star_{kind}",
        group,
        "Against magnitude, colour and epoch",
        "Residuals against what the stars are. A trend with magnitude tells of charge transfer or "
        "saturation, with colour of a filter that refracts, with the epoch of a wrong mean motion.",
        lambda: residuals_against(
            stars, quantities=("magnitudes", "colours", *epochs), title=f"residuals against {target}"
        ),
    )


def _transfer_plots(drawn: list[ReportedAttempt], stars: StarResiduals) -> Iterator[Plot]:
    """A map of charge transfer for each chip of each detector."""
    detectors = np.array([attempt.detector for attempt in drawn])[stars.exposure]
    for detector in dict.fromkeys(detectors.tolist()):
        for extver in np.unique(stars.extver[detectors == detector]).tolist():
            chosen = selected(stars, (detectors == detector) & (stars.extver == extver))
            yield _transfer_plot(chosen, str(detector), int(extver))


def _transfer_plot(stars: StarResiduals, detector: str, extver: int) -> Plot:
    words = f"{detector}, SCI {extver}"
    return Plot(
        f"transfer_{detector.lower()}_{extver}",
        "Charge transfer",
        words,
        "Median residual along the columns of the detector in cells of y and magnitude. Charge that lags "
        "behind moves faint stars far from the read-out most: a gradient towards one lower corner is its "
        "sign. What all exposures have in common is not seen here where they are fitted to each other only.",
        lambda: transfer_map(
            stars.y, stars.magnitudes, stars.along_y, used=stars.used, title=f"residual along +y, {words}"
        ),
    )


def _exposure_plots(
    report: AlignmentReport,
    attempt: ReportedAttempt,
    reference: ReferenceStars | None,
    origin: LookupOrigin,
) -> Iterator[Plot]:
    rootname, state = attempt.rootname, "" if attempt.accepted else " (refused)"
    of_catalog = residuals_from_rows(report, 0, attempt, reference, against_catalog=True)
    to_catalog = np.count_nonzero(of_catalog.used) >= LEAST_CATALOG_STARS
    stars = (
        of_catalog
        if to_catalog
        else residuals_from_rows(report, 0, attempt, reference, against_catalog=False)
    )
    target = f"the stars of {attempt.catalog}" if to_catalog else "the stars of the joint solution"
    group = f"{rootname}, {attempt.detector} {attempt.filter.upper()}{state}"
    yield Plot(
        f"vectors_{rootname}",
        group,
        "Residuals",
        f"Measured minus expected, against {target}.",
        lambda: residual_vectors(stars, title=f"{rootname}: residuals against {target}"),
    )
    start = report.solutions[attempt.from_solution_id]
    if attempt.solution_id is not None:
        new = report.solutions[attempt.solution_id]
        yield Plot(
            f"change_{rootname}",
            group,
            "Change of the WCS",
            f"{new.name} minus {start.name} over the chips: how far the alignment moved the pixels.",
            lambda: difference_figure(start, new, origin, title=f"{rootname}: {new.name} minus {start.name}"),
        )
    yield _offset_plot(report, attempt, reference if to_catalog else None, group, origin)


def _offset_plot(
    report: AlignmentReport,
    attempt: ReportedAttempt,
    reference: ReferenceStars | None,
    group: str,
    origin: LookupOrigin,
) -> Plot:
    rows = report.stars_of(attempt)
    start = report.solutions[attempt.from_solution_id]
    plane = TangentPlane(*start.chips[0].crval)
    measured = plane.project_sky(*_places(start, rows, origin))
    expected = plane.project_sky(rows.reference_ra, rows.reference_dec)
    used = rows.weight > 0
    peak = np.median((expected - measured)[used], axis=0) if used.any() else None
    others, words = expected, "the stars of the joint solution"
    if reference is not None:
        moved = propagate(reference, _mjd(attempt))
        others, words = plane.project_sky(moved.ra, moved.dec), "the clean stars of the catalog"
    found = 0.0 if peak is None else float(np.hypot(*peak))
    radius = max(_searched(attempt), 1.2 * found)
    return Plot(
        f"offsets_{attempt.rootname}",
        group,
        "Histogram of offsets",
        f"All pairs of one of the {len(rows)} recorded stars, placed by {attempt.from_wcsname}, and one of "
        f"{words}: the true offset stands out of the pairs by chance.",
        lambda: offset_histogram(
            offsets_between(measured, others, radius),
            radius=radius,
            peak=peak,
            title=f"{attempt.rootname}: offsets by {attempt.from_wcsname}",
        ),
    )


def _searched(attempt: ReportedAttempt) -> float:
    """How far was searched, arcsec."""
    return float(attempt.metrics.get("search_radius") or attempt.rule.get("search_radius_arcsec") or 1.0)


def _mjd(attempt: ReportedAttempt) -> float:
    """The middle of the exposure; J2016.0, the epoch of Gaia, where it is not known."""
    if attempt.epoch is None:
        return 57388.5
    return MJD_OF_UNIX_EPOCH + attempt.epoch.timestamp() / 86400.0


def _places(solution: WcsSolution, rows: StarRows, origin: LookupOrigin) -> tuple[Array, Array]:
    """Where a solution puts the stars, degrees."""
    ra, dec = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for chip in solution.chips:
        mine = rows.extver == chip.extver
        ra[mine], dec[mine] = pixel_to_sky(chip, rows.x[mine], rows.y[mine], origin)
    return ra, dec


def _joined(
    report: AlignmentReport,
    drawn: list[ReportedAttempt],
    reference: ReferenceStars | None,
    *,
    against_catalog: bool,
) -> StarResiduals:
    return joined(
        [
            residuals_from_rows(report, number, attempt, reference, against_catalog=against_catalog)
            for number, attempt in enumerate(drawn)
        ]
    )


def residuals_from_rows(
    report: AlignmentReport,
    number: int,
    attempt: ReportedAttempt,
    reference: ReferenceStars | None,
    *,
    against_catalog: bool,
) -> StarResiduals:
    """The residuals of an attempt, against the catalog (of its stars alone) or against its solution."""
    rows = report.stars_of(attempt)
    if against_catalog:
        rows = rows[np.isfinite(rows.catalog_residual_ra_mas)]
        vectors = np.column_stack([rows.catalog_residual_ra_mas, rows.catalog_residual_dec_mas])
    else:
        vectors = np.column_stack([rows.residual_ra_mas, rows.residual_dec_mas])
    chips = report.solutions[attempt.solution_id or attempt.from_solution_id].chips
    along = detector_vectors(chips, rows.extver, vectors)
    xi_eta = _plane(report).project_sky(rows.reference_ra, rows.reference_dec)
    colours, errors = _of_catalog(rows, reference, _mjd(attempt))
    magnitudes = rows.instrumental_magnitude
    if against_catalog:
        magnitudes = np.where(np.isfinite(rows.magnitude), rows.magnitude, magnitudes)
    return StarResiduals(
        exposure=np.full(len(rows), number, dtype=np.intp),
        extver=rows.extver,
        x=rows.x,
        y=rows.y,
        xi=xi_eta[:, 0],
        eta=xi_eta[:, 1],
        east=vectors[:, 0],
        north=vectors[:, 1],
        along_x=along[:, 0],
        along_y=along[:, 1],
        errors=np.hypot(rows.error_mas, errors) if against_catalog else rows.error_mas,
        weights=rows.weight,
        magnitudes=magnitudes,
        colours=colours,
        epochs=np.full(len(rows), 2000.0 + (_mjd(attempt) - JULIAN_EPOCH_MJD) / JULIAN_YEAR),
    )


def _plane(report: AlignmentReport) -> TangentPlane:
    """The plane of the first group; of refused alignments one at the first exposure."""
    if report.groups and report.groups[0].figures.get("plane"):
        return TangentPlane(*report.groups[0].figures["plane"])
    first = report.attempts[0]
    return TangentPlane(*report.solutions[first.from_solution_id].chips[0].crval)


def _of_catalog(rows: StarRows, reference: ReferenceStars | None, mjd: float) -> tuple[Array, Array]:
    """Colour, and error of a coordinate at a date (mas), of the stars that are in the catalog."""
    colours, errors = np.full(len(rows), np.nan), np.zeros(len(rows))
    if reference is None or not len(reference):
        return colours, errors
    place = np.searchsorted(reference.source_id, rows.source_id)  # `reference` is in order of source_id
    place = np.minimum(place, len(reference) - 1)
    known = reference.source_id[place] == rows.source_id
    moved = propagate(reference, mjd)
    colours[known] = reference.bp_rp[place[known]]
    errors[known] = np.sqrt(0.5 * (moved.ra_error**2 + moved.dec_error**2))[place[known]]
    return colours, errors
