"""The policy of products: which rules are in force, and those a product was made under.

Rules are rows of the kind ``products`` that only ever get newer versions. ``hap`` is this software's own:
it is recorded by the first run, and again, as a new version, by the first run of software that has other
rules or makes other pixels. What a user put in force stays in force.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hapctl.archive.policies import (
    PolicyRow,
    activate_policy,
    active_policy,
    policy_numbered,
    record_policy,
)
from hapctl.archive.runs import canonical_json
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.product_rules import ProductRules, rules_from_content
from hapctl.processing.imaging.product_seed import hap_rules
from hapctl.processing.pipeline.build_product import software_name
from hapctl.processing.pipeline.planned import ENGINE
from sqlalchemy import Connection

OWN_NAME = "hap"
"""Name of this software's own rules."""


@dataclass(frozen=True)
class RulesInForce:
    """Rules of products, and the policy they are of.

    Attributes
    ----------
    rules : ProductRules
    name : str
    version : int
        0: to be recorded by the next run.
    policy_id : int
        0: to be recorded by the next run.
    """

    rules: ProductRules
    name: str
    version: int
    policy_id: int


def own_content() -> dict[str, Any]:
    """Return the content of this software's own policy: its name and version, its engine, HAP's rules."""
    return policy_content(hap_rules())


def policy_content(rules: ProductRules) -> dict[str, Any]:
    """Return what a policy of products holds."""
    return {"software": software_name(), "engine": ENGINE, "rules": rules.content()}


def rules_of(policy: PolicyRow) -> ProductRules:
    """Return the rules of a policy.

    Policies of catalogs made before there were rules hold a table of HAP's values, which its rules give.

    Raises
    ------
    UsageProblemError
        It was written by software that knows other rules.
    """
    if "rules" not in policy.content:
        return hap_rules()
    try:
        return rules_from_content(policy.content["rules"])
    except UsageProblemError as error:
        raise UsageProblemError(f"{policy.name}@{policy.version}: {error.message}", error.remedy) from error


def rules_of_policy(connection: Connection, policy_id: int) -> ProductRules:
    """Return the rules that a product was made under.

    Raises
    ------
    NotInCatalogError
        There is no such policy of products.
    """
    return rules_of(policy_numbered(connection, "products", policy_id))


def rules_in_force(connection: Connection) -> RulesInForce:
    """Return the rules that the next run takes; nothing is recorded."""
    active = active_policy(connection, "products")
    if active is not None and not _outdated(active):
        return RulesInForce(rules_of(active), active.name, active.version, active.policy_id)
    return RulesInForce(hap_rules(), OWN_NAME, 0, 0)


def ensure_rules(connection: Connection, run_id: int) -> RulesInForce:
    """Return the rules in force; this software's own are recorded and put in force if there are no others.

    Products whose parameters are the same under new rules are told to be current under them.
    """
    found = rules_in_force(connection)
    if found.policy_id:
        return found
    policy_id = record_policy(connection, run_id, "products", OWN_NAME, own_content())
    put_rules_in_force(connection, run_id, policy_id)
    row = policy_numbered(connection, "products", policy_id)
    return RulesInForce(hap_rules(), row.name, row.version, policy_id)


def put_rules_in_force(connection: Connection, run_id: int, policy_id: int) -> None:
    """Put recorded rules in force."""
    activate_policy(connection, run_id, "products", policy_id)


def _outdated(active: PolicyRow) -> bool:
    """Whether it is this software's own, but of another version of it."""
    return active.name == OWN_NAME and not _same(active.content, own_content())


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return canonical_json(one) == canonical_json(other)
