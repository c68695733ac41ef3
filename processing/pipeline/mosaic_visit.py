"""`mosaic --visit`: exposure, filter, total and grism products, on one north-up grid a detector.

The grids of the detectors of a visit share tangent point and orientation. Ramp and quad filters are left
out, with the reason; grism exposures are copied with the WCS of their direct images.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.products import (
    EligibleExposure,
    LeftOutExposure,
    NewExclusion,
    eligible_exposures,
    grism_exposures,
    left_out_exposures,
    visit_exists,
)
from hapctl.archive.sky_cells import nearest_cell
from hapctl.processing.errors import NothingLeftError
from hapctl.processing.imaging.defaults import NATIVE_SCALE_ARCSEC, Level
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.product_names import (
    Suffix,
    exposure_product_name,
    filter_product_name,
    product_suffix,
    total_product_name,
)
from hapctl.processing.imaging.visit_grid import native_grids, nested_grids, tangent_point
from hapctl.processing.pipeline.engine import software_name
from hapctl.processing.pipeline.filter_rules import filter_exclusions, without_problem
from hapctl.processing.pipeline.grism_plan import plan_grisms
from hapctl.processing.pipeline.mosaic_run import MosaicReport, Target, run_mosaic
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.planned import (
    MosaicOptions,
    PlannedProduct,
    drizzle_parameters,
    exclusions_of,
    header_filter,
    in_order,
    product_parameters,
    short_cells,
)
from hapctl.processing.pipeline.wcs_policy import Choice, chosen_by_policy

CORRECTED = "flc"
"""Suffix of exposures whose charge-transfer losses are corrected."""


def mosaic_visit(
    catalog: Catalog,
    visit: str,
    options: MosaicOptions,
    *,
    dry_run: bool = False,
    arguments: Sequence[str] = (),
    observer: Observer | None = None,
) -> MosaicReport:
    """Make the products of a visit, or find them current; retire stale ones that are made no more.

    Parameters
    ----------
    catalog : Catalog
    visit : str
        ipppss.
    options : MosaicOptions
    dry_run : bool
        Plan only: nothing is made and no run is recorded.
    arguments : sequence of str
        The command line, for the run.
    observer : Observer, optional
        Told of progress.

    Raises
    ------
    NotInCatalogError
        No exposure of the visit was ingested.
    NoViableDataError
        None of its exposures may be mosaicked, and nothing is left to retire.
    RefusedError
        The policy refuses to mix their solutions.
    TooLargeError
        More memory or disk would be needed than allowed.
    """
    visit = visit.lower()
    target = Target("visit", visit, {"visit": visit}, lambda opened, ruled: plan_visit(opened, visit, ruled))
    return run_mosaic(catalog, target, options, dry_run=dry_run, arguments=arguments, observer=observer)


def plan_visit(opened: OpenExposures, visit: str, options: MosaicOptions) -> list[PlannedProduct]:
    """Return the products of a visit: of each detector exposures, filters, total; and grism exposures."""
    with opened.catalog.begin() as connection:
        if not visit_exists(connection, visit):
            raise NotInCatalogError(
                f"no visit {visit} in the catalog", "ingest its files first (hapctl ingest)"
            )
        eligible = eligible_exposures(connection, visit=visit)
        left_out = left_out_exposures(connection, visit=visit)
        grisms = grism_exposures(connection, visit)
    planned = _images(opened, visit, options, eligible, left_out) + plan_grisms(opened, grisms, options)
    if not planned:
        raise NothingLeftError(
            f"visit {visit}: none of its {len(left_out) + len(eligible)} exposures may be mosaicked: "
            f"{reasons_in_words((*left_out, *filter_exclusions(eligible, 'visit')))}"
        )
    return planned


def _images(
    opened: OpenExposures,
    visit: str,
    options: MosaicOptions,
    eligible: Sequence[EligibleExposure],
    left_out: Sequence[LeftOutExposure],
) -> list[PlannedProduct]:
    """Return what is drizzled, by detector."""
    usable = without_problem(eligible, "visit")
    if not usable:
        return []
    choice = chosen_by_policy(usable, options.wcs_policy, f"visit {visit}")
    grids = visit_grids(opened, eligible, options)
    planned: list[PlannedProduct] = []
    for detector in sorted({exposure.detector for exposure in choice.used}):
        one = _Detector(options, visit, detector, grids[detector], eligible, left_out, choice)
        planned += one.products()
    return planned


def visit_grids(
    opened: OpenExposures, members: Sequence[EligibleExposure], options: MosaicOptions
) -> dict[str, OutputGrid]:
    """Return the grid of each detector of a visit; all eligible exposures of all detectors define them."""
    chips = {
        detector: opened.chip_wcs([one for one in members if one.detector == detector])
        for detector in sorted({one.detector for one in members})
    }
    if options.grid == "native":
        return native_grids(chips, NATIVE_SCALE_ARCSEC, options.origin)
    centre = tangent_point([chip for some in chips.values() for chip in some], options.origin)
    tile = nearest_cell(*centre)
    fine = OutputGrid(tile.crval, tile.crpix, tile.cd, tile.shape)
    return nested_grids(chips, fine, options.origin)


def reasons_in_words(left_out: Iterable[LeftOutExposure | NewExclusion]) -> str:
    """Return why exposures may not be mosaicked, each reason once."""
    return "; ".join(sorted({one.reason for one in left_out}))


def uncorrected_among(exposures: Sequence[EligibleExposure]) -> tuple[EligibleExposure, ...]:
    """Return what products of several exposures leave out: ``flt`` in a filter that has ``flc`` (HAP's rule).

    Trails of charge transfer in some of the exposures would blur what the others have restored.
    """
    with_corrected = {one.filter for one in exposures if one.suffix == CORRECTED}
    return tuple(one for one in exposures if one.filter in with_corrected and one.suffix != CORRECTED)


def uncorrected_exclusions(exposures: Iterable[EligibleExposure]) -> list[NewExclusion]:
    """Record exposures left out because others of their filter are CTE-corrected."""
    return [
        NewExclusion(
            one.exposure_id,
            one.solution_id,
            "not-cte-corrected",
            f"{one.suffix}; other exposures in {one.filter} are CTE-corrected ({CORRECTED})",
        )
        for one in exposures
    ]


class _Detector:
    """Plans the products of one detector of a visit."""

    def __init__(
        self,
        options: MosaicOptions,
        visit: str,
        detector: str,
        grid: OutputGrid,
        eligible: Sequence[EligibleExposure],
        left_out: Sequence[LeftOutExposure],
        choice: Choice,
    ) -> None:
        self.options = options
        self.visit = visit
        self.choice = choice
        self.grid = grid
        # all eligible exposures of the visit define its grids, whatever the policy leaves out: they stay
        self.members = tuple(eligible)
        self.used = tuple(one for one in choice.used if one.detector == detector)
        self.refused = tuple(one for one in choice.left_out if one.detector == detector)
        self.left_out = tuple(one for one in left_out if one.detector == detector)
        self.uncorrected = uncorrected_among(self.used)
        mine = [one for one in eligible if one.detector == detector]
        self.of_filters = filter_exclusions(mine, "visit")

    def products(self) -> list[PlannedProduct]:
        """Return exposure products, filter products and the total."""
        corrected = [one for one in self.used if one not in self.uncorrected]
        by_filter = sorted(corrected, key=lambda one: (one.filter, one.rootname))
        filters = {name: tuple(group) for name, group in groupby(by_filter, key=lambda one: one.filter)}
        return [
            *(self._exposure(one) for one in self.used),
            *(self._filter(name, group) for name, group in filters.items()),
            self._total(filters),
        ]

    def _exposure(self, exposure: EligibleExposure) -> PlannedProduct:
        name = exposure_product_name(
            exposure.proposal_id or 0,
            exposure.rootname,
            exposure.instrument,
            exposure.detector,
            exposure.filter,
            _suffix((exposure,)),
        )
        return self._planned("exposure", name, exposure.filter, (exposure,), ())

    def _filter(self, name: str, exposures: tuple[EligibleExposure, ...]) -> PlannedProduct:
        exclusions = in_order(
            exclusions_of(
                [one for one in self.left_out if one.filter == name],
                self.choice,
                [one for one in self.refused if one.filter == name],
            ),
            uncorrected_exclusions(one for one in self.uncorrected if one.filter == name),
        )
        first, suffix = exposures[0], _suffix(exposures)
        file_name = filter_product_name(
            first.proposal_id or 0, self.visit, first.instrument, first.detector, name, suffix
        )
        return self._planned("filter", file_name, name, exposures, exclusions)

    def _total(self, filters: dict[str, tuple[EligibleExposure, ...]]) -> PlannedProduct:
        """A total leaves out filters of one exposure, whose cosmic rays stand, unless all are such."""
        several = {name for name, group in filters.items() if len(group) > 1} or set(filters)
        corrected = [one for one in self.used if one not in self.uncorrected]
        used = tuple(one for one in corrected if one.filter in several)
        single = [
            NewExclusion(
                one.exposure_id, one.solution_id, "single-exposure", f"the only exposure in {one.filter}"
            )
            for one in corrected
            if one.filter not in several
        ]
        exclusions = in_order(
            exclusions_of(self.left_out, self.choice, self.refused),
            uncorrected_exclusions(self.uncorrected),
            self.of_filters,
            single,
        )
        first, suffix = used[0], _suffix(used)
        file_name = total_product_name(
            first.proposal_id or 0, self.visit, first.instrument, first.detector, suffix
        )
        return self._planned("total", file_name, "detection", used, exclusions)

    def _planned(
        self,
        kind: Level,
        name: str,
        filter_name: str,
        exposures: tuple[EligibleExposure, ...],
        exclusions: tuple[NewExclusion, ...],
    ) -> PlannedProduct:
        drizzle, masked = drizzle_parameters(self.options, kind, exposures), kind != "exposure"
        return PlannedProduct(
            kind=kind,
            name=name,
            visit=self.visit,
            sky_cell_id=None,
            sky_cells=short_cells(exposures),
            instrument=exposures[0].instrument,
            detector=exposures[0].detector,
            filter=filter_name,
            filter_text="detection" if kind == "total" else header_filter(exposures),
            grid=self.grid,
            full_pixels=self.grid.shape[0] * self.grid.shape[1],
            members=self.members,
            exposures=exposures,
            exclusions=exclusions,
            masked=masked,
            drizzle=drizzle,
            parameters=product_parameters(drizzle, masked, software_name()),
        )


def _suffix(exposures: Sequence[EligibleExposure]) -> Suffix:
    return product_suffix([f"_{exposure.suffix}" for exposure in exposures])
