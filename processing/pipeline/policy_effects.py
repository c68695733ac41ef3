"""What another policy of products would change: exactly those products, and no others.

A product is the same under other rules if its parameters are, asked for as it was, and if the masks of all
its exposures would be made with the parameters that they were made with. Products proven to be the same are
told so in the catalog when a policy is put in force; the view of stale products then passes them over.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hapctl.archive.runs import canonical_json
from hapctl.archive.statements import execute
from hapctl.processing.imaging.defaults import Level
from hapctl.processing.imaging.product_rules import ProductCase, ProductRules
from hapctl.processing.pipeline.engine import software_name
from hapctl.processing.pipeline.masks import mask_parameters
from hapctl.processing.pipeline.planned import MosaicOptions, parameters_of_case, product_parameters
from sqlalchemy import Connection

_LEVELS: Mapping[str, Level] = {"mosaic": "layer", "grism": "exposure"}
"""Levels of kinds of products that are not called so themselves."""


@dataclass(frozen=True)
class PolicyEffect:
    """Which products in force, made under other policies, are the same under one, and which are not."""

    same: tuple[int, ...]
    other: tuple[int, ...]


def policy_effect(connection: Connection, rules: ProductRules, policy_id: int = 0) -> PolicyEffect:
    """Return what rules would change.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    rules : ProductRules
    policy_id : int
        Of the rules; products made under it, or known to be the same under it, are passed over. 0: not
        recorded yet.
    """
    rows = execute(connection, "products_under_other_policies", {"policy_id": policy_id}).mappings()
    recorded = {
        row.parameters_sha256: row.parameters for row in execute(connection, "parameters_of_products")
    }
    judge = _Judge(rules, recorded)
    same = {int(row["product_id"]): judge.same(dict(row)) for row in rows}
    if any(same.values()):
        for product_id in _with_other_masks(connection, rules):
            if product_id in same:
                same[product_id] = False
    return PolicyEffect(
        tuple(number for number, kept in same.items() if kept),
        tuple(number for number, kept in same.items() if not kept),
    )


def tell_same(connection: Connection, run_id: int, rules: ProductRules, policy_id: int) -> PolicyEffect:
    """Record which products are the same under a policy that is put in force."""
    effect = policy_effect(connection, rules, policy_id)
    row = {"product_ids": list(effect.same), "policy_id": policy_id, "run_id": run_id}
    execute(connection, "insert_products_same", row)
    return effect


def would_be_parameters(
    rules: ProductRules, case: ProductCase, request: Mapping[str, Any], recorded: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parameters that a product would have under some rules, asked for as it was.

    Parameters
    ----------
    rules : ProductRules
    case : ProductCase
    request : mapping
        As the product keeps it.
    recorded : mapping
        The parameters it has; what the rules do not bear on stays.
    """
    options = MosaicOptions(Path(), Path(), rules=rules).with_request(Path(), request)
    drizzle = parameters_of_case(options, case)
    now = product_parameters(drizzle, bool(recorded.get("cosmic_ray_masks")), software_name())
    known = recorded.keys() - {"software"}  # another version of the same engine changes nothing
    return {**recorded, **{name: value for name, value in _plain(now).items() if name in known}}


def level_of(kind: str) -> Level:
    """Return the level of a kind of products."""
    return _LEVELS.get(kind, cast("Level", kind))


class _Judge:
    """Compares products with what they would be; equal ones, which most are, are compared once."""

    def __init__(self, rules: ProductRules, recorded: Mapping[str, Mapping[str, Any]]) -> None:
        self.rules = rules
        self.recorded = recorded
        self._known: dict[tuple[tuple[str, ...], str, str], bool] = {}

    def same(self, row: Mapping[str, Any]) -> bool:
        case = ProductCase(
            detector=row["detector"],
            level=level_of(row["kind"]),
            exposures=row["exposures"],
            start_mjd=row["start_mjd"],
            filter=row["filter"],
            visits=tuple(row["visits"]),
        )
        met = tuple(rule.name for rule in self.rules.met(case))
        key = (met, row["request"], row["parameters_sha256"])
        if key not in self._known:
            recorded, request = self.recorded[row["parameters_sha256"]], json.loads(row["request"])
            self._known[key] = would_be_parameters(self.rules, case, request, recorded) == recorded
        return self._known[key]


def _with_other_masks(connection: Connection, rules: ProductRules) -> Iterator[int]:
    """Products for whose exposures masks would be made with other parameters, or for the first time."""
    made = {row.parameters_sha256: row.parameters for row in execute(connection, "parameters_of_masks")}
    changed: list[int] = []
    for row in execute(connection, "mask_groups_now").mappings():
        masks = [made.get(address) for address in row["parameters_sha256s"]]
        wanted = _mask_parameters(rules, dict(row))
        if any(_without_origin(mask) != wanted for mask in masks):
            changed += row["exposure_ids"]
    for found in execute(connection, "masked_products_of", {"exposure_ids": changed}):
        yield int(found.product_id)


def _mask_parameters(rules: ProductRules, group: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the masks of a group would be made with; None: it would have none."""
    case = ProductCase(
        group["detector"],
        "filter",
        group["exposures"],
        group["start_mjd"],
        group["filter"],
        (group["visit"],),
    )
    drizzle = rules.chosen(case).drizzle
    if group["exposures"] < 2 or not drizzle.cosmic_rays.enabled:
        return None
    return _without_origin(_plain(mask_parameters(drizzle)))


def _without_origin(parameters: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Leave out where lookup tables begin: that is chosen by the command, not by rules."""
    if parameters is None:
        return None
    return {name: value for name, value in parameters.items() if name != "lookup_origin"}


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as the catalog gives them back."""
    return dict(json.loads(canonical_json(parameters)))
