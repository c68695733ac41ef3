"""The parameters of the products that a mosaic command would make, and why they are what they are."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.sky_cells import sky_cell
from hapctl.processing.imaging.product_rules import ChosenRules, ProductCase
from hapctl.processing.pipeline.mosaic_tile import plan_tile
from hapctl.processing.pipeline.mosaic_visit import plan_visit
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.planned import MosaicOptions, PlannedProduct, product_case, rules_of_case
from hapctl.processing.pipeline.policy_effects import level_of
from hapctl.processing.pipeline.product_policies import RulesInForce, rules_in_force


@dataclass(frozen=True)
class ProductParameters:
    """A product that would be made, what the rules look at of it, and what they chose."""

    name: str
    kind: str
    case: ProductCase
    chosen: ChosenRules


@dataclass(frozen=True)
class ParametersReport:
    """The products of a visit or tile by their parameters, and the rules in force."""

    policy: RulesInForce
    products: tuple[ProductParameters, ...]

    def of_products(self, pattern: str) -> "ParametersReport":
        """Return those of the products whose name is like a pattern.

        Raises
        ------
        NotInCatalogError
            There are none.
        """
        found = tuple(one for one in self.products if fnmatchcase(one.name, pattern))
        if not found:
            names = ", ".join(one.name for one in self.products)
            raise NotInCatalogError(f"no product like {pattern} would be made", f"there would be {names}")
        return replace(self, products=found)


def parameters_of_visit(catalog: Catalog, visit: str, options: MosaicOptions) -> ParametersReport:
    """Return the parameters of the products of a visit.

    Raises
    ------
    NotInCatalogError, NoViableDataError, RefusedError
        As for `mosaic_visit`.
    """
    return _report(catalog, options, lambda opened, ruled: plan_visit(opened, visit.lower(), ruled))


def parameters_of_tile(catalog: Catalog, tile: str, options: MosaicOptions) -> ParametersReport:
    """Return the parameters of the layers of a tile; errors as for `mosaic_tile`."""
    cell = sky_cell(tile)
    return _report(catalog, options, lambda opened, ruled: plan_tile(opened, cell, ruled))


def _report(
    catalog: Catalog,
    options: MosaicOptions,
    plan: Callable[[OpenExposures, MosaicOptions], list[PlannedProduct]],
) -> ParametersReport:
    with catalog.begin() as connection:
        policy = rules_in_force(connection)
    ruled = replace(options, rules=policy.rules)
    with OpenExposures(catalog, options.origin) as opened:
        planned = plan(opened, ruled)
    return ParametersReport(policy, tuple(_product(one, ruled) for one in planned))


def _product(planned: PlannedProduct, options: MosaicOptions) -> ProductParameters:
    case = product_case(level_of(planned.kind), planned.exposures)
    return ProductParameters(planned.name, planned.kind, case, rules_of_case(options, case))
